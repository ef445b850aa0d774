//! What agents and the collector have in common in a fleet: a program with a configuration of its own,
//! that can be killed, stopped, changed and started again.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::Value;

use super::settings;
use crate::patience;
use crate::peers::{Process, http};
use crate::processes::ProcessId;

/// How long a start may take on a busy machine.
const START: Duration = Duration::from_secs(20);
/// How long a gentle end may take.
const END: Duration = Duration::from_secs(10);

/// One member of the fleet. Killed with the value.
#[derive(Debug)]
pub struct Member {
    /// What it is called in messages.
    pub(super) name: String,
    /// The stem of its files: `agent` or `collector`.
    pub(super) kind: &'static str,
    /// Its program, and the word that makes it work.
    pub(super) program: (PathBuf, &'static str),
    /// The level of its log.
    pub(super) log: &'static str,
    /// Its directory, with a directory `run` in it.
    pub(super) dir: PathBuf,
    /// Where it serves, and the page that says that it is up.
    pub(super) address: SocketAddr,
    pub(super) up: &'static str,
    pub(super) settings: Mutex<Value>,
    pub(super) process: Mutex<Option<Process>>,
}

impl Member {
    /// Where it serves.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its directory: its configuration, its state, and its log.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its process, while there is one.
    pub fn process(&self) -> Option<ProcessId> {
        self.running().as_ref().map(Process::id)
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        fs::read(self.dir.join(format!("{}.err", self.kind)))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Its metrics, as Prometheus gets them.
    pub fn metrics(&self) -> Result<String> {
        Ok(http::get(self.address, "/metrics")?.body)
    }

    /// Changes its configuration, for the next [`Self::restart`].
    pub fn reconfigure(&self, change: impl FnOnce(&mut Value)) {
        change(&mut self.settings.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// `SIGKILL`. One that does not run stays so.
    pub fn kill9(&self) -> Result<()> {
        self.running().take().map_or(Ok(()), |mut process| process.kill9())
    }

    /// `SIGTERM`, and waits for its end.
    pub fn stop(&self) -> Result<()> {
        let Some(mut process) = self.running().take() else { return Ok(()) };
        let status = process.terminate(END)?;
        if status.success() { Ok(()) } else { bail!("{} ended with {status}: {}", self.name, self.log()) }
    }

    /// Kills it (`SIGKILL`) if it runs, and starts it with the configuration as it is now.
    pub fn restart(&self) -> Result<()> {
        self.kill9()?;
        self.launch()?;
        self.wait_until_up()
    }

    /// [`Self::restart`] without waiting until it serves.
    pub fn launch(&self) -> Result<()> {
        let config = self.dir.join(format!("{}.toml", self.kind));
        settings::write(&config, &self.settings.lock().unwrap_or_else(PoisonError::into_inner))?;
        let (program, word) = &self.program;
        let mut command = Command::new(program);
        command.args([word, "--config"]).arg(&config).env("MAILSONAR_LOG", self.log);
        let process = Process::spawn(self.kind, &mut command, &self.dir)?;
        // where the testbed's sweeper looks for what a killed test leaves behind
        fs::write(self.dir.join("run/master.pid"), process.id().pid().to_string())?;
        *self.running() = Some(process);
        Ok(())
    }

    /// Waits until it serves.
    pub fn wait_until_up(&self) -> Result<()> {
        let up = patience::until(&format!("{} to be up", self.name), START, || {
            let dead = self.process().is_none_or(|process| !process.is_alive());
            let up = http::get(self.address, self.up).is_ok_and(|page| page.status == 200);
            (up || dead).then_some(up)
        });
        if up.as_ref().is_ok_and(|up| *up) {
            Ok(())
        } else {
            bail!("{} did not start: {}", self.name, self.log())
        }
    }

    fn running(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
