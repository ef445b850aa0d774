//! A whole world in one thread and in memory: a mail service, agents, a collector, and those it pages.
//!
//! The code is production's. Only what an agent or a collector is handed differs: a [`SimulatedClock`]
//! instead of the machine's, pipes instead of sockets, stores in memory that work on their callers'
//! time, and one seed for all chance. Under tokio's paused clock on a current-thread runtime nothing
//! then depends on the machine, and hours pass at once.
//!
//! What it therefore cannot show: what kernels, disks and real networks do, two things that happen at
//! the same instant, and how much work all this is.

mod clock;
mod member;
mod setup;
mod ways;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, ensure};
use jiff::SignedDuration;
use mailsonar_clock::SharedClock;
use mailsonar_collector::notify;
use mailsonar_collector::store::{Desks, Store};
use mailsonar_collector::{Collector, Config as CollectorConfig};
use mailsonar_sandbox::{Rule, RuleId, Sandbox};
use tempfile::TempDir;
use tokio_util::task::AbortOnDropHandle;

pub use clock::SimulatedClock;
pub use member::{Heard, Member};
pub(crate) use setup::notifier;
pub use setup::{AgentSetup, REFERENCE_DOMAIN, ROUTES, SERVICE_DOMAIN, Setup, Usual};
pub use ways::{PAGER_URL, Paged};
use ways::{Pager, Reception};

/// Everything, running. It ends when dropped.
pub struct World {
    /// The true time.
    pub clock: SharedClock,
    sandbox: Arc<Sandbox>,
    members: Vec<Member>,
    collector: Headquarters,
    pages: Arc<Mutex<Vec<Paged>>>,
    deaf: Arc<Mutex<BTreeSet<String>>>,
    broken: BTreeMap<String, Vec<RuleId>>,
    /// The files that a restarted agent reads again.
    _directory: Arc<TempDir>,
}

/// The collector, running or not, and what survives it.
struct Headquarters {
    config: CollectorConfig,
    clock: SharedClock,
    desks: Desks,
    post: Arc<dyn notify::Post>,
    reception: Reception,
    running: Option<(Collector, AbortOnDropHandle<()>)>,
}

impl World {
    /// Starts everything on the caller's runtime, which must have one thread only.
    pub async fn start(setup: Setup) -> anyhow::Result<Self> {
        // The last resort of the libraries; our own TLS names its provider itself.
        rustls::crypto::ring::default_provider().install_default().ok();
        let simulated = SimulatedClock::at(setup.date);
        let clock: SharedClock = Arc::new(simulated.another());
        let sandbox = Arc::new(Sandbox::start(setup.sandbox.clone(), clock.clone()).await?);
        std::fs::write(setup.ca_file(), sandbox.ca_pem()).context("the sandbox's CA")?;
        let pages = Arc::<Mutex<Vec<Paged>>>::default();
        let deaf = Arc::<Mutex<BTreeSet<String>>>::default();
        let receiver = Pager::new(clock.clone(), pages.clone(), deaf.clone());
        let mut config = CollectorConfig::from_document(&setup.collector)?;
        config.notifiers = config.notifiers.overheard_by(receiver.ear());
        let mut collector = Headquarters {
            config,
            clock: clock.clone(),
            desks: Desks::inline(Store::in_memory()?),
            post: Arc::new(receiver),
            reception: Reception::default(),
            running: None,
        };
        collector.start().await?;
        let mut members = Vec::new();
        for (place, agent) in setup.agents.iter().enumerate() {
            let seed = setup.seed.wrapping_mul(1_000).wrapping_add(place as u64);
            let mut member = Member::new(agent, seed, &simulated, sandbox.clone(), &collector.reception)?;
            member.start().await?;
            members.push(member);
        }
        Ok(Self {
            clock,
            sandbox,
            members,
            collector,
            pages,
            deaf,
            broken: BTreeMap::new(),
            _directory: setup.directory,
        })
    }

    /// Breaks something of the mail service, under a name to heal it by.
    pub fn break_it(&mut self, name: &str, rules: impl IntoIterator<Item = Rule>) {
        let ids = rules.into_iter().map(|rule| self.sandbox.faults().add(rule));
        self.broken.entry(name.to_owned()).or_default().extend(ids);
    }

    /// Heals what was broken under this name.
    pub fn heal(&mut self, name: &str) {
        for rule in self.broken.remove(name).unwrap_or_default() {
            self.sandbox.faults().remove(rule);
        }
    }

    /// The mail service, and what it knows of the truth.
    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// The agents.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The agent of this name.
    pub fn member(&mut self, name: &str) -> anyhow::Result<&mut Member> {
        self.members.iter_mut().find(|member| member.name == name).context("no such agent")
    }

    /// The agent in this region.
    pub fn region(&mut self, region: &str) -> anyhow::Result<&mut Member> {
        let found = self.members.iter_mut().find(|member| member.region == region);
        found.with_context(|| format!("no agent stands in {region}"))
    }

    /// Ends the collector as `kill -9` would. What it had committed stays.
    pub fn kill_collector(&mut self) {
        self.collector.reception.set(None);
        self.collector.running = None;
    }

    /// Starts the collector again.
    pub async fn start_collector(&mut self) -> anyhow::Result<()> {
        self.collector.start().await
    }

    /// The collector, while it runs.
    pub fn collector(&self) -> Option<&Collector> {
        self.collector.running.as_ref().map(|(collector, _)| collector)
    }

    /// The collector's store.
    pub fn desks(&self) -> &Desks {
        &self.collector.desks
    }

    /// Every page so far.
    pub fn pages(&self) -> Vec<Paged> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts the receiver of a notifier's pages out of order, or mends it.
    pub fn deafen(&self, notifier: &str, deaf: bool) {
        let mut all = self.deaf.lock().unwrap_or_else(PoisonError::into_inner);
        if deaf {
            all.insert(notifier.to_owned());
        } else {
            all.remove(notifier);
        }
    }

    /// How far the collector's wall clock is off. Agents have their own.
    pub fn turn_clock(&mut self, agent: &str, ahead: SignedDuration) -> anyhow::Result<()> {
        self.member(agent)?.turn_clock(ahead);
        Ok(())
    }

    /// Whether no task of an agent or the collector has ended by itself.
    pub fn check(&mut self) -> anyhow::Result<()> {
        for member in &mut self.members {
            member.check()?;
        }
        let ended = self.collector.running.as_ref().is_some_and(|(_, task)| task.is_finished());
        ensure!(!ended, "the collector ended by itself");
        Ok(())
    }
}

impl Headquarters {
    async fn start(&mut self) -> anyhow::Result<()> {
        let (config, clock) = (self.config.clone(), self.clock.clone());
        let collector = Collector::start(config, clock, self.desks.clone(), &self.post).await?;
        self.reception.set(Some(collector.router()));
        let task = AbortOnDropHandle::new(tokio::spawn(collector.clone().run()));
        self.running = Some((collector, task));
        Ok(())
    }
}
