//! Shipping: every revision that the collector has not acknowledged, at least once.
//!
//! The ledger is asked what is owed; nothing is kept here, so a collector that is away for days costs
//! no memory. An empty batch is the heartbeat. A revision is forgotten only after the 2xx (I2).

use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use mailsonar_clock::SharedClock;
use mailsonar_protocol::{
    Acknowledgement, AgentHealth, AgentName, Answer, Batch, Outcome, ProbeId, Record, Region, RouteCard,
    RouteName, Text,
};
use mailsonar_settings::Secret;
use secrecy::ExposeSecret;
use tokio::sync::Notify;

use crate::chance::Chance;
use crate::ledger::{Change, Ledger};
use crate::place::OnPlaced;
use crate::turns::InTurn;

/// Where and how to ship.
#[derive(Debug, Clone)]
pub struct Config {
    /// The collectors' base URLs, without a slash at the end. All of them work on one store.
    pub urls: Vec<String>,
    /// The bearer token.
    pub token: Secret,
    /// A CA beside the system's.
    pub ca_file: Option<PathBuf>,
    /// The longest silence.
    pub heartbeat: Duration,
}

/// The most records in a batch.
const MOST: usize = 500;

/// The most routes that one answer may ask for.
pub(crate) const MOST_ASKED: usize = 1_000;

/// News that somebody may be paged for is shipped at once, with what changes in the same moment.
const GATHER: Duration = Duration::from_millis(20);

/// Other news may wait for more of its kind.
const GATHER_CALM: Duration = Duration::from_secs(1);

/// How often the routes are announced again.
const ANNOUNCE: SignedDuration = SignedDuration::from_secs(60);

const FIRST_AGAIN: Duration = Duration::from_millis(500);
const LAST_AGAIN: Duration = Duration::from_secs(30);

/// The most of an answer that is read.
const ANSWER: usize = 1024 * 1024;

/// The way to the collector: posts a gzip-compressed batch, returns status and body.
pub trait Post: Send + Sync {
    /// # Errors
    /// A sentence, where no answer came.
    fn post(&self, body: Bytes) -> BoxFuture<'_, Result<(u16, Bytes), String>>;

    /// Asks what is to be probed at once; the answer may be held for a while. Where there is no way to
    /// ask, none ever comes.
    fn ask(&self) -> BoxFuture<'_, Result<(u16, Bytes), String>> {
        Box::pin(std::future::pending())
    }
}

/// How a shipment went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shipped {
    /// The collector has it.
    Taken,
    /// No answer, or a 5xx or 429: later.
    Later,
    /// The collector refuses this agent: token, name, version.
    Refused,
}

impl Shipped {
    /// The word for it in a label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Later => "later",
            Self::Refused => "refused",
        }
    }
}

/// Hears how each shipment went.
pub type OnShipped = Arc<dyn Fn(Shipped) + Send + Sync>;

/// Hears of a route that is to be probed at once, out of turn.
pub type OnAsked = Arc<dyn Fn(&RouteName) + Send + Sync>;

/// Asks how the agent is, for each batch; what the ledger knows is added to it.
pub type AskHealth = Arc<dyn Fn() -> AgentHealth + Send + Sync>;

/// The bells of the shipper.
#[derive(Debug, Default)]
pub struct News {
    urgent: Notify,
    calm: Notify,
}

impl News {
    /// Hears of a change in the ledger: a verdict that is not good, the end of one, or an attempt that was
    /// put off is urgent.
    pub fn changed(&self, change: &Change) {
        let was = change.before.as_ref().map_or(Outcome::InFlight, |before| before.verdict.outcome);
        let is = change.after.verdict.outcome;
        let bad = |outcome| !matches!(outcome, Outcome::InFlight | Outcome::Delivered);
        let urgent = was != is && (bad(was) || bad(is)) || change.is_deferral();
        if urgent { self.urgent.notify_one() } else { self.calm.notify_one() }
    }
}

/// Ships one agent's records.
pub struct Shipper {
    /// The agent's name.
    pub agent: AgentName,
    /// Its region.
    pub region: Region,
    /// Its routes.
    pub routes: Vec<RouteCard>,
    /// When they were last announced.
    pub announced: Mutex<Option<Timestamp>>,
    /// The longest silence.
    pub heartbeat: Duration,
    /// What is owed.
    pub ledger: Ledger,
    /// Time.
    pub clock: SharedClock,
    /// Jitter.
    pub chance: Chance,
    /// The way.
    pub post: Arc<dyn Post>,
    /// Rung when a record changes.
    pub news: Arc<News>,
    /// How the agent is.
    pub health: AskHealth,
    /// Who hears how it went.
    pub on_shipped: OnShipped,
    /// Who hears which routes the collector wants to be probed at once.
    pub on_asked: OnAsked,
    /// Who hears when the collector wants routes to have their turns.
    pub on_placed: OnPlaced,
}

/// What to do after an answer.
enum Next {
    /// All well; there may be more.
    On { full: bool },
    /// The batch may hold something the collector cannot take: send less.
    Less { than: usize },
    /// Wait.
    Wait(Shipped),
}

impl Shipper {
    /// Ships for ever.
    pub async fn run(self) {
        let (mut again, mut most) = (FIRST_AGAIN, MOST);
        loop {
            match self.ship(most).await {
                Next::On { full } => {
                    (self.on_shipped)(Shipped::Taken);
                    (again, most) = (FIRST_AGAIN, (most * 2).min(MOST));
                    if !full {
                        self.gather().await;
                    }
                }
                Next::Less { than } => most = (than / 2).max(1),
                Next::Wait(why) => {
                    (self.on_shipped)(why);
                    tokio::time::sleep(again.mul_f64(0.5 + self.chance.fraction() / 2.0)).await;
                    again = (again * 2).min(LAST_AGAIN);
                }
            }
        }
    }

    /// Waits for the next heartbeat, or for news and a little longer.
    async fn gather(&self) {
        let gathered = async {
            tokio::select! {
                biased;
                () = self.news.calm.notified() => {
                    tokio::time::timeout(GATHER_CALM, self.news.urgent.notified()).await.ok();
                }
                () = self.news.urgent.notified() => {}
            }
        };
        if tokio::time::timeout(self.heartbeat, gathered).await.is_ok() {
            tokio::time::sleep(GATHER).await;
        }
    }

    async fn ship(&self, most: usize) -> Next {
        let records = match self.ledger.unacknowledged(most).await {
            Ok(records) => records,
            Err(error) => {
                // The heartbeat goes on: that this agent lives and has trouble is worth knowing.
                tracing::error!(%error, "the ledger cannot say what is owed to the collector");
                Vec::new()
            }
        };
        let sent: Vec<_> =
            records.iter().map(|r| Acknowledgement { probe: r.probe, revision: r.revision }).collect();
        let full = records.len() == most;
        let routes = self.announcement();
        let announces = routes.is_some();
        let body = match packed(&self.batch(records, routes).await) {
            Ok(body) => body,
            Err(error) => {
                tracing::error!(%error, "a batch could not be encoded");
                return Next::Wait(Shipped::Later);
            }
        };
        match self.post.post(body).await {
            Ok((200..=299, answer)) => {
                if announces {
                    *self.announced.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.clock.now());
                }
                self.taken(&sent, &answer, full).await
            }
            Ok((413, _)) if sent.len() > 1 => Next::Less { than: sent.len() },
            Ok((409 | 422, answer)) if !sent.is_empty() => self.unacceptable(sent, &answer, full).await,
            Ok((status, answer)) => {
                let words = Text::from_bytes(&answer);
                tracing::warn!(status, %words, "the collector did not take the batch");
                let later = status >= 500 || status == 429;
                Next::Wait(if later { Shipped::Later } else { Shipped::Refused })
            }
            Err(error) => {
                tracing::warn!(error, "the collector is out of reach");
                Next::Wait(Shipped::Later)
            }
        }
    }

    /// The routes, where they are to be announced again.
    fn announcement(&self) -> Option<Vec<RouteCard>> {
        let announced = *self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        let is_fresh = announced.is_some_and(|at| self.clock.now().duration_since(at) < ANNOUNCE);
        (!is_fresh).then(|| self.routes.clone())
    }

    async fn batch(&self, records: Vec<Record>, routes: Option<Vec<RouteCard>>) -> Batch {
        let mut health = (self.health)();
        if let Ok(counts) = self.ledger.counts().await {
            health.unacknowledged = counts.unacknowledged;
            health.in_flight = counts.in_flight.values().map(|(count, _)| count).sum();
        }
        Batch {
            protocol: mailsonar_protocol::VERSION,
            agent: self.agent.clone(),
            region: self.region.clone(),
            software: concat!("mailsonar-agent ", env!("CARGO_PKG_VERSION")).into(),
            sent_at: self.clock.now(),
            routes,
            health,
            records,
        }
    }

    /// Forgets what the collector says it has, of what it was sent.
    async fn taken(&self, sent: &[Acknowledgement], answer: &[u8], full: bool) -> Next {
        let answer: Answer = match serde_json::from_slice(answer) {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(%error, "the collector's answer is not one; is its URL right?");
                return Next::Wait(Shipped::Refused);
            }
        };
        for route in answer.confirm.iter().take(MOST_ASKED) {
            (self.on_asked)(route);
        }
        (self.on_placed)(answer.places);
        let is_ours = |told: &Acknowledgement| {
            sent.iter().any(|sent| sent.probe == told.probe && sent.revision >= told.revision)
        };
        let acknowledged: Vec<_> = answer.acknowledged.into_iter().filter(is_ours).collect();
        if acknowledged.is_empty() && !sent.is_empty() {
            tracing::warn!("the collector took a batch and acknowledged nothing of it");
            return Next::Wait(Shipped::Later);
        }
        match self.ledger.acknowledge(acknowledged).await {
            Ok(()) => Next::On { full },
            Err(error) => {
                tracing::error!(%error, "the collector's acknowledgement could not be kept; it is shipped again");
                Next::Wait(Shipped::Later)
            }
        }
    }

    /// A record that the collector will never take must not hold up the others for ever. It is named in
    /// the answer; where it is not, smaller batches find it.
    async fn unacceptable(&self, sent: Vec<Acknowledgement>, answer: &[u8], full: bool) -> Next {
        let complaint: Complaint = serde_json::from_slice(answer).unwrap_or_default();
        let named = sent.iter().find(|sent| Some(sent.probe) == complaint.record);
        let only = if sent.len() == 1 { sent.first() } else { None };
        let Some(refused) = named.or(only).copied() else { return Next::Less { than: sent.len() } };
        let (probe, words) = (refused.probe, Text::new(&complaint.error));
        tracing::error!(%probe, %words, "the collector refuses this record for good; it stays in the ledger only");
        match self.ledger.acknowledge(vec![refused]).await {
            // What is left of the batch is still owed.
            Ok(()) => Next::On { full: full || sent.len() > 1 },
            Err(_) => Next::Wait(Shipped::Later),
        }
    }
}

/// A refusal, as the collector words it.
#[derive(Debug, Default, serde::Deserialize)]
struct Complaint {
    #[serde(default)]
    error: String,
    #[serde(default)]
    record: Option<ProbeId>,
}

fn packed(batch: &Batch) -> anyhow::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    serde_json::to_writer(&mut encoder, batch)?;
    encoder.flush()?;
    Ok(encoder.finish()?.into())
}

/// The way over HTTP or HTTPS.
pub struct Http {
    client: reqwest::Client,
    url: String,
    token: Secret,
}

impl Http {
    /// A way to whichever of the configured collectors answers.
    pub fn to_any(config: &Config) -> anyhow::Result<InTurn> {
        let ways = config.urls.iter().map(|url| Ok(Arc::new(Self::new(url, config)?) as Arc<dyn Post>));
        Ok(InTurn::new(ways.collect::<anyhow::Result<_>>()?))
    }

    /// A client for one collector. Redirects are not followed: they would carry the token elsewhere.
    pub fn new(url: &str, config: &Config) -> anyhow::Result<Self> {
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .timeout(Duration::from_secs(30))
            .tcp_nodelay(true);
        if let Some(path) = &config.ca_file {
            let pem = std::fs::read(path).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem)?;
            anyhow::ensure!(
                !certificates.is_empty(),
                "{}: there is no certificate in it (PEM)",
                path.display()
            );
            for certificate in certificates {
                builder = builder.add_root_certificate(certificate);
            }
        }
        Ok(Self { client: builder.build()?, url: url.to_owned(), token: config.token.clone() })
    }

    fn batch(&self, body: Bytes) -> reqwest::RequestBuilder {
        let url = format!("{}{}", self.url, mailsonar_protocol::BATCHES_PATH);
        let request = self.client.post(url).header("content-type", "application/json");
        request.header("content-encoding", "gzip").body(body)
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> reqwest::Result<(u16, Bytes)> {
        let mut response = request.bearer_auth(self.token.expose_secret()).send().await?;
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if answer.len() + chunk.len() > ANSWER {
                break;
            }
            answer.extend_from_slice(&chunk);
        }
        Ok((response.status().as_u16(), answer.into()))
    }
}

impl Post for Http {
    fn post(&self, body: Bytes) -> BoxFuture<'_, Result<(u16, Bytes), String>> {
        Box::pin(async move { self.send(self.batch(body)).await.map_err(|error| in_words(&error)) })
    }

    fn ask(&self) -> BoxFuture<'_, Result<(u16, Bytes), String>> {
        let request = self.client.get(format!("{}{}", self.url, mailsonar_protocol::CONFIRM_PATH));
        Box::pin(async move { self.send(request).await.map_err(|error| in_words(&error)) })
    }
}

fn in_words(error: &reqwest::Error) -> String {
    let mut words = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        words = format!("{words}: {inner}");
        source = inner.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read;
    use std::sync::Mutex;

    use futures::FutureExt;
    use jiff::{SignedDuration, Timestamp};
    use mailsonar_protocol::Outcome;
    use proptest::prelude::*;
    use tokio::task::JoinHandle;

    use super::*;
    use crate::verdict::tests::{accepted_at, at, fresh, probe, seen};
    use crate::verdict::{Fact, learn};

    type Reply = Result<(u16, Bytes), String>;

    /// After so many posts the collector never answers again, so that a shipper that does not pause
    /// between posts fails a test rather than hang it.
    const ENOUGH: usize = 2_000;

    /// A collector: what it was sent, what it keeps, and how it answers.
    struct Collector {
        kept: Mutex<BTreeMap<ProbeId, u32>>,
        batches: Mutex<Vec<Batch>>,
        posts: Mutex<usize>,
        answer: Box<Manner>,
    }

    /// How a collector answers a post.
    type Manner = dyn Fn(&Collector, Bytes) -> Reply + Send + Sync;

    struct Way(Arc<Collector>);

    impl Post for Way {
        fn post(&self, body: Bytes) -> BoxFuture<'_, Reply> {
            let mut posts = self.0.posts.lock().expect("not poisoned");
            *posts += 1;
            if *posts > ENOUGH {
                return Box::pin(futures::future::pending());
            }
            drop(posts);
            let reply = (self.0.answer)(&self.0, body);
            // Silence is noticed by its length only.
            let took = if reply.is_err() { Duration::from_secs(30) } else { Duration::from_millis(1) };
            Box::pin(async move {
                tokio::time::sleep(took).await;
                reply
            })
        }
    }

    fn unpacked(body: &[u8]) -> Batch {
        let mut json = Vec::new();
        flate2::read::GzDecoder::new(body).read_to_end(&mut json).expect("gzip");
        serde_json::from_slice(&json).expect("a batch")
    }

    #[expect(clippy::unnecessary_wraps, reason = "the shape of every reply")]
    fn refused(status: u16, words: &str) -> Reply {
        Ok((status, Bytes::from(words.to_owned())))
    }

    #[expect(clippy::unnecessary_wraps, reason = "the shape of every reply")]
    fn answer(acknowledged: Vec<Acknowledgement>) -> Reply {
        let answer = Answer {
            protocol: mailsonar_protocol::VERSION,
            received_at: at(0),
            acknowledged,
            confirm: Vec::new(),
            places: Vec::new(),
        };
        Ok((200, serde_json::to_vec(&answer).expect("JSON").into()))
    }

    impl Collector {
        fn new(answer: impl Fn(&Self, Bytes) -> Reply + Send + Sync + 'static) -> Arc<Self> {
            let answer = Box::new(answer);
            let (kept, batches, posts) = (Mutex::default(), Mutex::default(), Mutex::default());
            Arc::new(Self { kept, batches, posts, answer })
        }

        /// Keeps a batch, as a collector in health does.
        fn take(&self, body: &[u8]) -> Reply {
            let batch = unpacked(body);
            let mut kept = self.kept.lock().expect("not poisoned");
            for record in &batch.records {
                let known = kept.entry(record.probe).or_default();
                *known = record.revision.max(*known);
            }
            let sent = |r: &Record| Acknowledgement { probe: r.probe, revision: r.revision };
            let acknowledged = batch.records.iter().map(sent).collect();
            self.batches.lock().expect("not poisoned").push(batch);
            answer(acknowledged)
        }

        fn posts(&self) -> usize {
            *self.posts.lock().expect("not poisoned")
        }

        fn kept(&self) -> BTreeMap<ProbeId, u32> {
            self.kept.lock().expect("not poisoned").clone()
        }

        fn batches(&self) -> Vec<Batch> {
            self.batches.lock().expect("not poisoned").clone()
        }

        fn sizes(&self) -> Vec<usize> {
            self.batches().iter().map(|batch| batch.records.len()).collect()
        }
    }

    /// The runtime's paused time, as a clock.
    struct Paused(tokio::time::Instant);

    #[expect(clippy::disallowed_methods, reason = "the tests' clock under paused time")]
    fn paused() -> SharedClock {
        Arc::new(Paused(tokio::time::Instant::now()))
    }

    impl mailsonar_clock::Clock for Paused {
        fn now(&self) -> Timestamp {
            let since = SignedDuration::try_from(self.0.elapsed()).expect("short");
            at(0).checked_add(since).expect("a time")
        }
        fn civil(&self) -> Timestamp {
            self.now()
        }
    }

    /// A shipper at work.
    struct Scene {
        ledger: Ledger,
        clock: SharedClock,
        news: Arc<News>,
        collector: Arc<Collector>,
        heard: Arc<Mutex<Vec<Shipped>>>,
        asked: Arc<Mutex<Vec<RouteName>>>,
        task: JoinHandle<()>,
    }

    impl Drop for Scene {
        fn drop(&mut self) {
            self.task.abort();
        }
    }

    const HEARTBEAT: Duration = Duration::from_secs(10);

    impl Scene {
        fn new(ledger: Ledger, collector: Arc<Collector>) -> Self {
            let (clock, news, heard) = (paused(), Arc::new(News::default()), Arc::new(Mutex::default()));
            let ears: Arc<Mutex<Vec<Shipped>>> = heard.clone();
            let asked: Arc<Mutex<Vec<RouteName>>> = Arc::default();
            let wanted = asked.clone();
            let shipper = Shipper {
                agent: "eu-1".parse().expect("a name"),
                region: "eu".parse().expect("a name"),
                routes: Vec::new(),
                heartbeat: HEARTBEAT,
                ledger: ledger.clone(),
                clock: clock.clone(),
                chance: Chance::seeded(1),
                post: Arc::new(Way(collector.clone())),
                news: news.clone(),
                announced: Mutex::default(),
                health: Arc::new(|| AgentHealth { missed: 7, ..AgentHealth::default() }),
                on_shipped: Arc::new(move |how| ears.lock().expect("not poisoned").push(how)),
                on_asked: Arc::new(move |route| wanted.lock().expect("not poisoned").push(route.clone())),
                on_placed: Arc::new(|_| {}),
            };
            Self { ledger, clock, news, collector, heard, asked, task: tokio::spawn(shipper.run()) }
        }

        async fn with(
            records: u128,
            answer: impl Fn(&Collector, Bytes) -> Reply + Send + Sync + 'static,
        ) -> Self {
            Self::new(filled(records).await, Collector::new(answer))
        }

        /// Waits until nothing is owed any more; says how long that took.
        async fn drained(&self, within: Duration) -> Duration {
            let begun = self.clock.now();
            let mut gap = Duration::from_millis(10);
            loop {
                let took = self.clock.now().duration_since(begun).unsigned_abs();
                if self.ledger.unacknowledged(1).await.expect("asked").is_empty() {
                    return took;
                }
                assert!(took < within, "still owed after {took:?}: {} posts", self.collector.posts());
                tokio::time::sleep(gap).await;
                gap = (gap * 2).min(Duration::from_secs(1));
            }
        }

        async fn owed(&self) -> usize {
            self.ledger.unacknowledged(usize::MAX).await.expect("asked").len()
        }

        fn heard(&self) -> Vec<Shipped> {
            self.heard.lock().expect("not poisoned").clone()
        }
    }

    async fn filled(records: u128) -> Ledger {
        let ledger = Ledger::in_memory().expect("a ledger");
        for number in 1..=records {
            ledger.open_case(fresh(number)).await.expect("entered");
        }
        ledger
    }

    async fn seconds(count: u64) {
        tokio::time::sleep(Duration::from_secs(count)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn routes_that_the_collector_asks_for_are_told_and_the_batch_is_acknowledged_all_the_same() {
        let scene = Scene::with(1, |collector, body| {
            let (status, answer) = collector.take(&body)?;
            let mut answer: Answer = serde_json::from_slice(&answer).expect("an answer");
            answer.confirm = vec!["loop".parse().expect("a name"), "elsewhere".parse().expect("a name")];
            Ok((status, serde_json::to_vec(&answer).expect("JSON").into()))
        })
        .await;
        scene.drained(Duration::from_secs(1)).await;
        let asked = scene.asked.lock().expect("not poisoned").clone();
        assert_eq!(asked.iter().map(RouteName::as_str).collect::<Vec<_>>(), ["loop", "elsewhere"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_owed_is_shipped_once_and_then_forgotten() {
        let scene = Scene::with(3, |collector, body| collector.take(&body)).await;
        scene.drained(Duration::from_secs(1)).await;
        assert_eq!(scene.collector.kept(), (1..=3).map(|n| (probe(n), 1)).collect());
        let first = scene.collector.batches().remove(0);
        assert_eq!(first.protocol, mailsonar_protocol::VERSION);
        assert_eq!((first.agent.as_str(), first.region.as_str()), ("eu-1", "eu"));
        assert_eq!((first.health.missed, first.health.unacknowledged, first.health.in_flight), (7, 3, 3));
        assert!(first.software.as_str().starts_with("mailsonar-agent "));
        assert_eq!(scene.heard(), [Shipped::Taken]);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_broken_by_a_heartbeat_and_a_change_is_shipped_at_once() {
        let scene = Scene::with(0, |collector, body| collector.take(&body)).await;
        seconds(60).await;
        let beats = scene.collector.sizes();
        assert!((6..=7).contains(&beats.len()) && beats.iter().all(|size| *size == 0), "{beats:?}");
        scene.ledger.open_case(fresh(1)).await.expect("entered");
        scene.news.urgent.notify_one();
        let took = scene.drained(Duration::from_secs(5)).await;
        assert!(took < Duration::from_millis(200), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn routes_are_announced_once_a_minute_and_again_where_nobody_heard() {
        let scene =
            Scene::with(
                0,
                |collector, body| {
                    if collector.posts() <= 2 { refused(503, "away") } else { collector.take(&body) }
                },
            )
            .await;
        seconds(185).await;
        let announced: Vec<bool> =
            scene.collector.batches().iter().map(|batch| batch.routes.is_some()).collect();
        assert!(announced[0], "the first that is heard announces");
        let count = announced.iter().filter(|announces| **announces).count();
        assert!((3..=4).contains(&count), "{announced:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn good_news_waits_for_more_of_its_kind_and_bad_news_for_nothing() {
        let change = |was, is| {
            let record = |outcome| {
                let mut record = fresh(1).record;
                record.verdict.outcome = outcome;
                record
            };
            Change { before: Some(record(was)), after: record(is) }
        };
        for (was, is, within) in [
            (Outcome::InFlight, Outcome::Delivered, 1_100..1_400),
            (Outcome::InFlight, Outcome::Refused, 0..200),
            (Outcome::Lost, Outcome::Late, 0..200),
            (Outcome::Unknown, Outcome::Delivered, 0..200),
        ] {
            let scene = Scene::with(0, |collector, body| collector.take(&body)).await;
            seconds(1).await;
            scene.ledger.open_case(fresh(1)).await.expect("entered");
            scene.news.changed(&change(was, is));
            let took = scene.drained(Duration::from_secs(5)).await.as_millis();
            assert!(within.contains(&took), "{was} to {is}: {took} ms");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_whose_answer_was_lost_is_shipped_again() {
        let scene = Scene::with(3, |collector, body| {
            let reply = collector.take(&body);
            if collector.batches().len() == 1 { Err("connection reset".into()) } else { reply }
        })
        .await;
        scene.drained(Duration::from_secs(40)).await;
        assert_eq!(scene.collector.sizes()[..2], [3, 3], "the collector cannot tell, and must not mind");
        assert_eq!(scene.heard()[..2], [Shipped::Later, Shipped::Taken]);
    }

    #[tokio::test(start_paused = true)]
    async fn after_an_absence_of_an_hour_ten_thousand_records_drain_in_small_batches() {
        let clock = paused();
        let answer = move |collector: &Collector, body: Bytes| {
            let away = clock.now().duration_since(at(0)) < SignedDuration::from_hours(1);
            if away { Err("no route to host".into()) } else { collector.take(&body) }
        };
        let scene = Scene::with(10_000, answer).await;
        seconds(3_599).await;
        let attempts = scene.collector.posts();
        assert!((60..=120).contains(&attempts), "{attempts}: patient, and soon back");
        assert_eq!(scene.owed().await, 10_000);
        let took = scene.drained(Duration::from_secs(90)).await;
        assert!(took < Duration::from_secs(70), "{took:?}: the last silence, the last pause, and no more");
        assert_eq!(scene.collector.kept().len(), 10_000);
        let sizes: Vec<_> = scene.collector.sizes().into_iter().filter(|size| *size > 0).collect();
        assert_eq!(sizes, [500; 20], "no batch holds more than it may, and none is sent twice");
        let oldest = scene.collector.batches()[0].records[0].probe;
        assert_eq!(oldest, probe(1), "the oldest first");
    }

    #[tokio::test(start_paused = true)]
    async fn a_collector_that_refuses_the_agent_loses_nothing() {
        for status in [301, 400, 401, 403, 404, 429, 500, 503] {
            let known = Arc::new(std::sync::atomic::AtomicBool::new(false));
            let switch = known.clone();
            let answer = move |collector: &Collector, body: Bytes| {
                let known = known.load(std::sync::atomic::Ordering::Relaxed);
                if known { collector.take(&body) } else { refused(status, "no") }
            };
            let scene = Scene::with(5, answer).await;
            seconds(600).await;
            let attempts = scene.collector.posts();
            assert!((20..=60).contains(&attempts), "{status}: {attempts} attempts in ten minutes");
            assert_eq!(scene.owed().await, 5, "{status}");
            let later = status >= 500 || status == 429;
            let how = if later { Shipped::Later } else { Shipped::Refused };
            assert!(scene.heard().iter().all(|heard| *heard == how), "{status}");
            switch.store(true, std::sync::atomic::Ordering::Relaxed);
            scene.drained(Duration::from_secs(40)).await;
            assert_eq!(scene.collector.kept().len(), 5, "{status}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_that_is_too_large_is_halved_until_it_fits() {
        let answer = |collector: &Collector, body: Bytes| {
            if unpacked(&body).records.len() > 30 { refused(413, "too large") } else { collector.take(&body) }
        };
        let scene = Scene::with(400, answer).await;
        scene.drained(Duration::from_secs(5)).await;
        assert_eq!(scene.collector.kept().len(), 400);
        assert!(scene.collector.posts() < 100, "{} posts", scene.collector.posts());
    }

    /// A collector that takes no batch with this record in it.
    fn fussy(about: ProbeId, status: u16, named: bool) -> impl Fn(&Collector, Bytes) -> Reply {
        move |collector, body| {
            let there = unpacked(&body).records.iter().any(|record| record.probe == about);
            let name = if named { format!(r#","record":"{about}""#) } else { String::new() };
            let words = format!(r#"{{"error":"it cannot be true"{name}}}"#);
            if there { refused(status, &words) } else { collector.take(&body) }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_record_that_is_never_taken_is_set_aside_and_the_others_go_on() {
        for (status, named) in [(422, true), (409, true), (422, false), (409, false)] {
            let scene = Scene::with(100, fussy(probe(40), status, named)).await;
            scene.drained(Duration::from_secs(5)).await;
            let kept = scene.collector.kept();
            assert_eq!(kept.len(), 99, "{status}, named: {named}");
            assert!(!kept.contains_key(&probe(40)));
            let case = scene.ledger.case(probe(40)).await.expect("asked");
            assert!(case.is_some(), "it stays in the ledger, for a person to look at");
            let most = if named { 3 } else { 60 };
            assert!(scene.collector.posts() <= most, "{} posts, named: {named}", scene.collector.posts());
            // What is learned of it later is worth another try.
            let revise = |case: &_| learn(case, accepted_at(at(2)), at(2));
            scene.ledger.revise(probe(40), revise).await.expect("revised");
            assert_eq!(scene.owed().await, 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_that_names_a_record_it_was_not_sent_sets_nothing_else_aside() {
        let stranger = probe(9_999);
        let answer = move |collector: &Collector, body: Bytes| {
            let words = format!(r#"{{"error":"no","record":"{stranger}"}}"#);
            if unpacked(&body).records.len() > 1 { refused(422, &words) } else { collector.take(&body) }
        };
        let scene = Scene::with(8, answer).await;
        scene.drained(Duration::from_secs(5)).await;
        assert_eq!(scene.collector.kept().len(), 8);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_learned_while_a_batch_is_on_its_way_is_shipped_after_it() {
        let ledger = filled(1).await;
        let (mind, clock) = (ledger.clone(), paused());
        let answer = move |collector: &Collector, body: Bytes| {
            if collector.batches().is_empty() {
                let revise = |case: &_| learn(case, accepted_at(at(2)), at(2));
                let revised = mind.revise(probe(1), revise).now_or_never().expect("at once");
                assert_eq!(revised.expect("revised").expect("news").after.revision, 2);
            }
            collector.take(&body)
        };
        let scene = Scene::new(ledger, Collector::new(answer));
        scene.drained(HEARTBEAT * 2).await;
        let revisions = scene.collector.batches().into_iter().flat_map(|batch| batch.records);
        let revisions: Vec<_> = revisions.map(|record| record.revision).collect();
        assert_eq!(revisions, [1, 2]);
        assert!(clock.now() < at(11), "by the next heartbeat at the latest");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_none_makes_nothing_forgotten() {
        for nonsense in ["", "<html>Welcome to nginx!</html>", "{}", "[]", r#"{"protocol":1}"#] {
            let scene = Scene::with(3, move |_, _| refused(200, nonsense)).await;
            seconds(60).await;
            assert_eq!(scene.owed().await, 3, "{nonsense}");
            assert!(
                scene.collector.posts() < 20,
                "{nonsense}: {} posts in a minute",
                scene.collector.posts()
            );
            assert!(scene.heard().iter().all(|heard| *heard == Shipped::Refused), "a proxy is no collector");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_collector_that_says_yes_and_acknowledges_nothing_is_not_flooded() {
        for records in [3, 600] {
            let scene = Scene::with(records, |_, _| answer(Vec::new())).await;
            seconds(60).await;
            let posts = scene.collector.posts();
            assert!(posts < 50, "{records} records: {posts} posts in a minute");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_was_sent_can_be_acknowledged() {
        let ledger = filled(501).await;
        let answer = |collector: &Collector, body: Bytes| {
            if collector.posts() > 1 {
                return Err("gone".into());
            }
            let first = unpacked(&body).records.remove(0);
            let ahead = Acknowledgement { probe: first.probe, revision: first.revision + 1_000 };
            let unsent = Acknowledgement { probe: probe(501), revision: 1 };
            answer(vec![ahead, unsent])
        };
        let scene = Scene::new(ledger, Collector::new(answer));
        seconds(5).await;
        let revise = |case: &_| learn(case, Fact::Sighted(seen(at(5))), at(5));
        scene.ledger.revise(probe(1), revise).await.expect("revised").expect("a revision");
        let owed = scene.ledger.unacknowledged(usize::MAX).await.expect("asked");
        let owed: BTreeMap<_, _> = owed.into_iter().map(|record| (record.probe, record.revision)).collect();
        assert_eq!(owed.get(&probe(1)), Some(&2), "revision 2 was never shipped (I2)");
        assert!(owed.contains_key(&probe(501)), "nor was this one");
    }

    #[tokio::test(start_paused = true)]
    async fn a_newer_revision_is_all_that_is_shipped_of_an_older_one() {
        let ledger = filled(1).await;
        for fact in [accepted_at(at(2)), Fact::Sighted(seen(at(5)))] {
            ledger.revise(probe(1), |case| learn(case, fact, at(5))).await.expect("revised");
        }
        let scene = Scene::new(ledger, Collector::new(|collector, body| collector.take(&body)));
        scene.drained(Duration::from_secs(1)).await;
        let batches = scene.collector.batches();
        assert_eq!(batches[0].records.len(), 1);
        assert_eq!(batches[0].records[0].verdict.outcome, Outcome::Delivered);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn whatever_the_collector_answers_for_a_while_all_is_there_in_the_end(
            moods in proptest::collection::vec(0..7_u8, 0..12), records in 1..40_u128
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = { runtime }.enable_time().start_paused(true).build().expect("a runtime");
            let whole = runtime.block_on(async move {
                let scene = Scene::with(records, move |collector, body| {
                    match moods.get(collector.posts() - 1) {
                        Some(0) => Err("reset".into()),
                        Some(1) => refused(503, "later"),
                        Some(2) => refused(401, "who?"),
                        Some(3) if unpacked(&body).records.len() > 1 => refused(413, "less"),
                        Some(4) => collector.take(&body).and(Err("the answer was lost".into())),
                        Some(5) => refused(200, "not JSON"),
                        _ => collector.take(&body),
                    }
                })
                .await;
                scene.drained(Duration::from_mins(10)).await;
                scene.collector.kept() == (1..=records).map(|number| (probe(number), 1)).collect()
            });
            prop_assert!(whole);
        }
    }
}
