//! The whole collector on one thread under a paused clock: hours pass at once, and twice the same.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use mailsonar_clock::Clock;
use mailsonar_collector::Collector;
use mailsonar_collector::notify::{Post, PostError, PostReply, PostRequest};
use mailsonar_collector::store::{Desks, Store};
use mailsonar_protocol::*;
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;
use tower::ServiceExt;

use crate::harness::*;

/// The runtime's own time.
struct Simulated(Instant);

impl Clock for Simulated {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn now(&self) -> Timestamp {
        let elapsed = SignedDuration::try_from(Instant::now() - self.0).expect("in range");
        let now = at(0) + elapsed;
        Timestamp::from_microsecond(now.as_microsecond()).expect("in range")
    }

    fn civil(&self) -> Timestamp {
        self.now()
    }
}

/// A pager in memory that is out of order for the first ten minutes.
struct Pager {
    began: Instant,
    calls: Mutex<Vec<(Duration, String)>>,
}

impl Post for Pager {
    #[expect(clippy::disallowed_methods, reason = "the runtime's own time")]
    fn post(&self, request: PostRequest) -> BoxFuture<'_, Result<PostReply, PostError>> {
        Box::pin(async move {
            sleep(Duration::from_millis(20)).await;
            let elapsed = Instant::now() - self.began;
            if elapsed < Duration::from_mins(10) {
                return Err(PostError("connection refused".into()));
            }
            self.calls
                .lock()
                .expect("no panic")
                .push((elapsed, String::from_utf8(request.body).expect("text")));
            Ok(PostReply { status: 200, retry_after: None, words: Text::default() })
        })
    }
}

/// An hour of probes each minute from two regions, of which twenty minutes fail.
#[expect(clippy::disallowed_methods, reason = "the runtime's own time")]
async fn an_hour() -> Vec<(Duration, String)> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let began = Instant::now();
    let pager = Arc::new(Pager { began, calls: Mutex::default() });
    let post: Arc<dyn Post> = pager.clone();
    let desks = Desks::inline(Store::in_memory().expect("a store"));
    let config = configured(&webhook("127.0.0.1:1".parse().expect("an address")));
    let collector =
        Collector::start(config, Arc::new(Simulated(began)), desks, &post).await.expect("it starts");
    let running = AbortOnDropHandle::new(tokio::spawn(collector.clone().run()));
    for tick in 0_i64..360 {
        for (place, token) in [(0, TOKEN), (1, OTHER_TOKEN)] {
            let mut batch = batch(tick * 10, Vec::new());
            if tick % 6 == place {
                let fails = (30..150).contains(&tick);
                let outcome = if fails { Outcome::Unreachable } else { Outcome::Delivered };
                let id = u128::try_from(tick * 2 + place).expect("positive");
                batch.records.push(record(id, 1, (tick * 10) - 5, outcome));
            }
            let batch = if place == 0 { batch } else { from_us(batch) };
            let request = Request::post(BATCHES_PATH)
                .header("authorization", format!("Bearer {token}"))
                .body(Body::from(serde_json::to_vec(&batch).expect("JSON")))
                .expect("a request");
            let response = collector.router().oneshot(request).await.expect("an answer");
            assert_eq!(response.status(), 200);
        }
        sleep(Duration::from_secs(10)).await;
    }
    drop(running);
    let calls = pager.calls.lock().expect("no panic");
    calls.clone()
}

#[tokio::test(start_paused = true)]
async fn an_hour_passes_at_once_and_twice_the_same() {
    let calls = an_hour().await;
    let status = |call: &(Duration, String)| call.1.contains(r#""status":"resolve""#);
    assert_eq!(
        calls.iter().map(status).collect::<Vec<_>>(),
        [false, true],
        "one outage, one page, one resolve"
    );
    assert!(calls[0].0 < Duration::from_mins(12), "paged soon after the pager works: {:?}", calls[0].0);
    assert!(
        calls[1].0 < Duration::from_secs(1_500 + 150),
        "and called off soon after it ended: {:?}",
        calls[1].0
    );
    assert_eq!(an_hour().await, calls);
}
