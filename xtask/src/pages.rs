//! `cargo xtask pages`: looks at every page of the collector in a real browser.
//!
//! npm brings the driver of the browser, the judge of accessibility and the judge of the API's description, as
//! `package-lock.json` has them; then the tests are run that `cargo test` alone leaves out. With
//! `MAILSONAR_PICTURES=docs/pictures` they leave the documentation's pictures there.

use anyhow::{Result, ensure};

use crate::checkout::Checkout;
use crate::node::Node;

/// How many tests there are that only this runs.
const TESTS: &str = "test result: ok. 2 passed";

/// Installs what is missing and runs the tests.
pub(crate) fn run(checkout: &Checkout, _: &[String]) -> Result<()> {
    let node = Node::find(checkout)?;
    node.install(&checkout.root.join("collector/tests/browser"))?;
    let words =
        ["cargo", "test", "--locked", "--package", "mailsonar-collector", "--test", "it", "pages::browser"];
    let mut tool = node.tool(&[&words[..], &["--", "--ignored", "--nocapture"]].concat());
    let printed = tool.inside(&checkout.root).output()?;
    print!("{printed}");
    ensure!(printed.contains(TESTS), "the two tests of the pages in a browser were not both run");
    Ok(())
}
