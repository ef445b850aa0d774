//! One private Dovecot: its files, its start and end, its passwords, its IMAP half alone.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Result;
use rustix::process::Signal;

use super::command::run;
use super::layout::Layout;
use super::server::Server;
use crate::patience;
use crate::processes::{self, ProcessId};

/// How long a change may take to show; Dovecot looks at the passwords once a second.
const CHANGE: Duration = Duration::from_secs(5);
/// The programs that make up the IMAP half.
const IMAP: [&str; 2] = ["imap-login", "imap"];

#[derive(Debug)]
pub(super) struct Dovecot {
    configuration: PathBuf,
    passwords: PathBuf,
    group: u32,
    log: PathBuf,
    pid_file: PathBuf,
    imap: SocketAddr,
    server: Option<Server>,
}

impl Dovecot {
    /// Writes its files and starts it, without waiting until it serves.
    pub(super) fn start(layout: &Layout, passwords: &[(String, String)]) -> Result<Self> {
        for directory in [layout.run(), layout.dir.join("state"), layout.mail()] {
            fs::create_dir(directory)?;
        }
        make_mailboxes(layout)?;
        let mut dovecot = Self {
            configuration: layout.dir.join("dovecot.conf"),
            passwords: layout.dir.join("passwords"),
            group: layout.users.dovecot_group,
            log: layout.log("dovecot.log"),
            pid_file: layout.run().join("master.pid"),
            imap: layout.imap,
            server: None,
        };
        fs::write(&dovecot.configuration, dovecot_conf(layout, &dovecot))?;
        dovecot.write_passwords(passwords)?;
        dovecot.spawn()?;
        Ok(dovecot)
    }

    /// Waits until IMAP serves; its master opens all sockets together.
    pub(super) fn wait_until_up(&self) -> Result<()> {
        self.server.as_ref().map_or(Ok(()), |server| server.wait_until_it_greets(&[self.imap]))
    }

    pub(super) fn kill(&mut self) -> Result<()> {
        self.server.take().map_or(Ok(()), |mut server| server.kill())
    }

    /// Starts it again after a kill.
    pub(super) fn restart(&mut self) -> Result<()> {
        if self.server.is_none() {
            // a killed Dovecot leaves it, and its pid may be somebody else's by now
            fs::remove_file(&self.pid_file).ok();
            self.spawn()?;
        }
        self.wait_until_up()
    }

    fn spawn(&mut self) -> Result<()> {
        let mut command = Command::new("/usr/sbin/dovecot");
        command.arg("-F").arg("-c").arg(&self.configuration);
        self.server = Some(Server::start(&mut command, &self.log)?);
        Ok(())
    }

    /// Takes a changed certificate into use. All IMAP sessions are cut by this.
    pub(super) fn reload(&self) -> Result<()> {
        let Some(server) = &self.server else { return Ok(()) };
        let old = server.running(&["imap-login"]);
        server.root().signal(Signal::HUP)?;
        patience::until_true("Dovecot's new login processes", CHANGE, || {
            server.running(&["imap-login"]).iter().any(|process| !old.contains(process))
        })?;
        // an old one would live as long as the busiest of the sessions that it passes on
        processes::kill_all(&old)?;
        server.wait_until_it_greets(&[self.imap])
    }

    /// Puts these passwords in force, and returns once Dovecot knows them.
    pub(super) fn set_passwords(&self, passwords: &[(String, String)]) -> Result<()> {
        self.write_passwords(passwords)?;
        if self.server.is_none() {
            return Ok(());
        }
        for (address, password) in passwords {
            let what = format!("Dovecot to take the new password of {address}");
            patience::until_true(&what, CHANGE, || self.accepts(address, password))?;
        }
        Ok(())
    }

    /// Whether an account can log in with this password, asked of its authentication service directly.
    fn accepts(&self, address: &str, password: &str) -> bool {
        let mut doveadm = Command::new("/usr/bin/doveadm");
        doveadm.arg("-c").arg(&self.configuration).args(["auth", "test", address, password]);
        let status = doveadm.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    }

    /// Dovecot tells a change by the file's time in whole seconds, so each version gets a later one.
    fn write_passwords(&self, passwords: &[(String, String)]) -> Result<()> {
        let modified = fs::metadata(&self.passwords).and_then(|metadata| metadata.modified());
        let fresh = self.passwords.with_extension("new");
        let mut file = File::create(&fresh)?;
        for (address, password) in passwords {
            writeln!(file, "{address}:{{PLAIN}}{password}")?;
        }
        chown(&fresh, None, Some(self.group))?;
        fs::set_permissions(&fresh, Permissions::from_mode(0o640))?;
        if let Ok(before) = modified {
            file.set_modified(before + Duration::from_secs(1))?;
        }
        fs::rename(&fresh, &self.passwords)?;
        Ok(())
    }

    /// Ends IMAP alone: its listeners close, its sessions are cut, LMTP and authentication go on.
    pub(super) fn stop_imap(&self) -> Result<()> {
        let Some(server) = &self.server else { return Ok(()) };
        // a frozen process would not end
        self.thaw_imap()?;
        let mut doveadm = Command::new("/usr/bin/doveadm");
        doveadm.arg("-c").arg(&self.configuration).args(["service", "stop"]).args(IMAP);
        run(&mut doveadm)?;
        patience::until_true("IMAP to end", CHANGE, || TcpStream::connect(self.imap).is_err())?;
        // sessions that were busy within the last ten seconds would live on
        processes::kill_all(&server.running(&IMAP))
    }

    /// Brings IMAP back.
    pub(super) fn start_imap(&self) -> Result<()> {
        // a frozen master would not hear of it
        self.thaw_imap()?;
        self.reload()
    }

    /// Lets IMAP stand still: its processes are stopped, its ports still take connections.
    ///
    /// The master is stopped too, or it would start fresh processes; LMTP and authentication do without
    /// it.
    pub(super) fn freeze_imap(&self) -> Result<()> {
        let Some(server) = &self.server else { return Ok(()) };
        server.root().signal(Signal::STOP)?;
        patience::until_true("Dovecot's new processes to know what they are", CHANGE, || {
            server.running(&["dovecot"]) == [server.root()]
        })?;
        self.signal_imap(Signal::STOP)
    }

    /// Lets IMAP go on.
    pub(super) fn thaw_imap(&self) -> Result<()> {
        self.signal_imap(Signal::CONT)?;
        self.server.as_ref().map_or(Ok(()), |server| Ok(server.root().signal(Signal::CONT)?))
    }

    fn signal_imap(&self, signal: Signal) -> Result<()> {
        for process in self.server.iter().flat_map(|server| server.running(&IMAP)) {
            process.signal(signal)?;
        }
        Ok(())
    }

    pub(super) fn processes(&self) -> Vec<ProcessId> {
        self.server.as_ref().map(Server::processes).unwrap_or_default()
    }
}

/// Maildirs are made ahead, so that the truth can watch them from the start.
fn make_mailboxes(layout: &Layout) -> Result<()> {
    let (user, group) = layout.users.mail;
    let make = |path: PathBuf| -> Result<()> {
        fs::create_dir(&path)?;
        Ok(chown(path, Some(user), Some(group))?)
    };
    for account in &layout.accounts {
        let home = layout.mail().join(account);
        make(home.clone())?;
        make(home.join("Maildir"))?;
        make(home.join("Maildir/.Junk"))?;
        for part in ["new", "cur", "tmp"] {
            make(home.join("Maildir").join(part))?;
            make(home.join("Maildir/.Junk").join(part))?;
        }
        fs::write(home.join("Maildir/.Junk/maildirfolder"), "")?;
        chown(home.join("Maildir/.Junk/maildirfolder"), Some(user), Some(group))?;
    }
    Ok(())
}

fn dovecot_conf(layout: &Layout, dovecot: &Dovecot) -> String {
    format!(
        include_str!("dovecot.conf.template"),
        run = layout.run().display(),
        state = layout.dir.join("state").display(),
        name = layout.name,
        address = layout.address,
        host = layout.host,
        log = layout.log("dovecot.log").display(),
        certificate = layout.certificate().display(),
        key = layout.key().display(),
        passwords = dovecot.passwords.display(),
        mail = layout.mail().display(),
        imap = layout.imap.port(),
        imaps = layout.imaps.port(),
    )
}
