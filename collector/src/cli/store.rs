//! `mailsonar-collector store copy`: moving house, from one database to the other kind and back.

use std::path::Path;

use clap::Subcommand;
use mailsonar_collector::Config;
use mailsonar_collector::store::{Place, copy};

/// What is done with whole stores.
#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Copy everything from one store into another, empty one, and compare both. Stop the service first.
    ///
    /// A store is named by a SQLite file, by a postgres:// URL, or by a collector's configuration (a file
    /// that ends in .toml), which keeps a password out of the command line.
    Copy {
        /// The store that is there. It is left as it is.
        from: String,
        /// The store that is to be: a new file, or an empty database.
        to: String,
    },
}

/// Does what was asked; what is to be printed.
pub(crate) fn run(command: &StoreCommand) -> anyhow::Result<String> {
    let StoreCommand::Copy { from, to } = command;
    let (from, to) = (place(from)?, place(to)?);
    anyhow::ensure!(from != to, "{from} cannot be copied into itself");
    if let Place::File(path) = &from {
        anyhow::ensure!(path.exists(), "there is no {}", path.display());
    }
    let copied = copy(&from.open()?, &to.open()?)?;
    let lines =
        copied.iter().map(|table| format!("{:<11}{:>12}  {}\n", table.table, table.rows, table.sha256));
    Ok(format!("{}\n{to} holds the same as {from}. Now name it in [store].", lines.collect::<String>()))
}

fn place(name: &str) -> anyhow::Result<Place> {
    if Path::new(name).extension().is_some_and(|ending| ending == "toml") {
        return Ok(Config::read(Path::new(name))
            .map_err(|problems| anyhow::anyhow!("{problems}"))?
            .store
            .place);
    }
    Place::named(name).map_err(anyhow::Error::msg)
}
