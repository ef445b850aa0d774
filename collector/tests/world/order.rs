//! The same records in any order of arrival end in the same incidents.
//!
//! A history of some minutes: what each agent learns, revision by revision, and in which half minute the
//! collector hears of it. Within a half minute everything comes in any order, with replays and with old
//! revisions after new ones. After each the collector decides. Whole incidents are compared: clocks,
//! backlog, blame, timeline and words.

use jiff::Timestamp;
use mailsonar_collector::evaluate::{self, Facts, Standing, evaluate};
use mailsonar_collector::incident::{self, Addressees};
use mailsonar_collector::store::{Hello, Incident, Store};
use mailsonar_protocol::*;
use uuid::Uuid;

use crate::fleet::Random;
use crate::world::at;

const STEP: i64 = 30_000;
const STEPS: i64 = 16;

/// What an agent tells of one probe, and in which step.
#[derive(Debug, Clone)]
struct Told {
    step: i64,
    agent: usize,
    record: Record,
}

fn name(agent: usize) -> AgentName {
    format!("agent-{agent}").parse().expect("a name")
}

fn region(agent: usize) -> Region {
    format!("region-{agent}").parse().expect("a name")
}

fn cards() -> Vec<RouteCard> {
    let card = |route: &str, direction, door, service: &str| RouteCard {
        route: route.parse().expect("a name"),
        service: service.parse().expect("a name"),
        reference: None,
        direction,
        door,
        canary: None,
        from: None,
        to: None,
        interval_us: 30_000_000,
        deadline_us: 60_000_000,
    };
    vec![
        card("loop", Direction::Loop, Door::Submission, "acme"),
        card("mx", Direction::Inbound, Door::Mx, "acme"),
        card("control", Direction::Control, Door::Submission, "ref"),
    ]
}

/// One probe's revisions: under way, accepted, and its end.
fn probe(id: u128, card: &RouteCard, begun: i64, outcome: Outcome) -> Vec<Record> {
    let accepted = (!matches!(outcome, Outcome::Refused | Outcome::Unreachable)).then(|| Acceptance {
        at: at(begun + 400),
        reply: "250 ok".into(),
        queue_id: None,
    });
    let arrived = outcome.has_arrived().then(|| Arrival {
        visible_at: at(begun + if outcome == Outcome::Late { 90_000 } else { 1_500 }),
        seen_by: SeenBy::Noop,
        uncertainty_us: 5_000,
        folder: "INBOX".into(),
        junk: false,
        copy: (1, 1),
        intact: true,
    });
    let under_way = Record {
        probe: ProbeId(Uuid::from_u128(id)),
        revision: 1,
        service: card.service.clone(),
        reference: None,
        route: card.route.clone(),
        direction: card.direction,
        door: card.door,
        confirmation: false,
        canary: None,
        scheduled_at: at(begun),
        started_at: at(begun),
        due_at: at(begun + 60_000),
        stages: Vec::new(),
        peer: None,
        accepted: None,
        arrival: None,
        duplicates: 0,
        searched_at: None,
        handover: Handover::default(),
        journey: Journey::default(),
        evidence: Vec::new(),
        verdict: verdict(Outcome::InFlight, begun),
    };
    let taken = Record { revision: 2, accepted, ..under_way.clone() };
    let lost = Record { revision: 3, verdict: verdict(Outcome::Lost, begun), ..taken.clone() };
    let end = Record { revision: 4, arrival: arrived, verdict: verdict(outcome, begun), ..taken.clone() };
    if outcome == Outcome::Late { vec![under_way, taken, lost, end] } else { vec![under_way, taken, end] }
}

fn verdict(outcome: Outcome, begun: i64) -> Verdict {
    let (stage, class) = match outcome {
        Outcome::InFlight | Outcome::Delivered => (None, None),
        Outcome::Refused => (Some(Stage::Envelope), Some(Class::Permanent)),
        Outcome::Late => (Some(Stage::Transit), Some(Class::Quality)),
        _ => (Some(Stage::Transit), Some(Class::Missing)),
    };
    Verdict { outcome, stage, class, reason: Text::default(), at: at(begun) }
}

/// A history with an outage of some kind in it, and noise.
fn history(random: &mut Random) -> (usize, Vec<Told>) {
    let agents = usize::try_from(2 + random.below(2)).expect("small");
    let (from, length) = (random.below(5), 2 + random.below(5));
    let kind =
        [Outcome::Refused, Outcome::Lost, Outcome::Late][usize::try_from(random.below(3)).expect("small")];
    let mut told = Vec::new();
    let mut id = 0;
    for step in 0..STEPS {
        for agent in 0..agents {
            for card in cards() {
                id += 1;
                let is_hit = (from..from + length).contains(&step.unsigned_abs());
                let outcome = match () {
                    () if is_hit && card.direction != Direction::Control => kind,
                    () if random.chance(20) => Outcome::Lost,
                    () => Outcome::Delivered,
                };
                let begun = step * STEP + i64::try_from(random.below(20_000)).expect("small");
                let mut heard = step;
                for record in probe(id, &card, begun, outcome) {
                    told.push(Told { step: heard.min(STEPS - 1), agent, record });
                    heard += i64::try_from(random.below(3)).expect("small");
                }
            }
        }
    }
    (agents, told)
}

/// Another order within each step, with replays of what was told before.
fn shuffled(told: &[Told], random: &mut Random) -> Vec<Told> {
    let mut all = told.to_vec();
    for told in told.iter().filter(|_| random.chance(100)).collect::<Vec<_>>() {
        let later = told.step + i64::try_from(random.below(3)).expect("small");
        all.push(Told { step: later.min(STEPS - 1), ..told.clone() });
    }
    for last in (1..all.len()).rev() {
        let other = usize::try_from(random.below(u64::try_from(last).expect("small") + 1)).expect("small");
        all.swap(last, other);
    }
    all.sort_by_key(|told| told.step);
    all
}

fn hear(store: &Store, agent: usize, now: Timestamp) -> mailsonar_collector::store::Agent {
    let hello = Hello {
        name: name(agent),
        region: region(agent),
        software: "test".into(),
        sent_at: now,
        received_at: now,
        routes: Some(cards()),
        health: AgentHealth::default(),
    };
    store.hear(hello).expect("stored").0
}

/// What was kept from the evaluation before, and what changed since, is all that the tables hold.
fn is_read_in_full(store: &Store, names: &[(AgentName, Region)], standing: &Standing, facts: &Facts) {
    // Lanes are lent once: these are read anew.
    assert_eq!(store.facts(names, at(-STEP), standing).expect("read").agents, facts.agents);
    for (subject, mail) in &facts.slow_mail {
        let since = standing.of(subject).open.expect("slow mail is of open incidents").started_at;
        assert_eq!(&store.slow_mail(subject, since).expect("read"), mail);
    }
}

/// What a collector makes of it.
fn incidents(agents: usize, told: &[Told]) -> Vec<Incident> {
    let store = Store::in_memory().expect("a store");
    let names: Vec<_> = (0..agents).map(|agent| (name(agent), region(agent))).collect();
    let rules = evaluate::Config::default();
    for step in 0..STEPS + 8 {
        let now = at((step + 1) * STEP);
        let heard: Vec<_> = (0..agents).map(|agent| hear(&store, agent, now)).collect();
        for told in told.iter().filter(|told| told.step == step) {
            store.merge(&heard[told.agent], now, &told.record).expect("stored");
        }
        let standing = store.standing(now).expect("read");
        let facts = store.facts(&names, at(-STEP), &standing).expect("read");
        is_read_in_full(&store, &names, &standing, &facts);
        let assessment = evaluate(&facts, &standing, &rules, now);
        incident::apply(&store, &assessment, &Addressees::default(), now).expect("written");
        store.done_with(facts, &standing);
    }
    store.incidents(None, 100).expect("read")
}

fn cases(count: u64) {
    let mut opened = 0;
    for seed in 0..count {
        let mut random = Random::seeded(seed + 1);
        let (agents, told) = history(&mut random);
        let expected = incidents(agents, &told);
        let again = incidents(agents, &shuffled(&told, &mut random));
        assert_eq!(expected, again, "seed {seed}");
        opened += u64::from(!expected.is_empty());
    }
    println!("{count} histories, {opened} of them with incidents: the same in any order");
    assert!(opened * 2 > count, "most histories have an outage that is seen: {opened} of {count}");
}

#[test]
fn any_order_of_arrival_ends_in_the_same_incidents() {
    cases(20);
}

#[test]
#[ignore = "minutes without --release"]
fn any_order_of_arrival_ends_in_the_same_incidents_ten_thousand_times() {
    cases(10_000);
}
