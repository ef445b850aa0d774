//! Operators in a browser without scripts: plain forms, under their name, and for nobody else.

use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;

use super::fixture::INCIDENT;
use super::outage::{served, text_of};
use crate::harness::Served;

const TOKEN: &str = "mst_marias-own-very-long-token";

/// What a browser keeps: a cookie, and the page it is on.
struct Browser<'a> {
    served: &'a Served,
    http: reqwest::Client,
    cookie: Option<String>,
}

/// What came back.
struct Page {
    status: u16,
    moved_to: Option<String>,
    cookie: Option<String>,
    text: String,
}

impl<'a> Browser<'a> {
    fn new(served: &'a Served) -> Self {
        let http = reqwest::Client::builder().no_proxy().redirect(Policy::none()).build().expect("a client");
        Self { served, http, cookie: None }
    }

    async fn send(&mut self, mut request: reqwest::RequestBuilder) -> Page {
        if let Some(cookie) = &self.cookie {
            request = request.header(COOKIE, cookie);
        }
        let answer = request.send().await.expect("an answer");
        let header = |name| answer.headers().get(name).map(|value| value.to_str().expect("text").to_owned());
        let (moved_to, cookie) = (header(LOCATION), header(SET_COOKIE));
        if let Some(cookie) = &cookie {
            let pair = cookie.split(';').next().expect("a pair");
            self.cookie = (!pair.ends_with('=')).then(|| pair.to_owned());
        }
        Page { status: answer.status().as_u16(), moved_to, cookie, text: answer.text().await.expect("text") }
    }

    async fn get(&mut self, path: &str) -> Page {
        self.send(self.http.get(format!("{}{path}", self.served.base))).await
    }

    async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Page {
        let body: Vec<String> =
            fields.iter().map(|(name, value)| format!("{name}={}", value.replace(' ', "+"))).collect();
        let request = self.http.post(format!("{}{path}", self.served.base));
        let kind = "application/x-www-form-urlencoded";
        self.send(request.header("content-type", kind).body(body.join("&"))).await
    }

    async fn sign_in(&mut self) -> String {
        let page = self.post("/sign-in", &[("token", TOKEN), ("next", "/incidents")]).await;
        assert_eq!((page.status, page.moved_to.as_deref()), (303, Some("/incidents")), "{}", page.text);
        let page = self.get("/maintenance").await;
        let (_, rest) = page.text.split_once("name=\"key\" value=\"").expect("a form with a key");
        rest.split('"').next().expect("a key").to_owned()
    }
}

async fn thursday(more: &str) -> Served {
    let token = mailsonar_collector::ingest::token_hash(TOKEN);
    served(true, &format!("{more}[operators.maria]\ntoken_sha256 = \"{token}\"\n")).await
}

#[tokio::test]
async fn an_operator_signs_in_takes_the_incident_on_notes_silences_and_all_is_in_the_timeline() {
    let served = thursday("").await;
    let mut browser = Browser::new(&served);
    let incident = format!("/incidents/{INCIDENT}");
    let before = browser.get(&incident).await.text;
    assert!(!before.contains("<form") && before.contains(&format!("/sign-in?next={incident}")), "{before}");

    let key = browser.sign_in().await;
    let page = browser.get(&incident).await.text;
    assert!(text_of(&page).contains("What you can do, maria"), "{page}");
    let back = ("back", incident.as_str());
    let note = [("key", key.as_str()), ("words", "the vendor says two hours"), back];
    let page = browser.post(&format!("{incident}/notes"), &note).await;
    assert_eq!((page.status, page.moved_to.as_deref()), (303, Some(incident.as_str())), "{}", page.text);
    let taken = browser.post(&format!("{incident}/acknowledge"), &[("key", &key), ("words", ""), back]).await;
    assert_eq!(taken.status, 303, "{}", taken.text);
    let fields = [("service", "acme"), ("leg", "receive"), ("duration", "2h"), ("reason", "vendor at work")];
    let quiet = browser.post("/silences", &[&[("key", key.as_str()), back][..], &fields].concat()).await;
    assert_eq!((quiet.status, quiet.moved_to.as_deref()), (303, Some(incident.as_str())), "{}", quiet.text);
    served.collector.tick(served.now()).await;

    let silences = served.json("/api/v1/silences").await;
    let one = silences["silences"].as_array().expect("a list").iter().find(|one| one["active"] == true);
    let id = one.expect("it is active")["id"].as_str().expect("an id");
    let page = text_of(&browser.get("/services/acme").await.text);
    assert!(page.contains("vendor at work (maria)") && page.contains("End now"), "{page}");
    let fields = [("key", key.as_str()), ("back", "/services/acme")];
    let ended = browser.post(&format!("/silences/{id}/end"), &fields).await;
    assert_eq!(ended.moved_to.as_deref(), Some("/services/acme"));

    let page = text_of(&browser.get(&incident).await.text);
    for line in [
        "the vendor says two hours maria",
        "Covered by a silence until 2026-11-26T15:20:30Z: vendor at work maria",
        "The silence was ended before its time maria",
    ] {
        assert!(page.contains(line), "{line} is not in {page}");
    }
    let later = served.json("/api/v1/silences?from=2026-11-26T13:00:00Z").await.to_string();
    assert!(later.contains(r#""ended_by":"maria""#), "{later}");

    let maintenance = [("kind", "maintenance"), ("starts", "2026-11-27T22:00"), ("duration", "4h")];
    let more = [("key", key.as_str()), ("service", ""), ("reason", "new racks"), ("back", "/maintenance")];
    browser.post("/silences", &[&maintenance[..], &more].concat()).await;
    let page = text_of(&browser.get("/maintenance").await.text);
    assert!(
        page.contains("of every service, 27 Nov, 22:00:00 UTC until 28 Nov, 02:00:00 UTC : new racks"),
        "{page}"
    );

    let out = browser.post("/sign-out", &[("key", &key)]).await;
    assert_eq!((out.status, out.moved_to.as_deref()), (303, Some("/")));
    assert!(browser.cookie.is_none() && !browser.get(&incident).await.text.contains("<form"));
}

#[tokio::test]
async fn a_form_counts_in_its_session_with_its_key_from_our_own_page_only() {
    let served = thursday("").await;
    let mut browser = Browser::new(&served);
    let note = format!("/incidents/{INCIDENT}/notes");
    let nobody = browser.post(&note, &[("key", "x"), ("words", "hours of work")]).await;
    assert_eq!(nobody.status, 401);
    assert!(
        text_of(&nobody.text).contains("What you wrote hours of work"),
        "it is given back: {}",
        nobody.text
    );

    let key = browser.sign_in().await;
    assert_eq!(browser.post(&note, &[("key", "x"), ("words", "forged")]).await.status, 403);
    let (address, body) = (format!("{}{note}", served.base), format!("key={key}&words=forged"));
    let forged = browser.http.post(&address).body(body);
    let forged = forged.header("content-type", "application/x-www-form-urlencoded");
    for (name, value) in [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")] {
        let request = forged.try_clone().expect("it can be sent twice").header(name, value);
        assert_eq!(browser.send(request).await.status, 403, "{name}");
    }
    let cookie = browser.cookie.clone().expect("signed in");
    let api = browser.http.post(format!("{}/api/v1{note}", served.base)).header(COOKIE, cookie);
    let api = api.header("content-type", "application/json").body("{\"words\":\"forged\"}");
    assert_eq!(api.send().await.expect("an answer").status(), 401, "the API wants the token itself");
    let incident = served.json(&format!("/api/v1/incidents/{INCIDENT}")).await;
    assert!(!incident.to_string().contains("forged"));

    for (words, status) in [("", 400), (&*"x".repeat(2_001), 400), (&*"x".repeat(20_000), 400)] {
        assert_eq!(browser.post(&note, &[("key", &key), ("words", words)]).await.status, status);
    }
    let fields = [("key", key.as_str()), ("duration", "40d"), ("reason", "a long one")];
    let long = browser.post("/silences", &fields).await;
    assert_eq!((long.status, text_of(&long.text).contains("31 days")), (400, true), "{}", long.text);
    assert_eq!(browser.post("/silences/none/end", &[("key", &key)]).await.status, 404);
}

#[tokio::test]
async fn wrong_tokens_are_answered_tersely_and_keep_no_operator_out() {
    let served = thursday("[expose]\npublic = [\"acme\"]\n").await;
    let mut browser = Browser::new(&served);
    let page = browser.get("/sign-in?next=//evil.example").await;
    assert!(page.status == 200 && page.text.contains("name=\"next\" value=\"/\""), "{}", page.text);
    assert_eq!(browser.post("/sign-in", &[("token", "short")]).await.status, 401);
    let mut statuses = Vec::new();
    for _ in 0..25 {
        statuses.push(browser.post("/sign-in", &[("token", "mst_nobody-has-this-long-one")]).await.status);
    }
    assert_eq!((statuses[19], statuses[20], statuses[24]), (401, 429, 429));
    assert!(browser.cookie.is_none() && browser.get("/agents").await.status == 404);

    browser.sign_in().await;
    assert_eq!(browser.get("/agents").await.status, 200, "who is signed in sees all");
    assert_eq!(browser.get("/api/v1/probes").await.status, 200);
    let mut stranger = Browser::new(&served);
    for path in ["/", "/services/acme", &format!("/incidents/{INCIDENT}"), "/maintenance"] {
        let page = stranger.get(path).await;
        assert!(page.status == 200 && !page.text.contains("<form"), "{path}");
    }
}

#[tokio::test]
async fn the_cookie_is_out_of_reach_and_behind_tls_never_in_the_clear() {
    for (more, expected) in
        [("", "mailsonar="), ("public_url = \"https://status.example\"\n", "__Host-mailsonar=")]
    {
        let token = mailsonar_collector::ingest::token_hash(TOKEN);
        let operator = format!("[operators.maria]\ntoken_sha256 = \"{token}\"\n");
        let served = super::outage::served_by(more, false, &operator).await;
        let mut browser = Browser::new(&served);
        let page = browser.post("/sign-in", &[("token", TOKEN)]).await;
        let cookie = page.cookie.expect("a cookie");
        assert!(cookie.starts_with(expected) && cookie.contains("; HttpOnly; SameSite=Strict"), "{cookie}");
        assert_eq!(cookie.contains("; Secure"), expected.starts_with("__Host-"), "{cookie}");
        assert_eq!(browser.get("/sign-in").await.moved_to.as_deref(), Some("/"), "signed in already");
    }
}
