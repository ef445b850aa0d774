//! Who may write through the API: operators, known by bearer tokens of which only the SHA-256 is kept.
//!
//! A handler that takes an [`Operator`] is for operators only. Knows nothing of what they may do.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use mailsonar_protocol::AccountName;
use mailsonar_settings::{Document, Problem};
use serde::Deserialize;

use crate::Collector;
use crate::ingest::{Agents, TokenHash, bearer, which};

/// `[operators.NAME]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorConfig {
    /// The SHA-256 of the token, in hexadecimal.
    pub token_sha256: TokenHash,
}

/// Every operator. A name here is spelled as an account's is.
pub type Operators = BTreeMap<AccountName, OperatorConfig>;

/// The operator who asks, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator(pub String);

/// No token, or none that is an operator's.
#[derive(Debug)]
pub struct NoOperator;

impl IntoResponse for NoOperator {
    fn into_response(self) -> Response {
        let error = "this is for operators: send `Authorization: Bearer TOKEN` with the token of one of \
                     the collector's [operators.NAME]";
        let mut response =
            (StatusCode::UNAUTHORIZED, Json(serde_json::json!({ "error": error }))).into_response();
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        response
    }
}

impl FromRequestParts<Collector> for Operator {
    type Rejection = NoOperator;

    async fn from_request_parts(parts: &mut Parts, collector: &Collector) -> Result<Self, NoOperator> {
        let operators = &collector.config().operators;
        let hashes = operators.values().map(|config| &config.token_sha256);
        let at = bearer(&parts.headers, hashes).ok_or(NoOperator)?;
        let (name, _) = operators.iter().nth(at).ok_or(NoOperator)?;
        Ok(Self(name.to_string()))
    }
}

/// The operator whose token this is.
pub(super) fn by_token(operators: &Operators, token: &str) -> Option<String> {
    let at = which(token, operators.values().map(|config| &config.token_sha256))?;
    operators.keys().nth(at).map(ToString::to_string)
}

/// What cannot be meant: one token for two operators, or for an operator and an agent.
pub fn check(operators: &Operators, agents: &Agents, document: &Document) -> Vec<Problem> {
    let mut seen: BTreeMap<TokenHash, String> =
        agents.iter().map(|(name, config)| (config.token_sha256, format!("agent {name}"))).collect();
    let mut problems = Vec::new();
    for (name, config) in operators {
        if let Some(other) = seen.insert(config.token_sha256, format!("operator {name}")) {
            problems.push(document.problem(
                &format!("operators.{name}.token_sha256"),
                format!("is the token of {other} too"),
                "give every operator a token of their own: `mailsonar-collector token`",
            ));
        }
    }
    problems
}
