//! MX hosts, each by itself: one that is dead among others that are not is no outage, since senders turn
//! to the others. It is said, and its failures speak for no leg.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use mailsonar_protocol::{Class, Door, Region, ServiceName};

use super::blame::host_of;
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

/// The hosts that are dead while others of the same service are not.
#[derive(Debug, Default)]
pub(super) struct Hosts {
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
                    fresh.filter(|sample| !sample.peer.is_empty() && sample.class != Some(Class::Own))
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
        let dead = attempts.iter().filter_map(|((service, host), all)| {
            let since = dead_since(all)?;
            let lives = |other: &&Attempt<'_>| other.taken && other.at > since;
            let others = attempts.iter().filter(|((of, name), _)| of == service && name != host);
            let other_lives = others.filter_map(|(_, all)| all.first()).any(|newest| lives(&newest));
            other_lives.then(|| (((*service).clone(), host.clone()), since))
        });
        Self { dead: dead.collect() }
    }

    /// A lane's votes without the failures of such hosts.
    pub(super) fn excused<'a>(&self, mut votes: Vec<Vote<'a>>) -> Vec<Vote<'a>> {
        votes.retain(|vote| !self.excuses(vote));
        votes
    }

    fn excuses(&self, vote: &Vote<'_>) -> bool {
        vote.failed
            && vote.lane.door == Door::Mx
            && !vote.sample.accepted
            && self.dead.contains_key(&(vote.lane.recipient().clone(), host_of(vote.lane, vote.sample)))
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
