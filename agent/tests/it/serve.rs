//! The agent's own HTTP.

use std::sync::Arc;

use mailsonar_agent::metrics::Metrics;
use mailsonar_agent::serve;

#[tokio::test]
async fn metrics_and_health_are_served_and_nothing_else() {
    rustls::crypto::ring::default_provider().install_default().ok();
    let metrics = Arc::new(Metrics::new("eu".parse().expect("a name"), &[], &[]));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("its address"));
    tokio::spawn(async move { axum::serve(listener, serve::router(metrics)).await });
    let health = reqwest::get(format!("{base}/healthz")).await.expect("answered");
    assert_eq!((health.status().as_u16(), health.text().await.expect("text").as_str()), (200, "ok\n"));
    let answer = reqwest::get(format!("{base}/metrics")).await.expect("answered");
    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    assert!(answer.text().await.expect("text").contains("mailsonar_build_info"));
    for other in ["/", "/debug", "/metrics/x"] {
        let answer = reqwest::get(format!("{base}{other}")).await.expect("answered");
        assert_eq!(answer.status().as_u16(), 404, "{other}");
    }
}

#[tokio::test]
async fn an_address_that_is_taken_is_named_with_what_to_do() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = taken.local_addr().expect("its address");
    let metrics = Arc::new(Metrics::new("eu".parse().expect("a name"), &[], &[]));
    let Err(error) = serve::bind(address, metrics).await else { panic!("two at one address") };
    let words = error.to_string();
    assert!(words.contains(&address.to_string()) && words.contains("choose another"), "{words}");
}
