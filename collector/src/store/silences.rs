//! Silences as rows. What they mean is [`crate::silence`]'s business.

use jiff::Timestamp;
use rusqlite::params;

use super::{Store, StoreError, us};
use crate::silence::Silence;

impl Store {
    /// Writes a silence, new or changed.
    pub fn put_silence(&self, silence: &Silence) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "INSERT INTO silences (id, starts_at, ends_at, document) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (id) DO UPDATE SET starts_at = excluded.starts_at, ends_at = excluded.ends_at,
                     document = excluded.document",
            )?
            .execute(params![
                silence.id,
                us(silence.starts_at),
                us(silence.ends_at),
                serde_json::to_string(silence)?
            ])?;
        Ok(())
    }

    /// The silences that reach into a span of time, the earliest first.
    pub fn silences(&self, from: Timestamp, until: Timestamp) -> Result<Vec<Silence>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT document FROM silences WHERE ends_at > ?1 AND starts_at < ?2 ORDER BY starts_at, id",
        )?;
        let mut rows = statement.query((us(from), us(until)))?;
        let mut silences = Vec::new();
        while let Some(row) = rows.next()? {
            silences.push(serde_json::from_str(&row.get::<_, String>(0)?)?);
        }
        Ok(silences)
    }
}
