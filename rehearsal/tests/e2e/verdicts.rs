//! Mail that is refused, misfiled, swallowed and bounced: each is told apart.

use std::path::Path;

use mailsonar_protocol::{Class, Outcome, Stage};
use mailsonar_rehearsal::fleet::{Plan, Probe, Way};
use mailsonar_rehearsal::patience;
use mailsonar_rehearsal::testbed::{Door, Fault};

use crate::stage::{
    PATIENCE, Story, all_resolved, assert_one_trigger_one_resolve, begin, everyone_sees, from_now, secs,
};

#[test]
fn each_way_of_not_delivering_has_its_own_name() {
    let story = begin(&Plan { deadline: secs(5), ..Plan::default() });

    during(&story, Fault::Reject(Door::Mx), |since| {
        for probe in everyone_sees(&story, since, Way::Mx, Outcome::Refused) {
            assert_blame(&probe, Stage::Envelope, Class::Permanent);
            let words = probe.record.evidence.last().expect("evidence").words.as_str();
            assert!(words.contains("550") && words.contains("5.1.1"), "the server's words: {words}");
            assert!(
                probe.record.verdict.reason.as_str().contains("5.1.1"),
                "{}",
                probe.record.verdict.reason
            );
        }
    });

    during(&story, Fault::Junk, |since| {
        for way in [Way::Loop, Way::Inbound, Way::Mx] {
            for probe in everyone_sees(&story, since, way, Outcome::Misfiled) {
                assert_blame(&probe, Stage::Transit, Class::Quality);
                let arrival = probe.record.arrival.as_ref().expect("it arrived");
                assert!(arrival.junk && arrival.folder.as_str() == "Junk", "{arrival:?}");
            }
        }
    });

    let swallowed = during(&story, Fault::Blackhole(Door::Any), |since| {
        for way in [Way::Loop, Way::Mx] {
            everyone_sees(&story, since, way, Outcome::Lost);
        }
    });
    let bounced = during(&story, Fault::Bounce(Door::Any), |since| {
        for probe in everyone_sees(&story, since, Way::Loop, Outcome::Bounced) {
            assert_blame(&probe, Stage::Transit, Class::Permanent);
            let [report] = probe.record.journey.reports.as_slice() else { panic!("one report: {probe:#?}") };
            assert!(report.status.as_str().starts_with("5."), "the far server's words: {report:?}");
        }
        // nobody reads the mailbox that these bounces go back to
        everyone_sees(&story, since, Way::Mx, Outcome::Lost);
    });

    for (probes, what) in [(swallowed, "swallowed"), (bounced, "bounced")] {
        let lost: Vec<Probe> = probes.into_iter().filter(|p| p.outcome() == Outcome::Lost).collect();
        for before in &lost {
            assert_blame(before, Stage::Transit, Class::Missing);
            let query = format!("outcome=lost&route={}", before.route());
            let now = story.probes(&query).expect("answered").into_iter().find(|p| p.id() == before.id());
            assert_eq!(now.map(|p| p.record), Some(before.record.clone()), "{what} mail stays lost");
        }
    }
    patience::until_true("the mailboxes to be empty", PATIENCE, || leftovers(&story) == 0).expect("swept");
}

/// Losses are known a deadline later than deliveries: those of the loop must not hide them.
#[test]
fn mail_from_outside_is_swallowed_while_mail_from_inside_arrives() {
    let story = begin(&Plan { deadline: secs(5), ..Plan::default() });
    during(&story, Fault::Blackhole(Door::Mx), |since| {
        for way in [Way::Inbound, Way::Mx] {
            everyone_sees(&story, since, way, Outcome::Lost);
        }
    });
}

/// From a fault to its resolve; returns the probes that were begun during it, as they were at its end.
fn during(story: &Story, fault: Fault, see: impl FnOnce(&str)) -> Vec<Probe> {
    let (since, from) = (from_now(story), story.clock.now());
    story.bed.service.inject(fault).expect("injected");
    see(&since);
    let fresh = story.wait_for_page(&format!("a page for {fault}"), PATIENCE, |page| {
        // what is swallowed at every door makes sending fail too, and either may be known first
        page.opens("receive") && page.at > from
    });
    let page = fresh.expect("paged");
    println!("{fault}: paged after {:.1} s: {}", page.at.duration_since(from).as_secs_f64(), page.summary);
    story.bed.service.heal(fault).expect("healed");
    story.wait_for_page("the resolve", PATIENCE, |other| other.resolves(&page)).expect("resolved");
    story.wait_until_well().expect("all is well again");
    all_resolved(story);
    assert_one_trigger_one_resolve(&story.pages(), &page);
    story.probes(&since).expect("answered")
}

fn assert_blame(probe: &Probe, stage: Stage, class: Class) {
    let verdict = &probe.record.verdict;
    assert_eq!((verdict.stage, verdict.class), (Some(stage), Some(class)), "{probe:#?}");
}

/// Probes in the mailboxes that are older than any that can be under way.
fn leftovers(story: &Story) -> usize {
    story.bed.truth.remaining().iter().filter(|path| is_old_probe(story, path)).count()
}

fn is_old_probe(story: &Story, path: &Path) -> bool {
    // Maildir names begin with the second of the delivery
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let second: i64 = name.split('.').next().and_then(|second| second.parse().ok()).unwrap_or_default();
    let text = std::fs::read_to_string(path).unwrap_or_default();
    // a bounce quotes a probe's header below its own, and is no probe
    let mut header = text.lines().take_while(|line| !line.is_empty());
    header.any(|line| line.starts_with("X-Mailsonar-Probe")) && second + 5 < story.clock.civil().as_second()
}
