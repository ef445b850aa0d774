//! What becomes of each probe, and when. Seconds count from nine o'clock.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "the seconds of a day fit into anything"
)]

use jiff::{SignedDuration, Timestamp};
use mailsonar_protocol::{
    Acceptance, Arrival, Class, Direction, Door, Evidence, Handover, Journey, Outcome, Peer, ProbeId, Record,
    RouteCard, SeenBy, Stage, StageTime, Text, Verdict,
};

pub(crate) const SERVICE: &str = "acme";
pub(crate) const REFERENCE: &str = "faraway";

/// The switch dies, at eleven.
pub(crate) const OUTAGE: i64 = 2 * 3600;
/// The second site takes mail.
pub(crate) const ACCEPTING: i64 = 3 * 3600 + 600;
/// New mail is in time again.
pub(crate) const ON_TIME: i64 = 4 * 3600 + 300;
/// The last mail of the outage is there.
pub(crate) const DRAINED: i64 = 4 * 3600 + 2700;
/// Singapore's own network fails.
pub(crate) const CUT_OFF: (i64, i64) = (19_200, 20_100);
/// Three o'clock.
pub(crate) const END: i64 = 6 * 3600;

/// One message that was greylisted: in the place, after this.
const GREYLISTED: (&str, &str, i64) = ("singapore", "receive", 4_620);
const DEADLINE: f64 = 300.0;
const INTERVAL: i64 = 60;

/// A place with an agent.
pub(crate) struct Region {
    pub(crate) name: &'static str,
    /// Seconds there and back to the service.
    distance: f64,
    /// How wrong its clock is.
    skew: f64,
}

pub(crate) const REGIONS: [Region; 3] = [
    Region { name: "frankfurt", distance: 0.008, skew: 0.002 },
    Region { name: "virginia", distance: 0.086, skew: -0.014 },
    Region { name: "singapore", distance: 0.158, skew: -1.3 },
];

struct Route {
    name: &'static str,
    direction: Direction,
    door: Door,
}

const ROUTES: [Route; 5] = [
    Route { name: "send", direction: Direction::Outbound, door: Door::Submission },
    Route { name: "receive", direction: Direction::Inbound, door: Door::Submission },
    Route { name: "mx", direction: Direction::Inbound, door: Door::Mx },
    Route { name: "loop", direction: Direction::Loop, door: Door::Submission },
    Route { name: "control", direction: Direction::Control, door: Door::Submission },
];

/// What every agent probes.
pub(crate) fn cards() -> Vec<RouteCard> {
    ROUTES.iter().map(Route::card).collect()
}

/// A record's next revision.
pub(crate) struct Event {
    pub(crate) second: f64,
    pub(crate) record: Record,
}

/// So many seconds after nine, on Thursday, 19 November 2026.
pub(crate) fn at(second: f64) -> Timestamp {
    let nine = Timestamp::from_second(1_795_078_800).expect("in range");
    nine + SignedDuration::from_micros((second * 1e6).round() as i64)
}

pub(crate) fn float(second: i64) -> f64 {
    second as f64
}

/// What becomes of a probe.
enum Fate {
    /// Not handed over, after so many seconds.
    Fails(f64, Outcome, Stage, Class, &'static str),
    /// Accepted, and there after so many seconds more.
    Arrives(f64),
}

impl Region {
    pub(crate) fn name(&self) -> mailsonar_protocol::Region {
        self.name.parse().expect("a name")
    }

    /// A time, as the agent's own clock has it.
    pub(crate) fn at(&self, second: f64) -> Timestamp {
        at(second + self.skew)
    }

    pub(crate) fn is_cut_off(&self, second: i64) -> bool {
        self.name == "singapore" && (CUT_OFF.0..CUT_OFF.1).contains(&second)
    }

    /// Everything that its agent learns that day.
    pub(crate) fn events(&self) -> Vec<Event> {
        let mut events = Vec::new();
        for (place, route) in (0_i64..).zip(&ROUTES) {
            let phase = 7 * place + i64::try_from(self.name.len()).expect("short");
            for turn in 0..END / INTERVAL {
                let second = turn * INTERVAL + phase;
                let chance = Chance::of(self.name, route.name, turn);
                events.extend(self.probe(route, second, chance));
            }
        }
        events
    }

    fn fate(&self, route: &Route, second: i64, chance: &mut Chance) -> Fate {
        if self.is_cut_off(second) {
            return Fate::Fails(
                5.0,
                Outcome::Unreachable,
                Stage::Resolve,
                Class::Dns,
                "no answer within 5.0 s",
            );
        }
        let usual = (0.6 + 4.0 * self.distance) * (0.7 + 0.8 * chance.next() + 3.0 * chance.next().powi(12));
        if route.direction == Direction::Control {
            return Fate::Arrives(usual * 0.8);
        }
        if (self.name, route.name) == (GREYLISTED.0, GREYLISTED.1)
            && (GREYLISTED.2..GREYLISTED.2 + INTERVAL).contains(&second)
        {
            return Fate::Arrives(DEADLINE + 190.0);
        }
        if (OUTAGE..ACCEPTING).contains(&second) {
            return match route.name {
                // the reference keeps it in its queue, and is served in the order it came
                "receive" => {
                    let share = float(second - OUTAGE) / float(ACCEPTING - OUTAGE);
                    let arrives =
                        float(ACCEPTING) + 1_800.0 + share * (float(DRAINED) - float(ACCEPTING) - 1_800.0);
                    Fate::Arrives(arrives - float(second))
                }
                "mx" => Fate::Fails(
                    0.1,
                    Outcome::Unreachable,
                    Stage::Connect,
                    Class::Connect,
                    "connection refused",
                ),
                _ => Fate::Fails(
                    10.0,
                    Outcome::Unreachable,
                    Stage::Connect,
                    Class::Timeout,
                    "no answer within 10.0 s",
                ),
            };
        }
        if (ACCEPTING..ON_TIME).contains(&second) {
            return Fate::Arrives(usual + 0.75 * float(ON_TIME - second));
        }
        Fate::Arrives(usual)
    }

    /// The revisions of one probe's record.
    fn probe(&self, route: &Route, second: i64, mut chance: Chance) -> Vec<Event> {
        let started = float(second);
        let id = ProbeId(uuid::Uuid::from_u64_pair(chance.next_bits(), chance.next_bits()));
        let mut record = self.fresh(route, id, started);
        let mut events = vec![Event { second: started, record: record.clone() }];
        let mut learned = |second: f64, record: &mut Record| {
            record.revision += 1;
            record.verdict.at = self.at(second);
            events.push(Event { second, record: record.clone() });
        };
        match self.fate(route, second, &mut chance) {
            Fate::Fails(after, outcome, stage, class, words) => {
                record.verdict = self.verdict(outcome, Some((stage, class)), words);
                record.evidence = vec![Evidence {
                    at: self.at(started + after),
                    stage,
                    class,
                    detail: class.as_str().into(),
                    peer: Text::default(),
                    words: words.into(),
                }];
                learned(started + after, &mut record);
            }
            Fate::Arrives(transit) => {
                record.stages = self.steps(route, &mut chance);
                let took: u64 = record.stages.iter().map(|step| step.took_us).sum();
                let accepted = started + took as f64 / 1e6;
                let due = accepted + DEADLINE;
                record.peer = Some(peer(route));
                record.accepted =
                    Some(Acceptance { at: self.at(accepted), reply: "250 2.0.0 Ok".into(), queue_id: None });
                record.due_at = self.at(due);
                learned(accepted, &mut record);
                let arrives = accepted + transit;
                if arrives > due {
                    record.searched_at = Some(self.at(due + 2.0));
                    record.verdict =
                        self.verdict(Outcome::Lost, Some((Stage::Transit, Class::Missing)), "not there");
                    learned(due + 2.0, &mut record);
                }
                let late = arrives > due;
                let quality = late.then_some((Stage::Transit, Class::Quality));
                record.verdict =
                    self.verdict(if late { Outcome::Late } else { Outcome::Delivered }, quality, "arrived");
                record.arrival = Some(self.arrival(arrives, second));
                record.stages.push(step(Stage::Retrieve, 0.004 + self.distance));
                record.stages.push(step(Stage::Verify, 0.000_2));
                // the second site had taken a few messages that the first one had delivered already
                let twice = route.name == "loop" && (ON_TIME + 600..ON_TIME + 720).contains(&second);
                record.duplicates = u32::from(twice && self.name == "frankfurt");
                learned(arrives + 0.01 + self.distance, &mut record);
            }
        }
        events
    }

    fn fresh(&self, route: &Route, probe: ProbeId, started: f64) -> Record {
        let card = route.card();
        Record {
            probe,
            revision: 1,
            service: card.service,
            reference: card.reference,
            route: card.route,
            direction: card.direction,
            door: card.door,
            confirmation: false,
            canary: None,
            scheduled_at: self.at(started),
            started_at: self.at(started),
            due_at: self.at(started + DEADLINE),
            stages: Vec::new(),
            peer: None,
            accepted: None,
            arrival: None,
            duplicates: 0,
            searched_at: None,
            handover: Handover::default(),
            journey: Journey::default(),
            evidence: Vec::new(),
            verdict: Verdict {
                outcome: Outcome::InFlight,
                stage: None,
                class: None,
                reason: Text::default(),
                at: self.at(started),
            },
        }
    }

    fn verdict(&self, outcome: Outcome, place: Option<(Stage, Class)>, reason: &str) -> Verdict {
        let (stage, class) = place.unzip();
        Verdict { outcome, stage, class, reason: reason.into(), at: self.at(0.0) }
    }

    fn steps(&self, route: &Route, chance: &mut Chance) -> Vec<StageTime> {
        let mut round = |trips: f64, work: f64| trips * self.distance + work * (0.7 + 0.6 * chance.next());
        let mut steps = vec![
            step(Stage::Resolve, round(0.1, 0.003)),
            step(Stage::Connect, round(1.0, 0.0004)),
            step(Stage::Tls, round(2.0, 0.004)),
            step(Stage::Greeting, round(1.0, 0.02)),
        ];
        if route.door == Door::Submission {
            steps.push(step(Stage::Auth, round(1.0, 0.012)));
        }
        steps.push(step(Stage::Envelope, round(2.0, 0.008)));
        steps.push(step(Stage::Data, round(2.0, 0.045)));
        steps
    }

    fn arrival(&self, second: f64, uid: i64) -> Arrival {
        Arrival {
            visible_at: self.at(second),
            seen_by: SeenBy::Noop,
            uncertainty_us: 9_000,
            folder: "INBOX".into(),
            junk: false,
            copy: (1, u32::try_from(uid).unwrap_or(1)),
            intact: true,
        }
    }
}

impl Route {
    fn card(&self) -> RouteCard {
        let control = self.direction == Direction::Control;
        let reference = matches!(self.name, "send" | "receive").then(|| REFERENCE.parse().expect("a name"));
        let (from, to) = match self.name {
            "send" => (Some("own"), "far"),
            "receive" => (Some("far"), "own"),
            "mx" => (None, "own"),
            "loop" => (Some("own"), "own"),
            _ => (Some("far"), "far"),
        };
        RouteCard {
            route: self.name.parse().expect("a name"),
            service: if control { REFERENCE } else { SERVICE }.parse().expect("a name"),
            reference,
            direction: self.direction,
            door: self.door,
            canary: None,
            from: from.map(|name| name.parse().expect("a name")),
            to: Some(to.parse().expect("a name")),
            interval_us: INTERVAL.unsigned_abs() * 1_000_000,
            deadline_us: (DEADLINE * 1e6) as u64,
        }
    }
}

fn peer(route: &Route) -> Peer {
    let (host, port) = match route.name {
        "send" | "loop" => ("smtp.acme.example", 465),
        "mx" => ("mx1.acme.example", 25),
        _ => ("smtp.faraway.example", 465),
    };
    let expires = at(86_400.0 * if port == 25 { 31.0 } else { 75.0 });
    Peer {
        host: host.into(),
        address: None,
        port,
        tls: Some("TLSv1.3 TLS_AES_256_GCM_SHA384".into()),
        certificate_expires_at: Some(expires),
    }
}

fn step(stage: Stage, seconds: f64) -> StageTime {
    StageTime { stage, took_us: (seconds * 1e6) as u64 }
}

/// Chance that is the same at every run (`SplitMix64`).
struct Chance(u64);

impl Chance {
    fn of(region: &str, route: &str, turn: i64) -> Self {
        let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let hash = region.bytes().chain(route.bytes()).fold(0xcbf2_9ce4_8422_2325, mix);
        Self(hash ^ turn.unsigned_abs().wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn next_bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// Between nought and one.
    fn next(&mut self) -> f64 {
        (self.next_bits() >> 11) as f64 / (1_u64 << 53) as f64
    }
}
