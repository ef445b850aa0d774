//! The DKIM signature of a message (RFC 6376; Ed25519: RFC 8463), checked by ourselves: the recipient's
//! provider may say nothing of it, or something else.
//!
//! Pure: the key's record is looked up elsewhere. Our own rather than mail-auth's: that asks DNS itself and
//! reads the clock, and brings SPF, ARC and reports along; ring, which checks the signature, is in the
//! house for TLS anyway.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use der::asn1::{AnyRef, BitStringRef};
use der::{Decode, Header as DerHeader, SliceReader};
use ring::signature::{ED25519, RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY as RSA, UnparsedPublicKey};
use sha2::{Digest, Sha256};

use super::header::{Field, Header, split};

/// The most signatures of one message that are looked at.
const SIGNATURES: usize = 3;

/// A signature, not yet checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    domain: String,
    selector: String,
    ed25519: bool,
    relaxed: (bool, bool),
    fields: Vec<String>,
    body_hash: Vec<u8>,
    value: Vec<u8>,
    length: Option<usize>,
    /// Which of the `DKIM-Signature` fields it is.
    index: usize,
}

/// The signatures of a message, topmost first; those that cannot be read are left out.
pub fn signatures(message: &[u8]) -> Vec<Signature> {
    let (header, _) = split(message);
    let fields = header.all("DKIM-Signature").take(SIGNATURES).enumerate();
    fields.filter_map(|(index, field)| Signature::read(field, index)).collect()
}

impl Signature {
    fn read(field: &Field<'_>, index: usize) -> Option<Self> {
        let value = field.value();
        let tag = |name: &str| tag(&value, name);
        let bytes = |name: &str| STANDARD.decode(tag(name)?.split_whitespace().collect::<String>()).ok();
        let ed25519 = match tag("a")? {
            "rsa-sha256" => false,
            "ed25519-sha256" => true,
            _ => return None,
        };
        let (head, body) =
            tag("c").map_or(("simple", "simple"), |c| c.split_once('/').unwrap_or((c, "simple")));
        let is_relaxed = |way: &str| match way {
            "relaxed" => Some(true),
            "simple" => Some(false),
            _ => None,
        };
        Some(Self {
            domain: tag("d")?.to_owned(),
            selector: tag("s")?.to_owned(),
            ed25519,
            relaxed: (is_relaxed(head)?, is_relaxed(body)?),
            fields: tag("h")?.split(':').map(|name| name.trim().to_ascii_lowercase()).collect(),
            body_hash: bytes("bh")?,
            value: bytes("b")?,
            length: tag("l").map(str::parse).transpose().ok()?,
            index,
        })
    }

    /// Where its key is published.
    pub fn key_name(&self) -> String {
        format!("{}._domainkey.{}", self.selector, self.domain)
    }

    /// Checks it with the key's record: `pass`, or in RFC 8601's words what is wrong with it.
    pub fn check(&self, message: &[u8], record: &str) -> &'static str {
        let Some(key) = key(record, self.ed25519) else {
            return "permerror: the key's record is no such key";
        };
        if key.is_empty() {
            return "permerror: the key was revoked";
        }
        let (header, body) = split(message);
        let body = canonical_body(body, self.relaxed.1);
        let signed = &body[..self.length.unwrap_or(body.len()).min(body.len())];
        if Sha256::digest(signed).as_slice() != self.body_hash {
            return "fail: the body is not what was signed";
        }
        let head = self.signed_header(&header);
        let verified = if self.ed25519 {
            UnparsedPublicKey::new(&ED25519, key).verify(&Sha256::digest(&head), &self.value)
        } else {
            UnparsedPublicKey::new(&RSA, key).verify(&head, &self.value)
        };
        if verified.is_ok() { "pass" } else { "fail: the header is not what was signed, or by another key" }
    }

    /// The fields that were signed, as they were: of several of one name the lowest first (5.4.2).
    fn signed_header(&self, header: &Header<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        for (at, name) in self.fields.iter().enumerate() {
            let before = self.fields[..at].iter().filter(|own| *own == name).count();
            let fields: Vec<_> = header.all(name).collect();
            if let Some(field) = fields.iter().rev().nth(before) {
                canonical_field(field.whole(), self.relaxed.0, &mut out);
                out.extend_from_slice(b"\r\n");
            }
        }
        if let Some(own) = header.all("DKIM-Signature").nth(self.index) {
            canonical_field(&unsigned(own.whole()), self.relaxed.0, &mut out);
        }
        out
    }
}

/// The value of a tag in a list of them (3.2).
fn tag<'a>(list: &'a str, name: &str) -> Option<&'a str> {
    let tags = list.split(';').filter_map(|tag| tag.split_once('='));
    tags.map(|(own, value)| (own.trim(), value.trim())).find(|(own, _)| *own == name).map(|(_, value)| value)
}

/// The public key in a record (3.6.1); empty where it was revoked.
fn key(record: &str, ed25519: bool) -> Option<Vec<u8>> {
    let kind = tag(record, "k").unwrap_or("rsa");
    if kind != if ed25519 { "ed25519" } else { "rsa" } {
        return None;
    }
    let bytes = STANDARD.decode(tag(record, "p")?.split_whitespace().collect::<String>()).ok()?;
    // RSA keys are published with their algorithm around them (SubjectPublicKeyInfo); ring wants the inside.
    if ed25519 || bytes.is_empty() { Some(bytes) } else { Some(inside(&bytes).unwrap_or(bytes)) }
}

fn inside(spki: &[u8]) -> Option<Vec<u8>> {
    let mut der = SliceReader::new(spki).ok()?;
    DerHeader::decode(&mut der).ok()?;
    AnyRef::decode(&mut der).ok()?;
    BitStringRef::decode(&mut der).ok().map(|key| key.raw_bytes().to_vec())
}

/// A field without its line end, in the canonical form (3.4.1, 3.4.2).
fn canonical_field(whole: &[u8], relaxed: bool, out: &mut Vec<u8>) {
    if !relaxed {
        out.extend_from_slice(without_line_end(whole));
        return;
    }
    let colon = whole.iter().position(|&byte| byte == b':').unwrap_or(whole.len());
    let (name, value) = whole.split_at(colon);
    out.extend(name.trim_ascii().to_ascii_lowercase());
    out.push(b':');
    let begin = out.len();
    let words =
        value.get(1..).unwrap_or_default().split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    for word in words {
        if out.len() > begin {
            out.push(b' ');
        }
        out.extend_from_slice(word);
    }
}

fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The signature's own field, the signature taken out (3.5, `b=`).
fn unsigned(whole: &[u8]) -> Vec<u8> {
    let colon = whole.iter().position(|&byte| byte == b':').map_or(whole.len(), |at| at + 1);
    let (name, list) = whole.split_at(colon);
    let mut out = name.to_vec();
    for (at, tag) in without_line_end(list).split(|&byte| byte == b';').enumerate() {
        if at > 0 {
            out.push(b';');
        }
        let equals = tag.iter().position(|&byte| byte == b'=');
        match equals {
            Some(equals) if tag[..equals].trim_ascii() == b"b" => out.extend_from_slice(&tag[..=equals]),
            _ => out.extend_from_slice(tag),
        }
    }
    out
}

/// The body in its canonical form (3.4.3, 3.4.4).
fn canonical_body(body: &[u8], relaxed: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    for line in body.split_inclusive(|&byte| byte == b'\n') {
        let line = without_line_end(line);
        if relaxed {
            let mut blank = false;
            for &byte in line {
                if matches!(byte, b' ' | b'\t') {
                    blank = true;
                } else {
                    if std::mem::take(&mut blank) {
                        out.push(b' ');
                    }
                    out.push(byte);
                }
            }
        } else {
            out.extend_from_slice(line);
        }
        out.extend_from_slice(b"\r\n");
    }
    // Empty lines at the end do not count.
    while out.ends_with(b"\r\n\r\n") {
        out.truncate(out.len() - 2);
    }
    match (out.as_slice(), relaxed) {
        (b"\r\n", true) => Vec::new(),
        (b"", false) => b"\r\n".to_vec(),
        _ => out,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    /// Messages that dkimpy signed, each with the record of its key; see `tests/corpus/signatures`.
    fn signed() -> Vec<(String, Vec<u8>, String)> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/signatures");
        let read = |name: &str| std::fs::read(directory.join(name)).expect(name);
        let record = |kind: &str| String::from_utf8(read(&format!("{kind}.txt"))).expect("ASCII");
        let named = [
            "rsa-simple-simple",
            "rsa-relaxed-simple",
            "rsa-relaxed-relaxed",
            "rsa-simple-relaxed",
            "ed25519-relaxed-relaxed",
            "rsa-relaxed-relaxed-length",
        ];
        let case = |name: &&str| {
            let kind = name.split('-').next().expect("a kind");
            ((*name).to_owned(), read(&format!("{name}.eml")), record(kind))
        };
        named.iter().map(case).collect()
    }

    fn checked(message: &[u8], record: &str) -> Vec<&'static str> {
        signatures(message).iter().map(|signature| signature.check(message, record)).collect()
    }

    #[test]
    fn what_another_program_signed_verifies_in_every_form() {
        for (name, message, record) in signed() {
            assert_eq!(checked(&message, &record), ["pass"], "{name}");
            assert_eq!(signatures(&message)[0].key_name(), "s1._domainkey.acme.example", "{name}");
        }
    }

    #[test]
    fn every_change_is_found_and_named() {
        for (name, message, record) in signed() {
            let text = String::from_utf8(message.clone()).expect("ASCII");
            let change = |from: &str, to: &str| {
                assert!(text.contains(from), "{from} in {name}");
                checked(text.replacen(from, to, 1).as_bytes(), &record)
            };
            assert!(change("machine", "Machine")[0].starts_with("fail: the body"), "{name}");
            assert!(change("Subject: Mail", "Subject: mail")[0].starts_with("fail: the header"), "{name}");
            assert_eq!(change("X-Unsigned: a", "X-Unsigned: b"), ["pass"], "{name}: nobody signed that");
            let added = checked(format!("{text}footer\r\n").as_bytes(), &record);
            assert_eq!(added[0] == "pass", name.ends_with("length"), "{name}: only a length allows for more");
            let relaxed = checked(text.replace("machine to", "machine  \t to").as_bytes(), &record);
            let allowed = !name.ends_with("simple");
            assert_eq!(relaxed[0] == "pass", allowed, "{name}: blanks, {relaxed:?}");
        }
    }

    #[test]
    fn a_record_that_is_no_key_is_said_to_be_none() {
        let (_, message, _) = signed().remove(0);
        let of = |record| checked(&message, record)[0];
        assert_eq!(of("v=DKIM1; k=rsa; p="), "permerror: the key was revoked");
        assert!(of("v=spf1 -all").starts_with("permerror"));
        assert!(of("v=DKIM1; k=ed25519; p=AAAA").starts_with("permerror"));
        assert!(of("v=DKIM1; p=AAAA").starts_with("fail"));
    }

    proptest! {
        #[test]
        fn no_bytes_are_an_error(
            tags in "([abchdls]=(rsa-sha256|relaxed|simple/|[a-z:=/9]{0,9});?\r?\n? ?){0,9}", body in "\\PC{0,99}"
        ) {
            let message = format!("DKIM-Signature: {tags}\r\n\r\n{body}");
            checked(message.as_bytes(), &format!("v=DKIM1; p={body}"));
        }
    }
}
