//! Pages that are owed to notifiers, until they are delivered.

use jiff::Timestamp;

use super::engine::{Row, params};
use super::{Incident, IncidentState, Store, StoreError, document, time, us};
use crate::notify::{Page, Status};

/// A page to be owed from now on.
#[derive(Debug, Clone, PartialEq)]
pub struct Owed {
    /// Its id, the same at every attempt.
    pub id: String,
    /// The incident it is about.
    pub incident: String,
    /// The notifier it is for.
    pub notifier: String,
    /// Its place among the pages of this incident and notifier: the trigger is the first, the resolve the last.
    pub place: i64,
    /// The page, as JSON.
    pub body: String,
}

/// A page that is owed, and how often it was tried.
#[derive(Debug, Clone, PartialEq)]
pub struct Due {
    /// The page.
    pub owed: Owed,
    /// How often it was tried.
    pub attempts: u32,
    /// How many of these were refused for good.
    pub refusals: u32,
    /// Since when it is owed.
    pub created_at: Timestamp,
    /// When it is to be tried next.
    pub next_attempt_at: Timestamp,
}

/// The page of an incident that a notifier was owed last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastPage {
    /// Its place.
    pub place: i64,
    /// When it was delivered or given up.
    pub done_at: Option<Timestamp>,
}

/// Only the first page of each incident that is still owed may go: a resolve never overtakes.
const SELECT: &str =
    "SELECT id, incident, notifier, place, body, attempts, refusals, next_attempt_at, created_at
     FROM outbox WHERE notifier = ?1 AND state = 'pending' AND NOT EXISTS
         (SELECT 1 FROM outbox AS earlier WHERE earlier.incident = outbox.incident
             AND earlier.notifier = outbox.notifier AND earlier.state = 'pending'
             AND earlier.place < outbox.place)
     ORDER BY next_attempt_at, created_at, id LIMIT ?2";

/// Of each incident the newest page that was delivered, unless the incident ended and its resolve is
/// still owed, or was delivered long ago.
const STANDING: &str = "SELECT outbox.body, incidents.document FROM outbox
     JOIN incidents ON incidents.id = outbox.incident
     WHERE outbox.notifier = ?1 AND outbox.state = 'delivered' AND NOT EXISTS
         (SELECT 1 FROM outbox AS newer WHERE newer.incident = outbox.incident
             AND newer.notifier = outbox.notifier AND newer.state = 'delivered' AND newer.place > outbox.place)
         AND (incidents.state = 'open' OR outbox.done_at > ?2)
     ORDER BY outbox.created_at, outbox.id";

impl Store {
    /// Owes a page from now on. One that is owed or was sent already is left as it is.
    pub fn owe(&self, owed: &Owed, now: Timestamp) -> Result<(), StoreError> {
        self.engine.execute(
            "INSERT INTO outbox (id, incident, notifier, place, state, created_at, attempts, refusals,
                     next_attempt_at, last_result, body)
                 VALUES (?1, ?2, ?3, ?4, 'pending', ?5, 0, 0, ?5, '', ?6) ON CONFLICT DO NOTHING",
            params![&owed.id, &owed.incident, &owed.notifier, owed.place, us(now), &owed.body],
        )?;
        Ok(())
    }

    /// The notifiers that were owed the trigger of an incident, and so are owed its resolve.
    pub fn notifiers_of(&self, incident: &str) -> Result<Vec<String>, StoreError> {
        self.engine.rows(
            "SELECT notifier FROM outbox WHERE incident = ?1 AND place = 1 ORDER BY notifier",
            params![incident],
            |row| row.get(0),
        )
    }

    /// The page of an incident that a notifier was owed last, if any.
    pub fn last_page(&self, incident: &str, notifier: &str) -> Result<Option<LastPage>, StoreError> {
        self.engine.first(
            "SELECT place, done_at FROM outbox WHERE incident = ?1 AND notifier = ?2
             ORDER BY place DESC LIMIT 1",
            params![incident, notifier],
            |row| Ok(LastPage { place: row.get(0)?, done_at: row.get::<Option<i64>>(1)?.map(time) }),
        )
    }

    /// Whether a page is or was owed.
    pub fn has_page(&self, id: &str) -> Result<bool, StoreError> {
        self.engine.exists("SELECT 1 FROM outbox WHERE id = ?1", params![id])
    }

    /// The pages that a notifier is to be tried with next, now or later, the earliest first.
    pub fn next_due(&self, notifier: &str, most: u32) -> Result<Vec<Due>, StoreError> {
        self.engine.rows(SELECT, params![notifier, most], read)
    }

    /// What a notifier was told and still stands: of each open incident the newest page it took, with
    /// what the incident says now; and the resolves that were delivered since `since`.
    pub fn standing_pages(&self, notifier: &str, since: Timestamp) -> Result<Vec<Page>, StoreError> {
        let rows = self.engine.rows(STANDING, params![notifier, us(since)], |row| {
            let (page, incident): (Page, Incident) = (document(row)?, serde_json::from_str(row.get(1)?)?);
            Ok((page, incident))
        })?;
        let mut pages = Vec::new();
        for (mut page, incident) in rows {
            match (incident.state, page.status) {
                (_, Status::Resolve) => {}
                (IncidentState::Open, _) => page.summary = incident.summary,
                // Its resolve is owed, and goes first.
                (IncidentState::Resolved, _) => continue,
            }
            pages.push(page);
        }
        Ok(pages)
    }

    /// Whether an incident's first page has reached nobody, though it is owed since before `since`.
    pub fn nobody_reached(&self, since: Timestamp) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM outbox WHERE state = 'pending' AND place = 1 AND created_at < ?1
                       AND NOT EXISTS (SELECT 1 FROM outbox AS other WHERE other.incident = outbox.incident
                           AND other.state = 'delivered')";
        self.engine.exists(sql, params![us(since)])
    }

    /// A page was delivered, or is given up.
    pub fn settle(&self, id: &str, delivered: bool, result: &str, now: Timestamp) -> Result<(), StoreError> {
        let state = if delivered { "delivered" } else { "given_up" };
        self.engine.execute(
            "UPDATE outbox SET state = ?2, done_at = ?3, last_result = ?4, attempts = attempts + 1
                 WHERE id = ?1",
            params![id, state, us(now), result],
        )?;
        Ok(())
    }

    /// A page was not delivered, and is to be tried again.
    pub fn postpone(&self, due: &Due, result: &str, next_attempt_at: Timestamp) -> Result<(), StoreError> {
        self.engine.execute(
            "UPDATE outbox SET attempts = ?2, refusals = ?3, next_attempt_at = ?4, last_result = ?5
                 WHERE id = ?1",
            params![&due.owed.id, due.attempts, due.refusals, us(next_attempt_at), result],
        )?;
        Ok(())
    }

    /// Gives up the pages owed to notifiers that are configured no more. Returns their names.
    pub fn abandon_all_but(&self, notifiers: &[String], now: Timestamp) -> Result<Vec<String>, StoreError> {
        let owed: Vec<String> =
            self.engine.rows("SELECT DISTINCT notifier FROM outbox WHERE state = 'pending'", &[], |row| {
                row.get(0)
            })?;
        let gone: Vec<String> = owed.into_iter().filter(|name| !notifiers.contains(name)).collect();
        for name in &gone {
            self.engine.execute(
                "UPDATE outbox SET state = 'given_up', done_at = ?2,
                         last_result = 'this notifier is configured no more'
                     WHERE state = 'pending' AND notifier = ?1",
                params![name, us(now)],
            )?;
        }
        Ok(gone)
    }

    /// How many pages are owed.
    pub fn owed(&self) -> Result<i64, StoreError> {
        let sql = "SELECT COUNT(*) FROM outbox WHERE state = 'pending'";
        Ok(self.engine.first(sql, &[], |row| row.get(0))?.unwrap_or(0))
    }
}

fn read(row: &Row<'_>) -> Result<Due, StoreError> {
    Ok(Due {
        owed: Owed {
            id: row.get(0)?,
            incident: row.get(1)?,
            notifier: row.get(2)?,
            place: row.get(3)?,
            body: row.get(4)?,
        },
        attempts: row.get(5)?,
        refusals: row.get(6)?,
        next_attempt_at: time(row.get(7)?),
        created_at: time(row.get(8)?),
    })
}
