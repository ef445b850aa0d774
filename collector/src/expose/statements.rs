//! `/api/v1/statements`: what was issued, for programs.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use mailsonar_protocol::ServiceName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::api::NoAnswer;
use crate::Collector;
use crate::statement::{Issued, render};
use crate::store::StatementLine;

/// How many statements a list has at most.
const MOST: u32 = 500;

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct StatementsView {
    statements: Vec<StatementLine>,
}

pub(super) async fn list(State(collector): State<Collector>) -> Result<Json<StatementsView>, NoAnswer> {
    let statements = collector.desks().read(|store| store.statements(MOST)).await?;
    Ok(Json(StatementsView { statements }))
}

/// Which statement: `/{contract}/{service}/{period}`.
pub(super) type Which = Path<(String, String, String)>;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RevisionAsked {
    pub(super) revision: Option<u32>,
}

async fn find(collector: &Collector, which: Which, revision: Option<u32>) -> Result<Issued, NoAnswer> {
    let Path((contract, service, period)) = which;
    let service: ServiceName = service.parse().map_err(|_| NoAnswer::Absent)?;
    let found =
        collector.desks().read(move |store| store.statement(&contract, &service, &period, revision)).await?;
    found.ok_or(NoAnswer::Absent)
}

pub(super) async fn one(
    State(collector): State<Collector>,
    which: Which,
    Query(asked): Query<RevisionAsked>,
) -> Result<Json<Issued>, NoAnswer> {
    Ok(Json(find(&collector, which, asked.revision).await?))
}

pub(super) async fn table(
    State(collector): State<Collector>,
    which: Which,
    Query(asked): Query<RevisionAsked>,
) -> Result<Response, NoAnswer> {
    let issued = find(&collector, which, asked.revision).await?;
    Ok(([(header::CONTENT_TYPE, "text/csv; charset=utf-8; header=present")], render::csv(&issued))
        .into_response())
}
