//! What operators do by the forms of the pages: acknowledge, note, silence. Each is done by the same code as
//! through the API, under the operator's name.
//!
//! A form counts if it comes from a page of ours, in a session, with that session's key. What was
//! written is given back where it does not.

use axum::extract::rejection::FormRejection;
use axum::extract::{Form, FromRequest, FromRequestParts, Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;
use mailsonar_settings::Duration;
use maud::html;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::layout::{self, Page, Scene};
use crate::Collector;
use crate::expose::api::NoAnswer;
use crate::expose::session::comes_from_here;
use crate::expose::silences::NewSilence;
use crate::expose::{silences, writing};
use crate::silence::SilenceKind;

/// A form, with the key of the session it was drawn for.
pub(super) trait Keyed {
    /// The key it came with.
    fn key(&self) -> &str;
    /// What a person wrote into it, to be given back.
    fn words(&self) -> &str;
    /// The page it stood on.
    fn back(&self) -> &str;
}

/// A form that an operator may send, and did.
pub(super) struct Deed<T> {
    pub(super) by: String,
    pub(super) asked: T,
    pub(super) scene: Scene,
}

impl<T: Keyed + DeserializeOwned> FromRequest<Collector> for Deed<T> {
    type Rejection = Response;

    async fn from_request(request: Request, collector: &Collector) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let mut scene = match Scene::from_request_parts(&mut parts, collector).await {
            Ok(scene) => scene,
            Err(never) => match never {},
        };
        let from_here = comes_from_here(&parts.headers);
        let form = Form::<T>::from_request(Request::from_parts(parts, body), &()).await;
        let asked = form
            .map_err(|wrong: FormRejection| refused(&scene, StatusCode::BAD_REQUEST, &wrong.body_text(), ""))?
            .0;
        ours(asked.back()).clone_into(&mut scene.path);
        let Some(signed) = scene.signed.clone() else {
            let words = "You are not signed in any more: sign in, and do it again.";
            return Err(refused(&scene, StatusCode::UNAUTHORIZED, words, asked.words()));
        };
        if !from_here || !signed.gave(asked.key()) {
            let words = "This form was not drawn for you, or for an earlier session: open the page anew.";
            return Err(refused(&scene, StatusCode::FORBIDDEN, words, asked.words()));
        }
        Ok(Self { by: signed.name, asked, scene })
    }
}

/// A path of ours, or the overview: never another site.
pub(super) fn ours(path: &str) -> &str {
    let is_path = path.starts_with('/') && !path.starts_with("//");
    if is_path && path.bytes().all(|b| b.is_ascii_graphic() && b != b'\\') { path } else { "/" }
}

/// Nothing was done, why, and what had been written.
fn refused(scene: &Scene, status: StatusCode, why: &str, written: &str) -> Response {
    let page = layout::trouble("Nothing was done.", &super::words::plain(why));
    let main = html! {
        (page.main)
        @if !written.trim().is_empty() {
            section aria-labelledby="written" { h2 #written { "What you wrote" } p { q { (written) } } }
        }
    };
    Page { main, ..page }.answer(scene, status)
}

/// Back to a page, or why nothing was done.
fn done<T>(result: Result<T, NoAnswer>, to: &str, scene: &Scene, written: &str) -> Response {
    match result {
        Ok(_) => Redirect::to(to).into_response(),
        Err(NoAnswer::Question(words)) => refused(scene, StatusCode::BAD_REQUEST, &words, written),
        Err(NoAnswer::Absent) => {
            refused(scene, StatusCode::NOT_FOUND, "There is no such thing any more.", written)
        }
        Err(NoAnswer::Store(error)) => {
            refused(scene, StatusCode::SERVICE_UNAVAILABLE, &error.to_string(), written)
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Said {
    key: String,
    #[serde(default)]
    words: String,
    /// The page the form stood on.
    #[serde(default)]
    back: String,
}

impl Keyed for Said {
    fn key(&self) -> &str {
        &self.key
    }

    fn words(&self) -> &str {
        &self.words
    }

    fn back(&self) -> &str {
        &self.back
    }
}

pub(super) async fn acknowledge(
    State(collector): State<Collector>,
    Path(id): Path<String>,
    Deed { by, asked, scene }: Deed<Said>,
) -> Response {
    done(writing::take_on(&collector, id, by, &asked.words).await, ours(&asked.back), &scene, &asked.words)
}

pub(super) async fn note(
    State(collector): State<Collector>,
    Path(id): Path<String>,
    Deed { by, asked, scene }: Deed<Said>,
) -> Response {
    done(writing::annotate(&collector, id, by, &asked.words).await, ours(&asked.back), &scene, &asked.words)
}

/// A silence as the form asks for it. Nothing chosen is an empty text.
#[derive(Deserialize)]
pub(super) struct Quiet {
    key: String,
    reason: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    service: String,
    #[serde(default)]
    leg: String,
    /// A moment in UTC; now, if empty.
    #[serde(default)]
    starts: String,
    duration: String,
    /// The page the form stood on.
    #[serde(default)]
    back: String,
}

impl Keyed for Quiet {
    fn key(&self) -> &str {
        &self.key
    }

    fn words(&self) -> &str {
        &self.reason
    }

    fn back(&self) -> &str {
        &self.back
    }
}

impl Quiet {
    fn new_silence(&self) -> Result<NewSilence, NoAnswer> {
        let wrong = |words: &str| NoAnswer::Question(words.to_owned());
        let chosen = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Ok(NewSilence {
            kind: if self.kind == "maintenance" { SilenceKind::Maintenance } else { SilenceKind::Silence },
            service: chosen(&self.service)
                .map(|name| name.parse())
                .transpose()
                .map_err(|_| wrong("This is no service's name."))?,
            leg: chosen(&self.leg)
                .map(|leg| leg.parse())
                .transpose()
                .map_err(|_| wrong("This is no leg."))?,
            reason: self.reason.clone(),
            starts_at: chosen(&self.starts)
                .map(|text| moment(&text))
                .transpose()
                .map_err(|_| wrong("The beginning is no moment such as 2026-11-26T22:00."))?,
            ends_at: None,
            duration: Some(
                self.duration.parse::<Duration>().map_err(|_| wrong("The duration is none such as 2h."))?,
            ),
        })
    }
}

/// A moment as browsers send it, in UTC.
fn moment(text: &str) -> Result<Timestamp, jiff::Error> {
    Offset::UTC.to_timestamp(text.trim_end_matches('Z').parse::<DateTime>()?)
}

pub(super) async fn silence(
    State(collector): State<Collector>,
    Deed { by, asked, scene }: Deed<Quiet>,
) -> Response {
    let new = match asked.new_silence() {
        Ok(new) => new,
        Err(wrong) => return done::<()>(Err(wrong), "", &scene, &asked.reason),
    };
    done(silences::begin(&collector, by, new).await, ours(&asked.back), &scene, &asked.reason)
}

pub(super) async fn lift(
    State(collector): State<Collector>,
    Path(id): Path<String>,
    Deed { by, asked, scene }: Deed<Said>,
) -> Response {
    done(silences::lift(&collector, id, by).await, ours(&asked.back), &scene, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_browsers_send_them() {
        let noon: Timestamp = "2026-11-26T12:00:00Z".parse().expect("a time");
        for text in ["2026-11-26T12:00", "2026-11-26T12:00:00", "2026-11-26T12:00:00Z"] {
            assert_eq!(moment(text).expect("a moment"), noon, "{text}");
        }
        assert!(moment("noon").is_err() && moment("").is_err());
    }

    #[test]
    fn nobody_is_sent_to_another_site() {
        assert_eq!(ours("/incidents/1?a=b#c"), "/incidents/1?a=b#c");
        let others =
            ["", "//evil.example", "https://evil.example", "/\\evil.example", "/\r\nx", "/ä", "javascript:1"];
        for other in others {
            assert_eq!(ours(other), "/", "{other:?}");
        }
    }
}
