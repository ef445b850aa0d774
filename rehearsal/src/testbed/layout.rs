//! Where everything of one provider lies: names, addresses, ports, files. No behaviour.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

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
        let passwd = fs::read_to_string("/etc/passwd").context("read /etc/passwd")?;
        let ids = |user: &str, package: &str| -> Result<(u32, u32)> {
            let entry = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
            entry
                .filter(|fields| fields.first() == Some(&user))
                .find_map(|fields| Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?)))
                .with_context(|| {
                    format!("no user {user:?} in /etc/passwd: install it with `apt-get install {package}`")
                })
        };
        Ok(Self {
            postfix: ids("postfix", "postfix")?.0,
            mail: ids("mail", "base-passwd")?,
            dovecot_group: ids("dovecot", "dovecot-core")?.1,
        })
    }
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

    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}
