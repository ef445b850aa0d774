//! What is said of a scenario that was played: data, for people and machines alike.
//!
//! It holds nothing of the machine it was played on, so that the same scenario with the same seed gives
//! the same report, byte for byte.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use mailsonar_collector::incident::Failover;
use serde::Serialize;

use super::expect::Judged;
use super::file::ClockName;
use super::plan::Plan;
use super::play::{Count, Played};
use crate::own::Own;

/// The report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The scenario's name.
    pub scenario: String,
    /// Its title.
    pub title: String,
    /// Its story.
    pub story: String,
    /// The configuration that was played, where it is an operator's own, and what of it was not.
    pub configuration: Vec<String>,
    /// Where its chance came from.
    pub seed: u64,
    /// The start.
    pub began: Timestamp,
    /// The end.
    pub ended: Timestamp,
    /// Everything that happened, in order.
    pub timeline: Vec<Line>,
    /// The incidents, in the order in which they were opened.
    pub incidents: Vec<IncidentSummary>,
    /// The mail that was missing, as long as any was.
    pub backlog: Vec<Count>,
    /// Who was paged, and how often.
    pub notifiers: BTreeMap<String, BTreeMap<String, usize>>,
    /// The outcomes that occurred, in the order of their list.
    pub outcomes: Vec<&'static str>,
    /// How many probes of each route met each outcome.
    pub probes: BTreeMap<String, BTreeMap<&'static str, usize>>,
    /// What was expected, and whether it was so.
    pub expectations: Vec<Judged>,
}

/// One line of the timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// When.
    pub at: Timestamp,
    /// What kind of thing.
    pub kind: Kind,
    /// What.
    pub words: String,
}

/// Kinds of lines, in the order in which they are told where they happen at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Done to the world by the scenario.
    Event,
    /// An incident was opened or resolved.
    Incident,
    /// A page reached its receiver.
    Page,
    /// Something was found, or is over.
    Finding,
}

/// One incident.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IncidentSummary {
    /// The service.
    pub service: String,
    /// The leg.
    pub leg: String,
    /// The sentence for a person, as it stood in the end.
    pub summary: String,
    /// The first failure.
    pub started_at: Timestamp,
    /// Its clocks, as far as they are known.
    pub clocks: Vec<(ClockName, Timestamp)>,
    /// Who was to blame and why, in a sentence.
    pub blame: Option<String>,
    /// How mail moved to another site: a sentence for each time.
    pub failovers: Vec<String>,
    /// How many letters it took in and held back until they were late.
    pub arrived_late: u32,
    /// How many never came.
    pub missing: u32,
}

impl Report {
    /// What is to be said of a plan that was played.
    pub fn of(plan: &Plan, seed: u64, played: &Played) -> Self {
        let (outcomes, probes) = played.outcomes();
        Self {
            scenario: plan.name.clone(),
            title: plan.title.clone(),
            story: plan.story.clone(),
            configuration: plan.own.as_ref().map(Own::told).unwrap_or_default(),
            seed,
            began: played.began,
            ended: played.ended,
            timeline: timeline(played),
            incidents: incidents(played),
            backlog: backlog(played),
            notifiers: notifiers(played),
            outcomes: outcomes.into_iter().map(mailsonar_protocol::Outcome::as_str).collect(),
            probes,
            expectations: plan.expectations.iter().map(|wanted| wanted.judge(played)).collect(),
        }
    }

    /// Whether every expectation was met.
    pub fn is_met(&self) -> bool {
        self.expectations.iter().all(|judged| judged.met)
    }
}

fn incidents(played: &Played) -> Vec<IncidentSummary> {
    const CLOCKS: [ClockName; 7] = [
        ClockName::Detected,
        ClockName::Paged,
        ClockName::FailedOver,
        ClockName::Accepting,
        ClockName::OnTime,
        ClockName::Drained,
        ClockName::Resolved,
    ];
    let summarise = |incident: &mailsonar_collector::store::Incident| IncidentSummary {
        service: incident.service.to_string(),
        leg: incident.leg.to_string(),
        summary: incident.summary.clone(),
        started_at: incident.started_at,
        clocks: CLOCKS.into_iter().filter_map(|clock| Some((clock, clock.of(incident)?))).collect(),
        blame: incident.blame.as_ref().map(|blame| blame.words.clone()).filter(|words| !words.is_empty()),
        failovers: incident.failovers.iter().map(|failover| moved(failover, played.began)).collect(),
        arrived_late: incident.backlog.arrived_late,
        missing: incident.backlog.missing,
    };
    played.incidents.iter().map(summarise).collect()
}

fn moved(failover: &Failover, began: Timestamp) -> String {
    let Failover { from, to, began_at, done_at } = failover;
    let (last, first) = (clock(*began_at, began), clock(*done_at, began));
    format!("from {from}, which took the last letter at {last}, to {to}, which took the first at {first}")
}

/// Every page, those together that said the same at the same moment.
fn pages(played: &Played) -> Vec<(Timestamp, Vec<String>, String)> {
    let mut pages: Vec<(Timestamp, Vec<String>, String)> = Vec::new();
    for paged in &played.pages {
        // Some services are told the state only.
        let words = if paged.words.is_empty() { &paged.page.summary } else { &paged.words };
        let kind = paged.page.kind.trim_start_matches("incident.");
        let words = format!("{kind}. {words}");
        match pages.iter_mut().find(|(at, _, said)| *at == paged.at && *said == words) {
            Some((_, notifiers, _)) => notifiers.push(paged.notifier.clone()),
            None => pages.push((paged.at, vec![paged.notifier.clone()], words)),
        }
    }
    pages
}

/// The counts from before the first that is not nothing to after the last.
fn backlog(played: &Played) -> Vec<Count> {
    let is_some = |count: &Count| count.held > 0 || count.missing.values().any(|missing| *missing > 0);
    let first = played.backlog.iter().position(is_some);
    let last = played.backlog.iter().rposition(is_some);
    let (Some(first), Some(last)) = (first, last) else { return Vec::new() };
    played.backlog.iter().take(last + 2).skip(first).cloned().collect()
}

fn notifiers(played: &Played) -> BTreeMap<String, BTreeMap<String, usize>> {
    let mut counts: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for paged in &played.pages {
        let kind = paged.page.kind.trim_start_matches("incident.").to_owned();
        *counts.entry(paged.notifier.clone()).or_default().entry(kind).or_default() += 1;
    }
    counts
}

fn timeline(played: &Played) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut line = |at, kind, words: String| lines.push(Line { at, kind, words });
    for (at, words) in &played.events {
        line(*at, Kind::Event, words.clone());
    }
    for incident in &played.incidents {
        let leg = format!("{} {}", incident.service, incident.leg);
        line(incident.opened_at, Kind::Incident, format!("{leg}: opened"));
        if let Some(at) = incident.resolved_at {
            line(at, Kind::Incident, format!("{leg}: resolved"));
        }
    }
    for (at, notifiers, words) in pages(played) {
        line(at, Kind::Page, format!("{}: {words}", notifiers.join(", ")));
    }
    for noted in &played.findings {
        line(noted.from, Kind::Finding, noted.finding.words.clone());
        if let Some(at) = noted.until {
            line(at, Kind::Finding, format!("over: {} {}", noted.kind, noted.finding.subject));
        }
    }
    lines.sort_by_key(|line| (line.at, line.kind));
    lines
}

/// A moment as a clock shows it, with the days since the start.
pub(super) fn clock(at: Timestamp, began: Timestamp) -> String {
    let (at, began) = (at.to_zoned_datetime(TimeZone::UTC), began.to_zoned_datetime(TimeZone::UTC));
    let days = at.date().duration_since(began.date()).as_hours() / 24;
    let shown = at.strftime("%H:%M:%S").to_string();
    if days == 0 { shown } else { format!("{shown} +{days}d") }
}
