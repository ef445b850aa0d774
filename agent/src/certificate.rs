//! What a certificate says of itself: issuer, dates, fingerprint.
//!
//! A walk along its fields (RFC 5280, section 4.1). A whole X.509 parser would be a dependency for a few
//! fields, and would refuse odd certificates that have them. Judges nothing: [`crate::tls`] does.

use std::fmt::Write as _;

use der::asn1::{GeneralizedTime, UtcTime};
use der::{Decode, Header, Reader, SliceReader, Tag};
use jiff::Timestamp;
use mailsonar_protocol::Text;
use sha2::{Digest, Sha256};

/// The names of an issuer that are shown: its common name, else its organisation.
/// Object identifiers 2.5.4.3 and 2.5.4.10.
const COMMON_NAME: &[u8] = &[0x55, 4, 3];
const ORGANISATION: &[u8] = &[0x55, 4, 10];

/// From when until when a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Validity {
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

/// When a certificate is valid, where that can be read.
pub(crate) fn validity(certificate: &[u8]) -> Option<Validity> {
    let (mut der, _issuer) = up_to_validity(certificate)?;
    Header::decode(&mut der).ok()?; // Validity
    Some(Validity { not_before: time(&mut der)?, not_after: time(&mut der)? })
}

/// Fingerprint, issuer and end, for people to compare: "sha256 0a1b… by Acme CA until 2027-01-01".
pub(crate) fn description(certificate: &[u8]) -> Text {
    let mut text = String::from("sha256 ");
    for byte in Sha256::digest(certificate) {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    if let Some(issuer) = up_to_validity(certificate).and_then(|(_, issuer)| issuer_name(issuer)) {
        let _ = write!(text, " by {issuer}");
    }
    if let Some(validity) = validity(certificate) {
        let _ = write!(text, " until {}", validity.not_after.strftime("%Y-%m-%d"));
    }
    Text::new(&text)
}

/// A reader that stands before the validity, and the issuer's bytes.
fn up_to_validity(certificate: &[u8]) -> Option<(SliceReader<'_>, &[u8])> {
    let mut der = SliceReader::new(certificate).ok()?;
    Header::decode(&mut der).ok()?; // Certificate
    Header::decode(&mut der).ok()?; // TBSCertificate
    if matches!(der.peek_tag().ok()?, Tag::ContextSpecific { .. }) {
        der.tlv_bytes().ok()?; // version
    }
    der.tlv_bytes().ok()?; // serial number
    der.tlv_bytes().ok()?; // algorithm
    let issuer = der.tlv_bytes().ok()?;
    Some((der, issuer))
}

fn time(der: &mut SliceReader<'_>) -> Option<Timestamp> {
    let since = match der.peek_tag().ok()? {
        Tag::UtcTime => UtcTime::decode(der).ok()?.to_unix_duration(),
        _ => GeneralizedTime::decode(der).ok()?.to_unix_duration(),
    };
    Timestamp::from_second(i64::try_from(since.as_secs()).ok()?).ok()
}

/// A name is a sequence of sets of pairs of a type and a string.
fn issuer_name(issuer: &[u8]) -> Option<String> {
    let mut der = SliceReader::new(issuer).ok()?;
    Header::decode(&mut der).ok()?;
    let (mut common, mut organisation) = (None, None);
    while !der.is_finished() {
        Header::decode(&mut der).ok()?; // SET
        Header::decode(&mut der).ok()?; // SEQUENCE
        let kind = content(&mut der)?;
        let value = String::from_utf8_lossy(content(&mut der)?).into_owned();
        match kind {
            COMMON_NAME => common = Some(value),
            ORGANISATION => organisation = Some(value),
            _ => {}
        }
    }
    common.or(organisation)
}

/// What is in the next field.
fn content<'a>(der: &mut SliceReader<'a>) -> Option<&'a [u8]> {
    let length = Header::decode(der).ok()?.length;
    der.read_slice(length).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(until: (i32, u8, u8)) -> Vec<u8> {
        let mut parameters = CertificateParams::new(vec!["mx.example".to_owned()]).expect("parameters");
        parameters.not_before = date_time_ymd(2024, 1, 1);
        parameters.not_after = date_time_ymd(until.0, until.1, until.2);
        parameters.distinguished_name.push(DnType::OrganizationName, "Acme");
        parameters.distinguished_name.push(DnType::CommonName, "Acme CA 1");
        let key = KeyPair::generate().expect("a key");
        parameters.self_signed(&key).expect("signed").der().to_vec()
    }

    #[test]
    fn dates_are_read_in_both_encodings_and_cut_ones_are_none() {
        for (until, end) in [((2049, 12, 31), "2049-12-31T00:00:00Z"), ((2050, 1, 1), "2050-01-01T00:00:00Z")]
        {
            let certificate = certificate(until);
            let validity = validity(&certificate).expect("readable");
            assert_eq!(Some(validity.not_after), end.parse().ok());
            assert_eq!(Some(validity.not_before), "2024-01-01T00:00:00Z".parse().ok());
            for cut in 0..certificate.len() {
                super::validity(&certificate[..cut]);
                description(&certificate[..cut]);
            }
        }
    }

    #[test]
    fn a_description_tells_two_certificates_apart_and_names_the_issuer() {
        let (one, other) = (certificate((2049, 12, 31)), certificate((2049, 12, 31)));
        assert_ne!(description(&one), description(&other), "another key");
        let text = description(&one);
        assert!(text.as_str().ends_with(" by Acme CA 1 until 2049-12-31"), "{text}");
        assert!(description(b"nonsense").as_str().starts_with("sha256 "));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0..400_usize, with: u8) {
            validity(&bytes);
            description(&bytes);
            let mut spoiled = certificate((2049, 12, 31));
            let length = spoiled.len();
            spoiled[at % length] = with;
            validity(&spoiled);
            description(&spoiled);
        }
    }
}
