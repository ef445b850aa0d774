//! The anchored days of a pack: what was told outside, against what the pack has.
//!
//! A line of ANCHORS is `TIME HEAD-BEFORE HASH NAME HEAD`: when the day was read, the head before, the hash
//! of the day's file as it was then, its name, and the head that was told.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::Path;

use jiff::Timestamp;
use jiff::civil::Date;

use super::super::anchor::Anchor;
use super::lines::Line;
use super::verify::{Fault, fault};
use super::{ANCHORS, day_name, head};

/// What the other side was given, or was told, when things were fresh.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given {
    /// The seal of the pack.
    pub seal: Option<String>,
    /// Heads of days.
    pub heads: Vec<(Date, String)>,
}

/// What the anchors of a pack amount to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Anchored {
    /// Days that are anchored.
    pub days: usize,
    /// Days' files that had news since, and how many lines.
    pub revised: Vec<(String, u64)>,
    /// Heads that were given, and are the pack's.
    pub given: usize,
}

impl fmt::Display for Anchored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.days == 0 {
            return Ok(());
        }
        write!(f, "\n{} days were anchored outside, ", self.days)?;
        match self.given {
            0 => f.write_str("compare their heads (ANCHORS) with those that were told (--anchor)")?,
            given => write!(f, "and the {given} heads that were given are theirs")?,
        }
        for (name, lines) in &self.revised {
            write!(f, "\n{name}: {lines} lines came in after it was anchored, so its hash is another")?;
        }
        Ok(())
    }
}

/// The file's text.
pub(super) fn text(anchors: &[Anchor]) -> String {
    let line = |Anchor { anchored_at, head_before, hash, day, head, .. }: &Anchor| {
        format!("{anchored_at} {head_before} {hash} {} {head}\n", day_name(*day))
    };
    anchors.iter().map(line).collect()
}

/// Checks what is anchored of a pack: that each head follows, that each day is as it was then or has
/// lines that came in since, and that the heads that were given are there.
pub(super) fn check(
    pack: &Path,
    days: &[(String, String)],
    given: &[(Date, String)],
) -> Result<Anchored, Vec<Fault>> {
    let (mut anchored, mut faults) = (Anchored::default(), Vec::new());
    // Whether it should be there at all, the sums have told.
    let text = std::fs::read_to_string(pack.join(ANCHORS)).unwrap_or_default();
    let mut heads: BTreeMap<&str, &str> = BTreeMap::new();
    let mut last: Option<&str> = None;
    for (at, line) in text.lines().enumerate() {
        let place = format!("{ANCHORS}:{}", at + 1);
        let words: Vec<&str> = line.split(' ').collect();
        let [time, before, hash, name, told] = words[..] else {
            faults.push(fault(place, "is not a line of anchors"));
            continue;
        };
        if head(before, hash, name) != told || last.is_some_and(|last| last != before) {
            faults.push(fault(place, "does not follow from the line before, or its head from the line"));
        }
        last = Some(told);
        heads.insert(name, told);
        anchored.days += 1;
        match days.iter().find(|(known, _)| known == name) {
            Some((_, found)) if found == hash => {}
            found => match time.parse().ok().filter(|_| found.is_some()).map(|at| news(pack, name, at)) {
                Some(Ok(lines @ 1..)) => anchored.revised.push((name.to_owned(), lines)),
                Some(Err(fault)) => faults.push(fault),
                _ => faults.push(fault(
                    name,
                    format!("is not what was anchored at {time}, and none of its lines came in since"),
                )),
            },
        }
    }
    for (day, told) in given {
        match heads.get(day_name(*day).as_str()) {
            Some(head) if head.eq_ignore_ascii_case(told) => anchored.given += 1,
            Some(head) => {
                let words = format!("the head of {day} is {head}, and not the one that was told, {told}");
                faults.push(fault(ANCHORS, words));
            }
            None => faults.push(fault(ANCHORS, format!("{day} is not in it, though a head of it was told"))),
        }
    }
    if faults.is_empty() { Ok(anchored) } else { Err(faults) }
}

/// How many lines of a day's file came in after a time.
fn news(pack: &Path, name: &str, since: Timestamp) -> Result<u64, Fault> {
    let file = std::fs::File::open(pack.join(name)).map_err(|error| fault(name, error.to_string()))?;
    let mut news = 0;
    for (at, line) in BufReader::new(file).lines().enumerate() {
        let place = || format!("{name}:{}", at + 1);
        let line = line.map_err(|error| fault(place(), error.to_string()))?;
        let line: Line = serde_json::from_str(&line).map_err(|error| fault(place(), error.to_string()))?;
        news += u64::from(line.received_at > since);
    }
    Ok(news)
}
