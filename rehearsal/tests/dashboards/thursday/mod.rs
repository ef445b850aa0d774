//! The fixture: a Thursday on which the service's provider loses a switch, from nine to three.
//!
//! ```text
//! 10:17 one message is greylisted      12:10 the second site accepts mail
//! 11:00 the switch dies                13:05 new mail is on time again
//!                                      13:45 the backlog is drained
//!                                      14:20 singapore's own network fails, for a quarter of an hour
//! ```
//! The probes are written here; what is made of them is production's: three agents' metrics, and a
//! whole collector on simulated time, all scraped once a minute. The same at every run.

mod plot;
mod scrape;

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use mailsonar_agent::ledger::{Change, Counts};
use mailsonar_agent::metrics::Metrics;
use mailsonar_agent::ship::Shipped;
use mailsonar_clock::{Clock, SharedClock};
use mailsonar_collector::notify::{Post, PostError, PostReply, PostRequest};
use mailsonar_collector::store::{Desks, Store};
use mailsonar_collector::{Collector, Config, ingest};
use mailsonar_protocol::{
    AccountName, AgentHealth, BATCHES_PATH, Batch, MailboxHealth, ProbeId, Quota, Record, RouteCard,
    ServiceName, Text, VERSION,
};
use mailsonar_settings::Document;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;
use tower::ServiceExt;

pub(crate) use plot::{ACCEPTING, CUT_OFF, DRAINED, END, OUTAGE, at, float};
use plot::{Event, REFERENCE, REGIONS, Region, SERVICE};
pub(crate) use scrape::{Scrape, block, series};

/// From one scrape to the next, in seconds.
pub(crate) const SCRAPE: i64 = 60;
/// From one batch of an agent to the next.
const SHIP: i64 = 30;

/// What Prometheus would have gathered that day. It is lived through once, for all who ask.
pub(crate) fn scrapes() -> &'static [Scrape] {
    static SCRAPES: OnceLock<Vec<Scrape>> = OnceLock::new();
    SCRAPES.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        // begun inside, where the paused clock is
        runtime.expect("a runtime").block_on(async { Day::begin().run().await })
    })
}

struct Day {
    began: Instant,
    clock: SharedClock,
    agents: Vec<Agent>,
    scrapes: Vec<Scrape>,
}

impl Day {
    #[expect(clippy::disallowed_methods, reason = "the runtime's own time")]
    fn begin() -> Self {
        // The last resort of the libraries; another test may have installed it.
        rustls::crypto::ring::default_provider().install_default().ok();
        let began = Instant::now();
        let agents = REGIONS.iter().map(Agent::new).collect();
        Self { began, clock: Arc::new(Simulated(began)), agents, scrapes: Vec::new() }
    }

    async fn run(mut self) -> Vec<Scrape> {
        let post: Arc<dyn Post> = Arc::new(Pager);
        let desks = Desks::inline(Store::in_memory().expect("a store"));
        let collector =
            Collector::start(configured(), self.clock.clone(), desks, &post).await.expect("it starts");
        let _running = AbortOnDropHandle::new(tokio::spawn(collector.clone().run()));
        for second in 0..END {
            sleep_until(self.began + Duration::from_secs(second.unsigned_abs())).await;
            for (place, agent) in (0_i64..).zip(&mut self.agents) {
                agent.live(second);
                if second % SHIP == place * 10 {
                    agent.ship(&collector, second).await;
                }
            }
            if second % SCRAPE == 0 {
                self.scrape(&collector, second).await;
            }
        }
        self.scrapes
    }

    async fn scrape(&mut self, collector: &Collector, second: i64) {
        let request = Request::get("/metrics").body(Body::empty()).expect("a request");
        let answer = collector.router().oneshot(request).await.expect("an answer");
        let bytes = to_bytes(answer.into_body(), usize::MAX).await.expect("a page");
        let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
        self.scrapes.push(Scrape::new("mailsonar-collector", "collector.example:9920", second, text));
        for agent in &self.agents {
            let instance = format!("agent-{}.example:9925", agent.region.name);
            self.scrapes.push(Scrape::new("mailsonar-agent", &instance, second, agent.metrics(second)));
        }
    }
}

/// One agent: its metrics, and what it has to ship.
struct Agent {
    region: &'static Region,
    metrics: Arc<Metrics>,
    cards: Vec<RouteCard>,
    coming: Vec<Event>,
    known: HashMap<ProbeId, Record>,
    unshipped: BTreeMap<ProbeId, u32>,
}

impl Agent {
    fn new(region: &'static Region) -> Self {
        let cards = plot::cards();
        let metrics = Arc::new(Metrics::new(region.name(), &cards, &mailboxes()));
        let mut coming = region.events();
        coming.sort_by(|one, other| other.second.total_cmp(&one.second));
        Self { region, metrics, cards, coming, known: HashMap::new(), unshipped: BTreeMap::new() }
    }

    /// All that happens until then.
    fn live(&mut self, second: i64) {
        while self.coming.last().is_some_and(|event| event.second < float(second)) {
            let after = self.coming.pop().expect("there is one").record;
            self.unshipped.insert(after.probe, after.revision);
            let before = self.known.insert(after.probe, after.clone());
            self.metrics.changed(&Change { before, after });
        }
    }

    async fn ship(&mut self, collector: &Collector, second: i64) {
        if self.region.is_cut_off(second) {
            self.metrics.shipped(Shipped::Later);
            return;
        }
        let records: Vec<_> = self.unshipped.keys().take(500).map(|id| self.known[id].clone()).collect();
        let health = AgentHealth {
            unacknowledged: self.unshipped.len() as u64,
            in_flight: self.in_flight().len() as u64,
            mailboxes: mailboxes().into_iter().map(|(account, service)| healthy(account, service)).collect(),
            ..AgentHealth::default()
        };
        let batch = Batch {
            protocol: VERSION,
            agent: format!("{}-1", self.region.name).parse().expect("a name"),
            region: self.region.name(),
            software: "rehearsal".into(),
            sent_at: self.region.at(float(second)),
            routes: (second % 60 < SHIP).then(|| self.cards.clone()),
            health,
            records,
        };
        let request = Request::post(BATCHES_PATH)
            .header("authorization", format!("Bearer {}", token(self.region.name)))
            .body(Body::from(serde_json::to_vec(&batch).expect("JSON")))
            .expect("a request");
        let answer = collector.router().oneshot(request).await.expect("an answer");
        assert_eq!(answer.status(), 200, "the collector takes what agents send");
        for record in &batch.records {
            self.unshipped.remove(&record.probe);
        }
        self.metrics.shipped(Shipped::Taken);
    }

    fn in_flight(&self) -> Vec<&Record> {
        self.known.values().filter(|record| !record.is_concluded()).collect()
    }

    fn metrics(&self, second: i64) -> String {
        let mut counts = Counts { unacknowledged: self.unshipped.len() as u64, in_flight: HashMap::new() };
        for record in self.in_flight() {
            let lane = counts.in_flight.entry(record.route.clone()).or_insert((0, record.started_at));
            *lane = (lane.0 + 1, lane.1.min(record.started_at));
        }
        let routes = self.cards.iter().map(|card| (card.route.clone(), card.clone())).collect();
        let clock: SharedClock = Arc::new(Stopped(self.region.at(float(second))));
        self.metrics.take(&counts, &routes, &clock);
        for (account, service) in mailboxes() {
            let quota = Quota { used_kib: 41_943, limit_kib: 1_048_576 };
            self.metrics.mailbox(&account, &service, !self.region.is_cut_off(second), Some(quota));
        }
        self.metrics.text()
    }
}

fn mailboxes() -> Vec<(AccountName, ServiceName)> {
    let mailbox =
        |account: &str, service: &str| (account.parse().expect("a name"), service.parse().expect("a name"));
    vec![mailbox("own", SERVICE), mailbox("far", REFERENCE)]
}

fn healthy(account: AccountName, service: ServiceName) -> MailboxHealth {
    MailboxHealth { account, service, unreachable_since: None, trouble: None, quota: None }
}

fn token(region: &str) -> String {
    format!("mst_{region}")
}

fn configured() -> Config {
    let mut text = String::from(
        "listen = \"127.0.0.1:0\"\npublic_url = \"https://mailsonar.example\"\n[store]\npath = \"c.db\"\n\
         [evaluate]\ntick = \"30s\"\n\
         [notifiers.pager]\ntype = \"webhook\"\nurl = \"https://pager.example/hook\"\n\
         secret = \"whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\"\n",
    );
    for Region { name, .. } in &REGIONS {
        let hash = ingest::token_hash(&token(name));
        writeln!(text, "[agents.{name}-1]\nregion = \"{name}\"\ntoken_sha256 = \"{hash}\"").expect("memory");
    }
    Config::from_document(&Document::new("collector.toml", text)).expect("a good configuration")
}

/// Takes every page.
struct Pager;

impl Post for Pager {
    fn post(&self, _: PostRequest) -> BoxFuture<'_, Result<PostReply, PostError>> {
        Box::pin(async { Ok(PostReply { status: 200, retry_after: None, words: Text::default() }) })
    }
}

/// The runtime's own time, on that Thursday.
struct Simulated(Instant);

impl Clock for Simulated {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn now(&self) -> Timestamp {
        let elapsed = SignedDuration::try_from(Instant::now() - self.0).expect("in range");
        let now = at(0.0) + elapsed;
        Timestamp::from_microsecond(now.as_microsecond()).expect("in range")
    }

    fn civil(&self) -> Timestamp {
        self.now()
    }
}

/// A moment.
struct Stopped(Timestamp);

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        self.0
    }

    fn civil(&self) -> Timestamp {
        self.0
    }
}
