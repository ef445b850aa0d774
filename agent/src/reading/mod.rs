//! Reading a message: what it is, which way it came, and what it says of our probes.
//!
//! Pure: bytes in, findings out. Any bytes give an answer; the work is linear in their number, and at most
//! [`MOST`] of them are looked at. Nothing that a message says is believed here: whether a claim to be
//! ours is true is for the key to say, and whose word on authentication counts, for the
//! configuration. Knows no IMAP, no ledger and no clock.

#[cfg(test)]
mod anything;
mod authentication;
mod bounce;
mod claim;
mod header;
mod mime;
mod received;
mod replies;
mod signature;

use jiff::Timestamp;
use mailsonar_protocol::{Authentication, Hop, Journey, Text};

pub use authentication::trusted;
pub use bounce::{Bounce, Recipient};
pub use claim::{Claim, PartOfTag};
pub use replies::{Reply, ReportForm};
pub use signature::{Signature, signatures};

use self::header::Header;
use self::mime::Part;
use crate::site::Sites;

/// The most of a message that is looked at: what tells its kind stands at its beginning.
pub const MOST: usize = 256 * 1024;

/// What was read of a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Letter {
    /// What it is, by its form.
    pub kind: Kind,
    /// Its author, as it says.
    pub from: Text,
    /// Its subject.
    pub subject: Text,
    /// Its Message-ID, without brackets.
    pub message_id: Text,
    /// Its date, by its author's clock.
    pub date: Option<Timestamp>,
    /// The hosts it passed, in the order it met them.
    pub hops: Vec<Hop>,
    /// What hosts made of its origin, topmost first, whoever they are.
    pub authentication: Vec<Authentication>,
    /// What it says of our probes, unproven.
    pub claims: Vec<Claim>,
}

/// What a message is by its form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// It carries a tag in its own header: a probe, or what poses as one.
    Probe,
    /// A delivery report.
    Bounce(Bounce),
    /// A machine's answer.
    Reply(Reply),
    /// A report of another kind.
    Report(ReportForm),
    /// Anything else.
    Other,
}

/// Reads a message.
pub fn read(bytes: &[u8]) -> Letter {
    let bytes = &bytes[..bytes.len().min(MOST)];
    let parts = mime::parts(bytes);
    let none = Header::default();
    let header = parts.first().map_or(&none, |part| &part.header);
    let said = |name: &str| Text::new(&header.decoded(name).unwrap_or_default());
    let id = header.value("Message-ID").unwrap_or_default();
    Letter {
        kind: kind(&parts, header),
        from: said("From"),
        subject: said("Subject"),
        message_id: Text::new(id.trim().trim_matches(['<', '>'])),
        date: header.value("Date").as_deref().and_then(received::date_of),
        hops: received::hops(header),
        authentication: authentication::all(header),
        claims: claims(&parts),
    }
}

fn kind(parts: &[Part<'_>], header: &Header<'_>) -> Kind {
    if header.value(crate::message::TAG_HEADER).is_some() {
        return Kind::Probe;
    }
    let form = replies::report(parts);
    form.map(Kind::Report)
        .or_else(|| bounce::read(parts).map(Kind::Bounce))
        .or_else(|| replies::reply(parts).map(Kind::Reply))
        .unwrap_or(Kind::Other)
}

/// What all headers and texts of a message say of our probes.
fn claims(parts: &[Part<'_>]) -> Vec<Claim> {
    let mut texts = Vec::new();
    for part in parts {
        texts.extend(part.header.fields().iter().map(header::Field::value));
        if !part.opened {
            texts.push(part.text());
        }
    }
    claim::claims(texts.iter().map(String::as_str))
}

/// The first text of a message, as a reader sees it.
pub fn text_of(bytes: &[u8]) -> Option<String> {
    let parts = mime::parts(&bytes[..bytes.len().min(MOST)]);
    parts.iter().find(|part| !part.opened && part.kind.starts_with("text/")).map(Part::text)
}

/// The text of every part that holds none, decoded, the first 64 KiB of each; of attachments too.
pub fn texts_of(bytes: &[u8]) -> Vec<String> {
    let parts = mime::parts(&bytes[..bytes.len().min(MOST)]);
    parts.iter().filter(|part| !part.opened).map(Part::text).collect()
}

/// The way a message came: its hops with their sites, and what the trusted host made of its origin.
pub fn journey(bytes: &[u8], trusted: &[String], sites: &Sites) -> Journey {
    let (header, _) = header::split(&bytes[..bytes.len().min(MOST)]);
    let mut judged = authentication::all(&header);
    let counts = authentication::trusted(&judged, trusted);
    Journey {
        hops: placed(received::hops(&header), sites),
        authentication: counts.map(|at| judged.swap_remove(at)),
        reports: Vec::new(),
    }
}

/// Says of each hop in which site its host stands: by its name, or by the address at which the next host saw
/// it.
fn placed(mut hops: Vec<Hop>, sites: &Sites) -> Vec<Hop> {
    for at in 0..hops.len() {
        let seen_as = hops.get(at + 1).and_then(|next| next.address);
        hops[at].site = sites.of(hops[at].by.as_str(), seen_as).cloned();
    }
    hops
}

/// Whether a message may be a report about one of ours, by its header alone: so that mail from people is
/// never fetched.
pub fn may_be_report(fields: &[u8]) -> bool {
    let (header, _) = header::split(fields);
    let (kind, path, to) = (header.words("Content-Type"), header.words("Return-Path"), header.words("To"));
    path.trim() == "<>"
        || kind.starts_with("multipart/report")
        || header.value("X-Failed-Recipients").is_some()
        || bounce::is_daemon(&header.words("From"))
        || header.words("Auto-Submitted").starts_with("auto-")
        || !claim::claims([to.as_str(), header.words("Delivered-To").as_str()]).is_empty()
}
