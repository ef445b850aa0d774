//! `/api/v1/silences`: windows in which nobody is paged. Anybody may read, operators may write.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use mailsonar_protocol::{ServiceName, Time};
use mailsonar_settings::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing::info;
use uuid::Uuid;

use super::Operator;
use super::api::{Asked, NoAnswer, asked};
use super::writing::{body, told};
use crate::Collector;
use crate::evaluate::Leg;
use crate::incident::{self, Moment, MomentKind};
use crate::silence::{AHEAD, Silence, SilenceKind};
use crate::store::{IncidentState, StoreError};

/// The longest silence: beyond it somebody has forgotten it.
const LONGEST: SignedDuration = SignedDuration::from_hours(31 * 24);

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SilencesAsked {
    /// Windows that end after this; without it, those that have not ended.
    #[schemars(with = "Option<Time>")]
    from: Option<Timestamp>,
    /// Windows that begin before this; without it, those of the next weeks.
    #[schemars(with = "Option<Time>")]
    until: Option<Timestamp>,
}

/// A silence, and whether it is open now.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct SilenceView {
    active: bool,
    #[serde(flatten)]
    silence: Silence,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct SilencesView {
    silences: Vec<SilenceView>,
}

fn view(silence: Silence, now: Timestamp) -> SilenceView {
    SilenceView { active: (silence.starts_at..silence.ends_at).contains(&now), silence }
}

pub(super) async fn list(
    State(collector): State<Collector>,
    query: Asked<SilencesAsked>,
) -> Result<Json<SilencesView>, NoAnswer> {
    let query = asked(query)?;
    let now = collector.now();
    let from = query.from.unwrap_or(now);
    let until = query.until.unwrap_or_else(|| now.saturating_add(AHEAD).unwrap_or(Timestamp::MAX));
    let silences = collector.desks().read(move |store| store.silences(from, until)).await?;
    Ok(Json(SilencesView { silences: silences.into_iter().map(|silence| view(silence, now)).collect() }))
}

pub(super) async fn one(
    State(collector): State<Collector>,
    Path(id): Path<String>,
) -> Result<Json<SilenceView>, NoAnswer> {
    let silence = collector.desks().read(move |store| store.silence(&id)).await?.ok_or(NoAnswer::Absent)?;
    Ok(Json(view(silence, collector.now())))
}

/// A silence as an operator asks for it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewSilence {
    #[serde(default = "silence")]
    pub(super) kind: SilenceKind,
    pub(super) service: Option<ServiceName>,
    pub(super) leg: Option<Leg>,
    pub(super) reason: String,
    #[schemars(with = "Option<Time>")]
    pub(super) starts_at: Option<Timestamp>,
    #[schemars(with = "Option<Time>")]
    pub(super) ends_at: Option<Timestamp>,
    /// Instead of `ends_at`: how long from its beginning.
    #[schemars(with = "Option<String>")]
    pub(super) duration: Option<Duration>,
}

fn silence() -> SilenceKind {
    SilenceKind::Silence
}

impl NewSilence {
    fn made(self, author: String, now: Timestamp) -> Result<Silence, NoAnswer> {
        let wrong = |words: &str| NoAnswer::Question(words.to_owned());
        let starts_at = self.starts_at.unwrap_or(now);
        let ends_at = match (self.ends_at, self.duration) {
            (Some(ends_at), None) => ends_at,
            (None, Some(length)) => {
                starts_at.checked_add(length.signed()).map_err(|_| wrong("duration is too long"))?
            }
            _ => return Err(wrong("say either ends_at or duration")),
        };
        if ends_at <= starts_at.max(now) {
            return Err(wrong("it would end before it begins, or has ended already"));
        }
        if ends_at.duration_since(starts_at) > LONGEST {
            return Err(wrong("it is longer than 31 days, by when somebody will have forgotten it"));
        }
        Ok(Silence {
            id: Uuid::new_v4().to_string(),
            kind: self.kind,
            service: self.service,
            leg: self.leg,
            author,
            reason: told("reason", &self.reason)?,
            starts_at,
            ends_at,
            created_at: now,
            ended_by: None,
        })
    }
}

pub(super) async fn add(
    State(collector): State<Collector>,
    Operator(author): Operator,
    asked: Result<Json<NewSilence>, JsonRejection>,
) -> Result<(StatusCode, Json<SilenceView>), NoAnswer> {
    let silence = begin(&collector, author, body(asked)?).await?;
    Ok((StatusCode::CREATED, Json(view(silence, collector.now()))))
}

/// Adds what an operator asks for. The incidents it covers will say so.
pub(super) async fn begin(
    collector: &Collector,
    author: String,
    asked: NewSilence,
) -> Result<Silence, NoAnswer> {
    let silence = asked.made(author, collector.now())?;
    let written = silence.clone();
    collector.desks().run(move |store| store.put_silence(&written)).await?;
    info!(id = silence.id, author = silence.author, reason = silence.reason, until = %silence.ends_at, "silence");
    collector.pulsed();
    Ok(silence)
}

pub(super) async fn end(
    State(collector): State<Collector>,
    Operator(by): Operator,
    Path(id): Path<String>,
) -> Result<Json<SilenceView>, NoAnswer> {
    let silence = lift(&collector, id, by).await?;
    Ok(Json(view(silence, collector.now())))
}

/// Ends one before its time; the open incidents it covered say who did.
pub(super) async fn lift(collector: &Collector, id: String, by: String) -> Result<Silence, NoAnswer> {
    let now = collector.now();
    let ended = collector.desks().run(move |store| -> Result<_, StoreError> {
        let Some(mut silence) = store.silence(&id)? else { return Ok(None) };
        if silence.ends_at <= now {
            return Ok(Some(silence));
        }
        silence.end(&by, now);
        store.put_silence(&silence)?;
        for mut incident in store.incidents(Some(IncidentState::Open), u32::MAX)? {
            if incident.silenced_by.contains(&silence.id) {
                let words = format!("The {} was ended before its time", silence.kind.as_str());
                let moment = Moment { at: now, kind: MomentKind::Note, words, by: Some(by.clone()) };
                incident::remember(&mut incident.timeline, moment);
                store.put_incident(&incident)?;
            }
        }
        Ok(Some(silence))
    });
    let silence = ended.await?.ok_or(NoAnswer::Absent)?;
    info!(id = silence.id, by = silence.ended_by, "silence ended");
    collector.pulsed();
    Ok(silence)
}
