//! The messages of the selected folder: found, read, deleted. Always by UID, never marking as seen.

use std::collections::BTreeSet;

use imap_proto::{AttributeValue, MailboxDatum, MessageSection, Response, SectionPath};
use jiff::Timestamp;
use jiff::civil::Date;
use mailsonar_protocol::{Class, Stage};

use super::argument::{date, quoted, uid_sets};
use super::folders::Selected;
use super::session::Session;
use crate::trouble::Trouble;

/// The header fields that tell a probe, and a bounce, from other mail. Cut at 16 KiB: somebody's
/// endless subject must not be the end of our session.
const HEADERS: &str = "(UID INTERNALDATE RFC822.SIZE \
    BODY.PEEK[HEADER.FIELDS (X-Mailsonar-Probe Message-ID Content-Type Subject From To Return-Path \
    Delivered-To Auto-Submitted X-Failed-Recipients)]<0.16384>)";

/// The most messages in one command: well within the limits even if each header is cut.
const BATCH: usize = 200;

/// What to search for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Search {
    /// All messages.
    All,
    /// This UID, and all later ones.
    From(u32),
    /// What arrived on this day of the server's, or later.
    Since(Date),
    /// A header field that contains a text.
    Header {
        /// The field's name.
        name: String,
        /// The text.
        value: String,
    },
}

/// What is read of a message first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderRow {
    /// Its place in the folder, from 1.
    pub place: u32,
    /// Its UID.
    pub uid: u32,
    /// When it arrived, in whole seconds of the server's clock.
    pub internaldate: Option<Timestamp>,
    /// Its size in bytes. 0 if the server does not say.
    pub size: u32,
    /// The fields that tell a probe and a bounce, `X-Mailsonar-Probe` above all, as they stand in it; at most
    /// 16 KiB.
    pub header: Vec<u8>,
}

/// What became of messages that were to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// They are gone.
    Expunged,
    /// They are marked as deleted. The server offers no way to remove these and no others.
    Marked,
}

impl Session {
    /// Searches the selected folder. The UIDs come in ascending order.
    ///
    /// A result that is missing is a failure: an empty one says so.
    pub async fn uid_search(&mut self, what: &Search) -> Result<Vec<u32>, Trouble> {
        let criterion = match what {
            Search::All => "ALL".to_owned(),
            Search::From(uid) => format!("UID {}:*", (*uid).max(1)),
            Search::Since(day) => format!("SINCE {}", date(*day)),
            Search::Header { name, value } => {
                format!("HEADER {} {}", quoted(Stage::Idle, name)?, quoted(Stage::Idle, value)?)
            }
        };
        let (mut answered, mut uids) = (false, Vec::new());
        self.run(Stage::Idle, &format!("UID SEARCH {criterion}"), |response| {
            if let Response::MailboxData(MailboxDatum::Search(found)) = response {
                answered = true;
                uids.extend_from_slice(found);
            }
        })
        .await?;
        if !answered {
            let words = "the server ended a search without a result";
            return Err(self.broken(Stage::Idle, "no_search_result", words));
        }
        if let Search::From(first) = what {
            // As with FETCH, `n:*` names the last message in any case.
            uids.retain(|uid| uid >= first);
        }
        uids.sort_unstable();
        uids.dedup();
        Ok(uids)
    }

    /// Reads the headers of these messages. Those that are gone are left out.
    pub async fn fetch_headers(&mut self, uids: &[u32]) -> Result<Vec<HeaderRow>, Trouble> {
        let mut rows = Vec::new();
        for set in uid_sets(uids, BATCH) {
            self.fetch_headers_in(&set, &mut rows).await?;
        }
        let wanted: BTreeSet<u32> = uids.iter().copied().collect();
        Ok(once_each(rows, |uid| wanted.contains(&uid)))
    }

    /// Reads the headers of this message and all later ones, in one round trip unless many are new.
    pub async fn fetch_headers_from(&mut self, first: u32) -> Result<Vec<HeaderRow>, Trouble> {
        let known = self.exists;
        let mut rows = Vec::new();
        if usize::try_from(known.saturating_sub(self.read)).is_ok_and(|new| new <= BATCH) {
            self.fetch_headers_in(&format!("{}:*", first.max(1)), &mut rows).await?;
            // `n:*` names the last message even if its UID is below n (RFC 3501, 6.4.8).
            rows = once_each(rows, |uid| uid >= first);
        } else {
            let uids = self.uid_search(&Search::From(first)).await?;
            rows = self.fetch_headers(&uids).await?;
        }
        self.read = known.min(self.exists);
        Ok(rows)
    }

    async fn fetch_headers_in(&mut self, set: &str, rows: &mut Vec<HeaderRow>) -> Result<(), Trouble> {
        self.run(Stage::Retrieve, &format!("UID FETCH {set} {HEADERS}"), |response| {
            if let Response::Fetch(place, attributes) = response {
                rows.extend(header_row(*place, attributes));
            }
        })
        .await
    }

    /// Reads a message as it stands, cut at `max` bytes and at [`Limits::literal`]. `None`: it is gone.
    ///
    /// [`Limits::literal`]: super::Limits::literal
    pub async fn fetch_body(&mut self, uid: u32, max: u32) -> Result<Option<Vec<u8>>, Trouble> {
        let max = max.min(u32::try_from(self.limits().literal).unwrap_or(u32::MAX)).max(1);
        let mut body = None;
        self.run(
            Stage::Retrieve,
            &format!("UID FETCH {} (UID BODY.PEEK[]<0.{max}>)", uid.max(1)),
            |response| {
                if let Response::Fetch(_, attributes) = response {
                    body = body_of(attributes, uid).or(body.take());
                }
            },
        )
        .await?;
        if let Some(body) = &mut body {
            body.truncate(usize::try_from(max).unwrap_or(usize::MAX));
        }
        Ok(body)
    }

    /// Deletes these messages and no others. `from` must be what is selected now, or nothing is done.
    ///
    /// Without UIDPLUS (RFC 4315) they are only marked: a plain EXPUNGE would remove what other
    /// people have marked, too.
    pub async fn delete(&mut self, from: &Selected, uids: &[u32]) -> Result<Removal, Trouble> {
        let is_open = self
            .selected
            .as_ref()
            .is_some_and(|now| now.folder == from.folder && now.uidvalidity == from.uidvalidity);
        if !is_open {
            let words = format!("{:?} is not the folder that is open; nothing was deleted", from.folder);
            return Err(Trouble::new(Stage::Idle, Class::Own, "wrong_folder", words));
        }
        let expunges = self.capabilities().has("UIDPLUS");
        for set in uid_sets(uids, BATCH) {
            self.run(Stage::Idle, &format!("UID STORE {set} +FLAGS.SILENT (\\Deleted)"), |_| {}).await?;
            if expunges {
                self.run(Stage::Idle, &format!("UID EXPUNGE {set}"), |_| {}).await?;
            }
        }
        Ok(if expunges { Removal::Expunged } else { Removal::Marked })
    }
}

/// The wanted messages in ascending order, each once, however often the server sent it.
fn once_each(mut rows: Vec<HeaderRow>, wanted: impl Fn(u32) -> bool) -> Vec<HeaderRow> {
    rows.retain(|row| wanted(row.uid));
    rows.sort_by_key(|row| row.uid);
    rows.dedup_by_key(|row| row.uid);
    rows
}

/// A message's row, if this response is one: servers also send flags that changed.
fn header_row(place: u32, attributes: &[AttributeValue<'_>]) -> Option<HeaderRow> {
    let mut row =
        HeaderRow { place, uid: uid_of(attributes)?, internaldate: None, size: 0, header: Vec::new() };
    let mut has_header = false;
    for attribute in attributes {
        match attribute {
            AttributeValue::InternalDate(text) => row.internaldate = internaldate(text),
            AttributeValue::Rfc822Size(size) => row.size = *size,
            AttributeValue::BodySection {
                section: Some(SectionPath::Full(MessageSection::Header)),
                data,
                ..
            } => {
                has_header = true;
                row.header = data.as_deref().unwrap_or_default().to_vec();
            }
            _ => {}
        }
    }
    has_header.then_some(row)
}

fn body_of(attributes: &[AttributeValue<'_>], uid: u32) -> Option<Vec<u8>> {
    if uid_of(attributes) != Some(uid) {
        return None;
    }
    attributes.iter().find_map(|attribute| match attribute {
        AttributeValue::BodySection { section: None, data, .. } => {
            Some(data.as_deref().unwrap_or_default().to_vec())
        }
        _ => None,
    })
}

fn uid_of(attributes: &[AttributeValue<'_>]) -> Option<u32> {
    attributes.iter().find_map(|attribute| match attribute {
        AttributeValue::Uid(uid) => Some(*uid),
        _ => None,
    })
}

/// ` 1-Feb-2026 10:00:00 +0100` (RFC 3501, `date-time`).
fn internaldate(text: &str) -> Option<Timestamp> {
    Timestamp::strptime("%d-%b-%Y %H:%M:%S %z", text.trim()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn internal_dates_are_read_with_their_offset() {
        let expected: Timestamp = "2026-02-01T09:00:00Z".parse().unwrap();
        assert_eq!(internaldate(" 1-Feb-2026 10:00:00 +0100"), Some(expected));
        assert_eq!(internaldate("01-Feb-2026 10:00:00 +0100"), Some(expected));
        assert_eq!(internaldate("yesterday"), None);
    }
}
