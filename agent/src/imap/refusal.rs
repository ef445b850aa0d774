//! What a server's NO, BAD or BYE means. Pure.

use imap_proto::{Outcome, Status};
use mailsonar_protocol::{Class, Stage, Text};

use crate::trouble::Trouble;

/// A tagged reply that is not OK.
pub(super) fn refused(stage: Stage, status: &Status, outcome: &Outcome<'_>) -> Trouble {
    let words = words(status, outcome);
    let code = code(outcome);
    if let Some(detail) = temporary(&code) {
        return Trouble::new(stage, Class::Temporary, detail, words);
    }
    match (status, code.as_str()) {
        (Status::No, "PRIVACYREQUIRED") => Trouble::new(stage, Class::Security, "privacy_required", words),
        (Status::No, _) if stage == Stage::Login => {
            Trouble::new(stage, Class::Auth, "credentials_refused", words)
        }
        (Status::No, _) => Trouble::new(stage, Class::Mailbox, "no", words),
        _ => Trouble::new(stage, Class::Protocol, "bad", words),
    }
}

/// A farewell.
pub(super) fn farewell(stage: Stage, outcome: &Outcome<'_>) -> Trouble {
    let words = words(&Status::Bye, outcome);
    match temporary(&code(outcome)) {
        Some(detail) => Trouble::new(stage, Class::Temporary, detail, words),
        None => Trouble::new(stage, Class::Closed, "bye", words),
    }
}

/// The response codes (RFC 5530, RFC 9051) that say: not now.
fn temporary(code: &str) -> Option<&'static str> {
    match code {
        "UNAVAILABLE" => Some("unavailable"),
        "INUSE" => Some("in_use"),
        "LIMIT" => Some("limit"),
        "SERVERBUG" => Some("server_bug"),
        "CONTACTADMIN" => Some("contact_admin"),
        _ => None,
    }
}

/// The response code's name. The parser leaves the codes it does not know in the text.
fn code(outcome: &Outcome<'_>) -> String {
    let text = outcome.information.as_deref().unwrap_or_default();
    let Some(inside) = text.strip_prefix('[') else { return String::new() };
    let end = inside.find([']', ' ']).unwrap_or(inside.len());
    inside[..end].to_ascii_uppercase()
}

fn words(status: &Status, outcome: &Outcome<'_>) -> Text {
    let status = match status {
        Status::Ok => "OK",
        Status::No => "NO",
        Status::Bad => "BAD",
        Status::PreAuth => "PREAUTH",
        Status::Bye => "BYE",
    };
    match &outcome.information {
        Some(text) => Text::from(format!("{status} {text}")),
        None => Text::from(status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no(stage: Stage, text: &str) -> (Class, &'static str) {
        let outcome = Outcome { code: None, information: Some(text.into()) };
        let trouble = refused(stage, &Status::No, &outcome);
        (trouble.class, trouble.detail)
    }

    #[test]
    fn a_login_that_was_refused_is_told_from_one_that_could_not_be_tried() {
        for (text, expected) in [
            ("[AUTHENTICATIONFAILED] no", (Class::Auth, "credentials_refused")),
            ("[AUTHORIZATIONFAILED] no", (Class::Auth, "credentials_refused")),
            ("[EXPIRED] no", (Class::Auth, "credentials_refused")),
            ("wrong", (Class::Auth, "credentials_refused")),
            ("[UNAVAILABLE] later", (Class::Temporary, "unavailable")),
            ("[inuse]", (Class::Temporary, "in_use")),
            ("[LIMIT] too many", (Class::Temporary, "limit")),
            ("[SERVERBUG] oops", (Class::Temporary, "server_bug")),
            ("[CONTACTADMIN x] call us", (Class::Temporary, "contact_admin")),
            ("[PRIVACYREQUIRED] TLS first", (Class::Security, "privacy_required")),
        ] {
            assert_eq!(no(Stage::Login, text), expected, "{text}");
        }
    }

    #[test]
    fn after_the_login_a_no_is_about_the_mailbox() {
        assert_eq!(no(Stage::Select, "[NONEXISTENT] no such folder"), (Class::Mailbox, "no"));
        assert_eq!(no(Stage::Idle, "[UNAVAILABLE] later"), (Class::Temporary, "unavailable"));
    }
}
