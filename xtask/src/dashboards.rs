//! `cargo xtask dashboards`: draws every dashboard, with Grafana's own components, in a real browser.
//!
//! npm brings the components, as `package-lock.json` has them; `tsc` holds the dashboards against Grafana's
//! schema; the page is bundled; and the tests that replay a whole outage are run, which `cargo test` alone leaves
//! out: the alerts it fires, and the dashboards it draws. With `MAILSONAR_PICTURES=docs/pictures` it leaves pictures there.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

use crate::checkout::Checkout;
use crate::tool::Tool;

/// How many tests there are that only this runs.
const TESTS: &str = "test result: ok. 2 passed";
/// The first release line of Node.js that the bundler runs on.
const NODE: u32 = 20;

/// Builds the page and runs the test.
pub(crate) fn run(checkout: &Checkout, _: &[String]) -> Result<()> {
    let preview = checkout.root.join("dashboards/preview");
    node_is_new_enough()?;
    install(&preview)?;
    Tool::new(&["npm", "run", "build"]).inside(&preview).run()?;
    let words = ["cargo", "test", "--locked", "--package", "mailsonar-rehearsal", "--test", "dashboards"];
    let mut tool = Tool::new(&[&words[..], &["--", "--ignored", "--nocapture"]].concat());
    let printed = tool.inside(&checkout.root).output()?;
    print!("{printed}");
    ensure!(printed.contains(TESTS), "the two tests that draw and replay the outage were not both run");
    Ok(())
}

fn node_is_new_enough() -> Result<()> {
    let printed = Tool::new(&["node", "--version"]).output()?;
    let major =
        printed.trim().trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    match major {
        Some(major) if major >= NODE => Ok(()),
        _ => bail!("Node.js {NODE} or newer is needed, and `node` is {}", printed.trim()),
    }
}

/// What the lock file says, unless it is there already.
fn install(preview: &Path) -> Result<()> {
    let lock = fs::read(preview.join("package-lock.json"))
        .context("reading dashboards/preview/package-lock.json")?;
    let installed = preview.join("node_modules/.installed");
    if fs::read(&installed).is_ok_and(|there| there == lock) {
        return Ok(());
    }
    // No package needs its scripts, and the peers that some name are not the ones that work together.
    let words = ["npm", "ci", "--legacy-peer-deps", "--ignore-scripts", "--no-audit", "--no-fund"];
    Tool::new(&words).inside(preview).run()?;
    fs::write(&installed, lock).with_context(|| format!("writing {}", installed.display()))
}
