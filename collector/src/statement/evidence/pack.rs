//! Writing a pack. One probe is in memory at a time; what is there already is never written over.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::Date;
use mailsonar_protocol::ServiceName;
use sha2::{Digest, Sha256};

use super::super::contract::{Contract, ContractFile};
use super::super::period::{Day, Period};
use super::super::render;
use super::super::revision::Issued;
use super::super::state::hex;
use super::lines::Line;
use super::{ANCHORS, CHAIN, CONTRACT, DAYS, SEAL, STATEMENT, SUMS, anchors, chain, day_name, sha256, sums};
use crate::store::{Store, StoreError, StoredProbe};

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
        hashes.insert(day_name(date), lines);
    }
    let of_days: Vec<(String, String)> = hashes.clone().into_iter().collect();
    let (chain, _) = chain(&of_days);
    let mut incidents = String::new();
    for incident in store.incidents_within(&issued.statement.service, period.start(), period.end())? {
        incidents += &serde_json::to_string(&incident)?;
        incidents.push('\n');
    }
    let zone = &file.contract.time_zone;
    let mut files = vec![
        (CONTRACT, file.text.clone()),
        (STATEMENT, serde_json::to_string_pretty(issued)?),
        ("statement.html", render::html(issued, zone)),
        ("statement.csv", render::csv(issued)),
        ("incidents.jsonl", incidents),
        (CHAIN, chain),
    ];
    let (contract, service) = (&issued.statement.contract.name, &issued.statement.service);
    let span = (period.days[0].date, period.days[period.days.len() - 1].date);
    let anchored = anchors::text(&store.anchors(contract, service, span)?);
    if !anchored.is_empty() {
        files.push((ANCHORS, anchored));
    }
    for (name, text) in files {
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

/// Writes the days' files. Returns each day's hash.
fn write_days(
    store: &Store,
    file: &ContractFile,
    issued: &Issued,
    period: &Period,
    into: &Path,
) -> Result<BTreeMap<Date, String>, PackError> {
    let contract = &file.contract;
    let mut days: BTreeMap<Date, DayFile> = BTreeMap::new();
    for day in &period.days {
        days.insert(day.date, DayFile::new(into, day.date)?);
    }
    let margin = contract.exclusions.control_window.signed();
    let from = period.start().saturating_sub(margin).unwrap_or(Timestamp::MIN);
    let until = period.end().saturating_add(margin).unwrap_or(Timestamp::MAX);
    let spans = [(period.start(), period.end()), (from, until)];
    each_line(store, contract, &issued.statement.service, spans, |line| {
        let date = contract.time_zone.date(line.started_at);
        match days.entry(date) {
            Entry::Occupied(day) => day.into_mut().add(&line),
            Entry::Vacant(day) => day.insert(DayFile::new(into, date)?).add(&line),
        }
    })?;
    days.into_iter().map(|(date, day)| Ok((date, day.finish()?))).collect()
}

/// The lines of a pack: the service's probes that started in the first span, and the control probes of
/// the second, which excuse failures.
fn each_line<E: From<StoreError>>(
    store: &Store,
    contract: &Contract,
    service: &ServiceName,
    [probes, controls]: [(Timestamp, Timestamp); 2],
    mut each: impl FnMut(Line) -> Result<(), E>,
) -> Result<(), E> {
    let mut add = |probe: StoredProbe| Line::of(probe).map_or(Ok(()), &mut each);
    store.each_probe(Some(service), probes, &mut add)?;
    if contract.exclusions.own_trouble {
        store.each_probe(None, controls, &mut add)?;
    }
    Ok(())
}

/// The hash of the file that a pack has for a day, as things are.
pub(in super::super) fn day_hash(
    store: &Store,
    contract: &Contract,
    service: &ServiceName,
    day: &Day,
) -> Result<String, StoreError> {
    let mut hash = Sha256::new();
    let span = (day.start, day.end);
    each_line(store, contract, service, [span, span], |line| {
        hash.update(line.bytes()?);
        Ok::<_, StoreError>(())
    })?;
    Ok(hex(&hash.finalize()))
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
        let text = line.bytes()?;
        self.hash.update(&text);
        self.file.write_all(&text).map_err(|source| PackError::Write { path: self.path.clone(), source })
    }

    fn finish(mut self) -> Result<String, PackError> {
        self.file.flush().map_err(|source| PackError::Write { path: self.path.clone(), source })?;
        Ok(hex(&self.hash.finalize()))
    }
}
