//! One agent over a fresh mail world, with as many loop routes as wanted; and, where wanted, a collector.
//!
//! Configured as a user would: submission by STARTTLS, IMAP by TLS, both verified, a sign-in at each.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mailsonar_agent::ledger::Ledger;
use mailsonar_clock::{Clock, SystemClock};
use mailsonar_protocol::Record;
use mailsonar_rehearsal::fleet::metrics;
use mailsonar_rehearsal::patience;
use mailsonar_rehearsal::peers::{Process, http};
use mailsonar_rehearsal::testbed::Testbed;
use serde_json::{Map, Value, json};

/// How long a start or an end may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a message may take: long enough that a backlog is seen as lag, not as loss.
const DEADLINE: &str = "60s";

const TOKEN: &str = "the-benchmark's-token";

/// What the agent is to do.
pub(crate) struct Work {
    /// Routes, each from a mailbox to itself, spread over the mailboxes.
    pub(crate) routes: usize,
    /// Mailboxes; the testbed has at least as many.
    pub(crate) mailboxes: usize,
    /// From one probe of a route to its next.
    pub(crate) interval: Duration,
    /// `[watch] brisk`.
    pub(crate) brisk: bool,
}

impl Work {
    /// Probes a second, as scheduled.
    pub(crate) fn rate(&self) -> f64 {
        super::report::float(self.routes) / self.interval.as_secs_f64()
    }
}

/// A running agent. Killed with the value.
pub(crate) struct Agent {
    process: Process,
    address: SocketAddr,
    ledger: PathBuf,
}

impl Agent {
    /// Starts one and waits until it serves.
    pub(crate) fn start(
        program: &Path,
        bed: &Testbed,
        work: &Work,
        collector: Option<&Collector>,
    ) -> Result<Self> {
        let dir = bed.dir().join("agent");
        fs::create_dir_all(&dir)?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let settings = settings(bed, work, address, &dir, collector)?;
        let config = dir.join("agent.toml");
        fs::write(&config, toml::to_string(&settings)?)?;
        let mut command = Command::new(program);
        command.args(["run", "--config"]).arg(&config).env("MAILSONAR_LOG", "info");
        let process = Process::spawn("agent", &mut command, &dir)?;
        let up = patience::until_true("the agent to serve", PATIENCE, || {
            !process.id().is_alive() || http::get(address, "/healthz").is_ok_and(|page| page.status == 200)
        });
        let up = up.is_ok() && process.id().is_alive();
        ensure!(up, "the agent did not start: {}", process.stderr());
        Ok(Self { process, address, ledger: dir.join("state/ledger.db") })
    }

    /// Its pid.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id().pid()
    }

    /// Its metrics, as Prometheus gets them.
    pub(crate) fn metrics(&self) -> Result<String> {
        Ok(http::get(self.address, "/metrics")?.body)
    }

    /// Ends it gently, and reads its ledger: all records that no collector has acknowledged.
    pub(crate) fn finish(mut self) -> Result<Vec<Record>> {
        let status = self.process.terminate(PATIENCE)?;
        ensure!(status.success(), "the agent ended with {status}: {}", self.process.stderr());
        let opened = Ledger::open(&self.ledger, SystemClock::start().now())?;
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        Ok(runtime.block_on(opened.ledger.unacknowledged(usize::MAX))?)
    }
}

/// The sum of a metric over all routes, as a count.
pub(crate) fn count(page: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    metrics::total(page, name, labels)
}

fn settings(
    bed: &Testbed,
    work: &Work,
    listen: SocketAddr,
    dir: &Path,
    collector: Option<&Collector>,
) -> Result<Value> {
    let service = &bed.service;
    let endpoint = |door: SocketAddr, tls: &str| json!({ "host": service.host(), "port": door.port(), "tls": tls, "ca_file": bed.ca() });
    let mut accounts = Map::new();
    for (number, account) in service.accounts().iter().take(work.mailboxes).enumerate() {
        let password = format!("{number}.password");
        write_secret(&dir.join(&password), &account.password)?;
        let account = json!({
            "service": "acme",
            "address": account.address,
            "password_file": password,
            "submission": endpoint(service.submission(), "starttls"),
            "imap": endpoint(service.imaps(), "tls"),
        });
        accounts.insert(format!("box{number}"), account);
    }
    let route = |number: usize| {
        let mailbox = format!("box{}", number % work.mailboxes);
        let interval = format!("{}ms", work.interval.as_millis());
        let route = json!({ "from": mailbox, "to": mailbox, "interval": interval, "deadline": DEADLINE });
        (format!("loop{number}"), route)
    };
    let mut settings = json!({
        "agent": "bench-1",
        "region": "bench",
        "state_dir": "state",
        "listen": listen,
        "ehlo_name": "bench.agents.test",
        "dns": { "servers": [bed.dns.address()] },
        "watch": { "brisk": work.brisk },
        "services": { "acme": { "domains": [service.domain()] } },
        "accounts": accounts,
        "routes": (0..work.routes).map(route).collect::<Map<_, _>>(),
    });
    if let Some(collector) = collector {
        write_secret(&dir.join("token"), TOKEN)?;
        settings["collector"] =
            json!({ "url": format!("http://{}", collector.address), "token_file": "token" });
    }
    Ok(settings)
}

fn write_secret(path: &Path, secret: &str) -> Result<()> {
    fs::write(path, secret)?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o600))?)
}

/// A running collector that knows the agent. Killed with the value.
pub(crate) struct Collector {
    process: Process,
    address: SocketAddr,
}

impl Collector {
    /// Starts one and waits until it serves.
    pub(crate) fn start(program: &Path, bed: &Testbed) -> Result<Self> {
        let dir = bed.dir().join("collector");
        fs::create_dir_all(&dir)?;
        let token = mailsonar_collector::ingest::token_hash(TOKEN);
        let settings = json!({
            "listen": "127.0.0.1:0",
            "store": { "path": "collector.db" },
            "agents": { "bench-1": { "region": "bench", "token_sha256": token } },
        });
        let config = dir.join("collector.toml");
        fs::write(&config, toml::to_string(&settings)?)?;
        let mut command = Command::new(program);
        command.args(["serve", "--config"]).arg(&config).env("MAILSONAR_LOG", "info");
        let process = Process::spawn("collector", &mut command, &dir)?;
        let line = process.wait_for_line("listening address=", PATIENCE)?;
        let address = line.split("address=").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
        let address = address.with_context(|| format!("no address in {line:?}"))?;
        Ok(Self { process, address })
    }

    /// Its pid.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id().pid()
    }
}
