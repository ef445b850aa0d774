//! What an incident is made of besides its beginning and end: its clocks, its backlog, its timeline.
//!
//! Plain data, kept as JSON in the incident's document. What is missing from a document that an
//! earlier version wrote has a default. Decides nothing.

use jiff::Timestamp;
use mailsonar_protocol::{Text, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The moments of an incident, each known or not yet. All on the collector's clock.
///
/// The first failure is the incident's `started_at`, the decision its `opened_at`. It is resolved when
/// the last of the three clocks (`accepting_at`, `on_time_at`, `drained_at`) is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Clocks {
    /// The first notifier took the page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Time>")]
    pub paged_at: Option<Timestamp>,
    /// Somebody acknowledged it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Time>")]
    pub acknowledged_at: Option<Timestamp>,
    /// Who.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged_by: Option<String>,
    /// From then on mail was accepted again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Time>")]
    pub accepting_at: Option<Timestamp>,
    /// From then on new mail arrived in time again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Time>")]
    pub on_time_at: Option<Timestamp>,
    /// The last probe of the incident that had been accepted arrived, or was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Time>")]
    pub drained_at: Option<Timestamp>,
}

/// Mail of an incident that was accepted and is not yet there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Backlog {
    /// How many are missing now.
    pub missing: u32,
    /// How many came late.
    pub arrived_late: u32,
    /// When the oldest that is missing was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Time>")]
    pub oldest_accepted_at: Option<Timestamp>,
    /// How many come in a minute, lately.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_minute: Option<f64>,
    /// When it should be empty at that rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Time>")]
    pub empty_at: Option<Timestamp>,
    /// The earliest and the latest that `empty_at` may be (90 %).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<(Time, Time)>")]
    pub empty_between: Option<(Timestamp, Timestamp)>,
}

/// Mail of a service that flows through another site than before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failover {
    /// The site before.
    pub from: Text,
    /// The site after.
    pub to: Text,
    /// From then on the old site took nothing more.
    #[schemars(with = "Time")]
    pub began_at: Timestamp,
    /// From then on the new one took it.
    #[schemars(with = "Time")]
    pub done_at: Timestamp,
}

/// One line of an incident's timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Moment {
    /// When it happened.
    #[schemars(with = "Time")]
    pub at: Timestamp,
    /// What kind of thing.
    pub kind: MomentKind,
    /// A sentence for a person.
    pub words: String,
    /// Who, where a person did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// Kinds of moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MomentKind {
    /// The first failure.
    Failed,
    /// The decision that it is an incident.
    Opened,
    /// It looks different now: more or fewer regions, another cause.
    Changed,
    /// A notifier took a page.
    Paged,
    /// Somebody acknowledged it.
    Acknowledged,
    /// A person's note.
    Note,
    /// Mail flows through another site.
    Failover,
    /// One of the three clocks: accepting again, on time again, drained.
    Clock,
    /// The promised time to recover passed.
    Overran,
    /// It is over.
    Resolved,
}

/// The most moments an incident keeps; beyond it the oldest of kind `changed` go first.
pub const MAX_MOMENTS: usize = 200;

/// Adds a moment to a timeline, in the order of time. Beyond [`MAX_MOMENTS`] the oldest of kind `changed`
/// goes, or the oldest but one of all: how it began is never forgotten.
pub fn remember(timeline: &mut Vec<Moment>, moment: Moment) {
    let place = timeline.iter().rposition(|earlier| earlier.at <= moment.at).map_or(0, |at| at + 1);
    timeline.insert(place, moment);
    if timeline.len() > MAX_MOMENTS {
        let changed = timeline.iter().position(|moment| moment.kind == MomentKind::Changed);
        timeline.remove(changed.unwrap_or(1));
    }
}
