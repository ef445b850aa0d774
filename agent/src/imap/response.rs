//! One whole response, before the parser sees it: its kind, and what makes it harmless. Pure.
//!
//! imap-proto 0.17 panics on `INTERNALDATE NIL` and on a response code followed by a non-ASCII
//! letter, overflows the stack on deep nesting, and ends the stream at any untagged response it
//! does not know. Each is met here.

use std::ops::Range;
use std::panic::catch_unwind;

use imap_proto::Response;

use super::limits::Violation;

/// What a response is, going by its first line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Tagged, `+`, or `* OK`, `NO`, `BAD`, `BYE`, `PREAUTH`: human text follows, never a literal.
    Status,
    /// Data that a decision rests on: it must be read, or the session ends.
    Vital(Vital),
    /// Data that helps where it can be read.
    Useful,
    /// Data of an extension that nobody asked for. Dropped.
    Foreign,
}

/// The kinds of vital data that need different care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Vital {
    Fetch,
    Other,
}

/// Which kind of response begins with this line.
pub(super) fn kind(line: &[u8]) -> Kind {
    let Some(rest) = line.strip_prefix(b"* ") else { return Kind::Status };
    let mut words = rest.split(|&byte| matches!(byte, b' ' | b'\r' | b'\n'));
    let mut word = words.next().unwrap_or_default();
    let numbered = !word.is_empty() && word.iter().all(u8::is_ascii_digit);
    if numbered {
        word = words.next().unwrap_or_default();
    }
    match (numbered, word.to_ascii_uppercase().as_slice()) {
        (false, b"OK" | b"NO" | b"BAD" | b"BYE" | b"PREAUTH") => Kind::Status,
        (true, b"FETCH") => Kind::Vital(Vital::Fetch),
        (true, b"EXISTS" | b"EXPUNGE") | (false, b"SEARCH" | b"STATUS") => Kind::Vital(Vital::Other),
        (true, b"RECENT") | (false, b"LIST" | b"FLAGS" | b"CAPABILITY" | b"QUOTA") => Kind::Useful,
        _ => Kind::Foreign,
    }
}

/// Whether the line carries the result of a search, which may be of any length.
pub(super) fn is_search(line: &[u8]) -> bool {
    line.get(..9).is_some_and(|start| start.eq_ignore_ascii_case(b"* SEARCH "))
}

/// The size of the literal that this line, with its CRLF, announces.
pub(super) fn announced_literal(line: &[u8]) -> Option<u64> {
    let line = line.strip_suffix(b"\r\n")?.strip_suffix(b"}")?;
    let open = line.iter().rposition(|&byte| byte == b'{')?;
    let digits = &line[open + 1..];
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // More digits than a u64 holds is more than any limit.
    Some(std::str::from_utf8(digits).ok()?.parse().unwrap_or(u64::MAX))
}

/// Makes a whole response fit for the parser. `false`: drop it, it says nothing to us.
///
/// `literals` are the places of the literals' contents, in order.
pub(super) fn settle(
    response: &mut Vec<u8>,
    literals: &[Range<usize>],
    nesting: usize,
    secrets: &[Vec<u8>],
) -> Result<bool, Violation> {
    let kind = kind(response);
    match kind {
        Kind::Foreign => return Ok(false),
        Kind::Status => settle_text(response, secrets),
        Kind::Vital(Vital::Fetch) => {
            check_fetch(response, literals, nesting)?;
            defuse_internaldate(response, literals);
        }
        Kind::Useful => name_imap4rev1(response),
        Kind::Vital(Vital::Other) => {}
    }
    match (is_readable(response), kind) {
        (true, _) => Ok(true),
        (false, Kind::Useful) => Ok(false),
        (false, _) => Err(Violation::Unreadable),
    }
}

/// Whether the parser reads exactly this, to its end.
///
/// It is parsed a second time by async-imap. That costs microseconds, and means that no half
/// response, declared size or panic ever meets async-imap's buffers.
fn is_readable(response: &[u8]) -> bool {
    catch_unwind(|| matches!(Response::parse(response), Ok((rest, _)) if rest.is_empty())).unwrap_or(false)
}

/// Human text: odd bytes replaced, the parser's slip after `]` avoided, secrets masked.
fn settle_text(line: &mut Vec<u8>, secrets: &[Vec<u8>]) {
    let text = line.len().saturating_sub(2);
    for byte in &mut line[..text] {
        if matches!(byte, b'\0' | b'\r') {
            *byte = b'?';
        }
    }
    let mut at = 0;
    while at + 1 < line.len() {
        if line[at] == b']' && !line[at + 1].is_ascii() {
            line.insert(at + 1, b' ');
        }
        at += 1;
    }
    // Servers echo what they did not understand. The tag and the status word stay as they are.
    let start =
        line.iter().enumerate().filter(|(_, byte)| **byte == b' ').nth(1).map_or(line.len(), |(at, _)| at);
    for secret in secrets {
        mask(&mut line[start..], secret);
    }
}

/// Overwrites each occurrence with asterisks.
fn mask(text: &mut [u8], secret: &[u8]) {
    let mut at = 0;
    while at + secret.len() <= text.len() {
        if &text[at..at + secret.len()] == secret {
            text[at..at + secret.len()].fill(b'*');
            at += secret.len();
        } else {
            at += 1;
        }
    }
}

/// The parser refuses a capability list without `IMAP4rev1`, which a server of IMAP4rev2 alone sends.
fn name_imap4rev1(line: &mut Vec<u8>) {
    const START: &[u8] = b"* CAPABILITY";
    const NAME: &[u8] = b" IMAP4rev1";
    let is_list = line.get(..START.len()).is_some_and(|start| start.eq_ignore_ascii_case(START));
    let named = line
        .split(|&byte| matches!(byte, b' ' | b'\r'))
        .any(|word| word.eq_ignore_ascii_case(NAME.trim_ascii_start()));
    if is_list && !named {
        line.splice(START.len()..START.len(), NAME.iter().copied());
    }
}

/// The parser panics on a missing date. With its first letter gone, it skips the attribute.
fn defuse_internaldate(response: &mut [u8], literals: &[Range<usize>]) {
    const MISSING: &[u8] = b"INTERNALDATE NIL";
    let mut at = 0;
    while at + MISSING.len() <= response.len() {
        if let Some(literal) = literals.iter().find(|literal| literal.contains(&at)) {
            at = literal.end;
        } else if response[at..at + MISSING.len()].eq_ignore_ascii_case(MISSING) {
            response[at + MISSING.len() - 3] = b'0';
            at += MISSING.len();
        } else {
            at += 1;
        }
    }
}

/// Checks that a FETCH response has one possible reading, and is not deep.
///
/// The parser skips an unknown attribute's `(...)` to the first `)`, whatever is between. A literal
/// or a quote in there would be text to the parser and a literal to us, and its contents, which are
/// a stranger's mail, would be parsed. So literals stand only where our requests put them, in the
/// outermost list, counted both with and without regard to quotes.
fn check_fetch(response: &[u8], literals: &[Range<usize>], limit: usize) -> Result<(), Violation> {
    let mut literals = literals.iter();
    let (mut strict, mut loose) = (0_i64, 0_i64);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut quoted = false;
    let mut at = 0;
    while at < response.len() {
        let byte = response[at];
        let starts = at > 0 && matches!(response[at - 1], b' ' | b'(');
        match byte {
            b'(' => (strict, loose) = (strict + i64::from(!quoted), loose + 1),
            b')' => (strict, loose) = (strict - i64::from(!quoted), loose - 1),
            b'\\' if quoted => match response.get(at + 1) {
                Some(b'"' | b'\\') => at += 1,
                _ => return Err(Violation::Unreadable),
            },
            b'"' if quoted => {
                quoted = false;
                if !matches!(response.get(at + 1), Some(b' ' | b')')) {
                    return Err(Violation::Unreadable);
                }
            }
            b'"' if starts => quoted = true,
            b'"' | b'\0' => return Err(Violation::Unreadable),
            b'{' if !quoted => {
                let literal = literals.next().ok_or(Violation::Unreadable)?;
                let announced =
                    response.get(at..literal.start).is_some_and(|text| announced_literal(text).is_some());
                if !starts || !announced || strict != 1 || loose != 1 {
                    return Err(Violation::Unreadable);
                }
                at = literal.end - 1;
            }
            b'\r' | b'\n' if at + 2 < response.len() => return Err(Violation::Unreadable),
            _ => {}
        }
        if strict.max(loose) > limit {
            return Err(Violation::Nesting);
        }
        at += 1;
    }
    if quoted { Err(Violation::Unreadable) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn kinds_are_told_by_the_first_words() {
        for (line, expected) in [
            ("A1 OK done\r\n", Kind::Status),
            ("+ go on\r\n", Kind::Status),
            ("* ok still here\r\n", Kind::Status),
            ("* PREAUTH\r\n", Kind::Status),
            ("* 3 FETCH (UID 3)\r\n", Kind::Vital(Vital::Fetch)),
            ("* 3 exists\r\n", Kind::Vital(Vital::Other)),
            ("* SEARCH\r\n", Kind::Vital(Vital::Other)),
            ("* LIST () NIL INBOX\r\n", Kind::Useful),
            ("* NAMESPACE NIL NIL NIL\r\n", Kind::Foreign),
            ("* ESEARCH (TAG \"A1\") UID\r\n", Kind::Foreign),
            ("* OKAY\r\n", Kind::Foreign),
            ("* \r\n", Kind::Foreign),
        ] {
            assert_eq!(kind(line.as_bytes()), expected, "{line}");
        }
    }

    #[test]
    fn a_literal_is_announced_only_at_the_end_of_a_line() {
        assert_eq!(announced_literal(b"* 1 FETCH (BODY[] {12}\r\n"), Some(12));
        assert_eq!(announced_literal(b"x {4294967296}\r\n"), Some(4_294_967_296));
        assert_eq!(announced_literal(b"x {99999999999999999999999}\r\n"), Some(u64::MAX));
        for not in ["x {12} \r\n", "x {}\r\n", "x {-1}\r\n", "x 12}\r\n", "\r\n"] {
            assert_eq!(announced_literal(not.as_bytes()), None, "{not}");
        }
    }

    fn settled(text: &str) -> Result<Option<String>, Violation> {
        let mut bytes = text.as_bytes().to_vec();
        let literals: Vec<_> = text
            .find("}\r\n")
            .filter(|_| kind(text.as_bytes()) == Kind::Vital(Vital::Fetch))
            .and_then(|at| {
                let size = usize::try_from(announced_literal(&bytes[..at + 3])?).ok()?;
                Some(at + 3..at + 3 + size)
            })
            .into_iter()
            .collect();
        let keep = settle(&mut bytes, &literals, 8, &[])?;
        Ok(keep.then(|| String::from_utf8(bytes).expect("still text")))
    }

    #[test]
    fn what_makes_the_parser_panic_is_defused() {
        assert_eq!(
            settled("* 1 FETCH (UID 7 INTERNALDATE NIL)\r\n"),
            Ok(Some("* 1 FETCH (UID 7 INTERNALDATE 0IL)\r\n".into()))
        );
        assert_eq!(settled("A1 NO [ALERT]é\r\n"), Ok(Some("A1 NO [ALERT] é\r\n".into())));
        assert_eq!(settled("A1 BAD\r\n"), Ok(Some("A1 BAD\r\n".into())));
        assert_eq!(settled("* METADATA \"\" (/private/\u{1} {3}\r\n"), Ok(None));
    }

    #[test]
    fn a_missing_date_inside_a_message_is_left_alone() {
        let text = "* 1 FETCH (UID 7 BODY[] {18}\r\nINTERNALDATE NIL\r\n)\r\n";
        assert_eq!(settled(text), Ok(Some(text.into())));
    }

    #[test]
    fn a_capability_list_without_imap4rev1_is_given_it() {
        assert_eq!(
            settled("* CAPABILITY IMAP4rev2 IDLE\r\n"),
            Ok(Some("* CAPABILITY IMAP4rev1 IMAP4rev2 IDLE\r\n".into()))
        );
        let usual = "* CAPABILITY IMAP4rev1 IDLE\r\n";
        assert_eq!(settled(usual), Ok(Some(usual.into())));
    }

    #[test]
    fn vital_data_that_cannot_be_read_is_a_failure_and_other_data_is_dropped() {
        assert_eq!(settled("* SEARCH 1 x\r\n"), Err(Violation::Unreadable));
        assert_eq!(settled("* 1 FETCH UID\r\n"), Err(Violation::Unreadable));
        assert_eq!(settled("A1 WHAT\r\n"), Err(Violation::Unreadable));
        assert_eq!(settled("* LIST nonsense\r\n"), Ok(None));
    }

    #[test]
    fn a_literal_where_the_parser_would_not_see_one_is_refused() {
        // The parser would take the literal for text, and read a UID in the middle of it.
        assert_eq!(settled("* 1 FETCH (X (a {11}\r\n) UID 66 X b)\r\n"), Err(Violation::Unreadable));
        for hidden in [
            "* 1 FETCH (X \")\" Y (a {11}\r\n) UID 66 X b)\r\n",
            "* 1 FETCH (X \"a\0 Y (c\" {11}\r\n) UID 66 X b)\r\n",
        ] {
            assert_eq!(settled(hidden), Err(Violation::Unreadable), "{hidden}");
        }
        assert_eq!(settled("* 1 FETCH (X (a {4}\r\n) (()\r\n"), Err(Violation::Unreadable));
        assert_eq!(settled("* 1 FETCH (X (\")\" {4}\r\n) (()\r\n"), Err(Violation::Unreadable));
        assert_eq!(settled("* 1 FETCH (X ab{4}\r\n) (()\r\n"), Err(Violation::Unreadable));
        assert_eq!(
            settled(&format!("* 1 FETCH (BODYSTRUCTURE {})\r\n", "(".repeat(400))),
            Err(Violation::Nesting)
        );
    }

    #[test]
    fn a_secret_that_the_server_echoes_is_masked() {
        let mut line = b"hunter2 BAD unknown command LOGIN me hunter2\r\n".to_vec();
        assert_eq!(settle(&mut line, &[], 8, &[b"hunter2".to_vec()]), Ok(true));
        assert_eq!(line, b"hunter2 BAD unknown command LOGIN me *******\r\n");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn nothing_that_is_let_through_surprises_the_parser(parts in prop::collection::vec(fragment(), 0..14)) {
            let mut bytes = parts.concat().into_bytes();
            bytes.extend_from_slice(b"\r\n");
            if settle(&mut bytes, &[], 8, &[]) == Ok(true) {
                let (rest, _) = Response::parse(&bytes).expect("a response that was let through parses");
                prop_assert!(rest.is_empty());
            }
        }
    }

    fn fragment() -> impl Strategy<Value = String> {
        prop_oneof![
            Just("* ".to_owned()),
            Just("* 1 FETCH (".to_owned()),
            Just("A1 OK ".to_owned()),
            Just("[ALERT]".to_owned()),
            Just("UID 1 ".to_owned()),
            Just("INTERNALDATE ".to_owned()),
            Just("NIL ".to_owned()),
            Just("BODY[] ".to_owned()),
            Just("\"".to_owned()),
            Just("(".to_owned()),
            Just(") ".to_owned()),
            Just(")".to_owned()),
            Just("BODYSTRUCTURE ".to_owned()),
            Just("é".to_owned()),
            "[ -~]{0,6}",
        ]
    }
}
