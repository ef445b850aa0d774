//! Waiting: for news, for the time to be over, for a word from the caller.

use std::future::{pending, ready};
use std::time::Duration;

use super::fake::{Server, kind, opened, selected, selected_on};
use crate::imap::{IdleEnd, Limits, News};

const MINUTES: Duration = Duration::from_mins(5);

#[tokio::test(start_paused = true)]
async fn noop_tells_of_new_mail_once() {
    let (mut session, _, _played) = selected(
        "C: M3 NOOP
        S: * 4 EXISTS
        S: * 1 RECENT
        S: M3 OK done
        C: M4 NOOP
        S: * 4 EXISTS
        S: M4 OK done
        C: M5 NOOP
        S: * 1 EXPUNGE
        S: * 4 EXISTS
        S: M5 OK done",
    )
    .await;
    assert_eq!(session.noop().await.unwrap(), News { exists: 4, grew: true });
    assert_eq!(session.noop().await.unwrap(), News { exists: 4, grew: false });
    assert_eq!(session.noop().await.unwrap(), News { exists: 4, grew: true }, "one went, one came");
}

#[tokio::test(start_paused = true)]
async fn news_during_another_command_is_not_lost() {
    let (mut session, from, played) = selected(
        "C: M3 UID STORE 9 +FLAGS.SILENT (\\Deleted)
        S: * 4 EXISTS
        S: M3 OK done
        C: M4 UID EXPUNGE 9
        S: * 2 EXPUNGE
        S: M4 OK done
        C: M5 NOOP
        S: M5 OK done",
    )
    .await;
    session.delete(&from, &[9]).await.unwrap();
    // Without a word to the server: the news is here already.
    assert_eq!(session.idle(MINUTES, pending()).await.unwrap(), IdleEnd::News);
    assert_eq!(session.noop().await.unwrap(), News { exists: 3, grew: false });
    drop(session);
    played.await.expect("the client kept to the script");
}

#[tokio::test(start_paused = true)]
async fn idle_ends_with_news() {
    let (mut session, _, _played) = selected(
        "C: M3 IDLE
        S: * OK a moment
        S: + idling
        S: * 2 FETCH (FLAGS (\\Seen))
        S: * 4 EXISTS
        C: DONE
        S: * 5 EXISTS
        S: M3 OK done
        C: M4 NOOP
        S: M4 OK done",
    )
    .await;
    assert_eq!(session.idle(MINUTES, pending()).await.unwrap(), IdleEnd::News);
    assert_eq!(session.noop().await.unwrap(), News { exists: 5, grew: false });
}

#[tokio::test(start_paused = true)]
#[expect(clippy::disallowed_methods, reason = "measures simulated time")]
async fn keepalives_do_not_prolong_idle() {
    let server = Server::new("C: M3 IDLE\nS: + idling").pace("* OK still here\r\n", Duration::from_mins(2));
    let (mut session, _, _played) = selected_on(server).await;
    let start = tokio::time::Instant::now();
    // This server never hears DONE, so the end is a failure; but it comes in time.
    assert_eq!(kind(&session.idle(MINUTES, pending()).await.unwrap_err()), "timeout timeout");
    assert_eq!(start.elapsed(), MINUTES + Limits::default().command);
}

#[tokio::test(start_paused = true)]
async fn a_silent_idle_ends_on_time_and_the_session_goes_on() {
    let script = "C: M3 IDLE\nS: + idling\nC: DONE\nS: M3 OK done\nC: M4 NOOP\nS: M4 OK done";
    let (mut session, _, _played) = selected(script).await;
    assert_eq!(session.idle(MINUTES, pending()).await.unwrap(), IdleEnd::Timeout);
    session.noop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_caller_can_interrupt_idle() {
    let script = "C: M3 IDLE\nS: + idling\nC: DONE\nS: M3 OK done\nC: M4 NOOP\nS: M4 OK done";
    let (mut session, _, _played) = selected(script).await;
    assert_eq!(session.idle(MINUTES, ready(())).await.unwrap(), IdleEnd::Interrupted);
    session.noop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_idle_that_fails_is_never_news() {
    for (answer, expected) in [
        ("close", "closed end_of_stream"),
        ("S: + idling\nclose", "closed end_of_stream"),
        ("S: + idling\nS: * BYE going down", "closed bye"),
        ("S: + idling\nS: * BYE Autologout; idle for too long", "closed bye"),
        ("S: M3 NO not now", "mailbox no"),
        ("S: M3 BAD", "protocol bad"),
        ("S: + idling\nS: M3 BAD", "protocol bad"),
        ("S: + idling\nS: M3 OK bored", "protocol idle_ended_early"),
        ("S: + idling\nS: M2 OK stale", "protocol stale_tag"),
        ("S: M3 OK what?", "protocol no_continuation"),
        ("S: + idling\nC: DONE\nclose", "closed end_of_stream"),
        ("S: + idling\nC: DONE\nS: M3 NO hm", "mailbox no"),
        ("S: + idling\nC: DONE\nS: M1 OK stale", "protocol stale_tag"),
        ("S: + idling\nC: DONE", "timeout timeout"),
        ("", "timeout timeout"),
    ] {
        let (mut session, _, _played) = selected(&format!("C: M3 IDLE\n{answer}")).await;
        let trouble = session.idle(MINUTES, pending()).await.expect_err(answer);
        assert_eq!(kind(&trouble), expected, "{answer}");
        assert_eq!(kind(&session.noop().await.unwrap_err()), "closed session_dropped");
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_during_idle_is_bounded() {
    let server = Server::new("C: M3 IDLE\nS: + idling").repeat("* OK\r\n", 1_000_000);
    let (mut session, _, _played) = selected_on(server).await;
    assert_eq!(kind(&session.idle(MINUTES, pending()).await.unwrap_err()), "limit too_many_responses");
}

#[tokio::test(start_paused = true)]
async fn without_idle_the_session_says_so_and_lives() {
    let server = Server::new(
        "S: * OK ready
        C: M1 CAPABILITY
        S: * CAPABILITY IMAP4rev1
        S: M1 OK done
        C: M2 NOOP
        S: M2 OK done",
    );
    let (session, _played) = server.open_with(Limits::default()).await;
    let mut session = session.unwrap();
    assert_eq!(kind(&session.idle(MINUTES, pending()).await.unwrap_err()), "protocol idle_not_offered");
    session.noop().await.unwrap();
}

#[tokio::test(start_paused = true)]
#[expect(clippy::disallowed_methods, reason = "measures simulated time")]
async fn a_farewell_is_short() {
    let start = tokio::time::Instant::now();
    let (session, played) = opened("C: M2 LOGOUT\nS: * BYE bye\nS: M2 OK done").await;
    session.logout().await;
    played.await.expect("the client kept to the script");
    assert_eq!(start.elapsed(), Duration::ZERO);
    let (session, _played) = opened("C: M2 LOGOUT").await;
    session.logout().await;
    assert_eq!(start.elapsed(), Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_session_can_live_in_a_task_of_its_own() {
    let script = "C: M3 IDLE\nS: + idling\nS: * 4 EXISTS\nC: DONE\nS: M3 OK done\nC: M4 LOGOUT\nS: * BYE";
    let (mut session, _, played) = selected(script).await;
    let task = tokio::spawn(async move {
        let end = session.idle(MINUTES, pending()).await;
        session.logout().await;
        end
    });
    assert_eq!(task.await.expect("it does not panic"), Ok(IdleEnd::News));
    played.await.expect("the client kept to the script");
}
