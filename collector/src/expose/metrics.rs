//! `/metrics`: what Prometheus gathers.
//!
//! How mail flows is counted in `mailsonar-meters`, as at the agent; what only a collector knows is here.
//! Counters live as long as the process and count only what changed a stored record, so replays add
//! nothing. Gauges of the present are read from the store at each scrape. No label is a probe id or a
//! foreign text; every name comes from an authenticated agent or the configuration.

use jiff::Timestamp;
use mailsonar_meters::{Flight, Lanes, Maker};
use mailsonar_protocol::{Record, Region, RouteCard};
use prometheus::{GaugeVec, IntCounter, IntCounterVec, IntGaugeVec};

use super::Troubles;
use super::duties::Duties;
use crate::store::{Agent, InFlight};

/// Every series of the collector. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    make: Maker,
    lanes: Lanes,
    troubles: Troubles,
    duties: Duties,
    heartbeat: GaugeVec,
    clock_offset: GaugeVec,
    missed: IntCounterVec,
    pending: IntGaugeVec,
    notifications: IntCounterVec,
    batches: IntCounterVec,
    store_errors: IntCounter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All series, empty.
    pub fn new() -> Self {
        let make = Maker::default();
        make.build_info("mailsonar-collector", env!("CARGO_PKG_VERSION"));
        let agent = ["agent", "region"];
        Self {
            lanes: Lanes::new(&make),
            troubles: Troubles::new(&make),
            duties: Duties::new(&make),
            heartbeat: make.gauge(
                "mailsonar_agent_last_heartbeat_timestamp_seconds",
                "When the agent was last heard; 0 if never.",
                &agent,
            ),
            clock_offset: make.gauge(
                "mailsonar_agent_clock_offset_seconds",
                "What is added to the agent's times to make them the collector's.",
                &agent,
            ),
            missed: make.counter(
                "mailsonar_schedule_missed_total",
                "Scheduled probes that the agent did not send.",
                &agent,
            ),
            pending: make.int_gauge(
                "mailsonar_ship_pending",
                "Records the agent had not got acknowledged when it last spoke.",
                &agent,
            ),
            notifications: make.counter(
                "mailsonar_notifications_total",
                "Attempts to deliver a page, by their result.",
                &["notifier", "result"],
            ),
            batches: make.counter(
                "mailsonar_ingest_batches_total",
                "Batches that came in, by the answer they got.",
                &["result"],
            ),
            store_errors: make.one_counter(
                "mailsonar_store_errors_total",
                "Jobs that failed because the store could not be used.",
            ),
            make,
        }
        .begun()
    }

    /// With the series whose labels are known from the start.
    fn begun(self) -> Self {
        for result in ["accepted", "refused", "unavailable"] {
            self.batches.with_label_values(&[result]);
        }
        self
    }

    /// Sets every series of these to 0 that is not there yet, so that alerts have something to look at.
    pub fn announce(&self, region: &Region, cards: &[RouteCard]) {
        for card in cards {
            self.lanes.announce(region, card);
        }
    }

    /// An agent that is configured, before it is ever heard.
    pub fn expect_agent(&self, agent: &str, region: &Region) {
        let labels = [agent, region.as_str()];
        self.heartbeat.with_label_values(&labels);
        self.clock_offset.with_label_values(&labels);
        self.missed.with_label_values(&labels);
        self.pending.with_label_values(&labels);
    }

    /// A notifier that is configured.
    pub fn expect_notifier(&self, notifier: &str) {
        for result in ["delivered", "failed", "given_up"] {
            self.notifications.with_label_values(&[notifier, result]);
        }
    }

    /// A record of this agent changed in the store from `before` (if it was there) to `after`.
    pub fn changed(&self, agent: &Agent, before: Option<&Record>, after: &Record) {
        self.lanes.changed_elsewhere(&agent.region, before, after, agent.offset.as_secs_f64());
    }

    /// A message of this lane was seen to arrive then, on our clock.
    pub fn delivered_at(&self, region: &Region, card: &RouteCard, at: Timestamp) {
        self.lanes.last_arrival(region, card, epoch(at));
    }

    /// An agent spoke; `missed_before` is what it had said of missed probes before.
    pub fn heard(&self, agent: &Agent, missed_before: u64) {
        let labels = [agent.name.as_str(), agent.region.as_str()];
        self.heartbeat.with_label_values(&labels).set(epoch(agent.heard_at));
        self.clock_offset.with_label_values(&labels).set(agent.offset.as_secs_f64());
        self.pending
            .with_label_values(&labels)
            .set(i64::try_from(agent.health.unacknowledged).unwrap_or(i64::MAX));
        // The agent counts from its start: less than before means that it started again.
        let missed = agent.health.missed;
        let news = missed.checked_sub(missed_before).unwrap_or(missed);
        self.missed.with_label_values(&labels).inc_by(news);
    }

    /// A page was tried.
    pub fn notified(&self, notifier: &str, result: &str) {
        self.notifications.with_label_values(&[notifier, result]).inc();
    }

    /// What is counted of the collector's own duties.
    pub fn duties(&self) -> &Duties {
        &self.duties
    }

    /// A batch was answered: `accepted`, `refused`, `unavailable`.
    pub fn ingested(&self, result: &str) {
        self.batches.with_label_values(&[result]).inc();
    }

    /// The store could not be used.
    pub fn store_failed(&self) {
        self.store_errors.inc();
    }

    /// Open incidents, what they lack, and the states of components.
    pub fn troubles(&self) -> &Troubles {
        &self.troubles
    }

    /// Everything in Prometheus' text format. `in_flight` is what is under way now, if that is known.
    pub fn render(&self, in_flight: Option<Vec<InFlight>>, now: Timestamp) -> String {
        if let Some(in_flight) = in_flight {
            let flights = in_flight.into_iter().map(|lane| {
                let InFlight { service, route, direction, region, count, oldest } = lane;
                let oldest_seconds = now.duration_since(oldest).as_secs_f64().max(0.0);
                ([service, route, direction, region], Flight { count: count.unsigned_abs(), oldest_seconds })
            });
            self.lanes.all_under_way(&flights.collect());
        }
        self.make.text()
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds since 1970 fit well enough")]
fn epoch(time: Timestamp) -> f64 {
    time.as_microsecond() as f64 / 1e6
}
