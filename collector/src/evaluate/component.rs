//! What can be at fault, and how blame is put into words.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something that can be at fault.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Component {
    /// What kind of thing.
    pub kind: ComponentKind,
    /// Which: an agent, a provider (service or reference), or `host[address]`.
    pub name: String,
}

/// Kinds of components, in the order a message meets them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ComponentKind {
    /// An agent and its own network.
    Vantage,
    /// The DNS of a provider's domains.
    Dns,
    /// A provider's submission.
    Submission,
    /// One MX host at one address.
    Mx,
    /// A provider's delivery, between acceptance and mailbox.
    Delivery,
    /// A provider's IMAP.
    Mailbox,
}

impl ComponentKind {
    /// Every kind, in order.
    pub const ALL: [Self; 6] =
        [Self::Vantage, Self::Dns, Self::Submission, Self::Mx, Self::Delivery, Self::Mailbox];

    /// The word for it in JSON, labels and pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vantage => "vantage",
            Self::Dns => "dns",
            Self::Submission => "submission",
            Self::Mx => "mx",
            Self::Delivery => "delivery",
            Self::Mailbox => "mailbox",
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.name)
    }
}

/// Who is to blame, and why nobody else is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Blame {
    /// What is left after all that took part in a success is cleared; more than one where the evidence
    /// cannot tell them apart.
    pub suspects: Vec<Component>,
    /// What was cleared, and by what.
    #[serde(default)]
    pub cleared: Vec<Cleared>,
    /// Whether a reference could have caused all of it, and no route tells: then it is no more than a warning
    /// about the service.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undecided: bool,
    /// The reasoning, in a sentence.
    pub words: String,
}

/// A component that took part in something that just succeeded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cleared {
    /// Which.
    pub component: Component,
    /// By what success.
    pub words: String,
}
