//! Names into addresses and MX hosts, with the ways to fail kept apart.
//!
//! Every question is asked afresh: no cache (it would hide a failover from a prober), no search
//! list, one server after the other as the system's resolver would. Knows DNS; connects to nothing.

use std::fmt::Debug;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::op::{Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{Hosts, TokioResolver};
use mailsonar_protocol::{Class, Stage};

use crate::trouble::Trouble;

/// The most addresses of one host that are looked at.
const MAX_ADDRESSES: usize = 32;
/// The most texts of one name that are looked at.
const MAX_TEXTS: usize = 16;
/// The longest chain of aliases that is followed.
const MAX_ALIASES: usize = 16;
/// The most of the system's servers that are asked, as in glibc.
const MAX_SERVERS: usize = 3;

/// Whom to ask, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The DNS servers, asked in this order. Empty: the system's, and its hosts file, read anew for
    /// each lookup.
    pub servers: Vec<SocketAddr>,
    /// The longest a lookup may take as a whole.
    pub timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { servers: Vec::new(), timeout: Duration::from_secs(5) }
    }
}

/// A host that takes mail for a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MxHost {
    /// The lowest comes first.
    pub preference: u16,
    /// Its name, in lower case, without a trailing dot.
    pub host: String,
}

/// Asks DNS. Its failures are [`Trouble`] in the stage `resolve`, of class `dns` with the detail
/// `nxdomain`, `nodata`, `cname_loop`, `servfail`, `refused`, `timeout`, `null_mx` or `other`; of class `own` where
/// the name or this machine's resolver is unusable.
#[derive(Debug, Clone)]
pub struct Resolver {
    config: Config,
    dns: SharedDns,
}

/// The way to a DNS server. Handed in, so that a rehearsal can answer without sockets.
pub trait Dns: Debug + Send + Sync + 'static {
    /// Asks one server one question, afresh. The records of the kind asked for, perhaps none.
    fn ask<'a>(
        &'a self,
        server: SocketAddr,
        limit: Duration,
        name: &'a Name,
        kind: RecordType,
    ) -> BoxFuture<'a, Result<Vec<RData>, NetError>>;
}

/// A way to DNS that many parts hold at once.
pub type SharedDns = Arc<dyn Dns>;

/// DNS by hickory, over the machine's UDP, and over TCP where the answer is too long.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hickory;

impl Dns for Hickory {
    fn ask<'a>(
        &'a self,
        server: SocketAddr,
        limit: Duration,
        name: &'a Name,
        kind: RecordType,
    ) -> BoxFuture<'a, Result<Vec<RData>, NetError>> {
        Box::pin(ask_one(server, limit, name, kind))
    }
}

/// How one server failed to give records.
struct Failure {
    detail: &'static str,
    said: String,
}

impl Resolver {
    /// Nothing is read or asked yet.
    pub fn new(config: Config, dns: SharedDns) -> Self {
        Self { config, dns }
    }

    /// The addresses of a host, IPv4 first; never none. A literal address is its own.
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Trouble> {
        if let Ok(literal) = host.parse() {
            return Ok(vec![literal]);
        }
        let name = name(host)?;
        if name.is_localhost() {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        self.within("A", &name, self.addresses_of(&name)).await
    }

    /// The hosts that take mail for a domain, best first. A domain without MX records takes its mail
    /// itself if it has an address (RFC 5321, section 5.1); one that takes none says so (RFC 7505).
    pub async fn mx(&self, domain: &str) -> Result<Vec<MxHost>, Trouble> {
        let name = name(domain)?;
        self.within("MX", &name, self.mx_of(&name)).await
    }

    /// The texts (TXT records) at a name, each put together from its pieces.
    pub async fn text(&self, name: &str) -> Result<Vec<String>, Trouble> {
        let name = self::name(name)?;
        let records = self.within("TXT", &name, self.ask(&name, RecordType::TXT)).await?;
        let text = |record: RData| match record {
            RData::TXT(pieces) => Some(String::from_utf8_lossy(&pieces.txt_data.concat()).into_owned()),
            _ => None,
        };
        Ok(records.into_iter().filter_map(text).take(MAX_TEXTS).collect())
    }

    async fn within<T>(
        &self,
        kind: &str,
        name: &Name,
        work: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<T, Trouble> {
        let limit = self.config.timeout;
        // Boxed: hickory's futures are large, and lookups are rare.
        tokio::time::timeout(limit, Box::pin(work)).await.unwrap_or_else(|_| {
            let words = format!("{kind} {}: no answer within {:.1} s", shown(name), limit.as_secs_f64());
            Err(Trouble::new(Stage::Resolve, Class::Dns, "timeout", words))
        })
    }

    async fn addresses_of(&self, name: &Name) -> Result<Vec<IpAddr>, Trouble> {
        let (v4, v6) = tokio::join!(self.ask(name, RecordType::A), self.ask(name, RecordType::AAAA));
        // One family may fail where the other does not. If both do, a failure that is not merely
        // "none of this kind" says more.
        let trouble = match (&v4, &v6) {
            (Err(v4), Err(v6)) if v4.detail == "nodata" => Some(v6.clone()),
            (Err(v4), Err(_)) => Some(v4.clone()),
            _ => None,
        };
        let found = v4.unwrap_or_default().into_iter().chain(v6.unwrap_or_default());
        let addresses: Vec<_> = found.filter_map(|data| data.ip_addr()).take(MAX_ADDRESSES).collect();
        match trouble {
            Some(trouble) if trouble.detail == "nodata" => Err(self.followed(name, trouble).await),
            Some(trouble) => Err(trouble),
            None => Ok(addresses),
        }
    }

    /// Why a name leads to no record: perhaps its aliases (CNAME) lead back to themselves.
    async fn followed(&self, name: &Name, nothing: Trouble) -> Trouble {
        let mut seen = vec![name.clone()];
        while let Some(last) = seen.last()
            && let Ok(aliases) = self.ask(last, RecordType::CNAME).await
            && let Some(RData::CNAME(next)) = aliases.first()
        {
            if seen.contains(&next.0) || seen.len() >= MAX_ALIASES {
                let path = seen.iter().map(shown).collect::<Vec<_>>().join(" -> ");
                let words = format!("{path} -> {}: the aliases lead nowhere", shown(&next.0));
                return Trouble::new(Stage::Resolve, Class::Dns, "cname_loop", words);
            }
            seen.push(next.0.clone());
        }
        nothing
    }

    async fn mx_of(&self, name: &Name) -> Result<Vec<MxHost>, Trouble> {
        let records = match self.ask(name, RecordType::MX).await {
            Ok(records) => records,
            Err(none) if none.detail == "nodata" => {
                let implicit = MxHost { preference: 0, host: shown(name) };
                return self.addresses_of(name).await.map(|_| vec![implicit]).map_err(|without| {
                    if without.detail == "cname_loop" {
                        return without;
                    }
                    let words = format!("{}; nor an address: {}", none.words, without.words);
                    Trouble { words: words.into(), ..without }
                });
            }
            Err(trouble) => return Err(trouble),
        };
        mx_hosts(records).ok_or_else(|| {
            let words = format!("MX {}: null MX, the domain takes no mail (RFC 7505)", shown(name));
            Trouble::new(Stage::Resolve, Class::Dns, "null_mx", words)
        })
    }

    /// Asks one server after the other, until one knows.
    async fn ask(&self, name: &Name, kind: RecordType) -> Result<Vec<RData>, Trouble> {
        let servers = self.servers()?;
        if self.config.servers.is_empty()
            && let Some(known) = in_hosts_file(name, kind)
        {
            return Ok(known);
        }
        // A little less than the whole time, so that what was found is not lost to the deadline.
        let share = self.config.timeout * 4 / 5 / u32::try_from(servers.len()).unwrap_or(1).max(1);
        let mut failures: Vec<Failure> = Vec::new();
        for server in servers {
            let failure = match tokio::time::timeout(share, self.dns.ask(server, share, name, kind)).await {
                Ok(Ok(records)) if records.is_empty() => nothing(),
                Ok(Ok(records)) => return Ok(records),
                Ok(Err(NetError::Timeout)) | Err(_) => {
                    let said = format!("no answer within {:.1} s", share.as_secs_f64());
                    Failure { detail: "timeout", said }
                }
                Ok(Err(error)) => failure(&error),
            };
            let is_answer = matches!(failure.detail, "nxdomain" | "nodata");
            let failure = Failure { said: format!("{} from {server}", failure.said), ..failure };
            if is_answer {
                return Err(trouble(name, kind, &[failure]));
            }
            failures.push(failure);
        }
        Err(trouble(name, kind, &failures))
    }

    fn servers(&self) -> Result<Vec<SocketAddr>, Trouble> {
        if !self.config.servers.is_empty() {
            return Ok(self.config.servers.clone());
        }
        let (system, _) = read_system_conf().map_err(|error| {
            let words = format!("this system's resolver configuration is unusable: {error}");
            Trouble::new(Stage::Resolve, Class::Own, "no_resolver", words)
        })?;
        let servers = system.name_servers.iter().map(|server| {
            let port = server.connections.first().map_or(53, |connection| connection.port);
            SocketAddr::new(server.ip, port)
        });
        Ok(servers.take(MAX_SERVERS).collect())
    }
}

async fn ask_one(
    server: SocketAddr,
    limit: Duration,
    name: &Name,
    kind: RecordType,
) -> Result<Vec<RData>, NetError> {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = server.port();
        connection
    });
    let server = NameServerConfig::new(server.ip(), true, connections.to_vec());
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options = builder.options_mut();
    options.timeout = limit;
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    let resolver = builder.build()?;
    let lookup = resolver.lookup(name.clone(), kind).await?;
    let wanted = lookup.answers().iter().filter(|record| record.record_type() == kind);
    Ok(wanted.map(|record| record.data.clone()).collect())
}

fn in_hosts_file(name: &Name, kind: RecordType) -> Option<Vec<RData>> {
    let hosts = Hosts::from_system().ok()?;
    let known = hosts.lookup_static_host(&Query::query(name.clone(), kind))?;
    Some(known.answers().iter().map(|record| record.data.clone()).collect())
}

/// Sorted; `None` where the only record says that the domain takes no mail.
fn mx_hosts(records: Vec<RData>) -> Option<Vec<MxHost>> {
    let mut hosts: Vec<_> = records
        .into_iter()
        .filter_map(|data| match data {
            RData::MX(mx) if !mx.exchange.is_root() => {
                Some(MxHost { preference: mx.preference, host: shown(&mx.exchange) })
            }
            _ => None,
        })
        .collect();
    hosts.sort_by_key(|host| host.preference);
    (!hosts.is_empty()).then_some(hosts)
}

fn nothing() -> Failure {
    Failure { detail: "nodata", said: "no such record".to_owned() }
}

fn failure(error: &NetError) -> Failure {
    let (detail, said) = match error {
        NetError::Dns(DnsError::NoRecordsFound(NoRecords { response_code, .. })) => match *response_code {
            ResponseCode::NXDomain => ("nxdomain", "NXDOMAIN".to_owned()),
            _ => return nothing(),
        },
        NetError::Dns(DnsError::ResponseCode(ResponseCode::ServFail)) => ("servfail", "SERVFAIL".to_owned()),
        NetError::Dns(DnsError::ResponseCode(ResponseCode::Refused)) => ("refused", "REFUSED".to_owned()),
        NetError::Timeout => ("timeout", "no answer".to_owned()),
        other => ("other", other.to_string()),
    };
    Failure { detail, said }
}

fn trouble(name: &Name, kind: RecordType, failures: &[Failure]) -> Trouble {
    let detail = failures.first().map_or("other", |failure| failure.detail);
    let said = failures.iter().map(|failure| failure.said.as_str()).collect::<Vec<_>>().join("; ");
    Trouble::new(Stage::Resolve, Class::Dns, detail, format!("{kind} {}: {said}", shown(name)))
}

fn name(host: &str) -> Result<Name, Trouble> {
    let unusable = || {
        let words = format!("{host:?} is not a domain name");
        Trouble::new(Stage::Resolve, Class::Own, "bad_name", words)
    };
    let mut name = Name::from_utf8(host).map_err(|_| unusable())?;
    if name.num_labels() == 0 {
        return Err(unusable());
    }
    // Without this the search list would be tried.
    name.set_fqdn(true);
    Ok(name)
}

fn shown(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use hickory_resolver::proto::op::{Message, MessageType};
    use hickory_resolver::proto::rr::Record;
    use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, MX};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, UdpSocket};

    use super::*;

    fn host(name: &str) -> Name {
        Name::from_ascii(name).expect("a name")
    }

    fn mx(preference: u16, name: &str) -> RData {
        RData::MX(MX::new(preference, host(name)))
    }

    /// A code and records, or nothing at all.
    type Reply = Option<(ResponseCode, Vec<RData>)>;

    /// What the zone of these tests says.
    fn zone(name: &str, kind: RecordType) -> Reply {
        use RecordType as T;
        let v4 = || RData::A(A::new(192, 0, 2, 1));
        let v6 = || RData::AAAA(AAAA::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
        let records = match (name, kind) {
            ("both.example." | "v4.example." | "bare.example.", T::A) => vec![v4()],
            ("both.example." | "v6.example." | "half.example.", T::AAAA) => vec![v6()],
            ("alias.example.", T::A) => vec![RData::CNAME(CNAME(host("v4.example."))), v4()],
            ("loop.example.", _) => {
                vec![RData::CNAME(CNAME(host("pool.example."))), RData::CNAME(CNAME(host("loop.example.")))]
            }
            ("pool.example." | "chain.example.", _) => vec![RData::CNAME(CNAME(host("loop.example.")))],
            ("acme.example.", T::MX) => vec![mx(20, "B.acme.example."), mx(10, "a.acme.example.")],
            ("null.example.", T::MX) => vec![mx(0, ".")],
            ("many.example.", T::MX) => (0..1_000).map(|n| mx(n, &format!("h{n}."))).collect(),
            ("half.example.", T::A) | ("servfail.example.", _) => {
                return Some((ResponseCode::ServFail, vec![]));
            }
            ("refused.example.", _) => return Some((ResponseCode::Refused, vec![])),
            ("silent.example.", _) => return None,
            ("gone.example.", _) => return Some((ResponseCode::NXDomain, vec![])),
            _ => vec![],
        };
        Some((ResponseCode::NoError, records))
    }

    /// What a server of that zone answers, in bytes; nothing at all where it is silent.
    fn answer(zone: fn(&str, RecordType) -> Reply, question: &[u8], most: usize) -> Option<Vec<u8>> {
        let request = Message::from_vec(question).expect("a message");
        let query = request.queries.first().expect("a question").clone();
        assert!(query.name().is_fqdn(), "no search list");
        let (code, records) = zone(&query.name().to_ascii(), query.query_type())?;
        let mut reply = Message::new(request.metadata.id, MessageType::Response, request.metadata.op_code);
        reply.metadata.response_code = code;
        reply.add_query(query.clone());
        let mut owner = query.name().clone();
        for data in records {
            let alias = if let RData::CNAME(alias) = &data { Some(alias.0.clone()) } else { None };
            reply.add_answer(Record::from_rdata(owner.clone(), 60, data));
            owner = alias.unwrap_or(owner);
        }
        let bytes = reply.to_vec().expect("encoded");
        if bytes.len() <= most {
            return Some(bytes);
        }
        reply.answers.clear();
        reply.metadata.truncation = true;
        Some(reply.to_vec().expect("encoded"))
    }

    /// A DNS server (UDP, and TCP for what is long), its address, and how often it was asked.
    async fn server(zone: fn(&str, RecordType) -> Reply) -> (SocketAddr, Arc<AtomicU32>) {
        let (socket, listener) = loop {
            let socket = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
            if let Ok(listener) = TcpListener::bind(socket.local_addr().expect("an address")).await {
                break (socket, listener);
            }
        };
        let (address, asked) = (socket.local_addr().expect("an address"), Arc::new(AtomicU32::new(0)));
        let counter = asked.clone();
        tokio::spawn(async move {
            let mut buffer = vec![0; 4_096];
            while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
                counter.fetch_add(1, Ordering::Relaxed);
                if let Some(reply) = answer(zone, &buffer[..length], 1_232) {
                    socket.send_to(&reply, peer).await.expect("sent");
                }
            }
        });
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                while let Ok(length) = stream.read_u16().await {
                    let mut question = vec![0; length.into()];
                    stream.read_exact(&mut question).await.expect("a question");
                    let reply = answer(zone, &question, usize::from(u16::MAX)).expect("an answer");
                    let length = u16::try_from(reply.len()).expect("short enough");
                    stream.write_u16(length).await.expect("sent");
                    stream.write_all(&reply).await.expect("sent");
                }
            }
        });
        (address, asked)
    }

    async fn resolver() -> (Resolver, SocketAddr) {
        let (address, _) = server(zone).await;
        (Resolver::new(Config { servers: vec![address], ..Config::default() }, Arc::new(Hickory)), address)
    }

    /// One that does not wait for long.
    fn hasty(servers: &[SocketAddr], timeout: Duration) -> Resolver {
        Resolver::new(Config { servers: servers.to_vec(), timeout }, Arc::new(Hickory))
    }

    #[tokio::test]
    async fn addresses_come_ipv4_first_and_one_family_is_enough() {
        let (resolver, _) = resolver().await;
        let v4: IpAddr = "192.0.2.1".parse().expect("an address");
        let v6: IpAddr = "2001:db8::1".parse().expect("an address");
        for (name, expected) in [
            ("both.example", vec![v4, v6]),
            ("both.example.", vec![v4, v6]),
            ("v4.example", vec![v4]),
            ("v6.example", vec![v6]),
            ("alias.example", vec![v4]),
            ("half.example", vec![v6]),
            ("192.0.2.1", vec![v4]),
            ("2001:db8::1", vec![v6]),
            ("localhost", vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]),
        ] {
            assert_eq!(resolver.addresses(name).await, Ok(expected), "{name}");
        }
    }

    #[tokio::test]
    async fn each_way_to_fail_has_its_own_detail_and_says_who_was_asked_what() {
        let (resolver, server) = resolver().await;
        for (name, detail, words) in [
            ("gone.example", "nxdomain", format!("A gone.example: NXDOMAIN from {server}")),
            ("empty.example", "nodata", format!("AAAA empty.example: no such record from {server}")),
            ("servfail.example", "servfail", format!("A servfail.example: SERVFAIL from {server}")),
            ("refused.example", "refused", format!("A refused.example: REFUSED from {server}")),
            ("silent.example", "timeout", format!("A silent.example: no answer within 0.4 s from {server}")),
        ] {
            let hasty = hasty(&[server], Duration::from_millis(500));
            let resolver = if name == "silent.example" { &hasty } else { &resolver };
            let trouble = resolver.addresses(name).await.expect_err(name);
            assert_eq!((trouble.stage, trouble.class, trouble.detail), (Stage::Resolve, Class::Dns, detail));
            assert_eq!(trouble.words.as_str(), words);
        }
        for name in ["", ".", "a..b", &"x".repeat(64)] {
            let trouble = resolver.addresses(name).await.expect_err(name);
            assert_eq!((trouble.class, trouble.detail), (Class::Own, "bad_name"), "{name}");
        }
    }

    #[tokio::test]
    async fn aliases_that_lead_nowhere_end_soon_and_are_named() {
        let (resolver, _) = resolver().await;
        for name in ["loop.example", "chain.example"] {
            let trouble = resolver.addresses(name).await.expect_err(name);
            assert_eq!((trouble.class, trouble.detail), (Class::Dns, "cname_loop"), "{trouble:?}");
            let trouble = resolver.mx(name).await.expect_err(name);
            assert_eq!((trouble.class, trouble.detail), (Class::Dns, "cname_loop"), "{trouble:?}");
        }
    }

    #[tokio::test]
    async fn mx_hosts_are_sorted_bounded_implied_or_denied() {
        let (resolver, server) = resolver().await;
        let host = |preference, host: &str| MxHost { preference, host: host.into() };
        assert_eq!(
            resolver.mx("acme.example").await,
            Ok(vec![host(10, "a.acme.example"), host(20, "b.acme.example")])
        );
        assert_eq!(resolver.mx("bare.example").await, Ok(vec![host(0, "bare.example")]));
        assert_eq!(resolver.mx("many.example").await.expect("hosts").len(), 1_000);
        for (name, detail, words) in [
            ("null.example", "null_mx", "MX null.example: null MX".to_owned()),
            ("gone.example", "nxdomain", format!("MX gone.example: NXDOMAIN from {server}")),
            ("empty.example", "nodata", "; nor an address: AAAA empty.example: no such record".to_owned()),
            ("servfail.example", "servfail", "SERVFAIL".to_owned()),
            ("silent.example", "timeout", "no answer within".to_owned()),
        ] {
            let hasty = hasty(&[server], Duration::from_millis(500));
            let resolver = if name == "silent.example" { &hasty } else { &resolver };
            let trouble = resolver.mx(name).await.expect_err(name);
            assert_eq!((trouble.class, trouble.detail), (Class::Dns, detail));
            assert!(trouble.words.as_str().contains(&words), "{}", trouble.words);
        }
    }

    #[tokio::test]
    async fn a_broken_server_is_passed_over_and_an_answer_is_final() {
        let (good, _) = server(zone).await;
        let (broken, _) = server(|_, _| Some((ResponseCode::ServFail, vec![]))).await;
        let (silent, _) = server(|_, _| None).await;
        let (unasked, asked) = server(zone).await;
        let timeout = Duration::from_secs(3);
        let resolver = hasty(&[broken, silent, good, unasked], timeout);
        assert_eq!(resolver.addresses("v4.example").await.expect("addresses").len(), 1);
        assert_eq!(resolver.addresses("gone.example").await.expect_err("gone").detail, "nxdomain");
        assert_eq!(asked.load(Ordering::Relaxed), 0);

        let resolver = hasty(&[broken, silent], timeout);
        let trouble = resolver.mx("acme.example").await.expect_err("broken");
        assert_eq!(trouble.detail, "servfail");
        let said = format!("SERVFAIL from {broken}; no answer within 1.2 s from {silent}");
        assert!(trouble.words.as_str().ends_with(&said), "{}", trouble.words);
    }

    #[tokio::test]
    async fn one_lost_packet_is_not_a_failure() {
        static LOST: AtomicU32 = AtomicU32::new(0);
        let (forgetful, _) = server(|name, kind| {
            let is_first = LOST.fetch_add(1, Ordering::Relaxed) == 0;
            if is_first { None } else { zone(name, kind) }
        })
        .await;
        let resolver =
            Resolver::new(Config { servers: vec![forgetful], ..Config::default() }, Arc::new(Hickory));
        assert_eq!(resolver.mx("acme.example").await.expect("hosts").len(), 2);
    }

    #[tokio::test]
    async fn nothing_is_remembered() {
        let (address, asked) = server(zone).await;
        let resolver =
            Resolver::new(Config { servers: vec![address], ..Config::default() }, Arc::new(Hickory));
        for _ in 0..3 {
            resolver.mx("acme.example").await.expect("hosts");
        }
        assert_eq!(asked.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_no_mystery() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("bound");
        let closed = socket.local_addr().expect("an address");
        drop(socket);
        let resolver = hasty(&[closed], Duration::from_millis(500));
        let trouble = resolver.mx("acme.example").await.expect_err("nobody there");
        assert_eq!(trouble.class, Class::Dns);
        assert!(matches!(trouble.detail, "other" | "timeout"), "{trouble:?}");
        assert!(trouble.words.as_str().ends_with(&format!("from {closed}")), "{}", trouble.words);
    }
}
