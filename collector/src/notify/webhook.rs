//! Standard Webhooks: a JSON body, signed with HMAC-SHA256 over `id.timestamp.body`.
//! <https://www.standardwebhooks.com>

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use mailsonar_settings::Secret;
use secrecy::{ExposeSecret, SecretSlice};
use serde::Deserialize;
use sha2::Sha256;

use super::checking::Checking;
use super::http::Spoken;
use super::{Call, PostRequest, Rejection};

/// `[notifiers.NAME]` with `type = "webhook"`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookConfig {
    /// Where pages are posted, `http://` or `https://`. Redirects are not followed.
    url: String,
    /// The signing secret, `whsec_` and base64.
    #[serde(default)]
    secret: Option<Secret>,
    /// A file that holds it.
    #[serde(default)]
    secret_file: Option<PathBuf>,
    /// An environment variable that holds it.
    #[serde(default)]
    secret_env: Option<String>,
}

/// A webhook, ready but for the network.
#[derive(Debug, Clone)]
pub(super) struct Webhook {
    url: reqwest::Url,
    key: SecretSlice<u8>,
}

impl Webhook {
    pub(super) fn build(config: &WebhookConfig, checking: &mut Checking<'_>) -> Option<Self> {
        let url = checking.url("url", &config.url, "https://pager.example/hook");
        let remedy = "a secret is \"whsec_\" and the base64 of 24 to 64 random bytes";
        let kept = (config.secret.as_ref(), config.secret_file.as_deref(), config.secret_env.as_deref());
        let key = match signing_key(&checking.secret("secret", kept, remedy)?) {
            Ok(key) => key,
            Err(message) => {
                checking.problem("secret", message, remedy);
                return None;
            }
        };
        Some(Self { url: url?, key })
    }

    fn signature(&self, id: &str, timestamp: &str, body: &[u8]) -> String {
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(self.key.expose_secret())
            .expect("HMAC takes a key of any length");
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

impl Spoken for Webhook {
    fn request(&self, call: &Call<'_>) -> Result<PostRequest, Rejection> {
        let body = serde_json::to_vec(call.first()?).map_err(|error| Rejection::Never(error.to_string()))?;
        let timestamp = call.civil.as_second().to_string();
        let headers = vec![
            ("content-type", "application/json".into()),
            ("webhook-id", call.id.to_owned()),
            ("webhook-signature", self.signature(call.id, &timestamp, &body)),
            ("webhook-timestamp", timestamp),
        ];
        Ok(PostRequest::post(self.url.to_string(), headers, body))
    }
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
        };
        let signature =
            webhook.signature("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(!format!("{webhook:?}").contains("MfKQ"), "and its key shows nowhere");
    }
}
