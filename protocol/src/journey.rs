//! What else is known of a message's way: how it was handed over, and by which hosts it came.

use std::net::IpAddr;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::time::Time;
use crate::{Stage, Text};

/// The handover to the first server, beside its timed stages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Handover {
    /// Attempts that were put off by a 4xx reply, oldest first; at most [`Self::MAX_DEFERRALS`] are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deferrals: Vec<Deferral>,
    /// When it is tried again, while it is put off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Time>")]
    pub next_attempt_at: Option<Timestamp>,
    /// The site of the server that took the message, by the configuration's patterns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<Text>,
    /// What is not as it was at the probe before: MX hosts, addresses, banner, certificate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
}

impl Handover {
    /// The most deferrals kept.
    pub const MAX_DEFERRALS: usize = 8;
    /// The most changes kept.
    pub const MAX_CHANGES: usize = 8;

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// An attempt that the server put off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Deferral {
    /// When the reply was read.
    #[schemars(with = "Time")]
    pub at: Timestamp,
    /// At which step.
    pub stage: Stage,
    /// The server, as in evidence.
    pub peer: Text,
    /// Its reply.
    pub words: Text,
}

/// Something about a server that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// What: `mx`, `addresses`, `banner`, `certificate`.
    pub what: Text,
    /// What it was before.
    pub was: Text,
    /// What it is now.
    pub is: Text,
}

/// The message's way from acceptance to mailbox, as its header and reports tell it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Journey {
    /// The hosts that passed it on, in the order it met them; at most [`Self::MAX_HOPS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hops: Vec<Hop>,
    /// What the recipient's provider made of its origin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication: Option<Authentication>,
    /// Delivery reports that came back for it, oldest first; at most [`Self::MAX_REPORTS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reports: Vec<Report>,
}

impl Journey {
    /// The most hops kept.
    pub const MAX_HOPS: usize = 32;
    /// The most reports kept.
    pub const MAX_REPORTS: usize = 4;

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// One `Received` line (RFC 5321, section 4.4). All of it is foreign text, and may be made up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hop {
    /// The host that wrote it.
    pub by: Text,
    /// Whom it had the message from, as that host called itself.
    pub from: Text,
    /// The address it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// The protocol: `ESMTPSA` and the like.
    #[serde(default, skip_serializing_if = "Text::is_empty")]
    pub protocol: Text,
    /// The time in it, by that host's clock, in whole seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Time>")]
    pub at: Option<Timestamp>,
    /// How long the message took to get there from the hop before, in microseconds (whole seconds, as the
    /// lines have no finer times). Never negative: see `skewed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_us: Option<u64>,
    /// Its time lies before that of the hop before: two clocks disagree, and `took_us` is 0.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skewed: bool,
    /// The site of that host, by the configuration's patterns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<Text>,
}

/// The `Authentication-Results` (RFC 8601) of the trusted host, each as its bare result word.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Authentication {
    /// The authserv-id.
    pub by: Text,
    /// SPF (RFC 7208).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spf: Option<Text>,
    /// DKIM (RFC 6376).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dkim: Option<Text>,
    /// DMARC (RFC 7489).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dmarc: Option<Text>,
    /// ARC (RFC 8617).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arc: Option<Text>,
    /// What our own check of the DKIM signature says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Text>,
}

/// A delivery report that came back (RFC 3464, or what stands for one).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// When it was seen.
    #[schemars(with = "Time")]
    pub at: Timestamp,
    /// What it says.
    pub kind: ReportKind,
    /// The host that reports.
    pub reporter: Text,
    /// The recipient it is about.
    pub recipient: Text,
    /// The enhanced status code (RFC 3463), such as `5.1.1`; may be empty.
    pub status: Text,
    /// The diagnostic, in the far server's words.
    pub words: Text,
}

/// What a delivery report says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReportKind {
    /// The message will not be delivered.
    Failed,
    /// It is not delivered yet, and goes on being tried.
    Delayed,
    /// It was delivered or passed on.
    Delivered,
}
