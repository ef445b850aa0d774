//! From chunks of bytes to whole responses, counted and measured on the way. Pure.
//!
//! Memory follows the bytes that came, never a size that was announced.

use std::mem;
use std::ops::Range;

use super::limits::{Limits, Violation};
use super::response::{self, Kind};

/// A result line of a search is passed on in pieces of about this size.
const SEARCH_PIECE: usize = 4 * 1024;

/// Puts responses together.
pub(super) struct Assembler {
    limits: Limits,
    /// The response so far.
    current: Vec<u8>,
    /// Where its current line starts.
    line: usize,
    /// Its literals' contents.
    literals: Vec<Range<usize>>,
    /// How much of the last literal is still to come.
    awaited: usize,
    responses: usize,
    bytes: usize,
    searched: usize,
    secrets: Vec<Vec<u8>>,
}

impl Assembler {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            current: Vec::new(),
            line: 0,
            literals: Vec::new(),
            awaited: 0,
            responses: 0,
            bytes: 0,
            searched: 0,
            secrets: Vec::new(),
        }
    }

    /// A new command: the counts start again.
    pub(super) fn begin(&mut self) {
        self.responses = 0;
        self.bytes = 0;
        self.searched = 0;
    }

    /// Keeps this out of all text that is passed on.
    pub(super) fn hide(&mut self, secret: Vec<u8>) {
        // Masking a letter or two would garble all text and hide nothing.
        if secret.len() >= 4 {
            self.secrets.push(secret);
        }
    }

    /// Takes what came; appends the responses that are whole now.
    pub(super) fn feed(&mut self, mut chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Violation> {
        self.bytes += chunk.len();
        if self.bytes > self.limits.bytes {
            return Err(Violation::Bytes);
        }
        while !chunk.is_empty() {
            let taken = if self.awaited > 0 { self.take_literal(chunk) } else { self.take_line(chunk, out)? };
            chunk = &chunk[taken..];
        }
        Ok(())
    }

    fn take_literal(&mut self, chunk: &[u8]) -> usize {
        let taken = self.awaited.min(chunk.len());
        self.current.extend_from_slice(&chunk[..taken]);
        self.awaited -= taken;
        taken
    }

    fn take_line(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<usize, Violation> {
        let end = chunk.iter().position(|&byte| byte == b'\n');
        let taken = end.map_or(chunk.len(), |at| at + 1);
        self.current.extend_from_slice(&chunk[..taken]);
        if end.is_none() && response::is_search(&self.current) {
            self.pass_search_pieces(out)?;
        }
        if self.current.len() - self.line > self.limits.line {
            return Err(Violation::Line);
        }
        if end.is_some() {
            self.end_line(out)?;
        }
        Ok(taken)
    }

    /// A line is whole: either a literal follows, or the response is whole too.
    fn end_line(&mut self, out: &mut Vec<u8>) -> Result<(), Violation> {
        self.current.pop();
        if self.current.len() > self.line && self.current.last() == Some(&b'\r') {
            self.current.pop();
        }
        self.current.extend_from_slice(b"\r\n");
        if response::kind(&self.current) != Kind::Status
            && let Some(size) = response::announced_literal(&self.current[self.line..])
        {
            return self.expect_literal(size);
        }
        self.responses += 1;
        if self.responses > self.limits.responses {
            return Err(Violation::Responses);
        }
        let mut whole = mem::take(&mut self.current);
        let literals = mem::take(&mut self.literals);
        self.line = 0;
        if response::settle(&mut whole, &literals, self.limits.nesting, &self.secrets)? {
            out.extend_from_slice(&whole);
        }
        Ok(())
    }

    fn expect_literal(&mut self, size: u64) -> Result<(), Violation> {
        let size = usize::try_from(size).map_err(|_| Violation::Literal)?;
        // One response holds one message of ours, and a few names at most.
        let room = (self.limits.literal + 2 * self.limits.line).saturating_sub(self.current.len());
        if size > self.limits.literal.min(room) {
            return Err(Violation::Literal);
        }
        self.literals.push(self.current.len()..self.current.len() + size);
        self.awaited = size;
        self.line = self.current.len() + size;
        Ok(())
    }

    /// Cuts a long search result at spaces. A flooded mailbox must not be one we cannot look into,
    /// and the parser starts each line over at every 4 KiB.
    fn pass_search_pieces(&mut self, out: &mut Vec<u8>) -> Result<(), Violation> {
        const START: &[u8] = b"* SEARCH";
        while self.current.len() > SEARCH_PIECE {
            let cut = self.current[..SEARCH_PIECE].iter().rposition(|&byte| byte == b' ');
            let Some(cut) = cut.filter(|&cut| cut > START.len()) else { break };
            let mut piece = self.current[..cut].to_vec();
            piece.extend_from_slice(b"\r\n");
            self.current.drain(START.len()..cut);
            self.searched += cut;
            if self.searched > self.limits.search {
                return Err(Violation::Bytes);
            }
            if response::settle(&mut piece, &[], self.limits.nesting, &[])? {
                out.extend_from_slice(&piece);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fed(text: &[u8], step: usize, limits: Limits) -> Result<Vec<u8>, Violation> {
        let (mut assembler, mut out) = (Assembler::new(limits), Vec::new());
        for chunk in text.chunks(step.max(1)) {
            assembler.feed(chunk, &mut out)?;
        }
        Ok(out)
    }

    #[test]
    fn a_response_is_passed_on_only_when_it_is_whole() {
        let (mut assembler, mut out) = (Assembler::new(Limits::default()), Vec::new());
        assembler.feed(b"* 1 FETCH (UID 1 BODY[] {5}\r\nab", &mut out).unwrap();
        assert!(out.is_empty());
        assembler.feed(b"\r\nc)", &mut out).unwrap();
        assert!(out.is_empty());
        assembler.feed(b"\r\n* 2 EX", &mut out).unwrap();
        assert_eq!(out, b"* 1 FETCH (UID 1 BODY[] {5}\r\nab\r\nc)\r\n");
    }

    #[test]
    fn a_bare_newline_ends_a_line_but_is_kept_in_a_literal() {
        let out = fed(b"* OK hi\n* 1 FETCH (UID 1 BODY[] {3}\na\nb)\n", 7, Limits::default()).unwrap();
        assert_eq!(out, b"* OK hi\r\n* 1 FETCH (UID 1 BODY[] {3}\r\na\nb)\r\n");
    }

    #[test]
    fn each_limit_has_its_own_name() {
        let limits = Limits { line: 40, literal: 10, responses: 3, bytes: 200, ..Limits::default() };
        for (text, expected) in [
            ("x".repeat(41), Violation::Line),
            ("* 1 FETCH (BODY[] {11}\r\n".into(), Violation::Literal),
            ("* 1 FETCH (BODY[] {4294967296}\r\n".into(), Violation::Literal),
            ("* OK\r\n".repeat(4), Violation::Responses),
            ("* X-UNKNOWN\r\n".repeat(4), Violation::Responses),
            (format!("* 1 FETCH {}\r\n", "(".repeat(9)), Violation::Nesting),
            ("* OK\r\n* OK 0123456789012345678901234567\r\n".repeat(9), Violation::Responses),
        ] {
            assert_eq!(fed(text.as_bytes(), 16, limits), Err(expected), "{text}");
        }
        assert_eq!(fed(&[b'x'; 201], 201, limits), Err(Violation::Bytes));
    }

    #[test]
    fn memory_follows_the_bytes_that_came() {
        let (mut assembler, mut out) = (Assembler::new(Limits::default()), Vec::new());
        assembler.feed(b"* 1 FETCH (BODY[] {524288}\r\n", &mut out).unwrap();
        assert!(assembler.current.capacity() < 1_024);
    }

    #[test]
    fn a_search_result_longer_than_a_line_may_be_is_cut_into_lines() {
        let uids: Vec<u32> = (1..=60_000).collect();
        let words: Vec<String> = uids.iter().map(ToString::to_string).collect();
        let line = format!("* SEARCH {}\r\n", words.join(" "));
        let out = fed(line.as_bytes(), 1_500, Limits::default()).unwrap();
        let read: Vec<u32> = String::from_utf8(out)
            .unwrap()
            .lines()
            .flat_map(|line| {
                line.strip_prefix("* SEARCH").unwrap().split_whitespace().map(|n| n.parse().unwrap())
            })
            .collect();
        assert_eq!(read, uids);
    }

    proptest! {
        #[test]
        fn how_the_bytes_are_cut_changes_nothing(step in 1_usize..64) {
            let text = "* OK [ALERT]é\r\n* X-FOO {4}\r\n\r\n\r\n bar\r\n* 2 EXISTS\r\n\
                * 1 FETCH (UID 9 BODY[HEADER.FIELDS (Subject)]<0> {12}\r\nSubject: {9})\r\nA1 OK {3}\r\n";
            prop_assert_eq!(
                fed(text.as_bytes(), step, Limits::default()),
                fed(text.as_bytes(), 1_000, Limits::default())
            );
        }
    }
}
