//! postgrey before a real Postfix: a stranger's first mail is put off, and what that cost is told apart from
//! what the service cost.

use std::time::Duration;

use mailsonar_protocol::{Class, Outcome, Stage};
use mailsonar_rehearsal::testbed::{Options, Testbed};

use crate::agent::Place;

const DELAY: Duration = Duration::from_secs(3);
const ROUTES: &str = r#"
[routes.mx]
from = "mx"
to = "own"
sender = "STRANGER"
deadline = "20s"
retry = ["1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s"]
MX
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgrey_is_waited_out_and_the_wait_is_not_the_services() {
    let options = Options { accounts: 1, greylist: Some(DELAY), ..Options::default() };
    let bed = Testbed::start(&options).expect("it starts");
    let agent = Place::of_testbed(&bed).agent(ROUTES).await;

    let probe = agent.probe("mx").await;
    let put_off = agent.sees(probe, "a deferral", |record| !record.handover.deferrals.is_empty()).await;
    let verdict = &put_off.verdict;
    let told = (verdict.outcome, verdict.stage, verdict.class);
    assert_eq!(told, (Outcome::InFlight, Some(Stage::Envelope), Some(Class::Temporary)));
    assert!(verdict.reason.as_str().contains("by greylisting as it looks"), "{}", verdict.reason);
    let words = put_off.handover.deferrals[0].words.as_str();
    assert!(words.contains("450 4.2.0") && words.contains("Greylisted"), "postgrey's words: {words}");

    let record = agent.ends(probe, Outcome::Delivered).await;
    assert!(record.verdict.reason.as_str().contains("greylisted before"), "{}", record.verdict.reason);
    assert!(record.handover.deferrals.len() >= 2, "each second, on a quiet machine: {record:#?}");
    let micros = |length: Duration| u64::try_from(length.as_micros()).expect("short");
    let waited = record.sender_wait_us().expect("it was put off");
    let transit = record.latency_us().expect("it arrived");
    println!("a sender waits {waited} us, the service takes {transit} us: {}", record.verdict.reason);
    assert!(waited >= micros(DELAY), "what a sender's mail would have waited: {waited} us");
    assert!(transit < micros(DELAY), "the service's own transit: {transit} us");
    assert_eq!(record.duplicates, 0);

    // known by now, and taken at once
    let again = agent.probe("mx").await;
    let record = agent.ends(again, Outcome::Delivered).await;
    assert_eq!((record.handover.deferrals.len(), record.sender_wait_us()), (0, None));
}
