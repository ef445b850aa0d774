//! The sandbox as its users hold it: started, described, broken, looked into, stopped.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hickory_server::Server;
use mailsonar_clock::SharedClock;
use tokio::{
    io::DuplexStream,
    net::{TcpListener, UdpSocket},
};

use crate::{
    config::{Config, Ports, Role},
    dns::{self, NameServer},
    error::Error,
    faults::{Faults, mix},
    listen::{self, bind_all},
    relay,
    truth::Truth,
    world::{DOORS, Line, SharedWorld, World},
};

/// The ports of a sandbox without sockets, where none are configured.
const WELL_KNOWN: Ports = Ports { submission: 587, smtps: 465, mx: 25, imap: 143, imaps: 993, dns: 53 };
/// How long a DNS connection over TCP may idle.
const DNS_IDLE: Duration = Duration::from_secs(5);
/// How much of DNS replies waits to be sent, in messages.
const DNS_BUFFER: usize = 32;

/// A running mail service. Dropping it stops it; [`Sandbox::shutdown`] also waits until it has.
pub struct Sandbox {
    world: SharedWorld,
    dns: SocketAddr,
    server: Option<Server<NameServer>>,
}

/// One host, as a user needs to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostInfo {
    /// The domain of its provider.
    pub provider: String,
    /// Its fully qualified name.
    pub name: String,
    /// The data centre it stands in.
    pub site: String,
    /// What it does.
    pub role: Role,
    /// Its address; the ports are the same everywhere ([`Sandbox::ports`]).
    pub address: Ipv4Addr,
}

impl Sandbox {
    /// Starts a sandbox on the runtime of the caller.
    pub async fn start(config: Config, clock: SharedClock) -> Result<Self, Error> {
        let network = config.network.unwrap_or_else(|| default_network(config.sockets));
        let sockets = config.sockets;
        let mut world = World::new(config, network, clock)?;
        if !sockets {
            world.ports = filled(world.ports);
            let dns = SocketAddr::from((Ipv4Addr::LOCALHOST, world.ports.dns));
            return Ok(Self { world: Arc::new(world), dns, server: None });
        }
        let mut doors = Vec::new();
        for service in DOORS {
            let hosts = world.serving(service);
            let addresses: Vec<_> = hosts.iter().map(|host| world.hosts[*host].address).collect();
            let (port, listeners) = bind_all(&addresses, world.ports.of(service)).await?;
            world.ports.set(service, port);
            doors.extend(hosts.into_iter().zip(listeners).map(|(host, listener)| (host, service, listener)));
        }
        let (udp, tcp) = bind_dns(world.ports.dns).await?;
        let dns = tcp.local_addr().map_err(|source| Error::Bind { port: world.ports.dns, source })?;
        world.ports.dns = dns.port();
        let world = Arc::new(world);
        for (host, service, listener) in doors {
            world.spawn(listen::keep(world.clone(), host, service, listener));
        }
        let mut server = Server::new(NameServer(world.clone()));
        server.register_socket(udp);
        server.register_listener(tcp, DNS_IDLE, DNS_BUFFER);
        Ok(Self { world, dns, server: Some(server) })
    }

    /// The ports, the same on every host.
    pub fn ports(&self) -> Ports {
        self.world.ports
    }

    /// The name server's address, for UDP and TCP.
    pub fn dns_addr(&self) -> SocketAddr {
        self.dns
    }

    /// The certificate of the authority that all hosts' certificates are signed by, as PEM.
    pub fn ca_pem(&self) -> &str {
        &self.world.ca_pem
    }

    /// All hosts, in the order of the configuration.
    pub fn hosts(&self) -> Vec<HostInfo> {
        let describe = |host: &crate::world::Host| HostInfo {
            provider: self.world.providers[host.provider].config.domain.clone(),
            name: host.config.name.clone(),
            site: host.config.site.clone(),
            role: host.config.role,
            address: host.address,
        };
        self.world.hosts.iter().map(describe).collect()
    }

    /// The host of this name.
    pub fn host(&self, name: &str) -> Option<HostInfo> {
        self.hosts().into_iter().find(|host| host.name.eq_ignore_ascii_case(name))
    }

    /// The addresses of all accounts, which are also their logins.
    pub fn accounts(&self) -> Vec<String> {
        let of = |p: &crate::world::Provider| {
            p.config.accounts.iter().map(|a| a.address.clone()).collect::<Vec<_>>()
        };
        self.world.providers.iter().flat_map(of).collect()
    }

    /// The rules of what goes wrong, to add to and take from at any time.
    pub fn faults(&self) -> &Faults {
        &self.world.faults
    }

    /// What really happened.
    pub fn truth(&self) -> &Truth {
        &self.world.truth
    }

    /// Connects in memory to a host's address and port, as a socket would: refused where nobody
    /// listens, pending for ever where packets vanish.
    pub async fn connect(&self, address: SocketAddr) -> io::Result<DuplexStream> {
        let (host, service) = self.world.door(address).ok_or(io::ErrorKind::ConnectionRefused)?;
        let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let line = Line { host, service, peer, key: self.world.number(), letter: None };
        relay::open(&self.world, line).await
    }

    /// Asks the name server in memory: a query in wire format, and its reply, or none where the
    /// server stays silent.
    pub async fn ask_dns(&self, query: &[u8]) -> Option<Vec<u8>> {
        dns::answer(&self.world, query, SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)).await
    }

    /// Points `smtp.DOMAIN` and `imap.DOMAIN` at another site, and prefers its MX hosts, as a provider does
    /// in a failover.
    pub fn fail_over(&self, domain: &str, site: &str) -> Result<(), Error> {
        let provider = self.provider(domain)?;
        if !provider.config.hosts.iter().any(|host| host.site == site) {
            return Err(Error::Unknown { what: "site", name: site.to_owned() });
        }
        site.clone_into(&mut provider.active_site.write().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }

    /// Gives all messages of a folder new UIDs under a new UIDVALIDITY.
    pub fn renumber(&self, account: &str, folder: &str) -> Result<(), Error> {
        let mailboxes = &self.provider(crate::world::domain(account))?.mailboxes;
        mailboxes
            .with(&account.to_ascii_lowercase(), folder, crate::mailbox::Folder::renumber)
            .ok_or_else(|| Error::Unknown { what: "mailbox", name: format!("{account} {folder}") })
    }

    /// Puts a message into a mailbox, as it stands. The truth knows nothing of it.
    pub fn plant(&self, account: &str, folder: &str, message: &[u8]) -> Result<(), Error> {
        let mailboxes = &self.provider(crate::world::domain(account))?.mailboxes;
        let now = self.world.clock.civil();
        mailboxes
            .with(&account.to_ascii_lowercase(), folder, |folder| {
                folder.append(Arc::from(message), std::collections::BTreeSet::new(), now)
            })
            .map(|_| ())
            .ok_or_else(|| Error::Unknown { what: "mailbox", name: format!("{account} {folder}") })
    }

    /// The messages in a mailbox, oldest first; none where there is no such mailbox.
    pub fn messages(&self, account: &str, folder: &str) -> Vec<Vec<u8>> {
        let Ok(provider) = self.provider(crate::world::domain(account)) else { return Vec::new() };
        let all = |folder: &mut crate::mailbox::Folder| {
            folder.messages.iter().map(|message| message.bytes.to_vec()).collect()
        };
        provider.mailboxes.with(&account.to_ascii_lowercase(), folder, all).unwrap_or_default()
    }

    /// The flags of the messages in a mailbox, in IMAP's spelling, oldest message first.
    pub fn flags(&self, account: &str, folder: &str) -> Vec<Vec<String>> {
        let Ok(provider) = self.provider(crate::world::domain(account)) else { return Vec::new() };
        let all = |folder: &mut crate::mailbox::Folder| {
            folder.messages.iter().map(|message| message.flags.iter().cloned().collect()).collect()
        };
        provider.mailboxes.with(&account.to_ascii_lowercase(), folder, all).unwrap_or_default()
    }

    /// From now on this access token lets into the account, by XOAUTH2 and OAUTHBEARER, and no other token
    /// does. The password goes on serving.
    pub fn grant(&self, account: &str, token: &str) -> Result<(), Error> {
        self.provider(crate::world::domain(account))?.mailboxes.grant(account, token);
        Ok(())
    }

    /// The Message-IDs of what lies in a folder, without angle brackets, in the order of arrival.
    pub fn message_ids(&self, account: &str, folder: &str) -> Result<Vec<String>, Error> {
        let mailboxes = &self.provider(crate::world::domain(account))?.mailboxes;
        let ids = |folder: &mut crate::mailbox::Folder| {
            folder.messages.iter().map(|message| crate::headers::message_id(&message.bytes)).collect()
        };
        mailboxes
            .with(&account.to_ascii_lowercase(), folder, ids)
            .ok_or_else(|| Error::Unknown { what: "mailbox", name: format!("{account} {folder}") })
    }

    /// Stops listening, ends all connections and queues, and waits until that is done.
    pub async fn shutdown(mut self) {
        self.world.stop.cancel();
        self.world.tasks.close();
        self.world.tasks.wait().await;
        if let Some(mut server) = self.server.take() {
            // The server's tasks end with it either way.
            let _ = server.shutdown_gracefully().await;
        }
    }

    fn provider(&self, domain: &str) -> Result<&crate::world::Provider, Error> {
        let index = self.world.provider_for(domain);
        let unknown = || Error::Unknown { what: "provider", name: domain.to_owned() };
        index.map(|index| &self.world.providers[index]).ok_or_else(unknown)
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.world.stop.cancel();
    }
}

/// A block of 127/8: fixed without sockets, so that simulations repeat; else, most likely, another
/// for each sandbox on the machine, so that none takes a port that another one let go for a fault.
fn default_network(sockets: bool) -> Ipv4Addr {
    static STARTED: AtomicU64 = AtomicU64::new(0);
    if !sockets {
        return Ipv4Addr::new(127, 64, 0, 0);
    }
    let nth = STARTED.fetch_add(1, Ordering::Relaxed);
    let [high, low, ..] = mix(u64::from(std::process::id()) ^ (nth << 32)).to_be_bytes();
    Ipv4Addr::new(127, 64 | (high & 0x3f), low, 0)
}

/// The name server's sockets, on one port of 127.0.0.1.
async fn bind_dns(port: u16) -> Result<(UdpSocket, TcpListener), Error> {
    let mut last = None;
    for _ in 0..50 {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
        let tcp = tcp.map_err(|source| Error::Bind { port, source })?;
        let taken = tcp.local_addr().map_err(|source| Error::Bind { port, source })?;
        match UdpSocket::bind(taken).await {
            Ok(udp) => return Ok((udp, tcp)),
            Err(source) => last = Some(source),
        }
        if port != 0 {
            break;
        }
    }
    Err(Error::Bind { port, source: last.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()) })
}

fn filled(ports: Ports) -> Ports {
    let or = |port: u16, default: u16| if port == 0 { default } else { port };
    Ports {
        submission: or(ports.submission, WELL_KNOWN.submission),
        smtps: or(ports.smtps, WELL_KNOWN.smtps),
        mx: or(ports.mx, WELL_KNOWN.mx),
        imap: or(ports.imap, WELL_KNOWN.imap),
        imaps: or(ports.imaps, WELL_KNOWN.imaps),
        dns: or(ports.dns, WELL_KNOWN.dns),
    }
}
