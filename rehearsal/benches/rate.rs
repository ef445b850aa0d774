//! The highest rate of probes that one agent and the testbed's servers keep up with, on one machine.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod common;

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use common::agent::{Agent, Work, count};
use common::report::{self, Table, float, per};
use common::{Deliveries, fresh_bed, micros, place, programs, usage};
use jiff::Timestamp;
use mailsonar_clock::{Clock, SystemClock};
use mailsonar_protocol::{Outcome, Record};
use mailsonar_rehearsal::patience;

/// Less of what was wanted than this is not kept up.
const KEPT: f64 = 0.97;

/// How long each step runs before it is measured.
const WARM_UP: Duration = Duration::from_secs(3);

/// The highest rate that an agent and the servers keep up with.
#[derive(Debug, Parser)]
struct Options {
    /// How long to measure each step.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Probes a second, step by step; ends with the first that is not kept.
    #[arg(long, value_delimiter = ',', default_value = "50,100,150,200,250,300,350,400,500,600")]
    rates: Vec<u32>,
    /// Routes, whose interval follows from the rate; 100 ms is the shortest an agent takes.
    #[arg(long, default_value_t = 100)]
    routes: usize,
    /// Mailboxes.
    #[arg(long, default_value_t = 20)]
    mailboxes: usize,
    /// Whether to go on after a step that is not kept.
    #[arg(long)]
    all: bool,
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
    let what = "the highest rate that one agent and the servers keep up with, sharing this machine";
    report::introduce("mailsonar-rehearsal", "rate", what, &place())?;
    report::name_program(&programs.agent)?;
    println!("\n  {} loop routes over {} fresh mailboxes at each step\n", options.routes, options.mailboxes);
    let columns =
        "sent/s|deliv./s|not well|missed|behind|lag p50 ms|lag p95 ms|agent CPU %|servers CPU %|agent ms|";
    let table = Table::new(8, "wanted/s", columns);
    let mut highest = None;
    for &rate in &options.rates {
        let step = measure(&programs.agent, &options, rate)?;
        let kept = step.is_kept(rate);
        table.row(&rate.to_string(), &step.cells(kept));
        if kept {
            highest = Some(step.per_second(step.delivered));
        } else if !options.all {
            break;
        }
    }
    let highest = highest.map_or("none of these".into(), |rate| format!("{rate:.0} delivered a second"));
    println!(
        "\n  highest rate kept: {highest}. Kept: no tick missed, and {KEPT} of what was wanted was delivered"
    );
    println!("  as it was sent. behind: sent and without a verdict, more at the end than at the beginning.");
    println!(
        "  CPU %: of one core; agent ms: its CPU for a probe. The truth and the name server run beside."
    );
    Ok(())
}

/// What one step showed.
struct Step {
    seconds: f64,
    sent: usize,
    delivered: usize,
    not_well: usize,
    missed: f64,
    behind: i64,
    lags: Vec<i64>,
    agent: Duration,
    servers: Duration,
}

impl Step {
    fn per_second(&self, number: usize) -> f64 {
        float(number) / self.seconds
    }

    fn is_kept(&self, rate: u32) -> bool {
        let wanted = f64::from(rate) * KEPT;
        self.missed == 0.0 && self.not_well == 0 && self.per_second(self.delivered) >= wanted
    }

    fn cells(&self, kept: bool) -> Vec<String> {
        let mut lags = self.lags.clone();
        let [p50, p95, _] = report::three(&mut lags);
        let share = |cpu: Duration| per(cpu.as_secs_f64() * 100.0, self.seconds, 0);
        vec![
            format!("{:.1}", self.per_second(self.sent)),
            format!("{:.1}", self.per_second(self.delivered)),
            self.not_well.to_string(),
            format!("{:.0}", self.missed),
            self.behind.to_string(),
            p50,
            p95,
            share(self.agent),
            share(self.servers),
            per(self.agent.as_secs_f64() * 1e3, float(self.delivered), 2),
            if kept { "kept".into() } else { "NOT KEPT".into() },
        ]
    }
}

fn measure(program: &Path, options: &Options, rate: u32) -> Result<Step> {
    let interval = Duration::from_secs_f64(float(options.routes) / f64::from(rate));
    let work = Work { routes: options.routes, mailboxes: options.mailboxes, interval, brisk: true };
    let bed = fresh_bed(work.mailboxes)?;
    let agent = Agent::start(program, &bed, &work, None)?;
    patience::until_true("the first deliveries", Duration::from_mins(1), || {
        !bed.truth.deliveries().is_empty()
    })?;
    std::thread::sleep(WARM_UP);

    let clock = SystemClock::start();
    let servers = || usage::cpu_with_children(bed.processes().iter().map(|process| process.pid()));
    let before = agent.metrics()?;
    let (begun, agent_then, servers_then) = (clock.now(), usage::cpu(agent.pid()), servers());
    std::thread::sleep(Duration::from_secs(options.seconds));
    let (ended, agent_now, servers_now) = (clock.now(), usage::cpu(agent.pid()), servers());
    let after = agent.metrics()?;
    let missed = |page| count(page, "mailsonar_schedule_missed_total", &[]);
    let missed = missed(&after) - missed(&before);
    let records = agent.finish()?;
    let deliveries = Deliveries::of(&bed.truth);
    let within = |at: Timestamp| begun <= at && at < ended;
    let seen = |r: &&Record| r.arrival.as_ref().is_some_and(|arrival| within(arrival.visible_at));
    Ok(Step {
        seconds: Duration::from_micros(micros(begun, ended).unsigned_abs()).as_secs_f64(),
        sent: records.iter().filter(|record| within(record.started_at)).count(),
        delivered: records.iter().filter(seen).count(),
        not_well: records.iter().filter(|record| within(record.verdict.at) && !is_well(record)).count(),
        missed,
        behind: open_at(&records, ended) - open_at(&records, begun),
        lags: records.iter().filter(seen).filter_map(|record| deliveries.lag(record)).collect(),
        agent: agent_now.saturating_sub(agent_then),
        servers: servers_now.saturating_sub(servers_then),
    })
}

fn is_well(record: &Record) -> bool {
    matches!(record.verdict.outcome, Outcome::Delivered | Outcome::InFlight)
}

/// How many probes were begun and without a verdict at a time.
fn open_at(records: &[Record], at: Timestamp) -> i64 {
    let open = |r: &&Record| r.started_at <= at && (!r.is_concluded() || r.verdict.at > at);
    i64::try_from(records.iter().filter(open).count()).unwrap_or(i64::MAX)
}
