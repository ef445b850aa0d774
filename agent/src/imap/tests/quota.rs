//! How full a mailbox is, from those that tell and those that do not.

use mailsonar_protocol::Quota;

use super::fake::Server;
use crate::imap::Limits;

async fn told(answer: &str) -> Option<Quota> {
    let script = format!(
        "S: * OK ready
        C: M1 CAPABILITY
        S: * CAPABILITY IMAP4rev1 QUOTA QUOTA=RES-STORAGE
        S: M1 OK done
        C: M2 GETQUOTAROOT \"INBOX\"
        {answer}
        C: M3 LIST \"\" \"*\"
        S: M3 OK done"
    );
    let (session, _played) = Server::new(&script).open_with(Limits::default()).await;
    let mut session = session.unwrap();
    let quota = session.quota().await.unwrap();
    session.folders().await.expect("the session goes on");
    quota
}

#[tokio::test(start_paused = true)]
async fn the_fullest_storage_counts_and_a_refusal_is_no_trouble() {
    let quota = |used_kib, limit_kib| Some(Quota { used_kib, limit_kib });
    for (answer, expected) in [
        // Dovecot, Cyrus, Courier, as they say it.
        (
            "S: * QUOTAROOT INBOX \"User quota\"\nS: * QUOTA \"User quota\" (STORAGE 10 512)\nS: M2 OK done",
            quota(10, 512),
        ),
        (
            "S: * QUOTAROOT INBOX user.bob\nS: * QUOTA user.bob (STORAGE 600 512 MESSAGE 3 5)\nS: M2 OK done",
            quota(600, 512),
        ),
        ("S: * QUOTAROOT \"INBOX\" \"ROOT\"\nS: * QUOTA \"ROOT\" (STORAGE 1 2)\nS: M2 OK done", quota(1, 2)),
        // RFC 9208: several roots; none that has a quota; more than we know.
        ("S: * QUOTA a (STORAGE 1 9)\nS: * QUOTA b (STORAGE 8 9)\nS: M2 OK done", quota(8, 9)),
        ("S: * QUOTAROOT comp.mail.mime\nS: M2 OK done", None),
        ("S: * QUOTA \"\" (MAILBOX 3 5 ANNOTATION-STORAGE 1 2)\nS: M2 OK done", None),
        ("S: * QUOTA \"\" (STORAGE 5 0)\nS: M2 OK no limit", None),
        ("S: * QUOTA \"\" (STORAGE many few)\nS: M2 OK unreadable", None),
        ("S: M2 NO not for you", None),
        ("S: M2 BAD what?", None),
    ] {
        assert_eq!(told(answer).await, expected, "{answer}");
    }
}
