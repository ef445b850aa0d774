//! One database, one clerk: the way the house keeps what must not be lost.
//!
//! A [`Desk`] takes jobs, each a closure over a SQLite connection, and answers each after its work
//! is on disk (WAL with `synchronous=FULL`). Jobs that wait together are committed together, so that
//! a hundred of them cost one fsync; a job that fails is undone alone.
//!
//! In production the clerk is a thread of its own, so that a slow disk delays no network traffic.
//! [`Desk::inline`] works at once on the caller instead: under simulated time that makes a run
//! repeatable, since no thread's speed decides what comes first. The jobs are the same.
//!
//! Knows SQLite; knows no table.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

/// The most jobs that share one commit.
const GROUP: usize = 512;

/// Jobs that may wait; more make their senders wait.
const QUEUE: usize = 4_096;

/// Why a job has no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DeskError {
    /// The database refused. What the job did is undone.
    #[error("database: {0}")]
    Database(Arc<rusqlite::Error>),
    /// What the job found cannot be read: a row written by something else.
    #[error("unreadable row: {0}")]
    Unreadable(String),
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
        let Self::Database(error) = self else { return false };
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

/// A job on its way through the queue.
trait Job: Send {
    /// Does the work; an error asks for it to be undone.
    fn work(&mut self, connection: &Connection) -> Result<(), DeskError>;
    /// Tells the caller, once the group is committed or is not.
    fn finish(self: Box<Self>, committed: Result<(), DeskError>);
}

struct Task<R, F> {
    job: Option<F>,
    result: Option<Result<R, DeskError>>,
    answer: oneshot::Sender<Result<R, DeskError>>,
}

impl<R, F> Job for Task<R, F>
where
    R: Send,
    F: FnOnce(&Connection) -> Result<R, DeskError> + Send,
{
    fn work(&mut self, connection: &Connection) -> Result<(), DeskError> {
        match self.job.take().map(|job| job(connection)) {
            Some(Err(error)) => {
                self.result = Some(Err(error.clone()));
                Err(error)
            }
            result => {
                self.result = result;
                Ok(())
            }
        }
    }

    fn finish(self: Box<Self>, committed: Result<(), DeskError>) {
        // Nobody may be waiting any more; the work is done all the same.
        self.answer.send(committed.and(self.result.unwrap_or(Err(DeskError::Closed)))).ok();
    }
}

/// The way to one database. Cloned freely; when the last is dropped the database is closed.
#[derive(Clone)]
pub struct Desk(Inner);

#[derive(Clone)]
enum Inner {
    Thread(mpsc::Sender<Box<dyn Job>>),
    Inline(Arc<Mutex<Connection>>),
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Inner::Thread(_) => "Desk(thread)",
            Inner::Inline(_) => "Desk(inline)",
        })
    }
}

impl Desk {
    /// A desk whose clerk is a thread named `name`.
    pub fn threaded(connection: Connection, name: &str) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        std::thread::Builder::new().name(name.to_owned()).spawn(move || clerk(connection, receiver))?;
        Ok(Self(Inner::Thread(sender)))
    }

    /// A desk that works on its callers' own time.
    pub fn inline(connection: Connection) -> Self {
        Self(Inner::Inline(Arc::new(Mutex::new(connection))))
    }

    /// Has a job done. `Ok` means that what it wrote is on disk.
    ///
    /// A job may be in the queue when the caller stops waiting: it is done all the same.
    pub async fn run<R, F>(&self, job: F) -> Result<R, DeskError>
    where
        R: Send + 'static,
        F: FnOnce(&Connection) -> Result<R, DeskError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let task: Box<dyn Job> = Box::new(Task { job: Some(job), result: None, answer });
        match &self.0 {
            Inner::Thread(sender) => sender.send(task).await.map_err(|_| DeskError::Closed)?,
            Inner::Inline(connection) => {
                work(&mut connection.lock().unwrap_or_else(PoisonError::into_inner), vec![task]);
            }
        }
        answered.await.unwrap_or(Err(DeskError::Closed))
    }
}

fn clerk(mut connection: Connection, mut jobs: mpsc::Receiver<Box<dyn Job>>) {
    let mut group = Vec::new();
    while jobs.blocking_recv_many(&mut group, GROUP) > 0 {
        work(&mut connection, std::mem::take(&mut group));
    }
}

/// Does a group of jobs in one transaction, then tells each how it ended.
fn work(connection: &mut Connection, mut group: Vec<Box<dyn Job>>) {
    let committed = together(connection, &mut group);
    for job in group {
        job.finish(committed.clone());
    }
}

fn together(connection: &mut Connection, group: &mut [Box<dyn Job>]) -> Result<(), DeskError> {
    let mut transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for job in group {
        let savepoint = transaction.savepoint()?;
        match job.work(&savepoint) {
            Ok(()) => savepoint.commit()?,
            // A full disk makes SQLite undo the whole transaction, savepoints and all: the group's
            // trouble is then this job's.
            Err(error) => savepoint.finish().map_err(|_| error)?,
        }
    }
    Ok(transaction.commit()?)
}

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
    Ok(connection)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn table(connection: &Connection) {
        connection.execute_batch("CREATE TABLE t (n INTEGER PRIMARY KEY)").expect("a table");
    }

    fn insert(n: i64) -> impl FnOnce(&Connection) -> Result<usize, DeskError> + Send {
        move |connection| Ok(connection.execute("INSERT INTO t VALUES (?1)", [n])?)
    }

    async fn count(desk: &Desk) -> i64 {
        desk.run(|connection| Ok(connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0))?))
            .await
            .expect("counted")
    }

    #[tokio::test]
    async fn a_job_that_fails_is_undone_alone_in_both_kinds_of_desk() {
        for threaded in [true, false] {
            let connection = Connection::open_in_memory().expect("a database");
            table(&connection);
            let desk = if threaded {
                Desk::threaded(connection, "test").expect("a thread")
            } else {
                Desk::inline(connection)
            };
            desk.run(insert(1)).await.expect("inserted");
            let half = desk.run(|connection| {
                connection.execute("INSERT INTO t VALUES (2)", [])?;
                Ok(connection.execute("INSERT INTO t VALUES (1)", [])?)
            });
            assert!(half.await.is_err());
            desk.run(insert(3)).await.expect("inserted");
            assert_eq!(count(&desk).await, 2, "1 and 3, not 2");
        }
    }

    #[tokio::test]
    async fn jobs_that_wait_together_are_all_answered_and_all_there_after_reopening() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("x.db");
        let connection = open(&path).expect("opened");
        table(&connection);
        let desk = Desk::threaded(connection, "test").expect("a thread");
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..1_000 {
            let desk = desk.clone();
            tasks.spawn(async move { desk.run(insert(n)).await });
        }
        while let Some(done) = tasks.join_next().await {
            done.expect("no panic").expect("inserted");
        }
        // A second connection sees only what was committed.
        let other = open(&path).expect("opened");
        let there: i64 = other.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).expect("counted");
        assert_eq!(there, 1_000);
    }

    #[tokio::test]
    async fn a_full_disk_is_told_and_the_desk_lives_on_when_there_is_room_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let connection = open(&directory.path().join("x.db")).expect("opened");
        connection.execute_batch("CREATE TABLE t (n INTEGER PRIMARY KEY, x TEXT)").expect("a table");
        let limit = |pages: i64| {
            move |connection: &Connection| {
                Ok(connection
                    .query_row(&format!("PRAGMA max_page_count = {pages}"), [], |row| row.get::<_, i64>(0))?)
            }
        };
        let desk = Desk::threaded(connection, "test").expect("a thread");
        desk.run(limit(3)).await.expect("limited");
        let fill = |connection: &Connection| {
            Ok(connection.execute("INSERT INTO t (x) VALUES (zeroblob(100000))", [])?)
        };
        let error = desk.run(fill).await.expect_err("no room");
        assert!(error.is_disk_trouble(), "{error}");
        desk.run(limit(10_000)).await.expect("unlimited");
        desk.run(fill).await.expect("there is room again");
        assert_eq!(count(&desk).await, 1);
    }

    #[test]
    fn rubbish_is_recognised_and_set_aside_whole() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("x.db");
        std::fs::write(&path, vec![b'x'; 8_192]).expect("written");
        assert!(open(&path).is_err());
        let aside = set_aside(&path, "corrupt-1").expect("moved");
        assert_eq!(std::fs::read(aside).expect("kept").len(), 8_192);
        assert!(is_sound(&open(&path).expect("a new one")));
    }
}
