//! The clerk: does what waits, the jobs in one transaction, each in a savepoint of its own.
//!
//! Knows no thread and no queue: it works on whoever calls it.

use std::borrow::Borrow;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rusqlite::{Connection, MAIN_DB};
use tokio::sync::oneshot;

use crate::DeskError;

/// A piece of work on its way through the queue.
pub(crate) enum Work<S> {
    /// Done within a transaction.
    Job(Box<dyn Job<S>>),
    /// Done between two transactions.
    Between(Box<dyn FnOnce(&mut S) + Send>),
}

/// A job, whatever it answers.
pub(crate) trait Job<S>: Send {
    /// Does the work; an error's words ask for it to be undone.
    fn work(&mut self, state: &S) -> Result<(), String>;
    /// Tells the caller, once the group is committed or is not.
    fn finish(self: Box<Self>, committed: Result<(), DeskError>);
}

/// A job and the way back to who gave it.
pub(crate) struct Task<R, E, F> {
    job: Option<F>,
    result: Option<Result<R, E>>,
    answer: oneshot::Sender<Result<Result<R, E>, DeskError>>,
}

impl<R, E, F> Task<R, E, F> {
    pub(crate) fn new(job: F, answer: oneshot::Sender<Result<Result<R, E>, DeskError>>) -> Self {
        Self { job: Some(job), result: None, answer }
    }
}

impl<S, R, E, F> Job<S> for Task<R, E, F>
where
    R: Send,
    E: Display + Send,
    F: FnOnce(&S) -> Result<R, E> + Send,
{
    fn work(&mut self, state: &S) -> Result<(), String> {
        let Some(job) = self.job.take() else { return Ok(()) };
        let result = self.result.insert(job(state));
        result.as_ref().map(drop).map_err(ToString::to_string)
    }

    fn finish(self: Box<Self>, committed: Result<(), DeskError>) {
        let told = match (self.result, committed) {
            // A reason of its own is truer than the group's.
            (Some(Err(reason)), _) => Ok(Err(reason)),
            (Some(Ok(answer)), Ok(())) => Ok(Ok(answer)),
            (None, _) if self.job.is_none() => Err(DeskError::Interrupted),
            (_, committed) => Err(committed.err().unwrap_or(DeskError::Interrupted)),
        };
        // Nobody may be waiting any more; the work is done all the same.
        self.answer.send(told).ok();
    }
}

/// Does what waits, in its order. Jobs that follow each other share one transaction.
pub(crate) fn perform<S: Borrow<Connection>>(state: &mut S, waiting: Vec<Work<S>>) {
    let mut group = Vec::new();
    for work in waiting {
        match work {
            Work::Job(job) => group.push(job),
            Work::Between(work) => {
                commit(state, std::mem::take(&mut group));
                // Who gave it hears of the panic: the answer's sender is dropped.
                let _ = catch_unwind(AssertUnwindSafe(|| work(state)));
            }
        }
    }
    commit(state, group);
}

/// Does a group of jobs in one transaction, then tells each how it ended.
fn commit<S: Borrow<Connection>>(state: &S, mut group: Vec<Box<dyn Job<S>>>) {
    if group.is_empty() {
        return;
    }
    let committed = together(state, &mut group);
    for job in group {
        job.finish(committed.clone());
    }
}

fn together<S: Borrow<Connection>>(state: &S, group: &mut [Box<dyn Job<S>>]) -> Result<(), DeskError> {
    let connection: &Connection = state.borrow();
    // A writer takes its turn at once: a transaction that only later finds it cannot write is lost.
    let begin = if connection.is_readonly(MAIN_DB)? { "BEGIN" } else { "BEGIN IMMEDIATE" };
    connection.execute_batch(begin)?;
    let done = group.iter_mut().try_for_each(|job| apart(state, job.as_mut()));
    let done = done.and_then(|()| Ok(connection.execute_batch("COMMIT")?));
    if done.is_err() && !connection.is_autocommit() {
        // If this fails too, the next BEGIN says so.
        connection.execute_batch("ROLLBACK").ok();
    }
    done
}

/// Does one job so that it can be undone alone.
fn apart<S: Borrow<Connection>>(state: &S, job: &mut dyn Job<S>) -> Result<(), DeskError> {
    let connection: &Connection = state.borrow();
    connection.execute_batch("SAVEPOINT job")?;
    // A job that panics must not take the clerk along.
    let worked = catch_unwind(AssertUnwindSafe(|| job.work(state)));
    let worked = worked.unwrap_or_else(|_| Err("it panicked".into()));
    if connection.is_autocommit() {
        // A full disk makes SQLite undo the whole transaction, savepoints and all.
        let words = worked.err().unwrap_or_else(|| "it went on as if nothing had happened".into());
        return Err(DeskError::Undone(words));
    }
    if worked.is_err() {
        connection.execute_batch("ROLLBACK TO job")?;
    }
    Ok(connection.execute_batch("RELEASE job")?)
}
