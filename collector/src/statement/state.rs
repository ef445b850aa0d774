//! The statement put together: counts, views, clauses, downtimes and days.
//!
//! Pure: the same facts give the same document. Knows no store and no clock.

use jiff::Timestamp;
use mailsonar_protocol::ServiceName;
use sha2::{Digest, Sha256};

use super::clauses::{clauses, credit};
use super::confidence::{self, cut};
use super::contract::{Contract, ContractFile, Statistic};
use super::count::Count;
use super::delivery;
use super::document::{
    Budget, Coverage, DayLine, DeliveryFigures, Figures, Gap, Heading, LegFigures, RegionCoverage,
    Resolution, Span, Statement, VERSION,
};
use super::downtime::downtimes;
use super::exact::{Percent, Share};
use super::period::Period;
use super::view::{State, View};
use super::windows::Windows;
use crate::store::Incident;

/// What a statement is made of, besides its contract and what was counted.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The service.
    pub service: ServiceName,
    /// The period.
    pub period: Period,
    /// How far it is stated; not beyond its end.
    pub as_of: Timestamp,
    /// The windows that do not count.
    pub windows: Windows,
    /// The service's incidents that reach into the period.
    pub incidents: Vec<Incident>,
}

/// The statement.
pub fn state(file: &ContractFile, setting: &Setting, count: &Count) -> Statement {
    let contract = &file.contract;
    let (counting, everything) = (View::of(contract, count, false), View::of(contract, count, true));
    let all = figures(contract, count, &everything, None);
    // Where nothing is left out the times are the same, and need no second look.
    let same = count.delays.iter().all(|delay| !delay.excluded).then(|| all.delivery.clone());
    let figures = figures(contract, count, &counting, same);
    let downtimes = downtimes(contract, count, (&counting, &everything), setting);
    let clauses = clauses(contract, count, &figures, &downtimes);
    let period = &setting.period;
    Statement {
        version: VERSION,
        contract: heading(file),
        service: setting.service.clone(),
        span: Span {
            period: period.name.clone(),
            time_zone: contract.time_zone.name().to_owned(),
            from: period.start(),
            until: period.end(),
            as_of: count.slots.start(count.slots.len()),
            slot_s: contract.downtime.slot.get().as_secs(),
        },
        credit: credit(contract, &clauses, period),
        budget: Budget {
            allowed_s: contract.availability.target.rest().of(figures.known_s),
            spent_s: figures.counted_s,
        },
        coverage: coverage(count, &counting, &everything, &figures),
        gaps: gaps(count, &counting),
        days: days(count, &counting, period),
        everything: all,
        figures,
        clauses,
        downtimes,
        windows: setting.windows.kept.clone(),
        refused_windows: setting.windows.refused.clone(),
    }
}

fn heading(file: &ContractFile) -> Heading {
    let contract = &file.contract;
    Heading {
        name: contract.name.to_string(),
        title: contract.title.clone(),
        provider: contract.provider.clone(),
        customer: contract.customer.clone(),
        source: contract.source.clone(),
        sha256: hex(&Sha256::digest(file.text.as_bytes())),
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// `delivery` is given where it is known already.
fn figures(contract: &Contract, count: &Count, view: &View, delivery: Option<DeliveryFigures>) -> Figures {
    let mut sums = Sums::default();
    for slot in 0..count.slots.len() {
        sums.add_time(count, view, slot);
    }
    let legs: Vec<LegFigures> =
        (0..contract.legs.len()).map(|leg| leg_figures(contract.legs[leg], count, view, leg)).collect();
    let sum = |of: fn(&Share) -> u64| legs.iter().map(|leg| of(&leg.reachability)).sum();
    let times = || {
        let wanted = count.delays.iter().filter(|delay| view.everything || !delay.excluded);
        delivery::figures(&mut wanted.map(|delay| delay.us).collect::<Vec<_>>())
    };
    Figures {
        known_s: sums.known_s,
        unknown_s: sums.unknown_s,
        excluded_s: sums.excluded_s,
        down_s: sums.down_s,
        counted_s: sums.counted_s,
        availability: Share::new(sums.known_s - sums.counted_s, sums.known_s),
        uptime: Share::new(sums.somewhere_s, sums.known_s),
        reachability: Share::new(sum(|share| share.part), sum(|share| share.whole)),
        delivery: delivery.unwrap_or_else(times),
        legs,
    }
}

/// What some slots amount to.
#[derive(Debug, Default)]
struct Sums {
    known_s: u64,
    unknown_s: u64,
    excluded_s: u64,
    down_s: u64,
    counted_s: u64,
    somewhere_s: u64,
    probes: u64,
    failed: u64,
}

impl Sums {
    fn add(&mut self, count: &Count, view: &View, slot: usize) {
        self.add_time(count, view, slot);
        self.add_probes(count, view, slot);
    }

    fn add_time(&mut self, count: &Count, view: &View, slot: usize) {
        let seconds = count.slots.seconds(slot);
        match view.states[slot] {
            State::Unknown => self.unknown_s += seconds,
            State::Excluded => self.excluded_s += seconds,
            State::Up | State::Down => {
                self.known_s += seconds;
                self.somewhere_s += if view.is_good_somewhere(slot) { seconds } else { 0 };
            }
        }
        if view.states[slot] == State::Down {
            self.down_s += seconds;
            self.counted_s += if view.counted[slot] { seconds } else { 0 };
        }
    }

    fn add_probes(&mut self, count: &Count, view: &View, slot: usize) {
        for (leg, regions) in count.cells.iter().enumerate() {
            if view.legs[leg].states[slot] == State::Excluded {
                continue;
            }
            for cells in regions {
                let (failed, all) = view.failed_of(cells[slot]);
                self.failed += failed;
                self.probes += all;
            }
        }
    }
}

fn leg_figures(leg: crate::evaluate::Leg, count: &Count, view: &View, at: usize) -> LegFigures {
    let states = &view.legs[at].states;
    let (mut known_s, mut down_s, mut somewhere_s) = (0, 0, 0);
    let (mut failed, mut probes, mut unknown, mut set_aside) = (0, 0, 0, 0);
    for slot in 0..count.slots.len() {
        let seconds = count.slots.seconds(slot);
        if matches!(states[slot], State::Up | State::Down) {
            known_s += seconds;
            somewhere_s += if view.legs[at].good_somewhere[slot] { seconds } else { 0 };
            down_s += if states[slot] == State::Down { seconds } else { 0 };
        }
        if states[slot] == State::Excluded {
            continue;
        }
        for cells in &count.cells[at] {
            let (bad, all) = view.failed_of(cells[slot]);
            failed += bad;
            probes += all;
            unknown += u64::from(cells[slot].unknown);
            set_aside += if view.everything { 0 } else { u64::from(cells[slot].doubtful) };
        }
    }
    LegFigures {
        leg,
        known_s,
        down_s,
        uptime: Share::new(somewhere_s, known_s),
        reachability: Share::new(probes - failed, probes),
        unknown,
        set_aside,
    }
}

/// How much was seen. Time that is left out was seen all the same.
fn coverage(count: &Count, counting: &View, everything: &View, figures: &Figures) -> Coverage {
    let passed: u64 = (0..count.slots.len()).map(|slot| count.slots.seconds(slot)).sum();
    let seen = (0..count.slots.len()).filter(|slot| everything.states[*slot] != State::Unknown);
    let seen_s = seen.map(|slot| count.slots.seconds(slot)).sum();
    let cells = count.cells.iter().flatten().flatten();
    let (said, unknown) = cells.fold((0, 0), |(said, unknown), cell| {
        (said + everything.failed_of(*cell).1, unknown + u64::from(cell.unknown))
    });
    let Share { part: good, whole: probes } = figures.reachability;
    Coverage {
        time: Share::new(seen_s, passed),
        probes: Share::new(said, said + unknown),
        regions: (0..count.regions.len()).map(|at| region_coverage(count, counting, at, passed)).collect(),
        resolution: confidence::limits(good, probes).map(|limits| Resolution {
            failures: probes - good,
            probes,
            at_least: cut(limits.at_least, 5),
            between: (cut(limits.between.0, 5), cut(limits.between.1, 5)),
        }),
    }
}

fn region_coverage(count: &Count, view: &View, region: usize, passed: u64) -> RegionCoverage {
    let (mut seen_s, mut failed, mut probes) = (0, 0, 0);
    for slot in 0..count.slots.len() {
        let mut seen = false;
        for regions in &count.cells {
            let (bad, all) = view.failed_of(regions[region][slot]);
            failed += bad;
            probes += all;
            seen |= all > 0;
        }
        seen_s += if seen { count.slots.seconds(slot) } else { 0 };
    }
    RegionCoverage {
        region: count.regions[region].clone(),
        time: Share::new(seen_s, passed),
        reachability: Share::new(probes - failed, probes),
    }
}

fn gaps(count: &Count, view: &View) -> Vec<Gap> {
    let mut gaps: Vec<Gap> = Vec::new();
    for slot in (0..count.slots.len()).filter(|slot| view.states[*slot] == State::Unknown) {
        let (from, until) = (count.slots.start(slot), count.slots.start(slot + 1));
        if let Some(last) = gaps.last_mut().filter(|last| last.until == from) {
            last.until = until;
        } else if gaps.len() < Statement::MAX_GAPS {
            gaps.push(Gap { from, until });
        }
    }
    gaps
}

fn days(count: &Count, view: &View, period: &Period) -> Vec<DayLine> {
    let mut times: Vec<Vec<u64>> = vec![Vec::new(); period.days.len()];
    for delay in count.delays.iter().filter(|delay| !delay.excluded) {
        times[usize::from(delay.day)].push(delay.us);
    }
    let mut lines = Vec::new();
    let (mut slot, mut spent_s) = (0, 0);
    for (at, day) in period.days.iter().enumerate() {
        let mut sums = Sums::default();
        let first = slot;
        while slot < count.slots.len() && usize::from(count.days[slot]) == at {
            sums.add(count, view, slot);
            slot += 1;
        }
        if slot == first {
            break;
        }
        spent_s += sums.counted_s;
        let mut percentile =
            |percent| delivery::figure(Statistic::Percentile, Percent::whole(percent), &mut times[at]);
        lines.push(DayLine {
            date: day.date,
            from: day.start,
            known_s: sums.known_s,
            down_s: sums.down_s,
            counted_s: sums.counted_s,
            excluded_s: sums.excluded_s,
            unknown_s: sums.unknown_s,
            reachability: Share::new(sums.probes - sums.failed, sums.probes),
            median_us: percentile(50),
            p95_us: percentile(95),
            spent_s,
        });
    }
    lines
}
