//! The receiver of pages: keeps every request, and answers as it is told.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::IntoResponse;
use jiff::Timestamp;
use mailsonar_clock::SharedClock;
use tokio::sync::oneshot;

/// How the receiver answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// With this status code and header lines, and no body.
    Status(u16, Vec<(&'static str, String)>),
    /// Never.
    Hang,
}

impl Response {
    /// A bare status code.
    pub fn status(code: u16) -> Self {
        Self::Status(code, Vec::new())
    }
}

/// One request.
#[derive(Debug, Clone)]
pub struct Received {
    /// When it was complete, by the steady time of the clock the receiver was given.
    pub at: Timestamp,
    /// The method.
    pub method: Method,
    /// The path and query.
    pub path: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, as it was signed.
    pub body: Bytes,
    /// What it was answered, or `None` where it was left hanging.
    pub answered: Option<u16>,
}

impl Received {
    /// A header's value, where it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<serde_json::Value> {
        Ok(serde_json::from_slice(&self.body)?)
    }
}

/// An HTTP server that takes any request on any path. Ends with the value.
#[derive(Debug)]
pub struct WebhookReceiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Dropping it ends the thread.
    _stop: oneshot::Sender<()>,
}

struct Shared {
    clock: SharedClock,
    state: Mutex<(Response, Vec<Received>)>,
    news: Condvar,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl WebhookReceiver {
    /// Listens on a free port of 127.0.0.1 and answers 200.
    pub fn start(clock: SharedClock) -> Result<Self> {
        let state = Mutex::new((Response::status(200), Vec::new()));
        let shared = Arc::new(Shared { clock, state, news: Condvar::new() });
        let (stop, stopped) = oneshot::channel();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let router = Router::new().fallback(receive).with_state(shared.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let serve = async move || -> Result<()> {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            tokio::spawn(axum::serve(listener, router).into_future());
            // resolves when the sender is dropped; the runtime then takes the server along
            stopped.await.ok();
            Ok(())
        };
        thread::Builder::new().name("webhook".into()).spawn(move || {
            if let Err(error) = runtime.block_on(serve()) {
                tracing::error!("the receiver of pages did not start: {error:#}");
            }
        })?;
        Ok(Self { address, shared, _stop: stop })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its address as a URL, with a path.
    pub fn url(&self) -> String {
        format!("http://{}/page", self.address)
    }

    /// How to answer from now on.
    pub fn answer(&self, response: Response) {
        self.shared.state().0 = response;
    }

    /// All requests so far, in their order, whatever they were answered.
    pub fn received(&self) -> Vec<Received> {
        self.shared.state().1.clone()
    }

    /// Waits until a request fits, past ones included, and returns the first that does.
    pub fn wait_for(
        &self,
        what: &str,
        limit: Duration,
        fits: impl Fn(&Received) -> bool,
    ) -> Result<Received> {
        let none_fits = |state: &mut (Response, Vec<Received>)| !state.1.iter().any(&fits);
        let (state, _) = self
            .shared
            .news
            .wait_timeout_while(self.shared.state(), limit, none_fits)
            .unwrap_or_else(PoisonError::into_inner);
        match state.1.iter().find(|received| fits(received)) {
            Some(received) => Ok(received.clone()),
            None => bail!("waited {limit:?} in vain for {what}; {} other requests came", state.1.len()),
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, (Response, Vec<Received>)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn receive(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> axum::response::Response {
    let response = {
        let mut state = shared.state();
        let response = state.0.clone();
        let answered = match response {
            Response::Status(code, _) => Some(code),
            Response::Hang => None,
        };
        let at = shared.clock.now();
        state.1.push(Received { at, method, path: uri.to_string(), headers, body, answered });
        response
    };
    shared.news.notify_all();
    match response {
        Response::Hang => std::future::pending().await,
        Response::Status(code, headers) => {
            let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let headers = headers.into_iter().filter_map(|(name, value)| {
                Some((axum::http::HeaderName::from_static(name), value.parse().ok()?))
            });
            (status, headers.collect::<HeaderMap>()).into_response()
        }
    }
}
