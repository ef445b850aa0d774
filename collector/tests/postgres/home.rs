//! Where these tests keep their stores: each in a place of its own on the program's PostgreSQL server.

use mailsonar_collector::store::{Address, Store};

use crate::cluster::CLUSTER;

/// How many cases a property is tried with: each makes databases.
pub(crate) const CASES: u32 = 4;

/// A place that a store is opened in, again and again.
pub(crate) struct Home {
    /// The database, if it has one to itself.
    pub(crate) database: String,
    url: String,
}

impl Home {
    /// A schema of its own, in a database that many share.
    pub(crate) fn new() -> Self {
        Self { database: String::new(), url: CLUSTER.url_of_schema(&CLUSTER.schema()) }
    }

    /// A database of its own, for who counts or cuts connections.
    pub(crate) fn alone() -> Self {
        let database = CLUSTER.database();
        Self { url: CLUSTER.url(&database), database }
    }

    /// How it is reached.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// How a configuration names it.
    pub(crate) fn named(&self) -> String {
        format!("url = {:?}", self.url)
    }

    pub(crate) fn open(&self) -> Store {
        let address = Address::parse(&self.url).expect("a good URL");
        Store::connect(&address).expect("a store")
    }
}

/// A store that nobody opens again.
pub(crate) fn store() -> Store {
    Home::new().open()
}
