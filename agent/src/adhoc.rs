//! A configuration made from flags, for a check without a file: one account, probed in a loop or from
//! outside. What is written here goes through the same reader as a file.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use mailsonar_clock::SharedClock;
use mailsonar_settings::{Document, Problems};
use toml::{Table, Value};

use crate::config::Config;

/// The route that the flags describe.
pub const ROUTE: &str = "check";

/// One account, as flags describe it.
#[derive(Debug, Clone, Args)]
#[group(id = "ad hoc", multiple = true)]
pub struct AdHoc {
    /// Check this mail address instead of a route of a file: it sends to itself.
    #[arg(long, value_name = "USER@DOMAIN", conflicts_with = "route", requires = "imap")]
    pub address: Option<String>,
    /// Its user name, if that is not the address.
    #[arg(long, requires = "address")]
    pub username: Option<String>,
    /// A file with its password.
    #[arg(long, requires = "address", conflicts_with = "password_env")]
    pub password_file: Option<PathBuf>,
    /// An environment variable with its password.
    #[arg(long, requires = "address")]
    pub password_env: Option<String>,
    /// Where it submits mail: HOST or HOST:PORT.
    #[arg(long, value_name = "HOST[:PORT]", requires = "address")]
    pub submission: Option<String>,
    /// Where its mailbox is read: HOST or HOST:PORT.
    #[arg(long, value_name = "HOST[:PORT]", requires = "address")]
    pub imap: Option<String>,
    /// How submission is protected.
    #[arg(long, value_enum, default_value = "tls", requires = "address")]
    pub submission_tls: Protection,
    /// How IMAP is protected.
    #[arg(long, value_enum, default_value = "tls", requires = "address")]
    pub imap_tls: Protection,
    /// A PEM file with a CA to trust beside the system's.
    #[arg(long, requires = "address")]
    pub ca_file: Option<PathBuf>,
    /// Do not submit: hand the message to the domain's MX, with this envelope sender.
    #[arg(long, value_name = "USER@DOMAIN", requires = "address", conflicts_with = "submission")]
    pub mx_from: Option<String>,
    /// How long the message may take.
    #[arg(long, default_value = "5m", requires = "address")]
    pub deadline: String,
}

/// How a way is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Protection {
    /// TLS from the first byte.
    Tls,
    /// STARTTLS, required.
    Starttls,
    /// None: the password travels in the clear.
    Plaintext,
}

impl Protection {
    fn word(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Starttls => "starttls",
            Self::Plaintext => "plaintext",
        }
    }
}

impl AdHoc {
    /// The configuration the flags describe; `None` where they describe none.
    pub fn config(&self, clock: &SharedClock) -> Option<Result<Config, Problems>> {
        let address = self.address.as_ref()?;
        let document = Document::new("the command line", self.text(address));
        Some(Config::read(&document, clock))
    }

    fn text(&self, address: &str) -> String {
        let domain = address.rsplit('@').next().unwrap_or_default();
        let account = table([
            ("service", Some(ROUTE.into())),
            ("address", Some(address.into())),
            ("username", self.username.as_deref().map(Value::from)),
            ("password_file", self.password_file.as_ref().map(|path| absolute(path).into())),
            ("password_env", self.password_env.as_deref().map(Value::from)),
            ("submission", self.submission.as_deref().map(|host| self.endpoint(host, self.submission_tls))),
            ("imap", self.imap.as_deref().map(|host| self.endpoint(host, self.imap_tls))),
        ]);
        let route = table([
            ("from", Some(if self.mx_from.is_some() { "mx" } else { "account" }.into())),
            ("to", Some("account".into())),
            ("sender", self.mx_from.as_deref().map(Value::from)),
            ("deadline", Some(self.deadline.as_str().into())),
        ]);
        let nested = |name: &str, inner: Table| Value::Table(table([(name, Some(inner.into()))]));
        let service = table([("domains", Some(Value::Array(vec![domain.into()])))]);
        let root = table([
            ("agent", Some(ROUTE.into())),
            ("region", Some("here".into())),
            ("services", Some(nested(ROUTE, service))),
            ("accounts", Some(nested("account", account))),
            ("routes", Some(nested(ROUTE, route))),
        ]);
        root.to_string()
    }

    fn endpoint(&self, host: &str, tls: Protection) -> Value {
        let (host, port) = match host.rsplit_once(':') {
            Some((name, port)) if !name.contains(':') || name.ends_with(']') => {
                (name, port.parse::<i64>().ok())
            }
            _ => (host, None),
        };
        let endpoint = table([
            ("host", Some(host.trim_matches(['[', ']']).into())),
            ("port", port.map(Value::from)),
            ("tls", Some(tls.word().into())),
            ("ca_file", self.ca_file.as_ref().map(|path| absolute(path).into())),
        ]);
        endpoint.into()
    }
}

fn table<const N: usize>(entries: [(&str, Option<Value>); N]) -> Table {
    entries.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

/// There is no file for paths to be relative to.
fn absolute(path: &PathBuf) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.clone()).display().to_string()
}
