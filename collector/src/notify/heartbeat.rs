//! The dead-man's switch: an external watcher is called as long as this collector does its whole work.
//!
//! Not while the process lives, but while everything was looked at lately, the store takes what is
//! written, deliveries are looked after, and no first page of an incident waits in vain. When the
//! calls stop, the watcher pages by a way of its own (I7).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use mailsonar_settings::{Document, Duration, Problem, Secret};
use secrecy::ExposeSecret;
use serde::Deserialize;

use super::checking::Checking;
use super::http::{self, Way};
use super::{Method, Post, PostRequest};

/// `[heartbeats.NAME]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeartbeatConfig {
    /// What is called: whoever knows it may call, so it is a secret.
    #[serde(default)]
    url: Option<Secret>,
    #[serde(default)]
    url_file: Option<PathBuf>,
    #[serde(default)]
    url_env: Option<String>,
    /// `post` or `get`.
    #[serde(default = "default_method")]
    method: Method,
    /// How often.
    #[serde(default = "default_interval")]
    interval: Duration,
    /// How long one call may take.
    #[serde(default = "default_timeout")]
    timeout: Duration,
}

fn default_method() -> Method {
    Method::Post
}

fn default_interval() -> Duration {
    Duration::from_secs(60)
}

fn default_timeout() -> Duration {
    Duration::from_secs(10)
}

/// A heartbeat, ready but for the network.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    /// As configured.
    pub name: String,
    url: Secret,
    method: Method,
    interval: Duration,
    timeout: Duration,
}

/// The heartbeats of a configuration.
#[derive(Debug, Clone, Default)]
pub struct Heartbeats {
    /// Each, by name.
    pub list: Vec<Heartbeat>,
    /// What each depends on: a key of the configuration, and the host it names.
    pub hosts: Vec<(String, String)>,
}

impl Heartbeats {
    /// Checks every heartbeat and fetches its secret. Returns those that are good, what is wrong with
    /// the others, and warnings.
    pub fn build(
        configs: &BTreeMap<String, HeartbeatConfig>,
        document: &Document,
    ) -> (Self, Vec<Problem>, Vec<String>) {
        let (mut heartbeats, mut problems, mut warnings) = (Self::default(), Vec::new(), Vec::new());
        for (name, config) in configs {
            let mut checking = Checking::of(document, format!("heartbeats.{name}"));
            let kept = (config.url.as_ref(), config.url_file.as_deref(), config.url_env.as_deref());
            let url = checking.secret_url(kept, "https://watcher.example/ping/XXXX");
            heartbeats.list.extend(url.map(|url| Heartbeat {
                name: name.clone(),
                url,
                method: config.method,
                interval: config.interval,
                timeout: config.timeout,
            }));
            problems.extend(checking.problems);
            warnings.extend(checking.warnings);
            heartbeats.hosts.extend(checking.hosts);
        }
        (heartbeats, problems, warnings)
    }
}

impl Heartbeat {
    /// How often it beats.
    pub fn interval(&self) -> std::time::Duration {
        self.interval.get()
    }

    /// Calls the watcher once. Err is why it was not heard.
    pub async fn beat(&self, post: &Arc<dyn Post>) -> Result<String, String> {
        let url = self.url.expose_secret().to_owned();
        let request = match self.method {
            Method::Get => PostRequest::get(url),
            Method::Post => PostRequest::post(url, Vec::new(), Vec::new()),
        };
        let way = Way { post: Arc::clone(post), timeout: self.timeout.get() };
        let reply = way.post(request).await.map_err(|error| error.to_string())?;
        http::judge(&reply).map_err(|error| error.to_string())
    }
}

/// What a heartbeat asks before it beats.
#[derive(Debug, Clone)]
pub struct Vitals {
    /// When everything was last looked at.
    pub evaluated_at: Option<Timestamp>,
    /// How long that may be ago.
    pub evaluation_allowed: SignedDuration,
    /// What the store says: to a write just now, and of itself.
    pub store: Result<(), String>,
    /// When the deliveries of each notifier were last looked after.
    pub deliveries: Vec<(String, Option<Timestamp>)>,
    /// Whether an incident's first page has reached nobody for too long.
    pub nobody_reached: bool,
}

/// How long the deliveries of a notifier may go without being looked after: they are every half minute,
/// and a message may take its timeout.
const DELIVERIES_ALLOWED: SignedDuration = SignedDuration::from_mins(2);

/// Why the heartbeat has to stop, if it has.
pub fn ailment(vitals: &Vitals, now: Timestamp) -> Option<String> {
    let old = |at: Option<Timestamp>, allowed| at.is_none_or(|at| now.duration_since(at) > allowed);
    if let Err(trouble) = &vitals.store {
        return Some(trouble.clone());
    }
    if old(vitals.evaluated_at, vitals.evaluation_allowed) {
        return Some("nothing was evaluated lately".into());
    }
    if let Some((name, _)) = vitals.deliveries.iter().find(|(_, at)| old(*at, DELIVERIES_ALLOWED)) {
        return Some(format!("nobody looks after the deliveries of notifier {name}"));
    }
    vitals.nobody_reached.then(|| "an incident's first page reaches no notifier".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_that_stops_stops_it() {
        let now = Timestamp::from_second(1_000).expect("in range");
        let ago = |seconds| Some(now - SignedDuration::from_secs(seconds));
        let well = Vitals {
            evaluated_at: ago(1),
            evaluation_allowed: SignedDuration::from_secs(10),
            store: Ok(()),
            deliveries: vec![("pager".into(), ago(31))],
            nobody_reached: false,
        };
        assert_eq!(ailment(&well, now), None);
        for (ill, words) in [
            (Vitals { evaluated_at: ago(11), ..well.clone() }, "evaluated"),
            (Vitals { evaluated_at: None, ..well.clone() }, "evaluated"),
            (Vitals { store: Err("the disk is full".into()), ..well.clone() }, "disk"),
            (Vitals { deliveries: vec![("pager".into(), ago(121))], ..well.clone() }, "notifier pager"),
            (Vitals { deliveries: vec![("pager".into(), None)], ..well.clone() }, "notifier pager"),
            (Vitals { nobody_reached: true, ..well }, "reaches no notifier"),
        ] {
            let found = ailment(&ill, now).expect("it stops");
            assert!(found.contains(words), "{found}");
        }
    }
}
