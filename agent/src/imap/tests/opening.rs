//! Greetings, STARTTLS, and signing in.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mailsonar_protocol::{Class, Stage};
use secrecy::SecretString;
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::fake::{Server, kind};
use crate::imap::{Greeting, Limits, Session, starttls};
use crate::oauth::Mechanism;
use crate::trouble::Trouble;

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(start_paused = true)]
async fn only_an_ok_is_a_greeting() {
    for (greeting, expected) in [
        ("S: * PREAUTH welcome back", "security preauth"),
        ("S: * BYE too busy", "closed bye"),
        ("S: * BYE [UNAVAILABLE] later", "temporary unavailable"),
        ("S: * NO thanks", "protocol no_greeting"),
        ("S: 220 smtp.example.org ESMTP", "protocol unreadable"),
        ("close", "closed end_of_stream"),
        ("", "timeout timeout"),
    ] {
        let (opened, played) = Server::new(greeting).open_with(Limits::default()).await;
        let trouble = opened.expect_err(greeting);
        assert_eq!((trouble.stage, kind(&trouble).as_str()), (Stage::Login, expected), "{greeting}");
        played.await.expect("nothing was sent to this server");
    }
}

#[tokio::test(start_paused = true)]
async fn an_odd_but_legal_greeting_is_one() {
    let server = Server::default()
        .send("* ok [CAPABILITY IMAP4rev2 X\u{e9}]\u{e9}\n")
        .then("C: M1 CAPABILITY")
        .send("* capability imap4rev2 idle AUTH=PLAIN\nM1 ok\n");
    let (session, _played) = server.open_with(Limits::default()).await;
    let session = session.unwrap();
    assert!(session.capabilities().can_idle());
    assert!(session.capabilities().has("auth=plain"));
    assert!(!session.capabilities().has("UIDPLUS"));
}

async fn starttls_on(server: Server) -> String {
    let (mut stream, played) = server.start();
    let ended = starttls(&mut stream, PATIENCE).await;
    drop(stream);
    played.await.expect("the client kept to the script");
    match ended {
        Ok(()) => "agreed".into(),
        Err(trouble) => {
            assert_eq!(trouble.stage, Stage::Tls);
            kind(&trouble)
        }
    }
}

#[tokio::test(start_paused = true)]
async fn starttls_needs_the_servers_own_word_and_nothing_behind_it() {
    let start = "S: * OK ready\nC: S1 STARTTLS\n";
    for (script, expected) in [
        (format!("{start}S: S1 OK go ahead"), "agreed"),
        (format!("{start}S: * OK still here\nS: s1 OK not ours\nS: S1 OK go ahead"), "protocol unreadable"),
        (format!("{start}S: * CAPABILITY IMAP4rev1\nS: S1 ok"), "agreed"),
        ("S: * PREAUTH hello".into(), "security preauth"),
        (format!("{start}S: S1 NO not today"), "security starttls_withheld"),
        (format!("{start}S: S1 BAD what?"), "security starttls_withheld"),
        (
            format!("{start}S: S1 OK go ahead\nS: * CAPABILITY IMAP4rev1 AUTH=PLAIN"),
            "security bytes_before_tls",
        ),
        ("S: * BYE full".into(), "closed bye"),
        ("S: * BYE [UNAVAILABLE] full".into(), "temporary unavailable"),
        (format!("{start}S: * BYE full"), "closed bye"),
        ("S: HTTP/1.1 400 Bad Request".into(), "protocol no_greeting"),
        (format!("{start}close"), "closed end_of_stream"),
        (start.to_owned(), "timeout timeout"),
    ] {
        assert_eq!(starttls_on(Server::new(&script)).await, expected, "{script}");
    }
}

#[tokio::test(start_paused = true)]
async fn starttls_is_bounded_too() {
    let endless = Server::new("S: * OK ready\nC: S1 STARTTLS").repeat("x", 100_000_000);
    assert_eq!(starttls_on(endless).await, "limit line_too_long");
    let many = Server::new("S: * OK ready\nC: S1 STARTTLS").repeat("* OK\r\n", 1_000_000);
    assert_eq!(starttls_on(many).await, "limit too_many_responses");
    let slow = Server::default().pace("*", Duration::from_secs(10));
    assert_eq!(starttls_on(slow).await, "timeout timeout");
}

#[tokio::test(start_paused = true)]
async fn after_starttls_the_session_starts_without_a_greeting() {
    let script = "C: M1 CAPABILITY\nS: * CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR\nS: M1 OK done";
    let (stream, _played) = Server::new(script).start();
    let session = Session::open(stream, Greeting::Seen, Limits::default()).await.unwrap();
    assert_eq!(session.capabilities().iter().collect::<Vec<_>>(), ["IMAP4rev1", "AUTH=PLAIN", "SASL-IR"]);
}

fn greeting_with(capabilities: &str) -> String {
    format!("S: * OK ready\nC: M1 CAPABILITY\nS: * CAPABILITY IMAP4rev1 {capabilities}\nS: M1 OK done\n")
}

async fn login_on(capabilities: &str, script: &str, password: &str) -> Result<Session, String> {
    let server = Server::new(&greeting_with(capabilities)).then(script);
    let (session, played) = server.open_with(Limits::default()).await;
    let mut session = session.expect("the greeting is fine");
    let ended = session.login("me", &SecretString::from(password)).await;
    let ended = ended.map(|()| session).map_err(|trouble| {
        assert_eq!(trouble.stage, Stage::Login);
        kind(&trouble)
    });
    if ended.is_err() {
        played.await.expect("the client kept to the script");
    }
    ended
}

#[tokio::test(start_paused = true)]
async fn each_way_to_sign_in_is_taken_where_it_is_offered() {
    let good = "S: M2 OK in\nC: M3 CAPABILITY\nS: * CAPABILITY IMAP4rev1 IDLE\nS: M3 OK done";
    for (capabilities, exchange) in [
        ("AUTH=PLAIN SASL-IR", "C: M2 AUTHENTICATE PLAIN AG1lAGh1bnRlcjI="),
        // An untagged line before the `+` is legal, and hangs async-imap's own AUTHENTICATE.
        ("AUTH=PLAIN LOGINDISABLED", "C: M2 AUTHENTICATE PLAIN\nS: * OK a moment\nS: +\nC: AG1lAGh1bnRlcjI="),
        ("AUTH=XOAUTH2", "C: M2 LOGIN \"me\" \"hunter2\""),
    ] {
        let session =
            login_on(capabilities, &format!("{exchange}\n{good}"), "hunter2").await.expect(capabilities);
        assert!(session.capabilities().can_idle(), "the capabilities are those after the login");
    }
}

#[tokio::test(start_paused = true)]
async fn login_quotes_and_falls_back_to_literals() {
    let good = "S: M2 OK in\nC: M3 CAPABILITY\nS: * CAPABILITY IMAP4rev1\nS: M3 OK done";
    let quoted = format!(r#"C: M2 LOGIN "me" "a\"b\\c"{}{good}"#, "\n");
    login_on("", &quoted, r#"a"b\c"#).await.unwrap();
    let literals = format!("C: M2 LOGIN {{2}}\nS: + go\nC: me {{3}}\nS: + go\nC: pé\n{good}");
    login_on("", &literals, "pé").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_login_fails_for_the_reason_that_the_server_gives() {
    for (capabilities, script, expected) in [
        ("LOGINDISABLED", "", "security login_disabled"),
        (
            "",
            "C: M2 LOGIN \"me\" \"hunter2\"\nS: M2 NO [AUTHENTICATIONFAILED] no",
            "auth credentials_refused",
        ),
        ("", "C: M2 LOGIN \"me\" \"hunter2\"\nS: M2 NO [UNAVAILABLE] later", "temporary unavailable"),
        ("", "C: M2 LOGIN \"me\" \"hunter2\"\nS: M2 NO [LIMIT] many", "temporary limit"),
        ("", "C: M2 LOGIN \"me\" \"hunter2\"\nS: M2 BAD what?", "protocol bad"),
        ("", "C: M2 LOGIN \"me\" \"hunter2\"\nS: * BYE going down", "closed bye"),
        ("", "C: M2 LOGIN \"me\" \"hunter2\"\nS: M1 OK stale", "protocol stale_tag"),
        ("AUTH=PLAIN", "C: M2 AUTHENTICATE PLAIN\nS: M2 NO not so", "auth credentials_refused"),
        ("AUTH=PLAIN", "C: M2 AUTHENTICATE PLAIN\nS: M2 OK in", "protocol no_continuation"),
        ("AUTH=PLAIN", "C: M2 AUTHENTICATE PLAIN", "timeout timeout"),
    ] {
        let ended = login_on(capabilities, script, "hunter2").await;
        assert_eq!(ended.expect_err(script), expected, "{capabilities} {script}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_would_end_the_line_is_not_sent() {
    for evil in ["x\r\nM3 DELETE INBOX", "x\ny", "x\0y"] {
        assert_eq!(login_on("AUTH=PLAIN", "", evil).await.unwrap_err(), "own bad_argument");
        assert_eq!(login_on("", "", evil).await.unwrap_err(), "own bad_argument");
    }
}

/// Keeps all that is logged, at any level.
#[derive(Clone, Default)]
struct Everything(Arc<Mutex<String>>);

impl Visit for Everything {
    fn record_debug(&mut self, _: &Field, value: &dyn std::fmt::Debug) {
        writeln!(self.0.lock().unwrap(), "{value:?}").unwrap();
    }
}

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Everything {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        event.record(&mut self.clone());
    }
}

#[tokio::test(start_paused = true)]
async fn no_secret_is_logged_or_quoted_even_if_the_server_echoes_it() {
    let logged = Everything::default();
    let _this_thread = tracing_subscriber::registry().with(logged.clone()).set_default();
    let password = SecretString::from("correct-horse-\"battery");
    let token = "AG1lAGNvcnJlY3QtaG9yc2UtImJhdHRlcnk=";
    let in_words = r#"LOGIN "me" "correct-horse-\"battery""#;
    for (capabilities, command) in
        [("", in_words.to_owned()), ("AUTH=PLAIN SASL-IR", format!("AUTHENTICATE PLAIN {token}"))]
    {
        let server = Server::new(&greeting_with(capabilities)).then(&format!(
            "C: M2 {command}\nS: M2 BAD unknown command: {command} (correct-horse-\"battery)"
        ));
        let (session, _played) = server.open_with(Limits::default()).await;
        let mut session = session.unwrap();
        let trouble = session.login("me", &password).await.unwrap_err();
        let seen = format!("{session:?} {trouble:?} {}", logged.0.lock().unwrap());
        assert!(seen.contains("unknown command"), "the server's words are kept, and the log is on: {seen}");
        for secret in ["correct-horse", token] {
            assert!(!seen.contains(secret), "{secret} in {seen}");
        }
    }
    assert!(logged.0.lock().unwrap().contains("decode: input"), "async-imap logs what it reads");
}

async fn token_on(capabilities: &str, script: &str, mechanism: Mechanism) -> Result<(), Trouble> {
    let server = Server::new(&greeting_with(capabilities)).then(script);
    let (session, played) = server.open_with(Limits::default()).await;
    let mut session = session.expect("the greeting is fine");
    let ended = session.login_by_token("me", &SecretString::from("ya29"), mechanism).await;
    drop(session);
    if ended.is_err() {
        played.await.expect("the client kept to the script");
    }
    ended
}

#[tokio::test(start_paused = true)]
async fn a_token_signs_in_or_the_provider_says_why_not() {
    let good = "S: M2 OK in\nC: M3 CAPABILITY\nS: * CAPABILITY IMAP4rev1 IDLE\nS: M3 OK done";
    let xoauth2 = "dXNlcj1tZQFhdXRoPUJlYXJlciB5YTI5AQE=";
    let bearer = "bixhPW1lLAFhdXRoPUJlYXJlciB5YTI5AQE=";
    let at_once = format!("C: M2 AUTHENTICATE XOAUTH2 {xoauth2}\n{good}");
    token_on("AUTH=XOAUTH2 SASL-IR", &at_once, Mechanism::Xoauth2).await.unwrap();
    let asked = format!("C: M2 AUTHENTICATE OAUTHBEARER\nS: +\nC: {bearer}\n{good}");
    token_on("AUTH=OAUTHBEARER", &asked, Mechanism::Oauthbearer).await.unwrap();
    // {"status":"401"}
    let reason = "S: + eyJzdGF0dXMiOiI0MDEifQ==";
    let refused = format!(
        "C: M2 AUTHENTICATE OAUTHBEARER {bearer}\n{reason}\nC: AQ==\nS: M2 NO [AUTHENTICATIONFAILED] ya29"
    );
    let trouble = token_on("AUTH=OAUTHBEARER SASL-IR", &refused, Mechanism::Oauthbearer).await.unwrap_err();
    assert_eq!((trouble.class, trouble.detail), (Class::Auth, "credentials_refused"));
    let words = trouble.words.as_str();
    assert!(words.ends_with(r#"it says: {"status":"401"}"#) && !words.contains("ya29"), "{words}");
}
