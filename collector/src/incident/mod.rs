//! From decisions to incidents and the pages they owe.
//!
//! Called within one transaction of the store: an incident and its pages are committed together or
//! not at all, so a crash can neither lose a page nor invent one (I8). Knows no network.

mod anatomy;
pub mod budget;
mod paging;
mod timeline;

use jiff::Timestamp;

pub use anatomy::{Backlog, Clocks, Failover, MAX_MOMENTS, Moment, MomentKind, remember};
pub use paging::{Addressee, Addressees, acknowledge, follow_up, paged, resolve as owe_resolve};

use crate::evaluate::backlog::tally;
use crate::evaluate::{Assessment, Course, Decision, Picture};
use crate::stable::stable_uuid;
use crate::store::{Incident, IncidentState, Resolution, Store, StoreError};

/// Something that happened to an incident, for the log.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// It was opened.
    Opened(Incident),
    /// It is over.
    Resolved(Incident),
    /// The promised time to recover passed, and a page says so.
    Overran(Incident),
    /// It owes a page from now on.
    Owed {
        /// Which.
        incident: String,
        /// To whom.
        notifier: String,
    },
}

/// Writes what was decided, and owes the pages that follow from it.
pub fn apply(
    store: &Store,
    assessment: &Assessment,
    addressees: &Addressees,
    now: Timestamp,
) -> Result<Vec<Event>, StoreError> {
    let mut events = Vec::new();
    for course in &assessment.courses {
        events.extend(follow(store, course, addressees, now)?);
    }
    revise(store, now)?;
    for decision in &assessment.decisions {
        match decision {
            Decision::Open(picture) => {
                let incident = opened(picture, now);
                store.put_incident(&incident)?;
                events.push(Event::Opened(incident));
            }
            Decision::Update { incident, picture } => {
                if let Some(mut incident) = store.incident(incident)? {
                    incident.look(picture, now);
                    store.put_incident(&incident)?;
                }
            }
            Decision::Resolve { incident, reason, settled_until, summary, regions, .. } => {
                if let Some(incident) = store.incident(incident)? {
                    let resolution =
                        Resolution { reason: *reason, summary: summary.clone(), regions: regions.clone() };
                    let incident = resolved(incident, resolution, *settled_until, now);
                    store.put_incident(&incident)?;
                    paging::resolve(store, &incident, addressees, now)?;
                    events.push(Event::Resolved(incident));
                }
            }
        }
    }
    events.extend(paging::settle(store, addressees, now)?);
    Ok(events)
}

/// Writes how an open incident stands, if that is news.
fn follow(
    store: &Store,
    course: &Course,
    addressees: &Addressees,
    now: Timestamp,
) -> Result<Vec<Event>, StoreError> {
    let Some(before) = store.incident(&course.incident)? else { return Ok(Vec::new()) };
    let mut after = before.clone();
    after.follow(course, now);
    let mut events = Vec::new();
    if let Some(words) = course.overran_at.map(|at| after.overran(at))
        && follow_up(store, &mut after, "incident.overran", &words, addressees, now)?
    {
        events.push(Event::Overran(after.clone()));
    }
    if after != before {
        store.put_incident(&after)?;
    }
    Ok(events)
}

/// What arrives after the end revises the incident in which it was sent (I4).
fn revise(store: &Store, now: Timestamp) -> Result<(), StoreError> {
    for before in store.incidents_missing_mail()? {
        let mail = store.slow_mail(&before.subject(), before.started_at)?;
        let (backlog, last_arrival) = tally(&mail, before.clocks.on_time_at.or(before.settled_until), now);
        let mut after = before.clone();
        after.backlog = Backlog { per_minute: None, empty_at: None, empty_between: None, ..backlog };
        if after.backlog.missing == 0 {
            after.clocks.drained_at = last_arrival.or(after.clocks.drained_at);
            let at = after.clocks.drained_at.unwrap_or(now);
            after.note(at, MomentKind::Clock, "what was given up has all arrived");
        }
        if after != before {
            store.put_incident(&after)?;
        }
    }
    Ok(())
}

fn opened(picture: &Picture, now: Timestamp) -> Incident {
    let (service, leg) = (&picture.subject.service, picture.subject.leg);
    let id = stable_uuid(&[service.as_str(), leg.as_str(), &now.as_microsecond().to_string()]).to_string();
    let mut incident = Incident {
        dedup_key: format!("mailsonar/{service}/{leg}/{id}"),
        id,
        service: service.clone(),
        leg,
        state: IncidentState::Open,
        severity: if is_undecided(picture) { "warning" } else { "critical" }.into(),
        reason: picture.reason,
        summary: picture.summary.clone(),
        started_at: picture.started_at,
        opened_at: now,
        resolved_at: None,
        settled_until: None,
        resolution: None,
        regions: picture.regions.clone(),
        evidence: picture.evidence.clone(),
        blame: picture.blame.clone(),
        clocks: Clocks::default(),
        backlog: Backlog::default(),
        failovers: Vec::new(),
        timeline: Vec::new(),
        silenced_by: Vec::new(),
    };
    let first = incident.evidence.samples.iter().min_by_key(|sample| sample.started_at);
    let seen = first.map(|sample| format!(": {} from {}", sample.route, sample.region)).unwrap_or_default();
    incident.note(picture.started_at, MomentKind::Failed, format!("the first failure{seen}"));
    incident.note(now, MomentKind::Opened, picture.summary.clone());
    incident
}

/// Whether it may be a reference's trouble as well as the service's.
fn is_undecided(picture: &Picture) -> bool {
    picture.blame.as_ref().is_some_and(|blame| blame.undecided)
}

fn resolved(
    incident: Incident,
    resolution: Resolution,
    settled_until: Timestamp,
    now: Timestamp,
) -> Incident {
    let mut incident = Incident {
        state: IncidentState::Resolved,
        resolved_at: Some(now),
        settled_until: Some(settled_until),
        ..incident
    };
    incident.note(now, MomentKind::Resolved, resolution.summary.clone());
    incident.resolution = Some(resolution);
    incident
}
