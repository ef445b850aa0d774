//! The program: starts a sandbox, says where it is, and takes fault commands on standard input.

use std::{io::Write, net::Ipv4Addr, path::PathBuf, time::Duration};

use anyhow::Context;
use clap::Parser;
use mailsonar_sandbox::{Config, Ports, ProviderConfig, Sandbox, command};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    signal::unix::{SignalKind, signal},
};

/// A small mail service to break: SMTP, IMAP and DNS on loopback, with faults at your command.
#[derive(Debug, Parser)]
#[command(name = "mailsonar-sandbox", version)]
struct Arguments {
    /// A provider: its domain, then its sites. May be given several times.
    #[arg(long = "provider", value_name = "DOMAIN=SITE,SITE…",
          default_values = ["acme.example=east,west", "reference.example=main"])]
    providers: Vec<String>,
    /// An account's name before the @; each provider gets all of them.
    #[arg(long = "account", value_name = "NAME", default_values = ["probe", "watch"])]
    accounts: Vec<String>,
    /// The password of all accounts.
    #[arg(long, default_value = "secret", env = "MAILSONAR_SANDBOX_PASSWORD", hide_env_values = true)]
    password: String,
    /// The time each message rests before its mailbox, in milliseconds.
    #[arg(long, default_value_t = 0, value_name = "MS")]
    delivery_delay: u64,
    /// The first port of six in a row: submission, smtps, mx, imap, imaps, dns; the hosts' addresses
    /// are then 127.64.0.1 and up. 0 takes free ports on addresses that are most likely unused.
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    first_port: u16,
    /// Decides what a fault with a share hits.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where to write the certificate of the sandbox's authority, as PEM.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(serve(Arguments::parse()));
    // A read of standard input cannot be cancelled: do not wait for it.
    runtime.shutdown_background();
    result
}

async fn serve(arguments: Arguments) -> anyhow::Result<()> {
    let sandbox = Sandbox::start(config(&arguments)?, mailsonar_clock::SystemClock::shared()).await?;
    if let Some(file) = &arguments.ca_file {
        std::fs::write(file, sandbox.ca_pem()).with_context(|| format!("cannot write {}", file.display()))?;
    }
    say(&command::describe(&sandbox))?;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut open = true;
    let (mut interrupted, mut terminated) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    loop {
        tokio::select! {
            biased;
            _ = interrupted.recv() => break,
            _ = terminated.recv() => break,
            line = lines.next_line(), if open => match line? {
                Some(line) => say(&command::run(&sandbox, &line))?,
                None => open = false,
            }
        }
    }
    sandbox.shutdown().await;
    Ok(())
}

fn config(arguments: &Arguments) -> anyhow::Result<Config> {
    let provider = |text: &String| {
        let (domain, sites) = text.split_once('=').with_context(|| {
            format!("--provider {text:?} names no sites; write it as acme.example=east,west")
        })?;
        let sites: Vec<&str> = sites.split(',').collect();
        let mut provider = ProviderConfig::new(domain, &sites);
        provider.delivery_delay = Duration::from_millis(arguments.delivery_delay);
        Ok(arguments.accounts.iter().fold(provider, |p, name| p.account(name, &arguments.password)))
    };
    let providers = arguments.providers.iter().map(provider).collect::<anyhow::Result<Vec<_>>>()?;
    // Who wants the same ports each time wants the same addresses too.
    let network = (arguments.first_port != 0).then_some(Ipv4Addr::new(127, 64, 0, 0));
    let ports = ports(arguments.first_port)?;
    Ok(Config { seed: arguments.seed, ports, network, ..Config::new(providers) })
}

fn ports(first: u16) -> anyhow::Result<Ports> {
    if first == 0 {
        return Ok(Ports::default());
    }
    let nth =
        |n: u16| first.checked_add(n).context("--first-port leaves no room for six ports; take a lower one");
    let (submission, smtps, mx) = (nth(0)?, nth(1)?, nth(2)?);
    Ok(Ports { submission, smtps, mx, imap: nth(3)?, imaps: nth(4)?, dns: nth(5)? })
}

fn say(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}
