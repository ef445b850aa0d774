//! The thread on which a connection to a server lives, and how somebody without a runtime waits for it.
//!
//! Jobs are synchronous and run on whatever thread the desk has, which may or may not be a runtime's. So
//! the connection gets a small runtime on a thread of its own, and who asks blocks until it answers.

use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// A running thread; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Line {
    runtime: Handle,
    _until: oneshot::Sender<()>,
}

impl Line {
    /// Starts the thread.
    pub(super) fn start() -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (until, dropped) = oneshot::channel::<()>();
        std::thread::Builder::new().name("postgres".into()).spawn(move || {
            let _ = runtime.block_on(dropped);
        })?;
        Ok(Self { runtime: handle, _until: until })
    }

    /// Has something go on there.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        self.runtime.spawn(future)
    }

    /// Blocks until it is done, or for so long. What it waits for goes on there meanwhile.
    pub(super) fn wait<T>(&self, patience: Duration, future: impl Future<Output = T>) -> Option<T> {
        let timed = {
            let _there = self.runtime.enter();
            tokio::time::timeout(patience, future)
        };
        futures::executor::block_on(timed).ok()
    }
}
