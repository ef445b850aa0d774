//! What is said of a scenario that was played: data, for people and machines alike.
//!
//! It holds nothing of the machine it was played on, so that the same scenario with the same seed gives
//! the same report, byte for byte.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::expect::Judged;
use super::file::ClockName;
use super::plan::Plan;
use super::play::Played;

/// The report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The scenario's name.
    pub scenario: String,
    /// Its title.
    pub title: String,
    /// Its story.
    pub story: String,
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
    /// How much mail the queues hold.
    Backlog,
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
}

impl Report {
    /// What is to be said of a plan that was played.
    pub fn of(plan: &Plan, seed: u64, played: &Played) -> Self {
        let (outcomes, probes) = played.outcomes();
        Self {
            scenario: plan.name.clone(),
            title: plan.title.clone(),
            story: plan.story.clone(),
            seed,
            began: played.began,
            ended: played.ended,
            timeline: timeline(played),
            incidents: incidents(played),
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
    };
    played.incidents.iter().map(summarise).collect()
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
    for paged in &played.pages {
        let (status, summary) = (paged.page.status.as_str(), &paged.page.summary);
        line(paged.at, Kind::Page, format!("{status} to {}: {summary}", paged.notifier));
    }
    for noted in &played.findings {
        line(noted.from, Kind::Finding, noted.finding.words.clone());
        if let Some(at) = noted.until {
            line(at, Kind::Finding, format!("over: {} {}", noted.kind, noted.finding.subject));
        }
    }
    // What did not change since the last look says nothing.
    let mut last = 0;
    for (at, held) in &played.backlog {
        if *held != last {
            line(*at, Kind::Backlog, format!("{held} letters in the queues"));
        }
        last = *held;
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
