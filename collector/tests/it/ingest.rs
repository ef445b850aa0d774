//! Everything that must not get in, and what happens twice.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use mailsonar_protocol::*;

use crate::harness::*;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("in memory");
    encoder.finish().expect("in memory")
}

/// It is refused with this status and these words, and nothing of it is kept.
async fn assert_refused(served: &Served, batch: &Batch, status: u16, words: &str) {
    let (got, body) = served.post(TOKEN, batch).await;
    assert_eq!(got, status, "{body}");
    let error = body["error"].as_str().expect("words");
    assert!(error.contains(words), "{error:?} lacks {words:?}");
    assert_eq!(served.probes().await, 0, "nothing is kept");
    let agents = served.json("/api/v1/agents").await;
    assert!(agents["agents"].as_array().expect("a list").iter().all(|agent| agent.get("heard_at").is_none()));
}

#[tokio::test]
async fn a_batch_is_taken_acknowledged_and_there() {
    let clock = Hand::at(10);
    let served = Served::start(&clock).await;
    let answer = served.take(&batch(10, vec![record(1, 2, 0, Outcome::Delivered)])).await;
    assert_eq!(answer.received_at, at(10));
    assert_eq!(answer.acknowledged.len(), 1);
    assert_eq!(answer.acknowledged[0].revision, 2);
    let probe = served.json(&format!("/api/v1/probes/{}", answer.acknowledged[0].probe)).await;
    assert_eq!(probe["record"]["verdict"]["outcome"], "delivered");
    assert_eq!(probe["latency_us"], 1_000_000);
}

#[tokio::test]
async fn nobody_gets_in_without_an_agents_token() {
    let served = Served::start(&Hand::at(10)).await;
    let body = serde_json::to_vec(&batch(10, vec![record(1, 1, 0, Outcome::Delivered)])).expect("JSON");
    for token in ["", "mst_wrong", "mst_eu-token2", "mst_eu-toke"] {
        let (status, answer) = served.post_raw(token, &[], body.clone()).await;
        assert_eq!(status, 401, "{token:?}: {answer}");
    }
    for authorization in ["Basic bXN0X2V1LXRva2Vu", "mst_eu-token", "Bearer"] {
        let (status, _) = served.post_raw("", &[("authorization", authorization)], body.clone()).await;
        assert_eq!(status, 401, "{authorization:?}");
    }
    assert_eq!(served.probes().await, 0);
}

#[tokio::test]
async fn an_agent_speaks_only_for_itself_and_from_its_region() {
    let served = Served::start(&Hand::at(10)).await;
    let other = from_us(batch(10, vec![record(1, 1, 0, Outcome::Delivered)]));
    assert_refused(&served, &other, 403, "belongs to agent eu-1, not to us-1").await;
    let elsewhere = Batch { region: "us".parse().expect("a name"), ..batch(10, Vec::new()) };
    assert_refused(&served, &elsewhere, 403, "in region eu").await;
}

#[tokio::test]
async fn a_probe_belongs_to_the_agent_that_sent_it() {
    let served = Served::start(&Hand::at(10)).await;
    served.take(&batch(10, vec![record(1, 1, 0, Outcome::InFlight)])).await;
    let theft = from_us(batch(10, vec![record(2, 1, 0, Outcome::Lost), record(1, 9, 0, Outcome::Lost)]));
    let (status, body) = served.post(OTHER_TOKEN, &theft).await;
    assert_eq!(status, 409, "{body}");
    assert_eq!(body["record"], theft.records[1].probe.to_string());
    assert_eq!(served.probes().await, 1, "the innocent record beside it is not kept either");
    assert_eq!(served.json("/api/v1/probes").await["probes"][0]["record"]["revision"], 1);
}

#[tokio::test]
async fn another_protocol_version_is_named() {
    let served = Served::start(&Hand::at(10)).await;
    let newer = Batch { protocol: 2, ..batch(10, vec![record(1, 1, 0, Outcome::Delivered)]) };
    assert_refused(&served, &newer, 400, "protocol version 2 is not spoken here, only 1").await;
    let (status, body) = served.post_raw(TOKEN, &[], br#"{"protocol":7,"whatever":[]}"#.to_vec()).await;
    assert_eq!(status, 400);
    assert!(body["error"].as_str().expect("words").contains("version 7"), "{body}");
}

#[tokio::test]
async fn what_is_no_batch_is_refused_in_words() {
    let served = Served::start(&Hand::at(10)).await;
    let deep = format!("{{\"protocol\":1,\"x\":{}", "[".repeat(200_000));
    for body in [b"".to_vec(), b"{".to_vec(), b"\xff\xfe".to_vec(), b"[]".to_vec(), deep.into_bytes()] {
        let (status, answer) = served.post_raw(TOKEN, &[], body).await;
        assert_eq!(status, 400, "{answer}");
    }
    let (status, _) = served.post_raw(TOKEN, &[("content-encoding", "gzip")], b"not gzip".to_vec()).await;
    assert_eq!(status, 400);
    let (status, _) = served.post_raw(TOKEN, &[("content-encoding", "br")], b"{}".to_vec()).await;
    assert_eq!(status, 415);
}

#[tokio::test]
async fn gzip_is_taken_and_a_bomb_is_not() {
    let served = Served::start(&Hand::at(10)).await;
    let plain = serde_json::to_vec(&batch(10, vec![record(1, 1, 0, Outcome::Delivered)])).expect("JSON");
    let (status, body) = served.post_raw(TOKEN, &[("content-encoding", "gzip")], gzip(&plain)).await;
    assert_eq!(status, 200, "{body}");
    let bomb = gzip(&vec![b' '; 40 << 20]);
    assert!(bomb.len() < 1 << 20, "it is small outside");
    let (status, body) = served.post_raw(TOKEN, &[("content-encoding", "gzip")], bomb).await;
    assert_eq!(status, 413, "{body}");
    let members: Vec<u8> = std::iter::repeat_with(|| gzip(&vec![b' '; 1 << 20])).take(12).flatten().collect();
    let (status, _) = served.post_raw(TOKEN, &[("content-encoding", "gzip")], members).await;
    assert_eq!(status, 413, "in many members");
    assert_eq!(served.probes().await, 1);
}

#[tokio::test]
async fn too_much_is_refused() {
    let served = Served::start(&Hand::at(10)).await;
    let (status, _) = served.post_raw(TOKEN, &[], vec![b' '; MAX_BATCH_BYTES + 1]).await;
    assert_eq!(status, 413);
    let records = (0..=MAX_RECORDS as u128).map(|id| record(id, 1, 0, Outcome::Delivered)).collect();
    assert_refused(&served, &batch(10, records), 413, "1001 records").await;
    let card = batch(10, Vec::new()).routes.expect("announced").remove(0);
    let announcing = Batch { routes: Some(vec![card; 1_001]), ..batch(10, Vec::new()) };
    assert_refused(&served, &announcing, 413, "1001 routes").await;
}

#[tokio::test]
async fn what_cannot_be_true_is_refused_by_name() {
    let served = Served::start(&Hand::at(1_000)).await;
    let good = record(7, 1, 900, Outcome::Delivered);
    let name = good.probe.to_string();
    let lies: Vec<(Record, &str)> = vec![
        (Record { revision: 0, ..good.clone() }, "revisions count from 1"),
        (record(7, 1, 1_301, Outcome::InFlight), "started_at"),
        (Record { due_at: at(899), ..good.clone() }, "due_at is before started_at"),
        (
            Record {
                accepted: good.accepted.clone().map(|accepted| Acceptance { at: at(899), ..accepted }),
                ..good.clone()
            },
            "accepted.at is before started_at",
        ),
        (Record { verdict: Verdict { at: at(1_400), ..good.verdict.clone() }, ..good.clone() }, "verdict.at"),
        (Record { stages: vec![good.stages[0]; 300], ..good.clone() }, "300 stages"),
    ];
    for (lie, words) in lies {
        let both = batch(1_000, vec![record(8, 1, 900, Outcome::Delivered), lie]);
        assert_refused(&served, &both, 422, words).await;
        assert_eq!(served.post(TOKEN, &both).await.1["record"], name);
    }
    served.take(&batch(1_000, vec![record(7, 1, 1_297, Outcome::InFlight)])).await;
}

#[tokio::test]
async fn doing_it_twice_changes_nothing() {
    let served = Served::start(&Hand::at(400)).await;
    let lost = batch(400, vec![record(1, 3, 0, Outcome::Lost)]);
    served.take(&lost).await;
    let before = served.json("/api/v1/probes").await;
    let again = served.take(&lost).await;
    assert_eq!(again.acknowledged[0].revision, 3, "it is acknowledged all the same");
    let older = served.take(&batch(400, vec![record(1, 1, 0, Outcome::InFlight)])).await;
    assert_eq!(older.acknowledged[0].revision, 1, "and so is a lower revision");
    assert_eq!(served.json("/api/v1/probes").await, before);
    let lost =
        r#"mailsonar_probes_total{direction="loop",outcome="lost",region="eu",route="loop",service="acme"}"#;
    assert_eq!(served.series(lost).await, Some(1.0));
    served.take(&batch(400, vec![record(1, 4, 0, Outcome::Late)])).await;
    assert_eq!(served.json("/api/v1/probes").await["probes"][0]["record"]["verdict"]["outcome"], "late");
    assert_eq!(served.series(lost).await, Some(1.0), "the first verdict is counted, once");
}

#[tokio::test]
async fn a_wrong_clock_on_an_agent_shifts_nothing() {
    let clock = Hand::at(10);
    let served = Served::start(&clock).await;
    // An hour ahead, and a message on its way for a second.
    served.take(&batch(3_600 + 9, vec![record(1, 1, 3_600 + 5, Outcome::Delivered)])).await;
    let probe = &served.json("/api/v1/probes").await["probes"][0];
    assert_eq!(probe["started_at"], at(6).to_string());
    assert_eq!(probe["latency_us"], 1_000_000, "durations are the agent's own");
    // It restarts with its clock set right: the old probe stays where it was, "future" or not.
    clock.forward(jiff::SignedDuration::from_secs(600));
    served.take(&batch(610, vec![record(1, 2, 3_600 + 5, Outcome::Late)])).await;
    let probe = &served.json("/api/v1/probes").await["probes"][0];
    assert_eq!(probe["started_at"], at(6).to_string());
}

#[tokio::test]
async fn many_agents_at_once_share_commits_and_lose_nothing() {
    let home = crate::home::Home::new();
    let store = home.open();
    let served = Served::with(configured(""), Hand::at(10), store).await;
    let batches: Vec<Batch> =
        (0..100).map(|id| batch(10, vec![record(id, 1, 0, Outcome::Delivered)])).collect();
    let taken = futures::future::join_all(batches.iter().map(|batch| served.take(batch))).await;
    assert_eq!(taken.len(), 100);
    assert_eq!(served.probes().await, 100);
    let all = served.json("/api/v1/probes?limit=500").await;
    assert_eq!(all["probes"].as_array().expect("a list").len(), 100);
}
