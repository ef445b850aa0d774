//! Months computed by hand: the statement must agree to the second and the cent.
//!
//! Three regions probe each leg once a minute unless a month says otherwise, on the minute. What is
//! expected is worked out in the words of each test, with nothing but a calendar and multiplication.

use jiff::Timestamp;
use mailsonar_collector::evaluate::Leg;
use mailsonar_collector::silence::{Silence, SilenceKind};
use mailsonar_collector::statement::{
    ContractFile, Controls, Counter, Period, Setting, Share, Standing, Statement, Windows, state, windows,
};
use mailsonar_collector::store::{Mark, Sheet, SheetLane};
use mailsonar_protocol::{Class, Direction, Door, Outcome, Stage};

pub(crate) use crate::terms::{contract, time};

const HOUR: i64 = 3_600;
pub(crate) const REGIONS: [&str; 3] = ["ap", "eu", "us"];

/// Whether an instant lies in `from..until`.
fn within(at: Timestamp, from: &str, until: &str) -> bool {
    (time(from)..time(until)).contains(&at)
}

/// One lane of one region.
pub(crate) fn lane(region: &str, direction: Direction) -> SheetLane {
    let door = if direction == Direction::Inbound { Door::Mx } else { Door::Submission };
    SheetLane {
        service: if direction == Direction::Control { "refmail" } else { "acme" }.parse().expect("a name"),
        agent: format!("{region}-1").parse().expect("a name"),
        region: region.parse().expect("a name"),
        route: direction.as_str().parse().expect("a name"),
        direction,
        door,
        reference: (direction != Direction::Loop).then(|| "refmail".parse().expect("a name")),
    }
}

pub(crate) fn mark(at: Timestamp, outcome: Outcome) -> Mark {
    let taken = !matches!(outcome, Outcome::Unreachable | Outcome::Refused | Outcome::Deferred);
    let failed = outcome.is_failure();
    Mark {
        started_at: at,
        outcome,
        stage: failed.then_some(if taken { Stage::Transit } else { Stage::Connect }),
        class: failed.then_some(if taken { Class::Missing } else { Class::Timeout }),
        accepted: taken,
        confirmation: false,
        latency_us: (outcome == Outcome::Delivered).then_some(3_000_000),
    }
}

/// What a month's probes say, by region, direction and start; nothing where there was none.
type Says<'a> = &'a dyn Fn(&str, Direction, Timestamp) -> Option<Outcome>;

/// A month in which one probe a minute speaks for each leg from each region.
struct Month<'a> {
    file: ContractFile,
    name: &'a str,
    silences: Vec<Silence>,
    /// Whether control probes are sent as well.
    controls: bool,
    says: Says<'a>,
}

impl Month<'_> {
    fn statement(&self) -> Statement {
        self.as_of(Timestamp::MAX)
    }

    fn as_of(&self, now: Timestamp) -> Statement {
        let contract = &self.file.contract;
        let period = Period::named(self.name, contract.period, &contract.time_zone).expect("a period");
        let service = "acme".parse().expect("a name");
        let windows: Windows = windows(contract, &service, &period, &self.silences);
        let mut controls = Controls::default();
        if self.controls {
            self.each(&period, &[Direction::Control], |sheet| controls.take(&sheet));
        }
        let as_of = now.min(period.end());
        let mut counter = Counter::new(contract, &period, as_of, &windows, &controls);
        self.each(&period, &[Direction::Outbound, Direction::Inbound], |sheet| counter.take(&sheet));
        let setting = Setting { service, period, as_of, windows, incidents: Vec::new() };
        state(&self.file, &setting, &counter.finish())
    }

    /// From an hour before the period until an hour after it, sheet by sheet.
    fn each(&self, period: &Period, directions: &[Direction], mut take: impl FnMut(Sheet)) {
        let (from, until) = (period.start().as_second() - HOUR, period.end().as_second() + HOUR);
        for hour in from.div_euclid(HOUR)..=until.div_euclid(HOUR) {
            for region in REGIONS {
                for direction in directions {
                    let starts = (0..60).map(|minute| hour * HOUR + minute * 60);
                    let marks = starts.filter_map(|second| {
                        let at = Timestamp::from_second(second).expect("in range");
                        Some(mark(at, (self.says)(region, *direction, at)?))
                    });
                    take(Sheet { lane: lane(region, *direction), marks: marks.collect() });
                }
            }
        }
    }
}

fn cents(statement: &Statement) -> u64 {
    statement.credit.amount.as_ref().expect("there is a price").minor
}

fn maintenance(from: &str, until: &str, announced: &str) -> Silence {
    Silence {
        id: format!("m-{from}"),
        kind: SilenceKind::Maintenance,
        service: None,
        leg: None,
        author: "acme".into(),
        reason: "new switches".into(),
        starts_at: time(from),
        ends_at: time(until),
        created_at: time(announced),
        ended_by: None,
    }
}

#[test]
fn november_a_lost_switch_costs_ten_percent() {
    // November has 30 days, 2,592,000 s. On Thursday the 12th nothing is received from 11:00 until 14:07,
    // 3 h 7 min, 11,220 s. What remains is 2,580,780 s, or 99.56712 %: below 99.9 %, not below 99 %.
    // 10 % of 1,200.00 euros are 120.00. The 30th plus 14 days is the 14th of December.
    let says = |_: &str, direction, at| {
        let lost =
            direction == Direction::Inbound && within(at, "2026-11-12T11:00:00Z", "2026-11-12T14:07:00Z");
        Some(if lost { Outcome::Lost } else { Outcome::Delivered })
    };
    let statement =
        Month { file: contract("UTC", ""), name: "2026-11", silences: vec![], controls: false, says: &says }
            .statement();
    let figures = &statement.figures;
    assert_eq!((figures.known_s, figures.counted_s, figures.unknown_s), (2_592_000, 11_220, 0));
    assert_eq!(figures.availability.to_string(), "99.56712 %");
    // Nobody could receive, from anywhere: uptime is the same. 187 minutes times 3 regions failed, of
    // 43,200 minutes times 3 regions times 2 legs.
    assert_eq!(figures.uptime, Share::new(2_580_780, 2_592_000));
    assert_eq!(figures.reachability, Share::new(259_200 - 561, 259_200));
    assert_eq!(cents(&statement), 12_000);
    assert_eq!(statement.credit.claim_until.expect("a day").to_string(), "2026-12-14");
    // The target leaves a thousandth, 2,592 s.
    assert_eq!((statement.budget.allowed_s, statement.budget.spent_s), (2_592, 11_220));
    let [downtime] = statement.downtimes.as_slice() else { panic!("one downtime") };
    assert_eq!((downtime.from, downtime.until), (time("2026-11-12T11:00:00Z"), time("2026-11-12T14:07:00Z")));
    assert_eq!((downtime.legs.as_slice(), downtime.failures), ([Leg::Receive].as_slice(), 561));
    assert_eq!(statement.days[11].spent_s, 11_220);
    assert_eq!(statement.days[10].spent_s, 0);
    // 259,200 - 561 messages arrived, each after 3 s.
    assert_eq!((figures.delivery.arrived, figures.delivery.p99_us), (258_639, Some(3_000_000)));
}

#[test]
fn announced_maintenance_is_left_out_and_the_rest_of_the_outage_counts() {
    // Down from 22:00 until 02:00, 4 h. Maintenance was announced from 22:00 until 01:00, a week before:
    // 3 h are left out and 1 h counts. Known are 2,592,000 - 10,800 = 2,581,200 s, less 3,600 down:
    // 2,577,600 / 2,581,200 = 99.86053 %, which owes 10 %. With everything counted 14,400 s are down of
    // 2,592,000: 99.44444 %.
    // Another window, on the 20th, was announced while it had begun: its 30 minutes of downtime count,
    // so 5,400 s are down: 2,575,800 / 2,581,200 = 99.79079 %.
    let down = |at| {
        within(at, "2026-11-07T22:00:00Z", "2026-11-08T02:00:00Z")
            || within(at, "2026-11-20T03:00:00Z", "2026-11-20T03:30:00Z")
    };
    let says = |_: &str, _, at| Some(if down(at) { Outcome::Unreachable } else { Outcome::Delivered });
    let silences = vec![
        maintenance("2026-11-07T22:00:00Z", "2026-11-08T01:00:00Z", "2026-10-31T09:00:00Z"),
        maintenance("2026-11-20T03:00:00Z", "2026-11-20T04:00:00Z", "2026-11-20T03:05:00Z"),
    ];
    let file = contract("UTC", "[exclusions.maintenance]\nnotice = \"2d\"");
    let statement =
        Month { file, name: "2026-11", silences: silences.clone(), controls: false, says: &says }.statement();
    let figures = &statement.figures;
    assert_eq!((figures.known_s, figures.excluded_s, figures.counted_s), (2_581_200, 10_800, 5_400));
    assert_eq!(figures.availability.to_string(), "99.79079 %");
    assert_eq!(statement.everything.counted_s, 14_400 + 1_800);
    assert_eq!(cents(&statement), 12_000);
    let standings: Vec<_> = statement.downtimes.iter().map(|d| (d.seconds, d.counted_s)).collect();
    assert_eq!(standings, [(10_800, 0), (3_600, 3_600), (1_800, 1_800)]);
    assert!(matches!(statement.downtimes[0].standing, Standing::Excluded { .. }));
    assert_eq!(statement.refused_windows.len(), 1, "announced too late");

    // With 2 h a year allowed, the window ends its effect at midnight: 2 h are left out, 2 h count.
    let file = contract("UTC", "[exclusions.maintenance]\nnotice = \"2d\"\nyearly = \"2h\"");
    let statement = Month { file, name: "2026-11", silences, controls: false, says: &says }.statement();
    assert_eq!((statement.figures.excluded_s, statement.figures.counted_s), (7_200, 7_200 + 1_800));
    assert_eq!(statement.refused_windows.len(), 2);
}

#[test]
fn an_outage_across_a_month_border_is_split_at_local_midnight() {
    // In Berlin, November begins at 23:00 UTC on the 31st of October. Down from 22:40 until 23:25 UTC:
    // 20 minutes of October, 1,200 s, and 25 of November, 1,500 s.
    let says = |_: &str, _, at| {
        let down = within(at, "2026-10-31T22:40:00Z", "2026-10-31T23:25:00Z");
        Some(if down { Outcome::Unreachable } else { Outcome::Delivered })
    };
    let of = |name| {
        Month { file: contract("Europe/Berlin", ""), name, silences: vec![], controls: false, says: &says }
            .statement()
    };
    let (october, november) = (of("2026-10"), of("2026-11"));
    assert_eq!((october.figures.counted_s, november.figures.counted_s), (1_200, 1_500));
    assert_eq!(november.span.from, time("2026-10-31T23:00:00Z"));
    assert_eq!(october.downtimes[0].until, november.downtimes[0].from);
    // October ends summer time and has 31 days and an hour: 2,682,000 s.
    assert_eq!(october.figures.known_s, 2_682_000);
    // 1,200 of 2,682,000 s leave 99.95525 %, 1,500 of 2,592,000 s leave 99.94212 %: both keep 99.9 %.
    assert_eq!((october.figures.availability.to_string(), cents(&october)), ("99.95525 %".into(), 0));
    assert_eq!((november.figures.availability.to_string(), cents(&november)), ("99.94212 %".into(), 0));
}

#[test]
fn march_loses_an_hour_and_october_gains_one() {
    // Berlin, the 29th of March: after 01:59:59 comes 03:00:00. By the wall clock down from 01:30 until
    // 03:30, in truth 00:30 until 01:30 UTC: one hour. March has 31 * 86,400 - 3,600 = 2,674,800 s;
    // 2,671,200 / 2,674,800 = 99.86541 %.
    let says = |_: &str, _, at| {
        let down = within(at, "2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z")
            || within(at, "2026-10-24T23:30:00Z", "2026-10-25T02:30:00Z");
        Some(if down { Outcome::Refused } else { Outcome::Delivered })
    };
    let of = |name| {
        Month { file: contract("Europe/Berlin", ""), name, silences: vec![], controls: false, says: &says }
            .statement()
    };
    let march = of("2026-03");
    assert_eq!((march.figures.known_s, march.figures.counted_s), (2_674_800, 3_600));
    assert_eq!((march.figures.availability.to_string(), cents(&march)), ("99.86541 %".into(), 12_000));
    assert_eq!(march.days[28].known_s, 23 * 3_600);
    // The 25th of October: the hour from 02:00 comes twice. By the wall clock down from 01:30 until 03:30
    // as well, in truth 23:30 until 02:30 UTC: three hours, 10,800 of 2,682,000 s; 99.59731 %.
    let october = of("2026-10");
    assert_eq!((october.figures.known_s, october.figures.counted_s), (2_682_000, 10_800));
    assert_eq!((october.figures.availability.to_string(), cents(&october)), ("99.59731 %".into(), 12_000));
    assert_eq!(october.days[24].known_s, 25 * 3_600);
    assert_eq!(october.days[24].down_s, 10_800);
}

#[test]
fn overlapping_troubles_of_both_legs_are_counted_once() {
    // Sending is down from 10:00 until 11:00, receiving from 10:30 until 11:30: an hour each, together
    // an hour and a half, 5,400 s. Only eu and us see it: two of three regions are a quorum.
    let says = |region: &str, direction, at| {
        let down = match direction {
            Direction::Outbound => within(at, "2026-11-03T10:00:00Z", "2026-11-03T11:00:00Z"),
            Direction::Inbound => within(at, "2026-11-03T10:30:00Z", "2026-11-03T11:30:00Z"),
            _ => false,
        };
        Some(if down && region != "ap" { Outcome::Unreachable } else { Outcome::Delivered })
    };
    let statement =
        Month { file: contract("UTC", ""), name: "2026-11", silences: vec![], controls: false, says: &says }
            .statement();
    let figures = &statement.figures;
    assert_eq!(figures.counted_s, 5_400);
    assert_eq!(figures.legs.iter().map(|leg| leg.down_s).collect::<Vec<_>>(), [3_600, 3_600]);
    assert_eq!(statement.downtimes.len(), 1, "one stretch");
    assert_eq!(statement.downtimes[0].regions.len(), 2);
    // One region was good all the time, so by uptime nothing happened. 4 * 60 probes failed of 259,200.
    assert_eq!(figures.uptime, Share::new(2_592_000, 2_592_000));
    assert_eq!(figures.reachability, Share::new(259_200 - 240, 259_200));
    // One region alone is no quorum: the same seen by ap only is no downtime.
    let alone = |region: &str, direction, at| says(if region == "ap" { "eu" } else { "ap" }, direction, at);
    let statement =
        Month { file: contract("UTC", ""), name: "2026-11", silences: vec![], controls: false, says: &alone }
            .statement();
    assert_eq!(statement.figures.counted_s, 0);
}

#[test]
fn silent_agents_make_time_unknown_not_good_and_not_bad() {
    // All agents are silent for 6 h on the 5th: 21,600 s are unknown. On the 6th, for an hour, ap and us
    // are silent and eu sees everything fail: with two regions needed to know, that hour is unknown too.
    // Known: 2,592,000 - 21,600 - 3,600 = 2,566,800 s. Down: 20 minutes on the 7th, 1,200 s.
    // 2,565,600 / 2,566,800 = 99.95324 %: the target is kept.
    let says = |region: &str, _, at| {
        let silent = within(at, "2026-11-05T06:00:00Z", "2026-11-05T12:00:00Z")
            || (region != "eu" && within(at, "2026-11-06T06:00:00Z", "2026-11-06T07:00:00Z"));
        let down = within(at, "2026-11-06T06:00:00Z", "2026-11-06T07:00:00Z")
            || within(at, "2026-11-07T08:00:00Z", "2026-11-07T08:20:00Z");
        (!silent).then_some(if down { Outcome::Unreachable } else { Outcome::Delivered })
    };
    let file = contract("UTC", "[downtime]\nmin_regions = 2");
    let statement =
        Month { file, name: "2026-11", silences: vec![], controls: false, says: &says }.statement();
    let figures = &statement.figures;
    assert_eq!((figures.known_s, figures.unknown_s, figures.counted_s), (2_566_800, 25_200, 1_200));
    assert_eq!((figures.availability.to_string(), cents(&statement)), ("99.95324 %".into(), 0));
    assert_eq!(statement.coverage.time, Share::new(2_566_800, 2_592_000));
    let seen: Vec<_> = statement.coverage.regions.iter().map(|region| region.time.part).collect();
    assert_eq!(seen, [2_566_800, 2_570_400, 2_566_800], "eu spoke in the hour on the 6th");
    assert_eq!(statement.gaps.len(), 2);
    // Probes that could not look say as little.
    let blind = |_: &str, direction, at| {
        let shut =
            direction == Direction::Inbound && within(at, "2026-11-05T06:00:00Z", "2026-11-05T12:00:00Z");
        Some(if shut { Outcome::Unknown } else { Outcome::Delivered })
    };
    let statement =
        Month { file: contract("UTC", ""), name: "2026-11", silences: vec![], controls: false, says: &blind }
            .statement();
    assert_eq!((statement.figures.unknown_s, statement.figures.counted_s), (21_600, 0));
    assert_eq!(statement.figures.legs[1].unknown, 3 * 360);
    assert_eq!(statement.coverage.probes, Share::new(259_200 - 1_080, 259_200));
}

#[test]
fn short_downtime_counts_only_on_a_day_with_enough_of_it() {
    // Losses under 2 minutes do not count, unless a day has over 5 minutes of them. The 3rd has five
    // single minutes: 300 s, not over 5 minutes. The 4th has six: 360 s count. The 5th has one stretch of
    // 2 minutes: 120 s count. In sum 480 s of 2,592,000: 99.98148 %.
    let says = |_: &str, _, at: Timestamp| {
        let hours = |day: &str, count: i64| {
            let from = time(&format!("2026-11-{day}T01:00:00Z")).as_second();
            (0..count).any(|hour| at.as_second() == from + hour * HOUR)
        };
        let down =
            hours("03", 5) || hours("04", 6) || within(at, "2026-11-05T01:00:00Z", "2026-11-05T01:02:00Z");
        Some(if down { Outcome::Unreachable } else { Outcome::Delivered })
    };
    let file = contract("UTC", "[downtime]\nleast = \"2m\"\ndaily_sum = \"5m\"");
    let statement =
        Month { file, name: "2026-11", silences: vec![], controls: false, says: &says }.statement();
    assert_eq!((statement.figures.down_s, statement.figures.counted_s), (780, 480));
    assert_eq!(statement.figures.availability.to_string(), "99.98148 %");
    let short = statement.downtimes.iter().filter(|downtime| downtime.standing == Standing::TooShort);
    assert_eq!(short.count(), 5);
}

#[test]
fn a_region_that_cannot_reach_its_reference_either_is_no_witness() {
    // For an hour eu and us see sending fail, but eu's control probes fail as well: eu is set aside. us is
    // one of the two that are left (ap and us): not more than half. With everything counted it is two of
    // three, and an hour of downtime. 60 failures are set aside, 60 count.
    // Five minutes before and after, failing controls excuse as well: there are no failures to excuse.
    let says = |region: &str, direction, at| {
        let hour = within(at, "2026-11-03T10:00:00Z", "2026-11-03T11:00:00Z");
        let control_hour = within(at, "2026-11-03T09:50:00Z", "2026-11-03T11:10:00Z");
        let fails = match direction {
            Direction::Outbound => hour && region != "ap",
            Direction::Control => control_hour && region == "eu",
            _ => false,
        };
        Some(if fails { Outcome::Unreachable } else { Outcome::Delivered })
    };
    let statement =
        Month { file: contract("UTC", ""), name: "2026-11", silences: vec![], controls: true, says: &says }
            .statement();
    assert_eq!((statement.figures.counted_s, statement.everything.counted_s), (0, 3_600));
    assert_eq!(statement.figures.legs[0].set_aside, 60);
    assert_eq!(statement.figures.reachability.whole - statement.figures.reachability.part, 60);
    assert_eq!(statement.downtimes[0].standing, Standing::OwnTrouble);
}

#[test]
fn a_month_that_goes_on_is_stated_so_far() {
    // Ten days and thirty seconds have passed: ten days of whole minutes are stated, 864,000 s.
    let says = |_: &str, _, _| Some(Outcome::Delivered);
    let month =
        Month { file: contract("UTC", ""), name: "2026-11", silences: vec![], controls: false, says: &says };
    let statement = month.as_of(time("2026-11-11T00:00:30Z"));
    assert_eq!((statement.figures.known_s, statement.figures.unknown_s), (864_000, 0));
    assert_eq!(statement.span.as_of, time("2026-11-11T00:00:00Z"));
    assert_eq!(statement.days.len(), 10);
    // 864,000 s are 14,400 minutes; 3 regions and 2 legs make 86,400 probes, none of which failed. What
    // has a chance of 5 % to show that is 0.05 to the power of 1/86,400: 99.99653 %.
    let resolution = statement.coverage.resolution.expect("probes");
    assert_eq!((resolution.probes, resolution.at_least.as_str()), (86_400, "99.99653 %"));
}

#[test]
fn slow_mail_and_slow_recovery_owe_what_is_highest_or_all() {
    // All mail takes 3 s. A mean of at most 2 s was promised: over 2 s owes 5 %, over 10 s more. One
    // downtime of 3 h 7 min is longer than the promised 2 h, which owes 7.5 %; availability owes 10 %.
    // The highest is 10 %: 120.00. The sum is 22.5 %: 270.00; capped at 20 %: 240.00.
    let says = |_: &str, _, at| {
        let down = within(at, "2026-11-12T11:00:00Z", "2026-11-12T14:07:00Z");
        Some(if down { Outcome::Unreachable } else { Outcome::Delivered })
    };
    let rest = "[recovery]\nwithin = \"2h\"\ncredit = \"7.5\"\n[[delivery]]\nstatistic = \"mean\"\nwithin = \"2s\"\n\
                tiers = [{ over = \"2s\", credit = \"5\" }, { over = \"10s\", credit = \"50\" }]\n";
    for (credits, due) in [
        ("", 12_000),
        ("[credits]\ncombine = \"sum\"", 27_000),
        ("[credits]\ncombine = \"sum\"\ncap = \"20\"", 24_000),
    ] {
        let file = contract("UTC", &format!("{rest}{credits}"));
        let statement =
            Month { file, name: "2026-11", silences: vec![], controls: false, says: &says }.statement();
        assert_eq!(cents(&statement), due, "{credits}");
        assert_eq!(statement.clauses.iter().filter(|clause| clause.kept == Some(false)).count(), 3);
    }
}
