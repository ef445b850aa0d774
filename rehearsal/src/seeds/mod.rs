//! Random days: faults, kills and restarts drawn from a seed, and what must hold after any of them.
//!
//! ```text
//! chaos (a plan from a seed) → day (play, recover, look) → invariants, against the mail service's own truth
//! ```
//! A seed that fails is printed, and plays again exactly.

mod chaos;
mod day;
mod invariants;
mod told;

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

use anyhow::Context;
use clap::Args;
use jiff::SignedDuration;

pub use chaos::{Chaos, Size, Trouble, Whose};
pub use day::Day;
pub use invariants::{Aftermath, broken};

use crate::scenario::on_stage;

/// What may be said of random days on the command line.
#[derive(Debug, Args)]
pub struct Options {
    /// One day only, with all that happens in it.
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["from", "count"])]
    seed: Option<u64>,
    /// The first seed.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    from: u64,
    /// How many.
    #[arg(long, value_name = "NUMBER", default_value_t = 25)]
    count: u64,
    /// How many at once; each takes one processor.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    jobs: u64,
    /// Days of ten minutes and two regions.
    #[arg(long)]
    small: bool,
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
    /// How many pages.
    pub pages: usize,
    /// How long it took to recover.
    pub recovered_after: Option<SignedDuration>,
    /// What is broken. Empty where all is well.
    pub broken: Vec<String>,
}

/// Plays many days. 0: nothing was broken; 1: something was.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let size = if options.small { Size::Small } else { Size::Whole };
    let (from, count) = options.seed.map_or((options.from, options.count), |seed| (seed, 1));
    let verbose = options.verbose || options.seed.is_some();
    let mut out = std::io::stdout();
    let mut sum = told::Sum::new(count, size);
    play_all(from, count, options.jobs, size, |outcome| {
        if verbose || !outcome.broken.is_empty() {
            out.write_all(told::day(&outcome, size).as_bytes())?;
            out.flush()?;
        }
        sum.add(&outcome);
        Ok(())
    })?;
    out.write_all(sum.text().as_bytes())?;
    Ok(if sum.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Plays days, several at once, and tells of them in their order.
///
/// # Errors
/// What kept a day from being played, or what `told` says.
pub fn play_all(
    from: u64,
    count: u64,
    jobs: u64,
    size: Size,
    mut told: impl FnMut(Outcome) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let next = AtomicU64::new(from);
    let end = from.saturating_add(count);
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        for _ in 0..jobs.clamp(1, count.max(1)) {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    // Nobody listens any more where a day could not be played.
                    if seed >= end || sender.send((seed, play(seed, size))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut early = BTreeMap::new();
        let mut turn = from;
        for (seed, outcome) in receiver {
            early.insert(seed, outcome.with_context(|| format!("seed {seed}"))?);
            while let Some(outcome) = early.remove(&turn) {
                told(outcome)?;
                turn += 1;
            }
        }
        Ok(())
    })
}

/// Plays the day of a seed.
pub fn play(seed: u64, size: Size) -> anyhow::Result<Outcome> {
    let chaos = Chaos::of(seed, size);
    let after = aftermath(&chaos, seed)?;
    Ok(Outcome {
        seed,
        probes: after.written.len(),
        incidents: after.incidents.len(),
        pages: after.pages.len(),
        recovered_after: after.recovered_after,
        broken: broken(&chaos, &after),
    })
}

/// What a day leaves behind.
pub fn aftermath(chaos: &Chaos, seed: u64) -> anyhow::Result<Aftermath> {
    on_stage(true, async { Day::begin(chaos, seed).await?.play().await })
}
