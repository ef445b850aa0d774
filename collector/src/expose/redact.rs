//! What strangers may see of an incident: what fails, since when, where, and when it should be over.
//! No addresses, no servers' words, no agents, and nothing operators wrote. Pure.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::pages::{culprit, leg_of, provider, sentence};
use crate::evaluate::{Blame, Cleared, Component, ComponentKind};
use crate::incident::{Moment, MomentKind};
use crate::statement::{Issued, Standing};
use crate::store::{Incident, Resolution};

/// The incident without anything that strangers must not see.
pub(super) fn redacted(incident: Incident, now: Timestamp) -> Incident {
    let summary = sentence(&incident, now);
    let (service, leg) = (incident.service.clone(), incident.leg);
    let what = leg_of(&service, leg);
    let mut evidence = incident.evidence;
    evidence.samples.clear();
    let mut clocks = incident.clocks;
    clocks.acknowledged_by = None;
    let known = |name: &str| match provider(name) {
        (known, _) if known == service.as_str() => name.to_owned(),
        _ => "another provider".to_owned(),
    };
    let blame = incident.blame.map(|blame| {
        let public = |component: Component| Component {
            name: match component.kind {
                ComponentKind::Vantage | ComponentKind::Mx => String::new(),
                _ => known(&component.name),
            },
            kind: component.kind,
        };
        let cleared = blame
            .cleared
            .into_iter()
            .map(|cleared| Cleared { component: public(cleared.component), words: String::new() });
        let suspects = blame.suspects.into_iter().map(public);
        let mut blame =
            Blame { suspects: suspects.collect(), cleared: cleared.collect(), ..Blame::default() };
        blame.suspects.dedup();
        blame.words = culprit(Some(&blame), &service).unwrap_or_default();
        blame
    });
    Incident {
        resolution: incident
            .resolution
            .map(|end| Resolution { summary: format!("{what} works again."), ..end }),
        timeline: incident.timeline.into_iter().filter_map(|moment| public_moment(&moment, &what)).collect(),
        failovers: Vec::new(),
        summary,
        evidence,
        clocks,
        blame,
        ..incident
    }
}

/// The statement without the servers' words, and what operators wrote. The figures are as they are, and its
/// hash is still that of the whole.
pub(super) fn redacted_statement(mut issued: Issued) -> Issued {
    let statement = &mut issued.statement;
    let mut written = BTreeSet::new();
    let refused = statement.refused_windows.iter_mut().map(|refused| &mut refused.window);
    for window in statement.windows.iter_mut().chain(refused).filter(|window| window.source != "contract") {
        written.insert(std::mem::take(&mut window.reason));
    }
    for downtime in &mut statement.downtimes {
        downtime.evidence.clear();
        for incident in &mut downtime.incidents {
            incident.summary.clear();
            incident.blame = None;
            incident.clocks.acknowledged_by = None;
        }
        if let Standing::Excluded { reason, .. } = &mut downtime.standing
            && written.contains(reason)
        {
            reason.clear();
        }
    }
    issued
}

/// A moment in our own words, if strangers may know of it.
fn public_moment(moment: &Moment, what: &str) -> Option<Moment> {
    let words = match moment.kind {
        MomentKind::Failed => format!("{what}: the first failure."),
        MomentKind::Opened => format!("{what}: found to be an incident."),
        MomentKind::Failover => "Mail flows through another site.".into(),
        MomentKind::Overran => "The promised time to recover passed.".into(),
        MomentKind::Resolved => format!("{what} works again."),
        MomentKind::Changed
        | MomentKind::Paged
        | MomentKind::Acknowledged
        | MomentKind::Note
        | MomentKind::Clock => return None,
    };
    Some(Moment { at: moment.at, kind: moment.kind, words, by: None })
}
