//! Incidents without probes: opened and closed as the evaluation would.

use std::sync::Arc;

use jiff::Timestamp;
use mailsonar_collector::evaluate::{
    Assessment, Blame, Decision, EvidenceSummary, Leg, Picture, Reason, Regions, Subject,
};
use mailsonar_collector::incident::{self, Addressees};
use mailsonar_collector::store::{Incident, IncidentState, Resolution, Store, StoreError};
use serde_json::json;

use crate::harness::*;

/// One of this service's sending leg, just opened.
pub(crate) fn incident(service: &str, severity: &str, now: Timestamp) -> Incident {
    let id = format!("{service}-{}", now.as_second());
    let empty = json!({ "failing": ["eu"], "passing": [], "unknown": [] });
    let evidence = json!({ "probes": 6, "failed": 6, "outcomes": {}, "causes": {}, "samples": [] });
    serde_json::from_value(json!({
        "id": id, "dedup_key": format!("mailsonar/{id}"), "service": service, "leg": "send", "state": "open",
        "severity": severity, "reason": "quorum_failing", "summary": "Nobody can send. <!channel>",
        "started_at": now, "opened_at": now, "regions": empty, "evidence": evidence,
    }))
    .expect("an incident")
}

/// Within one transaction: what is open owes what it owes.
pub(crate) fn owe(store: &Store, addressees: &Addressees, now: Timestamp) -> Result<(), StoreError> {
    incident::apply(store, &Assessment::default(), addressees, now).map(drop)
}

/// Within one transaction: an incident is over.
pub(crate) fn over(
    store: &Store,
    incident: Incident,
    addressees: &Addressees,
    now: Timestamp,
) -> Result<(), StoreError> {
    let resolution = Resolution {
        reason: Reason::Recovered,
        summary: "It works again.".into(),
        regions: Regions::default(),
    };
    let incident = Incident {
        state: IncidentState::Resolved,
        resolved_at: Some(now),
        resolution: Some(resolution),
        ..incident
    };
    store.put_incident(&incident)?;
    incident::owe_resolve(store, &incident, addressees, now)
}

/// Opens one.
pub(crate) async fn open(served: &Served, service: &str, severity: &str) {
    let (now, addressees) = (served.now(), Arc::clone(&served.addressees));
    let incident = incident(service, severity, now);
    let opened = served.desks.run(move |store| {
        store.put_incident(&incident)?;
        owe(store, &addressees, now)
    });
    opened.await.expect("written");
}

/// What is open owes what it owes now.
pub(crate) async fn settle(served: &Served, now: Timestamp) {
    let addressees = Arc::clone(&served.addressees);
    served.desks.run(move |store| owe(store, &addressees, now)).await.expect("written");
}

/// Ends the one that is open.
pub(crate) async fn close(served: &Served, service: &str) {
    let (now, addressees) = (served.now(), Arc::clone(&served.addressees));
    let service = service.to_owned();
    let closed = served.desks.run(move |store| {
        let open = store.incidents(Some(IncidentState::Open), u32::MAX)?;
        let found = open.into_iter().find(|one| one.service.as_str() == service).expect("it is open");
        over(store, found, &addressees, now)
    });
    closed.await.expect("written");
}

/// Whether it is the service's trouble or a reference's is not known, and then it is.
#[tokio::test]
async fn what_may_be_a_references_trouble_is_a_warning_until_it_is_known_to_be_the_services() {
    let store = Store::in_memory().expect("a store");
    let picture = |undecided| Picture {
        subject: Subject { service: "acme".parse().expect("a name"), leg: Leg::Receive },
        started_at: at(0),
        reason: Reason::QuorumFailing,
        summary: format!("undecided: {undecided}"),
        regions: Regions::default(),
        evidence: EvidenceSummary::default(),
        blame: Some(Blame { undecided, ..Blame::default() }),
    };
    let decided = |decision, now| {
        let assessment = Assessment { decisions: vec![decision], ..Assessment::default() };
        incident::apply(&store, &assessment, &Addressees::default(), at(now)).expect("written");
        store.incidents(None, 10).expect("read").remove(0)
    };
    let incident = decided(Decision::Open(picture(true)), 30);
    assert_eq!(incident.severity, "warning");
    let update = |undecided| Decision::Update { incident: incident.id.clone(), picture: picture(undecided) };
    assert_eq!(decided(update(false), 60).severity, "critical");
    assert_eq!(
        decided(update(true), 90).severity,
        "critical",
        "who was woken is not told that it was nothing"
    );
}
