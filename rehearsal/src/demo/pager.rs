//! The pager at the end of the webhook: takes pages, and shows them.

use axum::Router;
use axum::extract::{DefaultBodyLimit, Json, State};
use axum::http::StatusCode;
use axum::routing::post;
use mailsonar_clock::SharedClock;
use mailsonar_collector::notify::Page;
use tokio::sync::mpsc;

use super::model::News;

/// The most bytes of a page.
const PAGE: usize = 256 * 1024;

#[derive(Clone)]
struct Pager {
    clock: SharedClock,
    news: mpsc::Sender<News>,
}

/// What the pager serves: `POST /page`.
pub(super) fn router(clock: SharedClock, news: mpsc::Sender<News>) -> Router {
    let pager = Pager { clock, news };
    Router::new().route("/page", post(take)).layer(DefaultBodyLimit::max(PAGE)).with_state(pager)
}

/// 204, or 503 where nobody can look at the page now: then it comes again.
async fn take(State(pager): State<Pager>, Json(page): Json<Page>) -> StatusCode {
    let news = News::Page { at: pager.clock.now(), page: Box::new(page) };
    match pager.news.try_send(news) {
        Ok(()) => StatusCode::NO_CONTENT,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}
