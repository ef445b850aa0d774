//! ENVELOPE and BODYSTRUCTURE, and the parts of a MIME message, out of what mail-parser finds.

use imap_codec::imap_types::fetch::Part;
use mail_parser::{
    Address, Encoding, HeaderName, Message, MessageParser, MessagePart, MimeHeaders, PartType,
};

use super::fetch::literal;
use crate::headers;

/// How deep parts are looked into.
const DEPTH: usize = 16;

/// One part of a message.
pub(super) struct Found {
    pub name: String,
    /// Its bytes as they came, still encoded.
    pub content: Vec<u8>,
    /// Its MIME header.
    pub mime: Vec<u8>,
}

/// The ENVELOPE value.
pub(super) fn envelope(bytes: &[u8]) -> Vec<u8> {
    let raw = |name: &str| nstring(headers::value(bytes, name).as_deref());
    let parsed = MessageParser::default().parse_headers(bytes).unwrap_or_default();
    let list = |name: HeaderName<'static>| parsed.header(name).and_then(|value| value.as_address());
    let from = list(HeaderName::From);
    let fields = [
        raw("Date"),
        raw("Subject"),
        addresses(from),
        addresses(list(HeaderName::Sender).or(from)),
        addresses(list(HeaderName::ReplyTo).or(from)),
        addresses(list(HeaderName::To)),
        addresses(list(HeaderName::Cc)),
        addresses(list(HeaderName::Bcc)),
        raw("In-Reply-To"),
        raw("Message-ID"),
    ];
    [b"(", &fields.join(&b' ')[..], b")"].concat()
}

fn addresses(list: Option<&Address<'_>>) -> Vec<u8> {
    let Some(list) = list else { return b"NIL".to_vec() };
    let mut out = Vec::new();
    for address in list.iter() {
        let Some((local, domain)) = address.address().and_then(|a| a.rsplit_once('@')) else { continue };
        let fields = [nstring(address.name()), b"NIL".to_vec(), nstring(Some(local)), nstring(Some(domain))];
        out.extend_from_slice(&[b"(", &fields.join(&b' ')[..], b")"].concat());
    }
    if out.is_empty() { b"NIL".to_vec() } else { [b"(", &out[..], b")"].concat() }
}

/// The BODYSTRUCTURE value, or, without its extension data, that of BODY.
pub(super) fn body(bytes: &[u8], extended: bool) -> Vec<u8> {
    match MessageParser::default().parse(bytes) {
        Some(message) => part_structure(&message, bytes, 0, extended, DEPTH),
        None => br#"("TEXT" "PLAIN" NIL NIL NIL "7BIT" 0 0)"#.to_vec(),
    }
}

fn part_structure(message: &Message<'_>, bytes: &[u8], id: u32, extended: bool, depth: usize) -> Vec<u8> {
    let Some(part) = message.parts.get(id as usize) else { return b"NIL".to_vec() };
    let PartType::Multipart(children) = &part.body else { return leaf(part, bytes, extended, depth) };
    let subtype = part.content_type().and_then(|t| t.c_subtype.as_deref()).unwrap_or("mixed");
    let mut out = b"(".to_vec();
    for child in children.iter().filter(|_| depth > 0) {
        out.extend(part_structure(message, bytes, *child, extended, depth.saturating_sub(1)));
    }
    out.extend([b" ", &nstring(Some(&subtype.to_ascii_uppercase()))[..]].concat());
    if extended {
        out.extend([b" ", &parameters(part)[..], b" NIL NIL NIL"].concat());
    }
    out.push(b')');
    out
}

fn leaf(part: &MessagePart<'_>, bytes: &[u8], extended: bool, depth: usize) -> Vec<u8> {
    let content = raw(bytes, part.offset_body, part.offset_end);
    let kind = part.content_type();
    let default =
        if matches!(part.body, PartType::Message(_)) { ("message", "rfc822") } else { ("text", "plain") };
    let main = kind.map_or(default.0, |t| &t.c_type).to_ascii_uppercase();
    let sub = kind.and_then(|t| t.c_subtype.as_deref()).unwrap_or(default.1).to_ascii_uppercase();
    let encoding = match part.encoding {
        Encoding::QuotedPrintable => "QUOTED-PRINTABLE",
        Encoding::Base64 => "BASE64",
        Encoding::None if content.is_ascii() => "7BIT",
        Encoding::None => "8BIT",
    };
    let mut fields = vec![
        nstring(Some(&main)),
        nstring(Some(&sub)),
        parameters(part),
        nstring(part.content_id()),
        nstring(part.content_description()),
        nstring(Some(encoding)),
        content.len().to_string().into_bytes(),
    ];
    let lines = content.split_inclusive(|b| *b == b'\n').count().to_string().into_bytes();
    if main == "TEXT" {
        fields.push(lines);
    } else if main == "MESSAGE" && sub == "RFC822" && depth > 0 {
        fields.extend([envelope(content), body(content, extended), lines]);
    }
    if extended {
        fields.extend([const { b"NIL" }; 4].map(|nil| nil.to_vec()));
    }
    [b"(", &fields.join(&b' ')[..], b")"].concat()
}

fn parameters(part: &MessagePart<'_>) -> Vec<u8> {
    let attributes = part.content_type().and_then(|t| t.attributes()).unwrap_or_default();
    let pair = |name: &str, value: &str| {
        [nstring(Some(&name.to_ascii_uppercase())), nstring(Some(value))].join(&b' ')
    };
    let pairs: Vec<Vec<u8>> = attributes.iter().map(|a| pair(&a.name, &a.value)).collect();
    if pairs.is_empty() { b"NIL".to_vec() } else { [b"(", &pairs.join(&b' ')[..], b")"].concat() }
}

/// The part with this number.
pub(super) fn part(bytes: &[u8], number: &Part) -> Option<Found> {
    let message = MessageParser::default().parse(bytes)?;
    let mut id = 0_usize;
    for step in number.0.as_ref() {
        let step = step.get() as usize;
        match &message.parts.get(id)?.body {
            PartType::Multipart(children) => id = *children.get(step - 1)? as usize,
            _ if step == 1 => {}
            _ => return None,
        }
    }
    let part = message.parts.get(id)?;
    Some(Found {
        name: part_name(number),
        content: raw(bytes, part.offset_body, part.offset_end).to_vec(),
        mime: raw(bytes, part.offset_header, part.offset_body).to_vec(),
    })
}

/// A part's number as text.
pub(super) fn part_name(number: &Part) -> String {
    number.0.as_ref().iter().map(ToString::to_string).collect::<Vec<_>>().join(".")
}

fn raw(bytes: &[u8], from: u32, to: u32) -> &[u8] {
    bytes.get(from as usize..to as usize).unwrap_or_default()
}

/// A string or NIL: quoted where that is possible, a literal elsewhere.
fn nstring(text: Option<&str>) -> Vec<u8> {
    let Some(text) = text else { return b"NIL".to_vec() };
    if text.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        super::folders::quoted(text).into_bytes()
    } else {
        literal(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use imap_codec::imap_types::core::Vec1;

    use super::*;

    const REPORT: &[u8] = b"From: \"A \\\"B\\\"\" <a@b.example>\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/report; report-type=delivery-status; boundary=x\r\n\r\n\
        --x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nSorry.\r\n\r\n\
        --x\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; m.example\r\n\r\n\
        --x\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nbody\r\n\r\n--x--\r\n";

    fn content(number: &[u32]) -> Option<String> {
        let number: Vec<_> = number.iter().map(|n| NonZeroU32::new(*n).unwrap()).collect();
        let found = part(REPORT, &Part(Vec1::try_from(number).unwrap()))?;
        Some(String::from_utf8(found.content).unwrap())
    }

    #[test]
    fn parts_are_found_by_number() {
        assert_eq!(content(&[1]).as_deref(), Some("Sorry.\r\n"));
        assert_eq!(content(&[2]).as_deref(), Some("Reporting-MTA: dns; m.example\r\n"));
        assert_eq!(content(&[3]).as_deref(), Some("Subject: inner\r\n\r\nbody\r\n"));
        assert_eq!(content(&[4]), None);
    }

    #[test]
    fn a_structure_lists_them_and_nests_the_inner_message() {
        let text = String::from_utf8(body(REPORT, true)).unwrap();
        assert!(text.starts_with(r#"(("TEXT" "PLAIN" ("CHARSET" "utf-8") NIL NIL "7BIT" 8 1 "#), "{text}");
        assert!(text.contains(r#"("MESSAGE" "DELIVERY-STATUS" NIL"#), "{text}");
        assert!(text.contains(r#"("MESSAGE" "RFC822" NIL NIL NIL "7BIT" 24 (NIL "inner""#), "{text}");
        assert!(
            text.contains(r#" "REPORT" ("REPORT-TYPE" "delivery-status" "BOUNDARY" "x") NIL NIL NIL)"#),
            "{text}"
        );
    }

    #[test]
    fn an_envelope_quotes_what_needs_it() {
        let text = String::from_utf8(envelope(REPORT)).unwrap();
        assert!(text.contains(r#"(("A \"B\"" NIL "a" "b.example"))"#), "{text}");
    }
}
