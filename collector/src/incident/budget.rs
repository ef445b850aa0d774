//! Error budgets: counted from the sheets, judged by `evaluate::burn`, kept as incidents of the leg `budget`.
//!
//! An outage pages by itself, so failures during an incident, and those of the last two minutes, which
//! may yet become one, are left out here: a budget burns by what no incident explains.

use jiff::{SignedDuration, Timestamp};
use mailsonar_protocol::ServiceName;

use super::{Addressees, Event, Moment, MomentKind, opened, paging, remember, resolved};
use crate::evaluate::burn::{Burn, Objective, PAIRS, Tally, burning};
use crate::evaluate::{EvidenceSummary, Leg, Picture, Reason, Regions, Subject};
use crate::store::{Incident, IncidentState, Mark, Resolution, SheetQuery, Store, StoreError};

/// How long a failure has to wait for an incident to explain it.
const PATIENCE: SignedDuration = SignedDuration::from_mins(2);

/// What was counted of one service.
pub type Tallies = [(Tally, Tally); 3];

/// Counts a service's probes in every pair of windows.
pub fn count(store: &Store, service: &ServiceName, now: Timestamp) -> Result<Tallies, StoreError> {
    let until = now.saturating_sub(PATIENCE).unwrap_or(Timestamp::MIN);
    let since = |span| until.saturating_sub(span).unwrap_or(Timestamp::MIN);
    let begins = PAIRS.map(|pair| (since(pair.long), since(pair.short)));
    let from = begins.iter().map(|(long, _)| *long).min().unwrap_or(until);
    let outages: Vec<(Timestamp, Timestamp)> = store
        .incidents_since(service, from)?
        .into_iter()
        .filter(|incident| incident.leg != Leg::Budget)
        .map(|incident| (incident.started_at, incident.resolved_at.unwrap_or(Timestamp::MAX)))
        .collect();
    let mut tallies = Tallies::default();
    each(store, service, from, until, |mark, failed| {
        let explained = outages.iter().any(|(from, until)| (*from..=*until).contains(&mark.started_at));
        if failed && explained {
            return;
        }
        for ((long, short), tally) in begins.iter().zip(&mut tallies) {
            if mark.started_at >= *long {
                tally.0.count(failed);
            }
            if mark.started_at >= *short {
                tally.1.count(failed);
            }
        }
    })?;
    Ok(tallies)
}

/// Counts a service's probes in the whole window of its objective.
pub fn count_window(
    store: &Store,
    service: &ServiceName,
    objective: &Objective,
    now: Timestamp,
) -> Result<Tally, StoreError> {
    let from = now.saturating_sub(objective.window.signed()).unwrap_or(Timestamp::MIN);
    let mut tally = Tally::default();
    each(store, service, from, now, |_, failed| tally.count(failed))?;
    Ok(tally)
}

/// Every probe that says something of the service. Those sent out of turn, to confirm a failure, would
/// count the same trouble twice; what the agent or nobody can tell says nothing.
fn each(
    store: &Store,
    service: &ServiceName,
    from: Timestamp,
    until: Timestamp,
    mut with: impl FnMut(&Mark, bool),
) -> Result<(), StoreError> {
    let query = SheetQuery { service: Some(service.clone()), from, until };
    store.sheets(&query, |sheet| {
        for mark in &sheet.marks {
            let failed = mark.outcome.is_failure() && mark.class != Some(mailsonar_protocol::Class::Own);
            if !mark.confirmation && (failed || mark.outcome == mailsonar_protocol::Outcome::Delivered) {
                with(mark, failed);
            }
        }
        Ok(())
    })
}

/// Opens, changes or resolves the incident of a service's budget.
pub fn apply(
    store: &Store,
    service: &ServiceName,
    objective: &Objective,
    tallies: &Tallies,
    addressees: &Addressees,
    now: Timestamp,
) -> Result<Option<Event>, StoreError> {
    let open = store.incidents(Some(IncidentState::Open), u32::MAX)?;
    let open = open.into_iter().find(|one| one.service == *service && one.leg == Leg::Budget);
    match (open, burning(service.as_str(), objective, tallies)) {
        (None, Some(burn)) => {
            let incident =
                Incident { severity: burn.severity.into(), ..opened(&picture(service, &burn, now), now) };
            store.put_incident(&incident)?;
            Ok(Some(Event::Opened(incident)))
        }
        (Some(incident), Some(burn)) => changed(store, incident, burn, now).map(|()| None),
        (Some(incident), None) => {
            let summary = format!("The error budget of {service} no longer burns too fast.");
            let resolution =
                Resolution { reason: Reason::BudgetSpared, summary, regions: Regions::default() };
            let incident = resolved(incident, resolution, now, now);
            store.put_incident(&incident)?;
            paging::resolve(store, &incident, addressees, now)?;
            Ok(Some(Event::Resolved(incident)))
        }
        (None, None) => Ok(None),
    }
}

fn changed(store: &Store, mut incident: Incident, burn: Burn, now: Timestamp) -> Result<(), StoreError> {
    if incident.summary == burn.words {
        return Ok(());
    }
    // A ticket that becomes a page is paged to those it matters to then; a page stays one.
    if incident.severity == "warning" && burn.severity == "critical" {
        incident.severity = burn.severity.into();
        let words = "It burns faster now.".into();
        remember(&mut incident.timeline, Moment { at: now, kind: MomentKind::Changed, words, by: None });
    }
    incident.summary = burn.words;
    store.put_incident(&incident)
}

fn picture(service: &ServiceName, burn: &Burn, now: Timestamp) -> Picture {
    let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    Picture {
        subject: Subject { service: service.clone(), leg: Leg::Budget },
        started_at: now,
        reason: Reason::BudgetBurning,
        summary: burn.words.clone(),
        regions: Regions::default(),
        evidence: EvidenceSummary {
            probes: count(burn.tally.probes),
            failed: count(burn.tally.failed),
            ..EvidenceSummary::default()
        },
        blame: None,
    }
}
