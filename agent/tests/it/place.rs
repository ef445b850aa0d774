//! Where tests keep files, and how they run the program. Knows no test.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The root of the checkout.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in the workspace").to_owned()
}

/// A directory that is gone after the test.
pub(crate) struct Place(tempfile::TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file that only its owner can read.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.path(name);
        std::fs::write(&path, text).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("closed");
        path
    }
}

/// Runs the program to its end, without anything of the environment that could change what it does.
pub(crate) fn agent(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mailsonar-agent"))
        .args(arguments)
        .env_remove("MAILSONAR_AGENT_CONFIG")
        .env_remove("MAILSONAR_LOG")
        .env_remove("COLUMNS")
        .output()
        .expect("the program runs")
}

/// What it wrote to standard output.
pub(crate) fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

/// What it wrote to standard error.
pub(crate) fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}
