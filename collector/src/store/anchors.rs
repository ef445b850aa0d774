//! The anchored days of evidence, as rows: written once, in the transaction that owes their notices.

use jiff::civil::Date;
use mailsonar_protocol::ServiceName;
use rusqlite::{Row, params};

use super::{Store, StoreError, time, us, word};
use crate::statement::Anchor;

const SELECT: &str = "SELECT contract, service, day, head_before, hash, head, anchored_at FROM anchors";

impl Store {
    /// Writes an anchor. False if that day has one: it stays as it is.
    pub fn put_anchor(&self, anchor: &Anchor) -> Result<bool, StoreError> {
        let written = self
            .connection
            .prepare_cached(
                "INSERT INTO anchors (contract, service, day, head_before, hash, head, anchored_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                anchor.contract,
                anchor.service.as_str(),
                anchor.day.to_string(),
                anchor.head_before,
                anchor.hash,
                anchor.head,
                us(anchor.anchored_at),
            ])?;
        Ok(written > 0)
    }

    /// The newest day of a contract's evidence on a service that was anchored.
    pub fn last_anchor(&self, contract: &str, service: &ServiceName) -> Result<Option<Anchor>, StoreError> {
        let sql = format!("{SELECT} WHERE contract = ?1 AND service = ?2 ORDER BY day DESC LIMIT 1");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params![contract, service.as_str()])?;
        rows.next()?.map(read).transpose()
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
        let mut statement = self.connection.prepare_cached(&sql)?;
        let span = params![contract, service.as_str(), first.to_string(), last.to_string()];
        let mut rows = statement.query(span)?;
        let mut anchors = Vec::new();
        while let Some(row) = rows.next()? {
            anchors.push(read(row)?);
        }
        Ok(anchors)
    }
}

fn read(row: &Row<'_>) -> Result<Anchor, StoreError> {
    Ok(Anchor {
        contract: row.get(0)?,
        service: word(&row.get::<_, String>(1)?)?,
        day: word(&row.get::<_, String>(2)?)?,
        head_before: row.get(3)?,
        hash: row.get(4)?,
        head: row.get(5)?,
        anchored_at: time(row.get(6)?),
    })
}
