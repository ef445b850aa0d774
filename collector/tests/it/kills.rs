//! The real program, killed at random instants while incidents come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mailsonar_clock::{Clock, SystemClock};
use mailsonar_protocol::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::harness::*;
use crate::outbox::Pager;

const INCIDENTS: usize = 12;

/// A process that is killed with the value.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A collector that is killed with the value.
struct Running {
    config: PathBuf,
    process: Process,
    base: String,
    http: reqwest::Client,
}

impl Running {
    fn start(config: &Path) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let (process, base) = launch(config);
        Self { config: config.to_owned(), process, base, http }
    }

    fn kill_and_start_again(&mut self) {
        self.process.0.kill().expect("killed");
        self.process.0.wait().expect("it ended");
        (self.process, self.base) = launch(&self.config);
    }

    async fn take(&self, token: &str, batch: &Batch) {
        let body = serde_json::to_vec(batch).expect("JSON");
        let request = self.http.post(format!("{}{BATCHES_PATH}", self.base)).bearer_auth(token).body(body);
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), 200, "{}", response.text().await.expect("text"));
    }
}

fn launch(config: &Path) -> (Process, String) {
    let child = Command::new(env!("CARGO_BIN_EXE_mailsonar-collector"))
        .env_remove("MAILSONAR_LOG")
        .args(["--log-format", "json", "serve", "--config", config.to_str().expect("text")])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut process = Process(child);
    let mut log = BufReader::new(process.0.stderr.take().expect("piped")).lines();
    let address = log.by_ref().find_map(|line| {
        let entry: serde_json::Value = serde_json::from_str(&line.expect("a line")).expect("JSON");
        entry["fields"]["address"].as_str().map(str::to_owned)
    });
    // Whoever writes to a pipe that nobody reads is stopped.
    std::thread::spawn(move || log.for_each(drop));
    (process, format!("http://{}", address.expect("it says where it listens")))
}

/// What both agents say of one service's probes, which started within the last minute.
struct Agents {
    clock: SystemClock,
    ids: u128,
    services: Vec<ServiceName>,
}

impl Agents {
    fn batches(&mut self, ago: i64, probes: i64, outcome: Outcome) -> Vec<(&'static str, Batch)> {
        let now = self.clock.now().as_second() - ELEVEN;
        let service = self.services.last().expect("one").clone();
        let mut both = Vec::new();
        for (token, place) in [(TOKEN, (|batch| batch) as fn(Batch) -> Batch), (OTHER_TOKEN, from_us)] {
            let records = (0..probes).map(|at| {
                self.ids += 1;
                let started = now - ago + at;
                Record { service: service.clone(), ..record(self.ids, 1, started, outcome) }
            });
            let mut batch = place(batch(now, records.collect()));
            let card = batch.routes.take().expect("announced").remove(0);
            let cards =
                self.services.iter().map(|service| RouteCard { service: service.clone(), ..card.clone() });
            batch.routes = Some(cards.collect());
            both.push((token, batch));
        }
        both
    }
}

fn told(pager: &Pager, service: &ServiceName, status: &str) -> bool {
    pager.calls().iter().any(|call| call.page["service"] == service.as_str() && call.page["status"] == status)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_killed_at_any_instant_pages_and_resolves_every_incident() {
    let pager = Pager::that(&[]).await;
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("collector.toml");
    std::fs::write(&config, configuration(&webhook(pager.address))).expect("written");
    let mut collector = Running::start(&config);
    let mut chance = StdRng::seed_from_u64(23);
    let mut agents = Agents { clock: SystemClock::start(), ids: 0, services: Vec::new() };
    for at in 0..INCIDENTS {
        let service: ServiceName = format!("s{at}").parse().expect("a name");
        agents.services.push(service.clone());
        let story = [(60, 2, Outcome::Unreachable, "trigger"), (40, 3, Outcome::Delivered, "resolve")];
        for (ago, probes, outcome, status) in story {
            for (token, batch) in agents.batches(ago, probes, outcome) {
                collector.take(token, &batch).await;
            }
            // Anywhere between the commit of the batch and some time after the page.
            tokio::time::sleep(Duration::from_millis(chance.random_range(0..250))).await;
            collector.kill_and_start_again();
            eventually(&format!("the {status} of {service}"), async || told(&pager, &service, status)).await;
        }
    }
    let mut keys: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let calls = pager.calls();
    for call in &calls {
        let word = |name: &str| call.page[name].as_str().expect("text").to_owned();
        keys.entry(word("service")).or_default().insert(word("dedup_key"));
    }
    assert_eq!(keys.len(), INCIDENTS, "no page without an incident: {keys:?}");
    assert!(keys.values().all(|keys| keys.len() == 1), "one key each: {keys:?}");
    assert!(calls.len() <= 4 * INCIDENTS, "a kill costs one page more at most: {}", calls.len());
}
