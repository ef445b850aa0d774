//! How much a server may send, and how long it may take. Knows no bytes.

use std::fmt;
use std::io;
use std::time::Duration;

/// What one session grants its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The time each command may take, from its first byte out to its tagged reply.
    pub command: Duration,
    /// The bytes of one line, literals not counted.
    pub line: usize,
    /// The bytes of one literal, which is to say of one message body.
    pub literal: usize,
    /// How deep parentheses may nest in a FETCH response. What we ask for nests twice; the
    /// parser descends once for each, on the stack, and tries several readings at each.
    pub nesting: usize,
    /// The responses to one command.
    pub responses: usize,
    /// The bytes in answer to one command.
    pub bytes: usize,
    /// The bytes of them that may be the result of a search: each names a message that is kept and
    /// asked for.
    pub search: usize,
}

impl Limits {
    /// The usual limits, with this deadline for each command.
    pub fn with_command(command: Duration) -> Self {
        Self { command, ..Self::default() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            command: Duration::from_secs(30),
            line: 64 * 1024,
            literal: 512 * 1024,
            nesting: 8,
            responses: 20_000,
            bytes: 8 * 1024 * 1024,
            search: 1024 * 1024,
        }
    }
}

/// What a server did that ends its session before the parser sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Violation {
    /// More than [`Limits::line`].
    Line,
    /// More than [`Limits::literal`], or more of them than one response can need.
    Literal,
    /// More than [`Limits::nesting`].
    Nesting,
    /// More than [`Limits::responses`].
    Responses,
    /// More than [`Limits::bytes`].
    Bytes,
    /// A response that matters, and is not IMAP.
    Unreadable,
}

impl Violation {
    /// The word in a trouble's detail.
    pub(super) fn detail(self) -> &'static str {
        match self {
            Self::Line => "line_too_long",
            Self::Literal => "literal_too_long",
            Self::Nesting => "too_deep",
            Self::Responses => "too_many_responses",
            Self::Bytes => "too_many_bytes",
            Self::Unreadable => "unreadable",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Line => "the server sent a line longer than is allowed",
            Self::Literal => "the server announced a literal longer than is allowed",
            Self::Nesting => "the server nested parentheses deeper than is allowed",
            Self::Responses => "the server sent more responses to one command than are allowed",
            Self::Bytes => "the server sent more bytes to one command than are allowed",
            Self::Unreadable => "the server sent a response that is not IMAP",
        })
    }
}

impl std::error::Error for Violation {}

impl From<Violation> for io::Error {
    fn from(violation: Violation) -> Self {
        Self::new(io::ErrorKind::InvalidData, violation)
    }
}
