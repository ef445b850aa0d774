//! The evidence pack: a directory with all that a statement rests on, chained so that later change shows.
//!
//! ```text
//! contract.toml  statement.json  statement.html  statement.csv  incidents.jsonl
//! days/2026-11-01.jsonl ...   every probe, by the day it started on; failures with their whole record
//! CHAIN        a line a day: head, hash of the day's file, its name
//! ANCHORS      a line for each day whose head was told to somebody else by then, if any was
//! SHA256SUMS   a line for each of the above, as sha256sum writes and checks it
//! SEAL         the hash of SHA256SUMS: give it to somebody else, and nothing can be changed any more
//! ```
//! A head is the SHA-256 of the line `HEAD-BEFORE HASH NAME` with its line feed; before the first day it is
//! 64 zeros. `docs/statements.md` says how to check all this with `sha256sum` alone.

mod anchors;
mod lines;
mod pack;
mod verify;

use std::fmt::Write;

use jiff::civil::Date;
use sha2::{Digest, Sha256};

pub use anchors::{Anchored, Given};
pub(super) use pack::day_hash;
pub use pack::{PackError, pack};
pub use verify::{Fault, Verified, verify};

use super::state::hex;

const ANCHORS: &str = "ANCHORS";
const CHAIN: &str = "CHAIN";
const SUMS: &str = "SHA256SUMS";
const SEAL: &str = "SEAL";
const CONTRACT: &str = "contract.toml";
const STATEMENT: &str = "statement.json";
const DAYS: &str = "days";

/// The head before the first day.
pub(super) const BEGINNING: &str = "0000000000000000000000000000000000000000000000000000000000000000";

fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The head that follows from the one before it and a day's file.
pub(super) fn head(before: &str, hash: &str, name: &str) -> String {
    sha256(format!("{before} {hash} {name}\n").as_bytes())
}

/// The name of a day's file.
pub(super) fn day_name(day: Date) -> String {
    format!("{DAYS}/{day}.jsonl")
}

/// The chain over the days' files, each with its hash, in order of their names; and its last head.
fn chain(days: &[(String, String)]) -> (String, String) {
    let mut text = String::new();
    let mut head = BEGINNING.to_owned();
    for (name, hash) in days {
        head = self::head(&head, hash, name);
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "{head} {hash} {name}");
    }
    (text, head)
}

/// The sums over all files, each with its hash, in order of their names.
fn sums(files: &[(String, String)]) -> String {
    files.iter().fold(String::new(), |mut text, (name, hash)| {
        let _ = writeln!(text, "{hash}  {name}");
        text
    })
}
