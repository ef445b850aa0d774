//! Silences as rows. What they mean is [`crate::silence`]'s business.

use jiff::Timestamp;

use super::engine::params;
use super::{Store, StoreError, document, us};
use crate::silence::Silence;

impl Store {
    /// Writes a silence, new or changed.
    pub fn put_silence(&self, silence: &Silence) -> Result<(), StoreError> {
        self.engine.execute(
            "INSERT INTO silences (id, starts_at, ends_at, document) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (id) DO UPDATE SET starts_at = excluded.starts_at, ends_at = excluded.ends_at,
                     document = excluded.document",
            params![&silence.id, us(silence.starts_at), us(silence.ends_at), serde_json::to_string(silence)?],
        )?;
        Ok(())
    }

    /// Writes windows that are not there yet; those that are stay as they are, ended ones too.
    pub fn announce(&self, windows: &[Silence]) -> Result<(), StoreError> {
        for window in windows {
            if self.silence(&window.id)?.is_none() {
                self.put_silence(window)?;
            }
        }
        Ok(())
    }

    /// Removes windows of the calendar that have not begun and are in it no more.
    pub fn retract_all_but(&self, windows: &[Silence], now: Timestamp) -> Result<(), StoreError> {
        let ahead = self.silences(now, Timestamp::MAX)?;
        let gone = ahead.iter().filter(|silence| {
            silence.id.starts_with("calendar-")
                && silence.starts_at > now
                && !windows.iter().any(|window| window.id == silence.id)
        });
        for silence in gone {
            self.engine.execute("DELETE FROM silences WHERE id = ?1", params![&silence.id])?;
        }
        Ok(())
    }

    /// One silence.
    pub fn silence(&self, id: &str) -> Result<Option<Silence>, StoreError> {
        self.engine.first("SELECT document FROM silences WHERE id = ?1", params![id], document)
    }

    /// The silences that are open at this time.
    pub fn silences_at(&self, at: Timestamp) -> Result<Vec<Silence>, StoreError> {
        let next = Timestamp::from_microsecond(us(at).saturating_add(1)).unwrap_or(Timestamp::MAX);
        self.silences(at, next)
    }

    /// The silences that reach into a span of time, the earliest first.
    pub fn silences(&self, from: Timestamp, until: Timestamp) -> Result<Vec<Silence>, StoreError> {
        self.engine.rows(
            "SELECT document FROM silences WHERE ends_at > ?1 AND starts_at < ?2 ORDER BY starts_at, id",
            params![us(from), us(until)],
            document,
        )
    }
}
