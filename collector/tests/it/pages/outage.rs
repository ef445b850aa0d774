//! Thursday: somebody opens the page and can say what is broken, since when, whose fault, and until when.

use std::sync::Arc;

use mailsonar_clock::{Clock, SharedClock};
use mailsonar_collector::Config;
use mailsonar_collector::store::Store;
use mailsonar_settings::Document;

use super::fixture::{self, DELIVERED, INCIDENT, PROBE};
use crate::harness::{Hand, Served};

/// Stands at 13:20 on that Thursday.
struct Standing;

impl Clock for Standing {
    fn now(&self) -> jiff::Timestamp {
        fixture::time(fixture::NOW)
    }

    fn civil(&self) -> jiff::Timestamp {
        self.now()
    }
}

fn configured(before: &str, more: &str) -> Config {
    let listen = "listen = \"127.0.0.1:0\"";
    let text = format!("{listen}\n{before}[store]\npath = \"c.db\"\n{}{more}", fixture::agents());
    Config::from_document(&Document::new("collector.toml", text)).expect("a good configuration")
}

/// A collector that has seen the day.
pub(crate) async fn served(outage: bool, more: &str) -> Served {
    served_by("", outage, more).await
}

/// The same, with something to be said before all tables of its configuration.
pub(crate) async fn served_by(before: &str, outage: bool, more: &str) -> Served {
    let store = Store::in_memory().expect("a store");
    fixture::fill(&store, outage);
    fixture::keep_rich_probes(&store);
    let clock: SharedClock = Arc::new(Standing);
    let served = Served::with(configured(before, more), clock, store).await;
    served.collector.tick(fixture::time(fixture::NOW)).await;
    served
}

/// A page's text without its markup, and with single spaces.
pub(crate) fn text_of(page: &str) -> String {
    let mut text = String::new();
    let mut inside = false;
    for c in page.chars() {
        match c {
            '<' => inside = true,
            '>' => {
                inside = false;
                text.push(' ');
            }
            c if !inside => text.push(c),
            _ => {}
        }
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn the_first_sentence_says_what_since_when_whose_fault_and_until_when() {
    let served = served(true, "").await;
    let (status, page) = served.get("/").await;
    assert_eq!(status, 200);
    let text = text_of(&page);
    assert!(text.contains("Receiving at acme fails since 11:00:07 UTC, in 3 of 3 regions."), "{text}");
    assert!(text.contains("To blame acme's delivery"), "what is accepted does not arrive: {text}");
    assert!(text.contains("Not to blame the agents' own network"), "their control routes deliver: {text}");
    assert!(text.contains("Should be over by ~13:42 UTC"), "{text}");
    assert!(text.contains("Has lasted 2 h 20 min"), "{text}");
    for page in ["/services/acme", &format!("/incidents/{INCIDENT}")] {
        let (status, page) = served.get(page).await;
        assert_eq!(status, 200);
        assert!(text_of(&page).contains("Receiving at acme fails since 11:00:07 UTC"), "{page}");
    }
    let (_, page) = served.get(&format!("/incidents/{INCIDENT}")).await;
    let text = text_of(&page);
    for part in [
        "Suspect: acme",
        "Accepting again 13:04:07 UTC",
        "from the regions concerned failed.",
        "Mails still missing",
        "Called the vendor",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[tokio::test]
async fn in_peace_the_page_is_calm_and_every_page_is_there() {
    let served = served(false, "").await;
    let (_, page) = served.get("/").await;
    let text = text_of(&page);
    assert!(text.contains("Mail flows. 4 services watched from 3 regions; nothing is wrong."), "{text}");
    assert!(text.contains("Maintenance of globex"), "{text}");
    let probe = format!("/probes/{PROBE}");
    let delivered = format!("/probes/{DELIVERED}");
    let past = "/incidents/0198c0de-0000-7000-8000-000000000004";
    for path in ["/services/acme", "/incidents", past, &probe, &delivered, "/agents", "/maintenance"] {
        let (status, page) = served.get(path).await;
        assert_eq!(status, 200, "{path}");
        assert!(page.contains("<main") && page.ends_with("</html>"), "{path}: {page}");
    }
    for path in [
        "/services/nobody",
        "/incidents/x",
        "/probes/x",
        "/probes/0198c0de-3333-7000-8000-000000000001",
        "/x",
    ] {
        let (status, page) = served.get(path).await;
        assert_eq!((status, page.contains("There is nothing here.")), (404, true), "{path}");
    }
}

#[tokio::test]
async fn strangers_see_what_is_public_and_nothing_of_servers_agents_or_operators() {
    let token = mailsonar_collector::ingest::token_hash("mst_maria");
    let more = format!("[operators.maria]\ntoken_sha256 = \"{token}\"\n[expose]\npublic = [\"acme\"]\n");
    let served = served(true, &more).await;
    for path in ["/", "/services/acme", "/incidents", &format!("/incidents/{INCIDENT}"), "/maintenance"] {
        let (status, page) = served.get(path).await;
        assert_eq!(status, 200, "{path}");
        for secret in [
            "192.0.2.",
            "mx1.",
            "frankfurt-1",
            "globex",
            "maria",
            "queued as",
            "no answer",
            "vendor",
            "dc-east",
        ] {
            assert!(!page.contains(secret), "{path} tells strangers of {secret}: {page}");
        }
    }
    let summary = served.json("/api/v1/summary").await;
    let legs = summary["legs"].as_array().expect("a list");
    assert_eq!(legs.len(), 2, "sending and receiving of what is public: {summary}");
    assert!(legs.iter().all(|leg| leg["service"] == "acme"), "{summary}");
    assert_eq!(served.get("/badges/acme.svg").await.0, 200);
    for path in ["/services/globex", &format!("/probes/{PROBE}"), "/agents", "/badges/globex.svg"] {
        assert_eq!(served.get(path).await.0, 404, "{path}");
    }
    for path in ["/api/v1/probes", "/api/v1/incidents", "/api/v1/agents", "/api/v1/silences", "/metrics"] {
        assert_eq!(served.get(path).await.0, 401, "{path}");
        let asked = served.http.get(format!("{}{path}", served.base)).bearer_auth("mst_maria").send().await;
        assert_eq!(asked.expect("an answer").status(), 200, "{path}");
    }
    let page = served.http.get(&served.base).bearer_auth("mst_maria").send().await.expect("an answer");
    assert!(page.text().await.expect("text").contains("globex"), "operators see everything");
}

#[tokio::test]
async fn markup_in_foreign_words_is_text_on_every_page_and_nothing_inline_may_run() {
    let served = served(true, "").await;
    served.desks.run(fixture::poison).await.expect("it writes");
    let incident = format!("/incidents/{INCIDENT}");
    let probe = format!("/probes/{PROBE}");
    for path in ["/", "/incidents", &incident, &probe, "/services/acme", "/agents", "/maintenance"] {
        let response = served.http.get(format!("{}{path}", served.base)).send().await.expect("an answer");
        let policy = response.headers()["content-security-policy"].to_str().expect("text").to_owned();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        let page = response.text().await.expect("text");
        assert!(!page.contains("<img") && !page.contains("<script>"), "{path}: {page}");
        assert!(!page.contains('\u{202e}') && !page.contains('\u{1b}'), "{path}");
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{path} shows it as text: {page}");
    }
}

#[tokio::test]
async fn the_summary_says_how_every_leg_stands_and_a_badge_says_it_in_three_words() {
    let served = served(true, "").await;
    let summary = served.json("/api/v1/summary").await;
    let legs = summary["legs"].as_array().expect("a list");
    assert_eq!(legs.len(), 8, "two legs of four services: {summary}");
    let leg = |service: &str, leg: &str| {
        legs.iter().find(|one| one["service"] == service && one["leg"] == leg).expect("it is watched")
    };
    let failing = leg("acme", "receive");
    assert_eq!((&failing["state"], &failing["incident"]), (&"down".into(), &INCIDENT.into()), "{summary}");
    assert_eq!(failing["since"], "2026-11-26T11:00:07Z");
    assert_eq!(failing["headline"], "Receiving at acme fails since 11:00:07 UTC, in 3 of 3 regions.");
    let sending = leg("acme", "send");
    assert_eq!((&sending["state"], sending.get("incident")), (&"ok".into(), None), "{summary}");
    assert_eq!(sending["since"], "2026-11-12T08:51:30Z", "since the last outage ended");
    assert_eq!(leg("umbrella", "send").get("since"), None, "it never failed");

    for (service, words) in [("acme", "mail at acme: receiving fails"), ("globex", "mail at globex: flows")] {
        let badge = served.http.get(format!("{}/badges/{service}.svg", served.base));
        let badge = badge.send().await.expect("an answer");
        assert_eq!(badge.headers()["content-type"], "image/svg+xml");
        let drawn = badge.text().await.expect("text");
        assert!(drawn.starts_with("<svg ") && drawn.contains(words), "{drawn}");
    }
    for path in ["/badges/nobody.svg", "/badges/acme", "/badges/acme.png"] {
        assert_eq!(served.get(path).await.0, 404, "{path}");
    }
}

#[tokio::test]
async fn a_look_that_is_long_past_claims_nothing_of_now() {
    let store = Store::in_memory().expect("a store");
    fixture::fill(&store, true);
    let two_days_later = 2 * 86_400 + 8_430;
    let hand = Hand::at(two_days_later);
    let served = Served::with(configured("", ""), hand.clone(), store).await;
    served.collector.tick(fixture::time(fixture::NOW)).await;
    hand.set(two_days_later + 120);
    let summary = served.json("/api/v1/summary").await;
    let state = |service: &str, leg: &str| {
        let legs = summary["legs"].as_array().expect("a list");
        let one = legs.iter().find(|one| one["service"] == service && one["leg"] == leg);
        one.expect("it is watched")["state"].as_str().expect("a word").to_owned()
    };
    assert_eq!((state("globex", "send"), state("acme", "receive")), ("unknown".into(), "down".into()));
    assert!(served.get("/badges/globex.svg").await.1.contains("mail at globex: cannot be seen"));
}
