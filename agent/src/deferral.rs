//! Attempts that were put off by a 4xx reply: when the next one is made, and what they looked like.
//!
//! Pure. A mail server that is put off tries again for days; a monitor tries again as long as its route's
//! schedule says, and tells of each attempt at once. Connections that fail are not tried again: for a
//! monitor the first such failure counts.

use jiff::{SignedDuration, Timestamp};
use mailsonar_protocol::{Deferral, Record};

/// When an attempt that was just put off is made again. `None` where the schedule has run out: it holds the
/// waits between attempts, and so many attempts were put off before this one.
pub fn next_attempt(schedule: &[SignedDuration], before: usize, now: Timestamp) -> Option<Timestamp> {
    schedule.get(before).and_then(|wait| now.saturating_add(*wait).ok())
}

/// Words by which greylisters name what they do: postgrey, milter-greylist, sqlgrey, and most others.
const NAMES: [&str; 6] = ["greylist", "graylist", "grey-list", "gray-list", "grey list", "gray list"];

/// Whole replies, and parts of them, that say it in other words.
const PHRASES: [&str; 4] = [
    // greylistd, in Debian's Exim.
    "is not yet authorized to deliver mail from",
    // Mimecast: "The sending mail server is subjected to Greylisting".
    "internal resource temporarily unavailable",
    "internal resource is temporarily unavailable",
    "internal resources are temporarily unavailable",
];
const REPLIES: [&str; 2] = [
    // rspamd, whose other rejections for now have words of their own.
    "4.7.1 try again later",
    // spamd of OpenBSD.
    "temporary failure, please try again later.",
];

/// Whether a reply looks like greylisting (RFC 6647), going by its words. A code alone never says so: "450
/// 4.7.1" is Postfix's for whatever a policy puts off, and "4.7.500" is how Microsoft slows down.
pub fn is_greylisting(words: &str) -> bool {
    let lines = words.lines().map(|line| line.get(4..).unwrap_or_default().trim());
    let text = lines.collect::<Vec<_>>().join(" ").to_ascii_lowercase();
    words.starts_with('4')
        && (NAMES.iter().any(|name| text.contains(name))
            || PHRASES.iter().any(|phrase| text.contains(phrase))
            || REPLIES.contains(&text.as_str()))
}

/// Whether a server says that the mailbox is full, in its reply or in the status of its report (RFC 3463:
/// X.2.2). "452" alone does not, since that is the server's own disk; nor does a message that is too large.
pub fn is_full(words: &str, status: &str) -> bool {
    let text = words.to_ascii_lowercase();
    let says = |code: &str| {
        status == code || text.split(|c: char| !c.is_ascii_digit() && c != '.').any(|word| word == code)
    };
    let too_large = ["5.3.4", "5.2.3", "4.3.1"].iter().any(|code| says(code));
    let phrases =
        ["over quota", "overquota", "quota exceeded", "exceeded quota", "mailbox full", "mailbox is full"];
    ["4.2.2", "5.2.2"].iter().any(|code| says(code))
        || !too_large && (text.starts_with("552") || phrases.iter().any(|phrase| text.contains(phrase)))
}

/// How the message was taken after it had been put off: which attempt it was, how long a real sender's mail
/// would have waited, and why. `None` where it was taken at once or not at all.
pub fn taken_after(record: &Record) -> Option<String> {
    let (accepted, deferrals) = (record.accepted.as_ref()?, &record.handover.deferrals);
    if deferrals.is_empty() {
        return None;
    }
    let waited = accepted.at.duration_since(record.started_at).as_secs_f64().max(0.0);
    let why = if deferrals.iter().any(greylisted) { ", greylisted before" } else { "" };
    Some(format!("taken at attempt {}, {waited:.1} s after the first{why}", deferrals.len() + 1))
}

fn greylisted(deferral: &Deferral) -> bool {
    is_greylisting(deferral.words.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_holds_the_waits_and_runs_out() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let schedule = [SignedDuration::from_secs(60), SignedDuration::from_secs(300)];
        assert_eq!(next_attempt(&schedule, 0, at(0)), Some(at(60)));
        assert_eq!(next_attempt(&schedule, 1, at(61)), Some(at(361)));
        assert_eq!(next_attempt(&schedule, 2, at(362)), None);
        assert_eq!(next_attempt(&[], 0, at(0)), None);
    }

    #[test]
    fn a_full_mailbox_is_told_from_a_full_server_and_a_large_message() {
        for (words, status) in [
            ("452 4.2.2 The email account that you tried to reach is over quota.", ""),
            ("552-5.2.2 The recipient's inbox is out of storage space.\n552 5.2.2 - gsmtp", ""),
            ("552 5.2.2 <p@acme.example>: Quota exceeded (mailbox for user is full)", ""),
            ("452 4.2.2 <p@acme.example> Mailbox is full / Blocks limit exceeded", ""),
            ("552 Requested mail action aborted: exceeded storage allocation", ""),
            ("554 5.2.0 STOREDRV.Deliver; mailbox full. The mailbox is over quota", ""),
            ("maildir delivery failed: disk quota exceeded", ""),
            ("", "5.2.2"),
        ] {
            assert!(is_full(words, status), "{words} {status}");
        }
        for (words, status) in [
            ("452 4.3.1 Insufficient system storage", ""),
            ("552 5.3.4 Message size exceeds fixed limit", ""),
            ("552 5.2.3 Message length exceeds administrative limit", ""),
            ("550 5.2.1 mailbox disabled", ""),
            ("450 4.2.0 Greylisted", "4.2.0"),
            ("250 15.2.2 is a version", ""),
            ("", ""),
        ] {
            assert!(!is_full(words, status), "{words} {status}");
        }
    }

    #[test]
    fn greylisters_are_known_by_their_words_and_other_trouble_is_not_taken_for_them() {
        for words in [
            "450 4.2.0 <p@acme.example>: Recipient address rejected: Greylisted, see http://postgrey.example/",
            "451 4.7.1 Greylisting in action, please come back in 00:04:59",
            "450 4.7.1 <p@acme.example>: Recipient address rejected: Greylisted by greyfix 0.4.0, try again in 30 seconds.",
            "450 4.2.0 <p@acme.example>: Recipient address rejected: Greylisted for 300 seconds (see http://isg.example/)",
            "451 4.7.1 Try again later",
            "451 Temporary failure, please try again later.",
            "451-192.0.2.1 is not yet authorized to deliver\n451 mail from <a@b.example> to <p@acme.example>. Please try later.",
            "451 Internal resource temporarily unavailable - https://community.mimecast.example/docs/DOC-1369#451",
            "451 Internal resources are temporarily unavailable",
            "451 Temporarily GRAYLISTED",
            "421 4.7.1 grey list: come back",
        ] {
            assert!(is_greylisting(words), "{words}");
        }
        // Exim, Postfix, Microsoft, Google, Yahoo, putting off for other reasons.
        for words in [
            "450 4.2.1 mailbox busy",
            "451 4.7.500 Server busy. Please try again later (AS77712)",
            "452 4.3.1 Insufficient system storage",
            "421 4.3.2 shutting down",
            "451 4.7.10 something",
            "450 4.7.1 <p@acme.example>: Recipient address rejected: try later",
            "450 4.7.1 Client host rejected: cannot find your reverse hostname, [192.0.2.1]",
            "450 4.7.1 <x>: Helo command rejected: Host not found",
            "450 4.7.25 Client host rejected: cannot find your hostname, [192.0.2.1]",
            "451 4.7.1 Service unavailable - try again later",
            "451 4.7.1 Ratelimit \"from\" exceeded",
            "451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited due to IP reputation.",
            "421 4.7.0 Try again later, closing connection. (EHLO) 5b1f17b1804b1 - gsmtp",
            "421-4.7.0 [192.0.2.1      15] Our system has detected an unusual rate of\n421-4.7.0 unsolicited mail. Try again later\n421 4.7.0 - gsmtp",
            "450-4.2.1 The user you are trying to contact is receiving mail too quickly.\n450 4.2.1 - gsmtp",
            "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to user complaints",
            "451 Temporary local problem - please try later",
            "452 4.2.2 The email account that you tried to reach is over quota.",
            "450 4.3.2 Service currently unavailable",
            "550 5.7.1 greylisting is what we would do to others",
            "",
        ] {
            assert!(!is_greylisting(words), "{words}");
        }
    }
}
