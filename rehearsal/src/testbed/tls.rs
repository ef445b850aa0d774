//! A certificate authority made on the spot, and certificates good and bad.

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

/// The name in the certificate that is made out to somebody else.
pub const WRONG_NAME: &str = "mail.somebody-else.test";

/// The authority that clients of the testbed trust.
#[derive(Debug)]
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// One server's key with three certificates for it, all PEM.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) key: String,
    pub(super) good: String,
    pub(super) expired: String,
    pub(super) wrong_name: String,
}

impl Authority {
    pub(super) fn new() -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Testbed CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)? })
    }

    pub(super) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Certificates for a server that goes by `names`; the first is its common name.
    pub(super) fn identity(&self, names: &[String]) -> Result<Identity> {
        let key = KeyPair::generate()?;
        let certificate =
            |params: CertificateParams| -> Result<String> { Ok(params.signed_by(&key, &self.issuer)?.pem()) };
        let mut expired = leaf(names)?;
        expired.not_before = date_time_ymd(2020, 1, 1);
        expired.not_after = date_time_ymd(2020, 2, 1);
        Ok(Identity {
            good: certificate(leaf(names)?)?,
            expired: certificate(expired)?,
            wrong_name: certificate(leaf(&[WRONG_NAME.to_owned()])?)?,
            key: key.serialize_pem(),
        })
    }
}

fn leaf(names: &[String]) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(names)?;
    if let Some(name) = names.first() {
        params.distinguished_name.push(DnType::CommonName, name.as_str());
    }
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params.not_before = date_time_ymd(2024, 1, 1);
    params.not_after = date_time_ymd(2040, 1, 1);
    Ok(params)
}
