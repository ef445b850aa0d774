//! Postfix stands still, and Postfix is gone.

use mailsonar_protocol::{Class, Outcome, Stage};
use mailsonar_rehearsal::fleet::{Page, Plan, Probe, Way};
use mailsonar_rehearsal::patience;
use mailsonar_rehearsal::testbed::Fault;

use crate::stage::{
    PATIENCE, Story, all_resolved, assert_one_trigger_one_resolve, begin, everyone_sees_that, from_now, secs,
};

#[test]
fn a_postfix_that_is_frozen_or_killed_pages_with_the_stage() {
    let story = begin(&Plan { interval: secs(3), ..Plan::default() });

    let frozen = outage(&story, Fault::PostfixFrozen, (Stage::Greeting, Class::Timeout));
    let killed = outage(&story, Fault::PostfixKilled, (Stage::Connect, Class::Connect));
    assert_ne!(frozen.dedup_key, killed.dedup_key, "another trouble, another incident");

    let pages = story.pages();
    assert_one_trigger_one_resolve(&pages, &frozen);
    assert_one_trigger_one_resolve(&pages, &killed);
    assert!(
        story.collector.findings().expect("answered").is_empty(),
        "nobody is cut off: control routes pass"
    );
}

/// From the fault to the resolve; returns the page.
fn outage(story: &Story, fault: Fault, (stage, class): (Stage, Class)) -> Page {
    let (since, from) = (from_now(story), story.clock.now());
    story.bed.service.inject(fault).expect("injected");
    for way in [Way::Loop, Way::Outbound, Way::Mx] {
        let so = |probe: &Probe| {
            let verdict = &probe.record.verdict;
            (verdict.stage, verdict.class) == (Some(stage), Some(class))
        };
        for probe in everyone_sees_that(story, &since, way, Outcome::Unreachable, so) {
            let evidence = probe.record.evidence.last().expect("evidence");
            assert_eq!((evidence.stage, evidence.class), (stage, class));
            assert!(
                evidence.peer.as_str().contains(&story.bed.service.address().to_string()),
                "{evidence:?}"
            );
        }
    }
    let fresh = |page: &Page| page.opens("send") && page.at > from;
    let page = story.wait_for_page("a page that sending fails", PATIENCE, fresh).expect("paged");
    println!("{fault}: paged after {:.1} s: {}", page.at.duration_since(from).as_secs_f64(), page.summary);
    // the first page may stand on probes that met the middle of it; soon the incident names the stage
    let named = || {
        let incidents = story.incidents().unwrap_or_default();
        let this = incidents.iter().find(|incident| incident.id == page.incident);
        this.is_some_and(|incident| incident.summary.contains(&format!("stage {stage}")))
    };
    patience::until_true("the incident to name the stage", PATIENCE, named).expect("named");
    assert!(page.regions.failing.len() >= 2, "a quorum: {page:#?}");

    story.bed.service.heal(fault).expect("healed");
    let resolve =
        story.wait_for_page("the resolve", PATIENCE, |other| other.resolves(&page)).expect("resolved");
    println!("{fault}: resolved: {}", resolve.summary);
    story.bed.service.wait_until_drained().expect("drained");
    story.bed.reference.wait_until_drained().expect("drained");
    story.wait_until_well().expect("all is well again");
    // the MX was gone too: where that made an incident, it is over as well
    all_resolved(story);
    page
}
