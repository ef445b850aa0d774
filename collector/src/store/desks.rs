//! The store's two desks, and the trouble it is in.
//!
//! One writes: group commit, each job in a savepoint of its own, every caller answered only after
//! the commit. The other reads, on a connection and a thread of its own, so that a long answer to
//! people delays no agent. In a simulation there is one, which works on its callers' own time.

use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};

use mailsonar_desk::{Desk, DeskError};

use super::{Store, StoreError};

/// What a job may fail with: trouble of the store, or a reason of its own.
pub trait Failure: From<StoreError> + Display + Send + 'static {
    /// The store's trouble, if that is what it is.
    fn trouble(&self) -> Option<&StoreError>;
}

impl Failure for StoreError {
    fn trouble(&self) -> Option<&StoreError> {
        Some(self)
    }
}

/// The way to the store. Cheap to clone.
#[derive(Clone)]
pub struct Desks {
    writer: Desk<Store>,
    /// Where people's questions are answered; without it the writer answers them.
    reader: Option<Desk<Store>>,
    trouble: Arc<Mutex<Option<StoreError>>>,
}

impl Desks {
    /// A thread for the store, and one more to read if it is a file. They end when the last clone is
    /// dropped.
    pub fn threaded(store: Store) -> Result<Self, StoreError> {
        let reader = store.reader()?.map(|reader| thread(reader, "store-reader")).transpose()?;
        Ok(Self { writer: thread(store, "store")?, reader, trouble: Arc::default() })
    }

    /// No thread: every job runs at once on its caller, in a transaction of its own.
    pub fn inline(store: Store) -> Self {
        Self { writer: Desk::inline(store), reader: None, trouble: Arc::default() }
    }

    /// Runs a job. Ok means committed, durably; on Err nothing of it was kept.
    pub async fn run<T, E, F>(&self, job: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: Failure,
        F: FnOnce(&Store) -> Result<T, E> + Send + 'static,
    {
        let result = flat(self.writer.attempt(job).await);
        if let Err(error) = &result
            && let Some(trouble) = error.trouble()
        {
            self.note(trouble);
        }
        result
    }

    /// Runs a job that only reads, beside what is written meanwhile. It sees all that was committed.
    pub async fn read<T, F>(&self, job: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    {
        flat(self.reader.as_ref().unwrap_or(&self.writer).attempt(job).await)
    }

    /// The trouble the store is in, since the last job that failed for its sake.
    pub fn trouble(&self) -> Option<StoreError> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks whether a store in trouble takes rows again; forgets the trouble if so.
    pub async fn try_again(&self) -> Result<(), StoreError> {
        let Some(trouble) = self.trouble() else { return Ok(()) };
        let result = flat(try_space(&self.writer, trouble.clone()).await);
        if let (Ok(()), Some(reader)) = (&result, self.reader.clone()) {
            // What the writer got over, the reader may be in too. It is not waited for, since it may
            // be at a long answer, and tells whoever asks.
            tokio::spawn(async move { try_space(&reader, trouble).await });
        }
        match &result {
            Ok(()) => *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None,
            Err(error) => self.note(error),
        }
        result
    }

    fn note(&self, trouble: &StoreError) {
        let mut noted = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        // Opening the file anew is due as long as one of the troubles since the last success asks for it.
        let reopen = trouble.reopen || noted.as_ref().is_some_and(|earlier| earlier.reopen);
        *noted = Some(StoreError { reopen, ..trouble.clone() });
    }
}

fn thread(store: Store, name: &str) -> Result<Desk<Store>, StoreError> {
    let desk = Desk::threaded(store, name);
    // Agents try again, and people too: nobody is to wait behind a thousand others.
    desk.map(Desk::telling_overload).map_err(|error| StoreError::new(format!("it gets no thread: {error}")))
}

async fn try_space(desk: &Desk<Store>, trouble: StoreError) -> Result<Result<(), StoreError>, DeskError> {
    desk.between(move |store| store.try_space(&trouble)).await
}

fn flat<T, E: From<StoreError>>(result: Result<Result<T, E>, DeskError>) -> Result<T, E> {
    result.unwrap_or_else(|error| Err(StoreError::from(error).into()))
}
