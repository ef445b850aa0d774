//! What a sandbox is made of: providers, their hosts, sites and accounts, and its ports.
//!
//! Data only. It knows no protocol and opens nothing.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use crate::fault::Service;

/// A whole sandbox.
#[derive(Debug, Clone)]
pub struct Config {
    /// Decides which connections, messages and queries a partial fault hits.
    pub seed: u64,
    /// The providers, each with a domain of its own.
    pub providers: Vec<ProviderConfig>,
    /// The ports, the same on every host.
    pub ports: Ports,
    /// Whether to listen on sockets. Without, `Sandbox::connect` and `Sandbox::dns` are the way in.
    pub sockets: bool,
    /// The first three octets of the hosts' addresses (the last is counted up from 1). `None` takes a
    /// block of 127/8, all of which Linux answers for, that differs from sandbox to sandbox, and a
    /// fixed one without sockets.
    pub network: Option<Ipv4Addr>,
    /// How long one provider's queue waits for the other's MX to answer, per step.
    pub relay_timeout: Duration,
    /// The largest message accepted, in bytes, announced as SIZE (RFC 1870).
    pub max_message: usize,
}

/// One mail provider.
#[derive(Debug, Clone)]
pub struct ProviderConfig {
    /// Its mail domain, for example `acme.example`.
    pub domain: String,
    /// Further domains whose mail it takes, at the same MX hosts.
    pub domains: Vec<String>,
    /// Its machines. Those that submit and those that serve IMAP are also known as `smtp.DOMAIN` and
    /// `imap.DOMAIN`, names that DNS points at the site in use.
    pub hosts: Vec<HostConfig>,
    /// What its submission service is called besides.
    pub submission_names: Vec<String>,
    /// What its IMAP service is called besides.
    pub imap_names: Vec<String>,
    /// Its mailboxes.
    pub accounts: Vec<AccountConfig>,
    /// How long a message rests between its acceptance and its mailbox.
    pub delivery_delay: Duration,
    /// The pause between two attempts of its queue.
    pub retry_every: Duration,
    /// The age at which its queue warns the sender with a "delayed" DSN.
    pub warn_after: Duration,
    /// The age at which its queue gives up and bounces.
    pub give_up_after: Duration,
    /// TXT records, name and text; an SPF and a DMARC record are there without asking.
    pub txt: Vec<(String, String)>,
    /// AAAA records, name and address.
    pub aaaa: Vec<(String, Ipv6Addr)>,
    /// What its IMAP servers cannot do, of `IDLE`, `UIDPLUS` and `SPECIAL-USE`.
    pub imap_without: Vec<String>,
}

/// One machine, with an address of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostConfig {
    /// Its fully qualified name, without a trailing dot.
    pub name: String,
    /// The data centre it stands in.
    pub site: String,
    /// What it does.
    pub role: Role,
}

/// What a host does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Takes mail from account holders: submission with STARTTLS, and implicit TLS.
    Submission,
    /// Takes mail from other domains, with this MX preference.
    Mx {
        /// The preference in the MX record (RFC 5321, section 5): the lowest is tried first.
        preference: u16,
    },
    /// Serves mailboxes over IMAP.
    Imap,
}

/// One mailbox.
#[derive(Clone)]
pub struct AccountConfig {
    /// Its address, which is also its login.
    pub address: String,
    /// Its password.
    pub password: String,
}

impl std::fmt::Debug for AccountConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccountConfig").field("address", &self.address).finish_non_exhaustive()
    }
}

/// The ports, common to all hosts; 0 takes a free one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ports {
    /// Submission with STARTTLS (587 elsewhere).
    pub submission: u16,
    /// Submission with implicit TLS (465 elsewhere).
    pub smtps: u16,
    /// Mail from other domains (25 elsewhere).
    pub mx: u16,
    /// IMAP with STARTTLS (143 elsewhere).
    pub imap: u16,
    /// IMAP with implicit TLS (993 elsewhere).
    pub imaps: u16,
    /// DNS over UDP and TCP (53 elsewhere).
    pub dns: u16,
}

impl Ports {
    /// The port of a door; 0 for what has none.
    pub fn of(&self, service: Service) -> u16 {
        match service {
            Service::Submission => self.submission,
            Service::Smtps => self.smtps,
            Service::Mx => self.mx,
            Service::Imap => self.imap,
            Service::Imaps => self.imaps,
            Service::Dns => self.dns,
            Service::Queue => 0,
        }
    }

    pub(crate) fn set(&mut self, service: Service, port: u16) {
        match service {
            Service::Submission => self.submission = port,
            Service::Smtps => self.smtps = port,
            Service::Mx => self.mx = port,
            Service::Imap => self.imap = port,
            Service::Imaps => self.imaps = port,
            Service::Dns => self.dns = port,
            Service::Queue => {}
        }
    }
}

impl Role {
    /// Whether a host of this role has this door.
    pub fn serves(self, service: Service) -> bool {
        match service {
            Service::Submission | Service::Smtps => self == Self::Submission,
            Service::Mx => matches!(self, Self::Mx { .. }),
            Service::Imap | Service::Imaps => self == Self::Imap,
            Service::Dns | Service::Queue => false,
        }
    }
}

impl Config {
    /// These providers, on free ports.
    pub fn new(providers: Vec<ProviderConfig>) -> Self {
        Self {
            seed: 1,
            providers,
            ports: Ports::default(),
            sockets: true,
            network: None,
            relay_timeout: Duration::from_secs(10),
            max_message: 25 * 1024 * 1024,
        }
    }

    /// The usual pair: `acme.example`, the service, with two sites, and `reference.example` with one.
    /// Both have the accounts `probe` and `watch`, whose password is `secret`.
    pub fn pair() -> Self {
        let service = ProviderConfig::new("acme.example", &["east", "west"]);
        let reference = ProviderConfig::new("reference.example", &["main"]);
        Self::new(vec![
            service.account("probe", "secret").account("watch", "secret"),
            reference.account("probe", "secret").account("watch", "secret"),
        ])
    }
}

impl ProviderConfig {
    /// A provider with a submission, an MX and an IMAP host in each of these sites, and no account.
    /// The hosts are `out1`, `mx1`, `imap1` in the first site, `out2` … in the second; the MX of
    /// the first site is preferred (10, then 20 …).
    pub fn new(domain: &str, sites: &[&str]) -> Self {
        let mut hosts = Vec::new();
        for (site, number) in sites.iter().zip(1_u16..) {
            let roles = [
                ("out", Role::Submission),
                ("mx", Role::Mx { preference: number * 10 }),
                ("imap", Role::Imap),
            ];
            hosts.extend(roles.map(|(kind, role)| HostConfig {
                name: format!("{kind}{number}.{domain}"),
                site: (*site).to_owned(),
                role,
            }));
        }
        Self {
            domain: domain.to_owned(),
            domains: Vec::new(),
            hosts,
            submission_names: Vec::new(),
            imap_names: Vec::new(),
            accounts: Vec::new(),
            delivery_delay: Duration::ZERO,
            retry_every: Duration::from_secs(2),
            warn_after: Duration::from_hours(4),
            give_up_after: Duration::from_hours(5 * 24),
            txt: Vec::new(),
            aaaa: Vec::new(),
            imap_without: Vec::new(),
        }
    }

    /// Whether it takes mail for this domain.
    pub fn takes(&self, domain: &str) -> bool {
        std::iter::once(&self.domain).chain(&self.domains).any(|own| own.eq_ignore_ascii_case(domain))
    }

    /// What the service of a role is called, whichever site is in use.
    pub fn service_names(&self, role: Role) -> Vec<String> {
        let (usual, more) = match role {
            Role::Submission => ("smtp", &self.submission_names),
            Role::Imap => ("imap", &self.imap_names),
            Role::Mx { .. } => return Vec::new(),
        };
        std::iter::once(format!("{usual}.{}", self.domain)).chain(more.iter().cloned()).collect()
    }

    /// Adds the account `local@DOMAIN`.
    #[must_use]
    pub fn account(mut self, local: &str, password: &str) -> Self {
        let address = format!("{local}@{}", self.domain);
        self.accounts.push(AccountConfig { address, password: password.to_owned() });
        self
    }
}
