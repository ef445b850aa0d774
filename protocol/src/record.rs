//! The record: all that is known of one probe, and the verdict on it.

use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::time::Time;
use crate::{Canary, Handover, Journey, ProbeId, RouteName, ServiceName, Text};

/// All that is known of one probe.
///
/// Facts are added by the agent as they come in; each addition that changes something raises
/// [`Self::revision`]. Times are the agent's steady clock (see the `clock` crate): differences within
/// one agent's life are exact durations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// The probe's id.
    pub probe: ProbeId,
    /// Counts from 1; the highest revision is the truth.
    pub revision: u32,
    /// The service under watch; on a control route, the reference provider.
    pub service: ServiceName,
    /// The reference provider at the other end, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<ServiceName>,
    /// The route.
    pub route: RouteName,
    /// Follows from the route's ends.
    pub direction: Direction,
    /// How the message is handed over.
    pub door: Door,
    /// What the message carries, if it is a canary; its direction is then [`Direction::Canary`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
    /// Whether this probe was sent out of turn, to confirm a failure.
    #[serde(default)]
    pub confirmation: bool,
    /// When the schedule wanted it sent.
    #[schemars(with = "Time")]
    pub scheduled_at: Timestamp,
    /// When work on it began.
    #[schemars(with = "Time")]
    pub started_at: Timestamp,
    /// When it must have arrived: acceptance (or the start, while there is none) plus the route's deadline.
    #[schemars(with = "Time")]
    pub due_at: Timestamp,
    /// The timed steps, in the order they were taken.
    #[serde(default)]
    pub stages: Vec<StageTime>,
    /// The server that was spoken to for submission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<Peer>,
    /// The server's acceptance of the message, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Acceptance>,
    /// The first arrival in the mailbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrival: Option<Arrival>,
    /// Copies that arrived beyond the first.
    #[serde(default)]
    pub duplicates: u32,
    /// When a complete search of the mailbox last ended without finding the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Time>")]
    pub searched_at: Option<Timestamp>,
    /// How the message was handed over.
    #[serde(default, skip_serializing_if = "Handover::is_empty")]
    pub handover: Handover,
    /// By which hosts it came, and what came back.
    #[serde(default, skip_serializing_if = "Journey::is_empty")]
    pub journey: Journey,
    /// What went wrong, in the order it happened, in the servers' own words. At most 16 are kept.
    #[serde(default)]
    pub evidence: Vec<Evidence>,
    /// What all this amounts to.
    pub verdict: Verdict,
}

impl Record {
    /// The most pieces of evidence a record keeps.
    pub const MAX_EVIDENCE: usize = 16;

    /// From acceptance until visible in the mailbox, in microseconds; `None` until both are known.
    /// A message can be seen before its acceptance is read: then it is 0.
    pub fn latency_us(&self) -> Option<u64> {
        let (accepted, arrival) = (self.accepted.as_ref()?, self.arrival.as_ref()?);
        Some(micros_between(accepted.at, arrival.visible_at))
    }

    /// From the first attempt to acceptance, in microseconds: what a real sender's mail would have waited.
    /// `None` where it was taken at the first attempt, or not at all.
    pub fn sender_wait_us(&self) -> Option<u64> {
        let accepted = self.accepted.as_ref().filter(|_| !self.handover.deferrals.is_empty())?;
        Some(micros_between(self.started_at, accepted.at))
    }

    /// Whether nothing more is expected before the deadline: the verdict is in.
    pub fn is_concluded(&self) -> bool {
        self.verdict.outcome != Outcome::InFlight
    }
}

fn micros_between(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.as_microsecond() - from.as_microsecond()).unwrap_or(0)
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $variant),+ }

        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word for it in JSON, labels and pages.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;
            fn from_str(word: &str) -> Result<Self, String> {
                Self::ALL.iter().copied().find(|v| v.as_str() == word)
                    .ok_or_else(|| format!("{word:?} is not one of {:?}", Self::ALL.iter().map(|v| v.as_str()).collect::<Vec<_>>()))
            }
        }
    };
}

pub(crate) use words;

words! {
    /// Which way a route crosses the service.
    Direction {
        /// From the service to a reference account.
        Outbound = "outbound",
        /// From elsewhere into the service.
        Inbound = "inbound",
        /// From the service to itself.
        Loop = "loop",
        /// Between reference accounts, never touching the service.
        Control = "control",
        /// Whichever way a canary takes: it speaks for no leg, and no figure of ordinary mail has it in it.
        Canary = "canary",
    }
}

words! {
    /// How a message is handed over.
    Door {
        /// Authenticated submission (RFC 6409) at the sender's provider.
        Submission = "submission",
        /// Straight to an MX host of the recipient's domain (RFC 5321).
        Mx = "mx",
    }
}

words! {
    /// A timed step of a probe, or of the mailbox watcher that waits for it.
    Stage {
        /// DNS.
        Resolve = "resolve",
        /// TCP.
        Connect = "connect",
        /// The handshake, with the STARTTLS command where there is one.
        Tls = "tls",
        /// The server's banner, and EHLO or HELO.
        Greeting = "greeting",
        /// SMTP AUTH.
        Auth = "auth",
        /// MAIL FROM and RCPT TO.
        Envelope = "envelope",
        /// DATA until the final reply.
        Data = "data",
        /// Accepted until visible in the mailbox.
        Transit = "transit",
        /// Visible until fetched.
        Retrieve = "retrieve",
        /// Tag and body checked.
        Verify = "verify",
        /// IMAP: greeting and sign-in.
        Login = "login",
        /// IMAP: folders found and selected.
        Select = "select",
        /// IMAP: waiting for news.
        Idle = "idle",
    }
}

words! {
    /// What became of a probe. `unknown` is a verdict: "I could not look" is not "it is not there".
    Outcome {
        /// Accepted or under way, and not yet due.
        InFlight = "in_flight",
        /// Arrived in time.
        Delivered = "delivered",
        /// Arrived after the deadline.
        Late = "late",
        /// The deadline passed, and a complete search of the mailbox after it found nothing.
        Lost = "lost",
        /// A delivery status notification says failed (RFC 3464).
        Bounced = "bounced",
        /// Refused for good by a 5xx reply.
        Refused = "refused",
        /// Refused for now by 4xx replies until the retry schedule ran out.
        Deferred = "deferred",
        /// DNS, connect or TLS failed, or the server fell silent before the message was handed over.
        Unreachable = "unreachable",
        /// Arrived, in Junk.
        Misfiled = "misfiled",
        /// Arrived, but the body is not what was sent.
        Altered = "altered",
        /// It could not be determined.
        Unknown = "unknown",
    }
}

impl Outcome {
    /// Whether this outcome says that mail did not flow as it should. `in_flight` and `unknown` say
    /// neither.
    pub fn is_failure(self) -> bool {
        !matches!(self, Self::InFlight | Self::Delivered | Self::Unknown)
    }

    /// Whether the message was seen in the mailbox.
    pub fn has_arrived(self) -> bool {
        matches!(self, Self::Delivered | Self::Late | Self::Misfiled | Self::Altered)
    }
}

words! {
    /// The kind of trouble: few enough to be a metric's label. The finer detail is in the evidence.
    Class {
        /// A DNS failure: `nxdomain`, `nodata`, `servfail`, `timeout`, `null_mx`.
        Dns = "dns",
        /// TCP could not be set up: refused, reset, unreachable.
        Connect = "connect",
        /// A stage's deadline passed in silence.
        Timeout = "timeout",
        /// The connection ended in the middle.
        Closed = "closed",
        /// Handshake or certificate.
        Tls = "tls",
        /// Something that looks like an attack on the connection: STARTTLS withheld, bytes injected
        /// before the handshake, PREAUTH.
        Security = "security",
        /// The credentials were refused, or are not tried again yet.
        Auth = "auth",
        /// A 4xx reply.
        Temporary = "temporary",
        /// A 5xx reply.
        Permanent = "permanent",
        /// The peer does not speak the protocol.
        Protocol = "protocol",
        /// The peer sent more than it may.
        Limit = "limit",
        /// Accepted by a server, and not there.
        Missing = "missing",
        /// Arrived, but in the wrong place, too late, or changed.
        Quality = "quality",
        /// The mailbox could not be looked into.
        Mailbox = "mailbox",
        /// Our own trouble: disk, restart, limits of this agent.
        Own = "own",
    }
}

words! {
    /// How an arrival was noticed, which says how exact its time is.
    SeenBy {
        /// A brisk NOOP while the mail was due.
        Noop = "noop",
        /// An IDLE notification.
        Idle = "idle",
        /// A slow poll.
        Poll = "poll",
        /// A scan of the folder after a connection was made.
        Scan = "scan",
    }
}

/// A timed step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StageTime {
    /// The step.
    pub stage: Stage,
    /// How long it took, in microseconds.
    pub took_us: u64,
}

/// A server that was spoken to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Peer {
    /// Its name, as configured or found in DNS.
    pub host: Text,
    /// The address connected to, or tried last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// The port.
    pub port: u16,
    /// TLS version and cipher, where TLS was spoken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Text>,
    /// When the certificate it showed ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Time>")]
    pub certificate_expires_at: Option<Timestamp>,
}

/// A server's acceptance of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Acceptance {
    /// When the final reply was read.
    #[schemars(with = "Time")]
    pub at: Timestamp,
    /// The reply, in the server's words.
    pub reply: Text,
    /// The queue id in it, where one was recognised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_id: Option<Text>,
}

/// The first arrival of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Arrival {
    /// When the server first told us of it.
    #[schemars(with = "Time")]
    pub visible_at: Timestamp,
    /// By what means.
    pub seen_by: SeenBy,
    /// It may have been there this much earlier, in microseconds; but not before its acceptance, since
    /// what comes before that counts as a latency of 0.
    pub uncertainty_us: u64,
    /// The folder it was in.
    pub folder: Text,
    /// Whether that folder is Junk (RFC 6154).
    pub junk: bool,
    /// The folder's UIDVALIDITY and the message's UID: which copy this is.
    pub copy: (u32, u32),
    /// Whether the body is, byte for byte, what was sent.
    pub intact: bool,
}

/// One thing that went wrong, where, and in whose words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// When.
    #[schemars(with = "Time")]
    pub at: Timestamp,
    /// In which step.
    pub stage: Stage,
    /// The kind of trouble.
    pub class: Class,
    /// A finer word within the class, such as `nxdomain` or `certificate_expired`.
    pub detail: Text,
    /// The peer, as `host` or `host[address]:port`.
    #[serde(default, skip_serializing_if = "Text::is_empty")]
    pub peer: Text,
    /// What the server or the system said.
    #[serde(default, skip_serializing_if = "Text::is_empty")]
    pub words: Text,
}

/// The verdict on a probe, and the reason for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// What became of the probe.
    pub outcome: Outcome,
    /// The step that decided it, where it is not good news.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// The kind of trouble.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
    /// A sentence for a person.
    pub reason: Text,
    /// When it was reached.
    #[schemars(with = "Time")]
    pub at: Timestamp,
}
