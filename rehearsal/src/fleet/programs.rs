//! Where the programs under test are: beside the test that asks.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The house's programs.
#[derive(Debug, Clone)]
pub struct Programs {
    /// `mailsonar-agent`.
    pub agent: PathBuf,
    /// `mailsonar-collector`.
    pub collector: PathBuf,
}

impl Programs {
    /// Finds them: beside this program, or one directory up, since tests lie in `deps/`.
    pub fn find() -> Result<Self> {
        let this = std::env::current_exe().context("where is this program?")?;
        let places: Vec<&Path> = this.ancestors().skip(1).take(2).collect();
        let find = |name: &str| {
            let found = places.iter().map(|place| place.join(name)).find(|path| path.is_file());
            let Some(found) = found else {
                bail!(
                    "there is no {name} beside {}; make it with `cargo build --workspace --all-targets`",
                    this.display()
                );
            };
            Ok(found)
        };
        Ok(Self { agent: find("mailsonar-agent")?, collector: find("mailsonar-collector")? })
    }
}
