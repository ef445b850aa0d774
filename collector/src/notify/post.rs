//! The seam to the network: one POST, one reply. A simulation puts its own [`Post`] here.
//!
//! The real one never follows a redirect, uses no proxy from the environment, and never connects to
//! a link-local address: cloud metadata services live there, and a page belongs elsewhere.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use mailsonar_protocol::Text;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use serde::Deserialize;

/// How something is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// POST, with a body.
    Post,
    /// GET.
    Get,
}

/// What is posted. URL, headers and body may hold secrets, so none of them shows in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct PostRequest {
    /// How.
    pub method: Method,
    /// Where to.
    pub url: String,
    /// Header names and values.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl PostRequest {
    /// A POST.
    pub fn post(url: String, headers: Vec<(&'static str, String)>, body: Vec<u8>) -> Self {
        Self { method: Method::Post, url, headers, body }
    }

    /// A GET.
    pub fn get(url: String) -> Self {
        Self { method: Method::Get, url, headers: Vec::new(), body: Vec::new() }
    }
}

impl std::fmt::Debug for PostRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostRequest").field("method", &self.method).finish_non_exhaustive()
    }
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostReply {
    /// The HTTP status.
    pub status: u16,
    /// What `Retry-After` says, if it is in seconds.
    pub retry_after: Option<Duration>,
    /// The beginning of the body.
    pub words: Text,
}

/// Nothing came back: words for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PostError(pub String);

/// Something that can post. Deadlines are the caller's business.
pub trait Post: Send + Sync {
    /// Posts once.
    fn post(&self, request: PostRequest) -> BoxFuture<'_, Result<PostReply, PostError>>;
}

/// [`Post`] by HTTP.
#[derive(Debug, Clone)]
pub struct HttpPost {
    client: reqwest::Client,
}

impl HttpPost {
    /// A client that trusts the machine's certificate authorities.
    pub fn new() -> Result<Self, PostError> {
        Ok(Self { client: http_client()? })
    }

    async fn send(&self, request: PostRequest) -> Result<PostReply, PostError> {
        let url = reqwest::Url::parse(&request.url).map_err(|error| PostError(error.to_string()))?;
        refuse_link_local(&url)?;
        let mut building = match request.method {
            Method::Post => self.client.post(url).body(request.body),
            Method::Get => self.client.get(url),
        };
        for (name, value) in request.headers {
            building = building.header(name, value);
        }
        let mut response = building.send().await.map_err(|error| PostError(chain(&error.without_url())))?;
        let status = response.status().as_u16();
        let header = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let retry_after = header.and_then(|value| value.trim().parse().ok()).map(Duration::from_secs);
        let mut words = Vec::new();
        while words.len() < Text::MAX {
            match response.chunk().await {
                Ok(Some(chunk)) => words.extend_from_slice(&chunk),
                Ok(None) | Err(_) => break,
            }
        }
        Ok(PostReply { status, retry_after, words: Text::from_bytes(&words) })
    }
}

/// A client that trusts the machine's certificate authorities, follows no redirect, uses no proxy, and
/// connects to no link-local address.
pub fn http_client() -> Result<reqwest::Client, PostError> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| PostError(format!("TLS cannot be set up: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .dns_resolver(Arc::new(NoLinkLocal))
        .user_agent(concat!("mailsonar-collector/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| PostError(format!("the HTTP client cannot be set up: {error}")))
}

impl Post for HttpPost {
    fn post(&self, request: PostRequest) -> BoxFuture<'_, Result<PostReply, PostError>> {
        Box::pin(self.send(request))
    }
}

/// The system's resolver, without link-local answers.
struct NoLinkLocal;

impl Resolve for NoLinkLocal {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let all: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let kept: Vec<SocketAddr> =
                all.iter().copied().filter(|address| !is_link_local(address.ip())).collect();
            if kept.is_empty() && !all.is_empty() {
                return Err(format!("{} is a link-local address, which is refused", name.as_str()).into());
            }
            let kept: Addrs = Box::new(kept.into_iter());
            Ok(kept)
        })
    }
}

/// Refuses a URL whose host is written as a link-local address.
pub(super) fn refuse_link_local(url: &reqwest::Url) -> Result<(), PostError> {
    let host = url.host_str().unwrap_or("").trim_matches(['[', ']']);
    match host.parse::<IpAddr>() {
        Ok(address) if is_link_local(address) => {
            Err(PostError(format!("{address} is a link-local address, which is refused")))
        }
        _ => Ok(()),
    }
}

/// `169.254/16`, `fe80::/10`, and the former written as the latter's kind.
fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => {
            let compatible = address.segments()[..6] == [0; 6] && address != Ipv6Addr::LOCALHOST;
            let embedded = address.to_ipv4_mapped().or_else(|| address.to_ipv4().filter(|_| compatible));
            embedded.is_some_and(|address| address.is_link_local())
                || (address.segments()[0] & 0xffc0) == 0xfe80
        }
    }
}

/// An error and what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        words = format!("{words}: {error}");
        source = error.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_local_is_seen_in_every_spelling() {
        for address in ["169.254.169.254", "fe80::1", "febf::1", "::ffff:169.254.1.1", "::169.254.1.1"] {
            assert!(is_link_local(address.parse().expect("an address")), "{address}");
        }
        for address in ["127.0.0.1", "::1", "10.0.0.1", "fd00::1", "2001:db8::1", "::ffff:10.0.0.1"] {
            assert!(!is_link_local(address.parse().expect("an address")), "{address}");
        }
        for url in
            ["http://169.254.169.254/x", "http://[fe80::1]/", "http://2852039166/", "http://0xa9fea9fe/"]
        {
            let url = reqwest::Url::parse(url).expect("a URL");
            assert!(refuse_link_local(&url).is_err(), "{url}");
        }
    }
}
