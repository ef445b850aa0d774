//! Checking a pack, for the other side: every byte, every name, the chain, and the figures themselves.
//!
//! Needs nothing but the pack: no store, no configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::super::contract::ContractFile;
use super::super::count::Counter;
use super::super::document::Statement;
use super::super::judge::Controls;
use super::super::period::Period;
use super::super::revision::{Issued, changes, sha256 as statement_hash};
use super::super::state::{Setting, hex, state};
use super::super::windows::Windows;
use super::anchors::{self, Anchored, Given};
use super::lines::Line;
use super::{CHAIN, CONTRACT, DAYS, SEAL, STATEMENT, SUMS, chain, sha256, sums};

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where: a file, with a line where that can be told.
    pub place: String,
    /// What.
    pub words: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.words)
    }
}

/// A pack that is as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Its seal.
    pub seal: String,
    /// The last head of the chain of days.
    pub head: String,
    /// Files looked at.
    pub files: usize,
    /// Probes counted again.
    pub probes: u64,
    /// What it states, in a line.
    pub summary: String,
    /// The days whose heads were told outside.
    pub anchored: Anchored,
}

pub(super) fn fault(place: impl Into<String>, words: impl Into<String>) -> Fault {
    Fault { place: place.into(), words: words.into() }
}

/// Checks a pack against itself, and against what was given outside.
pub fn verify(pack: &Path, given: &Given) -> Result<Verified, Vec<Fault>> {
    let mut faults = Vec::new();
    let mut files = BTreeMap::new();
    survey(pack, "", &mut files, &mut faults);
    let read = |name: &str, faults: &mut Vec<Fault>| {
        std::fs::read(pack.join(name))
            .map_err(|error| faults.push(fault(name, format!("cannot be read: {error}"))))
            .ok()
    };
    let (listed, sealed) = (read(SUMS, &mut faults), read(SEAL, &mut faults));
    let (Some(listed), Some(sealed)) = (listed, sealed) else { return Err(faults) };
    files.retain(|name, _| name != SUMS && name != SEAL);
    let found_seal = sha256(&listed);
    if let Some(seal) = given.seal.as_ref().filter(|seal| !seal.eq_ignore_ascii_case(&found_seal)) {
        faults
            .push(fault(SUMS, format!("its hash is {found_seal}, and not the seal that was given, {seal}")));
    }
    check_sums(&listed, &sealed, &files, &mut faults);
    let days = files.iter().filter(|(name, _)| name.starts_with("days/"));
    let days: Vec<(String, String)> = days.map(|(name, hash)| (name.clone(), hash.clone())).collect();
    let (expected, head) = chain(&days);
    if read(CHAIN, &mut faults).is_some_and(|found| found != expected.as_bytes()) {
        faults.push(fault(CHAIN, "does not follow from the files of the days"));
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let anchored = anchors::check(pack, &days, &given.heads)?;
    let (statement, probes) = count_again(pack, &days).map_err(|fault| vec![fault])?;
    let summary = format!(
        "{}, {}, {}: availability {}, credit {} %",
        statement.contract.title,
        statement.service,
        statement.span.period,
        statement.figures.availability,
        statement.credit.percent
    );
    Ok(Verified { seal: found_seal, head, files: files.len() + 2, probes, summary, anchored })
}

/// Every file below a directory, by its name from the pack's root, with its hash.
fn survey(pack: &Path, below: &str, files: &mut BTreeMap<String, String>, faults: &mut Vec<Fault>) {
    let directory = pack.join(below);
    let entries = match std::fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) => {
            return faults.push(fault(directory.display().to_string(), format!("cannot be read: {error}")));
        }
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            faults.push(fault(format!("{below}{}", name.to_string_lossy()), "has a name that no pack has"));
            continue;
        };
        let name = format!("{below}{name}");
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && below.is_empty() && name == DAYS => {
                survey(pack, "days/", files, faults);
            }
            Ok(kind) if kind.is_file() => match hash(&entry.path()) {
                Ok(hash) => {
                    files.insert(name, hash);
                }
                Err(error) => faults.push(fault(name, format!("cannot be read: {error}"))),
            },
            _ => faults.push(fault(name, "is neither a file of the pack nor its directory of days")),
        }
    }
}

fn hash(path: &Path) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    std::io::copy(&mut std::fs::File::open(path)?, &mut hash)?;
    Ok(hex(&hash.finalize()))
}

/// The sums, the seal over them, and the files: which of them is not as it was.
fn check_sums(listed: &[u8], sealed: &[u8], files: &BTreeMap<String, String>, faults: &mut Vec<Fault>) {
    let is_sealed = |sums: &[u8]| sealed == format!("{}\n", sha256(sums)).as_bytes();
    let of_files = sums(&files.iter().map(|(name, hash)| (name.clone(), hash.clone())).collect::<Vec<_>>());
    if listed != of_files.as_bytes() && is_sealed(of_files.as_bytes()) {
        return faults.push(fault(SUMS, "was changed: the seal is that of the files as they are"));
    }
    if !is_sealed(listed) {
        faults.push(fault(SEAL, format!("was changed: it is not the hash of {SUMS}")));
    }
    compare(listed, files, faults);
    if faults.is_empty() && listed != of_files.as_bytes() {
        faults
            .push(fault(SUMS, "its lines are not as a pack has them: each file once, in order of the names"));
    }
}

/// The sums as they are written against the files as they are.
fn compare(listed: &[u8], files: &BTreeMap<String, String>, faults: &mut Vec<Fault>) {
    let Ok(text) = std::str::from_utf8(listed) else { return faults.push(fault(SUMS, "is not text")) };
    let mut seen = BTreeSet::new();
    for (at, line) in text.lines().enumerate() {
        let Some((hash, name)) = line.split_once("  ") else {
            faults.push(fault(format!("{SUMS}:{}", at + 1), "is not a line of sums"));
            continue;
        };
        seen.insert(name);
        match files.get(name) {
            None => faults.push(fault(name, format!("is missing; {SUMS}:{} lists it", at + 1))),
            Some(found) if found != hash => {
                faults.push(fault(name, format!("was changed: its hash is {found}, and {SUMS} has {hash}")));
            }
            Some(_) => {}
        }
    }
    for name in files.keys().filter(|name| !seen.contains(name.as_str())) {
        faults.push(fault(name, format!("was added: {SUMS} does not list it")));
    }
}

/// Counts every probe again, under the pack's contract, and compares with its statement.
fn count_again(pack: &Path, days: &[(String, String)]) -> Result<(Statement, u64), Fault> {
    let text =
        |name: &str| std::fs::read_to_string(pack.join(name)).map_err(|error| fault(name, error.to_string()));
    let issued: Issued =
        serde_json::from_str(&text(STATEMENT)?).map_err(|error| fault(STATEMENT, error.to_string()))?;
    if statement_hash(&issued.statement).map_err(|error| fault(STATEMENT, error.to_string()))?
        != issued.sha256
    {
        return Err(fault(STATEMENT, "the hash that it gives of itself is another one"));
    }
    let file = ContractFile::from_text(Path::new(CONTRACT), text(CONTRACT)?)
        .map_err(|problems| fault(CONTRACT, problems.to_string()))?;
    let contract = &file.contract;
    let stated = issued.statement;
    let period = Period::named(&stated.span.period, contract.period, &contract.time_zone)
        .map_err(|words| fault(STATEMENT, words))?;
    let windows = Windows { kept: stated.windows.clone(), refused: stated.refused_windows.clone() };
    let mut controls = Controls::default();
    each(pack, days, |line| controls.take(&line.sheet()))?;
    let mut counter = Counter::new(contract, &period, stated.span.as_of, &windows, &controls);
    let mut probes = 0;
    each(pack, days, |line| {
        if line.service == stated.service {
            counter.take(&line.sheet());
        }
        probes += 1;
    })?;
    let setting = Setting {
        service: stated.service.clone(),
        period,
        as_of: stated.span.as_of,
        windows,
        incidents: Vec::new(),
    };
    let again = state(&file, &setting, &counter.finish());
    let told = |statement: &Statement| {
        (
            statement.figures.clone(),
            statement.everything.clone(),
            statement.clauses.clone(),
            statement.credit.clone(),
            statement.days.clone(),
        )
    };
    if told(&again) == told(&stated) {
        return Ok((stated, probes));
    }
    let first = changes(&stated, &again).into_iter().next();
    let words = first.map_or_else(String::new, |change| {
        format!(": {} is {}, and {} is stated", change.what, change.is, change.was)
    });
    Err(fault(STATEMENT, format!("the probes of the pack give other figures{words}")))
}

fn each(pack: &Path, days: &[(String, String)], mut take: impl FnMut(Line)) -> Result<(), Fault> {
    for (name, _) in days {
        let file = std::fs::File::open(pack.join(name)).map_err(|error| fault(name, error.to_string()))?;
        for (at, line) in BufReader::new(file).lines().enumerate() {
            let place = || format!("{name}:{}", at + 1);
            let line = line.map_err(|error| fault(place(), error.to_string()))?;
            take(serde_json::from_str(&line).map_err(|error| fault(place(), error.to_string()))?);
        }
    }
    Ok(())
}
