//! The way in: a batch is authenticated, inflated within bounds, checked, and made durable.
//!
//! A 2xx leaves only after the commit (I2); after a 4xx or 5xx nothing of the batch was kept. What
//! the batch means for anybody is not known here.

mod auth;
mod body;
mod check;

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use mailsonar_clock::SharedClock;
use mailsonar_protocol::{Acknowledgement, Answer, Asked, Batch, Place, ProbeId, Record, Region, VERSION};
use serde::Serialize;
use tokio::sync::Notify;
use tracing::{debug, warn};

pub use auth::{AgentConfig, Agents, TokenHash, check as check_agents, token_hash};
pub(crate) use auth::{bearer, which};

use crate::asks::Asks;
use crate::expose::Metrics;
use crate::places::places;
use crate::store::{Agent, Desks, Failure, Hello, Merged, Store, StoreError};

/// What ingest works with.
#[derive(Clone)]
pub struct Ingest {
    /// Who may speak.
    pub agents: Arc<Agents>,
    /// The store.
    pub desks: Desks,
    /// The time.
    pub clock: SharedClock,
    /// Where changes are counted.
    pub metrics: Metrics,
    /// Told after each batch.
    pub news: Arc<Notify>,
    /// Second views that are wanted.
    pub asks: Asks,
}

/// How long who asks for wishes is held while there are none.
const HOLD: Duration = Duration::from_secs(20);

/// Why a batch was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No token, or none that is known.
    #[error("this token is not known here; send `Authorization: Bearer TOKEN` with an agent's token")]
    Unauthorized,
    /// The token belongs to another agent, or to another region.
    #[error("{0}")]
    Forbidden(String),
    /// The body cannot be understood.
    #[error("{0}")]
    Malformed(String),
    /// The body is larger than a batch may be.
    #[error("{0}")]
    TooLarge(String),
    /// The body did not come in time.
    #[error("the body did not come within {0} s")]
    TooSlow(u64),
    /// Another encoding than gzip or none.
    #[error("Content-Encoding {0:?} is not known; send gzip or none")]
    Encoding(String),
    /// A record cannot be true.
    #[error("record {record}: {words}")]
    Unbelievable {
        /// Which.
        record: ProbeId,
        /// What is wrong with it.
        words: String,
    },
    /// A probe belongs to another agent.
    #[error("record {record} belongs to agent {owner}")]
    Foreign {
        /// Which.
        record: ProbeId,
        /// Whose it is.
        owner: String,
    },
    /// The store cannot be used now.
    #[error("{0}; try again later")]
    Unavailable(#[from] StoreError),
}

impl Failure for Refusal {
    fn trouble(&self) -> Option<&StoreError> {
        match self {
            Self::Unavailable(trouble) => Some(trouble),
            _ => None,
        }
    }
}

/// The body of every answer that is not 2xx.
#[derive(Debug, Serialize)]
struct ErrorBody {
    error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<ProbeId>,
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Encoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Unbelievable { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Foreign { .. } => StatusCode::CONFLICT,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let record = match &self {
            Self::Unbelievable { record, .. } | Self::Foreign { record, .. } => Some(*record),
            _ => None,
        };
        let mut response =
            (self.status(), Json(ErrorBody { error: self.to_string(), record })).into_response();
        let (name, value) = match self {
            Self::Unauthorized => (header::WWW_AUTHENTICATE, "Bearer"),
            Self::Unavailable(_) => (header::RETRY_AFTER, "5"),
            _ => return response,
        };
        response.headers_mut().insert(name, axum::http::HeaderValue::from_static(value));
        response
    }
}

/// `POST /v1/batches`.
pub async fn take(
    State(ingest): State<Ingest>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Answer>, Refusal> {
    let received_at = ingest.clock.now();
    let result = ingest.take(received_at, &headers, body).await;
    match &result {
        Ok(_) => ingest.metrics.ingested("accepted"),
        Err(refusal @ Refusal::Unavailable(_)) => {
            ingest.metrics.ingested("unavailable");
            ingest.metrics.store_failed();
            warn!(%refusal, "batch not taken");
        }
        Err(refusal) => {
            ingest.metrics.ingested("refused");
            // Anybody can cause these; they must not fill the log.
            if *refusal == Refusal::Unauthorized {
                debug!(%refusal, "batch refused");
            } else {
                warn!(%refusal, "batch refused");
            }
        }
    }
    result.map(Json)
}

/// `GET /v1/confirm`: held until a second view is wanted of this agent, or a while has passed.
pub async fn confirm(State(ingest): State<Ingest>, headers: HeaderMap) -> Result<Json<Asked>, Refusal> {
    let (name, _) = auth::by_token(&ingest.agents, &headers)?;
    ingest.asks.wait(name, HOLD).await;
    let confirm = ingest.asks.take(name, ingest.clock.now());
    Ok(Json(Asked { protocol: VERSION, confirm }))
}

impl Ingest {
    async fn take(&self, received_at: Timestamp, headers: &HeaderMap, body: Body) -> Result<Answer, Refusal> {
        let (name, config) = auth::by_token(&self.agents, headers)?;
        let batch: Batch = body::read(headers, body).await?;
        if batch.agent != *name {
            return Err(Refusal::Forbidden(format!(
                "this token belongs to agent {name}, not to {}",
                batch.agent
            )));
        }
        if batch.region != config.region {
            return Err(Refusal::Forbidden(format!(
                "agent {name} is in region {} by this collector's configuration, not in {}",
                config.region, batch.region
            )));
        }
        check::batch(&batch)?;
        let acknowledged =
            batch.records.iter().map(|r| Acknowledgement { probe: r.probe, revision: r.revision }).collect();
        // On a task of its own: an agent that hangs up now must not keep what is stored from being counted.
        let ingest = self.clone();
        let keeping = tokio::spawn(async move { ingest.keep(batch, received_at).await });
        let places = keeping.await.unwrap_or_else(|_| Err(StoreError::interrupted().into()))?;
        Ok(Answer {
            protocol: VERSION,
            received_at,
            acknowledged,
            confirm: self.asks.take(name, received_at),
            places,
        })
    }

    /// Makes a batch durable, and counts what it changed. Returns the places of the routes it announces.
    async fn keep(&self, batch: Batch, received_at: Timestamp) -> Result<Vec<Place>, Refusal> {
        let agents = Arc::clone(&self.agents);
        let committed = self.desks.run(move |store| commit(store, batch, received_at, &agents)).await?;
        self.count(&committed);
        if committed.is_news {
            self.news.notify_one();
        }
        Ok(committed.places)
    }

    /// Counts what a batch changed, after it is durable.
    fn count(&self, committed: &Committed) {
        let agent = &committed.agent;
        if committed.announced {
            self.metrics.announce(&agent.region, &agent.routes);
        }
        self.metrics.heard(agent, committed.missed_before);
        for Change { before, after } in &committed.changes {
            self.metrics.changed(agent, before.as_deref(), after);
        }
        debug!(agent = %agent.name, changes = committed.changes.len(), "batch taken");
    }
}

/// A record that changed.
struct Change {
    before: Option<Box<Record>>,
    after: Record,
}

/// What a batch changed.
struct Committed {
    agent: Agent,
    /// Whether the batch said which routes there are.
    announced: bool,
    missed_before: u64,
    /// Whether it may change what is decided. A heartbeat that says what the last one said does not: that it
    /// came is seen at the next tick.
    is_news: bool,
    changes: Vec<Change>,
    /// When its routes shall have their turns, if it said which there are.
    places: Vec<Place>,
}

/// Stores a batch, within the transaction the caller holds.
fn commit(
    store: &Store,
    batch: Batch,
    received_at: Timestamp,
    agents: &Agents,
) -> Result<Committed, Refusal> {
    let sent_at = batch.sent_at;
    let announced = batch.routes.is_some();
    let (agent, before) = store.hear(Hello {
        name: batch.agent,
        region: batch.region,
        software: batch.software,
        sent_at,
        received_at,
        routes: batch.routes,
        health: batch.health,
    })?;
    let mut changes = Vec::new();
    let merged = store.merge_all(&agent, received_at, &batch.records)?;
    for (after, merged) in batch.records.into_iter().zip(merged) {
        match merged {
            Merged::Changed(before) => {
                if let (None, Some(words)) = (&before, check::future(&after, sent_at)) {
                    return Err(Refusal::Unbelievable { record: after.probe, words });
                }
                changes.push(Change { before, after });
            }
            Merged::Unchanged => {}
            Merged::Foreign(owner) => return Err(Refusal::Foreign { record: after.probe, owner }),
        }
    }
    store.tally(&agent, changes.iter().map(|change| (change.before.as_deref(), &change.after)))?;
    let places = if announced { places_of(store, &agent, agents)? } else { Vec::new() };
    let is_same = |before: &Agent| {
        let (was, is) = (&before.health, &agent.health);
        was.mailboxes == is.mailboxes && was.complaints == is.complaints && before.routes == agent.routes
    };
    let is_news = !changes.is_empty() || !before.as_ref().is_some_and(is_same);
    let missed_before = before.map_or(0, |agent| agent.health.missed);
    Ok(Committed { agent, announced, missed_before, is_news, changes, places })
}

/// The places of an agent's routes among those of all that may speak.
fn places_of(store: &Store, agent: &Agent, agents: &Agents) -> Result<Vec<Place>, StoreError> {
    let all = store.agents()?;
    let ours = all.iter().filter(|other| agents.get(&other.name).is_some());
    let announced = ours.map(|other| (&other.name, other.routes.as_slice()));
    Ok(places(announced).remove(&agent.name).unwrap_or_default())
}

/// Every configured agent and the region it is in.
pub fn regions(agents: &Agents) -> Vec<(mailsonar_protocol::AgentName, Region)> {
    agents.iter().map(|(name, config)| (name.clone(), config.region.clone())).collect()
}
