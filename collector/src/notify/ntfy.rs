//! ntfy, published as JSON. <https://docs.ntfy.sh/publish/#publish-as-json>

use std::path::PathBuf;

use mailsonar_settings::Secret;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::json;

use super::checking::Checking;
use super::http::{self, Spoken};
use super::template::{Template, cut};
use super::{Call, Page, PostRequest, Rejection, Status};

/// The most bytes of a message: ntfy makes a longer one an attachment.
const MESSAGE: usize = 4000;
/// The most bytes of a title.
const TITLE: usize = 250;

/// `[notifiers.NAME]` with `type = "ntfy"`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NtfyConfig {
    /// The server.
    #[serde(default = "default_url")]
    url: String,
    /// The topic.
    topic: String,
    /// An access token, where the topic is protected.
    #[serde(default)]
    token: Option<Secret>,
    #[serde(default)]
    token_file: Option<PathBuf>,
    #[serde(default)]
    token_env: Option<String>,
    /// The title.
    #[serde(default)]
    title: Option<Template>,
    /// The message.
    #[serde(default)]
    text: Option<Template>,
}

fn default_url() -> String {
    "https://ntfy.sh".into()
}

/// ntfy, ready but for the network.
#[derive(Debug, Clone)]
pub(super) struct Ntfy {
    url: reqwest::Url,
    topic: String,
    token: Option<Secret>,
    title: Template,
    text: Template,
}

impl Ntfy {
    pub(super) fn build(config: &NtfyConfig, checking: &mut Checking<'_>) -> Option<Self> {
        let url = checking.url("url", &config.url, &default_url());
        let kept = (config.token.as_ref(), config.token_file.as_deref(), config.token_env.as_deref());
        let token = checking.secret_if_any("token", kept);
        let spelled = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if config.topic.is_empty() || config.topic.len() > 64 || !config.topic.chars().all(spelled) {
            let remedy = "write 1 to 64 letters, digits, '_' or '-', hard to guess";
            checking.problem("topic", "is not a topic's name", remedy);
            return None;
        }
        let or = |given: &Option<Template>, house| given.clone().unwrap_or_else(|| Template::house(house));
        Some(Self {
            url: url?,
            topic: config.topic.clone(),
            token,
            title: or(&config.title, "{state}: {service} {leg}"),
            text: or(&config.text, "{summary}"),
        })
    }

    fn message(&self, page: &Page) -> serde_json::Value {
        let (priority, tag) = match (page.status, page.severity.as_str()) {
            (Status::Trigger, "critical") => (5, "rotating_light"),
            (Status::Trigger, "warning") => (4, "warning"),
            (Status::Trigger, _) => (3, "information_source"),
            (Status::Acknowledge, _) => (2, "eyes"),
            (Status::Resolve, _) => (3, "white_check_mark"),
            (Status::Notice, _) => (3, "page_facing_up"),
        };
        let mut message = json!({
            "topic": self.topic,
            "title": cut(&self.title.plain(page), TITLE),
            "message": cut(&self.text.plain(page), MESSAGE),
            "priority": priority,
            "tags": [tag],
        });
        if let Some(link) = &page.links.incident {
            message["click"] = json!(link);
        }
        message
    }
}

impl Spoken for Ntfy {
    fn request(&self, call: &Call<'_>) -> Result<PostRequest, Rejection> {
        let mut request = http::json(&self.url, &self.message(call.first()?));
        if let Some(token) = &self.token {
            request.headers.push(("authorization", format!("Bearer {}", token.expose_secret())));
        }
        Ok(request)
    }
}
