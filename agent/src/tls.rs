//! TLS towards mail servers: whose certificates are trusted, one handshake, and what it showed.
//!
//! Knows rustls; knows neither SMTP nor IMAP, and sets no deadline (the caller's stage has one).
//! Sessions are never resumed: a probe measures what a stranger meets.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::{fmt, io};

use jiff::Timestamp;
use mailsonar_clock::SharedClock;
use mailsonar_protocol::{Class, Stage, Text};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier, verify_server_name};
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

use crate::certificate::{self, Validity};
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
    verifier: Arc<Verifier>,
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
    /// Which certificate it was: fingerprint, issuer, end.
    pub certificate: Option<Text>,
    /// Always `Ok` under [`Policy::Verified`].
    pub verified: Result<(), Trouble>,
}

impl Trust {
    /// The system's root certificates, loaded at the first use in this process.
    pub fn system(clock: SharedClock) -> Result<Self, TrustError> {
        Self::from_roots(system_roots()?.clone(), Vec::new(), clock)
    }

    /// The system's root certificates and those of a PEM file; the latter may be servers' own, too.
    pub fn system_and(ca_file: &Path, clock: SharedClock) -> Result<Self, TrustError> {
        // A host without roots of its own may live by the file alone.
        let mut roots = system_roots().cloned().unwrap_or_else(|_| RootCertStore::empty());
        let problem = |error: &dyn Display| TrustError::CaFile(ca_file.to_owned(), error.to_string());
        let certificates = CertificateDer::pem_file_iter(ca_file).map_err(|error| problem(&error))?;
        let mut pinned = Vec::new();
        for certificate in certificates {
            let certificate = certificate.map_err(|error| problem(&error))?;
            roots.add(certificate.clone()).map_err(|error| problem(&error))?;
            pinned.push(certificate);
        }
        if pinned.is_empty() {
            return Err(problem(&"there is no certificate in it"));
        }
        Self::from_roots(roots, pinned, clock)
    }

    /// These root certificates and no others.
    pub fn only(
        roots: impl IntoIterator<Item = CertificateDer<'static>>,
        clock: SharedClock,
    ) -> Result<Self, TrustError> {
        let mut store = RootCertStore::empty();
        let pinned: Vec<_> = roots.into_iter().collect();
        for root in &pinned {
            store.add(root.clone()).map_err(|error| TrustError::Roots(error.to_string()))?;
        }
        Self::from_roots(store, pinned, clock)
    }

    fn from_roots(
        roots: RootCertStore,
        pinned: Vec<CertificateDer<'static>>,
        clock: SharedClock,
    ) -> Result<Self, TrustError> {
        let provider = Arc::new(ring::default_provider());
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .build()
            .map_err(|error| TrustError::Roots(error.to_string()))?;
        let verifier = Arc::new(Verifier { webpki, pinned });
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

/// webpki's judgement, and one case more: a server's own certificate, given as such, that calls itself an
/// authority. Many that sign themselves do, and webpki takes no authority for a server.
#[derive(Debug)]
struct Verifier {
    webpki: Arc<WebPkiServerVerifier>,
    /// The certificates of the CA file.
    pinned: Vec<CertificateDer<'static>>,
}

impl Verifier {
    /// Whether it is, bit by bit, one of those given, and webpki minds nothing but that it is an authority.
    fn is_pinned(&self, certificate: &CertificateDer<'_>, error: &rustls::Error) -> bool {
        let rustls::Error::InvalidCertificate(CertificateError::Other(other)) = error else { return false };
        format!("{:?}", other.0) == "CaUsedAsEndEntity"
            && self.pinned.iter().any(|known| known == certificate)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let judged = self.webpki.verify_server_cert(certificate, intermediates, name, ocsp_response, now);
        match judged {
            Err(error) if self.is_pinned(certificate, &error) => {
                is_current(certificate, now)?;
                verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            judged => judged,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

/// That is, within its dates.
fn is_current(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), rustls::Error> {
    let seconds = |time: Timestamp| u64::try_from(time.as_second()).unwrap_or(0);
    let Some(Validity { not_before, not_after }) = certificate::validity(certificate) else {
        return Err(CertificateError::BadEncoding.into());
    };
    if now.as_secs() < seconds(not_before) {
        return Err(CertificateError::NotValidYet.into());
    }
    if now.as_secs() > seconds(not_after) { Err(CertificateError::Expired.into()) } else { Ok(()) }
}

/// Takes every certificate, but still asks for proof that the server holds its key: without it, the
/// verdict that is reached on the certificate afterwards would say nothing about the server.
#[derive(Debug)]
struct AcceptAny(Arc<Verifier>);

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
    let report = report(&stream, host, trust, policy, &name);
    Ok((Box::new(stream), report))
}

fn report(
    stream: &TlsStream<BoxedStream>,
    host: &str,
    trust: &Trust,
    policy: Policy,
    name: &ServerName<'_>,
) -> TlsReport {
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
        certificate_expires_at: chain
            .first()
            .and_then(|leaf| certificate::validity(leaf))
            .map(|validity| validity.not_after),
        certificate: chain.first().map(|leaf| certificate::description(leaf)),
        verified: match policy {
            // The handshake itself has judged it.
            Policy::Verified => Ok(()),
            Policy::Opportunistic => trust.judge(chain, name).map_err(|error| from_rustls(host, &error)),
        },
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use der::{Decode, Header, Reader, SliceReader};
    use mailsonar_clock::SystemClock;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, SigningKey, date_time_ymd};
    use rustls::sign::{CertifiedKey, SingleCertAndKey};
    use rustls::{ServerConfig, SupportedProtocolVersion};
    use tokio_rustls::TlsAcceptor;

    use super::*;

    fn parameters(name: &str, until: (i32, u8, u8)) -> CertificateParams {
        let mut parameters = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        parameters.not_after = date_time_ymd(until.0, until.1, until.2);
        parameters
    }

    /// A certificate signed by itself, and a server that shows it.
    fn server(
        parameters: &CertificateParams,
        version: &'static SupportedProtocolVersion,
    ) -> (CertificateDer<'static>, TlsAcceptor) {
        let key = KeyPair::generate().expect("a key");
        let certificate = parameters.self_signed(&key).expect("signed").der().clone();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[version])
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key.into())
            .expect("a certificate");
        (certificate, TlsAcceptor::from(Arc::new(config)))
    }

    /// A server that shows a certificate, be it readable or its own or not.
    fn pretender(certificate: CertificateDer<'static>, key: KeyPair) -> TlsAcceptor {
        let provider = Arc::new(ring::default_provider());
        let key = provider.key_provider.load_private_key(key.into()).expect("a key");
        let shown = SingleCertAndKey::from(CertifiedKey::new(vec![certificate], key));
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(shown));
        TlsAcceptor::from(Arc::new(config))
    }

    /// The same certificate as X.509 v1: no version, no extensions, signed anew.
    fn without_extensions(certificate: &[u8], key: &KeyPair) -> CertificateDer<'static> {
        fn wrapped(tag: u8, content: &[u8]) -> Vec<u8> {
            let length = u16::try_from(content.len()).expect("short").to_be_bytes();
            let length = match length {
                [0, low @ ..0x80] => vec![low],
                [0, low] => vec![0x81, low],
                [high, low] => vec![0x82, high, low],
            };
            [&[tag], length.as_slice(), content].concat()
        }
        let mut der = SliceReader::new(certificate).expect("DER");
        Header::decode(&mut der).expect("Certificate");
        Header::decode(&mut der).expect("TBSCertificate");
        der.tlv_bytes().expect("version");
        let fields: Vec<_> = (0..6).map(|_| der.tlv_bytes().expect("a field")).collect();
        der.tlv_bytes().expect("extensions");
        let algorithm = der.tlv_bytes().expect("algorithm");
        let inner = wrapped(0x30, &fields.concat());
        let signature = wrapped(0x03, &[&[0], key.sign(&inner).expect("signed").as_slice()].concat());
        CertificateDer::from(wrapped(0x30, &[&inner, algorithm, &signature].concat()))
    }

    async fn shake(host: &str, trust: &Trust, acceptor: TlsAcceptor) -> Result<TlsReport, Trouble> {
        shake_by(Policy::Verified, host, trust, acceptor).await
    }

    async fn shake_by(
        policy: Policy,
        host: &str,
        trust: &Trust,
        acceptor: TlsAcceptor,
    ) -> Result<TlsReport, Trouble> {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let (shaken, _) =
            tokio::join!(handshake(Box::new(ours), host, trust, policy), Box::pin(acceptor.accept(theirs)),);
        shaken.map(|(_, report)| report)
    }

    #[tokio::test]
    async fn both_versions_are_spoken_and_named_and_a_pinned_certificate_serves() {
        for (version, words) in
            [(&rustls::version::TLS12, "TLS 1.2 ECDHE_"), (&rustls::version::TLS13, "TLS 1.3 ")]
        {
            for name in ["mx.example", "192.0.2.1", "2001:db8::1"] {
                let (certificate, acceptor) = server(&parameters(name, (2049, 12, 31)), version);
                let trust = Trust::only([certificate], SystemClock::shared()).expect("a root");
                let report = shake(name, &trust, acceptor).await.expect("a handshake");
                assert!(report.version_and_cipher.as_str().starts_with(words), "{report:?}");
                assert_eq!(report.certificate_expires_at, "2049-12-31T00:00:00Z".parse().ok());
            }
        }
    }

    /// One that calls itself an authority, signed by itself.
    fn authority(name: &str, until: (i32, u8, u8)) -> CertificateParams {
        let mut parameters = parameters(name, until);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters
    }

    #[tokio::test]
    async fn an_authority_that_serves_as_a_server_must_be_the_very_certificate_that_was_given() {
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let (certificate, acceptor) = server(&authority("mx.example", (2049, 12, 31)), version);
            let trust = Trust::only([certificate.clone()], SystemClock::shared()).expect("a root");
            let report = shake("mx.example", &trust, acceptor.clone()).await.expect("a handshake");
            assert_eq!(report.certificate, Some(certificate::description(&certificate)));
            let trouble = shake("other.example", &trust, acceptor).await.expect_err("another name");
            assert_eq!(trouble.detail, "wrong_name", "{trouble:?}");

            // Of the same name and issuer, with another key: another server.
            let (_, other) = server(&authority("mx.example", (2049, 12, 31)), version);
            let trouble = shake("mx.example", &trust, other).await.expect_err("refused");
            assert_eq!(trouble.class, Class::Tls);

            let (expired, acceptor) = server(&authority("mx.example", (2020, 1, 1)), version);
            let trust = Trust::only([expired], SystemClock::shared()).expect("a root");
            let trouble = shake("mx.example", &trust, acceptor).await.expect_err("refused");
            assert_eq!(trouble.detail, "certificate_expired", "{trouble:?}");
        }
    }

    #[tokio::test]
    async fn an_authority_that_a_trusted_one_signed_is_no_server_and_is_refused_in_words() {
        let root_key = KeyPair::generate().expect("a key");
        let root = authority("root.example", (2049, 12, 31));
        let root_certificate = root.self_signed(&root_key).expect("signed").der().clone();
        let key = KeyPair::generate().expect("a key");
        let issuer = rcgen::Issuer::new(root, root_key);
        let leaf = authority("mx.example", (2049, 12, 31)).signed_by(&key, &issuer).expect("signed");
        let trust = Trust::only([root_certificate], SystemClock::shared()).expect("a root");
        let acceptor = pretender(leaf.der().clone(), key);
        let trouble = shake("mx.example", &trust, acceptor).await.expect_err("refused");
        assert_eq!((trouble.class, trouble.detail), (Class::Tls, "certificate_invalid"));
        assert!(trouble.words.as_str().starts_with("certificate for mx.example is invalid: "), "{trouble:?}");
    }

    #[tokio::test]
    async fn a_copied_certificate_without_its_key_convinces_nobody() {
        let (certificate, _) = server(&parameters("mx.example", (2049, 12, 31)), &rustls::version::TLS13);
        let trust = Trust::only([certificate.clone()], SystemClock::shared()).expect("a root");
        for policy in [Policy::Verified, Policy::Opportunistic] {
            let other = KeyPair::generate().expect("a key");
            let copied = pretender(certificate.clone(), other);
            let trouble = shake_by(policy, "mx.example", &trust, copied).await.expect_err("refused");
            assert_eq!(trouble.class, Class::Tls, "{policy:?}");
        }
    }

    #[tokio::test]
    async fn a_certificate_too_old_to_be_read_serves_between_mx_hosts_only() {
        let key = KeyPair::generate().expect("a key");
        let modern = parameters("mx.example", (2049, 12, 31)).self_signed(&key).expect("signed");
        let old = without_extensions(modern.der(), &key);
        assert!(ParsedCertificate::try_from(&old).is_err());
        assert!(certificate::validity(&old).is_some());
        let trust = Trust::only([modern.der().clone()], SystemClock::shared()).expect("a root");
        let acceptor = pretender(old, key);
        let trouble = shake("mx.example", &trust, acceptor.clone()).await.expect_err("refused");
        assert_eq!((trouble.class, trouble.detail), (Class::Tls, "certificate_invalid"));
        let report =
            shake_by(Policy::Opportunistic, "mx.example", &trust, acceptor).await.expect("a handshake");
        assert_eq!(report.verified.expect_err("unverified").detail, "certificate_invalid");
    }

    #[tokio::test]
    async fn what_is_no_host_name_is_our_own_mistake() {
        let (certificate, acceptor) =
            server(&parameters("mx.example", (2049, 12, 31)), &rustls::version::TLS13);
        let trust = Trust::only([certificate], SystemClock::shared()).expect("a root");
        for host in ["", "a b", "a\r\nb"] {
            let trouble = shake(host, &trust, acceptor.clone()).await.expect_err("refused");
            assert_eq!((trouble.class, trouble.detail), (Class::Own, "bad_name"));
        }
        shake("mx.example.", &trust, acceptor).await.expect("a trailing dot is only spelling");
    }

    #[test]
    fn a_ca_file_is_read_or_the_reason_given() {
        let (certificate, _) = server(&parameters("mx.example", (2049, 12, 31)), &rustls::version::TLS13);
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        let read = |file: &tempfile::NamedTempFile| Trust::system_and(file.path(), SystemClock::shared());
        let message = read(&file).expect_err("empty").to_string();
        assert!(message.contains("no certificate in it") && message.contains("PEM"), "{message}");
        let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &certificate);
        writeln!(file, "-----BEGIN CERTIFICATE-----\n{encoded}\n-----END CERTIFICATE-----").expect("written");
        read(&file).expect("read");
        let message = Trust::system_and(Path::new("/nonexistent/ca.pem"), SystemClock::shared())
            .expect_err("absent")
            .to_string();
        assert!(message.starts_with("CA file /nonexistent/ca.pem: "), "{message}");
    }
}
