//! `/api/v1/statements` and `/statements`: what was issued, for programs and for people.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use mailsonar_protocol::ServiceName;
use maud::{DOCTYPE, html};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::api::NoAnswer;
use crate::Collector;
use crate::statement::{Issued, Zone, render};
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
    revision: Option<u32>,
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

pub(super) async fn page(
    State(collector): State<Collector>,
    which: Which,
    Query(asked): Query<RevisionAsked>,
) -> Result<Html<String>, NoAnswer> {
    let issued = find(&collector, which, asked.revision).await?;
    // The zone was read once from the contract; should the machine not know it any more, UTC is shown.
    let zone: Zone = issued.statement.span.time_zone.parse().unwrap_or_default();
    Ok(Html(render::html(&issued, &zone)))
}

pub(super) async fn index(State(collector): State<Collector>) -> Result<Html<String>, NoAnswer> {
    let statements = collector.desks().read(|store| store.statements(MOST)).await?;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "Statements" }
                style { "body{font:1rem/1.5 system-ui,sans-serif;max-width:48rem;margin:2rem auto;padding:0 1rem}td,th{text-align:left;padding:.2rem 1rem .2rem 0}" }
            }
            body {
                h1 { "Service level statements" }
                @if statements.is_empty() { p { "None was issued yet." } }
                @else {
                    table {
                        thead { tr { th { "Period" } th { "Contract" } th { "Service" } th { "Revision" } th { "Issued" } } }
                        tbody { @for line in &statements {
                            @let path = format!("/statements/{}/{}/{}?revision={}", line.contract, line.service, line.period, line.revision);
                            tr {
                                td { a href=(path) { (line.period) } } td { (line.contract) } td { (line.service) }
                                td { (line.revision) } td { (line.issued_at) }
                            }
                        } }
                    }
                }
            }
        }
    };
    Ok(Html(page.into_string()))
}
