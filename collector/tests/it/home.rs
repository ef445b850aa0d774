//! Where these tests keep their stores: in SQLite. `tests/postgres` tells the same stories with another home.

use mailsonar_collector::store::Store;
use tempfile::TempDir;

/// How many cases a property is tried with.
pub(crate) const CASES: u32 = 64;

/// A file that a store is opened in, again and again.
pub(crate) struct Home {
    directory: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a directory") }
    }

    /// How a configuration names it.
    pub(crate) fn named(&self) -> String {
        format!("path = \"{}/c.db\"", self.directory.path().display())
    }

    pub(crate) fn open(&self) -> Store {
        Store::open(&self.directory.path().join("c.db")).expect("a store")
    }
}

/// A store that nobody opens again.
pub(crate) fn store() -> Store {
    Store::in_memory().expect("a store")
}
