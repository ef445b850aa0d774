//! What a text says of our probes: whole tags, and the parts of them that bounces keep. Only a claim; whether
//! it is true is for the key to say.

use mailsonar_protocol::{AgentName, ProbeId, RouteName};
use serde::Serialize;

use crate::message::{Proof, Tag, TagKey};
use crate::return_path;

/// The most claims of one message: one is enough, and each costs a look-up.
const CLAIMS: usize = 8;

const UUID: usize = 36;
const MAC: usize = 32;

/// A part of a tag, found in a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The probe it names.
    pub probe: ProbeId,
    /// Agent and route, where it is the whole tag.
    pub named: Option<(AgentName, RouteName)>,
    /// What it offers as proof.
    pub proof: Proof,
    /// Which part of the message it was.
    pub part: PartOfTag,
}

/// By which part of the tag a message was known again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PartOfTag {
    /// The header field of its own: the whole tag.
    Header,
    /// The Message-ID.
    MessageId,
    /// The line in the body.
    Body,
    /// The envelope sender.
    Envelope,
}

impl Claim {
    /// The tag, if the claim is true for this agent and route.
    pub fn proven(&self, key: &TagKey, agent: &AgentName, route: &RouteName) -> Option<Tag> {
        let tag = Tag { probe: self.probe, agent: agent.clone(), route: route.clone() };
        let fits = self.named.as_ref().is_none_or(|(own, way)| own == agent && way == route);
        (fits && key.proves(&tag, &self.proof)).then_some(tag)
    }
}

/// All claims in a text, each once, whole tags first. One pass.
pub(crate) fn claims<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<Claim> {
    let mut found: Vec<Claim> = Vec::new();
    for text in texts {
        gather(text, &mut found);
    }
    found.sort_by_key(|claim| claim.named.is_none());
    found.truncate(CLAIMS);
    found
}

fn gather(text: &str, found: &mut Vec<Claim>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() && found.len() < 4 * CLAIMS {
        if !is_of_word(bytes[at]) {
            at += 1;
            continue;
        }
        let end = bytes[at..].iter().position(|&byte| !is_of_word(byte)).map_or(bytes.len(), |n| at + n);
        let claim = match end - at {
            UUID => tagged(text, at, end),
            return_path::LETTERS if bytes.get(end) == Some(&b'@') => marked(&text[at..end]),
            _ => None,
        };
        if let Some(claim) = claim.filter(|claim| !found.contains(claim)) {
            found.push(claim);
        }
        at = end;
    }
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}

/// `PROBE.MAC@`, `PROBE/MAC` or `PROBE/AGENT/ROUTE/MAC`.
fn tagged(text: &str, at: usize, end: usize) -> Option<Claim> {
    let probe = text[at..end].parse().ok()?;
    let rest = text.get(end + 1..)?;
    let claim =
        |named, mac: &str, part| Claim { probe, named, proof: Proof::Whole(mac.to_ascii_lowercase()), part };
    match text.as_bytes()[end] {
        b'.' => Some(claim(None, mac(rest)?, PartOfTag::MessageId)),
        b'/' => {
            if let Some(mac) = mac(rest) {
                return Some(claim(None, mac, PartOfTag::Body));
            }
            let (agent, rest) = rest.split_once('/')?;
            let (route, rest) = rest.split_once('/')?;
            let named = (agent.parse().ok()?, route.parse().ok()?);
            Some(claim(Some(named), mac(rest)?, PartOfTag::Header))
        }
        _ => None,
    }
}

/// The MAC that a text begins with.
fn mac(text: &str) -> Option<&str> {
    let mac = text.get(..MAC)?;
    let ends = text.as_bytes().get(MAC).is_none_or(|&next| !is_of_word(next));
    (ends && mac.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(mac)
}

fn marked(letters: &str) -> Option<Claim> {
    let (probe, proof) = return_path::read(letters)?;
    Some(Claim { probe, named: None, proof, part: PartOfTag::Envelope })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::message::{Envelope, compose};
    use crate::return_path::Bounces;

    #[test]
    fn every_part_of_the_tag_is_found_and_proven() {
        use PartOfTag::{Body, Envelope as Sender, Header, MessageId};
        let key = TagKey::new([1; 32]);
        let tag = Tag {
            probe: ProbeId(Uuid::from_u128(7)),
            agent: "eu-1".parse().expect("a name"),
            route: "loop.a".parse().expect("a name"),
        };
        let from: lettre::Address = "probe@a.example".parse().expect("an address");
        let sender = return_path::of(&tag, &key, &from, &Bounces::Plus);
        let envelope = Envelope { from: from.clone(), to: from, canary: None };
        let message = compose(&tag, &key, &envelope, Timestamp::UNIX_EPOCH, &[]);
        let text = format!("Return-Path: <{sender}>\r\n{}", String::from_utf8(message).expect("ASCII"));
        let claims = claims([text.as_str()]);
        let parts: Vec<_> = claims.iter().map(|claim| claim.part).collect();
        assert_eq!(parts[0], Header, "the whole tag first");
        assert!([Sender, Body, MessageId].iter().all(|part| parts.contains(part)), "{parts:?}");
        let other = "loop.b".parse().expect("a name");
        for claim in &claims {
            assert_eq!(claim.proven(&key, &tag.agent, &tag.route).as_ref(), Some(&tag), "{claim:?}");
            assert_eq!(claim.proven(&key, &tag.agent, &other), None, "{claim:?}");
            assert_eq!(claim.proven(&TagKey::new([2; 32]), &tag.agent, &tag.route), None, "{claim:?}");
        }
    }

    #[test]
    fn a_flood_of_claims_is_bounded() {
        let line = |n: u128| format!("{}/{n:032x}\n", Uuid::from_u128(n));
        let flood: String = (0..10_000).map(line).collect();
        assert_eq!(claims([flood.as_str()]).len(), CLAIMS);
    }

    proptest! {
        #[test]
        fn no_text_is_an_error(text in "([0-9a-f]{8}-|[0-9a-f]{4}-|[0-9a-f]{32}|[/.@]|\\PC){0,30}") {
            claims([text.as_str()]);
        }
    }
}
