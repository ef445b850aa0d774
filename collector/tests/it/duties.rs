//! What is done beside the evaluation: the heartbeat that stops with the work, and budgets that burn.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::routing::any;
use mailsonar_collector::store::{Store, StoreError};
use mailsonar_protocol::*;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::harness::*;

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

/// A quarter of an hour of a service that fails now and then, but never twice running.
#[tokio::test]
async fn a_budget_that_burns_is_an_incident_of_its_own_until_it_no_longer_does() {
    let objective = "[services.acme.objective]\ntarget = 0.999\n";
    let clock = Hand::at(0);
    let store = Store::in_memory().expect("a store");
    let served = Served::with(configured(objective), clock.clone(), store).await;
    let mut id = 0;
    let mut probe = async |started: i64, outcome| {
        id += 1;
        clock.set(started + 5);
        served.take(&batch(started + 5, vec![record(id, 1, started, outcome)])).await;
        served.collector.tick(at(started + 5)).await;
    };
    for minute in 0..20 {
        let outcome = if minute % 4 == 3 { Outcome::Refused } else { Outcome::Delivered };
        probe(minute * 60, outcome).await;
    }
    let open = served.json("/api/v1/incidents?state=open").await;
    let budget = open["incidents"].as_array().expect("a list").iter().find(|one| one["leg"] == "budget");
    let budget = budget.unwrap_or_else(|| panic!("it burns: {open}"));
    assert_eq!((&budget["severity"], &budget["reason"]), (&"critical".into(), &"budget_burning".into()));
    assert!(budget["summary"].to_string().contains("times too fast"), "{budget}");
    let left = r#"mailsonar_slo_error_budget_remaining_ratio{objective="delivered",service="acme"}"#;
    assert!(served.series(left).await < Some(0.0), "one of four is far more than one of a thousand");
    for minute in [30, 60, 60 * 7] {
        probe(minute * 60, Outcome::Delivered).await;
    }
    let resolved = served.json("/api/v1/incidents?state=resolved").await;
    let over = resolved["incidents"].as_array().expect("a list").iter().any(|one| one["leg"] == "budget");
    assert!(over, "nothing failed in the short window of any pair: {resolved}");
}
