//! Moving house: everything in one store, copied into another that is empty, and compared.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::engine::{Row, Value};
use super::{Store, StoreError};

/// Every table, and the columns that tell its rows apart. `scratch` holds nothing.
const TABLES: &[(&str, &str)] = &[
    ("agents", "name"),
    ("anchors", "contract, service, day"),
    ("probes", "id"),
    ("sheets", "service, hour, agent, route, region, direction, door, reference"),
    ("days", "service, day"),
    ("quarters", "service, region, direction, quarter"),
    ("incidents", "id"),
    ("outbox", "id"),
    ("silences", "id"),
    ("statements", "contract, service, period, revision"),
];

/// How many rows are written at once.
const CHUNK: usize = 500;

/// What a table amounts to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// The table.
    pub table: &'static str,
    /// Its rows.
    pub rows: u64,
    /// SHA-256 over all of them, in the order of their keys.
    pub sha256: String,
}

/// Copies all that `from` holds into `to`, in one transaction, and looks whether it arrived.
///
/// # Errors
/// Where one of them is in use, `to` is not empty, or what arrived is not what was sent. Then `to` is as
/// it was.
pub fn copy(from: &Store, to: &Store) -> Result<Vec<Inventory>, StoreError> {
    for (store, which) in [(from, "the store to copy from"), (to, "the store to copy to")] {
        store.engine.be_alone().map_err(|error| StoreError::new(format!("{which}: {error}")))?;
    }
    from.engine.begin()?;
    to.engine.begin()?;
    let copied = each_table(from, to);
    let ended = to.engine.say(if copied.is_ok() { "COMMIT" } else { "ROLLBACK" });
    from.engine.say("ROLLBACK")?;
    let copied = copied?;
    ended?;
    Ok(copied)
}

fn each_table(from: &Store, to: &Store) -> Result<Vec<Inventory>, StoreError> {
    for (table, _) in TABLES {
        if to.engine.exists(&format!("SELECT 1 FROM {table} LIMIT 1"), &[])? {
            return Err(StoreError::new(format!(
                "the store to copy to is not empty: its table {table} has rows; name a new database"
            )));
        }
    }
    let mut copied = Vec::new();
    for &(table, key) in TABLES {
        let sent = send(from, to, table, key)?;
        let arrived = inventory(to, table, key)?;
        if sent != arrived {
            return Err(StoreError::new(format!(
                "the copy is not the same: of {table} {} rows were sent (SHA-256 {}) and {} arrived ({}); nothing \
                 is kept of it",
                sent.rows, sent.sha256, arrived.rows, arrived.sha256
            )));
        }
        copied.push(sent);
    }
    Ok(copied)
}

fn send(from: &Store, to: &Store, table: &'static str, key: &str) -> Result<Inventory, StoreError> {
    let mut count = Count::default();
    let mut waiting: Vec<Vec<Value<'static>>> = Vec::new();
    from.engine.each(&everything(table, key), &[], |row| {
        let values = count.take(row)?;
        waiting.push(values);
        if waiting.len() >= CHUNK { write(to, table, &mut waiting) } else { Ok(()) }
    })?;
    write(to, table, &mut waiting)?;
    Ok(count.inventory(table))
}

fn write(to: &Store, table: &str, waiting: &mut Vec<Vec<Value<'static>>>) -> Result<(), StoreError> {
    let Some(first) = waiting.first() else { return Ok(()) };
    let places: Vec<String> = (1..=first.len()).map(|at| format!("?{at}")).collect();
    to.engine.execute_many(&format!("INSERT INTO {table} VALUES ({})", places.join(", ")), waiting)?;
    waiting.clear();
    Ok(())
}

fn inventory(store: &Store, table: &'static str, key: &str) -> Result<Inventory, StoreError> {
    let mut count = Count::default();
    store.engine.each(&everything(table, key), &[], |row| count.take(row).map(drop))?;
    Ok(count.inventory(table))
}

/// The schema is the same history on both sides, so columns stand in the same order.
fn everything(table: &str, key: &str) -> String {
    format!("SELECT * FROM {table} ORDER BY {key}")
}

#[derive(Default)]
struct Count {
    rows: u64,
    hash: Sha256,
}

impl Count {
    fn take(&mut self, row: &Row<'_>) -> Result<Vec<Value<'static>>, StoreError> {
        self.rows += 1;
        let mut values = Vec::with_capacity(row.len());
        for at in 0..row.len() {
            let value = row.value(at)?.into_owned();
            let (kind, bytes): (u8, &[u8]) = match &value {
                Value::Null => (0, &[]),
                Value::Int(number) => (1, &number.to_be_bytes()),
                Value::Text(text) => (2, text.as_bytes()),
                Value::Blob(bytes) => (3, bytes),
            };
            self.hash.update([kind]);
            self.hash.update((bytes.len() as u64).to_be_bytes());
            self.hash.update(bytes);
            values.push(value);
        }
        Ok(values)
    }

    fn inventory(self, table: &'static str) -> Inventory {
        let sha256 = self.hash.finalize().iter().fold(String::new(), |mut hex, byte| {
            // Writing to a `String` cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        Inventory { table, rows: self.rows, sha256 }
    }
}

impl Store {
    /// What every table amounts to.
    pub fn inventory(&self) -> Result<Vec<Inventory>, StoreError> {
        TABLES.iter().map(|&(table, key)| inventory(self, table, key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::engine::params;

    #[test]
    fn no_table_is_forgotten() {
        let store = Store::in_memory().expect("a store");
        let there: Vec<String> = store
            .engine
            .rows("SELECT name FROM sqlite_master WHERE type = ?1 ORDER BY name", params!["table"], |row| {
                row.get(0)
            })
            .expect("read");
        let mut known: Vec<&str> = TABLES.iter().map(|(table, _)| *table).chain(["scratch"]).collect();
        known.sort_unstable();
        assert_eq!(there, known);
    }
}
