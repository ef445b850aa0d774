//! How pages leave the house: notifiers, and what each is told.
//!
//! A notifier turns one [`Page`] into one message to one service, and says whether it was taken.
//! When to try, and how often, is the outbox's business. Knows no store.

mod matching;
mod page;
mod post;
mod webhook;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use mailsonar_settings::{Document, Problem};
use serde::Deserialize;

use crate::incident::Addressee;

pub use matching::{Match, Severity};
pub use page::{Links, Page, Status};
pub use post::{HttpPost, Post, PostError, PostReply, PostRequest};
pub use webhook::{Webhook, WebhookConfig};

/// One notifier as configured, by its `type`.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Config {
    /// Standard Webhooks.
    Webhook(WebhookConfig),
}

/// Why a page was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection {
    /// Trying again may help: no answer, 5xx, 429.
    ForNow {
        /// What was said.
        words: String,
        /// How long to wait at least, if they said.
        retry_after: Option<Duration>,
    },
    /// Trying again will hardly help: 4xx, a redirect.
    ForGood(String),
}

/// A way to page somebody.
pub trait Notifier: Send + Sync {
    /// Sends one page. `id` is the same at every attempt; `civil` is the date to write on it.
    /// Ok is what the other side answered.
    fn send<'a>(
        &'a self,
        id: &'a str,
        page: &'a Page,
        civil: Timestamp,
    ) -> BoxFuture<'a, Result<String, Rejection>>;
}

/// A notifier and its name.
#[derive(Clone)]
pub struct Channel {
    /// As configured.
    pub name: String,
    /// The way.
    pub notifier: Arc<dyn Notifier>,
}

/// The notifiers of a configuration, checked and with their secrets fetched.
#[derive(Debug, Clone, Default)]
pub struct Notifiers {
    webhooks: BTreeMap<String, Webhook>,
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
            if let Err(invalid) = name.parse::<mailsonar_protocol::AccountName>() {
                problems.push(document.problem(
                    &format!("notifiers.{name}"),
                    invalid.to_string(),
                    "rename the notifier",
                ));
            }
            let Config::Webhook(config) = config;
            match Webhook::build(name, config, document) {
                Ok((webhook, warning)) => {
                    warnings.extend(warning);
                    notifiers.webhooks.insert(name.clone(), webhook);
                }
                Err(found) => problems.extend(found),
            }
        }
        (notifiers, problems, warnings)
    }

    /// Every notifier, as far as it matters to whom a page is owed.
    pub fn addressees(&self) -> Vec<Addressee> {
        let addressee =
            |name: &String| Addressee { name: name.clone(), acknowledges: true, ..Addressee::default() };
        self.webhooks.keys().map(addressee).collect()
    }

    /// Every notifier's name.
    pub fn names(&self) -> Vec<String> {
        self.webhooks.keys().cloned().collect()
    }

    /// The notifiers, sending through `post`.
    pub fn channels(&self, post: &Arc<dyn Post>) -> Vec<Channel> {
        self.webhooks
            .iter()
            .map(|(name, webhook)| Channel {
                name: name.clone(),
                notifier: Arc::new(webhook.clone().through(Arc::clone(post))),
            })
            .collect()
    }
}
