//! Alertmanager, by its API v2: every page goes to every peer, and again every minute while it stands.
//!
//! The labels are the alert's identity; the incident's id is one of them, so that a resolve that is sent
//! again can never end a later incident. A firing alert carries an end some minutes ahead, as those of
//! Prometheus do: should this collector die, its alerts end by themselves, and its heartbeat tells.
//! <https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml>

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::checking::Checking;
use super::http::{self, Way};
use super::template::Template;
use super::{Call, Manners, Notifier, Page, Rejection, Status};

/// How often a standing alert is sent again.
const AGAIN: Duration = Duration::from_mins(1);
/// How far ahead a firing alert ends, unless it is sent again.
const AHEAD: SignedDuration = SignedDuration::from_mins(4);

/// `[notifiers.NAME]` with `type = "alertmanager"`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AlertmanagerConfig {
    /// Every peer, never a balancer in front of them.
    urls: Vec<String>,
    /// Labels that every alert bears besides.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// The annotation `summary`.
    #[serde(default)]
    summary: Option<Template>,
    /// The annotation `description`.
    #[serde(default)]
    description: Option<Template>,
}

/// Alertmanager, ready but for the network.
#[derive(Debug, Clone)]
pub(super) struct Alertmanager {
    peers: Vec<reqwest::Url>,
    labels: BTreeMap<String, String>,
    summary: Template,
    description: Template,
}

impl Alertmanager {
    pub(super) fn build(config: &AlertmanagerConfig, checking: &mut Checking<'_>) -> Option<Self> {
        let example = "http://alertmanager-1:9093";
        let peers = config.urls.iter().map(|url| {
            let url = checking.url("urls", &format!("{}/api/v2/alerts", url.trim_end_matches('/')), example);
            url.filter(|url| url.query().is_none())
        });
        let peers: Option<Vec<_>> = peers.collect();
        if config.urls.is_empty() {
            checking.problem("urls", "names no peer", &format!("write urls = [{example:?}]"));
            return None;
        }
        let label = |name: &String| {
            let spelled = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            spelled && !name.starts_with(|c: char| c.is_ascii_digit()) && !name.is_empty()
        };
        if let Some(wrong) = config.labels.keys().find(|name| !label(name)) {
            checking.problem(
                "labels",
                format!("{wrong:?} is not a label's name"),
                "use letters, digits and '_'",
            );
            return None;
        }
        let or = |given: &Option<Template>, house| given.clone().unwrap_or_else(|| Template::house(house));
        Some(Self {
            peers: peers?,
            labels: config.labels.clone(),
            summary: or(&config.summary, "{state}: {service} {leg}"),
            description: or(&config.description, "{summary}"),
        })
    }

    pub(super) fn connected(self, way: Way) -> impl Notifier {
        Connected { service: self, way }
    }

    fn alert(&self, page: &Page, call: &Call<'_>) -> Value {
        let mut labels = self.labels.clone();
        for (name, value) in [
            ("alertname", "MailsonarIncident"),
            ("service", &page.service),
            ("leg", &page.leg),
            ("severity", &page.severity),
            ("incident", &page.incident),
        ] {
            labels.insert(name.into(), value.into());
        }
        let ends_at = match page.status {
            Status::Resolve => page.resolved_at.unwrap_or(page.timestamp),
            Status::Trigger | Status::Acknowledge | Status::Notice => {
                call.now.saturating_add(AHEAD).unwrap_or(Timestamp::MAX)
            }
        };
        let mut alert = json!({
            "labels": labels,
            "annotations": {
                "summary": self.summary.plain(page),
                "description": self.description.plain(page),
            },
            "startsAt": call.civil_of(page.started_at),
            "endsAt": call.civil_of(ends_at),
        });
        if let Some(link) = &page.links.incident {
            alert["generatorURL"] = json!(link);
        }
        alert
    }
}

struct Connected {
    service: Alertmanager,
    way: Way,
}

impl Connected {
    async fn tell(&self, alerts: &Value, peer: &reqwest::Url) -> Result<String, Rejection> {
        http::judge(&self.way.post(http::json(peer, alerts)).await?)
    }
}

impl Notifier for Connected {
    /// Taken once a peer has taken it: peers that did not are told again within a minute, like all.
    fn send<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<String, Rejection>> {
        Box::pin(async move {
            let alerts = call.alerts()?.into_iter().map(|page| self.service.alert(page, &call)).collect();
            let peers = &self.service.peers;
            let told = join_all(peers.iter().map(|peer| self.tell(&alerts, peer))).await;
            let taken = told.iter().filter(|answer| answer.is_ok()).count();
            let refused = told.into_iter().find_map(Result::err);
            match refused {
                None => Ok(format!("all {taken} peers took it")),
                Some(why) if taken > 0 => Ok(format!("{taken} of {} peers took it: {why}", peers.len())),
                Some(why) => Err(why),
            }
        })
    }

    fn manners(&self) -> Manners {
        Manners { together: 20, again: Some(AGAIN), ..Manners::default() }
    }
}
