//! The probing dialogue: one message offered to one server, each step timed, in the server's words.
//!
//! ```text
//! connect ─→ tls ─→ greeting ─→ auth ─→ envelope ─→ data          implicit TLS
//! connect ─→ greeting ─→ tls ─→ greeting ─→ auth ─→ envelope ─→ data      STARTTLS
//! ```
//! One connection, one message, one command at a time: no pool, no pipelining, nothing that could
//! shift one reply onto another command. Each step has a deadline of its own; at the first trouble
//! the connection is dropped, without a word that would have to be waited for.
//!
//! A failure is a result here. Whether it means refused, deferred or unreachable is decided
//! elsewhere, from the stage and the class. This module knows nothing of schedules, records on disk
//! or mailboxes, and reads no configuration.

mod auth;
mod dialogue;
mod letter;
mod queue_id;
mod reply;
mod wire;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use mailsonar_clock::Clock;
use mailsonar_protocol::{Acceptance, Peer, StageTime, Text};
use secrecy::SecretString;

use crate::net::Network;
use crate::oauth::Tokens;
use crate::tls::Trust;
use crate::trouble::Trouble;

/// How the connection is secured. There is no mode that gives TLS up silently (invariant I11).
#[derive(Debug, Clone)]
pub enum TlsMode {
    /// From the first byte, with a verified certificate (port 465, RFC 8314).
    Tls(Trust),
    /// By STARTTLS (RFC 3207), which must be offered, with a verified certificate.
    Starttls(Trust),
    /// By STARTTLS where it is offered, with any certificate: mail between servers (RFC 7435). What
    /// was amiss is among [`Submitted::asides`]. Takes no credentials.
    Opportunistic(Trust),
    /// None, because the configuration says so.
    Plaintext,
}

/// Who signs in.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The name.
    pub username: String,
    /// What shows that it is them.
    pub proof: Proof,
}

/// What shows who signs in; never in logs, words or `Debug`.
#[derive(Debug, Clone)]
pub enum Proof {
    /// A password.
    Password(SecretString),
    /// An access token (RFC 7628), fetched when it is needed.
    Token(Arc<Tokens>),
}

/// Who signs in, and by whose leave.
#[derive(Clone, Copy)]
pub struct SignIn<'a> {
    /// The credentials.
    pub credentials: &'a Credentials,
    /// Asked before they are shown, and told how that went.
    pub usher: &'a dyn Usher,
}

/// Gives leave to sign in, so that an account is not locked by a monitor that insists.
pub trait Usher: Sync {
    /// Asks for leave, and waits for it where others are before us.
    ///
    /// # Errors
    /// The trouble that says until when not, and why. The submission ends with it.
    fn admit(&self) -> BoxFuture<'_, Result<(), Trouble>>;
    /// Told after each admission how it went.
    fn report(&self, how: SignedIn) -> BoxFuture<'_, ()>;
}

/// How a sign-in went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignedIn {
    /// The credentials were taken.
    Taken,
    /// They were refused.
    Refused,
    /// Neither: the server fell silent, could not decide, or they were never shown.
    Undecided,
}

impl std::fmt::Debug for SignIn<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SignIn").field(self.credentials).finish()
    }
}

/// The server, and how we appear there.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Its name: for the certificate, SNI and people.
    pub host: &'a str,
    /// Its addresses. The first counts: a dead one is the finding. Only where there is no way from
    /// here to the first one's family is the first of the other family tried.
    pub addresses: &'a [SocketAddr],
    /// How the connection is secured.
    pub tls: &'a TlsMode,
    /// With `None` there is no AUTH.
    pub sign_in: Option<SignIn<'a>>,
    /// The name or address literal we give in EHLO.
    pub ehlo_name: &'a str,
}

/// The message and its envelope.
#[derive(Debug, Clone, Copy)]
pub struct Letter<'a> {
    /// The envelope sender; empty for the null sender.
    pub from: &'a str,
    /// The envelope recipient.
    pub to: &'a str,
    /// The message (RFC 5322). Line ends are made CRLF, and dots are stuffed, here.
    pub bytes: &'a [u8],
}

/// The longest each stage may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// TCP, for one address.
    pub connect: Duration,
    /// STARTTLS and the handshake.
    pub tls: Duration,
    /// The banner and EHLO; and again the EHLO after STARTTLS.
    pub greeting: Duration,
    /// AUTH.
    pub auth: Duration,
    /// MAIL FROM and RCPT TO.
    pub envelope: Duration,
    /// DATA until the final reply.
    pub data: Duration,
}

impl Limits {
    /// How many bytes a second a large message is granted at least.
    const PACE: usize = 128 * 1024;

    /// The same, with more time for the content of a message of so many bytes.
    pub(crate) fn with_time_for(self, bytes: usize) -> Self {
        let seconds = u64::try_from(bytes / Self::PACE).unwrap_or(u64::MAX);
        Self { data: self.data.saturating_add(Duration::from_secs(seconds)), ..self }
    }
}

impl Default for Limits {
    fn default() -> Self {
        let usual = Duration::from_secs(10);
        Self {
            connect: usual,
            tls: usual,
            greeting: usual,
            auth: usual,
            envelope: usual,
            data: Duration::from_secs(30),
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitted {
    /// The steps taken, each once, in the order they began; the one that failed included.
    pub stages: Vec<StageTime>,
    /// The server that was spoken to.
    pub peer: Peer,
    /// What was amiss and did not decide: no way to the first address, TLS not verified or not offered.
    pub asides: Vec<Trouble>,
    /// What the server showed of itself.
    pub shown: Shown,
    /// How it ended.
    pub ending: Ending,
}

/// What a server shows of itself, as far as the dialogue came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown {
    /// The words it greets with.
    pub banner: Option<Text>,
    /// Its certificate: fingerprint, issuer, end.
    pub certificate: Option<Text>,
}

/// How a submission ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The server took the message.
    Accepted(Acceptance),
    /// The server does not have the message.
    Failed(Trouble),
    /// All was handed over, and no answer that makes sense came back: the server may have the message
    /// (RFC 1047).
    NoReply(Trouble),
}

/// Offers a letter to a server.
///
/// `progress` hears of each stage as it ends. With STARTTLS the greeting ends twice, the second time
/// with the total: a later word on a stage replaces the earlier one.
///
/// Takes at most the sum of the limits (connect and greeting twice). Returns with the final reply;
/// QUIT is sent by a task of its own, which lives a second at most. Cancel safe: dropped, it drops the
/// connection.
pub async fn submit(
    network: &dyn Network,
    clock: &dyn Clock,
    target: &Target<'_>,
    letter: &Letter<'_>,
    limits: &Limits,
    progress: &mut (dyn FnMut(StageTime) + Send),
) -> Submitted {
    dialogue::Dialogue::new(network, clock, target, letter, limits, progress).hold().await
}
