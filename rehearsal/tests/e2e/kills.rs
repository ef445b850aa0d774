//! `kill -9` at any instant: no probe is lost, none invented, none told twice, and nothing is left in
//! a mailbox (I1, I2, I3).

pub(crate) mod reckoning;

use std::env;
use std::fmt;
use std::thread::sleep;
use std::time::Duration;

use mailsonar_rehearsal::fleet::{Fleet, Plan};
use mailsonar_rehearsal::patience;
use mailsonar_rehearsal::testbed::Fault;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use self::reckoning::{ALL, Tally, owed, reckon, settle, under_way};
use crate::stage::{PATIENCE, begin, secs};

/// How long all that was begun may take to end: the agents' patience with a collector that was away
/// is half a minute, and a busy machine is slow.
const SETTLED: Duration = secs(120);

/// Many probes, and limits that only a dead machine exceeds: what fails here, a kill made fail.
fn busy() -> Plan {
    Plan {
        regions: vec!["eu", "us"],
        interval: Duration::from_millis(500),
        deadline: secs(30),
        limit: secs(20),
        prometheus: false,
        log: "warn",
        ..Plan::default()
    }
}

#[test]
fn a_message_accepted_before_a_kill_is_matched_after_it() {
    let story = begin(&Plan { regions: vec!["eu"], interval: secs(1), ..busy() });
    let agent = story.agent(0);
    story.bed.service.inject(Fault::LmtpGone).expect("injected");
    patience::until_true("messages accepted and not there yet", PATIENCE, || under_way(agent).1 >= 4)
        .expect("they queue");
    agent.kill9().expect("killed");
    let (_, caught) = under_way(agent);
    assert!(caught >= 4, "killed between acceptance and arrival");

    story.bed.service.heal(Fault::LmtpGone).expect("healed");
    story.bed.service.wait_until_drained().expect("delivered while nobody looks");
    assert!(story.bed.truth.remaining().len() >= caught, "they wait in the mailboxes");

    settle(&story, SETTLED);
    let tally = reckon(&story);
    println!("killed with {caught} between acceptance and arrival: {tally}");
    assert!(tally.seen_by_scan >= caught, "each was found by the scan after the restart: {tally}");
}

#[test]
fn a_collector_killed_under_load_forgets_nothing_it_acknowledged() {
    let story = begin(&busy());
    for kill in 1..=3 {
        let before = story.probes(ALL).expect("answered").len();
        let grown = || story.probes(ALL).is_ok_and(|probes| probes.len() > before + 20);
        patience::until_true("records to come in", PATIENCE, grown).expect("the load is on");
        story.collector.kill9().expect("killed");
        println!("kill {kill}: {before} records before it");
        story.collector.restart().expect("it starts again");
    }
    settle(&story, SETTLED);
    println!("{}", reckon(&story));
    no_service_was_blamed(&story);
}

#[test]
fn kills_at_random_moments_lose_nothing() {
    campaign(12);
}

#[test]
#[ignore = "a campaign: cargo xtask campaign kill"]
fn kill_campaign() {
    let rounds = env::var("MAILSONAR_ROUNDS").map_or(200, |rounds| rounds.parse().expect("a number"));
    let tally = campaign(rounds);
    assert!(tally.interrupted > 0 && tally.seen_by_scan > 0, "kills hit where it hurts: {tally}");
}

/// Who is killed in a round.
#[derive(Debug, Clone, Copy)]
enum Victim {
    Agent(usize),
    Collector,
    /// The agent first, or the collector.
    Both(usize, bool),
}

impl fmt::Display for Victim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(n) => write!(f, "agent {n}"),
            Self::Collector => f.write_str("collector"),
            Self::Both(n, true) => write!(f, "agent {n}, then the collector"),
            Self::Both(n, false) => write!(f, "the collector, then agent {n}"),
        }
    }
}

impl Victim {
    fn pick(random: &mut StdRng, agents: usize) -> Self {
        let agent = random.random_range(0..agents);
        match random.random_range(0..3) {
            0 => Self::Agent(agent),
            1 => Self::Collector,
            _ => Self::Both(agent, random.random()),
        }
    }

    fn agent(self) -> Option<usize> {
        match self {
            Self::Agent(agent) | Self::Both(agent, _) => Some(agent),
            Self::Collector => None,
        }
    }

    fn kill(self, fleet: &Fleet) -> anyhow::Result<()> {
        match self {
            Self::Agent(agent) => fleet.agent(agent).kill9(),
            Self::Collector => fleet.collector.kill9(),
            Self::Both(agent, true) => fleet.agent(agent).kill9().and_then(|()| fleet.collector.kill9()),
            Self::Both(agent, false) => fleet.collector.kill9().and_then(|()| fleet.agent(agent).kill9()),
        }
    }

    /// Without waiting: the next kill may hit a start.
    fn revive(self, fleet: &Fleet) -> anyhow::Result<()> {
        if let Some(agent) = self.agent() {
            fleet.agent(agent).launch()?;
        }
        if matches!(self, Self::Agent(_)) { Ok(()) } else { fleet.collector.launch() }
    }
}

/// What the kills hit.
#[derive(Debug, Default)]
struct Hits {
    agents: usize,
    collectors: usize,
    submitting: usize,
    in_flight: usize,
}

fn campaign(rounds: usize) -> Tally {
    let seed =
        env::var("MAILSONAR_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().expect("a number"));
    println!("{rounds} rounds; to repeat the order of kills: MAILSONAR_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let story = begin(&busy());
    let begun = story.clock.now();
    let mut hits = Hits::default();
    for round in 1..=rounds {
        sleep(Duration::from_millis(random.random_range(100..1_800)));
        let victim = Victim::pick(&mut random, story.agents().len());
        victim.kill(&story).expect("killed");
        hits.note(victim, &story);
        sleep(Duration::from_millis(random.random_range(0..300)));
        victim.revive(&story).expect("revived");
        if round % 20 == 0 || round == rounds {
            let seconds = story.clock.now().duration_since(begun).as_secs_f64();
            println!("round {round:>4} after {seconds:>5.0} s: {hits}; {}", state_of(&story));
        }
    }
    story.collector.wait_until_up().expect("it starts in the end");
    story.agents().iter().for_each(|agent| agent.wait_until_up().expect("it starts in the end"));
    settle(&story, SETTLED);
    let tally = reckon(&story);
    println!("{tally}");
    no_service_was_blamed(&story);
    tally
}

impl Hits {
    fn note(&mut self, victim: Victim, fleet: &Fleet) {
        self.collectors += usize::from(!matches!(victim, Victim::Agent(_)));
        if let Some(agent) = victim.agent() {
            self.agents += 1;
            let (submitting, in_flight) = under_way(fleet.agent(agent));
            self.submitting += submitting;
            self.in_flight += in_flight;
        }
    }
}

impl fmt::Display for Hits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { agents, collectors, submitting, in_flight } = self;
        write!(
            f,
            "{agents} kills of agents ({submitting} probes in submission, {in_flight} between acceptance and \
             arrival), {collectors} of the collector"
        )
    }
}

fn state_of(fleet: &Fleet) -> String {
    let (probes, owed): (Vec<_>, Vec<_>) = fleet.agents().iter().map(owed).unzip();
    let (probes, owed): (usize, usize) = (probes.iter().sum(), owed.iter().sum());
    format!("{probes} probes, {owed} owed, {} deliveries", fleet.bed.truth.deliveries().len())
}

/// Mail flowed all along: whoever was killed, no page may name the service (I6).
fn no_service_was_blamed(fleet: &Fleet) {
    let blamed: Vec<_> =
        fleet.incidents().expect("answered").into_iter().filter(|i| i.leg != "monitoring").collect();
    assert!(blamed.is_empty(), "{blamed:#?}");
}
