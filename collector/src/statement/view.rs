//! From counts to time: which slots are up, down, left out or unknown, and which downtime counts.
//!
//! Pure, and the same for both views: with what does not count left out, and with everything counted.

use super::contract::{Contract, Downtime};
use super::count::{Cell, Count};
use super::exact::Share;

/// What is known of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Too few regions know anything.
    Unknown,
    /// It works.
    Up,
    /// It fails, for a quorum of regions.
    Down,
    /// It is left out.
    Excluded,
}

/// One leg, slot by slot.
#[derive(Debug, Clone)]
pub(super) struct LegView {
    /// What is known.
    pub(super) states: Vec<State>,
    /// Whether at least one region sees it work.
    pub(super) good_somewhere: Vec<bool>,
}

/// Every leg, and what they amount to.
#[derive(Debug, Clone)]
pub(super) struct View {
    /// Whether everything counts.
    pub(super) everything: bool,
    /// By leg, as in the contract.
    pub(super) legs: Vec<LegView>,
    /// All legs together: down if any is, up if all are, of those that are not left out.
    pub(super) states: Vec<State>,
    /// Whether a slot's downtime counts.
    pub(super) counted: Vec<bool>,
}

impl View {
    /// The view of a count.
    pub(super) fn of(contract: &Contract, count: &Count, everything: bool) -> Self {
        let legs: Vec<LegView> = (0..contract.legs.len())
            .map(|leg| leg_view(&contract.downtime, count, leg, everything))
            .collect();
        let states: Vec<State> = (0..count.slots.len()).map(|slot| together(&legs, slot)).collect();
        let counted = counted(&contract.downtime, count, &states);
        Self { everything, legs, states, counted }
    }

    /// Whether at a slot every leg that is not left out is good somewhere.
    pub(super) fn is_good_somewhere(&self, slot: usize) -> bool {
        self.legs.iter().all(|leg| leg.states[slot] == State::Excluded || leg.good_somewhere[slot])
    }

    /// The cell as this view sees it: failures that counted, and all that say something.
    pub(super) fn failed_of(&self, cell: Cell) -> (u64, u64) {
        failed_of(cell, self.everything)
    }
}

fn failed_of(cell: Cell, everything: bool) -> (u64, u64) {
    let failed = u64::from(cell.bad) + if everything { u64::from(cell.doubtful) } else { 0 };
    (failed, failed + u64::from(cell.good))
}

fn leg_view(rules: &Downtime, count: &Count, leg: usize, everything: bool) -> LegView {
    let mut view = LegView {
        states: Vec::with_capacity(count.slots.len()),
        good_somewhere: Vec::with_capacity(count.slots.len()),
    };
    for slot in 0..count.slots.len() {
        let (mut bad, mut known) = (0, 0);
        for cells in &count.cells[leg] {
            let (failed, all) = failed_of(cells[slot], everything);
            if all > 0 {
                known += 1;
                bad += usize::from(failed > 0 && Share::new(failed, all).is_above(rules.error_share));
            }
        }
        let state = if !everything && count.excluded[leg][slot] > 0 {
            State::Excluded
        } else if known < rules.min_regions.max(1) {
            State::Unknown
        } else if rules.quorum.is_met(bad, known) {
            State::Down
        } else {
            State::Up
        };
        view.states.push(state);
        view.good_somewhere.push(known > bad);
    }
    view
}

fn together(legs: &[LegView], slot: usize) -> State {
    let mut states = legs.iter().map(|leg| leg.states[slot]);
    let (mut all_excluded, mut unknown) = (true, false);
    for state in states.by_ref() {
        match state {
            State::Down => return State::Down,
            State::Unknown => unknown = true,
            State::Up | State::Excluded => {}
        }
        all_excluded &= state == State::Excluded;
    }
    match (all_excluded, unknown) {
        (true, _) => State::Excluded,
        (false, true) => State::Unknown,
        (false, false) => State::Up,
    }
}

/// Which slots' downtime counts: those of a run that lasts long enough, and those of a day that has more
/// than enough of it in sum.
fn counted(rules: &Downtime, count: &Count, states: &[State]) -> Vec<bool> {
    let down = |slot: usize| states[slot] == State::Down;
    let least = rules.least.map_or(0, |least| least.get().as_secs());
    let mut counted = vec![false; states.len()];
    let mut by_day = vec![0; count.days.last().map_or(0, |day| usize::from(*day) + 1)];
    let mut slot = 0;
    while slot < states.len() {
        let end = (slot..states.len()).find(|at| !down(*at)).unwrap_or(states.len());
        let seconds: u64 = (slot..end).map(|at| count.slots.seconds(at)).sum();
        counted[slot..end].fill(seconds >= least);
        for at in slot..end {
            by_day[usize::from(count.days[at])] += count.slots.seconds(at);
        }
        slot = end + 1;
    }
    if let Some(sum) = rules.daily_sum {
        for at in (0..states.len()).filter(|at| down(*at)) {
            counted[at] |= by_day[usize::from(count.days[at])] > sum.get().as_secs();
        }
    }
    counted
}
