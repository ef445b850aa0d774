//! A certificate authority made on the spot, and certificates good and bad.

use std::process::Command;

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

use super::command::run;

/// The name in the certificate that is made out to somebody else.
pub const WRONG_NAME: &str = "mail.somebody-else.test";

/// The authority that clients of the testbed trust.
#[derive(Debug)]
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// One server's key with three certificates for it, all PEM.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) key: String,
    pub(crate) good: String,
    pub(crate) expired: String,
    pub(crate) wrong_name: String,
}

impl Authority {
    pub(crate) fn new() -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Testbed CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)? })
    }

    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Certificates for a server that goes by `names`; the first is its common name.
    pub(crate) fn identity(&self, names: &[String]) -> Result<Identity> {
        self.identity_of(&KeyPair::generate()?, names)
    }

    /// As [`Self::identity`], with an RSA key: there are servers that can use no other.
    pub(crate) fn rsa_identity(&self, names: &[String]) -> Result<Identity> {
        let mut openssl = Command::new("/usr/bin/openssl");
        openssl.args(["genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]);
        self.identity_of(&KeyPair::from_pem(&run(&mut openssl)?)?, names)
    }

    fn identity_of(&self, key: &KeyPair, names: &[String]) -> Result<Identity> {
        let certificate =
            |params: CertificateParams| -> Result<String> { Ok(params.signed_by(key, &self.issuer)?.pem()) };
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
