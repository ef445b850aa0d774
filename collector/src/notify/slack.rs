//! Slack, by an incoming webhook. Several pages at once are one message; one message a second at most.
//! <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>

use std::path::PathBuf;
use std::time::Duration;

use mailsonar_settings::Secret;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::json;

use super::checking::Checking;
use super::http::Spoken;
use super::template::{Template, cut};
use super::{Call, Manners, Page, PostRequest, Rejection};

/// The most characters of a section; what Slack counts are characters, what is cut here are bytes.
const SECTION: usize = 3000;

/// `[notifiers.NAME]` with `type = "slack"`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SlackConfig {
    /// The incoming webhook: whoever knows it may post, so it is a secret.
    #[serde(default)]
    url: Option<Secret>,
    #[serde(default)]
    url_file: Option<PathBuf>,
    #[serde(default)]
    url_env: Option<String>,
    /// The bold line.
    #[serde(default)]
    title: Option<Template>,
    /// What is below it.
    #[serde(default)]
    text: Option<Template>,
}

/// Slack, ready but for the network.
#[derive(Debug, Clone)]
pub(super) struct Slack {
    url: Secret,
    title: Template,
    text: Template,
}

impl Slack {
    pub(super) fn build(config: &SlackConfig, checking: &mut Checking<'_>) -> Option<Self> {
        let kept = (config.url.as_ref(), config.url_file.as_deref(), config.url_env.as_deref());
        let url = checking.secret_url(kept, "https://hooks.slack.com/services/T000/B000/XXXX")?;
        let or = |given: &Option<Template>, house| given.clone().unwrap_or_else(|| Template::house(house));
        Some(Self {
            url,
            title: or(&config.title, "{state}: {service} {leg}"),
            text: or(&config.text, "{summary}\n{link}"),
        })
    }

    fn block(&self, page: &Page) -> serde_json::Value {
        let text = format!("*{}*\n{}", self.title.fill(page, escape), self.text.fill(page, escape));
        json!({ "type": "section", "text": { "type": "mrkdwn", "text": cut(&text, SECTION) } })
    }
}

/// Slack's own three characters; nothing else begins markup that reaches anybody.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

impl Spoken for Slack {
    fn request(&self, call: &Call<'_>) -> Result<PostRequest, Rejection> {
        let titles: Vec<String> = call.pages.iter().map(|page| self.title.fill(page, escape)).collect();
        let blocks: Vec<_> = call.pages.iter().map(|page| self.block(page)).collect();
        let body = json!({ "text": cut(&titles.join("; "), SECTION), "blocks": blocks });
        let headers = vec![("content-type", "application/json".into())];
        Ok(PostRequest::post(self.url.expose_secret().to_owned(), headers, body.to_string().into()))
    }

    fn manners(&self) -> Manners {
        Manners {
            pace: Duration::from_secs(1),
            together: 10,
            gather: Duration::from_secs(2),
            ..Manners::default()
        }
    }
}
