//! SQLite, in a file or in memory: the engine that needs nobody else.

use std::path::{Path, PathBuf};

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, ToSql};

use super::{Access, Row, Value};
use crate::store::StoreError;

/// One open connection.
#[derive(Debug)]
pub(crate) struct Sqlite {
    connection: Connection,
    path: Option<PathBuf>,
    access: Access,
}

impl Sqlite {
    /// Opens the file, or makes it.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = mailsonar_desk::open(path).map_err(|error| {
            StoreError::new(format!(
                "{} cannot be opened: {error}; check that it is a database of the collector's, or that its \
                 directory is there and can be written",
                path.display()
            ))
        })?;
        Self { connection, path: Some(path.to_owned()), access: Access::Write }.furnish()
    }

    /// A database that lives and dies with this value.
    pub(super) fn in_memory() -> Result<Self, StoreError> {
        let connection = Connection::open_in_memory()?;
        Self { connection, path: None, access: Access::Write }.furnish()
    }

    fn furnish(self) -> Result<Self, StoreError> {
        mailsonar_desk::keep_plans(&self.connection)?;
        // SQLite's own measure of a page cache, 2 MB: batches are wider than an agent's rows.
        self.connection.execute_batch("PRAGMA foreign_keys = ON; PRAGMA cache_size = -2000;")?;
        Ok(self)
    }

    /// One more connection to the same file, for reading; none to a database in memory.
    pub(super) fn reader(&self) -> Result<Option<Self>, StoreError> {
        let Some(path) = &self.path else { return Ok(None) };
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        mailsonar_desk::keep_plans(&connection)?;
        Ok(Some(Self { connection, path: Some(path.clone()), access: Access::Read }))
    }

    /// Opens the file anew, where there is one.
    pub(super) fn reopen(&mut self) -> Result<(), StoreError> {
        let anew = match (self.access, &self.path) {
            (Access::Read, _) => self.reader()?,
            (Access::Write, Some(path)) => Some(Self::open(path)?),
            (Access::Write, None) => None,
        };
        if let Some(anew) = anew {
            *self = anew;
        }
        Ok(())
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(super) fn access(&self) -> Access {
        self.access
    }

    pub(super) fn version(&self) -> Result<usize, StoreError> {
        Ok(self.connection.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0))? as usize)
    }

    pub(super) fn set_version(&self, version: usize) -> Result<(), StoreError> {
        Ok(self.connection.execute_batch(&format!("PRAGMA user_version = {version}"))?)
    }

    pub(super) fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<usize, StoreError> {
        Ok(self.connection.prepare_cached(sql)?.execute(rusqlite::params_from_iter(values))?)
    }

    pub(super) fn each<E: From<StoreError>>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        mut each: impl FnMut(&Row<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut statement = self.connection.prepare_cached(sql).map_err(StoreError::from)?;
        let mut rows = statement.query(rusqlite::params_from_iter(values)).map_err(StoreError::from)?;
        while let Some(row) = rows.next().map_err(StoreError::from)? {
            each(&Row::Sqlite(row))?;
        }
        Ok(())
    }

    /// Makes sure that nobody else has the file open: only then can it leave WAL, and come back.
    pub(super) fn be_alone(&self) -> Result<(), StoreError> {
        let Some(path) = &self.path else { return Ok(()) };
        let journal = |mode: &str| {
            self.connection.pragma_update_and_check(None, "journal_mode", mode, |row| row.get::<_, String>(0))
        };
        self.connection.busy_timeout(std::time::Duration::from_millis(200))?;
        let left = journal("DELETE");
        let back = journal("WAL");
        self.connection.busy_timeout(std::time::Duration::from_secs(5))?;
        if left.is_ok_and(|mode| mode == "delete") && back.is_ok() {
            return Ok(());
        }
        Err(StoreError::new(format!(
            "{} is in use by another program: stop the collector first",
            path.display()
        )))
    }

    /// Caps the file at so many pages of 4 KiB, as a full disk would; `None` lifts the cap.
    pub(super) fn cap_pages(&self, pages: Option<u32>) -> Result<(), StoreError> {
        let pages = pages.unwrap_or(1_073_741_823);
        Ok(self.connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?)
    }
}

/// A column's value.
pub(super) fn value<'r>(row: &'r rusqlite::Row<'_>, at: usize) -> Result<Value<'r>, StoreError> {
    Ok(match row.get_ref(at)? {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Int(number),
        ValueRef::Real(_) => return Err(StoreError::new("a row in it holds a fraction, which none does")),
        text @ ValueRef::Text(_) => Value::from(text.as_str().map_err(rusqlite::Error::from)?),
        ValueRef::Blob(bytes) => Value::from(bytes),
    })
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }))
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
        let gone =
            matches!(error.sqlite_error_code(), Some(SystemIoFailure | CannotOpen | ReadOnly | NotADatabase));
        Self { words: error.to_string(), reopen: gone }
    }
}
