//! PagerDuty, by its Events API v2.
//! <https://developer.pagerduty.com/docs/events-api-v2-overview>

use std::path::PathBuf;

use mailsonar_settings::Secret;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::json;

use super::checking::Checking;
use super::http::{self, Spoken};
use super::template::{Template, cut};
use super::{Call, Page, PostReply, PostRequest, Rejection, Status};

/// `[notifiers.NAME]` with `type = "pagerduty"`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PagerDutyConfig {
    /// The integration's key.
    #[serde(default)]
    routing_key: Option<Secret>,
    #[serde(default)]
    routing_key_file: Option<PathBuf>,
    #[serde(default)]
    routing_key_env: Option<String>,
    /// Where events go.
    #[serde(default = "default_url")]
    url: String,
    /// The alert's title.
    #[serde(default)]
    summary: Option<Template>,
}

fn default_url() -> String {
    "https://events.pagerduty.com/v2/enqueue".into()
}

/// PagerDuty, ready but for the network.
#[derive(Debug, Clone)]
pub(super) struct PagerDuty {
    url: reqwest::Url,
    routing_key: Secret,
    summary: Template,
}

impl PagerDuty {
    pub(super) fn build(config: &PagerDutyConfig, checking: &mut Checking<'_>) -> Option<Self> {
        let url = checking.url("url", &config.url, &default_url());
        let key = config.routing_key_file.as_deref();
        let routing_key = checking.secret(
            "routing_key",
            (config.routing_key.as_ref(), key, config.routing_key_env.as_deref()),
            "it is the integration key of an Events API v2 integration",
        );
        let summary = config.summary.clone().unwrap_or_else(|| Template::house("{summary}"));
        Some(Self { url: url?, routing_key: routing_key?, summary })
    }

    fn event(&self, page: &Page) -> serde_json::Value {
        let mut event = json!({
            "routing_key": self.routing_key.expose_secret(),
            "event_action": page.status.as_str(),
            "dedup_key": cut(&page.dedup_key, 255),
        });
        if page.status == Status::Trigger {
            event["client"] = json!("mailsonar");
            event["payload"] = json!({
                "summary": cut(&self.summary.plain(page), 1024),
                "source": page.service,
                "severity": page.severity,
                "timestamp": page.started_at,
                "component": page.leg,
                "custom_details": {
                    "summary": page.summary,
                    "blame": page.blame,
                    "regions": page.regions,
                    "evidence": page.evidence,
                    "incident": page.incident,
                },
            });
            if let Some(reason) = page.reason {
                event["payload"]["class"] = json!(reason);
            }
            if let Some(link) = &page.links.incident {
                event["client_url"] = json!(link);
                event["links"] = json!([{ "href": link, "text": "The incident" }]);
            }
        }
        event
    }
}

impl Spoken for PagerDuty {
    fn request(&self, call: &Call<'_>) -> Result<PostRequest, Rejection> {
        call.alerts()?;
        Ok(http::json(&self.url, &self.event(call.first()?)))
    }

    /// 400 says that the event itself is wrong: it is never to be sent again.
    fn judge(&self, reply: &PostReply) -> Result<String, Rejection> {
        match http::judge(reply) {
            Err(Rejection::ForGood(words)) if reply.status == 400 => Err(Rejection::Never(words)),
            verdict => verdict,
        }
    }
}
