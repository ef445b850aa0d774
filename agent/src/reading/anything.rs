//! Any bytes at all, and those that nearly are messages: each reader gives an answer, within bounds.

use proptest::prelude::*;

use super::*;
use crate::site::Sites;

/// Pieces that the readers look for.
const PIECES: &[&str] = &[
    "\r\n",
    "\n\n",
    "\r\n\r\n",
    "\r",
    " ",
    "\t",
    "\0",
    "é\u{202e}",
    "=?utf-8?q?=ff=?=",
    "From: MAILER-DAEMON@a.example\r\n",
    "Return-Path: <>\r\n",
    "Subject: Undelivered Mail Returned to Sender\r\n",
    "Auto-Submitted: auto-replied\r\n",
    "X-Failed-Recipients: a@b.example, c@d.example\r\n",
    "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n",
    "Content-Type: multipart/mixed; boundary=\"",
    "Content-Type: message/delivery-status\r\n\r\n",
    "Content-Type: message/rfc822\r\n\r\n",
    "Content-Type: text/html; charset=utf-7\r\n\r\n",
    "Content-Transfer-Encoding: base64\r\n",
    "Content-Transfer-Encoding: quoted-printable\r\n",
    "--b\r\n",
    "--b--\r\n",
    "--b",
    "Reporting-MTA: dns; mx.b.example\r\n",
    "Final-Recipient: rfc822; a@b.example\r\n",
    "Final-Recipient: ;\r\n",
    "Action: failed\r\n",
    "Status: 5.1.1\r\n",
    "Status: 5.999999999999999999999.1\r\n",
    "Diagnostic-Code: smtp; 550-5.1.1 no\r\n 550 5.1.1 such\r\n",
    "Hi. This is the qmail-send program at a.example.\r\n",
    "<a@b.example>:\r\n",
    "The following addresses had permanent fatal errors -----\r\n",
    "couldn't be delivered",
    "İ your message to @",
    "Authentication-Results: mx.b.example 1; spf=pass (",
    "; dkim=fail reason=\"\\",
    "arc=pass (i=1 ((((",
    "dmarc=",
    "Received: from a (b [192.0.2.1]) by c with ESMTPS id d; ",
    "Tue, 24 Nov 2026 11:00:00 +0000",
    "Tue, 99 Foo 999999 25:61:61 +9999",
    "DKIM-Signature: v=1; a=rsa-sha256; d=b.example; s=s; h=from:from; b=",
    "X-Mailsonar-Probe: ",
    "00000000-0000-0000-0000-000000000007/",
    "0123456789abcdef0123456789abcdef",
];

fn message() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => (0..PIECES.len()).prop_map(|at| PIECES[at].as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..20),
        1 => "[ -~]{0,40}".prop_map(String::into_bytes),
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

/// Everything that is read of a message, anywhere.
fn read_all(bytes: &[u8]) -> Letter {
    let letter = read(bytes);
    for text in texts_of(bytes) {
        assert!(text.len() <= 4 * 64 * 1024, "{}", text.len());
    }
    text_of(bytes);
    may_be_report(bytes);
    for signature in signatures(bytes) {
        signature.check(bytes, "v=DKIM1; k=rsa; p=AAAA");
    }
    assert!(journey(bytes, &["mx.b.example".to_owned()], &Sites::default()).hops.len() <= Journey::MAX_HOPS);
    letter
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn what_is_nearly_a_message_has_an_answer_within_bounds(bytes in message()) {
        let letter = read_all(&bytes);
        prop_assert_eq!(&letter, &read(&bytes), "the same bytes, the same answer");
        prop_assert!(letter.hops.len() <= Journey::MAX_HOPS && letter.claims.len() <= 8 * 64);
        prop_assert!(letter.authentication.len() <= 16);
        if let Kind::Bounce(bounce) = letter.kind {
            prop_assert!(bounce.recipients.len() <= 16 && !bounce.recipients.is_empty());
            for recipient in &bounce.recipients {
                prop_assert!(recipient.status.as_str().len() <= 16, "{}", recipient.status);
            }
        }
    }

    #[test]
    fn any_bytes_have_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..4_000)) {
        read_all(&bytes);
    }
}

#[test]
fn a_piece_without_end_is_no_message_without_end() {
    for piece in PIECES {
        let bytes = piece.as_bytes().repeat(MOST / piece.len());
        read_all(&bytes);
        read_all(&[b"From: MAILER-DAEMON@a\r\nSubject: failure notice\r\n\r\n", bytes.as_slice()].concat());
    }
}
