//! Whether the process lives, and whether it does its work.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;

use crate::Collector;

/// What `/readyz` answers.
#[derive(Debug, Serialize)]
pub(super) struct Readiness {
    ready: bool,
    /// `ok`, or words.
    store: String,
    /// `ok`, or words.
    evaluation: String,
    /// Seconds since everything was last looked at.
    evaluated_seconds_ago: Option<f64>,
}

pub(super) async fn alive() -> &'static str {
    "ok\n"
}

pub(super) async fn ready(State(collector): State<Collector>) -> (StatusCode, Json<Readiness>) {
    let trouble = collector.desks().trouble();
    let age = collector.evaluated_at().map(|at| collector.now().duration_since(at));
    let allowed = collector.evaluation_allowed();
    let evaluation = match (&trouble, age) {
        (Some(_), _) => "stopped, since the store cannot be used".into(),
        (None, None) => "not begun yet".into(),
        (None, Some(age)) if age > allowed => format!("stuck: the last was {age:#} ago"),
        (None, Some(_)) => "ok".to_owned(),
    };
    let ready = evaluation == "ok";
    let readiness = Readiness {
        ready,
        store: trouble.map_or("ok".into(), |trouble| trouble.to_string()),
        evaluation,
        evaluated_seconds_ago: age.map(|age| age.as_secs_f64()),
    };
    (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, Json(readiness))
}
