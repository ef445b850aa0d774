//! The room with the two engines: SQLite, embedded, and PostgreSQL, when one machine is not enough.
//!
//! A statement is written once, with `?1`, `?2` for its values, and run by [`Engine::execute`] or read
//! row by row with [`Engine::rows`], [`Engine::first`] and [`Engine::each`]. What it must keep to so that
//! both take it stands in `dialect.rs`. This room knows databases; it knows no table but `house`.

mod address;
mod dialect;
mod line;
mod postgres;
mod sqlite;
mod value;

use std::path::Path;

pub use address::Address;
use mailsonar_desk::DeskError;

use super::StoreError;
use postgres::Postgres;
use sqlite::Sqlite;
pub(crate) use value::{Row, Value, params};

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everything.
    Write,
    /// Answers to people.
    Read,
}

/// A connection to one of the two.
#[derive(Debug)]
pub(crate) enum Engine {
    /// A file, or memory.
    Sqlite(Sqlite),
    /// A server.
    Postgres(Box<Postgres>),
}

impl Engine {
    /// Opens a SQLite file, making it if need be.
    pub(super) fn file(path: &Path) -> Result<Self, StoreError> {
        Sqlite::open(path).map(Self::Sqlite)
    }

    /// SQLite in memory.
    pub(super) fn memory() -> Result<Self, StoreError> {
        Sqlite::in_memory().map(Self::Sqlite)
    }

    /// Connects to PostgreSQL.
    pub(super) fn server(address: &Address) -> Result<Self, StoreError> {
        Ok(Self::Postgres(Box::new(Postgres::connect(address.clone(), Access::Write)?)))
    }

    /// One more connection, for reading; none to a database in memory.
    pub(super) fn reader(&self) -> Result<Option<Self>, StoreError> {
        match self {
            Self::Sqlite(sqlite) => Ok(sqlite.reader()?.map(Self::Sqlite)),
            Self::Postgres(server) => Ok(Some(Self::Postgres(Box::new(server.reader()?)))),
        }
    }

    /// Opens the database anew, where that could help. Outside any transaction.
    pub(super) fn reopen(&mut self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.reopen(),
            Self::Postgres(server) => server.reconnect(),
        }
    }

    /// What this connection is for.
    pub(super) fn access(&self) -> Access {
        match self {
            Self::Sqlite(sqlite) => sqlite.access(),
            Self::Postgres(server) => server.access(),
        }
    }

    /// How far the schema has grown.
    pub(super) fn version(&self) -> Result<usize, StoreError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.version(),
            Self::Postgres(server) => server.version(),
        }
    }

    /// Runs a migration, which brings the schema to `version`. Within a transaction.
    pub(super) fn migrate(&self, migration: &str, version: usize) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(sqlite) => {
                sqlite.connection().execute_batch(migration)?;
                sqlite.set_version(version)
            }
            Self::Postgres(server) => {
                server.batch(&dialect::migration(migration))?;
                server.set_version(version)
            }
        }
    }

    /// Runs a statement. Returns how many rows it changed.
    pub(super) fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<usize, StoreError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.execute(sql, values),
            Self::Postgres(server) => server.execute(sql, values),
        }
    }

    /// Runs a statement once for each of many rows of values, without waiting for each answer by itself.
    pub(super) fn execute_many(&self, sql: &str, rows: &[Vec<Value<'_>>]) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(sqlite) => rows.iter().try_for_each(|values| sqlite.execute(sql, values).map(drop)),
            Self::Postgres(server) => server.execute_many(sql, rows),
        }
    }

    /// Asks for one row for each of many rows of values, without waiting for each answer by itself.
    pub(super) fn first_many<T>(
        &self,
        sql: &str,
        rows: &[Vec<Value<'_>>],
        mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<Option<T>>, StoreError> {
        match self {
            Self::Sqlite(_) => rows.iter().map(|values| self.first(sql, values, &mut read)).collect(),
            Self::Postgres(server) => server.first_many(sql, rows, read),
        }
    }

    /// Keeps every other collector from a server's database; a file needs no such word.
    pub(super) fn claim(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(server) => server.claim(),
        }
    }

    /// Makes sure that nobody else uses the database.
    pub(super) fn be_alone(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.be_alone(),
            Self::Postgres(server) => server.claim(),
        }
    }

    /// Hands over the rows of an answer one by one; one is in memory at a time. What takes them must not
    /// come back to the engine.
    pub(super) fn each<E: From<StoreError>>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        each: impl FnMut(&Row<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            Self::Sqlite(sqlite) => sqlite.each(sql, values, each),
            Self::Postgres(server) => server.each(sql, values, each),
        }
    }

    /// Every row of an answer, as `read` reads it.
    pub(super) fn rows<T>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut rows = Vec::new();
        self.each(sql, values, |row| {
            rows.push(read(row)?);
            Ok::<_, StoreError>(())
        })?;
        Ok(rows)
    }

    /// The first row of an answer that is not expected to have more.
    pub(super) fn first<T>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        Ok(self.rows(sql, values, read)?.into_iter().next())
    }

    /// Whether there is any row.
    pub(super) fn exists(&self, sql: &str, values: &[Value<'_>]) -> Result<bool, StoreError> {
        Ok(self.first(sql, values, |_| Ok(()))?.is_some())
    }

    /// Caps a SQLite file at so many pages; PostgreSQL knows no such cap.
    pub(super) fn cap_pages(&self, pages: Option<u32>) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.cap_pages(pages),
            Self::Postgres(_) => Err(StoreError::new("PostgreSQL's size cannot be capped from here")),
        }
    }

    /// Begins a transaction: one that writes, unless this connection is for reading.
    pub(super) fn begin(&self) -> Result<(), DeskError> {
        match self {
            Self::Sqlite(sqlite) => mailsonar_desk::Book::begin(sqlite.connection()),
            Self::Postgres(server) => Ok(server.begin()?),
        }
    }

    /// Runs a statement that says how the transaction goes on or ends.
    pub(super) fn say(&self, statement: &str) -> Result<(), DeskError> {
        match self {
            Self::Sqlite(sqlite) => mailsonar_desk::Book::say(sqlite.connection(), statement),
            Self::Postgres(server) => Ok(server.say(statement)?),
        }
    }

    /// Whether the transaction that began is still there.
    pub(super) fn is_in_transaction(&self) -> bool {
        match self {
            Self::Sqlite(sqlite) => mailsonar_desk::Book::is_in_transaction(sqlite.connection()),
            Self::Postgres(server) => server.is_in_transaction(),
        }
    }
}

impl From<StoreError> for DeskError {
    fn from(error: StoreError) -> Self {
        Self::Engine { words: error.words, gone: error.reopen }
    }
}
