//! FETCH: what of a message is shown, and how it is written.

use std::sync::Arc;

use imap_codec::imap_types::{
    core::AString,
    fetch::{MacroOrMessageDataItemNames, MessageDataItemName, Section},
    sequence::SequenceSet,
};
use jiff::tz::TimeZone;

use super::{
    session::{Session, Tagged},
    structure,
    view::{Selected, flagged, list},
};
use crate::{
    headers,
    mailbox::{Flags, Message},
    meet::End,
};

type Item = MessageDataItemName<'static>;

impl Session {
    pub(super) async fn fetch(
        &mut self,
        selected: &mut Selected,
        set: &SequenceSet,
        what: MacroOrMessageDataItemNames<'static>,
        uid: bool,
    ) -> Result<Tagged, End> {
        let mut items: Vec<Item> = match what {
            MacroOrMessageDataItemNames::Macro(short) => {
                use imap_codec::imap_types::IntoStatic;
                short.expand().into_iter().map(IntoStatic::into_static).collect()
            }
            MacroOrMessageDataItemNames::MessageDataItemNames(items) => items,
        };
        if uid && !items.contains(&Item::Uid) {
            items.insert(0, Item::Uid);
        }
        for (number, id) in selected.meant(set, uid) {
            let Some(message) = self.read(selected, number, id, &mut items) else { continue };
            let line = render(number, &message, &items);
            self.wire.send(&line).await?;
        }
        Ok("OK FETCH completed".to_owned())
    }

    /// The message, marked as seen if what is asked for marks it; then its flags are told too.
    fn read(&self, selected: &mut Selected, number: u32, uid: u32, items: &mut Vec<Item>) -> Option<Message> {
        let marks = !selected.read_only && items.iter().any(marks_seen);
        let (account, name) = (selected.account.clone(), selected.folder.clone());
        let mailboxes = &self.world.provider_of(self.line.host).mailboxes;
        mailboxes.with(&account, &name, |folder| {
            let at = folder.position(uid)?;
            let message = &mut folder.messages[at];
            if marks && !flagged(message, r"\Seen") {
                let flags: &mut Flags = &mut message.flags;
                Arc::make_mut(flags).insert(r"\Seen".to_owned());
                selected.knows(number, &message.flags);
                if !items.contains(&Item::Flags) {
                    items.push(Item::Flags);
                }
                folder.touch();
            }
            Some(folder.messages[at].clone())
        })?
    }
}

fn marks_seen(item: &Item) -> bool {
    matches!(item, Item::BodyExt { peek: false, .. } | Item::Rfc822 | Item::Rfc822Text)
}

/// One untagged FETCH line, line end included.
fn render(number: u32, message: &Message, items: &[Item]) -> Vec<u8> {
    let mut line = format!("* {number} FETCH (").into_bytes();
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            line.push(b' ');
        }
        line.extend_from_slice(&value(message, item));
    }
    line.extend_from_slice(b")\r\n");
    line
}

fn value(message: &Message, item: &Item) -> Vec<u8> {
    let bytes = &message.bytes[..];
    let (header, text) = headers::split(bytes);
    match item {
        Item::Uid => format!("UID {}", message.uid).into_bytes(),
        Item::Flags => format!("FLAGS {}", list(&message.flags)).into_bytes(),
        Item::InternalDate => {
            let date = message.received.to_zoned_datetime(TimeZone::UTC).strftime("%d-%b-%Y %H:%M:%S +0000");
            format!("INTERNALDATE \"{date}\"").into_bytes()
        }
        Item::Rfc822Size => format!("RFC822.SIZE {}", bytes.len()).into_bytes(),
        Item::Envelope => [b"ENVELOPE ", &structure::envelope(bytes)[..]].concat(),
        Item::Body => [b"BODY ", &structure::body(bytes, false)[..]].concat(),
        Item::BodyStructure => [b"BODYSTRUCTURE ", &structure::body(bytes, true)[..]].concat(),
        Item::Rfc822 => [b"RFC822 ", &literal(bytes)[..]].concat(),
        Item::Rfc822Header => [b"RFC822.HEADER ", &literal(header)[..]].concat(),
        Item::Rfc822Text => [b"RFC822.TEXT ", &literal(text)[..]].concat(),
        Item::BodyExt { section, partial, .. } => {
            let (name, content) = section_of(bytes, section.as_ref());
            let origin = partial.map(|(from, _)| format!("<{from}>")).unwrap_or_default();
            let content = content.map(|content| match partial {
                Some((from, length)) => slice(&content, *from, length.get()),
                None => content,
            });
            let content = content.map_or_else(|| b"NIL".to_vec(), |content| literal(&content));
            [format!("BODY[{name}]{origin} ").as_bytes(), &content].concat()
        }
        _ => b"X-UNKNOWN NIL".to_vec(),
    }
}

/// A section's name as the reply repeats it, and its bytes; none if there is no such part.
fn section_of(bytes: &[u8], section: Option<&Section<'_>>) -> (String, Option<Vec<u8>>) {
    let whole = |part: &Option<imap_codec::imap_types::fetch::Part>| match part {
        Some(part) => structure::part(bytes, part).map(|p| (format!("{}.", p.name), p.content)),
        None => Some((String::new(), bytes.to_vec())),
    };
    let prefix = |found: &Option<(String, Vec<u8>)>| found.as_ref().map(|f| f.0.clone()).unwrap_or_default();
    match section {
        None => (String::new(), Some(bytes.to_vec())),
        Some(Section::Part(part)) => {
            let found = structure::part(bytes, part);
            (structure::part_name(part), found.map(|part| part.content))
        }
        Some(Section::Mime(part)) => {
            let found = structure::part(bytes, part);
            (format!("{}.MIME", structure::part_name(part)), found.map(|part| part.mime))
        }
        Some(Section::Header(part)) => {
            let found = whole(part);
            (format!("{}HEADER", prefix(&found)), found.map(|f| headers::split(&f.1).0.to_vec()))
        }
        Some(Section::Text(part)) => {
            let found = whole(part);
            (format!("{}TEXT", prefix(&found)), found.map(|f| headers::split(&f.1).1.to_vec()))
        }
        Some(Section::HeaderFields(part, names)) => {
            let found = whole(part);
            let name = format!("{}HEADER.FIELDS ({})", prefix(&found), words(names.as_ref()));
            (name, found.map(|f| chosen(&f.1, names.as_ref(), true)))
        }
        Some(Section::HeaderFieldsNot(part, names)) => {
            let found = whole(part);
            let name = format!("{}HEADER.FIELDS.NOT ({})", prefix(&found), words(names.as_ref()));
            (name, found.map(|f| chosen(&f.1, names.as_ref(), false)))
        }
    }
}

/// The header fields with these names, or all others, and the blank line.
fn chosen(message: &[u8], names: &[AString<'_>], wanted: bool) -> Vec<u8> {
    let (header, _) = headers::split(message);
    let listed = |field: &[u8]| names.iter().any(|n| n.as_ref().eq_ignore_ascii_case(field));
    let mut out: Vec<u8> = headers::fields(header)
        .iter()
        .filter(|f| listed(f.name) == wanted)
        .flat_map(|f| f.raw.to_vec())
        .collect();
    out.extend_from_slice(b"\r\n");
    out
}

fn words(names: &[AString<'_>]) -> String {
    names
        .iter()
        .map(|n| String::from_utf8_lossy(n.as_ref()).to_ascii_uppercase())
        .collect::<Vec<_>>()
        .join(" ")
}

fn slice(content: &[u8], from: u32, length: u32) -> Vec<u8> {
    content.iter().skip(from as usize).take(length as usize).copied().collect()
}

/// Bytes as a literal.
pub(super) fn literal(bytes: &[u8]) -> Vec<u8> {
    [format!("{{{}}}\r\n", bytes.len()).as_bytes(), bytes].concat()
}
