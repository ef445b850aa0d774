//! A queue that is held past the deadline and then let go, the last first and some of it twice: what was lost is
//! late, by as much as it is, and every message has one record still.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use mailsonar_clock::SystemClock;
use mailsonar_protocol::{Outcome, ProbeId, Record};
use mailsonar_rehearsal::fleet::{Fleet, Plan, Probe, Way};
use mailsonar_rehearsal::patience;
use mailsonar_rehearsal::testbed::{Door, Fault};
use mailsonar_sandbox::{Config, Fault as Sand, Rule, Sandbox, Service};

use crate::agent::{PATIENCE, Place};

const DEADLINE: Duration = Duration::from_secs(3);
/// How much later than a delivery it may be seen, on a busy machine. The slow watch of what is late is part
/// of it.
const SEEN: Duration = Duration::from_secs(3);

/// Postfix's own hold queue, with an agent and a collector as programs.
#[test]
fn postfix_lets_go_of_what_it_held_and_the_lost_are_late() {
    let fleet = Fleet::start(&Plan {
        regions: vec!["eu"],
        ways: vec![Way::Mx],
        interval: Duration::from_secs(1),
        deadline: DEADLINE,
        prometheus: false,
        ..Plan::default()
    });
    let fleet = fleet.expect("the fleet starts");
    fleet.wait_until_well().expect("all is well at first");
    let (service, since) = (&fleet.bed.service, format!("since={}", fleet.clock.now()));

    service.inject(Fault::Hold(Door::Mx)).expect("injected");
    let several = || service.held().is_ok_and(|held| held.len() >= 4);
    patience::until_true("mail to be held", PATIENCE, several).expect("held");
    service.heal(Fault::Hold(Door::Mx)).expect("healed");
    let held = service.held().expect("listed");
    let ids: BTreeMap<&str, ProbeId> = held.iter().map(|id| (id.as_str(), probe_in(&fleet, id))).collect();
    let of_held = |outcome: Outcome| -> Vec<Probe> {
        let probes = fleet.probes(&format!("{since}&outcome={outcome}")).unwrap_or_default();
        probes.into_iter().filter(|probe| ids.values().any(|id| *id == probe.id())).collect()
    };
    let all_lost = || of_held(Outcome::Lost).len() == held.len();
    patience::until_true("all that is held to be lost", PATIENCE, all_lost).expect("lost");

    // the last first, each in the mailbox before the next, and every other of them twice
    let to = &service.accounts()[0].address;
    let twice: Vec<&String> = held.iter().rev().step_by(2).collect();
    for id in held.iter().rev() {
        let copies = if twice.contains(&id) { 2 } else { 1 };
        if copies == 2 {
            service.hand_in_again(id, "probe@agents.test", to).expect("handed in");
        }
        service.release(id).expect("released");
        let arrived = || fleet.bed.truth.deliveries_of(ids[id.as_str()]).len() == copies;
        patience::until_true("a delivery", PATIENCE, arrived).expect("delivered");
    }
    let counted = |probe: &Probe| {
        let is_twice = twice.iter().any(|id| ids[id.as_str()] == probe.id());
        probe.record.duplicates == u32::from(is_twice)
    };
    let all_late = || {
        let late = of_held(Outcome::Late);
        (late.len() == held.len() && late.iter().all(counted)).then_some(late)
    };
    let late = patience::until("all that was lost to be late, copies counted", PATIENCE, all_late);
    for probe in late.expect("late") {
        let delivered = fleet.bed.truth.deliveries_of(probe.id())[0].at;
        is_true_to(&probe.record, delivered);
    }
    assert_eq!(of_held(Outcome::Lost).len(), 0, "one record each, and none of them lost");
    // what was sent after them came before them
    let later = fleet.probes(&format!("{since}&outcome=delivered")).expect("answered");
    assert!(!later.is_empty(), "new mail overtook what was held");
}

/// The probe whose message this is, by its header in the queue.
fn probe_in(fleet: &Fleet, id: &str) -> ProbeId {
    let tag = fleet.bed.service.queued_header(id, "X-Mailsonar-Probe").expect("read").expect("a probe's");
    tag.split('/').next().expect("a part").parse().expect("an id")
}

/// Late by as much as it was, by the delivery's own time.
fn is_true_to(record: &Record, delivered: Timestamp) {
    let accepted = record.accepted.as_ref().expect("accepted").at;
    let truth = delivered.duration_since(accepted).unsigned_abs();
    let told = Duration::from_micros(record.latency_us().expect("it arrived"));
    println!("{}: late by {told:?}, in truth {truth:?}, {} copies more", record.probe, record.duplicates);
    assert!(
        told > DEADLINE && told + Duration::from_millis(100) > truth && told < truth + SEEN,
        "{record:#?}"
    );
}

const ROUTES: &str = r#"
[routes.mx]
from = "mx"
to = "own"
sender = "STRANGER"
interval = "1s"
deadline = "3s"
retry = []
MX
"#;

/// The sandbox's two MX hosts hold what they took; the second lets go first, and everything comes twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sandbox_lets_go_of_what_it_held_and_the_lost_are_late() {
    let sandbox = Sandbox::start(Config::pair(), SystemClock::shared()).await.expect("it starts");
    let agent = Place::of_sandbox(&sandbox).agent(ROUTES).await;
    let hold = |host: &str| sandbox.faults().add(Rule::new(Sand::Hold).host(host).service(Service::Queue));
    let holds =
        [("mx2.acme.example", hold("mx2.acme.example")), ("mx1.acme.example", hold("mx1.acme.example"))];
    sandbox.faults().add(Rule::new(Sand::Twice));

    let mut sent = Vec::new();
    for turn in 0..4 {
        sent.push(agent.probe_of_turn("mx", turn).await);
    }
    let mut hosts = BTreeMap::new();
    for probe in &sent {
        let lost = agent.ends(*probe, Outcome::Lost).await;
        hosts.insert(*probe, lost.peer.expect("taken").host);
    }
    let mut arrivals = Vec::new();
    for (host, hold) in holds {
        sandbox.faults().remove(hold);
        let there = sent.iter().filter(|probe| hosts[*probe].as_str().trim_end_matches('.') == host);
        for probe in there {
            let twice = |record: &Record| record.verdict.outcome == Outcome::Late && record.duplicates == 1;
            let record = agent.sees(*probe, "both copies, late", twice).await;
            is_true_to(&record, delivered(&sandbox, *probe));
            arrivals.push(*probe);
        }
    }
    assert_eq!(arrivals.len(), sent.len(), "{hosts:?}");
    assert_ne!(arrivals, sent, "in another order than they were sent in: {hosts:?}");
    for probe in sent {
        let revisions = agent.revisions(probe);
        let numbers: Vec<u32> = revisions.iter().map(|record| record.revision).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "one record, revised: {numbers:?}");
        let outcomes: Vec<Outcome> = revisions.iter().map(|record| record.verdict.outcome).collect();
        let first_late = outcomes.iter().position(|outcome| *outcome == Outcome::Late).expect("late");
        assert!(outcomes[first_late..].iter().all(|outcome| *outcome == Outcome::Late), "{outcomes:?}");
    }
}

/// When the first copy was in the mailbox.
fn delivered(sandbox: &Sandbox, probe: ProbeId) -> Timestamp {
    sandbox.truth().read(|facts| {
        let this = facts.letters.iter().find(|letter| letter.message_id.starts_with(&probe.to_string()));
        this.and_then(|letter| letter.deliveries.first()).expect("delivered").at
    })
}
