//! What every page has around it: head, navigation, foot.

use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use jiff::Timestamp;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::forms;
use super::headline::{Headline, Mood};
use super::signin;
use super::words::clock;
use crate::expose::assets::{SCRIPT_PATH, STYLE_PATH};
use crate::expose::audience::Audience;
use crate::expose::session::Signed;

/// For whom and when a page is drawn.
#[derive(Debug, Clone)]
pub(super) struct Scene {
    pub(super) audience: Audience,
    pub(super) now: Timestamp,
    /// The operator who is signed in, if the browser is one's.
    pub(super) signed: Option<Signed>,
    /// Whether anybody could sign in.
    pub(super) has_operators: bool,
    /// Whether there is a contract whose statements may be seen.
    pub(super) has_statements: bool,
    /// The path that was asked for.
    pub(super) path: String,
}

/// Where a page is in the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tab {
    Overview,
    Incidents,
    Agents,
    Maintenance,
    Statements,
    Elsewhere,
}

/// A page without its surroundings.
pub(super) struct Page {
    pub(super) title: String,
    pub(super) tab: Tab,
    pub(super) mood: Mood,
    /// Whether it has forms: then a browser without scripts does not fetch it anew by itself, since that
    /// would take away what somebody is writing.
    pub(super) is_written_on: bool,
    pub(super) main: Markup,
}

const TABS: &[(Tab, &str, &str)] = &[
    (Tab::Overview, "/", "Overview"),
    (Tab::Incidents, "/incidents", "Incidents"),
    (Tab::Agents, "/agents", "Agents"),
    (Tab::Maintenance, "/maintenance", "Maintenance"),
    (Tab::Statements, "/statements", "Statements"),
];

/// Seconds after which a browser without scripts asks again.
const FALLBACK_SECONDS: u32 = 30;

impl Page {
    /// The whole document.
    pub(super) fn answer(self, scene: &Scene, status: StatusCode) -> Response {
        (status, Html(self.document(scene).into_string())).into_response()
    }

    fn document(self, scene: &Scene) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    meta name="referrer" content="same-origin";
                    title { (self.title) " · Mailsonar" }
                    link rel="icon" href=(icon(self.mood));
                    link rel="stylesheet" href=(*STYLE_PATH);
                    script src=(*SCRIPT_PATH) defer {}
                    @if !self.is_written_on { noscript { meta http-equiv="refresh" content=(FALLBACK_SECONDS); } }
                }
                body data-mood=(self.mood.as_str()) {
                    a.skip href="#main" { "Skip to content" }
                    (header(scene, self.tab))
                    main #main tabindex="-1" data-mood=(self.mood.as_str()) { (self.main) }
                    (footer(scene))
                    p #said.unseen role="status" aria-live="polite" {}
                }
            }
        }
    }
}

fn header(scene: &Scene, tab: Tab) -> Markup {
    html! {
        header.top {
            a.brand href="/" { (LOGO) span { "Mailsonar" } }
            nav aria-label="Pages" {
                ul {
                    @for (place, path, name) in TABS {
                        @if match place {
                            Tab::Agents => scene.audience.is_told_all(),
                            Tab::Statements => scene.has_statements,
                            _ => true,
                        } {
                            li { a href=(path) aria-current=[(*place == tab).then_some("page")] { (name) } }
                        }
                    }
                }
            }
            div.visitor {
                span #live hidden { "Live" }
                div #operator {
                    @if let Some(signed) = &scene.signed { (forms::sign_out(signed)) }
                    @else if scene.has_operators {
                        a href=(format!("{}?next={}", signin::PATH, scene.path)) { "Sign in" }
                    }
                }
            }
        }
    }
}

fn footer(scene: &Scene) -> Markup {
    html! {
        footer {
            p {
                "As of " (clock(scene.now, scene.now)) ". All times are UTC. "
                "mailsonar-collector " (env!("CARGO_PKG_VERSION")) " · "
                a href="/api/v1/summary" { "As JSON" }
            }
        }
    }
}

/// The one clear sentence.
pub(super) fn hero(headline: &Headline, id: &str) -> Markup {
    html! {
        section.hero.(headline.mood.as_str()) aria-labelledby=(id) {
            (mark(headline.mood))
            div {
                h1 id=(id) { (headline.what) }
                @if !headline.facts.is_empty() {
                    dl {
                        @for fact in &headline.facts {
                            div {
                                dt { (fact.name) }
                                dd { (fact.value) @if !fact.beside.is_empty() { " " small { (fact.beside) } } }
                            }
                        }
                    }
                }
                @for line in &headline.more { p { (line) } }
            }
        }
    }
}

/// A sign that does not need its colour to be understood.
pub(super) fn mark(mood: Mood) -> Markup {
    let path = match mood {
        Mood::Calm => "M6 12.5l4 4 8-9",
        Mood::Watchful => "M12 6v7M12 16.6v.8",
        Mood::Trouble => "M7.5 7.5l9 9M16.5 7.5l-9 9",
        Mood::Blind => "M6 12h12",
    };
    html! {
        svg.mark.(mood.as_str()) viewBox="0 0 24 24" aria-hidden="true" {
            circle cx="12" cy="12" r="11" {}
            path d=(path) {}
        }
    }
}

fn icon(mood: Mood) -> String {
    let colour = match mood {
        Mood::Calm => "1b7f4d",
        Mood::Watchful => "b26a00",
        Mood::Trouble => "c4302b",
        Mood::Blind => "66707d",
    };
    format!(
        "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Ccircle cx='8' cy='8' \
         r='7' fill='%23{colour}'/%3E%3C/svg%3E"
    )
}

const LOGO: PreEscaped<&str> = PreEscaped(
    r#"<svg viewBox="0 0 24 24" aria-hidden="true"><circle cx="5" cy="19" r="2.4"></circle><path d="M5 12a7 7 0 0 1 7 7M5 6a13 13 0 0 1 13 13"></path></svg>"#,
);

/// An error as a page.
pub(super) fn trouble(title: &str, words: &str) -> Page {
    Page {
        title: title.to_owned(),
        tab: Tab::Elsewhere,
        mood: Mood::Blind,
        is_written_on: true,
        main: html! {
            section.hero.blind aria-labelledby="what" {
                (mark(Mood::Blind))
                div { h1 #what { (title) } p { (words) } p { a href="/" { "To the overview" } } }
            }
        },
    }
}
