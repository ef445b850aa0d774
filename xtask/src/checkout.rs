//! The checkout as cargo and git describe it: where it is, which crates it has, which files.
//!
//! It knows nothing of the rules that are checked against it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::tool::Tool;

/// The workspace this program was started in.
pub(crate) struct Checkout {
    pub(crate) root: PathBuf,
    pub(crate) target: PathBuf,
    pub(crate) members: Vec<Member>,
}

/// One crate of the workspace.
pub(crate) struct Member {
    pub(crate) name: String,
    /// Path of its `Cargo.toml`, from the root.
    pub(crate) manifest: PathBuf,
    /// The crates it names itself, in all three kinds (normal, build, dev).
    pub(crate) dependencies: Vec<String>,
}

impl Checkout {
    /// Asks cargo, without resolving anything.
    pub(crate) fn read() -> Result<Self> {
        let words = ["cargo", "metadata", "--no-deps", "--format-version", "1"];
        let printed = Tool::new(&words).output()?;
        let metadata: Value = serde_json::from_str(&printed).context("reading cargo metadata")?;
        let path =
            |key: &str| metadata[key].as_str().map(PathBuf::from).context("cargo metadata has no paths");
        let root = path("workspace_root")?;
        let members = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
        Ok(Self {
            target: path("target_directory")?,
            members: members
                .iter()
                .map(|package| Member::read(package, &root))
                .collect::<Option<_>>()
                .context("cargo metadata describes a package without name, manifest or dependencies")?,
            root,
        })
    }

    /// Every file that is tracked or would be by `git add`, as paths relative to the root.
    pub(crate) fn files(&self) -> Result<Vec<String>> {
        let words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"];
        let list = Tool::new(&words).inside(&self.root).output()?;
        let mut files: Vec<String> =
            list.split('\0').filter(|name| !name.is_empty()).map(String::from).collect();
        files.sort_unstable();
        files.dedup();
        ensure!(!files.is_empty(), "git lists no files in {}", self.root.display());
        Ok(files)
    }

    /// `path` as written from the root, for messages.
    pub(crate) fn relative<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.root).unwrap_or(path)
    }
}

impl Member {
    fn read(package: &Value, root: &Path) -> Option<Self> {
        let manifest = Path::new(package["manifest_path"].as_str()?);
        let dependencies = package["dependencies"].as_array()?;
        Some(Self {
            name: package["name"].as_str()?.to_owned(),
            manifest: manifest.strip_prefix(root).unwrap_or(manifest).to_owned(),
            dependencies: dependencies
                .iter()
                .map(|dependency| dependency["name"].as_str().map(str::to_owned))
                .collect::<Option<_>>()?,
        })
    }
}
