//! The arguments of commands, written so that none can end its line. Pure.

use jiff::civil::Date;
use mailsonar_protocol::{Class, Stage};

use crate::trouble::Trouble;

/// A quoted string (RFC 3501, 4.3).
pub(super) fn quoted(stage: Stage, text: &str) -> Result<String, Trouble> {
    harmless(stage, text)?;
    Ok(format!("\"{}\"", escaped(text)))
}

/// What stands between the quotes.
pub(super) fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

/// Refuses what would end the line, or no server takes.
pub(super) fn harmless(stage: Stage, text: &str) -> Result<(), Trouble> {
    if text.contains(['\r', '\n', '\0']) {
        let words = "an argument of an IMAP command contains CR, LF or NUL; take it out of the configuration";
        return Err(Trouble::new(stage, Class::Own, "bad_argument", words));
    }
    Ok(())
}

/// A date as SEARCH takes it: `1-Feb-2026`.
pub(super) fn date(date: Date) -> String {
    date.strftime("%-d-%b-%Y").to_string()
}

/// Sets of at most `size` UIDs (RFC 3501, `sequence-set`): `3:5,9`. Ascending, each once; there is
/// no UID 0.
pub(super) fn uid_sets(uids: &[u32], size: usize) -> Vec<String> {
    let mut uids: Vec<u32> = uids.iter().copied().filter(|&uid| uid > 0).collect();
    uids.sort_unstable();
    uids.dedup();
    uids.chunks(size).map(uid_set).collect()
}

fn uid_set(ascending: &[u32]) -> String {
    ascending
        .chunk_by(|before, after| before + 1 == *after)
        .map(|run| match run {
            [first, .., last] => format!("{first}:{last}"),
            _ => run[0].to_string(),
        })
        .collect::<Vec<_>>()
        .join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_string_ends_where_it_should() {
        assert_eq!(quoted(Stage::Select, r#"a "b" \c"#).unwrap(), r#""a \"b\" \\c""#);
        for evil in ["a\r\nA2 DELETE INBOX", "a\nb", "a\rb", "a\0b"] {
            let trouble = quoted(Stage::Select, evil).unwrap_err();
            assert_eq!((trouble.class, trouble.detail), (Class::Own, "bad_argument"));
        }
    }

    #[test]
    fn sets_are_short_ascending_and_never_hold_zero() {
        assert_eq!(uid_sets(&[9, 3, 4, 0, 5, 4], 100), ["3:5,9"]);
        assert_eq!(uid_sets(&[1, 2, 3], 2), ["1:2", "3"]);
        assert_eq!(uid_sets(&[u32::MAX - 1, u32::MAX], 9), ["4294967294:4294967295"]);
        assert!(uid_sets(&[0], 9).is_empty());
        assert!(uid_sets(&[], 9).is_empty());
    }

    #[test]
    fn dates_are_english_and_have_no_padding() {
        assert_eq!(date(Date::constant(2026, 2, 1)), "1-Feb-2026");
        assert_eq!(date(Date::constant(2026, 11, 24)), "24-Nov-2026");
    }
}
