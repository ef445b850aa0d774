//! Silences mute triggers, never resolves; operators make and end them, and everybody sees them.

use std::sync::Arc;

use jiff::SignedDuration;
use mailsonar_collector::ingest::token_hash;
use mailsonar_protocol::*;
use serde_json::{Value, json};

use crate::harness::*;
use crate::outbox::{Pager, everyone};

const OPERATOR: &str = "mst_jane";

async fn collector(clock: &Arc<Hand>, pager: &Pager, more: &str) -> Served {
    let operator = format!("[operators.jane]\ntoken_sha256 = \"{}\"\n", token_hash(OPERATOR));
    let config = configured(&format!("{}{operator}{more}", webhook(pager.address)));
    Served::with(config, clock.clone(), crate::home::store()).await
}

async fn ask(served: &Served, method: &str, path: &str, body: Value) -> (u16, Value) {
    let method = method.parse().expect("a method");
    let request = served.http.request(method, format!("{}{path}", served.base)).bearer_auth(OPERATOR);
    let response = request.json(&body).send().await.expect("an answer");
    (response.status().as_u16(), response.json().await.expect("JSON"))
}

fn statuses(pager: &Pager) -> Vec<String> {
    pager.calls().iter().map(|call| call.page["type"].as_str().expect("a type").to_owned()).collect()
}

/// Mail cannot be sent: two probes of each agent fail.
async fn breaks(served: &Served, clock: &Hand, ids: &mut u128, from: i64) {
    for started in [from, from + 20] {
        everyone(served, clock, ids, started, Outcome::Unreachable).await;
    }
    served.collector.deliver().await;
}

async fn heals(served: &Served, clock: &Hand, ids: &mut u128, from: i64) {
    for started in [from, from + 20, from + 40] {
        everyone(served, clock, ids, started, Outcome::Delivered).await;
    }
    served.collector.deliver().await;
}

#[tokio::test]
async fn a_silence_hides_an_incident_and_its_resolve_but_shows_on_it() {
    let pager = Pager::that(&[]).await;
    let clock = Hand::at(0);
    let served = collector(&clock, &pager, "").await;
    let asked = json!({ "service": "acme", "leg": "send", "reason": "the vendor knows", "duration": "1h" });
    let (status, silence) = ask(&served, "POST", "/api/v1/silences", asked).await;
    assert_eq!((status, &silence["active"], &silence["author"]), (201, &json!(true), &json!("jane")));
    let mut ids = 0;
    breaks(&served, &clock, &mut ids, 0).await;
    let open = &served.json("/api/v1/incidents?state=open").await["incidents"][0];
    assert_eq!(open["silenced_by"], json!([silence["id"]]));
    assert!(open["timeline"].to_string().contains("the vendor knows"), "{open}");
    let silenced = r#"mailsonar_silenced{leg="send",service="acme"}"#;
    assert_eq!(served.series(silenced).await, Some(1.0));
    heals(&served, &clock, &mut ids, 60).await;
    assert_eq!(served.json("/api/v1/incidents?state=open").await["incidents"], json!([]));
    assert_eq!(statuses(&pager), [""; 0], "nobody was woken, so nobody is told that it is over");
}

#[tokio::test]
async fn an_incident_that_outlives_its_silence_is_paged_then_and_its_resolve_is_never_muted() {
    let pager = Pager::that(&[]).await;
    let clock = Hand::at(0);
    let served = collector(&clock, &pager, "").await;
    let asked = json!({ "reason": "quiet, please", "duration": "1h", "kind": "maintenance" });
    let (_, silence) = ask(&served, "POST", "/api/v1/silences", asked.clone()).await;
    let mut ids = 0;
    breaks(&served, &clock, &mut ids, 0).await;
    assert_eq!(statuses(&pager), [""; 0]);
    let path = format!("/api/v1/silences/{}", silence["id"].as_str().expect("an id"));
    let (status, ended) = ask(&served, "DELETE", &path, json!(null)).await;
    assert_eq!((status, &ended["active"], &ended["ended_by"]), (200, &json!(false), &json!("jane")));
    clock.forward(SignedDuration::from_secs(1));
    served.collector.tick(at(36)).await;
    served.collector.deliver().await;
    assert_eq!(statuses(&pager), ["incident.trigger"]);
    ask(&served, "POST", "/api/v1/silences", asked).await;
    heals(&served, &clock, &mut ids, 60).await;
    assert_eq!(statuses(&pager), ["incident.trigger", "incident.resolve"]);
    let kept = served.json(&format!("/api/v1/silences?from={}", at(0))).await;
    assert_eq!(kept["silences"].as_array().map(Vec::len), Some(2), "ended ones stay visible: {kept}");
}

#[tokio::test]
async fn maintenance_of_the_calendar_is_announced_ahead_and_mutes_its_leg_only() {
    let pager = Pager::that(&[]).await;
    let clock = Hand::at(-3600);
    // Eleven o'clock UTC on that Tuesday is twelve in Berlin.
    let calendar = "[[maintenance]]\nservice = \"acme\"\nlegs = [\"send\"]\nweekly = [\"tuesday 11:55\"]\n\
                    duration = \"30m\"\ntime_zone = \"Europe/Berlin\"\nreason = \"patches\"\n";
    let served = collector(&clock, &pager, calendar).await;
    served.collector.tick(at(-3600)).await;
    let ahead = served.json("/api/v1/silences").await;
    let windows = ahead["silences"].as_array().expect("a list");
    assert_eq!(windows.len(), 5, "five weeks: {ahead}");
    assert_eq!(windows[0]["starts_at"], at(-300).to_string());
    assert_eq!(windows[0]["created_at"], at(-3600).to_string(), "announced before it began");
    let mut ids = 0;
    breaks(&served, &clock, &mut ids, 0).await;
    assert_eq!(statuses(&pager), [""; 0]);
    everyone(&served, &clock, &mut ids, 1495, Outcome::Unreachable).await;
    served.collector.deliver().await;
    assert_eq!(statuses(&pager), ["incident.trigger"], "still broken when it was over");
}

#[tokio::test]
async fn only_operators_may_write() {
    let pager = Pager::that(&[]).await;
    let clock = Hand::at(0);
    let served = collector(&clock, &pager, "").await;
    for token in ["", TOKEN, "mst_nobody"] {
        let request = served.http.post(format!("{}/api/v1/silences", served.base)).bearer_auth(token);
        let response = request.json(&json!({ "reason": "x", "duration": "1h" })).send().await.expect("it");
        assert_eq!(response.status(), 401, "{token}");
    }
    for wrong in [
        json!({ "reason": "", "duration": "1h" }),
        json!({ "reason": "x" }),
        json!({ "reason": "x", "duration": "90d" }),
        json!({ "reason": "x", "duration": "1h", "colour": 1 }),
        json!({ "reason": "x", "ends_at": at(-5) }),
    ] {
        let (status, answer) = ask(&served, "POST", "/api/v1/silences", wrong).await;
        assert_eq!(status, 400, "{answer}");
    }
    assert_eq!(ask(&served, "DELETE", "/api/v1/silences/none", json!(null)).await.0, 404);
}

#[tokio::test]
async fn somebody_takes_an_incident_on_and_the_pager_is_told_once() {
    let pager = Pager::that(&[]).await;
    let clock = Hand::at(0);
    let served = collector(&clock, &pager, "").await;
    let mut ids = 0;
    breaks(&served, &clock, &mut ids, 0).await;
    let id = served.json("/api/v1/incidents").await["incidents"][0]["id"].as_str().expect("an id").to_owned();
    let path = format!("/api/v1/incidents/{id}");
    for words in ["", "still on it"] {
        let (status, incident) =
            ask(&served, "POST", &format!("{path}/acknowledge"), json!({ "words": words })).await;
        assert_eq!((status, &incident["clocks"]["acknowledged_by"]), (200, &json!("jane")));
    }
    let (status, _) = ask(&served, "POST", &format!("{path}/notes"), json!({ "words": "called them" })).await;
    assert_eq!(status, 200);
    assert_eq!(ask(&served, "POST", &format!("{path}/notes"), json!({ "words": " " })).await.0, 400);
    served.collector.deliver().await;
    assert_eq!(statuses(&pager), ["incident.trigger", "incident.acknowledge"]);
    let timeline = served.json(&path).await["timeline"].to_string();
    for words in ["has taken it on", "still on it", "called them"] {
        assert!(timeline.contains(words), "{timeline}");
    }
    heals(&served, &clock, &mut ids, 60).await;
    assert_eq!(statuses(&pager).last().map(String::as_str), Some("incident.resolve"));
}
