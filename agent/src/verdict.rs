//! The verdict: facts about one probe and `now` in, a revised record and its reason out.
//!
//! Pure: no clock, no I/O, no memory but the case it is given. Facts may come in any order (a message
//! can be seen before its acceptance is read) and more than once; a fact that changes nothing
//! makes no revision.

use jiff::{SignedDuration, Timestamp};
use mailsonar_protocol::{
    AccountName, Arrival, Class, Evidence, Outcome, Peer, Record, SeenBy, Stage, StageTime, Text, Verdict,
};
use serde::{Deserialize, Serialize};

use crate::breaker::SIGN_IN_HELD;
use crate::submit::Ending;
use crate::trouble::Trouble;

/// A record, and what only this agent needs to know beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// The recipient, in whose mailbox the message is expected.
    pub account: AccountName,
    /// What the collector is told.
    pub record: Record,
    /// The copies of the message that were seen.
    #[serde(default)]
    pub copies: Vec<CopyId>,
}

/// One copy of a message: folder, UIDVALIDITY, UID.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyId {
    /// The folder.
    pub folder: Text,
    /// The folder's UIDVALIDITY (RFC 3501, 2.3.1.1).
    pub uidvalidity: u32,
    /// The message's UID.
    pub uid: u32,
}

/// Something that was learned about a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// The SMTP conversation ended.
    Submitted {
        /// The steps, timed.
        stages: Vec<StageTime>,
        /// Who was spoken to.
        peer: Option<Peer>,
        /// Trouble that did not decide the matter.
        asides: Vec<Trouble>,
        /// How it ended.
        ending: Ending,
    },
    /// The agent ended in the middle of the conversation; what the server made of it is not known.
    Interrupted,
    /// A copy of the message is in the mailbox.
    Sighted(Sighting),
    /// A complete look into the mailbox, begun at this time, did not find the message.
    SearchedInVain {
        /// When the look began.
        begun_at: Timestamp,
    },
    /// The mailbox cannot be looked into.
    OutOfReach {
        /// The IMAP server, as evidence names it.
        peer: Text,
        /// What is in the way.
        trouble: Trouble,
    },
}

/// A copy that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// Which copy.
    pub copy: CopyId,
    /// When the server first told us of it.
    pub visible_at: Timestamp,
    /// By what means.
    pub seen_by: SeenBy,
    /// When the mailbox was last known to be without it.
    pub absent_at: Option<Timestamp>,
    /// The server's own date for the delivery (INTERNALDATE, whole seconds, the server's clock).
    pub internal_date: Option<Timestamp>,
    /// Whether the folder is Junk.
    pub junk: bool,
    /// Whether the body is what was sent.
    pub intact: bool,
    /// `retrieve` and `verify`, timed.
    pub stages: Vec<StageTime>,
}

/// Adds a fact to a case. `None` if it changes nothing.
pub fn learn(case: &Case, fact: Fact, now: Timestamp) -> Option<Case> {
    let mut next = case.clone();
    let changed = match fact {
        Fact::Submitted { stages, peer, asides, ending } => {
            next.record.stages.splice(0..0, stages);
            next.record.peer = peer;
            for aside in &asides {
                note(&mut next.record, aside, now);
            }
            submitted(&mut next.record, ending, now)
        }
        Fact::Interrupted => interrupted(&mut next.record, now),
        Fact::Sighted(sighting) => sighted(&mut next, sighting, now),
        Fact::SearchedInVain { begun_at } => searched(&mut next.record, begun_at, now),
        Fact::OutOfReach { peer, trouble } => out_of_reach(&mut next.record, &trouble, peer, now),
    };
    changed.then(|| {
        next.record.revision += 1;
        next
    })
}

/// Whether the message of this record may still turn up.
pub fn may_arrive(record: &Record) -> bool {
    let refused =
        matches!(record.verdict.outcome, Outcome::Refused | Outcome::Deferred | Outcome::Unreachable);
    record.arrival.is_none() && !refused
}

/// The verdict of a probe that has just been thought of.
pub fn opened(now: Timestamp) -> Verdict {
    plain(Outcome::InFlight, "under way", now)
}

fn plain(outcome: Outcome, reason: &str, at: Timestamp) -> Verdict {
    Verdict { outcome, stage: None, class: None, reason: reason.into(), at }
}

fn blamed(outcome: Outcome, stage: Stage, class: Class, reason: &str, at: Timestamp) -> Verdict {
    Verdict { outcome, stage: Some(stage), class: Some(class), reason: reason.into(), at }
}

fn submitted(record: &mut Record, ending: Ending, now: Timestamp) -> bool {
    let verdict = match ending {
        Ending::Accepted(acceptance) => {
            // The deadline counts from the acceptance: how long the service took to take the message
            // is another figure.
            let deadline = record.due_at.duration_since(record.started_at);
            record.due_at = acceptance.at.saturating_add(deadline).unwrap_or(record.due_at);
            record.accepted = Some(acceptance);
            plain(Outcome::InFlight, "accepted, not seen yet", now)
        }
        Ending::Failed(trouble) => {
            note(record, &trouble, now);
            rejected(&trouble, now)
        }
        Ending::NoReply(trouble) => {
            note(record, &trouble, now);
            let reason = "no reply after the final dot; the message may still arrive";
            blamed(Outcome::Unknown, Stage::Data, trouble.class, reason, now)
        }
    };
    record.verdict = if record.arrival.is_some() { on_arrival(record, None, now) } else { verdict };
    true
}

/// The outcome of a conversation that failed before the message was handed over.
fn rejected(trouble: &Trouble, now: Timestamp) -> Verdict {
    let (outcome, what) = match (trouble.class, trouble.stage) {
        // Not asked is not refused: while the breaker holds, nobody knows.
        (Class::Auth, _) if trouble.detail == SIGN_IN_HELD => (Outcome::Unknown, "not attempted"),
        (Class::Own, _) => (Outcome::Unknown, "not attempted"),
        (Class::Permanent, _) => (Outcome::Refused, "refused"),
        (Class::Auth, _) => (Outcome::Refused, "sign-in refused"),
        (Class::Temporary, _) => (Outcome::Deferred, "deferred"),
        (_, Stage::Resolve) => (Outcome::Unreachable, "not found in DNS"),
        _ => (Outcome::Unreachable, "out of reach"),
    };
    let Trouble { stage, class, detail, words } = trouble;
    blamed(outcome, *stage, *class, &format!("{what} at {stage} ({detail}): {words}"), now)
}

fn interrupted(record: &mut Record, now: Timestamp) -> bool {
    if record.accepted.is_some() || record.arrival.is_some() || record.is_concluded() {
        return false;
    }
    let reason = "the agent was restarted during the submission; the message may still arrive";
    note(record, &Trouble::new(Stage::Data, Class::Own, "interrupted", reason), now);
    record.verdict = blamed(Outcome::Unknown, Stage::Data, Class::Own, reason, now);
    true
}

fn sighted(case: &mut Case, sighting: Sighting, now: Timestamp) -> bool {
    let Sighting { copy, visible_at, seen_by, absent_at, internal_date, junk, intact, stages } = sighting;
    if case.copies.contains(&copy) || is_renumbered(&case.copies, &copy) {
        return false;
    }
    case.copies.push(copy.clone());
    let record = &mut case.record;
    if record.arrival.is_some() {
        record.duplicates += 1;
        return true;
    }
    let not_before = record.accepted.as_ref().map_or(record.started_at, |accepted| accepted.at);
    let absent_at = absent_at.map_or(not_before, |absent| absent.max(not_before));
    record.arrival = Some(Arrival {
        visible_at,
        seen_by,
        uncertainty_us: u64::try_from(visible_at.as_microsecond() - absent_at.as_microsecond()).unwrap_or(0),
        folder: copy.folder,
        junk,
        copy: (copy.uidvalidity, copy.uid),
        intact,
    });
    record.stages.extend(stages);
    record.verdict = on_arrival(record, internal_date, now);
    true
}

/// A folder that was given a new UIDVALIDITY shows known messages under new numbers. They are not
/// duplicates.
fn is_renumbered(known: &[CopyId], copy: &CopyId) -> bool {
    let mut same_folder = known.iter().filter(|other| other.folder == copy.folder).peekable();
    same_folder.peek().is_some() && same_folder.all(|other| other.uidvalidity != copy.uidvalidity)
}

fn on_arrival(record: &Record, internal_date: Option<Timestamp>, now: Timestamp) -> Verdict {
    let Some(arrival) = &record.arrival else { return record.verdict.clone() };
    if !arrival.intact {
        return blamed(Outcome::Altered, Stage::Verify, Class::Quality, "the body is not what was sent", now);
    }
    if arrival.junk {
        let reason = format!("filed in {}", arrival.folder);
        return blamed(Outcome::Misfiled, Stage::Transit, Class::Quality, &reason, now);
    }
    if is_late(record, arrival, internal_date) {
        let over = arrival.visible_at.duration_since(record.due_at);
        let reason = format!("arrived {:.1} s after the deadline", over.as_secs_f64().max(0.0));
        return blamed(Outcome::Late, Stage::Transit, Class::Quality, &reason, now);
    }
    plain(Outcome::Delivered, "arrived in time", now)
}

/// Late only if it cannot have been there in time. Where we were not looking around the deadline, the
/// server's own date decides; where it gives none, the benefit of the doubt.
fn is_late(record: &Record, arrival: &Arrival, internal_date: Option<Timestamp>) -> bool {
    if arrival.visible_at <= record.due_at {
        return false;
    }
    let uncertainty = SignedDuration::from_micros(i64::try_from(arrival.uncertainty_us).unwrap_or(i64::MAX));
    let not_before = arrival.visible_at.saturating_sub(uncertainty).unwrap_or(record.due_at);
    not_before >= record.due_at || internal_date.is_some_and(|date| date > record.due_at)
}

fn searched(record: &mut Record, begun_at: Timestamp, now: Timestamp) -> bool {
    let overdue = begun_at >= record.due_at && record.arrival.is_none();
    let open = matches!(record.verdict.outcome, Outcome::InFlight | Outcome::Unknown);
    // Without an acceptance nobody owes us the message: what happened stays unknown.
    if !overdue || !open || record.accepted.is_none() {
        return false;
    }
    record.searched_at = Some(begun_at);
    let reason = "accepted, the deadline passed, and a complete search of the mailbox did not find it";
    record.verdict = blamed(Outcome::Lost, Stage::Transit, Class::Missing, reason, now);
    true
}

fn out_of_reach(record: &mut Record, trouble: &Trouble, peer: Text, now: Timestamp) -> bool {
    if record.is_concluded() || now < record.due_at || record.accepted.is_none() {
        return false;
    }
    keep(record, trouble.evidence(now, peer));
    let Trouble { stage, detail, words, .. } = trouble;
    let reason = format!("mailbox out of reach at {stage} ({detail}): {words}");
    record.verdict = blamed(Outcome::Unknown, *stage, Class::Mailbox, &reason, now);
    true
}

/// Keeps trouble that was had with the submission's peer.
fn note(record: &mut Record, trouble: &Trouble, now: Timestamp) {
    let peer = record.peer.as_ref().map_or_else(Text::default, |peer| match peer.address {
        Some(address) => Text::new(&format!("{}[{address}]:{}", peer.host, peer.port)),
        None => peer.host.clone(),
    });
    keep(record, trouble.evidence(now, peer));
}

fn keep(record: &mut Record, evidence: Evidence) {
    if record.evidence.len() < Record::MAX_EVIDENCE {
        record.evidence.push(evidence);
    }
}
