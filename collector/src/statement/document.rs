//! The statement as a document: what JSON has, and what HTML and CSV are drawn from.
//!
//! Plain data. Times are UTC; durations are whole seconds, delivery times microseconds, money the
//! currency's smallest unit. The same facts give the same document, byte for byte.

use jiff::Timestamp;
use jiff::civil::Date;
use mailsonar_protocol::{Class, Outcome, ProbeId, Region, RouteName, ServiceName, Stage, Text};
use serde::{Deserialize, Serialize};

use super::contract::{Combine, Measure, Statistic};
use super::exact::{Money, Percent, Share};
use super::windows::{RefusedWindow, Window, WindowKind};
use crate::evaluate::{Blame, Leg};
use crate::incident::Clocks;

/// The version of this document.
pub(super) const VERSION: u32 = 1;

/// A statement on one service over one period.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Statement {
    /// The version of this form of document, of the writer.
    pub version: u32,
    /// The contract's name, and what it says of itself.
    pub contract: Heading,
    /// The service.
    pub service: ServiceName,
    /// The period.
    pub span: Span,
    /// The figures, with what does not count left out.
    pub figures: Figures,
    /// The same with everything counted.
    pub everything: Figures,
    /// Each clause: what was promised, what was measured, what is due.
    pub clauses: Vec<Clause>,
    /// What is due in sum.
    pub credit: Credit,
    /// The error budget.
    pub budget: Budget,
    /// Every downtime, those that do not count included, in order.
    pub downtimes: Vec<Downtime>,
    /// The windows that do not count.
    pub windows: Vec<Window>,
    /// The windows that were claimed and count.
    pub refused_windows: Vec<RefusedWindow>,
    /// How much was seen.
    pub coverage: Coverage,
    /// Stretches of which nothing is known, in order; at most [`Self::MAX_GAPS`].
    pub gaps: Vec<Gap>,
    /// Day by day.
    pub days: Vec<DayLine>,
}

impl Statement {
    /// The most gaps kept; what is beyond is in the sum all the same.
    pub const MAX_GAPS: usize = 500;
}

/// A stretch of time of which nothing is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Its beginning.
    pub from: Timestamp,
    /// Its end.
    pub until: Timestamp,
}

/// What a contract says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heading {
    /// Its name.
    pub name: String,
    /// Its title.
    pub title: String,
    /// Who promised.
    pub provider: String,
    /// To whom.
    pub customer: String,
    /// Where it is written.
    pub source: String,
    /// The file's SHA-256.
    pub sha256: String,
}

/// The period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Its name, such as `2026-11`.
    pub period: String,
    /// The time zone of its days.
    pub time_zone: String,
    /// Its first instant.
    pub from: Timestamp,
    /// The first instant after it.
    pub until: Timestamp,
    /// How far it is stated: until its end, if it is over.
    pub as_of: Timestamp,
    /// The length of a slot.
    pub slot_s: u64,
}

/// The figures of one view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Time of which something is known and that is not left out.
    pub known_s: u64,
    /// Time of which nothing is known.
    pub unknown_s: u64,
    /// Time that is left out.
    pub excluded_s: u64,
    /// Time that was down.
    pub down_s: u64,
    /// Downtime that counts: long enough, or on a day with enough of it.
    pub counted_s: u64,
    /// Known time without the downtime that counts.
    pub availability: Share,
    /// Known time at which each leg was good in at least one region.
    pub uptime: Share,
    /// Good probes over all that say something.
    pub reachability: Share,
    /// By leg.
    pub legs: Vec<LegFigures>,
    /// Delivery times of what arrived.
    pub delivery: DeliveryFigures,
}

/// The figures of one leg.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegFigures {
    /// Which.
    pub leg: Leg,
    /// Time known to be up or down.
    pub known_s: u64,
    /// Time down.
    pub down_s: u64,
    /// Known time with at least one region good.
    pub uptime: Share,
    /// Good probes over all that say something.
    pub reachability: Share,
    /// Probes that say nothing.
    pub unknown: u64,
    /// Failures set aside, since the region or the reference was in trouble itself.
    pub set_aside: u64,
}

/// Delivery times.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryFigures {
    /// Messages that arrived.
    pub arrived: u64,
    /// The median, in microseconds.
    pub median_us: Option<u64>,
    /// What 95 % do not exceed.
    pub p95_us: Option<u64>,
    /// What 99 % do not exceed.
    pub p99_us: Option<u64>,
    /// The mean.
    pub mean_us: Option<u64>,
    /// The mean of the fastest 95 %.
    pub fastest_95_mean_us: Option<u64>,
    /// The slowest.
    pub most_us: Option<u64>,
}

/// One clause of the contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clause {
    /// What it is about.
    #[serde(flatten)]
    pub subject: ClauseSubject,
    /// Whether it was kept; none where nothing is known.
    pub kept: Option<bool>,
    /// What is due for it, of the period's price.
    pub credit: Percent,
}

/// What a clause is about, and what was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "clause", rename_all = "snake_case")]
pub enum ClauseSubject {
    /// Availability.
    Availability {
        /// By which figure.
        measure: Measure,
        /// At least.
        target: Percent,
        /// Measured.
        measured: Share,
    },
    /// Delivery times.
    Delivery {
        /// By which figure.
        statistic: Statistic,
        /// Of how much of the mail.
        percent: Percent,
        /// At most.
        within_us: u64,
        /// Measured.
        measured_us: Option<u64>,
        /// Over so many messages.
        arrived: u64,
    },
    /// The time to recover.
    Recovery {
        /// At most.
        within_s: u64,
        /// The longest downtime that counts.
        longest_s: u64,
        /// How many were longer than promised.
        overran: usize,
    },
}

/// What is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credit {
    /// How the clauses' credits go together.
    pub combine: Combine,
    /// Of the period's price.
    pub percent: Percent,
    /// The period's price.
    pub price: Option<Money>,
    /// In money.
    pub amount: Option<Money>,
    /// The last day on which to claim it.
    pub claim_until: Option<Date>,
}

/// How much downtime the target leaves, and how much is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// What the target leaves of the known time.
    pub allowed_s: u64,
    /// The downtime that counts.
    pub spent_s: u64,
}

/// Whether a downtime counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "standing", rename_all = "snake_case")]
pub enum Standing {
    /// It counts.
    Counts,
    /// It is too short, and its day has too little of it.
    TooShort,
    /// It lies in a window that does not count.
    Excluded {
        /// Why.
        kind: WindowKind,
        /// In words.
        reason: String,
    },
    /// It is down only by failures of regions or references that were in trouble themselves.
    OwnTrouble,
}

/// A stretch of downtime, all of one standing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Downtime {
    /// Its beginning.
    pub from: Timestamp,
    /// Its end.
    pub until: Timestamp,
    /// How long.
    pub seconds: u64,
    /// How much of it counts: all, nothing, or the part on a day that has enough of it.
    pub counted_s: u64,
    /// Which legs.
    pub legs: Vec<Leg>,
    /// Whether it counts.
    #[serde(flatten)]
    pub standing: Standing,
    /// Who saw it.
    pub regions: Vec<Region>,
    /// Failures in it.
    pub failures: u64,
    /// Their kinds, the most frequent first; at most [`Self::MAX_CAUSES`].
    pub causes: Vec<Cause>,
    /// The incidents it is part of.
    pub incidents: Vec<IncidentBrief>,
    /// The first few failures, in the servers' words.
    pub evidence: Vec<Witness>,
}

impl Downtime {
    /// The most causes kept.
    pub const MAX_CAUSES: usize = 5;
    /// The most failures shown.
    pub const MAX_EVIDENCE: usize = 3;
}

/// A kind of failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// Of which leg.
    pub leg: Leg,
    /// What became of the probes.
    pub outcome: Outcome,
    /// The step that decided it.
    pub stage: Option<Stage>,
    /// The kind of trouble.
    pub class: Option<Class>,
    /// How many.
    pub failures: u64,
}

/// An incident, in short.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IncidentBrief {
    /// Its id.
    pub id: String,
    /// Its leg.
    pub leg: Leg,
    /// What it says.
    pub summary: String,
    /// The first failure.
    pub started_at: Timestamp,
    /// When it was decided.
    pub opened_at: Timestamp,
    /// When it was over.
    pub resolved_at: Option<Timestamp>,
    /// Who is to blame.
    pub blame: Option<Blame>,
    /// Its moments, with the three clocks.
    pub clocks: Clocks,
}

/// One failure, in the servers' words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witness {
    /// The probe; its record is in the evidence pack.
    pub probe: ProbeId,
    /// When it started.
    pub at: Timestamp,
    /// From where.
    pub region: Region,
    /// By which route.
    pub route: RouteName,
    /// What became of it.
    pub outcome: Outcome,
    /// The server.
    pub peer: Text,
    /// What was said, or the agent's sentence.
    pub words: Text,
}

/// How much was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// Time of which something is known, of all time that passed.
    pub time: Share,
    /// Probes that say something, of all that were concluded.
    pub probes: Share,
    /// By region: time in which its probes said something, of all time that passed.
    pub regions: Vec<RegionCoverage>,
    /// What the number of probes proves.
    pub resolution: Option<Resolution>,
}

/// What one region saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionCoverage {
    /// Which.
    pub region: Region,
    /// Time in which its probes said something.
    pub time: Share,
    /// Its good probes.
    pub reachability: Share,
}

/// What the number of probes proves: binomial limits at 95 %, as percentages cut off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolution {
    /// Probes that failed.
    pub failures: u64,
    /// Probes that say something.
    pub probes: u64,
    /// Reachability is at least this (one-sided).
    pub at_least: String,
    /// And lies between these (two-sided).
    pub between: (String, String),
}

/// One day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayLine {
    /// Its date, by the contract's time zone.
    pub date: Date,
    /// Its first instant.
    pub from: Timestamp,
    /// Time known.
    pub known_s: u64,
    /// Time down.
    pub down_s: u64,
    /// Downtime that counts.
    pub counted_s: u64,
    /// Time left out.
    pub excluded_s: u64,
    /// Time of which nothing is known.
    pub unknown_s: u64,
    /// Good probes over all that say something.
    pub reachability: Share,
    /// The median delivery time.
    pub median_us: Option<u64>,
    /// What 95 % do not exceed.
    pub p95_us: Option<u64>,
    /// Downtime counted since the period began.
    pub spent_s: u64,
}
