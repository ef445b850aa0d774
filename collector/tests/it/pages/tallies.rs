//! Tallies follow the records, whatever the order they come in.

use mailsonar_collector::store::{Day, Quarter, Store};
use mailsonar_protocol::Outcome;

use crate::harness::*;

/// What is counted since eleven, all services together.
async fn tallies(served: &Served) -> (Vec<Day>, Vec<Quarter>) {
    served
        .desks
        .read(|store: &Store| Ok((store.days(None, at(-86_400))?, store.quarters(None, at(-900))?)))
        .await
        .expect("a store that reads")
}

#[tokio::test]
async fn a_verdict_that_is_revised_moves_from_one_count_to_the_other() {
    let served = Served::start(&Hand::at(1_000)).await;
    served.take(&batch(1_000, vec![record(1, 1, 10, Outcome::InFlight)])).await;
    assert_eq!(tallies(&served).await, (Vec::new(), Vec::new()), "no verdict, nothing to count");

    served.take(&batch(1_000, vec![record(1, 2, 10, Outcome::Lost)])).await;
    served.take(&batch(1_000, vec![record(1, 2, 10, Outcome::Lost)])).await;
    let (days, quarters) = tallies(&served).await;
    assert_eq!((days[0].probes, days[0].failed), (1, 1));
    assert_eq!(days[0].day.to_string(), "2026-11-24T00:00:00Z");
    assert_eq!((quarters[0].probes, quarters[0].failed), (1, 1));
    assert_eq!(quarters[0].quarter, at(0));

    served.take(&batch(1_000, vec![record(1, 3, 10, Outcome::Delivered)])).await;
    let (days, quarters) = tallies(&served).await;
    assert_eq!((days[0].probes, days[0].failed), (1, 0));
    let median = quarters[0].latencies.quantile(0.5).expect("one latency");
    assert!((950_000..1_050_000).contains(&median), "accepted after 2 s, there after 3: {median}");
}

#[tokio::test]
async fn regions_and_quarters_are_counted_apart_and_forgotten_in_time() {
    let clock = Hand::at(2_000);
    let served = Served::start(&clock).await;
    let two = vec![record(1, 1, 0, Outcome::Delivered), record(2, 1, 900, Outcome::Lost)];
    served.take(&batch(2_000, two)).await;
    served.take(&from_us(batch(2_000, vec![record(3, 1, 0, Outcome::Delivered)]))).await;
    let (days, quarters) = tallies(&served).await;
    assert_eq!((days[0].probes, days[0].failed), (3, 1));
    let seen: Vec<(&str, u64, u64)> =
        quarters.iter().map(|q| (q.region.as_str(), q.probes, q.failed)).collect();
    assert_eq!(seen, [("eu", 1, 0), ("eu", 1, 1), ("us", 1, 0)]);

    served.collector.tick(at(2 * 86_400 + 900)).await;
    let (days, quarters) = tallies(&served).await;
    assert_eq!(days.len(), 1, "days are kept as long as probes");
    assert_eq!(quarters.len(), 1, "{quarters:?}");
}
