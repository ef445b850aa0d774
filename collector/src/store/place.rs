//! Where the store is: what the configuration says of it.

use std::fmt;
use std::path::{Path, PathBuf};

use mailsonar_settings::{Document, Duration, Problems, Secret, SecretSource};
use secrecy::ExposeSecret;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{Address, Store, StoreError};

/// `[store]` as it is written: a table, or a URL alone.
#[derive(Debug, Clone)]
pub(crate) struct Written(Table);

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// A SQLite file.
    #[serde(default)]
    path: Option<PathBuf>,
    /// A PostgreSQL server.
    #[serde(default)]
    url: Option<Secret>,
    #[serde(default)]
    url_file: Option<PathBuf>,
    #[serde(default)]
    url_env: Option<String>,
    #[serde(default = "default_retention")]
    retention: Duration,
}

fn default_retention() -> Duration {
    Duration::from_secs(400 * 86_400)
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Table;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table with `path` or `url`, or a postgres:// URL")
            }

            fn visit_str<E: serde::de::Error>(self, url: &str) -> Result<Table, E> {
                let retention = default_retention();
                Ok(Table { path: None, url: Some(url.into()), url_file: None, url_env: None, retention })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Table, A::Error> {
                Table::deserialize(MapAccessDeserializer::new(map))
            }
        }
        deserializer.deserialize_any(Either).map(Self)
    }
}

/// Where the store is, and how long it keeps things.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it is.
    pub place: Place,
    /// How long probes and resolved incidents are kept.
    pub retention: Duration,
}

impl Config {
    /// Checks what is written. A warning comes with it where a password is kept carelessly.
    pub(crate) fn build(written: Written, document: &Document) -> Result<(Self, Option<String>), Problems> {
        let Written(Table { path, url, url_file, url_env, retention }) = written;
        let source = SecretSource {
            name: "url",
            inline: url.as_ref(),
            file: url_file.as_deref(),
            env: url_env.as_deref(),
            directory: document.directory(),
        };
        let (place, warning) = match path {
            Some(_) if source.is_given() => {
                return Err(Problems(vec![document.problem(
                    "store",
                    "names two databases",
                    "keep `path` (a SQLite file) or `url` (a PostgreSQL server)",
                )]));
            }
            Some(path) => (Place::File(document.directory().join(path)), None),
            None if source.is_given() => server(&source, document)?,
            None => {
                return Err(Problems(vec![document.problem(
                    "store",
                    "names no database",
                    "write `path = \"/var/lib/mailsonar-collector/collector.db\"` for SQLite, or `url` for PostgreSQL",
                )]));
            }
        };
        Ok((Self { place, retention }, warning))
    }
}

fn server(source: &SecretSource<'_>, document: &Document) -> Result<(Place, Option<String>), Problems> {
    let problem = |message| {
        let remedy = "it looks like \"postgres://mailsonar@db.example/mailsonar\"; with a password in it, keep \
                      it in a file and name that in url_file";
        Problems(vec![document.problem("store.url", message, remedy)])
    };
    let (url, warning) = source.fetch().map_err(problem)?;
    let address = Address::parse(url.expose_secret()).map_err(problem)?;
    // An address without a password is no secret.
    let warning = warning.filter(|_| address.has_password()).map(|warning| format!("[store]: {warning}"));
    Ok((Place::Server(Box::new(address)), warning))
}

/// Where a store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A SQLite file.
    File(PathBuf),
    /// A PostgreSQL server.
    Server(Box<Address>),
}

impl Place {
    /// The place that a person names: a `postgres://` URL, or else a file.
    pub fn named(name: &str) -> Result<Self, String> {
        if name.starts_with("postgres://") || name.starts_with("postgresql://") {
            return Address::parse(name)
                .map(|address| Self::Server(Box::new(address)))
                .map_err(|message| format!("the URL {message}"));
        }
        Ok(Self::File(Path::new(name).to_owned()))
    }

    /// Opens the store there, making it if need be.
    pub fn open(&self) -> Result<Store, StoreError> {
        match self {
            Self::File(path) => Store::open(path),
            Self::Server(address) => Store::connect(address),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Server(address) => write!(f, "{address}"),
        }
    }
}
