//! The ledger: the agent's only durable state.
//!
//! One row a probe, revised at each step. What is in flight and what the collector has not
//! acknowledged are both questions asked of it; there is no second spool to keep in step.
//!
//! What must hold:
//! - the row is on disk before the first SMTP byte leaves (I1);
//! - a revision is forgotten only after the collector's 2xx (I2);
//! - a message is deleted from the mailbox only after its record is committed (I3).
//!
//! Knows the database; decides nothing: [`crate::verdict`] does.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use mailsonar_desk::{Desk, DeskError};
use mailsonar_protocol::{AccountName, Acknowledgement, ProbeId, Record, RouteName};
use rusqlite::{Connection, OptionalExtension, Row};

use crate::verdict::{self, Case};

// Parameters are written ?1, not $1: SQLite takes $1 for a name, and numbers names as they appear.
const SCHEMA: &str = include_str!("schema.sql");
const SCHEMA_VERSION: i64 = 2;
/// What a ledger of version 1 lacks.
const SINCE_1: &str = "CREATE TABLE place (route TEXT PRIMARY KEY, millionths INTEGER NOT NULL);";

/// The ledger of one agent. Cloned freely.
#[derive(Debug, Clone)]
pub struct Ledger {
    desk: Desk,
}

/// A case before and after a fact was learned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Before; `None` for a new probe.
    pub before: Option<Record>,
    /// After.
    pub after: Record,
}

impl Change {
    /// Whether an attempt was put off.
    pub fn is_deferral(&self) -> bool {
        let count = |record: &Record| record.handover.deferrals.len();
        count(&self.after) > self.before.as_ref().map_or(0, count)
    }
}

/// What the ledger says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records whose newest revision is not acknowledged.
    pub unacknowledged: u64,
    /// Sent and not due yet, by route: how many, and when the oldest was begun.
    pub in_flight: HashMap<RouteName, (u64, Timestamp)>,
}

/// How opening the ledger went.
#[derive(Debug)]
pub struct Opened {
    /// The ledger.
    pub ledger: Ledger,
    /// Where an unreadable predecessor was put, and why.
    pub set_aside: Option<(PathBuf, String)>,
}

impl Ledger {
    /// Opens the ledger in a file, with a clerk of its own.
    ///
    /// A file that is damaged is set aside under a name with the time in it, and a new one begun: an
    /// agent that does not start watches nothing.
    ///
    /// # Errors
    /// Where the file can be neither opened nor moved: no disk, no permission.
    pub fn open(path: &Path, now: Timestamp) -> anyhow::Result<Opened> {
        let (connection, set_aside) = match prepared(path) {
            Ok(connection) => (connection, None),
            Err(error) if is_damage(&error) => {
                let suffix = format!("corrupt-{}", now.strftime("%Y%m%dT%H%M%SZ"));
                let aside = mailsonar_desk::set_aside(path, &suffix)?;
                (prepared(path)?, Some((aside, error.to_string())))
            }
            Err(error) => return Err(error.context(format!("ledger {}", path.display()))),
        };
        Ok(Opened { ledger: Self { desk: Desk::threaded(connection, "ledger")? }, set_aside })
    }

    /// A ledger in memory that works on its callers' own time: for one-shot checks and rehearsals.
    pub fn in_memory() -> anyhow::Result<Self> {
        let connection = Connection::open_in_memory()?;
        mailsonar_desk::keep_plans(&connection)?;
        migrate(&connection)?;
        Ok(Self { desk: Desk::inline(connection) })
    }

    /// The desk, for stages that keep a table of their own in the ledger's file.
    pub(crate) fn desk(&self) -> &Desk {
        &self.desk
    }

    /// Enters a new probe.
    pub async fn open_case(&self, case: Case) -> Result<Change, DeskError> {
        self.desk
            .run(move |db| {
                let record = &case.record;
                db.prepare_cached(
                    "INSERT INTO probe (id, account, route, revision, outcome, waiting, started_us, due_us, body)
                     VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6, ?7, ?8)",
                )?
                .execute((
                    record.probe.to_string(),
                    case.account.as_str(),
                    record.route.as_str(),
                    record.revision,
                    record.verdict.outcome.as_str(),
                    record.started_at.as_microsecond(),
                    record.due_at.as_microsecond(),
                    json(&case)?,
                ))?;
                Ok(Change { before: None, after: case.record })
            })
            .await
    }

    /// Revises a probe by a decision that sees it as it is. `None` where the decision changes nothing
    /// or the probe is not known.
    pub async fn revise<F>(&self, probe: ProbeId, decide: F) -> Result<Option<Change>, DeskError>
    where
        F: FnOnce(&Case) -> Option<Case> + Send + 'static,
    {
        self.desk
            .run(move |db| {
                let Some(case) = find(db, probe)? else { return Ok(None) };
                let Some(next) = decide(&case) else { return Ok(None) };
                db.prepare_cached(
                    "UPDATE probe SET revision = ?2, outcome = ?3, waiting = ?4, due_us = ?5, body = ?6
                     WHERE id = ?1",
                )?
                .execute((
                    probe.to_string(),
                    next.record.revision,
                    next.record.verdict.outcome.as_str(),
                    verdict::may_arrive(&next.record),
                    next.record.due_at.as_microsecond(),
                    json(&next)?,
                ))?;
                Ok(Some(Change { before: Some(case.record), after: next.record }))
            })
            .await
    }

    /// What is known of a probe.
    pub async fn case(&self, probe: ProbeId) -> Result<Option<Case>, DeskError> {
        self.desk.run(move |db| find(db, probe)).await
    }

    /// The probes to an account that may still arrive and were due after `since`.
    pub async fn waiting(&self, account: AccountName, since: Timestamp) -> Result<Vec<Record>, DeskError> {
        self.desk
            .run(move |db| {
                let sql = "SELECT body FROM probe WHERE waiting = 1 AND account = ?1 AND due_us >= ?2
                           ORDER BY due_us";
                let mut query = db.prepare_cached(sql)?;
                let cases = readable(query.query_map((account.as_str(), since.as_microsecond()), body)?)?;
                Ok(cases.into_iter().map(|case| case.record).collect())
            })
            .await
    }

    /// The probes whose submission had begun and not ended: after a start, those that a restart
    /// interrupted, and those that wait for another attempt.
    pub async fn unfinished(&self) -> Result<Vec<Record>, DeskError> {
        self.desk
            .run(move |db| {
                let mut query = db.prepare("SELECT body FROM probe WHERE outcome = 'in_flight'")?;
                let cases = readable(query.query_map([], body)?)?;
                let unfinished = cases.into_iter().filter(|case| case.record.accepted.is_none());
                Ok(unfinished.map(|case| case.record).collect())
            })
            .await
    }

    /// Records that the collector does not have in their newest revision, oldest first, at most `limit`.
    pub async fn unacknowledged(&self, limit: usize) -> Result<Vec<Record>, DeskError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.desk
            .run(move |db| {
                let sql = "SELECT body FROM probe WHERE revision > acknowledged ORDER BY started_us LIMIT ?1";
                let mut query = db.prepare_cached(sql)?;
                let cases = readable(query.query_map([limit], body)?)?;
                Ok(cases.into_iter().map(|case| case.record).collect())
            })
            .await
    }

    /// Notes what the collector has. An acknowledgement of a revision that is outdated by now leaves
    /// the newer one to be shipped.
    pub async fn acknowledge(&self, acknowledged: Vec<Acknowledgement>) -> Result<(), DeskError> {
        self.desk
            .run(move |db| {
                let sql = "UPDATE probe SET acknowledged = ?2 WHERE id = ?1 AND acknowledged < ?2";
                let mut update = db.prepare_cached(sql)?;
                for Acknowledgement { probe, revision } in acknowledged {
                    update.execute((probe.to_string(), revision))?;
                }
                Ok(())
            })
            .await
    }

    /// How much is in flight and unacknowledged.
    pub async fn counts(&self) -> Result<Counts, DeskError> {
        self.desk
            .run(move |db| {
                let unacknowledged: i64 =
                    db.query_row("SELECT count(*) FROM probe WHERE revision > acknowledged", [], |row| row.get(0))?;
                let mut query = db.prepare_cached(
                    "SELECT route, count(*), min(started_us) FROM probe WHERE outcome = 'in_flight' GROUP BY route",
                )?;
                let rows = query.query_map([], |row| {
                    Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
                })?;
                let mut in_flight = HashMap::new();
                for row in rows {
                    let (route, count, oldest) = row?;
                    in_flight.insert(route.parse().map_err(unreadable)?, (count.unsigned_abs(), time(oldest)?));
                }
                Ok(Counts { unacknowledged: unacknowledged.unsigned_abs(), in_flight })
            })
            .await
    }

    /// Ends the watch for probes that were due before `horizon`, and removes those whose end the
    /// collector knows (all of them, where there is no collector). Returns how many were removed.
    pub async fn sweep(&self, horizon: Timestamp, has_collector: bool) -> Result<usize, DeskError> {
        self.desk
            .run(move |db| {
                // In slices, so that a sweep after a long absence does not hold up the probes.
                let removed = db.execute(
                    "DELETE FROM probe WHERE id IN (SELECT id FROM probe WHERE started_us < ?1 AND due_us < ?1
                     AND (revision <= acknowledged OR NOT ?2) ORDER BY started_us LIMIT 1000)",
                    (horizon.as_microsecond(), has_collector),
                )?;
                db.execute(
                    "UPDATE probe SET waiting = 0 WHERE waiting = 1 AND due_us < ?1",
                    [horizon.as_microsecond()],
                )?;
                Ok(removed)
            })
            .await
    }
}

fn prepared(path: &Path) -> anyhow::Result<Connection> {
    let connection = mailsonar_desk::open(path)?;
    if !mailsonar_desk::is_sound(&connection) {
        return Err(Damaged.into());
    }
    migrate(&connection)?;
    Ok(connection)
}

#[derive(Debug, thiserror::Error)]
#[error("the file is damaged")]
struct Damaged;

fn is_damage(error: &anyhow::Error) -> bool {
    use rusqlite::ErrorCode as C;
    let code = error.downcast_ref::<rusqlite::Error>().and_then(rusqlite::Error::sqlite_error_code);
    error.is::<Damaged>() || matches!(code, Some(C::NotADatabase | C::DatabaseCorrupt))
}

fn migrate(connection: &Connection) -> anyhow::Result<()> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    match version {
        0 => {
            connection
                .execute_batch(&format!("BEGIN; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"))?;
        }
        1 => {
            connection.execute_batch(&format!(
                "BEGIN; {SINCE_1} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            ))?;
        }
        SCHEMA_VERSION => {}
        newer => {
            anyhow::bail!("the ledger was written by a newer version (schema {newer}); use that version")
        }
    }
    Ok(())
}

fn find(db: &Connection, probe: ProbeId) -> Result<Option<Case>, DeskError> {
    let mut query = db.prepare_cached("SELECT body FROM probe WHERE id = ?1")?;
    query.query_row([probe.to_string()], body).optional()?.map(|text| case(&text)).transpose()
}

fn body(row: &Row<'_>) -> rusqlite::Result<String> {
    row.get(0)
}

/// The cases of the rows that can be read. One that cannot is reported and left where it is: it must
/// not keep the others from being watched.
fn readable(rows: impl Iterator<Item = rusqlite::Result<String>>) -> Result<Vec<Case>, DeskError> {
    let mut cases = Vec::new();
    for row in rows {
        match case(&row?) {
            Ok(case) => cases.push(case),
            Err(error) => tracing::error!(%error, "a row of the ledger cannot be read and is passed over"),
        }
    }
    Ok(cases)
}

fn json(case: &Case) -> Result<String, DeskError> {
    serde_json::to_string(case).map_err(unreadable)
}

fn case(text: &str) -> Result<Case, DeskError> {
    serde_json::from_str(text).map_err(unreadable)
}

fn time(micros: i64) -> Result<Timestamp, DeskError> {
    Timestamp::from_microsecond(micros).map_err(unreadable)
}

fn unreadable(error: impl std::fmt::Display) -> DeskError {
    DeskError::Unreadable(error.to_string())
}

#[cfg(test)]
mod tests;
