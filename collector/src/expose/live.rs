//! `/events`: says that something changed, so that open pages fetch themselves anew. Says nothing else.

use std::convert::Infallible;
use std::sync::LazyLock;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::Collector;

/// Pages that listen at once; others ask by themselves now and then. Far below the connections there may
/// be at once, so that agents always find room.
static PLACES: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(256));

/// The least pause between two events to one page.
const PAUSE: Duration = Duration::from_secs(2);

/// How often a line is sent that says nothing, so that the connection is known to live.
const BREATH: Duration = Duration::from_secs(20);

pub(super) async fn events(State(collector): State<Collector>) -> Response {
    let Ok(place) = PLACES.try_acquire() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many pages listen already\n").into_response();
    };
    let mut pulse = collector.pulse();
    pulse.mark_unchanged();
    let stream = stream::unfold((pulse, place), |(mut pulse, place)| async move {
        sleep(PAUSE).await;
        pulse.changed().await.ok()?;
        let count = *pulse.borrow_and_update();
        Some((Ok::<_, Infallible>(Event::default().event("changed").data(count.to_string())), (pulse, place)))
    });
    Sse::new(stream).keep_alive(KeepAlive::new().interval(BREATH)).into_response()
}
