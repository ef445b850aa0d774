//! `mailsonar-rehearse`: arguments, and nothing else.
#![allow(clippy::print_stderr, reason = "a program speaks to its user")]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mailsonar_rehearsal::{demo, scenario, seeds};

/// Plays outages of a mail service, and shows what the monitoring makes of them.
#[derive(Debug, Parser)]
#[command(name = "mailsonar-rehearse", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A mail service to break by the press of a key, watched from three regions, in one process.
    ///
    /// Needs no configuration, no rights and no network.
    Demo(demo::Options),
    /// Play scenarios in simulated time, and say whether all went as they expect.
    ///
    /// Exit codes: 0 all as expected, 1 not, 2 a file is wrong.
    Run(scenario::Options),
    /// Play random days, and check what must hold after any of them.
    ///
    /// Exit codes: 0 all held, 1 something did not.
    Seeds(seeds::Options),
}

fn main() -> ExitCode {
    let Arguments { command } = Arguments::parse();
    // The last resort of the libraries; our own TLS names its provider itself.
    rustls::crypto::ring::default_provider().install_default().ok();
    let played = match command {
        Command::Demo(options) => demo::run(&options),
        Command::Run(options) => scenario::run(&options),
        Command::Seeds(options) => seeds::run(&options),
    };
    played.unwrap_or_else(|error| {
        eprintln!("mailsonar-rehearse: {error:#}");
        ExitCode::FAILURE
    })
}
