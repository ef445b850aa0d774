//! How mail flows, by lane.

use std::collections::BTreeMap;

use mailsonar_protocol::{
    Canary, CanaryKind, Catch, Class, Direction, Outcome, Record, Region, RouteCard, RouteName, ServiceName,
    Stage,
};
use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, HistogramVec, IntCounterVec, IntGaugeVec};

use crate::Maker;

/// Bounds of delivery latency, in seconds: from a tenth to half a day.
const LATENCY: &[f64] = &[
    0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0, 300.0,
    600.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0, 43_200.0,
];

/// Bounds of a single step, in seconds.
pub const STAGE: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// The labels of a lane.
pub const LANE: [&str; 4] = ["service", "route", "direction", "region"];

/// Revisions of verdicts that are usual.
const USUAL_REVISIONS: &[(Outcome, Outcome)] = &[
    (Outcome::Lost, Outcome::Late),
    (Outcome::Unknown, Outcome::Delivered),
    (Outcome::Unknown, Outcome::Late),
    (Outcome::Unknown, Outcome::Lost),
];

/// Failures that alerts are written for.
const USUAL_FAILURES: &[(Stage, Class)] = &[
    (Stage::Resolve, Class::Dns),
    (Stage::Connect, Class::Connect),
    (Stage::Connect, Class::Timeout),
    (Stage::Tls, Class::Tls),
    (Stage::Tls, Class::Security),
    (Stage::Greeting, Class::Timeout),
    (Stage::Auth, Class::Auth),
    (Stage::Envelope, Class::Permanent),
    (Stage::Envelope, Class::Temporary),
    (Stage::Data, Class::Permanent),
    (Stage::Data, Class::Temporary),
    (Stage::Transit, Class::Missing),
    (Stage::Transit, Class::Quality),
];

/// An arrival whose time is not known to within a tenth (or a second) has no latency worth counting.
const EXACT_SHARE: u64 = 10;
const EXACT_US: u64 = 1_000_000;

/// The series of all lanes.
#[derive(Debug, Clone)]
pub struct Lanes {
    probes: IntCounterVec,
    revised: IntCounterVec,
    latency: HistogramVec,
    stages: HistogramVec,
    failures: IntCounterVec,
    duplicates: IntCounterVec,
    deferrals: IntCounterVec,
    waited: HistogramVec,
    in_flight: IntGaugeVec,
    oldest: GaugeVec,
    last_delivered: GaugeVec,
    canaries: IntCounterVec,
}

/// What is under way in a lane.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Flight {
    /// Probes sent and without a verdict.
    pub count: u64,
    /// Age of the oldest, in seconds; 0 if there is none.
    pub oldest_seconds: f64,
}

impl Lanes {
    /// Registers the series.
    pub fn new(make: &Maker) -> Self {
        let by = |more: &[&'static str]| with(LANE, more);
        Self {
            probes: make.counter(
                "mailsonar_probes_total",
                "Probes by their first verdict.",
                &by(&["outcome"]),
            ),
            revised: make.counter(
                "mailsonar_probes_revised_total",
                "Verdicts that were revised later, such as from lost to late.",
                &by(&["from", "to"]),
            ),
            latency: make.histogram(
                "mailsonar_delivery_latency_seconds",
                "From acceptance until visible in the mailbox, of delivered and late probes.",
                &LANE,
                LATENCY,
            ),
            stages: make.histogram(
                "mailsonar_stage_seconds",
                "How long each step took that went well.",
                &by(&["stage"]),
                STAGE,
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
            deferrals: make.counter(
                "mailsonar_deferrals_total",
                "Attempts that the server put off by a 4xx reply.",
                &LANE,
            ),
            waited: make.histogram(
                "mailsonar_sender_wait_seconds",
                "From the first attempt to acceptance, of probes that were put off before.",
                &LANE,
                LATENCY,
            ),
            in_flight: make.int_gauge("mailsonar_in_flight", "Probes sent and without a verdict.", &LANE),
            oldest: make.gauge(
                "mailsonar_oldest_in_flight_seconds",
                "Age of the oldest of them; 0 if none.",
                &LANE,
            ),
            last_delivered: make.gauge(
                "mailsonar_last_delivered_timestamp_seconds",
                "When a message was last seen to arrive; 0 if never.",
                &LANE,
            ),
            canaries: canaries(make),
        }
    }

    /// Brings a lane's series into being.
    pub fn announce(&self, region: &Region, card: &RouteCard) {
        let lane = lane(&card.service, &card.route, card.direction, region);
        for outcome in Outcome::ALL.iter().filter(|outcome| **outcome != Outcome::InFlight) {
            self.probes.with_label_values(&with(lane, &[outcome.as_str()]));
        }
        for (from, to) in USUAL_REVISIONS {
            self.revised.with_label_values(&with(lane, &[from.as_str(), to.as_str()]));
        }
        for (stage, class) in USUAL_FAILURES {
            self.failures.with_label_values(&with(lane, &[stage.as_str(), class.as_str()]));
        }
        self.latency.with_label_values(&lane);
        self.duplicates.with_label_values(&lane);
        self.deferrals.with_label_values(&lane);
        self.waited.with_label_values(&lane);
        self.in_flight.with_label_values(&lane);
        self.oldest.with_label_values(&lane);
        self.last_delivered.with_label_values(&lane);
        for result in Catch::ALL {
            self.canary(lane, card.canary.as_ref(), *result, 0);
        }
    }

    fn canary(&self, lane: [&str; 4], canary: Option<&Canary>, result: Catch, count: u64) {
        let [service, route, _, region] = lane;
        let Some(canary) = canary.filter(|canary| canary.kind != CanaryKind::Large) else { return };
        let labels = [service, route, region, canary.kind.as_str(), result.as_str()];
        self.canaries.with_label_values(&labels).inc_by(count);
    }

    /// A record changed from `before`, if it was known, to `after`.
    pub fn changed(&self, region: &Region, before: Option<&Record>, after: &Record) {
        self.changed_elsewhere(region, before, after, 0.0);
    }

    /// The same of another machine's record: so many seconds are added to its times to make them ours.
    pub fn changed_elsewhere(
        &self,
        region: &Region,
        before: Option<&Record>,
        after: &Record,
        offset_seconds: f64,
    ) {
        let lane = lane(&after.service, &after.route, after.direction, region);
        self.judged(lane, before.map_or(Outcome::InFlight, |record| record.verdict.outcome), after);
        self.put_off(lane, before, after);
        if after.accepted.is_some() && before.is_none_or(|record| record.accepted.is_none()) {
            self.stepped(lane, after, |stage| stage < Stage::Transit);
        }
        if after.arrival.is_some() && before.is_none_or(|record| record.arrival.is_none()) {
            self.stepped(lane, after, |stage| stage > Stage::Transit);
            if let Some(arrival) = &after.arrival {
                self.arrived_at(lane, arrival.visible_at.as_duration().as_secs_f64() + offset_seconds);
            }
        }
        // The latency is known once both ends are, in whichever order they came.
        let known = before.and_then(Record::latency_us);
        if let (None, Some(latency)) = (known, after.latency_us()) {
            self.delivered(lane, after, latency);
        }
        let copies = after.duplicates.saturating_sub(before.map_or(0, |record| record.duplicates));
        self.duplicates.with_label_values(&lane).inc_by(u64::from(copies));
    }

    fn judged(&self, lane: [&str; 4], was: Outcome, record: &Record) {
        let is = record.verdict.outcome;
        if was == is {
            return;
        }
        if let Some(catch) = record.canary.and_then(|canary| canary.catch(is, record.verdict.stage)) {
            self.canary(lane, record.canary.as_ref(), catch, 1);
        }
        if was != Outcome::InFlight {
            self.revised.with_label_values(&with(lane, &[was.as_str(), is.as_str()])).inc();
            return;
        }
        self.probes.with_label_values(&with(lane, &[is.as_str()])).inc();
        if let (Some(stage), Some(class)) = (record.verdict.stage, record.verdict.class) {
            self.failures.with_label_values(&with(lane, &[stage.as_str(), class.as_str()])).inc();
        }
    }

    /// Attempts that were put off, and how long a real sender's mail would have waited in the end.
    fn put_off(&self, lane: [&str; 4], before: Option<&Record>, after: &Record) {
        let count = |record: &Record| u64::try_from(record.handover.deferrals.len()).unwrap_or(u64::MAX);
        let more = count(after).saturating_sub(before.map_or(0, count));
        self.deferrals.with_label_values(&lane).inc_by(more);
        let known = before.and_then(Record::sender_wait_us);
        if let (None, Some(waited)) = (known, after.sender_wait_us()) {
            self.waited.with_label_values(&lane).observe(seconds(waited));
        }
    }

    fn stepped(&self, lane: [&str; 4], record: &Record, which: impl Fn(Stage) -> bool) {
        for step in record.stages.iter().filter(|step| which(step.stage)) {
            self.stages.with_label_values(&with(lane, &[step.stage.as_str()])).observe(seconds(step.took_us));
        }
    }

    fn delivered(&self, lane: [&str; 4], record: &Record, latency_us: u64) {
        let uncertainty = record.arrival.as_ref().map_or(0, |arrival| arrival.uncertainty_us);
        let exact = uncertainty <= EXACT_US.max(latency_us / EXACT_SHARE);
        if exact && matches!(record.verdict.outcome, Outcome::Delivered | Outcome::Late) {
            self.latency.with_label_values(&lane).observe(seconds(latency_us));
        }
    }

    fn arrived_at(&self, lane: [&str; 4], at: f64) {
        let last = self.last_delivered.with_label_values(&lane);
        last.set(last.get().max(at));
    }

    /// A message of a lane was seen to arrive then, in seconds since 1970: for what was known before
    /// this process began.
    pub fn last_arrival(&self, region: &Region, card: &RouteCard, at_seconds: f64) {
        self.arrived_at(lane(&card.service, &card.route, card.direction, region), at_seconds);
    }

    /// What is under way in a lane now.
    pub fn under_way(&self, region: &Region, card: &RouteCard, flight: Flight) {
        self.set_under_way(lane(&card.service, &card.route, card.direction, region), flight);
    }

    /// What is under way in all lanes now, by the values of [`LANE`]: in those not named, nothing is.
    pub fn all_under_way(&self, flights: &BTreeMap<[String; 4], Flight>) {
        let known = lanes_of(&self.in_flight).into_iter().map(|lane| (lane, Flight::default()));
        let mut all: BTreeMap<[String; 4], Flight> = known.collect();
        all.extend(flights.iter().map(|(lane, flight)| (lane.clone(), *flight)));
        for (lane, flight) in all {
            self.set_under_way(lane.each_ref().map(String::as_str), flight);
        }
    }

    fn set_under_way(&self, lane: [&str; 4], flight: Flight) {
        let count = i64::try_from(flight.count).unwrap_or(i64::MAX);
        self.in_flight.with_label_values(&lane).set(count);
        self.oldest.with_label_values(&lane).set(flight.oldest_seconds);
    }
}

/// Canaries are told by their kind, not by a direction.
fn canaries(make: &Maker) -> IntCounterVec {
    make.counter(
        "mailsonar_canaries_total",
        "Canaries that must not arrive, by whether the filter caught them. A revised verdict counts anew.",
        &["service", "route", "region", "canary", "result"],
    )
}

/// The label values of every lane that a gauge knows, in the order of [`LANE`].
fn lanes_of(gauge: &IntGaugeVec) -> Vec<[String; 4]> {
    let families = gauge.collect();
    let metrics = families.iter().flat_map(MetricFamily::get_metric);
    metrics
        .map(|metric| {
            LANE.map(|name| {
                let pair = metric.get_label().iter().find(|pair| pair.name() == name);
                pair.map_or_else(String::new, |pair| pair.value().to_owned())
            })
        })
        .collect()
}

fn lane<'a>(
    service: &'a ServiceName,
    route: &'a RouteName,
    direction: Direction,
    region: &'a Region,
) -> [&'a str; 4] {
    [service.as_str(), route.as_str(), direction.as_str(), region.as_str()]
}

fn with<'a>(lane: [&'a str; 4], more: &[&'a str]) -> Vec<&'a str> {
    lane.iter().chain(more).copied().collect()
}

fn seconds(micros: u64) -> f64 {
    std::time::Duration::from_micros(micros).as_secs_f64()
}
