//! Bounces and other delivery reports: whom they are about, what they say, and whose message it was.
//!
//! [`standard`] reads what RFC 3464 describes, [`plain`] what servers wrote before it and some write
//! still. Only what a message says of itself is read here; that it is about a message of ours is
//! for the tag to prove.

mod dialects;
mod plain;
mod standard;
mod status;

use mailsonar_protocol::{ReportKind, Text};
use serde::Serialize;

use super::mime::Part;

/// The most recipients of one report that are kept.
const RECIPIENTS: usize = 16;

/// A delivery report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bounce {
    /// In whose manner it is written: `rfc3464`, or the name of a server's own.
    pub manner: &'static str,
    /// The host that reports.
    pub reporter: Text,
    /// The Message-ID of the message it is about, without brackets; empty where it does not say.
    pub original_id: Text,
    /// What it says of each recipient.
    pub recipients: Vec<Recipient>,
}

/// What a report says of one recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Recipient {
    /// The address; empty where it could not be found.
    pub address: Text,
    /// What became of the message.
    pub kind: ReportKind,
    /// The enhanced status code (RFC 3463); made from the reply code where there is no other.
    pub status: Text,
    /// The diagnostic, in the server's words.
    pub words: Text,
}

impl Bounce {
    /// What it says above all: a failure, where there is one.
    pub fn main(&self) -> Option<&Recipient> {
        let failed = self.recipients.iter().find(|recipient| recipient.kind == ReportKind::Failed);
        failed.or_else(|| self.recipients.first())
    }
}

/// Whether a sender's name means a machine that reports.
pub(super) fn is_daemon(from: &str) -> bool {
    dialects::DAEMONS.iter().any(|name| from.contains(name))
}

/// Reads a message as a delivery report, if it is one.
pub(super) fn read(parts: &[Part<'_>]) -> Option<Bounce> {
    let mut bounce = standard::read(parts).or_else(|| plain::read(parts))?;
    bounce.recipients.truncate(RECIPIENTS);
    if bounce.original_id.is_empty() {
        bounce.original_id = original_id(parts);
    }
    Some(bounce)
}

/// The Message-ID of the message that a report returns, as an enclosed part or in its text.
fn original_id(parts: &[Part<'_>]) -> Text {
    let enclosed =
        || parts.iter().filter(|part| part.enclosed).find_map(|part| part.header.value("Message-ID"));
    let quoted = || parts.iter().filter(|part| !part.opened).find_map(|part| id_in(&part.text()));
    let named = || {
        let names = ["X-Original-Message-ID", "Original-Message-ID", "In-Reply-To", "References"];
        names.iter().find_map(|name| parts.first()?.header.value(name))
    };
    let id = enclosed().or_else(quoted).or_else(named).unwrap_or_default();
    let first = id.split_whitespace().next_back().unwrap_or_default();
    Text::new(first.trim_matches(['<', '>']))
}

/// A `Message-ID:` line in a text, quoted or not.
fn id_in(text: &str) -> Option<String> {
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let line = line.trim_start_matches([' ', '\t', '>', '|']);
        let is_id = line.get(..11).is_some_and(|name| name.eq_ignore_ascii_case("message-id:"));
        if is_id {
            let value = line[11..].trim();
            // A long one is folded onto the next line.
            let value = if value.is_empty() { lines.next().unwrap_or_default().trim() } else { value };
            return (!value.is_empty()).then(|| value.to_owned());
        }
    }
    None
}
