//! A contract: what was promised, as a file that both sides can read.
//!
//! Every word of a statement follows from it. `docs/statements.md` has the formulas, and
//! `config/contracts/` the published definitions as examples. Decides nothing.

use std::path::Path;

use jiff::Timestamp;
use jiff::civil::Date;
use mailsonar_protocol::{AccountName, Class, Direction, ServiceName};
use mailsonar_settings::{Document, Duration, Problems};
use serde::{Deserialize, Serialize};

use super::exact::Percent;
use super::period::{PeriodKind, Zone};
use crate::evaluate::Leg;

/// What was promised.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contract {
    /// Its name, in file names and addresses.
    pub name: AccountName,
    /// What it is called in the statement's heading.
    pub title: String,
    /// Who promised.
    pub provider: String,
    /// To whom.
    pub customer: String,
    /// The services it is about; each gets a statement of its own.
    pub services: Vec<ServiceName>,
    /// Where the definition was published.
    #[serde(default)]
    pub source: String,
    /// Whether strangers may see its statements on the status page, with the price; no addresses, no
    /// servers' words.
    #[serde(default)]
    pub public: bool,
    /// How long a period is.
    #[serde(default)]
    pub period: PeriodKind,
    /// Whose midnight begins it.
    #[serde(default)]
    pub time_zone: Zone,
    /// Which legs must work.
    #[serde(default = "both_legs")]
    pub legs: Vec<Leg>,
    /// What counts as available.
    #[serde(default)]
    pub available: Available,
    /// What counts as downtime.
    #[serde(default)]
    pub downtime: Downtime,
    /// What was promised of it.
    pub availability: Availability,
    /// What was promised of delivery times.
    #[serde(default)]
    pub delivery: Vec<Delivery>,
    /// How soon a downtime must be over.
    #[serde(default)]
    pub recovery: Option<Recovery>,
    /// What does not count.
    #[serde(default)]
    pub exclusions: Exclusions,
    /// What a period costs.
    #[serde(default)]
    pub price: Option<Price>,
    /// How credits go together.
    #[serde(default)]
    pub credits: Credits,
    /// How credits are claimed.
    #[serde(default)]
    pub claims: Option<Claims>,
}

fn both_legs() -> Vec<Leg> {
    vec![Leg::Send, Leg::Receive]
}

/// How far a message must have come for its leg to count as available.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// A server of the service took it.
    Accepted,
    /// It arrived, however late.
    Arrived,
    /// It arrived before the route's deadline.
    OnTime,
}

/// Whether something speaks for or against the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counts {
    /// For it.
    Good,
    /// Against it.
    Bad,
    /// Neither.
    Unknown,
}

/// What counts as available.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Available {
    /// For sending.
    pub send: Level,
    /// For receiving.
    pub receive: Level,
    /// Mail in Junk.
    pub misfiled: Counts,
    /// A mailbox of the service that could not be looked into, for receiving.
    pub mailbox: Counts,
    /// The classes of failure that count; others are unknown. All, if none is named.
    pub errors: Vec<Class>,
    /// Whether probes out of turn count. They are sent because something failed: they are evidence, but
    /// no fair sample.
    pub confirmations: bool,
}

impl Default for Available {
    fn default() -> Self {
        Self {
            send: Level::Accepted,
            receive: Level::OnTime,
            misfiled: Counts::Bad,
            mailbox: Counts::Unknown,
            errors: Vec::new(),
            confirmations: false,
        }
    }
}

/// When a slot of time is down, and which downtime counts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Downtime {
    /// The length of a slot; divides an hour.
    pub slot: Duration,
    /// A region sees a slot bad if more than this share of its probes failed.
    pub error_share: Percent,
    /// How many of the regions that know must see it bad.
    pub quorum: Quorum,
    /// A slot that fewer regions know of is unknown.
    pub min_regions: usize,
    /// Downtime counts if it lasts so long without a break ...
    pub least: Option<Duration>,
    /// ... or if all of its day is more than that in sum.
    pub daily_sum: Option<Duration>,
}

impl Default for Downtime {
    fn default() -> Self {
        Self {
            slot: Duration::from_secs(60),
            error_share: Percent::whole(5),
            quorum: Quorum::Majority,
            min_regions: 1,
            least: None,
            daily_sum: None,
        }
    }
}

/// How many of the regions that know a slot must see it bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quorum {
    /// One is enough.
    Any,
    /// More than half.
    Majority,
    /// All of them.
    All,
}

impl Quorum {
    /// Whether so many bad ones of so many that know are enough.
    pub fn is_met(self, bad: usize, known: usize) -> bool {
        match self {
            Self::Any => bad > 0,
            Self::Majority => bad * 2 > known,
            Self::All => bad > 0 && bad == known,
        }
    }
}

/// Which figure the promise is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Known time without counted downtime.
    Downtime,
    /// Time points with at least one region good.
    Uptime,
    /// Good probes over all.
    Reachability,
}

/// What was promised of availability.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Availability {
    /// Which figure.
    #[serde(default = "downtime_measure")]
    pub measure: Measure,
    /// What it should be at least.
    pub target: Percent,
    /// What is paid where it is not.
    #[serde(default)]
    pub tiers: Vec<Tier>,
}

fn downtime_measure() -> Measure {
    Measure::Downtime
}

/// Credit for too little availability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// If the figure is below this ...
    pub below: Percent,
    /// ... this much of the period's price is due.
    pub credit: Percent,
}

/// A figure over the delivery times of the mail that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Statistic {
    /// The time that `percent` of the mail does not exceed (nearest rank).
    Percentile,
    /// The mean of all.
    Mean,
    /// The mean of the fastest `percent`.
    FastestMean,
}

/// What was promised of delivery times.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delivery {
    /// Which figure.
    pub statistic: Statistic,
    /// Of how much of the mail.
    #[serde(default = "all_of_it")]
    pub percent: Percent,
    /// Of which directions; all but control, if none is named.
    #[serde(default)]
    pub directions: Vec<Direction>,
    /// What it should be at most.
    pub within: Duration,
    /// What is paid where it is more.
    #[serde(default)]
    pub tiers: Vec<SlowTier>,
}

fn all_of_it() -> Percent {
    Percent::ALL
}

/// Credit for slow delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlowTier {
    /// If the figure is more than this ...
    pub over: Duration,
    /// ... this much of the period's price is due.
    pub credit: Percent,
}

/// How soon a downtime must be over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recovery {
    /// The longest that a counted downtime may last.
    pub within: Duration,
    /// What is due, once, if one lasted longer.
    #[serde(default = "nothing")]
    pub credit: Percent,
}

fn nothing() -> Percent {
    Percent::whole(0)
}

/// What does not count.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Exclusions {
    /// Announced maintenance; it counts like any other time, if this is missing.
    pub maintenance: Option<Maintenance>,
    /// Whether failures are set aside while the control probes of the region fail too.
    pub own_trouble: bool,
    /// How far a control probe may be from the failure it excuses, before or after.
    pub control_window: Duration,
    /// Times that nobody answers for.
    pub force_majeure: Vec<ForceMajeure>,
}

impl Default for Exclusions {
    fn default() -> Self {
        Self {
            maintenance: None,
            own_trouble: true,
            control_window: Duration::from_secs(300),
            force_majeure: Vec::new(),
        }
    }
}

/// Which maintenance does not count.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Maintenance {
    /// How long before it begins it must have been announced.
    #[serde(default)]
    pub notice: Option<Duration>,
    /// How much of it there may be in a calendar year; what is beyond counts.
    #[serde(default)]
    pub yearly: Option<Duration>,
    /// Windows besides those that the collector knows as maintenance.
    #[serde(default)]
    pub windows: Vec<MaintenanceWindow>,
}

/// A window of maintenance.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaintenanceWindow {
    /// When it begins.
    pub from: Timestamp,
    /// When it ends.
    pub until: Timestamp,
    /// When it was announced.
    pub announced: Timestamp,
    /// What is done.
    pub reason: String,
}

/// A time that nobody answers for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForceMajeure {
    /// When it begins.
    pub from: Timestamp,
    /// When it ends.
    pub until: Timestamp,
    /// Why nobody answers for it.
    pub reason: String,
}

/// What a period costs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// For each service and period, in the currency's smallest unit: 120000 for 1,200 euros.
    pub fee: u64,
    /// The currency.
    pub currency: String,
    /// Digits of the smallest unit behind the point.
    #[serde(default = "cents")]
    pub digits: u8,
}

fn cents() -> u8 {
    2
}

/// How the credits of several clauses go together.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Credits {
    /// The rule.
    pub combine: Combine,
    /// The most there is in a period.
    pub cap: Percent,
}

impl Default for Credits {
    fn default() -> Self {
        Self { combine: Combine::Highest, cap: Percent::ALL }
    }
}

/// How credits go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Combine {
    /// The highest one is due.
    Highest,
    /// All are due, up to the cap.
    Sum,
}

/// How credits are claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// Calendar days after the period's last day; the last of them is still in time.
    pub within_days: u16,
}

/// A contract and the text it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContractFile {
    /// What it says.
    pub contract: Contract,
    /// The file's text, for the evidence pack.
    pub text: String,
}

impl ContractFile {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Everything that is wrong, each with its line and remedy.
    pub fn read(path: &Path) -> Result<Self, Problems> {
        let text = std::fs::read_to_string(path).map_err(|_| match Document::read(path) {
            Err(problems) => problems,
            Ok(document) => document.problem("", "cannot be read", "check the path").into(),
        })?;
        Self::from_text(path, text)
    }

    /// Checks a text as if it had been read from `path`.
    pub fn from_text(path: &Path, text: String) -> Result<Self, Problems> {
        let document = Document::new(path, text.clone());
        let contract: Contract = document.parse()?;
        let problems = super::check::check(&contract, &document);
        if problems.is_empty() { Ok(Self { contract, text }) } else { Err(Problems(problems)) }
    }
}

/// The earliest and latest day a period may begin: what the time zone rules are known for.
pub(super) const DAYS: (Date, Date) = (Date::constant(2000, 1, 1), Date::constant(2100, 1, 1));
