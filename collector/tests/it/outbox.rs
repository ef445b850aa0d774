//! From failing probes to a pager that rings, whatever the pager does first.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::Mac;
use jiff::SignedDuration;
use mailsonar_protocol::*;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::harness::*;
use crate::home::Home;

/// What the pager does when it is called.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Does {
    Answer(u16),
    Redirect,
    Hang,
}

/// One call it got.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) path: String,
    id: String,
    pub(crate) page: serde_json::Value,
    /// Whether it was answered with a 2xx, or kept without a word.
    pub(crate) taken: bool,
}

#[derive(Clone)]
pub(crate) struct Pager {
    calls: Arc<Mutex<Vec<Call>>>,
    pub(crate) address: SocketAddr,
    _serving: Arc<AbortOnDropHandle<()>>,
}

type Shared = (Arc<Mutex<VecDeque<Does>>>, Arc<Mutex<Vec<Call>>>);

impl Pager {
    /// Does these in order, then takes everything.
    pub(crate) async fn that(plan: &[Does]) -> Self {
        let plan = Arc::new(Mutex::new(plan.iter().copied().collect::<VecDeque<_>>()));
        let calls = Arc::new(Mutex::new(Vec::new()));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let router = Router::new().route("/{*path}", any(ring)).with_state((plan, calls.clone()));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { calls, address, _serving: Arc::new(AbortOnDropHandle::new(serving)) }
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().expect("no panic while held").clone()
    }

    fn statuses(&self) -> Vec<String> {
        self.calls().iter().map(|call| call.page["status"].as_str().expect("a status").to_owned()).collect()
    }
}

async fn ring(
    State((plan, calls)): State<Shared>,
    uri: axum::http::Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let header = |name: &str| headers.get(name).expect("it is there").to_str().expect("text").to_owned();
    let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));
    let key = STANDARD.decode(SECRET.strip_prefix("whsec_").expect("its form")).expect("base64");
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(&key).expect("a key");
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(&body);
    let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    assert_eq!(header("webhook-signature"), signature, "whoever has the secret can tell");
    assert!(!id.contains('.'));
    let page = serde_json::from_slice(&body).expect("JSON");
    let does = plan.lock().expect("no panic while held").pop_front().unwrap_or(Does::Answer(202));
    let taken = matches!(does, Does::Hang | Does::Answer(200..=299));
    calls.lock().expect("no panic while held").push(Call { path: uri.path().into(), id, page, taken });
    match does {
        Does::Answer(status) => StatusCode::from_u16(status).expect("a status").into_response(),
        Does::Redirect => (StatusCode::TEMPORARY_REDIRECT, [("location", "/elsewhere")]).into_response(),
        Does::Hang => std::future::pending().await,
    }
}

async fn collector(clock: &Arc<Hand>, pager: &Pager, home: &Home) -> Served {
    let store = home.open();
    Served::with(configured(&webhook(pager.address)), clock.clone(), store).await
}

/// Every agent reports a probe that started then and ended so.
pub(crate) async fn everyone(served: &Served, clock: &Hand, ids: &mut u128, started: i64, outcome: Outcome) {
    clock.set(started + 15);
    for place in [|batch| batch, from_us] {
        *ids += 1;
        served.take(&place(batch(started + 15, vec![record(*ids, 1, started, outcome)]))).await;
    }
    served.collector.tick(at(started + 15)).await;
}

/// Lets an hour go by in the outbox.
async fn an_hour(served: &Served, clock: &Hand) {
    for _ in 0..12 {
        served.collector.deliver().await;
        clock.forward(SignedDuration::from_mins(5));
    }
}

#[tokio::test]
async fn the_page_arrives_through_errors_silence_and_redirects_and_the_resolve_follows() {
    let home = Home::new();
    let pager = Pager::that(&[Does::Answer(500), Does::Hang, Does::Redirect]).await;
    let clock = Hand::at(0);
    let served = collector(&clock, &pager, &home).await;
    let mut ids = 0;
    for started in [0, 20] {
        everyone(&served, &clock, &mut ids, started, Outcome::Unreachable).await;
    }
    let open = served.json("/api/v1/incidents?state=open").await;
    let incident = &open["incidents"][0];
    assert_eq!(incident["leg"], "send");
    assert_eq!(incident["started_at"], at(0).to_string(), "back-dated to the first failure");

    served.collector.deliver().await;
    assert_eq!(pager.calls().len(), 1, "after the 500 it waits");
    served.collector.deliver().await;
    assert_eq!(pager.calls().len(), 1, "and does not try before its time");
    clock.forward(SignedDuration::from_secs(2));
    served.collector.deliver().await;
    assert_eq!(pager.calls().len(), 2, "the silence was given up");

    // A crash: a new collector takes up what is owed.
    drop(served);
    let served = collector(&clock, &pager, &home).await;
    served.collector.tick(at(40)).await;
    for started in [60, 70] {
        everyone(&served, &clock, &mut ids, started, Outcome::Delivered).await;
    }
    assert_eq!(served.json("/api/v1/incidents?state=open").await["incidents"], serde_json::json!([]));
    assert_eq!(pager.statuses(), ["trigger", "trigger"], "the resolve waits for its trigger");
    an_hour(&served, &clock).await;
    assert_eq!(pager.statuses(), ["trigger", "trigger", "trigger", "trigger", "resolve"]);

    let calls = pager.calls();
    assert!(calls.iter().all(|call| call.path == "/hook"), "no redirect was followed");
    assert!(calls[..4].iter().all(|call| call.id == calls[0].id), "one page, one id");
    assert_ne!(calls[4].id, calls[0].id);
    let (trigger, resolve) = (&calls[3].page, &calls[4].page);
    assert_eq!(trigger["dedup_key"], resolve["dedup_key"]);
    assert_eq!(trigger["dedup_key"], incident["dedup_key"]);
    assert_eq!(trigger["type"], "incident.trigger");
    assert_eq!(trigger["severity"], "critical");
    assert_eq!(trigger["reason"], "quorum_failing");
    assert_eq!(trigger["regions"]["failing"], serde_json::json!(["eu", "us"]));
    assert_eq!(trigger["evidence"]["failed"], 4);
    let link = format!("http://collector.example/incidents/{}", incident["id"].as_str().expect("an id"));
    assert_eq!(trigger["links"]["incident"], link);
    assert_eq!(resolve["reason"], "recovered");
    assert_eq!(
        resolve["regions"],
        serde_json::json!({"failing": [], "passing": ["eu", "us"], "unknown": []}),
        "who sees it now, and not who did"
    );
    let id = incident["id"].as_str().expect("an id");
    let ended = served.json(&format!("/api/v1/incidents/{id}")).await;
    assert_eq!(ended["regions"]["failing"], serde_json::json!(["eu", "us"]), "who did is kept here");
    assert_eq!(ended["resolution"]["regions"], resolve["regions"]);
    assert!(resolve["summary"].as_str().expect("words").starts_with("Sending through acme works again"));
    assert_eq!(
        served.series(r#"mailsonar_notifications_total{notifier="pager",result="delivered"}"#).await,
        Some(2.0)
    );
}

#[tokio::test]
async fn a_pager_that_says_no_for_good_is_believed_after_ten_times_and_gets_the_resolve() {
    let home = Home::new();
    let pager = Pager::that(&[Does::Answer(410); 10]).await;
    let clock = Hand::at(0);
    let served = collector(&clock, &pager, &home).await;
    let mut ids = 0;
    for started in [0, 20] {
        everyone(&served, &clock, &mut ids, started, Outcome::Unreachable).await;
    }
    for _ in 0..3 {
        an_hour(&served, &clock).await;
    }
    assert_eq!(pager.calls().len(), 10);
    let given_up = r#"mailsonar_notifications_total{notifier="pager",result="given_up"}"#;
    assert_eq!(served.series(given_up).await, Some(1.0));
    // Everybody was silent meanwhile; the first words end that, the next ones the outage.
    for started in [20_000, 20_010, 20_020] {
        everyone(&served, &clock, &mut ids, started, Outcome::Delivered).await;
    }
    an_hour(&served, &clock).await;
    let last = pager.calls().pop().expect("a call");
    assert_eq!((last.page["status"].as_str(), last.page["leg"].as_str()), (Some("resolve"), Some("send")));
}

#[tokio::test]
async fn a_collector_that_runs_pages_by_itself() {
    let home = Home::new();
    let pager = Pager::that(&[]).await;
    let clock = Hand::at(0);
    let served = collector(&clock, &pager, &home).await;
    let running = AbortOnDropHandle::new(tokio::spawn(served.collector.clone().run()));
    for (id, started) in [(1, 0), (2, 5), (3, 10)] {
        clock.set(started + 4);
        served.take(&batch(started + 4, vec![record(id, 1, started, Outcome::Unreachable)])).await;
        served
            .take(&from_us(batch(started + 4, vec![record(id + 10, 1, started, Outcome::Unreachable)])))
            .await;
    }
    eventually("the pager rings", async || pager.statuses() == ["trigger"]).await;
    for (id, started) in [(21, 15), (22, 20)] {
        clock.set(started + 4);
        served.take(&batch(started + 4, vec![record(id, 1, started, Outcome::Delivered)])).await;
        served
            .take(&from_us(batch(started + 4, vec![record(id + 10, 1, started, Outcome::Delivered)])))
            .await;
    }
    eventually("it is called off", async || pager.statuses() == ["trigger", "resolve"]).await;
    drop(running);
}

#[tokio::test]
async fn a_wall_clock_that_jumps_an_hour_pages_nobody() {
    let home = Home::new();
    let pager = Pager::that(&[]).await;
    let clock = Hand::at(0);
    let served = collector(&clock, &pager, &home).await;
    let mut ids = 0;
    for (started, hours) in [(0, 0), (20, 1), (40, -1), (60, 0)] {
        clock.jump(SignedDuration::from_hours(hours));
        everyone(&served, &clock, &mut ids, started, Outcome::Delivered).await;
        served.collector.deliver().await;
    }
    assert_eq!(served.json("/api/v1/incidents").await["incidents"], serde_json::json!([]));
    assert!(served.collector.findings().is_empty());
    assert!(pager.calls().is_empty());
}

#[tokio::test]
async fn a_notifier_that_is_configured_no_more_is_owed_nothing() {
    let home = Home::new();
    let pager = Pager::that(&[Does::Answer(500)]).await;
    let clock = Hand::at(0);
    let served = collector(&clock, &pager, &home).await;
    let mut ids = 0;
    for started in [0, 20] {
        everyone(&served, &clock, &mut ids, started, Outcome::Unreachable).await;
    }
    served.collector.deliver().await;
    drop(served);
    let bare = Served::with(configured(""), clock.clone(), home.open()).await;
    drop(bare);
    let served = collector(&clock, &pager, &home).await;
    an_hour(&served, &clock).await;
    assert_eq!(pager.calls().len(), 1);
}

#[tokio::test]
async fn link_local_names_and_addresses_are_refused_when_connecting() {
    use mailsonar_collector::notify::{HttpPost, Post, PostRequest};
    let post = HttpPost::new().expect("a client");
    for url in ["http://169.254.1.1/", "http://[fe80::1]/", "http://[::ffff:169.254.169.254]/"] {
        let request = PostRequest::post(url.into(), Vec::new(), Vec::new());
        let error = post.post(request).await.expect_err("refused").to_string();
        assert!(error.contains("link-local"), "{url}: {error}");
    }
}
