//! The real program, killed at random instants while incidents come and go.
//!
//! Agents post over HTTP until each batch is taken, as agents do, while the collector is killed and started
//! again; three notifiers answer, refuse and hang. Each incident must be paged and resolved at each of them,
//! under one key, and nothing else may be. What a kill costs, pages that come twice, is counted and said.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use mailsonar_clock::{Clock, SystemClock};
use mailsonar_collector::store::{Incident, IncidentState};
use mailsonar_protocol::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::harness::*;
use crate::home::Home;
use crate::outbox::{Call, Does, Pager};
use crate::program::{Process, launch};

const NOTIFIERS: [&str; 3] = ["first", "second", "third"];

/// Incidents that come and go together.
const WAVE: usize = 10;

/// How long everybody may take to be told, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(10);

/// A collector that is killed with the value.
struct Running {
    config: PathBuf,
    process: Process,
    base: watch::Sender<String>,
    http: reqwest::Client,
}

impl Running {
    fn start(config: &Path) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let (process, base) = launch(config);
        Self { config: config.to_owned(), process, base: watch::Sender::new(base), http }
    }

    fn kill_and_start_again(&mut self) {
        self.process.0.kill().expect("killed");
        self.process.0.wait().expect("it ended");
        let (process, base) = launch(&self.config);
        self.process = process;
        self.base.send_replace(base);
    }
}

/// Posts a batch again and again until it is taken, wherever the collector is by then.
async fn ship(http: &reqwest::Client, mut base: watch::Receiver<String>, token: &str, batch: &Batch) {
    let body = serde_json::to_vec(batch).expect("JSON");
    loop {
        let url = format!("{}{BATCHES_PATH}", *base.borrow_and_update());
        match http.post(url).bearer_auth(token).body(body.clone()).send().await {
            Ok(answer) if answer.status() == 200 => return,
            Ok(answer) => {
                assert!(answer.status().is_server_error(), "{}", answer.text().await.expect("text"));
            }
            Err(_) => {}
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Both agents' heartbeats, for ever.
async fn beat(http: reqwest::Client, base: watch::Receiver<String>, clock: SystemClock) {
    loop {
        for (token, place) in [(TOKEN, (|batch| batch) as fn(Batch) -> Batch), (OTHER_TOKEN, from_us)] {
            let heartbeat = batch(clock.now().as_second() - ELEVEN, Vec::new());
            ship(&http, base.clone(), token, &place(Batch { routes: None, ..heartbeat })).await;
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
}

/// What both agents say of a wave of services, whose probes started within the last minute.
struct Agents {
    clock: SystemClock,
    ids: u128,
    services: Vec<ServiceName>,
}

impl Agents {
    fn batches(&mut self, ago: i64, probes: i64, outcome: Outcome) -> Vec<(&'static str, Batch)> {
        let now = self.clock.now().as_second() - ELEVEN;
        let mut both = Vec::new();
        for (token, place) in [(TOKEN, (|batch| batch) as fn(Batch) -> Batch), (OTHER_TOKEN, from_us)] {
            let all = self.services.iter().flat_map(|service| (0..probes).map(move |at| (service, at)));
            let records = all.map(|(service, at)| {
                self.ids += 1;
                Record { service: service.clone(), ..record(self.ids, 1, now - ago + at, outcome) }
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

/// A call that was taken: by whom, about what.
fn word(call: &Call, name: &str) -> String {
    call.page[name].as_str().expect("text").to_owned()
}

fn notifier(call: &Call) -> &str {
    call.path.trim_start_matches('/')
}

/// Whether every notifier took this of every service.
fn all_told(pager: &Pager, services: &[ServiceName], status: &str) -> bool {
    let calls = pager.calls();
    let told: BTreeSet<(&str, &str)> = calls
        .iter()
        .filter(|call| call.taken && call.page["status"] == status)
        .map(|call| (notifier(call), call.page["service"].as_str().expect("text")))
        .collect();
    services.iter().all(|service| NOTIFIERS.iter().all(|one| told.contains(&(one, service.as_str()))))
}

/// What pagers do: most take a page, some refuse it for now, some take it and never say so.
fn moods(chance: &mut StdRng) -> Vec<Does> {
    let mood = |chance: &mut StdRng| match chance.random_range(0..20) {
        0 | 1 => Does::Answer(503),
        2 => Does::Hang,
        _ => Does::Answer(202),
    };
    (0..20_000).map(|_| mood(chance)).collect()
}

/// So many incidents, in waves, through kills at any instant.
async fn campaign(incidents: usize, seed: u64) {
    let mut chance = StdRng::seed_from_u64(seed);
    let pager = Pager::that(&moods(&mut chance)).await;
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("collector.toml");
    let hooks = NOTIFIERS.map(|name| {
        format!(
            "[notifiers.{name}]\ntype = \"webhook\"\nurl = \"http://{}/{name}\"\nsecret = \"{SECRET}\"\n\
             timeout = \"300ms\"\n",
            pager.address
        )
    });
    let home = Home::new();
    let written = configuration(&hooks.concat()).replace("path = \"c.db\"", &home.named());
    std::fs::write(&config, written).expect("written");
    let mut collector = Running::start(&config);
    let mut agents = Agents { clock: SystemClock::start(), ids: 0, services: Vec::new() };
    let beating = beat(collector.http.clone(), collector.base.subscribe(), SystemClock::start());
    let _beating = AbortOnDropHandle::new(tokio::spawn(beating));
    let mut kills = 0;
    for wave in (0..incidents).step_by(WAVE) {
        let services = (wave..incidents.min(wave + WAVE)).map(|at| format!("s{at}").parse().expect("a name"));
        agents.services = services.collect();
        let story = [(60, 2, Outcome::Unreachable, "trigger"), (40, 3, Outcome::Delivered, "resolve")];
        for (ago, probes, outcome, status) in story {
            let batches = agents.batches(ago, probes, outcome);
            let (http, base) = (collector.http.clone(), collector.base.subscribe());
            let shipping = tokio::spawn(async move {
                for (token, batch) in batches {
                    ship(&http, base.clone(), token, &batch).await;
                }
            });
            // Before the batch is taken, between its commit and the decision, while pages are sent, after.
            for _ in 0..chance.random_range(1..4) {
                tokio::time::sleep(Duration::from_millis(chance.random_range(0..400))).await;
                collector.kill_and_start_again();
                kills += 1;
            }
            shipping.await.expect("taken in the end");
            let told = async {
                while !all_told(&pager, &agents.services, status) {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            };
            let told = tokio::time::timeout(PATIENCE, told).await;
            assert!(told.is_ok(), "not everybody is told of every {status} of {:?}", agents.services);
        }
    }
    drop(collector);
    let known = home.open().incidents(None, u32::MAX).expect("read");
    reckon(&pager.calls(), &known, incidents, kills);
}

/// Holds what pagers were told against what there was.
#[expect(clippy::print_stdout, reason = "a campaign says what it counted")]
fn reckon(calls: &[Call], known: &[Incident], incidents: usize, kills: usize) {
    let said: Vec<&str> = known.iter().map(|one| one.summary.as_str()).collect();
    assert_eq!(known.len(), incidents, "an incident for each outage, and none besides: {said:#?}");
    assert!(known.iter().all(|one| one.state == IncidentState::Resolved));
    let keys: BTreeMap<&str, &str> =
        known.iter().map(|one| (one.id.as_str(), one.dedup_key.as_str())).collect();
    let mut taken: BTreeMap<(String, String, String), usize> = BTreeMap::new();
    for call in calls {
        let incident = word(call, "incident");
        assert_eq!(keys.get(incident.as_str()), Some(&word(call, "dedup_key").as_str()), "one key for each");
        if call.taken {
            let page = (notifier(call).to_owned(), incident, word(call, "status"));
            if page.2 == "resolve" {
                let trigger = (page.0.clone(), page.1.clone(), "trigger".to_owned());
                assert!(taken.contains_key(&trigger), "no resolve before its trigger: {page:?}");
            }
            *taken.entry(page).or_default() += 1;
        }
    }
    let wanted = incidents * NOTIFIERS.len() * 2;
    assert_eq!(taken.len(), wanted, "every trigger and every resolve at every notifier");
    let all: usize = taken.values().sum();
    let refused = calls.iter().filter(|call| !call.taken).count();
    println!(
        "{incidents} incidents, {kills} kills, {} notifiers: {wanted} pages wanted, each was taken; {} were taken \
         more than once; {refused} calls were refused, and tried again",
        NOTIFIERS.len(),
        all - wanted
    );
    // A page that is taken and not answered comes again, kill or no kill: that is what the key is for.
    assert!(all - wanted <= wanted / 4, "{} of {wanted} pages came again", all - wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_killed_at_any_instant_pages_and_resolves_every_incident() {
    campaign(12, 23).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "cargo xtask campaign hundreds_of_incidents"]
async fn a_collector_killed_at_any_instant_pages_and_resolves_hundreds_of_incidents() {
    let count = std::env::var("MAILSONAR_INCIDENTS").ok().and_then(|count| count.parse().ok());
    campaign(count.unwrap_or(500), 29).await;
}
