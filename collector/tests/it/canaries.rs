//! Stories of canaries: a filter that fails open is found and paged, and no figure of plain mail moves.

use mailsonar_collector::store::Store;
use mailsonar_protocol::*;
use serde_json::Value;

use crate::harness::{Hand, Served, at, batch, configured, record};

/// The batch with a route of canaries beside the loop.
fn announcing(sent: i64, canary: Canary, records: Vec<Record>) -> Batch {
    let mut batch = batch(sent, records);
    let routes = batch.routes.as_mut().expect("announced");
    let own = RouteCard {
        route: "loop.it".parse().expect("a name"),
        direction: Direction::Canary,
        canary: Some(canary),
        interval_us: 3_600_000_000,
        ..routes[0].clone()
    };
    routes.push(own);
    batch
}

fn of(canary: Canary, record: Record) -> Record {
    let route = "loop.it".parse().expect("a name");
    Record { route, direction: Direction::Canary, canary: Some(canary), ..record }
}

fn canary(kind: CanaryKind) -> Canary {
    Canary { kind, bytes: 68, junk_is_caught: kind == CanaryKind::Gtube }
}

async fn findings(collector: &Served, kind: &str) -> Vec<String> {
    let findings = collector.json("/api/v1/agents").await;
    let all = findings["findings"].as_array().expect("a list").clone();
    let words = |finding: &Value| finding["words"].as_str().expect("words").to_owned();
    all.iter().filter(|finding| finding["kind"] == kind).map(words).collect()
}

async fn open_incidents(collector: &Served) -> Vec<Value> {
    let incidents = collector.json("/api/v1/incidents?state=open").await;
    incidents["incidents"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn a_filter_that_lets_the_test_virus_through_is_an_incident_until_it_catches_it_again() {
    let clock = Hand::at(0);
    let config = configured("[services.acme]\nfilter_open_pages = true");
    let collector = Served::with(config, clock.clone(), Store::in_memory().expect("a store")).await;
    let eicar = canary(CanaryKind::Eicar);
    let refused = |id, started| {
        let mut record = of(eicar, record(id, 1, started, Outcome::Refused));
        record.verdict.stage = Some(Stage::Data);
        record
    };

    // Caught at first, then not.
    collector.take(&announcing(10, eicar, vec![refused(1, 0)])).await;
    collector.collector.tick(at(10)).await;
    assert!(open_incidents(&collector).await.is_empty());
    let arrived = of(eicar, record(2, 1, 3_600, Outcome::Delivered));
    clock.set(3_610);
    collector.take(&announcing(3_610, eicar, vec![arrived])).await;
    collector.collector.tick(at(3_610)).await;
    let [incident] = open_incidents(&collector).await.try_into().expect("one incident");
    assert_eq!(
        (incident["leg"].as_str(), incident["reason"].as_str()),
        (Some("filter"), Some("filter_open"))
    );
    let words = "The filter of acme fails open: the test file of virus scanners (EICAR) arrived on the way loop.it from eu";
    assert!(incident["summary"].as_str().expect("words").starts_with(words), "{incident}");
    assert_eq!(findings(&collector, "filter_open").await.len(), 1);

    // A canary that never came before the filter says nothing of it.
    let elsewhere = of(eicar, record(3, 1, 7_200, Outcome::Unreachable));
    clock.set(7_210);
    collector.take(&announcing(7_210, eicar, vec![elsewhere])).await;
    collector.collector.tick(at(7_210)).await;
    assert_eq!(open_incidents(&collector).await.len(), 1);
    clock.set(10_810);
    collector.take(&announcing(10_810, eicar, vec![refused(4, 10_800)])).await;
    collector.collector.tick(at(10_810)).await;
    assert!(open_incidents(&collector).await.is_empty());
    assert!(findings(&collector, "filter_open").await.is_empty());
    let series = |result: &str| {
        format!(
            "mailsonar_canaries_total{{canary=\"eicar\",region=\"eu\",result=\"{result}\",route=\"loop.it\",service=\"acme\"}}"
        )
    };
    for (result, count) in [("caught", 2.0), ("arrived", 1.0), ("unclear", 1.0)] {
        assert_eq!(collector.series(&series(result)).await, Some(count), "{result}");
    }
}

#[tokio::test]
async fn canaries_disturb_no_figure_of_plain_mail_and_page_only_where_it_is_wanted() {
    let clock = Hand::at(0);
    let collector = Served::start(&clock).await;
    let gtube = canary(CanaryKind::Gtube);
    // Plain mail flows; every canary is lost, refused or in Junk, as it should be.
    let plain = (0..5).map(|n| record(100 + n, 1, i64::try_from(n).expect("small") * 60, Outcome::Delivered));
    let caught = [Outcome::Lost, Outcome::Refused, Outcome::Misfiled, Outcome::Bounced, Outcome::Lost];
    let caught = (0..).zip(caught).map(|(n, outcome)| of(gtube, record(200 + n, 1, 60, outcome)));
    clock.set(400);
    collector.take(&announcing(400, gtube, plain.chain(caught).collect())).await;
    collector.collector.tick(at(400)).await;
    assert!(open_incidents(&collector).await.is_empty());
    assert!(findings(&collector, "filter_open").await.is_empty());
    let service = "acme".parse::<ServiceName>().expect("a name");
    let query =
        mailsonar_collector::store::SheetQuery { service: Some(service), from: at(-3_600), until: at(3_600) };
    let marks = collector.desks.run(move |store| {
        let mut marks = 0;
        store.sheets(&query, |sheet| {
            marks += sheet.marks.len();
            Ok::<_, mailsonar_collector::store::StoreError>(())
        })?;
        Ok::<_, mailsonar_collector::store::StoreError>(marks)
    });
    assert_eq!(marks.await.expect("read"), 5, "statements and budgets know plain mail only");

    // One arrives: found, and not paged, since nobody asked for that.
    let arrived = of(gtube, record(300, 1, 420, Outcome::Delivered));
    clock.set(430);
    collector.take(&announcing(430, gtube, vec![arrived])).await;
    collector.collector.tick(at(430)).await;
    assert_eq!(findings(&collector, "filter_open").await.len(), 1);
    assert!(open_incidents(&collector).await.is_empty());
}

#[tokio::test]
async fn large_mail_that_does_not_pass_is_a_finding_of_its_own() {
    let clock = Hand::at(0);
    let collector = Served::start(&clock).await;
    let large = Canary { kind: CanaryKind::Large, bytes: 5_000_000, junk_is_caught: false };
    clock.set(70);
    collector.take(&announcing(70, large, vec![of(large, record(1, 1, 60, Outcome::Refused))])).await;
    collector.collector.tick(at(70)).await;
    let [words] = findings(&collector, "large_mail_fails").await.try_into().expect("one");
    assert!(
        words.starts_with("a message with 5000 kB attached was refused on the way loop.it from eu"),
        "{words}"
    );
    assert!(open_incidents(&collector).await.is_empty());
}
