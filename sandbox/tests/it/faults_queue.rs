//! What each fault behind the doors does to a message, and that the truth says so.

use std::time::Duration;

use mailsonar_sandbox::{BounceStyle, Config, Facts, Fate, Fault, Rule, Sandbox, Service, Stage};

use crate::client::{PATIENCE, mailbox, pair, simulated, start, submit, submit_in_memory};

const PROBE: &str = "probe@acme.example";
const WATCH: &str = "watch@acme.example";

async fn until(sandbox: &Sandbox, condition: impl Fn(&Facts) -> bool) {
    assert!(sandbox.truth().until(PATIENCE, condition).await, "{:#?}", sandbox.truth().facts());
}

async fn send(sandbox: &Sandbox) {
    let reply = submit(sandbox, PROBE, WATCH, "x@probe").await;
    assert!(reply.starts_with("250"), "{reply}");
}

/// The first message of a folder, whole.
async fn first(sandbox: &Sandbox, account: &str, folder: &str) -> String {
    mailbox(sandbox, account, folder).await.imap("FETCH 1 BODY.PEEK[]").await.join("\n")
}

#[tokio::test]
async fn a_held_queue_accepts_and_once_released_delivers_in_order() {
    let sandbox = pair().await;
    sandbox.faults().add(Rule::new(Fault::Hold).host("out1.acme.example"));
    for _ in 0..5 {
        send(&sandbox).await;
    }
    assert_eq!(sandbox.truth().facts().in_queues(), 5);
    sandbox.faults().clear();
    until(&sandbox, |facts| facts.count(Fate::Delivered) == 5 && facts.in_queues() == 0).await;
    let uids =
        |facts: &Facts| facts.letters.iter().map(|letter| letter.deliveries[0].uid).collect::<Vec<_>>();
    assert_eq!(sandbox.truth().read(uids), [1, 2, 3, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn a_draining_queue_moves_at_its_rate() {
    let sandbox = simulated(Config::pair()).await;
    sandbox.faults().add(Rule::new(Fault::Drain { per_second: 0.1 }).stage(Stage::Queue));
    for n in 0..3 {
        submit_in_memory(&sandbox, WATCH, &format!("{n}@probe")).await;
    }
    let count = |facts: &Facts| facts.count(Fate::Delivered);
    assert!(!sandbox.truth().until(Duration::from_secs(5), |facts| count(facts) > 1).await);
    assert!(!sandbox.truth().until(Duration::from_secs(10), |facts| count(facts) > 2).await);
    assert!(sandbox.truth().until(Duration::from_secs(10), |facts| count(facts) == 3).await);
}

#[tokio::test(start_paused = true)]
async fn a_late_message_rests_that_long() {
    let sandbox = simulated(Config::pair()).await;
    sandbox.faults().add(Rule::new(Fault::Late { by: Duration::from_mins(10) }));
    submit_in_memory(&sandbox, WATCH, "x@probe").await;
    let delivered = |facts: &Facts| facts.count(Fate::Delivered) == 1;
    assert!(!sandbox.truth().until(Duration::from_secs(599), delivered).await);
    assert!(sandbox.truth().until(Duration::from_secs(2), delivered).await);
}

#[tokio::test]
async fn lost_is_lost() {
    let sandbox = pair().await;
    sandbox.faults().add(Rule::new(Fault::Lose).account(WATCH));
    send(&sandbox).await;
    until(&sandbox, |facts| facts.count(Fate::Lost) == 1).await;
    assert_eq!(mailbox(&sandbox, WATCH, "INBOX").await.imap("UID SEARCH ALL").await[0], "* SEARCH");
}

#[tokio::test]
async fn delivered_twice_to_junk_with_a_line_added() {
    let sandbox = pair().await;
    for fault in [Fault::Twice, Fault::Junk, Fault::Alter] {
        sandbox.faults().add(Rule::new(fault));
    }
    send(&sandbox).await;
    until(&sandbox, |facts| facts.letters[0].deliveries.len() == 2).await;
    assert!(sandbox.truth().facts().letters[0].deliveries.iter().all(|d| d.altered && d.folder == "Junk"));
    assert_eq!(mailbox(&sandbox, WATCH, "Junk").await.imap("UID SEARCH ALL").await[0], "* SEARCH 1 2");
    assert!(first(&sandbox, WATCH, "Junk").await.contains("likes to add a line"));
}

#[tokio::test]
async fn a_bounce_comes_back_in_either_form() {
    for (style, words) in [
        (BounceStyle::Standard, "Content-Type: message/delivery-status"),
        (BounceStyle::Plain, "I'm afraid I wasn't able to deliver"),
    ] {
        let sandbox = pair().await;
        sandbox.faults().add(Rule::new(Fault::Bounce { style }));
        send(&sandbox).await;
        until(&sandbox, |facts| facts.count(Fate::Bounced) == 1 && facts.count(Fate::Delivered) == 1).await;
        let report = first(&sandbox, PROBE, "INBOX").await;
        assert!(report.contains(words) && report.contains("<x@probe>"), "{report}");
        assert!(report.starts_with("* 1 FETCH") && report.contains("Return-Path: <>"), "{report}");
    }
}

#[tokio::test]
async fn a_delayed_report_is_no_bounce_and_the_message_still_comes() {
    let sandbox = pair().await;
    sandbox.faults().add(Rule::new(Fault::DelayedDsn).account(WATCH));
    send(&sandbox).await;
    until(&sandbox, |facts| facts.count(Fate::Delivered) == 1).await;
    assert!(first(&sandbox, PROBE, "INBOX").await.contains("Action: delayed\nStatus: 4.4.1"));
    assert_eq!(sandbox.truth().facts().count(Fate::Queued), 1);
    sandbox.faults().clear();
    until(&sandbox, |facts| facts.count(Fate::Delivered) == 2).await;
}

#[tokio::test]
async fn the_other_providers_queue_retries_through_greylisting_and_past_a_dead_exchanger() {
    let mut config = Config::pair();
    config.providers[1].retry_every = Duration::from_millis(20);
    let sandbox = start(config).await;
    sandbox.faults().add(Rule::new(Fault::Greylist { wait: Duration::from_millis(50) }).service(Service::Mx));
    sandbox.faults().add(Rule::new(Fault::Refuse).host("mx1.acme.example"));
    submit(&sandbox, "probe@reference.example", WATCH, "x@probe").await;
    until(&sandbox, |facts| facts.count(Fate::Delivered) == 1).await;
    let letter = sandbox.truth().facts().letters.remove(0);
    assert_eq!(letter.hosts, ["out1.reference.example", "mx2.acme.example"]);
    assert!(letter.deferrals >= 1 && letter.last_words.starts_with("450 4.7.1"), "{letter:?}");
}

#[tokio::test(start_paused = true)]
async fn a_queue_warns_then_gives_up_in_the_end() {
    let mut config = Config::pair();
    config.providers[0].retry_every = Duration::from_mins(5);
    let sandbox = simulated(config).await;
    sandbox.faults().add(Rule::new(Fault::ServFail).provider("reference.example"));
    submit_in_memory(&sandbox, "watch@reference.example", "x@probe").await;
    let delivered = |count| move |facts: &Facts| facts.count(Fate::Delivered) == count;
    assert!(sandbox.truth().until(Duration::from_hours(5), delivered(1)).await);
    assert!(sandbox.truth().until(Duration::from_hours(121), delivered(2)).await);
    assert_eq!(sandbox.truth().facts().count(Fate::Bounced), 1);
}
