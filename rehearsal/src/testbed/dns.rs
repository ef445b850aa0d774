//! The name server: authoritative for the providers' zones, over UDP and TCP, on a thread of its own.
//!
//! Names it does not know within a zone are NXDOMAIN, other zones REFUSED. What it says can be
//! changed at any time, with effect on the next query; records live for one second.

use std::collections::BTreeMap;
use std::net::{self, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::proto::op::{Header, HeaderCounts, Metadata, ResponseCode};
use hickory_server::proto::rr::rdata::{A, MX, SOA, TXT};
use hickory_server::proto::rr::{Name, RData, Record, RecordType};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::oneshot;

/// How long answers may be kept, in seconds: short, so that a change shows soon.
const TTL: u32 = 1;

/// How the name server fails for a domain and all below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DnsFault {
    /// The names do not exist.
    NxDomain,
    /// The server says that it failed.
    ServFail,
    /// No answer at all.
    Silent,
}

/// The name server. Ends with the value.
#[derive(Debug)]
pub struct Dns {
    address: SocketAddr,
    zones: Arc<Mutex<Zones>>,
    /// Dropping it ends the thread.
    _stop: oneshot::Sender<()>,
}

impl Dns {
    /// Listens on a free port of this address.
    pub(crate) fn start(address: Ipv4Addr) -> Result<Self> {
        let zones = Arc::<Mutex<Zones>>::default();
        let (stop, stopped) = oneshot::channel();
        let (udp, tcp) = bind(address).context("bind the name server's port")?;
        let address = udp.local_addr()?;
        let handler = Handler(zones.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let serve = async move || -> Result<()> {
            let mut server = Server::new(handler);
            server.register_socket(UdpSocket::from_std(udp)?);
            server.register_listener(TcpListener::from_std(tcp)?, Duration::from_secs(5), 32);
            // resolves when the sender is dropped; the runtime then takes the server's tasks along
            stopped.await.ok();
            Ok(())
        };
        thread::Builder::new().name("dns".into()).spawn(move || {
            if let Err(error) = runtime.block_on(serve()) {
                tracing::error!("the testbed's name server did not start: {error:#}");
            }
        })?;
        Ok(Self { address, zones, _stop: stop })
    }

    /// Where it listens, UDP and TCP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The mail exchangers of a domain, with their preferences; `(0, ".")` alone is a null MX (RFC 7505).
    ///
    /// An empty list leaves the domain without MX records.
    pub fn set_mx(&self, domain: &str, exchangers: &[(u16, &str)]) {
        let exchangers = exchangers.iter().map(|(preference, host)| (*preference, (*host).to_owned()));
        self.zones().mx.insert(domain.to_owned(), exchangers.collect());
    }

    /// The addresses of a host; an empty list leaves it without A records.
    pub fn set_a(&self, host: &str, addresses: &[Ipv4Addr]) {
        self.zones().a.insert(host.to_owned(), addresses.to_vec());
    }

    /// The text at a name, such as the key of a DKIM selector.
    pub fn set_txt(&self, name: &str, text: &str) {
        self.zones().txt.insert(name.to_owned(), text.to_owned());
    }

    /// Lets queries for this domain and all names below it fail.
    pub fn inject(&self, domain: &str, fault: DnsFault) {
        self.zones().faults.insert(domain.to_owned(), fault);
    }

    /// Ends the fault of this domain.
    pub fn heal(&self, domain: &str) {
        self.zones().faults.remove(domain);
    }

    /// How many queries it has seen so far, the unanswered ones included.
    pub fn queries(&self) -> u64 {
        self.zones().queries
    }

    /// Claims authority for a domain and all names below it.
    pub(crate) fn add_zone(&self, domain: &str) {
        self.zones().authority.push(domain.to_owned());
    }

    fn zones(&self) -> MutexGuard<'_, Zones> {
        self.zones.lock().expect("no holder panics")
    }
}

/// Both protocols on one free port: the kernel picks it for UDP, and TCP must then have it free too.
fn bind(address: Ipv4Addr) -> Result<(net::UdpSocket, net::TcpListener)> {
    for _ in 0..20 {
        let udp = net::UdpSocket::bind((address, 0))?;
        if let Ok(tcp) = net::TcpListener::bind(udp.local_addr()?) {
            udp.set_nonblocking(true)?;
            tcp.set_nonblocking(true)?;
            return Ok((udp, tcp));
        }
    }
    anyhow::bail!("no port of {address} was free for both UDP and TCP in 20 tries")
}

/// What the server knows; names without the trailing dot, in lower case.
#[derive(Debug, Default)]
struct Zones {
    authority: Vec<String>,
    a: BTreeMap<String, Vec<Ipv4Addr>>,
    mx: BTreeMap<String, Vec<(u16, String)>>,
    txt: BTreeMap<String, String>,
    faults: BTreeMap<String, DnsFault>,
    queries: u64,
}

/// What to say to one query.
#[derive(Debug, PartialEq)]
enum Reply {
    Silence,
    Code(ResponseCode),
    Records(Vec<RData>),
}

impl Zones {
    fn reply(&self, name: &str, kind: RecordType) -> Reply {
        let below = |domain: &str| {
            name.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        match self.faults.iter().find(|(domain, _)| below(domain)).map(|(_, fault)| fault) {
            Some(DnsFault::NxDomain) => return Reply::Code(ResponseCode::NXDomain),
            Some(DnsFault::ServFail) => return Reply::Code(ResponseCode::ServFail),
            Some(DnsFault::Silent) => return Reply::Silence,
            None => {}
        }
        if !self.authority.iter().any(|zone| below(zone)) {
            return Reply::Code(ResponseCode::Refused);
        }
        let known = [self.a.contains_key(name), self.mx.contains_key(name), self.txt.contains_key(name)];
        if !known.contains(&true) {
            return Reply::Code(ResponseCode::NXDomain);
        }
        Reply::Records(match kind {
            RecordType::A => self.a.get(name).into_iter().flatten().map(|ip| RData::A(A(*ip))).collect(),
            RecordType::MX => self.mx.get(name).into_iter().flatten().filter_map(exchanger).collect(),
            RecordType::TXT => self.txt.get(name).map(|text| RData::TXT(strings(text))).into_iter().collect(),
            _ => Vec::new(),
        })
    }
}

/// A text in strings that fit: of 255 bytes at most (RFC 1035).
fn strings(text: &str) -> TXT {
    TXT::new(text.as_bytes().chunks(255).map(|part| String::from_utf8_lossy(part).into_owned()).collect())
}

fn exchanger((preference, host): &(u16, String)) -> Option<RData> {
    let host = Name::from_str(host).ok()?.append_domain(&Name::root()).ok()?;
    Some(RData::MX(MX::new(*preference, host)))
}

/// What makes an answer without records cacheable for [`TTL`] only (RFC 2308).
fn start_of_authority(name: &Name) -> Record {
    let seconds = i32::try_from(TTL).unwrap_or(1);
    let soa = SOA::new(name.clone(), Name::root(), 1, seconds, seconds, seconds, TTL);
    Record::from_rdata(name.clone(), TTL, RData::SOA(soa))
}

struct Handler(Arc<Mutex<Zones>>);

impl RequestHandler for Handler {
    // what #[async_trait] makes of `async fn handle_request`, in full, to spare the dependency
    fn handle_request<'s, 'r, 'f, R, T>(
        &'s self,
        request: &'r Request,
        mut responder: R,
    ) -> Pin<Box<dyn Future<Output = ResponseInfo> + Send + 'f>>
    where
        's: 'f,
        'r: 'f,
        R: ResponseHandler + 'f,
        T: Time + 'f,
    {
        Box::pin(async move {
            let mut metadata = Metadata::response_from_request(&request.metadata);
            metadata.authoritative = true;
            let unsent = ResponseInfo::from(Header { metadata, counts: HeaderCounts::default() });
            let Ok(info) = request.request_info() else { return unsent };
            let name = Name::from(info.query.name().clone());
            let asked = name.to_ascii().trim_end_matches('.').to_ascii_lowercase();
            let reply = {
                let mut zones = self.0.lock().expect("no holder panics");
                zones.queries += 1;
                zones.reply(&asked, info.query.query_type())
            };
            let mut records = Vec::new();
            match reply {
                Reply::Silence => return unsent,
                Reply::Code(code) => metadata.response_code = code,
                Reply::Records(data) => {
                    records =
                        data.into_iter().map(|data| Record::from_rdata(name.clone(), TTL, data)).collect();
                }
            }
            let soa = start_of_authority(&name);
            let negative = records.is_empty() && metadata.response_code != ResponseCode::ServFail;
            let authority = negative.then_some(&soa);
            let response = MessageResponseBuilder::from_message_request(request);
            let response = response.build(metadata, &records, None, authority, None);
            responder.send_response(response).await.unwrap_or(unsent)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zones() -> Zones {
        let mut zones = Zones { authority: vec!["service.test".into()], ..Zones::default() };
        zones.a.insert("mail.service.test".into(), vec![Ipv4Addr::LOCALHOST]);
        zones.mx.insert("service.test".into(), vec![(10, "mail.service.test".into())]);
        zones
    }

    #[test]
    fn a_name_without_the_asked_type_exists_all_the_same() {
        let zones = zones();
        assert_eq!(zones.reply("mail.service.test", RecordType::AAAA), Reply::Records(Vec::new()));
        assert_eq!(zones.reply("no.service.test", RecordType::A), Reply::Code(ResponseCode::NXDomain));
        assert_eq!(zones.reply("notservice.test", RecordType::A), Reply::Code(ResponseCode::Refused));
        assert!(matches!(zones.reply("service.test", RecordType::MX), Reply::Records(mx) if mx.len() == 1));
    }

    #[test]
    fn a_fault_covers_the_domain_and_what_is_below_it() {
        let mut zones = zones();
        zones.faults.insert("service.test".into(), DnsFault::Silent);
        assert_eq!(zones.reply("mail.service.test", RecordType::A), Reply::Silence);
        assert_eq!(zones.reply("otherservice.test", RecordType::A), Reply::Code(ResponseCode::Refused));
    }
}
