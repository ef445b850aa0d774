//! `mailsonar-agent`: arguments, logs, signals, and nothing else.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program speaks to its user")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use futures::future::BoxFuture;
use mailsonar_agent::adhoc::{self, AdHoc};
use mailsonar_agent::chance::Chance;
use mailsonar_agent::check::{self, Event, Status};
use mailsonar_agent::config::{Config, Route};
use mailsonar_agent::explain::{self, Known};
use mailsonar_agent::ledger::Ledger;
use mailsonar_agent::message::TagKey;
use mailsonar_agent::net::Tcp;
use mailsonar_agent::resolve::Hickory;
use mailsonar_agent::ship::{Http, Post};
use mailsonar_agent::{Agent, Parts, serve, trace};
use mailsonar_clock::{SharedClock, SystemClock};
use mailsonar_protocol::{AgentName, Complaint, Record, Text};
use mailsonar_settings::Duration;
use tracing_subscriber::EnvFilter;

/// How long submissions under way may take to end when the agent is stopped.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// Probes a mail service from one place: sends tagged messages and times their arrival.
#[derive(Parser)]
#[command(name = "mailsonar-agent", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// How logs are written, to standard error. The environment's `MAILSONAR_LOG` has the level (default: info).
    #[arg(long, value_enum, default_value = "text", global = true, display_order = 1_000)]
    log_format: LogFormat,
}

#[derive(Subcommand)]
enum Command {
    /// Probe every route on its schedule, until stopped.
    Run {
        #[command(flatten)]
        file: ConfigFile,
    },
    /// Send one probe now, over a route of the file or ad hoc by flags, and say how it went.
    ///
    /// Exit codes: 0 delivered, 1 delivered slowly, 2 failed, 3 could not be determined.
    Check(Box<Check>),
    /// Send one probe over a route, and print its timeline, for a ticket.
    ///
    /// It is watched to its end: seen, lost, bounced or refused, with the servers' own words. Exit codes as of `check`.
    Trace(Trace),
    /// Say what the agent makes of a message: a probe, a bounce, a report or other.
    ///
    /// With it come the hosts it passed and how long each took, and what they made of its origin. Any bytes have an answer. Exit codes: 0, or 2 where a file could not be read.
    Explain(Explain),
    /// Work with the configuration file.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Read the file, and say what is wrong with it.
    Check {
        #[command(flatten)]
        file: ConfigFile,
    },
}

#[derive(Args)]
struct ConfigFile {
    /// The configuration file.
    #[arg(long, short, env = "MAILSONAR_AGENT_CONFIG", default_value = "/etc/mailsonar/agent.toml")]
    config: PathBuf,
}

#[derive(Args)]
struct Trace {
    #[command(flatten)]
    file: ConfigFile,
    /// The route of the file.
    route: String,
    /// Leave out what stands before the @ of mail addresses.
    #[arg(long)]
    mask: bool,
}

#[derive(Args)]
struct Explain {
    /// The messages, as files; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Tell our own messages by this configuration: its agent, routes, key and trusted hosts.
    #[arg(long, short)]
    config: Option<PathBuf>,
    /// Tell our own messages by this key.
    #[arg(long, conflicts_with = "config")]
    key: Option<PathBuf>,
    /// Whose key it is.
    #[arg(long, requires = "key")]
    agent: Option<AgentName>,
    /// Say it in JSON, one object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Check {
    #[command(flatten)]
    file: ConfigFile,
    /// The route of the file to probe.
    #[arg(long, short, required_unless_present = "address")]
    route: Option<String>,
    #[command(flatten)]
    ad_hoc: AdHoc,
    /// From this latency on, a delivery in time counts as slow, such as "10s".
    #[arg(long)]
    slow: Option<Duration>,
    /// How to say it.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// The same as --format json.
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A line a step as it happens, then a summary.
    Text,
    /// The record, as JSON.
    Json,
    /// One line in the Nagios plugin convention, with performance data.
    Nagios,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return misused(&error),
    };
    // The last resort of the libraries; our own TLS names its provider itself.
    rustls::crypto::ring::default_provider().install_default().ok();
    match arguments.command {
        Command::Run { file } => {
            logs(arguments.log_format, "info");
            told(run(&file.config), 1)
        }
        Command::Check(check) => {
            logs(arguments.log_format, "error");
            told(one(&check), Status::Unknown as u8)
        }
        Command::Trace(trace) => {
            logs(arguments.log_format, "error");
            told(traced(&trace), Status::Unknown as u8)
        }
        Command::Explain(explain) => {
            logs(arguments.log_format, "error");
            told(explained(&explain), 2)
        }
        Command::Config { command: ConfigCommand::Check { file } } => told(config_check(&file.config), 2),
    }
}

/// Shows the usage. A plugin that is called wrongly must not say "critical": for `check` that is
/// "unknown".
fn misused(error: &clap::Error) -> ExitCode {
    error.print().ok();
    let is_check = std::env::args().nth(1).is_some_and(|word| word == "check" || word == "trace");
    match (error.use_stderr(), is_check) {
        (false, _) => ExitCode::SUCCESS,
        (true, true) => ExitCode::from(Status::Unknown as u8),
        (true, false) => ExitCode::from(2),
    }
}

fn told(result: anyhow::Result<ExitCode>, otherwise: u8) -> ExitCode {
    result.unwrap_or_else(|error| {
        eprintln!("mailsonar-agent: {error:#}");
        ExitCode::from(otherwise)
    })
}

fn logs(format: LogFormat, level: &str) {
    // The libraries log what they send, credentials included, at their lowest levels: never theirs.
    let filter = std::env::var("MAILSONAR_LOG").unwrap_or_else(|_| level.to_owned());
    let filter = EnvFilter::try_new(&filter).unwrap_or_else(|_| EnvFilter::new(level));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    match format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    // Little is computed here: a few threads do, so that one that parses delays no other, and each costs
    // memory of its own.
    let threads = std::thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, 4));
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    Ok(builder.enable_all().worker_threads(threads).thread_stack_size(1024 * 1024).build()?)
}

fn config_check(path: &Path) -> anyhow::Result<ExitCode> {
    let config = Config::load(path, &SystemClock::shared())?;
    for warning in &config.warnings {
        println!("warning: {warning}");
    }
    println!("{}: agent {} in region {}", path.display(), config.agent, config.region);
    for route in &config.routes {
        let card = &route.card;
        let every = route.interval.as_secs_f64();
        println!("  {:<24} {:<9} by {:<10} every {every} s", card.route, card.direction, card.door);
    }
    Ok(ExitCode::SUCCESS)
}

fn run(path: &Path) -> anyhow::Result<ExitCode> {
    let clock = SystemClock::shared();
    let config = Config::load(path, &clock)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    runtime()?.block_on(until_stopped(config, clock))
}

async fn until_stopped(config: Config, clock: SharedClock) -> anyhow::Result<ExitCode> {
    // First of all: a stop that comes while we start is a stop all the same.
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let listen = config.listen;
    tracing::info!(agent = %config.agent, region = %config.region, routes = config.routes.len(), "starting");
    let parts = parts(&config, clock)?;
    let agent = Agent::build(config, parts);
    let metrics = agent.metrics();
    let mut running = agent.run().await?;
    let serving: BoxFuture<'_, _> = match listen {
        Some(address) => Box::pin(serve::bind(address, metrics).await?),
        None => Box::pin(std::future::pending()),
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
        ended = serving => anyhow::bail!("/metrics is not served any more: {ended:?}"),
        error = running.failed() => anyhow::bail!("a part of the agent failed: {error}"),
    }
    tracing::info!("stopping; what is in flight is in the ledger");
    running.stop(PATIENCE).await;
    Ok(ExitCode::SUCCESS)
}

fn parts(config: &Config, clock: SharedClock) -> anyhow::Result<Parts> {
    let dir = &config.state_dir;
    std::fs::create_dir_all(dir).with_context(|| format!("state_dir {}", dir.display()))?;
    let opened = Ledger::open(&dir.join("ledger.db"), clock.now())?;
    let mut complaints = Vec::new();
    if let Some((aside, why)) = opened.set_aside {
        let words = format!(
            "the ledger was unreadable ({why}) and is kept as {}; a new one was begun",
            aside.display()
        );
        tracing::error!("{words}");
        complaints.push(Complaint { what: "ledger".into(), words: Text::new(&words), since: clock.now() });
    }
    let key = TagKey::load_or_create(&dir.join("tag.key")).context("the tag key")?;
    let post = config.ship.as_ref().map(Http::to_any).transpose().context("collector")?;
    Ok(Parts {
        clock,
        network: Arc::new(Tcp),
        dns: Arc::new(Hickory),
        chance: Chance::fresh(),
        ledger: opened.ledger,
        key,
        post: post.map(|post| Box::new(post) as Box<dyn Post>),
        complaints,
        listeners: Vec::new(),
    })
}

fn traced(trace: &Trace) -> anyhow::Result<ExitCode> {
    let clock = SystemClock::shared();
    let config = Config::load(&trace.file.config, &clock)?;
    let route = route(&config, &trace.route)?;
    let record = runtime()?.block_on(check::check(config, route, clock, Arc::new(Tcp), |_| {}))?;
    print!("{}", trace::timeline(&record, trace.mask));
    Ok(ExitCode::from(Status::of(&record, None) as u8))
}

fn route(config: &Config, name: &str) -> anyhow::Result<Arc<Route>> {
    config.route(name).cloned().with_context(|| {
        let known: Vec<_> = config.routes.iter().map(|route| route.name().as_str()).collect();
        format!("there is no route {name:?}; the file has {}", known.join(", "))
    })
}

fn explained(command: &Explain) -> anyhow::Result<ExitCode> {
    let known = known(command)?;
    let mut code = ExitCode::SUCCESS;
    for path in &command.files {
        match explain::file(path, &known) {
            Ok(explained) if command.json => println!("{}", serde_json::to_string(&explained)?),
            Ok(explained) => println!("{}", explain::told(&explained)),
            Err(error) => {
                eprintln!("mailsonar-agent: {}: {error}", path.display());
                code = ExitCode::from(2);
            }
        }
    }
    Ok(code)
}

/// What our own messages are told by. A key that is not there yet has signed nothing.
fn known(command: &Explain) -> anyhow::Result<Known> {
    if let Some(path) = &command.key {
        let key = TagKey::load(path).with_context(|| format!("key {}", path.display()))?;
        return Ok(Known { key: Some(key), agent: command.agent.clone(), ..Known::default() });
    }
    let Some(path) = &command.config else { return Ok(Known::default()) };
    let config = Config::load(path, &SystemClock::shared())?;
    let path = config.state_dir.join("tag.key");
    let key = match TagKey::load(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        loaded => Some(loaded.with_context(|| format!("key {}", path.display()))?),
    };
    let authserv_ids = config.accounts.iter().flat_map(|account| account.authserv_ids.clone()).collect();
    let routes = config.routes.iter().map(|route| route.name().clone()).collect();
    Ok(Known { key, agent: Some(config.agent), routes, authserv_ids })
}

fn one(check: &Check) -> anyhow::Result<ExitCode> {
    let clock = SystemClock::shared();
    let config = match check.ad_hoc.config(&clock) {
        Some(config) => config?,
        None => Config::load(&check.file.config, &clock)?,
    };
    let name = check.route.as_deref().unwrap_or(adhoc::ROUTE);
    let route = route(&config, name)?;
    let format = if check.json { Format::Json } else { check.format };
    let slow = check.slow.map(Duration::signed);
    let hear = move |event| {
        if format == Format::Text {
            println!("{}", line(&event));
        }
    };
    let record = runtime()?.block_on(check::check(config, route, clock, Arc::new(Tcp), hear))?;
    match format {
        Format::Text => summary(&record, slow),
        Format::Json => println!("{}", serde_json::to_string_pretty(&record)?),
        Format::Nagios => println!("{}", check::nagios_line(&record, slow)),
    }
    Ok(ExitCode::from(Status::of(&record, slow) as u8))
}

fn line(event: &Event) -> String {
    match event {
        Event::Step { step, again } => {
            let millis = std::time::Duration::from_micros(step.took_us).as_secs_f64() * 1_000.0;
            let again = if *again { "  in all, with the EHLO after STARTTLS" } else { "" };
            format!("  {:<9} {millis:>10.1} ms{again}", step.stage)
        }
        Event::Accepted(words) => format!("  accepted  {words}"),
    }
}

fn summary(record: &Record, slow: Option<jiff::SignedDuration>) {
    let status = Status::of(record, slow).word();
    println!("{status}: {} over {}: {}", record.verdict.outcome, record.route, record.verdict.reason);
    if let Some(arrival) = &record.arrival {
        let exact = std::time::Duration::from_micros(arrival.uncertainty_us).as_secs_f64() * 1_000.0;
        println!("  seen in {} by {}, exact to {exact:.1} ms", arrival.folder, arrival.seen_by);
    }
    for evidence in &record.evidence {
        let (stage, class, detail, peer) = (evidence.stage, evidence.class, &evidence.detail, &evidence.peer);
        println!("  {stage}/{class}/{detail} {peer}: {}", evidence.words);
    }
}
