//! What the stories need: a clock, agents' batches, a collector behind a socket, a pager to call.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};
use mailsonar_clock::{Clock, SharedClock};
use mailsonar_collector::incident::Addressees;
use mailsonar_collector::notify::{HttpPost, Post};
use mailsonar_collector::store::{Desks, Store};
use mailsonar_collector::{Collector, Config, ingest};
use mailsonar_protocol::*;
use mailsonar_settings::Document;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

/// 2026-11-24T11:00:00Z.
pub(crate) const ELEVEN: i64 = 1_795_518_000;

/// So many seconds after eleven.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(ELEVEN + seconds).expect("in range")
}

/// A clock that stands until it is moved.
pub(crate) struct Hand {
    now: Mutex<Timestamp>,
    /// How far the wall clock has jumped.
    jumped: Mutex<SignedDuration>,
}

impl Hand {
    pub(crate) fn at(seconds: i64) -> Arc<Self> {
        Arc::new(Self { now: Mutex::new(at(seconds)), jumped: Mutex::default() })
    }

    pub(crate) fn forward(&self, duration: SignedDuration) {
        let mut now = self.now.lock().expect("no panic while held");
        *now = now.checked_add(duration).expect("in range");
    }

    /// The machine's wall clock is set to another hour; the steady time knows nothing of it.
    pub(crate) fn jump(&self, by: SignedDuration) {
        *self.jumped.lock().expect("no panic while held") = by;
    }

    pub(crate) fn set(&self, seconds: i64) {
        *self.now.lock().expect("no panic while held") = at(seconds);
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        *self.now.lock().expect("no panic while held")
    }

    fn civil(&self) -> Timestamp {
        self.now() + *self.jumped.lock().expect("no panic while held")
    }
}

pub(crate) const TOKEN: &str = "mst_eu-token";
pub(crate) const OTHER_TOKEN: &str = "mst_us-token";
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Two agents, and whatever else.
pub(crate) fn configuration(more: &str) -> String {
    let (eu, us) = (ingest::token_hash(TOKEN), ingest::token_hash(OTHER_TOKEN));
    format!(
        "listen = \"127.0.0.1:0\"\npublic_url = \"http://collector.example/\"\n[store]\npath = \"c.db\"\n\
         [agents.eu-1]\nregion = \"eu\"\ntoken_sha256 = \"{eu}\"\n\
         [agents.us-1]\nregion = \"us\"\ntoken_sha256 = \"{us}\"\n{more}\n"
    )
}

/// A webhook notifier.
pub(crate) fn webhook(address: SocketAddr) -> String {
    format!(
        "[notifiers.pager]\ntype = \"webhook\"\nurl = \"http://{address}/hook\"\nsecret = \"{SECRET}\"\ntimeout = \"300ms\"\n"
    )
}

pub(crate) fn configured(more: &str) -> Config {
    Config::from_document(&Document::new("collector.toml", configuration(more)))
        .expect("a good configuration")
}

/// Whom pages of this configuration are owed.
pub(crate) fn addressees(config: &Config) -> Addressees {
    Addressees { notifiers: config.notifiers.addressees(), public_url: config.public_url.clone() }
}

/// A collector behind a socket.
pub(crate) struct Served {
    pub(crate) collector: Collector,
    pub(crate) desks: Desks,
    pub(crate) base: String,
    pub(crate) http: reqwest::Client,
    pub(crate) addressees: Arc<Addressees>,
    clock: SharedClock,
    _serving: AbortOnDropHandle<()>,
}

impl Served {
    pub(crate) async fn with(config: Config, clock: SharedClock, store: Store) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let desks = Desks::threaded(store).expect("a thread");
        let post: Arc<dyn Post> = Arc::new(HttpPost::new().expect("a client"));
        let addressees = Arc::new(addressees(&config));
        let own = clock.clone();
        let collector = Collector::start(config, clock, desks.clone(), &post).await.expect("it starts");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("bound"));
        let router = collector.router();
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self {
            collector,
            desks,
            base,
            http,
            addressees,
            clock: own,
            _serving: AbortOnDropHandle::new(serving),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) async fn start(clock: &Arc<Hand>) -> Self {
        Self::with(configured(""), clock.clone(), crate::home::store()).await
    }

    pub(crate) async fn post(&self, token: &str, batch: &Batch) -> (u16, serde_json::Value) {
        self.post_raw(token, &[], serde_json::to_vec(batch).expect("JSON")).await
    }

    pub(crate) async fn post_raw(
        &self,
        token: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> (u16, serde_json::Value) {
        let mut request = self.http.post(format!("{}{BATCHES_PATH}", self.base)).body(body);
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.expect("an answer");
        (response.status().as_u16(), response.json().await.expect("JSON"))
    }

    /// Posts a batch that must be taken.
    pub(crate) async fn take(&self, batch: &Batch) -> Answer {
        let token = if batch.agent.as_str() == "eu-1" { TOKEN } else { OTHER_TOKEN };
        let (status, body) = self.post(token, batch).await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_value(body).expect("an answer")
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let response = self.http.get(format!("{}{path}", self.base)).send().await.expect("an answer");
        (response.status().as_u16(), response.text().await.expect("text"))
    }

    pub(crate) async fn json(&self, path: &str) -> serde_json::Value {
        let (status, body) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).expect("JSON")
    }

    pub(crate) async fn probes(&self) -> usize {
        self.json("/api/v1/probes").await["probes"].as_array().expect("a list").len()
    }

    /// The value of one series.
    pub(crate) async fn series(&self, name: &str) -> Option<f64> {
        let (_, text) = self.get("/metrics").await;
        let line =
            text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
        line.map(|value| value.parse().expect("a number"))
    }
}

/// A record of a loop probe, accepted after 2 s.
pub(crate) fn record(id: u128, revision: u32, started: i64, outcome: Outcome) -> Record {
    let before = matches!(outcome, Outcome::Unreachable | Outcome::Refused | Outcome::Deferred);
    let good = matches!(outcome, Outcome::Delivered | Outcome::InFlight);
    let late = if outcome == Outcome::Late { 400 } else { 3 };
    Record {
        probe: ProbeId(Uuid::from_u128(id)),
        revision,
        service: "acme".parse().expect("a name"),
        reference: None,
        route: "loop".parse().expect("a name"),
        direction: Direction::Loop,
        door: Door::Submission,
        confirmation: false,
        canary: None,
        scheduled_at: at(started),
        started_at: at(started),
        due_at: at(started + 302),
        stages: vec![
            StageTime { stage: Stage::Resolve, took_us: 1_000 },
            StageTime { stage: Stage::Connect, took_us: 20_000 },
        ],
        peer: None,
        accepted: (!before).then(|| Acceptance {
            at: at(started + 2),
            reply: "250 ok".into(),
            queue_id: None,
        }),
        arrival: outcome.has_arrived().then(|| Arrival {
            visible_at: at(started + late),
            seen_by: SeenBy::Noop,
            uncertainty_us: 5_000,
            folder: "INBOX".into(),
            junk: false,
            copy: (1, 1),
            intact: true,
        }),
        duplicates: 0,
        searched_at: None,
        handover: Handover::default(),
        journey: Journey::default(),
        evidence: Vec::new(),
        verdict: Verdict {
            outcome,
            stage: (!good).then_some(if before { Stage::Greeting } else { Stage::Transit }),
            class: (!good).then_some(if before { Class::Timeout } else { Class::Missing }),
            reason: if before { "no answer within 10.0 s".into() } else { Text::default() },
            at: at(started + late),
        },
    }
}

/// A batch of the agent in Europe, sent at that second.
pub(crate) fn batch(sent: i64, records: Vec<Record>) -> Batch {
    Batch {
        protocol: VERSION,
        agent: "eu-1".parse().expect("a name"),
        region: "eu".parse().expect("a name"),
        software: "test".into(),
        sent_at: at(sent),
        routes: Some(vec![RouteCard {
            route: "loop".parse().expect("a name"),
            service: "acme".parse().expect("a name"),
            reference: None,
            direction: Direction::Loop,
            door: Door::Submission,
            canary: None,
            from: None,
            to: None,
            interval_us: 60_000_000,
            deadline_us: 300_000_000,
        }]),
        health: AgentHealth::default(),
        records,
    }
}

/// The same from the agent in America.
pub(crate) fn from_us(batch: Batch) -> Batch {
    Batch { agent: "us-1".parse().expect("a name"), region: "us".parse().expect("a name"), ..batch }
}

/// Waits until something holds, for ten seconds at most.
pub(crate) async fn eventually<F: AsyncFnMut() -> bool>(what: &str, mut holds: F) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    let result = tokio::time::timeout(std::time::Duration::from_secs(10), waiting).await;
    assert!(result.is_ok(), "in vain waited until {what}");
}
