//! What the benchmarks have in common: the machine and the tables, an agent over a fresh mail world,
//! what processes used, and how far behind the truth an arrival was seen.
#![allow(dead_code, reason = "each benchmark is a crate of its own, and uses a part of this")]

pub(crate) mod agent;
pub(crate) mod report;
pub(crate) mod usage;

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::{Context, Result};
use jiff::Timestamp;
use mailsonar_protocol::{ProbeId, Record};
use mailsonar_rehearsal::fleet::Programs;
use mailsonar_rehearsal::testbed::{Options, Testbed, Truth};

/// The programs under test: those of the same profile as this benchmark.
pub(crate) fn programs() -> Result<Programs> {
    Programs::find().context("`cargo bench` does not make the programs: run `cargo build --release` first")
}

/// A mail world nobody used yet: used mailboxes slow deliveries down.
pub(crate) fn fresh_bed(mailboxes: usize) -> Result<Testbed> {
    Testbed::start(&Options { accounts: mailboxes, ..Options::default() })
}

/// Where the testbed, the agent's ledger and the collector's store are.
pub(crate) fn place() -> PathBuf {
    "/tmp".into()
}

/// From one time to another, in microseconds.
pub(crate) fn micros(from: Timestamp, to: Timestamp) -> i64 {
    to.as_microsecond() - from.as_microsecond()
}

/// When each probe's first copy was delivered, by the wall clock.
pub(crate) struct Deliveries(HashMap<ProbeId, Timestamp>);

impl Deliveries {
    /// Takes what the truth has seen so far.
    pub(crate) fn of(truth: &Truth) -> Self {
        let mut first = HashMap::new();
        for delivery in truth.deliveries() {
            if let Some(probe) = delivery.probe {
                first.entry(probe).or_insert(delivery.wall);
            }
        }
        Self(first)
    }

    /// From the delivery to the sight of it, in microseconds.
    pub(crate) fn lag(&self, record: &Record) -> Option<i64> {
        Some(micros(*self.0.get(&record.probe)?, record.arrival.as_ref()?.visible_at))
    }

    /// From the delivery to the verdict, in microseconds.
    pub(crate) fn until_verdict(&self, record: &Record) -> Option<i64> {
        let delivered = *self.0.get(&record.probe)?;
        record.arrival.as_ref().map(|_| micros(delivered, record.verdict.at))
    }
}
