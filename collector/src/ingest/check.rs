//! What a batch may say: bounds, and what cannot be true.

use jiff::{SignedDuration, Timestamp};
use mailsonar_protocol::{Batch, MAX_RECORDS, Record};

use super::Refusal;

/// How far beyond the moment it was sent a batch may speak of.
const FUTURE: SignedDuration = SignedDuration::from_mins(5);
/// The most routes, mailboxes and complaints one agent may have.
const MAX_ANNOUNCED: usize = 1_000;
/// The most steps one record may have.
const MAX_STEPS: usize = 256;

/// Refuses a batch that is out of bounds or cannot be true.
pub(super) fn batch(batch: &Batch) -> Result<(), Refusal> {
    let announced = [
        ("records", batch.records.len(), MAX_RECORDS),
        ("routes", batch.routes.as_ref().map_or(0, Vec::len), MAX_ANNOUNCED),
        ("mailboxes", batch.health.mailboxes.len(), MAX_ANNOUNCED),
        ("complaints", batch.health.complaints.len(), MAX_ANNOUNCED),
    ];
    for (what, count, most) in announced {
        if count > most {
            return Err(Refusal::TooLarge(format!("the batch has {count} {what}; {most} is the most")));
        }
    }
    for record in &batch.records {
        if let Some(words) = wrong(record) {
            return Err(Refusal::Unbelievable { record: record.probe, words });
        }
    }
    Ok(())
}

/// What cannot be true of a record. Times are compared only where one life of the agent wrote both:
/// an agent that restarts with another clock may well see a message before it was sent.
fn wrong(record: &Record) -> Option<String> {
    if record.revision == 0 {
        return Some("revision is 0; revisions count from 1".into());
    }
    if record.stages.len() > MAX_STEPS || record.evidence.len() > Record::MAX_EVIDENCE {
        return Some(format!(
            "{} stages and {} pieces of evidence are too many; {MAX_STEPS} and {} are the most",
            record.stages.len(),
            record.evidence.len(),
            Record::MAX_EVIDENCE
        ));
    }
    let started = record.started_at;
    if record.accepted.as_ref().is_some_and(|accepted| accepted.at < started) {
        return Some("accepted.at is before started_at".into());
    }
    (record.due_at < started).then(|| "due_at is before started_at".into())
}

/// Which of a record's times lies in the future of the batch that brought it.
///
/// Only for probes that are news: one that is known may have been started before the agent did anew,
/// by a clock that was set back since. To refuse it would leave the agent stuck behind it.
pub(super) fn future(record: &Record, sent_at: Timestamp) -> Option<String> {
    let latest = sent_at.saturating_add(FUTURE).unwrap_or(Timestamp::MAX);
    let times = [
        ("started_at", Some(record.started_at)),
        ("accepted.at", record.accepted.as_ref().map(|accepted| accepted.at)),
        ("arrival.visible_at", record.arrival.as_ref().map(|arrival| arrival.visible_at)),
        ("searched_at", record.searched_at),
        ("verdict.at", Some(record.verdict.at)),
        ("evidence.at", record.evidence.iter().map(|evidence| evidence.at).max()),
    ];
    for (what, time) in times {
        if let Some(time) = time.filter(|&time| time > latest) {
            return Some(format!("{what} {time} is more than 5 minutes after the batch was sent"));
        }
    }
    None
}
