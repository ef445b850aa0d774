//! Text from outside: bounded, and free of what could act on a terminal, a log or a page.

use std::fmt::{self, Write};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A piece of foreign text, such as a server's reply, made safe to keep and show (invariant I16).
///
/// At most [`Text::MAX`] bytes, cut on a character boundary with an ellipsis. Control characters,
/// ANSI escapes and Unicode's bidirectional overrides are shown as `\x1b`-like escapes; a line feed
/// survives, since replies have lines. It is *not* escaped for HTML: that is the page's job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(from = "String", into = "String")]
pub struct Text(String);

impl Text {
    /// The most bytes kept.
    pub const MAX: usize = 1_024;

    /// Takes foreign text, cut and cleaned.
    pub fn new(raw: &str) -> Self {
        let mut clean = String::with_capacity(raw.len().min(Self::MAX));
        for c in raw.trim_end().chars() {
            let kept = clean.len();
            match c {
                '\n' => clean.push(c),
                '\r' => {}
                '\t' => clean.push(' '),
                c if is_harmless(c) => clean.push(c),
                c => escape(&mut clean, c),
            }
            if clean.len() > Self::MAX - '…'.len_utf8() {
                clean.truncate(kept);
                clean.push('…');
                break;
            }
        }
        Self(clean)
    }

    /// Takes foreign bytes: UTF-8 where they are, else read as Latin-1 (old servers' habit).
    pub fn from_bytes(raw: &[u8]) -> Self {
        let raw = &raw[..raw.len().min(4 * Self::MAX)];
        match std::str::from_utf8(raw) {
            Ok(text) => Self::new(text),
            Err(_) => Self::new(&raw.iter().map(|&b| char::from(b)).collect::<String>()),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn escape(into: &mut String, c: char) {
    let code = c as u32;
    // Writing to a `String` cannot fail.
    let _ = if code < 0x100 { write!(into, "\\x{code:02x}") } else { write!(into, "\\u{{{code:x}}}") };
}

fn is_harmless(c: char) -> bool {
    let directs_the_eye =
        matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    !c.is_control() && !directs_the_eye
}

impl From<String> for Text {
    fn from(raw: String) -> Self {
        Self::new(&raw)
    }
}

impl From<&str> for Text {
    fn from(raw: &str) -> Self {
        Self::new(raw)
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes_lose_their_power_and_lines_survive() {
        assert_eq!(Text::new("250-a\r\n250 \x1b[31mb\0").as_str(), "250-a\n250 \\x1b[31mb\\x00");
        assert_eq!(Text::new("\u{202e}evil").as_str(), "\\u{202e}evil");
        assert_eq!(Text::from_bytes(b"gr\xfc\xdfe").as_str(), "grüße");
    }

    proptest! {
        #[test]
        fn any_text_is_bounded_clean_and_stable(raw in ".{0,3000}") {
            let once = Text::new(&raw);
            prop_assert!(once.as_str().len() <= Text::MAX);
            prop_assert!(!once.as_str().chars().any(|c| c.is_control() && c != '\n'));
            prop_assert_eq!(Text::new(once.as_str()), once);
        }
    }
}
