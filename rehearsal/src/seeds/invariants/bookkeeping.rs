//! Whether every probe is in the books, once, and before anything is done about it: I1, I2, I3, I9.

use std::collections::BTreeMap;

use mailsonar_protocol::ProbeId;

use super::{Aftermath, probe_of};

impl Aftermath {
    /// Every probe has one record at the collector, its newest revision; none is there that no agent wrote,
    /// and none was sent before it was written down (I1, I2).
    pub(super) fn ledgers(&self) -> Vec<String> {
        let mut broken = Vec::new();
        for record in self.newest() {
            let probe = record.probe;
            match self.stored.get(&probe) {
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
        for (probe, letter) in self.letters() {
            match self.written.get(&probe).and_then(|revisions| revisions.first()) {
                None => broken.push(format!("I1: {probe} was sent and is in no ledger")),
                Some(first) if first.at > letter.accepted => {
                    broken.push(format!("I1: {probe} was in the ledger only after it was sent"));
                }
                Some(_) => {}
            }
        }
        broken
    }

    /// What was ours is gone from the mailboxes, after it was written down; the rest is as it was (I3, I9).
    pub(super) fn mailboxes(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let ours = |id: &&String| probe_of(id).is_some_and(|probe| self.written.contains_key(&probe));
        if let Some(id) = self.left.iter().find(ours) {
            broken.push(format!("I3: {id} was never removed from its mailbox"));
        }
        broken.extend(self.touched.iter().map(|what| format!("I9: mail of others was touched: {what}")));
        let mut removals: BTreeMap<ProbeId, Vec<_>> = BTreeMap::new();
        for (probe, letter) in self.letters() {
            let removed = letter.deliveries.iter().filter_map(|delivery| delivery.removed);
            removals.entry(probe).or_default().extend(removed);
        }
        for (probe, mut times) in removals {
            times.sort_unstable();
            let known_at = |at| {
                let revisions = self.written.get(&probe).into_iter().flatten();
                let newest = revisions.take_while(|heard| heard.at <= at).last();
                newest.map_or(0, |heard| {
                    usize::from(heard.record.arrival.is_some()) + heard.record.duplicates as usize
                })
            };
            let early = times.iter().enumerate().find(|(removed, at)| known_at(**at) <= *removed);
            if let Some((_, at)) = early {
                broken.push(format!("I3: {probe} was removed at {at}, before its record said that it came"));
            }
        }
        broken
    }
}
