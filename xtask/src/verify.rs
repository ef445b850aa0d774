//! `cargo verify`: the steps of the gate, in order, up to the first that fails.

use std::fs;
use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use mailsonar_clock::{Clock, SystemClock};

use crate::checkout::Checkout;
use crate::step::{Ran, Step, Verdict};

/// Cheap ones first, so that a small slip is known in seconds.
const STEPS: &[Step] = &[
    Step {
        name: "packages",
        words: &["cargo", "xtask", "packages"],
        env: &[],
        limit: Duration::from_mins(10),
    },
    Step { name: "foreign", words: &["cargo", "xtask", "foreign"], env: &[], limit: Duration::from_mins(10) },
    Step {
        name: "format",
        words: &["cargo", "fmt", "--all", "--check"],
        env: &[],
        limit: Duration::from_mins(2),
    },
    Step { name: "house", words: &["cargo", "xtask", "house"], env: &[], limit: Duration::from_mins(2) },
    Step {
        name: "lint",
        words: &["cargo", "clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"],
        env: &[],
        limit: Duration::from_mins(15),
    },
    Step {
        name: "docs",
        words: &["cargo", "doc", "--locked", "--workspace", "--no-deps", "--document-private-items"],
        env: &[("RUSTDOCFLAGS", "-D warnings")],
        limit: Duration::from_mins(10),
    },
    // The programs the end-to-end tests start, and the tests, in one build: apart, the two would
    // compile most dependencies twice, with and without the features only tests ask for.
    Step {
        name: "build",
        words: &["cargo", "build", "--locked", "--workspace", "--all-targets"],
        env: &[],
        limit: Duration::from_mins(15),
    },
    Step {
        name: TEST,
        words: &["cargo", "test", "--locked", "--workspace", "--no-fail-fast"],
        env: &[],
        limit: Duration::from_mins(40),
    },
    Step {
        name: "dashboards",
        words: &["cargo", "xtask", "dashboards"],
        env: &[],
        limit: Duration::from_mins(20),
    },
    Step { name: "pages", words: &["cargo", "xtask", "pages"], env: &[], limit: Duration::from_mins(10) },
    Step {
        name: "licences",
        words: &["cargo", "xtask", "licences"],
        env: &[],
        limit: Duration::from_mins(10),
    },
];

const TEST: &str = "test";

/// Runs every step; prints a line for each, and at the end how many tests that was.
pub(crate) fn run(checkout: &Checkout, _: &[String]) -> Result<()> {
    let logs = checkout.target.join("verify");
    fs::create_dir_all(&logs).with_context(|| format!("creating {}", logs.display()))?;
    println!("logs: {}", checkout.relative(&logs).display());

    let clock = SystemClock::start();
    let started = clock.now();
    let mut tests = Tally::default();
    for step in STEPS {
        print!("{:<10}", step.name);
        std::io::stdout().flush()?;
        let ran = step.run(&checkout.root, &logs, &clock)?;
        println!(" {:>7.1} s  {}", ran.seconds, word(&ran.verdict));
        if ran.verdict != Verdict::Passed {
            bail!(complaint(step, &ran));
        }
        if step.name == TEST {
            tests = Tally::of(&ran.log);
            ensure!(tests.passed > 0, "`{}` succeeded without running a single test", step.typed());
        }
    }
    let minutes = clock.now().duration_since(started).as_secs_f64() / 60.0;
    println!("\nverified: {} steps in {minutes:.1} min", STEPS.len());
    println!("{} passed, {} failed, {} skipped", tests.passed, tests.failed, tests.ignored);
    Ok(())
}

fn word(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Passed => "ok".to_owned(),
        Verdict::Failed(status) => format!("FAILED ({status})"),
        Verdict::Overran => "FAILED (took too long, ended)".to_owned(),
    }
}

fn complaint(step: &Step, ran: &Ran) -> String {
    let mut text = format!("\n{}\n\n", ran.log.trim_end());
    // Said once more, because other tests' output may have buried it.
    for line in ran.log.lines().filter(|line| line.starts_with("test ") && line.ends_with(" FAILED")) {
        text += &[line, "\n"].concat();
    }
    let within = match ran.verdict {
        Verdict::Overran => format!(" within {} minutes", step.limit.as_secs() / 60),
        Verdict::Passed | Verdict::Failed(_) => String::new(),
    };
    let (name, typed) = (step.name, step.typed());
    text + &format!("verify stopped: step `{name}` did not pass{within}. Run it alone:\n\n    {typed}\n")
}

/// How many tests ran, by the closing lines of cargo's test runner.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Tally {
    fn of(log: &str) -> Self {
        let mut tally = Self::default();
        for line in log.lines().filter_map(|line| line.strip_prefix("test result: ")) {
            let words: Vec<&str> = line.split([' ', ';']).collect();
            for pair in words.windows(2) {
                let Ok(count) = pair[0].parse::<u64>() else { continue };
                match pair[1] {
                    "passed" => tally.passed += count,
                    "failed" => tally.failed += count,
                    "ignored" => tally.ignored += count,
                    _ => {}
                }
            }
        }
        tally
    }
}

#[cfg(test)]
mod tests {
    use std::process::ExitStatus;

    use super::*;

    #[test]
    fn tests_of_all_binaries_are_counted_together() {
        let log = "\
running 3 tests
test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s
     Running tests/e2e.rs
test result: FAILED. 40 passed; 3 failed; 0 ignored; 0 measured; 7 filtered out; finished in 12.00s
";
        assert_eq!(Tally::of(log), Tally { passed: 42, failed: 3, ignored: 1 });
        assert_eq!(Tally::of("Finished `test` profile\n"), Tally::default());
    }

    fn complaint_of(step: &str, verdict: Verdict, log: &str) -> String {
        let step = STEPS.iter().find(|known| known.name == step).unwrap();
        complaint(step, &Ran { verdict, seconds: 1.0, log: log.to_owned() })
    }

    #[test]
    fn a_complaint_ends_with_the_command_to_type() {
        let text = complaint_of("docs", Verdict::Overran, "the log\n");
        assert!(text.starts_with("\nthe log\n"), "{text}");
        assert!(text.contains("within 10 minutes"), "{text}");
        let typed =
            "RUSTDOCFLAGS='-D warnings' cargo doc --locked --workspace --no-deps --document-private-items";
        assert!(text.trim_end().ends_with(typed), "{text}");
    }

    #[test]
    fn a_failed_test_is_named_again_after_all_the_output() {
        let log = "test mail::arrives ... FAILED\n\nrunning 1 test\ntest mail::leaves ... ok\n";
        let text = complaint_of(TEST, Verdict::Failed(ExitStatus::default()), log);
        let end = text.split_once("mail::leaves").unwrap().1;
        assert!(end.contains("test mail::arrives ... FAILED\nverify stopped"), "{text}");
    }
}
