//! A scenario as it is written. `docs/rehearsal.md` explains each key; what it means is worked out in
//! [`super::plan`].

use std::collections::BTreeMap;

use jiff::Timestamp;
use mailsonar_settings::Duration;
use serde::Deserialize;

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub title: String,
    pub story: String,
    pub starts_at: Timestamp,
    pub lasts: Duration,
    #[serde(default = "one")]
    pub seed: u64,
    #[serde(default)]
    pub world: World,
    #[serde(default)]
    pub event: Vec<Event>,
    #[serde(default)]
    pub expect: Expect,
}

fn one() -> u64 {
    1
}

/// `[world]`: what differs from the usual world.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct World {
    pub regions: Option<BTreeMap<String, Duration>>,
    pub sites: Option<Vec<String>>,
    pub equal_mx: bool,
    pub interval: Option<Duration>,
    pub deadline: Option<Duration>,
    pub delivery: Option<Duration>,
    pub retry_every: Option<Duration>,
    pub routes: Option<Vec<String>>,
    pub agent: String,
    pub collector: String,
}

/// `[[event]]`: something that happens.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Event {
    pub at: String,
    pub name: Option<String>,
    pub words: String,
    #[serde(default, rename = "break")]
    pub breaks: Vec<String>,
    #[serde(default)]
    pub heal: Vec<String>,
    pub fail_over: Option<String>,
    pub renumber: Option<String>,
    #[serde(default)]
    pub cut: Vec<String>,
    #[serde(default)]
    pub mend: Vec<String>,
    #[serde(default)]
    pub silence: Vec<String>,
    #[serde(default)]
    pub hear: Vec<String>,
    #[serde(default)]
    pub kill: Vec<String>,
    #[serde(default)]
    pub start: Vec<String>,
    #[serde(default)]
    pub clock: BTreeMap<String, String>,
}

/// `[[expect.KIND]]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Expect {
    pub page: Vec<PageWanted>,
    pub no_page: Vec<PageWanted>,
    pub incidents: Vec<IncidentsWanted>,
    pub clock: Vec<ClockWanted>,
    pub backlog: Vec<BacklogWanted>,
    pub probes: Vec<ProbesWanted>,
    pub finding: Vec<FindingWanted>,
    pub no_finding: Vec<FindingWanted>,
}

/// A page, by what it must be. What is absent does not matter.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PageWanted {
    /// Through this notifier.
    pub notifier: Option<String>,
    /// `trigger` or `resolve`.
    pub status: Option<String>,
    /// `incident.trigger`, `incident.overran` …
    pub kind: Option<String>,
    /// `send`, `receive` or `monitoring`.
    pub leg: Option<String>,
    /// `critical` …
    pub severity: Option<String>,
    /// What its summary contains, each of them.
    pub words: Vec<String>,
    /// After this event.
    pub after: Option<String>,
    /// Within this time of it.
    pub within: Option<Duration>,
    /// Exactly so many times.
    pub times: Option<usize>,
}

/// How many incidents there were.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IncidentsWanted {
    /// Of this leg.
    pub leg: Option<String>,
    /// So many.
    pub count: usize,
}

/// When something of an incident happened.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockWanted {
    /// The leg of the incident.
    pub leg: String,
    /// Which clock.
    pub clock: ClockName,
    /// After this event.
    pub after: String,
    /// Within this time of it.
    pub within: Duration,
}

/// The clocks of an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClockName {
    Detected,
    Paged,
    Accepting,
    OnTime,
    Drained,
    Resolved,
    FailedOver,
}

/// A countdown of missing mail, as the collector counts it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BacklogWanted {
    /// The leg of the incident.
    pub leg: String,
    /// From this event on it only falls ...
    pub after: String,
    /// ... from at least so many ...
    pub from: u32,
    /// ... to exactly so many.
    #[serde(default)]
    pub to: u32,
}

/// How many probes ended in some way.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbesWanted {
    /// The outcome; absent, any.
    pub outcome: Option<String>,
    /// Of this route.
    pub route: Option<String>,
    /// The routes that play it.
    #[serde(skip)]
    pub played_by: Vec<String>,
    /// From this region.
    pub region: Option<String>,
    /// Started after this event.
    pub after: Option<String>,
    /// Started before this event.
    pub before: Option<String>,
    /// At least so many.
    pub at_least: Option<usize>,
    /// At most so many.
    pub at_most: Option<usize>,
}

/// A finding, by what it must be.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FindingWanted {
    /// `agent_silent`, `agent_cut_off`, `reference_trouble` …
    pub kind: Option<String>,
    /// Whom it is about.
    pub subject: Option<String>,
    /// What it says, each of them.
    pub words: Vec<String>,
    /// Begun after this event.
    pub after: Option<String>,
    /// Within this time of it.
    pub within: Option<Duration>,
}
