//! What `--help` says, word for word: to change it is to change what people's scripts and notes rely on.
//!
//! After a change that is meant, write the files anew:
//! `MAILSONAR_WRITE_HELP=1 cargo test -p mailsonar-agent help`, and read the difference.

use std::path::Path;

use crate::place::{agent, err, out};

const PAGES: &[(&str, &[&str])] = &[
    ("mailsonar-agent", &[]),
    ("mailsonar-agent-run", &["run"]),
    ("mailsonar-agent-check", &["check"]),
    ("mailsonar-agent-trace", &["trace"]),
    ("mailsonar-agent-explain", &["explain"]),
    ("mailsonar-agent-config", &["config"]),
    ("mailsonar-agent-config-check", &["config", "check"]),
];

#[test]
fn help_is_as_it_was() {
    let mut changed = Vec::new();
    for (page, command) in PAGES {
        let arguments = [*command, &["--help"]].concat();
        let output = agent(&arguments);
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/help").join(format!("{page}.txt"));
        if std::env::var_os("MAILSONAR_WRITE_HELP").is_some() {
            std::fs::write(&path, out(&output)).expect("written");
        }
        let pinned = std::fs::read_to_string(&path).unwrap_or_default();
        if pinned != out(&output) {
            changed.push(format!("{}:\n{}", path.display(), out(&output)));
        }
    }
    assert!(changed.is_empty(), "see {} for what to do about\n{}", file!(), changed.join("\n"));
}

#[test]
fn every_command_has_its_page() {
    let commands = |arguments: &[&str]| {
        let text = out(&agent(&[arguments, &["--help"]].concat()));
        let (_, rest) = text.split_once("Commands:\n").expect("there are commands");
        let lines = rest.lines().take_while(|line| line.starts_with("  "));
        let words = lines.filter_map(|line| line.split_whitespace().next().map(str::to_owned));
        words.filter(|word| word != "help").collect::<Vec<_>>()
    };
    let named = |command: &[&str]| PAGES.iter().any(|(_, page)| *page == command);
    for command in commands(&[]) {
        assert!(named(&[&command]), "{command}");
    }
    for command in commands(&["config"]) {
        assert!(named(&["config", &command]), "config {command}");
    }
}

#[test]
fn the_version_is_the_crates() {
    let output = agent(&["--version"]);
    assert_eq!(out(&output), format!("mailsonar-agent {}\n", env!("CARGO_PKG_VERSION")));
}
