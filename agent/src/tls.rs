//! TLS towards mail servers: whose certificates are trusted, one handshake, and what it showed.
//!
//! Knows rustls; knows neither SMTP nor IMAP, and sets no deadline (the caller's stage has one).
//! Sessions are never resumed: a probe measures what a stranger meets.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::{fmt, io};

use der::asn1::{GeneralizedTime, UtcTime};
use der::{Decode, Header, Reader, SliceReader, Tag};
use jiff::Timestamp;
use mailsonar_clock::SharedClock;
use mailsonar_protocol::{Class, Stage, Text};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::time_provider::TimeProvider;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, ProtocolVersion, RootCertStore, SignatureScheme,
};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::net::BoxedStream;
use crate::trouble::Trouble;

/// Why there is nothing to trust. For the configuration check: it names the remedy.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The system has no root certificates.
    #[error("no root certificates found on this system ({0}); install ca-certificates or name a CA file")]
    NoSystemRoots(String),
    /// The CA file cannot be read as PEM.
    #[error("CA file {0}: {1}; it must hold certificates in PEM")]
    CaFile(PathBuf, String),
    /// A certificate cannot serve as a root.
    #[error("a root certificate cannot be used: {0}")]
    Roots(String),
}

/// How a certificate that cannot be verified is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// The handshake fails.
    Verified,
    /// The handshake goes on, as between MX hosts (RFC 7435), and the report says what was wrong.
    Opportunistic,
}

/// Whose certificates are trusted. Built once per endpoint; cloning is cheap.
#[derive(Debug, Clone)]
pub struct Trust {
    clock: CivilTime,
    verifier: Arc<WebPkiServerVerifier>,
    strict: Arc<ClientConfig>,
    lenient: Arc<ClientConfig>,
}

/// What a handshake showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsReport {
    /// Such as `TLS 1.3 AES_256_GCM_SHA384`.
    pub version_and_cipher: Text,
    /// When the server's own certificate ends, where it can be read.
    pub certificate_expires_at: Option<Timestamp>,
    /// Always `Ok` under [`Policy::Verified`].
    pub verified: Result<(), Trouble>,
}

impl Trust {
    /// The system's root certificates, loaded at the first use in this process.
    pub fn system(clock: SharedClock) -> Result<Self, TrustError> {
        Self::from_roots(system_roots()?.clone(), clock)
    }

    /// The system's root certificates and those of a PEM file.
    pub fn system_and(ca_file: &Path, clock: SharedClock) -> Result<Self, TrustError> {
        // A host without roots of its own may live by the file alone.
        let mut roots = system_roots().cloned().unwrap_or_else(|_| RootCertStore::empty());
        let problem = |error: &dyn Display| TrustError::CaFile(ca_file.to_owned(), error.to_string());
        let certificates = CertificateDer::pem_file_iter(ca_file).map_err(|error| problem(&error))?;
        let before = roots.len();
        for certificate in certificates {
            let certificate = certificate.map_err(|error| problem(&error))?;
            roots.add(certificate).map_err(|error| problem(&error))?;
        }
        if roots.len() == before {
            return Err(problem(&"there is no certificate in it"));
        }
        Self::from_roots(roots, clock)
    }

    /// These root certificates and no others.
    pub fn only(
        roots: impl IntoIterator<Item = CertificateDer<'static>>,
        clock: SharedClock,
    ) -> Result<Self, TrustError> {
        let mut store = RootCertStore::empty();
        for root in roots {
            store.add(root).map_err(|error| TrustError::Roots(error.to_string()))?;
        }
        Self::from_roots(store, clock)
    }

    fn from_roots(roots: RootCertStore, clock: SharedClock) -> Result<Self, TrustError> {
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .build()
            .map_err(|error| TrustError::Roots(error.to_string()))?;
        let clock = CivilTime(clock);
        let strict = client_config(&provider, &clock, verifier.clone())?;
        let lenient = client_config(&provider, &clock, Arc::new(AcceptAny(verifier.clone())))?;
        Ok(Self { clock, verifier, strict, lenient })
    }

    fn config(&self, policy: Policy) -> &Arc<ClientConfig> {
        match policy {
            Policy::Verified => &self.strict,
            Policy::Opportunistic => &self.lenient,
        }
    }

    fn judge(&self, chain: &[CertificateDer<'_>], name: &ServerName<'_>) -> Result<(), rustls::Error> {
        let (leaf, intermediates) = chain.split_first().ok_or(rustls::Error::NoCertificatesPresented)?;
        let now = self.clock.current_time().ok_or(rustls::Error::FailedToGetCurrentTime)?;
        self.verifier.verify_server_cert(leaf, intermediates, name, &[], now).map(|_| ())
    }
}

fn system_roots() -> Result<&'static RootCertStore, TrustError> {
    static ROOTS: OnceLock<Result<RootCertStore, String>> = OnceLock::new();
    let roots = ROOTS.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        // Systems carry a few roots that webpki cannot read; the others still serve.
        let (usable, _) = roots.add_parsable_certificates(found.certs);
        match found.errors.first() {
            _ if usable > 0 => Ok(roots),
            Some(error) => Err(error.to_string()),
            None => Err("the store is empty".to_owned()),
        }
    });
    roots.as_ref().map_err(|reason| TrustError::NoSystemRoots(reason.clone()))
}

fn client_config(
    provider: &Arc<CryptoProvider>,
    clock: &CivilTime,
    verifier: Arc<dyn ServerCertVerifier>,
) -> Result<Arc<ClientConfig>, TrustError> {
    let mut config = ClientConfig::builder_with_details(provider.clone(), Arc::new(clock.clone()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| TrustError::Roots(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Certificates carry civil dates, so they are read against the civil time.
#[derive(Clone)]
struct CivilTime(SharedClock);

impl fmt::Debug for CivilTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CivilTime")
    }
}

impl TimeProvider for CivilTime {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.civil().as_second()).ok()?;
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds)))
    }
}

/// Takes every certificate, but still asks for proof that the server holds its key: without it, the
/// verdict that is reached on the certificate afterwards would say nothing about the server.
#[derive(Debug)]
struct AcceptAny(Arc<WebPkiServerVerifier>);

impl AcceptAny {
    fn tolerate(
        certificate: &CertificateDer<'_>,
        proof: Result<HandshakeSignatureValid, rustls::Error>,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        match proof {
            // A certificate that cannot even be read (X.509 v1) will not be called verified either.
            Err(_) if ParsedCertificate::try_from(certificate).is_err() => {
                Ok(HandshakeSignatureValid::assertion())
            }
            proof => proof,
        }
    }
}

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Self::tolerate(certificate, self.0.verify_tls12_signature(message, certificate, signed))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Self::tolerate(certificate, self.0.verify_tls13_signature(message, certificate, signed))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Shakes hands. `host` is the name the certificate must carry, and the SNI; a literal address is one.
///
/// # Errors
/// [`Trouble`] in the stage `tls`, of class `tls` with the detail `certificate_expired`,
/// `certificate_not_yet_valid`, `wrong_name`, `unknown_issuer`, `certificate_invalid` or `handshake`;
/// of class `closed` where the connection ended; of class `own` where `host` is not a name.
pub async fn handshake(
    stream: BoxedStream,
    host: &str,
    trust: &Trust,
    policy: Policy,
) -> Result<(BoxedStream, TlsReport), Trouble> {
    let name = ServerName::try_from(host.trim_end_matches('.').to_owned()).map_err(|_| {
        Trouble::new(Stage::Tls, Class::Own, "bad_name", format!("{host:?} is not a host name"))
    })?;
    let connector = TlsConnector::from(trust.config(policy).clone());
    let stream = Box::pin(connector.connect(name.clone(), stream))
        .await
        .map_err(|error| from_handshake(host, &error))?;
    let report = report(&stream, host, trust, &name);
    Ok((Box::new(stream), report))
}

fn report(stream: &TlsStream<BoxedStream>, host: &str, trust: &Trust, name: &ServerName<'_>) -> TlsReport {
    let session = stream.get_ref().1;
    let version = match session.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
        _ => "TLS",
    };
    let suite = session.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or("");
    let cipher = suite.trim_start_matches("TLS13_").trim_start_matches("TLS_");
    let chain = session.peer_certificates().unwrap_or_default();
    TlsReport {
        version_and_cipher: format!("{version} {cipher}").into(),
        certificate_expires_at: chain.first().and_then(|leaf| not_after(leaf)),
        verified: trust.judge(chain, name).map_err(|error| from_rustls(host, &error)),
    }
}

fn from_handshake(host: &str, error: &io::Error) -> Trouble {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(error) => from_rustls(host, error),
        None => Trouble::from_io(Stage::Tls, error),
    }
}

fn from_rustls(host: &str, error: &rustls::Error) -> Trouble {
    let (detail, words) = match error {
        rustls::Error::InvalidCertificate(problem) => from_certificate(host, problem),
        rustls::Error::InvalidMessage(_) => {
            ("handshake", format!("{host} does not answer in TLS on this port ({error})"))
        }
        _ => ("handshake", format!("handshake with {host} failed: {error}")),
    };
    Trouble::new(Stage::Tls, Class::Tls, detail, words)
}

fn from_certificate(host: &str, problem: &CertificateError) -> (&'static str, String) {
    use CertificateError as E;
    match problem {
        E::ExpiredContext { not_after, .. } => {
            ("certificate_expired", format!("certificate for {host} expired on {}", civil(*not_after)))
        }
        E::Expired => ("certificate_expired", format!("certificate for {host} has expired")),
        E::NotValidYetContext { not_before, .. } => {
            let from = civil(*not_before);
            ("certificate_not_yet_valid", format!("certificate for {host} is valid only from {from}"))
        }
        E::NotValidYet => ("certificate_not_yet_valid", format!("certificate for {host} is not valid yet")),
        E::NotValidForNameContext { presented, .. } if !presented.is_empty() => {
            let names = presented.iter().take(8).map(|name| bare(name)).collect::<Vec<_>>().join(", ");
            ("wrong_name", format!("certificate is for {names}; not for {host}"))
        }
        E::NotValidForName | E::NotValidForNameContext { .. } => {
            ("wrong_name", format!("certificate is not for {host}"))
        }
        E::UnknownIssuer => {
            ("unknown_issuer", format!("certificate for {host} is not signed by a trusted root"))
        }
        other => ("certificate_invalid", format!("certificate for {host} is invalid: {other}")),
    }
}

/// webpki gives names as `DnsName("mx.example")` and `IpAddress(192.0.2.1)`.
fn bare(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    inner.trim_matches('"')
}

fn civil(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).map_or_else(|_| format!("second {seconds}"), |time| time.to_string())
}

/// The `notAfter` of a certificate (RFC 5280, section 4.1): a walk along the fields before it. A whole
/// X.509 parser would be a dependency for one date, and would refuse odd certificates that have one.
fn not_after(certificate: &[u8]) -> Option<Timestamp> {
    let mut der = SliceReader::new(certificate).ok()?;
    Header::decode(&mut der).ok()?; // Certificate
    Header::decode(&mut der).ok()?; // TBSCertificate
    if matches!(der.peek_tag().ok()?, Tag::ContextSpecific { .. }) {
        der.tlv_bytes().ok()?; // version
    }
    for _serial_algorithm_issuer in 0..3 {
        der.tlv_bytes().ok()?;
    }
    Header::decode(&mut der).ok()?; // Validity
    der.tlv_bytes().ok()?; // notBefore
    let end = match der.peek_tag().ok()? {
        Tag::UtcTime => UtcTime::decode(&mut der).ok()?.to_unix_duration(),
        _ => GeneralizedTime::decode(&mut der).ok()?.to_unix_duration(),
    };
    Timestamp::from_second(i64::try_from(end.as_secs()).ok()?).ok()
}
