//! What stands beside a provider's Postfix where it is asked for: postgrey, which puts strangers off, and
//! opendkim, which signs and checks.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use super::command::{require, run};
use super::layout::{Layout, ids};
use super::server::Server;
use crate::processes::ProcessId;

/// A policy service with an empty memory of its own.
#[derive(Debug)]
pub(super) struct Postgrey {
    server: Server,
    port: SocketAddr,
}

impl Postgrey {
    pub(super) fn start(layout: &Layout, (port, delay): (SocketAddr, Duration)) -> Result<Self> {
        require(Path::new("/usr/sbin/postgrey"), "postgrey")?;
        let memory = layout.dir.join("postgrey");
        fs::create_dir(&memory)?;
        let (user, group) = ids("postgrey", "postgrey")?;
        chown(&memory, Some(user), Some(group))?;
        let mut command = Command::new("/usr/sbin/postgrey");
        command.arg(format!("--inet={port}")).arg(format!("--delay={}", delay.as_secs()));
        command.arg(format!("--dbdir={}", memory.display())).args(["--user=postgrey", "--group=postgrey"]);
        command.args(["--whitelist-clients=/dev/null", "--whitelist-recipients=/dev/null"]);
        Ok(Self { server: Server::start(&mut command, &layout.log("postgrey.log"))?, port })
    }

    pub(super) fn wait_until_up(&self) -> Result<()> {
        self.server.wait_until_it_listens(self.port)
    }

    pub(super) fn processes(&self) -> Vec<ProcessId> {
        self.server.processes()
    }
}

/// The selector of its key.
const SELECTOR: &str = "real";

/// A milter that signs what accounts send, and writes into what comes from outside what it thinks of its
/// signatures.
#[derive(Debug)]
pub(super) struct OpenDkim {
    server: Server,
    port: SocketAddr,
    record: (String, String),
}

impl OpenDkim {
    /// `names` is the name server in which it looks keys up.
    pub(super) fn start(layout: &Layout, port: SocketAddr, names: SocketAddr) -> Result<Self> {
        require(Path::new("/usr/sbin/opendkim"), "opendkim")?;
        let (key, resolver) = (layout.dir.join("dkim.key"), layout.dir.join("unbound.conf"));
        run(Command::new("/usr/bin/openssl").args(["genrsa", "-out"]).arg(&key).arg("2048"))?;
        let public = run(Command::new("/usr/bin/openssl").args(["rsa", "-pubout", "-in"]).arg(&key))?;
        let public: String = public.lines().filter(|line| !line.contains(' ')).collect();
        let record =
            (format!("{SELECTOR}._domainkey.{}", layout.domain), format!("v=DKIM1; k=rsa; p={public}"));
        let forward = format!("{}@{}", names.ip(), names.port());
        fs::write(
            &resolver,
            format!(
                "server:\n  do-not-query-localhost: no\n  local-zone: \"test.\" nodefault\n  domain-insecure: \"test.\"\nforward-zone:\n  name: \".\"\n  forward-addr: {forward}\n"
            ),
        )?;
        let configuration = layout.dir.join("opendkim.conf");
        let text = format!(
            include_str!("opendkim.conf.template"),
            port = port.port(),
            address = port.ip(),
            domain = layout.domain,
            host = layout.host,
            key = key.display(),
            resolver = resolver.display(),
        );
        fs::write(&configuration, text)?;
        let mut command = Command::new("/usr/sbin/opendkim");
        command.arg("-f").arg("-x").arg(&configuration);
        Ok(Self { server: Server::start(&mut command, &layout.log("opendkim.log"))?, port, record })
    }

    pub(super) fn record(&self) -> (&str, &str) {
        (&self.record.0, &self.record.1)
    }

    pub(super) fn wait_until_up(&self) -> Result<()> {
        self.server.wait_until_it_listens(self.port)
    }

    pub(super) fn processes(&self) -> Vec<ProcessId> {
        self.server.processes()
    }
}
