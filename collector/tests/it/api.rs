//! What people and programs may ask.

use mailsonar_protocol::*;

use crate::harness::*;

#[tokio::test]
async fn probes_come_newest_first_page_by_page() {
    let served = Served::start(&Hand::at(1_000)).await;
    // Two of them start at the same instant.
    let records =
        (0..10).map(|id| record(id, 1, i64::try_from(id).expect("few") / 2, Outcome::Delivered)).collect();
    served.take(&batch(1_000, records)).await;
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = served.json(&format!("/api/v1/probes?limit=3{cursor}")).await;
        for probe in page["probes"].as_array().expect("a list") {
            seen.push(probe["record"]["probe"].as_str().expect("an id").to_owned());
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let expected: Vec<String> =
        (0..10).rev().map(|id| record(id, 1, 0, Outcome::Lost).probe.to_string()).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn probes_are_found_by_what_they_are() {
    let served = Served::start(&Hand::at(1_000)).await;
    served
        .take(&batch(1_000, vec![record(1, 1, 0, Outcome::Delivered), record(2, 1, 500, Outcome::Lost)]))
        .await;
    served.take(&from_us(batch(1_000, vec![record(3, 1, 600, Outcome::Lost)]))).await;
    for (query, count) in [
        ("outcome=lost", 2),
        ("outcome=lost&region=us", 1),
        ("service=acme&route=loop", 3),
        ("service=other", 0),
        ("since=2026-11-24T11:08:20Z", 2),
    ] {
        let found = served.json(&format!("/api/v1/probes?{query}")).await;
        assert_eq!(found["probes"].as_array().expect("a list").len(), count, "{query}");
    }
}

#[tokio::test]
async fn wrong_questions_are_answered_in_words() {
    let served = Served::start(&Hand::at(0)).await;
    for query in ["outcome=nice", "since=yesterday", "limit=x", "cursor=1.x", "colour=red", "service=a%20b"] {
        let (status, body) = served.get(&format!("/api/v1/probes?{query}")).await;
        assert_eq!(status, 400, "{query}: {body}");
        assert!(body.contains("\"error\""), "{body}");
    }
    assert_eq!(served.get("/api/v1/incidents?state=bad").await.0, 400);
    assert_eq!(served.get("/api/v1/probes/nonsense").await.0, 404);
    assert_eq!(served.get("/api/v1/incidents/nonsense").await.0, 404);
    assert!(served.get("/").await.1.contains("/api/v1/summary"));
}

#[tokio::test]
async fn agents_show_how_they_are_and_those_never_heard_too() {
    let clock = Hand::at(0);
    let served = Served::start(&clock).await;
    clock.set(100);
    served.take(&batch(98, Vec::new())).await;
    served.collector.tick(at(100)).await;
    let answer = served.json("/api/v1/agents").await;
    assert_eq!(answer["agents"][0]["name"], "eu-1");
    assert_eq!(answer["agents"][0]["clock_offset_us"], 2_000_000);
    assert_eq!(answer["agents"][0]["routes"][0]["route"], "loop");
    assert_eq!(answer["agents"][1]["name"], "us-1");
    assert!(answer["agents"][1].get("heard_at").is_none());
    assert_eq!(answer["findings"][0]["kind"], "agent_silent");
    assert_eq!(answer["findings"][0]["subject"], "us-1");
}

#[tokio::test]
async fn readiness_tells_a_stuck_evaluation() {
    let clock = Hand::at(0);
    let served = Served::start(&clock).await;
    assert_eq!(served.get("/readyz").await.0, 503, "not begun yet");
    served.collector.tick(at(0)).await;
    assert_eq!(served.get("/readyz").await.0, 200);
    clock.set(60);
    let (status, body) = served.get("/readyz").await;
    assert_eq!(status, 503);
    assert!(body.contains("stuck"), "{body}");
}
