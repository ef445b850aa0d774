//! The developers' commands: `cargo verify`, which decides whether a change may land, and
//! `cargo xtask …` for its parts and for what takes too long to run on every change.
//!
//! It knows the workspace from outside (cargo, git, Debian's packages) and nothing of mail.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people at a terminal")]

mod campaign;
mod checkout;
mod dashboards;
mod foreign;
mod house;
mod licences;
mod node;
mod packages;
mod pages;
mod step;
mod table;
mod tool;
mod verify;

use std::process::ExitCode;

use anyhow::{Result, bail};

use checkout::Checkout;
use table::table;

/// One word after `cargo xtask`.
struct Task {
    name: &'static str,
    what: &'static str,
    run: fn(&Checkout, &[String]) -> Result<()>,
}

const TASKS: &[Task] = &[
    Task {
        name: "verify",
        what: "everything that must pass before a change lands (also: cargo verify)",
        run: verify::run,
    },
    Task { name: "packages", what: "install the Debian packages the tests need", run: packages::run },
    Task {
        name: "foreign",
        what: "unpack the mail servers that cannot be installed beside others",
        run: foreign::run,
    },
    Task {
        name: "house",
        what: "check the house's own rules: who may know whom, file sizes",
        run: house::run,
    },
    Task { name: "licences", what: "check licences, banned crates and sources", run: licences::run },
    Task {
        name: "advisories",
        what: "ask the RustSec database about the dependencies (needs the network)",
        run: licences::advisories,
    },
    Task {
        name: "dashboards",
        what: "draw every dashboard in a browser, with Grafana's own components (needs npm's packages)",
        run: dashboards::run,
    },
    Task {
        name: "pages",
        what: "look at every page of the collector in a browser (needs npm's packages)",
        run: pages::run,
    },
    Task {
        name: "campaign",
        what: "run one of the long campaigns; without a name, list them",
        run: campaign::run,
    },
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(words: &[String]) -> Result<()> {
    let Some((name, rest)) = words.split_first() else { bail!("say what to do.\n\n{}", help()) };
    if ["--help", "-h", "help"].contains(&name.as_str()) {
        print!("{}", help());
        return Ok(());
    }
    let Some(task) = TASKS.iter().find(|task| task.name == name) else {
        bail!("`{name}` is not a command of xtask.\n\n{}", help())
    };
    if task.name != "campaign"
        && let Some(word) = rest.first()
    {
        bail!("`cargo xtask {name}` takes no argument, and was given `{word}`");
    }
    (task.run)(&Checkout::read()?, rest)
}

fn help() -> String {
    let rows = table(TASKS.iter().map(|task| (task.name, task.what)));
    format!("Usage: cargo xtask COMMAND\n\n{rows}")
}
