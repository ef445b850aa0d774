//! The Debian packages the tests need, installed without starting a single service.
//!
//! A missing package is an error, never a reason to skip a test.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail, ensure};

use crate::checkout::Checkout;
use crate::table::table;
use crate::tool::Tool;

/// A package, and what needs it.
type Package = (&'static str, &'static str);

const PACKAGES: &[Package] = &[
    ("ca-certificates", "clients that verify TLS against the system's roots"),
    ("chromium", "draws the dashboards and the pages, headless"),
    ("curl", "asks the collector's pages and metrics as a user would"),
    ("dovecot-imapd", "the real IMAP server of the end-to-end tests"),
    ("dovecot-lmtpd", "takes deliveries from Postfix there"),
    ("iproute2", "which ports are listened on, when a server does not come up"),
    ("isync", "mbsync, a real reader of mail, which pulls and pushes"),
    ("libnet-ssleay-perl", "lets swaks speak TLS"),
    ("mutt", "a real reader of mail, which sends and files copies"),
    ("nodejs", "drives the browser; where it is older than 20.19, npm brings a newer one beside it"),
    ("npm", "brings what draws the dashboards and judges the pages"),
    ("opendkim", "signs and checks mail there, as a second opinion on DKIM"),
    ("openssl", "looks at certificates and TLS as a second opinion"),
    ("postgresql", "the second engine of the collector's store, run by its tests themselves"),
    ("postfix", "the real mail service of the end-to-end tests"),
    ("postgrey", "puts strangers' mail off there"),
    ("procps", "looks at and ends the servers the tests start"),
    ("prometheus", "promtool, which checks the rules and runs their tests"),
    ("prometheus-alertmanager", "receives what the rules raise"),
    ("python3", "small foreign peers and referees the tests start"),
    ("swaks", "sends mail that is not ours: a second SMTP client"),
];

/// Debian asks it at Postfix's installation; the tests bring their own configuration.
const PRESEED: &str = "postfix postfix/main_mailer_type select No configuration\n";

const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs what is missing; with nothing missing it asks dpkg and leaves apt alone.
pub(crate) fn run(_: &Checkout, _: &[String]) -> Result<()> {
    ensure!(
        Path::new("/usr/bin/dpkg-query").exists(),
        "this is not Debian, so the packages the tests need cannot be looked up.\n\
         The end-to-end tests run on Debian 12 with:\n{}",
        table(PACKAGES.iter().copied())
    );
    let missing = missing()?;
    if missing.is_empty() {
        println!("all {} packages are installed", PACKAGES.len());
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|(name, _)| *name).collect();
    println!("missing:\n{}", table(missing.iter().copied()));
    if !is_root()? {
        bail!(
            "{} packages are missing and only root may install them:\n\n    sudo apt-get install --no-install-recommends {}\n",
            names.len(),
            names.join(" ")
        );
    }
    install(&names)
}

fn missing() -> Result<Vec<Package>> {
    let mut words =
        vec!["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status} ${Provides}\\n"];
    words.extend(PACKAGES.iter().map(|(name, _)| name));
    let mut query = Tool::new(&words);
    // It fails as soon as one package was never heard of, and still prints the others.
    let printed = query.command().stderr(Stdio::null()).output().with_context(|| query.starting())?;
    Ok(absent(&String::from_utf8_lossy(&printed.stdout)))
}

/// The packages that `printed`, dpkg-query's answer, does not call installed. One may be provided by another,
/// as some builds of `nodejs` bring `npm` along.
fn absent(printed: &str) -> Vec<Package> {
    let mut there = Vec::new();
    for line in printed.lines() {
        if let Some((name, rest)) = line.split_once(" installed") {
            there.push(name);
            there.extend(rest.split([' ', ',']));
        }
    }
    PACKAGES.iter().copied().filter(|(name, _)| !there.contains(name)).collect()
}

fn is_root() -> Result<bool> {
    Ok(Tool::new(&["id", "-u"]).output()?.trim() == "0")
}

fn install(names: &[&str]) -> Result<()> {
    let _no_service_starts = Policy::lay(POLICY.into())?;
    apt(&["update"]).run()?;
    if names.contains(&"postfix") {
        preseed()?;
    }
    let mut words = vec!["install", "--yes", "--no-install-recommends"];
    words.extend(names);
    apt(&words).run()?;
    let still: Vec<&str> = missing()?.iter().map(|(name, _)| *name).collect();
    ensure!(still.is_empty(), "apt-get succeeded, yet not installed: {}", still.join(" "));
    Ok(())
}

fn apt(words: &[&str]) -> Tool {
    // Another apt may be at work; wait for it rather than fail.
    let mut apt =
        Tool::new(&[&["apt-get", "--quiet", "--option", "DPkg::Lock::Timeout=300"], words].concat());
    apt.env("DEBIAN_FRONTEND", "noninteractive");
    apt
}

fn preseed() -> Result<()> {
    let mut tool = Tool::new(&["debconf-set-selections"]);
    let mut child = tool.command().stdin(Stdio::piped()).spawn().with_context(|| tool.starting())?;
    child.stdin.take().context("a pipe was asked for")?.write_all(PRESEED.as_bytes())?;
    let status = child.wait()?;
    ensure!(status.success(), "`{tool}` refused Postfix's answer ({status})");
    Ok(())
}

/// Debian's hook that says whether an installed service may start: while this lives, none may.
///
/// Where the machine has such a policy of its own, that one stays in force.
struct Policy {
    ours: Option<PathBuf>,
}

const FORBID_ALL: &str = "#!/bin/sh\n\
    # Laid by Mailsonar's `cargo xtask packages` for the time of an installation.\n\
    # If none is running, remove it: services cannot start while it is here.\n\
    exit 101\n";

impl Policy {
    fn lay(path: PathBuf) -> Result<Self> {
        match fs::read_to_string(&path) {
            // Left by a run that was killed: as good as ours.
            Ok(text) if text == FORBID_ALL => return Ok(Self { ours: Some(path) }),
            Ok(_) => return Ok(Self { ours: None }),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        }
        fs::write(&path, FORBID_ALL).with_context(|| format!("writing {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(Self { ours: Some(path) })
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        if let Some(path) = &self.ours
            && let Err(error) = fs::remove_file(path)
        {
            eprintln!("{} could not be removed, do it by hand: {error}", path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_dpkg_calls_installed_counts() {
        let lines: Vec<String> = PACKAGES.iter().map(|(name, _)| format!("{name} installed\n")).collect();
        let all = lines.concat();
        assert!(absent(&all).is_empty());

        let removed =
            all.replace("postfix installed", "postfix config-files").replace("curl installed\n", "");
        let names: Vec<&str> = absent(&removed).iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["curl", "postfix"]);

        let provided = all
            .replace("npm installed\n", "")
            .replace("nodejs installed", "nodejs installed nodejs-dev, nodejs-legacy, npm");
        assert!(absent(&provided).is_empty());
    }

    #[test]
    fn our_policy_goes_and_the_machines_own_stays() {
        let path = std::env::temp_dir().join(format!("xtask-policy-{}", std::process::id()));
        let policy = Policy::lay(path.clone()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o755);
        drop(policy);
        assert!(!path.exists());

        fs::write(&path, "#!/bin/sh\nexit 0\n").unwrap();
        drop(Policy::lay(path.clone()).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "#!/bin/sh\nexit 0\n");
        fs::remove_file(&path).unwrap();
    }
}
