//! The way a probe came: hops with their sites, and the trusted host's word on its origin.

use mailsonar_protocol::Text;
use mailsonar_sandbox::{Config, Fault, Rule};

use crate::stage::{FAR, KEY, NEAR, Stage, message};

const SITES: &str = "[sites.east]\nhosts = [\"out1.acme.example\", \"mx1.acme.example\"]\n\
    [sites.elsewhere]\nhosts = [\"*.reference.example\"]\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hosts_a_probe_passed_are_in_its_record_with_their_sites() {
    let stage = Stage::open(Config::pair()).await;
    let mut agent = stage.agent("eu-1", "", SITES).await;
    let probe = agent.probe("out").await;
    let record = agent.sees(probe, "its arrival", |record| record.arrival.is_some()).await;
    let hops: Vec<_> = record
        .journey
        .hops
        .iter()
        .map(|hop| (hop.by.as_str(), hop.site.as_ref().map(Text::as_str)))
        .collect();
    let expected = [("out1.acme.example", Some("east")), ("mx1.reference.example", Some("elsewhere"))];
    assert_eq!(hops, expected, "{record:#?}");
    assert!(record.journey.hops[1].took_us.is_some() && !record.journey.hops[1].skewed);
    assert_eq!(record.journey.authentication, None, "nobody is believed who was not named");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_trusted_hosts_word_is_kept_and_a_forged_one_is_not() {
    let stage = Stage::open(Config::pair()).await;
    let mut agent = stage.agent("eu-1", "", "").await;
    stage.sandbox.faults().add(Rule::new(Fault::Lose));
    let probe = agent.probe("in").await;
    let head = "Authentication-Results: mx1.acme.example; spf=pass smtp.mailfrom=x; dkim=fail; dmarc=none\r\n\
        Authentication-Results: evil.example; spf=fail; arc=pass\r\n\
        Received: from a by mx1.acme.example; Tue, 24 Nov 2026 08:00:00 +0000\r\n\
        Received: from b by a; Tue, 24 Nov 2026 09:00:00 +0000\r\n";
    let bytes = [head.as_bytes(), &message(&agent.tag(probe, "in"), KEY)].concat();
    stage.sandbox.plant(NEAR, "INBOX", &bytes).expect("planted");
    let record = agent.sees(probe, "its arrival", |record| record.arrival.is_some()).await;
    let results = record.journey.authentication.expect("the trusted host's");
    let word = |word: &Option<Text>| word.as_ref().map(ToString::to_string);
    assert_eq!(
        (word(&results.spf), word(&results.dkim), word(&results.dmarc), word(&results.arc)),
        (Some("pass".into()), Some("fail".into()), Some("none".into()), None)
    );
    let last = record.journey.hops.last().expect("hops");
    assert_eq!(
        (last.by.as_str(), last.took_us, last.skewed),
        ("mx1.acme.example", Some(0), true),
        "never negative"
    );
    assert_eq!(stage.sandbox.messages(FAR, "INBOX").len(), 0);
}
