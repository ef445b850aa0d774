//! Who may speak: bearer tokens, known only by their SHA-256, each bound to one agent and region.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use axum::http::{HeaderMap, header};
use mailsonar_protocol::{AgentName, Region};
use mailsonar_settings::{Document, Problem};
use serde::{Deserialize, Deserializer, de};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::Refusal;

/// `[agents.NAME]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentConfig {
    /// Where it stands.
    pub region: Region,
    /// The SHA-256 of its token, in hexadecimal.
    pub token_sha256: TokenHash,
}

/// The SHA-256 of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenHash([u8; 32]);

impl<'de> Deserialize<'de> for TokenHash {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        let text = String::deserialize(reader)?;
        from_hex(&text).map(Self).ok_or_else(|| {
            de::Error::custom(
                "is not a SHA-256 in hexadecimal (64 digits); `mailsonar-collector token` makes a token and its hash",
            )
        })
    }
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> =
        text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits.chunks(2).map(|pair| (pair[0] << 4) | pair.get(1).unwrap_or(&0)).collect();
    if digits.len() == 64 { bytes.try_into().ok() } else { None }
}

/// The SHA-256 of a token, in hexadecimal, as the configuration wants it.
pub fn token_hash(token: &str) -> String {
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(token.as_bytes()) {
        // Writing to a `String` cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

/// Every configured agent.
pub type Agents = BTreeMap<AgentName, AgentConfig>;

/// The agent whose token a request bears.
pub(super) fn by_token<'a>(
    agents: &'a Agents,
    headers: &HeaderMap,
) -> Result<(&'a AgentName, &'a AgentConfig), Refusal> {
    let at = bearer(headers, agents.values().map(|config| &config.token_sha256));
    at.and_then(|at| agents.iter().nth(at)).ok_or(Refusal::Unauthorized)
}

/// Which of these tokens a request bears.
pub(crate) fn bearer<'a>(headers: &HeaderMap, tokens: impl Iterator<Item = &'a TokenHash>) -> Option<usize> {
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let (scheme, token) = value.and_then(|value| value.split_once(' '))?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    which(token, tokens)
}

/// Which of these tokens it is. Every one is compared, in constant time.
pub(crate) fn which<'a>(token: &str, tokens: impl Iterator<Item = &'a TokenHash>) -> Option<usize> {
    let hash: [u8; 32] = Sha256::digest(token.trim().as_bytes()).into();
    let mut found = u32::MAX;
    for (at, known) in (0..).zip(tokens) {
        let equal: Choice = known.0.ct_eq(&hash);
        found.conditional_assign(&at, equal);
    }
    (found != u32::MAX).then_some(found as usize)
}

/// What cannot be meant: one token for two agents.
pub fn check(agents: &Agents, document: &Document) -> Vec<Problem> {
    let mut seen: BTreeMap<TokenHash, &AgentName> = BTreeMap::new();
    let mut problems = Vec::new();
    for (name, config) in agents {
        if let Some(other) = seen.insert(config.token_sha256, name) {
            problems.push(document.problem(
                &format!("agents.{name}.token_sha256"),
                format!("is the token of agent {other} too"),
                "give every agent a token of its own: `mailsonar-collector token`",
            ));
        }
    }
    problems
}
