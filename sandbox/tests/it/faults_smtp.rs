//! What each fault at the SMTP doors looks like on the wire.

use std::{io::ErrorKind, time::Duration};

use mailsonar_sandbox::{Fate, Fault, Rule, Sandbox, Service, Stage};
use tokio::{net::TcpStream, time::timeout};

use crate::client::{Client, PATIENCE, address, pair, submit, transact};

const MX: &str = "mx1.acme.example";
const TO: &str = "watch@acme.example";

/// A connection to the MX, as far as the reply to EHLO.
async fn greeted(sandbox: &Sandbox) -> Client {
    let mut client = Client::plain(sandbox, MX, Service::Mx).await.unwrap();
    client.reply().await;
    client.smtp("EHLO stranger.example").await;
    client
}

/// The reply that ends a transaction at the MX.
async fn deliver(sandbox: &Sandbox) -> String {
    transact(&mut greeted(sandbox).await, "a@stranger.example", TO, "x@probe").await
}

fn reply(code: u16, text: &str) -> Fault {
    Fault::Reply { code, text: text.to_owned() }
}

#[tokio::test]
async fn a_shut_door_refuses_and_opens_again() {
    let sandbox = pair().await;
    let rule = sandbox.faults().add(Rule::new(Fault::Refuse).host(MX));
    assert!(eventually(async || connects(&sandbox).await == Err(Some(ErrorKind::ConnectionRefused))).await);
    assert!(Client::plain(&sandbox, "mx2.acme.example", Service::Mx).await.is_ok());
    sandbox.faults().remove(rule);
    assert!(eventually(async || connects(&sandbox).await.is_ok()).await);
    assert!(deliver(&sandbox).await.starts_with("250"));
}

#[tokio::test]
async fn in_a_black_hole_connecting_never_ends_and_afterwards_it_does() {
    let sandbox = pair().await;
    let rule = sandbox.faults().add(Rule::new(Fault::BlackHole).host(MX));
    assert!(eventually(async || connects(&sandbox).await == Err(None)).await);
    // Another rule that comes or goes lets nobody in, nor has anybody refused.
    for _ in 0..3 {
        let other = sandbox.faults().add(Rule::new(Fault::Hold));
        assert_eq!(connects(&sandbox).await, Err(None));
        sandbox.faults().remove(other);
    }
    sandbox.faults().remove(rule);
    assert!(eventually(async || connects(&sandbox).await.is_ok()).await);
    assert!(deliver(&sandbox).await.starts_with("250"));
}

#[tokio::test]
async fn a_site_gone_takes_standing_connections_with_it_and_leaves_the_other_site() {
    let sandbox = pair().await;
    let mut standing = greeted(&sandbox).await;
    sandbox.faults().add(Rule::new(Fault::Gone).site("east"));
    standing.send("NOOP\r\n").await;
    assert!(standing.is_silent().await);
    assert!(eventually(async || connects(&sandbox).await == Err(None)).await);
    assert!(Client::plain(&sandbox, "mx2.acme.example", Service::Mx).await.is_ok());
    sandbox.faults().clear();
    assert!(standing.reply().await.starts_with("250"));
}

#[tokio::test]
async fn a_share_hits_some_connections_and_spares_others() {
    let sandbox = pair().await;
    sandbox.faults().add(Rule::new(reply(421, "4.3.2 Not now")).stage(Stage::Greeting).share(0.3));
    let mut hit = 0;
    for _ in 0..60 {
        let mut client = Client::plain(&sandbox, MX, Service::Mx).await.unwrap();
        hit += usize::from(client.reply().await.starts_with("421"));
    }
    assert!((8..=28).contains(&hit), "{hit} of 60");
}

#[tokio::test]
async fn silence_falls_at_any_stage_and_ends_with_the_rule() {
    let sandbox = pair().await;
    for stage in [Stage::Greeting, Stage::Hello, Stage::MailFrom, Stage::RcptTo, Stage::Data, Stage::Accept] {
        sandbox.faults().add(Rule::new(Fault::Silence).stage(stage).service(Service::Mx));
        let quiet = timeout(Duration::from_millis(150), deliver(&sandbox)).await;
        assert!(quiet.is_err(), "{stage:?}: {quiet:?}");
        sandbox.faults().clear();
    }
    assert!(deliver(&sandbox).await.starts_with("250"));
}

#[tokio::test]
async fn a_reset_is_a_reset_even_below_tls() {
    let sandbox = pair().await;
    sandbox.faults().add(Rule::new(Fault::Reset).service(Service::Mx));
    let mut client = Client::plain(&sandbox, MX, Service::Mx).await.unwrap();
    assert_eq!(client.try_line().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    sandbox.faults().add(Rule::new(Fault::Reset).service(Service::Smtps).stage(Stage::Hello));
    let mut client = Client::tls(&sandbox, "out1.acme.example", Service::Smtps).await.unwrap();
    client.reply().await;
    client.send("EHLO me.example\r\n").await;
    assert_eq!(client.try_line().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn after_the_final_dot_a_close_loses_the_message_or_keeps_it() {
    let sandbox = pair().await;
    let rule = sandbox.faults().add(Rule::new(Fault::Close).service(Service::Mx));
    assert_eq!(deliver(&sandbox).await, "");
    assert_eq!(sandbox.truth().facts().letters.len(), 0);
    sandbox.faults().remove(rule);
    sandbox.faults().add(Rule::new(Fault::CloseKept).service(Service::Mx));
    assert_eq!(deliver(&sandbox).await, "");
    assert!(sandbox.truth().until(PATIENCE, |facts| facts.count(Fate::Delivered) == 1).await);
}

#[tokio::test]
async fn any_reply_at_any_stage() {
    let sandbox = pair().await;
    for stage in [Stage::MailFrom, Stage::RcptTo, Stage::Data, Stage::Accept] {
        sandbox.faults().add(Rule::new(reply(554, "5.7.1 Not on a Thursday")).stage(stage));
        assert_eq!(deliver(&sandbox).await, "554 5.7.1 Not on a Thursday", "{stage:?}");
        sandbox.faults().clear();
    }
    sandbox.faults().add(Rule::new(reply(500, "What?")).stage(Stage::Hello));
    let mut client = Client::plain(&sandbox, MX, Service::Mx).await.unwrap();
    client.reply().await;
    assert_eq!(client.smtp("EHLO a.example").await, "500 What?");
    assert!(client.smtp("HELO a.example").await.starts_with("250"));
    sandbox.faults().add(Rule::new(reply(535, "5.7.8 No")).stage(Stage::Auth));
    let mut client = Client::tls(&sandbox, "out1.acme.example", Service::Smtps).await.unwrap();
    client.reply().await;
    assert_eq!(client.smtp("AUTH PLAIN AAAA").await, "535 5.7.8 No");
    assert_eq!(sandbox.truth().facts().letters.len(), 0);
}

#[tokio::test]
async fn a_421_ends_the_connection() {
    let sandbox = pair().await;
    sandbox.faults().add(Rule::new(reply(421, "4.3.2 Shutting down")).stage(Stage::RcptTo));
    let mut client = greeted(&sandbox).await;
    client.smtp("MAIL FROM:<a@stranger.example>").await;
    assert!(client.smtp("RCPT TO:<watch@acme.example>").await.starts_with("421"));
    assert_eq!(client.try_line().await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn odd_bytes_replace_the_words_but_a_2xx_keeps_its_effect() {
    let sandbox = pair().await;
    sandbox.faults().add(Rule::new(Fault::Raw { text: "250 caf\u{e9}\n".into() }).stage(Stage::Accept));
    assert_eq!(deliver(&sandbox).await.trim_end(), "250 caf\u{e9}");
    assert!(sandbox.truth().until(PATIENCE, |facts| facts.count(Fate::Delivered) == 1).await);
    sandbox.faults().clear();
    sandbox.faults().add(Rule::new(Fault::Raw { text: "garbage\r\n".into() }).stage(Stage::MailFrom));
    assert_eq!(deliver(&sandbox).await, "garbage");
}

#[tokio::test]
async fn a_flood_has_no_line_end_and_slow_bytes_come_one_by_one() {
    let sandbox = pair().await;
    sandbox.faults().add(Rule::new(Fault::Flood).service(Service::Mx));
    let mut client = Client::plain(&sandbox, MX, Service::Mx).await.unwrap();
    assert!(client.floods(1_000_000).await);
    sandbox.faults().clear();
    sandbox.faults().add(Rule::new(Fault::Slow { per_byte: Duration::from_secs(30) }).service(Service::Mx));
    let mut client = Client::plain(&sandbox, MX, Service::Mx).await.unwrap();
    assert_eq!(client.some().await, "2");
    assert!(client.is_silent().await);
}

#[tokio::test]
async fn greylisting_turns_the_first_attempt_away_and_accepts_a_later_one() {
    let sandbox = pair().await;
    sandbox.faults().add(Rule::new(Fault::Greylist { wait: Duration::ZERO }).service(Service::Mx));
    assert!(deliver(&sandbox).await.starts_with("450 4.7.1"));
    assert!(deliver(&sandbox).await.starts_with("250"));
}

#[tokio::test]
async fn tls_is_withheld_injected_into_or_shown_with_a_bad_certificate() {
    let sandbox = pair().await;
    let faults = sandbox.faults();
    faults.add(Rule::new(Fault::TlsWithheld));
    let mut client = Client::plain(&sandbox, MX, Service::Mx).await.unwrap();
    client.reply().await;
    assert!(!client.smtp("EHLO a.example").await.contains("STARTTLS"));
    assert!(client.smtp("STARTTLS").await.starts_with("502"));
    faults.clear();
    faults.add(Rule::new(Fault::TlsInjected));
    let mut client = greeted(&sandbox).await;
    assert!(client.smtp("STARTTLS").await.starts_with("220"));
    assert_eq!(client.line().await, "250 2.0.0 injected");
    for (fault, words) in [
        (Fault::TlsExpired, "Expired"),
        (Fault::TlsWrongName, "NotValidForName"),
        (Fault::TlsUntrusted, "UnknownIssuer"),
    ] {
        faults.clear();
        faults.add(Rule::new(fault));
        let error = Client::tls(&sandbox, "out1.acme.example", Service::Smtps).await.err().unwrap();
        assert!(format!("{error:?}").contains(words), "{error:?}");
        let mut client = greeted(&sandbox).await;
        client.smtp("STARTTLS").await;
        assert!(client.secure(&sandbox, MX).await.is_err());
    }
    faults.clear();
    assert!(submit(&sandbox, "probe@acme.example", TO, "x@probe").await.starts_with("250"));
}

/// Whether a TCP connection comes about; if not, the error, or none if nothing happens at all.
async fn connects(sandbox: &Sandbox) -> Result<(), Option<ErrorKind>> {
    let attempt = TcpStream::connect(address(sandbox, MX, Service::Mx));
    match timeout(Duration::from_millis(150), attempt).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Some(error.kind())),
        Err(_) => Err(None),
    }
}

/// Asks until the answer is yes.
async fn eventually(ask: impl AsyncFn() -> bool) -> bool {
    timeout(PATIENCE, async {
        while !ask().await {
            tokio::task::yield_now().await;
        }
    })
    .await
    .is_ok()
}
