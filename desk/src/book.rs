//! What a clerk needs of a database: transactions, and to know whether it still is in one.

use std::borrow::Borrow;

use rusqlite::{Connection, MAIN_DB};

use crate::DeskError;

/// A database that a clerk keeps. Whatever borrows as a SQLite connection is one; whoever has another
/// engine says here how it begins a transaction and whether it is still in it.
pub trait Book {
    /// Begins a transaction: one that writes, unless nothing can be written here.
    fn begin(&self) -> Result<(), DeskError>;
    /// Runs a statement that says how the transaction goes on, such as `SAVEPOINT`, or ends.
    fn say(&self, statement: &str) -> Result<(), DeskError>;
    /// Whether the transaction that began is still there.
    fn is_in_transaction(&self) -> bool;
}

impl<S: Borrow<Connection>> Book for S {
    fn begin(&self) -> Result<(), DeskError> {
        let connection: &Connection = self.borrow();
        // A writer takes its turn at once: a transaction that only later finds it cannot write is lost.
        let begin = if connection.is_readonly(MAIN_DB)? { "BEGIN" } else { "BEGIN IMMEDIATE" };
        Ok(connection.execute_batch(begin)?)
    }

    fn say(&self, statement: &str) -> Result<(), DeskError> {
        let connection: &Connection = self.borrow();
        Ok(connection.execute_batch(statement)?)
    }

    fn is_in_transaction(&self) -> bool {
        let connection: &Connection = self.borrow();
        !connection.is_autocommit()
    }
}
