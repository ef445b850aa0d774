//! Whether each verdict is what really happened, at any time and in the end: I4, I5, I9, I13.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use mailsonar_protocol::{Outcome, ProbeId, Record};
use mailsonar_sandbox::Delivery;

use super::{Aftermath, EXACT};
use crate::scenario::Act;
use crate::seeds::chaos::Chaos;

/// How much later than a record's uncertainty says a message may have been there, for the way to the agent.
const WAY: SignedDuration = SignedDuration::from_secs(1);

impl Aftermath {
    fn deliveries(&self) -> BTreeMap<ProbeId, Vec<&Delivery>> {
        let mut deliveries: BTreeMap<ProbeId, Vec<&Delivery>> = BTreeMap::new();
        for (probe, letter) in self.letters() {
            deliveries.entry(probe).or_default().extend(&letter.deliveries);
        }
        for copies in deliveries.values_mut() {
            copies.sort_by_key(|delivery| delivery.at);
        }
        deliveries
    }

    /// Each verdict is what really happened, and none that was wrong was ever given.
    pub(super) fn verdicts(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let deliveries = self.deliveries();
        for record in self.stored.values() {
            let delivered = deliveries.get(&record.probe).map_or(&[][..], Vec::as_slice);
            let mut ever = self.written.get(&record.probe).into_iter().flatten();
            let hasty = ever.find_map(|heard| hasty(&heard.record, delivered));
            for why in
                [hasty, contradicts(record, delivered), mistimed(record, delivered)].into_iter().flatten()
            {
                let outcome = record.verdict.outcome;
                broken.push(format!(
                    "{why}: {} is {outcome} ({}), due {}, route {}; delivered {:?}",
                    record.probe, record.verdict.reason, record.due_at, record.route, delivered
                ));
            }
        }
        broken
    }

    /// Each copy was counted, and once (I9). A folder whose messages got new UIDs hides a later copy.
    pub(super) fn counted(&self, chaos: &Chaos) -> Vec<String> {
        let renumbered = |act: &Act| matches!(act, Act::Renumber(..));
        if chaos.events.iter().flat_map(|event| &event.acts).any(renumbered) {
            return Vec::new();
        }
        let deliveries = self.deliveries();
        let copies = |record: &Record| deliveries.get(&record.probe).map_or(0, Vec::len);
        let known = |record: &Record| usize::from(record.arrival.is_some()) + record.duplicates as usize;
        let wrong = self.stored.values().filter(|record| known(record) != copies(record));
        wrong
            .map(|record| {
                let (known, copies) = (known(record), copies(record));
                format!("I9: of {} there were {copies} copies, and {known} are counted", record.probe)
            })
            .collect()
    }
}

/// Why a verdict of some moment was given too early, whatever it became later.
fn hasty(record: &Record, delivered: &[&Delivery]) -> Option<&'static str> {
    if record.verdict.outcome != Outcome::Lost {
        return None;
    }
    let Some(searched_at) = record.searched_at.filter(|at| *at >= record.due_at) else {
        return Some("I5: lost, and nobody looked after the deadline");
    };
    let there = |one: &&&Delivery| {
        one.at < searched_at - EXACT && one.removed.is_none_or(|removed| removed > record.verdict.at)
    };
    delivered.iter().find(there).map(|_| "I5: lost, while it lay in the mailbox")
}

/// Why a verdict is not what the truth says.
fn contradicts(record: &Record, delivered: &[&Delivery]) -> Option<&'static str> {
    let in_inbox = |delivery: &&&Delivery| delivery.folder == "INBOX";
    let first = delivered.first();
    let before_due = |delivery: &Delivery| delivery.at <= record.due_at - EXACT;
    let after_due = |delivery: &Delivery| delivery.at >= record.due_at - EXACT;
    let outcome = record.verdict.outcome;
    match outcome {
        Outcome::InFlight => Some("I15: it never came to a verdict"),
        Outcome::Lost if first.is_some_and(|first| before_due(first)) => {
            Some("I5: it was in the mailbox in time")
        }
        _ if outcome.has_arrived() && first.is_none() => Some("I9: it never was in a mailbox"),
        _ if !outcome.has_arrived() && first.is_some() => Some("I4: it arrived, and that was not learned"),
        Outcome::Delivered if !delivered.iter().any(|delivery| delivery.at <= record.due_at + EXACT) => {
            Some("I4: called in time, and it came after its deadline")
        }
        Outcome::Late if !first.is_some_and(|first| after_due(first)) => {
            Some("I4: called late, and it came before its deadline")
        }
        Outcome::Misfiled if delivered.iter().all(|delivery| in_inbox(&delivery)) => {
            Some("I9: it was not in Junk")
        }
        Outcome::Altered if !delivered.iter().any(|delivery| delivery.altered) => {
            Some("I9: it was not altered")
        }
        _ => None,
    }
}

/// Why the time of an arrival cannot be: seen before it was there, or surer than it could be (I13).
fn mistimed(record: &Record, delivered: &[&Delivery]) -> Option<&'static str> {
    let arrival = record.arrival.as_ref()?;
    if delivered.iter().all(|delivery| delivery.at > arrival.visible_at) {
        return Some("I13: seen before it was there");
    }
    let uncertain = SignedDuration::from_micros(i64::try_from(arrival.uncertainty_us).unwrap_or(i64::MAX));
    let not_before = arrival.visible_at.saturating_sub(uncertain).ok()?;
    // What came before its acceptance was read counts as a latency of nothing.
    let sent = record.accepted.as_ref().map_or(record.started_at, |accepted| accepted.at);
    let possible = |delivery: &&Delivery| delivery.at.saturating_add(WAY).is_ok_and(|at| at >= not_before);
    (not_before > sent && !delivered.iter().any(possible))
        .then_some("I13: its time is less sure than it says")
}
