//! Who runs jobs on the store, and in which transaction.
//!
//! In production one thread owns the store; jobs that wait while it works become *one* transaction
//! (group commit), each in a savepoint of its own, and every caller hears only after the commit. In
//! a simulation the job runs at once on the caller, so that runs under a paused clock are repeatable.
//!
//! What people ask is read on a second connection with a thread of its own, so that a long answer
//! delays no agent.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use super::{Store, StoreError};

/// The most jobs that wait; beyond that a caller is told that the store is overloaded.
const QUEUE: usize = 1_024;

/// The most jobs in one transaction.
const GROUP: usize = 256;

/// Told of the commit, or why there was none.
type Finish = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
/// Runs in a savepoint, or is told why there is none. The flag says whether to keep what it did.
type Job = Box<dyn FnOnce(Result<&mut Store, StoreError>) -> (bool, Finish) + Send>;

/// What a job may fail with: trouble of the store, or a reason of its own.
pub trait Failure: From<StoreError> + Send + 'static {
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
pub struct Desk {
    writer: Arc<Kind>,
    /// A connection that only reads; without it the writer reads too.
    reader: Option<Arc<Kind>>,
    trouble: Arc<Mutex<Option<StoreError>>>,
}

enum Kind {
    Thread(SyncSender<Work>),
    Inline(Mutex<Store>),
}

enum Work {
    Job(Job),
    TrySpace(StoreError, oneshot::Sender<Result<(), StoreError>>),
}

impl Desk {
    /// A thread of its own for the store, and one more to read if it is a file. They end when the
    /// last clone of the desk is dropped.
    pub fn thread(store: Store) -> Result<Self, StoreError> {
        let reader = store.reader()?.map(|reader| Kind::thread("store-reader", reader)).transpose()?;
        Ok(Self::of(Kind::thread("store", store)?, reader))
    }

    /// No thread: every job runs at once on its caller, in a transaction of its own.
    pub fn inline(store: Store) -> Self {
        Self::of(Kind::Inline(Mutex::new(store)), None)
    }

    fn of(writer: Kind, reader: Option<Kind>) -> Self {
        Self { writer: Arc::new(writer), reader: reader.map(Arc::new), trouble: Arc::default() }
    }

    /// Runs a job. Ok means committed, durably; on Err nothing of it was kept.
    pub async fn run<T, E, F>(&self, job: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: Failure,
        F: FnOnce(&mut Store) -> Result<T, E> + Send + 'static,
    {
        let result = self.writer.run(job).await;
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
        F: FnOnce(&mut Store) -> Result<T, StoreError> + Send + 'static,
    {
        self.reader.as_ref().unwrap_or(&self.writer).run(job).await
    }

    /// The trouble the store is in, since the last job that failed for its sake.
    pub fn trouble(&self) -> Option<StoreError> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks whether a store in trouble takes rows again; forgets the trouble if so.
    pub async fn try_again(&self) -> Result<(), StoreError> {
        let Some(trouble) = self.trouble() else { return Ok(()) };
        let (reply, answer) = oneshot::channel();
        self.writer.submit(Work::TrySpace(trouble.clone(), reply))?;
        let result = answer.await.unwrap_or_else(|_| Err(StoreError::new("its thread has ended")));
        if let (Ok(()), Some(reader)) = (&result, &self.reader) {
            // What the writer got over, the reader may be in too. It tells whoever asks.
            reader.submit(Work::TrySpace(trouble, oneshot::channel().0))?;
        }
        match &result {
            Ok(()) => *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None,
            Err(error) => self.note(error),
        }
        result
    }

    fn note(&self, trouble: &StoreError) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(trouble.clone());
    }
}

impl Kind {
    fn thread(name: &str, store: Store) -> Result<Self, StoreError> {
        let (sender, receiver) = sync_channel(QUEUE);
        std::thread::Builder::new()
            .name(name.into())
            .spawn(move || work(store, &receiver))
            .map_err(|error| StoreError::new(format!("it gets no thread: {error}")))?;
        Ok(Self::Thread(sender))
    }

    async fn run<T, E, F>(&self, job: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: Failure,
        F: FnOnce(&mut Store) -> Result<T, E> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |store| {
            let result = store.map_err(E::from).and_then(job);
            let keep = result.is_ok();
            let finish: Finish = Box::new(move |committed| {
                // A caller that went away does not care.
                let _ = reply.send(result.and_then(|value| committed.map(|()| value).map_err(E::from)));
            });
            (keep, finish)
        });
        self.submit(Work::Job(job))?;
        answer.await.unwrap_or_else(|_| Err(StoreError::interrupted().into()))
    }

    fn submit(&self, work: Work) -> Result<(), StoreError> {
        match self {
            Self::Inline(store) => {
                perform(&mut store.lock().unwrap_or_else(PoisonError::into_inner), work, || None);
                Ok(())
            }
            Self::Thread(sender) => sender.try_send(work).map_err(|error| match error {
                TrySendError::Full(_) => StoreError::new("it is overloaded: too many jobs wait"),
                TrySendError::Disconnected(_) => StoreError::new("its thread has ended"),
            }),
        }
    }
}

fn work(mut store: Store, jobs: &Receiver<Work>) {
    while let Ok(first) = jobs.recv() {
        perform(&mut store, first, || jobs.try_recv().ok());
    }
}

/// Performs a piece of work and, in the same transaction, what else waits.
fn perform(store: &mut Store, first: Work, mut more: impl FnMut() -> Option<Work>) {
    let mut next = Some(first);
    while let Some(work) = next.take() {
        match work {
            Work::TrySpace(trouble, reply) => {
                let _ = reply.send(store.try_space(&trouble));
            }
            Work::Job(job) => next = transaction(store, job, &mut more),
        }
    }
}

/// Runs jobs as one transaction; returns the work that is no job and ended the group.
fn transaction(store: &mut Store, first: Job, more: &mut impl FnMut() -> Option<Work>) -> Option<Work> {
    let mut finishes: Vec<Finish> = Vec::new();
    let mut outcome = execute(store, if store.read_only { "BEGIN" } else { "BEGIN IMMEDIATE" });
    let mut next = Some(first);
    let mut left = None;
    while let Some(job) = next.take() {
        let (finish, lost) = savepoint(store, job, &outcome);
        finishes.push(finish);
        if outcome.is_ok() && lost {
            outcome = Err(StoreError::new("another job in the same transaction failed; try again"));
        }
        if finishes.len() < GROUP && outcome.is_ok() {
            match more() {
                Some(Work::Job(job)) => next = Some(job),
                other => left = other,
            }
        }
    }
    if outcome.is_ok() {
        outcome = execute(store, "COMMIT");
    }
    if outcome.is_err() && !store.connection.is_autocommit() {
        let _ = execute(store, "ROLLBACK");
    }
    for finish in finishes {
        finish(outcome.clone());
    }
    left
}

/// Runs one job in a savepoint. The flag says that the engine threw the whole transaction away.
fn savepoint(store: &mut Store, job: Job, so_far: &Result<(), StoreError>) -> (Finish, bool) {
    if let Err(trouble) = so_far.clone().and_then(|()| execute(store, "SAVEPOINT job")) {
        return (job(Err(trouble)).1, so_far.is_ok());
    }
    // A job that panics must not take the store's thread along.
    let Ok((keep, finish)) = catch_unwind(AssertUnwindSafe(|| job(Ok(&mut *store)))) else {
        let undone = execute(store, "ROLLBACK TO job").and_then(|()| execute(store, "RELEASE job"));
        return (Box::new(|_| ()), undone.is_err());
    };
    if store.connection.is_autocommit() {
        return (finish, true);
    }
    let ended = if keep { Ok(()) } else { execute(store, "ROLLBACK TO job") };
    let lost = ended.and_then(|()| execute(store, "RELEASE job")).is_err();
    (finish, lost)
}

fn execute(store: &Store, sql: &str) -> Result<(), StoreError> {
    Ok(store.connection.execute_batch(sql)?)
}
