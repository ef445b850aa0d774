//! The ways between the parts of a rehearsal, in memory instead of over sockets.
//!
//! Each stands where a part of production takes one: [`Network`] and [`Dns`] of the agent, its
//! [`ship::Post`] to the collector, and the collector's [`notify::Post`] to whoever is paged.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use hickory_server::net::{DnsError, NetError};
use hickory_server::proto::op::{DnsResponse, Message, MessageType, OpCode, Query};
use hickory_server::proto::rr::{Name, RData, RecordType};
use jiff::Timestamp;
use mailsonar_agent::net::{BoxedStream, Network};
use mailsonar_agent::resolve::Dns;
use mailsonar_agent::ship;
use mailsonar_clock::SharedClock;
use mailsonar_collector::notify::{self, Page, PostError, PostReply, PostRequest};
use mailsonar_protocol::{BATCHES_PATH, Text};
use mailsonar_sandbox::Sandbox;
use tower::ServiceExt;

use crate::demo::distance::Distance;

/// The most of a collector's answer that is read.
const ANSWER: usize = 1024 * 1024;
/// How long an agent waits for a collector that does not answer, as its HTTP client would.
const PATIENCE: Duration = Duration::from_secs(10);
/// What a pager takes to answer.
const PAGER: Duration = Duration::from_millis(40);

/// The sandbox's doors, by pipes.
pub(super) struct Pipes(pub Arc<Sandbox>);

impl fmt::Debug for Pipes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pipes")
    }
}

impl Network for Pipes {
    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<BoxedStream>> {
        Box::pin(async move { Ok(Box::new(self.0.connect(address).await?) as BoxedStream) })
    }
}

/// The sandbox's name server, as far away as everything else of it.
pub(super) struct Zones {
    pub sandbox: Arc<Sandbox>,
    pub distance: Distance,
}

impl fmt::Debug for Zones {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Zones")
    }
}

impl Dns for Zones {
    fn ask<'a>(
        &'a self,
        _: SocketAddr,
        _: Duration,
        name: &'a Name,
        kind: RecordType,
    ) -> BoxFuture<'a, Result<Vec<RData>, NetError>> {
        Box::pin(async move {
            let mut query = Message::new(1, MessageType::Query, OpCode::Query);
            query.add_query(Query::query(name.clone(), kind));
            self.distance.round_trip().await;
            let Some(reply) = self.sandbox.ask_dns(&query.to_vec()?).await else {
                return std::future::pending().await;
            };
            let response = DnsError::from_response(DnsResponse::from_buffer(reply)?)?;
            let wanted = response.answers.iter().filter(|record| record.record_type() == kind);
            Ok(wanted.map(|record| record.data.clone()).collect())
        })
    }
}

/// The collector's HTTP, while it runs.
#[derive(Clone, Default)]
pub(super) struct Reception(Arc<Mutex<Option<Router>>>);

impl Reception {
    pub(super) fn set(&self, router: Option<Router>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = router;
    }

    fn router(&self) -> Option<Router> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// An agent's way to the collector.
pub(super) struct ToCollector {
    pub reception: Reception,
    pub distance: Distance,
    pub token: String,
}

impl ship::Post for ToCollector {
    fn post(&self, body: Bytes) -> BoxFuture<'_, Result<(u16, Bytes), String>> {
        Box::pin(async move {
            let posted = tokio::time::timeout(PATIENCE, self.delivered(body)).await;
            posted.unwrap_or_else(|_| Err("operation timed out".into()))
        })
    }
}

impl ToCollector {
    async fn delivered(&self, body: Bytes) -> Result<(u16, Bytes), String> {
        self.distance.round_trip().await;
        let router = self.reception.router().ok_or("connection refused")?;
        let request = Request::post(BATCHES_PATH)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONTENT_ENCODING, "gzip")
            .body(Body::from(body))
            .map_err(|error| error.to_string())?;
        let Ok(response) = router.oneshot(request).await;
        let status = response.status().as_u16();
        let answer = axum::body::to_bytes(response.into_body(), ANSWER).await;
        Ok((status, answer.map_err(|error| error.to_string())?))
    }
}

/// A page as it came out of the collector.
#[derive(Debug, Clone, PartialEq)]
pub struct Paged {
    /// When its receiver had it.
    pub at: Timestamp,
    /// The notifier's name.
    pub notifier: String,
    /// What it says.
    pub page: Page,
}

/// Takes every page. Where the receiver is down, the notifier tries again as it would in production.
#[derive(Clone)]
pub(super) struct Pager {
    pub clock: SharedClock,
    pub pages: Arc<Mutex<Vec<Paged>>>,
    /// The notifiers whose receivers are out of order.
    pub deaf: Arc<Mutex<BTreeSet<String>>>,
}

/// Where the simulated notifiers post, followed by the notifier's name.
pub(super) const PAGER_URL: &str = "http://127.0.0.1:9/";

impl notify::Post for Pager {
    fn post(&self, request: PostRequest) -> BoxFuture<'_, Result<PostReply, PostError>> {
        async move {
            tokio::time::sleep(PAGER).await;
            let page: Page =
                serde_json::from_slice(&request.body).map_err(|error| PostError(error.to_string()))?;
            let notifier = request.url.rsplit('/').next().unwrap_or_default().to_owned();
            if self.deaf.lock().unwrap_or_else(PoisonError::into_inner).contains(&notifier) {
                return Ok(PostReply { status: 503, retry_after: None, words: Text::default() });
            }
            let paged = Paged { at: self.clock.now(), notifier, page };
            self.pages.lock().unwrap_or_else(PoisonError::into_inner).push(paged);
            Ok(PostReply { status: 204, retry_after: None, words: Text::default() })
        }
        .boxed()
    }
}
