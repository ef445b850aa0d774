//! Header fields (RFC 5322, section 2.2) out of any bytes: names, values unfolded, and where the body
//! begins. Bounded and linear, whatever the bytes are.

use mail_parser::HeaderValue;
use mail_parser::parsers::MessageStream;

/// The most fields that are kept; the rest is passed over. Mail that was on its way for long has about a
/// hundred.
const FIELDS: usize = 1_000;

/// The most bytes of one field that are looked at.
const FIELD: usize = 8 * 1024;

/// One field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    name: &'a [u8],
    raw: &'a [u8],
    whole: &'a [u8],
}

impl<'a> Field<'a> {
    /// All of it as it stands in the message: name, value, line ends.
    pub(crate) fn whole(&self) -> &'a [u8] {
        self.whole
    }

    /// Whether this is its name, in any case.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// The value on one line, as it stands there.
    pub(crate) fn value(&self) -> String {
        let text = text(self.raw);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        lines.collect::<Vec<_>>().join(" ")
    }

    /// The value for people: encoded words (RFC 2047) are decoded.
    pub(crate) fn decoded(&self) -> String {
        let plain = self.value();
        if !plain.contains("=?") {
            return plain;
        }
        let line = format!("{plain}\n");
        match MessageStream::new(line.as_bytes()).parse_unstructured() {
            HeaderValue::Text(text) => text.into_owned(),
            _ => plain,
        }
    }
}

/// A block of fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Header<'a>(Vec<Field<'a>>);

impl<'a> Header<'a> {
    /// All fields, in order.
    pub(crate) fn fields(&self) -> &[Field<'a>] {
        &self.0
    }

    /// The fields of this name, in order.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &Field<'a>> {
        self.0.iter().filter(move |field| field.is(name))
    }

    /// The value of the first field of this name.
    pub(crate) fn value(&self, name: &str) -> Option<String> {
        self.all(name).next().map(Field::value)
    }

    /// The same, for people.
    pub(crate) fn decoded(&self, name: &str) -> Option<String> {
        self.all(name).next().map(Field::decoded)
    }

    /// The first of these fields that is there, in lower case, for telling words in it.
    pub(crate) fn words(&self, name: &str) -> String {
        self.value(name).unwrap_or_default().to_ascii_lowercase()
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Splits bytes into fields and what follows the empty line. Where a line is neither a field nor the
/// continuation of one, the body begins with it.
pub(crate) fn split(bytes: &[u8]) -> (Header<'_>, &[u8]) {
    let mut fields: Vec<Field<'_>> = Vec::new();
    let mut at = mbox_line(bytes);
    while at < bytes.len() {
        let start = at;
        at = line_end(bytes, start);
        let line = &bytes[start..at];
        if line.trim_ascii().is_empty() {
            return (Header(fields), &bytes[at..]);
        }
        let Some(colon) = line.iter().take(256).position(|&byte| byte == b':') else {
            return (Header(fields), &bytes[start..]);
        };
        while matches!(bytes.get(at), Some(b' ' | b'\t')) && !is_blank(bytes, at) {
            at = line_end(bytes, at);
        }
        if fields.len() < FIELDS {
            let value = start + colon + 1;
            let end = at.min(value.saturating_add(FIELD));
            fields.push(Field {
                name: line[..colon].trim_ascii(),
                raw: &bytes[value..end],
                whole: &bytes[start..at],
            });
        }
    }
    (Header(fields), b"")
}

/// What a mailbox file puts before a message is not of the message.
fn mbox_line(bytes: &[u8]) -> usize {
    if bytes.starts_with(b"From ") || bytes.starts_with(b">From ") { line_end(bytes, 0) } else { 0 }
}

fn is_blank(bytes: &[u8], start: usize) -> bool {
    bytes[start..line_end(bytes, start)].trim_ascii().is_empty()
}

/// Where the next line begins.
pub(crate) fn line_end(bytes: &[u8], start: usize) -> usize {
    bytes[start..].iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |at| start + at + 1)
}

/// Bytes as text: UTF-8 where they are, else Latin-1 (old servers' habit).
pub(crate) fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_unfolded_and_the_body_is_what_follows_the_empty_line() {
        let (header, body) = split(b"Subject: one\r\n two\r\nX-A:b\r\n\r\nBody: no field\r\n");
        assert_eq!(header.value("subject").as_deref(), Some("one two"));
        assert_eq!(header.value("x-a").as_deref(), Some("b"));
        assert_eq!((header.fields().len(), body), (2, &b"Body: no field\r\n"[..]));
    }

    #[test]
    fn odd_headers_are_read_as_far_as_they_go() {
        let (header, body) = split(b"From someone Thu Jan  1\nTo: a\nno colon here\nB: c\n");
        assert_eq!(header.value("To").as_deref(), Some("a"));
        assert_eq!(body, b"no colon here\nB: c\n");
        let (header, body) = split(b"Subject: =?iso-8859-1?Q?Unzustellbar:_f=FCr?= a\n");
        assert_eq!(header.decoded("Subject").as_deref(), Some("Unzustellbar: für a"));
        assert!(body.is_empty());
        assert_eq!(split(b""), (Header::default(), &b""[..]));
        assert_eq!(split(b"\xff\xfe\0\0").0, Header::default());
    }

    #[test]
    fn a_hundred_thousand_fields_are_not_kept() {
        let many = "Received: from a by b; now\r\n".repeat(100_000);
        assert_eq!(split(many.as_bytes()).0.fields().len(), FIELDS);
        let long = format!("Subject: {}\r\n\r\n", "x".repeat(1_000_000));
        assert_eq!(split(long.as_bytes()).0.value("subject").map(|value| value.len()), Some(FIELD - 1));
    }
}
