//! Cyrus: IMAP with STARTTLS and with TLS from the first byte, and LMTP on a Unix socket.

use anyhow::Result;

use super::cage::{CYRUS, Cage, MAIL};
use super::world::{PASSWORD, Place};
use crate::testbed::server::Server;

/// Starts it.
pub(super) fn start(cage: &Cage, place: &Place) -> Result<Server> {
    let (domain, address) = (&place.domain, place.address);
    cage.write_secret("key.pem", &place.key, CYRUS)?;
    cage.write("imapd.conf", &imapd_conf(cage, place))?;
    let with = format!("-C {}", cage.path("imapd.conf"));
    let master = format!(
        "START {{
  recover cmd=\"ctl_cyrusdb {with} -r\"
}}
SERVICES {{
  imap cmd=\"imapd {with}\" listen=\"{address}:{imap}\" prefork=1
  imaps cmd=\"imapd -s {with}\" listen=\"{address}:{imaps}\" prefork=1
  lmtp cmd=\"lmtpd -a {with}\" listen=\"{lmtp}\" prefork=1
}}
DAEMON {{
  idled cmd=\"idled {with}\"
}}
",
        imap = place.imap,
        imaps = place.imaps,
        lmtp = place.lmtp().display(),
    );
    cage.write("cyrus.conf", &master)?;
    for part in ["mail", "conf", "conf/db", "conf/log", "conf/lock", "conf/msg", "conf/proc", "conf/socket"] {
        cage.give(part, CYRUS, MAIL)?;
    }
    cage.start(&format!(
        "echo {PASSWORD} | saslpasswd2 -p -c -f {passwords} -u {domain} probe1
chown {CYRUS} {passwords}
exec /usr/lib/cyrus/bin/master {with} -M {master} -D",
        passwords = cage.path("passwords"),
        master = cage.path("cyrus.conf"),
    ))
}

fn imapd_conf(cage: &Cage, place: &Place) -> String {
    let (host, conf, mail) = (&place.host, cage.path("conf"), cage.path("mail"));
    format!(
        "configdirectory: {conf}
defaultpartition: default
partition-default: {mail}
servername: {host}
admins: admin
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: {passwords}
sasl_mech_list: PLAIN LOGIN
allowplaintext: no
tls_server_cert: {certificate}
tls_server_key: {key}
virtdomains: userid
# any but the accounts' own, or they would go by their local parts
defaultdomain: internal.test
unixhierarchysep: yes
altnamespace: yes
autocreate_quota: 0
autocreate_post: 1
autocreate_inbox_folders: Junk
autosubscribe_inbox_folders: Junk
xlist-junk: Junk
specialusealways: yes
autocreate_acl: Junk anyone p
expunge_mode: immediate
lmtp_downcase_rcpt: yes
",
        passwords = cage.path("passwords"),
        certificate = place.certificate.display(),
        key = cage.path("key.pem"),
    )
}
