//! Namespaces in which a server finds its files where it was built to look for them.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::testbed::server::Server;

/// The mail user of Debian, who owns the mailboxes.
pub(super) const MAIL: u32 = 8;
/// The users the servers switch to, in the cage alone: name and id.
const USERS: [(&str, u32); 5] = [
    ("Debian-exim", 7_001),
    ("opensmtpd", 7_002),
    ("opensmtpq", 7_003),
    ("cyrus", CYRUS),
    ("courier", COURIER),
];
pub(super) const CYRUS: u32 = 7_004;
pub(super) const COURIER: u32 = 7_005;

/// A server's place: its directory, and what lies over the machine's own files there.
pub(super) struct Cage {
    name: &'static str,
    pub(super) dir: PathBuf,
    unpacked: PathBuf,
}

impl Cage {
    /// Lays the directory out below `world`.
    pub(super) fn new(name: &'static str, world: &Path) -> Result<Self> {
        let cage = Self { name, dir: world.join(name), unpacked: unpacked(name)? };
        for part in ["", "etc", "run", "lib", "spool", "log"] {
            fs::create_dir_all(cage.dir.join(part))?;
            fs::set_permissions(cage.dir.join(part), fs::Permissions::from_mode(0o755))?;
        }
        for file in ["passwd", "group"] {
            let mut text = fs::read_to_string(Path::new("/etc").join(file))?;
            for (user, id) in USERS {
                let tail = if file == "passwd" {
                    format!("{id}::/nonexistent:/usr/sbin/nologin")
                } else {
                    String::new()
                };
                writeln!(text, "{user}:x:{id}:{tail}").expect("a string takes all");
            }
            cage.write(&format!("etc/{file}"), &text)?;
        }
        Ok(cage)
    }

    /// A path below its directory, as text for its configuration.
    pub(super) fn path(&self, below: &str) -> String {
        self.dir.join(below).display().to_string()
    }

    /// Writes a file below its directory, with the directories it needs.
    pub(super) fn write(&self, below: &str, text: &str) -> Result<()> {
        let path = self.dir.join(below);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))
    }

    /// As [`Self::write`], for one user's eyes only.
    pub(super) fn write_secret(&self, below: &str, text: &str, owner: u32) -> Result<()> {
        self.write(below, text)?;
        let path = self.dir.join(below);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(chown(&path, Some(owner), Some(owner))?)
    }

    /// Makes a directory below its own that belongs to a user.
    pub(super) fn give(&self, below: &str, owner: u32, group: u32) -> Result<()> {
        let path = self.dir.join(below);
        fs::create_dir_all(&path)?;
        Ok(chown(&path, Some(owner), Some(group))?)
    }

    /// Copies a directory of the unpacked packages to below its own.
    pub(super) fn copy(&self, from: &str, to: &str) -> Result<()> {
        let (from, to) = (self.unpacked.join(from), self.dir.join(to));
        fs::create_dir_all(&to)?;
        for entry in fs::read_dir(&from).with_context(|| format!("read {}", from.display()))? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                fs::copy(entry.path(), to.join(entry.file_name()))?;
            }
        }
        Ok(())
    }

    /// Starts a shell script in the cage; its last command is the server, in the foreground.
    pub(super) fn start(&self, script: &str) -> Result<Server> {
        let script = format!(
            "set -e
mount --make-rprivate /
mount -t overlay overlay -o lowerdir={unpacked}/usr:/usr /usr
mount -t overlay overlay -o lowerdir={dir}/etc:/etc /etc
mount --bind {dir}/run /run
mount --bind {dir}/lib /var/lib
mount --bind {dir}/spool /var/spool
{script}
",
            unpacked = self.unpacked.display(),
            dir = self.dir.display(),
        );
        let mut command = Command::new("/usr/bin/unshare");
        // all that it ever starts ends with it, whatever becomes of us
        command.args([
            "--mount",
            "--pid",
            "--fork",
            "--mount-proc",
            "--kill-child",
            "/bin/sh",
            "-c",
            &script,
        ]);
        let log = self.dir.join("log/output");
        Server::start(&mut command, &log).with_context(|| format!("start {}", self.name))
    }
}

/// Where `cargo xtask foreign` unpacks: `foreign/` in the target directory that this program lies in.
fn unpacked(name: &str) -> Result<PathBuf> {
    let this = std::env::current_exe().context("where is this program?")?;
    this.ancestors()
        .map(|place| place.join("foreign").join(name))
        .find(|place| place.join("packages.txt").is_file())
        .with_context(|| format!("{name} is not unpacked: run `cargo xtask foreign`"))
}
