//! The collector's only durable state: agents, probes, incidents, and the pages owed to notifiers.
//!
//! [`Store`] is synchronous and has one of two engines, SQLite or PostgreSQL; its statements are written
//! once, for both (see `engine/dialect.rs`). What calls it, and when a transaction begins and ends, is the
//! [`Desks`]' business. It knows no HTTP, no clock, and decides nothing about mail.

mod agents;
mod anchors;
mod copy;
mod desks;
mod engine;
mod facts;
mod incidents;
mod mark;
mod outbox;
mod pages;
mod place;
mod probes;
mod recent;
mod sheets;
mod silences;
mod sketch;
mod statement;
mod sweep;
mod tally;

use std::path::Path;

use engine::{Access, Engine, Row, params};
use jiff::Timestamp;
use mailsonar_desk::{Book, DeskError};
use recent::Recent;
use serde::de::DeserializeOwned;

pub use agents::{Agent, Hello};
pub use copy::{Inventory, copy};
pub use desks::{Desks, Failure};
pub use engine::Address;
pub use incidents::{Incident, IncidentState, Resolution};
pub use mark::Mark;
pub use outbox::{Due, LastPage, Owed};
pub use pages::Outage;
pub(crate) use place::Written;
pub use place::{Config, Place};
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

impl From<DeskError> for StoreError {
    fn from(error: DeskError) -> Self {
        match error {
            DeskError::Database(error) => Self::from(&*error),
            DeskError::Engine { words, gone } => Self { words, reopen: gone },
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
    engine: Engine,
    recent: Recent,
}

impl Book for Store {
    fn begin(&self) -> Result<(), DeskError> {
        self.engine.begin()
    }

    fn say(&self, statement: &str) -> Result<(), DeskError> {
        let said = self.engine.say(statement);
        if said.is_err() || statement == "ROLLBACK" {
            // What was read may have been lost before it was committed.
            self.recent.forget();
        }
        said
    }

    fn is_in_transaction(&self) -> bool {
        self.engine.is_in_transaction()
    }
}

impl Store {
    /// Opens (or makes) the database file and brings its schema up to date.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::of(Engine::file(path)?)
    }

    /// Connects to a PostgreSQL server and brings the schema there up to date.
    pub fn connect(address: &Address) -> Result<Self, StoreError> {
        Self::of(Engine::server(address)?)
    }

    /// A database that lives and dies with this value.
    pub fn in_memory() -> Result<Self, StoreError> {
        Self::of(Engine::memory()?)
    }

    fn of(engine: Engine) -> Result<Self, StoreError> {
        let store = Self { engine, recent: Recent::default() };
        store.prepare()?;
        Ok(store)
    }

    /// Makes this the one program that decides and pages by this database. A file is its keeper's anyway;
    /// on a server it holds as long as the connection, which the server ends where nothing is heard of it
    /// for eight seconds, and is claimed again with each new one.
    pub fn claim(&self) -> Result<(), StoreError> {
        self.engine.claim()
    }

    /// Whether connecting anew could help.
    pub(crate) fn may_come_back(error: &StoreError) -> bool {
        error.reopen
    }

    /// One more connection to the same database, for reading; none to a store in memory.
    fn reader(&self) -> Result<Option<Self>, StoreError> {
        Ok(self.engine.reader()?.map(|engine| Self { engine, recent: Recent::default() }))
    }

    /// Caps the file at so many pages of 4 KiB, as a full disk would; `None` lifts the cap.
    pub fn cap_pages(&self, pages: Option<u32>) -> Result<(), StoreError> {
        self.engine.cap_pages(pages)
    }

    /// Lets the schema grow, one migration in each transaction. Where several programs start at once, each
    /// does what is left to do when its turn comes.
    fn prepare(&self) -> Result<(), StoreError> {
        while self.engine.version()? != MIGRATIONS.len() {
            self.engine.begin()?;
            let version = self.engine.version()?;
            if version > MIGRATIONS.len() {
                return Err(StoreError::new(format!(
                    "it was written by a newer mailsonar-collector (schema {version}, this one knows {}); \
                     run that version, or point [store] at another database",
                    MIGRATIONS.len()
                )));
            }
            if let Some(migration) = MIGRATIONS.get(version) {
                self.engine.migrate(migration, version + 1)?;
                if version + 1 == SHEETS_SINCE {
                    self.fill_sheets()?;
                }
            }
            self.engine.say("COMMIT")?;
        }
        Ok(())
    }

    /// Finds out whether rows that need space can be written, by writing and removing one. Opens the
    /// database anew first if that could help (which is all there is to do for a reader). Outside any
    /// transaction.
    fn try_space(&mut self, trouble: &StoreError) -> Result<(), StoreError> {
        // What was read may have been lost before it was committed.
        self.recent.forget();
        let is_reader = self.engine.access() == Access::Read;
        if trouble.reopen {
            self.engine.reopen()?;
            if !is_reader {
                self.prepare()?;
            }
        }
        if is_reader {
            return Ok(());
        }
        let filler = "-".repeat(SPACE);
        self.engine.execute(
            "INSERT INTO scratch (id, body) VALUES (1, ?1) ON CONFLICT (id) DO UPDATE SET body = excluded.body",
            params![filler],
        )?;
        self.engine.execute("DELETE FROM scratch", &[])?;
        Ok(())
    }

    /// Writes something, so that it is known that the store takes what is written.
    pub fn mark_alive(&self) -> Result<(), StoreError> {
        self.engine.execute(
            "INSERT INTO scratch (id, body) VALUES (2, '') ON CONFLICT (id) DO UPDATE SET body = ''",
            &[],
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

/// The JSON document in the first column of a row.
fn document<T: DeserializeOwned>(row: &Row<'_>) -> Result<T, StoreError> {
    Ok(serde_json::from_str(row.get(0)?)?)
}
