//! The store: order and repetition change nothing, a full disk is survived, old things go.

use jiff::SignedDuration;
use mailsonar_collector::store::{Desks, Hello, ProbeQuery, Store, StoreError, StoredProbe};
use mailsonar_protocol::*;
use proptest::prelude::*;

use crate::harness::*;
use crate::home::{self, Home};

/// What each probe goes through.
fn life(id: u128) -> Vec<Record> {
    let end = match id % 3 {
        0 => Outcome::Delivered,
        1 => Outcome::Lost,
        _ => Outcome::Unreachable,
    };
    let started = i64::try_from(id).expect("few") * 10;
    let mut life = vec![record(id, 1, started, Outcome::InFlight), record(id, 2, started, end)];
    if end == Outcome::Lost {
        life.push(record(id, 3, started, Outcome::Late));
    }
    life
}

fn content(batches: &[Vec<Record>]) -> Vec<(StoredProbe, String)> {
    let store = home::store();
    for records in batches {
        let Batch { agent, region, software, routes, health, .. } = batch(5_000, Vec::new());
        let hello = Hello {
            name: agent,
            region,
            software,
            sent_at: at(5_000),
            received_at: at(5_000),
            routes,
            health,
        };
        let (agent, _) = store.hear(hello).expect("heard");
        for record in records {
            store.merge(&agent, at(5_000), record).expect("merged");
        }
    }
    let all = store.probes(&ProbeQuery { limit: 1_000, ..ProbeQuery::default() }).expect("read");
    all.into_iter()
        .map(|probe| (probe.clone(), serde_json::to_string(&probe.record).expect("JSON")))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(home::CASES))]

    #[test]
    fn any_order_with_any_repetition_gives_the_same_store(
        order in Just((0..12).flat_map(life).collect::<Vec<_>>()).prop_shuffle(),
        again in prop::collection::vec(0_usize..28, 0..40),
        size in 1_usize..7,
    ) {
        let told_once: Vec<Vec<Record>> = (0..12).map(life).collect();
        let repeated = again.iter().map(|&at| order[at % order.len()].clone());
        let everything: Vec<Record> = order.iter().cloned().chain(repeated).collect();
        let batches: Vec<Vec<Record>> = everything.chunks(size).map(<[Record]>::to_vec).collect();
        prop_assert_eq!(content(&batches), content(&told_once));
    }
}

#[tokio::test]
async fn a_job_that_fails_keeps_nothing_and_spoils_no_other() {
    let desks = Desks::threaded(home::store()).expect("a thread");
    let put = |id: u128, fail: bool| {
        desks.run(move |store| {
            let Batch { agent, region, software, sent_at, routes, health, .. } = batch(10, Vec::new());
            let hello =
                Hello { name: agent, region, software, sent_at, received_at: sent_at, routes, health };
            let (agent, _) = store.hear(hello)?;
            store.merge(&agent, at(10), &record(id, 1, 0, Outcome::Delivered))?;
            // Something that is no trouble of the store's must not be taken for it.
            if fail {
                store.probes(&ProbeQuery { limit: 1, ..ProbeQuery::default() })?;
                return Err(Failed(None));
            }
            Ok(())
        })
    };
    let results = futures::future::join_all((0..200).map(|id| put(id, id % 5 == 0))).await;
    assert_eq!(results.iter().filter(|result| result.is_err()).count(), 40);
    let query = ProbeQuery { limit: 1_000, ..ProbeQuery::default() };
    let kept = desks.run::<_, StoreError, _>(move |store| store.probes(&query)).await.expect("read");
    assert_eq!(kept.len(), 160);
    assert_eq!(desks.trouble(), None);
}

/// A failure that may be the store's.
#[derive(Debug, thiserror::Error)]
#[error("a job that fails, as this test wants")]
struct Failed(Option<StoreError>);

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self(Some(error))
    }
}

impl mailsonar_collector::store::Failure for Failed {
    fn trouble(&self) -> Option<&StoreError> {
        self.0.as_ref()
    }
}

#[tokio::test]
async fn a_job_that_panics_fails_and_the_next_one_runs() {
    let home = Home::new();
    let desks = Desks::threaded(home.open()).expect("threads");
    let panicked = desks.run::<(), StoreError, _>(|_| panic!("a job that panics, as this test wants")).await;
    assert!(panicked.expect_err("it fails").to_string().contains("interrupted"));
    assert_eq!(desks.run::<_, StoreError, _>(Store::owed).await, Ok(0));
    desks.try_again().await.expect("nothing is wrong with the store");
    assert_eq!(desks.trouble(), None);
}

#[tokio::test]
async fn a_long_answer_delays_no_agent() {
    let home = Home::new();
    let store = home.open();
    let served = Served::with(configured(""), Hand::at(10), store).await;
    let (go_on, wait) = std::sync::mpsc::channel::<()>();
    let desks = served.desks.clone();
    let asking = tokio::spawn(async move {
        desks
            .read(move |store| {
                let before = store.probes(&ProbeQuery { limit: 10, ..ProbeQuery::default() })?.len();
                let _ = wait.recv();
                Ok(before)
            })
            .await
    });
    served.take(&batch(10, vec![record(1, 1, 0, Outcome::Delivered)])).await;
    go_on.send(()).expect("it waits");
    asking.await.expect("it ends").expect("it is answered");
    assert_eq!(served.probes().await, 1, "what is committed is seen");
}

#[test]
fn what_is_old_goes_in_slices_and_the_rest_stays() {
    let store = home::store();
    let Batch { agent, region, software, routes, health, .. } = batch(0, Vec::new());
    let hello = Hello { name: agent, region, software, sent_at: at(0), received_at: at(0), routes, health };
    let (agent, _) = store.hear(hello).expect("heard");
    for id in 0..1_200_u32 {
        let started = if id < 1_100 { -1_000 } else { 0 };
        store.merge(&agent, at(0), &record(id.into(), 1, started, Outcome::Delivered)).expect("merged");
    }
    let horizon = at(0) - SignedDuration::from_secs(500);
    let mut slices = 1;
    while store.sweep(horizon).expect("swept") {
        slices += 1;
    }
    assert_eq!(slices, 3);
    let rest = store.probes(&ProbeQuery { limit: 2_000, ..ProbeQuery::default() }).expect("read");
    assert_eq!(rest.len(), 100);
}
