//! The anchored days of evidence, as rows: written once, in the transaction that owes their notices.

use jiff::civil::Date;
use mailsonar_protocol::ServiceName;

use super::engine::{Row, params};
use super::{Store, StoreError, time, us, word};
use crate::statement::Anchor;

const SELECT: &str = "SELECT contract, service, day, head_before, hash, head, anchored_at FROM anchors";

impl Store {
    /// Writes an anchor. False if that day has one: it stays as it is.
    pub fn put_anchor(&self, anchor: &Anchor) -> Result<bool, StoreError> {
        let written = self.engine.execute(
            "INSERT INTO anchors (contract, service, day, head_before, hash, head, anchored_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
            params![
                &anchor.contract,
                anchor.service.as_str(),
                anchor.day.to_string(),
                &anchor.head_before,
                &anchor.hash,
                &anchor.head,
                us(anchor.anchored_at),
            ],
        )?;
        Ok(written > 0)
    }

    /// The newest day of a contract's evidence on a service that was anchored.
    pub fn last_anchor(&self, contract: &str, service: &ServiceName) -> Result<Option<Anchor>, StoreError> {
        let sql = format!("{SELECT} WHERE contract = ?1 AND service = ?2 ORDER BY day DESC LIMIT 1");
        self.engine.first(&sql, params![contract, service.as_str()], read)
    }

    /// The anchored days from a date to another, both included, in order.
    pub fn anchors(
        &self,
        contract: &str,
        service: &ServiceName,
        (first, last): (Date, Date),
    ) -> Result<Vec<Anchor>, StoreError> {
        let sql =
            format!("{SELECT} WHERE contract = ?1 AND service = ?2 AND day BETWEEN ?3 AND ?4 ORDER BY day");
        self.engine.rows(&sql, params![contract, service.as_str(), first.to_string(), last.to_string()], read)
    }
}

fn read(row: &Row<'_>) -> Result<Anchor, StoreError> {
    Ok(Anchor {
        contract: row.get(0)?,
        service: word(row.get(1)?)?,
        day: word(row.get(2)?)?,
        head_before: row.get(3)?,
        hash: row.get(4)?,
        head: row.get(5)?,
        anchored_at: time(row.get(6)?),
    })
}
