//! The mailbox is out of reach: nobody knows whether mail arrives, and that is what is said.

use mailsonar_protocol::{Class, Outcome};
use mailsonar_rehearsal::fleet::{Plan, Probe, Way};
use mailsonar_rehearsal::patience;
use mailsonar_rehearsal::testbed::Fault;

use crate::stage::{PATIENCE, assert_one_trigger_one_resolve, begin, everyone_sees, from_now, secs};

#[test]
fn a_mailbox_out_of_reach_is_unknown_and_never_lost() {
    let story = begin(&Plan { deadline: secs(5), ..Plan::default() });
    let (since, from) = (from_now(&story), story.clock.now());
    story.bed.service.inject(Fault::ImapStopped).expect("injected");

    let page = story.wait_for_page("a page that receiving fails", PATIENCE, |page| page.opens("receive"));
    let page = page.expect("paged");
    println!("paged after {:.1} s: {}", page.at.duration_since(from).as_secs_f64(), page.summary);
    assert_eq!(page.reason, "mailbox_out_of_reach");
    assert!(page.summary.contains("mailbox is out of reach"), "{}", page.summary);

    let mut unseen = Vec::new();
    for way in [Way::Loop, Way::Inbound, Way::Mx] {
        unseen.extend(everyone_sees(&story, &since, way, Outcome::Unknown));
    }
    for probe in &unseen {
        let verdict = &probe.record.verdict;
        assert_eq!(verdict.class, Some(Class::Mailbox), "{probe:#?}");
        assert!(verdict.reason.as_str().contains("mailbox out of reach"), "{}", verdict.reason);
    }

    story.bed.service.heal(Fault::ImapStopped).expect("healed");
    let resolve =
        story.wait_for_page("the resolve", PATIENCE, |other| other.resolves(&page)).expect("resolved");
    println!("resolved: {}", resolve.summary);
    // it was all there: looked at again, everything is known
    let known = |probe: &Probe| matches!(probe.outcome(), Outcome::Delivered | Outcome::Late);
    let all_known = patience::until_true("the unknown to be known", PATIENCE, || {
        let Ok(probes) = story.probes(&since) else { return false };
        unseen.iter().all(|unseen| probes.iter().any(|probe| probe.id() == unseen.id() && known(probe)))
    });
    all_known.expect("all is known in the end");
    story.wait_until_well().expect("all is well again");

    let ever_lost = story.agents().iter().map(|agent| agent.metrics().expect("served")).any(|page| {
        mailsonar_rehearsal::fleet::metrics::total(&page, "mailsonar_probes_total", &[("outcome", "lost")])
            > 0.0
    });
    assert!(!ever_lost, "who cannot look must not say lost");
    assert_one_trigger_one_resolve(&story.pages(), &page);
    assert_eq!(story.pages().len(), 2, "{:#?}", story.pages());
}
