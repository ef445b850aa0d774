//! The letter as it goes over the wire: addresses that cannot smuggle a command, line ends that
//! cannot smuggle a message (RFC 5321, sections 4.1.1 and 4.5.2). Pure.

use mailsonar_protocol::{Class, Stage};

use super::Letter;
use crate::trouble::Trouble;

/// RFC 5321, section 4.5.3.1.3, less the angle brackets.
const MAX_ADDRESS: usize = 254;
/// The longest domain name.
const MAX_NAME: usize = 255;

/// Whether the addresses and the EHLO name can be sent as they are.
///
/// # Errors
/// Class `own`: the configuration is to blame, not the server.
pub(super) fn check(letter: &Letter<'_>, ehlo_name: &str) -> Result<(), Trouble> {
    let problem = |stage, detail, words: String| Err(Trouble::new(stage, Class::Own, detail, words));
    if ehlo_name.is_empty() || ehlo_name.len() > MAX_NAME || !ehlo_name.bytes().all(|b| b.is_ascii_graphic())
    {
        return problem(Stage::Greeting, "bad_name", format!("{ehlo_name:?} cannot be said in EHLO"));
    }
    for (address, may_be_empty) in [(letter.from, true), (letter.to, false)] {
        if !(is_address(address) || may_be_empty && address.is_empty()) {
            let words = format!(
                "{address:?} cannot be an envelope address: plain ASCII, with an @, no spaces or brackets"
            );
            return problem(Stage::Envelope, "bad_address", words);
        }
    }
    Ok(())
}

fn is_address(address: &str) -> bool {
    let spelled_well = address.bytes().all(|b| b.is_ascii_graphic() && b != b'<' && b != b'>');
    let has_both_parts =
        address.rsplit_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
    spelled_well && has_both_parts && address.len() <= MAX_ADDRESS
}

/// The message with every line ended by CRLF, whether it was ended by CR, LF or both.
pub(super) fn with_crlf(message: &[u8]) -> Vec<u8> {
    let mut sent = Vec::with_capacity(message.len() + 64);
    let mut bytes = message.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\r' => {
                bytes.next_if_eq(&b'\n');
                sent.extend_from_slice(b"\r\n");
            }
            b'\n' => sent.extend_from_slice(b"\r\n"),
            byte => sent.push(byte),
        }
    }
    if !sent.is_empty() && !sent.ends_with(b"\r\n") {
        sent.extend_from_slice(b"\r\n");
    }
    sent
}

/// A message in CRLF as DATA wants it: leading dots doubled, and the dot that ends it.
pub(super) fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut sent = Vec::with_capacity(message.len() + 64);
    for line in message.split_inclusive(|&b| b == b'\n') {
        if line.starts_with(b".") {
            sent.push(b'.');
        }
        sent.extend_from_slice(line);
    }
    sent.extend_from_slice(b".\r\n");
    sent
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_addresses_that_carry_no_command_are_sent() {
        let letter = |from, to| Letter { from, to, bytes: b"" };
        for good in ["a@b.example", "a+b=c@b.example", "\"quoted\"@b.example", "a@[192.0.2.1]"] {
            assert_eq!(check(&letter(good, good), "probe.example"), Ok(()));
            assert_eq!(check(&letter("", good), "[192.0.2.1]"), Ok(()));
        }
        for bad in [
            "",
            "a",
            "@b",
            "a@",
            "a@b\r\nRSET",
            "a@b\nX",
            "a@b\0",
            "a b@c",
            "a@b>",
            "<a@b",
            "ä@b.example",
            "a@b\x7f",
        ] {
            let trouble = check(&letter("a@b", bad), "probe.example").expect_err(bad);
            assert_eq!((trouble.class, trouble.stage), (Class::Own, Stage::Envelope));
        }
        assert!(check(&letter("a@b\r\nDATA", "a@b"), "probe.example").is_err());
        for bad in ["", "a b", "a\r\nQUIT", "a\0"] {
            assert_eq!(check(&letter("a@b", "a@b"), bad).expect_err(bad).stage, Stage::Greeting);
        }
    }

    #[test]
    fn no_line_of_the_message_can_end_it_early() {
        for (message, sent) in [
            (&b""[..], &b".\r\n"[..]),
            (b"a", b"a\r\n.\r\n"),
            (b"a\r\n", b"a\r\n.\r\n"),
            (b".", b"..\r\n.\r\n"),
            (b"a\n.\nb", b"a\r\n..\r\nb\r\n.\r\n"),
            (b"a\r.\rb", b"a\r\n..\r\nb\r\n.\r\n"),
            (b"a\r\n.\r\nMAIL", b"a\r\n..\r\nMAIL\r\n.\r\n"),
            (b"a\n.\r\nb", b"a\r\n..\r\nb\r\n.\r\n"),
            (b"..a\r\n", b"...a\r\n.\r\n"),
        ] {
            assert_eq!(stuffed(&with_crlf(message)), sent, "{}", message.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn the_end_is_at_the_end_and_the_message_comes_back(
            message in prop::collection::vec(prop_oneof![Just(b'.'), Just(b'\r'), Just(b'\n'), Just(b'a')], 0..60)
        ) {
            let crlf = with_crlf(&message);
            let sent = stuffed(&crlf);
            let text = String::from_utf8(sent).expect("ASCII");
            let at_start = if text.starts_with(".\r\n") { Some(0) } else { text.find("\r\n.\r\n").map(|at| at + 2) };
            prop_assert_eq!(at_start, Some(text.len() - 3));
            let mut back = String::new();
            for line in text[..text.len() - 3].split_inclusive("\r\n") {
                prop_assert!(line.ends_with("\r\n") && !line[..line.len() - 2].contains(['\r', '\n']));
                back.push_str(line.strip_prefix('.').unwrap_or(line));
            }
            prop_assert_eq!(back.into_bytes(), crlf);
        }
    }
}
