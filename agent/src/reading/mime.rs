//! The parts of a message (RFC 2045, 2046), flat and in order, out of any bytes.
//!
//! Our own rather than mail-parser's: that looks for a boundary that never comes through all the rest
//! of the message, once for each part that names one, so that a crafted message of a megabyte takes
//! it minutes. Here each byte is passed once for each level, and there are few levels. The decoders
//! are mail-parser's.

use mail_parser::HeaderValue;
use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::decoders::html::html_to_text;
use mail_parser::decoders::quoted_printable::quoted_printable_decode;
use mail_parser::parsers::MessageStream;

use super::header::{Header, line_end, split, text};

/// The most parts looked at.
const PARTS: usize = 64;

/// How deep parts may nest; deeper ones are taken as they stand.
const DEPTH: usize = 8;

/// The most of one part that is decoded.
const TEXT: usize = 64 * 1024;

/// One part, or the message itself.
#[derive(Debug, Clone)]
pub(crate) struct Part<'a> {
    /// Its own fields.
    pub(crate) header: Header<'a>,
    /// Its media type, in lower case: `text/plain`.
    pub(crate) kind: String,
    /// Its body, as it stands.
    pub(crate) body: &'a [u8],
    /// Whether it is a message inside the message, or part of one.
    pub(crate) enclosed: bool,
    /// Whether its body was taken apart, so that what is in it stands in other parts.
    pub(crate) opened: bool,
    parameters: Vec<(String, String)>,
}

impl Part<'_> {
    /// A parameter of its media type.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Its content as text, decoded, at most 64 KiB of it; of HTML, what a reader sees.
    pub(crate) fn text(&self) -> String {
        let bytes = self.decoded();
        let charset = self.parameter("charset").and_then(|name| charset_decoder(name.as_bytes()));
        let plain = match charset {
            Some(decode) => decode(&bytes),
            None => text(&bytes),
        };
        if self.kind == "text/html" { html_to_text(&plain) } else { plain }
    }

    /// Its content, its transfer encoding undone. What cannot be decoded is taken as it stands.
    fn decoded(&self) -> Vec<u8> {
        let raw = &self.body[..self.body.len().min(TEXT)];
        // What was cut is decoded up to its last whole line.
        let whole = raw.iter().rposition(|&byte| byte == b'\n').map_or(raw, |end| &raw[..end]);
        let decoded = match self.header.words("Content-Transfer-Encoding").trim() {
            "base64" => base64_decode(raw).or_else(|| base64_decode(whole)),
            "quoted-printable" => quoted_printable_decode(raw),
            _ => None,
        };
        decoded.unwrap_or_else(|| raw.to_vec())
    }
}

/// The message and its parts.
pub(crate) fn parts(bytes: &[u8]) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    walk(bytes, "text/plain", 0, false, &mut parts);
    parts
}

fn walk<'a>(bytes: &'a [u8], default: &str, depth: usize, enclosed: bool, parts: &mut Vec<Part<'a>>) {
    if parts.len() >= PARTS {
        return;
    }
    let (header, body) = split(bytes);
    let (kind, parameters) = media_type(&header).unwrap_or_else(|| (default.to_owned(), Vec::new()));
    let encoding = header.words("Content-Transfer-Encoding");
    let mut part = Part { header, kind: kind.clone(), body, enclosed, opened: false, parameters };
    let boundary = part.parameter("boundary").map(str::trim_end).filter(|boundary| !boundary.is_empty());
    let boundary =
        boundary.filter(|_| kind.starts_with("multipart/")).map(|boundary| format!("--{boundary}"));
    let is_message = is_message(&kind) && !matches!(encoding.trim(), "base64" | "quoted-printable");
    part.opened = depth < DEPTH && (boundary.is_some() || is_message);
    let opened = part.opened;
    parts.push(part);
    match boundary {
        _ if !opened => {}
        Some(boundary) => {
            let default = if kind == "multipart/digest" { "message/rfc822" } else { "text/plain" };
            for section in sections(body, boundary.as_bytes()) {
                walk(section, default, depth + 1, enclosed, parts);
            }
        }
        None => walk(body, "text/plain", depth + 1, true, parts),
    }
}

/// Whether parts of this type hold a message, or its header.
fn is_message(kind: &str) -> bool {
    matches!(
        kind,
        "message/rfc822"
            | "message/global"
            | "text/rfc822-headers"
            | "message/rfc822-headers"
            | "message/global-headers"
    )
}

fn media_type(header: &Header<'_>) -> Option<(String, Vec<(String, String)>)> {
    let line = format!("{}\n", header.value("Content-Type")?);
    let HeaderValue::ContentType(parsed) = MessageStream::new(line.as_bytes()).parse_content_type() else {
        return None;
    };
    let kind = match parsed.subtype() {
        Some(subtype) => format!("{}/{subtype}", parsed.ctype()),
        None => parsed.ctype().to_owned(),
    };
    let parameters = parsed.attributes().unwrap_or_default().iter();
    let parameters = parameters.map(|own| (own.name.to_string(), own.value.to_string())).collect();
    Some((kind.to_ascii_lowercase(), parameters))
}

/// What stands between the lines that begin with a boundary.
fn sections<'a>(body: &'a [u8], boundary: &[u8]) -> Vec<&'a [u8]> {
    let mut sections = Vec::new();
    let (mut begun, mut at) = (None, 0);
    while at < body.len() && sections.len() < PARTS {
        let start = at;
        at = line_end(body, start);
        let line = body[start..at].trim_ascii_end();
        let Some(rest) = line.strip_prefix(boundary).filter(|rest| matches!(*rest, b"" | b"--")) else {
            continue;
        };
        if let Some(begin) = begun {
            sections.push(&body[begin..start]);
        }
        begun = rest.is_empty().then_some(at);
        if begun.is_none() {
            return sections;
        }
    }
    // A message that was cut ends in the middle of a part.
    sections.extend(begun.map(|begin| &body[begin.min(body.len())..]));
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "Content-Type: multipart/report; boundary=\"b 1\"\r\n\r\npreamble\r\n\
        --b 1\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nf=FCr=\r\n dich\r\n\
        --b 1\r\nContent-Type: message/rfc822\r\n\r\nMessage-ID: <x@y>\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n\
        --c\r\n\r\ninner\r\n--c--\r\n--b 1--\r\nepilogue\r\n";

    #[test]
    fn parts_are_found_in_order_and_those_of_a_message_inside_are_known_as_such() {
        let parts = parts(REPORT.as_bytes());
        let kinds: Vec<_> = parts.iter().map(|part| (part.kind.as_str(), part.enclosed)).collect();
        let expected = [
            ("multipart/report", false),
            ("text/plain", false),
            ("message/rfc822", false),
            ("multipart/mixed", true),
            ("text/plain", true),
        ];
        assert_eq!(kinds, expected);
        assert_eq!(parts[1].text(), "für dich\r\n");
        assert_eq!(parts[3].header.value("Message-ID").as_deref(), Some("<x@y>"));
        assert_eq!(parts[4].text(), "inner\r\n");
    }

    #[test]
    fn a_message_that_was_cut_keeps_the_part_that_was() {
        let parts = parts(&REPORT.as_bytes()[..REPORT.find("--c--").expect("there")]);
        assert_eq!(parts.last().expect("there").text(), "inner\r\n");
    }

    #[test]
    fn html_is_read_as_a_reader_sees_it() {
        let html =
            b"Content-Type: text/html\r\n\r\n<html><style>p{}</style><p>your <b>message</b></p>&lt;a@b&gt;";
        assert_eq!(
            parts(html)[0].text().split_whitespace().collect::<Vec<_>>().join(" "),
            "your message <a@b>"
        );
    }
}
