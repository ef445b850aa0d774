//! Revisions: what was issued stays; what is learned later makes a new one that says what changed.
//!
//! A statement's hash is the SHA-256 of its JSON. Pure, but for the one function that asks the store.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::document::{ClauseSubject, Statement};
use super::state::hex;
use crate::store::{Store, StoreError};

/// A statement that was issued.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Issued {
    /// Counts from 1.
    pub revision: u32,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// SHA-256 of `statement` as compact JSON.
    pub sha256: String,
    /// What is not as in the revision before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// What it states.
    pub statement: Statement,
}

/// Something that is not as in the revision before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What.
    pub what: String,
    /// What it was.
    pub was: String,
    /// What it is now.
    pub is: String,
}

/// The hash of a statement.
pub(super) fn sha256(statement: &Statement) -> Result<String, StoreError> {
    Ok(hex(&Sha256::digest(serde_json::to_vec(statement)?)))
}

/// The statement as it would be issued now, without recording it: as it stands already if nothing in it
/// is news.
pub fn as_if_issued(store: &Store, statement: Statement, now: Timestamp) -> Result<Issued, StoreError> {
    Ok(next(store, statement, now)?.0)
}

/// Issues a statement: as a new revision if anything in it is news, else what was issued stands.
/// True if it is new.
pub fn issue(store: &Store, statement: Statement, now: Timestamp) -> Result<(Issued, bool), StoreError> {
    let (issued, new) = next(store, statement, now)?;
    if new {
        store.put_statement(&issued)?;
    }
    Ok((issued, new))
}

fn next(store: &Store, statement: Statement, now: Timestamp) -> Result<(Issued, bool), StoreError> {
    let sha256 = sha256(&statement)?;
    let (contract, service) = (&statement.contract.name, &statement.service);
    let before = store.statement(contract, service, &statement.span.period, None)?;
    let mut issued = Issued { revision: 1, issued_at: now, sha256, changes: Vec::new(), statement };
    let Some(before) = before else { return Ok((issued, true)) };
    if before.sha256 == issued.sha256 {
        return Ok((before, false));
    }
    issued.revision = before.revision + 1;
    issued.changes = changes(&before.statement, &issued.statement);
    let span = &issued.statement.span;
    let late = store.heard_since(&issued.statement.service, (span.from, span.until), before.issued_at)?;
    if late > 0 {
        issued.changes.push(Change {
            what: format!("probes whose verdict came after revision {}", before.revision),
            was: "0".into(),
            is: late.to_string(),
        });
    }
    Ok((issued, true))
}

/// What is not the same in two statements on the same period.
pub fn changes(was: &Statement, is: &Statement) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut compare = |what: String, was: String, is: String| {
        if was != is {
            changes.push(Change { what, was, is });
        }
    };
    compare("contract".into(), was.contract.sha256.clone(), is.contract.sha256.clone());
    compare("stated until".into(), was.span.as_of.to_string(), is.span.as_of.to_string());
    for (view, was, is) in
        [("", &was.figures, &is.figures), (", with everything counted", &was.everything, &is.everything)]
    {
        let mut figure = |what: &str, was: String, is: String| compare(format!("{what}{view}"), was, is);
        figure("availability", was.availability.to_string(), is.availability.to_string());
        figure("uptime", was.uptime.to_string(), is.uptime.to_string());
        figure("reachability", was.reachability.to_string(), is.reachability.to_string());
        figure("probes that failed", failed(was), failed(is));
        figure("downtime that counts, seconds", was.counted_s.to_string(), is.counted_s.to_string());
        figure("messages that arrived", was.delivery.arrived.to_string(), is.delivery.arrived.to_string());
    }
    for (was, is) in was.clauses.iter().zip(&is.clauses) {
        if let (
            ClauseSubject::Delivery { measured_us: before, .. },
            ClauseSubject::Delivery { measured_us: now, .. },
        ) = (&was.subject, &is.subject)
        {
            compare("delivery time, microseconds".into(), shown(*before), shown(*now));
        }
        compare("credit of a clause, percent".into(), was.credit.to_string(), is.credit.to_string());
    }
    let due = |statement: &Statement| {
        let credit = &statement.credit;
        credit.amount.as_ref().map_or_else(|| format!("{} %", credit.percent), ToString::to_string)
    };
    compare("credit due".into(), due(was), due(is));
    let gone = was.downtimes.iter().filter(|old| !is.downtimes.iter().any(|new| span(new) == span(old)));
    let new = is.downtimes.iter().filter(|new| !was.downtimes.iter().any(|old| span(old) == span(new)));
    for downtime in gone {
        compare("downtime".into(), words(downtime), "none".into());
    }
    for downtime in new {
        compare("downtime".into(), "none".into(), words(downtime));
    }
    if changes.is_empty() {
        let what = "evidence, incidents, windows or coverage; the figures are the same".into();
        changes.push(Change { what, was: String::new(), is: String::new() });
    }
    changes
}

fn failed(figures: &super::document::Figures) -> String {
    (figures.reachability.whole - figures.reachability.part).to_string()
}

fn shown(us: Option<u64>) -> String {
    us.map_or_else(|| "-".into(), |us| us.to_string())
}

fn span(downtime: &super::document::Downtime) -> (Timestamp, Timestamp, u64) {
    (downtime.from, downtime.until, downtime.counted_s)
}

fn words(downtime: &super::document::Downtime) -> String {
    format!("{} to {}, of which {} s count", downtime.from, downtime.until, downtime.counted_s)
}
