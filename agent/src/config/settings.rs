//! The configuration file, as it is written. What it means is worked out in [`super::meaning`].

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use jiff::SignedDuration;
use mailsonar_protocol::{AccountName, AgentName, CanaryKind, Region, RouteName, ServiceName};
use mailsonar_settings::{Duration, Secret};
use serde::Deserialize;

use crate::message::DkimSettings;
use crate::oauth::Mechanism;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    pub agent: AgentName,
    pub region: Region,
    #[serde(default = "state_dir")]
    pub state_dir: PathBuf,
    pub listen: Option<SocketAddr>,
    #[serde(default = "retention")]
    pub retention: Duration,
    #[serde(default = "sign_ins_per_hour")]
    pub sign_ins_per_hour: usize,
    pub ehlo_name: Option<String>,
    pub collector: Option<CollectorSettings>,
    #[serde(default)]
    pub dns: DnsSettings,
    #[serde(default)]
    pub limits: LimitSettings,
    #[serde(default)]
    pub watch: WatchSettings,
    #[serde(default)]
    pub dkim: BTreeMap<String, DkimSettings>,
    #[serde(default)]
    pub services: BTreeMap<ServiceName, ProviderSettings>,
    #[serde(default)]
    pub references: BTreeMap<ServiceName, ProviderSettings>,
    #[serde(default)]
    pub sites: BTreeMap<String, SiteSettings>,
    pub accounts: BTreeMap<AccountName, AccountSettings>,
    pub routes: BTreeMap<RouteName, RouteSettings>,
}

/// `[collector]`: where records are shipped.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CollectorSettings {
    pub url: OneOrMore,
    pub token: Option<Secret>,
    pub token_file: Option<PathBuf>,
    pub token_env: Option<String>,
    pub ca_file: Option<PathBuf>,
    #[serde(default = "heartbeat")]
    pub heartbeat: Duration,
}

/// A collector's URL, or those of several over one store.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a URL, or a list of URLs")]
pub(super) enum OneOrMore {
    One(String),
    More(Vec<String>),
}

/// `[dns]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DnsSettings {
    pub servers: Vec<SocketAddr>,
    pub timeout: Duration,
}

impl Default for DnsSettings {
    fn default() -> Self {
        Self { servers: Vec::new(), timeout: Duration::from_secs(5) }
    }
}

/// `[limits]`: how long each step may take.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LimitSettings {
    pub connect: Duration,
    pub tls: Duration,
    pub greeting: Duration,
    pub auth: Duration,
    pub envelope: Duration,
    pub data: Duration,
    pub imap: Duration,
}

impl Default for LimitSettings {
    fn default() -> Self {
        let ten = Duration::from_secs(10);
        let thirty = Duration::from_secs(30);
        Self { connect: ten, tls: ten, greeting: ten, auth: ten, envelope: ten, data: thirty, imap: ten }
    }
}

/// `[watch]`: how the mailboxes are watched.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WatchSettings {
    pub brisk: bool,
    pub noops_per_second: u32,
    pub idle: Duration,
    pub poll: Duration,
}

impl Default for WatchSettings {
    fn default() -> Self {
        Self {
            brisk: true,
            noops_per_second: 50,
            idle: Duration::from_secs(4 * 60),
            poll: Duration::from_secs(15),
        }
    }
}

/// `[services.NAME]` and `[references.NAME]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProviderSettings {
    pub domains: Vec<String>,
    /// The authserv-ids of its hosts (RFC 8601).
    #[serde(default)]
    pub authserv_ids: Vec<String>,
}

/// `[sites.NAME]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SiteSettings {
    #[serde(default)]
    pub hosts: Vec<String>,
    #[serde(default)]
    pub addresses: Vec<String>,
}

/// `[accounts.NAME]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AccountSettings {
    pub service: Option<ServiceName>,
    pub reference: Option<ServiceName>,
    pub address: String,
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub password_file: Option<PathBuf>,
    pub password_env: Option<String>,
    pub oauth: Option<OauthSettings>,
    pub submission: Option<EndpointSettings>,
    pub imap: Option<EndpointSettings>,
    pub junk: Option<String>,
    /// Beside INBOX and Junk.
    #[serde(default)]
    pub folders: Vec<String>,
    /// `plus`, or a domain.
    pub bounces: Option<String>,
}

/// `[accounts.NAME.oauth]`: an access token in place of a password.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OauthSettings {
    pub token_url: String,
    pub client_id: String,
    pub client_secret: Option<Secret>,
    pub client_secret_file: Option<PathBuf>,
    pub client_secret_env: Option<String>,
    pub refresh_token: Option<Secret>,
    pub refresh_token_file: Option<PathBuf>,
    pub refresh_token_env: Option<String>,
    pub scope: Option<String>,
    pub mechanism: Option<Mechanism>,
}

/// `submission` and `imap` of an account.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EndpointSettings {
    pub host: String,
    pub port: Option<u16>,
    pub tls: Option<EndpointTls>,
    pub ca_file: Option<PathBuf>,
}

/// How an endpoint is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum EndpointTls {
    /// From the first byte (RFC 8314).
    Tls,
    /// By the STARTTLS command, required.
    Starttls,
    /// Not at all. Only where it is written out.
    Plaintext,
}

/// `[routes.NAME]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteSettings {
    /// An account's name, or `mx`.
    pub from: String,
    pub to: AccountName,
    #[serde(default = "interval")]
    pub interval: Duration,
    #[serde(default = "deadline")]
    pub deadline: Duration,
    pub retry: Option<Vec<Duration>>,
    pub sender: Option<String>,
    pub mx: Option<MxSettings>,
    /// `eicar`, `gtube`, or a size such as `1 MB`.
    #[serde(default)]
    pub canaries: Vec<String>,
    #[serde(default = "canary_interval")]
    pub canary_interval: Duration,
    /// Those that are as well off in Junk.
    #[serde(default = "canary_junk")]
    pub canary_junk: Vec<CanaryKind>,
}

/// `mx` of a route that goes straight to the MX.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct MxSettings {
    pub port: u16,
    pub tls: MxTls,
    pub ca_file: Option<PathBuf>,
    pub hosts: MxHosts,
}

impl Default for MxSettings {
    fn default() -> Self {
        Self { port: 25, tls: MxTls::Opportunistic, ca_file: None, hosts: MxHosts::All }
    }
}

/// Which MX hosts are probed in turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum MxHosts {
    /// Every one.
    All,
    /// Those with the best preference.
    Preferred,
}

/// How the way to an MX host is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum MxTls {
    /// STARTTLS where it is offered, any certificate (RFC 7435), as most servers do.
    Opportunistic,
    /// STARTTLS with a certificate that verifies, required.
    Required,
    /// Never TLS.
    Plaintext,
}

fn state_dir() -> PathBuf {
    "/var/lib/mailsonar-agent".into()
}

fn retention() -> Duration {
    Duration::from_secs(7 * 24 * 3_600)
}

fn sign_ins_per_hour() -> usize {
    6
}

fn heartbeat() -> Duration {
    Duration::from_secs(10)
}

fn interval() -> Duration {
    Duration::from_secs(60)
}

fn canary_interval() -> Duration {
    Duration::from_secs(3_600)
}

/// Spam belongs there; a virus belongs nowhere.
fn canary_junk() -> Vec<CanaryKind> {
    vec![CanaryKind::Gtube]
}

fn deadline() -> Duration {
    Duration::from_secs(6 * 60)
}

/// One attempt soon, and one beyond the five minutes that most greylisters ask for.
pub(super) fn usual_retry() -> [SignedDuration; 2] {
    [60, 270].map(SignedDuration::from_secs)
}
