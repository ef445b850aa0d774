//! Reading and writing the header of a raw message, and dates as mail writes them.

use jiff::{Timestamp, tz::TimeZone};

/// One header field: its name, and all of its bytes, line ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    pub name: &'a [u8],
    pub raw: &'a [u8],
}

impl Field<'_> {
    /// The value on one line, as text.
    pub(crate) fn value(&self) -> String {
        let value = &self.raw[(self.name.len() + 1).min(self.raw.len())..];
        String::from_utf8_lossy(value).replace("\r\n", "").replace('\n', "").trim().to_owned()
    }
}

/// Splits a message into its header, with the blank line that ends it, and its body.
pub(crate) fn split(message: &[u8]) -> (&[u8], &[u8]) {
    let mut start = 0;
    while start < message.len() {
        let end = line_end(message, start);
        if matches!(&message[start..end], b"\r\n" | b"\n") {
            return message.split_at(end);
        }
        start = end;
    }
    (message, b"")
}

/// The fields of a header, continuation lines included.
pub(crate) fn fields(header: &[u8]) -> Vec<Field<'_>> {
    let mut fields = Vec::new();
    let mut start = 0;
    while start < header.len() {
        let mut end = line_end(header, start);
        while matches!(header.get(end), Some(b' ' | b'\t')) {
            end = line_end(header, end);
        }
        let raw = &header[start..end];
        if let Some(colon) = raw.iter().position(|b| *b == b':') {
            fields.push(Field { name: raw[..colon].trim_ascii(), raw });
        }
        start = end;
    }
    fields
}

/// The value of the first field of this name.
pub(crate) fn value(message: &[u8], name: &str) -> Option<String> {
    let (header, _) = split(message);
    let wanted = |field: &Field<'_>| field.name.eq_ignore_ascii_case(name.as_bytes());
    fields(header).iter().find(|field| wanted(field)).map(Field::value)
}

/// The Message-ID without its angle brackets, or nothing.
pub(crate) fn message_id(message: &[u8]) -> String {
    value(message, "Message-ID")
        .map(|id| id.trim_start_matches('<').trim_end_matches('>').to_owned())
        .unwrap_or_default()
}

/// A date as RFC 5322 writes it, in UTC.
pub(crate) fn date(at: Timestamp) -> String {
    at.to_zoned_datetime(TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

fn line_end(bytes: &[u8], start: usize) -> usize {
    bytes[start..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |at| start + at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &[u8] = b"Subject: one\r\n two\r\nMessage-ID: <a@b>\r\n\r\nBody: not a header\r\n";

    #[test]
    fn fields_keep_their_continuation_lines() {
        let (header, body) = split(MESSAGE);
        assert!(header.ends_with(b"\r\n\r\n"));
        assert_eq!(body, b"Body: not a header\r\n");
        assert_eq!(fields(header).len(), 2);
        assert_eq!(value(MESSAGE, "subject").as_deref(), Some("one two"));
        assert_eq!(message_id(MESSAGE), "a@b");
    }

    #[test]
    fn dates_are_mail_dates() {
        assert_eq!(date(Timestamp::UNIX_EPOCH), "Thu, 01 Jan 1970 00:00:00 +0000");
    }
}
