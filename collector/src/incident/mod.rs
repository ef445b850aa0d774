//! From decisions to incidents and the pages they owe.
//!
//! Called within one transaction of the store: an incident and its pages are committed together or
//! not at all, so a crash can neither lose a page nor invent one (I8). Knows no network.

mod anatomy;

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use uuid::Uuid;

pub use anatomy::{Backlog, Clocks, Failover, MAX_MOMENTS, Moment, MomentKind};

use crate::evaluate::{Assessment, Decision, Picture};
use crate::notify::{Page, Status};
use crate::store::{Incident, IncidentState, Owed, Resolution, Store, StoreError};

/// Whom pages are owed, and what they link to.
#[derive(Debug, Clone, Default)]
pub struct Addressees {
    /// Every notifier's name.
    pub notifiers: Vec<String>,
    /// Where people reach this collector.
    pub public_url: Option<String>,
}

/// Something that happened to an incident, for the log.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// It was opened.
    Opened(Incident),
    /// It is over.
    Resolved(Incident),
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
                for notifier in &addressees.notifiers {
                    owe(store, &incident, notifier, Status::Trigger, addressees, now)?;
                }
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
                    for notifier in store.notifiers_of(&incident.id)? {
                        owe(store, &incident, &notifier, Status::Resolve, addressees, now)?;
                    }
                    events.push(Event::Resolved(incident));
                }
            }
        }
    }
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

fn owe(
    store: &Store,
    incident: &Incident,
    notifier: &str,
    status: Status,
    addressees: &Addressees,
    now: Timestamp,
) -> Result<(), StoreError> {
    let page = Page::of(incident, status, addressees.public_url.as_deref(), now);
    let id = stable_uuid(&[&incident.id, notifier, status.as_str()]);
    let owed = Owed {
        id: format!("msg_{}", id.as_simple()),
        incident: incident.id.clone(),
        notifier: notifier.to_owned(),
        place: match status {
            Status::Trigger => 1,
            Status::Resolve => 2,
        },
        body: serde_json::to_string(&page)?,
    };
    store.owe(&owed, now)
}

/// A UUID that follows from what it names, so that the same run of events gives the same ids.
fn stable_uuid(parts: &[&str]) -> Uuid {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}
