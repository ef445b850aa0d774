//! The list of downtimes: every stretch that fails for a quorum, whether it counts, and what speaks for it.
//!
//! Pure. The servers' words are added by whoever has the records.

use std::collections::{BTreeMap, BTreeSet};

use super::contract::Contract;
use super::count::Count;
use super::document::{Cause, Downtime, IncidentBrief, Standing};
use super::state::Setting;
use super::view::{State, View};
use crate::store::Incident;

/// Why a slot that is down is as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Label {
    /// It is down with everything left out that does not count.
    Down,
    /// A window leaves it out: its place, from 1.
    Window(u16),
    /// What is left without the doubtful failures is not down.
    OwnTrouble,
}

/// Every downtime, in order. `views` are the one with what does not count left out, and the one with
/// everything.
pub(super) fn downtimes(
    contract: &Contract,
    count: &Count,
    views: (&View, &View),
    setting: &Setting,
) -> Vec<Downtime> {
    let labels: Vec<Option<Label>> = (0..count.slots.len()).map(|slot| label(count, views, slot)).collect();
    let mut downtimes = Vec::new();
    let mut slot = 0;
    while slot < labels.len() {
        let end = (slot..labels.len()).find(|at| labels[*at] != labels[slot]).unwrap_or(labels.len());
        if let Some(label) = labels[slot] {
            downtimes.push(downtime(contract, count, views, setting, (slot, end, label)));
        }
        slot = end;
    }
    downtimes
}

fn label(count: &Count, (counting, everything): (&View, &View), slot: usize) -> Option<Label> {
    if counting.states[slot] == State::Down {
        return Some(Label::Down);
    }
    if everything.states[slot] != State::Down {
        return None;
    }
    let down_and_left_out = (0..everything.legs.len())
        .filter(|leg| everything.legs[*leg].states[slot] == State::Down)
        .map(|leg| count.excluded[leg][slot])
        .find(|window| *window > 0);
    Some(down_and_left_out.map_or(Label::OwnTrouble, Label::Window))
}

fn downtime(
    contract: &Contract,
    count: &Count,
    (counting, everything): (&View, &View),
    setting: &Setting,
    (from, end, label): (usize, usize, Label),
) -> Downtime {
    let slots = from..end;
    let view = if label == Label::Down { counting } else { everything };
    let seconds = slots.clone().map(|slot| count.slots.seconds(slot)).sum();
    let counted = slots.clone().filter(|slot| label == Label::Down && counting.counted[*slot]);
    let counted_s = counted.map(|slot| count.slots.seconds(slot)).sum();
    let is_down = |leg: &usize| slots.clone().any(|slot| view.legs[*leg].states[slot] == State::Down);
    let legs: Vec<usize> = (0..contract.legs.len()).filter(is_down).collect();
    let (start, until) = (count.slots.start(from), count.slots.start(end));
    let standing = match label {
        Label::Down if counted_s > 0 => Standing::Counts,
        Label::Down => Standing::TooShort,
        Label::Window(at) => {
            let window = &setting.windows.kept[usize::from(at) - 1];
            Standing::Excluded { kind: window.kind, reason: window.reason.clone() }
        }
        Label::OwnTrouble => Standing::OwnTrouble,
    };
    let first = count.failures.partition_point(|failure| failure.slot < from);
    let within = count.failures[first..].iter().take_while(|failure| failure.slot < end);
    let failures: Vec<_> = within.filter(|failure| legs.contains(&failure.leg)).collect();
    let regions: BTreeSet<usize> = failures.iter().map(|failure| failure.region).collect();
    let mut causes: BTreeMap<_, u64> = BTreeMap::new();
    for failure in &failures {
        *causes.entry((failure.leg, failure.outcome, failure.stage, failure.class)).or_default() += 1;
    }
    let mut causes: Vec<Cause> = causes
        .into_iter()
        .map(|((leg, outcome, stage, class), failures)| Cause {
            leg: contract.legs[leg],
            outcome,
            stage,
            class,
            failures,
        })
        .collect();
    causes.sort_by_key(|cause| std::cmp::Reverse(cause.failures));
    causes.truncate(Downtime::MAX_CAUSES);
    let legs = legs.into_iter().map(|leg| contract.legs[leg]).collect::<Vec<_>>();
    let part_of = |incident: &&Incident| {
        legs.contains(&incident.leg)
            && incident.started_at < until
            && incident.resolved_at.is_none_or(|resolved| resolved > start)
    };
    Downtime {
        from: start,
        until,
        seconds,
        counted_s,
        incidents: setting.incidents.iter().filter(part_of).map(brief).collect(),
        legs,
        standing,
        regions: regions.into_iter().map(|region| count.regions[region].clone()).collect(),
        failures: u64::try_from(failures.len()).unwrap_or(u64::MAX),
        causes,
        evidence: Vec::new(),
    }
}

fn brief(incident: &Incident) -> IncidentBrief {
    IncidentBrief {
        id: incident.id.clone(),
        leg: incident.leg,
        summary: incident.summary.clone(),
        started_at: incident.started_at,
        opened_at: incident.opened_at,
        resolved_at: incident.resolved_at,
        blame: incident.blame.clone(),
        clocks: incident.clocks.clone(),
    }
}
