//! What can be made to go wrong, at which door and at which step of a conversation.
//!
//! Words only: acting them out is the business of those who serve that step.

use std::time::Duration;

/// One way to fail.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// Nobody listens: connection refused (with a share below 1: a reset just after the accept).
    Refuse,
    /// Packets vanish: connecting never completes.
    BlackHole,
    /// The whole host is off the net: new connections vanish, standing ones fall silent, its queue
    /// stands still. With a `site` selector, a data centre is gone.
    Gone,
    /// TCP lives, nobody answers, from this stage on until the rule is removed.
    Silence,
    /// The connection is reset (RST).
    Reset,
    /// The connection is closed without a word. After the final dot, the message is not kept.
    Close,
    /// The connection is closed without a word after the final dot, and the message is kept.
    CloseKept,
    /// This SMTP reply instead of the right one. 2xx and 3xx change the words only.
    Reply {
        /// The three digits.
        code: u16,
        /// The words, enhanced status code included.
        text: String,
    },
    /// These very characters (each a byte, U+0000 to U+00FF) instead of the right reply, line end
    /// included. What starts with 2 or 3 changes the words only.
    Raw {
        /// What is written.
        text: String,
    },
    /// A line without end.
    Flood,
    /// All that is sent comes one byte at a time, with this pause.
    Slow {
        /// The pause after each byte.
        per_byte: Duration,
    },
    /// The first attempt of each sender, recipient and address gets a 450; later ones pass.
    Greylist {
        /// How long the attempts are turned away.
        wait: Duration,
    },
    /// STARTTLS is not offered, and refused.
    TlsWithheld,
    /// The certificate expired.
    TlsExpired,
    /// The certificate is for another name.
    TlsWrongName,
    /// The certificate is signed by nobody known.
    TlsUntrusted,
    /// Plain bytes follow the answer to STARTTLS, as an attacker in the middle would put there.
    TlsInjected,
    /// The queue stands still.
    Hold,
    /// The queue moves at this rate.
    Drain {
        /// Messages a second, for the host.
        per_second: f64,
    },
    /// Each message rests in the queue this long.
    Late {
        /// How long.
        by: Duration,
    },
    /// The sender gets a "delayed" DSN at once, and the message is held.
    DelayedDsn,
    /// Delivered two times.
    Twice,
    /// Delivered to Junk.
    Junk,
    /// A line is added to the body, as some filters do.
    Alter,
    /// Accepted, and gone.
    Lose,
    /// Accepted, and returned to the sender.
    Bounce {
        /// The form of the report.
        style: BounceStyle,
    },
    /// A tagged NO with these words, response code included.
    No {
        /// The words.
        text: String,
    },
    /// `* BYE` with these words, then the end.
    Bye {
        /// The words.
        text: String,
    },
    /// DNS: the name does not exist.
    NxDomain,
    /// DNS: the server failed.
    ServFail,
    /// DNS: the MX record names a host that left long ago.
    StaleMx,
}

/// The form of a bounce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BounceStyle {
    /// multipart/report with message/delivery-status (RFC 3464).
    Standard,
    /// Plain words, as qmail writes them.
    Plain,
}

/// Where a rule bites: the step that was asked for and now fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the protocols' own words")]
pub enum Stage {
    Connect,
    Greeting,
    Hello,
    StartTls,
    Tls,
    Auth,
    MailFrom,
    RcptTo,
    Data,
    /// The reply to the final dot.
    Accept,
    Login,
    Select,
    Search,
    Fetch,
    Store,
    Idle,
    /// Any other command.
    Command,
    Queue,
    Delivery,
    Dns,
}

/// A door of the sandbox, for a rule to single out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are the protocols' own words")]
pub enum Service {
    Submission,
    Smtps,
    Mx,
    Imap,
    Imaps,
    Dns,
    /// A host's queue, delivery included.
    Queue,
}

impl Fault {
    /// Whether a rule that names no stage means this one.
    pub(crate) fn belongs_at(&self, stage: Stage) -> bool {
        use Stage::{
            Accept, Connect, Delivery, Dns, Greeting, Login, MailFrom, Queue, RcptTo, Search, StartTls, Tls,
        };
        match self {
            Self::Refuse | Self::BlackHole => stage == Connect,
            Self::Gone => !matches!(stage, Delivery | Dns),
            Self::Silence => !matches!(stage, Queue | Delivery),
            Self::Slow { .. } => !matches!(stage, Queue | Delivery | Dns),
            Self::Reset | Self::Flood | Self::Raw { .. } => stage == Greeting,
            Self::Close | Self::CloseKept => stage == Accept,
            Self::Reply { .. } => stage == MailFrom,
            Self::Greylist { .. } => stage == RcptTo,
            Self::TlsWithheld | Self::TlsInjected => stage == StartTls,
            Self::TlsExpired | Self::TlsWrongName | Self::TlsUntrusted => stage == Tls,
            Self::Hold | Self::Drain { .. } | Self::Late { .. } | Self::DelayedDsn => stage == Queue,
            Self::Twice | Self::Junk | Self::Alter | Self::Lose | Self::Bounce { .. } => stage == Delivery,
            Self::No { .. } => matches!(stage, Login),
            Self::Bye { .. } => matches!(stage, Search),
            Self::NxDomain | Self::ServFail | Self::StaleMx => stage == Dns,
        }
    }
}
