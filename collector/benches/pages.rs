//! How soon a page's first byte comes, and how big it is, with many services, regions and days.
//!
//! A store is filled by the collector's own code, record by record: ninety days at one probe an hour and
//! lane, and the last day at one in five minutes. Then the real program is started over it, finds the
//! outage that is going on, and is asked for its pages over HTTP.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "pages/filling.rs"]
mod filling;
#[allow(dead_code, reason = "the rehearsal's benchmarks use more of it")]
#[path = "../../rehearsal/benches/common/report.rs"]
mod report;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use filling::Filling;
use mailsonar_clock::{Clock, SystemClock};
use report::{Table, float};
use serde_json::Value;
use tempfile::TempDir;

/// The collector, made by the same `cargo bench`.
const PROGRAM: &str = env!("CARGO_BIN_EXE_mailsonar-collector");

/// How soon pages come, and how big they are.
#[derive(Debug, Parser)]
struct Options {
    #[arg(long, default_value_t = 50)]
    services: usize,
    #[arg(long, default_value_t = 10)]
    regions: usize,
    #[arg(long, default_value_t = 90)]
    days: i64,
    /// Minutes between two probes of a lane, before the last day.
    #[arg(long, default_value_t = 60)]
    sparse: i64,
    /// The same on the last day.
    #[arg(long, default_value_t = 5)]
    dense: i64,
    /// How often each page is asked for.
    #[arg(long, default_value_t = 100)]
    times: usize,
    /// Where the store is made.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let options = Options::parse();
    if !report::is_asked_for(options.bench) {
        return Ok(());
    }
    let what = "pages of the real program over HTTP on loopback, SQLite in a file";
    report::introduce("mailsonar-collector", "pages", what, &options.dir)?;
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Runtime::new()?.block_on(measure(&options))
}

async fn measure(options: &Options) -> Result<()> {
    let dir = TempDir::with_prefix_in("mailsonar-pages-", &options.dir)?;
    let clock = SystemClock::start();
    let filling = Filling {
        services: options.services,
        regions: options.regions,
        days: options.days,
        sparse: options.sparse,
        dense: options.dense,
        now: clock.now(),
    };
    let store = dir.path().join("collector.db");
    let (probes, probe) = filling.fill(&store).await?;
    let took = clock.now().duration_since(filling.now);
    let size = std::fs::metadata(&store)?.len() / 1_048_576;
    println!("  program  {PROGRAM}");
    println!(
        "  store    {} services, {} regions, {} days: {probes} probes, {size} MiB, filled in {} s\n",
        options.services,
        options.regions,
        options.days,
        took.as_secs()
    );
    let collector = Running::start(dir.path(), &filling)?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    let open = collector.open_incident(&http).await?;
    let table = Table::new(22, "page", "p50 ms|p95 ms|max ms|p95 ms, 8 at once|KiB");
    let pages = [
        "/".to_owned(),
        "/services/service-7".to_owned(),
        "/services/service-8".to_owned(),
        "/incidents".to_owned(),
        format!("/incidents/{open}"),
        format!("/incidents/{}", filling::PAST),
        format!("/probes/{probe}"),
        "/agents".to_owned(),
        "/maintenance".to_owned(),
        "/statements".to_owned(),
        "/sign-in".to_owned(),
        "/api/v1/summary".to_owned(),
    ];
    for page in &pages {
        let cells = time_of(&http, &format!("{}{page}", collector.url), options.times, clock).await?;
        table.row(&name_of(page, &open), &cells);
    }
    println!("\n  ms: from asking until the first byte of the answer. /services/service-7 is in trouble.");
    println!("  KiB: not compressed.");
    Ok(())
}

/// One page: alone at p50, p95 and most, eight at once at p95, and its size.
async fn time_of(http: &reqwest::Client, url: &str, times: usize, clock: SystemClock) -> Result<[String; 5]> {
    let (mut alone, bytes) = ask(http, url, times, clock).await?;
    let askers = (0..8).map(|_| {
        let (http, url) = (http.clone(), url.to_owned());
        tokio::spawn(async move { ask(&http, &url, times / 8 + 1, clock).await })
    });
    let mut together = Vec::new();
    for asked in futures::future::join_all(askers).await {
        together.extend(asked??.0);
    }
    let time =
        |took: &mut [i64], percent| report::percentile(took, percent).map_or("-".into(), report::millis);
    Ok([
        time(&mut alone, 50),
        time(&mut alone, 95),
        time(&mut alone, 100),
        time(&mut together, 95),
        format!("{:.1}", float(bytes) / 1024.0),
    ])
}

/// A page's name in the table, without the identity that no reader needs.
fn name_of(page: &str, open: &str) -> String {
    match page.rsplit_once('/') {
        Some((rest, id)) if id == open => format!("{rest}/(open)"),
        Some((rest, id)) if id.len() == 36 => format!("{rest}/(id)"),
        _ => page.to_owned(),
    }
}

/// Asks so many times, one after the other: what the first byte took, in microseconds, and the page's size.
async fn ask(
    http: &reqwest::Client,
    url: &str,
    times: usize,
    clock: SystemClock,
) -> Result<(Vec<i64>, usize)> {
    let (mut took, mut bytes) = (Vec::new(), 0);
    for _ in 0..times {
        let begun = clock.now();
        let answer = http.get(url).send().await?;
        took.push(clock.now().as_microsecond() - begun.as_microsecond());
        ensure!(answer.status() == 200, "{url}: {}", answer.status());
        bytes = answer.bytes().await?.len();
    }
    Ok((took, bytes))
}

/// The collector as a process over the store that was filled. Killed with the value.
struct Running {
    child: Child,
    url: String,
}

impl Running {
    fn start(dir: &Path, filling: &Filling) -> Result<Self> {
        let config = dir.join("collector.toml");
        std::fs::write(&config, filling.configuration())?;
        let mut command = Command::new(PROGRAM);
        command.args(["--log-format", "json", "serve", "--config"]).arg(&config);
        command.env("MAILSONAR_LOG", "info").stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command.stderr(Stdio::piped()).spawn().with_context(|| format!("start {PROGRAM}"))?;
        let log = child.stderr.take().context("its log")?;
        let mut running = Self { child, url: String::new() };
        let mut lines = BufReader::new(log).lines();
        let address = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let line: Value = serde_json::from_str(&line).ok()?;
            line["fields"]["address"].as_str().map(str::to_owned)
        });
        running.url = format!("http://{}", address.context("it ended without listening")?);
        // what it says later is read away, or its pipe would fill and hold it up
        std::thread::spawn(move || lines.for_each(drop));
        Ok(running)
    }

    /// The incident that it finds going on.
    async fn open_incident(&self, http: &reqwest::Client) -> Result<String> {
        for _ in 0..300 {
            let answer = http.get(format!("{}/api/v1/incidents?state=open", self.url)).send().await?;
            let found: Value = answer.json().await?;
            let all = found["incidents"].as_array().context("a list")?;
            if let Some(one) = all.iter().find(|one| one["service"] == "service-7") {
                return Ok(one["id"].as_str().context("an id")?.to_owned());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow::bail!("it finds no incident in half a minute")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
