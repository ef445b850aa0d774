//! What of a server is not as it was at the probe before: MX hosts, addresses, banner, certificate.
//!
//! Kept in memory: after a restart it is learned anew. A server that shows several faces in turn (a
//! balancer behind one address, a name whose addresses come and go) changes only when a new face appears.
//! Knows no DNS and no SMTP.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use mailsonar_protocol::{Change, Peer, RouteName, Text};

use crate::resolve::MxHost;
use crate::submit::Shown;

/// How many faces of one thing are remembered.
const FACES: usize = 8;
/// How many things are remembered; DNS can name ever new hosts.
const THINGS: usize = 4_096;

/// What was seen so far. Shared by all probes of an agent.
#[derive(Debug, Default)]
pub struct Memory(Mutex<BTreeMap<Thing, VecDeque<Text>>>);

/// Of which route, which host or domain, and what of it.
type Thing = (RouteName, String, &'static str);

impl Memory {
    /// Notes the MX hosts of a route's domain.
    pub fn mx(&self, route: &RouteName, domain: &str, hosts: &[MxHost]) -> Option<Change> {
        let mut hosts: Vec<_> = hosts.iter().map(|mx| format!("{} {}", mx.preference, mx.host)).collect();
        hosts.sort();
        self.note(route, domain.to_owned(), "mx", Text::new(&hosts.join(", ")))
    }

    /// Notes the addresses of a host.
    pub fn addresses(&self, route: &RouteName, host: &str, addresses: &[IpAddr]) -> Option<Change> {
        let mut addresses = addresses.to_vec();
        addresses.sort();
        let text = addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ");
        self.note(route, host.to_owned(), "addresses", Text::new(&text))
    }

    /// Notes what a server showed of itself.
    pub fn shown(&self, route: &RouteName, peer: &Peer, shown: &Shown) -> Vec<Change> {
        let address = peer.address.map_or(String::new(), |address| address.to_string());
        let whose = format!("{}[{address}]:{}", peer.host, peer.port);
        let banner = shown.banner.as_ref().map(|banner| ("banner", Text::new(&steady(banner.as_str()))));
        let certificate = shown.certificate.clone().map(|certificate| ("certificate", certificate));
        let seen = banner.into_iter().chain(certificate);
        seen.filter_map(|(what, is)| self.note(route, whose.clone(), what, is)).collect()
    }

    fn note(&self, route: &RouteName, whose: String, what: &'static str, is: Text) -> Option<Change> {
        let mut things = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if things.len() >= THINGS {
            things.clear();
        }
        let faces = things.entry((route.clone(), whose, what)).or_default();
        let known = faces.iter().position(|face| *face == is);
        let was = faces.front().cloned();
        if let Some(known) = known {
            faces.remove(known);
        }
        faces.push_front(is.clone());
        faces.truncate(FACES);
        match (known, was) {
            (None, Some(was)) => Some(Change { what: what.into(), was, is }),
            _ => None,
        }
    }
}

/// A banner without what differs each time: dates, times, session ids. The host's name stays whatever it
/// looks like, and so do versions.
fn steady(banner: &str) -> String {
    const TIME: [&str; 19] = [
        "mon", "tue", "wed", "thu", "fri", "sat", "sun", "jan", "feb", "mar", "apr", "may", "jun", "jul",
        "aug", "sep", "oct", "nov", "dec",
    ];
    let passing = |word: &str| {
        let bare = word.trim_matches(|c: char| c.is_ascii_punctuation());
        let (digits, letters) =
            (bare.contains(|c: char| c.is_ascii_digit()), bare.contains(|c: char| c.is_ascii_alphabetic()));
        let is_number = digits && !bare.contains(|c: char| !c.is_ascii_digit());
        let is_id = digits && letters && bare.len() >= 8;
        let is_time = word.contains(':') || TIME.contains(&bare.to_ascii_lowercase().as_str());
        is_number || is_id || is_time
    };
    let kept = banner.split_whitespace().enumerate().filter(|(at, word)| *at < 2 || !passing(word));
    kept.map(|(_, word)| word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn route() -> RouteName {
        "mx".parse().expect("a name")
    }

    #[test]
    fn a_new_face_is_a_change_and_one_that_comes_back_is_not() {
        let memory = Memory::default();
        let see = |text: &str| memory.note(&route(), "mx1".into(), "banner", Text::new(text));
        assert_eq!(see("a"), None, "the first is no change");
        assert_eq!(see("a"), None);
        let change = see("b").expect("a change");
        assert_eq!((change.was.as_str(), change.is.as_str()), ("a", "b"));
        assert_eq!((see("a"), see("b")), (None, None), "both are known");
        assert_eq!(see("c").expect("a change").was.as_str(), "b");
        assert_eq!(memory.note(&route(), "mx2".into(), "banner", Text::new("z")), None, "another server");
    }

    #[test]
    fn the_order_of_hosts_and_addresses_is_no_change_and_a_new_one_is() {
        let memory = Memory::default();
        let mx = |preference, host: &str| MxHost { preference, host: host.into() };
        assert_eq!(memory.mx(&route(), "acme.example", &[mx(10, "a"), mx(10, "b")]), None);
        assert_eq!(memory.mx(&route(), "acme.example", &[mx(10, "b"), mx(10, "a")]), None);
        let change = memory.mx(&route(), "acme.example", &[mx(20, "b"), mx(10, "a")]).expect("a change");
        assert_eq!((change.was.as_str(), change.is.as_str()), ("10 a, 10 b", "10 a, 20 b"));
        let [one, two]: [IpAddr; 2] = [[192, 0, 2, 1].into(), [192, 0, 2, 2].into()];
        assert_eq!(memory.addresses(&route(), "a", &[two, one]), None);
        assert_eq!(memory.addresses(&route(), "a", &[one, two]), None);
        assert_eq!(memory.addresses(&route(), "a", &[one]).expect("a change").is.as_str(), "192.0.2.1");
    }

    #[test]
    fn what_differs_at_each_visit_is_not_part_of_a_banner() {
        for (one, other) in [
            (
                "220 mx1.acme.example ESMTP Exim 4.96 Tue, 24 Nov 2026 08:42:49 +0000",
                "220 mx1.acme.example ESMTP Exim 4.96 Wed, 25 Nov 2026 09:00:01 +0100",
            ),
            (
                "220 mx.google.example ESMTP ffacd0b85a97d-42b7cb9b7dfsi1234567f8f.123 - gsmtp",
                "220 mx.google.example ESMTP 5b1f17b1804b1-477bf2aa1b2si99f8f.7 - gsmtp",
            ),
        ] {
            assert_eq!(steady(one), steady(other));
        }
        assert_eq!(
            steady("220 a1b2c3d4e5 ESMTP Postfix (Debian/GNU)"),
            "220 a1b2c3d4e5 ESMTP Postfix (Debian/GNU)"
        );
        assert_ne!(steady("220 mx ESMTP Exim 4.96"), steady("220 mx ESMTP Exim 4.97"));
    }

    proptest! {
        #[test]
        fn no_banner_makes_it_panic(banner in ".{0,200}") {
            steady(&banner);
        }

        #[test]
        fn memory_stays_bounded(hosts in prop::collection::vec("[a-z]{1,8}", 0..50)) {
            let memory = Memory::default();
            for host in &hosts {
                for face in &hosts {
                    memory.note(&route(), host.clone(), "banner", Text::new(face));
                }
            }
            let things = memory.0.lock().expect("not poisoned");
            prop_assert!(things.values().all(|faces| faces.len() <= FACES));
        }
    }
}
