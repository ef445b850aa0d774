//! The envelope sender of a probe: one of its own, where the server allows it, since some bounces come back
//! with nothing else of the message in them (VERP).
//!
//! The mark is the probe's id and the beginning of its MAC in base32 (RFC 4648), which survives a
//! server that changes case: 42 letters. A local part has 64 at most (RFC 5321, 4.5.3.1.1).

use lettre::Address;
use mailsonar_protocol::ProbeId;
use uuid::Uuid;

use crate::message::{Proof, SHORT_MAC, Tag, TagKey};

/// Bytes of a mark: the id, and what is kept of the MAC.
const BYTES: usize = 16 + SHORT_MAC;

/// Letters of a mark.
pub const LETTERS: usize = (BYTES * 8).div_ceil(5);

/// The longest local part (RFC 5321, 4.5.3.1.1).
const LOCAL: usize = 64;

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Where bounces of an account's probes are to come back to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Bounces {
    /// To the sender's plain address.
    #[default]
    Plain,
    /// To `local+MARK@domain`, which reaches the same mailbox (RFC 5233).
    Plus,
    /// To `MARK@` this domain, all of whose mail reaches the mailbox.
    Domain(String),
}

/// Whether a sender's address leaves room for a mark behind a plus.
pub fn has_room(sender: &Address) -> bool {
    sender.user().len() + 1 + LETTERS <= LOCAL
}

/// The envelope sender of a probe; the plain one where a mark does not fit.
pub fn of(tag: &Tag, key: &TagKey, sender: &Address, bounces: &Bounces) -> Address {
    let marked = match bounces {
        Bounces::Plain => return sender.clone(),
        Bounces::Plus => Address::new(format!("{}+{}", sender.user(), mark(tag, key)), sender.domain()),
        Bounces::Domain(domain) => Address::new(mark(tag, key), domain),
    };
    marked.unwrap_or_else(|_| sender.clone())
}

fn mark(tag: &Tag, key: &TagKey) -> String {
    let bytes = [tag.probe.0.as_bytes().as_slice(), &key.short_mac(tag)].concat();
    let letter = |index: usize| char::from(ALPHABET[usize::from(five_bits(&bytes, index))]);
    (0..LETTERS).map(letter).collect()
}

/// The nth group of five bits; what lies behind the end is 0.
fn five_bits(bytes: &[u8], index: usize) -> u8 {
    let bit = |at: usize| bytes.get(at / 8).map_or(0, |byte| byte >> (7 - at % 8) & 1);
    (0..5).fold(0, |group, offset| group << 1 | bit(index * 5 + offset))
}

/// What a mark claims, if this is one: whose message it was, and the proof.
pub fn read(letters: &str) -> Option<(ProbeId, Proof)> {
    if letters.len() != LETTERS {
        return None;
    }
    let mut bytes = [0_u8; BYTES];
    for (index, letter) in letters.bytes().enumerate() {
        let letter = letter.to_ascii_lowercase();
        let group = ALPHABET.iter().position(|own| *own == letter)?;
        for offset in 0..5 {
            let at = index * 5 + offset;
            if group >> (4 - offset) & 1 == 1 {
                // Bits beyond the last byte are padding, and 0 in what we wrote.
                *bytes.get_mut(at / 8)? |= 1 << (7 - at % 8);
            }
        }
    }
    let (id, mac) = bytes.split_at(16);
    let mac = <[u8; SHORT_MAC]>::try_from(mac).ok()?;
    Some((ProbeId(Uuid::from_slice(id).ok()?), Proof::Short(mac)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tag(number: u128) -> Tag {
        let name = |text: &str| text.parse().expect("a name");
        Tag {
            probe: ProbeId(Uuid::from_u128(number)),
            agent: "eu-1".parse().expect("a name"),
            route: name("loop"),
        }
    }

    #[test]
    fn each_way_leads_back_to_the_mailbox_and_fits() {
        let (key, sender) =
            (TagKey::new([1; 32]), "mailsonar@acme.example".parse::<Address>().expect("an address"));
        let of = |bounces: &Bounces| of(&tag(7), &key, &sender, bounces).to_string();
        assert_eq!(of(&Bounces::Plain), "mailsonar@acme.example");
        let plus = of(&Bounces::Plus);
        assert!(plus.starts_with("mailsonar+") && plus.ends_with("@acme.example"), "{plus}");
        let apart = of(&Bounces::Domain("bounces.acme.example".into()));
        assert_eq!(apart.find('@'), Some(LETTERS), "{apart}");
        assert!(has_room(&sender) && plus.find('@').is_some_and(|length| length <= LOCAL));
        let long = format!("{}@a.example", "x".repeat(22)).parse().expect("an address");
        assert!(!has_room(&long));
    }

    proptest! {
        #[test]
        fn a_mark_is_read_in_any_case_and_a_change_of_any_letter_breaks_it(
            number in any::<u128>(), at in 0..LETTERS, letter in "[a-z2-7]"
        ) {
            let (key, tag) = (TagKey::new([1; 32]), tag(number));
            let mark = mark(&tag, &key);
            let (probe, proof) = read(&mark.to_ascii_uppercase()).expect("a mark");
            prop_assert_eq!(probe, tag.probe);
            prop_assert!(key.proves(&tag, &proof));
            let mut changed = mark.clone();
            changed.replace_range(at..=at, &letter);
            if changed != mark && let Some((probe, proof)) = read(&changed) {
                let other = Tag { probe, ..tag };
                prop_assert!(!key.proves(&other, &proof));
            }
        }

        #[test]
        fn no_text_is_an_error(text in "\\PC{0,50}") {
            read(&text);
        }
    }
}
