//! Colours, and what stands for them where there are none.

use mailsonar_protocol::Outcome;
use ratatui::style::{Color, Modifier, Style};

/// How the screen looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Whether colours may be used.
    pub colour: bool,
}

/// What a thing says to the eye.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Strong,
    Quiet,
    Good,
    Warn,
    Bad,
}

impl Look {
    /// Colours, unless `NO_COLOR` is set (<https://no-color.org>).
    pub fn of_the_terminal() -> Self {
        Self { colour: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) }
    }

    pub(super) fn style(self, tone: Tone) -> Style {
        let plain = Style::new();
        match (tone, self.colour) {
            (Tone::Plain, _) | (Tone::Good, false) => plain,
            (Tone::Strong, _) | (Tone::Warn, false) => plain.add_modifier(Modifier::BOLD),
            (Tone::Quiet, true) => plain.fg(Color::DarkGray),
            (Tone::Quiet, false) => plain.add_modifier(Modifier::DIM),
            (Tone::Good, true) => plain.fg(Color::Green),
            (Tone::Warn, true) => plain.fg(Color::Yellow).add_modifier(Modifier::BOLD),
            (Tone::Bad, true) => plain.fg(Color::Red).add_modifier(Modifier::BOLD),
            (Tone::Bad, false) => plain.add_modifier(Modifier::BOLD | Modifier::REVERSED),
        }
    }
}

/// The sign of an outcome, and its tone. Each sign is another, so that colours only help.
pub(super) fn sign(outcome: Outcome) -> (char, Tone) {
    match outcome {
        Outcome::Delivered => ('■', Tone::Good),
        Outcome::InFlight => ('·', Tone::Quiet),
        Outcome::Late => ('L', Tone::Warn),
        Outcome::Misfiled => ('J', Tone::Warn),
        Outcome::Altered => ('A', Tone::Warn),
        Outcome::Unknown => ('?', Tone::Warn),
        Outcome::Lost => ('X', Tone::Bad),
        Outcome::Bounced => ('B', Tone::Bad),
        Outcome::Refused => ('R', Tone::Bad),
        Outcome::Deferred => ('D', Tone::Bad),
        Outcome::Unreachable => ('U', Tone::Bad),
    }
}
