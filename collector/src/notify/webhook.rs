//! Standard Webhooks: a JSON body, signed with HMAC-SHA256 over `id.timestamp.body`.
//! <https://www.standardwebhooks.com>

use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::future::BoxFuture;
use hmac::{Hmac, Mac};
use jiff::Timestamp;
use mailsonar_settings::{Document, Duration, Problem, Secret, SecretSource};
use secrecy::{ExposeSecret, SecretSlice};
use serde::Deserialize;
use sha2::Sha256;

use super::post::refuse_link_local;
use super::{Notifier, Page, Post, PostReply, PostRequest, Rejection};

/// `[notifiers.NAME]` with `type = "webhook"`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// Where pages are posted, `http://` or `https://`. Redirects are not followed.
    pub url: String,
    /// The signing secret, `whsec_` and base64.
    #[serde(default)]
    pub secret: Option<Secret>,
    /// A file that holds it.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// An environment variable that holds it.
    #[serde(default)]
    pub secret_env: Option<String>,
    /// How long one attempt may take.
    #[serde(default = "default_timeout")]
    pub timeout: Duration,
}

fn default_timeout() -> Duration {
    Duration::from_secs(10)
}

/// A webhook, ready but for the network.
#[derive(Debug, Clone)]
pub struct Webhook {
    url: reqwest::Url,
    key: SecretSlice<u8>,
    timeout: std::time::Duration,
}

impl Webhook {
    /// Checks the configuration and fetches the secret; a warning comes along where it is kept carelessly.
    pub fn build(
        name: &str,
        config: &WebhookConfig,
        document: &Document,
    ) -> Result<(Self, Option<String>), Vec<Problem>> {
        let mut problems = Vec::new();
        let mut problem = |key: &str, message: String, remedy: &str| {
            problems.push(document.problem(&format!("notifiers.{name}.{key}"), message, remedy));
        };
        let url = match target(&config.url) {
            Ok(url) => Some(url),
            Err(message) => {
                problem(
                    "url",
                    message,
                    "write the receiver's address, such as \"https://pager.example/hook\"",
                );
                None
            }
        };
        let source = SecretSource {
            name: "secret",
            inline: config.secret.as_ref(),
            file: config.secret_file.as_deref(),
            env: config.secret_env.as_deref(),
            directory: document.directory(),
        };
        let key = match source.fetch().and_then(|(secret, warning)| Ok((signing_key(&secret)?, warning))) {
            Ok(found) => Some(found),
            Err(message) => {
                problem("secret", message, "a secret is \"whsec_\" and the base64 of 24 to 64 random bytes");
                None
            }
        };
        match (url, key) {
            (Some(url), Some((key, warning))) => {
                let warning = warning.map(|warning| format!("notifiers.{name}: {warning}"));
                Ok((Self { url, key, timeout: config.timeout.get() }, warning))
            }
            _ => Err(problems),
        }
    }

    /// The webhook with its way to the network.
    pub(super) fn through(self, post: Arc<dyn Post>) -> impl Notifier {
        Connected { webhook: self, post }
    }

    fn request(&self, id: &str, page: &Page, civil: Timestamp) -> Result<PostRequest, Rejection> {
        let body = serde_json::to_vec(page).map_err(|error| Rejection::ForGood(error.to_string()))?;
        let timestamp = civil.as_second().to_string();
        Ok(PostRequest {
            url: self.url.to_string(),
            headers: vec![
                ("content-type", "application/json".into()),
                ("webhook-id", id.to_owned()),
                ("webhook-signature", self.signature(id, &timestamp, &body)),
                ("webhook-timestamp", timestamp),
            ],
            body,
        })
    }

    fn signature(&self, id: &str, timestamp: &str, body: &[u8]) -> String {
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(self.key.expose_secret())
            .expect("HMAC takes a key of any length");
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

fn target(url: &str) -> Result<reqwest::Url, String> {
    let url = reqwest::Url::parse(url).map_err(|error| format!("is not a URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err("is not an http:// or https:// URL".into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has credentials in it, which would show up in logs; the secret signs each page".into());
    }
    refuse_link_local(&url).map_err(|error| error.to_string())?;
    Ok(url)
}

fn signing_key(secret: &Secret) -> Result<SecretSlice<u8>, String> {
    let encoded =
        secret.expose_secret().strip_prefix("whsec_").ok_or("the secret does not begin with whsec_")?;
    let key = STANDARD.decode(encoded).map_err(|_| "the secret is not base64 after whsec_")?;
    if !(24..=64).contains(&key.len()) {
        return Err(format!("the secret has {} bytes; 24 to 64 are wanted", key.len()));
    }
    Ok(SecretSlice::from(key))
}

struct Connected {
    webhook: Webhook,
    post: Arc<dyn Post>,
}

impl Notifier for Connected {
    fn send<'a>(
        &'a self,
        id: &'a str,
        page: &'a Page,
        civil: Timestamp,
    ) -> BoxFuture<'a, Result<String, Rejection>> {
        Box::pin(async move {
            let request = self.webhook.request(id, page, civil)?;
            let limit = self.webhook.timeout;
            match tokio::time::timeout(limit, self.post.post(request)).await {
                Ok(Ok(reply)) => judge(&reply),
                Ok(Err(error)) => Err(Rejection::ForNow { words: error.to_string(), retry_after: None }),
                Err(_) => Err(Rejection::ForNow {
                    words: format!("no answer within {:.1} s", limit.as_secs_f64()),
                    retry_after: None,
                }),
            }
        })
    }
}

fn judge(reply: &PostReply) -> Result<String, Rejection> {
    let status = reply.status;
    let words = match reply.words.as_str().lines().next().unwrap_or("") {
        "" => format!("HTTP {status}"),
        line => format!("HTTP {status}: {}", line.chars().take(200).collect::<String>()),
    };
    match status {
        200..=299 => Ok(words),
        300..=399 => Err(Rejection::ForGood(format!("{words} (redirects are not followed)"))),
        400..=499 if !matches!(status, 408 | 425 | 429) => Err(Rejection::ForGood(words)),
        _ => Err(Rejection::ForNow { words, retry_after: reply.retry_after }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks specification.
    #[test]
    fn the_signature_is_the_specifications() {
        let secret = Secret::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let webhook = Webhook {
            url: "http://127.0.0.1/".parse().expect("a URL"),
            key: signing_key(&secret).expect("a key"),
            timeout: std::time::Duration::from_secs(1),
        };
        let signature =
            webhook.signature("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(!format!("{webhook:?}").contains("MfKQ"), "and its key shows nowhere");
    }

    #[test]
    fn replies_are_taken_for_what_they_mean() {
        let of = |status| judge(&PostReply { status, retry_after: None, words: "no".into() });
        assert_eq!(of(202), Ok("HTTP 202: no".into()));
        for status in [301, 307, 400, 401, 404, 410] {
            assert!(matches!(of(status), Err(Rejection::ForGood(_))), "{status}");
        }
        for status in [408, 429, 500, 503, 100] {
            assert!(matches!(of(status), Err(Rejection::ForNow { .. })), "{status}");
        }
    }

    #[test]
    fn a_target_is_a_plain_public_url() {
        assert!(target("https://pager.example/hook").is_ok());
        for wrong in ["pager", "ftp://x/", "https://u:p@x/", "http://169.254.169.254/", "http://[fe80::1]/"] {
            assert!(target(wrong).is_err(), "{wrong}");
        }
    }
}
