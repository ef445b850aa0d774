//! A real Prometheus that scrapes every second, and `promtool`.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{fs, iter};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::http;
use super::process::Process;
use crate::patience;
use crate::testbed::command::{require, run};

const PROMETHEUS: &str = "/usr/bin/prometheus";
const PROMTOOL: &str = "/usr/bin/promtool";
/// How long a start may take on a busy machine.
const START: Duration = Duration::from_secs(30);

/// A Prometheus with its own storage. Ends with the value.
#[derive(Debug)]
pub struct Prometheus {
    address: SocketAddr,
    targets: usize,
    // the process ends before its directory
    process: Process,
    dir: TempDir,
}

impl Prometheus {
    /// Starts one that scrapes `/metrics` of these targets and evaluates these rule files, each every
    /// second.
    pub fn start(targets: &[SocketAddr], rules: &[&Path]) -> Result<Self> {
        Self::with(&configure(targets, rules, None)?, targets.len(), None)
    }

    /// As [`Self::start`]; what its rules raise, it tells this Alertmanager.
    pub fn start_telling(targets: &[SocketAddr], rules: &[&Path], alertmanager: SocketAddr) -> Result<Self> {
        Self::with(&configure(targets, rules, Some(alertmanager))?, targets.len(), None)
    }

    /// Starts one that scrapes nothing, over a storage that is there already.
    pub fn over(storage: &Path) -> Result<Self> {
        Self::with(&configure(&[], &[], None)?, 0, Some(storage))
    }

    fn with(configured: &str, targets: usize, storage: Option<&Path>) -> Result<Self> {
        require(Path::new(PROMETHEUS), "prometheus")?;
        let dir = tempfile::Builder::new().prefix("ms-prometheus-").tempdir()?;
        let configuration = dir.path().join("prometheus.json");
        fs::write(&configuration, configured)?;
        let storage = storage.map_or_else(|| dir.path().join("data"), Path::to_owned);
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let mut command = Command::new(PROMETHEUS);
        command
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!("--storage.tsdb.path={}", storage.display()))
            // it says again at once what an Alertmanager that it had not found yet has missed
            .arg("--rules.alert.resend-delay=1s")
            // what it is given may be of any age
            .arg("--storage.tsdb.retention.time=100y")
            .arg(format!("--web.listen-address={address}"));
        let process = Process::spawn("prometheus", &mut command, dir.path())?;
        let prometheus = Self { address, targets, process, dir };
        prometheus.wait_until_ready()?;
        Ok(prometheus)
    }

    fn wait_until_ready(&self) -> Result<()> {
        patience::until_true("Prometheus to be ready", START, || {
            let dead = !self.process.id().is_alive();
            dead || http::get(self.address, "/-/ready").is_ok_and(|page| page.status == 200)
        })?;
        if !self.process.id().is_alive() {
            bail!("Prometheus ended: {}", self.process.stderr());
        }
        Ok(())
    }

    /// Where its web interface listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its directory, with its log; removed in the end.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The result of an instant query: a list of `{"metric": {...}, "value": [time, "number"]}`.
    pub fn query(&self, promql: &str) -> Result<Vec<Value>> {
        let data = self.api(&format!("query?query={}", http::escape(promql)))?;
        Ok(data["result"].as_array().cloned().unwrap_or_default())
    }

    /// The first number of an instant query's result, if it has any.
    pub fn number(&self, promql: &str) -> Result<Option<f64>> {
        let result = self.query(promql)?;
        Ok(result.first().and_then(|series| series["value"][1].as_str()?.parse().ok()))
    }

    /// Waits until a query has a first number that fits, and returns it.
    pub fn wait_for(&self, promql: &str, limit: Duration, fits: impl Fn(f64) -> bool) -> Result<f64> {
        patience::until(promql, limit, || self.number(promql).ok().flatten().filter(|number| fits(*number)))
    }

    /// Waits until every target has been scraped with success.
    pub fn wait_until_scraped(&self) -> Result<()> {
        if self.targets > 0 {
            let all = f64::from(u32::try_from(self.targets)?);
            self.wait_for("sum(up)", START, |up| up >= all)?;
        }
        Ok(())
    }

    /// The alerts that its rules have raised: `{"labels": {...}, "state": "firing", ...}`.
    pub fn alerts(&self) -> Result<Vec<Value>> {
        Ok(self.api("alerts")?["alerts"].as_array().cloned().unwrap_or_default())
    }

    /// The groups of rules it has loaded: `[{"name": ..., "rules": [...]}, ...]`.
    pub fn rules(&self) -> Result<Value> {
        Ok(self.api("rules")?["groups"].take())
    }

    fn api(&self, path: &str) -> Result<Value> {
        let page = http::get(self.address, &format!("/api/v1/{path}"))?;
        let mut answer: Value =
            serde_json::from_str(&page.body).with_context(|| format!("{path}: {}", page.body))?;
        if answer["status"] != "success" {
            bail!("Prometheus refuses {path}: {}", answer["error"]);
        }
        Ok(answer["data"].take())
    }
}

/// JSON is YAML, so the configuration needs no template.
fn configure(targets: &[SocketAddr], rules: &[&Path], alertmanager: Option<SocketAddr>) -> Result<String> {
    let targets: Vec<String> = targets.iter().map(ToString::to_string).collect();
    let configuration = json!({
        "global": { "scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s" },
        "rule_files": rules,
        "alerting": {
            "alertmanagers": alertmanager.map(|at| json!({ "static_configs": [{ "targets": [at.to_string()] }] })).as_slice(),
        },
        "scrape_configs": [{ "job_name": "mailsonar", "static_configs": [{ "targets": targets }] }],
    });
    Ok(serde_json::to_string_pretty(&configuration)?)
}

/// Checks a metrics page as Prometheus' own linter does; its complaints are the error.
pub fn promtool_check_metrics(text: &str) -> Result<()> {
    require(Path::new(PROMTOOL), "prometheus")?;
    let mut promtool = Command::new(PROMTOOL)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("start promtool")?;
    let mut input = promtool.stdin.take().context("promtool's input")?;
    input.write_all(text.as_bytes())?;
    drop(input);
    let output = promtool.wait_with_output()?;
    let words: Vec<u8> = iter::chain(output.stdout, output.stderr).collect();
    let words = String::from_utf8_lossy(&words);
    if !output.status.success() || !words.trim().is_empty() {
        bail!("promtool: {}", words.trim());
    }
    Ok(())
}

/// Checks rule files; complaints are the error.
pub fn promtool_check_rules(files: &[&Path]) -> Result<()> {
    require(Path::new(PROMTOOL), "prometheus")?;
    run(Command::new(PROMTOOL).args(["check", "rules"]).args(files)).map(drop)
}
