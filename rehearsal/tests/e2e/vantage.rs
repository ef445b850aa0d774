//! One agent's network is broken: that is no trouble of the service, and the others go on.

use std::net::{Ipv4Addr, SocketAddr};

use mailsonar_protocol::Outcome;
use mailsonar_rehearsal::fleet::{Finding, Plan, Way};
use mailsonar_rehearsal::patience;
use mailsonar_rehearsal::peers::Line;
use mailsonar_rehearsal::testbed::Fault;
use serde_json::json;

use crate::stage::{PATIENCE, Story, begin, everyone_sees, from_now, secs};

#[test]
fn an_agent_whose_network_is_broken_pages_nobody() {
    let story = begin(&Plan { tapped: vec![0], ..Plan::default() });
    let broken = story.agent(0);

    for line in [Line::Silent, Line::Cut] {
        broken.lines().expect("tapped").set(line);
        cut_off_alone(&story, &format!("{line:?}"));
        broken.lines().expect("tapped").set(Line::Up);
        back_again(&story);
    }

    // its resolver is dead, too: no name can be found any more
    let dead: SocketAddr = (Ipv4Addr::LOCALHOST, 1).into();
    let healthy = story.bed.dns.address();
    broken.lines().expect("tapped").set(Line::Cut);
    broken.reconfigure(|settings| settings["dns"]["servers"] = json!([dead]));
    broken.restart().expect("it starts all the same");
    cut_off_alone(&story, "DNS");
    broken.lines().expect("tapped").set(Line::Up);
    broken.reconfigure(|settings| settings["dns"]["servers"] = json!([healthy]));
    broken.restart().expect("it starts");
    back_again(&story);

    assert!(story.pages().is_empty(), "{:#?}", story.pages());
    assert!(story.incidents().expect("answered").is_empty(), "{:#?}", story.incidents());
}

#[test]
fn a_reference_provider_in_trouble_pages_nobody_about_the_service() {
    let story = begin(&Plan { deadline: secs(5), ..Plan::default() });
    let since = from_now(&story);
    story.bed.reference.inject(Fault::PostfixKilled).expect("injected");
    let in_trouble = |findings: &[Finding]| findings.iter().any(|f| f.kind == "reference_trouble");
    let findings =
        story.wait_for_findings("a finding about the reference", PATIENCE, in_trouble).expect("found");
    assert_eq!(findings.len(), 1, "only that: {findings:#?}");
    // what the service could not hand on is lost for now, and that speaks against nobody else
    everyone_sees(&story, &since, Way::Outbound, Outcome::Lost);
    everyone_sees(&story, &since, Way::Control, Outcome::Unreachable);
    let later = from_now(&story);
    everyone_sees(&story, &later, Way::Outbound, Outcome::Lost);

    story.bed.reference.heal(Fault::PostfixKilled).expect("healed");
    back_again(&story);
    assert!(story.pages().is_empty(), "{:#?}", story.pages());
}

/// The agent is said to be cut off, nobody is paged, and the others deliver.
fn cut_off_alone(story: &Story, how: &str) {
    let (name, from) = (story.agent(0).name(), story.clock.now());
    let cut_off = |findings: &[Finding]| {
        findings.iter().any(|finding| finding.kind == "agent_cut_off" && finding.subject == name)
    };
    let findings = story.wait_for_findings("a finding that it is cut off", PATIENCE, cut_off).expect("found");
    println!(
        "{how}: after {:.1} s: {}",
        story.clock.now().duration_since(from).as_secs_f64(),
        findings[0].words
    );
    assert_eq!(findings.len(), 1, "only that: {findings:#?}");
    let since = from_now(story);
    let going_on = patience::until_true("deliveries from the others", PATIENCE, || {
        let delivered = story.probes(&format!("{since}&outcome={}", Outcome::Delivered)).unwrap_or_default();
        story.agents()[1..].iter().all(|agent| delivered.iter().any(|p| p.agent.as_str() == agent.name()))
    });
    going_on.expect("the others go on");
    assert!(story.pages().is_empty(), "{how}: {:#?}", story.pages());
}

fn back_again(story: &Story) {
    story.wait_until_well().expect("it is back");
    story.wait_for_findings("nothing to be found", PATIENCE, <[Finding]>::is_empty).expect("all is well");
}
