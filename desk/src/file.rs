//! The database's file: opened so that what is committed stays, looked at, put out of the way.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

/// Opens a database file, making it if need be, so that what is committed is on disk.
///
/// # Errors
/// Where the file cannot be opened or is no database. It is not touched then: see [`set_aside`].
pub fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // A page cache of 1 MiB: the tables are read by key, and memory is promised to be small.
    connection.pragma_update(None, "cache_size", -1_024)?;
    keep_plans(&connection)?;
    Ok(connection)
}

/// More statements than any of our programs has. `rusqlite` would keep 16, and prepare the rest anew.
const STATEMENTS: usize = 128;

/// Has a prepared statement keep its plan whatever is bound to it. SQLite would otherwise prepare anew
/// each statement whose parameter was once compared with the condition of a partial index. A partial
/// index is therefore used only where its condition is written out in the query.
///
/// # Errors
/// None that is known; SQLite could refuse.
pub fn keep_plans(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(())
}

/// Whether a database file passes SQLite's own quick check.
pub fn is_sound(connection: &Connection) -> bool {
    let verdict = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
    verdict.is_ok_and(|verdict| verdict == "ok")
}

/// Moves a database that cannot be read out of the way, keeping it for a person to look at.
/// Returns its new path: the old one with `.SUFFIX` behind it.
pub fn set_aside(path: &Path, suffix: &str) -> std::io::Result<PathBuf> {
    let with = |path: &Path, ending: &str| PathBuf::from(format!("{}{ending}", path.display()));
    let aside = with(path, &format!(".{suffix}"));
    std::fs::rename(path, &aside)?;
    for side in ["-wal", "-shm"] {
        match std::fs::rename(with(path, side), with(&aside, side)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(aside)
}
