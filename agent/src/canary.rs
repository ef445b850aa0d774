//! What a canary carries: an attachment of some size, or a string that every filter must know.
//!
//! The test strings are kept backwards and turned round when they are needed: with one of them in clear, a
//! virus scanner would take this program, its sources and its configuration for infected, and delete them.
//! Knows no message but the one attachment, and nothing of what its fate means.

use std::fmt::Write as _;

use lettre::message::header::{ContentTransferEncoding, ContentType};
use lettre::message::{Attachment, Body, SinglePart};
use mailsonar_protocol::{Canary, CanaryKind, ProbeId};

use crate::reading;

/// EICAR's anti-malware test file, backwards (<https://www.eicar.org/download-anti-malware-testfile/>).
const EICAR: &str = "*H+H$!ELIF-TSET-SURIVITNA-DRADNATS-RACIE$}7)CC7)^P(45XZP\\4[PA@%P!O5X";

/// The generic test for unsolicited bulk email, backwards (<https://spamassassin.apache.org/gtube/>).
const GTUBE: &str = "X43.C*LIAME-TSET-EBU-ITNA-DRADNATS-EBUTG*NENDI2*3NBSN.1NDAQBDJ4C*SJX";

/// The largest attachment: four thirds of it go over the wire, and servers take some 25 to 50 MB.
pub const MOST: u64 = 32 * 1024 * 1024;

/// How long one line of a large attachment is.
const LINE: u64 = 52;

/// What must not arrive of such a canary, in clear.
fn forbidden(kind: CanaryKind) -> Option<String> {
    let backwards = match kind {
        CanaryKind::Eicar => EICAR,
        CanaryKind::Gtube => GTUBE,
        CanaryKind::Large => return None,
    };
    Some(backwards.chars().rev().collect())
}

/// How large the attachment of a canary without a size of its own is.
pub fn size(kind: CanaryKind) -> u64 {
    forbidden(kind).map_or(0, |text| text.len() as u64)
}

/// The attachment. The same for the same probe, so that each attempt offers the same message.
pub fn attachment(canary: &Canary, probe: ProbeId) -> SinglePart {
    let kind = |text: &str| ContentType::parse(text).expect("a media type");
    match (canary.kind, forbidden(canary.kind)) {
        (CanaryKind::Eicar, Some(text)) => {
            Attachment::new("eicar.com".into()).body(encoded(text), kind("application/octet-stream"))
        }
        // Where filters look for it: in a text part.
        (_, Some(text)) => SinglePart::plain(format!("{text}\r\n")),
        (_, None) => Attachment::new("measurements.csv".into())
            .body(encoded(table(canary.bytes, probe)), kind("text/csv")),
    }
}

/// As mail programs send what is attached.
fn encoded(content: impl Into<Vec<u8>>) -> Body {
    Body::new_with_encoding(content.into(), ContentTransferEncoding::Base64).expect("base64 takes any bytes")
}

/// Rows of figures that no two probes share and no compression shrinks to nothing.
fn table(bytes: u64, probe: ProbeId) -> Vec<u8> {
    let most = usize::try_from(bytes.min(MOST)).unwrap_or(0);
    let mut text = String::with_capacity(most + 64);
    let (high, low) = probe.0.as_u64_pair();
    // SplitMix64: https://prng.di.unimi.it/splitmix64.c
    let mut state = high ^ low;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    for row in 0..=bytes.min(MOST) / LINE {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{row:08},{:016x},{:08},{:016x}\r\n", next(), next() % 100_000_000, next());
    }
    text.truncate(most);
    text.into_bytes()
}

/// Whether what makes a message this canary is still in it: the forbidden string, or the attachment as far
/// as it was fetched.
pub fn is_whole(raw: &[u8], canary: &Canary, probe: ProbeId) -> bool {
    let texts = reading::texts_of(raw);
    if let Some(text) = forbidden(canary.kind) {
        return texts.iter().any(|part| part.contains(&text));
    }
    let expected = table(canary.bytes.min(FETCHED), probe);
    let expected = expected.trim_ascii_end();
    // What was fetched ends somewhere in the middle of the attachment.
    let same = |part: &String| part.bytes().zip(expected).take_while(|(is, was)| is == *was).count();
    texts.iter().map(same).any(|same| same > 0 && same >= expected.len().min(COMPARED))
}

/// The most of an attachment that is fetched with the message's beginning.
const FETCHED: u64 = 64 * 1024;
/// So much of it is compared: what remains of that, decoded, header and text and the cut aside.
const COMPARED: usize = 32 * 1024;

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn no_scanner_finds_a_test_string_in_this_program() {
        let has = |text: &str| {
            let program = std::env::current_exe().expect("a path");
            let found = std::process::Command::new("grep").args(["-qaF", "--", text]).arg(program).status();
            found.expect("grep runs").code()
        };
        assert_eq!(has(EICAR), Some(0), "backwards it is there, so that the search is one");
        for kind in [CanaryKind::Eicar, CanaryKind::Gtube] {
            assert_eq!(
                has(&forbidden(kind).expect("a string")),
                Some(1),
                "{kind} stands in clear in the program"
            );
        }
    }

    #[test]
    fn the_strings_are_those_that_their_makers_publish() {
        use sha2::Digest as _;
        for (kind, sum) in [
            (CanaryKind::Eicar, "275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f"),
            (CanaryKind::Gtube, "4418994365912e23b756ec7f14960f1a89230e44e6acb74de055db7c092f8b9c"),
        ] {
            let text = forbidden(kind).expect("a string");
            let found = sha2::Sha256::digest(text.as_bytes());
            let found = found.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
            assert_eq!((found.as_str(), size(kind)), (sum, 68), "{kind}");
        }
    }

    #[test]
    fn a_table_is_as_long_as_was_asked_the_same_again_and_no_others() {
        let (one, other) = (ProbeId(Uuid::from_u128(1)), ProbeId(Uuid::from_u128(2)));
        for bytes in [0, 1, 51, 52, 53, 100_000] {
            let table = table(bytes, one);
            assert_eq!(table.len() as u64, bytes);
            assert_eq!(table, super::table(bytes, one));
        }
        assert_ne!(table(1_000, one), table(1_000, other));
        assert_eq!(table(u64::MAX, one).len() as u64, MOST);
    }
}
