//! The clerk: does what waits, the jobs in one transaction, each in a savepoint of its own.
//!
//! Knows no thread and no queue: it works on whoever calls it.

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::sync::oneshot;

use crate::{Book, DeskError};

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
pub(crate) fn perform<S: Book>(state: &mut S, waiting: Vec<Work<S>>) {
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
fn commit<S: Book>(state: &S, mut group: Vec<Box<dyn Job<S>>>) {
    if group.is_empty() {
        return;
    }
    let committed = together(state, &mut group);
    for job in group {
        job.finish(committed.clone());
    }
}

fn together<S: Book>(state: &S, group: &mut [Box<dyn Job<S>>]) -> Result<(), DeskError> {
    state.begin()?;
    let done = group.iter_mut().try_for_each(|job| apart(state, job.as_mut()));
    let done = done.and_then(|()| state.say("COMMIT"));
    if done.is_err() && state.is_in_transaction() {
        // If this fails too, the next one to begin says so.
        state.say("ROLLBACK").ok();
    }
    done
}

/// Does one job so that it can be undone alone.
fn apart<S: Book>(state: &S, job: &mut dyn Job<S>) -> Result<(), DeskError> {
    state.say("SAVEPOINT job")?;
    // A job that panics must not take the clerk along.
    let worked = catch_unwind(AssertUnwindSafe(|| job.work(state)));
    let worked = worked.unwrap_or_else(|_| Err("it panicked".into()));
    if !state.is_in_transaction() {
        // A full disk makes SQLite undo the whole transaction, savepoints and all; a server that is gone does too.
        let words = worked.err().unwrap_or_else(|| "it went on as if nothing had happened".into());
        return Err(DeskError::Undone(words));
    }
    if worked.is_err() {
        state.say("ROLLBACK TO job")?;
    }
    state.say("RELEASE job")
}
