//! One private Postfix: its files, its start and end, its queue.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::command::run;
use super::layout::Layout;
use super::server::Server;
use crate::patience;
use crate::processes::ProcessId;

/// How long processes with the old certificate are waited for; one that serves a client ends with it.
const RELOAD: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Postfix {
    configuration: PathBuf,
    queue: PathBuf,
    log: PathBuf,
    doors: [SocketAddr; 2],
    server: Option<Server>,
}

impl Postfix {
    /// Writes its files and starts it, without waiting until it serves.
    pub(super) fn start(layout: &Layout) -> Result<Self> {
        let configuration = layout.dir.join("postfix");
        let data = layout.dir.join("data");
        for directory in [&configuration, &data, &layout.queue()] {
            fs::create_dir(directory)?;
        }
        chown(&data, Some(layout.users.postfix), None)?;
        fs::write(configuration.join("main.cf"), main_cf(layout, &data))?;
        fs::write(configuration.join("master.cf"), master_cf(layout))?;
        fs::write(layout.body_checks(), "")?;
        let mailboxes: Vec<_> = layout.addresses().map(|address| format!("{address} x\n")).collect();
        fs::write(layout.mailboxes(), mailboxes.concat())?;
        let doors = [layout.mx, layout.submission];
        let log = layout.log("postfix.log");
        let mut postfix = Self { configuration, queue: layout.queue(), log, doors, server: None };
        postfix.spawn()?;
        Ok(postfix)
    }

    /// Waits until it serves; the port with implicit TLS opens together with the others.
    pub(super) fn wait_until_up(&self) -> Result<()> {
        self.server.as_ref().map_or(Ok(()), |server| server.wait_until_it_greets(&self.doors))
    }

    pub(super) fn kill(&mut self) -> Result<()> {
        self.server.take().map_or(Ok(()), |mut server| server.kill())
    }

    /// Starts it again after a kill.
    pub(super) fn restart(&mut self) -> Result<()> {
        if self.server.is_none() {
            // spares the check of all files at start
            fs::write(self.queue.join("quick-start"), "")?;
            self.spawn()?;
        }
        self.wait_until_up()
    }

    fn spawn(&mut self) -> Result<()> {
        let mut command = Command::new("/usr/sbin/postfix");
        command.arg("-c").arg(&self.configuration).arg("start-fg");
        self.server = Some(Server::start(&mut command, &self.log)?);
        Ok(())
    }

    pub(super) fn freeze(&self) -> Result<()> {
        self.server.as_ref().map_or(Ok(()), Server::freeze)
    }

    pub(super) fn thaw(&self) -> Result<()> {
        self.server.as_ref().map_or(Ok(()), Server::thaw)
    }

    /// Takes a changed certificate or table into use: the processes that hold the old one end.
    pub(super) fn reload(&self) -> Result<()> {
        let Some(server) = &self.server else { return Ok(()) };
        let old = server.running(&["smtpd", "cleanup"]);
        run(Command::new("/usr/sbin/postfix").arg("-c").arg(&self.configuration).arg("reload"))?;
        let ended = || !old.iter().any(|process| process.is_alive());
        if patience::until_true("the old processes to end", RELOAD, ended).is_err() {
            tracing::debug!("a process with the old certificate or table still serves a client");
        }
        Ok(())
    }

    /// The messages that are held, the oldest first.
    pub(super) fn held(&self) -> Result<Vec<String>> {
        let mut held = Vec::new();
        for entry in fs::read_dir(self.queue.join("hold"))? {
            let entry = entry?;
            held.push((entry.metadata()?.modified()?, entry.file_name().to_string_lossy().into_owned()));
        }
        held.sort();
        Ok(held.into_iter().map(|(_, id)| id).collect())
    }

    /// What the header of a message in the queue says under this name.
    pub(super) fn header(&self, id: &str, name: &str) -> Result<Option<String>> {
        let text = self.content(id)?;
        let lines = text.lines().take_while(|line| !line.is_empty());
        let named =
            lines.filter_map(|line| line.split_once(':')).find(|(of, _)| of.eq_ignore_ascii_case(name));
        Ok(named.map(|(_, value)| value.trim().to_owned()))
    }

    /// Lets go of a held message.
    pub(super) fn release(&self, id: &str) -> Result<()> {
        run(Command::new("/usr/sbin/postsuper").arg("-c").arg(&self.configuration).args(["-H", id]))?;
        self.flush()
    }

    /// Hands a message that is in the queue in once more, as a crash at the wrong moment would.
    pub(super) fn hand_in_again(&self, id: &str, from: &str, to: &str) -> Result<()> {
        let message = self.queue.join("again");
        fs::write(&message, self.content(id)?)?;
        let mut sendmail = Command::new("/usr/sbin/sendmail");
        sendmail.arg("-C").arg(&self.configuration).args(["-G", "-i", "-f", from, "--", to]);
        sendmail.stdin(fs::File::open(message)?);
        let output = sendmail.output()?;
        ensure!(output.status.success(), "{sendmail:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    fn content(&self, id: &str) -> Result<String> {
        run(Command::new("/usr/sbin/postcat").arg("-c").arg(&self.configuration).args(["-bhq", id]))
    }

    /// How many messages wait in the queue, those being delivered included.
    pub(super) fn queue_length(&self) -> usize {
        ["incoming", "active", "deferred"].iter().map(|part| files_below(&self.queue.join(part))).sum()
    }

    /// Lets it try all deferred mail now.
    pub(super) fn flush(&self) -> Result<()> {
        run(Command::new("/usr/sbin/postqueue").arg("-c").arg(&self.configuration).arg("-f")).map(drop)
    }

    pub(super) fn processes(&self) -> Vec<ProcessId> {
        self.server.as_ref().map(Server::processes).unwrap_or_default()
    }
}

/// Deferred mail lies in hashed subdirectories.
fn files_below(directory: &Path) -> usize {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    let count = |entry: fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => files_below(&entry.path()),
        Ok(_) => 1,
        Err(_) => 0,
    };
    entries.flatten().map(count).sum()
}

/// Whom postgrey is asked about: strangers.
fn greylist(at: SocketAddr) -> String {
    format!(", permit_sasl_authenticated, check_policy_service inet:{}:{}", at.ip(), at.port())
}

fn main_cf(layout: &Layout, data: &Path) -> String {
    format!(
        include_str!("main.cf.template"),
        queue = layout.queue().display(),
        data = data.display(),
        log = layout.log("postfix.log").display(),
        log_directory = layout.dir.display(),
        host = layout.host,
        address = layout.address,
        other_domain = layout.other_domain,
        other_address = layout.other_address,
        mx = layout.mx.port(),
        domain = layout.domain,
        mailboxes = layout.mailboxes().display(),
        lmtp = layout.lmtp().display(),
        gate = layout.gate().display(),
        greylist = layout.greylist.map(|(at, _)| greylist(at)).unwrap_or_default(),
        body_checks = layout.body_checks().display(),
        milter = layout.milter.map(|at| format!("inet:{}:{}", at.ip(), at.port())).unwrap_or_default(),
        auth = layout.run().join("auth-postfix").display(),
        certificate = layout.certificate().display(),
        key = layout.key().display(),
    )
}

fn master_cf(layout: &Layout) -> String {
    format!(
        include_str!("master.cf.template"),
        address = layout.address,
        mx = layout.mx.port(),
        submission = layout.submission.port(),
        smtps = layout.smtps.port(),
    )
}
