//! The one place that reads a clock.
//!
//! Everything else in the house is handed a [`Clock`] and asks it, so that decisions can be
//! replayed and a day's outage tested in milliseconds. `clippy.toml` bans the other ways of
//! reading time. Waiting is not this crate's business: timers are the async runtime's.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

/// A source of time, shared by all parts of one process.
pub trait Clock: Send + Sync + 'static {
    /// The *steady* time: it never jumps while the process lives.
    ///
    /// Differences between two steady times of one process are durations that can be trusted, to
    /// the microsecond, whatever happens to the machine's wall clock in between. All records,
    /// deadlines and decisions use it.
    fn now(&self) -> Timestamp;

    /// The civil time: what the machine's wall clock says, jumps included.
    ///
    /// For what other people read as a date (the `Date` header of a message), and to notice that
    /// the wall clock moved. Never for a duration or a decision.
    fn civil(&self) -> Timestamp;

    /// How far the machine's wall clock has moved away from the steady time since the start:
    /// positive where it runs ahead.
    fn drift(&self) -> SignedDuration {
        self.civil().duration_since(self.now())
    }
}

/// A clock that many parts hold at once.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's own clock.
///
/// The steady time is the wall clock at the start plus `CLOCK_BOOTTIME` since then: unlike
/// `std::time::Instant` it counts the time the machine was suspended, and unlike the wall clock it
/// is never stepped.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    anchor: Timestamp,
    started: SignedDuration,
}

impl SystemClock {
    /// Anchors the steady time to the wall clock as it stands now.
    pub fn start() -> Self {
        Self { anchor: wall(), started: since_boot() }
    }

    /// [`Self::start`], shared.
    pub fn shared() -> SharedClock {
        Arc::new(Self::start())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        truncated(self.anchor.saturating_add(since_boot() - self.started).unwrap_or(self.anchor))
    }

    fn civil(&self) -> Timestamp {
        truncated(wall())
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
fn wall() -> Timestamp {
    Timestamp::now()
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
fn since_boot() -> SignedDuration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    SignedDuration::new(time.tv_sec, i32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Records keep microseconds; a time that is stored and read back must equal itself.
fn truncated(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steady_time_never_runs_backwards_and_starts_at_the_wall_clock() {
        let clock = SystemClock::start();
        assert!(clock.drift().abs() < SignedDuration::from_secs(1));
        let mut last = clock.now();
        for _ in 0..10_000 {
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
    }

    #[test]
    fn times_survive_being_stored_as_microseconds() {
        let now = SystemClock::start().now();
        assert_eq!(Timestamp::from_microsecond(now.as_microsecond()).ok(), Some(now));
    }
}
