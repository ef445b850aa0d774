//! From decisions to incidents and the pages they owe.
//!
//! Called within one transaction of the store: an incident and its pages are committed together or
//! not at all, so a crash can neither lose a page nor invent one (I8). Knows no network.

mod anatomy;
mod paging;

use jiff::Timestamp;

pub use anatomy::{Backlog, Clocks, Failover, MAX_MOMENTS, Moment, MomentKind, remember};
pub use paging::{Addressee, Addressees, acknowledge, follow_up, paged};

use crate::evaluate::{Assessment, Decision, Picture};
use crate::stable::stable_uuid;
use crate::store::{Incident, IncidentState, Resolution, Store, StoreError};

/// Something that happened to an incident, for the log.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// It was opened.
    Opened(Incident),
    /// It is over.
    Resolved(Incident),
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
    for decision in &assessment.decisions {
        match decision {
            Decision::Open(picture) => {
                let incident = opened(picture, now);
                store.put_incident(&incident)?;
                events.push(Event::Opened(incident));
            }
            Decision::Update { incident, picture } => {
                if let Some(mut incident) = store.incident(incident)? {
                    incident.summary.clone_from(&picture.summary);
                    incident.regions = picture.regions.clone();
                    incident.evidence = picture.evidence.clone();
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

fn opened(picture: &Picture, now: Timestamp) -> Incident {
    let (service, leg) = (&picture.subject.service, picture.subject.leg);
    let id = stable_uuid(&[service.as_str(), leg.as_str(), &now.as_microsecond().to_string()]).to_string();
    Incident {
        dedup_key: format!("mailsonar/{service}/{leg}/{id}"),
        id,
        service: service.clone(),
        leg,
        state: IncidentState::Open,
        severity: "critical".into(),
        reason: picture.reason,
        summary: picture.summary.clone(),
        started_at: picture.started_at,
        opened_at: now,
        resolved_at: None,
        settled_until: None,
        resolution: None,
        regions: picture.regions.clone(),
        evidence: picture.evidence.clone(),
        blame: None,
        clocks: Clocks::default(),
        backlog: Backlog::default(),
        failovers: Vec::new(),
        timeline: Vec::new(),
        silenced_by: Vec::new(),
    }
}

fn resolved(
    incident: Incident,
    resolution: Resolution,
    settled_until: Timestamp,
    now: Timestamp,
) -> Incident {
    Incident {
        state: IncidentState::Resolved,
        resolved_at: Some(now),
        settled_until: Some(settled_until),
        resolution: Some(resolution),
        ..incident
    }
}
