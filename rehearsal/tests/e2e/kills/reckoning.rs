//! The reckoning: what the agents wrote down, what the collector was told and what the mailboxes saw
//! must be one and the same story.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use mailsonar_protocol::{Arrival, Class, Outcome, ProbeId, Record, Stage};
use mailsonar_rehearsal::fleet::{Agent, Fleet, Probe};
use mailsonar_rehearsal::patience;
use mailsonar_rehearsal::testbed::Delivery;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

/// By how much the clocks of two processes may differ: each is anchored to the wall clock at its start.
const CLOCKS_US: i64 = 5_000;

/// The query for all probes there are.
pub(crate) const ALL: &str = "since=1970-01-01T00:00:01Z";

/// How it went, in numbers.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) outcomes: BTreeMap<Outcome, usize>,
    pub(crate) deliveries: usize,
    /// Records of probes that a kill interrupted before their acceptance was on disk.
    pub(crate) interrupted: usize,
    /// Of those, the ones whose message came all the same.
    pub(crate) came_all_the_same: usize,
    /// Seen only by the scan after a restart.
    pub(crate) seen_by_scan: usize,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcomes: Vec<_> = self.outcomes.iter().map(|(outcome, n)| format!("{n} {outcome}")).collect();
        let Self { deliveries, interrupted, came_all_the_same, seen_by_scan, .. } = self;
        let records: usize = self.outcomes.values().sum();
        write!(
            f,
            "{records} records ({}), {deliveries} deliveries; {interrupted} submissions interrupted, of which \
             {came_all_the_same} came all the same; {seen_by_scan} arrivals found by a scan",
            outcomes.join(", ")
        )
    }
}

/// The database of an agent, to be read beside the agent or after its death.
fn ledger(agent: &Agent) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(agent.dir().join("state/ledger.db"), flags)?;
    db.busy_timeout(Duration::from_secs(5))?;
    db.pragma_update(None, "query_only", true)?;
    Ok(db)
}

fn count(agent: &Agent, condition: &str) -> rusqlite::Result<usize> {
    let sql = format!("SELECT count(*) FROM probe WHERE {condition}");
    ledger(agent)?.query_row(&sql, [], |row| row.get::<_, i64>(0)).map(|n| usize::try_from(n).unwrap_or(0))
}

/// How many probes a ledger holds, and how many revisions the collector has not acknowledged.
pub(crate) fn owed(agent: &Agent) -> (usize, usize) {
    let count = |condition| count(agent, condition).unwrap_or(0);
    (count("1"), count("revision > acknowledged"))
}

/// How many probes are in the middle of their submission, and how many between acceptance and arrival.
pub(crate) fn under_way(agent: &Agent) -> (usize, usize) {
    let in_flight = count(agent, "outcome = 'in_flight'").unwrap_or(0);
    let accepted = "outcome = 'in_flight' AND json_extract(body, '$.record.accepted') IS NOT NULL";
    let accepted = count(agent, accepted).unwrap_or(0);
    (in_flight - accepted, accepted)
}

/// Has all agents begin nothing more, and waits until all that was begun has come to its end.
pub(crate) fn settle(fleet: &Fleet, limit: Duration) {
    for agent in fleet.agents() {
        agent.stop().expect("it ends gently");
        agent.reconfigure(|settings| {
            let routes = settings["routes"].as_object_mut().expect("routes");
            routes.values_mut().for_each(|route| route["interval"] = "240h".into());
        });
        agent.restart().expect("it starts again");
    }
    let is_at_rest = || {
        let is_empty = fleet.bed.truth.remaining().is_empty()
            && fleet.bed.service.queue_length() == 0
            && fleet.bed.reference.queue_length() == 0;
        let open = "outcome = 'in_flight' OR revision > acknowledged";
        is_empty && fleet.agents().iter().all(|agent| count(agent, open).is_ok_and(|open| open == 0))
    };
    patience::until_true("all that was begun to end", limit, is_at_rest).unwrap_or_else(|error| {
        let owed: Vec<_> = fleet.agents().iter().map(owed).collect();
        let under_way: Vec<_> = fleet.agents().iter().map(under_way).collect();
        panic!(
            "{error}: (probes, owed) {owed:?}; (submitting, in flight) {under_way:?}; in the mailboxes: {:?}",
            fleet.bed.truth.remaining()
        )
    });
}

/// Holds the three books against each other.
pub(crate) fn reckon(fleet: &Fleet) -> Tally {
    let written = written(fleet);
    let told = fleet.probes(ALL).expect("answered");
    let deliveries = fleet.bed.truth.deliveries();
    the_collector_has_what_the_agents_wrote(&written, &told);

    let mut seen: BTreeMap<ProbeId, Vec<&Delivery>> = BTreeMap::new();
    for delivery in &deliveries {
        // a message may be read and deleted before the truth could read its name
        let Some(probe) = delivery.probe else { continue };
        assert!(written.contains_key(&probe), "a message that no ledger knows: {delivery:?}");
        seen.entry(probe).or_default().push(delivery);
    }
    let mut tally = Tally { deliveries: deliveries.len(), ..Tally::default() };
    let mut copies = 0;
    for record in written.values() {
        let seen = seen.get(&record.probe).map_or(&[][..], Vec::as_slice);
        the_outcome_is_what_happened(record, seen);
        copies += record.arrival.as_ref().map_or(0, |_| 1 + record.duplicates as usize);
        tally.add(record);
    }
    assert_eq!(copies, deliveries.len(), "each delivery counts once: {}", unheard(&written, &seen));
    assert!(fleet.bed.truth.remaining().is_empty(), "nothing of ours is left in a mailbox");
    tally
}

/// All records of all ledgers, each acknowledged as it is.
fn written(fleet: &Fleet) -> BTreeMap<ProbeId, Record> {
    let mut all = BTreeMap::new();
    for agent in fleet.agents() {
        let state = std::fs::read_dir(agent.dir().join("state")).expect("it has a state");
        let names: Vec<_> = state.flatten().map(|entry| entry.file_name()).collect();
        let is_aside = |name: &std::ffi::OsString| name.to_string_lossy().contains("corrupt");
        assert!(!names.iter().any(is_aside), "a ledger was set aside: {names:?}");
        let db = ledger(agent).expect("it opens");
        let mut query =
            db.prepare("SELECT body, revision, acknowledged FROM probe").expect("it has the table");
        let rows = query.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?)));
        for row in rows.expect("it can be read") {
            let (body, revision, acknowledged): (String, u32, u32) = row.expect("a row");
            let mut body: Value = serde_json::from_str(&body).expect("JSON");
            let record: Record = serde_json::from_value(body["record"].take()).expect("a record");
            assert_eq!((record.revision, acknowledged), (revision, revision), "{record:#?}");
            let other = all.insert(record.probe, record);
            assert!(other.is_none(), "one probe in two ledgers: {other:#?}");
        }
    }
    all
}

fn the_collector_has_what_the_agents_wrote(written: &BTreeMap<ProbeId, Record>, told: &[Probe]) {
    let ids: BTreeSet<ProbeId> = told.iter().map(Probe::id).collect();
    assert_eq!(ids.len(), told.len(), "the collector has one record of each probe");
    let lost: Vec<_> = written.values().filter(|record| !ids.contains(&record.probe)).collect();
    assert!(lost.is_empty(), "lost on the way to the collector: {lost:#?}");
    for probe in told {
        let Some(record) = written.get(&probe.id()) else { panic!("invented: {probe:#?}") };
        assert_eq!(&probe.record, record, "as the ledger has it");
    }
}

/// A verdict is final, and says neither more nor less than what the mailboxes saw.
fn the_outcome_is_what_happened(record: &Record, seen: &[&Delivery]) {
    match record.verdict.outcome {
        Outcome::Delivered | Outcome::Late => {
            let arrival = record.arrival.as_ref().expect("an arrival");
            assert!(arrival.intact && !arrival.junk, "{record:#?}");
            let Some(first) = seen.first() else { return };
            assert_eq!(record.duplicates as usize, seen.len() - 1, "{record:#?} {seen:#?}");
            assert_seen_when_it_came(record, arrival, first);
            let spare = record.due_at.as_microsecond() - first.wall.as_microsecond();
            let is_late = record.verdict.outcome == Outcome::Late;
            assert!(!is_late || spare <= CLOCKS_US, "it was there {spare} us before it was due: {record:#?}");
        }
        Outcome::Unknown => {
            // only because we were killed in the middle, and then no message ever came
            let verdict = &record.verdict;
            assert_eq!((verdict.stage, verdict.class), (Some(Stage::Data), Some(Class::Own)), "{record:#?}");
            assert!(record.accepted.is_none() && seen.is_empty(), "{record:#?} {seen:#?}");
        }
        _ => panic!("the mail service was well all along: {record:#?} {seen:#?}"),
    }
}

/// It was not there before the record allows for, where the window does not reach back to the acceptance,
/// from which the latency counts: a message can be there before its acceptance is read.
fn assert_seen_when_it_came(record: &Record, arrival: &Arrival, delivery: &Delivery) {
    let uncertainty = i64::try_from(arrival.uncertainty_us).expect("short");
    let not_before = arrival.visible_at.as_microsecond() - uncertainty;
    let from_acceptance =
        record.accepted.as_ref().is_some_and(|accepted| not_before <= accepted.at.as_microsecond());
    let too_late = not_before - delivery.wall.as_microsecond();
    assert!(
        from_acceptance || too_late <= CLOCKS_US,
        "it was there {too_late} us before the record says it can have been: {record:#?} {delivery:#?}"
    );
}

fn unheard(written: &BTreeMap<ProbeId, Record>, seen: &BTreeMap<ProbeId, Vec<&Delivery>>) -> String {
    let unnamed = written.values().filter(|r| r.arrival.is_some() && !seen.contains_key(&r.probe)).count();
    format!("{unnamed} arrivals whose message the truth could not read")
}

impl Tally {
    fn add(&mut self, record: &Record) {
        *self.outcomes.entry(record.verdict.outcome).or_default() += 1;
        let interrupted = record.evidence.iter().any(|evidence| evidence.detail.as_str() == "interrupted");
        self.interrupted += usize::from(interrupted);
        self.came_all_the_same += usize::from(interrupted && record.arrival.is_some());
        let by_scan = |arrival: &Arrival| arrival.seen_by.as_str() == "scan";
        self.seen_by_scan += usize::from(record.arrival.as_ref().is_some_and(by_scan));
    }
}
