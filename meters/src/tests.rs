//! Stories of a lane and what is counted of it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use mailsonar_protocol::*;
use uuid::Uuid;

use crate::{Flight, Lanes, Maker};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_795_518_000 + seconds).expect("in range")
}

/// A probe that was handed over in two steps and is under way.
fn sent() -> Record {
    Record {
        probe: ProbeId(Uuid::from_u128(1)),
        revision: 1,
        service: "acme".parse().expect("a name"),
        reference: None,
        route: "loop".parse().expect("a name"),
        direction: Direction::Loop,
        door: Door::Submission,
        confirmation: false,
        canary: None,
        scheduled_at: at(0),
        started_at: at(0),
        due_at: at(302),
        stages: steps(&[Stage::Resolve, Stage::Connect]),
        peer: None,
        accepted: None,
        arrival: None,
        duplicates: 0,
        searched_at: None,
        handover: Handover::default(),
        journey: Journey::default(),
        evidence: Vec::new(),
        verdict: verdict(Outcome::InFlight, None),
    }
}

fn steps(stages: &[Stage]) -> Vec<StageTime> {
    stages.iter().map(|&stage| StageTime { stage, took_us: 20_000 }).collect()
}

fn verdict(outcome: Outcome, why: Option<(Stage, Class)>) -> Verdict {
    let (stage, class) = why.unzip();
    Verdict { outcome, stage, class, reason: Text::default(), at: at(400) }
}

fn accepted(record: Record, seconds: i64) -> Record {
    let acceptance = Acceptance { at: at(seconds), reply: "250 ok".into(), queue_id: None };
    Record { accepted: Some(acceptance), ..record }
}

fn arrived(record: Record, seconds: i64, outcome: Outcome) -> Record {
    let arrival = Arrival {
        visible_at: at(seconds),
        seen_by: SeenBy::Noop,
        uncertainty_us: 5_000,
        folder: "INBOX".into(),
        junk: false,
        copy: (1, 1),
        intact: true,
    };
    let stages = [record.stages, steps(&[Stage::Retrieve, Stage::Verify])].concat();
    Record { stages, arrival: Some(arrival), verdict: verdict(outcome, None), ..record }
}

fn lost(record: Record) -> Record {
    Record { verdict: verdict(Outcome::Lost, Some((Stage::Transit, Class::Missing))), ..record }
}

/// One lane and what is shown of it.
struct Shown {
    make: Maker,
    lanes: Lanes,
    region: Region,
}

impl Shown {
    fn new() -> Self {
        let make = Maker::default();
        Self { lanes: Lanes::new(&make), make, region: "eu".parse().expect("a name") }
    }

    fn card() -> RouteCard {
        let Record { service, route, reference, direction, door, .. } = sent();
        RouteCard {
            route,
            service,
            reference,
            direction,
            door,
            canary: None,
            from: None,
            to: None,
            interval_us: 60_000_000,
            deadline_us: 300_000_000,
        }
    }

    /// A record goes through these; each is told as a change from the one before.
    fn life(&self, records: &[Record]) {
        let mut before = None;
        for after in records {
            self.lanes.changed(&self.region, before, after);
            before = Some(after);
        }
    }

    /// The value of a series of the lane; `more` are labels besides the lane's, by name.
    fn value(&self, name: &str, more: &[(&str, &str)]) -> Option<f64> {
        let lane = [("direction", "loop"), ("region", "eu"), ("route", "loop"), ("service", "acme")];
        let labels: BTreeMap<&str, &str> = lane.into_iter().chain(more.iter().copied()).collect();
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        let series = format!("{name}{{{}}} ", labels.join(","));
        let text = self.make.text();
        let value = text.lines().find_map(|line| line.strip_prefix(&series))?;
        Some(value.parse().expect("a number"))
    }

    fn probes(&self, outcome: &str) -> Option<f64> {
        self.value("mailsonar_probes_total", &[("outcome", outcome)])
    }

    fn revised(&self, from: &str, to: &str) -> Option<f64> {
        self.value("mailsonar_probes_revised_total", &[("from", from), ("to", to)])
    }

    fn stage(&self, stage: Stage) -> Option<f64> {
        self.value("mailsonar_stage_seconds_count", &[("stage", stage.as_str())])
    }

    fn latencies(&self) -> Option<(f64, f64)> {
        let sum = self.value("mailsonar_delivery_latency_seconds_sum", &[])?;
        Some((self.value("mailsonar_delivery_latency_seconds_count", &[])?, sum))
    }
}

#[test]
fn an_announced_lane_has_all_its_series_at_zero() {
    let shown = Shown::new();
    assert_eq!(shown.probes("delivered"), None, "nobody has announced it");
    shown.lanes.announce(&shown.region, &Shown::card());
    for outcome in Outcome::ALL.iter().filter(|outcome| **outcome != Outcome::InFlight) {
        assert_eq!(shown.probes(outcome.as_str()), Some(0.0), "{outcome}");
    }
    assert_eq!(shown.probes("in_flight"), None, "that is no verdict");
    assert_eq!(shown.revised("lost", "late"), Some(0.0));
    let missing = [("stage", "transit"), ("class", "missing")];
    assert_eq!(shown.value("mailsonar_failures_total", &missing), Some(0.0));
    assert_eq!(shown.latencies(), Some((0.0, 0.0)));
    for name in [
        "mailsonar_duplicates_total",
        "mailsonar_in_flight",
        "mailsonar_oldest_in_flight_seconds",
        "mailsonar_last_delivered_timestamp_seconds",
    ] {
        assert_eq!(shown.value(name, &[]), Some(0.0), "{name}");
    }
}

#[test]
fn the_first_verdict_is_counted_and_a_later_one_is_a_revision() {
    let shown = Shown::new();
    shown.lanes.announce(&shown.region, &Shown::card());
    let under_way = accepted(sent(), 2);
    let late = Record { duplicates: 2, ..arrived(lost(under_way.clone()), 402, Outcome::Late) };
    shown.life(&[sent(), under_way.clone(), lost(under_way.clone()), late.clone(), late]);
    assert_eq!((shown.probes("lost"), shown.probes("late")), (Some(1.0), Some(0.0)));
    assert_eq!(shown.revised("lost", "late"), Some(1.0));
    let missing = [("stage", "transit"), ("class", "missing")];
    assert_eq!(shown.value("mailsonar_failures_total", &missing), Some(1.0));
    assert_eq!(shown.value("mailsonar_duplicates_total", &[]), Some(2.0), "copies are counted once");
    // A verdict that is there when the record is first heard of is a first verdict too.
    shown.life(&[lost(under_way)]);
    assert_eq!(shown.probes("lost"), Some(2.0));
}

#[test]
fn a_latency_is_counted_once_whichever_end_was_known_first() {
    let acceptance_first = [sent(), accepted(sent(), 2), arrived(accepted(sent(), 2), 5, Outcome::Delivered)];
    let arrival_first = [
        sent(),
        // The server closed after the final dot; the mail came all the same, and then the word did.
        arrived(sent(), 5, Outcome::Delivered),
        accepted(arrived(sent(), 5, Outcome::Delivered), 2),
    ];
    let both_at_once = [arrived(accepted(sent(), 2), 5, Outcome::Delivered)];
    for life in [&acceptance_first[..], &arrival_first[..], &both_at_once[..]] {
        let shown = Shown::new();
        shown.life(life);
        let known = life.last().expect("a life");
        shown.lanes.changed(&shown.region, Some(known), &Record { revision: 9, ..known.clone() });
        assert_eq!(shown.latencies(), Some((1.0, 3.0)), "{life:#?}");
        assert_eq!(shown.probes("delivered"), Some(1.0));
    }
}

#[test]
fn what_failed_or_came_at_nobody_knows_when_is_in_no_latency() {
    let shown = Shown::new();
    shown.lanes.announce(&shown.region, &Shown::card());
    shown.life(&[accepted(sent(), 2), lost(accepted(sent(), 2))]);
    shown.life(&[arrived(accepted(sent(), 2), 5, Outcome::Misfiled)]);
    let seen_within = |seconds: i64, uncertainty_us: u64| {
        let mut record = arrived(accepted(sent(), 2), 2 + seconds, Outcome::Delivered);
        record.arrival.as_mut().expect("it arrived").uncertainty_us = uncertainty_us;
        record
    };
    shown.life(&[seen_within(5, 1_000_001)]);
    shown.life(&[seen_within(100, 10_000_001)]);
    assert_eq!(shown.latencies(), Some((0.0, 0.0)));
    shown.life(&[seen_within(5, 1_000_000)]);
    shown.life(&[seen_within(100, 10_000_000)]);
    assert_eq!(shown.latencies(), Some((2.0, 105.0)), "a second, or a tenth, is exact enough");
    assert_eq!(shown.probes("delivered"), Some(4.0), "they are delivered all the same");
}

#[test]
fn only_steps_of_what_went_well_have_a_length() {
    let shown = Shown::new();
    let refused =
        Record { verdict: verdict(Outcome::Unreachable, Some((Stage::Greeting, Class::Timeout))), ..sent() };
    shown.life(&[sent(), refused]);
    assert_eq!(shown.stage(Stage::Connect), None, "it was not handed over");
    shown.life(&[sent(), accepted(sent(), 2), lost(accepted(sent(), 2))]);
    assert_eq!(shown.stage(Stage::Connect), Some(1.0));
    assert_eq!(shown.stage(Stage::Retrieve), None, "it did not arrive");
    shown.life(&[sent(), accepted(sent(), 2), arrived(accepted(sent(), 2), 5, Outcome::Delivered)]);
    assert_eq!(shown.stage(Stage::Connect), Some(2.0));
    assert_eq!((shown.stage(Stage::Retrieve), shown.stage(Stage::Verify)), (Some(1.0), Some(1.0)));
}

#[test]
fn the_last_arrival_never_goes_back_and_is_on_our_clock() {
    let shown = Shown::new();
    let last = || shown.value("mailsonar_last_delivered_timestamp_seconds", &[]);
    let expected = |seconds: i64| Some(at(seconds).as_duration().as_secs_f64());
    shown.lanes.last_arrival(&shown.region, &Shown::card(), at(1).as_duration().as_secs_f64());
    assert_eq!(last(), expected(1));
    shown.life(&[arrived(accepted(sent(), 2), 50, Outcome::Delivered)]);
    shown.life(&[arrived(accepted(sent(), 2), 40, Outcome::Delivered)]);
    assert_eq!(last(), expected(50));
    // An agent whose clock is an hour ahead.
    let ahead = arrived(accepted(sent(), 3_602), 3_660, Outcome::Delivered);
    shown.lanes.changed_elsewhere(&shown.region, None, &ahead, -3_600.0);
    assert_eq!(last(), expected(60));
}

#[test]
fn what_is_under_way_is_said_of_every_lane_that_is_known() {
    let shown = Shown::new();
    shown.lanes.announce(&shown.region, &Shown::card());
    let values =
        || (shown.value("mailsonar_in_flight", &[]), shown.value("mailsonar_oldest_in_flight_seconds", &[]));
    let flight = Flight { count: 2, oldest_seconds: 7.5 };
    shown.lanes.under_way(&shown.region, &Shown::card(), flight);
    assert_eq!(values(), (Some(2.0), Some(7.5)));
    let elsewhere = ["acme", "gone", "loop", "eu"].map(str::to_owned);
    shown.lanes.all_under_way(&BTreeMap::from([(elsewhere, flight)]));
    assert_eq!(values(), (Some(0.0), Some(0.0)), "the lane that is not named");
    assert!(
        shown
            .make
            .text()
            .contains(r#"mailsonar_in_flight{direction="loop",region="eu",route="gone",service="acme"} 2"#)
    );
    let here = ["acme", "loop", "loop", "eu"].map(str::to_owned);
    shown.lanes.all_under_way(&BTreeMap::from([(here, flight)]));
    assert_eq!(values(), (Some(2.0), Some(7.5)));
}
