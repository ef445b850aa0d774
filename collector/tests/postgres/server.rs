//! What only a server can do: hang up, go away and come back; be used by several at once.

use std::time::Duration;

use mailsonar_clock::{Clock, SystemClock};
use mailsonar_collector::store::{Address, Desks, Hello, ProbeQuery, SheetQuery, Store, StoreError};
use mailsonar_protocol::*;

use crate::cluster::{CLUSTER, Cluster};
use crate::harness::*;
use crate::home::Home;
use crate::program::launch;

const HANG_UP: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()";

#[tokio::test]
async fn a_connection_that_is_cut_is_made_anew_and_no_batch_is_lost() {
    let home = Home::alone();
    let served = Served::with(configured(""), Hand::at(10), home.open()).await;
    for id in 1..=5 {
        served.take(&batch(10, vec![record(id, 1, 0, Outcome::Delivered)])).await;
        served.collector.tick(at(10)).await;
        CLUSTER.psql(&home.database, HANG_UP).expect("hung up");
    }
    // In the middle of a job: it is undone, and said to be.
    let database = home.database.clone();
    let cut: Result<(), StoreError> = served
        .desks
        .run(move |store| {
            store.mark_alive()?;
            CLUSTER.psql(&database, HANG_UP).expect("hung up");
            store.mark_alive()
        })
        .await;
    let words = cut.expect_err("it was in the middle of it").to_string();
    assert!(words.contains(&home.database) && words.contains("mailsonar@"), "{words}");
    served.take(&batch(10, vec![record(6, 1, 0, Outcome::Delivered)])).await;
    assert_eq!(served.probes().await, 6);
    served.collector.tick(at(11)).await;
    assert_eq!(served.get("/readyz").await.0, 200);
}

#[tokio::test]
async fn a_server_that_is_away_is_said_to_be_and_work_goes_on_when_it_is_back() {
    let cluster = Cluster::start();
    let address = Address::parse(&cluster.url(&cluster.database())).expect("a good URL");
    let served = Served::with(configured(""), Hand::at(10), Store::connect(&address).expect("a store")).await;
    served.take(&batch(10, vec![record(1, 1, 0, Outcome::Delivered)])).await;
    served.collector.tick(at(10)).await;
    assert_eq!(served.get("/readyz").await.0, 200);

    cluster.stop();
    let (status, body) = served.post(TOKEN, &batch(10, vec![record(2, 1, 0, Outcome::Delivered)])).await;
    assert_eq!(status, 503, "{body}");
    served.collector.tick(at(11)).await;
    let (status, body) = served.get("/readyz").await;
    assert_eq!(status, 503);
    assert!(body.contains(&address.to_string()) && body.contains("stopped"), "{body}");
    assert_eq!(served.collector.evaluated_at(), Some(at(10)), "nothing is decided meanwhile");
    assert_eq!(served.get("/healthz").await.0, 200, "the process lives");

    cluster.start_again();
    served.take(&batch(10, vec![record(2, 1, 0, Outcome::Delivered)])).await;
    assert_eq!(served.probes().await, 2);
    served.collector.tick(at(12)).await;
    assert_eq!(served.get("/readyz").await.0, 200);
    assert_eq!(served.collector.evaluated_at(), Some(at(12)));
}

#[tokio::test]
async fn two_programs_that_write_at_once_lose_nothing_of_what_they_add_up() {
    let home = Home::new();
    let desks: Vec<Desks> = (0..2).map(|_| Desks::threaded(home.open()).expect("a thread")).collect();
    let put = |id: u128| {
        desks[usize::try_from(id % 2).expect("few")].run(move |store| {
            let Batch { agent, region, software, sent_at, routes, health, .. } = batch(10, Vec::new());
            let hello =
                Hello { name: agent, region, software, sent_at, received_at: sent_at, routes, health };
            let (agent, _) = store.hear(hello)?;
            let record = record(id, 1, 0, Outcome::Delivered);
            store.merge(&agent, at(10), &record)?;
            store.tally(&agent, [(None, &record)].into_iter())
        })
    };
    let all: Vec<Result<(), StoreError>> = futures::future::join_all((0..200).map(put)).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    let store = home.open();
    let query = ProbeQuery { limit: 1_000, ..ProbeQuery::default() };
    assert_eq!(store.probes(&query).expect("read").len(), 200);
    let quarters = store.quarters(None, at(-3_600)).expect("read");
    assert_eq!(quarters.iter().map(|quarter| quarter.probes).sum::<u64>(), 200);
    let mut marks = 0;
    let wanted = SheetQuery { service: Some("acme".parse().expect("a name")), from: at(-60), until: at(60) };
    store
        .sheets(&wanted, |sheet| {
            marks += sheet.marks.len();
            Ok::<_, StoreError>(())
        })
        .expect("read");
    assert_eq!(marks, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stalls_loses_the_claim_within_ten_seconds_and_can_change_nothing_when_it_wakes() {
    let home = Home::new();
    let claimed = home.open();
    claimed.claim().expect("nobody else is there");
    let stalled = Desks::threaded(claimed).expect("a thread");
    let second = home.open();
    let words = second.claim().expect_err("one at a time").to_string();
    assert!(words.contains("in use by another collector"), "{words}");

    // It stands still with its turn in hand, as a process does that gets SIGSTOP.
    let (wake, asleep) = std::sync::mpsc::channel::<()>();
    let (reached, there) = std::sync::mpsc::channel::<()>();
    let stalls = stalled.clone();
    let job = tokio::spawn(async move {
        stalls
            .run::<_, StoreError, _>(move |store| {
                store.mark_alive()?;
                let _ = reached.send(());
                let _ = asleep.recv();
                store.mark_alive()
            })
            .await
    });
    there.recv().expect("it begins");
    let clock = SystemClock::start();
    let since = clock.now();
    let taking_over = tokio::task::spawn_blocking(move || {
        loop {
            let store = home.open();
            if store.claim().is_ok() {
                return store;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let _holder = taking_over.await.expect("no panic");
    let took = clock.now().duration_since(since);
    assert!(took.as_secs_f64() < 10.0, "{took:#}");
    wake.send(()).expect("it waits");
    assert!(job.await.expect("no panic").is_err(), "its turn is over");
    let again = stalled.run::<_, StoreError, _>(Store::mark_alive).await.expect_err("nor has it another");
    assert!(again.to_string().contains("in use by another collector"), "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_collector_takes_over_when_one_is_killed() {
    let (home, directory) = (Home::alone(), tempfile::tempdir().expect("a directory"));
    let config = directory.path().join("collector.toml");
    let written = configuration("").replace("path = \"c.db\"", &home.named());
    std::fs::write(&config, written).expect("written");
    let (mut first, _) = launch(&config);
    let waits = config.clone();
    let second = tokio::task::spawn_blocking(move || launch(&waits));
    eventually("the second looks for its turn", async || {
        let sessions = "SELECT COUNT(*) > 2 FROM pg_stat_activity WHERE datname = current_database()
                            AND pid <> pg_backend_pid()";
        CLUSTER.psql(&home.database, sessions) == Ok("t".into()) || second.is_finished()
    })
    .await;
    assert!(!second.is_finished(), "one at a time");
    let clock = SystemClock::start();
    let since = clock.now();
    first.0.kill().expect("killed");
    let (_second, base) = second.await.expect("it listens");
    let took = clock.now().duration_since(since);
    assert!(took.as_secs_f64() < 10.0, "{took:#}");
    let batch = serde_json::to_vec(&batch(0, Vec::new())).expect("JSON");
    let post = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("a client")
        .post(format!("{base}{BATCHES_PATH}"));
    assert_eq!(post.bearer_auth(TOKEN).body(batch).send().await.expect("an answer").status(), 200);
}
