//! The ways between the parts of a rehearsal, in memory instead of over sockets.
//!
//! Each stands where a part of production takes one: [`Network`] and [`Dns`] of the agent, its
//! [`ship::Post`] to the collector, and the collector's [`notify::Post`] to whoever is paged.

use std::collections::{BTreeMap, BTreeSet};
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
use mailsonar_collector::notify::{self, Ear, Page, PostError, PostReply, PostRequest};
use mailsonar_protocol::{BATCHES_PATH, CONFIRM_PATH, Text};
use mailsonar_sandbox::Sandbox;
use serde_json::Value;
use tokio::sync::Notify;
use tower::ServiceExt;

use crate::demo::distance::Distance;

/// The most of a collector's answer that is read.
const ANSWER: usize = 1024 * 1024;
/// How long an agent waits for a collector that does not answer, as its HTTP client would.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same, where the collector has heard and holds its answer back.
const LONG_PATIENCE: Duration = Duration::from_secs(30);
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
pub(super) struct Reception {
    router: Arc<Mutex<Option<Router>>>,
    /// Told when it goes: whoever waits for its answer is cut off, as by a kernel.
    gone: Arc<Notify>,
}

impl Reception {
    pub(super) fn set(&self, router: Option<Router>) {
        *self.router.lock().unwrap_or_else(PoisonError::into_inner) = router;
        self.gone.notify_waiters();
    }

    async fn answer(&self, request: Request<Body>) -> Result<(u16, Bytes), String> {
        let router = self.router.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let router = router.ok_or("connection refused")?;
        let answered = async {
            let Ok(response) = router.oneshot(request).await;
            let status = response.status().as_u16();
            let answer = axum::body::to_bytes(response.into_body(), ANSWER).await;
            Ok((status, answer.map_err(|error| error.to_string())?))
        };
        tokio::select! {
            biased;
            () = self.gone.notified() => Err("connection reset".into()),
            answer = answered => answer,
        }
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

    fn ask(&self) -> BoxFuture<'_, Result<(u16, Bytes), String>> {
        let request = Request::get(CONFIRM_PATH).body(Body::empty());
        Box::pin(async move {
            let asked = tokio::time::timeout(LONG_PATIENCE, self.exchange(request)).await;
            asked.unwrap_or_else(|_| Err("operation timed out".into()))
        })
    }
}

impl ToCollector {
    async fn delivered(&self, body: Bytes) -> Result<(u16, Bytes), String> {
        let request = Request::post(BATCHES_PATH)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONTENT_ENCODING, "gzip")
            .body(Body::from(body));
        self.exchange(request).await
    }

    async fn exchange(
        &self,
        request: Result<Request<Body>, axum::http::Error>,
    ) -> Result<(u16, Bytes), String> {
        let mut request = request.map_err(|error| error.to_string())?;
        let token = format!("Bearer {}", self.token).parse();
        request
            .headers_mut()
            .insert(header::AUTHORIZATION, token.map_err(|_| "a token that no header holds")?);
        self.distance.one_way().await;
        let answer = self.reception.answer(request).await;
        self.distance.one_way().await;
        answer
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
    /// The words that the notifier found for it.
    pub words: String,
}

/// Takes every page. Where the receiver is down, the notifier tries again as it would in production.
#[derive(Clone)]
pub(super) struct Pager {
    clock: SharedClock,
    pages: Arc<Mutex<Vec<Paged>>>,
    /// What each notifier sent last.
    sent: Arc<Mutex<BTreeMap<String, Value>>>,
    /// The notifiers whose receivers are out of order.
    deaf: Arc<Mutex<BTreeSet<String>>>,
}

/// Where the simulated notifiers post, followed by the notifier's name.
pub const PAGER_URL: &str = "http://127.0.0.1:9/";

impl Pager {
    pub(super) fn new(
        clock: SharedClock,
        pages: Arc<Mutex<Vec<Paged>>>,
        deaf: Arc<Mutex<BTreeSet<String>>>,
    ) -> Self {
        Self { clock, pages, sent: Arc::default(), deaf }
    }

    /// Hears what each notifier has sent.
    pub(super) fn ear(&self) -> Ear {
        let pager = self.clone();
        Ear::new(move |notifier, pages| pager.hear(notifier, pages))
    }

    fn hear(&self, notifier: &str, pages: &[Page]) {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner).get(notifier).cloned();
        let sent = sent.unwrap_or_default();
        let words = said(&sent);
        let mut heard = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        for page in pages {
            let same = |paged: &Paged| {
                let told = (&paged.notifier, &paged.page.incident, &paged.page.kind);
                told == (&notifier.to_owned(), &page.incident, &page.kind)
            };
            // Alertmanager is told every minute that an alert still stands.
            if sent.is_array() && heard.iter().any(same) {
                continue;
            }
            heard.push(Paged {
                at: self.clock.now(),
                notifier: notifier.to_owned(),
                page: page.clone(),
                words: words.clone(),
            });
        }
    }
}

impl notify::Post for Pager {
    fn post(&self, request: PostRequest) -> BoxFuture<'_, Result<PostReply, PostError>> {
        async move {
            tokio::time::sleep(PAGER).await;
            let path = request.url.strip_prefix(PAGER_URL).unwrap_or_default();
            let notifier = path.split('/').next().unwrap_or_default().to_owned();
            if self.deaf.lock().unwrap_or_else(PoisonError::into_inner).contains(&notifier) {
                return Ok(PostReply { status: 503, retry_after: None, words: Text::default() });
            }
            let body = serde_json::from_slice(&request.body).unwrap_or_default();
            self.sent.lock().unwrap_or_else(PoisonError::into_inner).insert(notifier, body);
            Ok(PostReply { status: 202, retry_after: None, words: Text::default() })
        }
        .boxed()
    }
}

/// The words for a person in what a notifier sends, whatever its kind.
fn said(body: &Value) -> String {
    const PLACES: [&[&str]; 5] = [
        &["/payload/summary"],
        &["/blocks/0/text/text"],
        &["/title", "/message"],
        &["/0/annotations/summary", "/0/annotations/description"],
        &["/summary"],
    ];
    let words = |places: &[&str]| {
        let found: Vec<&str> = places.iter().filter_map(|place| body.pointer(place)?.as_str()).collect();
        (!found.is_empty()).then(|| found.join("\n"))
    };
    PLACES.iter().find_map(|places| words(places)).unwrap_or_default()
}
