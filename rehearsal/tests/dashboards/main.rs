//! What lies in `dashboards/`, against the real programs that will read it: rules, routes,
//! runbooks, dashboards.

#![allow(clippy::print_stdout, reason = "figures, for whoever runs it with --nocapture")]

mod conventions;
mod names;
mod outage;
mod preview;
mod rules;
mod thursday;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A place in the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The text of a file of the repository.
fn text(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The files of a folder with this ending, in order.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(repository(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let paths = entries.map(|entry| entry.expect("a folder that can be read").path());
    let mut files: Vec<_> = paths.filter(|path| path.to_string_lossy().ends_with(ending)).collect();
    files.sort();
    assert!(!files.is_empty(), "there is no {ending} in {folder}");
    files
}

/// Runs a program that must succeed, and returns what it said. `package` brings it.
fn run(package: &str, command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; install it with `apt-get install {package}`"));
    let words =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?} ended with {}:\n{words}", output.status);
    words
}
