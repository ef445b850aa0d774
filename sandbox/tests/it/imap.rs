//! IMAP as clients use it.

use mailsonar_sandbox::{Fate, Sandbox, Service};

use crate::client::{Client, PATIENCE, logged_in, mailbox, pair, submit};

async fn with_mail(count: usize) -> Sandbox {
    let sandbox = pair().await;
    for n in 1..=count {
        submit(&sandbox, "probe@acme.example", "watch@acme.example", &format!("m{n}@probe")).await;
        assert!(sandbox.truth().until(PATIENCE, |facts| facts.count(Fate::Delivered) == n).await);
    }
    sandbox
}

#[tokio::test]
async fn the_keys_that_clients_search_by() {
    let sandbox = with_mail(3).await;
    let mut client = mailbox(&sandbox, "watch@acme.example", "INBOX").await;
    client.imap(r"UID STORE 2 +FLAGS (\Deleted \Seen)").await;
    for (criteria, found) in [
        ("ALL", " 1 2 3"),
        ("UID 2:*", " 2 3"),
        ("UID 9:*", " 3"),
        ("SINCE 1-Jan-2020", " 1 2 3"),
        ("BEFORE 1-Jan-2020", ""),
        ("SENTON 24-Nov-2026", " 1 2 3"),
        ("HEADER Message-ID m3@probe", " 3"),
        ("HEADER X-None \"\"", ""),
        ("UNSEEN", " 1 3"),
        ("DELETED", " 2"),
        ("NOT DELETED SUBJECT \"A PROBE\"", " 1 3"),
        ("OR UID 1 UID 3", " 1 3"),
        ("(SEEN TO watch@)", " 2"),
        ("TEXT stuffed", " 1 2 3"),
        ("LARGER 100000", ""),
    ] {
        let lines = client.imap(&format!("UID SEARCH {criteria}")).await;
        assert_eq!(lines, [format!("* SEARCH{found}"), "t OK SEARCH completed".into()], "{criteria}");
    }
}

#[tokio::test]
async fn a_message_is_fetched_whole_and_in_pieces() {
    let sandbox = with_mail(1).await;
    let mut client = mailbox(&sandbox, "watch@acme.example", "INBOX").await;
    let text = client.imap("UID FETCH 1 BODY.PEEK[TEXT]<0.5>").await.join("\n");
    assert_eq!(text, "* 1 FETCH (UID 1 BODY[TEXT]<0> {5}\nHello)\nt OK FETCH completed");
    let fields = client.imap("UID FETCH 1 (BODY.PEEK[HEADER.FIELDS (SUBJECT message-id)])").await.join("\n");
    assert!(
        fields.contains(
            "BODY[HEADER.FIELDS (SUBJECT MESSAGE-ID)] {44}\nSubject: a probe\nMessage-ID: <m1@probe>\n\n)"
        ),
        "{fields}"
    );
    let all =
        client.imap("UID FETCH 1 (FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)").await.join("\n");
    assert!(all.contains("FLAGS () INTERNALDATE \""), "{all}");
    assert!(
        all.contains(
            r#"ENVELOPE ("Tue, 24 Nov 2026 06:00:00 +0000" "a probe" ((NIL NIL "probe" "acme.example"))"#
        ),
        "{all}"
    );
    assert!(
        all.contains(r#"BODYSTRUCTURE ("TEXT" "PLAIN" NIL NIL NIL "7BIT" 17 2 NIL NIL NIL NIL)"#),
        "{all}"
    );
    let seen = client.imap("UID FETCH 1 BODY[1]").await.join("\n");
    assert!(seen.contains("BODY[1] {17}\nHello\n.stuffed\n FLAGS (\\Seen))"), "{seen}");
}

#[tokio::test]
async fn deleting_by_uid_touches_nothing_else_and_others_hear_of_it() {
    let sandbox = with_mail(3).await;
    let mut client = mailbox(&sandbox, "watch@acme.example", "INBOX").await;
    let mut other = mailbox(&sandbox, "watch@acme.example", "INBOX").await;
    let stored = client.imap(r"UID STORE 1:2 +FLAGS (\Deleted)").await;
    assert_eq!(stored[1], r"* 2 FETCH (UID 2 FLAGS (\Deleted))");
    assert_eq!(client.imap("UID EXPUNGE 2").await, ["* 2 EXPUNGE", "t OK EXPUNGE completed"]);
    assert_eq!(
        other.imap("NOOP").await,
        ["* 2 EXPUNGE", r"* 1 FETCH (UID 1 FLAGS (\Deleted))", "t OK completed"]
    );
    assert_eq!(client.imap("EXPUNGE").await[0], "* 1 EXPUNGE");
    assert_eq!(client.imap("UID SEARCH ALL").await[0], "* SEARCH 3");
    client.imap(r"UID STORE 3 +FLAGS.SILENT (\Deleted)").await;
    assert_eq!(client.imap("CLOSE").await, ["t OK CLOSE completed"]);
    assert!(client.imap("UID SEARCH ALL").await[0].starts_with("t BAD"));
    assert!(client.imap("SELECT INBOX").await.contains(&"* 0 EXISTS".to_owned()));
}

#[tokio::test]
async fn folders_are_listed_with_their_use_and_counted() {
    let sandbox = with_mail(2).await;
    let mut client = logged_in(&sandbox, "watch@acme.example").await;
    let listed = client.imap(r#"LIST (SPECIAL-USE) "" "*" RETURN (SPECIAL-USE)"#).await;
    assert!(listed.contains(&r#"* LIST (\HasNoChildren \Junk) "/" "Junk""#.to_owned()), "{listed:?}");
    assert!(listed.contains(&r#"* LIST (\HasNoChildren) "/" "INBOX""#.to_owned()), "{listed:?}");
    let status = client.imap("STATUS INBOX (MESSAGES UIDNEXT UNSEEN)").await;
    assert_eq!(status[0], r#"* STATUS "INBOX" (MESSAGES 2 UIDNEXT 3 UNSEEN 2)"#);
    assert!(client.imap("SELECT Nowhere").await[0].starts_with("t NO [NONEXISTENT]"));
    assert!(client.imap("FETCH 1 FLAGS").await[0].starts_with("t BAD"));
    client.send("a APPEND Junk (\\Seen) {18+}\r\nSubject: x\r\n\r\nbody\r\n").await;
    assert!(client.line().await.starts_with("a OK [APPENDUID "));
    client.imap("SELECT Junk").await;
    assert!(client.imap("UID COPY 1 INBOX").await[0].starts_with("t OK [COPYUID "));
    assert_eq!(client.imap("UID MOVE 1 Trash").await[0], "* 1 EXPUNGE");
    assert_eq!(client.imap("LOGOUT").await, ["* BYE Logging out", "t OK LOGOUT completed"]);
}

#[tokio::test]
async fn the_plain_door_wants_starttls_first() {
    let sandbox = pair().await;
    let mut client = Client::plain(&sandbox, "imap1.acme.example", Service::Imap).await.unwrap();
    assert!(client.line().await.contains("LOGINDISABLED"));
    assert!(client.imap("LOGIN watch@acme.example secret").await[0].starts_with("t NO [PRIVACYREQUIRED]"));
    assert_eq!(client.imap("STARTTLS").await, ["t OK Begin TLS"]);
    let mut client = client.secure(&sandbox, "imap.acme.example").await.unwrap();
    assert!(
        client.imap("LOGIN watch@acme.example wrong").await[0].starts_with("t NO [AUTHENTICATIONFAILED]")
    );
    client.send("a AUTHENTICATE PLAIN\r\n").await;
    assert_eq!(client.line().await, "+ ");
    client.send("AHdhdGNoQGFjbWUuZXhhbXBsZQBzZWNyZXQ=\r\n").await;
    assert!(client.line().await.starts_with("a OK"));
}

#[tokio::test]
async fn renumbering_ends_the_session_and_shows_after_selecting_again() {
    let sandbox = with_mail(1).await;
    let mut client = mailbox(&sandbox, "watch@acme.example", "INBOX").await;
    sandbox.renumber("watch@acme.example", "INBOX").unwrap();
    assert!(client.imap("NOOP").await[0].starts_with("* BYE"));
    let mut client = mailbox(&sandbox, "watch@acme.example", "INBOX").await;
    assert_eq!(client.imap("UID SEARCH ALL").await[0], "* SEARCH 2");
}
