//! What stands in the dependency tree: cargo-deny with the rules of `deny.toml`.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, Result};

use crate::checkout::Checkout;
use crate::tool::Tool;

/// One version for everybody, so that one tree has one verdict.
const VERSION: &str = "0.20.2";

/// Licences, banned crates, sources: the same answer for the same `Cargo.lock`.
pub(crate) fn run(checkout: &Checkout, _: &[String]) -> Result<()> {
    check(checkout, &["licenses", "bans", "sources"])
}

/// Known vulnerabilities and abandoned crates. Its answer changes from day to day, so it judges no
/// change; it fetches the `RustSec` database.
pub(crate) fn advisories(checkout: &Checkout, _: &[String]) -> Result<()> {
    check(checkout, &["advisories"])
}

fn check(checkout: &Checkout, what: &[&str]) -> Result<()> {
    let program = cargo_deny(checkout)?;
    let mut words = vec![program.to_str().context("a path that is not UTF-8")?];
    words.extend(["--locked", "check", "--hide-inclusion-graph"]);
    words.extend(what);
    Tool::new(&words).inside(&checkout.root).run()
}

/// The program: the developer's own if it is this version, else one built once below `target/`.
fn cargo_deny(checkout: &Checkout) -> Result<PathBuf> {
    let tools = checkout.target.join("tools");
    let built = tools.join("bin/cargo-deny");
    for candidate in [PathBuf::from("cargo-deny"), built.clone()] {
        if version(&candidate).as_deref() == Some(VERSION) {
            return Ok(candidate);
        }
    }
    println!("building cargo-deny {VERSION}, once for this target directory");
    let root = tools.to_str().context("a path that is not UTF-8")?;
    let mut words = vec!["cargo", "install", "cargo-deny", "--version", VERSION, "--locked", "--force"];
    // Unoptimised: it runs for a second or two, and an optimised build takes several minutes longer.
    words.extend(["--debug", "--quiet", "--root", root]);
    Tool::new(&words).env("CARGO_PROFILE_DEV_DEBUG", "0").inside(&checkout.root).run()?;
    Ok(built)
}

fn version(program: &PathBuf) -> Option<String> {
    let mut tool = Tool::new(&[program, &PathBuf::from("--version")]);
    let output = tool.command().stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let printed = String::from_utf8(output.stdout).ok()?;
    Some(printed.split_whitespace().nth(1)?.to_owned())
}
