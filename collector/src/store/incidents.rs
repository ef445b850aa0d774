//! Incidents as rows. What they say is `incident`'s business; here a document is opaque but for the
//! columns it is searched by.

use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use mailsonar_protocol::{ServiceName, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::engine::{Row, params};
use super::{Store, StoreError, document, time, us, word};
use crate::evaluate::{Blame, EvidenceSummary, Leg, OpenIncident, Reason, Regions, Standing, Subject};
use crate::incident::{Backlog, Clocks, Failover, Moment, MomentKind};

/// Where an incident is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum IncidentState {
    /// It goes on.
    Open,
    /// It is over.
    Resolved,
}

impl IncidentState {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Resolved => "resolved",
        }
    }
}

impl fmt::Display for IncidentState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for IncidentState {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Open, Self::Resolved]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| format!("{text:?} is not one of \"open\", \"resolved\""))
    }
}

/// One continuous trouble of one leg of one service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Incident {
    /// Its id, a UUID.
    pub id: String,
    /// The key every notifier gets, the same for trigger and resolve.
    pub dedup_key: String,
    /// The service.
    pub service: ServiceName,
    /// Its leg.
    pub leg: Leg,
    /// Where it is in its life.
    pub state: IncidentState,
    /// How bad it is: always `critical` so far.
    pub severity: String,
    /// Why it was opened.
    pub reason: Reason,
    /// The sentence for a person, as things stand (or stood at the end).
    pub summary: String,
    /// The first failure.
    #[schemars(with = "Time")]
    pub started_at: Timestamp,
    /// When it was decided.
    #[schemars(with = "Time")]
    pub opened_at: Timestamp,
    /// When it was decided that it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Time>")]
    pub resolved_at: Option<Timestamp>,
    /// Failures of probes that started until then belong to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Time>")]
    pub settled_until: Option<Timestamp>,
    /// Why it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<Resolution>,
    /// Who sees it (or saw it, when it last looked bad).
    pub regions: Regions,
    /// What speaks for it.
    pub evidence: EvidenceSummary,
    /// Who is to blame, where that can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blame: Option<Blame>,
    /// Its moments.
    #[serde(default)]
    pub clocks: Clocks,
    /// Mail that was accepted during it and is not there yet.
    #[serde(default)]
    pub backlog: Backlog,
    /// Changes of the site through which mail flows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failovers: Vec<Failover>,
    /// What happened, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timeline: Vec<Moment>,
    /// The silences and maintenance windows that covered it, by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub silenced_by: Vec<String>,
}

/// The end of an incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Resolution {
    /// Why it is over.
    pub reason: Reason,
    /// The sentence for a person.
    pub summary: String,
    /// Who saw it then.
    #[serde(default)]
    pub regions: Regions,
}

impl Incident {
    /// What it is about.
    pub fn subject(&self) -> Subject {
        Subject { service: self.service.clone(), leg: self.leg }
    }
}

impl Store {
    /// Writes an incident, new or changed.
    pub fn put_incident(&self, incident: &Incident) -> Result<(), StoreError> {
        self.engine.execute(
            "INSERT INTO incidents (id, service, leg, state, started_at, opened_at, resolved_at,
                     settled_until, document, missing)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
                 ON CONFLICT (id) DO UPDATE SET state = excluded.state, resolved_at = excluded.resolved_at,
                     settled_until = excluded.settled_until, document = excluded.document,
                     missing = excluded.missing",
            params![
                &incident.id,
                incident.service.as_str(),
                incident.leg.as_str(),
                incident.state.as_str(),
                us(incident.started_at),
                us(incident.opened_at),
                incident.resolved_at.map(us),
                incident.settled_until.map(us),
                serde_json::to_string(incident)?,
                incident.backlog.missing,
            ],
        )?;
        Ok(())
    }

    /// One incident.
    pub fn incident(&self, id: &str) -> Result<Option<Incident>, StoreError> {
        self.engine.first("SELECT document FROM incidents WHERE id = ?1", params![id], document)
    }

    /// Incidents, newest first, no more than `limit`.
    pub fn incidents(&self, state: Option<IncidentState>, limit: u32) -> Result<Vec<Incident>, StoreError> {
        self.engine.rows(
            "SELECT document FROM incidents WHERE (CAST(?1 AS TEXT) IS NULL OR state = ?1)
             ORDER BY opened_at DESC, id DESC LIMIT ?2",
            params![state.map(IncidentState::as_str), limit],
            document,
        )
    }

    /// Resolved incidents whose mail has not all arrived, the newest few.
    pub fn incidents_missing_mail(&self) -> Result<Vec<Incident>, StoreError> {
        self.engine.rows(
            "SELECT document FROM incidents WHERE missing > 0 AND state = 'resolved'
             ORDER BY opened_at DESC LIMIT 20",
            &[],
            document,
        )
    }

    /// A service's incidents that were open then or later.
    pub fn incidents_since(
        &self,
        service: &ServiceName,
        since: Timestamp,
    ) -> Result<Vec<Incident>, StoreError> {
        self.engine.rows(
            "SELECT document FROM incidents
             WHERE service = ?1 AND (resolved_at IS NULL OR resolved_at >= ?2) ORDER BY opened_at, id",
            params![service.as_str(), us(since)],
            document,
        )
    }

    /// What was decided so far, and how restlessly within the hour before `now`.
    pub fn standing(&self, now: Timestamp) -> Result<Standing, StoreError> {
        let mut standing = Standing::default();
        let settled = self.engine.rows(
            "SELECT service, leg, MAX(settled_until) FROM incidents WHERE state = 'resolved'
             GROUP BY service, leg",
            &[],
            |row| Ok((subject(row)?, row.get::<Option<i64>>(2)?.map(time))),
        )?;
        for (subject, settled) in settled {
            standing.subjects.entry(subject).or_default().settled_until = settled;
        }
        self.count_changes(&mut standing, now.saturating_sub(SignedDuration::from_hours(1)))?;
        for incident in self.incidents(Some(IncidentState::Open), u32::MAX)? {
            let subject = Subject { service: incident.service, leg: incident.leg };
            standing.subjects.entry(subject).or_default().open = Some(OpenIncident {
                id: incident.id,
                started_at: incident.started_at,
                summary: incident.summary,
                failing: incident.regions.failing,
                accepting_at: incident.clocks.accepting_at,
                on_time_at: incident.clocks.on_time_at,
                blame: incident.blame,
                failovers: incident.failovers,
                overran: incident.timeline.iter().any(|moment| moment.kind == MomentKind::Overran),
            });
        }
        Ok(standing)
    }

    fn count_changes(
        &self,
        standing: &mut Standing,
        since: Result<Timestamp, jiff::Error>,
    ) -> Result<(), StoreError> {
        let since = since.map_or(i64::MIN, us);
        let changes = self.engine.rows(
            "SELECT service, leg, SUM(CASE WHEN opened_at > ?1 THEN 1 ELSE 0 END)
                 + SUM(CASE WHEN resolved_at > ?1 THEN 1 ELSE 0 END) FROM incidents
             WHERE opened_at > ?1 OR resolved_at > ?1 GROUP BY service, leg",
            params![since],
            |row| Ok((subject(row)?, row.get::<u32>(2)?)),
        )?;
        for (subject, changes) in changes {
            standing.subjects.entry(subject).or_default().changes = changes as usize;
        }
        Ok(())
    }
}

/// What an incident is about, from the first two columns of a row.
fn subject(row: &Row<'_>) -> Result<Subject, StoreError> {
    Ok(Subject { service: word(row.get(0)?)?, leg: word(row.get(1)?)? })
}
