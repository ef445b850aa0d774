//! One leg of one service: which regions see it fail, whether they are enough, and whether it is over.

use std::collections::BTreeMap;

use jiff::Timestamp;
use mailsonar_protocol::{Outcome, Region};

use super::blame;
use super::course::Course;
use super::facts::{AgentFacts, Lane, OpenIncident, Sample, ShutMailbox, Stand, Subject};
use super::hosts::Hosts;
use super::overdue::{Wait, wait};
use super::vantage::{References, Sight, Vantage};
use super::votes::{Vote, votes};
use super::{Config, words};
use super::{Decision, Picture, Reason, Regions};

/// What one live region sees of a leg.
#[derive(Debug)]
pub(super) struct RegionView<'a> {
    /// The region.
    pub(super) region: &'a Region,
    /// What each lane's probes say, newest first.
    pub(super) lanes: Vec<Vec<Vote<'a>>>,
    /// The service's mailboxes, if all of them have been shut for too long.
    pub(super) shut: Option<&'a ShutMailbox>,
    /// Whether this region sees the leg fail.
    pub(super) failing: bool,
}

/// The leg as all live regions see it.
#[derive(Debug)]
pub(super) struct LegView<'a> {
    /// Which leg of which service.
    pub(super) subject: &'a Subject,
    /// The live regions that have a route for it.
    pub(super) regions: Vec<RegionView<'a>>,
    /// Regions that have a route for it and cannot be believed now.
    pub(super) unknown: Vec<&'a Region>,
    /// Everyone, to say how control routes fare.
    pub(super) vantages: &'a [Vantage<'a>],
    /// When it was looked at.
    pub(super) now: Timestamp,
    /// How the MX hosts are.
    pub(super) hosts: &'a Hosts,
    /// The thresholds.
    pub(super) rules: &'a Config,
}

/// Since when new mail is on time again, and until when failures are settled by that.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recovery {
    /// The first success after the last failure.
    pub(super) since: Timestamp,
    /// The newest success.
    pub(super) until: Timestamp,
}

impl<'a> LegView<'a> {
    /// Looks at a leg through every agent that can be believed.
    pub(super) fn look(
        subject: &'a Subject,
        vantages: &'a [Vantage<'a>],
        hosts: &'a Hosts,
        stand: &Stand,
        rules: &'a Config,
        now: Timestamp,
    ) -> Self {
        let references = References::look(vantages, now);
        let mut regions: BTreeMap<&Region, RegionView<'a>> = BTreeMap::new();
        let mut unknown: Vec<&Region> = Vec::new();
        for Vantage { agent, sight } in vantages {
            let lanes = agent.lanes.iter().filter(|lane| lane.speaks_for(subject));
            let lanes: Vec<Vec<Vote<'a>>> = lanes
                .map(|lane| {
                    let is_overdue = |sample: &Sample| wait(agent, lane, sample, rules, now) == Wait::Overdue;
                    votes(subject.leg, &agent.region, lane, is_overdue, stand.settled_until, now)
                })
                .collect();
            let lanes: Vec<Vec<Vote<'a>>> = lanes.into_iter().map(|lane| references.cleared(lane)).collect();
            let lanes: Vec<Vec<Vote<'a>>> = lanes.into_iter().map(|lane| hosts.excused(lane)).collect();
            if lanes.is_empty() {
                continue;
            }
            if *sight != Sight::Able {
                unknown.push(&agent.region);
                continue;
            }
            let shut = agent.shut_of(subject, rules.mailbox_unreachable_after.signed(), now);
            let view = regions.entry(&agent.region).or_insert_with(|| RegionView {
                region: &agent.region,
                lanes: Vec::new(),
                shut,
                failing: false,
            });
            view.lanes.extend(lanes);
            view.shut = view.shut.and(shut);
        }
        unknown.retain(|region| !regions.contains_key(region));
        unknown.sort_unstable();
        unknown.dedup();
        let alone = regions.len() == 1;
        let mut regions: Vec<RegionView<'a>> = regions.into_values().collect();
        for view in &mut regions {
            view.failing = view.shut.is_some() || fails(&view.lanes, rules, alone);
        }
        Self { subject, regions, unknown, vantages, now, hosts, rules }
    }

    /// The regions that see it fail.
    pub(super) fn failing(&self) -> impl Iterator<Item = &RegionView<'a>> {
        self.regions.iter().filter(|view| view.failing)
    }

    /// Every probe that says something, from every live region.
    fn all_votes(&self) -> impl Iterator<Item = &Vote<'a>> {
        self.regions.iter().flat_map(|view| view.lanes.iter().flatten())
    }

    /// The lanes of believed agents that speak for the leg.
    pub(super) fn lanes(&self) -> impl Iterator<Item = (&'a AgentFacts, &'a Lane)> {
        let able = self.vantages.iter().filter(|vantage| vantage.sight == Sight::Able);
        able.flat_map(|vantage| vantage.agent.lanes.iter().map(|lane| (vantage.agent, lane)))
            .filter(|(_, lane)| lane.speaks_for(self.subject))
    }

    /// Whether a route fails that meets no reference: then no reference can be the cause of all.
    pub(super) fn fails_without_references(&self) -> bool {
        let mut failing = self.failing().flat_map(|region| &region.lanes);
        let ours = |lane: &Vec<Vote<'_>>| lane.first().is_some_and(|vote| vote.lane.reference.is_none());
        failing.any(|lane| ours(lane) && lane_fails(lane, self.rules, self.alone()))
    }

    /// Whether it is the references alone that are to blame.
    pub(super) fn is_of_references(&self, picture: &Picture) -> bool {
        let suspects = picture.blame.iter().flat_map(|blame| &blame.suspects);
        let mut suspects = suspects.peekable();
        !self.fails_without_references()
            && suspects.peek().is_some()
            && suspects.all(|part| blame::is_of_reference(self, part))
    }

    /// The believed agents in a region.
    pub(super) fn agents_of(&self, region: &Region) -> impl Iterator<Item = &'a AgentFacts> {
        let able = self.vantages.iter().filter(|vantage| vantage.sight == Sight::Able);
        able.map(|vantage| vantage.agent).filter(move |agent| agent.region == *region)
    }

    /// Whether more than half of the regions see it fail.
    pub(super) fn is_down(&self) -> bool {
        self.failing().count() * 2 > self.regions.len()
    }

    /// What is to be done about it; `course` is that of the open incident.
    pub(super) fn decide(&self, stand: &Stand, course: Option<&Course>) -> Option<Decision> {
        let (Some(open), Some(course)) = (&stand.open, course) else {
            let picture = self.is_down().then(|| self.picture(self.first_failure(), stand))?;
            return (!self.is_of_references(&picture)).then_some(Decision::Open(picture));
        };
        if let (Some(recovery), Some(_), Some(_)) =
            (self.recovered(open), course.drained_at, course.accepting_at)
            && stand.changes <= self.rules.flapping
        {
            return Some(Decision::Resolve {
                incident: open.id.clone(),
                subject: self.subject.clone(),
                reason: Reason::Recovered,
                settled_until: recovery.until,
                summary: words::recovered(self, open.started_at, course),
                regions: self.all_pass(),
            });
        }
        if !self.is_down() {
            return None;
        }
        let picture = self.picture(open.started_at, stand);
        (picture.summary != open.summary).then(|| Decision::Update { incident: open.id.clone(), picture })
    }

    fn picture(&self, started_at: Timestamp, stand: &Stand) -> Picture {
        words::picture(self, started_at, stand)
    }

    /// The start of the first failure of the present trouble, over the regions that see it fail.
    pub(super) fn first_failure(&self) -> Timestamp {
        let begun = |view: &RegionView<'a>| {
            let lanes = view.lanes.iter().filter(|lane| lane_fails(lane, self.rules, self.alone()));
            let failures = lanes.flat_map(|lane| {
                let running = lane.iter().take_while(|vote| vote.failed).count();
                lane.iter().take(running.max(self.rules.window)).filter(|vote| vote.failed)
            });
            let first = failures.map(|vote| vote.sample.started_at).min();
            first.into_iter().chain(view.shut.map(|mailbox| mailbox.since)).min()
        };
        self.failing().filter_map(begun).min().unwrap_or(self.now)
    }

    /// If new mail is on time again: since when. Every route that speaks must have succeeded since
    /// it failed last; and since the last failure of all there must be enough successes, from enough
    /// regions.
    pub(super) fn recovered(&self, open: &OpenIncident) -> Option<Recovery> {
        if self.regions.is_empty() || self.regions.iter().any(|view| view.shut.is_some()) {
            return None;
        }
        let mut lanes = self.regions.iter().flat_map(|view| &view.lanes).filter(|lane| speaks_now(lane));
        if lanes.any(|lane| lane.first().is_some_and(|vote| vote.failed)) {
            return None;
        }
        // A shut mailbox leaves no failed probe where none was due; the incident began all the same.
        let failures = self.all_votes().filter(|vote| vote.failed).map(|vote| vote.sample.started_at);
        let last_failure = failures.fold(open.started_at, Timestamp::max);
        let since: Vec<&Vote<'_>> =
            self.all_votes().filter(|vote| vote.sample.started_at > last_failure).collect();
        let mut regions: Vec<&Region> = since.iter().map(|vote| vote.region).collect();
        regions.sort_unstable();
        regions.dedup();
        let (rules, quorum) = (self.rules, self.rules.regions.min(self.regions.len()));
        let enough = since.len() >= rules.successes
            && regions.len() >= quorum
            && self.is_seen_by_the_hit(open, &regions);
        let begun = || since.iter().map(|vote| vote.sample.started_at);
        let recovery = Recovery { since: begun().min()?, until: begun().max()? };
        enough.then_some(recovery)
    }

    /// Whether one of those who saw it fail sees it work: the others may never have been hit. A region
    /// that is silent is waited for. One that has no route for the leg any more, by the configuration or
    /// by its agent's word, would be waited for in vain: if no other was hit, those who are left decide.
    fn is_seen_by_the_hit(&self, open: &OpenIncident, seeing: &[&Region]) -> bool {
        let is_watched = |region: &&Region| {
            self.unknown.contains(region) || self.regions.iter().any(|view| view.region == *region)
        };
        let mut hit = open.failing.iter().filter(is_watched).peekable();
        hit.peek().is_none() || hit.any(|region| seeing.contains(&region))
    }

    /// Who sees it fail, who does not, and who cannot say.
    pub(super) fn who(&self) -> Regions {
        let (failing, passing): (Vec<&RegionView<'_>>, _) =
            self.regions.iter().partition(|view| view.failing);
        let names = |views: Vec<&RegionView<'_>>| views.iter().map(|view| view.region.clone()).collect();
        Regions {
            failing: names(failing),
            passing: names(passing),
            unknown: self.unknown.iter().copied().cloned().collect(),
        }
    }

    /// Who sees it, once it is over.
    fn all_pass(&self) -> Regions {
        Regions {
            failing: Vec::new(),
            passing: self.regions.iter().map(|view| view.region.clone()).collect(),
            unknown: self.unknown.iter().copied().cloned().collect(),
        }
    }

    /// Whether there is one live region only, which then must be surer of itself.
    fn alone(&self) -> bool {
        self.regions.len() == 1
    }
}

/// Whether a region sees the leg fail: one of its routes does. Each route is judged by its own newest
/// probes: a lost one is known a deadline later than one delivered, so that a route that works would
/// hide one that does not if they were mixed.
fn fails(lanes: &[Vec<Vote<'_>>], rules: &Config, alone: bool) -> bool {
    lanes.iter().any(|lane| lane_fails(lane, rules, alone))
}

/// Whether a route's probes say that the leg fails: the newest two, or enough of the newest few.
fn lane_fails(lane: &[Vote<'_>], rules: &Config, alone: bool) -> bool {
    let running = lane.iter().take_while(|vote| vote.failed).count();
    let failed = lane.iter().take(rules.window).filter(|vote| vote.failed).count();
    let enough = if alone { rules.failures } else { rules.failures.min(2) };
    speaks_now(lane) && (running >= enough || failed >= rules.failures)
}

/// Whether a lane's newest probe that says anything says something of this leg. If not, what the lane
/// said before is of the past: a loop whose mail is not even accepted says nothing of receiving any more.
pub(super) fn speaks_now(lane: &[Vote<'_>]) -> bool {
    lane.first().is_some_and(|vote| {
        let mut telling = vote.lane.samples.iter().filter(|sample| sample.outcome != Outcome::Unknown);
        telling.all(|sample| sample.started_at <= vote.sample.started_at)
    })
}

/// The votes of all lanes, newest start first.
pub(super) fn newest<'a, 'v>(lanes: &'v [Vec<Vote<'a>>]) -> Vec<&'v Vote<'a>> {
    let mut all: Vec<&Vote<'a>> = lanes.iter().flatten().collect();
    all.sort_by_key(|vote| std::cmp::Reverse((vote.sample.started_at, vote.sample.probe)));
    all
}
