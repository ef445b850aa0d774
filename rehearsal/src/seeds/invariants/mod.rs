//! What must hold after any day, however bad: DESIGN.md's invariants, against the mail service's own truth.
//!
//! Pure: the aftermath goes in, what is broken comes out. `docs/rehearsal.md` lists what is checked, and the
//! defects that were planted to see each check fail.

mod bookkeeping;
mod conduct;
mod told;
mod verdicts;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use mailsonar_collector::store::{Incident, IncidentState};
use mailsonar_protocol::{Outcome, ProbeId, Record};
use mailsonar_sandbox::{Facts, Letter};

use super::chaos::Chaos;
use crate::scenario::Noted;
use crate::simulation::{Heard, Paged};

/// Times that may differ by this much say the same: INTERNALDATE has whole seconds.
const EXACT: SignedDuration = SignedDuration::from_secs(2);

/// Everything that was left behind.
#[derive(Debug, Clone)]
pub struct Aftermath {
    /// When the day began.
    pub began: Timestamp,
    /// Every revision of each record, by the agent that wrote it, in order.
    pub written: BTreeMap<ProbeId, Vec<Heard>>,
    /// The newest as the collector has it.
    pub stored: BTreeMap<ProbeId, Record>,
    /// The mail service's own truth.
    pub facts: Facts,
    /// Message-IDs of what lies in the mailboxes.
    pub left: Vec<String>,
    /// Mail that is none of ours and is not where it was, or not as it was.
    pub touched: Vec<String>,
    /// Every page.
    pub pages: Vec<Paged>,
    /// Who is to get each page.
    pub notifiers: Vec<String>,
    /// Every incident.
    pub incidents: Vec<Incident>,
    /// What was found besides.
    pub findings: Vec<Noted>,
    /// What the collector shows to everybody.
    pub shown: String,
    /// What may be nowhere but on the wire.
    pub secrets: Vec<String>,
    /// How many agents there are.
    pub agents: usize,
    /// How long it took to recover; none if it never did.
    pub recovered_after: Option<SignedDuration>,
}

/// What is broken, each as a sentence. Empty where all is well.
pub fn broken(chaos: &Chaos, after: &Aftermath) -> Vec<String> {
    let mut broken = Vec::new();
    if after.recovered_after.is_none() {
        broken.push(format!("I15: not recovered: {}", after.unfinished()));
    }
    broken.extend(after.ledgers());
    broken.extend(after.mailboxes());
    broken.extend(after.verdicts());
    broken.extend(after.counted(chaos));
    broken.extend(after.incidents());
    broken.extend(after.false_alarms(chaos));
    broken.extend(after.missed_alarms(chaos));
    broken.extend(after.punctuality(chaos));
    broken.extend(after.sign_ins());
    broken.extend(after.discretion());
    broken
}

impl Aftermath {
    /// Whether nothing waits for anything any more.
    pub fn has_settled(&self) -> bool {
        self.flying() + self.owed() + self.open() + self.left.len() + self.facts.in_queues() == 0
    }

    /// What still waits for something.
    pub fn unfinished(&self) -> String {
        let (flying, owed, open) = (self.flying(), self.owed(), self.open());
        let (held, left) = (self.facts.in_queues(), self.left.len());
        format!(
            "{flying} in flight, {owed} not at the collector, {open} incidents open, {held} queued, {left} in mailboxes"
        )
    }

    fn flying(&self) -> usize {
        self.stored.values().filter(|record| record.verdict.outcome == Outcome::InFlight).count()
    }

    fn owed(&self) -> usize {
        self.newest().filter(|record| !self.has(record)).count()
    }

    fn open(&self) -> usize {
        self.incidents.iter().filter(|incident| incident.state == IncidentState::Open).count()
    }

    fn has(&self, record: &Record) -> bool {
        self.stored.get(&record.probe).is_some_and(|stored| stored.revision >= record.revision)
    }

    /// The newest revision of each record, as its agent wrote it.
    fn newest(&self) -> impl Iterator<Item = &Record> {
        self.written.values().filter_map(|revisions| revisions.last()).map(|heard| &heard.record)
    }

    /// Mail that agents sent; bounces have no sender.
    fn letters(&self) -> impl Iterator<Item = (ProbeId, &Letter)> {
        let sent = self.facts.letters.iter().filter(|letter| !letter.from.is_empty());
        sent.filter_map(|letter| Some((probe_of(&letter.message_id)?, letter)))
    }
}

/// The probe that a message is.
pub(super) fn probe_of(message_id: &str) -> Option<ProbeId> {
    message_id.split_once('.')?.0.parse().ok()
}
