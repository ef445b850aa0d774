//! Exim: submission with STARTTLS and with TLS from the first byte, and an MX.

use anyhow::Result;

use super::cage::{Cage, MAIL};
use super::world::{PASSWORD, Place};
use crate::testbed::server::Server;

/// Starts it; what it takes goes to the mailboxes of `place`.
pub(super) fn start(cage: &Cage, place: &Place) -> Result<Server> {
    let mut text = include_str!("exim.conf.template").to_owned();
    for (name, value) in [
        ("@host@", place.host.clone()),
        ("@domain@", place.domain.clone()),
        ("@address@", place.address.to_string()),
        ("@mx@", place.mx.to_string()),
        ("@submission@", place.submission.to_string()),
        ("@smtps@", place.smtps.to_string()),
        ("@spool@", cage.path("spool/exim")),
        ("@log@", cage.path("log")),
        ("@certificate@", place.certificate.display().to_string()),
        ("@key@", cage.path("key.pem")),
        ("@delivery@", place.exim_delivery()),
        ("@password@", PASSWORD.to_owned()),
    ] {
        text = text.replace(name, &value);
    }
    cage.write("etc/exim4/exim4.conf", &text)?;
    cage.write_secret("key.pem", &place.key, 7_001)?;
    cage.give("spool/exim", 7_001, 7_001)?;
    cage.give("log", 7_001, MAIL)?;
    cage.start("exec /usr/sbin/exim4 -bdf -q1s")
}
