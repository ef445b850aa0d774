//! The time of a rehearsal: the runtime's own, placed at a date of the story.
//!
//! Under tokio's paused clock it moves only when every task waits, and then at once to the next timer;
//! otherwise it is the machine's monotonic time. Knows nobody.

use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};
use mailsonar_clock::Clock;
use tokio::time::Instant;

/// A clock that follows the runtime's time. Its wall clock can be set wrong.
#[derive(Debug)]
pub struct SimulatedClock {
    began: Instant,
    at: Timestamp,
    ahead_us: AtomicI64,
}

impl SimulatedClock {
    /// A clock that shows this date now.
    #[expect(clippy::disallowed_methods, reason = "the runtime's time is what this clock follows")]
    pub fn at(date: Timestamp) -> Self {
        Self { began: Instant::now(), at: date, ahead_us: AtomicI64::new(0) }
    }

    /// Another clock of the same time, with a wall clock of its own.
    #[must_use]
    pub fn another(&self) -> Self {
        Self { began: self.began, at: self.at, ahead_us: AtomicI64::new(0) }
    }

    /// Sets the wall clock this far ahead of the true time, or behind.
    pub fn turn(&self, ahead: SignedDuration) {
        let micros = i64::try_from(ahead.as_micros()).unwrap_or(0);
        self.ahead_us.store(micros, Ordering::Relaxed);
    }
}

impl Clock for SimulatedClock {
    #[expect(clippy::disallowed_methods, reason = "the runtime's time is what this clock follows")]
    fn now(&self) -> Timestamp {
        let passed = SignedDuration::try_from(Instant::now() - self.began).unwrap_or_default();
        let micros = i64::try_from(passed.as_micros()).unwrap_or(i64::MAX);
        self.at.saturating_add(SignedDuration::from_micros(micros)).unwrap_or(self.at)
    }

    fn civil(&self) -> Timestamp {
        let ahead = SignedDuration::from_micros(self.ahead_us.load(Ordering::Relaxed));
        let now = self.now();
        now.saturating_add(ahead).unwrap_or(now)
    }
}
