//! A service that loses a site and promises to be back on another within half an hour: the promise is held
//! against the clock, and the failover is timed from outside.

use mailsonar_collector::store::Store;
use mailsonar_protocol::*;
use serde_json::json;

use crate::harness::*;
use crate::outbox::Pager;

/// Both agents report a probe each, through a site if it was taken.
async fn probed(served: &Served, clock: &Hand, ids: &mut u128, started: i64, site: Option<&str>) {
    clock.set(started + 15);
    let outcome = if site.is_some() { Outcome::Delivered } else { Outcome::Unreachable };
    for place in [|batch| batch, from_us] {
        *ids += 1;
        let mut record = record(*ids, 1, started, outcome);
        record.handover.site = site.map(Text::from);
        served.take(&place(batch(started + 15, vec![record]))).await;
    }
    served.collector.tick(at(started + 15)).await;
    served.collector.deliver().await;
}

#[tokio::test]
async fn the_failover_is_timed_and_a_broken_promise_is_paged_once() {
    let pager = Pager::that(&[]).await;
    let clock = Hand::at(0);
    let promise = "[services.acme]\nrecovery = \"30m\"\n";
    let config = configured(&format!("{}{promise}", webhook(pager.address)));
    let served = Served::with(config, clock.clone(), Store::in_memory().expect("a store")).await;
    let mut ids = 0;
    for started in [0, 60, 120, 180] {
        probed(&served, &clock, &mut ids, started, Some("west")).await;
    }
    let kinds = || {
        let kind = |call: &crate::outbox::Call| call.page["type"].as_str().expect("a type").to_owned();
        pager.calls().iter().map(kind).collect::<Vec<_>>()
    };
    for started in (240..2_400).step_by(60) {
        probed(&served, &clock, &mut ids, started, None).await;
        // Half an hour after the first failure, and not before.
        let overran = kinds().iter().filter(|kind| *kind == "incident.overran").count();
        assert_eq!(overran, usize::from(started + 15 >= 240 + 1_800), "{started}: {:?}", kinds());
    }
    for started in (2_400..2_640).step_by(60) {
        probed(&served, &clock, &mut ids, started, Some("east")).await;
    }
    assert_eq!(kinds(), ["incident.trigger", "incident.overran", "incident.resolve"]);
    let overran = &pager.calls()[1].page;
    let words = overran["summary"].as_str().expect("text");
    assert!(words.contains("was promised to recover within 30 min 0 s, and has not"), "{words}");

    let incident = &served.json("/api/v1/incidents").await["incidents"][0];
    let failover = json!([{
        "from": "west", "to": "east", "began_at": at(182).to_string(), "done_at": at(2_402).to_string()
    }]);
    assert_eq!(incident["failovers"], failover, "from the last mail by the old way to the first by the new");
    let timeline = incident["timeline"].as_array().expect("a list");
    let told = timeline.iter().find(|moment| moment["kind"] == "failover").expect("it is told");
    assert_eq!(told["words"], "mail flows through east instead of west, after 37 min 0 s");
    assert_eq!(incident["clocks"]["on_time_at"], at(2_400).to_string());
}
