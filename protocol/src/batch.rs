//! The envelope: what an agent posts, and what a collector answers.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::time::Time;
use crate::{
    AccountName, AgentName, Canary, Class, Direction, Door, ProbeId, Record, Region, RouteName, ServiceName,
    Stage, Text,
};

/// What an agent posts. One without records is a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Batch {
    /// [`crate::VERSION`] of the writer.
    pub protocol: u32,
    /// Who speaks; must be the agent that the bearer token belongs to.
    pub agent: AgentName,
    /// Where it stands.
    pub region: Region,
    /// The agent's own version, for people.
    pub software: Text,
    /// The agent's steady clock when the batch was made. The collector reads it against its own clock,
    /// so a wrong clock on an agent shifts nothing.
    #[schemars(with = "Time")]
    pub sent_at: Timestamp,
    /// Every route this agent probes, so that one that never reports is missed too. Not in every batch:
    /// where it is missing, what was announced last holds. An agent announces at its start and once a
    /// minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes: Option<Vec<RouteCard>>,
    /// How the agent is.
    pub health: AgentHealth,
    /// The records that changed, each in its newest revision.
    pub records: Vec<Record>,
}

/// One route, as an agent announces it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RouteCard {
    /// Its name.
    pub route: RouteName,
    /// As in [`Record::service`].
    pub service: ServiceName,
    /// As in [`Record::reference`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<ServiceName>,
    /// As in [`Record::direction`].
    pub direction: Direction,
    /// As in [`Record::door`].
    pub door: Door,
    /// As in [`Record::canary`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
    /// The account whose submission hands the message over; none where it goes straight to an MX.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<AccountName>,
    /// The account in whose mailbox it is expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<AccountName>,
    /// Microseconds from one probe to the next.
    pub interval_us: u64,
    /// Microseconds a message may take.
    pub deadline_us: u64,
}

/// How an agent is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AgentHealth {
    /// Records whose newest revision was not acknowledged when the batch was made, this batch's included.
    pub unacknowledged: u64,
    /// Probes accepted and not seen yet.
    pub in_flight: u64,
    /// Scheduled probes that were not sent, since the agent started.
    pub missed: u64,
    /// How far the wall clock has moved from the steady clock since the agent started, in microseconds.
    pub clock_drift_us: i64,
    /// The mailboxes it watches.
    #[serde(default)]
    pub mailboxes: Vec<MailboxHealth>,
    /// Trouble of its own: a ledger set aside, a disk that is full. Empty in health.
    #[serde(default)]
    pub complaints: Vec<Complaint>,
}

/// Whether an agent can look into a mailbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MailboxHealth {
    /// The account's name in the agent's configuration.
    pub account: AccountName,
    /// The service or reference provider that holds it.
    pub service: ServiceName,
    /// Since when it is out of reach; `None` while it is watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Time>")]
    pub unreachable_since: Option<Timestamp>,
    /// Where it fails, while it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<(Stage, Class, Text)>,
    /// How full it is, where the server tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<Quota>,
}

/// How full a mailbox is (RFC 9208, resource `STORAGE`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Quota {
    /// What is used, in units of 1024 bytes.
    pub used_kib: u64,
    /// What may be used.
    pub limit_kib: u64,
}

impl Quota {
    /// The part that is used: 1 is full.
    #[expect(clippy::cast_precision_loss, reason = "a ratio needs no more digits")]
    pub fn used_ratio(&self) -> f64 {
        if self.limit_kib == 0 { 1.0 } else { self.used_kib as f64 / self.limit_kib as f64 }
    }
}

/// Trouble of an agent's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Complaint {
    /// A word for it: `ledger`, `disk`, `clock`, `overload`.
    pub what: Text,
    /// A sentence for a person.
    pub words: Text,
    /// Since when.
    #[schemars(with = "Time")]
    pub since: Timestamp,
}

/// What a collector answers, with 200, after the batch is durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Answer {
    /// [`crate::VERSION`] of the writer.
    pub protocol: u32,
    /// The collector's steady clock when the batch came in.
    #[schemars(with = "Time")]
    pub received_at: Timestamp,
    /// What the agent may now forget: every record of the batch, in the revision that was sent.
    pub acknowledged: Vec<Acknowledgement>,
    /// Routes of this agent that are to be probed at once, out of turn: elsewhere one of their kind fails,
    /// and a second view is wanted. Names the agent does not know are passed over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub confirm: Vec<RouteName>,
    /// When routes of this agent are to have their turns, so that those of all agents are spread evenly; in
    /// the answer to a batch that announces routes. It holds until another is said, restarts included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<Place>,
}

/// Where within its interval a route has its turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Place {
    /// The route, by the name its agent knows it by.
    pub route: RouteName,
    /// Turns are at whole multiples of the interval since 1970 and so many millionths of it, by the agent's
    /// steady clock. Below a million.
    pub millionths: u32,
}

/// What a collector answers who asks what is to be probed at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// [`crate::VERSION`] of the writer.
    pub protocol: u32,
    /// As in [`Answer::confirm`]; empty if nothing was wanted for as long as the answer was held.
    #[serde(default)]
    pub confirm: Vec<RouteName>,
}

/// One record that is durable at the collector, in this revision or a higher one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Acknowledgement {
    /// The probe.
    pub probe: ProbeId,
    /// The revision the agent sent.
    pub revision: u32,
}
