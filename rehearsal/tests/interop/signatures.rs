//! opendkim at both providers' Postfix: it signs what the service sends, and at the other end it and the agent
//! say the same of the signature, each in its own words.

use mailsonar_protocol::{Authentication, Outcome, Text};
use mailsonar_rehearsal::testbed::{Fault, Options, Testbed};

use crate::agent::Place;

const ROUTES: &str = r#"
[routes.out]
from = "own"
to = "far"
deadline = "20s"
retry = []
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_opendkim_signs_passes_and_an_altered_body_fails() {
    let options = Options { accounts: 1, signing: true, ..Options::default() };
    let bed = Testbed::start(&options).expect("it starts");
    let agent = Place::of_testbed(&bed).agent(ROUTES).await;

    let probe = agent.probe("out").await;
    let record = agent.ends(probe, Outcome::Delivered).await;
    let (theirs, ours) = words(record.journey.authentication.as_ref());
    println!("untouched: opendkim says {theirs}, we say {ours}");
    assert_eq!(theirs, "pass");
    assert_eq!(ours, "pass");

    bed.reference.inject(Fault::Alter).expect("injected");
    let probe = agent.probe("out").await;
    let record = agent.ends(probe, Outcome::Altered).await;
    let (theirs, ours) = words(record.journey.authentication.as_ref());
    println!("altered: opendkim says {theirs}, we say {ours}");
    assert_eq!(theirs, "fail");
    assert!(ours.starts_with("fail: the body"), "{ours}");
    assert!(!record.arrival.expect("it arrived").intact);
}

/// What the other provider's host wrote of DKIM, and what we found ourselves.
fn words(results: Option<&Authentication>) -> (String, String) {
    let word = |text: Option<&Text>| text.map_or_else(|| "nothing".to_owned(), ToString::to_string);
    let results = results.expect("the trusted host's word");
    (word(results.dkim.as_ref()), word(results.signature.as_ref()))
}
