//! What all parts of one sandbox share: hosts, mailboxes, rules, truth, the clock.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use jiff::Timestamp;
use mailsonar_clock::SharedClock;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Error,
    config::{Config, HostConfig, Ports, ProviderConfig},
    fault::Service,
    faults::{Faults, Place, mix},
    mailbox::Mailboxes,
    tls::{Authority, HostTls},
    truth::{LetterId, Truth},
};

/// All doors but DNS.
pub(crate) const DOORS: [Service; 5] =
    [Service::Submission, Service::Smtps, Service::Mx, Service::Imap, Service::Imaps];

/// The state of one sandbox.
pub(crate) struct World {
    pub clock: SharedClock,
    pub faults: Faults,
    pub truth: Truth,
    pub providers: Vec<Provider>,
    pub hosts: Vec<Host>,
    pub ports: Ports,
    pub ca_pem: String,
    pub relay_timeout: std::time::Duration,
    pub max_message: usize,
    pub tasks: TaskTracker,
    pub stop: CancellationToken,
    numbers: AtomicU64,
    seed: u64,
}

/// One provider.
pub(crate) struct Provider {
    pub config: ProviderConfig,
    pub mailboxes: Mailboxes,
    /// The site that `smtp.DOMAIN` and `imap.DOMAIN` point at.
    pub active_site: RwLock<String>,
}

/// One machine.
pub(crate) struct Host {
    pub config: HostConfig,
    /// Its provider's place in the list.
    pub provider: usize,
    pub address: Ipv4Addr,
    pub tls: HostTls,
    /// When its queue may let the next message go, if it drains at a rate.
    pub next_slot: Mutex<Timestamp>,
    /// Who was turned away by greylisting, and when first.
    pub greylist: Mutex<HashMap<String, Timestamp>>,
}

/// One connection: where it arrived, and from whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line {
    /// The host's place in the list.
    pub host: usize,
    pub service: Service,
    pub peer: IpAddr,
    /// The number of the connection.
    pub key: u64,
    /// The letter that our own queue carries over this connection.
    pub letter: Option<LetterId>,
}

impl World {
    pub(crate) fn new(config: Config, network: Ipv4Addr, clock: SharedClock) -> Result<Self, Error> {
        let now = clock.civil();
        let authority = Authority::new("Mailsonar sandbox CA", now)?;
        let stranger = Authority::new("Unknown CA", now)?;
        let mut hosts = Vec::new();
        for (index, provider) in config.providers.iter().enumerate() {
            for host in &provider.hosts {
                let address = address(network, hosts.len())?;
                let tls = HostTls::new(&names(provider, host), &authority, &stranger, now)?;
                let next_slot = Mutex::new(Timestamp::MIN);
                let config = host.clone();
                hosts.push(Host {
                    config,
                    provider: index,
                    address,
                    tls,
                    next_slot,
                    greylist: Mutex::default(),
                });
            }
        }
        Ok(Self {
            faults: Faults::new(config.seed),
            truth: Truth::default(),
            providers: config.providers.into_iter().map(|provider| Provider::new(provider, now)).collect(),
            hosts,
            ports: config.ports,
            ca_pem: authority.certificate_pem,
            relay_timeout: config.relay_timeout,
            max_message: config.max_message,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            numbers: AtomicU64::new(0),
            seed: config.seed,
            clock,
        })
    }

    /// A number for the next connection, message or query.
    pub(crate) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// A queue id as a mail server would write it, for the thing with this number.
    pub(crate) fn queue_id(&self, number: u64) -> String {
        format!("{:010X}", mix(self.seed ^ number) >> 24)
    }

    pub(crate) fn provider_of(&self, host: usize) -> &Provider {
        &self.providers[self.hosts[host].provider]
    }

    /// The provider of this mail domain.
    pub(crate) fn provider_for(&self, domain: &str) -> Option<usize> {
        self.providers.iter().position(|p| p.config.takes(domain))
    }

    /// Where a connection stands, for the rules.
    pub(crate) fn place<'a>(&'a self, line: &Line, account: Option<&'a str>) -> Place<'a> {
        let host = &self.hosts[line.host];
        Place {
            provider: &self.providers[host.provider].config.domain,
            site: &host.config.site,
            host: &host.config.name,
            service: line.service,
            account,
            key: line.key,
        }
    }

    /// The host and door behind an address.
    pub(crate) fn door(&self, address: SocketAddr) -> Option<(usize, Service)> {
        let host = self.hosts.iter().position(|host| IpAddr::V4(host.address) == address.ip())?;
        let role = self.hosts[host].config.role;
        let mut doors = DOORS.into_iter().filter(|service| role.serves(*service));
        doors.find(|service| self.ports.of(*service) == address.port()).map(|service| (host, service))
    }

    /// The hosts that have this door.
    pub(crate) fn serving(&self, service: Service) -> Vec<usize> {
        (0..self.hosts.len()).filter(|host| self.hosts[*host].config.role.serves(service)).collect()
    }

    /// Runs a task until it ends or the sandbox stops.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = task => {}
            }
        });
    }
}

impl Provider {
    fn new(config: ProviderConfig, now: Timestamp) -> Self {
        let mailboxes = Mailboxes::default();
        let uid_validity = u32::try_from(now.as_second()).unwrap_or(1).max(1);
        for account in &config.accounts {
            mailboxes.add(&account.address, &account.password, uid_validity);
        }
        let active_site = RwLock::new(config.hosts.first().map(|h| h.site.clone()).unwrap_or_default());
        Self { config, mailboxes, active_site }
    }

    pub(crate) fn site_in_use(&self) -> String {
        self.active_site.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Host {
    pub(crate) fn name(&self) -> &str {
        &self.config.name
    }
}

/// The address of the nth host.
fn address(network: Ipv4Addr, index: usize) -> Result<Ipv4Addr, Error> {
    let [a, b, c, _] = network.octets();
    let last = u8::try_from(index + 1).ok().filter(|last| *last < 255).ok_or(Error::TooManyHosts)?;
    Ok(Ipv4Addr::new(a, b, c, last))
}

/// The names that a host's certificate is good for.
fn names(provider: &ProviderConfig, host: &HostConfig) -> Vec<String> {
    std::iter::once(host.name.clone()).chain(provider.service_names(host.role)).collect()
}

/// The domain of an address.
pub(crate) fn domain(address: &str) -> &str {
    address.rsplit_once('@').map_or("", |(_, domain)| domain)
}

/// Shared by handlers.
pub(crate) type SharedWorld = Arc<World>;
