//! A fleet: agents in several regions and their collector, as processes, over a real mail world.
//!
//! ```text
//! agents (eu us ap) ──probe──> Testbed (service, reference, DNS)      <── Truth
//!        └──────────ship─────> collector ──page──> WebhookReceiver
//! Prometheus scrapes all of them
//! ```
//! Configuration files are written as a user would write them, and the programs are those that
//! `cargo build` made. All functions block. Nothing here judges: tests and the demo do.

mod agent;
mod api;
mod collector;
mod lines;
mod member;
pub mod metrics;
mod page;
mod programs;
mod settings;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use mailsonar_clock::SharedClock;

pub use agent::Agent;
pub use api::{Finding, Incident, Probe, Regions, Resolution};
pub use collector::Collector;
pub use lines::Lines;
pub use member::Member;
pub use page::Page;
pub use programs::Programs;
pub use settings::{FAR, OWN, REFERENCE, SERVICE, Way};

use crate::patience;
use crate::peers::{Prometheus, WebhookReceiver};
use crate::testbed::{Options, Testbed, ports};

/// How long a first delivery over every route may take on a busy machine, beyond one interval.
const FIRST_DELIVERIES: Duration = Duration::from_secs(45);

/// What a fleet should be like. Its defaults make short stories: probes every two seconds.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where the agents stand: one agent in each region, named `REGION-1`.
    pub regions: Vec<&'static str>,
    /// The ways each agent probes, each a route of that name.
    pub ways: Vec<Way>,
    /// From one probe of a route to the next.
    pub interval: Duration,
    /// How long a message may take.
    pub deadline: Duration,
    /// The waits between attempts of a message that is put off; with none, the first 4xx is the verdict.
    pub retry: Vec<Duration>,
    /// The agents' longest silence towards the collector.
    pub heartbeat: Duration,
    /// How long each step of a submission, and each IMAP command, may take.
    pub limit: Duration,
    /// How long the collector waits for a heartbeat before an agent is silent.
    pub agent_silent_after: Duration,
    /// How long the collector lets a mailbox be shut before it counts as failing.
    pub mailbox_unreachable_after: Duration,
    /// Refused sign-ins per account and hour.
    pub sign_ins_per_hour: usize,
    /// Agents (by their place in `regions`) whose way to all mail servers leads through [`Lines`].
    pub tapped: Vec<usize>,
    /// Whether a Prometheus scrapes everybody.
    pub prometheus: bool,
    /// `MAILSONAR_LOG` of all programs.
    pub log: &'static str,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            regions: vec!["eu", "us", "ap"],
            ways: Way::ALL.to_vec(),
            interval: Duration::from_secs(2),
            deadline: Duration::from_secs(10),
            retry: Vec::new(),
            heartbeat: Duration::from_secs(2),
            limit: Duration::from_secs(3),
            agent_silent_after: Duration::from_secs(10),
            mailbox_unreachable_after: Duration::from_secs(5),
            sign_ins_per_hour: 6,
            tapped: Vec::new(),
            prometheus: true,
            log: "info",
        }
    }
}

/// Agents, collector and all that surrounds them. All ends when it is dropped.
pub struct Fleet {
    // fields are dropped in order: who asks ends before who is asked
    agents: Vec<Agent>,
    /// The collector.
    pub collector: Collector,
    prometheus: Option<Prometheus>,
    /// The receiver of its pages.
    pub webhook: WebhookReceiver,
    /// The mail world.
    pub bed: Testbed,
    /// The clock that stamps pages and deliveries.
    pub clock: SharedClock,
    plan: Plan,
}

impl Fleet {
    /// Brings all of it up: takes some five seconds. Each agent has an account of its own at both
    /// providers.
    pub fn start(plan: &Plan) -> Result<Self> {
        let programs = Programs::find()?;
        let options = Options { accounts: plan.regions.len(), ..Options::default() };
        let clock = options.clock.clone();
        let bed = Testbed::start(&options)?;
        let webhook = WebhookReceiver::start(clock.clone())?;
        let collector = Collector::start(&programs, plan, &bed, &webhook.url())?;
        let start = |place: usize| Agent::start(&programs, plan, place, &bed, collector.address());
        let agents = (0..plan.regions.len()).map(start).collect::<Result<Vec<_>>>()?;
        let targets: Vec<SocketAddr> =
            agents.iter().map(|agent| agent.address()).chain([collector.address()]).collect();
        let prometheus = plan.prometheus.then(|| Prometheus::start(&targets, &[])).transpose()?;
        Ok(Self { agents, collector, prometheus, webhook, bed, clock, plan: plan.clone() })
    }

    /// The plan it was made from.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The agent in the plan's region of this place.
    pub fn agent(&self, place: usize) -> &Agent {
        &self.agents[place]
    }

    /// All agents.
    pub fn agents(&self) -> &[Agent] {
        &self.agents
    }

    /// The Prometheus that scrapes everybody.
    ///
    /// # Errors
    /// If the plan has none.
    pub fn prometheus(&self) -> Result<&Prometheus> {
        self.prometheus.as_ref().context("this fleet's plan has no Prometheus")
    }

    /// Where everybody keeps configuration, state and logs.
    pub fn dir(&self) -> PathBuf {
        self.bed.dir().to_owned()
    }

    /// All probes that the collector knows and that fit, such as `route=loop&outcome=lost`; newest first.
    pub fn probes(&self, query: &str) -> Result<Vec<Probe>> {
        self.collector.probes(query)
    }

    /// All incidents, newest first.
    pub fn incidents(&self) -> Result<Vec<Incident>> {
        self.collector.incidents()
    }

    /// All pages so far, attempts that were not taken included.
    pub fn pages(&self) -> Vec<Page> {
        self.webhook.received().iter().filter_map(Page::read).collect()
    }

    /// Waits until every route of every agent has delivered a probe that was begun after now.
    pub fn wait_until_well(&self) -> Result<()> {
        let since = self.clock.now();
        let mut missing = Vec::new();
        let all = patience::until_true("a delivery over every route", FIRST_DELIVERIES, || {
            let Ok(probes) = self.probes(&format!("since={since}&outcome=delivered")) else { return false };
            let pairs = self.plan.regions.iter().flat_map(|r| self.plan.ways.iter().map(move |w| (*r, *w)));
            let delivered = |(region, way): (&str, Way)| {
                probes.iter().any(|p| p.region.as_str() == region && p.record.route.as_str() == way.name())
            };
            missing = pairs.filter(|pair| !delivered(*pair)).collect();
            missing.is_empty()
        });
        all.with_context(|| format!("not well: {missing:?}"))
    }

    /// Waits until a probe fits `query` and `fits`, and returns the newest that does.
    pub fn wait_for_probe(
        &self,
        what: &str,
        query: &str,
        limit: Duration,
        fits: impl Fn(&Probe) -> bool,
    ) -> Result<Probe> {
        patience::until(what, limit, || self.probes(query).ok()?.into_iter().find(&fits))
    }

    /// Waits until an incident fits, and returns the newest that does.
    pub fn wait_for_incident(
        &self,
        what: &str,
        limit: Duration,
        fits: impl Fn(&Incident) -> bool,
    ) -> Result<Incident> {
        patience::until(what, limit, || self.incidents().ok()?.into_iter().find(&fits)).with_context(|| {
            format!("incidents: {:?}; findings: {:?}", self.incidents(), self.collector.findings())
        })
    }

    /// Waits until a page fits, and returns the first that does.
    pub fn wait_for_page(&self, what: &str, limit: Duration, fits: impl Fn(&Page) -> bool) -> Result<Page> {
        patience::until(what, limit, || self.pages().into_iter().find(&fits)).with_context(|| {
            let pages = self.pages();
            format!(
                "pages: {pages:?}; incidents: {:?}; findings: {:?}",
                self.incidents(),
                self.collector.findings()
            )
        })
    }

    /// Waits until an agent has been found to be in trouble of its own, or until nothing is found.
    pub fn wait_for_findings(
        &self,
        what: &str,
        limit: Duration,
        fits: impl Fn(&[Finding]) -> bool,
    ) -> Result<Vec<Finding>> {
        patience::until(what, limit, || self.collector.findings().ok().filter(|found| fits(found)))
            .with_context(|| format!("findings: {:?}", self.collector.findings()))
    }
}

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fleet").field("plan", &self.plan).finish_non_exhaustive()
    }
}

/// Where one of the house's programs will listen, again after each restart.
fn listening_place() -> Result<SocketAddr> {
    let [port] = ports::free::<1>(Ipv4Addr::LOCALHOST)?;
    Ok((Ipv4Addr::LOCALHOST, port).into())
}
