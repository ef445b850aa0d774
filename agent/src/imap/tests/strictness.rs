//! Whatever is not our own tagged OK is a failure, and a failure ends the session.

use std::time::Duration;

use mailsonar_protocol::Stage;

use super::fake::{kind, opened, selected};
use crate::imap::{Search, Session};
use crate::trouble::Trouble;

/// Whatever the session is asked now, it has nothing to say.
async fn is_over(session: &mut Session) -> bool {
    let (noop, search) = (session.noop().await, session.uid_search(&Search::All).await);
    kind(&noop.unwrap_err()) == "closed session_dropped"
        && kind(&search.unwrap_err()) == "closed session_dropped"
}

async fn search_against(answer: &str) -> Result<Vec<u32>, Trouble> {
    let (mut session, _, _played) = selected(&format!("C: M3 UID SEARCH ALL\n{answer}")).await;
    let found = session.uid_search(&Search::All).await;
    if let Err(trouble) = &found {
        assert_eq!(trouble.stage, Stage::Idle);
        assert!(is_over(&mut session).await, "{answer}");
    }
    found
}

#[tokio::test(start_paused = true)]
async fn a_search_that_could_not_look_is_not_an_empty_one() {
    assert_eq!(search_against("S: * SEARCH\nS: M3 OK done").await.unwrap(), [0; 0]);
    assert_eq!(search_against("S: * SEARCH 9 4\nS: * SEARCH 5\nS: M3 OK done").await.unwrap(), [4, 5, 9]);
    for (answer, expected) in [
        ("S: M3 NO [SERVERBUG] index broken", "temporary server_bug"),
        ("S: M3 NO cannot", "mailbox no"),
        ("S: * SEARCH 1\nS: M3 NO cannot go on", "mailbox no"),
        ("S: M3 BAD", "protocol bad"),
        ("S: * BYE shutting down\nclose", "closed bye"),
        ("close", "closed end_of_stream"),
        ("S: * SEARCH 1 2\nclose", "closed end_of_stream"),
        ("S: M3 OK done", "protocol no_search_result"),
        ("S: * ESEARCH (TAG \"M3\") UID\nS: M3 OK done", "protocol no_search_result"),
        ("S: M2 NO stale", "protocol stale_tag"),
        ("S: * SEARCH\nS: M2 OK stale\nS: M3 OK done", "protocol stale_tag"),
        ("S: * SEARCH 1 a\nS: M3 OK done", "protocol unreadable"),
        ("S: + what else?\nS: M3 OK done", "protocol unexpected_continuation"),
        ("S: nonsense", "protocol unreadable"),
        ("S: * OK [UIDVALIDITY 8] all new\nS: * SEARCH\nS: M3 OK done", "protocol uidvalidity_changed"),
        ("", "timeout timeout"),
    ] {
        assert_eq!(kind(&search_against(answer).await.expect_err(answer)), expected, "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_servers_words_are_kept() {
    let trouble = search_against("S: M3 NO [SERVERBUG] index <b>broken</b>").await.unwrap_err();
    assert_eq!(trouble.words.as_str(), "NO [SERVERBUG] index <b>broken</b>");
}

#[tokio::test(start_paused = true)]
async fn an_end_of_file_is_a_failure_in_every_command() {
    let (mut session, _, _played) = selected("C: M3 NOOP\nclose").await;
    assert_eq!(kind(&session.noop().await.unwrap_err()), "closed end_of_stream");

    let script = "C: M3 UID FETCH 9 (UID BODY.PEEK[]<0.100>)\nS: * 1 FETCH (UID 9 BODY[]<0> {9}\nclose";
    let (mut session, _, _played) = selected(script).await;
    assert_eq!(kind(&session.fetch_body(9, 100).await.unwrap_err()), "closed end_of_stream");

    let (mut session, selected, _played) =
        selected("C: M3 UID STORE 9 +FLAGS.SILENT (\\Deleted)\nclose").await;
    assert_eq!(kind(&session.delete(&selected, &[9]).await.unwrap_err()), "closed end_of_stream");

    let (mut session, _played) = opened("C: M2 LIST \"\" \"*\"\nS: * LIST () \"/\" INBOX\nclose").await;
    assert_eq!(kind(&session.folders().await.unwrap_err()), "closed end_of_stream");
}

#[tokio::test(start_paused = true)]
async fn a_folder_is_open_only_when_the_server_says_so_and_says_what_it_must() {
    for (answer, expected) in [
        ("close", "closed end_of_stream"),
        ("S: M2 OK open", "protocol incomplete_select"),
        ("S: * 3 EXISTS\nS: M2 OK open", "protocol incomplete_select"),
        ("S: * OK [UIDVALIDITY 7]\nS: M2 OK open", "protocol incomplete_select"),
        ("S: * 3 EXISTS\nS: * OK [UIDVALIDITY 7]\nS: M2 NO [NONEXISTENT] gone", "mailbox no"),
    ] {
        let (mut session, _played) = opened(&format!("C: M2 SELECT \"Junk\"\n{answer}")).await;
        let trouble = session.select("Junk").await.expect_err(answer);
        assert_eq!((trouble.stage, kind(&trouble).as_str()), (Stage::Select, expected), "{answer}");
        assert!(is_over(&mut session).await);
    }
}

#[tokio::test(start_paused = true)]
async fn untagged_lines_that_nobody_asked_for_do_no_harm() {
    let (mut session, _, _played) = selected(
        "C: M3 NOOP
        S: * NAMESPACE ((\"\" \"/\")) NIL NIL
        S: * ESEARCH (TAG \"A9\") UID ALL 1:5
        S: * X-FOO {3}
        S: abc bar
        S: * ID (\"name\" {3}
        S: \u{e9}x \"y\")
        S: * METADATA \"\" (/private/x \"\u{e9}\")
        S: * CAPABILITY IMAP4rev2 IDLE
        S: * OK [X-UNKNOWN]\u{e9}t\u{e9}
        S: * OK [ALERT]\u{e9}t\u{e9}
        S: * NO disk is filling up
        S: * LIST nonsense
        S: * 2 FETCH (UID 5 INTERNALDATE NIL FLAGS (\\Seen))
        S: * 2 FETCH (UID 5 SAVEDATE NIL X-NEW (a b))
        S: * 3 RECENT
        S: M3 OK done",
    )
    .await;
    assert!(!session.noop().await.expect("none of these is our concern").grew);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_ends_the_session() {
    let (mut session, _, _played) = selected("C: M3 NOOP").await;
    assert!(tokio::time::timeout(Duration::from_secs(1), session.noop()).await.is_err());
    assert!(is_over(&mut session).await);
    session.logout().await;
}

#[tokio::test(start_paused = true)]
async fn arguments_cannot_smuggle_commands() {
    let (mut session, selected, played) = selected("C: M3 NOOP\nS: M3 OK done").await;
    let evil = "x\r\nM9 DELETE INBOX".to_owned();
    let header = Search::Header { name: "Subject".into(), value: evil.clone() };
    let name = Search::Header { name: evil.clone(), value: "x".into() };
    assert_eq!(kind(&session.select(&evil).await.unwrap_err()), "own bad_argument");
    assert_eq!(kind(&session.status(&evil).await.unwrap_err()), "own bad_argument");
    assert_eq!(kind(&session.uid_search(&header).await.unwrap_err()), "own bad_argument");
    assert_eq!(kind(&session.uid_search(&name).await.unwrap_err()), "own bad_argument");
    assert_eq!(session.selected.as_ref(), Some(&selected), "a refused argument changes nothing");
    session.noop().await.expect("nothing was sent, so the session is whole");
    drop(session);
    played.await.expect("nothing but the NOOP came");
}
