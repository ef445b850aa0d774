//! Writing a pack. One probe is in memory at a time; what is there already is never written over.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::Date;
use sha2::{Digest, Sha256};

use super::super::contract::ContractFile;
use super::super::period::Period;
use super::super::render;
use super::super::revision::Issued;
use super::super::state::hex;
use super::lines::Line;
use super::{CHAIN, CONTRACT, DAYS, SEAL, STATEMENT, SUMS, chain, sha256, sums};
use crate::store::{Store, StoreError};

/// Why there is no pack.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file cannot be written.
    #[error("{} cannot be written: {source}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line cannot be made.
    #[error("a line cannot be written: {0}")]
    Line(#[from] serde_json::Error),
}

/// Writes the pack of a statement into a directory that must not be there yet. Returns its seal.
pub fn pack(
    store: &Store,
    file: &ContractFile,
    issued: &Issued,
    period: &Period,
    into: &Path,
) -> Result<String, PackError> {
    let failed = |path: &Path, source| PackError::Write { path: path.to_owned(), source };
    std::fs::create_dir(into).map_err(|error| failed(into, error))?;
    let days = into.join(DAYS);
    std::fs::create_dir(&days).map_err(|error| failed(&days, error))?;
    let mut hashes: BTreeMap<String, String> = BTreeMap::new();
    for (date, lines) in write_days(store, file, issued, period, &days)? {
        hashes.insert(format!("{DAYS}/{date}.jsonl"), lines);
    }
    let of_days: Vec<(String, String)> = hashes.clone().into_iter().collect();
    let (chain, _) = chain(&of_days);
    let mut incidents = String::new();
    for incident in store.incidents_within(&issued.statement.service, period.start(), period.end())? {
        incidents += &serde_json::to_string(&incident)?;
        incidents.push('\n');
    }
    let zone = &file.contract.time_zone;
    for (name, text) in [
        (CONTRACT, file.text.clone()),
        (STATEMENT, serde_json::to_string_pretty(issued)?),
        ("statement.html", render::html(issued, zone)),
        ("statement.csv", render::csv(issued)),
        ("incidents.jsonl", incidents),
        (CHAIN, chain),
    ] {
        write(&into.join(name), &text)?;
        hashes.insert(name.to_owned(), sha256(text.as_bytes()));
    }
    let sums = sums(&hashes.into_iter().collect::<Vec<_>>());
    write(&into.join(SUMS), &sums)?;
    let seal = sha256(sums.as_bytes());
    write(&into.join(SEAL), &format!("{seal}\n"))?;
    Ok(seal)
}

fn write(path: &Path, text: &str) -> Result<(), PackError> {
    std::fs::write(path, text).map_err(|source| PackError::Write { path: path.to_owned(), source })
}

/// Writes the days' files: the service's probes, and the control probes that excuse failures. Returns each
/// day's hash.
fn write_days(
    store: &Store,
    file: &ContractFile,
    issued: &Issued,
    period: &Period,
    into: &Path,
) -> Result<BTreeMap<Date, String>, PackError> {
    let zone = &file.contract.time_zone;
    let mut days: BTreeMap<Date, DayFile> = BTreeMap::new();
    for day in &period.days {
        days.insert(day.date, DayFile::new(into, day.date)?);
    }
    let mut add = |probe: crate::store::StoredProbe| {
        let Some(line) = Line::of(probe) else { return Ok(()) };
        let date = zone.date(line.started_at);
        match days.entry(date) {
            Entry::Occupied(day) => day.into_mut().add(&line),
            Entry::Vacant(day) => day.insert(DayFile::new(into, date)?).add(&line),
        }
    };
    store.each_probe(Some(&issued.statement.service), (period.start(), period.end()), &mut add)?;
    if file.contract.exclusions.own_trouble {
        let margin = file.contract.exclusions.control_window.signed();
        let from = period.start().saturating_sub(margin).unwrap_or(Timestamp::MIN);
        let until = period.end().saturating_add(margin).unwrap_or(Timestamp::MAX);
        store.each_probe(None, (from, until), &mut add)?;
    }
    days.into_iter().map(|(date, day)| Ok((date, day.finish()?))).collect()
}

/// One day's file, hashed as it is written.
struct DayFile {
    path: PathBuf,
    file: BufWriter<File>,
    hash: Sha256,
}

impl DayFile {
    fn new(directory: &Path, date: Date) -> Result<Self, PackError> {
        let path = directory.join(format!("{date}.jsonl"));
        let made = OpenOptions::new().write(true).create_new(true).open(&path);
        let file = made.map_err(|source| PackError::Write { path: path.clone(), source })?;
        Ok(Self { path, file: BufWriter::new(file), hash: Sha256::new() })
    }

    fn add(&mut self, line: &Line) -> Result<(), PackError> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.hash.update(&text);
        self.file.write_all(&text).map_err(|source| PackError::Write { path: self.path.clone(), source })
    }

    fn finish(mut self) -> Result<String, PackError> {
        self.file.flush().map_err(|source| PackError::Write { path: self.path.clone(), source })?;
        Ok(hex(&self.hash.finalize()))
    }
}
