//! The whole configuration: each stage's own, composed and checked against each other.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;

use mailsonar_settings::{Document, Problem, Problems};
use serde::Deserialize;

use crate::expose::Operators;
use crate::ingest::Agents;
use crate::notify::{Heartbeats, Notifiers};
use crate::services::Services;
use crate::silence::Calendar;
use crate::statement::Statements;
use crate::{evaluate, expose, ingest, notify, services, silence, statement, store};

/// The file as it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default = "default_listen")]
    listen: SocketAddr,
    #[serde(default)]
    public_url: Option<String>,
    store: store::Written,
    #[serde(default)]
    agents: Agents,
    #[serde(default)]
    evaluate: evaluate::Config,
    #[serde(default)]
    notifiers: BTreeMap<String, notify::Config>,
    #[serde(default)]
    heartbeats: BTreeMap<String, notify::HeartbeatConfig>,
    #[serde(default)]
    services: Services,
    #[serde(default)]
    operators: Operators,
    #[serde(default)]
    maintenance: Calendar,
    #[serde(default)]
    statements: statement::Config,
    #[serde(default)]
    expose: expose::Config,
}

fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 9920))
}

/// A configuration that was checked, with its secrets fetched.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where people reach this collector, for links in pages.
    pub public_url: Option<String>,
    /// The store; a file's path is absolute or relative to the working directory.
    pub store: store::Config,
    /// Who may speak.
    pub agents: Agents,
    /// The thresholds.
    pub evaluate: evaluate::Config,
    /// Whom to page.
    pub notifiers: Notifiers,
    /// Whom to tell that all is well with us.
    pub heartbeats: Heartbeats,
    /// What is said of services.
    pub services: Services,
    /// Who may silence, acknowledge and annotate.
    pub operators: Operators,
    /// Maintenance that recurs.
    pub maintenance: Calendar,
    /// What is stated by itself.
    pub statements: Statements,
    /// What strangers may see.
    pub expose: expose::Config,
    /// What is not wrong but unwise.
    pub warnings: Vec<String>,
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place and remedy.
    pub fn read(path: &Path) -> Result<Self, Problems> {
        Self::from_document(&Document::read(path)?)
    }

    /// Checks a document.
    pub fn from_document(document: &Document) -> Result<Self, Problems> {
        let file: File = document.parse()?;
        let mut problems = Vec::new();
        problems.extend(check_public_url(file.public_url.as_deref(), document));
        problems.extend(file.evaluate.check(document));
        problems.extend(ingest::check_agents(&file.agents, document));
        problems.extend(expose::check_operators(&file.operators, &file.agents, document));
        problems.extend(silence::check(&file.maintenance, document));
        let (notifiers, wrong, mut warnings) = Notifiers::build(&file.notifiers, document);
        problems.extend(wrong);
        let (heartbeats, wrong, unwise) = Heartbeats::build(&file.heartbeats, document);
        problems.extend(wrong);
        warnings.extend(unwise);
        let hosts = [notifiers.hosts(), &heartbeats.hosts].concat();
        let store = match store::Config::build(file.store, document) {
            Ok((store, warning)) => {
                problems.extend(services::check(&file.services, &hosts, store.retention, document));
                problems.extend(outwaits_the_store(&file.evaluate, &store, document));
                warnings.extend(warning);
                Some(store)
            }
            Err(wrong) => {
                problems.extend(wrong.0);
                None
            }
        };
        problems.extend(too_many_regions(&file.evaluate, &file.agents, document));
        let statements = Statements::build(file.statements, &notifiers, document).unwrap_or_else(|wrong| {
            problems.extend(wrong.0);
            Statements::default()
        });
        let Some(store) = store.filter(|_| problems.is_empty()) else { return Err(Problems(problems)) };
        if file.agents.is_empty() {
            warnings.push("no [agents.NAME]: nobody may report here".into());
        }
        if file.notifiers.is_empty() {
            warnings.push("no [notifiers.NAME]: incidents page nobody".into());
        }
        Ok(Self {
            listen: file.listen,
            public_url: file.public_url,
            store,
            agents: file.agents,
            evaluate: file.evaluate,
            notifiers,
            heartbeats,
            services: file.services,
            operators: file.operators,
            maintenance: file.maintenance,
            statements,
            expose: file.expose,
            warnings,
        })
    }
}

/// A quorum of more regions than there are agents in can never be reached.
fn too_many_regions(rules: &evaluate::Config, agents: &Agents, document: &Document) -> Option<Problem> {
    let regions: BTreeSet<_> = agents.values().map(|agent| &agent.region).collect();
    let usual = evaluate::Config::default().regions;
    (rules.regions > regions.len().max(usual)).then(|| {
        document.problem(
            "evaluate.regions",
            format!("{} regions never agree where [agents] stand in {}", rules.regions, regions.len()),
            "write no more than there are regions with agents",
        )
    })
}

/// What is waited for longer than it is kept can never be seen.
fn outwaits_the_store(
    rules: &evaluate::Config,
    store: &store::Config,
    document: &Document,
) -> Option<Problem> {
    let grace = rules.drain_grace?;
    (grace.get() >= store.retention.get()).then(|| {
        document.problem(
            "evaluate.drain_grace",
            "not shorter than `store.retention`: what is missing would be forgotten before it is given up",
            "write less, or keep records longer",
        )
    })
}

fn check_public_url(url: Option<&str>, document: &Document) -> Option<Problem> {
    let url = url?;
    let fine = reqwest::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    (!fine).then(|| {
        document.problem(
            "public_url",
            "is not an http:// or https:// URL",
            "write where people reach this collector, such as \"https://mailsonar.example\"",
        )
    })
}
