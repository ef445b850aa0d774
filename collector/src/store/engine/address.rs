//! Where a PostgreSQL server is, and how it is spoken to. The password in it is shown to nobody.

use std::fmt;
use std::time::Duration;

use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

/// How long a server may take to answer that it is there.
const CONNECT: Duration = Duration::from_secs(5);
/// After how long a silence it is looked whether the machine at the other end still is there, and how often.
const IDLE: Duration = Duration::from_secs(5);
const KEEPALIVE: Duration = Duration::from_secs(2);
const KEEPALIVES: u32 = 3;
/// How long what was sent may go without so much as an acknowledgement by the other end's kernel.
const UNACKNOWLEDGED: Duration = Duration::from_secs(8);

/// A server's address, from a URL such as `postgres://mailsonar@db.example/mailsonar`.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    config: tokio_postgres::Config,
}

impl Address {
    /// Takes a URL. TLS with a certificate that the machine trusts is demanded, unless the URL says
    /// `sslmode=disable` or names a socket's directory.
    ///
    /// # Errors
    /// Words for a person, without the URL.
    pub fn parse(url: &str) -> Result<Self, String> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return Err("does not begin with postgres://".into());
        }
        // The parser's own words are about one part at a time, and never the password.
        let mut config: tokio_postgres::Config =
            url.parse().map_err(|error| format!("is not understood: {}", chain(&error)))?;
        if config.get_hosts().is_empty() {
            return Err("names no host".into());
        }
        if config.get_dbname().is_none_or(str::is_empty) {
            return Err("names no database".into());
        }
        if config.get_user().is_none_or(str::is_empty) {
            return Err("names no user".into());
        }
        let said = url.split(['?', '&']).skip(1).find_map(|part| part.strip_prefix("sslmode="));
        let is_local = config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)));
        config.ssl_mode(match said {
            None if is_local => SslMode::Disable,
            Some("disable") => SslMode::Disable,
            None | Some("require") => SslMode::Require,
            Some(other) => {
                return Err(format!(
                    "says sslmode={other}; there is only require, which always verifies, and disable"
                ));
            }
        });
        if config.get_application_name().is_none() {
            config.application_name("mailsonar-collector");
        }
        let _ = config
            .connect_timeout(CONNECT)
            .keepalives_idle(IDLE)
            .keepalives_interval(KEEPALIVE)
            .keepalives_retries(KEEPALIVES)
            .tcp_user_timeout(UNACKNOWLEDGED);
        Ok(Self { config })
    }

    /// How it is connected to, to write. Of several hosts, the one that can be written to.
    pub(super) fn to_write(&self) -> tokio_postgres::Config {
        let mut config = self.config.clone();
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        config
    }

    /// How it is connected to, to read.
    pub(super) fn to_read(&self) -> tokio_postgres::Config {
        self.config.clone()
    }

    /// Whether there is a secret in it.
    pub(crate) fn has_password(&self) -> bool {
        self.config.get_password().is_some()
    }

    /// Whether it is spoken to in the clear.
    pub(super) fn is_plain(&self) -> bool {
        self.config.get_ssl_mode() == SslMode::Disable
    }
}

/// The address without its password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "postgres://{}@", self.config.get_user().unwrap_or_default())?;
        let ports = self.config.get_ports();
        for (at, host) in self.config.get_hosts().iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let port = ports.get(at).or(ports.first()).copied().unwrap_or(5432);
            match host {
                Host::Tcp(name) => write!(f, "{comma}{name}:{port}")?,
                Host::Unix(path) => write!(f, "{comma}{}:{port}", path.display())?,
            }
        }
        write!(f, "/{}", self.config.get_dbname().unwrap_or_default())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An error's words, with those of what caused it.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !words.ends_with(&more) {
            words = format!("{words}: {more}");
        }
        cause = error.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn a_password_is_never_shown() {
        let address = Address::parse("postgres://ada:s3cret@db.example:5433/mail").expect("a good address");
        assert_eq!(format!("{address} {address:?}").matches("ada@db.example:5433/mail").count(), 2);
        assert!(!format!("{address:?}").contains("s3cret"));
        let wrong = Address::parse("postgres://ada:s3cret@db.example:x/mail").expect_err("no port");
        assert!(!wrong.contains("s3cret"), "{wrong}");
    }

    #[test]
    fn plaintext_is_a_word_in_the_url() {
        let plain = |url: &str| Address::parse(url).map(|address| address.is_plain());
        assert_eq!(plain("postgres://a@db.example/m"), Ok(false));
        assert_eq!(plain("postgres://a@db.example/m?sslmode=require"), Ok(false));
        assert_eq!(plain("postgres://a@db.example/m?connect_timeout=3&sslmode=disable"), Ok(true));
        assert_eq!(plain("postgres://a@%2Frun%2Fpostgresql/m"), Ok(true));
        assert!(
            plain("postgres://a@db.example/m?sslmode=prefer").is_err_and(|words| words.contains("prefer"))
        );
        assert!(plain("mysql://a@db.example/m").is_err());
        assert!(plain("postgres://a@db.example").is_err_and(|words| words.contains("database")));
        assert!(plain("postgres:///m").is_err());
    }
}
