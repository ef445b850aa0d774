//! `/sign-in` and `/sign-out`: a plain form takes an operator's token and gives a session for it.
//!
//! A right token is taken at any time, so that no stranger can keep an operator out; it must be long, since
//! that is all that keeps others from guessing it.

use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;
use tracing::{info, warn};

use super::deeds::{Deed, Said, ours};
use super::headline::{Headline, Mood};
use super::layout::{Page, Scene, Tab, hero};
use crate::Collector;
use crate::expose::operator;
use crate::expose::session::{comes_from_here, is_behind_tls, set_cookie};

/// Where the form is.
pub(super) const PATH: &str = "/sign-in";

/// Fewer characters could be guessed. `mailsonar-collector token` makes 47.
const LEAST: usize = 20;

/// Where to go afterwards.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Onward {
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
pub(super) struct Attempt {
    token: String,
    #[serde(default)]
    next: String,
}

/// The form.
pub(super) async fn form(scene: Scene, Query(onward): Query<Onward>) -> Response {
    if scene.signed.is_some() {
        return Redirect::to(ours(&onward.next)).into_response();
    }
    page(&scene, &onward.next, None).answer(&scene, StatusCode::OK)
}

/// Takes what was filled in.
pub(super) async fn sign_in(
    State(collector): State<Collector>,
    scene: Scene,
    headers: HeaderMap,
    attempt: Result<Form<Attempt>, FormRejection>,
) -> Response {
    let refused = |status, next: &str, words| page(&scene, next, Some(words)).answer(&scene, status);
    if !comes_from_here(&headers) {
        return refused(
            StatusCode::FORBIDDEN,
            "/",
            "This form was sent by another site, or through a proxy that changes Host.",
        );
    }
    let Ok(Form(Attempt { token, next })) = attempt else {
        return refused(StatusCode::BAD_REQUEST, "/", "That was not this form.");
    };
    let token = token.trim();
    if token.len() < LEAST {
        let words = "Too short to be an operator's token: `mailsonar-collector token` makes one.";
        return refused(StatusCode::UNAUTHORIZED, &next, words);
    }
    let Some(name) = operator::by_token(&collector.config().operators, token) else {
        if !collector.sessions().may_err(scene.now) {
            let words = "Too many wrong tokens came in the last minute. A right one is still taken.";
            let answer = refused(StatusCode::TOO_MANY_REQUESTS, &next, words);
            return ([(header::RETRY_AFTER, "60")], answer).into_response();
        }
        warn!("somebody tried to sign in with a token that is no operator's");
        return refused(StatusCode::UNAUTHORIZED, &next, "This is no operator's token.");
    };
    info!(by = name, "signed in");
    let secret = collector.sessions().begin(&name, scene.now);
    moved(&collector, &headers, &secret, ours(&next))
}

/// Ends the session.
pub(super) async fn sign_out(
    State(collector): State<Collector>,
    headers: HeaderMap,
    Deed { by, .. }: Deed<Said>,
) -> Response {
    collector.sessions().end(&headers);
    info!(by, "signed out");
    moved(&collector, &headers, "", "/")
}

fn moved(collector: &Collector, headers: &HeaderMap, secret: &str, to: &str) -> Response {
    let is_secure = is_behind_tls(collector.config().public_url.as_deref(), headers);
    let cookie: (HeaderName, String) = (header::SET_COOKIE, set_cookie(secret, is_secure));
    ([cookie], Redirect::to(to)).into_response()
}

fn page(scene: &Scene, next: &str, wrong: Option<&str>) -> Page {
    Page {
        title: "Sign in".into(),
        tab: Tab::Elsewhere,
        mood: Mood::Calm,
        is_written_on: true,
        main: html! {
            @match wrong {
                Some(words) => (hero(&Headline { more: vec![words.into()], ..Headline::plain(Mood::Trouble, "Not signed in.") }, "what")),
                None => section { h1 #what { "Sign in" } },
            }
            @if scene.has_operators { (fields(next)) }
            @else { p { "This collector has no operators: its configuration names them in [operators.NAME]." } }
        },
    }
}

fn fields(next: &str) -> Markup {
    html! {
        form.card.narrow method="post" action=(PATH) aria-labelledby="what" {
            label {
                "Your operator's token"
                input type="password" name="token" required minlength=(LEAST) maxlength="200" autocomplete="current-password" spellcheck="false";
            }
            input type="hidden" name="next" value=(ours(next));
            button { "Sign in" }
            p { small { "The session ends after 12 hours, and when the collector is restarted." } }
        }
    }
}
