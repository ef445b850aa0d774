//! Names and ids. A name is a label in metrics, a key in stores and a word in pages, so its alphabet
//! is one that needs no escaping anywhere.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The longest name, in bytes.
const MAX_NAME: usize = 63;

/// A text that cannot be a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a name: use 1 to {MAX_NAME} letters, digits, '.', '_' or '-', and start with a letter or digit"
)]
pub struct InvalidName(pub String);

fn checked(text: &str) -> Result<String, InvalidName> {
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    let spelled_well = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if starts_well && spelled_well && text.len() <= MAX_NAME {
        Ok(text.to_owned())
    } else {
        Err(InvalidName(text.chars().take(MAX_NAME).collect()))
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                checked(text).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name! {
    /// The name of one agent, unique among all agents of a collector.
    AgentName
}
name! {
    /// The place an agent probes from.
    Region
}
name! {
    /// One way a message travels, as the agent's configuration names it.
    RouteName
}
name! {
    /// One mailbox with its credentials, as the agent's configuration names it.
    AccountName
}
name! {
    /// A mail service under watch, or a provider of reference accounts.
    ServiceName
}

/// The id of one probe: a UUID, made by the agent, carried in the probe's tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ProbeId(pub Uuid);

impl fmt::Display for ProbeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl FromStr for ProbeId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        Uuid::parse_str(text).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_take_a_plain_alphabet_only() {
        for good in ["eu-1", "A", "acme.example_in", &"x".repeat(63)] {
            assert_eq!(good.parse::<AgentName>().map(String::from), Ok(good.to_owned()));
        }
        for bad in ["", "-a", ".a", "a b", "a\n", "<b>", "\u{e9}", "a\"", &"x".repeat(64)] {
            assert!(bad.parse::<AgentName>().is_err(), "{bad:?}");
            let json = serde_json::to_string(bad).expect("a string is JSON");
            assert!(serde_json::from_str::<AgentName>(&json).is_err(), "{bad:?} by serde");
        }
    }
}
