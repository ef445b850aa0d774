//! What cleans up when we cannot: a shell that waits for our end and then kills the servers that are
//! still there, so that a test that is killed leaves nothing running.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// Waits for the end of its input, which is the end of whoever holds the other side. Then each server
/// whose pid file lies in the directory is killed with its children and the script that runs it, if it
/// says of itself that it belongs there (Dovecot by its arguments, Postfix by its environment), and the
/// directory is removed unless it shall be kept.
const SCRIPT: &str = r#"
ours() { grep -qsF "$dir/" "/proc/$1/cmdline" "/proc/$1/environ"; }
dir=$1
cat >/dev/null
for file in "$dir"/*/run/master.pid "$dir"/*/queue/pid/master.pid; do
    pid=$(tr -dc 0-9 <"$file") && ours "$pid" || continue
    kill -STOP "$pid"
    parent=$(sed -n 's/^PPid:[^0-9]*//p' "/proc/$pid/status")
    kill -KILL "$pid" $(cat /proc/"$pid"/task/*/children)
    ours "$parent" && kill -KILL "$parent"
done
[ "$2" = keep ] || rm -rf "$dir"
"#;

/// The shell that waits. Ends with the value, or cleans up when this process ends without dropping it.
#[derive(Debug)]
pub(super) struct Sweeper(Child);

impl Sweeper {
    /// Watches over the servers of one testbed's directory.
    pub(super) fn start(dir: &Path, keep: bool) -> Result<Self> {
        let shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "sweeper"])
            .arg(dir)
            .arg(if keep { "keep" } else { "remove" })
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // what interrupts the test, such as Ctrl-C at a terminal, must not reach it
            .process_group(0)
            .spawn()
            .context("start /bin/sh")?;
        Ok(Self(shell))
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        // closes its input; all is gone already, so it ends at once
        self.0.wait().ok();
    }
}
