//! Canaries: messages that are sent to see what a service does with more than plain mail.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::record::words;
use crate::{Outcome, Stage};

/// What a message carries beside its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Canary {
    /// What it is.
    pub kind: CanaryKind,
    /// The size of its attachment, in bytes.
    pub bytes: u64,
    /// Whether to find it in Junk is as good as not to find it at all.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub junk_is_caught: bool,
}

words! {
    /// What a canary is.
    CanaryKind {
        /// An attachment of some size: must arrive.
        Large = "large",
        /// The test file of virus scanners (EICAR): must not arrive.
        Eicar = "eicar",
        /// The test string of spam filters (GTUBE): must not arrive.
        Gtube = "gtube",
    }
}

words! {
    /// What the fate of a canary that must not arrive says of the filter.
    Catch {
        /// Refused with 5xx at the end of the message, bounced, disarmed, or not there after the deadline.
        Caught = "caught",
        /// It arrived, with all that is in it: the filter fails open.
        Arrived = "arrived",
        /// It never came before the filter, or nobody could look.
        Unclear = "unclear",
    }
}

impl Canary {
    /// What the fate of this canary says of the filter; `None` if it is one that may arrive.
    pub fn catch(&self, outcome: Outcome, stage: Option<Stage>) -> Option<Catch> {
        if self.kind == CanaryKind::Large {
            return None;
        }
        Some(match outcome {
            Outcome::Bounced | Outcome::Lost | Outcome::Altered => Catch::Caught,
            // A refusal of the sender, or of the recipient, is no filter's.
            Outcome::Refused if stage == Some(Stage::Data) => Catch::Caught,
            Outcome::Misfiled if self.junk_is_caught => Catch::Caught,
            Outcome::Misfiled | Outcome::Delivered | Outcome::Late => Catch::Arrived,
            Outcome::Refused
            | Outcome::Deferred
            | Outcome::Unreachable
            | Outcome::Unknown
            | Outcome::InFlight => Catch::Unclear,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_came_before_the_filter_says_something_of_it() {
        let eicar = Canary { kind: CanaryKind::Eicar, bytes: 68, junk_is_caught: false };
        let gtube = Canary { kind: CanaryKind::Gtube, junk_is_caught: true, ..eicar };
        let at_data = Some(Stage::Data);
        assert_eq!(eicar.catch(Outcome::Refused, at_data), Some(Catch::Caught));
        assert_eq!(eicar.catch(Outcome::Refused, Some(Stage::Envelope)), Some(Catch::Unclear));
        assert_eq!(eicar.catch(Outcome::Lost, None), Some(Catch::Caught));
        assert_eq!(eicar.catch(Outcome::Late, None), Some(Catch::Arrived));
        assert_eq!(eicar.catch(Outcome::Unknown, at_data), Some(Catch::Unclear));
        assert_eq!(eicar.catch(Outcome::Misfiled, None), Some(Catch::Arrived));
        assert_eq!(gtube.catch(Outcome::Misfiled, None), Some(Catch::Caught));
        assert_eq!(Canary { kind: CanaryKind::Large, ..eicar }.catch(Outcome::Delivered, None), None);
    }
}
