//! What a hostile server says, how often, how fast, and what it does in the end.

use std::io;
use std::time::Duration;

use super::play::Line;

/// How much is written at once where there is no hurry to be slow.
const CHUNK: usize = 16 * 1024;

/// What comes after the last word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Silence, for as long as the client stays.
    Silence,
    /// The server closes.
    Close,
}

/// A way to trouble a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attack {
    head: String,
    again: String,
    times: u64,
    every: Option<Duration>,
    then: Then,
}

impl Attack {
    /// Says nothing, and stays.
    pub fn silence() -> Self {
        Self::says("", Then::Silence)
    }

    /// Says this once.
    pub fn says(words: &str, then: Then) -> Self {
        Self { head: words.into(), again: String::new(), times: 0, every: None, then }
    }

    /// Says `head`, and then this without end.
    pub fn endless(head: &str, again: &str) -> Self {
        Self::times(head, again, u64::MAX)
    }

    /// Says `head`, and then this so many times; then silence.
    pub fn times(head: &str, again: &str, times: u64) -> Self {
        Self { head: head.into(), again: again.into(), times, every: None, then: Then::Silence }
    }

    /// The same, one repetition at a time and this far apart.
    #[must_use]
    pub fn every(self, every: Duration) -> Self {
        Self { every: Some(every), ..self }
    }

    /// Plays it until it is over or the client has left, which is an error. `sent` counts the bytes.
    pub(super) fn play(&self, line: &mut Line<'_>, sent: &mut u64) -> io::Result<()> {
        let mut put = |line: &mut Line<'_>, bytes: &[u8]| {
            line.send(bytes).inspect(|()| *sent += u64::try_from(bytes.len()).unwrap_or(0))
        };
        put(line, self.head.as_bytes())?;
        let at_once = if self.every.is_some() { 1 } else { CHUNK / self.again.len().max(1) }.max(1);
        let mut left = self.times;
        while left > 0 {
            let now = left.min(u64::try_from(at_once).unwrap_or(1));
            put(line, self.again.repeat(usize::try_from(now).unwrap_or(1)).as_bytes())?;
            left = if self.times == u64::MAX { left } else { left - now };
            if let Some(every) = self.every {
                line.wait(Some(every))?;
            }
        }
        match self.then {
            Then::Close => Ok(()),
            Then::Silence => line.wait(None),
        }
    }
}
