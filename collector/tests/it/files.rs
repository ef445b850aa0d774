//! What only a file can do: be full, be of another version.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::routing::any;
use mailsonar_collector::store::{Store, StoreError};
use mailsonar_protocol::*;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::harness::*;
use crate::sheets::{heard, sheets, told};

#[tokio::test]
async fn a_full_disk_is_said_stops_the_evaluation_and_is_survived() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = Store::open(&directory.path().join("c.db")).expect("a store");
    let served = Served::with(configured(""), Hand::at(10), store).await;
    served.take(&batch(10, vec![record(1, 1, 0, Outcome::Delivered)])).await;
    served.collector.tick(at(10)).await;
    assert_eq!(served.get("/readyz").await.0, 200);

    served.desks.run::<_, StoreError, _>(|store| store.cap_pages(Some(1))).await.expect("capped");
    let many: Vec<Record> = (100..1_000).map(|id| record(id, 1, 0, Outcome::Delivered)).collect();
    let (status, body) = served.post(TOKEN, &batch(10, many.clone())).await;
    assert_eq!(status, 503, "{body}");
    assert!(body["error"].as_str().expect("words").contains("full"), "{body}");
    served.collector.tick(at(11)).await;
    let (status, body) = served.get("/readyz").await;
    assert_eq!(status, 503);
    assert!(body.contains("full") && body.contains("stopped"), "{body}");
    assert_eq!(served.collector.evaluated_at(), Some(at(10)), "the evaluation stands");
    assert_eq!(served.get("/healthz").await.0, 200, "the process lives");
    assert_eq!(served.probes().await, 1, "nothing of the batch was kept");

    served.desks.run::<_, StoreError, _>(|store| store.cap_pages(None)).await.expect("lifted");
    served.collector.tick(at(12)).await;
    assert_eq!(served.get("/readyz").await.0, 200);
    assert_eq!(served.collector.evaluated_at(), Some(at(12)));
    served.take(&batch(10, many)).await;
}

#[test]
fn a_store_of_a_newer_version_is_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("c.db");
    drop(Store::open(&path).expect("a store"));
    let connection = rusqlite::Connection::open(&path).expect("opened");
    connection.pragma_update(None, "user_version", 99).expect("raised");
    drop(connection);
    let error = Store::open(&path).expect_err("refused").to_string();
    assert!(error.contains("newer") && error.contains("99"), "{error}");
}

#[test]
fn a_store_of_an_earlier_version_has_its_sheets_made_from_its_probes() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("c.db");
    {
        let store = Store::open(&path).expect("a store");
        let eu = heard(&store, batch(0, Vec::new()));
        for id in 1..40 {
            let outcome = if id % 7 == 0 { Outcome::Refused } else { Outcome::Delivered };
            told(&store, &eu, &record(id, 1, i64::try_from(id).expect("few") * 300, outcome));
        }
    }
    let kept = sheets(&Store::open(&path).expect("a store"));
    let old = directory.path().join("old.db");
    {
        // What version 2 wrote: its schema, and the same agents and probes.
        let schema = concat!(
            include_str!("../../src/store/migrations/0001_first.sql"),
            include_str!("../../src/store/migrations/0002_silences.sql")
        );
        let columns = "id, revision, agent, region, service, route, direction, outcome, stage, class, reason, \
                       peer, accepted, offset_us, started_at, due_at, visible_at, received_at, record";
        let old = rusqlite::Connection::open(&old).expect("a file");
        old.execute_batch(&format!(
            "{schema} PRAGMA user_version = 2; ATTACH '{}' AS new; \
             INSERT INTO agents SELECT * FROM new.agents; \
             INSERT INTO probes ({columns}) SELECT {columns} FROM new.probes;",
            path.display()
        ))
        .expect("an old store");
    }
    assert_eq!(sheets(&Store::open(&old).expect("it is brought up to date")), kept);
    assert_eq!(kept.iter().map(|sheet| sheet.marks.len()).sum::<usize>(), 39);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_heartbeat_stops_when_the_store_does_and_goes_on_after() {
    let heard = Arc::new(AtomicUsize::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/ping/X", listener.local_addr().expect("bound"));
    let count = heard.clone();
    let router = Router::new().route(
        "/ping/X",
        any(move || {
            count.fetch_add(1, Ordering::SeqCst);
            async { "ok" }
        }),
    );
    let _watcher = AbortOnDropHandle::new(tokio::spawn(async move {
        axum::serve(listener, router).await.expect("it serves");
    }));
    let directory = tempfile::tempdir().expect("a directory");
    let store = Store::open(&directory.path().join("c.db")).expect("a store");
    let config = configured(&format!("[heartbeats.watcher]\nurl = \"{url}\"\ninterval = \"50ms\"\n"));
    let clock = Hand::at(0);
    let served = Served::with(config, clock.clone(), store).await;
    let _running = AbortOnDropHandle::new(tokio::spawn(served.collector.clone().run()));
    eventually("it beats", async || heard.load(Ordering::SeqCst) >= 2).await;

    served.desks.run(|store| store.cap_pages(Some(1))).await.expect("capped");
    let records = (0..100).map(|id| record(id, 1, -20, Outcome::Delivered)).collect();
    let (status, _) = served.post(TOKEN, &batch(0, records)).await;
    assert_eq!(status, 503, "the disk is full");
    let withheld = r#"mailsonar_heartbeats_total{heartbeat="watcher",result="withheld"}"#;
    eventually("it is withheld", async || served.series(withheld).await >= Some(3.0)).await;
    let before = heard.load(Ordering::SeqCst);
    let so_far = served.series(withheld).await;
    eventually("it stays so", async || served.series(withheld).await > so_far).await;
    assert_eq!(heard.load(Ordering::SeqCst), before);

    let lifted: Result<(), StoreError> = served.desks.run(|store| store.cap_pages(None)).await;
    lifted.expect("lifted");
    eventually("it goes on", async || heard.load(Ordering::SeqCst) > before).await;
}
