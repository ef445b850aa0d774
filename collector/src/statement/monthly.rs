//! The run by itself: when a period is over its statements are issued, and again while late mail comes in.
//!
//! What is issued and the pages that say so are one transaction. Reads beside what is written.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use mailsonar_protocol::ServiceName;
use mailsonar_settings::{Document, Duration, Problems};
use serde::Deserialize;
use tracing::{info, warn};

use super::anchor;
use super::contract::ContractFile;
use super::gather::{controls, gather};
use super::notices;
use super::period::Period;
use super::revision::{Issued, issue};
use crate::Collector;
use crate::notify::Notifiers;
use crate::store::{Store, StoreError};

/// How often it is looked whether something is due.
const LOOK: std::time::Duration = std::time::Duration::from_mins(1);

/// `[statements]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The contract files; relative paths are relative to the configuration file.
    pub contracts: Vec<PathBuf>,
    /// How long after a period's end its statements are issued.
    pub delay: Duration,
    /// How often they are computed again after that; a new revision is issued if anything changed.
    pub again_every: Duration,
    /// For how long after the period's end.
    pub again_for: Duration,
    /// Who is told of each revision.
    pub notifiers: Vec<String>,
    /// Who is told each day's head.
    pub anchor: anchor::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            contracts: Vec::new(),
            delay: Duration::from_secs(6 * 3_600),
            again_every: Duration::from_secs(86_400),
            again_for: Duration::from_secs(14 * 86_400),
            notifiers: Vec::new(),
            anchor: anchor::Config::default(),
        }
    }
}

/// The contracts that are stated by themselves, read and checked.
#[derive(Debug, Clone, Default)]
pub struct Statements {
    /// How.
    pub config: Config,
    /// What was promised.
    pub contracts: Vec<Arc<ContractFile>>,
}

impl Statements {
    /// Reads the contracts, and checks that the notifiers are there and take notices.
    pub fn build(config: Config, notifiers: &Notifiers, document: &Document) -> Result<Self, Problems> {
        let mut problems = Vec::new();
        for (key, names) in [
            ("statements.notifiers", &config.notifiers),
            ("statements.anchor.notifiers", &config.anchor.notifiers),
        ] {
            let wrong = names.iter().filter_map(|name| notifiers.no_notices(name));
            let remedy = "name a webhook, a command, mail, ntfy or Slack from [notifiers.NAME]";
            problems.extend(wrong.map(|words| document.problem(key, words, remedy)));
        }
        let mut contracts: Vec<Arc<ContractFile>> = Vec::new();
        for path in &config.contracts {
            match ContractFile::read(&document.directory().join(path)) {
                Ok(file) if contracts.iter().any(|known| known.contract.name == file.contract.name) => {
                    let words = format!("two contracts are called {}", file.contract.name);
                    problems.push(document.problem(
                        "statements.contracts",
                        words,
                        "give each a name of its own",
                    ));
                }
                Ok(file) => contracts.push(Arc::new(file)),
                Err(wrong) => problems.extend(wrong.0),
            }
        }
        if problems.is_empty() { Ok(Self { config, contracts }) } else { Err(Problems(problems)) }
    }

    /// Whether strangers may see the statements of a contract.
    pub fn is_public(&self, contract: &str) -> bool {
        self.contracts.iter().any(|file| file.contract.name.as_str() == contract && file.contract.public)
    }

    /// Whether there are contracts whose statements may be seen at all, by strangers or by others.
    pub fn are_seen(&self, by_strangers: bool) -> bool {
        self.contracts.iter().any(|file| file.contract.public || !by_strangers)
    }
}

/// When each statement was last computed, while the process lives.
#[derive(Debug, Default)]
pub struct Looked(BTreeMap<(String, ServiceName, String), Timestamp>);

impl Looked {
    /// Whether a statement is to be computed now.
    fn is_due(
        &self,
        config: &Config,
        period: &Period,
        key: &(String, ServiceName, String),
        now: Timestamp,
    ) -> bool {
        let passed = now.duration_since(period.end());
        let again = |at: &Timestamp| now.duration_since(*at) >= config.again_every.signed();
        (config.delay.signed()
            ..config.again_for.signed().max(config.delay.signed() + SignedDuration::from_hours(1)))
            .contains(&passed)
            && self.0.get(key).is_none_or(again)
    }
}

/// Looks whether statements are due, for ever.
pub(crate) async fn run(collector: Collector) {
    let mut looked = Looked::default();
    loop {
        collector.issue_statements(&mut looked, collector.now()).await;
        collector.anchor_days(collector.now()).await;
        tokio::time::sleep(LOOK).await;
    }
}

impl Collector {
    /// Issues the statements that are due now.
    pub async fn issue_statements(&self, looked: &mut Looked, now: Timestamp) {
        let statements = &self.config().statements;
        for file in &statements.contracts {
            let contract = &file.contract;
            let this = Period::around(now, contract.period, &contract.time_zone);
            let last = this.and_then(|this| this.before(contract.period, &contract.time_zone));
            let Ok(period) = last else { continue };
            for service in &contract.services {
                let key = (contract.name.to_string(), service.clone(), period.name.clone());
                if !looked.is_due(&statements.config, &period, &key, now) {
                    continue;
                }
                match self.issue_one(Arc::clone(file), service.clone(), period.clone(), now).await {
                    Ok(Some(issued)) => {
                        info!(contract = key.0, %service, period = key.2, revision = issued.revision, "statement issued");
                        self.wake_deliveries();
                    }
                    Ok(None) => {}
                    Err(trouble) => {
                        warn!(%trouble, contract = key.0, %service, "no statement now; it is tried again");
                        continue;
                    }
                }
                looked.0.insert(key, now);
            }
        }
    }

    /// Computes one statement, and issues it if it is news.
    async fn issue_one(
        &self,
        file: Arc<ContractFile>,
        service: ServiceName,
        period: Period,
        now: Timestamp,
    ) -> Result<Option<Issued>, StoreError> {
        let gathering = move |store: &Store| {
            let controls = controls(store, &file.contract, &period)?;
            gather(store, &file, &service, &period, &controls, now)
        };
        let statement = self.desks().read(gathering).await?;
        let notifiers = self.config().statements.config.notifiers.clone();
        let public_url = self.config().public_url.clone();
        self.desks()
            .run(move |store| {
                let (issued, new) = issue(store, statement, now)?;
                if !new {
                    return Ok(None);
                }
                let page = notices::of_statement(&issued, public_url.as_deref(), now);
                for owed in notices::owed(&page, &notifiers)? {
                    store.owe(&owed, now)?;
                }
                Ok(Some(issued))
            })
            .await
    }
}
