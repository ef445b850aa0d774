//! What the outside may see: the status page, metrics, health, and the API. Read only, but for the way in and what
//! operators write.

mod api;
mod assets;
mod audience;
mod duties;
mod health;
mod live;
mod metrics;
mod openapi;
mod operator;
mod pages;
mod patience;
mod postmortem;
mod redact;
mod session;
mod silences;
mod statements;
mod troubles;
mod writing;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use mailsonar_protocol::{BATCHES_PATH, CONFIRM_PATH};

pub use audience::Config;
pub use metrics::Metrics;
pub use operator::{Operator, OperatorConfig, Operators, check as check_operators};
pub(crate) use patience::PatientListener;
pub(crate) use session::Sessions;
pub use troubles::Troubles;

use crate::Collector;
use crate::ingest::{self, Ingest};
use crate::store::Store;

/// Everything that is served.
pub(crate) fn router(collector: Collector, ingest: Ingest) -> Router {
    let agents = Router::new()
        .route(BATCHES_PATH, post(ingest::take))
        .route(CONFIRM_PATH, get(ingest::confirm))
        .with_state(ingest);
    let insiders = Router::new()
        .route("/metrics", get(scrape))
        .route("/api/v1/probes", get(api::probes))
        .route("/api/v1/probes/{id}", get(api::probe))
        .route("/api/v1/incidents", get(api::incidents))
        .route("/api/v1/incidents/{id}", get(api::incident))
        .route("/api/v1/incidents/{id}/export", get(writing::export))
        .route("/api/v1/incidents/{id}/acknowledge", post(writing::acknowledge))
        .route("/api/v1/incidents/{id}/notes", post(writing::note))
        .route("/api/v1/silences", get(silences::list).post(silences::add))
        .route("/api/v1/silences/{id}", get(silences::one).delete(silences::end))
        .route("/api/v1/statements", get(statements::list))
        .route("/api/v1/statements/{contract}/{service}/{period}", get(statements::one))
        .route("/api/v1/statements/{contract}/{service}/{period}/csv", get(statements::table))
        .route("/api/v1/agents", get(api::agents))
        .route_layer(from_fn_with_state(collector.clone(), audience::insiders_only));
    pages()
        .merge(insiders)
        .route("/api/v1/openapi.json", get(openapi::document))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .with_state(collector)
        .merge(agents)
}

/// What people look at.
fn pages() -> Router<Collector> {
    pages::router()
        .route("/events", get(live::events))
        .route(&assets::STYLE_PATH, get(assets::style))
        .route(&assets::SCRIPT_PATH, get(assets::script))
        .layer(axum::middleware::map_response(assets::guarded))
}

async fn scrape(State(collector): State<Collector>) -> Response {
    // The counters are worth having even while the store is not.
    let in_flight = collector.desks().read(Store::in_flight).await.ok();
    let text = collector.metrics().render(in_flight, collector.now());
    (StatusCode::OK, [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
        .into_response()
}
