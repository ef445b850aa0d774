//! Metrics of what the collector does beside the evaluation: silences, heartbeats, budgets.

use std::collections::BTreeSet;

use jiff::Timestamp;
use mailsonar_meters::Maker;
use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec};

use crate::evaluate::Subject;
use crate::silence::Silence;

/// Their series. Cheap to clone.
#[derive(Clone)]
pub struct Duties {
    silenced: IntGaugeVec,
    beats: IntCounterVec,
    budget_left: GaugeVec,
    objective: GaugeVec,
}

impl Duties {
    pub(super) fn new(make: &Maker) -> Self {
        let objective = ["service", "objective"];
        Self {
            silenced: make.int_gauge(
                "mailsonar_silenced",
                "Whether a silence or maintenance keeps the leg's incidents from paging.",
                &["service", "leg"],
            ),
            beats: make.counter(
                "mailsonar_heartbeats_total",
                "Beats for an external watcher, by their result; withheld while this collector is not well.",
                &["heartbeat", "result"],
            ),
            budget_left: make.gauge(
                "mailsonar_slo_error_budget_remaining_ratio",
                "What is left of the error budget: 1 untouched, 0 spent, less overspent.",
                &objective,
            ),
            objective: make.gauge(
                "mailsonar_slo_objective_ratio",
                "The part of probes that shall be delivered in time.",
                &objective,
            ),
        }
    }

    /// What is silenced, among everything that is watched.
    pub fn set_silenced(&self, watched: &BTreeSet<Subject>, silences: &[Silence], now: Timestamp) {
        for subject in watched {
            let muted = silences.iter().any(|silence| silence.covers(subject, now));
            let labels = [subject.service.as_str(), subject.leg.as_str()];
            self.silenced.with_label_values(&labels).set(muted.into());
        }
    }

    /// A heartbeat that is configured.
    pub fn expect_heartbeat(&self, heartbeat: &str) {
        for result in ["delivered", "failed", "withheld"] {
            self.beats.with_label_values(&[heartbeat, result]);
        }
    }

    /// A heartbeat: `delivered`, `failed`, `withheld`.
    pub fn beat(&self, heartbeat: &str, result: &str) {
        self.beats.with_label_values(&[heartbeat, result]).inc();
    }

    /// What is left of a service's error budget, if any probe says something.
    pub fn budget(&self, service: &str, target: f64, remaining: Option<f64>) {
        let labels = [service, "delivered"];
        self.objective.with_label_values(&labels).set(target);
        if let Some(remaining) = remaining {
            self.budget_left.with_label_values(&labels).set(remaining);
        }
    }
}
