//! Forgetting, in slices small enough to delay nobody.

use jiff::Timestamp;

use super::engine::params;
use super::mark::HOUR_US;
use super::{Store, StoreError, us};

/// The most rows of a table one slice removes.
pub(crate) const SLICE: u32 = 500;

impl Store {
    /// Removes one slice of what started before `horizon` and is no longer needed. True if there is
    /// more. Open incidents, and pages still owed, stay whatever their age.
    pub fn sweep(&self, horizon: Timestamp) -> Result<bool, StoreError> {
        let horizon = us(horizon);
        let (mut full, mut removed) = (false, 0);
        for sql in [
            "DELETE FROM probes WHERE id IN
                 (SELECT id FROM probes WHERE started_at < ?1 ORDER BY started_at LIMIT ?2)",
            "DELETE FROM outbox WHERE id IN
                 (SELECT id FROM outbox WHERE state <> 'pending' AND done_at < ?1 AND incident NOT IN
                     (SELECT id FROM incidents WHERE state = 'open' OR resolved_at >= ?1) LIMIT ?2)",
            "DELETE FROM incidents WHERE id IN
                 (SELECT id FROM incidents WHERE state = 'resolved' AND resolved_at < ?1
                     AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.incident = incidents.id) LIMIT ?2)",
            "DELETE FROM days WHERE (service, day) IN (SELECT service, day FROM days WHERE day < ?1 LIMIT ?2)",
            "DELETE FROM silences WHERE id IN (SELECT id FROM silences WHERE ends_at < ?1 LIMIT ?2)",
        ] {
            let gone = self.engine.execute(sql, params![horizon, SLICE])?;
            full |= gone >= SLICE as usize;
            removed += gone;
        }
        if removed > 0 {
            self.recent.forget();
        }
        // Sheets go by the hour, the oldest first, once the whole of it is too old.
        let gone = self.engine.execute(
            "DELETE FROM sheets WHERE hour = (SELECT MIN(hour) FROM sheets) AND hour < ?1",
            params![horizon.div_euclid(HOUR_US)],
        )?;
        Ok(full || gone > 0)
    }
}
