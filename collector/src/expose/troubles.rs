//! Series of open incidents, their backlogs, and the states of components.

use std::collections::BTreeSet;

use jiff::Timestamp;
use mailsonar_meters::Maker;
use prometheus::{GaugeVec, IntGaugeVec};

use crate::evaluate::{States, Subject};
use crate::store::Incident;

/// Every such series. Cheap to clone.
#[derive(Clone)]
pub struct Troubles {
    incident_open: IntGaugeVec,
    component_state: IntGaugeVec,
    backlog_probes: IntGaugeVec,
    backlog_oldest: GaugeVec,
    backlog_eta: GaugeVec,
}

impl Troubles {
    pub(super) fn new(make: &Maker) -> Self {
        Self {
            incident_open: make.int_gauge(
                "mailsonar_incident_open",
                "Whether an incident is open.",
                &["service", "leg"],
            ),
            component_state: make.int_gauge(
                "mailsonar_component_state",
                "How a component is: -1 unknown, 0 ok, 1 suspect, 2 recovering, 3 degraded, 4 flapping, 5 down.",
                &["service", "component", "name"],
            ),
            backlog_probes: make.int_gauge(
                "mailsonar_backlog_probes",
                "Messages of the open incident that were accepted and are not there.",
                &["service", "leg"],
            ),
            backlog_oldest: make.gauge(
                "mailsonar_backlog_oldest_seconds",
                "How long ago the oldest of them was accepted; 0 if there is none.",
                &["service", "leg"],
            ),
            backlog_eta: make.gauge(
                "mailsonar_backlog_drain_eta_seconds",
                "When the backlog should be empty at the present rate; NaN while no rate is known.",
                &["service", "leg"],
            ),
        }
    }

    /// What is open, among everything that is watched.
    pub fn set_incidents(&self, watched: &BTreeSet<Subject>, open: &[Incident]) {
        for Subject { service, leg } in watched {
            self.incident_open.with_label_values(&[service.as_str(), leg.as_str()]).set(0);
        }
        for incident in open {
            self.incident_open.with_label_values(&[incident.service.as_str(), incident.leg.as_str()]).set(1);
        }
    }

    /// How every component is.
    pub fn set_states(&self, states: &States) {
        self.component_state.reset();
        for ((service, part), state) in &states.0 {
            let labels = [service.as_str(), part.kind.as_str(), &part.name];
            self.component_state.with_label_values(&labels).set(*state as i64);
        }
    }

    /// What is missing, among everything that is watched.
    pub fn set_backlogs(&self, watched: &BTreeSet<Subject>, open: &[Incident], now: Timestamp) {
        for subject in watched {
            let labels = [subject.service.as_str(), subject.leg.as_str()];
            let incident = open.iter().find(|incident| incident.subject() == *subject);
            let backlog = incident.map(|incident| incident.backlog.clone()).unwrap_or_default();
            let away = |at: Timestamp| now.duration_since(at).as_secs_f64();
            self.backlog_probes.with_label_values(&labels).set(backlog.missing.into());
            let oldest = backlog.oldest_accepted_at.map_or(0.0, |at| away(at).max(0.0));
            self.backlog_oldest.with_label_values(&labels).set(oldest);
            let unknown = if backlog.missing == 0 { 0.0 } else { f64::NAN };
            let eta = backlog.empty_at.map_or(unknown, |at| (-away(at)).max(0.0));
            self.backlog_eta.with_label_values(&labels).set(eta);
        }
    }

    /// A resolved incident, of a leg that may be watched no more.
    pub fn resolved(&self, incident: &Incident) {
        self.incident_open.with_label_values(&[incident.service.as_str(), incident.leg.as_str()]).set(0);
    }
}
