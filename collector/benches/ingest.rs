//! How many records a second a collector makes durable, over HTTP, from some agents at once.
//!
//! The collector is a process of its own, with its store in a file. The client is this program: its
//! batches are made and compressed beforehand, so that while it is timed it only sends and waits, each
//! agent one batch at a time. Every second batch revises the probes of the one before, as in life.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[allow(dead_code, reason = "the rehearsal's benchmarks use more of it")]
#[path = "../../rehearsal/benches/common/report.rs"]
mod report;
#[allow(dead_code, reason = "the rehearsal's benchmarks use more of it")]
#[path = "../../rehearsal/benches/common/usage.rs"]
mod usage;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use jiff::{SignedDuration, Timestamp};
use mailsonar_clock::{Clock, SystemClock};
use mailsonar_protocol::{
    Acceptance, AgentHealth, Answer, Arrival, BATCHES_PATH, Batch, Direction, Door, Handover, Journey,
    MailboxHealth, Outcome, Peer, ProbeId, Record, RouteCard, SeenBy, Stage, StageTime, Text, VERSION,
    Verdict,
};
use report::{Table, float, mebibytes, per};
use reqwest::header;
use tempfile::TempDir;
use uuid::Uuid;

/// The collector, made by the same `cargo bench`.
const PROGRAM: &str = env!("CARGO_BIN_EXE_mailsonar-collector");

/// Routes that each agent announces.
const ROUTES: usize = 5;

/// How many records a second a collector makes durable.
#[derive(Debug, Parser)]
struct Options {
    /// The longest each setting may take.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Records in a batch, each a setting.
    #[arg(long, value_delimiter = ',', default_value = "1,50,500")]
    records: Vec<usize>,
    /// Agents that post at once, each a setting.
    #[arg(long, value_delimiter = ',', default_value = "1,4,16")]
    agents: Vec<usize>,
    /// Batches in one setting at most, over all agents.
    #[arg(long, default_value_t = 4_000)]
    batches: usize,
    /// Records in one setting at most, over all agents.
    #[arg(long, default_value_t = 60_000)]
    most: usize,
    /// Where the store is made.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    /// How many batches each agent posts: an even number, since each second one revises the first.
    fn batches_each(&self, records: usize, agents: usize) -> usize {
        (self.batches.min(self.most / records) / agents / 2).max(2) * 2
    }
}

fn main() -> Result<()> {
    let options = Options::parse();
    if !report::is_asked_for(options.bench) {
        return Ok(());
    }
    let what = "records made durable, over HTTP on loopback, gzip, SQLite with synchronous=FULL";
    report::introduce("mailsonar-collector", "ingest", what, &options.dir)?;
    println!("  program  {PROGRAM}\n");
    let columns = "agents|batches|records/s|batches/s|p50 ms|p99 ms|max ms|collector us|collector %|client us|\
                   peak MiB|KiB sent";
    let table = Table::new(8, "records", columns);
    // reqwest wants one even for plain HTTP; it is an error only if there is one already
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new()?;
    for &records in &options.records {
        for &agents in &options.agents {
            let cells = runtime.block_on(measure(&options, records, agents))?;
            table.row(&records.to_string(), &cells);
        }
    }
    println!("\n  records: in a batch; half of the batches are new probes, half revise those.");
    println!("  p50 p99 max: from sending a batch until its answer, which comes after the commit.");
    println!("  collector us, client us: CPU for a record, user and system; collector %: of one core.");
    println!("  The client shares the machine. KiB sent: of one batch, compressed.");
    Ok(())
}

async fn measure(options: &Options, records: usize, agents: usize) -> Result<Vec<String>> {
    let collector = Running::start(&options.dir, agents)?;
    let (pid, own) = (collector.child.id(), std::process::id());
    let clock = SystemClock::start();
    let loads: Vec<Vec<Vec<u8>>> = (0..agents)
        .map(|agent| load(agent, records, options.batches_each(records, agents), clock.now()))
        .collect::<Result<_>>()?;
    let sent: usize = loads.iter().flatten().map(Vec::len).sum();
    let size = sent / loads.iter().map(Vec::len).sum::<usize>().max(1);

    let (begun, collector_then, client_then) = (clock.now(), usage::cpu(pid), usage::cpu(own));
    let end = begun + SignedDuration::try_from(Duration::from_secs(options.seconds))?;
    let posting = loads
        .into_iter()
        .enumerate()
        .map(|(agent, load)| tokio::spawn(post_all(collector.url.clone(), agent, load, records, clock, end)));
    let mut took = Vec::new();
    for posted in futures::future::join_all(posting).await {
        took.extend(posted??);
    }
    let seconds = Duration::try_from(clock.now().duration_since(begun))?.as_secs_f64();
    let collector_used = usage::cpu(pid).saturating_sub(collector_then);
    let client_used = usage::cpu(own).saturating_sub(client_then);

    let durable = float(took.len() * records);
    let each = |cpu: Duration| per(cpu.as_secs_f64() * 1e6, durable, 1);
    let time =
        |took: &mut [i64], percent| report::percentile(took, percent).map_or("-".into(), report::millis);
    Ok(vec![
        agents.to_string(),
        took.len().to_string(),
        per(durable, seconds, 0),
        per(float(took.len()), seconds, 0),
        time(&mut took, 50),
        time(&mut took, 99),
        time(&mut took, 100),
        each(collector_used),
        per(collector_used.as_secs_f64() * 100.0, seconds, 0),
        each(client_used),
        mebibytes(usage::peak_memory(pid)),
        format!("{:.1}", float(size) / 1024.0),
    ])
}

/// Posts batches one after the other, as an agent does, and returns what each took, in microseconds.
async fn post_all(
    url: String,
    agent: usize,
    load: Vec<Vec<u8>>,
    records: usize,
    clock: SystemClock,
    end: Timestamp,
) -> Result<Vec<i64>> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let mut took = Vec::new();
    for body in load {
        let begun = clock.now();
        if begun >= end {
            break;
        }
        let request = http.post(&url).bearer_auth(token(agent)).body(body);
        let request =
            request.header(header::CONTENT_TYPE, "application/json").header(header::CONTENT_ENCODING, "gzip");
        let response = request.send().await?;
        let (status, text) = (response.status(), response.text().await?);
        took.push(clock.now().as_microsecond() - begun.as_microsecond());
        ensure!(status == 200, "{status}: {text}");
        let answer: Answer = serde_json::from_str(&text)?;
        ensure!(answer.acknowledged.len() == records, "acknowledged: {}", answer.acknowledged.len());
    }
    Ok(took)
}

/// A collector as a process, with a store of its own. Killed with the value.
struct Running {
    child: Child,
    url: String,
    _dir: TempDir,
}

impl Running {
    fn start(dir: &Path, agents: usize) -> Result<Self> {
        let dir = TempDir::with_prefix_in("mailsonar-ingest-", dir)?;
        let config = dir.path().join("collector.toml");
        std::fs::write(&config, settings(agents))?;
        let mut command = Command::new(PROGRAM);
        command.args(["--log-format", "json", "serve", "--config"]).arg(&config);
        // at `warn` the collector would not say where it listens
        command
            .env("MAILSONAR_LOG", "info")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("start {PROGRAM}"))?;
        let log = child.stderr.take().context("its log")?;
        let mut running = Self { child, url: String::new(), _dir: dir };
        let mut lines = BufReader::new(log).lines();
        let address = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let line: serde_json::Value = serde_json::from_str(&line).ok()?;
            line["fields"]["address"].as_str().map(str::to_owned)
        });
        running.url = format!("http://{}{BATCHES_PATH}", address.context("it ended without listening")?);
        // what it says later is read away, or its pipe would fill and hold it up
        std::thread::spawn(move || lines.for_each(drop));
        Ok(running)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn settings(agents: usize) -> String {
    let known = |agent| {
        let hash = mailsonar_collector::ingest::token_hash(&token(agent));
        format!("[agents.bench-{agent}]\nregion = \"r{agent}\"\ntoken_sha256 = \"{hash}\"\n")
    };
    let known: String = (0..agents).map(known).collect();
    format!("listen = \"127.0.0.1:0\"\n[store]\npath = \"collector.db\"\n{known}")
}

fn token(agent: usize) -> String {
    format!("the-benchmark's-token-{agent}")
}

/// The batches of one agent, compressed as the agent compresses them.
fn load(agent: usize, records: usize, batches: usize, now: Timestamp) -> Result<Vec<Vec<u8>>> {
    let first = agent * batches * records;
    (0..batches)
        .map(|number| {
            let revised = number % 2 == 1;
            let ids = first + number / 2 * records;
            let records = (ids..ids + records).map(|id| record(id, revised, now)).collect::<Result<_>>()?;
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(&serde_json::to_vec(&batch(agent, records, now)?)?)?;
            Ok(gzip.finish()?)
        })
        .collect()
}

fn batch(agent: usize, records: Vec<Record>, now: Timestamp) -> Result<Batch> {
    let route = |number: usize| -> Result<RouteCard> {
        Ok(RouteCard {
            route: format!("route{number}").parse()?,
            service: "acme".parse()?,
            reference: None,
            direction: Direction::Loop,
            door: Door::Submission,
            canary: None,
            from: None,
            to: None,
            interval_us: 60_000_000,
            deadline_us: 300_000_000,
        })
    };
    let mailbox = MailboxHealth {
        account: "own".parse()?,
        service: "acme".parse()?,
        unreachable_since: None,
        trouble: None,
        quota: None,
    };
    Ok(Batch {
        protocol: VERSION,
        agent: format!("bench-{agent}").parse()?,
        region: format!("r{agent}").parse()?,
        software: "benchmark".into(),
        sent_at: now,
        routes: Some((0..ROUTES).map(route).collect::<Result<_>>()?),
        health: AgentHealth { mailboxes: vec![mailbox], ..AgentHealth::default() },
        records,
    })
}

/// Ids that are all different, and as spread as random ones: SQLite's pages are touched all over.
fn spread(number: usize) -> Uuid {
    // an odd factor loses nothing modulo 2^128
    Uuid::from_u128((number as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
}

/// A probe as a real one looks: accepted and on its way, or (revised) delivered.
fn record(number: usize, revised: bool, now: Timestamp) -> Result<Record> {
    let id = spread(number);
    // times differ from probe to probe, or they would compress too well
    let own = i64::try_from(id.as_u128() % 997)?;
    let started_at = now - SignedDuration::from_millis(5_000 + own);
    let at = |millis: i64| started_at + SignedDuration::from_micros(millis * 1_000 + own);
    let (outcome, reason) =
        if revised { (Outcome::Delivered, "arrived in time") } else { (Outcome::InFlight, "") };
    Ok(Record {
        probe: ProbeId(id),
        revision: if revised { 3 } else { 2 },
        service: "acme".parse()?,
        reference: None,
        route: format!("route{}", number % ROUTES).parse()?,
        direction: Direction::Loop,
        door: Door::Submission,
        confirmation: false,
        canary: None,
        scheduled_at: started_at,
        started_at,
        due_at: at(300_201),
        stages: stages(own.unsigned_abs(), revised),
        peer: Some(peer(now)),
        accepted: Some(Acceptance {
            at: at(201),
            reply: format!("250 2.0.0 Ok: queued as 7C0019C{own:04}").as_str().into(),
            queue_id: Some(format!("7C0019C{own:04}").as_str().into()),
        }),
        arrival: revised.then(|| arrival(at(1_405), number)),
        duplicates: 0,
        searched_at: None,
        handover: Handover::default(),
        journey: Journey::default(),
        evidence: Vec::new(),
        verdict: Verdict { outcome, stage: None, class: None, reason: Text::new(reason), at: at(1_420) },
    })
}

fn stages(own: u64, revised: bool) -> Vec<StageTime> {
    use Stage::{Auth, Connect, Data, Envelope, Greeting, Resolve, Retrieve, Tls, Verify};
    let submission = [Resolve, Connect, Tls, Greeting, Auth, Envelope, Data];
    let retrieval = [Retrieve, Verify];
    let told = submission.into_iter().chain(retrieval.into_iter().filter(|_| revised));
    told.zip(1_u64..).map(|(stage, nth)| StageTime { stage, took_us: nth * 4_000 + own * nth }).collect()
}

fn peer(now: Timestamp) -> Peer {
    Peer {
        host: "smtp.acme.example".into(),
        address: Some([192, 0, 2, 25].into()),
        port: 587,
        tls: Some("TLSv1.3 TLS13_AES_256_GCM_SHA384".into()),
        certificate_expires_at: Some(now + SignedDuration::from_hours(24 * 60)),
    }
}

fn arrival(visible_at: Timestamp, number: usize) -> Arrival {
    Arrival {
        visible_at,
        seen_by: SeenBy::Noop,
        uncertainty_us: 48_200,
        folder: "INBOX".into(),
        junk: false,
        copy: (1_795_518_000, u32::try_from(number).unwrap_or(u32::MAX)),
        intact: true,
    }
}
