//! An operator's own configuration, played in place of the usual world's.
//!
//! Their agents and their collector as they wrote them: routes, intervals, limits, quorum, whom which page
//! goes to and in which words. What is exchanged is what lies outside: hosts are the sandbox's, secrets are
//! made up, notifiers are recorded. Knows files and tables; knows no scenario.

mod agent;
mod cast;
mod collector;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use mailsonar_collector::Config as CollectorConfig;
use mailsonar_sandbox::{Config, ProviderConfig};
use mailsonar_settings::{Document, Problem, Problems};
use toml::Table;

use crate::simulation::{AgentSetup, Setup, Usual};

pub use cast::Cast;

/// How far away agents are of whom the scenario says nothing.
const FAR: Duration = Duration::from_millis(40);

/// What was read.
#[derive(Debug, Clone)]
pub struct Own {
    agents: Vec<OwnAgent>,
    collector: OwnFile,
    providers: Vec<Provider>,
    /// The service under watch that the scenario is about.
    service: String,
    /// What is played otherwise than it is written, a sentence each.
    pub notes: Vec<String>,
}

/// A file as it was read.
#[derive(Debug, Clone)]
struct OwnFile {
    document: Document,
    table: Table,
}

/// An agent: its own file, or another's that stands for it.
#[derive(Debug, Clone)]
struct OwnAgent {
    name: String,
    region: String,
    file: OwnFile,
}

/// Who holds mailboxes.
#[derive(Debug, Clone, Default)]
struct Provider {
    name: String,
    watched: bool,
    domains: Vec<String>,
    accounts: BTreeSet<String>,
    submission_names: BTreeSet<String>,
    imap_names: BTreeSet<String>,
}

impl Own {
    /// Reads an operator's files: one collector's, and those of some of its agents. Agents without a file
    /// are played with the first one's. Where several services are watched, `service` says which is meant.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place and remedy.
    pub fn read(paths: &[PathBuf], service: Option<&str>) -> Result<Self, Problems> {
        let (mut agents, mut collectors) = (Vec::new(), Vec::new());
        for path in paths {
            let document = Document::read(path)?;
            let table: Table = document.parse()?;
            let file = OwnFile { document, table };
            if file.table.contains_key("agent") {
                agents.push(file);
            } else if file.table.contains_key("store") || file.table.contains_key("agents") {
                collectors.push(file);
            } else {
                let remedy = "give an agent's file (with `agent`) or a collector's (with [store])";
                return Err(file.wrong("", "is no configuration of Mailsonar", remedy));
            }
        }
        let first = agents.first().or(collectors.first());
        let Some(first) = first.cloned() else { return Err(Problems(Vec::new())) };
        let [collector] = &collectors[..] else {
            let message = format!("{} of these files are a collector's", collectors.len());
            return Err(first.wrong("", message, "give one collector's file, and one agent's or more"));
        };
        let collector = collector.clone();
        let (agents, notes) = members(&agents, &collector)?;
        let providers = providers(&agents);
        let service = chosen(&providers, service, &agents)?;
        let mut own = Self { agents, collector, providers, service, notes };
        own.notes.extend(own.simplified());
        own.check()?;
        Ok(own)
    }

    /// What is set up from it. Of `world` it takes the sites and what a provider does.
    pub fn setup(&self, world: &Usual, date: Timestamp, seed: u64) -> anyhow::Result<Setup> {
        let directory = tempfile::Builder::new().prefix("mailsonar-rehearsal-").tempdir();
        let directory = Arc::new(directory.context("no temporary directory")?);
        let providers: Vec<ProviderConfig> = self.providers.iter().map(|p| self.provider(p, world)).collect();
        let agents = self.agents.iter().enumerate().map(|(place, own)| AgentSetup {
            name: own.name.clone(),
            region: own.region.clone(),
            round_trip: Self::distance(&own.region, place, world),
            token: token(&own.name),
            document: own.rehearsed(directory.path(), &self.sites(world)),
            listened_to: false,
        });
        Ok(Setup {
            date,
            seed,
            agents: agents.collect(),
            collector: self.rehearsed_collector(directory.path()),
            sandbox: Config { seed, sockets: false, ..Config::new(providers) },
            directory,
        })
    }

    /// Says what is wrong in the files, at the places where they say it.
    fn check(&self) -> Result<(), Problems> {
        let directory = Path::new("/nonexistent");
        let clock = mailsonar_clock::SystemClock::shared();
        let mut problems = Vec::new();
        for own in &self.agents {
            // Files that only the rehearsal has are not there yet.
            let document = own.rehearsed_without_files(directory);
            if let Err(wrong) = mailsonar_agent::config::Config::read(&document, &clock) {
                problems.extend(wrong.0.into_iter().map(|problem| problem.shown_in(&own.file.document)));
            }
        }
        let collector = self.rehearsed_collector(directory);
        if let Err(wrong) = CollectorConfig::from_document(&collector) {
            problems.extend(wrong.0.into_iter().map(|problem| problem.shown_in(&self.collector.document)));
        }
        problems.dedup();
        if problems.is_empty() { Ok(()) } else { Err(Problems(problems)) }
    }

    /// Where the scenario's distance of a region is not known, that of the one at the same place counts.
    fn distance(region: &str, place: usize, world: &Usual) -> Duration {
        let named = world.regions.iter().find(|(name, _)| name == region);
        named.or(world.regions.get(place)).map_or(FAR, |(_, distance)| *distance)
    }

    fn provider(&self, provider: &Provider, world: &Usual) -> ProviderConfig {
        let sites: Vec<&str> = if provider.name == self.service {
            world.sites.iter().map(String::as_str).collect()
        } else {
            vec!["main"]
        };
        let mut domains = provider.domains.iter().cloned();
        let mut config = ProviderConfig::new(&domains.next().unwrap_or_default(), &sites);
        world.apply_to(&mut config);
        config.domains = domains.collect();
        config.submission_names = provider.submission_names.iter().cloned().collect();
        config.imap_names = provider.imap_names.iter().cloned().collect();
        for address in &provider.accounts {
            config.accounts.push(mailsonar_sandbox::AccountConfig {
                address: address.clone(),
                password: agent::PASSWORD.to_owned(),
            });
        }
        config
    }

    /// The scenario's sites under the names that the operator has for theirs, with the sandbox's hosts.
    fn sites(&self, world: &Usual) -> BTreeMap<String, Vec<String>> {
        let own = self.agents.iter().find_map(|own| own.file.table.get("sites")?.as_table());
        let named: Vec<&String> = own.map(|sites| sites.keys().collect()).unwrap_or_default();
        let Some(service) = self.provider_of_service() else { return BTreeMap::new() };
        let config = self.provider(service, world);
        let mut sites: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for host in config.hosts {
            let place = world.sites.iter().position(|site| *site == host.site).unwrap_or(0);
            let fits = named.len() == world.sites.len();
            let name = if fits { named[place].clone() } else { host.site.clone() };
            sites.entry(name).or_default().push(host.name);
        }
        sites
    }

    /// Where its agents stand, in the order of their names.
    pub fn regions(&self) -> Vec<&str> {
        let mut regions = Vec::new();
        for own in &self.agents {
            if !regions.contains(&own.region.as_str()) {
                regions.push(own.region.as_str());
            }
        }
        regions
    }

    /// Its agents' names.
    pub fn agents(&self) -> impl Iterator<Item = &str> {
        self.agents.iter().map(|own| own.name.as_str())
    }

    /// The files it was read from, and what of them is played otherwise.
    pub fn told(&self) -> Vec<String> {
        let mut files: Vec<String> = Vec::new();
        let documents = self.agents.iter().map(|own| &own.file.document).chain([&self.collector.document]);
        for document in documents {
            let path = document.path().display().to_string();
            if !files.contains(&path) {
                files.push(path);
            }
        }
        let mut told = vec![format!("Played with {}", files.join(", "))];
        told.extend(self.notes.iter().cloned());
        told
    }

    fn agent_in(&self, region: &str) -> Option<&str> {
        self.agents.iter().find(|own| own.region == region).map(|own| own.name.as_str())
    }

    /// The routes of all agents, under the usual world's route of the same direction.
    fn routes_by_direction(&self) -> BTreeMap<&'static str, Vec<String>> {
        let mut routes: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
        for own in &self.agents {
            for (name, from_watched, to_watched) in own.routes() {
                let usual = match (from_watched, to_watched) {
                    (true, true) => "loop",
                    (true, false) => "send",
                    (false, true) => "receive",
                    (false, false) => "control",
                };
                let names = routes.entry(usual).or_default();
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        routes
    }

    fn provider_of_service(&self) -> Option<&Provider> {
        self.providers.iter().find(|provider| provider.name == self.service)
    }

    /// What is played otherwise than it is written.
    fn simplified(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let has = |key: &str| self.agents.iter().any(|own| own.file.table.contains_key(key));
        if has("dkim") {
            notes.push("Messages are not signed: DKIM keys are secrets".to_owned());
        }
        if self.agents.iter().any(|own| own.accounts().any(|(_, account)| account.contains_key("oauth"))) {
            notes.push("Accounts with OAuth sign in with a password".to_owned());
        }
        if self.agents.iter().any(OwnAgent::has_plaintext) {
            notes.push("Endpoints in plaintext are spoken to with TLS: the sandbox wants it".to_owned());
        }
        notes
    }
}

impl OwnFile {
    fn wrong(&self, key: &str, message: impl Into<String>, remedy: impl Into<String>) -> Problems {
        Problems(vec![self.problem(key, message, remedy)])
    }

    fn problem(&self, key: &str, message: impl Into<String>, remedy: impl Into<String>) -> Problem {
        self.document.problem(key, message, remedy)
    }

    fn text(&self, key: &str) -> String {
        self.table.get(key).and_then(toml::Value::as_str).unwrap_or_default().to_owned()
    }
}

/// Every agent that the collector knows, with the file that speaks for it.
fn members(files: &[OwnFile], collector: &OwnFile) -> Result<(Vec<OwnAgent>, Vec<String>), Problems> {
    let Some(first) = files.first() else {
        return Err(collector.wrong("", "comes without an agent's file", "give an agent's file, too"));
    };
    let known = collector.table.get("agents").and_then(toml::Value::as_table).cloned().unwrap_or_default();
    let mut problems = Vec::new();
    for file in files {
        let (name, region) = (file.text("agent"), file.text("region"));
        let theirs = known.get(&name).and_then(|agent| agent.get("region")?.as_str());
        match theirs {
            None => problems.push(collector.problem(
                "agents",
                format!("does not know agent {name:?} of {}", file.document.path().display()),
                format!("add [agents.{name}]; nobody else may report to it"),
            )),
            Some(theirs) if theirs != region => problems.push(collector.problem(
                &format!("agents.{name}.region"),
                format!("is not the region that the agent's own file has ({region:?})"),
                "write the same in both, or its records are refused",
            )),
            Some(_) => {}
        }
    }
    if !problems.is_empty() {
        return Err(Problems(problems));
    }
    let mut stand_ins = Vec::new();
    let agents = known.iter().map(|(name, agent)| {
        let own = files.iter().find(|file| file.text("agent") == *name);
        if own.is_none() {
            stand_ins.push(name.clone());
        }
        let region = agent.get("region").and_then(toml::Value::as_str).unwrap_or_default();
        OwnAgent { name: name.clone(), region: region.to_owned(), file: own.unwrap_or(first).clone() }
    });
    let agents: Vec<OwnAgent> = agents.collect();
    let note =
        format!("No file was given for {}: played with {}'s", stand_ins.join(", "), first.text("agent"));
    Ok((agents, if stand_ins.is_empty() { Vec::new() } else { vec![note] }))
}

/// The providers that the agents' files speak of.
fn providers(agents: &[OwnAgent]) -> Vec<Provider> {
    let mut providers: BTreeMap<String, Provider> = BTreeMap::new();
    for own in agents {
        for (name, watched, domains) in own.providers() {
            let provider = providers.entry(name.clone()).or_default();
            (provider.name, provider.watched) = (name, watched);
            for domain in domains {
                if !provider.domains.contains(&domain) {
                    provider.domains.push(domain);
                }
            }
        }
        for (holder, account) in own.accounts() {
            let Some(provider) = providers.get_mut(&holder) else { continue };
            provider.accounts.extend(agent::text(account, "address"));
            provider.submission_names.extend(agent::host_name(account, "submission"));
            let imap = agent::host_name(account, "imap");
            provider.imap_names.extend(imap.filter(|_| agent::is_of_its_own(account, "imap")));
        }
    }
    providers.into_values().filter(|provider| !provider.domains.is_empty()).collect()
}

/// The service under watch that is meant.
fn chosen(providers: &[Provider], asked: Option<&str>, agents: &[OwnAgent]) -> Result<String, Problems> {
    let watched: Vec<&str> =
        providers.iter().filter(|provider| provider.watched).map(|provider| provider.name.as_str()).collect();
    let problem = |message: String, remedy: &str| {
        let file = agents.first().map(|own| own.file.wrong("services", message, remedy));
        file.unwrap_or(Problems(Vec::new()))
    };
    match (asked, &watched[..]) {
        (Some(asked), all) if all.contains(&asked) => Ok(asked.to_owned()),
        (None, [only]) => Ok((*only).to_owned()),
        (Some(asked), all) => {
            Err(problem(format!("there is no service {asked:?}, but {}", all.join(", ")), "change --service"))
        }
        (None, []) => Err(problem("no service is watched".to_owned(), "add [services.NAME]")),
        (None, all) => Err(problem(
            format!("{} services are watched: {}", all.len(), all.join(", ")),
            "say which one breaks with --service NAME",
        )),
    }
}

/// What an agent shows the rehearsed collector.
fn token(agent: &str) -> String {
    format!("mst_rehearsal-{agent}")
}
