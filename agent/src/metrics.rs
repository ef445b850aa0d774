//! The agent's own `/metrics`, so that it is useful with Prometheus alone.
//!
//! Hears what the casebook, the watchers and the shipper tell; decides nothing. Every counter exists
//! at 0 from the start, since an alert on a series that is not there never fires.

use std::collections::HashMap;
use std::sync::Arc;

use mailsonar_clock::SharedClock;
use mailsonar_protocol::{
    AccountName, Class, Outcome, Record, Region, RouteCard, RouteName, ServiceName, Stage, StageTime,
};
use prometheus::{
    Encoder, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use crate::arrival::{Observer, Stray};
use crate::ledger::{Change, Counts};
use crate::ship::Shipped;
use crate::trouble::Trouble;

/// Bounds of the delivery latency histogram, in seconds.
const LATENCY: &[f64] = &[
    0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0, 300.0,
    600.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0, 43_200.0,
];

/// Bounds of the stage histogram, in seconds.
const STAGE: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

const ROUTE: [&str; 4] = ["service", "route", "direction", "region"];

/// All metrics of one agent.
pub struct Metrics {
    registry: Registry,
    region: Region,
    probes: IntCounterVec,
    revised: IntCounterVec,
    latency: HistogramVec,
    stage: HistogramVec,
    failures: IntCounterVec,
    duplicates: IntCounterVec,
    in_flight: IntGaugeVec,
    oldest: GaugeVec,
    last_delivered: GaugeVec,
    missed: IntCounterVec,
    certificate: GaugeVec,
    mailbox_up: IntGaugeVec,
    watcher_stage: HistogramVec,
    watcher_failures: IntCounterVec,
    strays: IntCounterVec,
    pending: IntGauge,
    shipments: IntCounterVec,
    drift: prometheus::Gauge,
}

fn counter(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> prometheus::Result<IntCounterVec> {
    let made = IntCounterVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(made.clone()))?;
    Ok(made)
}

fn int_gauge(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> prometheus::Result<IntGaugeVec> {
    let made = IntGaugeVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(made.clone()))?;
    Ok(made)
}

fn gauge(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<GaugeVec> {
    let made = GaugeVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(made.clone()))?;
    Ok(made)
}

fn histogram(
    registry: &Registry,
    name: &str,
    help: &str,
    bounds: &[f64],
    labels: &[&str],
) -> prometheus::Result<HistogramVec> {
    let made = HistogramVec::new(HistogramOpts::new(name, help).buckets(bounds.to_vec()), labels)?;
    registry.register(Box::new(made.clone()))?;
    Ok(made)
}

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    ROUTE.iter().copied().chain(more.iter().copied()).collect()
}

impl Metrics {
    /// The metrics of an agent with these routes, all at 0.
    pub fn new(region: Region, routes: &[RouteCard]) -> prometheus::Result<Self> {
        let r = &Registry::new();
        let pending = IntGauge::new("mailsonar_ship_pending", "Records the collector has not acknowledged.")?;
        r.register(Box::new(pending.clone()))?;
        let drift = prometheus::Gauge::new(
            "mailsonar_agent_clock_drift_seconds",
            "How far the wall clock has moved from the steady clock since the agent started.",
        )?;
        r.register(Box::new(drift.clone()))?;
        let build =
            int_gauge(r, "mailsonar_build_info", "Always 1; the version is in the label.", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let mailbox = ["account", "service", "region"];
        let made = Self {
            region,
            probes: counter(
                r,
                "mailsonar_probes_total",
                "Probes by their first verdict.",
                &with(&["outcome"]),
            )?,
            revised: counter(
                r,
                "mailsonar_probes_revised_total",
                "Verdicts that were revised later, such as from lost to late.",
                &with(&["from", "to"]),
            )?,
            latency: histogram(
                r,
                "mailsonar_delivery_latency_seconds",
                "From acceptance until visible in the mailbox, of mail that arrived.",
                LATENCY,
                &ROUTE,
            )?,
            stage: histogram(
                r,
                "mailsonar_stage_seconds",
                "Time of each step of a probe.",
                STAGE,
                &with(&["stage"]),
            )?,
            failures: counter(
                r,
                "mailsonar_failures_total",
                "Verdicts that are not good, by the step and the kind of trouble that decided.",
                &with(&["stage", "class"]),
            )?,
            duplicates: counter(r, "mailsonar_duplicates_total", "Copies beyond the first.", &ROUTE)?,
            in_flight: int_gauge(r, "mailsonar_in_flight", "Probes sent and without a verdict.", &ROUTE)?,
            oldest: gauge(
                r,
                "mailsonar_oldest_in_flight_seconds",
                "Age of the oldest of them, or 0.",
                &ROUTE,
            )?,
            last_delivered: gauge(
                r,
                "mailsonar_last_delivered_timestamp_seconds",
                "When a probe was last seen to arrive, or 0.",
                &ROUTE,
            )?,
            missed: counter(
                r,
                "mailsonar_schedule_missed_total",
                "Scheduled probes that were not sent.",
                &ROUTE,
            )?,
            certificate: gauge(
                r,
                "mailsonar_tls_certificate_expiry_timestamp_seconds",
                "When the certificate last shown at an endpoint ends.",
                &["service", "route", "region", "endpoint"],
            )?,
            mailbox_up: int_gauge(
                r,
                "mailsonar_mailbox_up",
                "Whether the mailbox can be looked into.",
                &mailbox,
            )?,
            watcher_stage: histogram(
                r,
                "mailsonar_mailbox_stage_seconds",
                "Time of each step of connecting to a mailbox.",
                STAGE,
                &["account", "service", "region", "stage"],
            )?,
            watcher_failures: counter(
                r,
                "mailsonar_mailbox_failures_total",
                "Failures to connect to or watch a mailbox.",
                &["account", "service", "region", "stage", "class"],
            )?,
            strays: counter(
                r,
                "mailsonar_stray_messages_total",
                "Messages with a tag that were not counted: forged, of unknown probes, in the wrong mailbox.",
                &["account", "region", "kind"],
            )?,
            shipments: counter(
                r,
                "mailsonar_shipments_total",
                "Batches posted to the collector.",
                &["result"],
            )?,
            pending,
            drift,
            registry: r.clone(),
        };
        routes.iter().for_each(|route| made.begin(route));
        ["taken", "later", "refused"]
            .iter()
            .for_each(|result| made.shipments.with_label_values(&[*result]).reset());
        Ok(made)
    }

    /// Brings a route's series into being.
    fn begin(&self, card: &RouteCard) {
        let labels = self.labels(card.service.as_str(), &card.route, card.direction.as_str());
        for outcome in Outcome::ALL.iter().filter(|outcome| **outcome != Outcome::InFlight) {
            self.probes.with_label_values(&push(labels, &[outcome.as_str()])).reset();
        }
        for late in [Outcome::Lost, Outcome::Unknown] {
            for to in [Outcome::Late, Outcome::Delivered, Outcome::Lost] {
                self.revised.with_label_values(&push(labels, &[late.as_str(), to.as_str()])).reset();
            }
        }
        for (stage, class) in usual_failures() {
            self.failures.with_label_values(&push(labels, &[stage.as_str(), class.as_str()])).reset();
        }
        self.latency.with_label_values(&labels);
        self.duplicates.with_label_values(&labels).reset();
        self.missed.with_label_values(&labels).reset();
        self.in_flight.with_label_values(&labels).set(0);
        self.oldest.with_label_values(&labels).set(0.0);
        self.last_delivered.with_label_values(&labels).set(0.0);
    }

    fn labels<'a>(&'a self, service: &'a str, route: &'a RouteName, direction: &'a str) -> [&'a str; 4] {
        [service, route.as_str(), direction, self.region.as_str()]
    }

    fn of<'a>(&'a self, record: &'a Record) -> [&'a str; 4] {
        self.labels(record.service.as_str(), &record.route, record.direction.as_str())
    }

    /// Hears of a change in the ledger.
    pub fn changed(&self, change: &Change) {
        let Change { before: Some(before), after } = change else { return };
        let labels = self.of(after);
        let (was, is) = (before.verdict.outcome, after.verdict.outcome);
        if was != is {
            if before.is_concluded() {
                self.revised.with_label_values(&push(labels, &[was.as_str(), is.as_str()])).inc();
            } else {
                self.probes.with_label_values(&push(labels, &[is.as_str()])).inc();
            }
            if let (Some(stage), Some(class)) = (after.verdict.stage, after.verdict.class) {
                self.failures.with_label_values(&push(labels, &[stage.as_str(), class.as_str()])).inc();
            }
        }
        for step in after.stages.iter().skip(before.stages.len()) {
            self.stage
                .with_label_values(&push(labels, &[step.stage.as_str()]))
                .observe(seconds(step.took_us));
        }
        let more = u64::from(after.duplicates.saturating_sub(before.duplicates));
        self.duplicates.with_label_values(&labels).inc_by(more);
        if before.arrival.is_none() && after.arrival.is_some() {
            self.arrived(after, &labels);
        }
        if let (None, Some(peer)) = (&before.peer, &after.peer)
            && let Some(expires) = peer.certificate_expires_at
        {
            let endpoint = format!("{}:{}", peer.host, peer.port);
            let [service, route, _, region] = labels;
            let at = expires.as_duration().as_secs_f64();
            self.certificate.with_label_values(&[service, route, region, &endpoint]).set(at);
        }
    }

    fn arrived(&self, record: &Record, labels: &[&str; 4]) {
        let Some(arrival) = &record.arrival else { return };
        self.last_delivered.with_label_values(labels).set(arrival.visible_at.as_duration().as_secs_f64());
        let Some(latency) = record.latency_us() else { return };
        // A latency that is known to within less than a tenth; where nobody was looking, it is not known.
        let exact = arrival.uncertainty_us <= 1_000_000.max(latency / 10);
        if exact && matches!(record.verdict.outcome, Outcome::Delivered | Outcome::Late) {
            self.latency.with_label_values(labels).observe(seconds(latency));
        }
    }

    /// Hears of scheduled probes that were not sent since it last did.
    pub fn missed(&self, card: &RouteCard, total: u64) {
        let counter = self.missed.with_label_values(&self.labels(
            card.service.as_str(),
            &card.route,
            card.direction.as_str(),
        ));
        counter.inc_by(total.saturating_sub(counter.get()));
    }

    /// Takes the figures that are asked for rather than told.
    pub fn take(&self, counts: &Counts, routes: &HashMap<RouteName, RouteCard>, clock: &SharedClock) {
        let now = clock.now();
        for (name, card) in routes {
            let labels = self.labels(card.service.as_str(), name, card.direction.as_str());
            let (count, age) = counts.in_flight.get(name).map_or((0, 0.0), |(count, oldest)| {
                (
                    i64::try_from(*count).unwrap_or(i64::MAX),
                    now.duration_since(*oldest).as_secs_f64().max(0.0),
                )
            });
            self.in_flight.with_label_values(&labels).set(count);
            self.oldest.with_label_values(&labels).set(age);
        }
        self.pending.set(i64::try_from(counts.unacknowledged).unwrap_or(i64::MAX));
        self.drift.set(clock.drift().as_secs_f64());
    }

    /// Takes whether a mailbox is watched.
    pub fn mailbox(&self, account: &AccountName, service: &ServiceName, up: bool) {
        let labels = [account.as_str(), service.as_str(), self.region.as_str()];
        self.mailbox_up.with_label_values(&labels).set(i64::from(up));
    }

    /// Hears how a shipment went.
    pub fn shipped(&self, how: Shipped) {
        let result = match how {
            Shipped::Taken => "taken",
            Shipped::Later => "later",
            Shipped::Refused => "refused",
        };
        self.shipments.with_label_values(&[result]).inc();
    }

    /// All of it in Prometheus' text format.
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "the metrics could not be written");
        }
        String::from_utf8(text).unwrap_or_default()
    }
}

/// The failures whose series exist from the start: those that alerts are written for.
fn usual_failures() -> impl Iterator<Item = (Stage, Class)> {
    use {Class as C, Stage as S};
    [
        (S::Resolve, C::Dns),
        (S::Connect, C::Connect),
        (S::Connect, C::Timeout),
        (S::Tls, C::Tls),
        (S::Greeting, C::Timeout),
        (S::Auth, C::Auth),
        (S::Envelope, C::Permanent),
        (S::Envelope, C::Temporary),
        (S::Data, C::Permanent),
        (S::Data, C::Temporary),
        (S::Transit, C::Missing),
        (S::Transit, C::Quality),
    ]
    .into_iter()
}

fn push<'a>(labels: [&'a str; 4], more: &[&'a str]) -> Vec<&'a str> {
    labels.into_iter().chain(more.iter().copied()).collect()
}

fn seconds(micros: u64) -> f64 {
    std::time::Duration::from_micros(micros).as_secs_f64()
}

/// Lends the watchers' doings to the metrics.
pub struct WatcherMetrics(pub Arc<Metrics>);

impl Observer for WatcherMetrics {
    fn step(&self, account: &AccountName, provider: &ServiceName, step: StageTime) {
        let labels = [account.as_str(), provider.as_str(), self.0.region.as_str(), step.stage.as_str()];
        self.0.watcher_stage.with_label_values(&labels).observe(seconds(step.took_us));
    }

    fn trouble(&self, account: &AccountName, provider: &ServiceName, trouble: &Trouble) {
        let region = self.0.region.as_str();
        let labels =
            [account.as_str(), provider.as_str(), region, trouble.stage.as_str(), trouble.class.as_str()];
        self.0.watcher_failures.with_label_values(&labels).inc();
    }

    fn stray(&self, account: &AccountName, stray: Stray) {
        let kind = match stray {
            Stray::Forged => "forged",
            Stray::Unknown => "unknown",
            Stray::WrongMailbox => "wrong_mailbox",
        };
        self.0.strays.with_label_values(&[account.as_str(), self.0.region.as_str(), kind]).inc();
    }
}
