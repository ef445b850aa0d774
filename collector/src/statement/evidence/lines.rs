//! The lines of a day's file: what each probe amounts to, and the whole record where it did not arrive
//! in time.

use jiff::Timestamp;
use mailsonar_protocol::{
    AgentName, Class, Direction, Door, Outcome, ProbeId, Record, Region, RouteName, ServiceName, Stage,
};
use serde::{Deserialize, Serialize};

use super::super::gather::lane;
use crate::store::{Mark, Sheet, SheetLane, StoredProbe};

/// One probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    /// When it started, on the collector's clock.
    pub(super) started_at: Timestamp,
    pub(super) probe: ProbeId,
    pub(super) revision: u32,
    /// When that revision came in.
    pub(super) received_at: Timestamp,
    pub(super) agent: AgentName,
    pub(super) region: Region,
    pub(super) service: ServiceName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reference: Option<ServiceName>,
    pub(super) route: RouteName,
    pub(super) direction: Direction,
    pub(super) door: Door,
    pub(super) outcome: Outcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) stage: Option<Stage>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) class: Option<Class>,
    pub(super) accepted: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) confirmation: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) latency_us: Option<u64>,
    /// As the agent sent it, in the agent's times; only of probes that were not delivered in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) record: Option<Box<Record>>,
}

impl Line {
    /// The line of a probe; none while it is in flight.
    pub(super) fn of(probe: StoredProbe) -> Option<Self> {
        let mark = Mark::of(&probe.record, probe.started_at)?;
        let lane = lane(&probe);
        let record = probe.record;
        Some(Self {
            started_at: mark.started_at,
            probe: record.probe,
            revision: record.revision,
            received_at: probe.received_at,
            agent: lane.agent,
            region: lane.region,
            service: lane.service,
            reference: lane.reference,
            route: lane.route,
            direction: lane.direction,
            door: lane.door,
            outcome: mark.outcome,
            stage: mark.stage,
            class: mark.class,
            accepted: mark.accepted,
            confirmation: mark.confirmation,
            latency_us: mark.latency_us,
            record: (mark.outcome != Outcome::Delivered).then(|| Box::new(record)),
        })
    }

    /// The line as it is written, with its line feed.
    pub(super) fn bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut text = serde_json::to_vec(self)?;
        text.push(b'\n');
        Ok(text)
    }

    /// The sheet with this one probe on it.
    pub(super) fn sheet(&self) -> Sheet {
        let mark = Mark {
            started_at: self.started_at,
            outcome: self.outcome,
            stage: self.stage,
            class: self.class,
            accepted: self.accepted,
            confirmation: self.confirmation,
            latency_us: self.latency_us,
        };
        let lane = SheetLane {
            service: self.service.clone(),
            agent: self.agent.clone(),
            region: self.region.clone(),
            route: self.route.clone(),
            direction: self.direction,
            door: self.door,
            reference: self.reference.clone(),
        };
        Sheet { lane, marks: vec![mark] }
    }
}
