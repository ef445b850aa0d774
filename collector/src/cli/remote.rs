//! A running collector, as a command reaches it.

use std::path::PathBuf;

use clap::Args;
use mailsonar_collector::notify::http_client;
use reqwest::Method;
use serde_json::Value;

/// The environment variable that may hold the token.
const TOKEN: &str = "MAILSONAR_OPERATOR_TOKEN";

/// Why a command failed: words for a person.
#[derive(Debug)]
pub(crate) struct Failed(pub(crate) String);

/// Where the collector is, and who asks.
#[derive(Debug, Args)]
pub(crate) struct Remote {
    /// Where the collector is reached.
    #[arg(long, env = "MAILSONAR_COLLECTOR", default_value = "http://127.0.0.1:9920")]
    collector: String,
    /// A file with the operator's token. Without it, the environment variable `MAILSONAR_OPERATOR_TOKEN`.
    #[arg(long)]
    token_file: Option<PathBuf>,
}

impl Remote {
    /// Asks, and returns the answer's text.
    pub(crate) async fn text(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<String, Failed> {
        let url = format!("{}{path}", self.collector.trim_end_matches('/'));
        let client = http_client().map_err(|error| Failed(error.to_string()))?;
        let mut request = client.request(method, &url).timeout(std::time::Duration::from_secs(30));
        if let Some(token) = self.token()? {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let failed = |error: &dyn std::fmt::Display| {
            Failed(format!("{url}: {error}; is the collector there? Say where with --collector"))
        };
        let response = request.send().await.map_err(|error| failed(&error))?;
        let status = response.status();
        let text = response.text().await.map_err(|error| failed(&error))?;
        if status.is_success() {
            return Ok(text);
        }
        let said = serde_json::from_str::<Value>(&text).ok();
        let words = said.as_ref().and_then(|said| said["error"].as_str()).unwrap_or(&text).to_owned();
        Err(Failed(format!("{url}: {status}: {words}")))
    }

    /// Asks, and returns the answer as JSON.
    pub(crate) async fn json(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failed> {
        let text = self.text(method, path, body).await?;
        serde_json::from_str(&text).map_err(|error| Failed(format!("the answer is not JSON: {error}")))
    }

    fn token(&self) -> Result<Option<String>, Failed> {
        let Some(path) = &self.token_file else { return Ok(std::env::var(TOKEN).ok()) };
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|error| Failed(format!("--token-file {}: {error}", path.display())))?;
        Ok(Some(text.trim().to_owned()))
    }
}

/// A field of an answer as text; nothing if it is not there.
pub(super) fn field<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or("")
}
