//! A certificate that does not verify: said as it is, and nothing secret leaves before.

use mailsonar_protocol::{Class, Outcome, Stage};
use mailsonar_rehearsal::fleet::{Plan, Probe, Way};
use mailsonar_rehearsal::patience;
use mailsonar_rehearsal::peers::{Talk, Tap};
use mailsonar_rehearsal::testbed::Fault;

use crate::stage::{PATIENCE, Story, begin, everyone_sees, from_now};

#[test]
fn no_credential_leaves_where_the_certificate_does_not_verify() {
    let story = begin(&Plan { tapped: vec![0], ..Plan::default() });
    let lines = story.agent(0).lines().expect("tapped");
    for tap in [&lines.service_submission, &lines.service_imap] {
        let signed_in = tap.talks().iter().any(|talk| !is_hung_up(&records(&talk.client)));
        assert!(signed_in, "with a good certificate there is more, and it can be told");
    }
    for fault in [Fault::CertificateExpired, Fault::CertificateWrongName] {
        story.bed.service.inject(fault).expect("injected");
        let before = (lines.service_submission.talks().len(), lines.service_imap.talks().len());
        let (since, from) = (from_now(&story), story.clock.now());
        // sessions from before the change would live on; after a restart the mailbox is signed in to anew
        story.agent(0).restart().expect("it starts again");

        for way in [Way::Loop, Way::Outbound] {
            for probe in everyone_sees(&story, &since, way, Outcome::Unreachable) {
                let verdict = &probe.record.verdict;
                assert_eq!(
                    (verdict.stage, verdict.class),
                    (Some(Stage::Tls), Some(Class::Tls)),
                    "{probe:#?}"
                );
            }
        }
        // between servers any certificate will do (RFC 7435), but what is amiss is written down
        let noted = |p: &Probe| {
            p.record.accepted.is_some() && p.record.evidence.iter().any(|e| e.class == Class::Tls)
        };
        let mx = format!("{since}&route={}", Way::Mx);
        story
            .wait_for_probe("an MX that is used all the same", &mx, PATIENCE, noted)
            .expect("accepted, and noted");

        nothing_secret_was_said(&lines.service_submission, before.0);
        nothing_secret_was_said(&lines.service_imap, before.1);
        let page =
            story.wait_for_page("a page that sending fails", PATIENCE, |p| p.opens("send") && p.at > from);
        let page = page.expect("paged");
        println!("{fault}: {}", page.summary);
        assert!(page.summary.contains("stage tls"), "{}", page.summary);

        story.bed.service.heal(fault).expect("healed");
        story.wait_for_page("the resolve", PATIENCE, |other| other.resolves(&page)).expect("resolved");
        story.wait_until_well().expect("all is well again");
    }
    nothing_is_readable(&story);
}

/// In none of these conversations did the client say anything after the server's certificate.
fn nothing_secret_was_said(tap: &Tap, from: usize) {
    let refused = patience::until("two refused handshakes", PATIENCE, || {
        let talks = tap.talks().split_off(from);
        (talks.iter().filter(|talk| has_handshake(talk)).count() >= 2).then_some(talks)
    });
    for talk in refused.expect("tried").iter().filter(|talk| has_handshake(talk)) {
        let records = records(&talk.client);
        assert!(is_hung_up(&records), "more than an alert after the certificate: {records:?}");
        let clear = clear_text(&talk.client).to_ascii_uppercase();
        assert!(!clear.contains("AUTH") && !clear.contains("LOGIN"), "{clear}");
    }
}

/// Whether a client said hello and then nothing but an alert: TLS 1.3 hides an alert (2 bytes) and a
/// `Finished` (at least 36) or a command alike, but not their lengths.
fn is_hung_up(records: &[(u8, usize)]) -> bool {
    const HIDDEN_ALERT: usize = 2 + 1 + 16;
    let is_alert = |(kind, length): &(u8, usize)| {
        matches!(*kind, CHANGE_CIPHER_SPEC | ALERT | APPLICATION_DATA) && *length <= HIDDEN_ALERT
    };
    matches!(records, [(HANDSHAKE, _), rest @ ..] if rest.iter().all(is_alert))
}

/// Neither a password nor one of its encodings went over any line in the clear, in all of the story.
fn nothing_is_readable(story: &Story) {
    let lines = story.agent(0).lines().expect("tapped");
    for account in [&story.bed.service.accounts()[0], &story.bed.reference.accounts()[0]] {
        let (user, password) = (&account.address, &account.password);
        let plain = format!("\0{user}\0{password}");
        for secret in [password.clone(), base64(password.as_bytes()), base64(plain.as_bytes())] {
            assert!(!lines.saw(secret.trim_end_matches('=').as_bytes()), "{secret:?} went over the wire");
        }
    }
}

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

/// What comes before the first TLS record.
fn clear_text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..hello(bytes).unwrap_or(bytes.len())]).into_owned()
}

/// Where the `ClientHello` begins: a handshake record of TLS 1.x.
fn hello(bytes: &[u8]) -> Option<usize> {
    bytes.windows(3).position(|window| window[..2] == [HANDSHAKE, 3] && window[2] <= 4)
}

fn has_handshake(talk: &Talk) -> bool {
    // the server's answer is complete only when the client has ended the conversation
    hello(&talk.client).is_some() && hello(&talk.server).is_some()
}

/// The TLS records from the `ClientHello` on: kind and length (RFC 8446, 5.1).
fn records(bytes: &[u8]) -> Vec<(u8, usize)> {
    let mut rest = hello(bytes).map_or(&[][..], |at| &bytes[at..]);
    let mut found = Vec::new();
    while let [kind, _, _, high, low, ..] = *rest {
        let length = usize::from(u16::from_be_bytes([high, low]));
        found.push((kind, length));
        rest = rest.get(5 + length..).unwrap_or_default();
    }
    found
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
