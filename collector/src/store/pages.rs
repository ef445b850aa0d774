//! What the pages ask beyond the tallies: outages by their ends, and the mail that is missing.

use jiff::Timestamp;
use mailsonar_protocol::ServiceName;
use rusqlite::params;

use super::{Incident, Store, StoreError, StoredProbe, probes, time, us, word};
use crate::evaluate::Leg;

/// An incident reduced to when it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// Its id.
    pub incident: String,
    /// The service.
    pub service: ServiceName,
    /// Its leg.
    pub leg: Leg,
    /// The first failure.
    pub started_at: Timestamp,
    /// The end, if there was one.
    pub resolved_at: Option<Timestamp>,
}

impl Store {
    /// Every incident in which mail did not flow and that reaches beyond `since`, the oldest first: of all services, or of one.
    pub fn outages(
        &self,
        service: Option<&ServiceName>,
        since: Timestamp,
    ) -> Result<Vec<Outage>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT id, service, leg, started_at, resolved_at FROM incidents
             WHERE (resolved_at > ?1 OR state = 'open') AND (?2 IS NULL OR service = ?2) AND leg IN ('send', 'receive')
             ORDER BY started_at, id",
        )?;
        let mut rows = statement.query(params![us(since), service.map(ServiceName::as_str)])?;
        let mut outages = Vec::new();
        while let Some(row) = rows.next()? {
            outages.push(Outage {
                incident: row.get(0)?,
                service: word(&row.get::<_, String>(1)?)?,
                leg: word(&row.get::<_, String>(2)?)?,
                started_at: time(row.get(3)?),
                resolved_at: row.get::<_, Option<i64>>(4)?.map(time),
            });
        }
        Ok(outages)
    }

    /// Incidents of one service, newest first.
    pub fn incidents_of(&self, service: &ServiceName, limit: u32) -> Result<Vec<Incident>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT document FROM incidents WHERE service = ?1 ORDER BY opened_at DESC, id DESC LIMIT ?2",
        )?;
        let mut rows = statement.query(params![service.as_str(), limit])?;
        let mut incidents = Vec::new();
        while let Some(row) = rows.next()? {
            incidents.push(serde_json::from_str(&row.get::<_, String>(0)?)?);
        }
        Ok(incidents)
    }

    /// Probes of a service that started in a span, were accepted, and have not been seen since though
    /// they were due; the oldest first, no more than `limit`.
    pub fn missing(
        &self,
        service: &ServiceName,
        from: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<StoredProbe>, StoreError> {
        let mut statement = self.connection.prepare_cached(&format!(
            "{} WHERE service = ?1 AND started_at BETWEEN ?2 AND ?3 AND accepted = 1 AND visible_at IS NULL
                 AND outcome NOT IN ('in_flight', 'bounced') ORDER BY started_at, id LIMIT ?4",
            probes::SELECT
        ))?;
        let mut rows = statement.query(params![service.as_str(), us(from), us(until), limit])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(probes::read(row)?);
        }
        Ok(found)
    }

    /// When the mail of a span that did not come in time was under way: from the probe's start until it
    /// was seen, if it was. The oldest first, at most 5,000.
    pub fn detours(
        &self,
        service: &ServiceName,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<(Timestamp, Option<Timestamp>)>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT started_at, visible_at FROM probes
             WHERE service = ?1 AND started_at BETWEEN ?2 AND ?3 AND accepted = 1
                 AND outcome IN ('late', 'lost', 'unknown') ORDER BY started_at LIMIT ?4",
        )?;
        let rows = statement
            .query_map(params![service.as_str(), us(from), us(until), MOST_DETOURS], |row| {
                Ok((time(row.get(0)?), row.get::<_, Option<i64>>(1)?.map(time)))
            })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

/// The most mails of an outage that are drawn.
const MOST_DETOURS: u32 = 5_000;
