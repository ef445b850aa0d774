//! Counting: every probe of a period falls into a slot of time, by leg and region.
//!
//! One service at a time, one sheet after the other: memory follows the number of slots and regions,
//! 8 bytes for each pair and leg, and 16 bytes for each message that arrived.

use jiff::Timestamp;
use mailsonar_protocol::{Class, Direction, Outcome, Region, Stage};

use super::contract::Contract;
use super::judge::{Controls, Says, says};
use super::period::Period;
use super::windows::Windows;
use crate::evaluate::Leg;
use crate::store::{Mark, Sheet};

/// The slots of a period, as far as it has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slots {
    // In microseconds, as the tables keep times.
    first: i64,
    end: i64,
    length: i64,
    count: usize,
}

impl Slots {
    /// The whole slots from the start of the period until `as_of`, or its end.
    pub fn new(period: &Period, length: mailsonar_settings::Duration, as_of: Timestamp) -> Self {
        let length = i64::try_from(length.as_micros()).unwrap_or(i64::MAX).max(1);
        let (first, end) = (period.start().as_microsecond(), period.end().as_microsecond());
        let gone = as_of.as_microsecond().clamp(first, end);
        let end = if gone == end { end } else { gone - (gone - first) % length };
        let count = usize::try_from((end - first + length - 1) / length).unwrap_or(0);
        Self { first, end, length, count }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The slot of an instant.
    pub fn at(&self, at: Timestamp) -> Option<usize> {
        let us = at.as_microsecond();
        let inside = (self.first..self.end).contains(&us);
        inside.then(|| usize::try_from((us - self.first) / self.length).ok()).flatten()
    }

    /// When a slot begins; the one past the last gives the end.
    pub fn start(&self, slot: usize) -> Timestamp {
        Timestamp::from_microsecond(self.start_us(slot)).unwrap_or(Timestamp::MAX)
    }

    fn start_us(&self, slot: usize) -> i64 {
        let us = i64::try_from(slot).unwrap_or(i64::MAX).saturating_mul(self.length);
        self.first.saturating_add(us).min(self.end)
    }

    /// How long a slot is, in seconds.
    pub fn seconds(&self, slot: usize) -> u64 {
        u64::try_from((self.start_us(slot + 1) - self.start_us(slot)) / 1_000_000).unwrap_or(0)
    }
}

/// What the probes of one region say of one leg in one slot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cell {
    /// It works.
    pub good: u16,
    /// It fails.
    pub bad: u16,
    /// It fails, but the region or the reference was in trouble itself.
    pub doubtful: u16,
    /// It could not be determined.
    pub unknown: u16,
}

/// One failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// In which slot.
    pub slot: usize,
    /// Of which leg, by its place in the contract.
    pub leg: usize,
    /// Where, by the region's place.
    pub region: usize,
    /// What became of the probe.
    pub outcome: Outcome,
    /// The step that decided it.
    pub stage: Option<Stage>,
    /// The kind of trouble.
    pub class: Option<Class>,
}

/// One delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delay {
    /// From acceptance until visible, in microseconds.
    pub us: u64,
    /// On which day of the period.
    pub day: u16,
    /// By which direction.
    pub direction: Direction,
    /// Whether it falls into a window that does not count.
    pub excluded: bool,
}

/// All that is counted.
#[derive(Debug, Clone)]
pub struct Count {
    /// The slots.
    pub slots: Slots,
    /// Every region that was heard, by name.
    pub regions: Vec<Region>,
    /// For each leg, each region, each slot.
    pub cells: Vec<Vec<Vec<Cell>>>,
    /// Failures, the doubtful ones included.
    pub failures: Vec<Failure>,
    /// Deliveries.
    pub delays: Vec<Delay>,
    /// For each leg and slot the window it is left out by: its place, from 1; 0 if it counts.
    pub excluded: Vec<Vec<u16>>,
    /// For each slot, the day it begins on.
    pub days: Vec<u16>,
}

/// Counts one service over one period.
pub struct Counter<'a> {
    contract: &'a Contract,
    controls: &'a Controls,
    window_us: i64,
    count: Count,
}

impl<'a> Counter<'a> {
    /// Nothing is counted yet.
    pub fn new(
        contract: &'a Contract,
        period: &Period,
        as_of: Timestamp,
        windows: &Windows,
        controls: &'a Controls,
    ) -> Self {
        let slots = Slots::new(period, contract.downtime.slot, as_of);
        let excluded = contract.legs.iter().map(|leg| excluded(&slots, windows, *leg)).collect();
        let mut days = Vec::with_capacity(slots.len());
        let mut day = 0;
        for slot in 0..slots.len() {
            while day + 1 < period.days.len() && period.days[day].end <= slots.start(slot) {
                day += 1;
            }
            days.push(u16::try_from(day).unwrap_or(u16::MAX));
        }
        let count = Count {
            slots,
            regions: Vec::new(),
            cells: vec![Vec::new(); contract.legs.len()],
            failures: Vec::new(),
            delays: Vec::new(),
            excluded,
            days,
        };
        let window = contract.exclusions.control_window.as_micros();
        Self { contract, controls, window_us: i64::try_from(window).unwrap_or(i64::MAX / 2), count }
    }

    /// Takes the marks of one lane and hour.
    pub fn take(&mut self, sheet: &Sheet) {
        if matches!(sheet.lane.direction, Direction::Control | Direction::Canary) {
            return;
        }
        let region = self.region(&sheet.lane.region);
        for mark in &sheet.marks {
            let Some(slot) = self.count.slots.at(mark.started_at) else { continue };
            for leg in 0..self.contract.legs.len() {
                self.mark(sheet, mark, slot, region, leg);
            }
            self.delay(sheet, mark, slot);
        }
    }

    fn mark(&mut self, sheet: &Sheet, mark: &Mark, slot: usize, region: usize, leg: usize) {
        let contract = self.contract;
        let Some(said) = says(&contract.available, &sheet.lane, mark, contract.legs[leg]) else { return };
        let doubtful = said == Says::Bad && contract.exclusions.own_trouble && {
            let (region, reference) = (&sheet.lane.region, sheet.lane.reference.as_ref());
            self.controls.doubt(region, reference, mark.started_at.as_microsecond(), self.window_us)
        };
        let cell = &mut self.count.cells[leg][region][slot];
        let which = match said {
            Says::Good => &mut cell.good,
            Says::Bad if doubtful => &mut cell.doubtful,
            Says::Bad => &mut cell.bad,
            Says::Unknown => &mut cell.unknown,
        };
        *which = which.saturating_add(1);
        if said == Says::Bad {
            let Mark { outcome, stage, class, .. } = *mark;
            self.count.failures.push(Failure { slot, leg, region, outcome, stage, class });
        }
    }

    fn delay(&mut self, sheet: &Sheet, mark: &Mark, slot: usize) {
        let arrived = matches!(mark.outcome, Outcome::Delivered | Outcome::Late);
        let (true, Some(us)) = (arrived, mark.latency_us) else { return };
        let of = |leg| self.contract.legs.iter().position(|known| *known == leg);
        let leg = match sheet.lane.direction {
            Direction::Outbound => of(Leg::Send),
            Direction::Inbound => of(Leg::Receive),
            Direction::Loop => of(Leg::Receive).or(of(Leg::Send)),
            Direction::Control | Direction::Canary => None,
        };
        let Some(leg) = leg else { return };
        self.count.delays.push(Delay {
            us,
            day: self.count.days[slot],
            direction: sheet.lane.direction,
            excluded: self.count.excluded[leg][slot] > 0,
        });
    }

    fn region(&mut self, name: &Region) -> usize {
        let count = &mut self.count;
        match count.regions.binary_search(name) {
            Ok(at) => at,
            Err(at) => {
                count.regions.insert(at, name.clone());
                for regions in &mut count.cells {
                    regions.insert(at, vec![Cell::default(); count.slots.len()]);
                }
                for failure in count.failures.iter_mut().filter(|failure| failure.region >= at) {
                    failure.region += 1;
                }
                at
            }
        }
    }

    /// What was counted.
    pub fn finish(mut self) -> Count {
        self.count.failures.sort_by_key(|failure| failure.slot);
        self.count
    }
}

/// For each slot, the window that leaves it out for a leg: its place, from 1.
fn excluded(slots: &Slots, windows: &Windows, leg: Leg) -> Vec<u16> {
    let mut by = vec![0; slots.len()];
    for (at, window) in windows.kept.iter().enumerate().rev() {
        if !window.legs.contains(&leg) {
            continue;
        }
        // The first slot that begins in the window, and the first that does not any more.
        let first = first_from(slots, window.from);
        let end = first_from(slots, window.until);
        by[first..end].fill(u16::try_from(at + 1).unwrap_or(u16::MAX));
    }
    by
}

fn first_from(slots: &Slots, at: Timestamp) -> usize {
    let us = (at.as_microsecond() - slots.first).max(0);
    usize::try_from((us + slots.length - 1) / slots.length).unwrap_or(usize::MAX).min(slots.len())
}
