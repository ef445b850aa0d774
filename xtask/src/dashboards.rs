//! `cargo xtask dashboards`: draws every dashboard, with Grafana's own components, in a real browser.
//!
//! npm brings the components, as `package-lock.json` has them; `tsc` holds the dashboards against Grafana's
//! schema; the page is bundled; and the tests that replay a whole outage are run, which `cargo test` alone leaves
//! out: the alerts it fires, and the dashboards it draws. With `MAILSONAR_PICTURES=docs/pictures` it leaves pictures there.

use anyhow::{Result, ensure};

use crate::checkout::Checkout;
use crate::node::Node;

/// How many tests there are that only this runs.
const TESTS: &str = "test result: ok. 2 passed";

/// Builds the page and runs the test.
pub(crate) fn run(checkout: &Checkout, _: &[String]) -> Result<()> {
    let preview = checkout.root.join("dashboards/preview");
    let node = Node::find(checkout)?;
    node.install(&preview)?;
    node.tool(&["npm", "run", "build"]).inside(&preview).run()?;
    let words = ["cargo", "test", "--locked", "--package", "mailsonar-rehearsal", "--test", "dashboards"];
    let mut tool = node.tool(&[&words[..], &["--", "--ignored", "--nocapture"]].concat());
    let printed = tool.inside(&checkout.root).output()?;
    print!("{printed}");
    ensure!(printed.contains(TESTS), "the two tests that draw and replay the outage were not both run");
    Ok(())
}
