//! Delivery status notifications (RFC 3464): a part that machines read.

use mailsonar_protocol::{ReportKind, Text};

use super::status;
use super::{Bounce, RECIPIENTS, Recipient};
use crate::reading::header::{Header, split};
use crate::reading::mime::Part;

/// The most groups of fields read; each is about one recipient.
const GROUPS: usize = 4 * RECIPIENTS;

/// Reads the report part of a message, where it has one that names a recipient.
pub(super) fn read(parts: &[Part<'_>]) -> Option<Bounce> {
    let is_status = |part: &&Part<'_>| {
        !part.enclosed
            && matches!(part.kind.as_str(), "message/delivery-status" | "message/global-delivery-status")
    };
    let text = parts.iter().find(is_status)?.text();
    let groups = groups(text.as_bytes());
    let reporter = groups.iter().find_map(|group| group.value("Reporting-MTA"));
    let original_id = groups.iter().find_map(|group| {
        group.value("X-Original-Message-ID").or_else(|| group.value("Original-Message-ID"))
    });
    let recipients: Vec<_> = groups.iter().filter_map(recipient).collect();
    (!recipients.is_empty()).then(|| Bounce {
        manner: "rfc3464",
        reporter: Text::new(typed(&reporter.unwrap_or_default())),
        original_id: Text::new(original_id.unwrap_or_default().trim_matches(['<', '>'])),
        recipients,
    })
}

/// The groups of fields, which empty lines part.
fn groups(mut bytes: &[u8]) -> Vec<Header<'_>> {
    let mut groups = Vec::new();
    while !bytes.is_empty() && groups.len() < GROUPS {
        let (group, rest) = split(bytes);
        // A line that is no field ends a group without being consumed: step over it.
        let rest = if rest.len() == bytes.len() {
            &bytes[crate::reading::header::line_end(bytes, 0)..]
        } else {
            rest
        };
        if !group.is_empty() {
            groups.push(group);
        }
        bytes = rest;
    }
    groups
}

fn recipient(group: &Header<'_>) -> Option<Recipient> {
    // The original one is what was written to; the final one may be an alias's end (RFC 3464, 2.3.1).
    let address = group.value("Final-Recipient").or_else(|| group.value("Original-Recipient"))?;
    let action = group.words("Action");
    let written = group.value("Status").unwrap_or_default();
    let written = written.split_whitespace().next().unwrap_or_default();
    let diagnostic = group.value("Diagnostic-Code").unwrap_or_default();
    let words = typed(&diagnostic).to_owned();
    let kind = kind(&action, written, &words);
    let status =
        if status::is_enhanced(written) { written.to_owned() } else { status::in_words(&words, kind) };
    Some(Recipient {
        address: Text::new(bare(typed(&address))),
        kind,
        status: Text::new(&status),
        words: Text::new(&words),
    })
}

fn kind(action: &str, status: &str, words: &str) -> ReportKind {
    let is = |word: &str| action.trim().starts_with(word);
    match () {
        () if is("failed") => ReportKind::Failed,
        () if is("delayed") => ReportKind::Delayed,
        () if ["delivered", "relayed", "expanded"].iter().any(|word| is(word)) => ReportKind::Delivered,
        // The field is required; where it is missing or unknown, the code decides.
        () => match status.chars().chain(words.chars()).next() {
            Some('2') => ReportKind::Delivered,
            Some('4') => ReportKind::Delayed,
            _ => ReportKind::Failed,
        },
    }
}

/// What follows the type: `rfc822; a@b`, `dns; host`, `smtp; 550 …`.
fn typed(value: &str) -> &str {
    match value.split_once(';') {
        Some((kind, rest)) if kind.trim().len() <= 24 && !kind.trim().contains(' ') => rest.trim(),
        _ => value.trim(),
    }
}

/// An address without its brackets.
fn bare(address: &str) -> &str {
    address.trim().trim_matches(['<', '>'])
}
