//! The world of the demo: a mail service, three agents, a collector and a pager, in one process.
//!
//! Each part is built from the configuration file that a user would write for it, by the loader that
//! would read it. The parts meet on loopback sockets as they would over the Internet.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mailsonar_agent::chance::Chance;
use mailsonar_agent::ledger::Ledger;
use mailsonar_agent::message::TagKey;
use mailsonar_agent::resolve::Hickory;
use mailsonar_agent::ship::{Http, Post};
use mailsonar_agent::{Agent, Parts, config, serve};
use mailsonar_clock::SharedClock;
use mailsonar_collector::ingest::token_hash;
use mailsonar_sandbox::{Config, RuleId, Sandbox};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::distance::Distance;
use super::faults::Mischief;
use super::model::News;
use super::{ask, pager, written};

/// The mail domain of the service under watch.
pub const SERVICE_DOMAIN: &str = "acme.example";

/// A place to probe from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// Its name.
    pub name: &'static str,
    /// How far away the servers are.
    pub round_trip: Duration,
}

/// The regions of the demo, by distance.
pub const REGIONS: [Region; 3] = [
    Region { name: "frankfurt", round_trip: Duration::from_millis(8) },
    Region { name: "virginia", round_trip: Duration::from_millis(86) },
    Region { name: "singapore", round_trip: Duration::from_millis(158) },
];

/// The routes in the agents' files, in the order in which they are shown.
pub const ROUTES: [&str; 4] = ["send", "receive", "loop", "control"];

/// How long a healthy service takes from its queue to the mailbox.
const DELIVERY: Duration = Duration::from_millis(250);

/// Where to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// The collector's HTTP.
    pub collector: SocketAddr,
    /// Each agent's `/metrics`, in the order of the regions.
    pub agents: Vec<SocketAddr>,
    /// Where files are.
    pub directory: PathBuf,
}

/// Everything, running. It ends when dropped.
pub struct World {
    sandbox: Sandbox,
    distances: Vec<Distance>,
    broken: HashMap<&'static str, Vec<RuleId>>,
    addresses: Addresses,
    tasks: JoinSet<anyhow::Result<()>>,
}

/// The listeners, bound before the files are written, so that the files tell the truth.
struct Listeners {
    collector: TcpListener,
    pager: TcpListener,
    agents: Vec<TcpListener>,
}

impl World {
    /// Starts everything below `directory`. What happens is told to `news`.
    pub async fn start(
        directory: &Path,
        listen: SocketAddr,
        clock: SharedClock,
        news: mpsc::Sender<News>,
    ) -> anyhow::Result<Self> {
        let sandbox = sandbox(&clock).await?;
        let listeners = Listeners::bind(listen).await?;
        write_files(directory, &sandbox, &listeners)?;
        let addresses = listeners.addresses(directory)?;
        let Listeners { collector, pager, agents } = listeners;

        let mut tasks = JoinSet::new();
        let pages = pager::router(clock.clone(), news.clone());
        tasks.spawn(async move { Ok(axum::serve(pager, pages).await?) });
        start_collector(directory, collector, clock.clone(), &mut tasks)?;
        tasks.spawn(ask::for_ever(addresses.collector, news.clone()));
        let mut distances = Vec::new();
        for ((at, region), listener) in REGIONS.iter().enumerate().zip(agents) {
            let distance = Distance::new(region.round_trip, clock.clone());
            distances.push(distance.clone());
            let listening = Listening { at, news: news.clone() };
            start_agent(directory, region, distance, clock.clone(), listener, listening, &mut tasks)
                .await
                .with_context(|| format!("the agent in {}", region.name))?;
        }
        Ok(Self { sandbox, distances, broken: HashMap::new(), addresses, tasks })
    }

    /// Where to look.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Breaks something. `false` if it is broken already.
    pub fn break_it(&mut self, mischief: Mischief) -> bool {
        if self.broken.contains_key(mischief.name) {
            return false;
        }
        let rules = mischief.rules().into_iter().map(|rule| self.sandbox.faults().add(rule)).collect();
        self.cut(mischief, true);
        self.broken.insert(mischief.name, rules);
        true
    }

    /// Heals everything. `false` if nothing was broken.
    pub fn heal(&mut self) -> bool {
        for rule in self.broken.values().flatten() {
            self.sandbox.faults().remove(*rule);
        }
        for distance in &self.distances {
            distance.cut(false);
        }
        let any = !self.broken.is_empty();
        self.broken.clear();
        any
    }

    /// Completes only if a part of it fails, which it should not.
    pub async fn failure(&mut self) -> anyhow::Error {
        match self.tasks.join_next().await {
            Some(Ok(Err(error))) => error,
            Some(Err(error)) => anyhow::anyhow!("a part of the demo failed: {error}"),
            Some(Ok(Ok(()))) | None => anyhow::anyhow!("a part of the demo ended by itself"),
        }
    }

    /// Stops everything.
    pub async fn end(mut self) {
        self.tasks.shutdown().await;
        self.sandbox.shutdown().await;
    }

    fn cut(&self, mischief: Mischief, cut: bool) {
        let Some(name) = mischief.cut_region() else { return };
        for (region, distance) in REGIONS.iter().zip(&self.distances) {
            if region.name == name {
                distance.cut(cut);
            }
        }
    }
}

impl Listeners {
    async fn bind(listen: SocketAddr) -> anyhow::Result<Self> {
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let collector = TcpListener::bind(listen).await;
        let collector =
            collector.with_context(|| format!("cannot listen on {listen}; choose another port"))?;
        let mut agents = Vec::new();
        for _ in REGIONS {
            agents.push(TcpListener::bind(free).await?);
        }
        Ok(Self { collector, pager: TcpListener::bind(free).await?, agents })
    }

    fn addresses(&self, directory: &Path) -> anyhow::Result<Addresses> {
        let agents = self.agents.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?;
        Ok(Addresses { collector: self.collector.local_addr()?, agents, directory: directory.to_owned() })
    }
}

async fn sandbox(clock: &SharedClock) -> anyhow::Result<Sandbox> {
    let mut config = Config::pair();
    for provider in &mut config.providers {
        provider.delivery_delay = DELIVERY;
    }
    Sandbox::start(config, clock.clone()).await.context("the mail service could not be started")
}

/// Writes what a user would write. Tokens and secrets live as long as the demo.
fn write_files(directory: &Path, sandbox: &Sandbox, listeners: &Listeners) -> anyhow::Result<()> {
    let write = |name: &str, text: &str| {
        let path = directory.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    write("ca.pem", sandbox.ca_pem())?;
    let tokens = REGIONS.map(|_| format!("mst_{}", secret()));
    let hashes = tokens.each_ref().map(|token| token_hash(token));
    let collector = listeners.collector.local_addr()?;
    let pager = listeners.pager.local_addr()?;
    write("collector.toml", &written::collector(collector, &hashes, pager, &format!("whsec_{}", secret())))?;
    for ((region, token), listener) in REGIONS.iter().zip(&tokens).zip(&listeners.agents) {
        let listen = listener.local_addr()?;
        let text = written::agent(region, listen, token, collector, sandbox.dns_addr(), sandbox.ports());
        write(&format!("{}.toml", region.name), &text)?;
    }
    Ok(())
}

fn secret() -> String {
    STANDARD.encode(rand::random::<[u8; 32]>())
}

fn start_collector(
    directory: &Path,
    listener: TcpListener,
    clock: SharedClock,
    tasks: &mut JoinSet<anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let config = mailsonar_collector::Config::read(&directory.join("collector.toml"))?;
    let never = std::future::pending();
    tasks.spawn(async move { Ok(mailsonar_collector::serve_on(listener, config, clock, never).await?) });
    Ok(())
}

/// How the demo hears of an agent's probes: as any listener of the agent does.
struct Listening {
    at: usize,
    news: mpsc::Sender<News>,
}

async fn start_agent(
    directory: &Path,
    region: &Region,
    distance: Distance,
    clock: SharedClock,
    listener: TcpListener,
    Listening { at, news }: Listening,
    tasks: &mut JoinSet<anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let config = config::Config::load(&directory.join(format!("{}.toml", region.name)), &clock)?;
    std::fs::create_dir_all(&config.state_dir)?;
    let post = config.ship.as_ref().map(Http::to_any).transpose()?;
    let heard = move |change: &mailsonar_agent::ledger::Change| {
        let before = change.before.as_ref().map(|record| record.verdict.outcome);
        // A screen that stands still (Ctrl-S) must not hold up an agent: what it misses, it misses.
        let _ = news.try_send(News::Probe { region: at, before, record: Box::new(change.after.clone()) });
    };
    let parts = Parts {
        network: Arc::new(distance),
        dns: Arc::new(Hickory),
        chance: Chance::fresh(),
        ledger: Ledger::open(&config.state_dir.join("ledger.db"), clock.now())?.ledger,
        key: TagKey::load_or_create(&config.state_dir.join("tag.key"))?,
        post: post.map(|post| Box::new(post) as Box<dyn Post>),
        complaints: Vec::new(),
        listeners: vec![Arc::new(heard)],
        clock,
    };
    let agent = Agent::build(config, parts);
    let metrics = serve::router(agent.metrics());
    tasks.spawn(async move { Ok(axum::serve(listener, metrics).await?) });
    let mut running = agent.run().await?;
    tasks.spawn(async move { Err(running.failed().await.into()) });
    Ok(())
}
