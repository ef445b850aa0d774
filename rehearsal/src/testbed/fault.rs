//! The faults that can be switched on at a provider. What each does is in `provider.rs`; what the
//! gate's faults answer is in `gate.rs`.

use std::fmt;

/// The door by which mail enters a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Door {
    /// Submission by an authenticated account (both ports).
    Submission,
    /// Mail from outside, at the MX port.
    Mx,
    /// Both doors.
    Any,
}

impl Door {
    /// Whether this covers mail at `door`.
    pub fn covers(self, door: Self) -> bool {
        self == Self::Any || self == door
    }
}

/// One thing that is wrong with one provider, with real effect on real servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Mail is accepted and stays in the queue: Dovecot's LMTP socket is gone.
    LmtpGone,
    /// All of Postfix stands still (`SIGSTOP`): connections open, nobody speaks.
    PostfixFrozen,
    /// All of Postfix is killed: connections are refused, the queue stays on disk.
    PostfixKilled,
    /// No account's password is what it was; see [`super::Provider::set_password`] for one.
    WrongPassword,
    /// All TLS endpoints show a certificate that expired in 2020.
    ///
    /// A change of certificate cuts all IMAP sessions, as Dovecot's reload does. A client that resumes
    /// an earlier TLS session is shown no certificate at all.
    CertificateExpired,
    /// All TLS endpoints show a certificate for [`super::WRONG_NAME`].
    CertificateWrongName,
    /// Every recipient is refused with 550 5.1.1.
    Reject(Door),
    /// Every recipient is deferred with 450 4.7.1, as a greylister does.
    Defer(Door),
    /// Mail for this provider's mailboxes is filed in Junk.
    Junk,
    /// Mail is accepted, then bounced with 5.1.1. Bounces themselves (null sender) pass.
    Bounce(Door),
    /// Mail is accepted, then silently discarded.
    Blackhole(Door),
    /// Mail is accepted and held in the queue until it is let go; see [`super::Provider::release`].
    Hold(Door),
    /// A line is added to every probe's body on the way in, as some filters do.
    Alter,
    /// Every message is refused with 550 5.7.1 at its final dot.
    RefuseContent(Door),
    /// The server dies at the final dot of every message, without a reply; the message is not kept.
    CloseAfterDot(Door),
    /// Nobody listens for IMAP and all sessions are cut; LMTP and authentication for submission live.
    ImapStopped,
    /// IMAP stands still (`SIGSTOP`): connections open, nobody speaks.
    ImapFrozen,
    /// All of Dovecot is killed. Mail is queued, and submission fails too, since Postfix has nobody to
    /// ask for passwords.
    DovecotKilled,
}

/// Every fault once, door faults at both doors: for tests that go through them all.
pub const ALL_FAULTS: [Fault; 18] = [
    Fault::Alter,
    Fault::LmtpGone,
    Fault::PostfixFrozen,
    Fault::PostfixKilled,
    Fault::WrongPassword,
    Fault::CertificateExpired,
    Fault::CertificateWrongName,
    Fault::Reject(Door::Any),
    Fault::Defer(Door::Any),
    Fault::Junk,
    Fault::Bounce(Door::Any),
    Fault::Blackhole(Door::Any),
    Fault::Hold(Door::Any),
    Fault::RefuseContent(Door::Any),
    Fault::CloseAfterDot(Door::Any),
    Fault::ImapStopped,
    Fault::ImapFrozen,
    Fault::DovecotKilled,
];

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
