//! The anchor outside: each day's evidence, chained to all before it, is told to somebody else once it is settled.
//!
//! ```text
//! head = SHA-256 of the line `HEAD-BEFORE HASH days/DATE.jsonl`; HASH is that of the file a pack has for the day
//! ```
//! A day is anchored once: its row and the notices that are owed are one transaction, so no restart tells
//! another head of it. What comes in later makes the pack's file another; `verify` says which lines did.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;
use mailsonar_protocol::ServiceName;
use mailsonar_settings::Duration;
use serde::Deserialize;
use tracing::{info, warn};

use super::contract::ContractFile;
use super::evidence;
use super::notices;
use super::period::{Day, Zone};
use crate::Collector;
use crate::store::{Store, StoreError};

/// `[statements.anchor]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Who is told each day's head; nothing is anchored if nobody is.
    pub notifiers: Vec<String>,
    /// How long after its end a day is anchored. Agents revise what they sent for seven days.
    pub after: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { notifiers: Vec::new(), after: Duration::from_secs(8 * 86_400) }
    }
}

/// A day of a contract's evidence on a service, as it was told outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// The contract's name.
    pub contract: String,
    /// The service.
    pub service: ServiceName,
    /// The day, by the contract's time zone.
    pub day: Date,
    /// The head of the day before; 64 zeros where there is none.
    pub head_before: String,
    /// SHA-256 of the day's file.
    pub hash: String,
    /// The head that was told.
    pub head: String,
    /// When the day was read.
    pub anchored_at: Timestamp,
}

/// The day to be anchored next, if it is settled: the one after the last; at first, the newest that is.
fn due(last: Option<Date>, zone: &Zone, after: Duration, now: Timestamp) -> Option<Day> {
    let settled = now.checked_sub(after.signed()).ok()?;
    let next = match last {
        Some(date) => date.tomorrow().ok()?,
        None => zone.date(settled).yesterday().ok()?,
    };
    zone.day(next).ok().filter(|day| day.end <= settled)
}

impl Collector {
    /// Anchors every day that is settled by now and was not anchored yet.
    pub async fn anchor_days(&self, now: Timestamp) {
        let statements = &self.config().statements;
        if statements.config.anchor.notifiers.is_empty() {
            return;
        }
        for file in &statements.contracts {
            for service in &file.contract.services {
                let contract = &file.contract.name;
                loop {
                    match self.anchor_next(file, service, now).await {
                        Ok(Some(anchor)) => {
                            info!(%contract, %service, day = %anchor.day, head = anchor.head, "day anchored");
                        }
                        Ok(None) => break,
                        Err(trouble) => {
                            warn!(%trouble, %contract, %service, "a day cannot be anchored now; it is tried again");
                            break;
                        }
                    }
                }
            }
        }
    }

    /// Anchors the next day of one service, if it is settled.
    async fn anchor_next(
        &self,
        file: &Arc<ContractFile>,
        service: &ServiceName,
        now: Timestamp,
    ) -> Result<Option<Anchor>, StoreError> {
        let config = self.config().statements.config.anchor.clone();
        let (file, service) = (Arc::clone(file), service.clone());
        let reading = move |store: &Store| next(store, &file, &service, config.after, now);
        let Some(anchor) = self.desks().read(reading).await? else { return Ok(None) };
        let written = anchor.clone();
        self.desks()
            .run(move |store| {
                if store.put_anchor(&written)? {
                    for owed in notices::owed(&notices::of_anchor(&written, now), &config.notifiers)? {
                        store.owe(&owed, now)?;
                    }
                }
                Ok::<_, StoreError>(())
            })
            .await?;
        self.wake_deliveries();
        Ok(Some(anchor))
    }
}

/// The next anchor, made but not written.
fn next(
    store: &Store,
    file: &ContractFile,
    service: &ServiceName,
    after: Duration,
    now: Timestamp,
) -> Result<Option<Anchor>, StoreError> {
    let contract = &file.contract;
    let last = store.last_anchor(contract.name.as_str(), service)?;
    let day = due(last.as_ref().map(|last| last.day), &contract.time_zone, after, now);
    let Some(day) = day else { return Ok(None) };
    let hash = evidence::day_hash(store, contract, service, &day)?;
    let head_before = last.map_or_else(|| evidence::BEGINNING.to_owned(), |last| last.head);
    Ok(Some(Anchor {
        contract: contract.name.to_string(),
        service: service.clone(),
        day: day.date,
        head: evidence::head(&head_before, &hash, &evidence::day_name(day.date)),
        head_before,
        hash,
        anchored_at: now,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_due_one_after_the_other_once_they_are_settled() {
        let zone: Zone = "Europe/Berlin".parse().expect("a zone");
        let after = Duration::from_secs(2 * 86_400);
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let date =
            |last: Option<Date>, now: &str| due(last, &zone, after, at(now)).map(|day| day.date.to_string());
        // Berlin's 1st of November ends at 23:00 UTC, and is settled two days later.
        assert_eq!(
            date(None, "2026-11-03T22:59:59Z").as_deref(),
            Some("2026-10-31"),
            "at first the newest that is"
        );
        assert_eq!(date(None, "2026-11-03T23:00:00Z").as_deref(), Some("2026-11-01"));
        let first = Some(Date::constant(2026, 10, 31));
        assert_eq!(date(first, "2026-11-03T22:59:59Z"), None);
        assert_eq!(date(first, "2026-11-03T23:00:00Z").as_deref(), Some("2026-11-01"));
        assert_eq!(date(first, "2027-01-01T00:00:00Z").as_deref(), Some("2026-11-01"), "none is left out");
    }
}
