//! The password has changed: said as it is, and tried so rarely that nobody locks the account.

use mailsonar_protocol::{Class, Outcome, Stage};
use mailsonar_rehearsal::fleet::{Plan, Way};
use mailsonar_rehearsal::patience;
use mailsonar_rehearsal::testbed::Fault;

use crate::stage::{PATIENCE, Story, begin, everyone_sees, from_now, secs};

/// Refused sign-ins per account and hour.
const ALLOWED: usize = 3;

#[test]
fn a_wrong_password_is_tried_a_few_times_and_no_more_across_restarts() {
    let plan = Plan { sign_ins_per_hour: ALLOWED, interval: secs(1), ..Plan::default() };
    let story = begin(&plan);
    let since = from_now(&story);
    story.bed.service.inject(Fault::WrongPassword).expect("injected");

    // loop and outbound share an account, so either may be the one that was refused
    let refused = patience::until("a refused sign-in from everywhere", PATIENCE, || {
        let probes = story.probes(&format!("{since}&outcome={}", Outcome::Refused)).ok()?;
        story.agents().iter().all(|a| probes.iter().any(|p| p.agent.as_str() == a.name())).then_some(probes)
    });
    for probe in refused.expect("refused") {
        let verdict = &probe.record.verdict;
        assert_eq!((verdict.stage, verdict.class), (Some(Stage::Auth), Some(Class::Auth)), "{probe:#?}");
        let words = probe.record.evidence.last().expect("evidence").words.as_str();
        assert!(words.contains("535"), "the server's words: {words}");
    }
    // from then on nothing is tried, and nothing is claimed
    for way in [Way::Loop, Way::Outbound] {
        for probe in everyone_sees(&story, &since, way, Outcome::Unknown) {
            assert_eq!(probe.record.verdict.class, Some(Class::Auth), "{probe:#?}");
        }
    }
    // a restart forgets nothing; and now the mailbox, too, would have to be signed in to anew
    for agent in story.agents() {
        agent.restart().expect("it starts again");
    }
    let again = from_now(&story);
    for way in [Way::Loop, Way::Outbound] {
        everyone_sees(&story, &again, way, Outcome::Unknown);
    }
    everyone_sees(&story, &again, Way::Control, Outcome::Delivered);
    for (agent, account) in story.agents().iter().zip(story.bed.service.accounts()) {
        let refused = refused_sign_ins(&story, &account.address);
        println!("{}: {} was refused {} times: {refused:#?}", agent.name(), account.address, refused.len());
        assert!((1..=ALLOWED).contains(&refused.len()), "{refused:#?}");
    }
    assert!(story.collector.findings().expect("answered").is_empty());

    // held back or not: nobody can send, and somebody must hear of it
    let page =
        story.wait_for_page("a page that sending fails", PATIENCE, |page| page.opens("send")).expect("paged");
    assert!(page.summary.contains("stage auth"), "{}", page.summary);

    story.bed.service.heal(Fault::WrongPassword).expect("healed");
}

/// The lines in which Postfix, for submission, and Dovecot, for IMAP, say that they refused this account.
fn refused_sign_ins(story: &Story, address: &str) -> Vec<String> {
    let log = |path| std::fs::read_to_string(path).expect("a log");
    let (postfix, dovecot) = (log(story.bed.service.postfix_log()), log(story.bed.service.dovecot_log()));
    let smtp = format!("sasl_username={address}");
    let smtp = postfix.lines().filter(|l| l.contains("authentication failed") && l.ends_with(&smtp));
    let imap = format!("user=<{address}>");
    let imap = dovecot.lines().filter(|l| l.contains("auth failed") && l.contains(&imap));
    smtp.chain(imap).map(str::to_owned).collect()
}
