//! Running the servers' own tools to their end, with their words kept for the error.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// What must be installed: a file, and the Debian package that brings it.
const NEEDED: [(&str, &str); 4] = [
    ("/usr/lib/postfix/sbin/master", "postfix"),
    ("/usr/sbin/dovecot", "dovecot-core"),
    ("/usr/lib/dovecot/imap-login", "dovecot-imapd"),
    ("/usr/lib/dovecot/lmtp", "dovecot-lmtpd"),
];

/// Says what is missing before anything is started.
pub(super) fn check_requirements() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("the testbed must run as root: Postfix and Dovecot switch users");
    }
    for (file, package) in NEEDED {
        require(Path::new(file), package)?;
    }
    Ok(())
}

/// Checks that a program is there, or names the Debian package that brings it.
pub(crate) fn require(file: &Path, package: &str) -> Result<()> {
    if !file.exists() {
        bail!("{} is missing: install it with `apt-get install {package}`", file.display());
    }
    Ok(())
}

/// Runs a command to its end; anything but success is an error with its output.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("start {command:?}"))?;
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        bail!("{command:?} ended with {}: {}", output.status, text.trim());
    }
    Ok(text)
}
