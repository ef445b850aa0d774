//! How long the evidence pack of a whole month takes, and its check: one service, a probe a minute from 10 regions.
//!
//! Every probe is there with its record, and so are control probes every ten minutes. The month has an outage
//! on a Thursday, maintenance that was announced, and a region that was in trouble itself.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use jiff::{SignedDuration, Timestamp};
use mailsonar_clock::{Clock, SystemClock};
use mailsonar_collector::statement::evidence::{self, Given};
use mailsonar_collector::statement::{ContractFile, Period, controls, gather, issue};
use mailsonar_collector::store::{Agent, Desks, Hello, Incident, Store, StoreError};
use mailsonar_protocol::{AgentHealth, Record};
use serde_json::{Value, json};

/// The pack of a month.
#[derive(Debug, Parser)]
struct Options {
    /// Regions, each with one probe a minute.
    #[arg(long, default_value_t = 10)]
    regions: i64,
    /// Minutes from one probe of a region to the next.
    #[arg(long, default_value_t = 1)]
    every: i64,
    /// Bytes that are flipped, each in its turn, to see that every one is found.
    #[arg(long, default_value_t = 20)]
    flips: u64,
    /// Where store, configuration, contract and pack are left; a directory that is not there yet.
    #[arg(long)]
    keep: Option<PathBuf>,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

const MONTH: &str = "2026-11-01T00:00:00Z";

const CONTRACT: &str = r#"name = "gold"
title = "Mail security, Gold"
provider = "Acme Mail Security"
customer = "Example Ltd"
services = ["acme"]
source = "the contract of 2026-01-01, annex 3"
[downtime]
slot = "{every}m"
least = "1m"
daily_sum = "5m"
[availability]
target = "99.9"
tiers = [{ below = "99.9", credit = "10" }, { below = "99", credit = "30" }]
[[delivery]]
statistic = "percentile"
percent = "95"
within = "60s"
tiers = [{ over = "60s", credit = "5" }]
[recovery]
within = "30m"
credit = "20"
[exclusions]
force_majeure = [{ from = "2026-11-20T00:00:00Z", until = "2026-11-20T06:00:00Z", reason = "the flood" }]
[exclusions.maintenance]
notice = "2d"
yearly = "12h"
windows = [
    { from = "2026-11-08T01:00:00Z", until = "2026-11-08T03:00:00Z", announced = "2026-11-01T09:00:00Z", reason = "new switches" },
    { from = "2026-11-15T01:00:00Z", until = "2026-11-15T01:30:00Z", announced = "2026-11-14T20:00:00Z", reason = "a hurried patch" },
]
[price]
fee = 120000
currency = "EUR"
[claims]
within_days = 14
"#;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut options = Options::parse();
    if !options.bench && options.keep.is_none() {
        // `cargo test` runs benchmarks too, to see that they start: a small month will do.
        (options.regions, options.every, options.flips) = (2, 60, 3);
    }
    let clock = SystemClock::start();
    let scratch = tempfile::tempdir()?;
    let directory = options.keep.clone().unwrap_or_else(|| scratch.path().join("month"));
    std::fs::create_dir(&directory).with_context(|| directory.display().to_string())?;
    std::fs::write(directory.join("gold.toml"), CONTRACT.replace("{every}", &options.every.to_string()))?;
    std::fs::write(directory.join("collector.toml"), "listen = \"127.0.0.1:0\"\n[store]\npath = \"c.db\"\n")?;
    let path = directory.join("c.db");
    let probes = fill(&path, &options).await?;

    let file =
        ContractFile::read(&directory.join("gold.toml")).map_err(|wrong| anyhow::anyhow!("{wrong}"))?;
    let contract = &file.contract;
    let period =
        Period::named("2026-11", contract.period, &contract.time_zone).map_err(anyhow::Error::msg)?;
    let store = Store::open(&path)?;
    let now = period.end() + SignedDuration::from_hours(6);
    let controls = controls(&store, contract, &period)?;
    let statement = gather(&store, &file, &contract.services[0], &period, &controls, now)?;
    let (issued, _) = issue(&store, statement, now)?;
    let pack = directory.join("gold-acme-2026-11-r1.pack");
    peak_from_here()?;
    let begun = clock.now();
    let seal = evidence::pack(&store, &file, &issued, &period, &pack)?;
    let packed = clock.now().duration_since(begun).as_secs_f64();
    let packing = peak()?;
    peak_from_here()?;
    let begun = clock.now();
    let given = Given { seal: Some(seal), heads: Vec::new() };
    let verified = evidence::verify(&pack, &given).map_err(|faults| anyhow::anyhow!("{faults:?}"))?;
    let checked = clock.now().duration_since(begun).as_secs_f64();
    ensure!(verified.probes == probes, "{} of {probes} probes are in it", verified.probes);
    let size = files(&pack)?.iter().map(|(_, size)| size).sum::<u64>() / 1_048_576;
    println!(
        "{} regions, a probe every {} min, 30 days: {probes} probes, a pack of {size} MiB",
        options.regions, options.every
    );
    println!("packed in {packed:.2} s, {packing} at most; verified in {checked:.2} s, {} at most", peak()?);
    flip(&pack, &given, options.flips)?;
    println!("{} flipped bytes: each was found, and its file named", options.flips);
    Ok(())
}

/// Fills a store with a month of records. Returns how many.
async fn fill(path: &Path, options: &Options) -> Result<u64> {
    let start: Timestamp = MONTH.parse()?;
    let desks = Desks::threaded(Store::open(path)?)?;
    let mut agents = Vec::new();
    for region in 0..options.regions {
        let name = format!("region-{region}");
        let hello = Hello {
            name: format!("{name}-a").parse()?,
            region: name.parse()?,
            software: "bench".into(),
            sent_at: start,
            received_at: start,
            routes: None,
            health: AgentHealth::default(),
        };
        agents.push(desks.run(move |store| Ok::<_, StoreError>(store.hear(hello)?.0)).await?);
    }
    let mut probes = 0;
    for hour in 0..720 {
        let mut records: Vec<(Agent, Record)> = Vec::new();
        for minute in (hour * 60..hour * 60 + 60).filter(|minute| minute % options.every == 0) {
            for (region, agent) in agents.iter().enumerate() {
                records
                    .push((agent.clone(), record(start, (minute, minute / options.every), region, false)?));
                if minute % 10 == 0 {
                    records.push((agent.clone(), record(start, (minute, 0), region, true)?));
                }
            }
        }
        probes += u64::try_from(records.len())?;
        let write = move |store: &Store| {
            records.iter().try_for_each(|(agent, record)| {
                store.merge(agent, record.started_at + SignedDuration::from_secs(400), record).map(|_| ())
            })
        };
        desks.run(write).await?;
    }
    let thursday = incident()?;
    desks.run(move |store| store.put_incident(&thursday)).await?;
    Ok(probes)
}

/// The outage as the collector saw it, with its three clocks.
fn incident() -> Result<Incident> {
    let at = |time: &str| format!("2026-11-26T{time}Z");
    let regions = json!({ "failing": [], "passing": [], "unknown": [] });
    let whole = json!({
        "id": "019abf2c-0000-7000-8000-000000000001", "dedup_key": "mailsonar/acme/receive/1", "service": "acme",
        "leg": "receive", "state": "resolved", "severity": "critical", "reason": "quorum_failing",
        "summary": "Receiving at acme fails at stage connect (timeout) in all regions since 11:00:05 UTC.",
        "started_at": at("11:00:05"), "opened_at": at("11:00:21"), "resolved_at": at("14:31:00"), "settled_until": null,
        "resolution": { "reason": "recovered", "summary": "It works again.", "regions": regions },
        "regions": regions, "evidence": { "probes": 0, "failed": 0, "outcomes": {}, "causes": {}, "samples": [] },
        "blame": { "suspects": [], "cleared": [], "words": "acme's MX is to blame: control routes pass in all regions." },
        "clocks": { "accepting_at": at("12:40:11"), "on_time_at": at("13:04:02"), "drained_at": at("14:31:00") },
        "backlog": { "missing": 0, "arrived_late": 120 }, "failovers": [], "timeline": [], "silenced_by": [],
    });
    serde_json::from_value(whole).context("an incident")
}

/// What a region sees at a minute of the month.
fn record(start: Timestamp, (minute, turn): (i64, i64), region: usize, control: bool) -> Result<Record> {
    let spread = i64::try_from(region)? * 5_700 + minute * 37 % 900;
    let at = start + SignedDuration::from_mins(minute) + SignedDuration::from_millis(spread);
    let (day, of_day) = (minute / 1_440 + 1, minute % 1_440);
    let is = |on, from, until| day == on && (from..until).contains(&of_day);
    // The 26th is a Thursday: from 11:00 the MX does not answer, from 12:40 it takes mail that comes late.
    let out = !control && is(26, 660, 760);
    let late = !control && is(26, 760, 784);
    let worked_on = !control && (is(8, 65, 160) || is(15, 62, 70) || is(20, 100, 130));
    // The last region's own line is down: its control probes fail as well.
    let cut_off = region == 0 && is(12, 300, 360);
    let blip = !control && (minute * 7 + i64::try_from(region)? * 13) % 9_973 == 0;
    let inbound = (turn + i64::try_from(region)?) % 2 == 1;
    let bad = out || worked_on || cut_off || blip;
    let time = |us: i64| (at + SignedDuration::from_micros(us)).to_string();
    let delay = if late { 1_500_000_000 } else { 900_000 + (minute * 7_919) % 1_700_000 };
    let mut whole = json!({
        "probe": uuid::Uuid::from_u128((u128::try_from(minute)? << 8) + u128::try_from(region)? * 2 + u128::from(control)),
        "revision": 4, "service": if control { "postbox" } else { "acme" },
        "route": if control { "control" } else if inbound { "receive" } else { "send" },
        "direction": if control { "control" } else if inbound { "inbound" } else { "outbound" },
        "door": if inbound && !control { "mx" } else { "submission" },
        "reference": "postbox", "scheduled_at": time(0), "started_at": time(0), "due_at": time(300_400_000),
        "stages": [
            { "stage": "resolve", "took_us": 1_900 }, { "stage": "connect", "took_us": 21_000 },
            { "stage": "tls", "took_us": 43_000 }, { "stage": "envelope", "took_us": 30_000 }, { "stage": "data", "took_us": 80_000 },
        ],
        "peer": { "host": "mx1.acme.example", "address": "192.0.2.25", "port": 25, "tls": "TLS 1.3" },
        "accepted": { "at": time(400_000), "reply": "250 2.0.0 Ok: queued as 7C0019C20F9", "queue_id": "7C0019C20F9" },
        "arrival": {
            "visible_at": time(400_000 + delay), "seen_by": "noop", "uncertainty_us": 12_000, "folder": "INBOX",
            "junk": false, "copy": [7, 1], "intact": true,
        },
        "verdict": { "outcome": if late { "late" } else { "delivered" }, "reason": "", "at": time(400_000 + delay) },
    });
    if late {
        whole["verdict"]["stage"] = "transit".into();
        whole["verdict"]["class"] = "timeout".into();
    }
    if bad {
        let fields = whole.as_object_mut().context("an object")?;
        fields.retain(|name, _| name != "accepted" && name != "arrival");
        fields.insert("evidence".into(), json!([words(&time(10_000_000), blip, minute)]));
        fields.insert(
            "verdict".into(),
            json!({
                "outcome": if blip { "refused" } else { "unreachable" }, "stage": if blip { "data" } else { "connect" },
                "class": if blip { "temporary" } else { "timeout" }, "reason": "no answer within 10.0 s", "at": time(10_000_000),
            }),
        );
    }
    serde_json::from_value(whole).context("a record")
}

fn words(at: &str, blip: bool, minute: i64) -> Value {
    if blip {
        json!({ "at": at, "stage": "data", "class": "temporary", "detail": "refused", "peer": "mx1.acme.example",
            "words": format!("451 4.3.0 Temporary <b>system</b> problem, try again later ({minute})") })
    } else {
        json!({ "at": at, "stage": "connect", "class": "timeout", "detail": "no answer within 10.0 s",
            "peer": "mx1.acme.example [192.0.2.25]:25", "words": "" })
    }
}

/// Flips bytes all over the pack, one after the other, and puts them back.
fn flip(pack: &Path, given: &Given, flips: u64) -> Result<()> {
    let files = files(pack)?;
    for at in 0..flips {
        let (path, size) = &files[usize::try_from(at * 7_919)? % files.len()];
        let place = at * 2_654_435_761 % size;
        let mut bytes = std::fs::read(path)?;
        let place = usize::try_from(place)?;
        bytes[place] ^= 1 << (at % 8);
        std::fs::write(path, &bytes)?;
        let name = path.strip_prefix(pack)?.display().to_string();
        match evidence::verify(pack, given) {
            Err(faults) if faults.iter().any(|fault| fault.place.starts_with(&name)) => {}
            other => bail!("byte {place} of {name} was flipped, and this was said: {other:?}"),
        }
        bytes[place] ^= 1 << (at % 8);
        std::fs::write(path, &bytes)?;
    }
    evidence::verify(pack, given).map(|_| ()).map_err(|faults| anyhow::anyhow!("{faults:?}"))
}

/// The files of a pack with their sizes.
fn files(pack: &Path) -> Result<Vec<(PathBuf, u64)>> {
    let mut files = Vec::new();
    for directory in [pack.to_owned(), pack.join("days")] {
        for entry in std::fs::read_dir(directory)? {
            let (path, about) = entry.map(|entry| (entry.path(), entry.metadata()))?;
            let about = about?;
            if about.is_file() && about.len() > 0 {
                files.push((path, about.len()));
            }
        }
    }
    files.sort();
    Ok(files)
}

/// The most memory this process has had since [`peak_from_here`].
fn peak() -> Result<String> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("VmHWM")?;
    Ok(line.trim().to_owned())
}

fn peak_from_here() -> Result<()> {
    Ok(std::fs::write("/proc/self/clear_refs", "5")?)
}
