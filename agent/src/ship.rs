//! Shipping: every revision that the collector has not acknowledged, at least once.
//!
//! The ledger is asked what is owed; nothing is kept here, so a collector that is away for days costs
//! no memory. An empty batch is the heartbeat. A revision is forgotten only after the 2xx (I2).

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::future::BoxFuture;
use mailsonar_clock::SharedClock;
use mailsonar_protocol::{
    Acknowledgement, AgentHealth, AgentName, Answer, Batch, ProbeId, Record, Region, RouteCard, Text,
};
use mailsonar_settings::Secret;
use secrecy::ExposeSecret;
use tokio::sync::Notify;

use crate::ledger::Ledger;

/// Where and how to ship.
#[derive(Debug, Clone)]
pub struct Config {
    /// The collector's base URL, without a slash at its end.
    pub url: String,
    /// The bearer token.
    pub token: Secret,
    /// A CA beside the system's.
    pub ca_file: Option<PathBuf>,
    /// The longest silence.
    pub heartbeat: Duration,
}

/// The most records in a batch.
const MOST: usize = 500;

/// Records that change together are shipped together.
const GATHER: Duration = Duration::from_millis(20);

const FIRST_AGAIN: Duration = Duration::from_millis(500);
const LAST_AGAIN: Duration = Duration::from_secs(30);

/// The most of an answer that is read.
const ANSWER: usize = 1024 * 1024;

/// The way to the collector: posts a gzip-compressed batch, returns status and body.
pub trait Post: Send + Sync {
    /// # Errors
    /// A sentence, where no answer came.
    fn post(&self, body: Bytes) -> BoxFuture<'_, Result<(u16, Bytes), String>>;
}

/// How a shipment went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shipped {
    /// The collector has it.
    Taken,
    /// No answer, or a 5xx or 429: later.
    Later,
    /// The collector refuses this agent: token, name, version.
    Refused,
}

/// Hears how each shipment went.
pub type OnShipped = Arc<dyn Fn(Shipped) + Send + Sync>;

/// Asks how the agent is, for each batch; what the ledger knows is added to it.
pub type AskHealth = Arc<dyn Fn() -> AgentHealth + Send + Sync>;

/// Ships one agent's records.
pub struct Shipper {
    /// The agent's name.
    pub agent: AgentName,
    /// Its region.
    pub region: Region,
    /// Its routes.
    pub routes: Vec<RouteCard>,
    /// The longest silence.
    pub heartbeat: Duration,
    /// What is owed.
    pub ledger: Ledger,
    /// Time.
    pub clock: SharedClock,
    /// The way.
    pub post: Box<dyn Post>,
    /// Rung when a record changes.
    pub changed: Arc<Notify>,
    /// How the agent is.
    pub health: AskHealth,
    /// Who hears how it went.
    pub on_shipped: OnShipped,
}

/// What to do after an answer.
enum Next {
    /// All well; there may be more.
    On { full: bool },
    /// The batch may hold something the collector cannot take: send less.
    Less,
    /// Wait.
    Wait(Shipped),
}

impl Shipper {
    /// Ships for ever.
    pub async fn run(self) {
        let (mut again, mut most) = (FIRST_AGAIN, MOST);
        loop {
            match self.ship(most).await {
                Next::On { full } => {
                    (self.on_shipped)(Shipped::Taken);
                    (again, most) = (FIRST_AGAIN, (most * 2).min(MOST));
                    if !full {
                        tokio::time::timeout(self.heartbeat, self.changed.notified()).await.ok();
                        tokio::time::sleep(GATHER).await;
                    }
                }
                Next::Less => most = (most / 2).max(1),
                Next::Wait(why) => {
                    (self.on_shipped)(why);
                    tokio::time::sleep(again.mul_f64(0.5 + rand::random::<f64>() / 2.0)).await;
                    again = (again * 2).min(LAST_AGAIN);
                }
            }
        }
    }

    async fn ship(&self, most: usize) -> Next {
        let records = match self.ledger.unacknowledged(most).await {
            Ok(records) => records,
            Err(error) => {
                // The heartbeat goes on: that this agent lives and has trouble is worth knowing.
                tracing::error!(%error, "the ledger cannot say what is owed to the collector");
                Vec::new()
            }
        };
        let sent: Vec<_> =
            records.iter().map(|r| Acknowledgement { probe: r.probe, revision: r.revision }).collect();
        let full = records.len() == most;
        let body = match packed(&self.batch(records).await) {
            Ok(body) => body,
            Err(error) => {
                tracing::error!(%error, "a batch could not be encoded");
                return Next::Wait(Shipped::Later);
            }
        };
        match self.post.post(body).await {
            Ok((200..=299, answer)) => self.taken(&answer, full).await,
            Ok((413, _)) if sent.len() > 1 => Next::Less,
            Ok((409 | 422, answer)) if !sent.is_empty() => self.unacceptable(sent, &answer, full).await,
            Ok((status, answer)) => {
                let words = Text::from_bytes(&answer);
                tracing::warn!(status, %words, "the collector did not take the batch");
                let later = status >= 500 || status == 429;
                Next::Wait(if later { Shipped::Later } else { Shipped::Refused })
            }
            Err(error) => {
                tracing::warn!(error, "the collector is out of reach");
                Next::Wait(Shipped::Later)
            }
        }
    }

    async fn batch(&self, records: Vec<Record>) -> Batch {
        let mut health = (self.health)();
        if let Ok(counts) = self.ledger.counts().await {
            health.unacknowledged = counts.unacknowledged;
            health.in_flight = counts.in_flight.values().map(|(count, _)| count).sum();
        }
        Batch {
            protocol: mailsonar_protocol::VERSION,
            agent: self.agent.clone(),
            region: self.region.clone(),
            software: concat!("mailsonar-agent ", env!("CARGO_PKG_VERSION")).into(),
            sent_at: self.clock.now(),
            routes: self.routes.clone(),
            health,
            records,
        }
    }

    /// Forgets what the collector says it has.
    async fn taken(&self, answer: &[u8], full: bool) -> Next {
        let answer: Answer = match serde_json::from_slice(answer) {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(%error, "the collector's answer is not one; is its URL right?");
                return Next::Wait(Shipped::Refused);
            }
        };
        match self.ledger.acknowledge(answer.acknowledged).await {
            Ok(()) => Next::On { full },
            Err(error) => {
                tracing::error!(%error, "the collector's acknowledgement could not be kept; it is shipped again");
                Next::Wait(Shipped::Later)
            }
        }
    }

    /// A record that the collector will never take must not hold up the others for ever. It is named in
    /// the answer; where it is not, smaller batches find it.
    async fn unacceptable(&self, sent: Vec<Acknowledgement>, answer: &[u8], full: bool) -> Next {
        let complaint: Complaint = serde_json::from_slice(answer).unwrap_or_default();
        let named = sent.iter().find(|sent| Some(sent.probe) == complaint.record);
        let only = if sent.len() == 1 { sent.first() } else { None };
        let Some(refused) = named.or(only).copied() else { return Next::Less };
        let (probe, words) = (refused.probe, Text::new(&complaint.error));
        tracing::error!(%probe, %words, "the collector refuses this record for good; it stays in the ledger only");
        match self.ledger.acknowledge(vec![refused]).await {
            // What is left of the batch is still owed.
            Ok(()) => Next::On { full: full || sent.len() > 1 },
            Err(_) => Next::Wait(Shipped::Later),
        }
    }
}

/// A refusal, as the collector words it.
#[derive(Debug, Default, serde::Deserialize)]
struct Complaint {
    #[serde(default)]
    error: String,
    #[serde(default)]
    record: Option<ProbeId>,
}

fn packed(batch: &Batch) -> anyhow::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    serde_json::to_writer(&mut encoder, batch)?;
    encoder.flush()?;
    Ok(encoder.finish()?.into())
}

/// The way over HTTP or HTTPS.
pub struct Http {
    client: reqwest::Client,
    url: String,
    token: Secret,
}

impl Http {
    /// A client for one collector. Redirects are not followed: they would carry the token elsewhere.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .timeout(Duration::from_secs(30))
            .tcp_nodelay(true);
        if let Some(path) = &config.ca_file {
            let pem = std::fs::read(path).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
            for certificate in reqwest::Certificate::from_pem_bundle(&pem)? {
                builder = builder.add_root_certificate(certificate);
            }
        }
        let url = format!("{}{}", config.url, mailsonar_protocol::BATCHES_PATH);
        Ok(Self { client: builder.build()?, url, token: config.token.clone() })
    }

    async fn send(&self, body: Bytes) -> reqwest::Result<(u16, Bytes)> {
        let mut response = self
            .client
            .post(&self.url)
            .bearer_auth(self.token.expose_secret())
            .header("content-type", "application/json")
            .header("content-encoding", "gzip")
            .body(body)
            .send()
            .await?;
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if answer.len() + chunk.len() > ANSWER {
                break;
            }
            answer.extend_from_slice(&chunk);
        }
        Ok((response.status().as_u16(), answer.into()))
    }
}

impl Post for Http {
    fn post(&self, body: Bytes) -> BoxFuture<'_, Result<(u16, Bytes), String>> {
        Box::pin(async move {
            self.send(body).await.map_err(|error| {
                let mut words = error.to_string();
                let mut source = std::error::Error::source(&error);
                while let Some(inner) = source {
                    words = format!("{words}: {inner}");
                    source = inner.source();
                }
                words
            })
        })
    }
}
