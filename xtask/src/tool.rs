//! Starting other programs as a developer's shell would, and saying exactly what was started.

use std::ffi::OsStr;
use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// What `cargo run` leaves in the environment about *this* program. Build scripts watch some of
/// these, so handing them on would make every nested build differ from the one typed by hand.
const OURS_ALONE: [&str; 6] =
    ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_BIN_", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "OUT_DIR"];

/// A command line with its environment, printable as it would be typed.
pub(crate) struct Tool {
    typed: String,
    command: Command,
}

impl Tool {
    /// `words` as typed in a shell: the program, then its arguments.
    pub(crate) fn new<W: AsRef<OsStr>>(words: &[W]) -> Self {
        let mut words = words.iter().map(AsRef::as_ref);
        let program = words.next().unwrap_or_default();
        let mut tool = Self { typed: quoted(program), command: Command::new(program) };
        for (name, _) in std::env::vars_os() {
            if OURS_ALONE.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
                tool.command.env_remove(name);
            }
        }
        for word in words {
            tool.typed.push(' ');
            tool.typed += &quoted(word);
            tool.command.arg(word);
        }
        tool
    }

    /// Sets a variable for this command alone.
    pub(crate) fn env(&mut self, name: &str, value: &str) -> &mut Self {
        self.typed = format!("{name}={} {}", quoted(value.as_ref()), self.typed);
        self.command.env(name, value);
        self
    }

    pub(crate) fn inside(&mut self, folder: &Path) -> &mut Self {
        self.command.current_dir(folder);
        self
    }

    /// Runs it in the terminal's sight; fails unless it succeeds.
    pub(crate) fn run(&mut self) -> Result<()> {
        let status = self.command.status().with_context(|| self.starting())?;
        ensure!(status.success(), "`{self}` failed ({status})");
        Ok(())
    }

    /// What it printed; fails, with its complaint, unless it succeeds.
    pub(crate) fn output(&mut self) -> Result<String> {
        let output = self.command.stdin(Stdio::null()).output().with_context(|| self.starting())?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`{self}` failed ({}):\n{complaint}", output.status);
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The command itself, for what this type does not wrap.
    pub(crate) fn command(&mut self) -> &mut Command {
        &mut self.command
    }

    /// What was being done when it could not even be started, for an error.
    pub(crate) fn starting(&self) -> String {
        format!("starting `{self}`")
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.typed)
    }
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    if !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c)) {
        return word.into_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_printed_as_it_would_be_typed() {
        let mut tool = Tool::new(&["cargo", "doc", "it's", "--no-deps"]);
        tool.env("RUSTDOCFLAGS", "-D warnings");
        assert_eq!(tool.to_string(), r"RUSTDOCFLAGS='-D warnings' cargo doc 'it'\''s' --no-deps");
    }

    #[test]
    fn what_a_failed_program_said_is_in_the_error() {
        let error = Tool::new(&["sh", "-c", "echo no such thing >&2; exit 3"]).output().unwrap_err();
        assert!(format!("{error:#}").contains("no such thing"), "{error:#}");
    }
}
