//! What an agent costs its host: CPU for a probe, memory, threads, files; with 1, 100 and 1,000 routes.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod common;

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use common::agent::{Agent, Collector, Work, count};
use common::report::{self, Table, float, mebibytes, per};
use common::{fresh_bed, micros, place, programs, usage};
use mailsonar_clock::{Clock, SystemClock};
use mailsonar_rehearsal::fleet::Programs;
use mailsonar_rehearsal::patience;
use mailsonar_rehearsal::testbed::Testbed;

/// What an agent costs its host.
#[derive(Debug, Parser)]
struct Options {
    /// How long to measure each setting.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Numbers of routes, each a setting.
    #[arg(long, value_delimiter = ',', default_value = "1,100,1000")]
    routes: Vec<usize>,
    /// Probes a second where there is more than one route; one route makes 1 a second.
    #[arg(long, default_value_t = 20)]
    rate: u32,
    /// Mailboxes at most.
    #[arg(long, default_value_t = 20)]
    mailboxes: usize,
    /// Without a collector to ship to.
    #[arg(long)]
    alone: bool,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    fn work(&self, routes: usize) -> Work {
        let rate = if routes == 1 { 1.0 } else { f64::from(self.rate) };
        let interval = Duration::from_secs_f64(float(routes) / rate);
        Work { routes, mailboxes: routes.min(self.mailboxes), interval, brisk: true }
    }
}

fn main() -> Result<()> {
    let options = Options::parse();
    if !report::is_asked_for(options.bench) {
        return Ok(());
    }
    let programs = programs()?;
    report::introduce("mailsonar-rehearsal", "cost", "what an agent costs its host", &place())?;
    report::name_program(&programs.agent)?;
    if !options.alone {
        report::name_program(&programs.collector)?;
    }
    println!();
    let columns = "boxes|probes|a sec.|not well|missed|agent ms|servers ms|collector ms|peak MiB|scraped MiB|threads|files|\
                   scrape KiB|scrape ms";
    let table = Table::new(8, "routes", columns);
    for &routes in &options.routes {
        table.row(&routes.to_string(), &measure(&programs, &options, routes)?);
    }
    println!(
        "\n  agent, servers, collector: CPU for a probe, user and system; servers: all of Postfix and Dovecot."
    );
    println!("  scrape: one page of /metrics and the agent's CPU for it; not within the CPU for a probe.");
    println!("  peak: VmHWM of the agent after the warm-up; scraped: in the end, after two scrapes.");
    Ok(())
}

/// CPU used so far by each party.
struct Used {
    agent: Duration,
    servers: Duration,
    collector: Duration,
}

impl Used {
    fn now(agent: &Agent, bed: &Testbed, collector: Option<&Collector>) -> Self {
        Self {
            agent: usage::cpu(agent.pid()),
            servers: usage::cpu_with_children(bed.processes().iter().map(|process| process.pid())),
            collector: collector.map_or(Duration::ZERO, |collector| usage::cpu(collector.pid())),
        }
    }
}

fn measure(programs: &Programs, options: &Options, routes: usize) -> Result<Vec<String>> {
    let work = options.work(routes);
    let bed = fresh_bed(work.mailboxes)?;
    let collector = start_collector(&programs.collector, &bed, options.alone)?;
    let agent = Agent::start(&programs.agent, &bed, &work, collector.as_ref())?;
    settle(&bed, &work)?;

    let clock = SystemClock::start();
    let unscraped = usage::peak_memory(agent.pid());
    let before = agent.metrics()?;
    let (begun, used) = (clock.now(), Used::now(&agent, &bed, collector.as_ref()));
    std::thread::sleep(Duration::from_secs(options.seconds));
    let (ended, used_then) = (clock.now(), Used::now(&agent, &bed, collector.as_ref()));
    let after = agent.metrics()?;
    let scrape = usage::cpu(agent.pid()).saturating_sub(used_then.agent);

    let grown = |name, labels: &[_]| count(&after, name, labels) - count(&before, name, labels);
    let probes = grown("mailsonar_probes_total", &[]);
    let well = grown("mailsonar_probes_total", &[("outcome", "delivered")]);
    let seconds = Duration::from_micros(micros(begun, ended).unsigned_abs()).as_secs_f64();
    let each = |then: Duration, now: Duration| per(then.saturating_sub(now).as_secs_f64() * 1e3, probes, 2);
    let pid = agent.pid();
    Ok(vec![
        work.mailboxes.to_string(),
        format!("{probes:.0}"),
        per(probes, seconds, 1),
        format!("{:.0}", probes - well),
        format!("{:.0}", grown("mailsonar_schedule_missed_total", &[])),
        each(used_then.agent, used.agent),
        each(used_then.servers, used.servers),
        if collector.is_some() { each(used_then.collector, used.collector) } else { "-".into() },
        mebibytes(unscraped),
        mebibytes(usage::peak_memory(pid)),
        usage::threads(pid).to_string(),
        usage::files(pid).to_string(),
        format!("{}", after.len() / 1024),
        format!("{:.1}", scrape.as_secs_f64() * 1e3),
    ])
}

fn start_collector(program: &Path, bed: &Testbed, alone: bool) -> Result<Option<Collector>> {
    if alone { Ok(None) } else { Collector::start(program, bed).map(Some) }
}

/// Waits until every mailbox had a message, and for some seconds' worth of messages.
fn settle(bed: &Testbed, work: &Work) -> Result<()> {
    let limit = Duration::from_mins(1) + work.interval * 2;
    patience::until_true("mail in every mailbox", limit, || {
        let deliveries = bed.truth.deliveries();
        let mut boxes: Vec<&str> = deliveries.iter().map(|delivery| delivery.account.as_str()).collect();
        boxes.sort_unstable();
        boxes.dedup();
        boxes.len() >= work.mailboxes && float(deliveries.len()) >= 3.0 * work.rate()
    })
}
