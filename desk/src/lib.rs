//! One database, one clerk: the way the house keeps what must not be lost.
//!
//! A [`Desk`] takes jobs, each a closure over a SQLite connection, and answers each after its work
//! is on disk (WAL with `synchronous=FULL`). Jobs that wait together are committed together, so that
//! a hundred of them cost one fsync; a job that fails, or panics, is undone alone.
//!
//! In production the clerk is a thread of its own, so that a slow disk delays no network traffic.
//! [`Desk::inline`] works at once on the caller instead: under simulated time that makes a run
//! repeatable, since no thread's speed decides what comes first. The jobs are the same.
//!
//! Whoever has more than a connection gives the desk a value that borrows as one: see [`Desk`]; whoever
//! has another engine, a [`Book`] of its own.
//! A second desk over a read-only connection to the same file answers long questions while the first
//! one writes.
//!
//! Knows SQLite; knows no table.

mod book;
mod clerk;
mod error;
mod file;

use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::oneshot;

pub use book::Book;
use clerk::{Task, Work, perform};
pub use error::DeskError;
pub use file::{is_sound, keep_plans, open, set_aside};

/// The most jobs that share one commit.
const GROUP: usize = 256;

/// Jobs that may wait beyond those that are worked on.
const QUEUE: usize = 1_024;

/// The way to one database. Cloned freely; when the last is dropped the database is closed.
///
/// `S` is what jobs get: a connection, or something that has one and knows its tables.
pub struct Desk<S = Connection> {
    way: Way<S>,
    tells_overload: bool,
}

enum Way<S> {
    Thread(mpsc::Sender<Work<S>>),
    Inline(Arc<Mutex<S>>),
}

impl<S> Clone for Desk<S> {
    fn clone(&self) -> Self {
        let way = match &self.way {
            Way::Thread(sender) => Way::Thread(sender.clone()),
            Way::Inline(state) => Way::Inline(Arc::clone(state)),
        };
        Self { way, tells_overload: self.tells_overload }
    }
}

impl<S> std::fmt::Debug for Desk<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.way {
            Way::Thread(_) => "Desk(thread)",
            Way::Inline(_) => "Desk(inline)",
        })
    }
}

impl<S: Book + Send + 'static> Desk<S> {
    /// A desk whose clerk is a thread named `name`.
    pub fn threaded(state: S, name: &str) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        std::thread::Builder::new().name(name.to_owned()).spawn(move || clerk(state, receiver))?;
        Ok(Self { way: Way::Thread(sender), tells_overload: false })
    }

    /// A desk that works on its callers' own time.
    pub fn inline(state: S) -> Self {
        Self { way: Way::Inline(Arc::new(Mutex::new(state))), tells_overload: false }
    }

    /// The same desk, but where too many jobs wait a caller is told so at once, by
    /// [`DeskError::Overloaded`], instead of waiting for its place.
    #[must_use]
    pub fn telling_overload(self) -> Self {
        Self { tells_overload: true, ..self }
    }

    /// Has a job done. `Ok` means that what it wrote is on disk; on an error nothing of it is kept.
    ///
    /// A job may be in the queue when the caller stops waiting: it is done all the same.
    pub async fn run<R, F>(&self, job: F) -> Result<R, DeskError>
    where
        R: Send + 'static,
        F: FnOnce(&S) -> Result<R, DeskError> + Send + 'static,
    {
        self.attempt(job).await?
    }

    /// As [`run`](Self::run), for a job that may find a reason of its own to be undone: that is the
    /// inner error. The outer one is the desk's, and says why there is no answer.
    pub async fn attempt<R, E, F>(&self, job: F) -> Result<Result<R, E>, DeskError>
    where
        R: Send + 'static,
        E: Display + Send + 'static,
        F: FnOnce(&S) -> Result<R, E> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.hand_over(Work::Job(Box::new(Task::new(job, answer)))).await?;
        answered.await.unwrap_or(Err(DeskError::Closed))
    }

    /// Has something done between two transactions, to the state itself: to open the file anew, say.
    pub async fn between<R, F>(&self, work: F) -> Result<R, DeskError>
    where
        R: Send + 'static,
        F: FnOnce(&mut S) -> R + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let work = Box::new(move |state: &mut S| {
            answer.send(work(state)).ok();
        });
        self.hand_over(Work::Between(work)).await?;
        answered.await.map_err(|_| DeskError::Interrupted)
    }

    async fn hand_over(&self, work: Work<S>) -> Result<(), DeskError> {
        match &self.way {
            Way::Inline(state) => {
                perform(&mut *state.lock().unwrap_or_else(PoisonError::into_inner), vec![work]);
                Ok(())
            }
            Way::Thread(sender) if self.tells_overload => {
                sender.try_send(work).map_err(|error| match error {
                    TrySendError::Full(_) => DeskError::Overloaded,
                    TrySendError::Closed(_) => DeskError::Closed,
                })
            }
            Way::Thread(sender) => sender.send(work).await.map_err(|_| DeskError::Closed),
        }
    }
}

fn clerk<S: Book>(mut state: S, mut waiting: mpsc::Receiver<Work<S>>) {
    let mut taken = Vec::new();
    while waiting.blocking_recv_many(&mut taken, GROUP) > 0 {
        perform(&mut state, std::mem::take(&mut taken));
    }
}

#[cfg(test)]
mod tests;
