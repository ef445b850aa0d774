//! A hostile server costs bounded memory and time.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;

use super::fake::{GREETING, Server, kind, selected_on};
use crate::imap::Limits;

async fn noop_against(server: Server) -> String {
    let (mut session, _, played) = selected_on(Server::new("C: M3 NOOP").and(server)).await;
    let ended = session.noop().await;
    drop(session);
    played.await.expect("the server was let go");
    ended.map_or_else(|trouble| kind(&trouble), |_| "fine".into())
}

#[tokio::test(start_paused = true)]
async fn a_literal_of_4_gib_is_refused_when_it_is_announced() {
    for size in ["4294967295", "4294967296", "18446744073709551616", "524289"] {
        let server = Server::new(&format!("S: * 1 FETCH (UID 1 BODY[] {{{size}}}"));
        assert_eq!(noop_against(server).await, "limit literal_too_long", "{size}");
    }
    let foreign = Server::new("S: * X-FOO {4294967295}");
    assert_eq!(noop_against(foreign).await, "limit literal_too_long");
    // In human text it announces nothing.
    assert_eq!(noop_against(Server::new("S: * OK {4294967295}\nS: M3 OK {9}")).await, "fine");
}

#[tokio::test(start_paused = true)]
async fn many_small_literals_in_one_response_are_refused() {
    let server =
        Server::new("S: * 1 FETCH (UID 1").send(" X {0}\r\n".repeat(100)).repeat("X {500000}\r\n", 1);
    assert_eq!(noop_against(server).await, "protocol unreadable");
    let literal = format!("{{60000}}\r\n{}", "x".repeat(60_000));
    let server = Server::default().send("* X ").repeat(literal, 100);
    assert_eq!(noop_against(server).await, "limit literal_too_long");
}

#[tokio::test(start_paused = true)]
async fn a_million_keepalives_are_too_many() {
    assert_eq!(
        noop_against(Server::default().repeat("* OK\r\n", 1_000_000)).await,
        "limit too_many_responses"
    );
    assert_eq!(
        noop_against(Server::default().repeat("* X-FOO\r\n", 1_000_000)).await,
        "limit too_many_responses"
    );
    let long = format!("* OK {}\r\n", "x".repeat(60_000));
    assert_eq!(noop_against(Server::default().repeat(long, 1_000)).await, "limit too_many_bytes");
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_parentheses_are_too_deep_or_too_long() {
    let deep = |count| Server::default().send("* 1 FETCH (BODYSTRUCTURE ").repeat("(", count).send(")\r\n");
    assert_eq!(noop_against(deep(100_000)).await, "limit line_too_long");
    assert_eq!(noop_against(deep(60_000)).await, "limit too_deep");
    assert_eq!(noop_against(deep(400)).await, "limit too_deep");
    // Where the parser does not descend, they are merely not IMAP.
    let list = Server::default().send("* LIST ").repeat("(", 60_000).send(")\r\nM3 OK done\r\n");
    assert_eq!(noop_against(list).await, "fine");
}

#[tokio::test(start_paused = true)]
async fn parentheses_in_a_message_are_its_own_business() {
    let body = format!("{}{{400}}\r\n\"", "(".repeat(300));
    let server = Server::default()
        .send(format!("* 1 FETCH (UID 1 BODY[] {{{}}}\r\n{body})\r\nM3 OK done\r\n", body.len()));
    assert_eq!(noop_against(server).await, "fine");
}

#[tokio::test(start_paused = true)]
async fn an_endless_line_is_cut_off() {
    assert_eq!(noop_against(Server::default().repeat("x", 100_000_000)).await, "limit line_too_long");
    let ones = Server::default().send("* SEARCH ").repeat("1", 100_000_000);
    assert_eq!(noop_against(ones).await, "limit line_too_long");
    // The result of a search may be longer than a line, but not endless.
    let limits = Limits { bytes: 512 * 1024, ..Limits::default() };
    let server =
        Server::new(GREETING).then("C: M2 NOOP\nS: * SEARCH 1").send("* SEARCH").repeat(" 1", 100_000_000);
    let (session, _played) = server.open_with(limits).await;
    assert_eq!(kind(&session.unwrap().noop().await.unwrap_err()), "limit too_many_bytes");
}

#[tokio::test(start_paused = true)]
async fn a_trickle_of_bytes_ends_by_the_deadline() {
    let slow = Server::default().pace("*", Duration::from_secs(10));
    assert_eq!(noop_against(slow).await, "timeout timeout");
    let chatty = Server::default().pace("* OK still working\r\n", Duration::from_secs(1));
    assert_eq!(noop_against(chatty).await, "timeout timeout");
}

/// What a server might say, in any order.
fn babble() -> impl Strategy<Value = Vec<&'static str>> {
    let words = select(vec![
        "* ",
        "M3 ",
        "+ ",
        "OK ",
        "NO ",
        "BYE",
        "1 FETCH (",
        "UID 1 ",
        "BODY[] ",
        "BODYSTRUCTURE ",
        "INTERNALDATE NIL ",
        "ENVELOPE ",
        "{3}\r\n",
        "{0}\r\n",
        "{70000}\r\n",
        "SEARCH ",
        "4294967296 ",
        "2 EXISTS",
        "[ALERT]",
        "[UIDVALIDITY 7] ",
        "\"",
        "\\",
        "(",
        ")",
        "\u{e9}",
        "\0",
        "\r",
        "\n",
        "\r\n",
        "\r\n",
    ]);
    prop::collection::vec(words, 0..24)
}

proptest! {
    #[test]
    fn whatever_a_server_says_the_session_answers_or_ends(words in babble()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime starts").block_on(async {
            let server = Server::new("C: M3 NOOP").send(words.concat()).then("close");
            let (mut session, _, _played) = selected_on(server).await;
            if session.noop().await.is_err() {
                assert_eq!(kind(&session.noop().await.unwrap_err()), "closed session_dropped");
            }
        });
    }
}
