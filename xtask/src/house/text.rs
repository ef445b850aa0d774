//! The rules that are read off a file's text.

use super::Finding;

/// Lines of a source file, its tests aside, at which it should have become two.
const CEILING: usize = 500;

/// Paths that exist on one machine only. (In pieces, or this file would break its own rule.)
const MACHINE_PATHS: [&str; 2] = [concat!("/wo", "rk/"), concat!("/ro", "ot/")];

/// Words in the host names of package registries and their mirrors.
const REGISTRIES: [&str; 7] =
    ["registry", "artifactory", "crates", "pypi", "pythonhosted", "npmjs", "debian"];

/// Files of pure decisions, and what a pure decision has no use for.
const PURE: [&str; 2] = ["agent/src/verdict", "collector/src/evaluate"];
const IMPURE: [&str; 9] =
    ["tokio", "rusqlite", "reqwest", "axum", "async fn", ".await", "SharedClock", "std::fs", "std::net"];

/// All findings in the file `path` with the text `content`.
pub(super) fn check(path: &str, content: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut found = |line: Option<usize>, what: String| {
        let place = line.map_or_else(|| path.to_owned(), |line| format!("{path}:{line}"));
        findings.push(Finding { place, what });
    };
    for (index, line) in content.lines().enumerate() {
        if let Some(machine) = MACHINE_PATHS.iter().find(|machine| line.contains(**machine)) {
            found(Some(index + 1), format!("names a path of one machine, {machine}; write it relative"));
        }
        if !is_lock(path)
            && let Some(host) = registry(line)
        {
            found(Some(index + 1), format!("names a package registry's host, {host}; name the package"));
        }
    }
    if extension(path) == "rs" {
        if !content.starts_with("//!") {
            found(None, "must start with `//!`: what it holds and what it must not know".to_owned());
        }
        let lines = production(content).count();
        if lines > CEILING && !is_test(path) {
            found(None, format!("{lines} lines without its tests; past {CEILING} it holds two things"));
        }
        if PURE.iter().any(|stem| is_below(path, stem)) && !is_test(path) {
            for (number, word) in impurities(content) {
                found(Some(number), format!("`{word}` in a pure decision: facts and now in, a reason out"));
            }
        }
    }
    findings
}

/// Lock files say where each package was resolved; that is their purpose.
fn is_lock(path: &str) -> bool {
    extension(path) == "lock" || path.ends_with("package-lock.json")
}

fn extension(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(_, extension)| extension)
}

fn is_test(path: &str) -> bool {
    path.split('/').any(|part| part == "tests" || part == "tests.rs")
}

/// Whether `path` is the module `stem`, as a file or as a folder.
fn is_below(path: &str, stem: &str) -> bool {
    path.strip_prefix(stem).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

/// The lines before the module of tests that closes a file.
fn production(content: &str) -> impl Iterator<Item = &str> {
    let lines: Vec<&str> = content.lines().collect();
    let opens =
        |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].contains("mod ") && pair[1].ends_with('{');
    let end = lines.windows(2).position(opens).unwrap_or(lines.len());
    lines.into_iter().take(end)
}

/// Lines of code (not comments) with a word no pure decision needs.
fn impurities(content: &str) -> Vec<(usize, &'static str)> {
    let code = production(content).enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
    code.filter_map(|(index, line)| {
        IMPURE.into_iter().find(|word| line.contains(word)).map(|word| (index + 1, word))
    })
    .collect()
}

/// The first host name in `line` that belongs to a package registry.
fn registry(line: &str) -> Option<&str> {
    let inside = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    line.split("://").skip(1).find_map(|rest| {
        let host = &rest[..rest.find(|c| !inside(c)).unwrap_or(rest.len())];
        REGISTRIES.iter().any(|word| host.contains(word)).then_some(host)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(path: &str, content: &str) -> Vec<String> {
        check(path, content).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_machine_path_is_found_with_its_line() {
        let text = format!("one\nsee {}shared/x\n", MACHINE_PATHS[0]);
        let found = complaints("README.md", &text);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("README.md:2: "), "{found:?}");
        assert!(complaints("README.md", "target/work\nthe root / of it\n").is_empty());
    }

    #[test]
    fn a_registry_is_found_by_its_host_alone_and_lock_files_may_name_it() {
        let text = concat!("url = \"https:", "//index.crates.io:443/x\"\n");
        assert_eq!(complaints("deny.toml", text).len(), 1);
        assert!(complaints("dashboards/package-lock.json", text).is_empty());
        assert!(complaints("a.md", "https://github.com/rust-lang/crates.io-index and Debian\n").is_empty());
    }

    #[test]
    fn tests_at_the_end_do_not_count_and_test_modules_declared_at_the_top_hide_nothing() {
        let long = format!("//! x\n{}", "const A: u8 = 1;\n".repeat(500));
        assert_eq!(complaints("a/src/b.rs", &long).len(), 1);
        assert!(complaints("a/tests/it/b.rs", &long).is_empty());

        let tests = format!("//! x\n#[cfg(test)]\nmod tests {{\n{}}}\n", "    // t\n".repeat(600));
        assert!(complaints("a/src/b.rs", &tests).is_empty());
        let elsewhere = format!("//! x\n#[cfg(test)]\nmod tests;\n{}", "const A: u8 = 1;\n".repeat(500));
        assert_eq!(complaints("a/src/b.rs", &elsewhere).len(), 1);
    }

    #[test]
    fn a_source_file_says_what_it_holds() {
        assert_eq!(complaints("a/src/b.rs", "use std::fmt;\n").len(), 1);
        assert!(complaints("a/src/b.rs", "//! What it holds.\n").is_empty());
    }

    #[test]
    fn a_decision_that_waits_is_not_pure_though_a_comment_may_say_so() {
        let waiting = "//! Decides.\nlet now = clock.now().await;\n";
        assert_eq!(complaints("collector/src/evaluate/blame.rs", waiting).len(), 1);
        assert_eq!(complaints("agent/src/verdict.rs", waiting).len(), 1);
        assert!(complaints("agent/src/submit.rs", waiting).is_empty());
        assert!(complaints("agent/src/verdict.rs", "//! Knows no tokio.\n// nor .await\n").is_empty());
    }
}
