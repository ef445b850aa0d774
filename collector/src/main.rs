//! The program: arguments, logs, signals. Everything else is the library's.

mod cli;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::{Args, Parser, Subcommand, ValueEnum};
use mailsonar_clock::{Clock, SystemClock};
use mailsonar_collector::notify::{Call, HttpPost, Page, Post};
use mailsonar_collector::{Config, ingest, serve};
use tokio::signal::unix::{SignalKind, signal};
use tracing::warn;
use tracing_subscriber::EnvFilter;

/// Gathers what mailsonar agents see of mail flow, decides, and pages.
#[derive(Debug, Parser)]
#[command(name = "mailsonar-collector", version)]
struct Arguments {
    /// How the log on standard error is written.
    #[arg(long, value_enum, default_value = "text", global = true)]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run until SIGTERM or SIGINT.
    Serve(ConfigPath),
    /// Look at the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Send a page, clearly marked as a test, now.
    TestPage {
        #[command(flatten)]
        config: ConfigPath,
        /// Only through this notifier.
        #[arg(long)]
        notifier: Option<String>,
    },
    /// State what was promised against what was measured, for one period of a contract.
    Statement(cli::statement::StatementArguments),
    /// Check the evidence pack of a statement.
    Verify(cli::statement::VerifyArguments),
    /// Make a new agent's or operator's token, and the line of configuration that knows it.
    Token,
    /// Move everything from one database to another.
    #[command(subcommand)]
    Store(cli::store::StoreCommand),
    #[command(subcommand)]
    Silence(cli::silence::Command),
    #[command(subcommand)]
    Incident(cli::incident::Command),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Say what is wrong with it, if anything is.
    Check(ConfigPath),
}

#[derive(Debug, Args)]
struct ConfigPath {
    /// The configuration file.
    #[arg(long)]
    config: PathBuf,
}

/// Something failed.
const FAILURE: u8 = 1;
/// The arguments or the configuration are wrong.
const USAGE: u8 = 2;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    start_log(arguments.log_format);
    // Only one can be installed, and this is the first thing that asks for one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let code = match arguments.command {
        Command::Serve(path) => run(&path).await,
        Command::Config(ConfigCommand::Check(path)) => {
            load(&path).map(|_| print("The configuration is good."))
        }
        Command::TestPage { config, notifier } => test_page(&config, notifier.as_deref()).await,
        Command::Statement(asked) => cli::statement::statement(&asked, SystemClock::start().now())
            .map(|told| print(&told))
            .map_err(|error| complain(&format!("{error:#}"), FAILURE)),
        Command::Verify(asked) => cli::statement::verify(&asked)
            .map(|told| print(&told))
            .map_err(|error| complain(&format!("{error:#}"), FAILURE)),
        Command::Store(command) => cli::store::run(&command)
            .map(|told| print(&told))
            .map_err(|error| complain(&format!("{error:#}"), FAILURE)),
        Command::Token => {
            token();
            Ok(())
        }
        Command::Silence(command) => answer(cli::silence::run(&command).await),
        Command::Incident(command) => answer(cli::incident::run(&command).await),
    };
    code.err().map_or(ExitCode::SUCCESS, ExitCode::from)
}

/// Prints what a running collector answered.
fn answer(answer: Result<String, cli::Failed>) -> Result<(), u8> {
    answer.map(|text| print(&text)).map_err(|failed| complain(&failed.0, FAILURE))
}

fn start_log(format: LogFormat) {
    let filter = EnvFilter::builder()
        .with_env_var("MAILSONAR_LOG")
        .with_default_directive(tracing::level_filters::LevelFilter::INFO.into())
        .from_env_lossy();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
}

/// Reads the configuration, with warnings to the log and problems to standard error.
fn load(path: &ConfigPath) -> Result<Config, u8> {
    let config = Config::read(&path.config).map_err(|problems| complain(&problems, USAGE))?;
    for warning in &config.warnings {
        warn!("{}: {warning}", path.config.display());
    }
    Ok(config)
}

async fn run(path: &ConfigPath) -> Result<(), u8> {
    let config = load(path)?;
    let end = signals().map_err(|error| complain(&error, FAILURE))?;
    serve(config, SystemClock::shared(), end).await.map_err(|error| complain(&error, FAILURE))
}

/// Completes at SIGTERM or SIGINT.
fn signals() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

async fn test_page(path: &ConfigPath, only: Option<&str>) -> Result<(), u8> {
    let config = load(path)?;
    let clock = SystemClock::shared();
    let post: Arc<dyn Post> = Arc::new(HttpPost::new().map_err(|error| complain(&error, FAILURE))?);
    let channels = config.notifiers.channels(&post);
    let wanted: Vec<_> =
        channels.iter().filter(|channel| only.is_none_or(|name| name == channel.name)).collect();
    if wanted.is_empty() {
        let names = config.notifiers.names().join(", ");
        return Err(complain(&format!("no such notifier; configured are: {names}"), USAGE));
    }
    let mut failed = false;
    for channel in wanted {
        let id = format!("msg_{}", uuid::Uuid::new_v4().as_simple());
        let (now, civil) = (clock.now(), clock.civil());
        let call = Call { id: &id, pages: &[Page::test(now)], now, civil };
        match channel.notifier.send(call).await {
            Ok(answer) => print(&format!("{}: delivered ({answer})", channel.name)),
            Err(rejection) => {
                failed = true;
                print(&format!("{}: NOT delivered ({rejection})", channel.name));
            }
        }
    }
    if failed { Err(FAILURE) } else { Ok(()) }
}

fn token() {
    let token = format!("mst_{}", URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()));
    print(&format!(
        "{token}\n\n# the collector's configuration, in [agents.NAME] or [operators.NAME]:\ntoken_sha256 = {:?}",
        ingest::token_hash(&token)
    ));
}

#[expect(clippy::print_stdout, reason = "what the commands answer")]
fn print(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "why the program ends")]
fn complain(what: &dyn std::fmt::Display, code: u8) -> u8 {
    eprintln!("{what}");
    code
}
