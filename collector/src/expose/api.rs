//! `/api/v1`: probes, incidents and agents as JSON, bounded.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use mailsonar_protocol::{
    AgentHealth, AgentName, Outcome, ProbeId, Record, Region, RouteCard, RouteName, ServiceName, Text, Time,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Collector;
use crate::evaluate::Finding;
use crate::store::{Agent, Cursor, Incident, IncidentState, ProbeQuery, Store, StoreError, StoredProbe};

/// How many entries an answer has at most.
const MOST: u32 = 500;
/// How many it has if nobody says.
const USUAL: u32 = 100;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// The question cannot be understood.
    Question(String),
    /// There is no such thing.
    Absent,
    /// The store cannot be used.
    Store(StoreError),
}

impl From<StoreError> for NoAnswer {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl IntoResponse for NoAnswer {
    fn into_response(self) -> Response {
        let (status, error) = match self {
            Self::Question(words) => (StatusCode::BAD_REQUEST, words),
            Self::Absent => (StatusCode::NOT_FOUND, "there is none with this id".into()),
            Self::Store(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        };
        (status, Json(serde_json::json!({ "error": error }))).into_response()
    }
}

pub(super) type Asked<T> = Result<Query<T>, QueryRejection>;

pub(super) fn asked<T>(query: Asked<T>) -> Result<T, NoAnswer> {
    query
        .map(|Query(query)| query)
        .map_err(|rejection| NoAnswer::Question(Text::new(&rejection.body_text()).to_string()))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProbesAsked {
    service: Option<ServiceName>,
    route: Option<RouteName>,
    region: Option<Region>,
    outcome: Option<Outcome>,
    #[schemars(with = "Option<Time>")]
    since: Option<Timestamp>,
    limit: Option<u32>,
    cursor: Option<String>,
}

/// One probe, with what the collector adds to its record.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ProbeView {
    agent: AgentName,
    region: Region,
    /// On the collector's clock; times in the record are the agent's.
    #[schemars(with = "Time")]
    started_at: Timestamp,
    #[schemars(with = "Time")]
    received_at: Timestamp,
    clock_offset_us: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_us: Option<u64>,
    record: Record,
}

impl From<StoredProbe> for ProbeView {
    fn from(probe: StoredProbe) -> Self {
        Self {
            agent: probe.agent,
            region: probe.region,
            started_at: probe.started_at,
            received_at: probe.received_at,
            clock_offset_us: i64::try_from(probe.offset.as_micros()).unwrap_or(0),
            latency_us: probe.record.latency_us(),
            record: probe.record,
        }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ProbesView {
    probes: Vec<ProbeView>,
    /// Pass it as `cursor` for the next, older ones.
    next: Option<String>,
}

fn parse_cursor(text: &str) -> Option<Cursor> {
    let (start, probe) = text.split_once('.')?;
    let started_at = Timestamp::from_microsecond(start.parse().ok()?).ok()?;
    Some(Cursor { started_at, probe: probe.parse().ok()? })
}

pub(super) async fn probes(
    State(collector): State<Collector>,
    query: Asked<ProbesAsked>,
) -> Result<Json<ProbesView>, NoAnswer> {
    let query = asked(query)?;
    let after = match query.cursor.as_deref() {
        None => None,
        Some(text) => Some(parse_cursor(text).ok_or_else(|| {
            NoAnswer::Question("cursor is not one that an earlier answer gave as `next`".into())
        })?),
    };
    let limit = query.limit.unwrap_or(USUAL).clamp(1, MOST);
    let wanted = ProbeQuery {
        service: query.service,
        route: query.route,
        region: query.region,
        outcome: query.outcome,
        since: query.since,
        after,
        limit,
    };
    let found = collector.desks().read(move |store| store.probes(&wanted)).await?;
    let more = found.len() == limit as usize;
    let next = found
        .last()
        .filter(|_| more)
        .map(|last| format!("{}.{}", last.started_at.as_microsecond(), last.record.probe));
    Ok(Json(ProbesView { probes: found.into_iter().map(ProbeView::from).collect(), next }))
}

pub(super) async fn probe(
    State(collector): State<Collector>,
    Path(id): Path<String>,
) -> Result<Json<ProbeView>, NoAnswer> {
    let id: ProbeId = id.parse().map_err(|_| NoAnswer::Absent)?;
    let found = collector.desks().read(move |store| store.probe(id)).await?;
    found.map(|probe| Json(probe.into())).ok_or(NoAnswer::Absent)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct IncidentsAsked {
    state: Option<IncidentState>,
    limit: Option<u32>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct IncidentsView {
    incidents: Vec<Incident>,
}

pub(super) async fn incidents(
    State(collector): State<Collector>,
    query: Asked<IncidentsAsked>,
) -> Result<Json<IncidentsView>, NoAnswer> {
    let query = asked(query)?;
    let limit = query.limit.unwrap_or(USUAL).clamp(1, MOST);
    let incidents = collector.desks().read(move |store| store.incidents(query.state, limit)).await?;
    Ok(Json(IncidentsView { incidents }))
}

pub(super) async fn incident(
    State(collector): State<Collector>,
    Path(id): Path<String>,
) -> Result<Json<Incident>, NoAnswer> {
    collector.desks().read(move |store| store.incident(&id)).await?.map(Json).ok_or(NoAnswer::Absent)
}

/// One configured agent.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct AgentView {
    name: AgentName,
    region: Region,
    /// When it was last heard; absent if never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Time>")]
    heard_at: Option<Timestamp>,
    software: Text,
    clock_offset_us: i64,
    routes: Vec<RouteCard>,
    /// As the agent sent it, in its own times.
    health: AgentHealth,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct AgentsView {
    agents: Vec<AgentView>,
    /// What is to be said of agents and references now.
    findings: Vec<Finding>,
}

pub(super) async fn agents(State(collector): State<Collector>) -> Result<Json<AgentsView>, NoAnswer> {
    let mut spoken = collector.desks().read(Store::agents).await?;
    let agents = collector.agents().iter().map(|(name, region)| {
        let at = spoken.iter().position(|agent| agent.name == *name);
        agent_view(name, region, at.map(|at| spoken.swap_remove(at)))
    });
    Ok(Json(AgentsView { agents: agents.collect(), findings: collector.findings() }))
}

fn agent_view(name: &AgentName, region: &Region, agent: Option<Agent>) -> AgentView {
    let offset = agent.as_ref().map_or(0, |agent| agent.offset.as_micros());
    AgentView {
        name: name.clone(),
        region: region.clone(),
        heard_at: agent.as_ref().map(|agent| agent.heard_at),
        software: agent.as_ref().map(|agent| agent.software.clone()).unwrap_or_default(),
        clock_offset_us: i64::try_from(offset).unwrap_or(0),
        routes: agent.as_ref().map(|agent| agent.routes.clone()).unwrap_or_default(),
        health: agent.map(|agent| agent.health).unwrap_or_default(),
    }
}
