//! Moving house: from PostgreSQL to SQLite and back, byte for byte.

use std::process::Command;

use mailsonar_collector::store::{Place, Store, copy};
use mailsonar_protocol::*;

use crate::harness::*;
use crate::home::Home;
use crate::outbox::{Pager, everyone};

/// Probes of every kind, an incident, and a page that is owed for it.
async fn lived_in(home: &Home) {
    let pager = Pager::that(&[]).await;
    let clock = Hand::at(0);
    let served = Served::with(configured(&webhook(pager.address)), clock.clone(), home.open()).await;
    let mut ids = 0;
    for (started, outcome) in [(0, Outcome::Unreachable), (20, Outcome::Unreachable), (40, Outcome::Refused)]
    {
        everyone(&served, &clock, &mut ids, started, outcome).await;
    }
    let many = (100..1_700).map(|id| record(id, 1, -60, Outcome::Delivered)).collect::<Vec<_>>();
    for records in many.chunks(500) {
        served.take(&batch(60, records.to_vec())).await;
    }
}

#[tokio::test]
async fn all_of_it_is_the_same_there_and_back_again() {
    let (home, back) = (Home::new(), Home::new());
    lived_in(&home).await;
    let there = home.open().inventory().expect("read");
    let rows = |table: &str| there.iter().find(|one| one.table == table).expect("a table").rows;
    assert_eq!((rows("probes"), rows("agents"), rows("incidents")), (1_606, 2, 1));
    assert!(rows("sheets") > 1 && rows("days") > 0 && rows("quarters") > 1 && rows("outbox") > 0);

    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("c.db");
    let program = Command::new(env!("CARGO_BIN_EXE_mailsonar-collector"))
        .args(["store", "copy", home.url(), file.to_str().expect("text")])
        .output()
        .expect("it runs");
    let told = String::from_utf8_lossy(&program.stdout);
    assert!(program.status.success(), "{}", String::from_utf8_lossy(&program.stderr));
    assert!(there.iter().all(|table| told.contains(&table.sha256)), "{told}");

    let copied = copy(&Store::open(&file).expect("a store"), &back.open()).expect("copied");
    assert_eq!(copied, there);
    let again = directory.path().join("again.db");
    copy(&back.open(), &Store::open(&again).expect("a store")).expect("copied");
    assert_eq!(Store::open(&again).expect("a store").inventory().expect("read"), there);
}

#[test]
fn what_is_lived_in_is_not_written_over_and_what_is_in_use_is_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("c.db");
    let place = Place::named(path.to_str().expect("text")).expect("a file");
    let file = place.open().expect("a store");
    let empty = Home::new();

    let other = place.open().expect("a second program");
    let words = copy(&file, &empty.open()).expect_err("in use").to_string();
    assert!(words.contains("copy from") && words.contains("in use by another program"), "{words}");
    drop(other);

    let running = empty.open();
    running.claim().expect("nobody else is there");
    let words = copy(&file, &empty.open()).expect_err("in use").to_string();
    assert!(words.contains("copy to") && words.contains("in use by another collector"), "{words}");
    drop(running);

    let full = Home::new();
    let Batch { agent, region, software, sent_at, routes, health, .. } = batch(10, Vec::new());
    let hello = mailsonar_collector::store::Hello {
        name: agent,
        region,
        software,
        sent_at,
        received_at: sent_at,
        routes,
        health,
    };
    full.open().hear(hello).expect("heard");
    let words = copy(&file, &full.open()).expect_err("not empty").to_string();
    assert!(words.contains("not empty") && words.contains("agents"), "{words}");
    copy(&file, &empty.open()).expect("an empty store is soon copied");
}
