//! The agent's configuration: what the file means, checked across its parts.
//!
//! Only the root composes the stages' own configurations; no stage imports this module's [`Config`].

mod accounts;
mod canaries;
mod meaning;
mod routes;
mod settings;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lettre::Address;
use mailsonar_clock::SharedClock;
use mailsonar_protocol::{AccountName, AgentName, Region, RouteCard, RouteName, ServiceName};
use mailsonar_settings::{Document, Problems};

use crate::doors::Which;
use crate::message::Signer;
use crate::return_path::Bounces;
use crate::site::Sites;
use crate::submit::{Credentials, Limits, TlsMode};
use crate::{arrival, resolve, ship};

/// A configuration that has been checked.
#[derive(Debug)]
pub struct Config {
    /// The agent's name.
    pub agent: AgentName,
    /// Where it stands.
    pub region: Region,
    /// Where the ledger and the tag key are.
    pub state_dir: PathBuf,
    /// Where `/metrics` is served.
    pub listen: Option<SocketAddr>,
    /// How long a message is waited for after its deadline.
    pub retention: jiff::SignedDuration,
    /// Refused sign-ins per account and hour.
    pub sign_ins_per_hour: usize,
    /// What the agent calls itself in EHLO.
    pub ehlo_name: String,
    /// Shipping, where there is a collector.
    pub ship: Option<ship::Config>,
    /// DNS.
    pub resolve: resolve::Config,
    /// Deadlines of the SMTP stages.
    pub limits: Limits,
    /// Watching the mailboxes.
    pub watch: arrival::Config,
    /// DKIM keys.
    pub signers: Vec<Signer>,
    /// Which site a host or an address belongs to.
    pub sites: Sites,
    /// All accounts.
    pub accounts: Vec<Arc<Account>>,
    /// All routes.
    pub routes: Vec<Arc<Route>>,
    /// What is allowed, but should be known.
    pub warnings: Vec<String>,
}

/// One mailbox with its credentials.
#[derive(Debug)]
pub struct Account {
    /// Its name.
    pub name: AccountName,
    /// The service or reference provider that holds it.
    pub provider: ServiceName,
    /// Whether that is a service under watch.
    pub watched: bool,
    /// The mail address.
    pub address: Address,
    /// How to sign in, for submission and IMAP alike.
    pub credentials: Credentials,
    /// Where messages are submitted.
    pub submission: Option<Endpoint>,
    /// Where the mailbox is read.
    pub imap: Option<Endpoint>,
    /// The Junk folder's name, where the server does not tell (RFC 6154).
    pub junk: Option<String>,
    /// Folders beside INBOX and Junk into which its mail may be sorted.
    pub folders: Vec<String>,
    /// Where bounces of what it sends are to come back to.
    pub bounces: Bounces,
    /// The authserv-ids (RFC 8601) of the provider's own hosts, whose word on authentication counts.
    pub authserv_ids: Vec<String>,
}

/// A host, a port, and how the way there is protected.
#[derive(Debug)]
pub struct Endpoint {
    /// A name or an address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The protection.
    pub tls: TlsMode,
}

/// One way a message travels.
#[derive(Debug, Clone)]
pub struct Route {
    /// What the collector is told of it: name, ends, timing.
    pub card: RouteCard,
    /// Where it begins.
    pub from: Source,
    /// The author, and the envelope sender but for what `bounces` adds.
    pub sender: Address,
    /// Where bounces are to come back to.
    pub bounces: Bounces,
    /// The account in whose mailbox they arrive, where it is one of ours.
    pub home: Option<Arc<Account>>,
    /// Where it ends.
    pub to: Arc<Account>,
    /// From one probe to the next.
    pub interval: std::time::Duration,
    /// From acceptance to the latest arrival that is in time.
    pub deadline: jiff::SignedDuration,
    /// The waits between attempts while the server puts the message off.
    pub retry: Vec<jiff::SignedDuration>,
}

impl Route {
    /// Its name.
    pub fn name(&self) -> &RouteName {
        &self.card.route
    }
}

/// Where a route begins.
#[derive(Debug, Clone)]
pub enum Source {
    /// At an account's submission endpoint.
    Account(Arc<Account>),
    /// At the recipient domain's MX hosts.
    Mx {
        /// The port: 25, but for tests.
        port: u16,
        /// The protection.
        tls: TlsMode,
        /// Which of them are probed.
        hosts: Which,
    },
}

impl Config {
    /// Reads and checks a file.
    pub fn load(path: &Path, clock: &SharedClock) -> Result<Self, Problems> {
        Self::read(&Document::read(path)?, clock)
    }

    /// Checks a document.
    pub fn read(document: &Document, clock: &SharedClock) -> Result<Self, Problems> {
        meaning::of(document, clock)
    }

    /// A route by its name.
    pub fn route(&self, name: &str) -> Option<&Arc<Route>> {
        self.routes.iter().find(|route| route.name().as_str() == name)
    }
}

#[cfg(test)]
mod tests;
