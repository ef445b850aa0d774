//! What a world is made of: configuration files as a user would write them, and the mail service that
//! they speak of.
#![expect(clippy::format_push_string, reason = "text for people, made once: plain words before allocations")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use mailsonar_collector::ingest::token_hash;
use mailsonar_sandbox::{Config, ProviderConfig, Role};
use mailsonar_settings::Document;
use tempfile::TempDir;

use super::ways::PAGER_URL;

/// The mail domain of the service under watch.
pub const SERVICE_DOMAIN: &str = "acme.example";
/// The mail domain of the reference provider.
pub const REFERENCE_DOMAIN: &str = "reference.example";

/// Everything that a world starts from.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The date at the start.
    pub date: Timestamp,
    /// All chance comes from it.
    pub seed: u64,
    /// The mail service.
    pub sandbox: Config,
    /// The agents.
    pub agents: Vec<AgentSetup>,
    /// The collector's file.
    pub collector: Document,
    /// Where the sandbox's CA is kept while the world lives.
    pub directory: Arc<TempDir>,
}

/// One agent.
#[derive(Debug, Clone)]
pub struct AgentSetup {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub region: String,
    /// How far away all servers are.
    pub round_trip: Duration,
    /// What it shows the collector.
    pub token: String,
    /// Its file.
    pub document: Document,
    /// Whether every revision of its records is kept for [`super::Member::heard`].
    pub listened_to: bool,
}

/// The usual world: a service in two sites, a reference, agents in a few regions.
#[derive(Debug, Clone, PartialEq)]
pub struct Usual {
    /// Region and round trip of each agent, `REGION-1`.
    pub regions: Vec<(String, Duration)>,
    /// The sites of the service; the first is in use.
    pub sites: Vec<String>,
    /// Whether the service's MX hosts are all equally preferred, not only a backup of the first.
    pub equal_mx: bool,
    /// From one probe of a route to the next.
    pub interval: Duration,
    /// What is in time.
    pub deadline: Duration,
    /// What a healthy provider takes from acceptance to the mailbox.
    pub delivery: Duration,
    /// The pause between two attempts of the providers' queues.
    pub retry_every: Duration,
    /// The agents' routes.
    pub routes: Vec<String>,
    /// Lines added to each agent's file, at its top.
    pub agent: String,
    /// Lines added to the collector's file, at its end.
    pub collector: String,
}

/// The routes that a usual world has.
pub const ROUTES: [&str; 4] = ["send", "receive", "loop", "control"];

impl Default for Usual {
    fn default() -> Self {
        let regions = [("frankfurt", 24), ("virginia", 92), ("singapore", 164)];
        Self {
            regions: regions.map(|(name, ms)| (name.to_owned(), Duration::from_millis(ms))).to_vec(),
            sites: vec!["east".to_owned(), "west".to_owned()],
            equal_mx: false,
            interval: Duration::from_mins(1),
            deadline: Duration::from_mins(5),
            delivery: Duration::from_millis(400),
            retry_every: Duration::from_mins(5),
            routes: ROUTES.iter().map(|route| (*route).to_owned()).collect(),
            agent: String::new(),
            collector: String::new(),
        }
    }
}

impl Usual {
    /// Makes a provider as this world has them.
    pub fn apply_to(&self, provider: &mut ProviderConfig) {
        provider.delivery_delay = self.delivery;
        provider.retry_every = self.retry_every;
        for host in provider.hosts.iter_mut().filter(|_| self.equal_mx) {
            if let Role::Mx { preference } = &mut host.role {
                *preference = 10;
            }
        }
    }
}

impl Setup {
    /// Where the sandbox's CA is.
    pub fn ca_file(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// The usual world.
    pub fn usual(usual: &Usual, date: Timestamp, seed: u64) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("mailsonar-rehearsal-").tempdir();
        let directory = directory.context("no temporary directory")?;
        let agent = |(region, round_trip): &(String, Duration)| {
            let path = directory.path().join(format!("{region}.toml"));
            AgentSetup {
                name: format!("{region}-1"),
                region: region.clone(),
                round_trip: *round_trip,
                token: token(region),
                document: Document::new(path, agent_file(region, usual)),
                listened_to: false,
            }
        };
        let agents: Vec<AgentSetup> = usual.regions.iter().map(agent).collect();
        let collector =
            Document::new(directory.path().join("collector.toml"), collector_file(&agents, usual));
        Ok(Self {
            date,
            seed,
            sandbox: Config { seed, sockets: false, ..Config::new(providers(usual)) },
            agents,
            collector,
            directory: Arc::new(directory),
        })
    }
}

fn token(region: &str) -> String {
    format!("mst_rehearsal-{region}")
}

fn providers(usual: &Usual) -> Vec<ProviderConfig> {
    let sites: Vec<&str> = usual.sites.iter().map(String::as_str).collect();
    [(SERVICE_DOMAIN, &sites[..]), (REFERENCE_DOMAIN, &["main"])]
        .map(|(domain, sites)| {
            let mut provider = ProviderConfig::new(domain, sites);
            usual.apply_to(&mut provider);
            provider.account("probe", "secret").account("watch", "secret")
        })
        .to_vec()
}

fn agent_file(region: &str, usual: &Usual) -> String {
    let mut text = format!(
        include_str!("agent.toml.template"),
        region = region,
        top = usual.agent,
        token = token(region)
    );
    for route in &usual.routes {
        let ends = match route.as_str() {
            "send" => "from = \"acme-probe\"\nto = \"reference-watch\"",
            "receive" => {
                "from = \"mx\"\nto = \"acme-watch\"\nsender = \"probe@reference.example\"\n\
                 mx = { tls = \"required\", ca_file = \"ca.pem\" }"
            }
            "loop" => "from = \"acme-probe\"\nto = \"acme-watch\"",
            _ => "from = \"reference-probe\"\nto = \"reference-watch\"",
        };
        let (interval, deadline) = (usual.interval.as_secs(), usual.deadline.as_secs());
        text +=
            &format!("\n[routes.{route}]\n{ends}\ninterval = \"{interval}s\"\ndeadline = \"{deadline}s\"\n");
    }
    text
}

fn collector_file(agents: &[AgentSetup], usual: &Usual) -> String {
    let mut text = String::from("[store]\npath = \"collector.db\"\n");
    text += &usual.collector;
    text += &notifier("pager");
    for agent in agents {
        text += &format!(
            "\n[agents.{}]\nregion = \"{}\"\ntoken_sha256 = \"{}\"\n",
            agent.name,
            agent.region,
            token_hash(&agent.token)
        );
    }
    text
}

/// A notifier whose pages the world takes.
pub(crate) fn notifier(name: &str) -> String {
    format!(
        "\n[notifiers.{name}]\ntype = \"webhook\"\nurl = \"{PAGER_URL}{name}\"\n\
         secret = \"whsec_cmVoZWFyc2VkLXJlaGVhcnNlZC1yZWhlYXJzZWQh\"\n"
    )
}
