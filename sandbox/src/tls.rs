//! A certificate authority made on the spot, and each host's certificates, good and bad.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};

use crate::Error;

/// How long a good certificate is valid from the sandbox's start, in days.
const VALID_DAYS: i64 = 90;

/// A certificate authority with its key.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) certificate_pem: String,
}

/// One host's TLS configurations.
#[derive(Debug)]
pub(crate) struct HostTls {
    pub(crate) good: Arc<ServerConfig>,
    pub(crate) expired: Arc<ServerConfig>,
    pub(crate) wrong_name: Arc<ServerConfig>,
    pub(crate) untrusted: Arc<ServerConfig>,
}

impl Authority {
    pub(crate) fn new(name: &str, now: Timestamp) -> Result<Self, Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        limit(&mut params, day(now, -1), day(now, 10 * VALID_DAYS));
        let certificate_pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), certificate_pem })
    }
}

impl HostTls {
    /// Certificates for a host known by these names.
    pub(crate) fn new(
        names: &[String],
        authority: &Authority,
        stranger: &Authority,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let key = KeyPair::generate()?;
        let valid = (day(now, -1), day(now, VALID_DAYS));
        let config = |names: &[String], by, (from, until)| server_config(&key, names, by, from, until);
        Ok(Self {
            good: config(names, authority, valid)?,
            expired: config(names, authority, (day(now, -VALID_DAYS), day(now, -1)))?,
            wrong_name: config(&["wrong.invalid".to_owned()], authority, valid)?,
            untrusted: config(names, stranger, valid)?,
        })
    }
}

fn server_config(
    key: &KeyPair,
    names: &[String],
    authority: &Authority,
    from: Date,
    until: Date,
) -> Result<Arc<ServerConfig>, Error> {
    let mut params = CertificateParams::new(names.to_vec())?;
    params.distinguished_name.push(DnType::CommonName, names.first().map_or("", String::as_str));
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    limit(&mut params, from, until);
    let certificate: CertificateDer<'static> = params.signed_by(key, &authority.issuer)?.der().clone();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    Ok(Arc::new(config))
}

fn day(now: Timestamp, days: i64) -> Date {
    let moved = now.saturating_add(SignedDuration::from_hours(24 * days)).unwrap_or(now);
    moved.to_zoned_datetime(TimeZone::UTC).date()
}

fn limit(params: &mut CertificateParams, from: Date, until: Date) {
    let of = |date: Date| {
        date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    params.not_before = of(from);
    params.not_after = of(until);
}
