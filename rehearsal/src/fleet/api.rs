//! What the collector's API answers, as a client of its own reads it: not the collector's types.

use std::collections::BTreeMap;

use jiff::Timestamp;
use mailsonar_protocol::{AgentName, Outcome, ProbeId, Record, Region, RouteName};
use serde::Deserialize;
use serde_json::Value;

/// One probe, of `/api/v1/probes`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Probe {
    /// Who sent it.
    pub agent: AgentName,
    /// From where.
    pub region: Region,
    /// When, by the collector's clock.
    pub started_at: Timestamp,
    /// When its newest revision came in.
    pub received_at: Timestamp,
    /// From acceptance until visible, in microseconds.
    #[serde(default)]
    pub latency_us: Option<u64>,
    /// All that is known of it.
    pub record: Record,
}

impl Probe {
    /// Its id.
    pub fn id(&self) -> ProbeId {
        self.record.probe
    }

    /// What became of it.
    pub fn outcome(&self) -> Outcome {
        self.record.verdict.outcome
    }

    /// Its route.
    pub fn route(&self) -> &RouteName {
        &self.record.route
    }
}

#[derive(Deserialize)]
pub(super) struct Probes {
    pub(super) probes: Vec<Probe>,
    pub(super) next: Option<String>,
}

/// One incident, of `/api/v1/incidents`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the collector's API documents its fields")]
pub struct Incident {
    pub id: String,
    pub dedup_key: String,
    pub service: String,
    /// `send`, `receive` or `monitoring`.
    pub leg: String,
    /// `open` or `resolved`.
    pub state: String,
    pub reason: String,
    pub summary: String,
    pub started_at: Timestamp,
    pub opened_at: Timestamp,
    #[serde(default)]
    pub resolved_at: Option<Timestamp>,
    #[serde(default)]
    pub resolution: Option<Resolution>,
    pub regions: Regions,
    pub evidence: Value,
}

/// How an incident ended.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the collector's API documents its fields")]
pub struct Resolution {
    pub reason: String,
    pub summary: String,
}

/// Who sees what of an incident.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the collector's API documents its fields")]
pub struct Regions {
    pub failing: Vec<String>,
    pub passing: Vec<String>,
    pub unknown: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct Incidents {
    pub(super) incidents: Vec<Incident>,
}

/// What is found about an agent or a reference provider, of `/api/v1/agents`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the collector's API documents its fields")]
pub struct Finding {
    /// `agent_silent`, `agent_cut_off` or `reference_trouble`.
    pub kind: String,
    pub subject: String,
    pub since: Timestamp,
    pub words: String,
    #[serde(flatten)]
    pub more: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
pub(super) struct Agents {
    pub(super) agents: Vec<Value>,
    pub(super) findings: Vec<Finding>,
}
