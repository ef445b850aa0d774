//! How pages leave the house: notifiers, and what each is told.
//!
//! A notifier turns a [`Page`] into a message to one service, and says whether it was taken. When to
//! try, and how often, is the outbox's business; whom a page is owed, the incident's. Knows no store.

mod alertmanager;
mod checking;
mod command;
mod ear;
mod heartbeat;
mod http;
mod matching;
mod ntfy;
mod page;
mod pagerduty;
mod post;
mod slack;
mod smtp;
mod template;
mod webhook;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use mailsonar_protocol::AccountName;
use mailsonar_settings::{Document, Duration as Length, Problem};
use serde::Deserialize;

use crate::incident::Addressee;
use checking::Checking;
use http::{OverHttp, Way};

pub use ear::Ear;
pub use heartbeat::{HeartbeatConfig, Heartbeats, Vitals, ailment};
pub use matching::{Match, Severity};
pub use page::{Links, Page, Status};
pub use post::{HttpPost, Method, Post, PostError, PostReply, PostRequest, http_client};

/// `[notifiers.NAME]`: what all have in common, and what its `type` wants besides.
#[derive(Debug, Clone, Deserialize)]
pub struct Config {
    #[serde(flatten)]
    common: Common,
    #[serde(flatten)]
    kind: Kind,
}

/// What every notifier may have.
#[derive(Debug, Clone, Deserialize)]
struct Common {
    /// Which incidents it is for; all, if nothing is said.
    #[serde(default, rename = "match")]
    matches: Match,
    /// How long after its last page it is paged again while nobody has acknowledged; never, without it.
    #[serde(default)]
    repeat: Option<Length>,
    /// How long one attempt may take.
    #[serde(default = "default_timeout")]
    timeout: Length,
}

fn default_timeout() -> Length {
    Length::from_secs(10)
}

#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Kind {
    Webhook(webhook::WebhookConfig),
    PagerDuty(pagerduty::PagerDutyConfig),
    Alertmanager(alertmanager::AlertmanagerConfig),
    Slack(slack::SlackConfig),
    Ntfy(ntfy::NtfyConfig),
    Command(command::CommandConfig),
    Smtp(smtp::SmtpConfig),
}

/// Why a page was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection {
    /// Trying again may help: no answer, 5xx, 429.
    ForNow {
        /// What was said.
        words: String,
        /// How long to leave the service alone, if they said.
        retry_after: Option<Duration>,
    },
    /// Trying again will hardly help: 4xx, a redirect. It is tried a few times all the same.
    ForGood(String),
    /// The message itself is wrong, and the service asks not to be sent it again.
    Never(String),
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::ForNow { words, .. } | Self::ForGood(words) | Self::Never(words)) = self;
        f.write_str(words)
    }
}

/// One message to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The same at every attempt at the same pages.
    pub id: &'a str,
    /// What it says: one page, or as many as the notifier's manners allow.
    pub pages: &'a [Page],
    /// The collector's steady time, in which pages are written.
    pub now: Timestamp,
    /// The same moment by the wall clock, for services that know only that.
    pub civil: Timestamp,
}

impl<'a> Call<'a> {
    /// The pages without notices, for a service that makes an alert of each. The configuration check keeps
    /// notices away from it; one that was owed to another notifier of the same name goes nowhere.
    fn alerts(&self) -> Result<Vec<&'a Page>, Rejection> {
        let alerts: Vec<_> = self.pages.iter().filter(|page| page.status != Status::Notice).collect();
        if alerts.is_empty() {
            return Err(Rejection::Never("a notice is no alert, and nothing would end it".into()));
        }
        Ok(alerts)
    }

    /// The page, where a message has only one.
    fn first(&self) -> Result<&'a Page, Rejection> {
        self.pages.first().ok_or_else(|| Rejection::Never("a message without a page".into()))
    }

    /// A steady time by the wall clock.
    fn civil_of(&self, time: Timestamp) -> Timestamp {
        time.saturating_add(self.civil.duration_since(self.now)).unwrap_or(time)
    }
}

/// How a service wants to be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manners {
    /// The least time from one message to the next.
    pub pace: Duration,
    /// The most pages in one message.
    pub together: u32,
    /// How long a page waits for others to go with it.
    pub gather: Duration,
    /// How often what stands is told again.
    pub again: Option<Duration>,
}

impl Default for Manners {
    fn default() -> Self {
        Self { pace: Duration::ZERO, together: 1, gather: Duration::ZERO, again: None }
    }
}

/// A way to page somebody.
pub trait Notifier: Send + Sync {
    /// Sends one message. Ok is what the other side answered.
    fn send<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<String, Rejection>>;

    /// How it wants to be called.
    fn manners(&self) -> Manners {
        Manners::default()
    }
}

/// A notifier and its name.
#[derive(Clone)]
pub struct Channel {
    /// As configured.
    pub name: String,
    /// The way.
    pub notifier: Arc<dyn Notifier>,
}

/// A notifier that was checked, with its secret fetched; all that it lacks is the network.
#[derive(Debug, Clone)]
enum Ready {
    Webhook(webhook::Webhook),
    PagerDuty(pagerduty::PagerDuty),
    Alertmanager(alertmanager::Alertmanager),
    Slack(slack::Slack),
    Ntfy(ntfy::Ntfy),
    Command(command::Command),
    Smtp(Box<smtp::Smtp>),
}

impl Ready {
    fn build(config: &Config, checking: &mut Checking<'_>) -> Option<Self> {
        let timeout = config.common.timeout.get();
        match &config.kind {
            Kind::Webhook(config) => webhook::Webhook::build(config, checking).map(Self::Webhook),
            Kind::PagerDuty(config) => pagerduty::PagerDuty::build(config, checking).map(Self::PagerDuty),
            Kind::Alertmanager(config) => {
                alertmanager::Alertmanager::build(config, checking).map(Self::Alertmanager)
            }
            Kind::Slack(config) => slack::Slack::build(config, checking).map(Self::Slack),
            Kind::Ntfy(config) => ntfy::Ntfy::build(config, checking).map(Self::Ntfy),
            Kind::Command(config) => command::Command::build(config, timeout, checking).map(Self::Command),
            Kind::Smtp(config) => {
                smtp::Smtp::build(config, timeout, checking).map(|smtp| Self::Smtp(Box::new(smtp)))
            }
        }
    }

    /// Whether it can pass on that somebody has acknowledged.
    fn acknowledges(&self) -> bool {
        !matches!(self, Self::Alertmanager(_) | Self::Smtp(_))
    }

    /// Whether it can pass on what is no trouble. Where everything is an alert, a notice would stay open
    /// for ever: nothing ends it.
    fn takes_notices(&self) -> bool {
        !matches!(self, Self::Alertmanager(_) | Self::PagerDuty(_))
    }

    fn connected(self, way: Way) -> Arc<dyn Notifier> {
        match self {
            Self::Webhook(service) => Arc::new(OverHttp { service, way }),
            Self::PagerDuty(service) => Arc::new(OverHttp { service, way }),
            Self::Slack(service) => Arc::new(OverHttp { service, way }),
            Self::Ntfy(service) => Arc::new(OverHttp { service, way }),
            Self::Alertmanager(service) => Arc::new(service.connected(way)),
            Self::Command(command) => Arc::new(command),
            Self::Smtp(smtp) => Arc::new(*smtp),
        }
    }
}

#[derive(Debug, Clone)]
struct Entry {
    common: Common,
    ready: Ready,
}

/// The notifiers of a configuration, checked and with their secrets fetched.
#[derive(Debug, Clone, Default)]
pub struct Notifiers {
    entries: BTreeMap<String, Entry>,
    /// What each depends on: a key of the configuration, and the host or mail domain it names.
    hosts: Vec<(String, String)>,
    ear: Option<Ear>,
}

impl Notifiers {
    /// Checks every notifier and fetches its secret. Returns those that are good, what is wrong with
    /// the others, and warnings.
    pub fn build(
        configs: &BTreeMap<String, Config>,
        document: &Document,
    ) -> (Self, Vec<Problem>, Vec<String>) {
        let (mut notifiers, mut problems, mut warnings) = (Self::default(), Vec::new(), Vec::new());
        for (name, config) in configs {
            if let Err(invalid) = name.parse::<AccountName>() {
                let place = format!("notifiers.{name}");
                problems.push(document.problem(&place, invalid.to_string(), "rename the notifier"));
            }
            let mut checking = Checking::of(document, format!("notifiers.{name}"));
            if let Some(ready) = Ready::build(config, &mut checking) {
                notifiers.entries.insert(name.clone(), Entry { common: config.common.clone(), ready });
            }
            problems.extend(checking.problems);
            warnings.extend(checking.warnings);
            notifiers.hosts.extend(checking.hosts);
        }
        (notifiers, problems, warnings)
    }

    /// What they depend on: a key of the configuration, and the host or mail domain it names.
    pub fn hosts(&self) -> &[(String, String)] {
        &self.hosts
    }

    /// Every notifier, as far as it matters to whom a page is owed.
    pub fn addressees(&self) -> Vec<Addressee> {
        let addressee = |(name, entry): (&String, &Entry)| Addressee {
            name: name.clone(),
            matches: entry.common.matches.clone(),
            repeat: entry.common.repeat.map(Length::signed),
            acknowledges: entry.ready.acknowledges(),
        };
        self.entries.iter().map(addressee).collect()
    }

    /// What keeps notices, such as statements, from being sent through a notifier of this name.
    pub fn no_notices(&self, name: &str) -> Option<String> {
        match self.entries.get(name) {
            None => Some(format!("there is no notifier {name}")),
            Some(entry) if entry.ready.takes_notices() => None,
            Some(_) => {
                Some(format!("{name} makes an alert of whatever it is sent, and nothing would end this one"))
            }
        }
    }

    /// Every notifier's name.
    pub fn names(&self) -> Vec<String> {
        self.entries.keys().cloned().collect()
    }

    /// The same, each page that one of them sent being heard besides: its name, and what was taken.
    #[must_use]
    pub fn overheard_by(self, ear: Ear) -> Self {
        Self { ear: Some(ear), ..self }
    }

    /// The notifiers; those that speak HTTP do it through `post`.
    pub fn channels(&self, post: &Arc<dyn Post>) -> Vec<Channel> {
        let channel = |(name, entry): (&String, &Entry)| {
            let way = Way { post: Arc::clone(post), timeout: entry.common.timeout.get() };
            let notifier = entry.ready.clone().connected(way);
            let notifier = match self.ear.clone() {
                Some(ear) => Arc::new(ear::Overheard { name: name.clone(), notifier, ear }),
                None => notifier,
            };
            Channel { name: name.clone(), notifier }
        };
        self.entries.iter().map(channel).collect()
    }
}
