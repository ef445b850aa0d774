//! Why a job has no answer.

use std::sync::Arc;

/// Why a job has no answer. What it did is undone.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DeskError {
    /// The database refused.
    #[error("database: {0}")]
    Database(Arc<rusqlite::Error>),
    /// Another engine than SQLite refused, or is out of reach.
    #[error("{words}")]
    Engine {
        /// What it said.
        words: String,
        /// Whether connecting anew could help.
        gone: bool,
    },
    /// What the job found cannot be read: a row written by something else.
    #[error("unreadable row: {0}")]
    Unreadable(String),
    /// The job was good. Another one, of which these are the words, met a disk so full or so broken
    /// that the database undid the whole transaction they shared.
    #[error("undone along with another job, try again: {0}")]
    Undone(String),
    /// The job did not come to its end: it panicked.
    #[error("the job was interrupted")]
    Interrupted,
    /// Too many jobs wait, and this desk says so instead of letting its callers wait too.
    #[error("overloaded: too many jobs wait")]
    Overloaded,
    /// The clerk is gone; the process is ending.
    #[error("the database is closed")]
    Closed,
}

impl From<rusqlite::Error> for DeskError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(Arc::new(error))
    }
}

impl DeskError {
    /// Whether the disk or the database file is the trouble, rather than the job.
    pub fn is_disk_trouble(&self) -> bool {
        use rusqlite::ErrorCode as C;
        let error = match self {
            Self::Database(error) => error,
            Self::Undone(_) => return true,
            _ => return false,
        };
        matches!(
            error.sqlite_error_code(),
            Some(
                C::DiskFull
                    | C::SystemIoFailure
                    | C::ReadOnly
                    | C::DatabaseCorrupt
                    | C::NotADatabase
                    | C::CannotOpen
            )
        )
    }
}
