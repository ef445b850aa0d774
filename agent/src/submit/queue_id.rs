//! The queue id in a final reply, as the common servers give it. Pure.

use mailsonar_protocol::Text;

/// Longer is no queue id.
const MAX: usize = 128;

/// What stands before a queue id, in lower case; the first that fits wins.
const BEFORE: [&str; 7] = [
    "queued as ",        // Postfix and its kin
    "queued with id ",   // Stalwart
    "[internalid=",      // Exchange
    "id=",               // Exim
    " qp ",              // qmail
    "queued (",          // Haraka
    "250 ok:  message ", // Cisco
];

/// What stands behind one.
const AFTER: [&str; 3] = [
    " message accepted for delivery", // Sendmail, OpenSMTPD, Proofpoint
    " - gsmtp",                       // Gmail
    " queued mail for delivery",      // Exchange without InternalId
];

/// The queue id in a reply to the end of DATA, where one is recognised.
pub(super) fn recognise(reply: &str) -> Option<Text> {
    let lower = reply.to_ascii_lowercase();
    let behind = |mark: &&str| {
        // The last one: a relay quotes the reply of the next hop.
        let at = lower.rfind(mark)? + mark.len();
        id(reply[at..].trim_start().split(|c: char| !is_part(c)).next()?)
    };
    let before = |mark: &&str| {
        let at = lower.rfind(mark)?;
        id(reply[..at].trim_end().rsplit(char::is_whitespace).next()?).filter(|id| !is_status(id.as_str()))
    };
    BEFORE.iter().find_map(behind).or_else(|| AFTER.iter().find_map(before))
}

fn is_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.:+/=@".contains(c)
}

fn id(token: &str) -> Option<Text> {
    let token = token.trim_matches(|c| "<>()[],;.:".contains(c));
    let plausible =
        token.len() <= MAX && token.contains(|c: char| c.is_ascii_digit()) && token.chars().all(is_part);
    plausible.then(|| token.into())
}

/// `250` or `2.0.0`: the reply's own code.
fn is_status(token: &str) -> bool {
    token.bytes().all(|b| b.is_ascii_digit() || b == b'.') && token.len() <= 5
}

#[cfg(test)]
mod tests {
    use super::recognise;

    #[test]
    fn the_ids_of_common_servers_are_found() {
        for (reply, id) in [
            ("250 2.0.0 Ok: queued as 4F1B22A0D6", Some("4F1B22A0D6")),
            ("250 2.0.0 from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as 9C4A", Some("9C4A")),
            ("250 2.0.0 Ok: 512 bytes queued as 3zYxWv1abc", Some("3zYxWv1abc")),
            ("250 OK id=1rAbCd-00000000Xyz-2Abc", Some("1rAbCd-00000000Xyz-2Abc")),
            ("250 2.0.0 3A1BcDeF012345 Message accepted for delivery", Some("3A1BcDeF012345")),
            ("250 2.0.0: 1a2b3c4d Message accepted for delivery", Some("1a2b3c4d")),
            ("250 2.0.0 3abc12def4-1 Message accepted for delivery", Some("3abc12def4-1")),
            (
                "250 2.6.0 <p1@probe.example> [InternalId=67890123456, Hostname=EX1.corp.example] 1535 bytes in 0.112, 13.3 KB/sec Queued mail for delivery",
                Some("67890123456"),
            ),
            ("250 2.6.0 <p1@probe.example> Queued mail for delivery", Some("p1@probe.example")),
            ("250 ok 1700000000 qp 12345", Some("12345")),
            (
                "250 2.0.0 OK  1700000000 a1-20020a05600c4f0100b0040e.12 - gsmtp",
                Some("a1-20020a05600c4f0100b0040e.12"),
            ),
            ("250 Message Queued (6D3B1A5C-9E1F-4A7B.1)", Some("6D3B1A5C-9E1F-4A7B.1")),
            ("250 2.0.0 Message queued with id 1a2b3c.", Some("1a2b3c")),
            ("250 ok:  Message 12345678 accepted", Some("12345678")),
            ("250-2.0.0 thanks\n250 2.0.0 Ok: queued as ABC123", Some("ABC123")),
            ("250 2.0.0 Message accepted for delivery", None),
            ("250 Message accepted for delivery", None),
            ("250 Queued mail for delivery", None),
            ("250 OK", None),
            ("250", None),
            ("", None),
        ] {
            assert_eq!(recognise(reply).map(String::from).as_deref(), id, "{reply}");
        }
    }
}
