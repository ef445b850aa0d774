//! What each fault at the IMAP doors looks like on the wire.

use std::time::Duration;

use mailsonar_sandbox::{Fault, Rule, Sandbox, Service, Stage};
use tokio::time::timeout;

use crate::client::{Client, logged_in, mailbox, pair, submit};

const WATCH: &str = "watch@acme.example";

fn no(text: &str) -> Rule {
    Rule::new(Fault::No { text: text.to_owned() })
}

async fn connected(sandbox: &Sandbox) -> Client {
    let mut client = Client::tls(sandbox, "imap1.acme.example", Service::Imaps).await.unwrap();
    client.line().await;
    client
}

#[tokio::test]
async fn a_login_is_refused_with_any_words() {
    let sandbox = pair().await;
    sandbox.faults().add(no("[UNAVAILABLE] Backend down").account(WATCH));
    let mut client = connected(&sandbox).await;
    assert!(
        client.imap("LOGIN probe@acme.example wrong").await[0].starts_with("t NO [AUTHENTICATIONFAILED]")
    );
    assert_eq!(client.imap("LOGIN watch@acme.example secret").await, ["t NO [UNAVAILABLE] Backend down"]);
    assert_eq!(client.imap("NOOP").await, ["t OK completed"]);
}

/// Whoever rehearses a monitor wants to know how often it knocked, and whether it whispered.
#[tokio::test]
async fn the_truth_knows_every_sign_in_also_what_the_rules_refused_and_what_came_in_the_clear() {
    let sandbox = pair().await;
    sandbox.faults().add(no("[UNAVAILABLE] Later").account(WATCH).service(Service::Imaps));
    let mut client = connected(&sandbox).await;
    assert_eq!(
        client.imap("AUTHENTICATE PLAIN AHdhdGNoQGFjbWUuZXhhbXBsZQBzZWNyZXQ=").await,
        ["t NO [UNAVAILABLE] Later"],
        "the account is known from the initial response"
    );
    let mut plain = Client::plain(&sandbox, "imap1.acme.example", Service::Imap).await.unwrap();
    plain.line().await;
    assert!(plain.imap("LOGIN watch@acme.example secret").await[0].contains("[PRIVACYREQUIRED]"));
    let mut submission = Client::plain(&sandbox, "out1.acme.example", Service::Submission).await.unwrap();
    submission.reply().await;
    submission.smtp("EHLO me.example").await;
    assert!(submission.smtp("AUTH PLAIN AHdhdGNoQGFjbWUuZXhhbXBsZQBzZWNyZXQ=").await.starts_with("538"));
    let logins = sandbox.truth().facts().logins;
    assert!(logins.iter().all(|login| login.account == WATCH && !login.granted), "{logins:#?}");
    let known: Vec<_> = logins.iter().map(|login| (login.words.as_str(), login.encrypted)).collect();
    assert_eq!(known, [("NO [UNAVAILABLE] Later", true), ("", false), ("", false)]);
}

#[tokio::test]
async fn search_says_no_or_bye_or_lies() {
    let sandbox = pair().await;
    let mut client = mailbox(&sandbox, WATCH, "INBOX").await;
    let rule = sandbox.faults().add(no("[SERVERBUG] Index broken").stage(Stage::Search).account(WATCH));
    assert_eq!(client.imap("UID SEARCH ALL").await, ["t NO [SERVERBUG] Index broken"]);
    sandbox.faults().remove(rule);
    let lie = Fault::Raw { text: "* SEARCH 1 2\r\nother NO Not yours\r\n{tag} OK Done\r\n".into() };
    let rule = sandbox.faults().add(Rule::new(lie).stage(Stage::Search));
    assert_eq!(client.imap("UID SEARCH ALL").await, ["* SEARCH 1 2", "other NO Not yours", "t OK Done"]);
    sandbox.faults().remove(rule);
    sandbox.faults().add(Rule::new(Fault::Bye { text: "Restarting".into() }));
    assert_eq!(client.imap("UID SEARCH ALL").await, ["* BYE Restarting"]);
}

#[tokio::test]
async fn frozen_it_says_nothing_even_to_who_idles_and_thaws_with_all_news() {
    let sandbox = pair().await;
    let mut idle = mailbox(&sandbox, WATCH, "INBOX").await;
    idle.send("i IDLE\r\n").await;
    idle.line().await;
    let mut other = mailbox(&sandbox, WATCH, "INBOX").await;
    sandbox.faults().add(Rule::new(Fault::Silence).service(Service::Imaps));
    submit(&sandbox, "probe@acme.example", WATCH, "x@probe").await;
    other.send("t NOOP\r\n").await;
    assert!(idle.is_silent().await && other.is_silent().await);
    let late = timeout(Duration::from_millis(150), logged_in(&sandbox, WATCH)).await;
    assert!(late.is_err());
    sandbox.faults().clear();
    assert_eq!(idle.line().await, "* 1 EXISTS");
    assert_eq!(other.line().await, "* 1 EXISTS");
}

#[tokio::test]
async fn who_idles_is_thrown_out() {
    let sandbox = pair().await;
    let mut idle = mailbox(&sandbox, WATCH, "INBOX").await;
    idle.send("i IDLE\r\n").await;
    idle.line().await;
    sandbox.faults().add(Rule::new(Fault::Bye { text: "Maintenance".into() }).stage(Stage::Idle));
    assert_eq!(idle.line().await, "* BYE Maintenance");
    assert!(idle.try_line().await.is_err());
}

#[tokio::test]
async fn tls_is_withheld_at_the_plain_door() {
    let sandbox = pair().await;
    sandbox.faults().add(Rule::new(Fault::TlsWithheld));
    let mut client = Client::plain(&sandbox, "imap1.acme.example", Service::Imap).await.unwrap();
    assert!(!client.line().await.contains("STARTTLS"));
    assert_eq!(client.imap("STARTTLS").await, ["t BAD STARTTLS is not available"]);
}
