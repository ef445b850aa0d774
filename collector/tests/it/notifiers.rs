//! Each service gets what its published schema asks for, no faster than it allows, and loses nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use jiff::{SignedDuration, Timestamp};
use mailsonar_clock::Clock;
use mailsonar_collector::notify::Page;
use mailsonar_collector::store::Owed;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::harness::*;
use crate::incidents::{close, open};

/// What a service does when it is called.
#[derive(Debug, Clone, Copy)]
enum Does {
    Answer(u16),
    /// 429, and so many seconds of `Retry-After`.
    TooMany(Option<u64>),
    /// Takes nothing and says nothing.
    Hang,
    /// Takes it, and says nothing.
    TakeAndHang,
}

/// One call that was taken.
#[derive(Debug, Clone)]
struct Call {
    at: Timestamp,
    taken: bool,
    path: String,
    headers: HeaderMap,
    body: Value,
}

/// A service with a schema of its own.
struct Fake {
    clock: Arc<Hand>,
    plan: Mutex<VecDeque<Does>>,
    calls: Mutex<Vec<Call>>,
}

impl Fake {
    async fn that(clock: &Arc<Hand>, plan: &[Does]) -> (Arc<Self>, SocketAddr, AbortOnDropHandle<()>) {
        let plan = Mutex::new(plan.iter().copied().collect());
        let fake = Arc::new(Self { clock: clock.clone(), plan, calls: Mutex::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let router =
            Router::new().route("/", any(called)).route("/{*path}", any(called)).with_state(fake.clone());
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        (fake, address, AbortOnDropHandle::new(serving))
    }

    fn calls(&self) -> Vec<Call> {
        self.calls.lock().expect("no panic while held").clone()
    }

    fn taken(&self) -> Vec<Value> {
        self.calls().into_iter().filter(|call| call.taken).map(|call| call.body).collect()
    }
}

async fn called(State(fake): State<Arc<Fake>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let does = fake.plan.lock().expect("no panic while held").pop_front().unwrap_or(Does::Answer(202));
    let call = Call {
        at: fake.clock.now(),
        taken: matches!(does, Does::Answer(200..=299) | Does::TakeAndHang),
        path: uri.path().to_owned(),
        headers,
        body: serde_json::from_slice(&body).expect("JSON"),
    };
    fake.calls.lock().expect("no panic while held").push(call);
    match does {
        Does::Answer(status) => StatusCode::from_u16(status).expect("a status").into_response(),
        Does::TooMany(after) => {
            let mut response = StatusCode::TOO_MANY_REQUESTS.into_response();
            if let Some(after) = after {
                response.headers_mut().insert("retry-after", after.into());
            }
            response
        }
        Does::Hang | Does::TakeAndHang => std::future::pending().await,
    }
}

/// Everything that a service may do wrong, and then nothing more.
const TROUBLE: &[Does] = &[
    Does::TooMany(Some(30)),
    Does::Answer(503),
    Does::Hang,
    Does::TakeAndHang,
    Does::TooMany(None),
    Does::Answer(500),
];

async fn collector(clock: &Arc<Hand>, notifier: &str) -> Served {
    let config = configured(&format!("[notifiers.n]\ntimeout = \"300ms\"\n{notifier}"));
    Served::with(config, clock.clone(), crate::home::store()).await
}

/// Lets a quarter of an hour go by in the outbox, second by second.
async fn go_by(served: &Served, clock: &Hand, seconds: i64) {
    for _ in 0..seconds {
        served.collector.deliver().await;
        clock.forward(SignedDuration::from_secs(1));
    }
}

/// Three incidents open and end while the service does whatever it does.
async fn three_incidents(served: &Served, clock: &Hand) {
    for service in ["acme", "bolt", "crux"] {
        open(served, service, "critical").await;
    }
    go_by(served, clock, 600).await;
    for service in ["acme", "bolt", "crux"] {
        close(served, service).await;
    }
    go_by(served, clock, 120).await;
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

fn text<'a>(value: &'a Value, name: &str, most: usize) -> &'a str {
    let text = value[name].as_str().unwrap_or_else(|| panic!("{name} is a string: {value}"));
    assert!(!text.is_empty() && text.len() <= most, "{name}: {text:?}");
    text
}

/// The Events API v2's `send-event` schema.
fn is_pagerduty_event(event: &Value) {
    let known =
        ["routing_key", "event_action", "dedup_key", "client", "client_url", "links", "images", "payload"];
    assert!(keys(event).iter().all(|key| known.contains(key)), "{event}");
    assert_eq!(text(event, "routing_key", 32).len(), 32);
    text(event, "dedup_key", 255);
    let action = text(event, "event_action", 16);
    assert!(["trigger", "acknowledge", "resolve"].contains(&action));
    if action == "trigger" {
        let payload = &event["payload"];
        let known =
            ["summary", "source", "severity", "timestamp", "component", "group", "class", "custom_details"];
        assert!(keys(payload).iter().all(|key| known.contains(key)), "{payload}");
        text(payload, "summary", 1024);
        text(payload, "source", 1024);
        assert!(["critical", "error", "warning", "info"].contains(&text(payload, "severity", 16)));
        text(payload, "timestamp", 64).parse::<Timestamp>().expect("RFC 3339");
        for name in ["component", "class"] {
            assert!(payload.get(name).is_none_or(Value::is_string), "{payload}");
        }
        for link in event["links"].as_array().expect("links") {
            assert_eq!(keys(link), ["href", "text"].into());
        }
    }
}

#[tokio::test]
async fn pagerduty_gets_events_by_its_schema_through_all_trouble() {
    let clock = Hand::at(0);
    let (fake, address, _serving) = Fake::that(&clock, TROUBLE).await;
    let key = "0123456789abcdef0123456789abcdef";
    let served = collector(
        &clock,
        &format!("type = \"pagerduty\"\nrouting_key = \"{key}\"\nurl = \"http://{address}/v2/enqueue\""),
    )
    .await;
    three_incidents(&served, &clock).await;
    let mut actions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for call in fake.calls() {
        assert_eq!(call.path, "/v2/enqueue");
        is_pagerduty_event(&call.body);
        if call.taken {
            let key = text(&call.body, "dedup_key", 255).to_owned();
            actions.entry(key).or_default().push(text(&call.body, "event_action", 16).to_owned());
        }
    }
    assert_eq!(actions.len(), 3, "one key for each incident: {actions:?}");
    for (key, actions) in &actions {
        assert_eq!(actions.first().map(String::as_str), Some("trigger"), "{key}");
        assert_eq!(actions.last().map(String::as_str), Some("resolve"), "{key}");
        assert_eq!(actions.iter().filter(|action| *action == "resolve").count(), 1, "{key}: {actions:?}");
    }
    let duplicates = actions.values().flatten().count() - 6;
    assert_eq!(duplicates, 1, "the one that was taken without an answer");
    is_left_alone(&fake.calls());
}

/// After each 429 nothing comes for as long as it says, or a minute.
fn is_left_alone(calls: &[Call]) {
    let first = calls[0].at;
    assert!(calls[1].at.duration_since(first) >= SignedDuration::from_secs(30), "Retry-After: 30");
    let (fifth, sixth) = (calls[4].at, calls[5].at);
    assert!(sixth.duration_since(fifth) >= SignedDuration::from_secs(60), "429 without a word");
}

#[tokio::test]
async fn pagerduty_is_never_sent_again_what_it_calls_wrong() {
    let clock = Hand::at(0);
    let (fake, address, _serving) = Fake::that(&clock, &[Does::Answer(400)]).await;
    let key = "0123456789abcdef0123456789abcdef";
    let served = collector(
        &clock,
        &format!("type = \"pagerduty\"\nrouting_key = \"{key}\"\nurl = \"http://{address}/\""),
    )
    .await;
    open(&served, "acme", "critical").await;
    go_by(&served, &clock, 60).await;
    assert_eq!(fake.calls().len(), 1);
    let given_up = r#"mailsonar_notifications_total{notifier="n",result="given_up"}"#;
    assert_eq!(served.series(given_up).await, Some(1.0));
}

#[tokio::test]
async fn a_notice_never_becomes_an_alert_that_nothing_would_end() {
    // A statement was owed to a notifier of this name, which has been made PagerDuty since; an incident is not.
    let clock = Hand::at(0);
    let (fake, address, _serving) = Fake::that(&clock, &[]).await;
    let key = "0123456789abcdef0123456789abcdef";
    let served = collector(
        &clock,
        &format!("type = \"pagerduty\"\nrouting_key = \"{key}\"\nurl = \"http://{address}/\""),
    )
    .await;
    let page =
        Page::notice("statement", "statement/gold/acme/2026-11/1", "acme", "Stated.".into(), served.now());
    let body = serde_json::to_string(&page).expect("JSON");
    let owed = Owed { id: "msg_1".into(), incident: page.incident, notifier: "n".into(), place: 0, body };
    let now = served.now();
    served.desks.run(move |store| store.owe(&owed, now)).await.expect("owed");
    open(&served, "acme", "critical").await;
    go_by(&served, &clock, 60).await;
    let told: Vec<_> = fake.calls().iter().map(|call| call.body["payload"]["class"].clone()).collect();
    assert_eq!(told.len(), 1, "the incident only: {told:?}");
    let given_up = r#"mailsonar_notifications_total{notifier="n",result="given_up"}"#;
    assert_eq!(served.series(given_up).await, Some(1.0));
}

/// Slack's limits for a message by an incoming webhook.
fn is_slack_message(message: &Value) {
    assert_eq!(keys(message), ["blocks", "text"].into());
    text(message, "text", 40_000);
    let blocks = message["blocks"].as_array().expect("blocks");
    assert!((1..=50).contains(&blocks.len()));
    for block in blocks {
        assert_eq!((keys(block), block["type"].as_str()), (["text", "type"].into(), Some("section")));
        assert_eq!(block["text"]["type"], "mrkdwn");
        let words = text(&block["text"], "text", 3000);
        assert!(!words.contains("<!channel>"), "nothing from outside calls everybody: {words}");
    }
}

#[tokio::test]
async fn slack_gets_one_message_a_second_at_most_and_several_pages_in_one() {
    let clock = Hand::at(0);
    let (fake, address, _serving) = Fake::that(&clock, TROUBLE).await;
    let served =
        collector(&clock, &format!("type = \"slack\"\nurl = \"http://{address}/services/T/B/X\"")).await;
    three_incidents(&served, &clock).await;
    let calls = fake.calls();
    for (call, next) in calls.iter().zip(&calls[1..]) {
        assert!(next.at.duration_since(call.at) >= SignedDuration::from_secs(1), "one message a second");
    }
    for call in &calls {
        is_slack_message(&call.body);
    }
    is_left_alone(&calls);
    let taken: Vec<String> = fake.taken().iter().map(|message| message["text"].to_string()).collect();
    for service in ["acme", "bolt", "crux"] {
        for state in ["DOWN", "OVER"] {
            let told = taken.iter().any(|text| text.contains(&format!("{state}: {service} send")));
            assert!(told, "{state} of {service}: {taken:?}");
        }
    }
    assert!(taken.len() <= 4, "three pages in one message, once more, and the ends together: {taken:?}");
}

/// The fields of ntfy's JSON, and its limits.
fn is_ntfy_message(message: &Value) {
    let known =
        ["topic", "message", "title", "tags", "priority", "actions", "click", "attach", "markdown", "icon"];
    assert!(keys(message).iter().all(|key| known.contains(key)), "{message}");
    text(message, "topic", 64);
    text(message, "message", 4096);
    text(message, "title", 250);
    assert!((1..=5).contains(&message["priority"].as_u64().expect("a number")));
    assert!(message["tags"].as_array().expect("tags").iter().all(Value::is_string));
    assert!(text(message, "click", 2048).starts_with("http://collector.example/"));
}

#[tokio::test]
async fn ntfy_gets_its_json_its_token_and_every_page() {
    let clock = Hand::at(0);
    let (fake, address, _serving) = Fake::that(&clock, TROUBLE).await;
    let notifier =
        format!("type = \"ntfy\"\nurl = \"http://{address}\"\ntopic = \"pager\"\ntoken = \"tk_secret\"");
    let served = collector(&clock, &notifier).await;
    three_incidents(&served, &clock).await;
    for call in fake.calls() {
        is_ntfy_message(&call.body);
        assert_eq!(
            (call.path.as_str(), call.headers["authorization"].to_str().ok()),
            ("/", Some("Bearer tk_secret"))
        );
    }
    is_left_alone(&fake.calls());
    let taken = fake.taken();
    assert_eq!(taken.len(), 7, "three that begin, one of them twice, three that end");
    let urgent = taken.iter().filter(|message| message["priority"] == 5).count();
    assert_eq!(urgent, 4);
}

#[tokio::test]
async fn every_alertmanager_is_told_and_told_again_while_it_stands_and_for_a_while_after() {
    let clock = Hand::at(0);
    let (one, first, _serving) = Fake::that(&clock, &[]).await;
    let (two, second, _serving_too) = Fake::that(&clock, &[Does::Answer(500), Does::Hang]).await;
    let notifier = format!(
        "type = \"alertmanager\"\nurls = [\"http://{first}\", \"http://{second}/\"]\nlabels = {{ team = \"mail\" }}"
    );
    let served = collector(&clock, &notifier).await;
    open(&served, "acme", "critical").await;
    go_by(&served, &clock, 200).await;
    close(&served, "acme").await;
    go_by(&served, &clock, 600).await;
    let mut identities = BTreeSet::new();
    for call in one.calls().iter().chain(&two.calls()) {
        assert_eq!(call.path, "/api/v2/alerts");
        for alert in call.body.as_array().expect("a list") {
            assert_eq!(
                keys(alert),
                ["annotations", "endsAt", "generatorURL", "labels", "startsAt"].into(),
                "a postableAlert: {alert}"
            );
            identities.insert(alert["labels"].to_string());
            assert_eq!(alert["labels"]["team"], "mail");
            assert_eq!(text(alert, "startsAt", 64).parse().ok(), Some(at(0)));
        }
    }
    assert_eq!(identities.len(), 1, "labels are the identity: {identities:?}");
    let ends = |fake: &Fake| -> Vec<(Timestamp, Timestamp)> {
        let end = |call: &Call| (call.at, text(&call.body[0], "endsAt", 64).parse().expect("a time"));
        fake.calls().iter().map(end).collect()
    };
    for fake in [&one, &two] {
        let (firing, resolved): (Vec<_>, Vec<_>) = ends(fake).into_iter().partition(|(at, end)| end > at);
        assert_eq!(firing.len(), 4, "at once, and each minute: {firing:?}");
        assert!(firing.iter().all(|(at, end)| end.duration_since(*at) == SignedDuration::from_mins(4)));
        assert!((5..=6).contains(&resolved.len()), "for five minutes: {resolved:?}");
        assert!(resolved.iter().all(|(_, end)| *end == at(200)), "{resolved:?}");
    }
}

#[tokio::test]
async fn a_command_reads_the_page_and_one_that_hangs_is_killed() {
    let directory = tempfile::tempdir().expect("a directory");
    let shown = directory.path().join("pages");
    let clock = Hand::at(0);
    let script = format!(
        "if [ -e {0} ]; then cat >> {0}; else touch {0}; exec sleep 600; fi",
        shown.to_str().expect("text")
    );
    let served =
        collector(&clock, &format!("type = \"command\"\ncommand = [\"/bin/sh\", \"-c\", '{script}']")).await;
    open(&served, "acme", "critical").await;
    go_by(&served, &clock, 10).await;
    close(&served, "acme").await;
    go_by(&served, &clock, 10).await;
    let written = std::fs::read_to_string(&shown).expect("it was run");
    let pages: Vec<Value> = written.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let kinds: Vec<_> = pages.iter().map(|page| page["type"].as_str().expect("a type")).collect();
    assert_eq!(kinds, ["incident.trigger", "incident.resolve"]);
    let failed = r#"mailsonar_notifications_total{notifier="n",result="failed"}"#;
    assert_eq!(served.series(failed).await, Some(1.0), "the one that hung");
}

#[tokio::test]
async fn each_incident_goes_to_whom_it_matters_and_again_until_somebody_takes_it_on() {
    let clock = Hand::at(0);
    let (pager, first, _serving) = Fake::that(&clock, &[]).await;
    let (tickets, second, _serving_too) = Fake::that(&clock, &[]).await;
    let ntfy = |name, address, more| {
        format!(
            "[notifiers.{name}]\ntype = \"ntfy\"\ntopic = \"{name}\"\nurl = \"http://{address}\"\n{more}\n"
        )
    };
    let urgent = ntfy("pager", first, "match = { severity = [\"critical\"] }\nrepeat = \"15m\"");
    let rest = ntfy("tickets", second, "match = { severity = [\"warning\"], service = [\"acme\"] }");
    let config = configured(&format!("{urgent}{rest}"));
    let served = Served::with(config, clock.clone(), crate::home::store()).await;
    open(&served, "acme", "critical").await;
    open(&served, "bolt", "warning").await;
    open(&served, "crux", "warning").await;
    for _ in 0..31 {
        crate::incidents::settle(&served, clock.now()).await;
        served.collector.deliver().await;
        clock.forward(SignedDuration::from_mins(1));
    }
    let titles = |fake: &Fake| -> Vec<String> {
        fake.taken().iter().map(|message| text(message, "title", 250).to_owned()).collect()
    };
    assert_eq!(titles(&pager), ["DOWN: acme send", "STILL DOWN: acme send", "STILL DOWN: acme send"]);
    assert_eq!(titles(&tickets), [""; 0], "a ticket, but of no service of theirs");
}
