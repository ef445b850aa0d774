//! The zones of all providers, and the name server that answers for them (UDP and TCP).
//!
//! Lookups are pure: a question and the state of the world in, records out. The server around them
//! is hickory's.

use std::{
    net::{Ipv4Addr, SocketAddr},
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use hickory_server::{
    net::{NetError, runtime::Time, xfer::Protocol},
    proto::{
        op::{Header, HeaderCounts, Metadata, ResponseCode},
        rr::{Name, RData, Record, RecordType, rdata},
        serialize::binary::BinEncoder,
    },
    server::{Request, RequestHandler, ResponseHandler, ResponseInfo},
    zone_handler::{MessageResponse, MessageResponseBuilder},
};

use crate::{
    config::{ProviderConfig, Role},
    fault::{Fault, Service, Stage},
    faults::Place,
    world::{Host, Provider, SharedWorld},
};

/// How long an answer may be kept, in seconds: short, so that a failover shows.
const TTL: u32 = 5;
/// How far behind the site in use a failover puts all others.
const BEHIND: u16 = 1_000;
/// What a stale MX record names, and where that host no longer is.
const STALE: (&str, Ipv4Addr) = ("old-mx", Ipv4Addr::new(127, 255, 255, 1));

/// What a sending host learns from DNS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer<T> {
    Found(T),
    /// There is no such thing.
    Never,
    /// No answer, for now.
    NotNow,
}

/// A reply, before it is bytes.
#[derive(Debug, Clone, Default, PartialEq)]
struct Reply {
    code: ResponseCode,
    answers: Vec<Record>,
    /// The SOA record, where there is no answer (RFC 2308).
    soa: Vec<Record>,
}

/// The MX hosts of a domain, best first, as our own queues see them.
pub(crate) fn exchangers(world: &SharedWorld, domain: &str) -> Answer<Vec<usize>> {
    let Some(index) = world.provider_for(domain) else { return Answer::Never };
    match fault(world, &world.providers[index], world.number()) {
        Some(Fault::NxDomain) => return Answer::Never,
        Some(Fault::ServFail | Fault::Silence) => return Answer::NotNow,
        Some(Fault::StaleMx) => return Answer::Found(Vec::new()),
        _ => {}
    }
    let mut found: Vec<(u16, usize)> = world
        .hosts
        .iter()
        .enumerate()
        .filter(|(_, host)| host.provider == index)
        .filter_map(|(at, host)| match host.config.role {
            Role::Mx { preference } => Some((preferred(&world.providers[index], host, preference), at)),
            _ => None,
        })
        .collect();
    found.sort_unstable();
    Answer::Found(found.into_iter().map(|(_, at)| at).collect())
}

/// The preference of an MX host now: after a failover, the site in use comes before all others.
fn preferred(provider: &Provider, host: &Host, preference: u16) -> u16 {
    let active = provider.site_in_use();
    let usual = provider.config.hosts.first().is_none_or(|first| first.site == active);
    if usual || host.config.site == active { preference } else { preference.saturating_add(BEHIND) }
}

/// What the rules have for questions about this provider.
fn fault(world: &SharedWorld, provider: &Provider, key: u64) -> Option<Fault> {
    let domain = &provider.config.domain;
    let place = Place { provider: domain, site: "", host: "", service: Service::Dns, account: None, key };
    world.faults.find(&place, Stage::Dns, |fault| Some(fault.clone()))
}

/// The reply to a question, or none at all.
fn lookup(world: &SharedWorld, name: &Name, kind: RecordType) -> Option<Reply> {
    let text = name.to_ascii().trim_end_matches('.').to_ascii_lowercase();
    let Some(provider) = owner(&world.providers, &text) else {
        return Some(Reply { code: ResponseCode::Refused, ..Reply::default() });
    };
    let fault = fault(world, provider, world.number());
    match fault {
        Some(Fault::Silence) => return None,
        Some(Fault::ServFail) => return Some(Reply { code: ResponseCode::ServFail, ..Reply::default() }),
        _ => {}
    }
    let stale = fault == Some(Fault::StaleMx);
    let all = if fault == Some(Fault::NxDomain) { Vec::new() } else { zone(world, provider, stale) };
    let exists = all.iter().any(|(owner, _)| *owner == text || owner.ends_with(&format!(".{text}")));
    let answers: Vec<Record> = all
        .into_iter()
        .filter(|(owner, data)| *owner == text && (data.record_type() == kind || kind == RecordType::ANY))
        .map(|(_, data)| Record::from_rdata(name.clone(), TTL, data))
        .collect();
    let soa =
        if answers.is_empty() { soa(&provider.config.domain).into_iter().collect() } else { Vec::new() };
    let code = if exists { ResponseCode::NoError } else { ResponseCode::NXDomain };
    Some(Reply { code, answers, soa })
}

/// Whose name it is: a service's wherever it is, or one within a provider's domains.
fn owner<'a>(providers: &'a [Provider], name: &str) -> Option<&'a Provider> {
    let is_called = |config: &ProviderConfig| {
        config.submission_names.iter().chain(&config.imap_names).any(|own| own.eq_ignore_ascii_case(name))
    };
    let parents = || name.match_indices('.').map(|(at, _)| &name[at + 1..]);
    let is_within = |config: &ProviderConfig| std::iter::once(name).chain(parents()).any(|n| config.takes(n));
    let called = providers.iter().find(|provider| is_called(&provider.config));
    called.or_else(|| providers.iter().find(|provider| is_within(&provider.config)))
}

/// All records of a provider, under lower-case names without a trailing dot.
fn zone(world: &SharedWorld, provider: &Provider, stale: bool) -> Vec<(String, RData)> {
    let config = &provider.config;
    let domain = config.domain.to_ascii_lowercase();
    let domains = || std::iter::once(&config.domain).chain(&config.domains);
    let mut records = Vec::new();
    if let Some(soa) = soa(&domain) {
        records.push((domain.clone(), soa.data));
    }
    let active = provider.site_in_use();
    let hosts =
        world.hosts.iter().filter(|host| world.providers[host.provider].config.domain == config.domain);
    for host in hosts {
        let address = RData::A(rdata::A(host.address));
        records.push((host.name().to_ascii_lowercase(), address.clone()));
        if let Role::Mx { preference } = host.config.role
            && !stale
        {
            let preference = preferred(provider, host, preference);
            records.extend(domains().filter_map(|domain| mx(domain, preference, host.name())));
        }
        if host.config.site == active {
            let names = config.service_names(host.config.role).into_iter();
            records.extend(names.map(|name| (name.to_ascii_lowercase(), address.clone())));
        }
    }
    if stale {
        let name = format!("{}.{domain}", STALE.0);
        records.extend(domains().filter_map(|domain| mx(domain, 10, &name)));
        records.push((name, RData::A(rdata::A(STALE.1))));
    }
    let policies = [(domain.clone(), "v=spf1 mx -all"), (format!("_dmarc.{domain}"), "v=DMARC1; p=none")];
    records.extend(policies.map(|(name, text)| (name, RData::TXT(rdata::TXT::new(vec![text.to_owned()])))));
    for (name, text) in &config.txt {
        records.push((name.to_ascii_lowercase(), RData::TXT(rdata::TXT::new(vec![text.clone()]))));
    }
    records.extend(config.aaaa.iter().map(|(n, a)| (n.to_ascii_lowercase(), RData::AAAA(rdata::AAAA(*a)))));
    records
}

fn mx(domain: &str, preference: u16, host: &str) -> Option<(String, RData)> {
    let exchange = Name::from_str(&format!("{host}.")).ok()?;
    Some((domain.to_ascii_lowercase(), RData::MX(rdata::MX::new(preference, exchange))))
}

fn soa(domain: &str) -> Option<Record> {
    let name = |text: String| Name::from_str(&text).ok();
    let (primary, contact) = (name(format!("ns.{domain}."))?, name(format!("hostmaster.{domain}."))?);
    let data = RData::SOA(rdata::SOA::new(primary, contact, 1, 3600, 600, 86400, TTL));
    Some(Record::from_rdata(name(format!("{domain}."))?, TTL, data))
}

/// The name server.
pub(crate) struct NameServer(pub SharedWorld);

#[async_trait]
impl RequestHandler for NameServer {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut out: R,
    ) -> ResponseInfo {
        let mut metadata = Metadata::response_from_request(&request.metadata);
        let none = ResponseInfo::from(Header { metadata, counts: HeaderCounts::default() });
        let Ok(info) = request.request_info() else { return none };
        let name = info.query.original().name().clone();
        let Some(reply) = lookup(&self.0, &name, info.query.query_type()) else { return none };
        metadata.authoritative = reply.code != ResponseCode::Refused;
        metadata.response_code = reply.code;
        let builder = MessageResponseBuilder::from_message_request(request);
        let response = builder.build(metadata, &reply.answers, [], &reply.soa, []);
        out.send_response(response).await.unwrap_or(none)
    }
}

/// The reply to a query in wire format, as TCP would carry it without its length; none if the server stays silent.
pub(crate) async fn answer(world: &SharedWorld, query: &[u8], from: SocketAddr) -> Option<Vec<u8>> {
    let request = Request::from_bytes(query.to_vec(), from, Protocol::Tcp).ok()?;
    let capture = Capture::default();
    NameServer(world.clone())
        .handle_request::<_, hickory_server::net::runtime::TokioTime>(&request, capture.clone())
        .await;
    let bytes = std::mem::take(&mut *capture.0.lock().unwrap_or_else(PoisonError::into_inner));
    (!bytes.is_empty()).then_some(bytes)
}

/// Keeps the reply instead of sending it.
#[derive(Debug, Clone, Default)]
struct Capture(Arc<Mutex<Vec<u8>>>);

#[async_trait]
impl ResponseHandler for Capture {
    async fn send_response<'a>(
        &mut self,
        response: MessageResponse<
            '_,
            'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
        >,
    ) -> Result<ResponseInfo, NetError> {
        let mut bytes = Vec::new();
        let info = response.destructive_emit(&mut BinEncoder::new(&mut bytes))?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = bytes;
        Ok(info)
    }
}
