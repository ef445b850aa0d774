//! How times, spans and names are written for people. Knows no page.

use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp, civil};
use mailsonar_protocol::{ServiceName, Text};
use maud::{Markup, html};

use crate::evaluate::{Blame, Component, ComponentKind, Leg};

fn utc(at: Timestamp) -> civil::DateTime {
    Offset::UTC.to_datetime(at)
}

/// A moment for people and for programs: `11:00:07 UTC`, with the date where it is not today's.
pub(super) fn clock(at: Timestamp, now: Timestamp) -> Markup {
    html! { time datetime=(at) { (clock_text(at, now)) } }
}

/// The same as text.
pub(super) fn clock_text(at: Timestamp, now: Timestamp) -> String {
    let (day, today) = (utc(at), utc(now));
    let format = if day.date() == today.date() {
        "%H:%M:%S UTC"
    } else if day.year() == today.year() {
        "%-d %b, %H:%M:%S UTC"
    } else {
        "%-d %b %Y, %H:%M:%S UTC"
    };
    day.strftime(format).to_string()
}

/// A moment that is an estimate: `~14:20 UTC`.
pub(super) fn about(at: Timestamp, now: Timestamp) -> String {
    let (day, today) = (utc(at), utc(now));
    let format = if day.date() == today.date() { "~%H:%M UTC" } else { "~%H:%M UTC on %-d %b" };
    day.strftime(format).to_string()
}

/// A day: `24 Nov`.
pub(super) fn day(at: Timestamp) -> String {
    utc(at).strftime("%-d %b").to_string()
}

/// How long something took or takes: `2 h 14 min`, `45 s`.
pub(super) fn span(length: SignedDuration) -> String {
    let seconds = length.as_secs().max(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) if minutes < 10 && seconds % 60 != 0 => format!("{minutes} min {} s", seconds % 60),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, 0) => format!("{hours} h"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, 0, _) => format!("{days} d"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// A length in microseconds: `312 ms`, `4.2 s`, `3 min 10 s`.
pub(super) fn micros(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..10_000 => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
        10_000..1_000_000 => format!("{} ms", us / 1_000),
        1_000_000..60_000_000 => format!("{}.{} s", us / 1_000_000, us % 1_000_000 / 100_000),
        _ => span(SignedDuration::from_micros(i64::try_from(us).unwrap_or(i64::MAX))),
    }
}

/// How long ago something was.
pub(super) fn ago(at: Timestamp, now: Timestamp) -> String {
    format!("{} ago", span(now.duration_since(at)))
}

/// `1 mail`, `2 mails`.
pub(super) fn count(count: impl Into<u64>, what: &str) -> String {
    match count.into() {
        1 => format!("1 {what}"),
        many => format!("{many} {what}s"),
    }
}

/// A text that may come from outside or from a person, without anything that could act (I16).
pub(super) fn plain(text: &str) -> String {
    Text::new(text).to_string()
}

/// The leg as the beginning of a sentence: "Receiving at acme".
pub(in crate::expose) fn leg_of(service: &ServiceName, leg: Leg) -> String {
    match leg {
        Leg::Send => format!("Sending through {service}"),
        Leg::Receive => format!("Receiving at {service}"),
        Leg::Monitoring => "The monitoring".into(),
        Leg::Budget => format!("The error budget of {service}"),
        Leg::Filter => format!("The filter of {service}"),
    }
}

/// The leg as a word.
pub(super) fn leg_word(leg: Leg) -> &'static str {
    match leg {
        Leg::Send => "Sending",
        Leg::Receive => "Receiving",
        Leg::Monitoring => "Monitoring",
        Leg::Budget => "Budget",
        Leg::Filter => "Filter",
    }
}

/// A provider's name without what is said of some of its mail only: `acme from outside`.
pub(in crate::expose) fn provider(name: &str) -> (&str, &'static str) {
    let some = ["from outside", "to others"];
    let cut = |whose: &'static str| Some((name.strip_suffix(whose)?.strip_suffix(' ')?, whose));
    some.into_iter().find_map(cut).unwrap_or((name, ""))
}

/// What a component is, as part of a sentence: "acme's MX".
pub(super) fn component(kind: ComponentKind, name: &str, service: &ServiceName) -> String {
    let name = plain(name);
    match kind {
        ComponentKind::Vantage => "the agents' own network".into(),
        ComponentKind::Dns => format!("the DNS of {name}"),
        ComponentKind::Submission => format!("{name}'s submission"),
        ComponentKind::Mx => format!("{service}'s MX"),
        ComponentKind::Delivery => match provider(&name) {
            (provider, "") => format!("{provider}'s delivery"),
            (provider, whose) => format!("{provider}'s delivery of mail {whose}"),
        },
        ComponentKind::Mailbox => format!("{name}'s IMAP"),
    }
}

/// Components without addresses, each named once.
fn named<'a>(components: impl Iterator<Item = &'a Component>, service: &ServiceName) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for one in components {
        let name = component(one.kind, &one.name, service);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Who is to blame, without addresses; `None` where nobody said.
pub(super) fn suspects(blame: &Blame, service: &ServiceName) -> Option<String> {
    let names = named(blame.suspects.iter(), service);
    (!names.is_empty()).then(|| names.join(" or "))
}

/// Who is not to blame, without addresses; `None` where nobody was cleared.
pub(super) fn cleared(blame: &Blame, service: &ServiceName) -> Option<String> {
    use ComponentKind::{Mailbox, Vantage};
    const SHOWN: usize = 4;
    let suspected = |kind| blame.suspects.iter().any(|suspect| suspect.kind == kind);
    // What explains the failures was found among others: what everybody searches first is not it.
    let first = [(Vantage, "the agents' own network"), (Mailbox, "the mailboxes")];
    let mut names: Vec<String> = first
        .into_iter()
        .filter(|(kind, _)| !blame.suspects.is_empty() && !suspected(*kind))
        .map(|(_, name)| name.to_owned())
        .collect();
    let others = blame.cleared.iter().map(|cleared| &cleared.component);
    names.extend(named(others.filter(|one| !matches!(one.kind, Vantage | Mailbox)), service));
    let more = names.len().saturating_sub(SHOWN);
    names.truncate(SHOWN);
    if more > 0 {
        names.push(format!("{more} more"));
    }
    (!names.is_empty()).then(|| names.join(", "))
}

/// What a component does, for those who do not know its name.
pub(super) fn role(kind: ComponentKind) -> &'static str {
    match kind {
        ComponentKind::Vantage => "our own way to the service",
        ComponentKind::Dns => "where its servers are found",
        ComponentKind::Submission => "where its customers hand mail over",
        ComponentKind::Mx => "its door for mail from outside",
        ComponentKind::Delivery => "from accepting mail to the mailbox",
        ComponentKind::Mailbox => "where mail is read",
    }
}

/// Who is to blame, in one sentence without addresses; `None` where nobody said.
pub(in crate::expose) fn culprit(blame: Option<&Blame>, service: &ServiceName) -> Option<String> {
    let mut names = suspects(blame?, service)?;
    if names.starts_with("the ") {
        names.replace_range(..1, "T");
    }
    Some(format!("{names} is to blame."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_latencies_are_short() {
        let span = |seconds| span(SignedDuration::from_secs(seconds));
        assert_eq!(
            [span(45), span(130), span(900), span(8_040)],
            ["45 s", "2 min 10 s", "15 min", "2 h 14 min"]
        );
        assert_eq!([span(7_200), span(90_000)], ["2 h", "1 d 1 h"]);
        assert_eq!(
            [micros(312), micros(3_120), micros(312_400), micros(4_230_000)],
            ["312 µs", "3.1 ms", "312 ms", "4.2 s"]
        );
    }

    #[test]
    fn moments_carry_their_date_only_where_it_is_not_today() {
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let now = at("2026-11-24T12:00:00Z");
        assert_eq!(clock_text(at("2026-11-24T11:00:07.9Z"), now), "11:00:07 UTC");
        assert_eq!(clock_text(at("2026-11-19T11:00:07Z"), now), "19 Nov, 11:00:07 UTC");
        assert_eq!(clock_text(at("2025-11-19T11:00:07Z"), now), "19 Nov 2025, 11:00:07 UTC");
        assert_eq!(about(at("2026-11-25T02:10:00Z"), now), "~02:10 UTC on 25 Nov");
    }

    #[test]
    fn blame_is_a_sentence_and_names_each_kind_once() {
        use crate::evaluate::Cleared;
        let service: ServiceName = "acme".parse().expect("a name");
        let suspect = |kind, name: &str| Component { kind, name: name.into() };
        let mut blame = Blame {
            suspects: vec![
                suspect(ComponentKind::Mx, "mx1.acme.example[192.0.2.1]"),
                suspect(ComponentKind::Mx, "mx2.acme.example[192.0.2.2]"),
            ],
            ..Blame::default()
        };
        let said = |blame: &Blame| culprit(Some(blame), &service);
        assert_eq!(said(&blame).as_deref(), Some("acme's MX is to blame."));
        blame.suspects = vec![suspect(ComponentKind::Dns, "acme"), suspect(ComponentKind::Delivery, "acme")];
        assert_eq!(said(&blame).as_deref(), Some("The DNS of acme or acme's delivery is to blame."));
        assert_eq!(culprit(None, &service), None);
        blame.suspects = vec![suspect(ComponentKind::Delivery, "acme from outside")];
        assert_eq!(said(&blame).as_deref(), Some("acme's delivery of mail from outside is to blame."));
        let clear = |kind, name: &str| Cleared { component: suspect(kind, name), words: String::new() };
        blame.cleared = vec![
            clear(ComponentKind::Vantage, "eu-1"),
            clear(ComponentKind::Vantage, "us-1"),
            clear(ComponentKind::Mailbox, "postbox"),
            clear(ComponentKind::Mx, "mx2.acme.example"),
        ];
        let not = cleared(&blame, &service);
        assert_eq!(not.as_deref(), Some("the agents' own network, the mailboxes, acme's MX"));
    }
}
