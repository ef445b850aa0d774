//! The ledger's promises: what was answered is there after a crash, nothing unacknowledged is
//! forgotten, and a damaged file never keeps an agent from starting.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use jiff::SignedDuration;
use mailsonar_protocol::{Class, Outcome, Stage};

use super::*;
use crate::casebook::Casebook;
use crate::submit::Ending;
use crate::trouble::Trouble;
use crate::verdict::tests::{accepted_at, at, copy, failed, fresh, probe, seen};
use crate::verdict::{Attempt, Fact, Sighting, learn};

/// A case whose probe began so many seconds after the first.
fn begun(number: u128, second: i64) -> Case {
    let mut case = fresh(number);
    case.record.scheduled_at = at(second);
    case.record.started_at = at(second);
    case.record.due_at = at(second + 60);
    case
}

fn file(path: &Path) -> Ledger {
    let opened = Ledger::open(path, at(0)).expect("opened");
    assert_eq!(opened.set_aside, None);
    opened.ledger
}

async fn told(ledger: &Ledger, number: u128, fact: Fact) -> Record {
    let change = ledger.revise(probe(number), |case| learn(case, fact, at(200))).await.expect("revised");
    change.expect("a revision").after
}

async fn owed(ledger: &Ledger) -> Vec<(ProbeId, u32)> {
    let records = ledger.unacknowledged(1_000).await.expect("asked");
    records.into_iter().map(|record| (record.probe, record.revision)).collect()
}

async fn unfinished(ledger: &Ledger) -> Vec<ProbeId> {
    ledger.unfinished().await.expect("asked").into_iter().map(|record| record.probe).collect()
}

async fn acknowledge(ledger: &Ledger, number: u128, revision: u32) {
    let acknowledgement = Acknowledgement { probe: probe(number), revision };
    ledger.acknowledge(vec![acknowledgement]).await.expect("kept");
}

#[tokio::test]
async fn what_was_answered_is_there_when_the_file_is_opened_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("ledger.db");
    let ledger = file(&path);
    ledger.open_case(fresh(1)).await.expect("entered");
    ledger.open_case(fresh(2)).await.expect("entered");
    told(&ledger, 2, accepted_at(at(2))).await;
    let known = ledger.case(probe(2)).await.expect("asked");
    drop(ledger);

    let again = file(&path);
    assert_eq!(again.case(probe(2)).await.expect("asked"), known);
    assert_eq!(unfinished(&again).await, [probe(1)], "the one whose submission had not ended");
    assert_eq!(owed(&again).await, [(probe(1), 1), (probe(2), 2)]);
}

#[tokio::test]
async fn a_crash_at_any_moment_loses_nothing_that_was_answered() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("ledger.db");
    let ledger = file(&path);
    for number in 1..=20 {
        ledger.open_case(fresh(number)).await.expect("entered");
        // What a kill -9 leaves behind at this very moment, with nothing closed or checkpointed.
        let crashed = directory.path().join(format!("crashed-{number}.db"));
        for side in ["", "-wal"] {
            let from = format!("{}{side}", path.display());
            std::fs::copy(from, format!("{}{side}", crashed.display())).expect("copied");
        }
        let left = file(&crashed);
        assert!(left.case(probe(number)).await.expect("asked").is_some(), "probe {number} (I1)");
        assert_eq!(owed(&left).await.len(), usize::try_from(number).expect("small"));
    }
}

#[tokio::test]
async fn a_probe_is_entered_once() {
    let ledger = Ledger::in_memory().expect("a ledger");
    ledger.open_case(fresh(1)).await.expect("entered");
    ledger.open_case(fresh(1)).await.expect_err("it is there already");
    let unknown = ledger.revise(probe(9), |case| learn(case, accepted_at(at(2)), at(2))).await;
    assert_eq!(unknown.expect("asked"), None, "what was never sent is not invented");
    assert_eq!(ledger.case(probe(9)).await.expect("asked"), None);
}

#[tokio::test]
async fn what_is_owed_comes_oldest_first_and_no_more_than_asked_for() {
    let ledger = Ledger::in_memory().expect("a ledger");
    for (number, second) in [(1, 30), (2, 10), (3, 20)] {
        ledger.open_case(begun(number, second)).await.expect("entered");
    }
    let two = ledger.unacknowledged(2).await.expect("asked");
    assert_eq!(two.iter().map(|record| record.probe).collect::<Vec<_>>(), [probe(2), probe(3)]);
}

#[tokio::test]
async fn an_acknowledgement_leaves_what_was_learned_meanwhile_to_be_shipped() {
    let ledger = Ledger::in_memory().expect("a ledger");
    ledger.open_case(fresh(1)).await.expect("entered");
    let sent = owed(&ledger).await;
    told(&ledger, 1, accepted_at(at(2))).await;
    acknowledge(&ledger, 1, sent[0].1).await;
    assert_eq!(owed(&ledger).await, [(probe(1), 2)], "revision 1 is there, revision 2 is owed");
    acknowledge(&ledger, 1, 2).await;
    assert_eq!(owed(&ledger).await, []);
    acknowledge(&ledger, 1, 1).await;
    assert_eq!(owed(&ledger).await, [], "an old answer that comes late takes nothing back");
    told(&ledger, 1, Fact::Sighted(seen(at(5)))).await;
    assert_eq!(owed(&ledger).await, [(probe(1), 3)]);
    acknowledge(&ledger, 7, 3).await;
    assert_eq!(owed(&ledger).await, [(probe(1), 3)], "an answer about a probe unknown here does nothing");
}

#[tokio::test]
async fn a_sweep_removes_only_what_is_old_and_known_to_the_collector() {
    let ledger = Ledger::in_memory().expect("a ledger");
    let (old, young) = (0, 8 * 86_400);
    for (number, second) in [(1, old), (2, old), (3, young), (4, young)] {
        ledger.open_case(begun(number, second)).await.expect("entered");
        told(&ledger, number, accepted_at(at(second + 2))).await;
    }
    acknowledge(&ledger, 1, 2).await;
    acknowledge(&ledger, 3, 2).await;
    let horizon = at(7 * 86_400);
    assert_eq!(ledger.sweep(horizon, true).await.expect("swept"), 1, "1 is old and acknowledged");
    assert_eq!(ledger.case(probe(1)).await.expect("asked"), None);
    assert_eq!(owed(&ledger).await, [(probe(2), 2), (probe(4), 2)], "2 is old, but still owed");
    let waiting = ledger.waiting("bob".parse().expect("a name"), at(0)).await.expect("asked");
    let waiting: Vec<_> = waiting.iter().map(|record| record.probe).collect();
    assert_eq!(
        waiting,
        [probe(3), probe(4)],
        "nobody waits for 2 any more; 3 is acknowledged and may still come"
    );
    assert_eq!(ledger.sweep(horizon, false).await.expect("swept"), 1, "without a collector nothing is owed");
    assert_eq!(ledger.case(probe(2)).await.expect("asked"), None);
}

#[tokio::test]
async fn a_sweep_after_a_long_absence_goes_in_slices_and_gets_through() {
    let ledger = Ledger::in_memory().expect("a ledger");
    for number in 1..=2_500 {
        ledger.open_case(begun(number, 0)).await.expect("entered");
    }
    let horizon = at(7 * 86_400);
    let mut slices = Vec::new();
    while let removed @ 1.. = ledger.sweep(horizon, false).await.expect("swept") {
        slices.push(removed);
    }
    assert_eq!(slices, [1_000, 1_000, 500]);
}

#[tokio::test]
async fn waiting_means_that_it_may_still_come() {
    let ledger = Ledger::in_memory().expect("a ledger");
    let bob: AccountName = "bob".parse().expect("a name");
    for number in 1..=4 {
        ledger.open_case(fresh(number)).await.expect("entered");
    }
    told(&ledger, 2, failed(Stage::Envelope, Class::Permanent, "permanent")).await;
    told(&ledger, 3, accepted_at(at(2))).await;
    told(&ledger, 3, Fact::Sighted(seen(at(5)))).await;
    told(&ledger, 4, accepted_at(at(2))).await;
    told(&ledger, 4, Fact::SearchedInVain { begun_at: at(100) }).await;
    let waiting = ledger.waiting(bob.clone(), at(0)).await.expect("asked");
    let waiting: BTreeSet<_> = waiting.iter().map(|record| record.probe).collect();
    assert_eq!(waiting, BTreeSet::from([probe(1), probe(4)]), "under way, and lost; not refused, not seen");
    assert_eq!(ledger.waiting(bob, at(10_000)).await.expect("asked"), [], "due too long ago");
    let alice = "alice".parse().expect("a name");
    assert_eq!(ledger.waiting(alice, at(0)).await.expect("asked"), [], "another mailbox");
}

#[tokio::test]
async fn the_counts_say_what_is_in_flight_on_each_route_and_what_is_owed() {
    let ledger = Ledger::in_memory().expect("a ledger");
    assert_eq!(ledger.counts().await.expect("asked"), Counts::default());
    for (number, route) in [(1, "loop"), (2, "loop"), (3, "in"), (4, "in")] {
        let mut case = begun(number, i64::try_from(number).expect("small"));
        case.record.route = route.parse().expect("a name");
        ledger.open_case(case).await.expect("entered");
    }
    told(&ledger, 4, failed(Stage::Connect, Class::Connect, "refused")).await;
    acknowledge(&ledger, 1, 1).await;
    let counts = ledger.counts().await.expect("asked");
    assert_eq!(counts.unacknowledged, 3);
    let expected = [("loop", (2, at(1))), ("in", (1, at(3)))];
    let expected = expected.map(|(route, figures)| (route.parse().expect("a name"), figures));
    assert_eq!(counts.in_flight, HashMap::from(expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_who_revise_at_once_lose_no_fact_and_share_no_revision() {
    const PROBES: u128 = 20;
    const COPIES: u32 = 25;
    let directory = tempfile::tempdir().expect("a directory");
    let ledger = file(&directory.path().join("ledger.db"));
    for number in 1..=PROBES {
        ledger.open_case(fresh(number)).await.expect("entered");
    }
    let mut tasks = tokio::task::JoinSet::new();
    for number in 1..=PROBES {
        for uid in 1..=COPIES {
            let ledger = ledger.clone();
            let sighting = Sighting { copy: copy("INBOX", 1, uid), ..seen(at(5)) };
            tasks.spawn(async move { told(&ledger, number, Fact::Sighted(sighting)).await });
        }
    }
    let mut revisions = BTreeSet::new();
    while let Some(record) = tasks.join_next().await {
        let record = record.expect("no panic");
        assert!(revisions.insert((record.probe, record.revision)), "each revision is one fact's alone");
    }
    for number in 1..=PROBES {
        let record = ledger.case(probe(number)).await.expect("asked").expect("there").record;
        assert_eq!((record.revision, record.duplicates), (1 + COPIES, COPIES - 1));
    }
}

#[tokio::test]
async fn a_row_that_cannot_be_read_keeps_no_other_from_being_watched_or_shipped() {
    let ledger = Ledger::in_memory().expect("a ledger");
    for number in 1..=3 {
        ledger.open_case(fresh(number)).await.expect("entered");
    }
    let spoil = |db: &Connection| {
        Ok(db.execute("UPDATE probe SET body = '{\"half' WHERE id = ?1", [probe(1).to_string()])?)
    };
    ledger.desk().run(spoil).await.expect("spoiled");
    let readable = [probe(2), probe(3)];
    assert_eq!(owed(&ledger).await.iter().map(|(probe, _)| *probe).collect::<Vec<_>>(), readable);
    assert_eq!(unfinished(&ledger).await, readable);
    let waiting = ledger.waiting("bob".parse().expect("a name"), at(0)).await.expect("asked");
    assert_eq!(waiting.len(), 2);
    assert!(
        matches!(ledger.case(probe(1)).await, Err(DeskError::Unreadable(_))),
        "asked for itself, it is told"
    );
}

/// A ledger file with some hundred rows in it, all of it in the one file.
fn filled(path: &Path) -> Vec<u8> {
    let ledger = file(path);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        for number in 1..=300 {
            ledger.open_case(fresh(number)).await.expect("entered");
        }
    });
    drop(ledger);
    // A second connection that closes writes the log back into the file.
    let connection = mailsonar_desk::open(path).expect("opened");
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("written back");
    drop(connection);
    std::fs::read(path).expect("read")
}

#[test]
fn a_damaged_file_is_kept_aside_and_a_new_one_begun() {
    let directory = tempfile::tempdir().expect("a directory");
    let whole = filled(&directory.path().join("whole.db"));
    assert!(whole.len() > 100_000, "{} bytes", whole.len());
    let mut holed = whole.clone();
    let middle = whole.len() / 2;
    holed[middle..middle + 16_384].fill(0xa5);
    let noise: Vec<u8> = (0..50_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    let damaged = [
        ("half of it", whole[..middle].to_vec()),
        ("half of it, and a bit of a page", whole[..middle + 1_234].to_vec()),
        ("its head only", whole[..100].to_vec()),
        ("a hole in the middle", holed),
        ("another head", [b"NOT A LEDGER\0".as_slice(), &whole[13..]].concat()),
        ("noise", noise),
    ];
    for (number, (what, bytes)) in damaged.into_iter().enumerate() {
        let path = directory.path().join(format!("{number}.db"));
        std::fs::write(&path, &bytes).expect("written");
        let opened = Ledger::open(&path, at(0)).unwrap_or_else(|error| panic!("{what}: {error:#}"));
        let (aside, why) = opened.set_aside.unwrap_or_else(|| panic!("{what} was not noticed"));
        assert_eq!(std::fs::read(&aside).expect("kept"), bytes, "{what}: kept as it was");
        let name = aside.file_name().expect("a name").to_string_lossy().into_owned();
        assert_eq!(name, format!("{number}.db.corrupt-19700112T134640Z"), "the time is in its name");
        assert!(!why.is_empty(), "{what}");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            opened.ledger.open_case(fresh(1)).await.expect("the new one works");
            assert_eq!(owed(&opened.ledger).await, [(probe(1), 1)], "{what}");
        });
        drop(opened.ledger);
        file(&path);
    }
}

#[test]
fn an_empty_file_is_a_new_ledger() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("ledger.db");
    std::fs::write(&path, b"").expect("written");
    file(&path);
}

#[test]
fn the_ledger_of_a_newer_version_is_refused_and_not_touched() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("ledger.db");
    drop(file(&path));
    let connection = mailsonar_desk::open(&path).expect("opened");
    connection.pragma_update(None, "user_version", SCHEMA_VERSION + 1).expect("raised");
    drop(connection);
    let error = format!("{:#}", Ledger::open(&path, at(0)).expect_err("refused"));
    assert!(error.contains("ledger.db") && error.contains("newer version"), "{error}");
    let files = std::fs::read_dir(directory.path()).expect("listed");
    let aside =
        files.filter_map(Result::ok).any(|file| file.file_name().to_string_lossy().contains("corrupt"));
    assert!(!aside, "it is no damage");
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let path = Path::new("/nonexistent/mailsonar/ledger.db");
    let error = format!("{:#}", Ledger::open(path, at(0)).expect_err("refused"));
    assert!(error.contains("/nonexistent/mailsonar/ledger.db"), "{error}");
}

#[tokio::test]
async fn times_come_back_to_the_microsecond() {
    let ledger = Ledger::in_memory().expect("a ledger");
    let mut case = fresh(1);
    case.record.started_at = at(0).checked_add(SignedDuration::from_micros(123_457)).expect("a time");
    ledger.open_case(case.clone()).await.expect("entered");
    assert_eq!(ledger.case(probe(1)).await.expect("asked"), Some(case));
    let in_flight = ledger.counts().await.expect("asked").in_flight;
    assert_eq!(in_flight.values().next().expect("one").1.as_microsecond() % 1_000_000, 123_457);
    let outcome = ledger.case(probe(1)).await.expect("asked").expect("there").record.verdict.outcome;
    assert_eq!(outcome, Outcome::InFlight);
}

/// A refusal with so much evidence that it needs room of its own.
fn long_story() -> Fact {
    let trouble = Trouble::new(Stage::Data, Class::Permanent, "permanent", "x".repeat(1_000).as_str());
    let asides = vec![trouble.clone(); 15];
    Fact::Submitted {
        stages: Vec::new(),
        peer: None,
        asides,
        ending: Ending::Failed(trouble),
        attempt: Attempt::default(),
    }
}

/// The file may grow to so many pages; with `None` it stays as large as it is.
async fn limit(ledger: &Ledger, pages: Option<u32>) {
    let limit = move |db: &Connection| {
        let now: u32 = db.query_row("PRAGMA page_count", [], |row| row.get(0))?;
        let pages = pages.unwrap_or(now);
        Ok(db.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |row| row.get::<_, u32>(0))?)
    };
    ledger.desk().run(limit).await.expect("limited");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_the_sending_and_what_was_seen_is_kept_in_hand() {
    let directory = tempfile::tempdir().expect("a directory");
    let ledger = file(&directory.path().join("ledger.db"));
    let heard: Arc<Mutex<Vec<(ProbeId, u32)>>> = Arc::default();
    let ears = heard.clone();
    let listener = move |change: &Change| {
        ears.lock().expect("not poisoned").push((change.after.probe, change.after.revision));
    };
    let clock = mailsonar_clock::SystemClock::shared();
    let casebook = Casebook::new(ledger.clone(), clock, vec![Arc::new(listener)]);
    let bob: AccountName = "bob".parse().expect("a name");

    limit(&ledger, None).await;
    let mut opened = 0;
    let error = loop {
        match casebook.open(&bob, fresh(opened + 1).record).await {
            Ok(()) => opened += 1,
            Err(error) => break error,
        }
        assert!(opened < 10_000, "the disk is never full");
    };
    assert!(opened > 0 && error.is_disk_trouble(), "{opened}: {error}");
    let complaint = casebook.complaint().expect("it complains");
    assert!(complaint.words.as_str().contains("full"), "{}", complaint.words);

    let (revised, of) = (casebook.clone(), probe(1));
    let learning = tokio::spawn(async move { revised.learn(of, long_story()).await });
    tokio::time::sleep(std::time::Duration::from_millis(1_300)).await;
    assert!(!learning.is_finished(), "it was tried twice, and is tried on");
    assert!(casebook.complaint().is_some());

    limit(&ledger, Some(100_000)).await;
    let learned = learning.await.expect("no panic").expect("kept").expect("news");
    assert_eq!((learned.revision, learned.verdict.outcome), (2, Outcome::Refused));
    assert_eq!(casebook.complaint(), None);
    casebook.open(&bob, fresh(opened + 1).record).await.expect("there is room again");

    // Who listens hears of what is on disk, and of nothing else.
    let mut expected: Vec<_> = (1..=opened).map(|number| (probe(number), 1)).collect();
    expected.extend([(probe(1), 2), (probe(opened + 1), 1)]);
    assert_eq!(*heard.lock().expect("not poisoned"), expected);
}
