//! The collector as a process, and its API as a client sees it.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail};
use mailsonar_collector::ingest::token_hash;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::agent::{END, START, agent_name, token_of};
use super::api::{self, Finding, Incident, Probe};
use super::{Plan, Programs, listening_place, settings};
use crate::patience;
use crate::peers::{Process, http};
use crate::processes::ProcessId;
use crate::testbed::Testbed;

/// The key that signs the pages: 32 bytes in base64.
const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// The collector. Killed with the value.
#[derive(Debug)]
pub struct Collector {
    program: PathBuf,
    log: &'static str,
    dir: PathBuf,
    address: SocketAddr,
    settings: Mutex<Value>,
    process: Mutex<Option<Process>>,
}

impl Collector {
    pub(super) fn start(programs: &Programs, plan: &Plan, bed: &Testbed, webhook: &str) -> Result<Self> {
        let dir = bed.dir().join("collector");
        fs::create_dir_all(dir.join("run"))?;
        settings::write_secret(&dir.join("pager.secret"), SECRET)?;
        let address = listening_place()?;
        let agents: BTreeMap<String, Value> = plan
            .regions
            .iter()
            .map(|region| (agent_name(region), region))
            .map(|(name, region)| {
                let entry = json!({ "region": region, "token_sha256": token_hash(&token_of(&name)) });
                (name, entry)
            })
            .collect();
        let settings = Mutex::new(settings::collector(plan, address, &agents, webhook));
        let program = programs.collector.clone();
        let collector = Self { program, log: plan.log, dir, address, settings, process: Mutex::default() };
        collector.restart()?;
        Ok(collector)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its directory: `collector.toml`, `collector.db`, and what it logs in `collector.err`.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its process, while there is one.
    pub fn process(&self) -> Option<ProcessId> {
        self.running().as_ref().map(Process::id)
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        fs::read(self.dir.join("collector.err"))
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
        if status.success() { Ok(()) } else { bail!("the collector ended with {status}: {}", self.log()) }
    }

    /// Kills it (`SIGKILL`) if it runs, and starts it with the configuration as it is now.
    pub fn restart(&self) -> Result<()> {
        self.kill9()?;
        self.launch()?;
        self.wait_until_up()
    }

    /// [`Self::restart`] without waiting until it serves.
    pub fn launch(&self) -> Result<()> {
        let config = self.dir.join("collector.toml");
        settings::write(&config, &self.settings.lock().unwrap_or_else(PoisonError::into_inner))?;
        let mut command = Command::new(&self.program);
        command.args(["serve", "--config"]).arg(&config).env("MAILSONAR_LOG", self.log);
        let process = Process::spawn("collector", &mut command, &self.dir)?;
        // where the testbed's sweeper looks for what a killed test leaves behind
        fs::write(self.dir.join("run/master.pid"), process.id().pid().to_string())?;
        *self.running() = Some(process);
        Ok(())
    }

    /// Waits until it is ready.
    pub fn wait_until_up(&self) -> Result<()> {
        let up = patience::until("the collector to be ready", START, || {
            let dead = self.process().is_none_or(|process| !process.is_alive());
            let up = http::get(self.address, "/readyz").is_ok_and(|page| page.status == 200);
            (up || dead).then_some(up)
        });
        if up.as_ref().is_ok_and(|up| *up) {
            Ok(())
        } else {
            bail!("the collector did not start: {}", self.log())
        }
    }

    /// Its metrics, as Prometheus gets them.
    pub fn metrics(&self) -> Result<String> {
        Ok(http::get(self.address, "/metrics")?.body)
    }

    /// All probes that fit, such as `route=loop&outcome=lost`; newest first, all pages of the answer.
    pub fn probes(&self, query: &str) -> Result<Vec<Probe>> {
        let (mut probes, mut cursor) = (Vec::new(), String::new());
        loop {
            let answer: api::Probes = self.get(&format!("probes?limit=500&{query}{cursor}"))?;
            probes.extend(answer.probes);
            match answer.next {
                Some(next) => cursor = format!("&cursor={}", http::escape(&next)),
                None => return Ok(probes),
            }
        }
    }

    /// All incidents, newest first.
    pub fn incidents(&self) -> Result<Vec<Incident>> {
        Ok(self.get::<api::Incidents>("incidents?limit=500")?.incidents)
    }

    /// What is found about the agents themselves and the reference providers.
    pub fn findings(&self) -> Result<Vec<Finding>> {
        Ok(self.get::<api::Agents>("agents")?.findings)
    }

    /// What `/api/v1/agents` says of the agents, unread.
    pub fn agents(&self) -> Result<Vec<Value>> {
        Ok(self.get::<api::Agents>("agents")?.agents)
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let page = http::get(self.address, &format!("/api/v1/{path}"))?;
        if page.status != 200 {
            bail!("/api/v1/{path}: {} {}", page.status, page.body);
        }
        serde_json::from_str(&page.body).with_context(|| format!("/api/v1/{path}: {}", page.body))
    }

    fn running(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
