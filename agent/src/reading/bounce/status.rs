//! Status codes out of a server's words: enhanced ones (RFC 3463), else made from a reply code.

use mailsonar_protocol::ReportKind;

/// The enhanced status code in some words. One that fits the kind of report is preferred; where there is
/// none at all, `5.0.0` or `4.0.0` (RFC 3463: "other undefined status") by the reply code or the kind.
pub(super) fn in_words(words: &str, kind: ReportKind) -> String {
    let class = match kind {
        ReportKind::Failed => '5',
        ReportKind::Delayed => '4',
        ReportKind::Delivered => '2',
    };
    let fitting = codes(words).find(|code| code.starts_with(class));
    if let Some(code) = fitting.or_else(|| codes(words).next()) {
        return code.trim_end_matches('.').to_owned();
    }
    let reply = words.split(|c: char| !c.is_ascii_alphanumeric()).find(|word| is_reply(word));
    let class = reply.and_then(|reply| reply.chars().next()).unwrap_or(class);
    format!("{class}.0.0")
}

/// Whether there is an enhanced code in some words.
pub(super) fn has_code(words: &str) -> bool {
    codes(words).next().is_some()
}

fn codes(words: &str) -> impl Iterator<Item = &str> {
    words.split(|c: char| !(c.is_ascii_digit() || c == '.')).filter(|word| is_enhanced(word))
}

/// `5.1.1`, and neither an address nor a version.
pub(super) fn is_enhanced(word: &str) -> bool {
    let mut numbers = word.trim_end_matches('.').split('.');
    let is = |number: Option<&str>, most: usize| {
        number.is_some_and(|n| (1..=most).contains(&n.len()) && n.bytes().all(|b| b.is_ascii_digit()))
    };
    let class = numbers.next();
    matches!(class, Some("2" | "4" | "5"))
        && is(numbers.next(), 2)
        && is(numbers.next(), 3)
        && numbers.next().is_none()
}

fn is_reply(word: &str) -> bool {
    word.len() == 3 && word.starts_with(['4', '5']) && word.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_that_fits_is_found_and_nothing_else_is_taken_for_one() {
        use ReportKind::{Delayed, Failed};
        let table = [
            ("550 5.1.1 <a@b>: user unknown", Failed, "5.1.1"),
            ("Sorry, no mailbox here by that name. (#5.1.1)", Failed, "5.1.1"),
            ("host mx[5.2.1.4] said: 550-5.7.26 unauthenticated", Failed, "5.7.26"),
            ("4.4.7 expired, 5.4.7 really", Failed, "5.4.7"),
            ("Message expired (4.4.7)", Failed, "4.4.7"),
            ("Exim 4.96.2.1 says 554 no", Failed, "5.0.0"),
            ("451 try later", Delayed, "4.0.0"),
            ("mailbox full", Failed, "5.0.0"),
            ("", Delayed, "4.0.0"),
        ];
        for (words, kind, expected) in table {
            assert_eq!(in_words(words, kind), expected, "{words}");
        }
    }
}
