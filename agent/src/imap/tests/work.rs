//! Folders found and opened, messages found, read and deleted.

use jiff::Timestamp;
use jiff::civil::Date;

use super::fake::{Server, kind, opened, selected, selected_on};
use crate::imap::{FolderStatus, HeaderRow, Limits, Removal, Search, Selected};

const HEADERS: &str = "(UID INTERNALDATE RFC822.SIZE \
    BODY.PEEK[HEADER.FIELDS (X-Mailsonar-Probe Message-ID Content-Type Subject From To Return-Path \
    Delivered-To Auto-Submitted X-Failed-Recipients)]<0.16384>)";

async fn junk_among(list: &str) -> Option<String> {
    let script = format!("C: M2 LIST \"\" \"*\"\n{list}\nS: M2 OK done");
    let (mut session, _played) = opened(&script).await;
    session.folders().await.unwrap().junk
}

#[tokio::test(start_paused = true)]
async fn junk_is_found_by_its_mark_and_else_by_its_name() {
    for (list, expected) in [
        ("S: * LIST () \"/\" Spam\nS: * LIST (\\HasNoChildren \\Junk) \"/\" \"M&APw-ll\"", Some("M&APw-ll")),
        ("S: * LIST () \"/\" INBOX\nS: * LIST () \"/\" \"bulk mail\"", Some("bulk mail")),
        ("S: * LIST () \".\" INBOX\nS: * LIST () \".\" INBOX.Junk", Some("INBOX.Junk")),
        ("S: * LIST () \"\\\\\" {10}\nS: INBOX\\Spam", Some("INBOX\\Spam")),
        ("S: * LIST (\\Noselect) \"/\" Junk\nS: * LIST () \"/\" \"Junk E-mail\"", Some("Junk E-mail")),
        ("S: * LIST () \"/\" Junkyard\nS: * LIST () NIL INBOX", None),
        // The parser cannot read this attribute; one folder less, no more.
        ("S: * LIST (\\Junkish) \"/\" X\nS: * LIST () \"/\" SPAM", Some("SPAM")),
    ] {
        assert_eq!(junk_among(list).await.as_deref(), expected, "{list}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_mark_is_asked_for_where_that_is_possible() {
    let server = Server::new(
        "S: * OK ready
        C: M1 CAPABILITY
        S: * CAPABILITY IMAP4rev1 SPECIAL-USE LIST-EXTENDED
        S: M1 OK done
        C: M2 LIST \"\" \"*\" RETURN (SPECIAL-USE)
        S: * LIST () \"/\" INBOX
        S: * LIST (\\Junk) \"/\" [Gmail]/Spam
        S: M2 OK done",
    );
    let (session, _played) = server.open_with(Limits::default()).await;
    let folders = session.unwrap().folders().await.unwrap();
    assert_eq!(folders.watched().collect::<Vec<_>>(), ["INBOX", "[Gmail]/Spam"]);
    assert_eq!(folders.all, ["INBOX", "[Gmail]/Spam"]);
}

#[tokio::test(start_paused = true)]
async fn a_folder_opens_and_another_is_asked_about() {
    let (mut session, selected, _played) = selected(
        "C: M3 STATUS \"Junk\" (MESSAGES UIDNEXT UIDVALIDITY)
        S: * STATUS Junk (MESSAGES 2 UIDNEXT 40 UIDVALIDITY 5)
        S: M3 OK done
        C: M4 STATUS \"Junk\" (MESSAGES UIDNEXT UIDVALIDITY)
        S: * STATUS Junk ()
        S: M4 OK done",
    )
    .await;
    let expected = Selected { folder: "INBOX".into(), uidvalidity: 7, uidnext: Some(12), exists: 3 };
    assert_eq!(selected, expected);
    let expected = FolderStatus { uidvalidity: 5, uidnext: 40, messages: 2 };
    assert_eq!(session.status("Junk").await.unwrap(), expected);
    assert_eq!(kind(&session.status("Junk").await.unwrap_err()), "protocol incomplete_status");
}

#[tokio::test(start_paused = true)]
async fn searches_are_written_as_the_standard_wants() {
    let (mut session, _, _played) = selected(
        "C: M3 UID SEARCH SINCE 4-Jul-2026
        S: * SEARCH 4
        S: M3 OK done
        C: M4 UID SEARCH HEADER \"X-Mailsonar-Probe\" \"a\\\"b\"
        S: * SEARCH
        S: M4 OK done
        C: M5 UID SEARCH UID 12:*
        S: * SEARCH 11
        S: M5 OK done",
    )
    .await;
    assert_eq!(session.uid_search(&Search::Since(Date::constant(2026, 7, 4))).await.unwrap(), [4]);
    let header = Search::Header { name: "X-Mailsonar-Probe".into(), value: "a\"b".into() };
    assert_eq!(session.uid_search(&header).await.unwrap(), [0; 0]);
    assert_eq!(
        session.uid_search(&Search::From(12)).await.unwrap(),
        [0; 0],
        "the last one is not a later one"
    );
}

fn row(uid: u32, header: &str) -> String {
    format!(
        "* {uid} FETCH (UID {uid} INTERNALDATE \"24-Nov-2026 06:00:00 +0100\" RFC822.SIZE 900 \
         BODY[HEADER.FIELDS (X-Mailsonar-Probe Message-ID Content-Type Subject From)]<0> {{{}}}\r\n{header})\r\n",
        header.len()
    )
}

#[tokio::test(start_paused = true)]
async fn headers_of_new_mail_come_in_one_round_trip() {
    let header = "Subject: ({40}\r\n x)\r\n\r\n";
    let server = Server::new(&format!("C: M3 UID FETCH 12:* {HEADERS}"))
        .send(row(11, "Subject: old\r\n\r\n"))
        .send(row(13, header))
        .send("* 13 FETCH (UID 13 FLAGS (\\Seen))\r\n* 9 FETCH (FLAGS ())\r\n")
        .send(row(12, ""))
        .send(row(12, ""))
        .send("M3 OK done\r\n");
    let (mut session, _, _played) = selected_on(server).await;
    let at: Timestamp = "2026-11-24T05:00:00Z".parse().unwrap();
    let expected = |uid, header: &str| HeaderRow {
        place: uid,
        uid,
        internaldate: Some(at),
        size: 900,
        header: header.as_bytes().to_vec(),
    };
    assert_eq!(session.fetch_headers_from(12).await.unwrap(), [expected(12, ""), expected(13, header)]);
}

#[tokio::test(start_paused = true)]
async fn a_flooded_folder_is_read_in_batches() {
    let found: Vec<String> = (12..=511).map(|uid| uid.to_string()).collect();
    let rows = |from: u32, to: u32| (from..=to).map(|uid| row(uid, "Subject: x\r\n\r\n")).collect::<String>();
    let server = Server::new("C: M3 NOOP\nS: * 503 EXISTS\nS: M3 OK done\nC: M4 UID SEARCH UID 12:*")
        .send(format!("* SEARCH {}\r\nM4 OK done\r\n", found.join(" ")))
        .then(&format!("C: M5 UID FETCH 12:211 {HEADERS}"))
        .send(rows(12, 211) + "M5 OK done\r\n")
        .then(&format!("C: M6 UID FETCH 212:411 {HEADERS}"))
        .send(rows(212, 411) + "M6 OK done\r\n")
        .then(&format!("C: M7 UID FETCH 412:511 {HEADERS}"))
        .send(rows(412, 510) + "M7 OK done\r\n")
        .then(&format!("C: M8 UID FETCH 512:* {HEADERS}\nS: M8 OK done"));
    let (mut session, _, _played) = selected_on(server).await;
    assert!(session.noop().await.unwrap().grew);
    let rows = session.fetch_headers_from(12).await.unwrap();
    assert_eq!(rows.len(), 499, "511 had gone meanwhile");
    assert_eq!(session.fetch_headers_from(512).await.unwrap(), [], "and now one round trip is enough");
}

#[tokio::test(start_paused = true)]
async fn a_body_comes_as_it_stands_or_not_at_all() {
    let mail = "Subject: x\r\n\r\n(\r\n";
    let server = Server::new("C: M3 UID FETCH 9 (UID BODY.PEEK[]<0.100>)")
        .send("* 4 EXISTS\r\n* 2 FETCH (UID 8 FLAGS (\\Seen))\r\n")
        .send(format!("* 3 FETCH (UID 9 BODY[]<0> {{{}}}\r\n{mail})\r\n", mail.len()))
        .send("* 3 FETCH (UID 9 FLAGS (\\Seen))\r\nM3 OK done\r\n")
        .then(
            "C: M4 UID FETCH 9 (UID BODY.PEEK[]<0.4>)
            S: * 3 FETCH (BODY[] \"Subject\" UID 9)
            S: M4 OK done
            C: M5 UID FETCH 9 (UID BODY.PEEK[]<0.524288>)
            S: M5 OK done",
        );
    let (mut session, _, _played) = selected_on(server).await;
    assert_eq!(session.fetch_body(9, 100).await.unwrap().unwrap(), mail.as_bytes());
    assert_eq!(session.fetch_body(9, 4).await.unwrap().unwrap(), b"Subj", "cut, if the server does not");
    assert_eq!(session.fetch_body(9, u32::MAX).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn with_uidplus_these_messages_go_and_no_others() {
    let (mut session, from, _played) = selected(
        "C: M3 UID STORE 4:5,9 +FLAGS.SILENT (\\Deleted)
        S: M3 OK done
        C: M4 UID EXPUNGE 4:5,9
        S: * 1 EXPUNGE
        S: M4 OK done",
    )
    .await;
    assert_eq!(session.delete(&from, &[9, 5, 4]).await.unwrap(), Removal::Expunged);
    assert_eq!(session.delete(&from, &[]).await.unwrap(), Removal::Expunged, "nothing to do, nothing said");
}

#[tokio::test(start_paused = true)]
async fn without_uidplus_they_are_only_marked() {
    let server = Server::new(
        "S: * OK ready
        C: M1 CAPABILITY
        S: * CAPABILITY IMAP4rev1
        S: M1 OK done
        C: M2 SELECT \"INBOX\"
        S: * 1 EXISTS
        S: * OK [UIDVALIDITY 7] valid
        S: M2 OK open
        C: M3 UID STORE 9 +FLAGS.SILENT (\\Deleted)
        S: M3 OK done",
    );
    let (session, played) = server.open_with(Limits::default()).await;
    let mut session = session.unwrap();
    let from = session.select("INBOX").await.unwrap();
    assert_eq!(session.delete(&from, &[9]).await.unwrap(), Removal::Marked);
    drop(session);
    played.await.expect("no EXPUNGE came");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_deleted_in_a_folder_that_is_not_open() {
    let (mut session, from, played) = selected("").await;
    for other in
        [Selected { folder: "Junk".into(), ..from.clone() }, Selected { uidvalidity: 8, ..from.clone() }]
    {
        assert_eq!(kind(&session.delete(&other, &[9]).await.unwrap_err()), "own wrong_folder");
    }
    drop(session);
    played.await.expect("nothing came");
}

/// Legal answers to one FETCH, each in a manner that some server has; written after their documentation.
#[tokio::test(start_paused = true)]
async fn a_header_is_read_in_every_servers_manner() {
    let tag = "X-Mailsonar-Probe: a\r\n\r\n";
    let date = "INTERNALDATE \"24-Nov-2026 06:00:00 +0100\"";
    let table = [
        (
            "flags first, the section's names in capitals",
            format!(
                "* 1 FETCH (FLAGS (\\Seen $X) UID 12 {date} RFC822.SIZE 9 BODY[HEADER.FIELDS (X-MAILSONAR-PROBE SUBJECT)]<0> {{24}}\r\n{tag})\r\n"
            ),
        ),
        (
            "the names quoted, the size last",
            format!(
                "* 1 FETCH (BODY[HEADER.FIELDS (\"X-Mailsonar-Probe\" \"Subject\")]<0> {{24}}\r\n{tag} UID 12 {date} RFC822.SIZE 9)\r\n"
            ),
        ),
        (
            "MODSEQ in between",
            format!(
                "* 1 FETCH (UID 12 MODSEQ (7) {date} RFC822.SIZE 9 BODY[HEADER.FIELDS (Subject)]<0> {{24}}\r\n{tag})\r\n"
            ),
        ),
        (
            "a warning and news before it",
            format!(
                "* NO [ALERT] 95% of your quota is used\r\n* OK [HIGHESTMODSEQ 9] so high\r\n* 4 EXISTS\r\n* 1 RECENT\r\n* 1 FETCH (UID 12 {date} RFC822.SIZE 9 BODY[HEADER.FIELDS (Subject)]<0> {{24}}\r\n{tag})\r\n"
            ),
        ),
        (
            "flags of another on their own",
            format!(
                "* 3 FETCH (FLAGS (\\Recent))\r\n* 1 FETCH (UID 12 {date} RFC822.SIZE 9 BODY[HEADER.FIELDS (Subject)]<0> {{24}}\r\n{tag})\r\n* 1 FETCH (FLAGS ())\r\n"
            ),
        ),
    ];
    for (manner, answer) in table {
        let server =
            Server::new(&format!("C: M3 UID FETCH 12:* {HEADERS}")).send(answer).send("M3 OK done\r\n");
        let (mut session, _, _played) = selected_on(server).await;
        let rows =
            session.fetch_headers_from(12).await.unwrap_or_else(|trouble| panic!("{manner}: {trouble:?}"));
        let [row] = rows.as_slice() else { panic!("{manner}: {rows:?}") };
        assert_eq!((row.uid, row.header.as_slice()), (12, tag.as_bytes()), "{manner}");
    }
}
