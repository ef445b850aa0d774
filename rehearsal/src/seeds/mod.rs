//! Random days: faults, kills and restarts drawn from a seed, and what must hold after any of them.
//!
//! ```text
//! chaos (a plan from a seed) → play → recover → invariants, against the mail service's own truth
//! ```
//! A seed that fails is printed, and plays again exactly.
#![expect(clippy::format_push_string, reason = "text for people, made once: plain words before allocations")]

mod chaos;
mod invariants;

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;

use clap::Args;
use jiff::SignedDuration;
use mailsonar_collector::store::ProbeQuery;
use mailsonar_protocol::{ProbeId, Record};

pub use chaos::Chaos;
pub use invariants::{Aftermath, broken};

use crate::scenario::{Player, on_stage};
use crate::simulation::{Setup, World};

/// How long a world may take to recover.
const RECOVERY: SignedDuration = SignedDuration::from_mins(100);
/// How often it is looked whether it has.
const LOOK: SignedDuration = SignedDuration::from_mins(5);

/// What may be said of random days on the command line.
#[derive(Debug, Args)]
pub struct Options {
    /// The first seed.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    from: u64,
    /// How many.
    #[arg(long, value_name = "NUMBER", default_value_t = 25)]
    count: u64,
    /// Say what happens on each day.
    #[arg(long, short)]
    verbose: bool,
}

/// One day, and what it broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// How many probes there were.
    pub probes: usize,
    /// How many incidents.
    pub incidents: usize,
    /// How long it took to recover.
    pub recovered_after: Option<SignedDuration>,
    /// What is broken. Empty where all is well.
    pub broken: Vec<String>,
}

/// Plays many days. 0: nothing was broken; 1: something was.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout();
    let (mut probes, mut incidents, mut failed) = (0, 0, Vec::new());
    for seed in options.from..options.from.saturating_add(options.count) {
        let outcome = play(seed)?;
        probes += outcome.probes;
        incidents += outcome.incidents;
        if options.verbose || !outcome.broken.is_empty() {
            out.write_all(told(&outcome).as_bytes())?;
            out.flush()?;
        }
        if !outcome.broken.is_empty() {
            failed.push(seed);
        }
    }
    let count = options.count;
    writeln!(out, "{count} seeds, {probes} probes, {incidents} incidents; {} seeds failed", failed.len())?;
    for seed in &failed {
        writeln!(out, "  again: mailsonar-rehearse seeds --from {seed} --count 1 --verbose")?;
    }
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Plays the day of a seed.
pub fn play(seed: u64) -> anyhow::Result<Outcome> {
    let chaos = Chaos::of(seed);
    let after = on_stage(true, day(&chaos, seed))?;
    Ok(Outcome {
        seed,
        probes: after.written.len(),
        incidents: after.incidents.len(),
        recovered_after: after.recovered_after,
        broken: broken(&chaos, &after),
    })
}

async fn day(chaos: &Chaos, seed: u64) -> anyhow::Result<Aftermath> {
    let mut setup = Setup::usual(&chaos.world, chaos.date, seed)?;
    for agent in &mut setup.agents {
        agent.listened_to = true;
    }
    let mut player = Player::new(World::start(setup).await?);
    for event in &chaos.events {
        player.until(event.at).await;
        player.happen(event).await?;
    }
    // New probes are sent for ever: it is over when what was sent until then has settled.
    let mut at = chaos.healed_at;
    let mut after;
    loop {
        at += LOOK;
        player.until(at).await;
        after = aftermath(&mut player, at.saturating_sub(SignedDuration::from_mins(6))).await?;
        if after.has_settled() {
            after.recovered_after = Some(at.saturating_sub(chaos.healed_at));
            return Ok(after);
        }
        if at.saturating_sub(chaos.healed_at) > RECOVERY {
            return Ok(after);
        }
    }
}

/// How things stand, of all probes that began until then.
async fn aftermath(player: &mut Player, until: SignedDuration) -> anyhow::Result<Aftermath> {
    let until = player.began() + until;
    let world = player.world();
    world.check()?;
    let everything = ProbeQuery { limit: u32::MAX, ..ProbeQuery::default() };
    let stored = world.desks().read(move |store| store.probes(&everything)).await?;
    let stored = stored.into_iter().map(|probe| probe.record);
    let recent = |record: &Record| record.started_at <= until;
    let mut written = BTreeMap::new();
    for heard in world.members().iter().flat_map(crate::simulation::Member::heard) {
        let newest: &mut Record = written.entry(heard.record.probe).or_insert_with(|| heard.record.clone());
        if heard.record.revision > newest.revision {
            *newest = heard.record;
        }
    }
    written.retain(|_, record| recent(record));
    let stored: BTreeMap<ProbeId, Record> =
        stored.filter(recent).map(|record| (record.probe, record)).collect();
    let mut facts = world.sandbox().truth().facts();
    let older = |id: &str| invariants::probe_of(id).is_none_or(|probe| written.contains_key(&probe));
    let began_later = |letter: &mailsonar_sandbox::Letter| letter.accepted > until;
    facts.letters.retain(|letter| !began_later(letter) || older(&letter.message_id));
    let mut left = Vec::new();
    for account in world.sandbox().accounts() {
        for folder in ["INBOX", "Junk"] {
            left.extend(world.sandbox().message_ids(&account, folder)?);
        }
    }
    left.retain(|id| invariants::probe_of(id).is_some_and(|probe| written.contains_key(&probe)));
    Ok(Aftermath {
        facts,
        left,
        pages: world.pages(),
        incidents: world.desks().read(|store| store.incidents(None, u32::MAX)).await?,
        agents: world.members().len(),
        written,
        stored,
        recovered_after: None,
    })
}

fn told(outcome: &Outcome) -> String {
    let chaos = Chaos::of(outcome.seed);
    let mut text = format!("seed {}\n", outcome.seed);
    for event in &chaos.events {
        text += &format!("  {:>8}  {}\n", format!("{:#}", event.at), event.words);
    }
    match outcome.recovered_after {
        Some(after) => text += &format!("  recovered after {after:#}\n"),
        None => text += "  never recovered\n",
    }
    for broken in &outcome.broken {
        text += &format!("  BROKEN  {broken}\n");
    }
    text
}
