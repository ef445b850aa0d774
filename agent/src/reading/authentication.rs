//! `Authentication-Results` (RFC 8601): what a host made of a message's origin.
//!
//! Anybody can write such a field into a message he sends. Only those with the authserv-id of the
//! recipient's own provider mean something, and of these only the topmost, which the last host
//! added (RFC 8601, sections 5 and 7.1). Which id that is cannot be told from the message: it is
//! configured, and without it nothing is believed.

use mailsonar_protocol::{Authentication, Text};

use super::header::Header;
use super::received::cut;

/// The most of one field that is looked at.
const FIELD: usize = 8 * 1024;

/// The most fields that are read.
const FIELDS: usize = 16;

/// What all such fields of a message say, topmost first, whoever wrote them.
pub(crate) fn all(header: &Header<'_>) -> Vec<Authentication> {
    let fields = header.all("Authentication-Results").take(FIELDS);
    fields.filter_map(|field| results(&field.value())).collect()
}

/// Which of them counts: the topmost one of a trusted host.
pub fn trusted(all: &[Authentication], ids: &[String]) -> Option<usize> {
    let is_trusted = |id: &str| ids.iter().any(|own| own.eq_ignore_ascii_case(id));
    all.iter().position(|results| is_trusted(results.by.as_str()))
}

fn results(field: &str) -> Option<Authentication> {
    let plain = without_comments(cut(field, FIELD));
    let mut statements = plain.split(';').map(str::trim);
    let mut first = statements.next()?.split_whitespace();
    let id = first.next()?;
    let mut results = Authentication::default();
    if id.contains('=') {
        // Exchange Online leaves the authserv-id out, against the grammar: nobody's word.
        note(&mut results, &plain.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    } else {
        results.by = Text::new(cut(id.trim_matches('"'), 255));
    }
    for statement in statements {
        note(&mut results, &statement.to_ascii_lowercase());
    }
    Some(results)
}

/// `method[/version]=result …`.
fn note(results: &mut Authentication, statement: &str) {
    let Some((method, rest)) = statement.split_once('=') else { return };
    let word = rest.split_whitespace().next().unwrap_or_default().trim_matches('"');
    let method = method.split('/').next().unwrap_or_default().trim();
    let slot = match method {
        "spf" => &mut results.spf,
        "dkim" => &mut results.dkim,
        "dmarc" => &mut results.dmarc,
        "arc" => &mut results.arc,
        _ => return,
    };
    // Of several signatures one that verifies is enough (RFC 6376, section 4.2).
    if slot.is_none() || word == "pass" {
        *slot = Some(Text::new(cut(word, 32)));
    }
}

/// The field without `(comments)`, and without semicolons in quotes.
fn without_comments(field: &str) -> String {
    let mut plain = String::with_capacity(field.len());
    let (mut depth, mut quoted) = (0_usize, false);
    for c in field.chars() {
        match c {
            '"' if depth == 0 => {
                quoted = !quoted;
                plain.push(c);
            }
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth = depth.saturating_sub(1),
            ';' if quoted => plain.push(','),
            c if depth == 0 => plain.push(c),
            _ => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::super::header::split;
    use super::*;

    fn word(text: Option<&Text>) -> &str {
        text.map_or("", Text::as_str)
    }

    fn shown(results: &Authentication) -> [&str; 5] {
        [
            results.by.as_str(),
            word(results.spf.as_ref()),
            word(results.dkim.as_ref()),
            word(results.dmarc.as_ref()),
            word(results.arc.as_ref()),
        ]
    }

    #[test]
    fn the_bare_words_are_read_in_every_providers_manner() {
        let table = [
            (
                "mx.far.example; dkim=pass header.i=@acme.example header.s=s1 header.b=abc; arc=none; spf=pass (far.example: domain of a@b designates 1.2.3.4; as permitted) smtp.mailfrom=a@b; dmarc=pass (p=NONE sp=NONE dis=NONE) header.from=acme.example",
                ["mx.far.example", "pass", "pass", "pass", "none"],
            ),
            (
                "spf=fail (sender IP is 192.0.2.1) smtp.mailfrom=acme.example; dkim=none (message not signed) header.d=none;dmarc=fail action=none header.from=acme.example;compauth=fail reason=001",
                ["", "fail", "none", "fail", ""],
            ),
            ("\"a.example\" 1; none", ["a.example", "", "", "", ""]),
            (
                "a.example; dkim=fail reason=\"bad; sig\" header.d=x; dkim/1=pass header.d=y; iprev=pass",
                ["a.example", "", "pass", "", ""],
            ),
            ("a.example; DKIM = PASS ; spf=softfail", ["a.example", "softfail", "pass", "", ""]),
        ];
        for (field, expected) in table {
            assert_eq!(shown(&results(field).expect("read")), expected, "{field}");
        }
        assert_eq!(results(""), None);
    }

    #[test]
    fn only_the_topmost_of_the_trusted_host_counts() {
        let header = b"Authentication-Results: evil.example; spf=pass; dkim=pass\r\n\
            Authentication-Results: MX.far.example; spf=fail\r\n\
            Authentication-Results: mx.far.example; spf=pass; dkim=pass\r\n\r\n";
        let all = all(&split(header).0);
        assert_eq!(all.len(), 3);
        assert_eq!(trusted(&all, &[]), None, "nobody is trusted who was not named");
        let at = trusted(&all, &["mx.far.example".into()]).expect("there");
        assert_eq!(
            shown(&all[at]),
            ["MX.far.example", "fail", "", "", ""],
            "the lower one came with the message"
        );
    }
}
