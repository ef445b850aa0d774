//! `cargo xtask house`: the house's own rules, those no other linter knows.
//!
//! Each rule is a pure function from what was read to findings; this file reads and prints.

mod knows;
mod text;

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::checkout::Checkout;

/// One broken rule.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    /// A file, with its line where that helps.
    place: String,
    /// What is wrong and what to do instead.
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// Checks every rule and prints every finding.
pub(crate) fn run(checkout: &Checkout, _: &[String]) -> Result<()> {
    let mut findings = Vec::new();
    let files = checkout.files()?;
    for path in &files {
        let full = checkout.root.join(path);
        // Deleted and not yet committed, or a link whose target is checked under its own name.
        if !fs::symlink_metadata(&full).is_ok_and(|metadata| metadata.is_file()) {
            continue;
        }
        let bytes = fs::read(&full).with_context(|| format!("reading {path}"))?;
        if let Ok(content) = String::from_utf8(bytes) {
            findings.extend(text::check(path, &content));
        }
    }
    findings.extend(knows::check(&checkout.members));
    findings.extend(lints(checkout)?);

    if findings.is_empty() {
        println!("the house is in order: {} files, {} crates", files.len(), checkout.members.len());
        return Ok(());
    }
    for finding in &findings {
        println!("{finding}");
    }
    bail!("\n{} of the house's rules are broken (xtask/src/house holds them)", findings.len())
}

/// Every crate takes the workspace's lints, and those forbid `unsafe`.
fn lints(checkout: &Checkout) -> Result<Vec<Finding>> {
    let read = |path: &Path| {
        fs::read_to_string(checkout.root.join(path)).with_context(|| format!("reading {}", path.display()))
    };
    let mut findings = Vec::new();
    if !has(&read(Path::new("Cargo.toml"))?, "[workspace.lints.rust]", r#"unsafe_code = "forbid""#) {
        let what = r#"[workspace.lints.rust] must say unsafe_code = "forbid""#.to_owned();
        findings.push(Finding { place: "Cargo.toml".to_owned(), what });
    }
    for member in &checkout.members {
        if !has(&read(&member.manifest)?, "[lints]", "workspace = true") {
            let place = member.manifest.display().to_string();
            findings.push(Finding { place, what: "[lints] must say workspace = true".to_owned() });
        }
    }
    Ok(findings)
}

/// Whether the table `header` of a manifest holds the line `entry`.
fn has(manifest: &str, header: &str, entry: &str) -> bool {
    let mut lines = manifest.lines().map(str::trim);
    lines.by_ref().any(|line| line == header)
        && lines.take_while(|line| !line.starts_with('[')).any(|line| line == entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_counts_only_in_its_own_table() {
        let manifest = "[package]\nname = \"x\"\n\n[lints]\nworkspace = true\n\n[dependencies]\n";
        assert!(has(manifest, "[lints]", "workspace = true"));
        assert!(!has(manifest, "[package]", "workspace = true"));
        assert!(!has("[lints]\n\n[other]\nworkspace = true\n", "[lints]", "workspace = true"));
    }
}
