//! What the pages ask beyond the tallies: outages by their ends, and the mail that is missing.

use jiff::Timestamp;
use mailsonar_protocol::ServiceName;

use super::engine::params;
use super::{Incident, Store, StoreError, StoredProbe, document, probes, time, us, word};
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
        self.engine.rows(
"SELECT id, service, leg, started_at, resolved_at FROM incidents
             WHERE (resolved_at > ?1 OR state = 'open') AND (CAST(?2 AS TEXT) IS NULL OR service = ?2) AND leg IN ('send', 'receive')
             ORDER BY started_at, id",
params![us(since), service.map(ServiceName::as_str)],
|row| Ok(Outage {
                incident: row.get(0)?,
                service: word(&row.get::<String>(1)?)?,
                leg: word(&row.get::<String>(2)?)?,
                started_at: time(row.get(3)?),
                resolved_at: row.get::<Option<i64>>(4)?.map(time),
            }),
)
    }

    /// Incidents of one service, newest first.
    pub fn incidents_of(&self, service: &ServiceName, limit: u32) -> Result<Vec<Incident>, StoreError> {
        self.engine.rows(
            "SELECT document FROM incidents WHERE service = ?1 ORDER BY opened_at DESC, id DESC LIMIT ?2",
            params![service.as_str(), limit],
            document,
        )
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
        self.engine.rows(
            &format!(
            "{} WHERE service = ?1 AND started_at BETWEEN ?2 AND ?3 AND accepted = 1 AND visible_at IS NULL
                 AND outcome NOT IN ('in_flight', 'bounced') ORDER BY started_at, id LIMIT ?4",
            probes::SELECT
        ),
            params![service.as_str(), us(from), us(until), limit],
            probes::read,
        )
    }

    /// When the mail of a span that did not come in time was under way: from the probe's start until it
    /// was seen, if it was. The oldest first, at most 5,000.
    pub fn detours(
        &self,
        service: &ServiceName,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<(Timestamp, Option<Timestamp>)>, StoreError> {
        self.engine.rows(
            "SELECT started_at, visible_at FROM probes
             WHERE service = ?1 AND started_at BETWEEN ?2 AND ?3 AND accepted = 1
                 AND outcome IN ('late', 'lost', 'unknown') ORDER BY started_at LIMIT ?4",
            params![service.as_str(), us(from), us(until), MOST_DETOURS],
            |row| Ok((time(row.get(0)?), row.get::<Option<i64>>(1)?.map(time))),
        )
    }
}

/// The most mails of an outage that are drawn.
const MOST_DETOURS: u32 = 5_000;
