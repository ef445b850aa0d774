//! Mail through another service than those under watch. The only place of the collector that knows mail.
//!
//! A pager that depends on what it watches stays silent when it matters, so the configuration check
//! refuses a server or an address under a watched domain. Nothing here is a probe, so lettre's own
//! transport will do; its unbounded waits are cut off by our deadline.

use std::path::PathBuf;
use std::time::Duration;

use futures::future::BoxFuture;
use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use mailsonar_settings::Secret;
use secrecy::ExposeSecret;
use serde::Deserialize;

use super::checking::Checking;
use super::template::{Template, cut};
use super::{Call, Manners, Notifier, Rejection};

/// The most bytes of a subject.
const SUBJECT: usize = 200;

/// How the connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Protection {
    /// TLS from the first byte.
    Implicit,
    /// TLS by STARTTLS, or nothing is sent.
    Starttls,
    /// In the clear, and so without a password.
    None,
}

/// `[notifiers.NAME]` with `type = "smtp"`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SmtpConfig {
    /// The server of another service.
    host: String,
    /// Its port: 465, 587 or 25, by `tls`.
    #[serde(default)]
    port: Option<u16>,
    /// `implicit`, `starttls` or `none`.
    #[serde(default = "implicit")]
    tls: Protection,
    /// Who signs in, if anybody does.
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    password: Option<Secret>,
    #[serde(default)]
    password_file: Option<PathBuf>,
    #[serde(default)]
    password_env: Option<String>,
    /// The sender.
    from: String,
    /// The recipients.
    to: Vec<String>,
    /// The subject.
    #[serde(default)]
    subject: Option<Template>,
    /// The text.
    #[serde(default)]
    text: Option<Template>,
}

fn implicit() -> Protection {
    Protection::Implicit
}

/// A mail server, ready to be called.
#[derive(Clone)]
pub(super) struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    to: Vec<Mailbox>,
    subject: Template,
    text: Template,
    timeout: Duration,
}

impl std::fmt::Debug for Smtp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Smtp").field("from", &self.from).field("to", &self.to).finish_non_exhaustive()
    }
}

impl Smtp {
    pub(super) fn build(config: &SmtpConfig, timeout: Duration, checking: &mut Checking<'_>) -> Option<Self> {
        checking.depends_on("host", &config.host);
        let from = mailbox("from", &config.from, checking);
        let to: Option<Vec<Mailbox>> = config.to.iter().map(|to| mailbox("to", to, checking)).collect();
        if config.to.is_empty() {
            checking.problem("to", "names nobody", "write to = [\"oncall@elsewhere.example\"]");
        }
        let transport = transport(config, timeout, checking);
        let or = |given: &Option<Template>, house| given.clone().unwrap_or_else(|| Template::house(house));
        Some(Self {
            transport: transport?,
            from: from?,
            to: to.filter(|to| !to.is_empty())?,
            subject: or(&config.subject, "{state}: {service} {leg}"),
            text: or(&config.text, "{summary}\n\n{blame}\n\n{link}"),
            timeout,
        })
    }

    fn letter(&self, call: &Call<'_>) -> Result<Message, Rejection> {
        let line = |text: String| text.replace(['\r', '\n'], " ");
        let subjects: Vec<String> = call.pages.iter().map(|page| line(self.subject.plain(page))).collect();
        let texts: Vec<String> = call.pages.iter().map(|page| self.text.plain(page)).collect();
        let civil = std::time::UNIX_EPOCH + Duration::from_secs(call.civil.as_second().unsigned_abs());
        let mut letter = Message::builder()
            .from(self.from.clone())
            .subject(cut(&subjects.join("; "), SUBJECT))
            .date(civil)
            .message_id(Some(format!("<{}@mailsonar.invalid>", call.id)));
        for to in &self.to {
            letter = letter.to(to.clone());
        }
        letter
            .body(format!("{}\n", texts.join("\n\n---\n\n")))
            .map_err(|error| Rejection::Never(format!("no letter can be made of it: {error}")))
    }
}

fn mailbox(key: &str, address: &str, checking: &mut Checking<'_>) -> Option<Mailbox> {
    if let Ok(mailbox) = address.parse::<Mailbox>() {
        checking.depends_on(key, mailbox.email.domain());
        return Some(mailbox);
    }
    checking.problem(key, format!("{address:?} is not an address"), "write \"name@elsewhere.example\"");
    None
}

fn transport(
    config: &SmtpConfig,
    timeout: Duration,
    checking: &mut Checking<'_>,
) -> Option<AsyncSmtpTransport<Tokio1Executor>> {
    let parameters = || TlsParameters::new(config.host.clone());
    let tls = match config.tls {
        Protection::None => Ok((Tls::None, 25)),
        Protection::Starttls => parameters().map(|tls| (Tls::Required(tls), 587)),
        Protection::Implicit => parameters().map(|tls| (Tls::Wrapper(tls), 465)),
    };
    let (tls, usual) = match tls {
        Ok(found) => found,
        Err(error) => {
            checking.problem(
                "host",
                format!("TLS cannot be set up: {error}"),
                "write the server's host name",
            );
            return None;
        }
    };
    let mut building = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&config.host)
        .port(config.port.unwrap_or(usual))
        .tls(tls)
        .timeout(Some(timeout));
    let kept = (config.password.as_ref(), config.password_file.as_deref(), config.password_env.as_deref());
    if let Some(username) = &config.username {
        let password = checking.secret("password", kept, "keep it in a file only the collector can read")?;
        if config.tls == Protection::None {
            let remedy = "write tls = \"implicit\" or \"starttls\", or leave username and password out";
            checking.problem("tls", "would send the password in the clear", remedy);
            return None;
        }
        let password = password.expose_secret().to_owned();
        building = building.credentials(Credentials::new(username.clone(), password));
    }
    Some(building.build())
}

impl Notifier for Smtp {
    fn send<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<String, Rejection>> {
        Box::pin(async move {
            let for_now = |words| Rejection::ForNow { words, retry_after: None };
            let letter = self.letter(&call)?;
            match tokio::time::timeout(self.timeout, self.transport.send(letter)).await {
                Err(_) => Err(for_now(format!("no answer within {:.1} s", self.timeout.as_secs_f64()))),
                Ok(Ok(reply)) => {
                    let words: String = reply.message().collect::<Vec<_>>().join(" ");
                    Ok(format!("{} {}", reply.code(), cut(&words, 200)))
                }
                Ok(Err(error)) if error.is_permanent() => Err(Rejection::ForGood(error.to_string())),
                Ok(Err(error)) => Err(for_now(error.to_string())),
            }
        })
    }

    fn manners(&self) -> Manners {
        Manners { together: 10, gather: Duration::from_secs(2), ..Manners::default() }
    }
}
