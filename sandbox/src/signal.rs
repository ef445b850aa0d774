//! "Something changed": told to all who wait, in the order in which they began to.
//!
//! `tokio::sync::watch` would do but for that order, which it shuffles: held mail must leave a
//! queue as it came, and a simulation must repeat.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::Notify;

/// The telling end. Clones are the same signal.
#[derive(Debug, Clone, Default)]
pub(crate) struct Signal(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    version: AtomicU64,
    notify: Notify,
}

/// The waiting end: it remembers which change it saw last.
#[derive(Debug, Clone)]
pub(crate) struct Watcher {
    signal: Signal,
    seen: u64,
}

impl Signal {
    /// Something changed. To be called after the change is visible.
    pub(crate) fn fire(&self) {
        self.0.version.fetch_add(1, Ordering::AcqRel);
        self.0.notify.notify_waiters();
    }

    /// Waits for changes from now on.
    pub(crate) fn watch(&self) -> Watcher {
        Watcher { signal: self.clone(), seen: self.version() }
    }

    fn version(&self) -> u64 {
        self.0.version.load(Ordering::Acquire)
    }
}

impl Watcher {
    /// Returns once something changed that was not seen yet. Cancel safe.
    pub(crate) async fn changed(&mut self) {
        loop {
            let mut notified = std::pin::pin!(self.signal.0.notify.notified());
            // In line before looking, or a change in between would be missed.
            notified.as_mut().enable();
            if self.signal.version() != self.seen {
                self.seen = self.signal.version();
                return;
            }
            notified.await;
        }
    }

    /// Whether something changed that was not seen yet; from now on it was.
    pub(crate) fn take(&mut self) -> bool {
        let version = self.signal.version();
        std::mem::replace(&mut self.seen, version) != version
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_before_the_wait_is_not_missed() {
        let signal = Signal::default();
        let mut watcher = signal.watch();
        signal.fire();
        watcher.changed().await;
        assert!(!watcher.take());
        signal.fire();
        assert!(watcher.take() && !watcher.take());
    }
}
