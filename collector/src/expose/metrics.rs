//! `/metrics`: what Prometheus gathers.
//!
//! Counters live as long as the process and count only what changed a stored record, so replays add
//! nothing. Gauges of the present are read from the store at each scrape. No label is a probe id or a
//! foreign text; every name comes from an authenticated agent or the configuration.

use std::collections::BTreeSet;

use jiff::Timestamp;
use mailsonar_protocol::{Direction, Outcome, Record, Region, RouteCard};
use prometheus::{
    Encoder, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use crate::evaluate::Subject;
use crate::store::{Agent, InFlight, Incident};

/// Bounds of delivery latency, in seconds: from a tenth to half a day.
const LATENCY_BUCKETS: &[f64] = &[
    0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0, 300.0,
    600.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0, 43_200.0,
];

/// Bounds of a single step, in seconds.
const STAGE_BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// The labels of a lane.
const LANE: [&str; 4] = ["service", "route", "direction", "region"];

/// Revisions of verdicts that are usual, so that their series are there from the start.
const USUAL_REVISIONS: &[(Outcome, Outcome)] = &[
    (Outcome::Lost, Outcome::Late),
    (Outcome::Unknown, Outcome::Delivered),
    (Outcome::Unknown, Outcome::Late),
    (Outcome::Unknown, Outcome::Lost),
];

/// Every series of the collector. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    lanes: Lanes,
    incident_open: IntGaugeVec,
    heartbeat: GaugeVec,
    clock_offset: GaugeVec,
    missed: IntCounterVec,
    pending: IntGaugeVec,
    notifications: IntCounterVec,
    batches: IntCounterVec,
    store_errors: IntCounter,
}

/// The series that say how mail flows, by lane.
#[derive(Clone)]
struct Lanes {
    probes: IntCounterVec,
    revised: IntCounterVec,
    latency: HistogramVec,
    stages: HistogramVec,
    failures: IntCounterVec,
    duplicates: IntCounterVec,
    in_flight: IntGaugeVec,
    oldest_in_flight: GaugeVec,
    last_delivered: GaugeVec,
}

/// The lane a record belongs to, as label values.
fn lane<'a>(record: &'a Record, region: &'a Region) -> [&'a str; 4] {
    [record.service.as_str(), record.route.as_str(), record.direction.as_str(), region.as_str()]
}

fn with<'a>(lane: [&'a str; 4], more: &[&'a str]) -> Vec<&'a str> {
    lane.iter().chain(more).copied().collect()
}

/// Makes and registers series.
struct Maker(Registry);

impl Maker {
    fn counter(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.register(IntCounterVec::new(Opts::new(name, help), labels).expect("a valid metric"))
    }

    fn gauge(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        self.register(GaugeVec::new(Opts::new(name, help), labels).expect("a valid metric"))
    }

    fn int_gauge(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.register(IntGaugeVec::new(Opts::new(name, help), labels).expect("a valid metric"))
    }

    fn histogram(&self, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.register(HistogramVec::new(options, labels).expect("a valid metric"))
    }

    fn register<C: prometheus::core::Collector + Clone + 'static>(&self, series: C) -> C {
        self.0.register(Box::new(series.clone())).expect("each name is registered once");
        series
    }
}

impl Lanes {
    fn new(make: &Maker) -> Self {
        let by = |more: &[&'static str]| with(LANE, more);
        Self {
            probes: make.counter(
                "mailsonar_probes_total",
                "Probes by their first verdict.",
                &by(&["outcome"]),
            ),
            revised: make.counter(
                "mailsonar_probes_revised_total",
                "Verdicts that were revised later.",
                &by(&["from", "to"]),
            ),
            latency: make.histogram(
                "mailsonar_delivery_latency_seconds",
                "From acceptance until visible in the mailbox, for delivered and late probes only.",
                &LANE,
                LATENCY_BUCKETS,
            ),
            stages: make.histogram(
                "mailsonar_stage_seconds",
                "How long each step took, for delivered and late probes only.",
                &by(&["stage"]),
                STAGE_BUCKETS,
            ),
            failures: make.counter(
                "mailsonar_failures_total",
                "Probes whose first verdict was not good, by the step and kind of trouble.",
                &by(&["stage", "class"]),
            ),
            duplicates: make.counter(
                "mailsonar_duplicates_total",
                "Copies that arrived beyond the first.",
                &LANE,
            ),
            in_flight: make.int_gauge("mailsonar_in_flight", "Probes under way.", &LANE),
            oldest_in_flight: make.gauge(
                "mailsonar_oldest_in_flight_seconds",
                "How long the oldest probe has been under way; 0 if there is none.",
                &LANE,
            ),
            last_delivered: make.gauge(
                "mailsonar_last_delivered_timestamp_seconds",
                "When a message was last seen to arrive; 0 if never.",
                &LANE,
            ),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All series, empty.
    pub fn new() -> Self {
        let make = Maker(Registry::new());
        let agent = ["agent", "region"];
        let build = ["program", "version"];
        let build = make.int_gauge("mailsonar_build_info", "Which program this is; always 1.", &build);
        build.with_label_values(&["mailsonar-collector", env!("CARGO_PKG_VERSION")]).set(1);
        Self {
            lanes: Lanes::new(&make),
            incident_open: make.int_gauge(
                "mailsonar_incident_open",
                "Whether an incident is open.",
                &["service", "leg"],
            ),
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
            store_errors: make.register(
                IntCounter::new(
                    "mailsonar_store_errors_total",
                    "Jobs that failed because the store could not be used.",
                )
                .expect("a valid metric"),
            ),
            registry: make.0,
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
            let lane = [card.service.as_str(), card.route.as_str(), card.direction.as_str(), region.as_str()];
            for outcome in Outcome::ALL.iter().filter(|outcome| **outcome != Outcome::InFlight) {
                self.lanes.probes.with_label_values(&with(lane, &[outcome.as_str()]));
            }
            for (from, to) in USUAL_REVISIONS {
                self.lanes.revised.with_label_values(&with(lane, &[from.as_str(), to.as_str()]));
            }
            self.lanes.latency.with_label_values(&lane);
            self.lanes.duplicates.with_label_values(&lane);
            self.lanes.in_flight.with_label_values(&lane);
            self.lanes.oldest_in_flight.with_label_values(&lane);
            self.lanes.last_delivered.with_label_values(&lane);
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

    /// A stored record changed from `before` (if it was there) to `after`.
    pub fn changed(&self, region: &Region, before: Option<&Record>, after: &Record) {
        let lane = lane(after, region);
        let old = before.map_or(Outcome::InFlight, |record| record.verdict.outcome);
        let new = after.verdict.outcome;
        if old == Outcome::InFlight && new != Outcome::InFlight {
            self.lanes.probes.with_label_values(&with(lane, &[new.as_str()])).inc();
            if let (Some(stage), Some(class), true) =
                (after.verdict.stage, after.verdict.class, new != Outcome::Delivered)
            {
                self.lanes.failures.with_label_values(&with(lane, &[stage.as_str(), class.as_str()])).inc();
            }
        } else if old != new {
            self.lanes.revised.with_label_values(&with(lane, &[old.as_str(), new.as_str()])).inc();
        }
        let timely = |outcome| matches!(outcome, Outcome::Delivered | Outcome::Late);
        if timely(new) && !timely(old) {
            self.arrived(lane, after);
        }
        let copies = after.duplicates.saturating_sub(before.map_or(0, |record| record.duplicates));
        self.lanes.duplicates.with_label_values(&lane).inc_by(u64::from(copies));
    }

    fn arrived(&self, lane: [&str; 4], record: &Record) {
        if let Some(latency) = record.latency_us() {
            self.lanes.latency.with_label_values(&lane).observe(seconds(latency));
        }
        for step in &record.stages {
            self.lanes
                .stages
                .with_label_values(&with(lane, &[step.stage.as_str()]))
                .observe(seconds(step.took_us));
        }
    }

    /// A message of this lane was seen to arrive then, on our clock.
    pub fn delivered_at(
        &self,
        service: &str,
        route: &str,
        direction: Direction,
        region: &Region,
        at: Timestamp,
    ) {
        let gauge = self.lanes.last_delivered.with_label_values(&[
            service,
            route,
            direction.as_str(),
            region.as_str(),
        ]);
        gauge.set(gauge.get().max(epoch(at)));
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

    /// A batch was answered: `accepted`, `refused`, `unavailable`.
    pub fn ingested(&self, result: &str) {
        self.batches.with_label_values(&[result]).inc();
    }

    /// The store could not be used.
    pub fn store_failed(&self) {
        self.store_errors.inc();
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

    /// A resolved incident, of a leg that may be watched no more.
    pub fn resolved(&self, incident: &Incident) {
        self.incident_open.with_label_values(&[incident.service.as_str(), incident.leg.as_str()]).set(0);
    }

    /// Everything in Prometheus' text format. `in_flight` is what is under way now, if that is known.
    pub fn render(&self, in_flight: Option<&[InFlight]>, now: Timestamp) -> String {
        if let Some(in_flight) = in_flight {
            self.set_in_flight(in_flight, now);
        }
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut text)
            .expect("writing to memory does not fail");
        String::from_utf8(text).expect("the text format is UTF-8")
    }

    fn set_in_flight(&self, in_flight: &[InFlight], now: Timestamp) {
        for lane in Self::lanes_of(&self.lanes.in_flight) {
            let lane: Vec<&str> = lane.iter().map(String::as_str).collect();
            self.lanes.in_flight.with_label_values(&lane).set(0);
            self.lanes.oldest_in_flight.with_label_values(&lane).set(0.0);
        }
        for flight in in_flight {
            let lane = [&*flight.service, &*flight.route, &*flight.direction, &*flight.region];
            self.lanes.in_flight.with_label_values(&lane).set(flight.count);
            let age = now.duration_since(flight.oldest).as_secs_f64().max(0.0);
            self.lanes.oldest_in_flight.with_label_values(&lane).set(age);
        }
    }

    /// The label values of every lane that a gauge knows, in the order of [`LANE`].
    fn lanes_of(gauge: &IntGaugeVec) -> Vec<Vec<String>> {
        use prometheus::core::Collector;
        let mut lanes = Vec::new();
        for family in gauge.collect() {
            for metric in family.get_metric() {
                let value = |name: &str| {
                    let mut labels = metric.get_label().iter();
                    labels
                        .find(|pair| pair.name() == name)
                        .map_or(String::new(), |pair| pair.value().to_owned())
                };
                lanes.push(LANE.iter().map(|name| value(name)).collect());
            }
        }
        lanes
    }
}

#[expect(clippy::cast_precision_loss, reason = "a microsecond is lost after 285 years")]
fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "microseconds since 1970 fit well enough")]
fn epoch(time: Timestamp) -> f64 {
    time.as_microsecond() as f64 / 1e6
}
