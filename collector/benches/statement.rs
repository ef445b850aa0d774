//! How long the statements on a month of 50 services take, each probed once a minute from 10 regions.
//!
//! The store is a file with 21.6 million probes as sheets. Two hours are made of records, as in life: one
//! good, one in which some mail is lost. The rest are copies of their sheets, since a sheet's bytes say nothing of
//! its lane and hour. The records themselves are not there: a statement reads them only for the servers' words.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::path::Path;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use jiff::{SignedDuration, Timestamp};
use mailsonar_clock::{Clock, SystemClock};
use mailsonar_collector::statement::{ContractFile, Period, controls, gather};
use mailsonar_collector::store::{Hello, Store};
use mailsonar_protocol::{
    Acceptance, AgentHealth, Arrival, Class, Direction, Door, Handover, Journey, Outcome, ProbeId, Record,
    SeenBy, Stage, Verdict,
};
use uuid::Uuid;

/// The statements on a month.
#[derive(Debug, Parser)]
struct Options {
    /// Services, each with a statement.
    #[arg(long, default_value_t = 50)]
    services: u32,
    /// Regions, each with one probe a minute for each service.
    #[arg(long, default_value_t = 10)]
    regions: u32,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let options = Options::parse();
    // `cargo test` runs benchmarks too, to see that they start: a small month will do.
    let (services, regions) = if options.bench { (options.services, options.regions) } else { (2, 2) };
    let clock = SystemClock::start();
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("c.db");
    let probes = fill(&path, services, regions)?;
    let names: Vec<String> = (0..services).map(|at| format!("\"s{at}\"")).collect();
    let text = format!(
        "name = \"bench\"\ntitle = \"Bench\"\nprovider = \"p\"\ncustomer = \"c\"\nservices = [{}]\n[availability]\ntarget = \"99.9\"\n\
         [[delivery]]\nstatistic = \"fastest_mean\"\npercent = \"95\"\nwithin = \"1m\"\n",
        names.join(", ")
    );
    let file = ContractFile::from_text(Path::new("bench.toml"), text)
        .map_err(|problems| anyhow::anyhow!("{problems}"))?;
    let contract = &file.contract;
    let period =
        Period::named("2026-11", contract.period, &contract.time_zone).map_err(anyhow::Error::msg)?;
    let store = Store::open(&path)?;
    let (begun, spent) = (clock.now(), cpu()?);
    let controls = controls(&store, contract, &period)?;
    let mut counted = 0;
    for service in &contract.services {
        let statement = gather(&store, &file, service, &period, &controls, period.end())?;
        counted += statement.figures.reachability.whole;
        ensure!(
            !statement.downtimes.is_empty() && statement.figures.counted_s > 0,
            "the lost mail is not seen"
        );
    }
    let took = clock.now().duration_since(begun).as_secs_f64();
    // Each loop probe speaks for sending and for receiving.
    ensure!(counted == 2 * probes, "{counted} of {} were counted", 2 * probes);
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("VmHWM")?.trim().to_owned();
    let size = std::fs::metadata(&path)?.len() / 1_048_576;
    println!(
        "{services} services, {regions} regions, one probe a minute, 30 days: {probes} probes, {size} MiB of sheets"
    );
    println!(
        "{services} statements in {took:.2} s ({:.2} s of processor time); peak memory of the process {peak}",
        cpu()? - spent
    );
    Ok(())
}

/// The processor time this process has used, in seconds: on a busy machine the clock tells of others.
fn cpu() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit_once(") ").context("a program's name in brackets")?.1.split(' ');
    // The 14th and 15th fields are user and system time in hundredths of a second; the 3rd is the first here.
    let ticks: Vec<f64> = fields.skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / 100.0)
}

/// Fills a store with a month of sheets. Returns how many probes they hold.
fn fill(path: &Path, services: u32, regions: u32) -> Result<u64> {
    let start: Timestamp = "2026-11-01T00:00:00Z".parse()?;
    let first = start.as_second() / 3_600;
    let store = Store::open(path)?;
    let (agent, _) = store.hear(Hello {
        name: "template".parse()?,
        region: "template".parse()?,
        software: "bench".into(),
        sent_at: start,
        received_at: start,
        routes: None,
        health: AgentHealth::default(),
    })?;
    for minute in 0..120_i64 {
        let lost = (70..75).contains(&minute);
        let at = start + SignedDuration::from_mins(minute) + SignedDuration::from_millis(minute * 37);
        store.merge(&agent, at, &record(at, minute, lost)?)?;
    }
    drop(store);
    let connection = rusqlite::Connection::open(path)?;
    connection.execute_batch(&format!(
        "DELETE FROM probes; BEGIN;
         WITH RECURSIVE s(s) AS (SELECT 0 UNION ALL SELECT s + 1 FROM s WHERE s + 1 < {services}),
             r(r) AS (SELECT 0 UNION ALL SELECT r + 1 FROM r WHERE r + 1 < {regions}),
             h(h) AS (SELECT 0 UNION ALL SELECT h + 1 FROM h WHERE h + 1 < 720)
         INSERT INTO sheets (service, hour, agent, region, route, direction, door, reference, body)
         SELECT 's' || s, {first} + h, 'a' || r, 'r' || r, 'loop', 'loop', 'submission', '',
             (SELECT body FROM sheets WHERE agent = 'template' AND hour = {first} + (h % 97 = 5))
         FROM h, s, r;
         DELETE FROM sheets WHERE agent = 'template'; COMMIT;"
    ))?;
    Ok(u64::from(services) * u64::from(regions) * 720 * 60)
}

fn record(at: Timestamp, minute: i64, lost: bool) -> Result<Record> {
    let accepted = at + SignedDuration::from_millis(200);
    Ok(Record {
        probe: ProbeId(Uuid::from_u128(u128::try_from(minute)? + 1)),
        revision: 1,
        service: "template".parse()?,
        reference: None,
        route: "loop".parse()?,
        direction: Direction::Loop,
        door: Door::Submission,
        confirmation: false,
        canary: None,
        scheduled_at: at,
        started_at: at,
        due_at: at + SignedDuration::from_mins(5),
        stages: Vec::new(),
        peer: None,
        accepted: Some(Acceptance { at: accepted, reply: "250 ok".into(), queue_id: None }),
        arrival: (!lost).then(|| Arrival {
            visible_at: accepted + SignedDuration::from_millis(900 + minute * 11),
            seen_by: SeenBy::Noop,
            uncertainty_us: 1_000,
            folder: "INBOX".into(),
            junk: false,
            copy: (1, 1),
            intact: true,
        }),
        duplicates: 0,
        searched_at: None,
        handover: Handover::default(),
        journey: Journey::default(),
        evidence: Vec::new(),
        verdict: Verdict {
            outcome: if lost { Outcome::Lost } else { Outcome::Delivered },
            stage: lost.then_some(Stage::Transit),
            class: lost.then_some(Class::Missing),
            reason: "bench".into(),
            at,
        },
    })
}
