//! Bounces: known by whatever is left of the tag, believed only with it, removed once they are on disk.

use mailsonar_agent::message::TagKey;
use mailsonar_agent::return_path::{self, Bounces};
use mailsonar_protocol::{Class, Outcome, Record, ReportKind, Stage as Step};
use mailsonar_sandbox::{BounceStyle, Config, Fault, Rule};

use crate::stage::{FAR, KEY, NEAR, Stage, Watching, message};

/// A bounce in qmail's manner, around what is left of the message.
fn bounce(to: &str, left: &[u8]) -> Vec<u8> {
    let head = format!(
        "Return-Path: <>\r\nFrom: MAILER-DAEMON@mx.far.example\r\nTo: {to}\r\nSubject: failure notice\r\n\r\n\
         Hi. This is the qmail-send program at mx.far.example.\r\n<{FAR}>:\r\nNo such user. (#5.1.1)\r\n\r\n\
         --- Below this line is a copy of the message.\r\n\r\n"
    );
    [head.as_bytes(), left].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bounce_ends_its_probe_in_the_far_servers_words_and_is_removed() {
    for (style, bounces) in [(BounceStyle::Standard, "bounces = \"plus\""), (BounceStyle::Plain, "")] {
        let stage = Stage::open(Config::pair()).await;
        let mut agent = stage.agent("eu-1", bounces, "").await;
        stage.sandbox.faults().add(Rule::new(Fault::Bounce { style }).provider("reference.example"));
        let probe = agent.probe("out").await;
        let record = agent.sees(probe, "a bounce", |record| record.verdict.outcome == Outcome::Bounced).await;
        let verdict = &record.verdict;
        assert_eq!((verdict.stage, verdict.class), (Some(Step::Transit), Some(Class::Permanent)));
        assert!(
            verdict.reason.as_str().contains("550 5.2.0 Mailbox refused the message"),
            "{}",
            verdict.reason
        );
        let [report] = record.journey.reports.as_slice() else { panic!("one report: {record:#?}") };
        assert_eq!(
            (report.kind, report.recipient.as_str(), report.status.as_str()),
            (ReportKind::Failed, FAR, "5.2.0")
        );
        assert!(report.reporter.as_str().ends_with(".reference.example"), "{}", report.reporter);
        agent.until("the bounce to be removed", |prober| Watching::removed(prober, "acme") == 1).await;
        assert_eq!(stage.sandbox.messages(NEAR, "INBOX").len(), 0);
        let facts = stage.sandbox.truth().facts();
        let sent = &facts.letters.iter().find(|letter| !letter.from.is_empty()).expect("the probe").from;
        assert_eq!(
            sent.contains('+'),
            !bounces.is_empty(),
            "a sender of its own, where it is wanted: {sent}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delay_is_noted_and_the_message_waited_for() {
    let stage = Stage::open(Config::pair()).await;
    let mut agent = stage.agent("eu-1", "", "").await;
    let rule = stage.sandbox.faults().add(Rule::new(Fault::DelayedDsn).provider("acme.example"));
    let probe = agent.probe("out").await;
    let told = |record: &Record| record.accepted.is_some() && !record.journey.reports.is_empty();
    let delayed = agent.sees(probe, "the delay", told).await;
    assert_eq!(delayed.verdict.outcome, Outcome::InFlight, "delayed is not failed");
    assert_eq!(delayed.journey.reports[0].kind, ReportKind::Delayed);
    assert!(delayed.verdict.reason.as_str().contains("4.4.1"), "{}", delayed.verdict.reason);
    stage.sandbox.faults().remove(rule);
    let record = agent.sees(probe, "its arrival", |record| record.arrival.is_some()).await;
    assert_eq!(record.verdict.outcome, Outcome::Delivered);
    assert_eq!(record.journey.reports.len(), 1, "what was said of it is kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_part_of_the_tag_is_enough_and_none_but_a_true_one() {
    let stage = Stage::open(Config::pair()).await;
    stage.sandbox.faults().add(Rule::new(Fault::Lose));
    let mut agent = stage.agent("eu-1", "bounces = \"plus\"", "").await;
    let near = NEAR.parse().expect("an address");
    for part in ["the whole message", "the Message-ID", "the line in the body", "the envelope sender"] {
        let probe = agent.probe("out").await;
        let tag = agent.tag(probe, "out");
        let left = |key| String::from_utf8(message(&tag, key)).expect("ASCII");
        let only = |key, begin: &str| {
            left(key).lines().filter(|line| line.starts_with(begin)).collect::<Vec<_>>().join("\r\n")
        };
        let of = |key: [u8; 32]| match part {
            "the whole message" => bounce(NEAR, left(key).as_bytes()),
            "the Message-ID" => bounce(NEAR, only(key, "Message-ID").as_bytes()),
            "the line in the body" => bounce(NEAR, only(key, &probe.to_string()).as_bytes()),
            _ => bounce(return_path::of(&tag, &TagKey::new(key), &near, &Bounces::Plus).as_ref(), b""),
        };
        let foreign = stage.sandbox.messages(NEAR, "INBOX").len();
        stage.sandbox.plant(NEAR, "INBOX", &of([8; 32])).expect("planted");
        stage.sandbox.plant(NEAR, "INBOX", &of(KEY)).expect("planted");
        let record = agent.sees(probe, part, |record| !record.journey.reports.is_empty()).await;
        assert_eq!(record.verdict.outcome, Outcome::Bounced, "{part}");
        assert_eq!(
            record.journey.reports.len(),
            1,
            "{part}: the forged one, which came first, is not counted"
        );
        let left = async {
            while stage.sandbox.messages(NEAR, "INBOX").len() != foreign + 1 {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(crate::stage::PATIENCE, left)
            .await
            .expect("the true one goes, the forged one stays");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_bounced_and_arrives_all_the_same_has_arrived() {
    let stage = Stage::open(Config::pair()).await;
    let mut agent = stage.agent("eu-1", "", "").await;
    let rule = Rule::new(Fault::Bounce { style: BounceStyle::Standard }).provider("reference.example");
    stage.sandbox.faults().add(rule);
    let probe = agent.probe("out").await;
    agent.sees(probe, "a bounce", |record| record.verdict.outcome == Outcome::Bounced).await;
    let copy = message(&agent.tag(probe, "out"), KEY);
    stage.sandbox.plant(FAR, "INBOX", &copy).expect("planted");
    let record = agent.sees(probe, "its arrival", |record| record.arrival.is_some()).await;
    assert_eq!(record.verdict.outcome, Outcome::Delivered, "I4");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peoples_mail_and_other_agents_bounces_are_left_alone() {
    let stage = Stage::open(Config::pair()).await;
    let mut agent = stage.agent("eu-1", "", "").await;
    let other = stage.agent("us-1", "", "").await;
    stage.sandbox.faults().add(Rule::new(Fault::Lose));
    let (own, others) = (agent.probe("out").await, other.probe("out").await);
    let mails = [
        b"From: postmaster@acme.example\r\nSubject: Undeliverable\r\n\r\n<a@b>: 550 5.1.1 no\r\n".to_vec(),
        bounce(
            NEAR,
            &message(&agent.tag("00000000-0000-0000-0000-000000000001".parse().expect("an id"), "out"), KEY),
        ),
        b"From: bob@acme.example\r\nAuto-Submitted: auto-replied\r\nSubject: away\r\n\r\nI am.\r\n".to_vec(),
    ];
    for mail in &mails {
        stage.sandbox.plant(NEAR, "INBOX", mail).expect("planted");
    }
    stage
        .sandbox
        .plant(NEAR, "INBOX", &bounce(NEAR, &message(&other.tag(others, "out"), KEY)))
        .expect("planted");
    stage
        .sandbox
        .plant(NEAR, "INBOX", &bounce(NEAR, &message(&agent.tag(own, "out"), KEY)))
        .expect("planted");
    agent.sees(own, "its own bounce", |record| record.verdict.outcome == Outcome::Bounced).await;
    other.until("the other to take its own", |prober| Watching::removed(prober, "acme") == 1).await;
    agent.until("the one to take its own", |prober| Watching::removed(prober, "acme") == 1).await;
    assert_eq!(stage.sandbox.messages(NEAR, "INBOX"), mails, "and nothing else was touched (I9)");
}
