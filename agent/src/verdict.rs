//! The verdict: facts about one probe and `now` in, a revised record and its reason out.
//!
//! Pure: no clock, no I/O, no memory but the case it is given. Facts may come in any order (a message
//! can be seen before its acceptance is read) and more than once; a fact that changes nothing
//! makes no revision.

mod bounced;

use jiff::{SignedDuration, Timestamp};
use mailsonar_protocol::{
    AccountName, Arrival, Authentication, Change, Class, Deferral, Evidence, Handover, Hop, Outcome, Peer,
    Record, Report, SeenBy, Stage, StageTime, Text, Verdict,
};
use serde::{Deserialize, Serialize};

use crate::breaker::SIGN_IN_HELD;
use crate::deferral;
use crate::submit::Ending;
use crate::trouble::Trouble;

/// A record, and what only this agent needs to know beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// The recipient, in whose mailbox the message is expected.
    pub account: AccountName,
    /// What the collector is told.
    pub record: Record,
    /// Whether it is known how the submission ended, or that this will never be known.
    #[serde(default)]
    pub submitted: bool,
    /// The copies of the message that were seen; at most [`Self::MAX_COPIES`].
    #[serde(default)]
    pub copies: Vec<CopyId>,
    /// The server's own date for the first of them.
    #[serde(default)]
    pub internal_date: Option<Timestamp>,
}

impl Case {
    /// The most copies that are told apart and counted: a mailbox may show ever new ones.
    pub const MAX_COPIES: usize = 64;

    /// A probe that has just been thought of.
    pub fn new(account: AccountName, record: Record) -> Self {
        Self { account, record, submitted: false, copies: Vec::new(), internal_date: None }
    }
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
    /// An SMTP conversation ended.
    Submitted {
        /// The steps, timed.
        stages: Vec<StageTime>,
        /// Who was spoken to.
        peer: Option<Peer>,
        /// Trouble that did not decide the matter.
        asides: Vec<Trouble>,
        /// How it ended.
        ending: Ending,
        /// What else there is to say of it.
        attempt: Attempt,
    },
    /// The message that was put off is about to be offered again.
    Retrying,
    /// The message that was put off will not be offered again: its route is no more.
    GivenUp,
    /// The agent ended in the middle of the conversation; what the server made of it is not known.
    Interrupted,
    /// A copy of the message is in the mailbox.
    Sighted(Sighting),
    /// A complete look into the mailbox, begun at this time, did not find the message.
    SearchedInVain {
        /// When the look began.
        begun_at: Timestamp,
    },
    /// A delivery report about it came back.
    Reported(Report),
    /// The mailbox cannot be looked into.
    OutOfReach {
        /// The IMAP server, as evidence names it.
        peer: Text,
        /// What is in the way.
        trouble: Trouble,
    },
}

/// What there is to say of an attempt beside its stages and its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attempt {
    /// The site of the server.
    pub site: Option<Text>,
    /// What is not as it was.
    pub changes: Vec<Change>,
    /// When the next attempt would be made, if this one was put off by a 4xx reply.
    pub retry_at: Option<Timestamp>,
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
    /// The hosts it passed, as its header tells.
    pub hops: Vec<Hop>,
    /// What the trusted host made of its origin.
    pub authentication: Option<Authentication>,
    /// `retrieve` and `verify`, timed.
    pub stages: Vec<StageTime>,
}

/// Adds a fact to a case. `None` if it changes nothing.
pub fn learn(case: &Case, fact: Fact, now: Timestamp) -> Option<Case> {
    let mut next = case.clone();
    let changed = match fact {
        Fact::Submitted { .. } | Fact::Interrupted if case.submitted => false,
        // Between two attempts none can have ended.
        Fact::Submitted { .. } if is_put_off(&case.record) => false,
        Fact::Submitted { stages, peer, asides, ending, attempt } => {
            // The stages are those of the last attempt.
            next.record.stages.retain(|step| step.stage > Stage::Transit);
            next.record.stages.splice(0..0, stages);
            next.record.peer = peer;
            for aside in &asides {
                note(&mut next.record, aside, now);
            }
            submitted(&mut next, ending, attempt, now)
        }
        Fact::Interrupted => interrupted(&mut next, now),
        Fact::Retrying | Fact::GivenUp if !is_put_off(&case.record) => false,
        Fact::Retrying => {
            next.record.handover.next_attempt_at = None;
            true
        }
        Fact::GivenUp => given_up(&mut next, now),
        Fact::Sighted(sighting) => sighted(&mut next, sighting, now),
        Fact::SearchedInVain { begun_at } => searched(&mut next.record, begun_at, now),
        Fact::Reported(report) => bounced::reported(&mut next, &report, now),
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

/// Whether the message waits for another attempt.
pub fn is_put_off(record: &Record) -> bool {
    record.handover.next_attempt_at.is_some()
}

fn submitted(case: &mut Case, ending: Ending, attempt: Attempt, now: Timestamp) -> bool {
    case.submitted = true;
    let record = &mut case.record;
    let Attempt { site, changes, retry_at } = attempt;
    record.handover.site = site;
    let room = Handover::MAX_CHANGES.saturating_sub(record.handover.changes.len());
    record.handover.changes.extend(changes.into_iter().take(room));
    let verdict = match ending {
        Ending::Accepted(acceptance) => {
            // The deadline counts from the acceptance: how long the service took to take the message
            // is another figure.
            let deadline = record.due_at.duration_since(record.started_at);
            record.due_at = acceptance.at.saturating_add(deadline).unwrap_or(record.due_at);
            record.accepted = Some(acceptance);
            let reason = deferral::taken_after(record)
                .map_or_else(|| bounced::delayed(record), |how| format!("accepted ({how}), not seen yet"));
            plain(Outcome::InFlight, &reason, now)
        }
        Ending::Failed(trouble) if trouble.class == Class::Temporary => {
            note(record, &trouble, now);
            // What has arrived or bounced meanwhile is not offered again.
            let is_open = record.arrival.is_none() && record.verdict.outcome != Outcome::Bounced;
            let retry_at = retry_at.filter(|_| is_open);
            case.submitted = retry_at.is_none();
            put_off(record, &trouble, retry_at, now)
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
    record.verdict = match (&record.arrival, record.verdict.outcome) {
        (Some(_), _) => on_arrival(record, case.internal_date, now),
        // The far server was faster than our own.
        (None, Outcome::Bounced) => return true,
        (None, _) => verdict,
    };
    true
}

/// A 4xx reply: the message waits for the next attempt, or the schedule has run out.
fn put_off(record: &mut Record, trouble: &Trouble, retry_at: Option<Timestamp>, now: Timestamp) -> Verdict {
    let Trouble { stage, class, detail, words } = trouble;
    let peer = peer_of(record);
    let handover = &mut record.handover;
    if handover.deferrals.len() < Handover::MAX_DEFERRALS {
        handover.deferrals.push(Deferral { at: now, stage: *stage, peer, words: words.clone() });
    }
    handover.next_attempt_at = retry_at;
    let attempts = handover.deferrals.len();
    let looks = if deferral::is_greylisting(words.as_str()) {
        ", by greylisting as it looks"
    } else {
        full(words, "")
    };
    let Some(next) = retry_at else {
        let attempts = if attempts > 1 { format!(", at each of {attempts} attempts") } else { String::new() };
        let reason = format!("deferred at {stage} ({detail}){looks}{attempts}: {words}");
        return blamed(Outcome::Deferred, *stage, *class, &reason, now);
    };
    let wait = next.duration_since(now).as_secs();
    let reason =
        format!("put off at {stage} ({detail}){looks}; attempt {} in {wait} s: {words}", attempts + 1);
    blamed(Outcome::InFlight, *stage, *class, &reason, now)
}

fn given_up(case: &mut Case, now: Timestamp) -> bool {
    case.submitted = true;
    let record = &mut case.record;
    record.handover.next_attempt_at = None;
    let stage = record.handover.deferrals.last().map_or(Stage::Envelope, |deferral| deferral.stage);
    let reason = "deferred, and not tried again: the route is not configured any more";
    record.verdict = blamed(Outcome::Deferred, stage, Class::Temporary, reason, now);
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
        (_, Stage::Resolve) => (Outcome::Unreachable, "not found in DNS"),
        _ => (Outcome::Unreachable, "out of reach"),
    };
    let Trouble { stage, class, detail, words } = trouble;
    let full = if trouble.class == Class::Permanent { full(words, "") } else { "" };
    blamed(outcome, *stage, *class, &format!("{what} at {stage} ({detail}){full}: {words}"), now)
}

/// What is added to a reason where the far side says that the mailbox is full.
fn full(words: &Text, status: &str) -> &'static str {
    if deferral::is_full(words.as_str(), status) { ", the mailbox is over its quota" } else { "" }
}

fn interrupted(case: &mut Case, now: Timestamp) -> bool {
    if case.record.arrival.is_some() || case.record.verdict.outcome == Outcome::Bounced {
        return false;
    }
    case.submitted = true;
    let record = &mut case.record;
    record.handover.next_attempt_at = None;
    let reason = "the agent was restarted during the submission; the message may still arrive";
    note(record, &Trouble::new(Stage::Data, Class::Own, "interrupted", reason), now);
    record.verdict = blamed(Outcome::Unknown, Stage::Data, Class::Own, reason, now);
    true
}

fn sighted(case: &mut Case, sighting: Sighting, now: Timestamp) -> bool {
    let Sighting { copy, visible_at, seen_by, absent_at, internal_date, junk, intact, stages, .. } = sighting;
    let is_known = case.copies.contains(&copy) || is_renumbered(&case.copies, &copy);
    if is_known || case.copies.len() >= Case::MAX_COPIES {
        return false;
    }
    case.copies.push(copy.clone());
    let record = &mut case.record;
    if record.arrival.is_some() {
        record.duplicates += 1;
        return true;
    }
    let not_before = record.accepted.as_ref().map_or(record.started_at, |accepted| accepted.at);
    // What was not there before it was sent, nor when it was last looked for.
    let absent_at = absent_at.into_iter().chain(record.searched_at).fold(not_before, Timestamp::max);
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
    (record.journey.hops, record.journey.authentication) = (sighting.hops, sighting.authentication);
    if record.handover.next_attempt_at.take().is_some() {
        // It was put off and came all the same: there is nothing left to try.
        case.submitted = true;
    }
    case.internal_date = internal_date;
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
    let taken = deferral::taken_after(record).map_or(String::new(), |how| format!("; {how}"));
    if is_late(record, arrival, internal_date) {
        let over = arrival.visible_at.duration_since(record.due_at);
        let reason = format!("arrived {:.1} s after the deadline{taken}", over.as_secs_f64().max(0.0));
        return blamed(Outcome::Late, Stage::Transit, Class::Quality, &reason, now);
    }
    plain(Outcome::Delivered, &format!("arrived in time{taken}"), now)
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
    let told =
        if record.journey.reports.is_empty() { "accepted".to_owned() } else { bounced::delayed(record) };
    let reason = format!("{told}; the deadline passed, and a complete search of the mailbox did not find it");
    record.verdict = blamed(Outcome::Lost, Stage::Transit, Class::Missing, &reason, now);
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
    let peer = peer_of(record);
    keep(record, trouble.evidence(now, peer));
}

/// The submission's peer, as evidence names it.
fn peer_of(record: &Record) -> Text {
    record.peer.as_ref().map_or_else(Text::default, |peer| match peer.address {
        Some(address) => Text::new(&format!("{}[{address}]:{}", peer.host, peer.port)),
        None => peer.host.clone(),
    })
}

fn keep(record: &mut Record, evidence: Evidence) {
    if record.evidence.len() < Record::MAX_EVIDENCE {
        record.evidence.push(evidence);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use mailsonar_protocol::{Acceptance, Direction, Door, Handover, Journey, ProbeId};
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    /// A probe begun at `at(0)`; its message may take a minute.
    const DEADLINE: i64 = 60;

    pub(crate) fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).expect("a time")
    }

    fn micros(after: i64) -> Timestamp {
        at(0).checked_add(SignedDuration::from_micros(after)).expect("a time")
    }

    pub(crate) fn probe(number: u128) -> ProbeId {
        ProbeId(Uuid::from_u128(number))
    }

    /// The case of a probe that has just been thought of.
    pub(crate) fn fresh(number: u128) -> Case {
        let name = |text: &str| text.parse().expect("a name");
        let record = Record {
            probe: probe(number),
            revision: 1,
            service: "acme".parse().expect("a name"),
            reference: None,
            route: "loop".parse().expect("a name"),
            direction: Direction::Loop,
            door: Door::Submission,
            confirmation: false,
            canary: None,
            scheduled_at: at(0),
            started_at: at(0),
            due_at: at(DEADLINE),
            stages: Vec::new(),
            peer: None,
            accepted: None,
            arrival: None,
            duplicates: 0,
            searched_at: None,
            handover: Handover::default(),
            journey: Journey::default(),
            evidence: Vec::new(),
            verdict: opened(at(0)),
        };
        Case::new(name("bob"), record)
    }

    fn step(stage: Stage) -> StageTime {
        StageTime { stage, took_us: 1_000 }
    }

    pub(crate) fn submitted_as(ending: Ending) -> Fact {
        let peer = Peer {
            host: "smtp.acme.example".into(),
            address: Some([192, 0, 2, 1].into()),
            port: 465,
            tls: None,
            certificate_expires_at: Some(at(90 * 86_400)),
        };
        Fact::Submitted {
            stages: vec![step(Stage::Resolve), step(Stage::Data)],
            peer: Some(peer),
            asides: Vec::new(),
            ending,
            attempt: Attempt::default(),
        }
    }

    /// Put off by this reply, to be tried again then.
    pub(crate) fn put_off_until(retry_at: Option<Timestamp>, words: &str) -> Fact {
        let trouble = Trouble::new(Stage::Envelope, Class::Temporary, "reply_450", words);
        let Fact::Submitted { stages, peer, asides, ending, .. } = submitted_as(Ending::Failed(trouble))
        else {
            unreachable!()
        };
        let attempt = Attempt { retry_at, site: Some("a".into()), ..Attempt::default() };
        Fact::Submitted { stages, peer, asides, ending, attempt }
    }

    pub(crate) fn accepted_at(at: Timestamp) -> Fact {
        let reply = "250 2.0.0 Ok: queued as 4F6".into();
        submitted_as(Ending::Accepted(Acceptance { at, reply, queue_id: Some("4F6".into()) }))
    }

    pub(crate) fn failed(stage: Stage, class: Class, detail: &'static str) -> Fact {
        submitted_as(Ending::Failed(Trouble::new(stage, class, detail, "the server's words")))
    }

    fn no_reply() -> Fact {
        submitted_as(Ending::NoReply(Trouble::new(Stage::Data, Class::Closed, "end_of_stream", "closed")))
    }

    pub(crate) fn copy(folder: &str, uidvalidity: u32, uid: u32) -> CopyId {
        CopyId { folder: folder.into(), uidvalidity, uid }
    }

    /// Seen in the inbox by a brisk look, exact to 10 ms.
    pub(crate) fn seen(at: Timestamp) -> Sighting {
        Sighting {
            copy: copy("INBOX", 1, 1),
            visible_at: at,
            seen_by: SeenBy::Noop,
            absent_at: at.checked_sub(SignedDuration::from_millis(10)).ok(),
            internal_date: None,
            junk: false,
            intact: true,
            hops: Vec::new(),
            authentication: None,
            stages: vec![step(Stage::Retrieve), step(Stage::Verify)],
        }
    }

    /// Found by a scan after nobody had been looking.
    fn found(at: Timestamp, internal_date: Option<Timestamp>) -> Fact {
        Fact::Sighted(Sighting { seen_by: SeenBy::Scan, absent_at: None, internal_date, ..seen(at) })
    }

    fn searched_at(second: i64) -> Fact {
        Fact::SearchedInVain { begun_at: at(second) }
    }

    fn shut() -> Fact {
        let trouble = Trouble::new(Stage::Connect, Class::Connect, "refused", "Connection refused");
        Fact::OutOfReach { peer: "imap.acme.example:993".into(), trouble }
    }

    /// What a case has become after some facts, one each second from two minutes on.
    pub(crate) fn after(facts: impl IntoIterator<Item = Fact>) -> Case {
        facts
            .into_iter()
            .zip(120..)
            .fold(fresh(1), |case, (fact, second)| learn(&case, fact, at(second)).unwrap_or(case))
    }

    fn outcome(facts: impl IntoIterator<Item = Fact>) -> Outcome {
        after(facts).record.verdict.outcome
    }

    #[test]
    fn an_accepted_message_that_is_seen_in_time_is_delivered() {
        let case = after([accepted_at(at(2)), Fact::Sighted(seen(at(5)))]);
        let record = case.record;
        assert_eq!(record.verdict.outcome, Outcome::Delivered);
        assert_eq!((record.verdict.stage, record.verdict.class), (None, None));
        assert_eq!(record.latency_us(), Some(3_000_000));
        assert_eq!(record.due_at, at(2 + DEADLINE), "the deadline counts from the acceptance");
        assert_eq!(record.revision, 3);
        let stages: Vec<_> = record.stages.iter().map(|step| step.stage).collect();
        assert_eq!(stages, [Stage::Resolve, Stage::Data, Stage::Retrieve, Stage::Verify]);
    }

    #[test]
    fn the_deadline_itself_is_in_time_and_a_microsecond_more_is_late() {
        let due = (2 + DEADLINE) * 1_000_000;
        let exactly = |visible: i64| {
            let sighting = Sighting { absent_at: Some(micros(visible)), ..seen(micros(visible)) };
            outcome([accepted_at(at(2)), Fact::Sighted(sighting)])
        };
        assert_eq!(exactly(due), Outcome::Delivered);
        assert_eq!(exactly(due + 1), Outcome::Late);
    }

    #[test]
    fn who_was_not_looking_around_the_deadline_gives_the_benefit_of_the_doubt() {
        let due = 2 + DEADLINE;
        let of = |internal_date| outcome([accepted_at(at(2)), found(at(100), internal_date)]);
        assert_eq!(of(None), Outcome::Delivered, "nothing speaks against it");
        assert_eq!(of(Some(at(due))), Outcome::Delivered, "the server says that it was in time");
        assert_eq!(of(Some(at(due + 1))), Outcome::Late, "the server says that it was not");
        let looked = Sighting { absent_at: Some(at(due)), internal_date: Some(at(5)), ..seen(at(100)) };
        let late = outcome([accepted_at(at(2)), Fact::Sighted(looked)]);
        assert_eq!(late, Outcome::Late, "what we saw ourselves counts before the server's date");
    }

    #[test]
    fn what_a_complete_search_after_the_deadline_did_not_find_was_not_there_in_time() {
        for internal_date in [None, Some(at(5))] {
            // The restart that follows the search makes the watcher forget when it looked last.
            let facts = [accepted_at(at(2)), searched_at(70), found(at(100), internal_date)];
            assert_eq!(outcome(facts), Outcome::Late, "{internal_date:?}");
        }
    }

    #[test]
    fn only_a_complete_search_that_began_after_the_deadline_says_lost() {
        let due = 2 + DEADLINE;
        let accepted = after([accepted_at(at(2))]);
        assert_eq!(learn(&accepted, searched_at(due - 1), at(300)), None, "begun too early: no revision");
        let lost = learn(&accepted, searched_at(due), at(300)).expect("a revision").record;
        assert_eq!(lost.verdict.outcome, Outcome::Lost);
        assert_eq!((lost.verdict.stage, lost.verdict.class), (Some(Stage::Transit), Some(Class::Missing)));
        assert_eq!(lost.searched_at, Some(at(due)));
        let again = Case { record: lost, ..accepted };
        assert_eq!(learn(&again, searched_at(due + 60), at(400)), None, "it is known already");
    }

    #[test]
    fn lost_then_late_is_one_record_with_a_higher_revision() {
        let lost = after([accepted_at(at(2)), searched_at(70)]);
        let six_days = at(6 * 86_400);
        let late = learn(&lost, Fact::Sighted(seen(six_days)), six_days).expect("a revision");
        assert_eq!(late.record.probe, lost.record.probe);
        assert_eq!(late.record.revision, lost.record.revision + 1);
        assert_eq!(late.record.verdict.outcome, Outcome::Late);
        assert_eq!(late.record.duplicates, 0);
        assert_eq!(late.record.latency_us(), Some((6 * 86_400 - 2) * 1_000_000));
        let reason = late.record.verdict.reason.as_str();
        assert!(reason.contains("518338.0 s after the deadline"), "{reason}");
    }

    #[test]
    fn a_mailbox_out_of_reach_makes_unknown_and_never_lost() {
        let accepted = after([accepted_at(at(2))]);
        assert_eq!(learn(&accepted, shut(), at(2 + DEADLINE - 1)), None, "it is not due yet");
        let unknown = learn(&accepted, shut(), at(2 + DEADLINE)).expect("a revision");
        assert_eq!(unknown.record.verdict.outcome, Outcome::Unknown);
        assert_eq!(unknown.record.verdict.class, Some(Class::Mailbox));
        assert_eq!(unknown.record.verdict.stage, Some(Stage::Connect), "where the way to the mailbox ends");
        assert_eq!(unknown.record.evidence.last().map(|e| e.peer.as_str()), Some("imap.acme.example:993"));
        assert_eq!(learn(&unknown, shut(), at(300)), None, "a second time is no news");
        let found_late = learn(&unknown, found(at(300), Some(at(200))), at(300)).expect("a revision");
        assert_eq!(found_late.record.verdict.outcome, Outcome::Late);
        let found_in_time = learn(&unknown, found(at(300), Some(at(20))), at(300)).expect("a revision");
        assert_eq!(found_in_time.record.verdict.outcome, Outcome::Delivered);
        let lost = learn(&unknown, searched_at(300), at(300)).expect("a revision");
        assert_eq!(
            lost.record.verdict.outcome,
            Outcome::Lost,
            "once it could be looked for, the search counts"
        );
    }

    #[test]
    fn no_reply_after_the_dot_is_unknown_until_it_arrives_and_is_never_called_lost() {
        let unknown = after([no_reply()]);
        let verdict = &unknown.record.verdict;
        assert_eq!((verdict.outcome, verdict.stage), (Outcome::Unknown, Some(Stage::Data)));
        assert!(may_arrive(&unknown.record), "RFC 1047");
        assert_eq!(learn(&unknown, searched_at(1_000), at(1_000)), None, "nobody owes us this message");
        let delivered = learn(&unknown, Fact::Sighted(seen(at(30))), at(30)).expect("a revision");
        assert_eq!(delivered.record.verdict.outcome, Outcome::Delivered);
        let late = learn(&unknown, Fact::Sighted(seen(at(90))), at(90)).expect("a revision");
        assert_eq!(late.record.verdict.outcome, Outcome::Late, "the deadline counts from the start then");
    }

    #[test]
    fn an_interrupted_submission_is_unknown_and_its_message_is_still_welcome() {
        let unknown = after([Fact::Interrupted]);
        assert_eq!(unknown.record.verdict.outcome, Outcome::Unknown);
        assert_eq!(unknown.record.verdict.class, Some(Class::Own), "our trouble, not the service's");
        assert!(may_arrive(&unknown.record));
        assert_eq!(learn(&unknown, Fact::Interrupted, at(200)), None);
        let delivered = learn(&unknown, Fact::Sighted(seen(at(30))), at(30)).expect("a revision");
        assert_eq!(delivered.record.verdict.outcome, Outcome::Delivered);
        for known in [accepted_at(at(2)), no_reply(), Fact::Sighted(seen(at(2)))] {
            assert_eq!(learn(&after([known]), Fact::Interrupted, at(200)), None, "that had ended");
        }
    }

    #[test]
    fn each_kind_of_refusal_has_its_own_outcome() {
        use {Class as C, Outcome as O, Stage as S};
        let table = [
            (S::Envelope, C::Permanent, "permanent", O::Refused, false),
            (S::Auth, C::Auth, "credentials", O::Refused, false),
            (S::Data, C::Temporary, "temporary", O::Deferred, false),
            (S::Resolve, C::Dns, "nxdomain", O::Unreachable, false),
            (S::Connect, C::Connect, "refused", O::Unreachable, false),
            (S::Connect, C::Timeout, "timeout", O::Unreachable, false),
            (S::Tls, C::Tls, "certificate_expired", O::Unreachable, false),
            (S::Tls, C::Security, "starttls_withheld", O::Unreachable, false),
            (S::Greeting, C::Protocol, "no_reply_code", O::Unreachable, false),
            (S::Auth, C::Auth, SIGN_IN_HELD, O::Unknown, true),
            (S::Connect, C::Own, "local_network", O::Unknown, true),
        ];
        for (stage, class, detail, expected, may_come) in table {
            let record = after([failed(stage, class, detail)]).record;
            let verdict = &record.verdict;
            assert_eq!(verdict.outcome, expected, "{stage}/{class}/{detail}");
            assert_eq!((verdict.stage, verdict.class), (Some(stage), Some(class)));
            assert!(verdict.reason.as_str().contains("the server's words"), "{}", verdict.reason);
            assert_eq!(may_arrive(&record), may_come, "{stage}/{class}/{detail}");
            let evidence = record.evidence.first().expect("it is kept");
            assert_eq!(evidence.peer.as_str(), "smtp.acme.example[192.0.2.1]:465");
            assert_eq!(evidence.detail.as_str(), detail);
        }
    }

    #[test]
    fn a_greylisted_message_is_tried_again_and_a_real_sender_s_delay_is_told_apart_from_transit() {
        let words = "450 4.2.0 <p@acme.example>: Recipient address rejected: Greylisted";
        let put_off = after([put_off_until(Some(at(180)), words)]);
        let record = &put_off.record;
        assert_eq!(
            (record.verdict.outcome, record.verdict.class),
            (Outcome::InFlight, Some(Class::Temporary))
        );
        let reason = record.verdict.reason.as_str();
        assert!(
            reason.starts_with(
                "put off at envelope (reply_450), by greylisting as it looks; attempt 2 in 60 s"
            )
        );
        assert_eq!((record.handover.deferrals.len(), record.handover.next_attempt_at), (1, Some(at(180))));
        assert_eq!(record.handover.deferrals[0].peer.as_str(), "smtp.acme.example[192.0.2.1]:465");
        assert!(may_arrive(record), "a server may well take what it says to put off");
        let trying = learn(&put_off, Fact::Retrying, at(180)).expect("a revision");
        assert_eq!(learn(&trying, Fact::Retrying, at(180)), None, "one attempt at a time");
        let taken = learn(&trying, accepted_at(at(181)), at(181)).expect("a revision");
        assert_eq!(taken.record.due_at, at(181 + DEADLINE), "the deadline counts from the acceptance");
        let stages: Vec<_> = taken.record.stages.iter().map(|step| step.stage).collect();
        assert_eq!(stages, [Stage::Resolve, Stage::Data], "those of the last attempt");
        let record = learn(&taken, Fact::Sighted(seen(at(185))), at(185)).expect("a revision").record;
        assert_eq!((record.verdict.outcome, record.latency_us()), (Outcome::Delivered, Some(4_000_000)));
        let reason = "arrived in time; taken at attempt 2, 181.0 s after the first, greylisted before";
        assert_eq!(record.verdict.reason.as_str(), reason);
    }

    #[test]
    fn a_schedule_that_runs_out_ends_in_deferred_and_one_that_is_gone_too() {
        let again = || [put_off_until(Some(at(180)), "452 4.3.1 disk full"), Fact::Retrying];
        let case = after(again().into_iter().chain([put_off_until(None, "452 4.3.1 disk full")]));
        let Record { verdict, handover, .. } = &case.record;
        assert_eq!((verdict.outcome, handover.deferrals.len()), (Outcome::Deferred, 2));
        assert_eq!(
            verdict.reason.as_str(),
            "deferred at envelope (reply_450), at each of 2 attempts: 452 4.3.1 disk full"
        );
        assert_eq!(learn(&case, Fact::Retrying, at(300)), None);
        let gone = after([put_off_until(Some(at(180)), "452 4.3.1 disk full"), Fact::GivenUp]).record;
        assert_eq!((gone.verdict.outcome, gone.handover.next_attempt_at), (Outcome::Deferred, None));
    }

    #[test]
    fn what_was_put_off_and_comes_all_the_same_is_not_offered_again() {
        let case = after([put_off_until(Some(at(180)), "451 4.3.0 later"), Fact::Sighted(seen(at(5)))]);
        assert_eq!(case.record.verdict.outcome, Outcome::Delivered);
        assert_eq!(learn(&case, Fact::Retrying, at(180)), None);
        assert_eq!(learn(&case, Fact::Interrupted, at(180)), None);
    }

    #[test]
    fn a_kill_in_the_middle_of_a_later_attempt_leaves_it_unknown() {
        let case =
            after([put_off_until(Some(at(180)), "451 4.3.0 later"), Fact::Retrying, Fact::Interrupted]);
        assert_eq!(case.record.verdict.outcome, Outcome::Unknown);
        assert!(may_arrive(&case.record));
    }

    #[test]
    fn a_message_that_was_refused_and_comes_all_the_same_has_come() {
        let facts = [failed(Stage::Data, Class::Permanent, "permanent"), Fact::Sighted(seen(at(5)))];
        assert_eq!(outcome(facts), Outcome::Delivered);
    }

    #[test]
    fn junk_and_an_altered_body_are_told_apart_and_named() {
        let junk = Sighting { junk: true, copy: copy("Spam", 1, 1), ..seen(at(5)) };
        let case = after([accepted_at(at(2)), Fact::Sighted(junk)]);
        assert_eq!(case.record.verdict.outcome, Outcome::Misfiled);
        assert!(case.record.verdict.reason.as_str().contains("Spam"));
        let altered = Sighting { intact: false, ..seen(at(5)) };
        assert_eq!(outcome([accepted_at(at(2)), Fact::Sighted(altered)]), Outcome::Altered);
    }

    #[test]
    fn every_copy_beyond_the_first_is_counted_once() {
        let one = |folder, uid| Fact::Sighted(Sighting { copy: copy(folder, 1, uid), ..seen(at(5)) });
        let case = after([accepted_at(at(2)), one("INBOX", 1)]);
        assert_eq!(learn(&case, one("INBOX", 1), at(200)), None, "the same copy is no news");
        let case = learn(&case, one("INBOX", 2), at(200)).expect("a revision");
        assert_eq!(case.record.duplicates, 1);
        let case = learn(&case, one("Junk", 1), at(201)).expect("the same number elsewhere is another copy");
        assert_eq!(case.record.duplicates, 2);
        assert_eq!(learn(&case, one("INBOX", 2), at(202)), None);
        assert_eq!(case.record.verdict.outcome, Outcome::Delivered, "the first decides");
        assert_eq!(case.record.arrival.expect("there").copy, (1, 1));
    }

    #[test]
    fn a_renumbered_folder_shows_no_duplicates() {
        let numbered = |uidvalidity, uid| {
            Fact::Sighted(Sighting { copy: copy("INBOX", uidvalidity, uid), ..seen(at(5)) })
        };
        let case = after([accepted_at(at(2)), numbered(1, 7)]);
        assert_eq!(learn(&case, numbered(2, 1), at(200)), None);
        let twice = learn(&case, numbered(1, 8), at(200)).expect("a true duplicate");
        assert_eq!(twice.record.duplicates, 1);
        for uid in 1..=2 {
            assert_eq!(learn(&twice, numbered(2, uid), at(201)), None, "both are known, {uid}");
        }
    }

    #[test]
    fn the_order_of_submission_and_arrival_does_not_matter() {
        let due = 2 + DEADLINE;
        let sightings = [
            seen(at(1)),
            seen(at(5)),
            seen(at(due + 9)),
            Sighting { junk: true, ..seen(at(5)) },
            Sighting { intact: false, ..seen(at(5)) },
            Sighting { absent_at: None, ..seen(at(due + 9)) },
            Sighting { absent_at: None, internal_date: Some(at(due + 3)), ..seen(at(due + 9)) },
        ];
        for sighting in sightings {
            same_either_way(&accepted_at(at(2)), &sighting);
        }
    }

    fn same_either_way(submitted: &Fact, sighting: &Sighting) {
        let arrived = Fact::Sighted(sighting.clone());
        let one = after([submitted.clone(), arrived.clone()]).record;
        let other = after([arrived, submitted.clone()]).record;
        assert_eq!(one.verdict.outcome, other.verdict.outcome, "{sighting:?}");
        assert_eq!((one.verdict.stage, one.verdict.class), (other.verdict.stage, other.verdict.class));
        assert_eq!((one.due_at, one.latency_us()), (other.due_at, other.latency_us()));
        assert_eq!((one.stages, one.duplicates), (other.stages, other.duplicates));
        assert_eq!(one.revision, other.revision);
    }

    #[test]
    fn a_fact_that_is_told_twice_changes_nothing_the_second_time() {
        let facts = [
            accepted_at(at(2)),
            no_reply(),
            failed(Stage::Envelope, Class::Permanent, "permanent"),
            Fact::Interrupted,
            Fact::Sighted(seen(at(5))),
        ];
        for fact in facts {
            let once = after([fact.clone()]);
            assert_eq!(learn(&once, fact.clone(), at(300)), None, "{fact:?}");
        }
    }

    #[test]
    fn what_a_hostile_peer_can_put_into_a_case_is_bounded() {
        let noisy = Trouble::new(Stage::Tls, Class::Tls, "unverified", "x".repeat(100_000).as_str());
        let Fact::Submitted { stages, peer, ending, .. } = accepted_at(at(2)) else { unreachable!() };
        let asides = vec![noisy.clone(); 1_000];
        let change = Change { what: "banner".into(), was: noisy.words.clone(), is: noisy.words };
        let attempt = Attempt { changes: vec![change; 1_000], ..Attempt::default() };
        let mut case = after([Fact::Submitted { stages, peer, asides, ending, attempt }]);
        assert_eq!(case.record.evidence.len(), Record::MAX_EVIDENCE);
        for uid in 1..=5_000 {
            let again = Sighting { copy: copy("INBOX", 1, uid), ..seen(at(5)) };
            case = learn(&case, Fact::Sighted(again), at(200)).unwrap_or(case);
        }
        assert!(case.record.duplicates > 0);
        let size = serde_json::to_string(&case).expect("JSON").len();
        assert!(size < 64 * 1_024, "{size} bytes: a mailbox that shows copy after copy fills the ledger");
    }

    prop_compose! {
        fn some_time()(micro in 0..200_000_000_i64) -> Timestamp { micros(micro) }
    }

    prop_compose! {
        fn some_sighting()(
            (visible_at, absent_at, date) in
                (some_time(), proptest::option::of(some_time()), proptest::option::of(0..200_i64)),
            (junk, intact, validity, uid) in (any::<bool>(), any::<bool>(), 1..3_u32, 1..4_u32),
        ) -> Sighting {
            let folder = if junk { "Junk" } else { "INBOX" };
            let internal_date = date.map(at);
            let copy = copy(folder, validity, uid);
            Sighting { copy, absent_at, internal_date, junk, intact, ..seen(visible_at) }
        }
    }

    fn some_ending() -> impl Strategy<Value = Fact> {
        let stage = proptest::sample::select(Stage::ALL);
        let class = proptest::sample::select(Class::ALL);
        prop_oneof![
            some_time().prop_map(accepted_at),
            (stage, class).prop_map(|(stage, class)| failed(stage, class, "some")),
            Just(failed(Stage::Auth, Class::Auth, SIGN_IN_HELD)),
            Just(no_reply()),
            proptest::option::of(some_time()).prop_map(|next| put_off_until(next, "450 4.7.1 later")),
        ]
    }

    fn some_report() -> impl Strategy<Value = Fact> {
        use mailsonar_protocol::ReportKind::{Delayed, Delivered, Failed};
        (proptest::sample::select(vec![Failed, Delayed, Delivered]), 0..9_u8).prop_map(|(kind, words)| {
            let (reporter, recipient, status) = ("mx.far.example".into(), "a@b".into(), "5.0.0".into());
            Fact::Reported(Report {
                at: at(1),
                kind,
                reporter,
                recipient,
                status,
                words: words.to_string().as_str().into(),
            })
        })
    }

    fn some_fact() -> impl Strategy<Value = Fact> {
        prop_oneof![
            1 => some_ending(),
            1 => Just(Fact::Interrupted),
            1 => Just(Fact::Retrying),
            1 => Just(Fact::GivenUp),
            3 => some_sighting().prop_map(Fact::Sighted),
            2 => some_time().prop_map(|begun_at| Fact::SearchedInVain { begun_at }),
            1 => Just(shut()),
            2 => some_report(),
        ]
    }

    proptest! {
        #[test]
        fn whatever_is_learned_in_whatever_order_the_record_stays_sound(
            facts in proptest::collection::vec((some_fact(), some_time()), 0..24)
        ) {
            let mut case = fresh(1);
            for (fact, now) in facts {
                let Some(next) = learn(&case, fact, now) else { continue };
                prop_assert_eq!(next.record.revision, case.record.revision + 1);
                let (was, is) = (&case.record, &next.record);
                prop_assert_ne!(&Record { revision: is.revision, ..was.clone() }, is, "a revision without news");
                prop_assert!(is.duplicates >= was.duplicates);
                prop_assert!(is.evidence.len() <= Record::MAX_EVIDENCE);
                prop_assert_eq!(is.verdict.outcome.has_arrived(), is.arrival.is_some());
                if is_put_off(is) {
                    prop_assert!(is.verdict.outcome == Outcome::InFlight && !next.submitted && is.accepted.is_none());
                }
                if was.arrival.is_some() {
                    prop_assert_eq!(&was.arrival, &is.arrival, "once arrived, always arrived");
                }
                if is.verdict.outcome == Outcome::Lost {
                    prop_assert!(is.accepted.is_some());
                    prop_assert!(is.searched_at.is_some_and(|searched| searched >= is.due_at), "I5");
                }
                case = next;
            }
            // The ledger keeps it as JSON: it must come back as it was.
            let json = serde_json::to_string(&case).expect("JSON");
            prop_assert_eq!(serde_json::from_str::<Case>(&json).expect("a case"), case);
        }

        #[test]
        fn seen_before_or_after_its_acceptance_was_read_a_message_has_one_outcome(
            accepted in 0..30_000_000_i64, sighting in some_sighting()
        ) {
            same_either_way(&accepted_at(micros(accepted)), &sighting);
        }
    }
}
