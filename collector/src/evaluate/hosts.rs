//! MX hosts, each by itself: one that is dead among others that are not is no outage, since senders turn
//! to the others. It is said, and its failures speak for no leg.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use mailsonar_protocol::{Class, Door, Outcome, Region, ServiceName};

use super::blame::host_of;
use super::facts::{Lane, Sample};
use super::vantage::{Sight, Vantage};
use super::votes::{Vote, horizon};
use super::{Finding, FindingKind};

/// So many refused in a row make a host dead.
const IN_A_ROW: usize = 2;

/// One attempt at a host.
#[derive(Debug, Clone, Copy)]
struct Attempt<'a> {
    at: Timestamp,
    taken: bool,
    region: &'a Region,
}

/// The hosts of every service, as their newest attempts tell.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    /// All that were tried.
    known: BTreeSet<(ServiceName, String)>,
    /// Those that took the newest message they were offered.
    alive: BTreeSet<(ServiceName, String)>,
    /// Those that are dead while others of the same service are alive, and since when.
    dead: BTreeMap<(ServiceName, String), Timestamp>,
}

impl Hosts {
    /// Looks at every believed agent's attempts.
    pub(super) fn look(vantages: &[Vantage<'_>], now: Timestamp) -> Self {
        let mut attempts: BTreeMap<(&ServiceName, String), Vec<Attempt<'_>>> = BTreeMap::new();
        for vantage in vantages.iter().filter(|vantage| vantage.sight == Sight::Able) {
            for lane in vantage.agent.lanes.iter().filter(|lane| lane.door == Door::Mx) {
                let stale_before = now - horizon(lane);
                let fresh = lane.samples.iter().filter(|sample| sample.started_at >= stale_before);
                for sample in
                    fresh.filter(|sample| !sample.address.is_empty() && sample.class != Some(Class::Own))
                {
                    let taken = sample.accepted || sample.outcome.has_arrived();
                    if taken || sample.outcome.is_failure() {
                        let region = &vantage.agent.region;
                        let attempt = Attempt { at: sample.started_at, taken, region };
                        attempts.entry((lane.recipient(), host_of(lane, sample))).or_default().push(attempt);
                    }
                }
            }
        }
        for all in attempts.values_mut() {
            all.sort_by_key(|attempt| std::cmp::Reverse(attempt.at));
        }
        let named = |(service, host): &(&ServiceName, String)| ((*service).clone(), host.clone());
        let known: BTreeSet<(ServiceName, String)> = attempts.keys().map(named).collect();
        // Each host has its turn once in as many intervals as there are hosts. One that had none for longer
        // is in DNS no more, and what it took says nothing of the present.
        let since = |service: &ServiceName| {
            let lanes = vantages.iter().flat_map(|vantage| &vantage.agent.lanes);
            let ours = lanes.filter(|lane| lane.door == Door::Mx && lane.recipient() == service);
            let interval = ours.map(|lane| lane.interval).max().unwrap_or_default();
            let turns = known.iter().filter(|(of, _)| of == service).count() + 1;
            now - interval * i32::try_from(turns).unwrap_or(i32::MAX)
        };
        let lives = |service: &ServiceName, all: &[Attempt<'_>]| {
            all.first().is_some_and(|newest| newest.taken && newest.at >= since(service))
        };
        let alive = attempts.iter().filter(|((service, _), all)| lives(service, all));
        let alive = alive.map(|(key, _)| named(key)).collect();
        let mut hosts = Self { known, alive, dead: BTreeMap::new() };
        for (key, all) in &attempts {
            let (service, host) = named(key);
            if let Some(since) = dead_since(all).filter(|_| hosts.has_other(&service, &host)) {
                hosts.dead.insert((service, host), since);
            }
        }
        hosts
    }

    /// A lane's votes without the failures of hosts beside which others are alive.
    pub(super) fn excused<'a>(&self, mut votes: Vec<Vote<'a>>) -> Vec<Vote<'a>> {
        votes.retain(|vote| !vote.failed || !self.excuses(vote.lane, vote.sample));
        votes
    }

    /// Whether it says nothing of the service that this message was not taken.
    pub(super) fn excuses(&self, lane: &Lane, sample: &Sample) -> bool {
        if lane.door != Door::Mx || sample.accepted {
            return false;
        }
        let service = lane.recipient();
        if sample.address.is_empty() {
            // Of one under way that reached nobody yet, it is not known whose turn it is.
            return sample.outcome == Outcome::InFlight
                && self.of(service).nth(1).is_some()
                && self.alive.iter().any(|(of, _)| of == service);
        }
        self.has_other(service, &host_of(lane, sample))
    }

    /// Whether another host of the service is alive.
    pub(super) fn has_other(&self, service: &ServiceName, host: &str) -> bool {
        self.alive.iter().any(|(of, other)| of == service && other != host)
    }

    /// Those of a service that were tried lately.
    pub(super) fn of<'h>(&'h self, service: &'h ServiceName) -> impl Iterator<Item = &'h str> {
        self.known.iter().filter(move |(of, _)| of == service).map(|(_, host)| host.as_str())
    }

    /// Those that are dead, each with its service.
    pub(super) fn dead(&self) -> impl Iterator<Item = (&ServiceName, &str)> {
        self.dead.keys().map(|(service, host)| (service, host.as_str()))
    }

    /// One finding for each.
    pub(super) fn findings(&self) -> impl Iterator<Item = Finding> {
        self.dead.iter().map(|((service, host), since)| Finding {
            kind: FindingKind::MxHostDead,
            subject: host.clone(),
            since: *since,
            words: format!(
                "MX host {host} of {service} takes no mail since {since:.0}, while others of {service} do: \
                 mail still flows, with less to spare"
            ),
        })
    }
}

/// Since when a host takes nothing, if enough regions of those that tried it say so.
fn dead_since(newest_first: &[Attempt<'_>]) -> Option<Timestamp> {
    let failing: Vec<&Attempt<'_>> = newest_first.iter().take_while(|attempt| !attempt.taken).collect();
    let tried: BTreeSet<&Region> = newest_first.iter().map(|attempt| attempt.region).collect();
    let refused: BTreeSet<&Region> = failing.iter().map(|attempt| attempt.region).collect();
    let enough = failing.len() >= IN_A_ROW && refused.len() * 2 > tried.len();
    failing.last().map(|attempt| attempt.at).filter(|_| enough)
}
