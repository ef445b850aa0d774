//! Where everything of one provider lies: names, addresses, ports, files. No behaviour.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

/// The system users that the servers switch to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Users {
    pub(super) postfix: u32,
    pub(super) mail: (u32, u32),
    /// The group that may read the passwords.
    pub(super) dovecot_group: u32,
}

impl Users {
    /// Looks them up in `/etc/passwd`.
    pub(super) fn find() -> Result<Self> {
        Ok(Self {
            postfix: ids("postfix", "postfix")?.0,
            mail: ids("mail", "base-passwd")?,
            dovecot_group: ids("dovecot", "dovecot-core")?.1,
        })
    }
}

/// A system user's id and group, or the Debian package that brings it.
pub(super) fn ids(user: &str, package: &str) -> Result<(u32, u32)> {
    let passwd = fs::read_to_string("/etc/passwd").context("read /etc/passwd")?;
    let mut entries = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let entry = entries.find(|fields| fields.first() == Some(&user));
    entry.and_then(|fields| Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))).with_context(
        || format!("no user {user:?} in /etc/passwd: install it with `apt-get install {package}`"),
    )
}

/// One provider's place in the world.
#[derive(Debug)]
pub(super) struct Layout {
    /// Short: Unix socket paths below it hold 107 bytes at most.
    pub(super) dir: PathBuf,
    pub(super) name: &'static str,
    pub(super) domain: String,
    pub(super) host: String,
    pub(super) address: Ipv4Addr,
    pub(super) other_domain: String,
    pub(super) other_address: Ipv4Addr,
    pub(super) mx: SocketAddr,
    pub(super) submission: SocketAddr,
    pub(super) smtps: SocketAddr,
    pub(super) imap: SocketAddr,
    pub(super) imaps: SocketAddr,
    /// Where postgrey listens, and how long it puts a stranger off.
    pub(super) greylist: Option<(SocketAddr, Duration)>,
    /// Where opendkim listens.
    pub(super) milter: Option<SocketAddr>,
    pub(super) users: Users,
    /// The local parts of the accounts.
    pub(super) accounts: Vec<String>,
}

impl Layout {
    pub(super) fn addresses(&self) -> impl Iterator<Item = String> {
        self.accounts.iter().map(|user| format!("{user}@{}", self.domain))
    }

    pub(super) fn queue(&self) -> PathBuf {
        self.dir.join("queue")
    }

    pub(super) fn mailboxes(&self) -> PathBuf {
        self.dir.join("mailboxes")
    }

    /// Dovecot's sockets.
    pub(super) fn run(&self) -> PathBuf {
        self.dir.join("run")
    }

    pub(super) fn lmtp(&self) -> PathBuf {
        self.run().join("lmtp")
    }

    pub(super) fn gate(&self) -> PathBuf {
        self.dir.join("gate")
    }

    pub(super) fn mail(&self) -> PathBuf {
        self.dir.join("mail")
    }

    pub(super) fn certificate(&self) -> PathBuf {
        self.dir.join("server.pem")
    }

    pub(super) fn key(&self) -> PathBuf {
        self.dir.join("server.key")
    }

    /// What Postfix changes in bodies.
    pub(super) fn body_checks(&self) -> PathBuf {
        self.dir.join("body_checks")
    }

    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}
