//! Courier: IMAP with STARTTLS and with TLS from the first byte, over Maildirs. It has no SPECIAL-USE.

use std::process::Command;

use anyhow::Result;

use super::cage::{COURIER, Cage, MAIL};
use super::world::{PASSWORD, Place};
use crate::testbed::command::run;
use crate::testbed::server::Server;

/// Starts it over the Maildir of `place`.
pub(super) fn start(cage: &Cage, place: &Place) -> Result<Server> {
    cage.copy("etc/courier", "etc/courier")?;
    let hash = run(Command::new("/usr/bin/openssl").args(["passwd", "-1", PASSWORD]))?;
    let maildir = place.maildir();
    let user = format!(
        "probe1@{}\tuid={MAIL}|gid={MAIL}|home={}|mail={}|shell=/bin/false|imappw={}\n",
        place.domain,
        place.dir.display(),
        maildir.display(),
        hash.trim()
    );
    cage.write_secret("courier/userdb", &user, 0)?;
    cage.copy("etc/courier", "courier")?;
    // authdaemond reads the file itself, and its last word holds
    let daemon = std::fs::read_to_string(cage.dir.join("courier/authdaemonrc"))?;
    cage.write("courier/authdaemonrc", &(daemon + "\nauthmodulelist=\"authuserdb\"\n"))?;
    let certificate = std::fs::read_to_string(&place.certificate)?;
    cage.write_secret("both.pem", &format!("{certificate}{}", place.key), COURIER)?;
    // without parameters it would make new ones for each connection, which takes seconds
    let mut openssl = Command::new("/usr/bin/openssl");
    openssl.args(["genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "group:ffdhe2048"]);
    cage.write("dh.pem", &run(&mut openssl)?)?;
    for part in ["run/courier", "run/courier/authdaemon"] {
        cage.give(part, COURIER, COURIER)?;
    }
    let tcpd = format!(
        "/usr/sbin/couriertcpd -address={} -maxprocs=40 -maxperip=40 -nodnslookup -noidentlookup",
        place.address
    );
    let imap = "/usr/lib/courier/courier/imaplogin /usr/bin/imapd Maildir";
    cage.start(&format!(
        "mount --bind {etc} /etc/courier
makeuserdb
set -a
. /etc/courier/authdaemonrc
set +a
/usr/lib/courier/courier-authlib/authdaemond &
set -a
. /etc/courier/imapd
. /etc/courier/imapd-ssl
TLS_CERTFILE={both}
TLS_DHPARAMS={dh}
set +a
unset TLS_TRUSTCERTS TLS_CACHEFILE
IMAP_STARTTLS=YES {tcpd} {starttls} {imap} &
IMAP_TLS=1 exec {tcpd} {tls} /usr/bin/couriertls -server -tcpd -user=courier {imap}",
        etc = cage.path("courier"),
        both = cage.path("both.pem"),
        dh = cage.path("dh.pem"),
        starttls = place.imap,
        tls = place.imaps,
    ))
}
