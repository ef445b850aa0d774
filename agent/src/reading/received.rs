//! `Received` lines (RFC 5321, section 4.4) read as hops: who had it from whom, when, and how long that
//! took.
//!
//! Each host writes its line in its own manner, and any host may make up those before its own. So
//! what cannot be read is left empty, and no line is ever an error.

use std::net::{IpAddr, Ipv6Addr};

use jiff::Timestamp;
use mail_parser::DateTime;
use mailsonar_protocol::{Hop, Journey, Text};

use super::header::Header;

/// The most of one line that is looked at.
const LINE: usize = 2 * 1024;

/// The hops of a message, in the order it met them: the header has the last one first. Where there are too
/// many, the latest are kept, since those are the recipient's own.
pub(crate) fn hops(header: &Header<'_>) -> Vec<Hop> {
    let lines = header.all("Received").take(Journey::MAX_HOPS);
    let mut hops: Vec<Hop> = lines.map(|field| hop(&field.value())).collect();
    hops.reverse();
    time(&mut hops);
    hops
}

/// Says of each hop how long it took from the one before whose time is known.
fn time(hops: &mut [Hop]) {
    let mut before: Option<Timestamp> = None;
    for hop in hops {
        if let (Some(before), Some(at)) = (before, hop.at) {
            let took = at.as_microsecond() - before.as_microsecond();
            hop.skewed = took < 0;
            hop.took_us = Some(u64::try_from(took).unwrap_or(0));
        }
        before = hop.at.or(before);
    }
}

/// One line.
fn hop(line: &str) -> Hop {
    let line = cut(line, LINE);
    let (clauses, date) = line.rsplit_once(';').unwrap_or((line, ""));
    let words = words(clauses);
    let from = clause(&words, "from");
    let by = clause(&words, "by");
    let said = |words: &[Word<'_>]| words.iter().find_map(Word::plain).unwrap_or_default().to_owned();
    let comments = || from.iter().filter_map(Word::comment);
    let named = said(from);
    let greeted = comments().find_map(greeting).unwrap_or(named.clone());
    let address = comments().find_map(address_in).or_else(|| address_in(&named));
    let protocol = clause(&words, "with").iter().map_while(Word::plain).collect::<Vec<_>>().join(" ");
    Hop {
        by: name(&said(by), 255),
        from: name(&greeted, 255),
        address,
        protocol: name(&protocol, 64),
        at: date_of(date),
        ..Hop::default()
    }
}

/// A name, bounded also after what is harmful in it was written out.
fn name(text: &str, most: usize) -> Text {
    Text::new(cut(Text::new(cut(text, most)).as_str(), most))
}

/// A word of a line, or a comment in parentheses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word<'a> {
    Plain(&'a str),
    Comment(&'a str),
}

impl<'a> Word<'a> {
    fn plain(&self) -> Option<&'a str> {
        if let Self::Plain(word) = *self { Some(word) } else { None }
    }

    fn comment(&self) -> Option<&'a str> {
        if let Self::Comment(text) = *self { Some(text) } else { None }
    }
}

fn words(text: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let (mut depth, mut begun) = (0_usize, None);
    for (at, c) in text.char_indices() {
        match c {
            '(' => {
                if depth == 0 {
                    words.extend(begun.take().map(|begin| Word::Plain(&text[begin..at])));
                    begun = Some(at + 1);
                }
                depth += 1;
            }
            ')' if depth > 0 => {
                depth -= 1;
                if depth == 0 {
                    words.extend(begun.take().map(|begin| Word::Comment(&text[begin..at])));
                }
            }
            c if c.is_whitespace() && depth == 0 => {
                words.extend(begun.take().map(|begin| Word::Plain(&text[begin..at])));
            }
            _ => {
                begun.get_or_insert(at);
            }
        }
    }
    words.extend(
        begun.map(
            |begin| {
                if depth > 0 { Word::Comment(&text[begin..]) } else { Word::Plain(&text[begin..]) }
            },
        ),
    );
    words
}

/// What follows a keyword, up to the next one.
fn clause<'a, 'b>(words: &'b [Word<'a>], keyword: &str) -> &'b [Word<'a>] {
    let is = |word: &Word<'_>, name: &str| word.plain().is_some_and(|own| own.eq_ignore_ascii_case(name));
    let Some(at) = words.iter().position(|word| is(word, keyword)) else { return &[] };
    let rest = &words[at + 1..];
    let ends = |word: &Word<'_>| ["from", "by", "via", "with", "id", "for"].iter().any(|name| is(word, name));
    // The first word is its value even if it looks like a keyword.
    let end = rest.iter().skip(1).position(ends).map_or(rest.len(), |at| at + 1);
    &rest[..end]
}

/// How the host called itself, where the line says that apart: `helo=a` (Exim), `HELO a` (qmail).
fn greeting(comment: &str) -> Option<String> {
    let mut words = comment.split([' ', '\t', '=']).filter(|word| !word.is_empty());
    while let Some(word) = words.next() {
        if ["helo", "ehlo"].iter().any(|name| word.eq_ignore_ascii_case(name)) {
            return words.next().map(|name| name.trim_matches(['[', ']']).to_owned());
        }
    }
    None
}

/// The first address in a text: `[192.0.2.1]`, `192.0.2.1`, `[IPv6:2001:db8::1]`.
pub(crate) fn address_in(text: &str) -> Option<IpAddr> {
    let apart = |c: char| !(c.is_ascii_hexdigit() || ".:".contains(c));
    let v6 = text.to_ascii_lowercase().replace("ipv6:", " ");
    v6.split(apart).find_map(|word| {
        let word = word.trim_end_matches(['.', ':']);
        let address: IpAddr = word.parse().ok()?;
        match address {
            // "1::" may be a time of day or a port; nobody's address is so short.
            IpAddr::V6(v6) if word.len() < 6 && v6 != Ipv6Addr::LOCALHOST => None,
            address => Some(address),
        }
    })
}

/// A date as mail writes it (RFC 5322, 3.3, and its older forms).
pub(crate) fn date_of(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let parsed =
        DateTime::parse_rfc822(cut(text, 128)).filter(|date| date.is_valid() && date.year >= 1970)?;
    Timestamp::from_second(parsed.to_timestamp()).ok()
}

/// The beginning of a text, at most so many bytes.
pub(crate) fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::header::split;
    use super::*;

    fn read(line: &str) -> (String, String, String, String, String) {
        let hop = hop(line);
        let text = |value: Option<String>| value.unwrap_or_default();
        let at = text(hop.at.map(|at| at.to_string()));
        let address = text(hop.address.map(|address| address.to_string()));
        (hop.from.to_string(), address, hop.by.to_string(), hop.protocol.to_string(), at)
    }

    #[test]
    fn every_servers_own_manner_is_read() {
        let table = [
            (
                "from mx.acme.example (mx.acme.example [192.0.2.7]) by in.ref.example (Postfix) with ESMTPS id 4F1 for <a@ref.example>; Tue, 24 Nov 2026 09:00:01 +0100 (CET)",
                ("mx.acme.example", "192.0.2.7", "in.ref.example", "ESMTPS", "2026-11-24T08:00:01Z"),
            ),
            (
                "from [198.51.100.4] (port=4711 helo=client.example) by mail.ref.example with esmtpsa (TLS1.3) tls TLS_AES_256_GCM_SHA384 (Exim 4.96) (envelope-from <a@b>) id 1rX-00-1; Tue, 24 Nov 2026 08:00:01 +0000",
                ("client.example", "198.51.100.4", "mail.ref.example", "esmtpsa", "2026-11-24T08:00:01Z"),
            ),
            (
                "from unknown (HELO mx.acme.example) (192.0.2.7) by ns.ref.example with SMTP; 24 Nov 2026 08:00:01 -0000",
                ("mx.acme.example", "192.0.2.7", "ns.ref.example", "SMTP", "2026-11-24T08:00:01Z"),
            ),
            (
                "from AM0PR01.eurprd01.prod.outlook.example (2603:10a6:20b:4d::17) by AM9PR01.eurprd01.prod.outlook.example (2603:10a6:20b:3fa::9) with Microsoft SMTP Server (version=TLS1_2, cipher=TLS_ECDHE) id 15.20.1; Tue, 24 Nov 2026 08:00:01 +0000",
                (
                    "AM0PR01.eurprd01.prod.outlook.example",
                    "2603:10a6:20b:4d::17",
                    "AM9PR01.eurprd01.prod.outlook.example",
                    "Microsoft SMTP Server",
                    "2026-11-24T08:00:01Z",
                ),
            ),
            (
                "by 2002:a05:6402:1234:b0:123:4567:89ab with SMTP id x1csp; Tue, 24 Nov 2026 00:00:01 -0800 (PST)",
                ("", "", "2002:a05:6402:1234:b0:123:4567:89ab", "SMTP", "2026-11-24T08:00:01Z"),
            ),
            (
                "from mail-ed1.example (mail-ed1.example. [IPv6:2001:db8::25]) by mx.far.example with ESMTPS id a1 for <a@far.example> (version=TLS1_3); Tue, 24 Nov 2026 00:00:01 -0800",
                ("mail-ed1.example", "2001:db8::25", "mx.far.example", "ESMTPS", "2026-11-24T08:00:01Z"),
            ),
            (
                "(qmail 4711 invoked by uid 89); 24 Nov 2026 08:00:01 -0000",
                ("", "", "", "", "2026-11-24T08:00:01Z"),
            ),
            ("from by with id for", ("by", "", "with", "id", "")),
            ("", ("", "", "", "", "")),
            ("from a (b (c [192.0.2.1] d) by e", ("a", "192.0.2.1", "", "", "")),
        ];
        for (line, (from, address, by, protocol, at)) in table {
            let expected = (from.into(), address.into(), by.into(), protocol.into(), at.into());
            assert_eq!(read(line), expected, "{line}");
        }
    }

    #[test]
    fn hops_are_in_the_order_of_the_way_and_a_clock_that_is_behind_is_said_to_be() {
        let header = b"Received: from c by d; Tue, 24 Nov 2026 08:00:09 +0000\r\n\
            Received: from b by c; Tue, 24 Nov 2026 08:00:02 +0000\r\n\
            Received: by nobody knows when\r\n\
            Received: from a by b; Tue, 24 Nov 2026 08:00:04 +0000\r\n\r\n";
        let hops = hops(&split(header).0);
        let told: Vec<_> = hops
            .iter()
            .map(|hop| (hop.by.as_str(), hop.took_us.map(|us| us / 1_000_000), hop.skewed))
            .collect();
        let expected =
            [("b", None, false), ("nobody", None, false), ("c", Some(0), true), ("d", Some(7), false)];
        assert_eq!(told, expected);
    }

    proptest! {
        #[test]
        fn no_line_is_an_error(line in "(from |by |with |id |;|\\(|\\)|\\[|[a-z.:0-9 ]|\\PC){0,60}") {
            let hop = hop(&line);
            prop_assert!(hop.protocol.as_str().len() <= 64 + 3 && hop.by.as_str().len() <= 255 + 3);
        }
    }
}
