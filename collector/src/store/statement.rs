//! What statements need of the store, and the statements that were issued, as rows.

use jiff::Timestamp;
use mailsonar_protocol::{ServiceName, Time};
use schemars::JsonSchema;
use serde::Serialize;

use super::engine::params;
use super::probes::{self, SELECT};
use super::{Incident, Store, StoreError, StoredProbe, document, time, us, word};
use crate::statement::Issued;

/// A statement that was issued, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct StatementLine {
    /// The contract's name.
    pub contract: String,
    /// The service.
    pub service: ServiceName,
    /// The period.
    pub period: String,
    /// The revision.
    pub revision: u32,
    /// When it was issued.
    #[schemars(with = "Time")]
    pub issued_at: Timestamp,
    /// Its hash.
    pub sha256: String,
}

impl Store {
    /// The incidents of a service that reach into a span, the earliest first.
    pub fn incidents_within(
        &self,
        service: &ServiceName,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Incident>, StoreError> {
        self.engine.rows(
            "SELECT document FROM incidents WHERE service = ?1 AND started_at < ?3
                 AND (resolved_at IS NULL OR resolved_at > ?2) ORDER BY started_at, id",
            params![service.as_str(), us(from), us(until)],
            document,
        )
    }

    /// The first probes of a service in a span that did not turn out well, no more than `limit`.
    pub fn failures(
        &self,
        service: &ServiceName,
        from: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<StoredProbe>, StoreError> {
        self.engine.rows(
            &format!(
                "{SELECT} WHERE service = ?1 AND started_at >= ?2 AND started_at < ?3
                 AND outcome NOT IN ('delivered', 'in_flight') ORDER BY started_at, id LIMIT ?4"
            ),
            params![service.as_str(), us(from), us(until), limit],
            probes::read,
        )
    }

    /// Hands over every probe of a service (of all control routes, if none is named) that started in a
    /// span, in order. One is in memory at a time.
    pub fn each_probe<E: From<StoreError>>(
        &self,
        service: Option<&ServiceName>,
        (from, until): (Timestamp, Timestamp),
        mut each: impl FnMut(StoredProbe) -> Result<(), E>,
    ) -> Result<(), E> {
        let of = if service.is_some() {
            "service = ?3 AND direction <> 'control'"
        } else {
            "direction = 'control' AND CAST(?3 AS TEXT) IS NULL"
        };
        let sql =
            format!("{SELECT} WHERE {of} AND started_at >= ?1 AND started_at < ?2 ORDER BY started_at, id");
        let span = params![us(from), us(until), service.map(ServiceName::as_str)];
        self.engine.each(&sql, span, |row| each(probes::read(row)?))
    }

    /// How many probes of a service that started in a span had news since.
    pub fn heard_since(
        &self,
        service: &ServiceName,
        (from, until): (Timestamp, Timestamp),
        since: Timestamp,
    ) -> Result<u64, StoreError> {
        let count: Option<i64> = self.engine.first(
            "SELECT COUNT(*) FROM probes WHERE service = ?1 AND started_at >= ?2 AND started_at < ?3
                     AND received_at > ?4",
            params![service.as_str(), us(from), us(until), us(since)],
            |row| row.get(0),
        )?;
        Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0))
    }

    /// Writes a revision of a statement. What was issued is never written over.
    pub fn put_statement(&self, issued: &Issued) -> Result<(), StoreError> {
        let statement = &issued.statement;
        self.engine.execute(
            "INSERT INTO statements (contract, service, period, revision, issued_at, sha256, document)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                &statement.contract.name,
                statement.service.as_str(),
                &statement.span.period,
                issued.revision,
                us(issued.issued_at),
                &issued.sha256,
                serde_json::to_string(issued)?,
            ],
        )?;
        Ok(())
    }

    /// One statement, in the named or the newest revision.
    pub fn statement(
        &self,
        contract: &str,
        service: &ServiceName,
        period: &str,
        revision: Option<u32>,
    ) -> Result<Option<Issued>, StoreError> {
        self.engine.first(
            "SELECT document FROM statements WHERE contract = ?1 AND service = ?2 AND period = ?3
                     AND (CAST(?4 AS BIGINT) IS NULL OR revision = ?4) ORDER BY revision DESC LIMIT 1",
            params![contract, service.as_str(), period, revision],
            document,
        )
    }

    /// Of each statement the newest revision, the newest period first, no more than `limit` of those that
    /// are wanted, by contract and service.
    pub fn newest_statements(
        &self,
        limit: usize,
        wanted: impl Fn(&str, &ServiceName) -> bool,
    ) -> Result<Vec<Issued>, StoreError> {
        let mut named: Vec<(String, ServiceName, String)> = self.engine.rows(
            "SELECT DISTINCT period, contract, service FROM statements
             ORDER BY period DESC, contract, service",
            params![],
            |row| Ok((row.get(1)?, word(row.get(2)?)?, row.get(0)?)),
        )?;
        named.retain(|(contract, service, _)| wanted(contract, service));
        named.truncate(limit);
        let newest = named
            .into_iter()
            .map(|(contract, service, period)| self.statement(&contract, &service, &period, None));
        newest.filter_map(Result::transpose).collect()
    }

    /// What was issued, the newest period first, no more than `limit`.
    pub fn statements(&self, limit: u32) -> Result<Vec<StatementLine>, StoreError> {
        self.engine.rows(
            "SELECT contract, service, period, revision, issued_at, sha256 FROM statements
             ORDER BY period DESC, contract, service, revision DESC LIMIT ?1",
            params![limit],
            |row| {
                Ok(StatementLine {
                    contract: row.get(0)?,
                    service: word(&row.get::<String>(1)?)?,
                    period: row.get(2)?,
                    revision: row.get(3)?,
                    issued_at: time(row.get(4)?),
                    sha256: row.get(5)?,
                })
            },
        )
    }
}
