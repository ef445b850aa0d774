//! One agent of a rehearsal: started, cut off, killed, started again; its ledger and key survive it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, bail};
use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};
use mailsonar_agent::chance::Chance;
use mailsonar_agent::config::Config;
use mailsonar_agent::ledger::{Change, Ledger};
use mailsonar_agent::message::TagKey;
use mailsonar_agent::{Agent, Parts, Running};
use mailsonar_clock::SharedClock;
use mailsonar_protocol::Record;
use mailsonar_sandbox::Sandbox;

use super::clock::SimulatedClock;
use super::setup::AgentSetup;
use super::ways::{Pipes, Reception, ToCollector, Zones};
use crate::demo::distance::Distance;

/// An agent and what survives it.
pub struct Member {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub region: String,
    setup: AgentSetup,
    seed: u64,
    starts: u64,
    clock: Arc<SimulatedClock>,
    sandbox: Arc<Sandbox>,
    reception: Reception,
    ledger: Ledger,
    key: [u8; 32],
    to_mail: Distance,
    to_collector: Distance,
    heard: Arc<Mutex<Vec<Heard>>>,
    running: Option<Running>,
}

/// A revision of a record, as the agent wrote it.
#[derive(Debug, Clone)]
pub struct Heard {
    /// When.
    pub at: Timestamp,
    /// What.
    pub record: Record,
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Member {
    pub(super) fn new(
        setup: &AgentSetup,
        seed: u64,
        clock: &SimulatedClock,
        sandbox: Arc<Sandbox>,
        reception: &Reception,
    ) -> anyhow::Result<Self> {
        let clock = Arc::new(clock.another());
        let shared: SharedClock = clock.clone();
        let pipes = Arc::new(Pipes(sandbox.clone()));
        let to_mail = Distance::over(pipes.clone(), setup.round_trip, shared.clone());
        let to_collector = Distance::over(pipes, setup.round_trip, shared);
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_be_bytes());
        Ok(Self {
            name: setup.name.clone(),
            region: setup.region.clone(),
            setup: setup.clone(),
            seed,
            starts: 0,
            clock,
            sandbox,
            reception: reception.clone(),
            ledger: Ledger::in_memory()?,
            key,
            to_mail,
            to_collector,
            heard: Arc::default(),
            running: None,
        })
    }

    /// Starts it, on the ledger it left.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        if self.running.is_some() {
            return Ok(());
        }
        let clock: SharedClock = self.clock.clone();
        let config = Config::read(&self.setup.document, &clock)?;
        self.starts += 1;
        let heard = self.heard.clone();
        let ear = clock.clone();
        let listener = move |change: &Change| {
            let heard_now = Heard { at: ear.now(), record: change.after.clone() };
            heard.lock().unwrap_or_else(PoisonError::into_inner).push(heard_now);
        };
        let post = ToCollector {
            reception: self.reception.clone(),
            distance: self.to_collector.clone(),
            token: self.setup.token.clone(),
        };
        let parts = Parts {
            clock,
            network: Arc::new(self.to_mail.clone()),
            dns: Arc::new(Zones { sandbox: self.sandbox.clone(), distance: self.to_mail.clone() }),
            chance: Chance::seeded(self.seed.wrapping_mul(1_000_003).wrapping_add(self.starts)),
            ledger: self.ledger.clone(),
            key: TagKey::new(self.key),
            post: Some(Box::new(post)),
            complaints: Vec::new(),
            listeners: if self.setup.listened_to { vec![Arc::new(listener)] } else { Vec::new() },
        };
        let running = Box::pin(Agent::build(config, parts).run()).await;
        self.running = Some(running.with_context(|| format!("agent {}", self.name))?);
        Ok(())
    }

    /// Ends it as `kill -9` would, in the middle of whatever it does.
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// Cuts its way to all mail servers and DNS, or mends it.
    pub fn cut(&self, cut: bool) {
        self.to_mail.cut(cut);
    }

    /// Cuts its way to the collector, or mends it.
    pub fn silence(&self, cut: bool) {
        self.to_collector.cut(cut);
    }

    /// Sets its wall clock wrong by so much.
    pub fn turn_clock(&self, ahead: SignedDuration) {
        self.clock.turn(ahead);
    }

    /// Its ledger.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Every revision it wrote, if it is listened to.
    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        let failed = self.running.as_mut().and_then(|running| Box::pin(running.failed()).now_or_never());
        match failed {
            Some(error) => bail!("a part of agent {} failed: {error}", self.name),
            None => Ok(()),
        }
    }
}
