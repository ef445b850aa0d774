//! Sheets: what probes amount to, in step with the probes, whatever the order in which they are told.

use jiff::SignedDuration;
use mailsonar_collector::store::{Agent, Hello, Mark, Sheet, SheetQuery, Store, StoreError};
use mailsonar_protocol::*;
use proptest::prelude::*;

use crate::harness::*;
use crate::home;

pub(crate) fn heard(store: &Store, batch: Batch) -> Agent {
    let Batch { agent, region, software, routes, health, sent_at, .. } = batch;
    let hello = Hello { name: agent, region, software, sent_at, received_at: sent_at, routes, health };
    store.hear(hello).expect("heard").0
}

pub(crate) fn told(store: &Store, agent: &Agent, record: &Record) {
    store.merge(agent, at(9_000), record).expect("merged");
}

/// Every sheet of the service, from an hour before eleven until a day after.
pub(crate) fn sheets(store: &Store) -> Vec<Sheet> {
    let query =
        SheetQuery { service: Some("acme".parse().expect("a name")), from: at(-3_600), until: at(86_400) };
    let mut sheets = Vec::new();
    let read = store.sheets(&query, |sheet| {
        sheets.push(sheet);
        Ok::<_, StoreError>(())
    });
    read.expect("read");
    sheets
}

#[test]
fn a_mail_that_comes_after_all_moves_its_mark_and_leaves_no_second_one() {
    let store = home::store();
    let eu = heard(&store, batch(0, Vec::new()));
    told(&store, &eu, &record(1, 1, 10, Outcome::InFlight));
    assert_eq!(sheets(&store), [], "what is in flight amounts to nothing yet");
    told(&store, &eu, &record(1, 2, 10, Outcome::Lost));
    told(&store, &eu, &record(2, 1, 3_600, Outcome::Delivered));
    told(&store, &eu, &record(1, 3, 10, Outcome::Late));
    let marks: Vec<Mark> = sheets(&store).into_iter().flat_map(|sheet| sheet.marks).collect();
    let brief = |mark: &Mark| (mark.started_at, mark.outcome, mark.latency_us);
    assert_eq!(
        marks.iter().map(brief).collect::<Vec<_>>(),
        [(at(10), Outcome::Late, Some(398_000_000)), (at(3_600), Outcome::Delivered, Some(1_000_000)),]
    );
}

#[test]
fn a_probe_whose_agent_moved_is_counted_in_one_region_only() {
    let store = home::store();
    let eu = heard(&store, batch(0, Vec::new()));
    told(&store, &eu, &record(1, 1, 10, Outcome::Lost));
    let moved = heard(&store, Batch { region: "ap".parse().expect("a name"), ..batch(60, Vec::new()) });
    told(&store, &moved, &record(1, 2, 10, Outcome::Late));
    let places: Vec<String> = sheets(&store).iter().map(|sheet| sheet.lane.region.to_string()).collect();
    assert_eq!(places, ["ap"]);
}

#[test]
fn what_is_too_old_is_forgotten_by_the_hour() {
    let store = home::store();
    let eu = heard(&store, batch(0, Vec::new()));
    for id in 0..4 {
        told(&store, &eu, &record(id, 1, i64::try_from(id).expect("few") * 3_600, Outcome::Delivered));
    }
    while store.sweep(at(2 * 3_600 + 60)).expect("swept") {}
    assert_eq!(sheets(&store).len(), 2, "the hour of the horizon itself is kept");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(home::CASES))]

    #[test]
    fn any_order_gives_the_same_sheets(
        order in Just((0..14_u128).flat_map(|id| {
            let started = i64::try_from(id).expect("few") * 600;
            let ends = [Outcome::InFlight, Outcome::Lost, Outcome::Late];
            (1..=3_u32).zip(ends).map(move |(revision, end)| record(id, revision, started, end))
        }).collect::<Vec<_>>()).prop_shuffle()
    ) {
        let store = home::store();
        let eu = heard(&store, batch(0, Vec::new()));
        for record in &order {
            told(&store, &eu, record);
        }
        let sheets = sheets(&store);
        prop_assert!(sheets.iter().flat_map(|sheet| &sheet.marks).all(|mark| mark.outcome == Outcome::Late));
        let counted: Vec<SignedDuration> = sheets
            .iter()
            .flat_map(|sheet| &sheet.marks)
            .map(|mark| mark.started_at.duration_since(at(0)))
            .collect();
        let expected: Vec<SignedDuration> = (0..14).map(|id| SignedDuration::from_secs(id * 600)).collect();
        prop_assert_eq!(counted, expected);
    }
}
