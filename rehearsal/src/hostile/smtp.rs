//! The polite part of an SMTP server: it takes any sign-in and any message.

use std::io;

use super::Moment;
use super::play::Line;

/// Converses until the moment has come (`true`) or the client has said good-bye.
pub(super) fn until(line: &mut Line<'_>, moment: Moment) -> io::Result<bool> {
    line.say("220 hostile.test ESMTP")?;
    loop {
        let command = line.hear()?.to_ascii_uppercase();
        if is_now(moment, &command) {
            return Ok(true);
        }
        match command.split(' ').next().unwrap_or_default() {
            "EHLO" => line.say("250-hostile.test\r\n250 AUTH PLAIN LOGIN")?,
            "AUTH" => line.say("235 2.7.0 come in")?,
            "DATA" => {
                line.say("354 go on")?;
                while line.hear()? != "." {}
                if is_now(moment, ".") {
                    return Ok(true);
                }
                line.say("250 2.0.0 taken")?;
            }
            "QUIT" => {
                line.say("221 2.0.0 bye")?;
                return Ok(false);
            }
            _ => line.say("250 2.0.0 ok")?,
        }
    }
}

fn is_now(moment: Moment, command: &str) -> bool {
    matches!(moment, Moment::Command(word) if command.starts_with(word))
}
