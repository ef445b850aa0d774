//! What the evaluation is given: facts of the agents and their probes, and what is already decided.
//!
//! All times are on the collector's clock. Nothing here decides.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use mailsonar_protocol::{
    AccountName, AgentName, Canary, Class, Direction, Door, Outcome, ProbeId, Region, RouteName, ServiceName,
    Stage, Text,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::component::Blame;
use crate::incident::Failover;

/// One of the ways mail flows at a service, or the monitoring itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Leg {
    /// From the service to elsewhere.
    Send,
    /// From elsewhere into the service's mailboxes.
    Receive,
    /// Our own ability to see.
    Monitoring,
    /// What the service may still spend of its objective.
    Budget,
    /// Its filters, which are to let nothing harmful through.
    Filter,
}

impl Leg {
    /// The word for it in JSON, labels and pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Receive => "receive",
            Self::Monitoring => "monitoring",
            Self::Budget => "budget",
            Self::Filter => "filter",
        }
    }
}

impl fmt::Display for Leg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Leg {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        [Self::Send, Self::Receive, Self::Monitoring, Self::Budget, Self::Filter]
            .into_iter()
            .find(|leg| leg.as_str() == word)
            .ok_or_else(|| format!("{word:?} is not a leg"))
    }
}

/// What an incident is about: there is one open incident for each at most.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    /// The service, or `mailsonar` for the monitoring itself.
    pub service: ServiceName,
    /// Its leg.
    pub leg: Leg,
}

impl Subject {
    /// The monitoring itself.
    pub fn monitoring() -> Self {
        Self { service: "mailsonar".parse().expect("a name by its alphabet"), leg: Leg::Monitoring }
    }
}

/// Everything the evaluation looks at.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// Since when we listen without a break. Silence before that is our own.
    pub watching_since: Timestamp,
    /// Every configured agent.
    pub agents: Vec<AgentFacts>,
    /// For each open incident: mail that was accepted since it began, and was slow or is missing.
    pub slow_mail: BTreeMap<Subject, Vec<Mail>>,
    /// Within what time each service is promised to recover.
    pub promises: BTreeMap<ServiceName, SignedDuration>,
    /// Services whose filter, once found open, pages.
    pub filters: BTreeSet<ServiceName>,
}

/// A message that was accepted, and then was slow to arrive or is not there yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mail {
    /// When its probe started.
    pub started_at: Timestamp,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// When it arrived.
    pub visible_at: Option<Timestamp>,
}

/// One agent.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentFacts {
    /// Its name.
    pub name: AgentName,
    /// Where it stands.
    pub region: Region,
    /// When it was last heard of, if ever.
    pub heard_at: Option<Timestamp>,
    /// Whether it has more news than it could send so far, so that silence about a probe says nothing.
    pub is_behind: bool,
    /// What is added to its times to make them ours.
    pub clock_offset: SignedDuration,
    /// Trouble of its own: since when, a word for it, a sentence.
    pub complaints: Vec<(Timestamp, Text, Text)>,
    /// The mailboxes it cannot look into.
    pub shut: Vec<ShutMailbox>,
    /// Every mailbox it watches, by the service that holds it: how many.
    pub mailboxes: BTreeMap<ServiceName, usize>,
    /// Its routes, each with its newest probes.
    pub lanes: Vec<Lane>,
    /// Its canaries' routes, which speak for no leg.
    pub canaries: Vec<(Canary, Lane)>,
}

/// A mailbox that is out of an agent's reach.
#[derive(Debug, Clone, PartialEq)]
pub struct ShutMailbox {
    /// The account.
    pub account: AccountName,
    /// The service or provider that holds it.
    pub service: ServiceName,
    /// Since when.
    pub since: Timestamp,
    /// Where it fails.
    pub trouble: Option<(Stage, Class, Text)>,
}

/// One route from one agent.
#[derive(Debug, Clone, PartialEq)]
pub struct Lane {
    /// The service under watch.
    pub service: ServiceName,
    /// The route.
    pub route: RouteName,
    /// Its direction.
    pub direction: Direction,
    /// How its messages are handed over.
    pub door: Door,
    /// The reference provider at the other end, where there is one.
    pub reference: Option<ServiceName>,
    /// The account in whose mailbox its messages are expected, where that is announced.
    pub to: Option<AccountName>,
    /// From one probe to the next.
    pub interval: SignedDuration,
    /// How long a message may take.
    pub deadline: SignedDuration,
    /// Concluded probes, newest start first.
    pub samples: Vec<Sample>,
    /// Probes under way, newest start first.
    pub under_way: Vec<Sample>,
}

impl Lane {
    /// The provider that takes the message from us; with an MX, the recipient's.
    pub fn sender(&self) -> &ServiceName {
        match (self.door, self.direction) {
            (Door::Submission, Direction::Inbound | Direction::Control) => {
                self.reference.as_ref().unwrap_or(&self.service)
            }
            (Door::Submission, _) => &self.service,
            (Door::Mx, _) => self.recipient(),
        }
    }

    /// The provider in whose mailbox the message is expected.
    pub fn recipient(&self) -> &ServiceName {
        match self.direction {
            Direction::Outbound => self.reference.as_ref().unwrap_or(&self.service),
            _ => &self.service,
        }
    }
}

/// One probe.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Its id.
    pub probe: ProbeId,
    /// When it started.
    pub started_at: Timestamp,
    /// What became of it.
    pub outcome: Outcome,
    /// The step that decided it.
    pub stage: Option<Stage>,
    /// The kind of trouble.
    pub class: Option<Class>,
    /// Whether a server took the message.
    pub accepted: bool,
    /// When it did, where that was kept.
    pub accepted_at: Option<Timestamp>,
    /// When the message was seen in the mailbox.
    pub visible_at: Option<Timestamp>,
    /// When a server first put the message off.
    pub deferred_at: Option<Timestamp>,
    /// The agent's sentence.
    pub reason: Text,
    /// The server spoken to for submission.
    pub peer: Text,
    /// The address it was spoken to at; empty where none was.
    pub address: Text,
    /// The site of the servers that handled it, by the agent's patterns.
    pub site: Option<Text>,
}

/// What was decided before.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Standing {
    /// By subject.
    pub subjects: BTreeMap<Subject, Stand>,
}

/// What was decided of one subject.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stand {
    /// The open incident.
    pub open: Option<OpenIncident>,
    /// Failures of probes that started until then belong to an incident that is resolved.
    pub settled_until: Option<Timestamp>,
    /// How often an incident of it was opened or resolved within the last hour.
    pub changes: usize,
}

/// An incident that is open.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenIncident {
    /// Its id.
    pub id: String,
    /// The first failure.
    pub started_at: Timestamp,
    /// What it says now.
    pub summary: String,
    /// The regions that saw it fail when it last looked bad.
    pub failing: Vec<Region>,
    /// From then on mail was accepted again, as far as is known.
    pub accepting_at: Option<Timestamp>,
    /// From then on new mail arrived in time again, as far as is known.
    pub on_time_at: Option<Timestamp>,
    /// Who was to blame.
    pub blame: Option<Blame>,
    /// Changes of site that are known.
    pub failovers: Vec<Failover>,
    /// Whether it was said that the promised time to recover passed.
    pub overran: bool,
}

impl Standing {
    /// What was decided of a subject; nothing, if nothing was.
    pub fn of(&self, subject: &Subject) -> Stand {
        self.subjects.get(subject).cloned().unwrap_or_default()
    }
}
