//! What goes wrong with a peer, as data: where, of which kind, in whose words.
//!
//! A failed probe is a result, not an error, so this is not `std::error::Error`. Knows only the
//! protocol's words.

use std::io;

use jiff::Timestamp;
use mailsonar_protocol::{Class, Evidence, Stage, Text};

/// One thing that went wrong while speaking with a peer, not yet placed in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The step it happened in.
    pub stage: Stage,
    /// The kind.
    pub class: Class,
    /// A finer word within the class: `nxdomain`, `certificate_expired`, `line_too_long`.
    pub detail: &'static str,
    /// What the server or the system said.
    pub words: Text,
}

impl Trouble {
    /// Trouble in a step, in somebody's words.
    pub fn new(stage: Stage, class: Class, detail: &'static str, words: impl Into<Text>) -> Self {
        Self { stage, class, detail, words: words.into() }
    }

    /// The step's deadline passed.
    pub fn timeout(stage: Stage, after: std::time::Duration) -> Self {
        let words = format!("no answer within {:.1} s", after.as_secs_f64());
        Self::new(stage, Class::Timeout, "timeout", words.as_str())
    }

    /// What an I/O error in the middle of a conversation means.
    pub fn from_io(stage: Stage, error: &io::Error) -> Self {
        use io::ErrorKind as K;
        let (class, detail) = match error.kind() {
            K::ConnectionRefused => (Class::Connect, "refused"),
            K::HostUnreachable | K::NetworkUnreachable => (Class::Connect, "no_route"),
            K::AddrNotAvailable | K::PermissionDenied => (Class::Own, "local_network"),
            K::TimedOut => (Class::Timeout, "timeout"),
            K::ConnectionReset | K::ConnectionAborted | K::BrokenPipe => (Class::Closed, "reset"),
            K::UnexpectedEof => (Class::Closed, "end_of_stream"),
            K::InvalidData => (Class::Protocol, "invalid_data"),
            _ => (Class::Closed, "io"),
        };
        Self::new(stage, class, detail, error.to_string().as_str())
    }

    /// The same, as a record's evidence.
    pub fn evidence(&self, at: Timestamp, peer: impl Into<Text>) -> Evidence {
        Evidence {
            at,
            stage: self.stage,
            class: self.class,
            detail: self.detail.into(),
            peer: peer.into(),
            words: self.words.clone(),
        }
    }
}
