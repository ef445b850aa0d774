//! The doors of a domain: every MX host and every address of it, each in its turn and on its own account.
//!
//! A door that is shut is the finding: nothing here falls through to the next. Decides which door is
//! tried; asks no DNS and connects to nothing.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use mailsonar_protocol::{Class, Outcome, Record, RouteName, Stage};

use crate::resolve::MxHost;
use crate::trouble::Trouble;

/// The most hosts of a domain, and the most addresses of a host, that are tried in turn.
pub const MOST: usize = 32;

/// One way into a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Door {
    /// The MX host.
    pub host: String,
    /// One of its addresses.
    pub address: IpAddr,
}

/// Which of a domain's hosts are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All of them, backups too.
    All,
    /// Those with the best preference only.
    Preferred,
}

/// The number of a turn: how many intervals have passed since 1970. It needs no memory, so that a restart
/// goes on where the last life left off; and all regions are at the same door at about the same time, so
/// that each can confirm what another has seen.
pub fn turn(scheduled_at: Timestamp, interval: Duration) -> u64 {
    let interval = i64::try_from(interval.as_micros()).unwrap_or(i64::MAX).max(1);
    scheduled_at.as_microsecond().div_euclid(interval).unsigned_abs()
}

/// The host whose turn it is, and the turn among its addresses. `None` without hosts.
pub fn host(hosts: &[MxHost], which: Which, turn: u64) -> Option<(&str, u64)> {
    let best = hosts.first()?.preference;
    let tried = hosts.iter().take(MOST);
    let tried: Vec<_> = match which {
        Which::All => tried.collect(),
        Which::Preferred => tried.take_while(|host| host.preference == best).collect(),
    };
    let count = u64::try_from(tried.len()).ok()?;
    let host = tried.get(usize::try_from(turn % count).ok()?)?;
    Some((&host.host, turn / count))
}

/// The address whose turn it is, of those that there is a way to from here.
pub fn address(addresses: &[IpAddr], turn: u64, has_route: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    let tried: Vec<_> = addresses.iter().take(MOST).filter(|address| has_route(**address)).collect();
    let count = u64::try_from(tried.len()).ok().filter(|count| *count > 0)?;
    tried.get(usize::try_from(turn % count).ok()?).map(|address| **address)
}

/// What it means that there is no way to any of a host's addresses: our own trouble, not the host's.
pub fn no_route(host: &str, addresses: &[IpAddr]) -> Trouble {
    let family = if addresses.iter().all(IpAddr::is_ipv6) { "IPv6" } else { "its network" };
    let words = format!("this machine has no route to {family}, and {host} has no other address");
    Trouble::new(Stage::Connect, Class::Own, "no_route_from_here", words)
}

/// What is said where a domain has more hosts than are tried.
pub fn too_many(count: usize) -> Option<Trouble> {
    let words = format!("{count} MX hosts; the first {MOST} are tried in turn");
    (count > MOST).then(|| Trouble::new(Stage::Resolve, Class::Limit, "too_many_mx", words))
}

/// The doors at which something was amiss when they were last tried: a confirmation goes to the same one.
#[derive(Debug, Default)]
pub struct Suspects(Mutex<BTreeMap<RouteName, Door>>);

impl Suspects {
    /// Hears of a record that has changed.
    pub fn heard(&self, record: &Record) {
        let Some(door) = door_of(record) else { return };
        let mut suspects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_put_off = !record.handover.deferrals.is_empty();
        match record.verdict.outcome {
            Outcome::InFlight if !is_put_off => {}
            Outcome::Delivered => {
                if suspects.get(&record.route) == Some(&door) {
                    suspects.remove(&record.route);
                }
            }
            _ => {
                suspects.insert(record.route.clone(), door);
            }
        }
    }

    /// The door of a route to look at again.
    pub fn of(&self, route: &RouteName) -> Option<Door> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(route).cloned()
    }
}

/// The door a record's message was offered at.
pub fn door_of(record: &Record) -> Option<Door> {
    let peer = record.peer.as_ref()?;
    Some(Door { host: peer.host.to_string(), address: peer.address? })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::verdict::tests::{accepted_at, at, failed, fresh, seen};
    use crate::verdict::{Fact, learn};

    fn mx(preference: u16, host: &str) -> MxHost {
        MxHost { preference, host: host.into() }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn every_address_of_every_host_has_its_turn_backups_too() {
        let hosts = [mx(10, "a"), mx(10, "b"), mx(20, "backup")];
        let addresses = |host: &str| match host {
            "a" => vec![ip("192.0.2.1"), ip("2001:db8::1")],
            "b" => vec![ip("192.0.2.2")],
            _ => vec![ip("192.0.2.3"), ip("192.0.2.4"), ip("2001:db8::3")],
        };
        let tried = |which, turns: u64| -> BTreeSet<_> {
            let tried = (0..turns).map(|turn| {
                let (host, rest) = host(&hosts, which, turn).expect("a host");
                (host.to_owned(), address(&addresses(host), rest, |_| true).expect("an address"))
            });
            tried.collect()
        };
        assert_eq!(tried(Which::All, 18).len(), 6);
        assert_eq!(tried(Which::All, 3).len(), 3, "another host at each turn");
        assert_eq!(tried(Which::Preferred, 18).len(), 3);
        assert_eq!(host(&[], Which::All, 0), None);
    }

    #[test]
    fn a_turn_needs_no_memory() {
        let interval = Duration::from_mins(1);
        let turns: Vec<_> = (0..4).map(|n| turn(at(17 + 60 * n), interval)).collect();
        assert!(turns.windows(2).all(|pair| pair[1] == pair[0] + 1), "{turns:?}");
        assert_eq!(turn(at(17), interval), turn(at(18), interval));
    }

    #[test]
    fn an_address_without_a_way_from_here_has_no_turn_and_blames_nobody() {
        let both = [ip("192.0.2.1"), ip("2001:db8::1")];
        for turn in 0..4 {
            assert_eq!(address(&both, turn, |address| address.is_ipv4()), Some(both[0]));
        }
        assert_eq!(address(&both[1..], 0, |address| address.is_ipv4()), None);
        let trouble = no_route("mx6.acme.example", &both[1..]);
        assert_eq!((trouble.class, trouble.detail), (Class::Own, "no_route_from_here"));
        assert!(trouble.words.as_str().contains("no route to IPv6, and mx6.acme.example has no other"));
    }

    #[test]
    fn a_confirmation_goes_to_the_door_that_failed_until_it_works_again() {
        let suspects = Suspects::default();
        let route = fresh(1).record.route;
        suspects.heard(&fresh(1).record);
        assert_eq!(suspects.of(&route), None);
        let refused =
            learn(&fresh(1), failed(Stage::Envelope, Class::Permanent, "x"), at(1)).expect("learned");
        suspects.heard(&refused.record);
        let door = Door { host: "smtp.acme.example".into(), address: ip("192.0.2.1") };
        assert_eq!(suspects.of(&route), Some(door));
        let accepted = learn(&fresh(2), accepted_at(at(2)), at(2)).expect("learned");
        suspects.heard(&accepted.record);
        assert!(suspects.of(&route).is_some(), "accepted is not delivered");
        suspects.heard(&learn(&accepted, Fact::Sighted(seen(at(3))), at(3)).expect("learned").record);
        assert_eq!(suspects.of(&route), None);
    }

    proptest! {
        #[test]
        fn whatever_dns_says_there_is_a_door_or_none(
            preferences in prop::collection::vec(0..4_u16, 0..80), turn in any::<u64>()
        ) {
            let mut hosts: Vec<_> = preferences.iter().map(|p| mx(*p, &format!("h{p}"))).collect();
            hosts.sort_by_key(|host| host.preference);
            for which in [Which::All, Which::Preferred] {
                let host = host(&hosts, which, turn);
                prop_assert_eq!(host.is_some(), !hosts.is_empty());
                prop_assert!(which == Which::All || host.is_none_or(|(name, _)| name == hosts[0].host));
            }
        }
    }
}
