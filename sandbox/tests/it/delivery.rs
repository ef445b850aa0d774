//! The happy path: submitted, relayed, delivered, seen.

use mailsonar_sandbox::{Config, Fate, Service};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::{Client, PATIENCE, mailbox, pair, simulated, submit, transact};

#[tokio::test]
async fn mail_flows_within_a_provider_and_the_waiting_client_hears_of_it() {
    let sandbox = pair().await;
    let mut watcher = mailbox(&sandbox, "watch@acme.example", "INBOX").await;
    watcher.send("i IDLE\r\n").await;
    assert_eq!(watcher.line().await, "+ idling");

    let accepted = submit(&sandbox, "probe@acme.example", "watch@acme.example", "one@probe").await;
    assert!(accepted.starts_with("250 2.0.0 OK"), "{accepted}");
    assert_eq!(watcher.line().await, "* 1 EXISTS");
    watcher.send("DONE\r\n").await;
    assert_eq!(watcher.line().await, "i OK IDLE completed");

    assert_eq!(watcher.imap("UID SEARCH HEADER Message-ID one@probe").await[0], "* SEARCH 1");
    let fetched = watcher.imap("UID FETCH 1 (UID BODY.PEEK[])").await.join("\n");
    assert!(fetched.contains("Received: from client.example (client.example [127.0.0.1])"), "{fetched}");
    assert!(fetched.contains("with ESMTPSA"), "{fetched}");
    assert!(fetched.contains("\nHello\n.stuffed\n)"), "{fetched}");
    sandbox.truth().read(|facts| {
        let letter = facts.of("one@probe").next().unwrap();
        assert_eq!((letter.fate, letter.deliveries.len(), letter.deliveries[0].uid), (Fate::Delivered, 1, 1));
        assert!(letter.deliveries[0].at >= letter.accepted);
    });
    sandbox.shutdown().await;
}

#[tokio::test]
async fn mail_crosses_to_the_other_provider_through_its_preferred_exchanger() {
    let sandbox = pair().await;
    submit(&sandbox, "probe@reference.example", "watch@acme.example", "two@probe").await;
    assert!(sandbox.truth().until(PATIENCE, |facts| facts.count(Fate::Delivered) == 1).await);
    sandbox.truth().read(|facts| {
        assert_eq!(facts.letters[0].hosts, ["out1.reference.example", "mx1.acme.example"]);
    });
    let mut client = mailbox(&sandbox, "watch@acme.example", "INBOX").await;
    let fetched = client.imap("FETCH 1 BODY[HEADER]").await.join("\n");
    assert!(fetched.contains("Authentication-Results: mx1.acme.example; spf=pass"), "{fetched}");
    assert_eq!(fetched.matches("Received:").count(), 2, "{fetched}");
}

#[tokio::test]
async fn strangers_deliver_to_known_users_and_relay_nothing() {
    let sandbox = pair().await;
    let mut client = Client::plain(&sandbox, "mx2.acme.example", Service::Mx).await.unwrap();
    assert!(client.reply().await.starts_with("220 mx2.acme.example"));
    assert!(client.smtp("EHLO stranger.example").await.contains("STARTTLS"));
    assert!(client.smtp("MAIL FROM:<a@stranger.example>").await.starts_with("250"));
    assert!(client.smtp("RCPT TO:<nobody@acme.example>").await.starts_with("550 5.1.1"));
    assert!(client.smtp("RCPT TO:<watch@reference.example>").await.starts_with("554 5.7.1"));
    assert!(client.smtp("RSET").await.starts_with("250"));
    let reply = transact(&mut client, "a@stranger.example", "watch+tag@acme.example", "three@probe").await;
    assert!(reply.starts_with("250"), "{reply}");
    assert!(sandbox.truth().until(PATIENCE, |facts| facts.count(Fate::Delivered) == 1).await);
}

#[tokio::test]
async fn submission_wants_tls_then_a_password_then_ones_own_address() {
    let sandbox = pair().await;
    let mut client = Client::plain(&sandbox, "out1.acme.example", Service::Submission).await.unwrap();
    client.reply().await;
    assert!(!client.smtp("EHLO me.example").await.contains("AUTH"));
    assert!(client.smtp("AUTH PLAIN AAAA").await.starts_with("538"));
    assert!(client.smtp("MAIL FROM:<probe@acme.example>").await.starts_with("530"));
    assert!(client.smtp("STARTTLS").await.starts_with("220"));
    let mut client = client.secure(&sandbox, "smtp.acme.example").await.unwrap();
    assert!(client.smtp("EHLO me.example").await.contains("AUTH"));
    assert!(client.smtp("AUTH LOGIN").await.starts_with("334"));
    assert!(client.smtp("cHJvYmVAYWNtZS5leGFtcGxl").await.starts_with("334"));
    assert!(client.smtp("d3Jvbmc=").await.starts_with("535"));
    assert!(client.smtp("AUTH LOGIN cHJvYmVAYWNtZS5leGFtcGxl").await.starts_with("334"));
    assert!(client.smtp("c2VjcmV0").await.starts_with("235"));
    assert!(client.smtp("MAIL FROM:<watch@acme.example>").await.starts_with("553"));
    assert!(client.smtp("MAIL FROM:<probe+tag@acme.example>").await.starts_with("250"));
    let granted: Vec<bool> = sandbox.truth().read(|f| f.logins.iter().map(|login| login.granted).collect());
    assert_eq!(granted, [false, true]);
}

#[tokio::test]
async fn an_unknown_recipient_elsewhere_comes_back_as_a_bounce() {
    let sandbox = pair().await;
    let mut watcher = mailbox(&sandbox, "probe@acme.example", "INBOX").await;
    submit(&sandbox, "probe@acme.example", "nobody@reference.example", "four@probe").await;
    assert!(sandbox.truth().until(PATIENCE, |facts| facts.count(Fate::Delivered) == 1).await);
    assert_eq!(watcher.imap("NOOP").await[0], "* 1 EXISTS");
    let report = watcher.imap("FETCH 1 BODY[]").await.join("\n");
    assert!(report.contains("Action: failed\nStatus: 5.1.1"), "{report}");
    assert!(report.contains("Message-ID: <four@probe>"), "{report}");
}

#[tokio::test(start_paused = true)]
async fn without_sockets_the_same_service_runs_in_simulated_time() {
    let mut config = Config::pair();
    config.providers[0].delivery_delay = std::time::Duration::from_hours(1);
    let sandbox = simulated(config).await;
    let mx = sandbox.host("mx1.acme.example").unwrap();
    let mut stream = sandbox.connect((mx.address, sandbox.ports().mx).into()).await.unwrap();
    let mut greeting = [0; 4];
    stream.read_exact(&mut greeting).await.unwrap();
    assert_eq!(&greeting, b"220 ");
    stream.write_all(b"QUIT\r\n").await.unwrap();
    let mut client = Client::over(sandbox.connect((mx.address, sandbox.ports().mx).into()).await.unwrap());
    client.reply().await;
    client.smtp("HELO stranger.example").await;
    let reply = transact(&mut client, "a@stranger.example", "watch@acme.example", "five@probe").await;
    assert!(reply.starts_with("250"), "{reply}");
    let two_hours = std::time::Duration::from_hours(2);
    assert!(sandbox.truth().until(two_hours, |facts| facts.count(Fate::Delivered) == 1).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_accepted_is_in_the_mailbox_and_told_to_who_waits_at_once() {
    let sandbox = pair().await;
    let mut watcher = mailbox(&sandbox, "watch@acme.example", "INBOX").await;
    watcher.send("i IDLE\r\n").await;
    watcher.line().await;
    for n in 1..=40 {
        submit(&sandbox, "probe@reference.example", "watch@acme.example", &format!("{n}@probe")).await;
        assert_eq!(watcher.line().await, format!("* {n} EXISTS"));
    }
    let mut rests: Vec<_> = sandbox.truth().read(|facts| {
        facts.letters.iter().map(|letter| letter.deliveries[0].at.duration_since(letter.accepted)).collect()
    });
    rests.sort_unstable();
    // Between providers, debug build, shared machine: far above what it takes, far below a delay.
    assert!(rests[20] < jiff::SignedDuration::from_millis(25), "{rests:?}");
}
