//! A real Alertmanager, alone or in a cluster, that notifies nobody unless it is told whom.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::Value;
use tempfile::TempDir;

use super::http;
use super::process::Process;
use crate::patience;
use crate::testbed::command::require;

const ALERTMANAGER: &str = "/usr/bin/prometheus-alertmanager";
/// How long a start may take on a busy machine.
const START: Duration = Duration::from_secs(30);

/// An Alertmanager with its own storage. Ends with the value.
#[derive(Debug)]
pub struct Alertmanager {
    address: SocketAddr,
    cluster: SocketAddr,
    // the process ends before its directory
    process: Process,
    _dir: TempDir,
}

impl Alertmanager {
    /// Starts one, as a peer of these.
    pub fn start(peers: &[&Self]) -> Result<Self> {
        let silent =
            serde_json::json!({ "route": { "receiver": "nobody" }, "receivers": [{ "name": "nobody" }] });
        Self::with(&silent.to_string(), peers)
    }

    /// Starts one alone, with this configuration (YAML).
    pub fn start_telling(configured: &str) -> Result<Self> {
        Self::with(configured, &[])
    }

    fn with(configured: &str, peers: &[&Self]) -> Result<Self> {
        require(Path::new(ALERTMANAGER), "prometheus-alertmanager")?;
        let dir = tempfile::Builder::new().prefix("ms-alertmanager-").tempdir()?;
        let configuration = dir.path().join("alertmanager.yml");
        fs::write(&configuration, configured)?;
        let free = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr();
        let (address, cluster) = (free()?, free()?);
        let mut command = Command::new(ALERTMANAGER);
        command
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!("--storage.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg(format!("--cluster.listen-address={cluster}"))
            .args(peers.iter().map(|peer| format!("--cluster.peer={}", peer.cluster)));
        let process = Process::spawn("alertmanager", &mut command, dir.path())?;
        let alertmanager = Self { address, cluster, process, _dir: dir };
        alertmanager.wait_until_ready()?;
        Ok(alertmanager)
    }

    fn wait_until_ready(&self) -> Result<()> {
        patience::until_true("Alertmanager to be ready", START, || {
            let dead = !self.process.id().is_alive();
            dead || http::get(self.address, "/-/ready").is_ok_and(|page| page.status == 200)
        })?;
        if !self.process.id().is_alive() {
            bail!("Alertmanager ended: {}", self.process.stderr());
        }
        Ok(())
    }

    /// Where it takes alerts.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many peers its cluster has, itself among them.
    pub fn peers(&self) -> Result<usize> {
        let page = http::get(self.address, "/api/v2/status")?;
        let status: Value = serde_json::from_str(&page.body)?;
        Ok(status["cluster"]["peers"].as_array().map_or(0, Vec::len))
    }

    /// The alerts that fire now.
    pub fn alerts(&self) -> Result<Vec<Value>> {
        let page = http::get(self.address, "/api/v2/alerts?active=true")?;
        Ok(serde_json::from_str(&page.body)?)
    }
}
