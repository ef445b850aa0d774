//! The collector's only durable state: agents, probes, incidents, and the pages owed to notifiers.
//!
//! [`Store`] is synchronous and knows one engine, SQLite. Its statements are kept portable, since a
//! second engine will come. What calls it, and when a transaction begins and ends, is the
//! [`Desks`]' business. It knows no HTTP, no clock, and decides nothing about mail.

mod agents;
mod anchors;
mod desks;
mod facts;
mod incidents;
mod mark;
mod outbox;
mod pages;
mod probes;
mod recent;
mod sheets;
mod silences;
mod sketch;
mod statement;
mod sweep;
mod tally;

use std::borrow::Borrow;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use mailsonar_desk::DeskError;
use mailsonar_settings::Duration;
use recent::Recent;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use serde::Deserialize;

pub use agents::{Agent, Hello};
pub use desks::{Desks, Failure};
pub use incidents::{Incident, IncidentState, Resolution};
pub use mark::Mark;
pub use outbox::{Due, LastPage, Owed};
pub use pages::Outage;
pub use probes::{Cursor, InFlight, Merged, ProbeQuery, StoredProbe};
pub use sheets::{Sheet, SheetLane, SheetQuery};
pub use sketch::Sketch;
pub use statement::StatementLine;
pub use tally::{DAY_US, Day, QUARTER_US, Quarter};

/// The schema, in the order it grew. A file that was released is never changed.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_silences.sql"),
    include_str!("migrations/0003_tallies.sql"),
    include_str!("migrations/0004_sheets.sql"),
    include_str!("migrations/0005_pages_of_their_own.sql"),
    include_str!("migrations/0006_way.sql"),
    include_str!("migrations/0007_statements.sql"),
    include_str!("migrations/0008_anchors.sql"),
];

/// The schema's version from which on sheets are kept; an older store has them made once.
const SHEETS_SINCE: usize = 4;

/// How many bytes [`Store::try_space`] asks for.
const SPACE: usize = 256 * 1024;

/// Where the store is, and how long it keeps things.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The database file. A relative path is relative to the configuration file.
    pub path: PathBuf,
    /// How long probes and resolved incidents are kept.
    #[serde(default = "default_retention")]
    pub retention: Duration,
}

fn default_retention() -> Duration {
    Duration::from_secs(400 * 86_400)
}

/// The store cannot be used: words for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store cannot be used: {words}")]
pub struct StoreError {
    words: String,
    /// Whether opening the file anew could help.
    reopen: bool,
}

impl StoreError {
    fn new(words: impl Into<String>) -> Self {
        Self { words: words.into(), reopen: false }
    }

    /// The job did not come to its end.
    pub(crate) fn interrupted() -> Self {
        Self::new("the job was interrupted")
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::from(&error)
    }
}

impl From<&rusqlite::Error> for StoreError {
    fn from(error: &rusqlite::Error) -> Self {
        use ErrorCode::{CannotOpen, NotADatabase, ReadOnly, SystemIoFailure};
        let reopen =
            matches!(error.sqlite_error_code(), Some(SystemIoFailure | CannotOpen | ReadOnly | NotADatabase));
        Self { words: error.to_string(), reopen }
    }
}

impl From<DeskError> for StoreError {
    fn from(error: DeskError) -> Self {
        match error {
            DeskError::Database(error) => Self::from(&*error),
            error => Self::new(error.to_string()),
        }
    }
}

impl From<serde_json::Error> for StoreError {
    fn from(error: serde_json::Error) -> Self {
        Self::new(format!("a document in it cannot be read: {error}"))
    }
}

/// One open database.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    path: Option<PathBuf>,
    read_only: bool,
    recent: Recent,
}

impl Borrow<Connection> for Store {
    fn borrow(&self) -> &Connection {
        &self.connection
    }
}

impl Store {
    /// Opens (or makes) the database file and brings its schema up to date.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = mailsonar_desk::open(path).map_err(|error| {
            StoreError::new(format!(
                "{} cannot be opened: {error}; check that it is a database of the collector's, or that its \
                 directory is there and can be written",
                path.display()
            ))
        })?;
        let store =
            Self { connection, path: Some(path.to_owned()), read_only: false, recent: Recent::default() };
        store.prepare()?;
        Ok(store)
    }

    /// A database that lives and dies with this value.
    pub fn in_memory() -> Result<Self, StoreError> {
        let store = Self {
            connection: Connection::open_in_memory()?,
            path: None,
            read_only: false,
            recent: Recent::default(),
        };
        store.prepare()?;
        Ok(store)
    }

    /// One more connection to the same file, for reading; none to a store in memory.
    fn reader(&self) -> Result<Option<Self>, StoreError> {
        let Some(path) = self.path.clone() else { return Ok(None) };
        let connection = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        mailsonar_desk::keep_plans(&connection)?;
        Ok(Some(Self { connection, path: Some(path), read_only: true, recent: Recent::default() }))
    }

    /// Caps the file at so many pages of 4 KiB, as a full disk would; `None` lifts the cap.
    pub fn cap_pages(&self, pages: Option<u32>) -> Result<(), StoreError> {
        let pages = pages.unwrap_or(1_073_741_823);
        self.connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
        Ok(())
    }

    fn prepare(&self) -> Result<(), StoreError> {
        let c = &self.connection;
        mailsonar_desk::keep_plans(c)?;
        // SQLite's own measure of a page cache, 2 MB: batches are wider than an agent's rows.
        c.execute_batch("PRAGMA foreign_keys = ON; PRAGMA cache_size = -2000;")?;
        let version: usize = c.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0))? as usize;
        if version > MIGRATIONS.len() {
            return Err(StoreError::new(format!(
                "it was written by a newer mailsonar-collector (schema {version}, this one knows {}); \
                 run that version, or point [store] path at another file",
                MIGRATIONS.len()
            )));
        }
        for (at, migration) in MIGRATIONS.iter().enumerate().skip(version) {
            c.execute_batch(&format!("BEGIN IMMEDIATE; {migration}; PRAGMA user_version = {};", at + 1))?;
            if at + 1 == SHEETS_SINCE {
                self.fill_sheets()?;
            }
            c.execute_batch("COMMIT;")?;
        }
        Ok(())
    }

    /// Finds out whether rows that need space can be written, by writing and removing one. Opens the
    /// file anew first if that could help (which is all there is to do for a reader). Outside any
    /// transaction.
    fn try_space(&mut self, trouble: &StoreError) -> Result<(), StoreError> {
        // What was read may have been lost before it was committed.
        self.recent.forget();
        if let (true, Some(path)) = (trouble.reopen, self.path.clone()) {
            *self = match self.reader()? {
                Some(reader) if self.read_only => reader,
                _ => Self::open(&path)?,
            };
        }
        if self.read_only {
            return Ok(());
        }
        let c = &self.connection;
        let filler = "-".repeat(SPACE);
        c.execute(
            "INSERT INTO scratch (id, body) VALUES (1, ?1) ON CONFLICT (id) DO UPDATE SET body = ?1",
            [filler],
        )?;
        c.execute("DELETE FROM scratch", [])?;
        Ok(())
    }
}

impl Store {
    /// Writes something, so that it is known that the store takes what is written.
    pub fn mark_alive(&self) -> Result<(), StoreError> {
        self.connection.execute(
            "INSERT INTO scratch (id, body) VALUES (2, '') ON CONFLICT (id) DO UPDATE SET body = ''",
            [],
        )?;
        Ok(())
    }
}

/// Microseconds, as the tables keep times.
fn us(time: Timestamp) -> i64 {
    time.as_microsecond()
}

/// A time from the tables.
fn time(us: i64) -> Timestamp {
    Timestamp::from_microsecond(us).unwrap_or(if us < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

/// A word or name from the tables.
fn word<T: std::str::FromStr>(text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|_| StoreError::new(format!("{text:?} in it is not a word of this version")))
}
