//! What can go wrong at a sandbox's start. Afterwards, only what the rules want goes wrong.

use std::io;

/// Why a sandbox did not start, or did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A port cannot be had.
    #[error(
        "cannot listen on port {port} of the sandbox's addresses: {source}; choose another, or 0 for a free one"
    )]
    Bind {
        /// The port; 0 if any would have done.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// A certificate cannot be made, most likely for a host name that is none.
    #[error("cannot make a certificate: {0}; check the host names")]
    Certificate(#[from] rcgen::Error),
    /// TLS does not take what was made.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The last octet of an address does not suffice.
    #[error("a sandbox holds at most 254 hosts; configure fewer")]
    TooManyHosts,
    /// No provider has this domain, or no host of it stands in this site, or it has no such account.
    #[error("the sandbox has no {what} named {name:?}; see its configuration")]
    Unknown {
        /// What was looked for.
        what: &'static str,
        /// Under which name.
        name: String,
    },
}
