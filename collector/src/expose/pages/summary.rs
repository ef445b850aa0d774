//! How every leg stands in one small answer: `/api/v1/summary` for programs. Strangers may ask for what is
//! public; no foreign text is in it.

use axum::Json;
use axum::extract::State;
use jiff::{SignedDuration, Timestamp};
use mailsonar_protocol::{ServiceName, Time};
use schemars::JsonSchema;
use serde::Serialize;

use super::headline::{Mood, flows, mood_of, sentence};
use super::history;
use super::layout::Scene;
use super::words::{clock_text, leg_of};
use crate::Collector;
use crate::evaluate::{Leg, Reason, Regions, Subject};
use crate::expose::api::NoAnswer;
use crate::store::{Incident, IncidentState, Outage, StoreError};

/// An evaluation older than this says nothing of now.
pub(super) const STALE: SignedDuration = SignedDuration::from_secs(30);

/// How a leg stands, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::expose) enum Standing {
    /// Mail flows.
    Ok,
    /// A region sees it fail, and it is no incident (yet).
    Suspect,
    /// Mail flows in time again; mail of the outage is still on its way.
    Recovering,
    /// Nobody can say.
    Unknown,
    /// Mail does not flow.
    Down,
}

/// One leg of one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(in crate::expose) struct LegSummary {
    pub(super) service: ServiceName,
    pub(super) leg: Leg,
    pub(super) state: Standing,
    /// When the open incident began; where there is none, when the last one ended, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Time>")]
    since: Option<Timestamp>,
    /// A sentence for a person.
    headline: String,
    /// The open incident.
    #[serde(skip_serializing_if = "Option::is_none")]
    incident: Option<String>,
}

/// Every leg that this audience may see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(in crate::expose) struct Summary {
    #[schemars(with = "Time")]
    at: Timestamp,
    /// When the collector last looked at its facts; absent before it ever did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Time>")]
    evaluated_at: Option<Timestamp>,
    pub(super) legs: Vec<LegSummary>,
}

impl Summary {
    /// Gathers it for one audience.
    pub(super) async fn gather(collector: &Collector, scene: &Scene) -> Result<Self, StoreError> {
        let now = scene.now;
        let read = move |store: &crate::store::Store| {
            let open = store.incidents(Some(IncidentState::Open), 500)?;
            Ok((open, store.outages(None, history::beginning(now))?))
        };
        let (open, outages) = collector.desks().read(read).await?;
        let evaluated_at = collector.evaluated_at();
        let stale = evaluated_at.is_none_or(|at| now.duration_since(at) > STALE);
        let blind = stale || open.iter().any(|incident| incident.leg == Leg::Monitoring);
        let views = collector.views();
        let watched =
            views.iter().filter(|(about, _)| flows(about.leg) && scene.audience.sees(&about.service));
        let legs = watched.map(|(about, regions)| {
            let of_it = |service: &ServiceName, leg| *service == about.service && leg == about.leg;
            match open.iter().find(|incident| of_it(&incident.service, incident.leg)) {
                Some(incident) => in_trouble(incident, now),
                None => without_trouble(
                    about,
                    if blind { Standing::Unknown } else { standing(regions) },
                    outages.iter().filter(|outage| of_it(&outage.service, outage.leg)),
                    now,
                ),
            }
        });
        Ok(Self { at: now, evaluated_at, legs: legs.collect() })
    }
}

/// How a leg stands by what its regions see, where no incident says more.
fn standing(regions: &Regions) -> Standing {
    if !regions.failing.is_empty() {
        Standing::Suspect
    } else if regions.passing.is_empty() {
        Standing::Unknown
    } else {
        Standing::Ok
    }
}

fn in_trouble(incident: &Incident, now: Timestamp) -> LegSummary {
    let state = match (incident.reason, mood_of(incident)) {
        (_, Mood::Watchful) => Standing::Recovering,
        (Reason::MailboxOutOfReach, _) => Standing::Unknown,
        _ => Standing::Down,
    };
    LegSummary {
        service: incident.service.clone(),
        leg: incident.leg,
        state,
        since: Some(incident.started_at),
        headline: sentence(incident, now),
        incident: Some(incident.id.clone()),
    }
}

fn without_trouble<'a>(
    about: &Subject,
    state: Standing,
    outages: impl Iterator<Item = &'a Outage>,
    now: Timestamp,
) -> LegSummary {
    let since = outages.filter_map(|outage| outage.resolved_at).max().filter(|_| state == Standing::Ok);
    let what = leg_of(&about.service, about.leg);
    let headline = match (state, since) {
        (Standing::Ok, Some(since)) => format!("{what} works since {}.", clock_text(since, now)),
        (Standing::Ok, None) => format!("{what} works."),
        (Standing::Suspect, _) => format!("{what} fails in places; that is no incident yet."),
        _ => format!("{what} cannot be seen now."),
    };
    LegSummary { service: about.service.clone(), leg: about.leg, state, since, headline, incident: None }
}

pub(super) async fn summary(
    State(collector): State<Collector>,
    scene: Scene,
) -> Result<Json<Summary>, NoAnswer> {
    Ok(Json(Summary::gather(&collector, &scene).await?))
}
