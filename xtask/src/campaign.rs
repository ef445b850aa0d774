//! Long campaigns: end-to-end tests that run for minutes or hours, in a release build, when asked.
//!
//! A campaign is an `#[ignore]`d test with a row in this table, most in `rehearsal/tests/e2e`. Its size
//! comes from environment variables; a value set by the caller wins over the row's.

use std::env;

use anyhow::{Context as _, Result, bail, ensure};

use crate::checkout::Checkout;
use crate::packages;
use crate::table::table;
use crate::tool::Tool;

struct Campaign {
    /// What is typed, and what the names of the tests it runs contain.
    name: &'static str,
    /// The package and its test that hold it.
    of: (&'static str, &'static str),
    what: &'static str,
    settings: &'static [Setting],
}

struct Setting {
    variable: &'static str,
    default: &'static str,
    what: &'static str,
}

const CAMPAIGNS: &[Campaign] = &[
    Campaign {
        name: "kill",
        of: ("mailsonar-rehearsal", "e2e"),
        what: "kill -9 agent and collector at random instants: no probe lost, none invented, no page missed",
        settings: &[Setting { variable: "MAILSONAR_ROUNDS", default: "300", what: "how many kills" }],
    },
    Campaign {
        name: "hundreds_of_incidents",
        of: ("mailsonar-collector", "it"),
        what: "kill -9 the collector while incidents come and go: each paged and resolved at each notifier",
        settings: &[Setting { variable: "MAILSONAR_INCIDENTS", default: "500", what: "how many incidents" }],
    },
    Campaign {
        name: "seeds",
        of: ("mailsonar-rehearsal", "scenarios"),
        what: "random days in simulated time: what must hold, against the mail service's own truth",
        settings: &[
            Setting { variable: "MAILSONAR_FROM", default: "0", what: "the first seed" },
            Setting { variable: "MAILSONAR_SEEDS", default: "1000", what: "how many" },
        ],
    },
    Campaign {
        name: "twice",
        of: ("mailsonar-rehearsal", "scenarios"),
        what: "every shipped scenario tells the same twice, byte for byte",
        settings: &[],
    },
];

/// Runs the campaign named, or lists them all.
pub(crate) fn run(checkout: &Checkout, words: &[String]) -> Result<()> {
    let name = match words {
        [] => {
            print!("{}", listed());
            return Ok(());
        }
        [name] => name,
        [_, more @ ..] => bail!("one campaign at a time; `{}` is too much", more.join(" ")),
    };
    let campaign = CAMPAIGNS.iter().find(|campaign| campaign.name == name);
    let campaign = campaign.with_context(|| format!("no campaign is called `{name}`.\n\n{}", listed()))?;

    packages::run(checkout, &[])?;
    Tool::new(&["cargo", "build", "--release", "--workspace", "--bins"]).inside(&checkout.root).run()?;
    let list = campaign.tests(&["--list"]).inside(&checkout.root).output()?;
    ensure!(
        list.lines().any(|line| line.ends_with(": test")),
        "{} holds no ignored test for the campaign `{name}`",
        campaign.of.1
    );
    let mut tests = campaign.tests(&["--nocapture", "--test-threads=1"]);
    for setting in campaign.settings {
        let value = env::var(setting.variable).unwrap_or_else(|_| setting.default.to_owned());
        tests.env(setting.variable, &value);
    }
    println!("{tests}");
    tests.inside(&checkout.root).run()
}

impl Campaign {
    fn tests(&self, options: &[&str]) -> Tool {
        let (package, test) = self.of;
        let mut words = vec!["cargo", "test", "--release", "--package", package, "--test", test];
        words.extend(["--", "--ignored", self.name]);
        words.extend(options);
        Tool::new(&words)
    }
}

fn listed() -> String {
    let mut rows = Vec::new();
    for Campaign { name, what, settings, .. } in CAMPAIGNS {
        rows.push(((*name).to_owned(), *what));
        for Setting { variable, default, what } in *settings {
            rows.push((format!("  {variable}={default}"), *what));
        }
    }
    format!("Usage: [VARIABLE=VALUE …] cargo xtask campaign NAME\n\n{}", table(rows))
}
