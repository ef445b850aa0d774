//! Reading one notifier's table: secrets fetched, URLs checked, problems and warnings gathered.

use std::path::Path;

use mailsonar_settings::{Document, Problem, Secret, SecretSource};
use secrecy::ExposeSecret;

use super::http::target;

/// The table `[PLACE]` while it is checked.
pub(super) struct Checking<'a> {
    document: &'a Document,
    place: String,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<String>,
    /// What it depends on: the key, and the host or mail domain it names.
    pub(super) hosts: Vec<(String, String)>,
}

/// The three keys that may hold a secret.
pub(super) type Kept<'a> = (Option<&'a Secret>, Option<&'a Path>, Option<&'a str>);

impl<'a> Checking<'a> {
    pub(super) fn of(document: &'a Document, place: String) -> Self {
        Self { document, place, problems: Vec::new(), warnings: Vec::new(), hosts: Vec::new() }
    }

    pub(super) fn problem(&mut self, key: &str, message: impl Into<String>, remedy: &str) {
        self.problems.push(self.document.problem(&format!("{}.{key}", self.place), message, remedy));
    }

    /// A host or mail domain that it depends on.
    pub(super) fn depends_on(&mut self, key: &str, host: &str) {
        self.hosts
            .push((format!("{}.{key}", self.place), host.trim_matches(['[', ']']).to_ascii_lowercase()));
    }

    /// The secret called `name`.
    pub(super) fn secret(
        &mut self,
        name: &str,
        (inline, file, env): Kept<'_>,
        remedy: &str,
    ) -> Option<Secret> {
        let source = SecretSource { name, inline, file, env, directory: self.document.directory() };
        match source.fetch() {
            Ok((secret, warning)) => {
                self.warnings.extend(warning.map(|warning| format!("{}: {warning}", self.place)));
                Some(secret)
            }
            Err(message) => {
                self.problem(name, message, remedy);
                None
            }
        }
    }

    /// The secret called `name`, if any of its keys is there.
    pub(super) fn secret_if_any(&mut self, name: &str, kept: Kept<'_>) -> Option<Secret> {
        if matches!(kept, (None, None, None)) {
            return None;
        }
        self.secret(name, kept, "keep it in a file only the collector can read")
    }

    /// A URL that may be called.
    pub(super) fn url(&mut self, key: &str, url: &str, example: &str) -> Option<reqwest::Url> {
        match target(url) {
            Ok(url) => {
                self.depends_on(key, url.host_str().unwrap_or(""));
                Some(url)
            }
            Err(message) => {
                self.problem(key, message, &format!("write its address, such as {example:?}"));
                None
            }
        }
    }

    /// A URL that is a secret itself.
    pub(super) fn secret_url(&mut self, kept: Kept<'_>, example: &str) -> Option<Secret> {
        let secret = self.secret("url", kept, &format!("it looks like {example:?}"))?;
        self.url("url", secret.expose_secret(), example)?;
        Some(secret)
    }
}
