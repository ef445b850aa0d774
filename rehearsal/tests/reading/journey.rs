//! The way a probe came: hops with their sites, and the trusted host's word on its origin.

use base64::Engine;
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

/// The public key of the seed that is all sevens (RFC 8032).
const PUBLIC: &str = "6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_signature_is_checked_by_ourselves_with_the_key_that_dns_has() {
    let mut world = Config::pair();
    let record = format!("v=DKIM1; k=ed25519; p={PUBLIC}");
    world.providers[0].txt.push(("s1._domainkey.acme.example".into(), record));
    let stage = Stage::open(world).await;
    stage.write("dkim.key", &base64::engine::general_purpose::STANDARD.encode([7_u8; 32]));
    let signing = |selector: &str| {
        format!(
            "[dkim.own]\ndomain = \"acme.example\"\nselector = \"{selector}\"\nkey_file = \"dkim.key\"\nalgorithm = \"ed25519\"\n"
        )
    };
    let table =
        [("s1", false, "pass"), ("s1", true, "fail: the body"), ("s2", false, "permerror: there is no key")];
    for (selector, altered, expected) in table {
        let mut agent = stage.agent("eu-1", "", &signing(selector)).await;
        let rule = altered.then(|| stage.sandbox.faults().add(Rule::new(Fault::Alter)));
        // A key that DNS was slow to give is there for the next message.
        let mut says = None;
        for _ in 0..20 {
            let probe = agent.probe("out").await;
            let record = agent.sees(probe, "its arrival", |record| record.arrival.is_some()).await;
            says = record.journey.authentication.and_then(|results| results.signature);
            if says.is_some() {
                break;
            }
        }
        rule.map(|rule| stage.sandbox.faults().remove(rule));
        let says = says.expect("it was checked");
        assert!(says.as_str().starts_with(expected), "{says}");
    }
}
