//! Signing in with access tokens: a provider that hands them out, and servers that take them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use mailsonar_protocol::{Class, Outcome, Record, Stage as Step};
use mailsonar_sandbox::Config;

use crate::stage::Stage;

const ROUTE: &str = r#"
[routes.loop]
from = "probe"
to = "probe"
interval = "500ms"
deadline = "5s"
"#;

/// A token endpoint that knows one client secret, and how often it was asked.
async fn provider(secret: &'static str) -> (String, Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("an address");
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let answer = move |form: String| async move {
        count.fetch_add(1, Ordering::Relaxed);
        if form.contains(&format!("client_secret={secret}")) && form.contains("grant_type=client_credentials")
        {
            return (StatusCode::OK, r#"{"access_token":"t0ken-of-ours","expires_in":3600}"#);
        }
        (StatusCode::UNAUTHORIZED, r#"{"error":"invalid_client","error_description":"AADSTS7000215"}"#)
    };
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/token", post(answer))).await });
    let proof = format!(
        "oauth = {{ token_url = \"http://{address}/token\", client_id = \"us\", client_secret = \"c1ient-secret\" }}"
    );
    (proof, asked)
}

#[tokio::test]
async fn one_token_serves_smtp_and_imap() {
    let (proof, asked) = provider("c1ient-secret").await;
    let stage = Stage::set_with(Config::pair(), &proof, ROUTE).await;
    stage.sandbox.grant("probe@acme.example", "t0ken-of-ours").expect("granted");
    let delivered = |record: &Record| record.verdict.outcome == Outcome::Delivered;
    stage.revision("a delivery", delivered).await;
    stage
        .until("three more", |revisions| {
            (revisions.iter().filter(|r| delivered(r)).count() > 3).then_some(())
        })
        .await;
    assert!(asked.load(Ordering::Relaxed) <= 3, "kept: asked {} times", asked.load(Ordering::Relaxed));
    assert!(stage.sandbox.truth().read(|facts| facts.logins.iter().any(|login| login.granted)));
}

#[tokio::test]
async fn a_refused_client_is_told_in_the_provider_s_words_and_not_asked_for_ever() {
    let (proof, asked) = provider("another").await;
    let stage = Stage::set_with(Config::pair(), &proof, ROUTE).await;
    stage.sandbox.grant("probe@acme.example", "t0ken-of-ours").expect("granted");
    let refused = stage.revision("a refusal", |record| record.verdict.outcome == Outcome::Refused).await;
    assert_eq!((refused.verdict.stage, refused.verdict.class), (Some(Step::Auth), Some(Class::Auth)));
    let reason = refused.verdict.reason.as_str();
    assert!(reason.contains("token_refused") && reason.contains("AADSTS7000215"), "{reason}");
    let held =
        stage.revision("the breaker", |record| record.verdict.reason.as_str().contains("sign_in_held")).await;
    assert_eq!(held.verdict.outcome, Outcome::Unknown);
    assert!(asked.load(Ordering::Relaxed) <= 6, "asked {} times", asked.load(Ordering::Relaxed));
    let all = format!("{:?}", stage.revisions());
    assert!(!all.contains("c1ient-secret") && !all.contains("t0ken-of-ours"), "I12");
}
