//! The status page: what people look at, drawn on the server.
//!
//! Each page gathers plain data from the store in one job, leaves out what its audience must not see, and
//! is then drawn by pure functions. `maud` escapes every text; texts that did not pass through
//! [`mailsonar_protocol::Text`] on their way in pass through it here (I16). Nothing comes from elsewhere,
//! and everything can be read and used without a script. What operators may do is in `forms` and `deeds`.

mod agents;
mod badge;
mod deeds;
mod forms;
mod headline;
mod history;
mod incident;
mod layout;
mod maintenance;
mod overview;
mod parts;
mod plot;
mod probe;
mod service;
mod signin;
mod statements;
mod stuck;
mod summary;
mod waterfall;
mod words;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use jiff::Timestamp;
use mailsonar_protocol::ProbeId;

pub(super) use headline::sentence;
pub(super) use summary::Summary;
pub(super) use words::{culprit, leg_of, provider};

use self::layout::{Page, Scene};
use super::audience::Audience;
use super::redact::redacted;
use crate::Collector;
use crate::store::{Incident, StoreError};

/// The most bytes of a form.
const FORM: usize = 16 * 1024;

/// Why there is no page.
enum NoPage {
    /// There is nothing here, or nothing for this audience.
    Absent(Box<Scene>),
    /// The store cannot be used.
    Store(StoreError, Box<Scene>),
}

impl IntoResponse for NoPage {
    fn into_response(self) -> Response {
        match self {
            Self::Absent(scene) => {
                let page = layout::trouble(
                    "There is nothing here.",
                    "It may have been forgotten since, or the address is wrong.",
                );
                page.answer(&scene, StatusCode::NOT_FOUND)
            }
            Self::Store(error, scene) => {
                let words = if scene.audience.is_told_all() {
                    error.to_string()
                } else {
                    "Try again in a minute.".into()
                };
                let page = layout::trouble("This page cannot be drawn now.", &words);
                page.answer(&scene, StatusCode::SERVICE_UNAVAILABLE)
            }
        }
    }
}

impl FromRequestParts<Collector> for Scene {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, collector: &Collector) -> Result<Self, Self::Rejection> {
        let audience = Audience::from_request_parts(parts, collector).await?;
        let now = collector.now();
        Ok(Self {
            now,
            signed: collector.sessions().of(&parts.headers, now),
            has_statements: collector.config().statements.are_seen(!audience.is_told_all()),
            has_operators: !collector.config().operators.is_empty(),
            audience,
            // A form is come back from to its page, and from signing in to what was to be seen.
            path: if parts.method == Method::GET && parts.uri.path() != signin::PATH {
                parts.uri.path().to_owned()
            } else {
                "/".to_owned()
            },
        })
    }
}

/// Every page, and what answers where there is none.
pub(super) fn router() -> Router<Collector> {
    Router::new()
        .route("/", get(overview))
        .route("/services/{name}", get(service))
        .route("/incidents", get(incidents))
        .route("/incidents/{id}", get(incident))
        .route("/probes/{id}", get(probe))
        .route("/agents", get(agents))
        .route("/maintenance", get(maintenance))
        .route("/statements", get(statements::index))
        .route("/statements/{contract}/{service}/{period}", get(statements::one))
        .route("/statements/{contract}/{service}/{period}/letter", get(statements::letter))
        .route(signin::PATH, get(signin::form).post(signin::sign_in))
        .route("/sign-out", post(signin::sign_out))
        .route("/incidents/{id}/acknowledge", post(deeds::acknowledge))
        .route("/incidents/{id}/notes", post(deeds::note))
        .route("/silences", post(deeds::silence))
        .route("/silences/{id}/end", post(deeds::lift))
        .layer(DefaultBodyLimit::max(FORM))
        .route("/api/v1/summary", get(summary::summary))
        .route("/badges/{file}", get(badge::badge))
        .fallback(nothing)
}

type Drawn = Result<Response, NoPage>;

/// Incidents as this audience may see them.
fn seen(incidents: Vec<Incident>, audience: &Audience, now: Timestamp) -> Vec<Incident> {
    let visible = incidents.into_iter().filter(|i| audience.sees_incident(&i.service, i.leg));
    if audience.is_told_all() { visible.collect() } else { visible.map(|i| redacted(i, now)).collect() }
}

/// The page of what was gathered, if the store could be read and it is there.
fn drawn<T>(
    found: Result<Option<T>, StoreError>,
    scene: Scene,
    draw: impl FnOnce(&T, &Scene) -> Page,
) -> Drawn {
    match found {
        Ok(Some(found)) => Ok(draw(&found, &scene).answer(&scene, StatusCode::OK)),
        Ok(None) => Err(NoPage::Absent(scene.into())),
        Err(error) => Err(NoPage::Store(error, scene.into())),
    }
}

async fn overview(State(collector): State<Collector>, scene: Scene) -> Drawn {
    let found = overview::Overview::gather(&collector).await;
    drawn(found.map(|found| Some(found.seen_by(&scene))), scene, overview::Overview::page)
}

async fn service(State(collector): State<Collector>, scene: Scene, Path(name): Path<String>) -> Drawn {
    let Some(name) = name.parse().ok().filter(|name| scene.audience.sees(name)) else {
        return Err(NoPage::Absent(scene.into()));
    };
    let found = service::ServicePage::gather(&collector, name, &scene).await;
    drawn(found, scene, service::ServicePage::page)
}

async fn incidents(State(collector): State<Collector>, scene: Scene) -> Drawn {
    let found = collector.desks().read(|store| store.incidents(None, incident::LISTED)).await;
    let found = found.map(|incidents| Some(seen(incidents, &scene.audience, scene.now)));
    drawn(found, scene, |incidents, scene| incident::list(incidents, scene))
}

async fn incident(State(collector): State<Collector>, scene: Scene, Path(id): Path<String>) -> Drawn {
    let found = incident::IncidentPage::gather(&collector, id, &scene).await;
    drawn(found, scene, incident::IncidentPage::page)
}

async fn probe(State(collector): State<Collector>, scene: Scene, Path(id): Path<String>) -> Drawn {
    let Some(id) = id.parse::<ProbeId>().ok().filter(|_| scene.audience.is_told_all()) else {
        return Err(NoPage::Absent(scene.into()));
    };
    let found = collector.desks().read(move |store| store.probe(id)).await;
    drawn(found.map(|probe| probe.map(probe::ProbePage)), scene, probe::ProbePage::page)
}

async fn agents(State(collector): State<Collector>, scene: Scene) -> Drawn {
    if !scene.audience.is_told_all() {
        return Err(NoPage::Absent(scene.into()));
    }
    let found = agents::AgentsPage::gather(&collector).await;
    drawn(found.map(Some), scene, agents::AgentsPage::page)
}

async fn maintenance(State(collector): State<Collector>, scene: Scene) -> Drawn {
    let found = maintenance::gather(&collector, &scene).await;
    drawn(found.map(Some), scene, maintenance::Windows::page)
}

async fn nothing(scene: Scene) -> Drawn {
    Err(NoPage::Absent(scene.into()))
}
