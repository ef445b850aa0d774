//! `OpenSMTPD`: submission with STARTTLS and with TLS from the first byte, and an MX.

use std::process::Command;

use anyhow::Result;

use super::cage::Cage;
use super::world::{PASSWORD, Place};
use crate::testbed::command::run;
use crate::testbed::server::Server;

/// Starts it; what it takes goes to the mailboxes of `place`.
pub(super) fn start(cage: &Cage, place: &Place) -> Result<Server> {
    let (domain, host, address) = (&place.domain, &place.host, place.address);
    let hash = run(Command::new("/usr/bin/openssl").args(["passwd", "-6", PASSWORD]))?;
    cage.write("credentials", &format!("probe1@{domain} {}\n", hash.trim()))?;
    cage.write_secret("key.pem", &place.key, 0)?;
    let deliver = place.opensmtpd_delivery();
    let text = format!(
        r#"pki mail cert "{certificate}"
pki mail key "{key}"
table credentials file:{credentials}
table mailboxes {{ "probe1@{domain}" = "mail" }}
listen on {address} port {mx} tls pki mail hostname {host}
listen on {address} port {submission} tls-require pki mail auth <credentials> hostname {host}
listen on {address} port {smtps} smtps pki mail auth <credentials> hostname {host}
action "deliver" {deliver} virtual <mailboxes>
match from any for domain "{domain}" action "deliver"
"#,
        certificate = place.certificate.display(),
        key = cage.path("key.pem"),
        credentials = cage.path("credentials"),
        mx = place.mx,
        submission = place.submission,
        smtps = place.smtps,
    );
    cage.write("smtpd.conf", &text)?;
    cage.give("lib/opensmtpd/empty", 0, 0)?;
    cage.give("spool", 0, 0)?;
    cage.start(&format!("exec /usr/sbin/smtpd -d -f {}", cage.path("smtpd.conf")))
}
