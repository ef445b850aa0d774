//! The messages a mailbox is expected to receive, as the watcher knows them.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;
use mailsonar_protocol::{ProbeId, Record};

use super::pace;

/// What the spine tells a watcher.
#[derive(Debug, Clone)]
pub(super) enum Notice {
    /// A message is about to be handed over.
    Sending(ProbeId),
    /// It was accepted (or may have been), and is due.
    Sent(ProbeId, Due),
    /// It was not.
    NotSent(ProbeId),
}

/// When a message was accepted and when it must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    pub accepted_at: Timestamp,
    pub due_at: Timestamp,
}

impl Due {
    pub(super) fn of(record: &Record) -> Self {
        let accepted_at = record.accepted.as_ref().map_or(record.started_at, |accepted| accepted.at);
        Self { accepted_at, due_at: record.due_at }
    }
}

/// The messages awaited in one mailbox.
#[derive(Debug, Default)]
pub(super) struct Expected {
    handing_over: HashSet<ProbeId>,
    due: BTreeMap<ProbeId, Due>,
}

impl Expected {
    pub(super) fn hear(&mut self, notice: &Notice) {
        match *notice {
            Notice::Sending(probe) => {
                self.handing_over.insert(probe);
            }
            Notice::Sent(probe, due) => {
                // A message that was seen before its acceptance was read is expected no more.
                if self.handing_over.remove(&probe) {
                    self.due.insert(probe, due);
                }
            }
            Notice::NotSent(probe) => self.seen(probe),
        }
    }

    /// Expects a message that the ledger knew of.
    pub(super) fn expect(&mut self, probe: ProbeId, due: Due) {
        self.due.insert(probe, due);
    }

    /// Expects a message no more.
    pub(super) fn seen(&mut self, probe: ProbeId) {
        self.handing_over.remove(&probe);
        self.due.remove(&probe);
    }

    /// The messages whose deadline had passed at a time.
    pub(super) fn overdue(&self, at: Timestamp) -> Vec<ProbeId> {
        self.due.iter().filter(|(_, due)| due.due_at <= at).map(|(probe, _)| *probe).collect()
    }

    /// Whether anything is awaited at all.
    pub(super) fn is_empty(&self) -> bool {
        self.due.is_empty() && self.handing_over.is_empty()
    }

    /// The summary that the pace is made from.
    pub(super) fn summary(&self) -> pace::Awaited {
        pace::Awaited {
            handing_over: !self.handing_over.is_empty(),
            youngest: self.due.values().map(|due| due.accepted_at).max(),
            next_due: self.due.values().map(|due| due.due_at).min(),
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("a time")
    }

    #[test]
    fn a_message_seen_before_its_acceptance_was_read_is_not_waited_for() {
        let probe = ProbeId(Uuid::from_u128(1));
        let mut expected = Expected::default();
        expected.hear(&Notice::Sending(probe));
        assert!(expected.summary().handing_over);
        expected.seen(probe);
        expected.hear(&Notice::Sent(probe, Due { accepted_at: at(1), due_at: at(9) }));
        assert!(expected.is_empty());
    }

    #[test]
    fn the_youngest_sets_the_pace_and_the_oldest_the_deadline() {
        let mut expected = Expected::default();
        for n in 1..=3_u8 {
            let probe = ProbeId(Uuid::from_u128(n.into()));
            expected.hear(&Notice::Sending(probe));
            let due = Due { accepted_at: at(n.into()), due_at: at(10 + i64::from(n)) };
            expected.hear(&Notice::Sent(probe, due));
        }
        let summary = expected.summary();
        assert_eq!((summary.youngest, summary.next_due), (Some(at(3)), Some(at(11))));
        assert_eq!(expected.overdue(at(12)).len(), 2);
    }
}
