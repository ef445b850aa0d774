//! What the outside may see: metrics, health, and the API. Read only, but for the way in and what operators write.

mod api;
mod duties;
mod health;
mod metrics;
mod operator;
mod patience;
mod postmortem;
mod silences;
mod statements;
mod troubles;
mod writing;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use mailsonar_protocol::{BATCHES_PATH, CONFIRM_PATH};

pub use metrics::Metrics;
pub use operator::{Operator, OperatorConfig, Operators, check as check_operators};
pub(crate) use patience::PatientListener;
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
    Router::new()
        .route("/", get(index))
        .route("/metrics", get(scrape))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
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
        .route("/statements", get(statements::index))
        .route("/statements/{contract}/{service}/{period}", get(statements::page))
        .route("/api/v1/agents", get(api::agents))
        .with_state(collector)
        .merge(agents)
}

async fn index() -> &'static str {
    concat!(
        "mailsonar-collector ",
        env!("CARGO_PKG_VERSION"),
        "\n\n/healthz\n/readyz\n/metrics\n/api/v1/probes?service=&route=&region=&outcome=&since=&limit=&cursor=\n",
        "/api/v1/probes/{id}\n/api/v1/incidents?state=&limit=\n/api/v1/incidents/{id}\n/api/v1/agents\n",
        "/statements\n/api/v1/statements\n/api/v1/statements/{contract}/{service}/{period}?revision=\n",
        "POST /v1/batches, GET /v1/confirm (agents only)\n"
    )
}

async fn scrape(State(collector): State<Collector>) -> Response {
    // The counters are worth having even while the store is not.
    let in_flight = collector.desks().read(Store::in_flight).await.ok();
    let text = collector.metrics().render(in_flight, collector.now());
    (StatusCode::OK, [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
        .into_response()
}
