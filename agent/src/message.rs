//! The message a probe is: how it is built, tagged, and known again.
//!
//! The mail carries only its tag; when it was sent stays in the ledger. The tag is
//! `PROBE/AGENT/ROUTE/MAC`, where MAC is HMAC-SHA256 (RFC 2104, truncated to 128 bits) over the rest
//! with the agent's own key. It stands in a header of its own; its id and MAC alone, which are enough
//! to know a probe by, stand in the body and in the Message-ID too, since bounces keep only parts. Knows no SMTP and no IMAP.

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use hmac::{Hmac, Mac};
use jiff::Timestamp;
use lettre::Address;
use lettre::message::dkim::{
    DkimCanonicalization, DkimCanonicalizationType, DkimConfig, DkimSigningAlgorithm, DkimSigningKey,
};
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart, SinglePart};
use mailsonar_protocol::{AgentName, Canary, CanaryKind, ProbeId, RouteName};
use mailsonar_settings::{Problem, Problems};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::canary;

/// The header that carries the tag.
pub const TAG_HEADER: &str = "X-Mailsonar-Probe";

/// Bytes of the MAC that are kept.
const MAC_BYTES: usize = 16;

/// Bytes of it that are kept where there is little room: the least that RFC 2104 allows.
pub const SHORT_MAC: usize = 10;

/// The secret that tells this agent's probes from forgeries.
pub struct TagKey([u8; 32]);

impl std::fmt::Debug for TagKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TagKey(..)")
    }
}

impl TagKey {
    /// A key of one's own making.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A new random key.
    pub fn random() -> Self {
        Self(rand::random())
    }

    /// Reads the key from a file, or makes one and keeps it there, readable by its owner only.
    pub fn load_or_create(path: &Path) -> std::io::Result<Self> {
        match Self::load(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Self::create(path),
            loaded => loaded,
        }
    }

    /// Reads the key from a file.
    pub fn load(path: &Path) -> std::io::Result<Self> {
        parse_hex(std::fs::read_to_string(path)?.trim()).map(Self).ok_or_else(|| {
            let message = format!(
                "{}: not a key of 64 hexadecimal digits; remove it to have a new one made",
                path.display()
            );
            std::io::Error::new(std::io::ErrorKind::InvalidData, message)
        })
    }

    fn create(path: &Path) -> std::io::Result<Self> {
        let key = Self::random();
        // Written aside and renamed, so that a crash leaves a whole key or none.
        let aside = path.with_extension("new");
        let mut file =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        file.write_all(hex(&key.0).as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&aside, path)?;
        Ok(key)
    }

    fn mac(&self, tag: &Tag) -> String {
        hex(&self.whole_mac(tag)[..MAC_BYTES])
    }

    /// The MAC where there is little room.
    pub(crate) fn short_mac(&self, tag: &Tag) -> [u8; SHORT_MAC] {
        let whole = self.whole_mac(tag);
        std::array::from_fn(|at| whole[at])
    }

    fn whole_mac(&self, tag: &Tag) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(tag.unsigned().as_bytes());
        mac.finalize().into_bytes().into()
    }

    /// Whether this proves the tag to be ours.
    pub fn proves(&self, tag: &Tag, proof: &Proof) -> bool {
        match proof {
            Proof::Whole(mac) => self.mac(tag).as_bytes().ct_eq(mac.as_bytes()).into(),
            Proof::Short(mac) => self.short_mac(tag).ct_eq(mac).into(),
        }
    }
}

/// The MAC that a part of a tag comes with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// In hexadecimal, as it stands in header, Message-ID and body.
    Whole(String),
    /// As it stands in the envelope sender.
    Short([u8; SHORT_MAC]),
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn parse_hex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

/// What a probe's message says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// The probe.
    pub probe: ProbeId,
    /// Who sent it.
    pub agent: AgentName,
    /// Which way.
    pub route: RouteName,
}

impl Tag {
    fn unsigned(&self) -> String {
        format!("{}/{}/{}", self.probe, self.agent, self.route)
    }

    /// The tag as it stands in the message.
    pub fn signed(&self, key: &TagKey) -> String {
        format!("{}/{}", self.unsigned(), key.mac(self))
    }
}

/// What a header value turns out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// Not a tag at all.
    Foreign,
    /// A tag of another agent, whose key we do not have.
    OtherAgent,
    /// It claims to be ours, and is not.
    Forged,
    /// Ours.
    Ours(Tag),
}

/// Reads a tag: ours only if it names this agent and its MAC verifies.
pub fn read_tag(value: &str, key: &TagKey, agent: &AgentName) -> Reading {
    let mut parts = value.trim().splitn(4, '/');
    let (Some(probe), Some(sender), Some(route), Some(mac)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Reading::Foreign;
    };
    let (Ok(probe), Ok(sender), Ok(route)) = (probe.parse(), sender.parse::<AgentName>(), route.parse())
    else {
        return Reading::Foreign;
    };
    if sender != *agent {
        return Reading::OtherAgent;
    }
    let tag = Tag { probe, agent: sender, route };
    if key.proves(&tag, &Proof::Whole(mac.to_owned())) { Reading::Ours(tag) } else { Reading::Forged }
}

/// The fields that are signed. Those of the content (`Content-Type`) are not within lettre's reach when it signs: it
/// would name them and sign nothing.
const SIGNED: [&str; 7] = ["From", "To", "Subject", "Date", "Message-ID", "MIME-Version", TAG_HEADER];

/// A DKIM key (RFC 6376) for one sender domain.
pub struct Signer {
    domain: String,
    config: DkimConfig,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("domain", &self.domain).finish_non_exhaustive()
    }
}

/// Configuration of DKIM signing, `[dkim.NAME]`.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DkimSettings {
    /// Messages from this domain are signed.
    domain: String,
    /// The selector: the key is published at `SELECTOR._domainkey.DOMAIN`.
    selector: String,
    /// An RSA private key in PEM (PKCS #1), or an Ed25519 seed in base64.
    key_file: PathBuf,
    /// `rsa` (the default) or `ed25519` (RFC 8463).
    #[serde(default)]
    algorithm: DkimAlgorithm,
}

#[derive(Debug, Clone, Copy, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum DkimAlgorithm {
    #[default]
    Rsa,
    Ed25519,
}

impl Signer {
    /// Reads the key. The problem, if any, is placed at `key` of the document.
    pub fn load(
        settings: &DkimSettings,
        directory: &Path,
        problem: impl Fn(&str, String, &str) -> Problem,
    ) -> Result<Self, Problems> {
        let path = directory.join(&settings.key_file);
        let pem = std::fs::read_to_string(&path)
            .map_err(|error| problem("key_file", format!("{}: {error}", path.display()), "check the path"))?;
        let algorithm = match settings.algorithm {
            DkimAlgorithm::Rsa => DkimSigningAlgorithm::Rsa,
            DkimAlgorithm::Ed25519 => DkimSigningAlgorithm::Ed25519,
        };
        let key = DkimSigningKey::new(&pem, algorithm).map_err(|error| {
            let remedy = "RSA: `openssl genrsa -traditional 2048`; ed25519: the 32-byte seed in base64";
            problem("key_file", format!("{} is not such a key: {error}", path.display()), remedy)
        })?;
        // Relaxed: lettre folds the field anew once the signature is in it, so that what it signs in the simple
        // form (its default) verifies nowhere.
        let relaxed = DkimCanonicalizationType::Relaxed;
        let canonicalization = DkimCanonicalization { header: relaxed, body: relaxed };
        let headers = SIGNED.map(HeaderName::new_from_ascii_str).to_vec();
        let (selector, domain) = (settings.selector.clone(), settings.domain.clone());
        let config = DkimConfig::new(selector, domain, key, headers, canonicalization);
        Ok(Self { domain: settings.domain.clone(), config })
    }
}

/// What goes on the envelope and into the header.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// The sender's address.
    pub from: Address,
    /// The recipient's address.
    pub to: Address,
    /// What is attached, if it is more than plain mail.
    pub canary: Option<Canary>,
}

/// Builds the message of a probe: RFC 5322, with CRLF line ends, signed where a key is at hand.
///
/// `date` is the civil time, for people and filters; nothing of ours is computed from it.
pub fn compose(tag: &Tag, key: &TagKey, envelope: &Envelope, date: Timestamp, signers: &[Signer]) -> Vec<u8> {
    let signed = tag.signed(key);
    let id = format!("<{}.{}@{}>", tag.probe, key.mac(tag), envelope.from.domain());
    let header = |name, value| HeaderValue::new(HeaderName::new_from_ascii_str(name), value);
    let text = SinglePart::builder()
        .header(ContentType::TEXT_PLAIN)
        .header(ContentTransferEncoding::SevenBit)
        .body(body(tag, key));
    let builder = Message::builder()
        .from(Mailbox::new(Some("Mailsonar".into()), envelope.from.clone()))
        .to(Mailbox::new(None, envelope.to.clone()))
        .subject(format!("Mailsonar probe {}", tag.probe))
        .date(system_time(date))
        .message_id(Some(id));
    let message = match &envelope.canary {
        None => builder.singlepart(text),
        Some(canary) => {
            // The same boundary at each attempt.
            let parts = MultiPart::mixed().boundary(format!("=_{}", tag.probe.0.simple()));
            builder.multipart(parts.singlepart(text).singlepart(canary::attachment(canary, tag.probe)))
        }
    };
    let mut message = message.expect("sender, recipient and body are there");
    message.headers_mut().insert_raw(header(TAG_HEADER, signed));
    // RFC 3834: so that nobody's vacation notice answers.
    message.headers_mut().insert_raw(header("Auto-Submitted", "auto-generated".into()));
    if let Some(signer) =
        signers.iter().find(|signer| signer.domain.eq_ignore_ascii_case(envelope.from.domain()))
    {
        message.sign(&signer.config);
    }
    message.formatted()
}

/// As lettre wants it; a date before 1970 becomes 1970.
fn system_time(date: Timestamp) -> std::time::SystemTime {
    let since = std::time::Duration::try_from(date.duration_since(Timestamp::UNIX_EPOCH)).unwrap_or_default();
    std::time::SystemTime::UNIX_EPOCH + since
}

/// The text: short ASCII lines, so that no server on the way has a reason to encode it anew.
fn body(tag: &Tag, key: &TagKey) -> String {
    let (probe, mac) = (tag.probe, key.mac(tag));
    format!(
        "This message was sent by a machine to find out whether mail flows.\r\n\
         Nobody needs to read or answer it; it is removed when it has been seen.\r\n\
         \r\n\
         {probe}/{mac}\r\n"
    )
}

/// Whether a message's text is what [`compose`] put in: transfer encodings and line ends aside, not a
/// character more or less.
pub fn is_intact(raw: &[u8], tag: &Tag, key: &TagKey) -> bool {
    let lines =
        |text: &str| text.trim_end().lines().map(str::trim_end).map(str::to_owned).collect::<Vec<_>>();
    crate::reading::text_of(raw).is_some_and(|text| lines(&text) == lines(&body(tag, key)))
}

/// The same of a message that may be a canary. Of one that must not arrive it only counts whether it is still
/// dangerous: a notice that something was cut out is no arrival.
pub fn is_as_sent(raw: &[u8], tag: &Tag, key: &TagKey, canary: Option<&Canary>) -> bool {
    match canary {
        Some(canary) if canary.kind != CanaryKind::Large => canary::is_whole(raw, canary, tag.probe),
        Some(canary) => is_intact(raw, tag, key) && canary::is_whole(raw, canary, tag.probe),
        None => is_intact(raw, tag, key),
    }
}

/// The value of the tag's header in a block of header fields, unfolded.
pub fn tag_in(fields: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(fields);
    let mut lines = text.lines().skip_while(|line| {
        let (name, _) = line.split_once(':').unwrap_or((line, ""));
        !name.trim_end().eq_ignore_ascii_case(TAG_HEADER)
    });
    let mut value = lines.next()?.split_once(':')?.1.trim().to_owned();
    for folded in lines.take_while(|line| line.starts_with([' ', '\t'])) {
        value.push_str(folded.trim());
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn tag() -> Tag {
        Tag {
            probe: ProbeId(Uuid::from_u128(7)),
            agent: "eu-1".parse().expect("a name"),
            route: "loop.a".parse().expect("a name"),
        }
    }

    fn composed(tag: &Tag, key: &TagKey, signers: &[Signer]) -> String {
        composed_as(None, tag, key, signers)
    }

    fn composed_as(canary: Option<Canary>, tag: &Tag, key: &TagKey, signers: &[Signer]) -> String {
        let envelope = Envelope {
            from: "probe@a.example".parse().expect("an address"),
            to: "probe@b.example".parse().expect("an address"),
            canary,
        };
        let bytes = compose(tag, key, &envelope, Timestamp::UNIX_EPOCH, signers);
        String::from_utf8(bytes).expect("ASCII")
    }

    #[test]
    fn a_message_is_known_again_and_intact() {
        let (tag, key) = (tag(), TagKey::new([1; 32]));
        let message = composed(&tag, &key, &[]);
        let value = tag_in(message.as_bytes()).expect("the header is there");
        assert_eq!(read_tag(&value, &key, &tag.agent), Reading::Ours(tag.clone()));
        assert!(is_intact(message.as_bytes(), &tag, &key));
        assert!(
            message.lines().all(|line| line.len() < 200)
                && !message.replace("\r\n", "").contains(['\r', '\n'])
        );
        for field in
            ["Date: ", "Message-ID: <00000000-", "MIME-Version: 1.0", "Auto-Submitted: auto-generated"]
        {
            assert!(message.contains(field), "{field} in {message}");
        }
    }

    #[test]
    fn re_encoding_and_line_ends_are_no_alteration_but_a_footer_is() {
        let (tag, key) = (tag(), TagKey::new([1; 32]));
        let message = composed(&tag, &key, &[]);
        assert!(is_intact(message.replace("\r\n", "\n").as_bytes(), &tag, &key));
        let quoted = message.replace("7bit", "quoted-printable").replace("machine to", "mach=\r\nine=20to");
        assert!(is_intact(quoted.as_bytes(), &tag, &key));
        assert!(!is_intact(format!("{message}-- \r\nScanned by Acme\r\n").as_bytes(), &tag, &key));
        assert!(!is_intact(message.replace("whether", "wether").as_bytes(), &tag, &key));
        assert!(!is_intact(b"", &tag, &key));
    }

    #[test]
    fn a_canary_is_a_letter_with_an_attachment_and_the_same_at_each_attempt() {
        let (tag, key) = (tag(), TagKey::new([1; 32]));
        for (kind, bytes) in [
            (CanaryKind::Large, 200_000),
            (CanaryKind::Large, 10),
            (CanaryKind::Eicar, 68),
            (CanaryKind::Gtube, 68),
        ] {
            let canary = Canary { kind, bytes, junk_is_caught: false };
            let message = composed_as(Some(canary), &tag, &key, &[]);
            assert_eq!(message, composed_as(Some(canary), &tag, &key, &[]));
            assert!(message.contains("multipart/mixed") && message.lines().all(|line| line.len() < 200));
            let as_sent = |raw: &str| is_as_sent(raw.as_bytes(), &tag, &key, Some(&canary));
            assert!(is_intact(message.as_bytes(), &tag, &key) && as_sent(&message), "{kind} {bytes}");
            // As the watcher fetches it: the beginning only.
            assert!(as_sent(&message[..message.len().min(64 * 1024)]), "{kind} {bytes}");
            let (letter, _) = message.rsplit_once("--=_").expect("an end");
            let (emptied, _) = letter.trim_end().rsplit_once("\r\n\r\n").expect("an attachment");
            assert!(!as_sent(&format!("{emptied}\r\n\r\nremoved\r\n")), "{kind} {bytes}");
        }
    }

    #[test]
    fn forged_foreign_and_other_agents_tags_are_told_apart() {
        let (tag, key) = (tag(), TagKey::new([1; 32]));
        let signed = tag.signed(&key);
        let read = |value: &str| read_tag(value, &key, &tag.agent);
        assert_eq!(read(&tag.signed(&TagKey::new([2; 32]))), Reading::Forged);
        assert_eq!(read(&signed.replace("loop.a", "loop.b")), Reading::Forged);
        assert_eq!(read(&signed[..signed.len() - 1]), Reading::Forged);
        assert_eq!(read(&signed.replace("eu-1", "us-1")), Reading::OtherAgent);
        assert_eq!(read("hello"), Reading::Foreign);
    }

    #[test]
    fn a_folded_header_is_unfolded() {
        let fields = b"Subject: x\r\nx-mailsonar-PROBE: 1/\r\n\t2/3\r\nTo: y\r\n\r\n";
        assert_eq!(tag_in(fields).as_deref(), Some("1/2/3"));
        assert_eq!(tag_in(b"Subject: X-Mailsonar-Probe: no\r\n\r\n"), None);
    }

    #[test]
    fn a_key_is_made_once_for_its_owner_only_and_read_again() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("tag.key");
        let first = TagKey::load_or_create(&path).expect("made");
        let again = TagKey::load_or_create(&path).expect("read");
        assert_eq!(first.0, again.0);
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, "nonsense").expect("written");
        assert!(TagKey::load_or_create(&path).expect_err("refused").to_string().contains("tag.key"));
    }

    #[test]
    fn a_signer_signs_its_own_domain_only() {
        let directory = tempfile::tempdir().expect("a directory");
        let seed = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, [7u8; 32]);
        std::fs::write(directory.path().join("k"), seed).expect("written");
        let signer = |domain: &str| {
            let settings = DkimSettings {
                domain: domain.into(),
                selector: "s1".into(),
                key_file: "k".into(),
                algorithm: DkimAlgorithm::Ed25519,
            };
            let document = mailsonar_settings::Document::new("a.toml", "");
            Signer::load(&settings, directory.path(), |key, message, remedy| {
                document.problem(key, message, remedy)
            })
            .expect("a signer")
        };
        let key = TagKey::new([1; 32]);
        let message = composed(&tag(), &key, &[signer("A.example")]);
        let [signature] = crate::reading::signatures(message.as_bytes()).try_into().expect("one signature");
        // The public key of the seed that is all sevens (RFC 8032).
        let record = "v=DKIM1; k=ed25519; p=6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=";
        assert_eq!(signature.check(message.as_bytes(), record), "pass");
        assert!(!composed(&tag(), &key, &[signer("c.example")]).contains("DKIM-Signature"));
    }

    proptest! {
        #[test]
        fn no_bytes_upset_the_readers(raw in proptest::collection::vec(any::<u8>(), 0..2000), text in ".{0,300}") {
            let key = TagKey::new([1; 32]);
            is_intact(&raw, &tag(), &key);
            tag_in(&raw);
            prop_assert!(!matches!(read_tag(&text, &key, &tag().agent), Reading::Ours(_)));
        }
    }
}
