//! How far behind the true delivery an agent sees a message, and how long each step of a probe takes.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use common::agent::{Agent, Work};
use common::report::{self, Table};
use common::{Deliveries, fresh_bed, place, programs};
use mailsonar_protocol::{Outcome, Record, SeenBy, Stage};
use mailsonar_rehearsal::patience;

/// Probes at the start that are not counted: connections and caches are made then.
const WARM_UP: usize = 8;

/// How far behind the true delivery an agent sees a message.
#[derive(Debug, Parser)]
struct Options {
    /// Probes to measure in each setting.
    #[arg(long, default_value_t = 240)]
    probes: usize,
    /// From one probe to the next, over all routes, in milliseconds.
    #[arg(long, default_value_t = 250)]
    interval: u64,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let options = Options::parse();
    if !report::is_asked_for(options.bench) {
        return Ok(());
    }
    let programs = programs()?;
    let what = "from delivery into the mailbox until the agent knows; steps of a probe";
    report::introduce("mailsonar-rehearsal", "detection", what, &place())?;
    report::name_program(&programs.agent)?;
    let one =
        |brisk| Work { routes: 1, mailboxes: 1, interval: Duration::from_millis(options.interval), brisk };
    // Dovecot holds its notices back for half a second, and one notice tells of all that came
    // meanwhile: how late IDLE is for a single message shows only with a mailbox each.
    let alone =
        Work { routes: 5, mailboxes: 5, interval: Duration::from_millis(options.interval * 5), brisk: false };
    measure("awaited: brisk NOOP, as by default", &programs.agent, &one(true), options.probes)?;
    measure("IDLE only (brisk = false)", &programs.agent, &one(false), options.probes)?;
    measure("IDLE only, the same rate over 5 mailboxes", &programs.agent, &alone, options.probes)
}

fn measure(title: &str, program: &std::path::Path, work: &Work, probes: usize) -> Result<()> {
    let bed = fresh_bed(work.mailboxes)?;
    let agent = Agent::start(program, &bed, work, None)?;
    let wanted = probes + WARM_UP;
    let limit = Duration::from_mins(1) + work.interval.mul_f64(report::float(wanted * 2));
    // the truth is asked, not the agent, so that asking costs it nothing
    patience::until_true("enough deliveries", limit, || bed.truth.deliveries().len() >= wanted)?;
    let mut records = agent.finish()?;
    let deliveries = Deliveries::of(&bed.truth);
    records.sort_by_key(|record| record.started_at);
    let records = &records[WARM_UP.min(records.len())..];
    let (routes, boxes) = (work.routes, work.mailboxes);
    println!("\n{title}: {routes} routes, {boxes} mailboxes, every {:?}", work.interval);
    print_counts(records, &deliveries);
    print_lags(records, &deliveries);
    print_steps(records);
    Ok(())
}

fn print_counts(records: &[Record], deliveries: &Deliveries) {
    let of = |outcome| records.iter().filter(|record| record.verdict.outcome == outcome).count();
    let (delivered, under_way) = (of(Outcome::Delivered), of(Outcome::InFlight));
    let other = records.len() - delivered - under_way;
    let early = records.iter().filter_map(|record| deliveries.lag(record)).filter(|lag| *lag < 0).count();
    print!(
        "  {} probes: {delivered} delivered, {under_way} in flight at the end, {other} other;",
        records.len()
    );
    println!(" {early} seen before the truth's own thread woke");
    let seen = |by| records.iter().filter_map(|r| r.arrival.as_ref()).filter(|a| a.seen_by == by).count();
    let means: Vec<String> = [SeenBy::Noop, SeenBy::Idle, SeenBy::Poll, SeenBy::Scan]
        .iter()
        .map(|by| format!("{by} {}", seen(*by)))
        .collect();
    println!("  seen by {}", means.join(", "));
}

fn print_lags(records: &[Record], deliveries: &Deliveries) {
    let table = Table::new(34, "milliseconds", "p50|p95|max");
    let row = |name: &str, mut micros: Vec<i64>| table.row(name, &report::three(&mut micros));
    row("delivery until seen", records.iter().filter_map(|r| deliveries.lag(r)).collect());
    row("delivery until the verdict", records.iter().filter_map(|r| deliveries.until_verdict(r)).collect());
    let uncertainty = |r: &Record| r.arrival.as_ref().and_then(|a| i64::try_from(a.uncertainty_us).ok());
    row("told uncertainty of the sight", records.iter().filter_map(uncertainty).collect());
    let transit = |r: &Record| r.latency_us().and_then(|micros| i64::try_from(micros).ok());
    row("transit (accepted until seen)", records.iter().filter_map(transit).collect());
}

fn print_steps(records: &[Record]) {
    let mut steps: BTreeMap<Stage, Vec<i64>> = BTreeMap::new();
    for step in records.iter().flat_map(|record| &record.stages) {
        steps.entry(step.stage).or_default().push(i64::try_from(step.took_us).unwrap_or(i64::MAX));
    }
    let table = Table::new(34, "steps, milliseconds", "p50|p95|max");
    for (stage, mut micros) in steps {
        table.row(stage.as_str(), &report::three(&mut micros));
    }
}
