//! What must hold after any day, however bad: DESIGN.md's invariants, against the mail service's own truth.
//!
//! Pure: the aftermath goes in, what is broken comes out.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use mailsonar_collector::notify::Status;
use mailsonar_collector::store::{Incident, IncidentState};
use mailsonar_protocol::{Outcome, ProbeId, Record};
use mailsonar_sandbox::{Delivery, Facts, Letter};

use super::chaos::Chaos;
use crate::simulation::Paged;

/// Times that may differ by this much say the same: INTERNALDATE has whole seconds.
const EXACT: SignedDuration = SignedDuration::from_secs(2);

/// Refused sign-ins that an account may see in an hour from each agent (I14).
const SIGN_INS: usize = 6;

/// Everything that was left behind.
#[derive(Debug)]
pub struct Aftermath {
    /// The newest revision of each record, by the agent that wrote it.
    pub written: BTreeMap<ProbeId, Record>,
    /// The same as the collector has it.
    pub stored: BTreeMap<ProbeId, Record>,
    /// The mail service's own truth.
    pub facts: Facts,
    /// Message-IDs of what lies in the mailboxes.
    pub left: Vec<String>,
    /// Every page.
    pub pages: Vec<Paged>,
    /// Every incident.
    pub incidents: Vec<Incident>,
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
    broken.extend(after.bookkeeping());
    broken.extend(after.verdicts());
    broken.extend(after.incidents());
    broken.extend(after.sign_ins());
    let probes = |id: &&String| probe_of(id).is_some_and(|probe| after.written.contains_key(&probe));
    if let Some(id) = after.left.iter().find(probes) {
        broken.push(format!("I3: {id} was never removed from its mailbox"));
    }
    let service = |paged: &&Paged| paged.page.leg != "monitoring";
    if let Some(paged) = after.pages.iter().filter(|_| chaos.own_trouble_only).find(service) {
        broken.push(format!("I6: a page although the service was well: {}", paged.page.summary));
    }
    broken
}

impl Aftermath {
    /// Whether nothing waits for anything any more.
    pub fn has_settled(&self) -> bool {
        let flying = self.stored.values().any(|record| record.verdict.outcome == Outcome::InFlight);
        let open = self.incidents.iter().any(|incident| incident.state == IncidentState::Open);
        let shipped = self.written.values().all(|record| self.has(record));
        !flying && !open && shipped && self.left.is_empty() && self.facts.in_queues() == 0
    }

    /// What still waits for something.
    pub fn unfinished(&self) -> String {
        let flying =
            self.stored.values().filter(|record| record.verdict.outcome == Outcome::InFlight).count();
        let owed = self.written.values().filter(|record| !self.has(record)).count();
        let open = self.incidents.iter().filter(|incident| incident.state == IncidentState::Open).count();
        let (held, left) = (self.facts.in_queues(), self.left.len());
        format!(
            "{flying} in flight, {owed} not at the collector, {open} incidents open, {held} queued, {left} in mailboxes"
        )
    }

    fn has(&self, record: &Record) -> bool {
        self.stored.get(&record.probe).is_some_and(|stored| stored.revision >= record.revision)
    }

    /// Every probe has one record at the collector, its newest revision, and none is there that no agent
    /// wrote (I1, I2).
    fn bookkeeping(&self) -> Vec<String> {
        let mut broken = Vec::new();
        for (probe, record) in &self.written {
            match self.stored.get(probe) {
                None => broken.push(format!("I2: the collector never heard of {probe}")),
                Some(stored) if stored != record => broken.push(format!(
                    "I2: {probe} is {} (revision {}) at the collector and {} (revision {}) at its agent",
                    stored.verdict.outcome, stored.revision, record.verdict.outcome, record.revision
                )),
                Some(_) => {}
            }
        }
        let invented = self.stored.keys().filter(|probe| !self.written.contains_key(probe));
        broken.extend(invented.map(|probe| format!("I1: nobody sent {probe}")));
        let mut sent = BTreeSet::new();
        for letter in self.letters() {
            sent.extend(probe_of(&letter.message_id));
        }
        let unknown = sent.iter().filter(|probe| !self.written.contains_key(probe));
        broken.extend(unknown.map(|probe| format!("I1: {probe} was sent and is in no ledger")));
        broken
    }

    /// Mail that agents sent; bounces have no sender.
    fn letters(&self) -> impl Iterator<Item = &Letter> {
        self.facts.letters.iter().filter(|letter| !letter.from.is_empty())
    }

    /// Each verdict is what really happened.
    fn verdicts(&self) -> Vec<String> {
        let mut deliveries: BTreeMap<ProbeId, Vec<&Delivery>> = BTreeMap::new();
        for letter in self.letters() {
            if let Some(probe) = probe_of(&letter.message_id) {
                deliveries.entry(probe).or_default().extend(&letter.deliveries);
            }
        }
        let mut broken = Vec::new();
        for record in self.stored.values() {
            let mut delivered = deliveries.remove(&record.probe).unwrap_or_default();
            delivered.sort_by_key(|delivery| delivery.at);
            if let Some(why) = contradicts(record, &delivered) {
                let outcome = record.verdict.outcome;
                broken.push(format!(
                    "{why}: {} is {outcome} ({}), due {}, route {}; delivered {:?}",
                    record.probe, record.verdict.reason, record.due_at, record.route, delivered
                ));
            }
        }
        broken
    }

    /// Each incident was paged and called off, under one key (I8).
    fn incidents(&self) -> Vec<String> {
        let mut broken = Vec::new();
        for incident in &self.incidents {
            for status in [Status::Trigger, Status::Resolve] {
                let page = |paged: &&Paged| {
                    paged.page.dedup_key == incident.dedup_key && paged.page.status == status
                };
                if !self.pages.iter().any(|paged| page(&paged)) {
                    let (id, leg, status) = (&incident.id, incident.leg, status.as_str());
                    broken.push(format!("I8: no {status} page for incident {id} ({leg})"));
                }
            }
        }
        let keys: BTreeSet<&str> =
            self.incidents.iter().map(|incident| incident.dedup_key.as_str()).collect();
        let stray = self.pages.iter().find(|paged| !keys.contains(paged.page.dedup_key.as_str()));
        broken.extend(stray.map(|paged| format!("I8: a page of no incident: {}", paged.page.summary)));
        broken
    }

    /// No account was refused more often than allowed in any hour (I14).
    fn sign_ins(&self) -> Vec<String> {
        let mut refused: BTreeMap<&str, Vec<Timestamp>> = BTreeMap::new();
        for login in self.facts.logins.iter().filter(|login| !login.granted) {
            refused.entry(&login.account).or_default().push(login.at);
        }
        let most = SIGN_INS * self.agents;
        let hour = SignedDuration::from_hours(1);
        let mut broken = Vec::new();
        for (account, times) in refused {
            let crowded = times
                .windows(most + 1)
                .map(|times| (times[0], times[most]))
                .find(|(first, last)| last.duration_since(*first) < hour);
            if let Some((first, _)) = crowded {
                broken.push(format!(
                    "I14: {account} was refused {} times in the hour from {}",
                    most + 1,
                    first
                ));
            }
        }
        broken
    }
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
            Some("late is late: it came after its deadline")
        }
        Outcome::Late if !first.is_some_and(|first| after_due(first)) => {
            Some("late is late: it came before its deadline")
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

/// The probe that a message is.
pub(super) fn probe_of(message_id: &str) -> Option<ProbeId> {
    message_id.split_once('.')?.0.parse().ok()
}
