//! The agent's own HTTP: `/metrics` and `/healthz`.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;

use crate::metrics::Metrics;

/// What the agent serves.
pub fn router(metrics: Arc<Metrics>) -> Router {
    let text =
        move || async move { ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.text()) };
    Router::new().route("/metrics", get(text)).route("/healthz", get(|| async { "ok\n" }))
}

/// Binds the address; the returned future serves for ever.
pub async fn bind(
    address: SocketAddr,
    metrics: Arc<Metrics>,
) -> anyhow::Result<impl Future<Output = std::io::Result<()>>> {
    let listener = tokio::net::TcpListener::bind(address).await.map_err(|error| {
        anyhow::anyhow!("listen = \"{address}\": {error}; choose another address or port")
    })?;
    tracing::info!(address = %listener.local_addr()?, "serving /metrics");
    Ok(async move { axum::serve(listener, router(metrics)).await })
}
