//! Scenarios: a timeline of faults, played against agents and a collector, and what is expected of them.
//!
//! ```text
//! file → plan → play (in a simulated world) → expect → report → for people, JSON, JUnit
//! ```

mod expect;
mod file;
pub mod human;
pub mod junit;
mod plan;
mod play;
mod report;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use mailsonar_settings::Problems;

use crate::own::Own;

pub use expect::{Expectation, Judged};
pub(crate) use plan::COLLECTOR;
pub use plan::{Act, Event, Plan};
pub(crate) use play::Player;
pub use play::{Noted, Played, Seen, play, play_in};
pub use report::Report;

/// What may be said of a rehearsal on the command line.
#[derive(Debug, Args)]
pub struct Options {
    /// The scenario, or several of them.
    #[arg(required = true, value_name = "SCENARIO.toml")]
    scenarios: Vec<PathBuf>,
    /// Play your own configuration: the collector's file, and one agent's or more.
    ///
    /// Agents that the collector knows and that have no file here are played with the first one's. Secrets
    /// are not read, and nothing leaves this process.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    config: Vec<PathBuf>,
    /// The service that the scenario is about, where your configuration watches several.
    #[arg(long, value_name = "NAME", requires = "config")]
    service: Option<String>,
    /// Say it in JSON.
    #[arg(long)]
    json: bool,
    /// Write the expectations here, too, as XML that CI systems read (`JUnit`).
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Play it on the wall clock, as slow as it is.
    #[arg(long)]
    real_time: bool,
    /// Take chance from here instead of from the scenario.
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
}

/// Nothing could be played: the exit code for a file that is wrong.
const UNPLAYABLE: u8 = 2;

/// Plays scenarios, and says how they went. 0: all as expected; 1: not; 2: a file is wrong.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let plans = match plans(options) {
        Ok(plans) => plans,
        Err(problems) => {
            writeln!(std::io::stderr(), "{problems}")?;
            return Ok(ExitCode::from(UNPLAYABLE));
        }
    };
    let mut reports = Vec::new();
    for plan in &plans {
        reports.push(rehearse(plan, options.seed.unwrap_or(plan.seed), !options.real_time)?);
    }
    if let Some(path) = &options.junit {
        std::fs::write(path, junit::xml(&reports)).with_context(|| format!("--junit {}", path.display()))?;
    }
    let mut out = std::io::stdout().lock();
    if options.json {
        serde_json::to_writer_pretty(&mut out, &reports)?;
        writeln!(out)?;
    } else {
        let texts: Vec<String> = reports.iter().map(human::text).collect();
        out.write_all(texts.join("\n\n").as_bytes())?;
    }
    Ok(if reports.iter().all(Report::is_met) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn plans(options: &Options) -> Result<Vec<Plan>, Problems> {
    let own = match &options.config[..] {
        [] => None,
        files => Some(Own::read(files, options.service.as_deref())?),
    };
    options.scenarios.iter().map(|path| Plan::read_for(path, own.as_ref())).collect()
}

/// Plays one plan, on a thread of its own runtime.
pub fn rehearse(plan: &Plan, seed: u64, simulated_time: bool) -> anyhow::Result<Report> {
    let played = on_stage(simulated_time, play(plan, seed))?;
    Ok(Report::of(plan, seed, &played))
}

/// Runs what is to be played on one thread, in simulated time or not.
pub fn on_stage<T>(simulated_time: bool, play: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(simulated_time).build()?.block_on(play)
}
