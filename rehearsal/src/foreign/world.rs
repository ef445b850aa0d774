//! A world of one server that takes mail and one that keeps it, with DNS for their domain.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::cage::{Cage, MAIL};
use super::{courier, cyrus, exim, opensmtpd};
use crate::testbed::dns::Dns;
use crate::testbed::ports;
use crate::testbed::server::Server;
use crate::testbed::tls::Authority;

/// The password of the one account, `probe1@DOMAIN`.
pub(super) const PASSWORD: &str = "secret-of-probe1";

/// What takes mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taker {
    /// Exim.
    Exim,
    /// `OpenSMTPD`.
    OpenSmtpd,
}

/// What keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeper {
    /// Cyrus IMAP.
    Cyrus,
    /// Courier IMAP.
    Courier,
}

/// Where everything is.
#[derive(Debug)]
pub struct Place {
    /// The mail domain.
    pub domain: String,
    /// The host name, for all servers.
    pub host: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// The MX port.
    pub mx: u16,
    /// Submission with STARTTLS.
    pub submission: u16,
    /// Submission with TLS from the first byte.
    pub smtps: u16,
    /// IMAP with STARTTLS.
    pub imap: u16,
    /// IMAP with TLS from the first byte.
    pub imaps: u16,
    /// The CA of the servers' certificate, PEM.
    pub ca: PathBuf,
    /// The directory of the mailboxes.
    pub(super) dir: PathBuf,
    pub(super) certificate: PathBuf,
    pub(super) key: String,
    keeper: Keeper,
}

impl Place {
    pub(super) fn maildir(&self) -> PathBuf {
        self.dir.join("Maildir")
    }

    /// Short: the path of a Unix socket holds 107 bytes.
    pub(super) fn lmtp(&self) -> PathBuf {
        self.dir.join("lmtp")
    }

    /// Exim's transports `mailbox` and `junk`.
    pub(super) fn exim_delivery(&self) -> String {
        let transport = |name: &str, maildir: &Path| match self.keeper {
            Keeper::Courier => format!(
                "{name}:\n  driver = appendfile\n  directory = {}\n  maildir_format\n  user = mail\n  group = mail\n",
                maildir.display()
            ),
            Keeper::Cyrus => {
                format!(
                    "{name}:\n  driver = lmtp\n  socket = {}\n  rcpt_include_affixes\n",
                    self.lmtp().display()
                )
            }
        };
        transport("mailbox", &self.maildir()) + &transport("junk", &self.maildir().join(".Junk"))
    }

    /// What follows `OpenSMTPD`'s `action "deliver"`.
    pub(super) fn opensmtpd_delivery(&self) -> String {
        match self.keeper {
            Keeper::Courier => format!("maildir \"{}\"", self.maildir().display()),
            Keeper::Cyrus => format!("lmtp \"{}\" rcpt-to", self.lmtp().display()),
        }
    }
}

/// Two servers and their DNS. All ends when it is dropped.
#[derive(Debug)]
pub struct World {
    /// Where everything is.
    pub place: Place,
    dns: Dns,
    _taker: Server,
    _keeper: Server,
    // last, since fields are dropped in order: the servers end before their files
    _dir: TempDir,
}

impl World {
    /// Brings it up.
    pub fn start(taker: Taker, keeper: Keeper) -> Result<Self> {
        let dir =
            tempfile::Builder::new().prefix("ms-").tempdir_in("/tmp").context("make a directory in /tmp")?;
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755))?;
        let [address, _, names] = ports::addresses();
        let dns = Dns::start(names)?;
        let place = lay_out(dir.path(), address, keeper)?;
        dns.add_zone(&place.domain);
        dns.set_mx(&place.domain, &[(10, &place.host)]);
        dns.set_a(&place.host, &[place.address]);
        let at = |port| SocketAddr::from((place.address, port));
        let keeper = match keeper {
            Keeper::Cyrus => cyrus::start(&Cage::new("cyrus", dir.path())?, &place)?,
            Keeper::Courier => courier::start(&Cage::new("courier", dir.path())?, &place)?,
        };
        keeper.wait_until_it_greets(&[at(place.imap)])?;
        let taker = match taker {
            Taker::Exim => exim::start(&Cage::new("exim", dir.path())?, &place)?,
            Taker::OpenSmtpd => opensmtpd::start(&Cage::new("opensmtpd", dir.path())?, &place)?,
        };
        taker.wait_until_it_greets(&[at(place.mx), at(place.submission)])?;
        Ok(Self { place, dns, _taker: taker, _keeper: keeper, _dir: dir })
    }

    /// The name server for its domain.
    pub fn dns(&self) -> SocketAddr {
        self.dns.address()
    }

    /// The one account's password.
    pub fn password(&self) -> &'static str {
        PASSWORD
    }
}

fn lay_out(dir: &Path, address: Ipv4Addr, keeper: Keeper) -> Result<Place> {
    let [mx, submission, smtps, imap, imaps] = ports::free::<5>(address)?;
    let (domain, host) = ("foreign.test".to_owned(), "mail.foreign.test".to_owned());
    let authority = Authority::new()?;
    let identity = authority.rsa_identity(std::slice::from_ref(&host))?;
    let mail = dir.join("m");
    let maildir = mail.join("Maildir");
    for folder in [maildir.clone(), maildir.join(".Junk")] {
        for part in ["cur", "new", "tmp"] {
            fs::create_dir_all(folder.join(part))?;
            chown(folder.join(part), Some(MAIL), Some(MAIL))?;
        }
        chown(&folder, Some(MAIL), Some(MAIL))?;
    }
    fs::write(maildir.join(".Junk/maildirfolder"), "")?;
    fs::set_permissions(&mail, Permissions::from_mode(0o777))?;
    let (ca, certificate) = (dir.join("ca.pem"), dir.join("server.pem"));
    fs::write(&ca, authority.pem())?;
    fs::write(&certificate, &identity.good)?;
    let key = identity.key;
    Ok(Place {
        domain,
        host,
        address,
        mx,
        submission,
        smtps,
        imap,
        imaps,
        ca,
        dir: mail,
        certificate,
        key,
        keeper,
    })
}
