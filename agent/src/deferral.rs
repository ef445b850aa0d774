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

/// Whether a reply looks like greylisting (RFC 6647): it says so, or it is what greylisters answer and says
/// nothing else.
pub fn is_greylisting(words: &str) -> bool {
    let words = words.to_ascii_lowercase();
    let says_so = ["greylist", "graylist", "grey-list", "gray-list", "grey list", "gray list"];
    let usual = ["450 4.7.1 ", "451 4.7.1 ", "450-4.7.1 ", "451-4.7.1 "];
    words.starts_with('4')
        && (says_so.iter().any(|word| words.contains(word))
            || usual.iter().any(|code| words.starts_with(code)))
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
    fn greylisters_are_known_by_their_words_and_other_trouble_is_not_taken_for_them() {
        for words in [
            "450 4.2.0 <p@acme.example>: Recipient address rejected: Greylisted, see http://postgrey.example/",
            "451 4.7.1 Greylisting in action, please come back in 00:04:59",
            "451 4.7.1 Try again later",
            "450 4.7.1 <p@acme.example>: Recipient address rejected: try later",
            "451 Temporarily GRAYLISTED",
            "421 4.7.1 grey list: come back",
        ] {
            assert!(is_greylisting(words), "{words}");
        }
        for words in [
            "450 4.2.1 mailbox busy",
            "451 4.7.500 Server busy. Please try again later (AS77712)",
            "452 4.3.1 Insufficient system storage",
            "421 4.3.2 shutting down",
            "451 4.7.10 something",
            "550 5.7.1 greylisting is what we would do to others",
            "",
        ] {
            assert!(!is_greylisting(words), "{words}");
        }
    }
}
