//! `/badges/{service}.svg`: how a service stands, small enough for a README or a wiki. Who may not see the
//! service gets no badge.

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};

use super::layout::Scene;
use super::summary::{LegSummary, Standing, Summary};
use crate::Collector;
use crate::evaluate::Leg;

/// What the badge says, and in which colour.
fn verdict(legs: &[LegSummary]) -> (&'static str, &'static str) {
    let worst = legs.iter().map(|leg| leg.state).max().unwrap_or(Standing::Unknown);
    let mut worst_legs = legs.iter().filter(|leg| leg.state == worst).map(|leg| leg.leg);
    match (worst, worst_legs.next(), worst_legs.next()) {
        (Standing::Ok, ..) => ("flows", "#1a7a4a"),
        (Standing::Suspect, ..) => ("fails in places", "#8f5600"),
        (Standing::Recovering, ..) => ("catching up", "#8f5600"),
        (Standing::Unknown, ..) => ("cannot be seen", "#5b6673"),
        (Standing::Down, _, Some(_)) => ("does not flow", "#b3261e"),
        (Standing::Down, Some(Leg::Send), _) => ("sending fails", "#b3261e"),
        (Standing::Down, ..) => ("receiving fails", "#b3261e"),
    }
}

/// How wide a text is at 11 pixels, roughly; `textLength` makes it exact.
fn width(text: &str) -> usize {
    let of = |letter| match letter {
        'f' | 'i' | 'j' | 'l' | 'r' | 't' | ' ' | '-' | '.' => 4,
        'm' | 'w' => 10,
        _ => 7,
    };
    text.chars().map(of).sum()
}

fn draw(label: &str, words: &str, colour: &str) -> Markup {
    let (left, right) = (width(label) + 14, width(words) + 14);
    let text = |text: &str, from: usize| {
        html! { text x=(from + 7) y="14" textLength=(width(text)) lengthAdjust="spacingAndGlyphs" { (text) } }
    };
    html! {
        svg xmlns="http://www.w3.org/2000/svg" width=(left + right) height="20" role="img" aria-label=(format!("{label}: {words}")) {
            title { (label) ": " (words) }
            clipPath id="r" { rect width=(left + right) height="20" rx="4" {} }
            g clip-path="url(#r)" {
                rect width=(left) height="20" fill="#3b4650" {}
                rect x=(left) width=(right) height="20" fill=(colour) {}
            }
            g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" {
                (text(label, 0))
                (text(words, left))
            }
        }
    }
}

pub(super) async fn badge(
    State(collector): State<Collector>,
    scene: Scene,
    Path(file): Path<String>,
) -> Response {
    let Ok(summary) = Summary::gather(&collector, &scene).await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let name = file.strip_suffix(".svg").unwrap_or_default();
    let legs: Vec<LegSummary> = summary.legs.into_iter().filter(|leg| leg.service.as_str() == name).collect();
    if legs.is_empty() {
        return (StatusCode::NOT_FOUND, "no such service\n").into_response();
    }
    let (words, colour) = verdict(&legs);
    let headers = [(header::CONTENT_TYPE, "image/svg+xml"), (header::CACHE_CONTROL, "public, max-age=30")];
    (headers, draw(&format!("mail at {name}"), words, colour).into_string()).into_response()
}
