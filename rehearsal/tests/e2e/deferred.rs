//! Mail that is put off by greylisting: tried again as a mail server would, over a kill, and told apart
//! from the service's own slowness.

use mailsonar_protocol::{Class, Outcome, Stage};
use mailsonar_rehearsal::fleet::{Plan, Probe, Way};
use mailsonar_rehearsal::testbed::{Door, Fault};

use crate::stage::{PATIENCE, begin, from_now, secs};

#[test]
fn a_greylisted_message_outlives_a_kill_and_arrives_as_the_same_probe() {
    let story = begin(&Plan {
        regions: vec!["eu"],
        ways: vec![Way::Mx],
        retry: vec![secs(4), secs(4), secs(8)],
        prometheus: false,
        ..Plan::default()
    });
    let since = from_now(&story);
    story.bed.service.inject(Fault::Defer(Door::Mx)).expect("injected");

    let query = format!("{since}&outcome=in_flight");
    let put_off = |probe: &Probe| probe.record.handover.next_attempt_at.is_some();
    let waiting =
        story.wait_for_probe("a deferral to be told at once", &query, PATIENCE, put_off).expect("told");
    let verdict = &waiting.record.verdict;
    assert_eq!((verdict.stage, verdict.class), (Some(Stage::Envelope), Some(Class::Temporary)));
    let reason = verdict.reason.as_str();
    assert!(reason.contains("by greylisting as it looks") && reason.contains("450 4.7.1"), "{reason}");
    let words = waiting.record.handover.deferrals[0].words.as_str();
    assert!(words.contains("Greylisted, try again later"), "the server's words: {words}");
    let confirms = |probe: &Probe| probe.record.confirmation && put_off(probe);
    story.wait_for_probe("a confirmation at once", &query, PATIENCE, confirms).expect("confirmed");

    story.agent(0).kill9().expect("killed");
    story.bed.service.heal(Fault::Defer(Door::Mx)).expect("healed");
    story.agent(0).restart().expect("it starts again");

    let delivered = format!("{since}&outcome=delivered");
    let same = |probe: &Probe| probe.id() == waiting.id();
    let arrived =
        story.wait_for_probe("the same probe to arrive", &delivered, PATIENCE, same).expect("arrived");
    let record = &arrived.record;
    assert!(!record.handover.deferrals.is_empty() && record.handover.next_attempt_at.is_none());
    assert_eq!(record.peer, waiting.record.peer, "the same server at the same address");
    let waited = record.sender_wait_us().expect("it was put off");
    assert!(waited >= 4_000_000, "a real sender's mail would have waited {waited} us");
    let transit = record.latency_us().expect("arrived");
    assert!(transit < waited, "the service's own transit is told apart: {transit} us");
    assert!(record.verdict.reason.as_str().contains("greylisted before"), "{}", record.verdict.reason);
    assert_eq!((record.verdict.outcome, record.duplicates), (Outcome::Delivered, 0));
}
