//! The polite part of an IMAP server: it takes any sign-in, and has an inbox with one message.

use std::io;

use super::Moment;
use super::play::Line;

/// Converses until the moment has come (`true`) or the client has said good-bye.
pub(super) fn until(line: &mut Line<'_>, moment: Moment) -> io::Result<bool> {
    line.say("* OK hostile.test ready")?;
    loop {
        let said = line.hear()?;
        let (tag, command) = said.split_once(' ').unwrap_or(("*", ""));
        let command = command.to_ascii_uppercase();
        if matches!(moment, Moment::Command(word) if command.starts_with(word)) {
            return Ok(true);
        }
        match command.split(' ').next().unwrap_or_default() {
            "CAPABILITY" => line.say("* CAPABILITY IMAP4rev1 IDLE UIDPLUS")?,
            "LIST" => line.say("* LIST () \"/\" INBOX")?,
            "SELECT" => {
                line.say("* 1 EXISTS\r\n* OK [UIDVALIDITY 7] ok\r\n* OK [UIDNEXT 2] ok\r\n* FLAGS ()")?;
            }
            "UID" if command.starts_with("UID SEARCH") => line.say("* SEARCH 1")?,
            "IDLE" => {
                line.say("+ idling")?;
                while line.hear()? != "DONE" {}
            }
            "LOGOUT" => {
                line.say(&format!("* BYE good-bye\r\n{tag} OK done"))?;
                return Ok(false);
            }
            _ => {}
        }
        line.say(&format!("{tag} OK done"))?;
    }
}
