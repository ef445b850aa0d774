//! Each settled day's head is told outside, once, and what is changed afterwards shows.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mailsonar_collector::statement::evidence::{self, Given};
use mailsonar_collector::statement::{Issued, Period, controls, gather, issue};
use mailsonar_collector::store::Store;
use mailsonar_protocol::Outcome;

use crate::harness::*;
use crate::months::{contract, time};
use crate::outbox::{Does, Pager};
use crate::statements::{TERMS, heard, probe, two_days};

/// A collector that anchors each day a day after its end.
async fn anchoring(directory: &Path, pager: &Pager, clock: &Arc<Hand>) -> Served {
    let text = configuration(&format!(
        "{}[statements]\ncontracts = [\"gold.toml\"]\n[statements.anchor]\nnotifiers = [\"pager\"]\nafter = \"1d\"\n",
        webhook(pager.address)
    ));
    let document = mailsonar_settings::Document::new(directory.join("collector.toml"), text);
    let config =
        mailsonar_collector::Config::from_document(&document).unwrap_or_else(|wrong| panic!("{wrong}"));
    Served::with(config, clock.clone(), Store::open(&directory.join("c.db")).expect("a store")).await
}

async fn look(served: &Served, clock: &Hand, now: &str) {
    clock.set(time(now).duration_since(at(0)).as_secs());
    served.collector.anchor_days(time(now)).await;
    served.collector.deliver().await;
}

/// The pack of November as the store has it, under a name.
fn packed(directory: &Path, name: &str) -> PathBuf {
    let store = Store::open(&directory.join("c.db")).expect("a store");
    let file = contract("UTC", TERMS);
    let service = "acme".parse().expect("a name");
    let period = Period::named("2026-11", file.contract.period, &file.contract.time_zone).expect("a period");
    let controls = controls(&store, &file.contract, &period).expect("read");
    let now = time("2026-12-01T06:00:00Z");
    let statement = gather(&store, &file, &service, &period, &controls, now).expect("gathered");
    let (issued, _): (Issued, bool) = issue(&store, statement, now).expect("issued");
    let path = directory.join(name);
    evidence::pack(&store, &file, &issued, &period, &path).expect("packed");
    path
}

/// The days and heads that the other side was told, in order.
fn told(pager: &Pager) -> Vec<(String, String)> {
    let words = |call: &crate::outbox::Call| {
        assert_eq!((&call.page["type"], &call.page["status"]), (&"anchor".into(), &"notice".into()));
        let summary = call.page["summary"].as_str().expect("words").to_owned();
        let given = summary.split_once("--anchor ").expect("how to compare").1;
        let (day, head) = given.split_once('`').expect("quoted").0.split_once('=').expect("a head");
        (day.to_owned(), head.to_owned())
    };
    pager.calls().iter().map(words).collect()
}

fn given(told: &[(String, String)]) -> Given {
    let heads = told.iter().map(|(day, head)| (day.parse().expect("a day"), head.clone()));
    Given { seal: None, heads: heads.collect() }
}

#[tokio::test]
async fn a_settled_day_is_told_outside_once_under_one_head_and_later_change_shows() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("gold.toml"), contract("UTC", TERMS).text).expect("written");
    let path = directory.path().join("c.db");
    let store = Store::open(&path).expect("a store");
    let agent = heard(&store);
    two_days(&store, &agent);
    drop(store);

    // The first day is settled a day after its end. Whoever should keep its head is down; then we are.
    let clock = Hand::at(0);
    let pager = Pager::that(&[Does::Answer(202), Does::Answer(500)]).await;
    let served = anchoring(directory.path(), &pager, &clock).await;
    look(&served, &clock, "2026-11-02T23:59:59Z").await;
    assert_eq!(pager.calls().len(), 1, "at first the newest day that is settled: an empty one");
    look(&served, &clock, "2026-11-03T00:00:00Z").await;
    assert_eq!(pager.calls().len(), 2);
    drop(served);

    // Meanwhile a mail of that day turns up. What is told after the restart is what was to be told before.
    let store = Store::open(&path).expect("a store");
    let late = probe(10, 2, time("2026-11-01T00:10:00Z"), Outcome::Late);
    store.merge(&agent, time("2026-11-03T05:00:00Z"), &late).expect("merged");
    drop(store);
    let served = anchoring(directory.path(), &pager, &clock).await;
    for now in
        ["2026-11-03T06:00:00Z", "2026-11-03T23:59:59Z", "2026-11-04T00:00:00Z", "2026-11-04T12:00:00Z"]
    {
        look(&served, &clock, now).await;
    }
    drop(served);
    let told = told(&pager);
    let days: Vec<&str> = told.iter().map(|(day, _)| day.as_str()).collect();
    assert_eq!(days, ["2026-10-31", "2026-11-01", "2026-11-01", "2026-11-02"], "one try was refused");
    assert_eq!(told[1], told[2], "and the next tells the same head");

    // The pack says which day had news since, and the heads that were told are its own.
    let verified = evidence::verify(&packed(directory.path(), "true.pack"), &given(&told[2..]))
        .unwrap_or_else(|faults| panic!("{faults:?}"));
    let anchored = verified.anchored;
    assert_eq!((anchored.days, anchored.given), (2, 2));
    assert_eq!(anchored.revised, [("days/2026-11-01.jsonl".to_owned(), 1)]);

    // Somebody makes a mail of the second day faster, and packs it all anew: seal, sums and chain are good.
    let doctor = |sql: &str| {
        rusqlite::Connection::open(&path).expect("the store").execute_batch(sql).expect("changed");
    };
    doctor(
        "UPDATE probes SET record = json_set(record, '$.verdict.reason', 'on time') WHERE outcome = 'lost';
         UPDATE probes SET record = json_set(record, '$.arrival.visible_at', '2026-11-02T03:10:02.5Z')
             WHERE started_at = 1793589000000000",
    );
    let faults =
        evidence::verify(&packed(directory.path(), "forged.pack"), &given(&told[2..])).expect_err("forged");
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert_eq!(faults[0].place, "days/2026-11-02.jsonl");
    assert!(faults[0].words.contains("none of its lines came in since"), "{faults:?}");

    // Then the anchors are made to fit: only the head that was told gives it away.
    doctor("DELETE FROM anchors WHERE day = '2026-11-02'");
    let pack = packed(directory.path(), "anchorless.pack");
    let faults = evidence::verify(&pack, &given(&told[2..])).expect_err("a head is missing");
    assert!(faults.iter().all(|fault| fault.place == "ANCHORS"), "{faults:?}");
    let other = vec![("2026-11-01".to_owned(), "0".repeat(64))];
    let faults = evidence::verify(&pack, &given(&other)).expect_err("another head was told");
    assert!(faults[0].words.contains("and not the one that was told"), "{faults:?}");
}

#[test]
fn what_makes_an_alert_of_everything_is_refused_for_notices() {
    let notifier = "[notifiers.duty]\ntype = \"pagerduty\"\nrouting_key = \"0123456789abcdef0123456789abcdef\"\n\
                    [notifiers.alerts]\ntype = \"alertmanager\"\nurls = [\"http://127.0.0.1:9093\"]\n";
    let wrong = |more: &str| {
        let text = configuration(&format!("{notifier}{more}"));
        let document = mailsonar_settings::Document::new("collector.toml", text);
        mailsonar_collector::Config::from_document(&document).expect_err("refused").to_string()
    };
    for (more, words) in [
        (
            "[statements]\nnotifiers = [\"duty\"]",
            "statements.notifiers: duty makes an alert of whatever it is sent",
        ),
        (
            "[statements.anchor]\nnotifiers = [\"alerts\"]",
            "statements.anchor.notifiers: alerts makes an alert",
        ),
        ("[statements]\nnotifiers = [\"nobody\"]", "there is no notifier nobody"),
    ] {
        let told = wrong(more);
        assert!(told.contains(words) && told.contains("name a webhook"), "{told}");
    }
}
