//! One agent as a process, with its configuration, its state and its lines.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::lines::{Doors, Lines};
use super::settings::{self, Place};
use super::{Plan, Programs, listening_place};
use crate::patience;
use crate::peers::{Process, http};
use crate::processes::ProcessId;
use crate::testbed::Testbed;

/// How long a start may take on a busy machine.
pub(super) const START: Duration = Duration::from_secs(20);
/// How long a gentle end may take.
pub(super) const END: Duration = Duration::from_secs(10);

/// An agent. Killed with the value.
#[derive(Debug)]
pub struct Agent {
    name: String,
    region: &'static str,
    program: PathBuf,
    log: &'static str,
    dir: PathBuf,
    address: SocketAddr,
    lines: Option<Lines>,
    settings: Mutex<Value>,
    process: Mutex<Option<Process>>,
}

impl Agent {
    pub(super) fn start(
        programs: &Programs,
        plan: &Plan,
        number: usize,
        bed: &Testbed,
        collector: SocketAddr,
    ) -> Result<Self> {
        let region = plan.regions[number];
        let name = agent_name(region);
        let dir = bed.dir().join(&name);
        fs::create_dir_all(dir.join("run"))?;
        settings::write_secret(&dir.join("own.password"), &bed.service.accounts()[number].password)?;
        settings::write_secret(&dir.join("far.password"), &bed.reference.accounts()[number].password)?;
        settings::write_secret(&dir.join("collector.token"), &token_of(&name))?;
        let address = listening_place()?;
        let doors = Doors::of(bed);
        let lines = plan.tapped.contains(&number).then(|| Lines::start(&doors)).transpose()?;
        let doors = lines.as_ref().map_or(doors, Lines::doors);
        let place = Place { number, name: &name, listen: address, collector, doors };
        let settings = settings::agent(plan, bed, &place);
        let agent = Self {
            region,
            program: programs.agent.clone(),
            log: plan.log,
            dir,
            address,
            lines,
            settings: Mutex::new(settings),
            process: Mutex::default(),
            name,
        };
        agent.restart()?;
        Ok(agent)
    }

    /// Its name, as the collector knows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its region.
    pub fn region(&self) -> &str {
        self.region
    }

    /// Where it serves `/metrics`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its directory: `agent.toml`, `state/`, and what it logs in `agent.err`.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The lines to the mail servers, where the plan has this agent tapped.
    ///
    /// # Errors
    /// If it has not.
    pub fn lines(&self) -> Result<&Lines> {
        self.lines.as_ref().with_context(|| format!("{} is not among the plan's tapped agents", self.name))
    }

    /// Its process, while there is one.
    pub fn process(&self) -> Option<ProcessId> {
        self.running().as_ref().map(Process::id)
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        fs::read(self.dir.join("agent.err"))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
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
        let config = self.dir.join("agent.toml");
        settings::write(&config, &self.settings.lock().unwrap_or_else(PoisonError::into_inner))?;
        let mut command = Command::new(&self.program);
        command.args(["run", "--config"]).arg(&config).env("MAILSONAR_LOG", self.log);
        let process = Process::spawn("agent", &mut command, &self.dir)?;
        // where the testbed's sweeper looks for what a killed test leaves behind
        fs::write(self.dir.join("run/master.pid"), process.id().pid().to_string())?;
        *self.running() = Some(process);
        Ok(())
    }

    /// Waits until it serves.
    pub fn wait_until_up(&self) -> Result<()> {
        let up = patience::until(&format!("{} to serve", self.name), START, || {
            let dead = self.process().is_none_or(|process| !process.is_alive());
            let up = http::get(self.address, "/healthz").is_ok_and(|page| page.status == 200);
            (up || dead).then_some(up)
        });
        if up.as_ref().is_ok_and(|up| *up) {
            Ok(())
        } else {
            bail!("{} did not start: {}", self.name, self.log())
        }
    }

    /// Its metrics, as Prometheus gets them.
    pub fn metrics(&self) -> Result<String> {
        Ok(http::get(self.address, "/metrics")?.body)
    }

    fn running(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn agent_name(region: &str) -> String {
    format!("{region}-1")
}

/// The bearer token by which the collector knows an agent.
pub(super) fn token_of(agent: &str) -> String {
    format!("token-of-{agent}")
}
