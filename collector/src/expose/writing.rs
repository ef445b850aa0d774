//! What operators write about incidents: that they have taken one on, notes, and the draft of a post-mortem.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing::info;

use super::api::{Asked, NoAnswer, ProbeView, asked};
use super::{Operator, postmortem};
use crate::Collector;
use crate::incident::{self, Moment, MomentKind};
use crate::store::{Incident, StoreError};

/// The longest text an operator may write, in bytes.
pub(super) const MOST: usize = 2000;

/// The body of a request, or why it cannot be understood.
pub(super) fn body<T>(asked: Result<Json<T>, JsonRejection>) -> Result<T, NoAnswer> {
    asked.map(|Json(body)| body).map_err(|rejection| {
        NoAnswer::Question(mailsonar_protocol::Text::new(&rejection.body_text()).to_string())
    })
}

/// A text an operator wrote: there, and not too long.
pub(super) fn told(what: &str, words: &str) -> Result<String, NoAnswer> {
    let words = words.trim();
    if words.is_empty() || words.len() > MOST {
        return Err(NoAnswer::Question(format!("{what} must be 1 to {MOST} bytes of text")));
    }
    Ok(words.to_owned())
}

/// What an operator says.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Said {
    #[serde(default)]
    words: String,
}

pub(super) async fn acknowledge(
    State(collector): State<Collector>,
    Operator(by): Operator,
    Path(id): Path<String>,
    asked: Result<Json<Said>, JsonRejection>,
) -> Result<Json<Incident>, NoAnswer> {
    take_on(&collector, id, by, &body(asked)?.words).await.map(Json)
}

/// Notes that an operator has taken an incident on.
pub(super) async fn take_on(
    collector: &Collector,
    id: String,
    by: String,
    words: &str,
) -> Result<Incident, NoAnswer> {
    let words = if words.trim().is_empty() { String::new() } else { told("words", words)? };
    info!(id, by, "incident acknowledged");
    let (now, addressees) = (collector.now(), collector.addressees().clone());
    let incident = change(collector, id, move |store, incident| {
        incident::acknowledge(store, incident, &by, &words, &addressees, now)
    });
    let incident = incident.await?;
    collector.wake_deliveries();
    Ok(incident)
}

pub(super) async fn note(
    State(collector): State<Collector>,
    Operator(by): Operator,
    Path(id): Path<String>,
    asked: Result<Json<Said>, JsonRejection>,
) -> Result<Json<Incident>, NoAnswer> {
    annotate(&collector, id, by, &body(asked)?.words).await.map(Json)
}

/// Adds an operator's note to an incident.
pub(super) async fn annotate(
    collector: &Collector,
    id: String,
    by: String,
    words: &str,
) -> Result<Incident, NoAnswer> {
    let words = told("words", words)?;
    let now = collector.now();
    change(collector, id, move |store, incident| {
        let moment = Moment { at: now, kind: MomentKind::Note, words, by: Some(by) };
        incident::remember(&mut incident.timeline, moment);
        store.put_incident(incident)
    })
    .await
}

/// How an incident is exported.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    #[default]
    Markdown,
    Json,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportAsked {
    #[serde(default)]
    format: Format,
}

/// An incident with the records of its evidence.
#[derive(Debug, Serialize)]
struct Export {
    incident: Incident,
    probes: Vec<ProbeView>,
}

/// All that is known of an incident. Anybody may read it.
pub(super) async fn export(
    State(collector): State<Collector>,
    Path(id): Path<String>,
    query: Asked<ExportAsked>,
) -> Result<Response, NoAnswer> {
    let format = asked(query)?.format;
    let found = collector.desks().read(move |store| {
        let Some(incident) = store.incident(&id)? else { return Ok(None) };
        let samples = incident.evidence.samples.iter();
        let probes: Result<Vec<_>, _> = samples.map(|sample| store.probe(sample.probe)).collect();
        Ok(Some((incident, probes?.into_iter().flatten().collect::<Vec<_>>())))
    });
    let (incident, probes) = found.await?.ok_or(NoAnswer::Absent)?;
    Ok(match format {
        Format::Markdown => {
            let text = postmortem::markdown(&incident, &probes);
            ([(header::CONTENT_TYPE, "text/markdown; charset=utf-8")], text).into_response()
        }
        Format::Json => Json(Export { incident, probes: probes.into_iter().map(ProbeView::from).collect() })
            .into_response(),
    })
}

async fn change(
    collector: &Collector,
    id: String,
    how: impl FnOnce(&crate::store::Store, &mut Incident) -> Result<(), StoreError> + Send + 'static,
) -> Result<Incident, NoAnswer> {
    let changed = collector.desks().run(move |store| -> Result<_, StoreError> {
        let Some(mut incident) = store.incident(&id)? else { return Ok(None) };
        how(store, &mut incident)?;
        Ok(Some(incident))
    });
    let changed = changed.await?.ok_or(NoAnswer::Absent)?;
    collector.pulsed();
    Ok(changed)
}
