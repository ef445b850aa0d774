//! Bounces in a server's own words: told by phrases, and read by where addresses stand.

use mailsonar_protocol::{ReportKind, Text};

use super::dialects::{COPIES, DELAYS, DIALECTS, Dialect, FIELDS, SUBJECTS};
use super::{Bounce, RECIPIENTS, Recipient, status};
use crate::reading::header::Header;
use crate::reading::mime::Part;
use crate::reading::received::cut;

/// The most text read; what servers write themselves is short.
const TEXT: usize = 64 * 1024;

/// The most of a diagnostic.
const WORDS: usize = 1_024;

/// What a bounce is called whose manner is not known.
const UNNAMED: &str = "unnamed";

/// Reads a message that comes from a machine and says in some server's words that it could not deliver.
pub(super) fn read(parts: &[Part<'_>]) -> Option<Bounce> {
    let header = &parts.first()?.header;
    if !is_from_a_machine(header) {
        return None;
    }
    let text = own_text(parts);
    let lines: Vec<&str> = text.lines().collect();
    let low: Vec<String> = lines.iter().map(|line| line.to_lowercase().replace('’', "'")).collect();
    let kind = if low.iter().any(|line| DELAYS.iter().any(|words| line.contains(words))) {
        ReportKind::Delayed
    } else {
        ReportKind::Failed
    };
    let named = DIALECTS.iter().find_map(|dialect| Some((dialect, cue(dialect, &low)?)));
    let (manner, recipients) = match named {
        Some((dialect, at)) => (dialect.name, recipients(dialect, &lines[at..], &low[at..], kind)),
        None => (UNNAMED, unnamed(header, parts, &lines, &low, kind)?),
    };
    let recipients = or_as_the_header_says(recipients, header, &lines, kind);
    let reporter = header.value("From").unwrap_or_default();
    let reporter = reporter.rsplit_once('@').map_or("", |(_, domain)| domain);
    let reporter = reporter.split(|c: char| !(c.is_alphanumeric() || "-._".contains(c))).next();
    (!recipients.is_empty()).then(|| Bounce {
        manner,
        reporter: Text::new(cut(reporter.unwrap_or_default(), 255)),
        original_id: Text::default(),
        recipients,
    })
}

fn is_from_a_machine(header: &Header<'_>) -> bool {
    let (from, path) = (header.words("From"), header.words("Return-Path"));
    path.trim() == "<>"
        || super::is_daemon(&from)
        || super::is_daemon(&path)
        || header.value("X-Failed-Recipients").is_some()
}

/// The text of the message itself, up to where the original's copy begins.
fn own_text(parts: &[Part<'_>]) -> String {
    let texts = parts
        .iter()
        .filter(|part| !part.enclosed && matches!(part.kind.as_str(), "text/plain" | "text/html"));
    let mut own = String::new();
    for text in texts.map(Part::text) {
        for line in text.lines() {
            if begins_a_copy(line) || own.len() > TEXT {
                break;
            }
            own.push_str(cut(line, 2 * WORDS));
            own.push('\n');
        }
        own.push('\n');
    }
    own
}

fn begins_a_copy(line: &str) -> bool {
    let begins = |line: &str, with: &[&str]| {
        let low = cut(line, 64).to_ascii_lowercase();
        with.iter().any(|words| low.starts_with(words))
    };
    begins(line, FIELDS) || begins(line.trim_start(), COPIES)
}

/// The line with a dialect's cue. A quoted one is somebody's answer to a bounce.
fn cue(dialect: &Dialect, low: &[String]) -> Option<usize> {
    low.iter().position(|line| line.contains(dialect.cue) && !line.trim_start().starts_with('>'))
}

/// The recipients named after the cue, each with what is said of it.
fn recipients(dialect: &Dialect, lines: &[&str], low: &[String], kind: ReportKind) -> Vec<Recipient> {
    let told = dialect.words.iter().find_map(|marker| after(marker, lines, low));
    let mut found: Vec<(String, String)> = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some((address, rest)) = named(dialect, line, &low[at]) else {
            continue;
        };
        if found.len() < RECIPIENTS && found.iter().all(|(known, _)| !known.eq_ignore_ascii_case(address)) {
            let rest = rest.trim_start_matches([' ', ':', '>', ')', ']', '.', ',', ';', '-', '\t']);
            found.push((address.to_owned(), paragraph(rest, &lines[at + 1..])));
        }
    }
    let recipient = |(address, words): (String, String)| {
        let words = with_a_code(told.clone().unwrap_or(words), lines);
        Recipient {
            address: Text::new(&address),
            kind,
            status: Text::new(&status::in_words(&words, kind)),
            words: Text::new(&words),
        }
    };
    found.into_iter().map(recipient).collect()
}

/// Words that have no status code, with the first line that has one.
fn with_a_code(words: String, lines: &[&str]) -> String {
    let is_bare = !status::has_code(&words);
    match lines.iter().find(|line| is_bare && status::has_code(line)) {
        Some(line) => cut(&format!("{words} {}", line.trim()), WORDS).to_owned(),
        None => words,
    }
}

/// The recipient that a line names, and what follows the address.
fn named<'a>(dialect: &Dialect, line: &'a str, low: &str) -> Option<(&'a str, &'a str)> {
    for marker in dialect.recipient {
        // Lower case may have other lengths than the line itself; then the line is passed over.
        if let Some(at) = low.find(marker) {
            return address_in(line.get(at + marker.len()..)?);
        }
    }
    let start = line.trim_start_matches([' ', '\t', '<', '*', '-', '"', '\'', '(']);
    if dialect.recipient.is_empty() { address_at(start) } else { None }
}

/// The first address in a text, and what follows it.
fn address_in(text: &str) -> Option<(&str, &str)> {
    let before = &text[..text.find('@')?];
    let start = before
        .rfind(|c: char| c.is_whitespace() || "<>:;,()[]\"'".contains(c))
        .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
    address_at(&text[start..])
}

/// The address that a text begins with, and what follows it.
fn address_at(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| c.is_whitespace() || "<>:;,()[]\"'".contains(c)).unwrap_or(text.len());
    let (address, rest) = text.split_at(end);
    let address = address.trim_end_matches('.');
    let (local, domain) = address.rsplit_once('@')?;
    let is_host = domain.chars().all(|c| c.is_alphanumeric() || "-._".contains(c));
    (!local.is_empty() && !domain.is_empty() && is_host && address.len() <= 320).then_some((address, rest))
}

/// What stands behind a marker: the rest of its line, and the lines up to an empty one.
fn after(marker: &str, lines: &[&str], low: &[String]) -> Option<String> {
    let at = low.iter().position(|line| line.contains(marker))?;
    let behind = low[at].find(marker)? + marker.len();
    let rest = lines[at].get(behind..).unwrap_or_default();
    let words = paragraph(rest, &lines[at + 1..]);
    (!words.is_empty()).then_some(words)
}

/// A line and those that follow, up to an empty one; empty lines before any word are passed over.
fn paragraph(first: &str, following: &[&str]) -> String {
    let mut words = first.trim().to_owned();
    for line in following.iter().map(|line| line.trim()) {
        let is_rule = line.starts_with("-----");
        if (line.is_empty() || is_rule) && !words.is_empty() || words.len() > WORDS {
            break;
        }
        if !line.is_empty() && !is_rule {
            if !words.is_empty() {
                words.push(' ');
            }
            words.push_str(line);
        }
    }
    cut(&words, WORDS).to_owned()
}

/// A bounce in words we do not know: a machine's, with a subject that says so and an address.
fn unnamed(
    header: &Header<'_>,
    parts: &[Part<'_>],
    lines: &[&str],
    low: &[String],
    kind: ReportKind,
) -> Option<Vec<Recipient>> {
    let subject = header.decoded("Subject").unwrap_or_default().to_lowercase();
    let is_report =
        parts.first()?.parameter("report-type").is_some_and(|t| t.eq_ignore_ascii_case("delivery-status"));
    if !is_report && !SUBJECTS.iter().any(|words| subject.contains(words)) {
        return None;
    }
    let ours = header.words("To");
    let strict =
        recipients(&Dialect { name: UNNAMED, cue: "", recipient: &[], words: &[] }, lines, low, kind);
    if !strict.is_empty() {
        return Some(strict);
    }
    let found = lines.iter().enumerate().find_map(|(at, line)| {
        let (address, rest) = address_in(line)?;
        (!ours.contains(&address.to_lowercase()))
            .then(|| (address.to_owned(), paragraph(rest, &lines[at + 1..])))
    });
    let (address, words) = found.unwrap_or_default();
    let status = Text::new(&status::in_words(&words, kind));
    Some(vec![Recipient { address: Text::new(&address), kind, status, words: Text::new(&words) }])
}

/// Exim and Gmail name the recipients in a field of the header, too.
fn or_as_the_header_says(
    found: Vec<Recipient>,
    header: &Header<'_>,
    lines: &[&str],
    kind: ReportKind,
) -> Vec<Recipient> {
    let Some(named) =
        header.value("X-Failed-Recipients").filter(|_| found.iter().all(|r| r.address.is_empty()))
    else {
        return found;
    };
    let words = paragraph("", lines);
    let status = status::in_words(&words, kind);
    let recipient = |address: &str| Recipient {
        address: Text::new(address.trim()),
        kind,
        status: Text::new(&status),
        words: Text::new(&words),
    };
    named.split(',').take(RECIPIENTS).map(recipient).collect()
}
