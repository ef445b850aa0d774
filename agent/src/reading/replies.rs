//! What machines answer that is no bounce: vacation notices, challenges, receipts, and the reports of
//! other kinds.

use serde::Serialize;

use super::mime::Part;

/// A report that is not about the delivery of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportForm {
    /// Somebody complained of a message as abuse (ARF, RFC 5965).
    Abuse,
    /// A provider's daily account of DMARC (RFC 7489, section 7.2).
    Dmarc,
    /// A provider's daily account of TLS failures (RFC 8460).
    Tls,
    /// A reader's program says what was done with a message (MDN, RFC 8098).
    Receipt,
}

/// An answer that a machine gave to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// A vacation notice or the like (RFC 3834): the message was delivered.
    Automatic,
    /// A filter wants the sender to prove himself: the message is held.
    Challenge,
}

const CHALLENGES: &[&str] = &[
    "confirm that you sent",
    "confirm your message",
    "confirm that you are a human",
    "please confirm delivery",
    "challenge-response",
    "verify that you are a human",
    "verify your email to complete delivery",
    "verification required for your message",
    "sender verification required",
    "to complete the delivery of your message",
    "one-time confirmation",
    "message is being held until",
    "requires verification",
];

const AWAY: &[&str] = &[
    "out of office",
    "out of the office",
    "automatic reply",
    "auto-reply",
    "autoreply",
    "auto reply",
    "automatische antwort",
    "abwesenheit",
    "réponse automatique",
    "respuesta automática",
    "vacation",
    "away from my mail",
    "on holiday",
];

/// The form of a report, if this is one of these kinds.
pub(super) fn report(parts: &[Part<'_>]) -> Option<ReportForm> {
    let message = parts.first()?;
    let has = |kinds: &[&str]| parts.iter().any(|part| !part.enclosed && kinds.contains(&part.kind.as_str()));
    let kind = message.parameter("report-type").unwrap_or_default().to_ascii_lowercase();
    let named = |ends: &[&str]| parts.iter().any(|part| !part.enclosed && is_account(part, ends));
    let subject = message.header.decoded("Subject").unwrap_or_default().to_ascii_lowercase();
    match () {
        () if kind == "feedback-report" || has(&["message/feedback-report"]) => Some(ReportForm::Abuse),
        () if kind == "tlsrpt"
            || has(&["application/tlsrpt+gzip", "application/tlsrpt+json"])
            || message.header.value("TLS-Report-Domain").is_some() =>
        {
            Some(ReportForm::Tls)
        }
        () if kind == "disposition-notification" || has(&["message/disposition-notification"]) => {
            Some(ReportForm::Receipt)
        }
        () if named(&[".xml", ".xml.gz", ".zip", ".gz"])
            || (subject.contains("report domain:") && subject.contains("submitter:")) =>
        {
            Some(ReportForm::Dmarc)
        }
        () => None,
    }
}

/// Whether a part is a DMARC account by its name: `receiver!domain!begin!end[!id].xml.gz`.
fn is_account(part: &Part<'_>, ends: &[&str]) -> bool {
    let disposition = part.header.value("Content-Disposition").unwrap_or_default();
    let named = disposition.split(';').find_map(|own| own.trim().strip_prefix("filename="));
    let name = part.parameter("name").or(named).unwrap_or_default().trim_matches('"').to_ascii_lowercase();
    name.matches('!').count() >= 3 && ends.iter().any(|end| name.ends_with(end))
}

/// The answer of a machine, if this is one.
pub(super) fn reply(parts: &[Part<'_>]) -> Option<Reply> {
    let header = &parts.first()?.header;
    let subject = header.decoded("Subject").unwrap_or_default().to_lowercase();
    let text = parts.iter().find(|part| !part.opened).map(Part::text).unwrap_or_default();
    let opening = text[..text.floor_char_boundary(4_096)].to_lowercase();
    let says = |words: &[&str]| words.iter().any(|words| subject.contains(words) || opening.contains(words));
    if says(CHALLENGES) {
        return Some(Reply::Challenge);
    }
    let submitted = header.words("Auto-Submitted");
    let is_reply = submitted.trim_start().starts_with("auto-replied")
        || ["X-Autoreply", "X-Autorespond", "X-Autoresponder", "X-Vacation"]
            .iter()
            .any(|name| header.value(name).is_some())
        || matches!(header.words("Precedence").trim(), "auto_reply" | "auto-reply");
    (is_reply || AWAY.iter().any(|words| subject.contains(words))).then_some(Reply::Automatic)
}
