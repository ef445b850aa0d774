//! An operator's own configuration: the annotated examples, as they are shipped, play a bad day.

use std::path::{Path, PathBuf};

use mailsonar_rehearsal::own::Own;
use mailsonar_rehearsal::scenario::{Plan, Report, human, on_stage, play};

/// Written for the usual world: `acme`, its regions, its routes.
const SCENARIO: &str = r#"
title = "The way in and the way out are gone"
story = "A switch dies, and one region has a bad day besides."
starts_at = "2026-03-05T10:58:00Z"
lasts = "5m"

[[event]]
at = "11:00"
name = "outage"
words = "The switch"
break = ["gone provider=acme.example service=smtps", "gone provider=acme.example service=mx"]

[[event]]
at = "11:02"
words = "Singapore is cut off"
cut = ["singapore"]

[[expect.page]]
leg = "send"
kind = "incident.trigger"
after = "outage"
within = "60s"
words = ["acme", "submission"]

[[expect.page]]
notifier = "duty"
leg = "receive"
after = "outage"
within = "2m"

[[expect.probes]]
route = "receive"
outcome = "delivered"
before = "outage"
at_least = 2
"#;

fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config");
    ["agent.toml", "collector.toml"].map(|name| folder.join(name)).to_vec()
}

fn scenario(directory: &tempfile::TempDir, text: &str) -> PathBuf {
    let path = directory.path().join("day.toml");
    std::fs::write(&path, text).expect("written");
    path
}

#[test]
fn the_examples_play_a_bad_day_and_every_notifier_says_it_in_its_own_words() {
    let directory = tempfile::tempdir().expect("a directory");
    let own = Own::read(&examples(), None).unwrap_or_else(|wrong| panic!("{wrong}"));
    let path = scenario(&directory, SCENARIO);
    let plan = Plan::read_for(&path, Some(&own)).unwrap_or_else(|wrong| panic!("{wrong}"));
    let played = on_stage(true, play(&plan, 1)).unwrap_or_else(|error| panic!("{error:#}"));
    let report = Report::of(&plan, 1, &played);
    let text = human::text(&report);
    assert!(report.is_met(), "{text}");
    for told in ["eu-1's", "us-1", "cannot be believed now: us", "smtp.acme.example"] {
        assert!(text.contains(told), "{told}: {text}");
    }
    let words = |notifier: &str| {
        let first = played.pages.iter().find(|paged| paged.notifier == notifier);
        first.unwrap_or_else(|| panic!("{notifier} was not paged: {text}")).words.clone()
    };
    for notifier in ["pager", "duty", "script"] {
        assert!(words(notifier).starts_with("Sending through acme fails"), "{}", words(notifier));
    }
    for notifier in ["alerts", "phone", "letter"] {
        assert!(words(notifier).starts_with("DOWN: acme send\nSending"), "{}", words(notifier));
    }
    assert!(words("channel").starts_with("*DOWN: acme send*\n"), "{}", words("channel"));
    assert!(words("letter").contains("https://mailsonar.example/incidents/"), "{}", words("letter"));
}

/// What is said of files that cannot be played.
fn complaint(agent: &str, collector: &str, service: Option<&str>) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    let paths = [("agent.toml", agent), ("collector.toml", collector)].map(|(name, text)| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    });
    Own::read(&paths, service).expect_err("it is wrong").to_string()
}

#[test]
fn what_cannot_be_played_is_said_at_its_place_in_the_operators_own_file() {
    let [agent, collector] =
        [&examples()[0], &examples()[1]].map(|path| std::fs::read_to_string(path).expect("an example"));
    let line = |text: &str, part: &str| {
        text.lines().position(|line| line.starts_with(part)).expect("it is there") + 1
    };

    let stranger = agent.replace("agent = \"eu-1\"", "agent = \"eu-9\"");
    let shown = complaint(&stranger, &collector, None);
    assert!(shown.contains("collector.toml") && shown.contains("does not know agent \"eu-9\""), "{shown}");

    let elsewhere = agent.replace("region = \"eu\"", "region = \"mars\"");
    let shown = complaint(&elsewhere, &collector, None);
    assert!(shown.contains(&format!("collector.toml:{}", line(&collector, "region = \"eu\""))), "{shown}");

    let lost = agent.replace("to = \"reference-b\"", "to = \"nobody\"");
    let shown = complaint(&lost, &collector, None);
    let place = format!("agent.toml:{}: routes.control.to", line(&lost, "to = \"nobody\""));
    assert!(shown.contains(&place), "{place}: {shown}");

    let greedy = collector.replace("failures = 3", "failures = 9");
    let shown = complaint(&agent, &greedy, None);
    assert!(shown.contains("evaluate.window"), "{shown}");

    let shown = complaint(&agent, &collector, Some("omega"));
    assert!(shown.contains("there is no service \"omega\", but acme"), "{shown}");
    let shown = Own::read(&examples()[..1], None).expect_err("no collector").to_string();
    assert!(shown.contains("0 of these files are a collector's"), "{shown}");
}

#[test]
fn a_region_that_nobody_plays_is_told_with_its_line() {
    let directory = tempfile::tempdir().expect("a directory");
    let own = Own::read(&examples(), None).unwrap_or_else(|wrong| panic!("{wrong}"));
    let four = SCENARIO.replace(
        "[[event]]\nat = \"11:00\"",
        "[world]\nregions = { a = \"9ms\", b = \"9ms\", c = \"9ms\", singapore = \"9ms\" }\n[[event]]\nat = \"11:00\"",
    );
    let shown = Plan::read_for(&scenario(&directory, &four), Some(&own)).expect_err("nobody").to_string();
    assert!(shown.contains("no agent to play it") && shown.contains("cut = [\"singapore\"]"), "{shown}");
    assert!(shown.contains("ap, eu, us"), "{shown}");
}
