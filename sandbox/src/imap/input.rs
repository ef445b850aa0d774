//! Reading commands, literals included, and parsing them with imap-codec.

use imap_codec::{
    CommandCodec,
    decode::{CommandDecodeError, Decoder},
    imap_types::{IntoStatic, command::Command, core::LiteralMode},
};

use crate::{meet::End, wire::Wire};

/// The longest line taken, in bytes.
pub(super) const LINE: usize = 64 * 1024;
/// The largest literal taken, in bytes.
const LITERAL: u32 = 25 * 1024 * 1024;

/// What a client sent.
pub(super) enum Input {
    Command(Command<'static>),
    /// Something else, under this tag.
    Bad(String),
    /// A literal that is too large, in the command with this tag.
    TooBig(String),
    /// The end.
    End,
}

/// The next command.
pub(super) async fn command(wire: &mut Wire) -> Result<Input, End> {
    let mut input = Vec::new();
    loop {
        let Some(line) = wire.line(LINE).await? else { return Ok(Input::End) };
        let line = if input.is_empty() { plain_list(line) } else { line };
        input.extend_from_slice(&line);
        input.extend_from_slice(b"\r\n");
        let (length, mode) = match CommandCodec::default().decode(&input) {
            Ok((_, command)) => return Ok(Input::Command(command.into_static())),
            Err(CommandDecodeError::LiteralFound { tag, length, .. }) if length > LITERAL => {
                return Ok(Input::TooBig(tag.as_ref().to_owned()));
            }
            Err(CommandDecodeError::LiteralFound { length, mode, .. }) => (length, mode),
            Err(CommandDecodeError::Incomplete | CommandDecodeError::Failed) => {
                return Ok(Input::Bad(tag(&input)));
            }
        };
        if mode == LiteralMode::Sync {
            wire.send(b"+ Go ahead\r\n").await?;
        }
        input.extend_from_slice(&wire.bytes(length as usize).await?);
    }
}

/// The tag of a line that is no command, or `*`.
fn tag(input: &[u8]) -> String {
    let word = input.split(u8::is_ascii_whitespace).next().unwrap_or_default();
    let plain = !word.is_empty() && word.len() < 64 && word.iter().all(u8::is_ascii_alphanumeric);
    if plain { String::from_utf8_lossy(word).into_owned() } else { "*".to_owned() }
}

/// LIST without the options of RFC 5258 and 6154, which the parser does not know and whose effect,
/// special-use attributes, every LIST here has.
fn plain_list(line: Vec<u8>) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(&line) else { return line };
    let Some((tag, rest)) = text.split_once(' ') else { return line };
    let Some((verb, rest)) = rest.split_once(' ') else { return line };
    if !verb.eq_ignore_ascii_case("LIST") {
        return line;
    }
    let rest = match rest.strip_prefix('(').and_then(|inner| inner.split_once(") ")) {
        Some((_, rest)) => rest,
        None => rest,
    };
    let upper = rest.to_ascii_uppercase();
    let rest = upper.find(" RETURN (").map_or(rest, |at| &rest[..at]);
    format!("{tag} LIST {rest}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_options_are_taken_off() {
        let plain = |line: &str| String::from_utf8(plain_list(line.into())).unwrap();
        assert_eq!(plain(r#"a list (SPECIAL-USE) "" "*""#), r#"a LIST "" "*""#);
        assert_eq!(plain(r#"a LIST "" "*" RETURN (SPECIAL-USE)"#), r#"a LIST "" "*""#);
        assert_eq!(plain("a NOOP"), "a NOOP");
    }
}
