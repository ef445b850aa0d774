//! A certificate for 127.0.0.1 and the authority it comes from: a hostile server can be well trusted.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;

/// A server's TLS, and the file by which clients trust it.
#[derive(Debug, Clone)]
pub struct Certificate {
    config: Arc<ServerConfig>,
    ca: PathBuf,
}

impl Certificate {
    /// Makes both; the authority's certificate is written to `hostile-ca.pem` in `dir`.
    pub fn make(dir: &Path) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Hostile CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let ca = dir.join("hostile-ca.pem");
        fs::write(&ca, issuer.pem()).with_context(|| format!("write {}", ca.display()))?;

        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()])?;
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &issuer)?;
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)?;
        Ok(Self { config: Arc::new(config), ca })
    }

    /// The authority's certificate, PEM.
    pub fn ca(&self) -> &Path {
        &self.ca
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }
}
