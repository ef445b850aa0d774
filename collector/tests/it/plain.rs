//! A plain computation of a statement, slow and obviously right, against the one that is used.
//!
//! It keeps every probe, looks at each slot of time anew, and follows `docs/statements.md` sentence by
//! sentence. The long form is ten thousand random months:
//! `cargo test -p mailsonar-collector --test it ten_thousand -- --ignored`

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use mailsonar_collector::statement::{
    ContractFile, Controls, Counter, Period, Setting, Statement, Window, WindowKind, Windows, state,
};
use mailsonar_collector::store::{Mark, Sheet, SheetLane};
use mailsonar_protocol::{Class, Direction, Door, Outcome};
use proptest::prelude::*;

use crate::months::{REGIONS, contract, lane, mark};

/// One probe, with all that a statement asks of it.
#[derive(Debug, Clone)]
struct Probe {
    region: &'static str,
    direction: Direction,
    door: Door,
    mark: Mark,
}

/// What is drawn: a contract's terms, windows, and probes.
#[derive(Debug, Clone)]
struct Draw {
    month: (&'static str, &'static str),
    terms: Terms,
    windows: Vec<(i64, i64, bool)>,
    probes: Vec<(i64, usize, usize, usize, u64)>,
}

#[derive(Debug, Clone)]
struct Terms {
    slot_s: i64,
    error_share: u64,
    quorum: &'static str,
    min_regions: usize,
    least_s: Option<i64>,
    daily_s: Option<i64>,
    send: &'static str,
    receive: &'static str,
    misfiled: &'static str,
    mailbox: &'static str,
    confirmations: bool,
    control_s: i64,
}

impl Terms {
    fn text(&self) -> String {
        let Self { slot_s, error_share, quorum, min_regions, send, receive, misfiled, mailbox, .. } = self;
        let least = self.least_s.map_or(String::new(), |s| format!("least = \"{s}s\"\n"));
        let daily = self.daily_s.filter(|_| self.least_s.is_some());
        let daily = daily.map_or(String::new(), |s| format!("daily_sum = \"{s}s\"\n"));
        format!(
            "[available]\nsend = \"{send}\"\nreceive = \"{receive}\"\nmisfiled = \"{misfiled}\"\nmailbox = \"{mailbox}\"\n\
             confirmations = {}\n[downtime]\nslot = \"{slot_s}s\"\nerror_share = \"{error_share}\"\n\
             quorum = \"{quorum}\"\nmin_regions = {min_regions}\n{least}{daily}\
             [exclusions]\ncontrol_window = \"{}s\"\n\
             [[delivery]]\nstatistic = \"percentile\"\npercent = \"95\"\nwithin = \"60s\"\n\
             [[delivery]]\nstatistic = \"mean\"\nwithin = \"60s\"\n\
             [[delivery]]\nstatistic = \"fastest_mean\"\npercent = \"95\"\nwithin = \"60s\"\n\
             tiers = [{{ over = \"60s\", credit = \"25\" }}, {{ over = \"5m\", credit = \"50\" }}]\n",
            self.confirmations, self.control_s
        )
    }
}

const OUTCOMES: [Outcome; 10] = {
    use Outcome::{
        Altered, Bounced, Deferred, Delivered, Late, Lost, Misfiled, Refused, Unknown, Unreachable,
    };
    [Delivered, Lost, Late, Unreachable, Refused, Deferred, Bounced, Misfiled, Altered, Unknown]
};
const WAYS: [(Direction, Door); 5] = [
    (Direction::Outbound, Door::Submission),
    (Direction::Inbound, Door::Mx),
    (Direction::Inbound, Door::Submission),
    (Direction::Loop, Door::Submission),
    (Direction::Control, Door::Submission),
];

fn terms() -> impl Strategy<Value = Terms> {
    let level = || prop::sample::select(vec!["accepted", "arrived", "on_time"]);
    let counts = || prop::sample::select(vec!["good", "bad", "unknown"]);
    let downtime = (
        prop::sample::select(vec![300_i64, 900, 3_600]),
        prop::sample::select(vec![0_u64, 5, 34, 50]),
        prop::sample::select(vec!["any", "majority", "all"]),
        1_usize..=3,
        prop::option::of(prop::sample::select(vec![600_i64, 3_600, 7_200])),
        prop::option::of(prop::sample::select(vec![1_200_i64, 7_200])),
    );
    let available =
        (level(), level(), counts(), counts(), any::<bool>(), prop::sample::select(vec![60_i64, 900]));
    (downtime, available).prop_map(|(downtime, available)| {
        let (slot_s, error_share, quorum, min_regions, least_s, daily_s) = downtime;
        let (send, receive, misfiled, mailbox, confirmations, control_s) = available;
        Terms {
            slot_s,
            error_share,
            quorum,
            min_regions,
            least_s,
            daily_s,
            send,
            receive,
            misfiled,
            mailbox,
            confirmations,
            control_s,
        }
    })
}

/// Probes come in bursts, so that slots have several and downtimes last.
fn bursts() -> impl Strategy<Value = Vec<(i64, usize, usize, usize, u64)>> {
    let one = (0_i64..7_200, 0_usize..3, 0_usize..5, 0_usize..14, 0_u64..900_000_000);
    let burst = (-7_200_i64..31 * 86_400 + 7_200, prop::collection::vec(one, 0..40));
    prop::collection::vec(burst, 0..12).prop_map(|bursts| {
        let probes = bursts.into_iter().flat_map(|(from, probes)| {
            probes
                .into_iter()
                .map(move |(after, region, way, outcome, us)| (from + after, region, way, outcome, us))
        });
        probes.collect()
    })
}

fn draws() -> impl Strategy<Value = Draw> {
    let month = prop::sample::select(vec![
        ("UTC", "2026-11"),
        ("Europe/Berlin", "2026-03"),
        ("Europe/Berlin", "2026-10"),
        ("America/New_York", "2028-02"),
        ("Asia/Kolkata", "2026-12"),
        ("Australia/Lord_Howe", "2026-04"),
    ]);
    let windows = prop::collection::vec((-3_600_i64..31 * 86_400, 1_i64..40_000, any::<bool>()), 0..4);
    (month, terms(), windows, bursts()).prop_map(|(month, terms, windows, probes)| Draw {
        month,
        terms,
        windows,
        probes,
    })
}

struct World {
    file: ContractFile,
    period: Period,
    windows: Windows,
    probes: Vec<Probe>,
}

fn after(period: &Period, seconds: i64) -> Timestamp {
    period.start() + SignedDuration::from_secs(seconds)
}

impl World {
    fn of(draw: &Draw) -> Self {
        let file = contract(draw.month.0, &draw.terms.text());
        let zone = &file.contract.time_zone;
        let period = Period::named(draw.month.1, file.contract.period, zone).expect("a period");
        let mut kept: Vec<Window> = draw
            .windows
            .iter()
            .map(|(from, length, both)| Window {
                kind: WindowKind::ForceMajeure,
                from: after(&period, *from),
                until: after(&period, from + length),
                legs: if *both { file.contract.legs.clone() } else { file.contract.legs[..1].to_vec() },
                reason: String::new(),
                source: String::new(),
            })
            .collect();
        kept.retain(|window| window.from < period.end() && window.until > period.start());
        let probes = draw.probes.iter().map(|(second, region, way, outcome, us)| {
            let (direction, door) = WAYS[*way];
            let outcome_of = OUTCOMES[if *outcome < 10 { *outcome } else { 0 }];
            let mut mark = mark(
                after(&period, *second)
                    + SignedDuration::from_micros(i64::try_from(*us % 1_000_000).expect("few")),
                outcome_of,
            );
            mark.latency_us = outcome_of.has_arrived().then_some(*us);
            mark.confirmation = *outcome == 12;
            if outcome_of == Outcome::Unknown {
                mark.class = (us % 2 == 0).then_some(Class::Mailbox);
            } else if us % 17 == 0 && mark.class.is_some() {
                mark.class = Some(Class::Own);
            }
            Probe { region: REGIONS[*region], direction, door, mark }
        });
        Self { probes: probes.collect(), windows: Windows { kept, refused: Vec::new() }, file, period }
    }

    /// By the code that is used: through sheets, in the order the store gives them.
    fn fast(&self) -> Statement {
        let contract = &self.file.contract;
        let mut sheets: BTreeMap<(i64, SheetLane), Vec<Mark>> = BTreeMap::new();
        for probe in &self.probes {
            let lane = SheetLane { door: probe.door, ..lane(probe.region, probe.direction) };
            sheets.entry((probe.mark.hour(), lane)).or_default().push(probe.mark);
        }
        let sheets: Vec<Sheet> = sheets
            .into_iter()
            .map(|((_, lane), mut marks)| {
                marks.sort_by_key(|mark| mark.started_at);
                Sheet { lane, marks }
            })
            .collect();
        let mut controls = Controls::default();
        for sheet in &sheets {
            controls.take(sheet);
        }
        let as_of = self.period.end();
        let mut counter = Counter::new(contract, &self.period, as_of, &self.windows, &controls);
        for sheet in &sheets {
            counter.take(sheet);
        }
        let setting = Setting {
            service: "acme".parse().expect("a name"),
            period: self.period.clone(),
            as_of,
            windows: self.windows.clone(),
            incidents: Vec::new(),
        };
        state(&self.file, &setting, &counter.finish())
    }
}

/// What both must agree on.
#[derive(Debug, PartialEq)]
struct Result {
    known: i64,
    unknown: i64,
    excluded: i64,
    down: i64,
    counted: i64,
    somewhere: i64,
    probes: (u64, u64),
}

fn result(figures: &mailsonar_collector::statement::Figures) -> Result {
    let seconds = |seconds: u64| i64::try_from(seconds).expect("few");
    Result {
        known: seconds(figures.known_s),
        unknown: seconds(figures.unknown_s),
        excluded: seconds(figures.excluded_s),
        down: seconds(figures.down_s),
        counted: seconds(figures.counted_s),
        somewhere: seconds(figures.uptime.part),
        probes: (figures.reachability.part, figures.reachability.whole),
    }
}

/// The plain computation. `true` is good, `false` is bad.
struct Plain<'a> {
    terms: &'a Terms,
    world: &'a World,
    everything: bool,
}

impl Plain<'_> {
    /// What a probe says of sending (0) or receiving (1): good or bad; nothing where nobody knows.
    fn says(&self, leg: usize, probe: &Probe) -> Option<bool> {
        let Mark { outcome, class, confirmation, accepted, .. } = probe.mark;
        if confirmation && !self.terms.confirmations {
            return None;
        }
        let taken = accepted || outcome.has_arrived();
        let level = match (leg, probe.direction, probe.door) {
            (0, Direction::Outbound, _) => self.terms.send,
            (0, Direction::Loop, _) => "accepted",
            (1, Direction::Inbound, Door::Mx) => self.terms.receive,
            (1, Direction::Inbound | Direction::Loop, _) if taken => match self.terms.receive {
                "accepted" => "arrived",
                other => other,
            },
            _ => return None,
        };
        if level == "accepted" && taken {
            return Some(true);
        }
        let word = |word: &str| match word {
            "good" => Some(true),
            "bad" => Some(false),
            _ => None,
        };
        if leg == 1 && outcome == Outcome::Unknown && class == Some(Class::Mailbox) {
            return word(self.terms.mailbox);
        }
        let bad = if class == Some(Class::Own) { None } else { Some(false) };
        match outcome {
            Outcome::Delivered => Some(true),
            Outcome::Late if level == "arrived" => Some(true),
            Outcome::Misfiled if self.terms.misfiled != "bad" => word(self.terms.misfiled),
            Outcome::Unknown => None,
            _ => bad,
        }
    }

    /// Whether the region's control probes near this failure failed, and none was delivered.
    fn is_doubtful(&self, probe: &Probe) -> bool {
        let near = |other: &&Probe| {
            let apart = other.mark.started_at.duration_since(probe.mark.started_at).abs();
            other.direction == Direction::Control
                && other.region == probe.region
                && apart <= SignedDuration::from_secs(self.terms.control_s)
        };
        let controls: Vec<Outcome> =
            self.world.probes.iter().filter(near).map(|other| other.mark.outcome).collect();
        controls.iter().any(|outcome| outcome.is_failure()) && !controls.contains(&Outcome::Delivered)
    }

    fn compute(&self) -> Result {
        let (period, zone) = (&self.world.period, &self.world.file.contract.time_zone);
        let mut sums =
            Result { known: 0, unknown: 0, excluded: 0, down: 0, counted: 0, somewhere: 0, probes: (0, 0) };
        let mut down: Vec<(Timestamp, i64)> = Vec::new();
        let mut by_start: BTreeMap<Timestamp, Vec<&Probe>> = BTreeMap::new();
        for probe in &self.world.probes {
            by_start.entry(probe.mark.started_at).or_default().push(probe);
        }
        let mut start = period.start();
        while start < period.end() {
            let end = (start + SignedDuration::from_secs(self.terms.slot_s)).min(period.end());
            let seconds = end.duration_since(start).as_secs();
            let inside: Vec<&Probe> =
                by_start.range(start..end).flat_map(|(_, probes)| probes.iter().copied()).collect();
            let legs: Vec<_> =
                [0, 1].map(|leg| self.leg(leg, start, &inside, &mut sums)).into_iter().flatten().collect();
            if legs.is_empty() {
                sums.excluded += seconds;
            } else if legs.iter().any(|(state, _)| *state == Some(false)) {
                (sums.known, sums.down) = (sums.known + seconds, sums.down + seconds);
                down.push((start, seconds));
            } else if legs.iter().any(|(state, _)| state.is_none()) {
                sums.unknown += seconds;
            } else {
                sums.known += seconds;
            }
            let is_known = legs.iter().any(|(state, _)| *state == Some(false))
                || legs.iter().all(|(state, _)| state.is_some());
            if !legs.is_empty() && is_known && legs.iter().all(|(_, somewhere)| *somewhere) {
                sums.somewhere += seconds;
            }
            start = end;
        }
        // A slot's downtime counts if the stretch it belongs to is long enough, or its day has enough.
        let stretch = |at: usize| {
            let joined = |left: usize, right: usize| {
                down[left].0 + SignedDuration::from_secs(down[left].1) == down[right].0
            };
            let (mut first, mut last) = (at, at);
            while first > 0 && joined(first - 1, first) {
                first -= 1;
            }
            while last + 1 < down.len() && joined(last, last + 1) {
                last += 1;
            }
            down[first..=last].iter().map(|(_, seconds)| seconds).sum::<i64>()
        };
        for at in 0..down.len() {
            let of_day = || {
                down.iter()
                    .filter(|(start, _)| zone.date(*start) == zone.date(down[at].0))
                    .map(|(_, seconds)| seconds)
                    .sum::<i64>()
            };
            let long = self.terms.least_s.is_none_or(|least| stretch(at) >= least);
            let enough = self.terms.least_s.and(self.terms.daily_s).is_some_and(|sum| of_day() > sum);
            sums.counted += if long || enough { down[at].1 } else { 0 };
        }
        sums
    }

    /// One leg in one slot: nothing if it is left out; else good, bad or unknown, and whether it is good
    /// somewhere.
    fn leg(
        &self,
        leg: usize,
        start: Timestamp,
        inside: &[&Probe],
        sums: &mut Result,
    ) -> Option<(Option<bool>, bool)> {
        let of = self.world.file.contract.legs[leg];
        let left_out = self
            .world
            .windows
            .kept
            .iter()
            .any(|window| window.legs.contains(&of) && (window.from..window.until).contains(&start));
        if left_out && !self.everything {
            return None;
        }
        let (mut bad, mut known) = (0, 0);
        for region in REGIONS.into_iter().collect::<BTreeSet<_>>() {
            let said: Vec<bool> = inside
                .iter()
                .filter(|probe| probe.region == region)
                .filter_map(|probe| {
                    let said = self.says(leg, probe)?;
                    (said || self.everything || !self.is_doubtful(probe)).then_some(said)
                })
                .collect();
            let (all, failed) = (said.len() as u64, said.iter().filter(|good| !**good).count() as u64);
            sums.probes = (sums.probes.0 + all - failed, sums.probes.1 + all);
            if all > 0 {
                known += 1;
                bad += usize::from(failed * 100 > self.terms.error_share * all);
            }
        }
        let enough = match self.terms.quorum {
            "any" => bad > 0,
            "majority" => bad * 2 > known,
            _ => bad > 0 && bad == known,
        };
        Some(((known >= self.terms.min_regions).then_some(!enough), known > bad))
    }
}

fn agree(draw: &Draw) -> std::result::Result<(), TestCaseError> {
    let world = World::of(draw);
    let statement = world.fast();
    for everything in [false, true] {
        let plain = Plain { terms: &draw.terms, world: &world, everything }.compute();
        let fast = if everything { &statement.everything } else { &statement.figures };
        prop_assert_eq!(&result(fast), &plain, "everything counted: {}", everything);
        let length = world.period.length().as_secs();
        prop_assert_eq!(plain.known + plain.unknown + plain.excluded, length, "every second is somewhere");
    }
    // What the list of downtimes and the days say must add up to the figures.
    let listed: u64 = statement.downtimes.iter().map(|downtime| downtime.counted_s).sum();
    prop_assert_eq!(listed, statement.figures.counted_s);
    let all: u64 = statement.downtimes.iter().map(|downtime| downtime.seconds).sum();
    prop_assert_eq!(all, statement.everything.down_s);
    prop_assert_eq!(statement.days.last().map(|day| day.spent_s), Some(statement.figures.counted_s));
    money(&world, draw, &statement)
}

/// Delivery times and the credit, from a sorted list.
fn money(world: &World, draw: &Draw, statement: &Statement) -> std::result::Result<(), TestCaseError> {
    let legs = &world.file.contract.legs;
    let mut times: Vec<u64> = world
        .probes
        .iter()
        .filter(|probe| {
            let at = probe.mark.started_at;
            let since = at.duration_since(world.period.start()).as_secs();
            let slot = after(&world.period, since - since.rem_euclid(draw.terms.slot_s));
            let leg = legs[usize::from(probe.direction != Direction::Outbound)];
            let left_out =
                world.windows.kept.iter().any(|w| w.legs.contains(&leg) && (w.from..w.until).contains(&slot));
            (world.period.start()..world.period.end()).contains(&at)
                && probe.direction != Direction::Control
                && matches!(probe.mark.outcome, Outcome::Delivered | Outcome::Late)
                && !left_out
        })
        .filter_map(|probe| probe.mark.latency_us)
        .collect();
    times.sort_unstable();
    let n = times.len();
    let mean = |times: &[u64]| times.iter().sum::<u64>().checked_div(times.len() as u64);
    let p95 = (n > 0).then(|| times[(n * 95).div_ceil(100) - 1]);
    let fastest = (n > 0).then(|| mean(&times[..(n * 95 / 100).max(1)])).flatten();
    let delivery = &statement.figures.delivery;
    prop_assert_eq!(
        (delivery.p95_us, delivery.mean_us, delivery.fastest_95_mean_us),
        (p95, mean(&times), fastest)
    );
    let figures = &statement.figures;
    let up = figures.known_s - figures.counted_s;
    let by_time = match (up * 1_000, up * 100) {
        (_, percent) if percent < figures.known_s * 99 => 30,
        (thousandth, _) if thousandth < figures.known_s * 999 => 10,
        _ => 0,
    };
    let by_delay = match fastest.unwrap_or(0) {
        us if us > 300_000_000 => 50,
        us if us > 60_000_000 => 25,
        _ => 0,
    };
    let due = statement.credit.amount.as_ref().map(|money| money.minor);
    prop_assert_eq!(due, Some(1_200 * u64::max(by_time, by_delay)));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_fast_way_agrees_with_the_plain_one(draw in draws()) {
        agree(&draw)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    #[test]
    #[ignore = "minutes: the long form of the one above"]
    fn ten_thousand_random_months_agree(draw in draws()) {
        agree(&draw)?;
    }
}
