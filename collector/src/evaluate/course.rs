//! The course of an open incident: its three clocks, and what is still missing.
//!
//! A clock that is known stays as it is, however much of the past is forgotten meanwhile, until a region
//! sees the leg fail again: then the trouble was not over.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use mailsonar_protocol::Region;

use super::backlog::tally;
use super::facts::{Facts, OpenIncident, Sample, Subject};
use super::failover;
use super::leg::LegView;
use super::votes::attempts;
use crate::incident::{Backlog, Failover};

/// How an open incident stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Course {
    /// Which.
    pub incident: String,
    /// What it is about.
    pub subject: Subject,
    /// From then on mail was accepted again; its start, if mail was accepted throughout.
    pub accepting_at: Option<Timestamp>,
    /// From then on new mail arrived in time again.
    pub on_time_at: Option<Timestamp>,
    /// The last of its accepted mail arrived, or the rest was given up.
    pub drained_at: Option<Timestamp>,
    /// When the promised time to recover passed without new mail being on time, if that is news.
    pub overran_at: Option<Timestamp>,
    /// What is missing; when nothing came for the grace, it is given up.
    pub backlog: Backlog,
    /// New changes of the site through which mail flows.
    pub failovers: Vec<Failover>,
}

impl Course {
    /// How it stands now.
    pub(super) fn of(view: &LegView<'_>, open: &OpenIncident, facts: &Facts) -> Self {
        let mail = facts.slow_mail.get(view.subject).map_or(&[][..], Vec::as_slice);
        let fails = view.failing().next().is_some();
        let accepting_at = open.accepting_at.filter(|&at| !is_refused_since(view, at));
        let on_time_at =
            open.on_time_at.filter(|_| !fails).or_else(|| view.recovered(open).map(|it| it.since));
        let (backlog, last_arrival) = tally(mail, on_time_at, view.now);
        let quiet_since = on_time_at.map(|at| last_arrival.map_or(at, |last| last.max(at)));
        let given_up = backlog.missing > 0
            && quiet_since.is_some_and(|since| view.now.duration_since(since) > grace(view));
        Self {
            incident: open.id.clone(),
            subject: view.subject.clone(),
            accepting_at: accepting_at.or_else(|| accepting_since(view, open)),
            on_time_at,
            drained_at: match backlog.missing {
                0 => quiet_since,
                _ => on_time_at.filter(|_| given_up).map(|_| view.now),
            },
            overran_at: facts
                .promises
                .get(&view.subject.service)
                .and_then(|promise| open.started_at.checked_add(*promise).ok())
                .filter(|&at| at <= view.now && on_time_at.is_none() && !open.overran),
            backlog,
            failovers: failover::new_ones(view, open),
        }
    }
}

/// How long nothing may come before what is missing is given up.
fn grace(view: &LegView<'_>) -> SignedDuration {
    let longest = view.lanes().map(|(_, lane)| lane.deadline).max().unwrap_or_default();
    view.rules.drain_grace.map_or_else(|| longest * 2, mailsonar_settings::Duration::signed)
}

/// Attempts to hand a message over for this leg since its incident began, with whether it was taken.
fn handovers<'v>(
    view: &'v LegView<'_>,
    since: Timestamp,
) -> impl Iterator<Item = (&'v Region, &'v Sample, bool)> {
    view.lanes().flat_map(move |(agent, lane)| {
        let told = attempts(view.subject.leg, lane).filter(move |(sample, _)| sample.started_at >= since);
        let told = told.filter(move |(sample, taken)| *taken || !view.hosts.excuses(lane, sample));
        told.map(move |(sample, taken)| (&agent.region, sample, taken))
    })
}

fn is_refused_since(view: &LegView<'_>, since: Timestamp) -> bool {
    let refused = handovers(view, since).filter(|(_, _, taken)| !taken).count();
    refused > 1 && view.failing().next().is_some()
}

/// From when on mail is accepted again, from enough regions and with no refusal since.
fn accepting_since(view: &LegView<'_>, open: &OpenIncident) -> Option<Timestamp> {
    let all = || handovers(view, open.started_at);
    let last_refused = all().filter(|(_, _, taken)| !taken).map(|(_, sample, _)| sample.started_at).max();
    let Some(last_refused) = last_refused else {
        let sees = all().next().is_some() || view.failing().any(|region| region.shut.is_some());
        return sees.then_some(open.started_at);
    };
    let since = || all().filter(|(_, sample, taken)| *taken && sample.started_at > last_refused);
    let regions: BTreeSet<&Region> = since().map(|(region, _, _)| region).collect();
    let enough = regions.len() >= view.rules.regions.min(view.regions.len()).max(1);
    since().map(|(_, sample, _)| sample.accepted_at.unwrap_or(sample.started_at)).min().filter(|_| enough)
}
