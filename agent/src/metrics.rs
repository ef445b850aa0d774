//! The agent's own `/metrics`, so that it is useful with Prometheus alone.
//!
//! Hears what the casebook, the watchers and the shipper tell; decides nothing. How mail flows is
//! counted in `mailsonar-meters`, as at the collector; what only an agent knows is counted here.

use std::collections::HashMap;
use std::sync::Arc;

use mailsonar_clock::SharedClock;
use mailsonar_meters::{Flight, Lanes, Maker, STAGE_BOUNDS};
use mailsonar_protocol::{AccountName, Class, Region, RouteCard, RouteName, ServiceName, Stage, StageTime};
use prometheus::{Gauge, GaugeVec, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec};

use crate::arrival::{Observer, Stray};
use crate::ledger::{Change, Counts};
use crate::ship::Shipped;
use crate::trouble::Trouble;

/// Failures of the mailbox watchers that alerts are written for.
const USUAL_FAILURES: &[(Stage, Class)] = &[
    (Stage::Resolve, Class::Dns),
    (Stage::Connect, Class::Connect),
    (Stage::Connect, Class::Timeout),
    (Stage::Tls, Class::Tls),
    (Stage::Login, Class::Auth),
    (Stage::Login, Class::Timeout),
    (Stage::Idle, Class::Closed),
    (Stage::Idle, Class::Timeout),
];

/// All metrics of one agent.
pub struct Metrics {
    make: Maker,
    region: Region,
    lanes: Lanes,
    mailboxes: Mailboxes,
    missed: IntCounterVec,
    certificate: GaugeVec,
    pending: IntGauge,
    shipments: IntCounterVec,
    drift: Gauge,
}

/// The series of the mailbox watchers.
struct Mailboxes {
    up: IntGaugeVec,
    stages: HistogramVec,
    failures: IntCounterVec,
    strays: IntCounterVec,
}

impl Mailboxes {
    fn new(make: &Maker) -> Self {
        Self {
            up: make.int_gauge(
                "mailsonar_mailbox_up",
                "Whether the mailbox can be looked into.",
                &["account", "service", "region"],
            ),
            stages: make.histogram(
                "mailsonar_mailbox_stage_seconds",
                "How long each step of connecting to a mailbox took.",
                &["account", "service", "region", "stage"],
                STAGE_BOUNDS,
            ),
            failures: make.counter(
                "mailsonar_mailbox_failures_total",
                "Failures to connect to a mailbox or to watch it.",
                &["account", "service", "region", "stage", "class"],
            ),
            strays: make.counter(
                "mailsonar_stray_messages_total",
                "Messages with a tag that were not counted: forged, of unknown probes, in the wrong mailbox.",
                &["account", "region", "kind"],
            ),
        }
    }
}

impl Metrics {
    /// The metrics of an agent with these routes and mailboxes, all at 0.
    pub fn new(region: Region, routes: &[RouteCard], mailboxes: &[(AccountName, ServiceName)]) -> Self {
        let make = Maker::default();
        make.build_info("mailsonar-agent", env!("CARGO_PKG_VERSION"));
        let metrics = Self {
            lanes: Lanes::new(&make),
            mailboxes: Mailboxes::new(&make),
            missed: make.counter(
                "mailsonar_schedule_missed_total",
                "Scheduled probes that were not sent.",
                &["service", "route", "direction", "region"],
            ),
            certificate: make.gauge(
                "mailsonar_tls_certificate_expiry_timestamp_seconds",
                "When the certificate last shown at an endpoint ends.",
                &["service", "region", "endpoint"],
            ),
            pending: make
                .one_int_gauge("mailsonar_ship_pending", "Records the collector has not acknowledged."),
            shipments: make.counter(
                "mailsonar_shipments_total",
                "Batches posted to the collector, by how that went.",
                &["result"],
            ),
            drift: make.one_gauge(
                "mailsonar_agent_clock_drift_seconds",
                "How far the wall clock has moved from the steady clock since the agent started.",
            ),
            region,
            make,
        };
        for card in routes {
            metrics.lanes.announce(&metrics.region, card);
            metrics.missed(card, 0);
        }
        for how in [Shipped::Taken, Shipped::Later, Shipped::Refused] {
            metrics.shipments.with_label_values(&[how.as_str()]);
        }
        for (account, provider) in mailboxes {
            metrics.expect_mailbox(account, provider);
        }
        metrics
    }

    /// Brings a mailbox's series into being.
    fn expect_mailbox(&self, account: &AccountName, provider: &ServiceName) {
        let labels = [account.as_str(), provider.as_str(), self.region.as_str()];
        let [account, provider, region] = labels;
        self.mailboxes.up.with_label_values(&labels);
        for (stage, class) in USUAL_FAILURES {
            let labels = [account, provider, region, stage.as_str(), class.as_str()];
            self.mailboxes.failures.with_label_values(&labels);
        }
        for stray in Stray::ALL {
            self.mailboxes.strays.with_label_values(&[account, region, stray.as_str()]);
        }
    }

    /// Hears of a change in the ledger.
    pub fn changed(&self, change: &Change) {
        let Change { before, after } = change;
        self.lanes.changed(&self.region, before.as_ref(), after);
        let is_new = before.as_ref().is_none_or(|before| before.peer.is_none());
        if let (true, Some(peer)) = (is_new, &after.peer)
            && let Some(expires) = peer.certificate_expires_at
        {
            let endpoint = format!("{}:{}", peer.host, peer.port);
            let labels = [after.service.as_str(), self.region.as_str(), &endpoint];
            self.certificate.with_label_values(&labels).set(expires.as_duration().as_secs_f64());
        }
    }

    /// Hears how many scheduled probes of a route were not sent since the start.
    pub fn missed(&self, card: &RouteCard, total: u64) {
        let (service, route) = (card.service.as_str(), card.route.as_str());
        let labels = [service, route, card.direction.as_str(), self.region.as_str()];
        let counter = self.missed.with_label_values(&labels);
        counter.inc_by(total.saturating_sub(counter.get()));
    }

    /// Takes the figures that are asked for rather than told.
    pub fn take(&self, counts: &Counts, routes: &HashMap<RouteName, RouteCard>, clock: &SharedClock) {
        let now = clock.now();
        for (name, card) in routes {
            let flight = counts.in_flight.get(name).map_or(Flight::default(), |(count, oldest)| Flight {
                count: *count,
                oldest_seconds: now.duration_since(*oldest).as_secs_f64().max(0.0),
            });
            self.lanes.under_way(&self.region, card, flight);
        }
        self.pending.set(i64::try_from(counts.unacknowledged).unwrap_or(i64::MAX));
        self.drift.set(clock.drift().as_secs_f64());
    }

    /// Takes whether a mailbox is watched.
    pub fn mailbox(&self, account: &AccountName, service: &ServiceName, up: bool) {
        let labels = [account.as_str(), service.as_str(), self.region.as_str()];
        self.mailboxes.up.with_label_values(&labels).set(i64::from(up));
    }

    /// Hears how a shipment went.
    pub fn shipped(&self, how: Shipped) {
        self.shipments.with_label_values(&[how.as_str()]).inc();
    }

    /// All of it in Prometheus' text format.
    pub fn text(&self) -> String {
        self.make.text()
    }
}

/// Lends the watchers' doings to the metrics.
pub struct WatcherMetrics(pub Arc<Metrics>);

impl Observer for WatcherMetrics {
    fn step(&self, account: &AccountName, provider: &ServiceName, step: StageTime) {
        let labels = [account.as_str(), provider.as_str(), self.0.region.as_str(), step.stage.as_str()];
        let took = std::time::Duration::from_micros(step.took_us).as_secs_f64();
        self.0.mailboxes.stages.with_label_values(&labels).observe(took);
    }

    fn trouble(&self, account: &AccountName, provider: &ServiceName, trouble: &Trouble) {
        let (region, stage, class) = (self.0.region.as_str(), trouble.stage.as_str(), trouble.class.as_str());
        let labels = [account.as_str(), provider.as_str(), region, stage, class];
        self.0.mailboxes.failures.with_label_values(&labels).inc();
    }

    fn stray(&self, account: &AccountName, stray: Stray) {
        let labels = [account.as_str(), self.0.region.as_str(), stray.as_str()];
        self.0.mailboxes.strays.with_label_values(&labels).inc();
    }
}
