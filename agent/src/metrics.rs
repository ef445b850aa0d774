//! The agent's own `/metrics`, so that it is useful with Prometheus alone.
//!
//! Hears what the casebook, the watchers and the shipper tell; decides nothing. How mail flows is
//! counted in `mailsonar-meters`, as at the collector; what only an agent knows is counted here.

use std::collections::HashMap;
use std::sync::Arc;

use mailsonar_clock::SharedClock;
use mailsonar_meters::{Flight, Lanes, Maker, STAGE_BOUNDS};
use mailsonar_protocol::{
    AccountName, Class, Quota, Region, RouteCard, RouteName, ServiceName, Stage, StageTime,
};
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
    quota: GaugeVec,
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
            quota: make.gauge(
                "mailsonar_mailbox_quota_used_ratio",
                "The part of the mailbox's quota that is used, 1 when it is full; absent where the server tells none.",
                &["account", "service", "region"],
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

    /// Takes whether a mailbox is watched, and how full it is.
    pub fn mailbox(&self, account: &AccountName, service: &ServiceName, up: bool, quota: Option<Quota>) {
        let labels = [account.as_str(), service.as_str(), self.region.as_str()];
        self.mailboxes.up.with_label_values(&labels).set(i64::from(up));
        match quota {
            Some(quota) => self.mailboxes.quota.with_label_values(&labels).set(quota.used_ratio()),
            // It was not there: as good as gone.
            None => drop(self.mailboxes.quota.remove_label_values(&labels)),
        }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::{SignedDuration, Timestamp};
    use mailsonar_protocol::{Direction, Door, Record};

    use super::*;
    use crate::verdict::tests::{accepted_at, at, copy, failed, fresh, seen};
    use crate::verdict::{Case, Fact, Sighting, learn};

    const LANE: &str = r#"direction="loop",region="eu",route="loop",service="acme""#;

    fn card() -> RouteCard {
        RouteCard {
            route: "loop".parse().expect("a name"),
            service: "acme".parse().expect("a name"),
            reference: None,
            direction: Direction::Loop,
            door: Door::Submission,
            canary: None,
            from: None,
            to: None,
            interval_us: 60_000_000,
            deadline_us: 60_000_000,
        }
    }

    fn bob() -> (AccountName, ServiceName) {
        ("bob".parse().expect("a name"), "acme".parse().expect("a name"))
    }

    fn metrics() -> Arc<Metrics> {
        Arc::new(Metrics::new("eu".parse().expect("a name"), &[card()], &[bob()]))
    }

    /// The metrics after a probe of which these facts were learned, one after the other.
    fn after(facts: impl IntoIterator<Item = Fact>) -> Arc<Metrics> {
        let metrics = metrics();
        let mut case: Case = fresh(1);
        metrics.changed(&Change { before: None, after: case.record.clone() });
        for fact in facts {
            let Some(next) = learn(&case, fact, at(200)) else { continue };
            metrics.changed(&Change { before: Some(case.record), after: next.record.clone() });
            case = next;
        }
        metrics
    }

    /// Every sample in the text, by its name and labels.
    fn samples(metrics: &Metrics) -> BTreeMap<String, f64> {
        let text = metrics.text();
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let sample = |line: &str| {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            (series.to_owned(), value.parse().unwrap_or_else(|_| panic!("{line}")))
        };
        lines.map(sample).collect()
    }

    fn value(metrics: &Metrics, series: &str) -> f64 {
        let samples = samples(metrics);
        *samples.get(series).unwrap_or_else(|| panic!("no {series} in\n{}", metrics.text()))
    }

    /// A counter of the lane with one more label, which sorts where it is put.
    fn probes(metrics: &Metrics, outcome: &str) -> f64 {
        let lane = LANE.replace(",region", &format!(r#",outcome="{outcome}",region"#));
        value(metrics, &format!("mailsonar_probes_total{{{lane}}}"))
    }

    fn latencies(metrics: &Metrics) -> f64 {
        value(metrics, &format!("mailsonar_delivery_latency_seconds_count{{{LANE}}}"))
    }

    /// How many steps of each stage were counted.
    fn steps(metrics: &Metrics) -> BTreeMap<String, f64> {
        let samples = samples(metrics);
        let counts =
            samples.into_iter().filter(|(name, _)| name.starts_with("mailsonar_stage_seconds_count"));
        let stage = |name: String| name.split("stage=\"").nth(1).expect("a stage").replace("\"}", "");
        counts.map(|(name, count)| (stage(name), count)).collect()
    }

    #[test]
    fn what_alerts_are_written_for_is_there_at_nought_from_the_start() {
        let metrics = metrics();
        let lane = |more: &str| LANE.replace(",region", &format!(",{more},region"));
        let mailbox = r#"account="bob","#;
        let class = |class: &str, stage: &str| {
            format!(r#"mailsonar_failures_total{{class="{class}",{LANE},stage="{stage}"}}"#)
        };
        let expected = [
            class("auth", "auth"),
            class("connect", "connect"),
            class("missing", "transit"),
            class("permanent", "envelope"),
            format!("mailsonar_probes_total{{{}}}", lane(r#"outcome="lost""#)),
            format!("mailsonar_probes_total{{{}}}", lane(r#"outcome="unknown""#)),
            format!("mailsonar_delivery_latency_seconds_count{{{LANE}}}"),
            format!("mailsonar_duplicates_total{{{LANE}}}"),
            format!("mailsonar_in_flight{{{LANE}}}"),
            format!("mailsonar_oldest_in_flight_seconds{{{LANE}}}"),
            format!("mailsonar_last_delivered_timestamp_seconds{{{LANE}}}"),
            format!("mailsonar_schedule_missed_total{{{LANE}}}"),
            "mailsonar_ship_pending".to_owned(),
            "mailsonar_agent_clock_drift_seconds".to_owned(),
            r#"mailsonar_shipments_total{result="refused"}"#.to_owned(),
            format!(r#"mailsonar_mailbox_up{{{mailbox}region="eu",service="acme"}}"#),
            format!(r#"mailsonar_stray_messages_total{{{mailbox}kind="forged",region="eu"}}"#),
        ];
        for series in expected {
            assert_eq!(value(&metrics, &series).to_string(), "0", "{series}");
        }
        let moved = samples(&metrics).into_iter().filter(|(_, value)| *value != 0.0);
        let moved: Vec<_> = moved.map(|(series, _)| series).collect();
        assert!(moved.len() == 1 && moved[0].starts_with("mailsonar_build_info"), "{moved:?}");
    }

    #[test]
    fn a_delivery_is_counted_once_with_its_latency_and_its_steps() {
        let metrics = after([accepted_at(at(2)), Fact::Sighted(seen(at(5)))]);
        assert_eq!(probes(&metrics, "delivered").to_string(), "1");
        assert_eq!(latencies(&metrics).to_string(), "1");
        let sum = value(&metrics, &format!("mailsonar_delivery_latency_seconds_sum{{{LANE}}}"));
        assert!((sum - 3.0).abs() < 1e-9, "{sum}");
        let expected = ["data", "resolve", "retrieve", "verify"].map(|stage| (stage.to_owned(), 1.0));
        assert_eq!(steps(&metrics), BTreeMap::from(expected));
        let last = value(&metrics, &format!("mailsonar_last_delivered_timestamp_seconds{{{LANE}}}"));
        assert!((last - 1_000_005.0).abs() < 1e-6, "{last}");
    }

    #[test]
    fn the_order_of_acceptance_and_arrival_changes_no_figure() {
        for second in [1, 2, 5, 100] {
            let (accepted, arrived) = (accepted_at(at(2)), Fact::Sighted(seen(at(second))));
            let one = after([accepted.clone(), arrived.clone()]);
            let other = after([arrived, accepted]);
            assert_eq!(one.text(), other.text(), "seen {second} s after the start");
        }
    }

    #[test]
    fn failures_are_counted_by_place_and_never_enter_a_histogram() {
        let metrics = after([failed(Stage::Envelope, Class::Permanent, "permanent")]);
        assert_eq!(probes(&metrics, "refused").to_string(), "1");
        let failure = format!(r#"mailsonar_failures_total{{class="permanent",{LANE},stage="envelope"}}"#);
        assert_eq!(value(&metrics, &failure).to_string(), "1");
        assert_eq!(latencies(&metrics).to_string(), "0", "I13");
        assert_eq!(steps(&metrics), BTreeMap::new(), "I13");
    }

    #[test]
    fn lost_and_then_late_is_one_probe_and_one_revision() {
        let metrics = after([
            accepted_at(at(2)),
            Fact::SearchedInVain { begun_at: at(70) },
            Fact::Sighted(seen(at(100))),
        ]);
        assert_eq!(probes(&metrics, "lost").to_string(), "1");
        assert_eq!(probes(&metrics, "late").to_string(), "0");
        let ends = |more: &str| LANE.replace(",region", more).replace("acme\"", "acme\",to=\"late\"");
        let revised = format!("mailsonar_probes_revised_total{{{}}}", ends(",from=\"lost\",region"));
        assert_eq!(value(&metrics, &revised).to_string(), "1");
        assert_eq!(latencies(&metrics).to_string(), "1", "a late message has a latency too");
    }

    #[test]
    fn a_latency_that_nobody_was_there_to_see_is_not_counted() {
        let scanned = |at: Timestamp| Fact::Sighted(Sighting { absent_at: None, ..seen(at) });
        let metrics = after([accepted_at(at(2)), scanned(at(40))]);
        assert_eq!(probes(&metrics, "delivered").to_string(), "1");
        assert_eq!(latencies(&metrics).to_string(), "0", "between nought and 38 s is no latency");
    }

    #[test]
    fn junk_and_altered_mail_has_no_latency_and_copies_are_counted() {
        let junk = Sighting { junk: true, ..seen(at(5)) };
        let metrics = after([accepted_at(at(2)), Fact::Sighted(junk)]);
        assert_eq!(latencies(&metrics).to_string(), "0");
        let again = |uid| Fact::Sighted(Sighting { copy: copy("INBOX", 1, uid), ..seen(at(6)) });
        let metrics = after([accepted_at(at(2)), again(1), again(2), again(2), again(3)]);
        assert_eq!(value(&metrics, &format!("mailsonar_duplicates_total{{{LANE}}}")).to_string(), "2");
        assert_eq!(probes(&metrics, "delivered").to_string(), "1");
        assert_eq!(latencies(&metrics).to_string(), "1");
    }

    #[test]
    fn missed_turns_are_told_as_a_total_and_counted_once() {
        let metrics = metrics();
        for total in [0, 3, 3, 5, 4] {
            metrics.missed(&card(), total);
        }
        assert_eq!(value(&metrics, &format!("mailsonar_schedule_missed_total{{{LANE}}}")).to_string(), "5");
    }

    struct Fixed;
    impl mailsonar_clock::Clock for Fixed {
        fn now(&self) -> Timestamp {
            at(100)
        }
        fn civil(&self) -> Timestamp {
            at(100).checked_sub(SignedDuration::from_secs(2)).expect("a time")
        }
    }

    #[test]
    fn what_is_in_flight_is_said_with_its_age_and_falls_to_nought_again() {
        let metrics = metrics();
        let routes = HashMap::from([(card().route, card())]);
        let clock: SharedClock = Arc::new(Fixed);
        let in_flight = HashMap::from([(card().route, (4, at(70)))]);
        metrics.take(&Counts { unacknowledged: 9, in_flight }, &routes, &clock);
        let read = |name: &str| value(&metrics, name).to_string();
        assert_eq!(read(&format!("mailsonar_in_flight{{{LANE}}}")), "4");
        assert_eq!(read(&format!("mailsonar_oldest_in_flight_seconds{{{LANE}}}")), "30");
        assert_eq!(read("mailsonar_ship_pending"), "9");
        assert_eq!(read("mailsonar_agent_clock_drift_seconds"), "-2", "the wall clock is behind");
        metrics.take(&Counts::default(), &routes, &clock);
        assert_eq!(read(&format!("mailsonar_in_flight{{{LANE}}}")), "0");
        assert_eq!(read(&format!("mailsonar_oldest_in_flight_seconds{{{LANE}}}")), "0");
        assert_eq!(read("mailsonar_ship_pending"), "0");
    }

    #[test]
    fn a_certificate_that_was_renewed_is_seen() {
        let metrics = after([accepted_at(at(2))]);
        let series = r#"mailsonar_tls_certificate_expiry_timestamp_seconds{endpoint="smtp.acme.example:465",region="eu",service="acme"}"#;
        assert_eq!(value(&metrics, series).to_string(), (1_000_000 + 90 * 86_400).to_string());
    }

    #[test]
    fn mailboxes_strays_and_shipments_are_counted() {
        let metrics = metrics();
        let ((account, provider), observer) = (bob(), WatcherMetrics(metrics.clone()));
        metrics.mailbox(&account, &provider, true, Some(Quota { used_kib: 3, limit_kib: 4 }));
        let trouble = Trouble::new(Stage::Login, Class::Auth, "refused", "no");
        observer.trouble(&account, &provider, &trouble);
        observer.step(&account, &provider, StageTime { stage: Stage::Login, took_us: 20_000 });
        for stray in [Stray::Forged, Stray::Unknown, Stray::WrongMailbox] {
            observer.stray(&account, stray);
        }
        for how in [Shipped::Taken, Shipped::Later, Shipped::Refused] {
            metrics.shipped(how);
        }
        let once = [
            r#"mailsonar_mailbox_up{account="bob",region="eu",service="acme"}"#,
            r#"mailsonar_mailbox_failures_total{account="bob",class="auth",region="eu",service="acme",stage="login"}"#,
            r#"mailsonar_mailbox_stage_seconds_count{account="bob",region="eu",service="acme",stage="login"}"#,
            r#"mailsonar_stray_messages_total{account="bob",kind="forged",region="eu"}"#,
            r#"mailsonar_stray_messages_total{account="bob",kind="unknown",region="eu"}"#,
            r#"mailsonar_stray_messages_total{account="bob",kind="wrong_mailbox",region="eu"}"#,
            r#"mailsonar_shipments_total{result="taken"}"#,
            r#"mailsonar_shipments_total{result="later"}"#,
            r#"mailsonar_shipments_total{result="refused"}"#,
        ];
        for series in once {
            assert_eq!(value(&metrics, series).to_string(), "1", "{series}");
        }
    }

    #[test]
    fn words_of_others_do_not_break_the_text() {
        let metrics = metrics();
        let Fact::Submitted { stages, peer, asides, ending, attempt } = accepted_at(at(2)) else {
            unreachable!()
        };
        let host = "evil\"}\nmailsonar_probes_total 7\\".into();
        let peer = peer.map(|peer| mailsonar_protocol::Peer { host, ..peer });
        let case = fresh(1);
        let fact = Fact::Submitted { stages, peer, asides, ending, attempt };
        let after: Record = learn(&case, fact, at(2)).expect("a revision").record;
        metrics.changed(&Change { before: Some(case.record), after });
        let samples = samples(&metrics);
        assert!(samples.keys().any(|series| series.contains(r#"endpoint="evil\"}\nmailsonar"#)));
        assert!(!samples.keys().any(|series| series == "mailsonar_probes_total"));
    }
}
