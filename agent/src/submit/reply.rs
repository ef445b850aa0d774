//! SMTP replies (RFC 5321, section 4.2): put together from bytes under fixed limits, and what a bad
//! one means. Pure: knows no stream.
//!
//! Tolerant of what real servers send: any second and third digit, a code alone, bare line feeds,
//! text in any encoding. Where the lines of one reply carry different codes the last one counts, as it
//! does for other senders, unless they contradict each other on success and failure.

use mailsonar_protocol::{Class, Stage, Text};

use crate::trouble::Trouble;

/// The longest line, its end included. RFC 5321 allows 512; some servers say more.
pub(super) const MAX_LINE: usize = 2_048;
/// The most lines in one reply.
pub(super) const MAX_LINES: usize = 128;
/// The most bytes in one reply.
pub(super) const MAX_REPLY: usize = 64 * 1024;

/// A whole reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    /// From 200 to 599.
    pub(super) code: u16,
    /// The lines as they came, with their codes, ended by single line feeds.
    pub(super) raw: Vec<u8>,
}

/// Bytes that are no reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// [`Class::Limit`] or [`Class::Protocol`].
    pub(super) class: Class,
    /// `line_too_long`, `too_many_lines`, `reply_too_long`, `not_smtp` or `mixed_codes`.
    pub(super) detail: &'static str,
    /// What had come so far.
    pub(super) raw: Vec<u8>,
}

impl Reply {
    /// The text of each line, without its code.
    pub(super) fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.raw
            .strip_suffix(b"\n")
            .unwrap_or(&self.raw)
            .split(|&b| b == b'\n')
            .map(|l| l.get(4..).unwrap_or(b""))
    }

    /// The server's words.
    pub(super) fn words(&self) -> Text {
        Text::from_bytes(&self.raw)
    }

    /// Itself if its first digit is the one that lets the dialogue go on, else what it means.
    pub(super) fn require(self, first_digit: u16, stage: Stage) -> Result<Self, Trouble> {
        if self.code / 100 == first_digit { Ok(self) } else { Err(self.trouble(stage)) }
    }

    /// What it means where it does not let the dialogue go on.
    pub(super) fn trouble(&self, stage: Stage) -> Trouble {
        let (class, detail) = match self.code {
            400..=499 => (Class::Temporary, detail(self.code)),
            500..=599 => (Class::Permanent, detail(self.code)),
            _ => (Class::Protocol, "unexpected_reply"),
        };
        Trouble::new(stage, class, detail, self.words())
    }
}

/// `reply_450` for 450.
fn detail(code: u16) -> &'static str {
    const FIRST: u16 = 400;
    static DETAILS: [[u8; 9]; 200] = {
        let mut details = [*b"reply_000"; 200];
        let mut i: u8 = 0;
        while i < 200 {
            let detail = &mut details[i as usize];
            detail[6] = b'4' + i / 100;
            detail[7] = b'0' + i / 10 % 10;
            detail[8] = b'0' + i % 10;
            i += 1;
        }
        details
    };
    DETAILS
        .get(usize::from(code.saturating_sub(FIRST)))
        .and_then(|detail| std::str::from_utf8(detail).ok())
        .unwrap_or("reply")
}

/// Puts one reply together.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    /// The lines that are complete.
    raw: Vec<u8>,
    lines: usize,
    /// The line that is not.
    line: Vec<u8>,
    has_success: bool,
    has_failure: bool,
}

impl Assembler {
    /// Takes bytes up to the end of the reply. Says how many it took, and the reply once it is whole.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<(usize, Option<Reply>), Fault> {
        let mut taken = 0;
        while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            let end = rest.iter().position(|&b| b == b'\n');
            let piece = &rest[..end.map_or(rest.len(), |end| end + 1)];
            self.take(piece)?;
            taken += piece.len();
            if end.is_some()
                && let Some(code) = self.end_line()?
            {
                return Ok((taken, Some(Reply { code, raw: std::mem::take(&mut self.raw) })));
            }
        }
        Ok((taken, None))
    }

    /// What has come of a reply that is not whole.
    pub(super) fn so_far(&self) -> Vec<u8> {
        [self.raw.as_slice(), &self.line].concat()
    }

    fn take(&mut self, piece: &[u8]) -> Result<(), Fault> {
        let room = MAX_LINE - self.line.len();
        self.line.extend_from_slice(&piece[..piece.len().min(room)]);
        if piece.len() > room {
            return Err(self.fault(Class::Limit, "line_too_long"));
        }
        if self.raw.len() + self.line.len() > MAX_REPLY {
            return Err(self.fault(Class::Limit, "reply_too_long"));
        }
        // Not waiting for the end of a line that cannot become one: a TLS server never sends it.
        if self.line.len() >= 3 && code(&self.line).is_none() {
            return Err(self.fault(Class::Protocol, "not_smtp"));
        }
        Ok(())
    }

    /// Files a complete line; gives the code if it was the last.
    fn end_line(&mut self) -> Result<Option<u16>, Fault> {
        while matches!(self.line.last(), Some(b'\r' | b'\n')) {
            self.line.pop();
        }
        let Some(code) = code(&self.line) else {
            return Err(self.fault(Class::Protocol, "not_smtp"));
        };
        let more = match self.line.get(3) {
            None | Some(b' ' | b'\t') => false,
            Some(b'-') => true,
            Some(_) => return Err(self.fault(Class::Protocol, "not_smtp")),
        };
        if code >= 400 {
            self.has_failure = true;
        } else {
            self.has_success = true;
        }
        self.lines += 1;
        self.raw.append(&mut self.line);
        self.raw.push(b'\n');
        if self.has_success && self.has_failure {
            return Err(self.fault(Class::Protocol, "mixed_codes"));
        }
        if more && self.lines >= MAX_LINES {
            return Err(self.fault(Class::Limit, "too_many_lines"));
        }
        Ok((!more).then_some(code))
    }

    fn fault(&self, class: Class, detail: &'static str) -> Fault {
        Fault { class, detail, raw: self.so_far() }
    }
}

/// The code a line begins with: 200 to 599.
fn code(line: &[u8]) -> Option<u16> {
    let digits = line.get(..3)?;
    let sensible = matches!(digits[0], b'2'..=b'5') && digits.iter().all(u8::is_ascii_digit);
    sensible.then(|| digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> Result<Option<Reply>, Fault> {
        Assembler::default().feed(bytes).map(|(_, reply)| reply)
    }

    fn fault(bytes: &[u8]) -> (Class, &'static str) {
        let fault = read(bytes).expect_err("a fault");
        (fault.class, fault.detail)
    }

    #[test]
    fn odd_but_legal_replies_are_read_as_they_are_meant() {
        for (bytes, code, words) in [
            (&b"250 2.1.0 Ok\r\n"[..], 250, "250 2.1.0 Ok"),
            (b"250\r\n", 250, "250"),
            (b"250 \r\n", 250, "250"),
            (b"571 Delivery not authorized\r\n", 571, "571 Delivery not authorized"),
            (b"599 \r\n", 599, "599"),
            (b"250 bare\n", 250, "250 bare"),
            (b"250-a\r\n250-\r\n250 b\r\n", 250, "250-a\n250-\n250 b"),
            (b"250-a\n250\n", 250, "250-a\n250"),
            (b"550 Empf\xe4nger unbekannt\r\n", 550, "550 Empfänger unbekannt"),
            (b"550-5.1.1 no\r\n554 such user\r\n", 554, "550-5.1.1 no\n554 such user"),
            (b"450-try\r\n550 never\r\n", 550, "450-try\n550 never"),
            (b"250-fine\r\n251 will forward\r\n", 251, "250-fine\n251 will forward"),
            (b"220 two\rlines\r\r\n", 220, "220 twolines"),
            (b"220 \x1b[2Jhi\r\n", 220, "220 \\x1b[2Jhi"),
        ] {
            let reply = read(bytes).expect("no fault").expect("whole");
            assert_eq!((reply.code, reply.words().as_str()), (code, words));
        }
    }

    #[test]
    fn what_is_no_reply_is_said_to_be_none_with_its_words() {
        let protocol = |detail| (Class::Protocol, detail);
        for bytes in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"\x15\x03\x01\x00\x02\x02\x46",
            b"\r\n",
            b"25\r\n",
            b"250OK\r\n",
            b"150 what\r\n",
            b"650 what\r\n",
            b"250-a\r\nb\r\n250 c\r\n",
        ] {
            assert_eq!(fault(bytes), protocol("not_smtp"), "{}", bytes.escape_ascii());
        }
        assert_eq!(fault(b"550-rejected\r\n250 Ok: queued\r\n"), protocol("mixed_codes"));
        assert_eq!(fault(b"250-ok\r\n550 no\r\n"), protocol("mixed_codes"));
        assert_eq!(read(b"SSH-2.0-x\r\n").expect_err("a fault").raw, b"SSH-2.0-x\r\n");
    }

    #[test]
    fn limits_hold_for_lines_and_replies() {
        assert_eq!(fault(&[b"220 ".as_slice(), &[b'x'; MAX_LINE]].concat()), (Class::Limit, "line_too_long"));
        let fits = [b"220 ".as_slice(), &[b'x'; MAX_LINE - 6], b"\r\n"].concat();
        assert!(read(&fits).expect("no fault").is_some());
        assert_eq!(fault(&b"220-\r\n".repeat(MAX_LINES)), (Class::Limit, "too_many_lines"));
        let most = [b"220-\r\n".repeat(MAX_LINES - 1), b"220 \r\n".to_vec()].concat();
        assert!(read(&most).expect("no fault").is_some());
        let long = [b"220-".as_slice(), &[b'x'; 1_000], b"\r\n"].concat();
        assert_eq!(fault(&long.repeat(MAX_LINES - 1)), (Class::Limit, "reply_too_long"));
    }

    #[test]
    fn each_bad_reply_has_a_detail_of_its_own() {
        for (code, expected) in
            [(400, "reply_400"), (421, "reply_421"), (550, "reply_550"), (599, "reply_599")]
        {
            assert_eq!(detail(code), expected);
        }
        let odd = Reply { code: 354, raw: b"354 go on\n".to_vec() };
        assert_eq!(odd.trouble(Stage::Envelope).class, Class::Protocol);
    }

    #[test]
    fn it_stops_after_one_reply() {
        let (taken, reply) = Assembler::default().feed(b"220 a\r\n250 b\r\n").expect("no fault");
        assert_eq!((taken, reply.expect("whole").code), (7, 220));
    }

    proptest! {
        #[test]
        fn no_bytes_in_no_pieces_make_it_panic_or_grow(
            pieces in prop::collection::vec(
                prop_oneof![
                    prop::collection::vec(any::<u8>(), 0..300),
                    Just(b"250-x\r\n".to_vec()),
                    Just(b"220-".to_vec()),
                    Just(vec![b'y'; 900]),
                ],
                0..200,
            )
        ) {
            let mut assembler = Assembler::default();
            for piece in pieces {
                match assembler.feed(&piece) {
                    Ok((taken, None)) => prop_assert_eq!(taken, piece.len()),
                    Ok((taken, Some(reply))) => {
                        prop_assert!(taken <= piece.len() && (200..600).contains(&reply.code));
                        assembler = Assembler::default();
                    }
                    Err(fault) => {
                        prop_assert!(fault.raw.len() <= MAX_REPLY + MAX_LINE);
                        break;
                    }
                }
                prop_assert!(assembler.so_far().len() <= MAX_REPLY);
            }
        }

        #[test]
        fn how_the_bytes_are_cut_changes_nothing(cut in 0_usize..30) {
            let bytes = b"250-one\r\n250-two\n250 three\r\n";
            let whole = read(bytes).expect("no fault");
            let mut assembler = Assembler::default();
            let cut = cut.min(bytes.len() - 1);
            prop_assert_eq!(assembler.feed(&bytes[..cut]).expect("no fault"), (cut, None));
            prop_assert_eq!(assembler.feed(&bytes[cut..]).expect("no fault").1, whole);
        }
    }
}
