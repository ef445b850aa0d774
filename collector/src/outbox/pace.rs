//! When one notifier may be called again. Lives as long as the process; what is owed does not depend on it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// How one notifier was called lately.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pace {
    /// When its deliveries were last looked after.
    pub(super) stepped_at: Option<Timestamp>,
    /// When it was last told again what stands.
    pub(super) again_at: Option<Timestamp>,
    called_at: Option<Timestamp>,
    held_until: Option<Timestamp>,
}

impl Pace {
    /// It was called, and may have said how long it wants to be left alone.
    pub(super) fn called(&mut self, now: Timestamp, held_until: Option<Timestamp>) {
        self.called_at = Some(now);
        self.held_until = held_until;
    }

    /// How long it must still be left alone.
    pub(super) fn wait(&self, pace: Duration, now: Timestamp) -> Option<Duration> {
        let pace = SignedDuration::try_from(pace).unwrap_or(SignedDuration::MAX);
        let next = self.called_at.and_then(|at| at.checked_add(pace).ok());
        let until = next.max(self.held_until)?;
        Duration::try_from(until.duration_since(now)).ok().filter(|wait| !wait.is_zero())
    }

    /// Whether it is time to tell again what stands. It is at the start: who knows what was told before.
    pub(super) fn is_again(&self, again: Option<Duration>, now: Timestamp) -> bool {
        let Some(again) = again.and_then(|again| SignedDuration::try_from(again).ok()) else { return false };
        self.again_at.is_none_or(|at| now.duration_since(at) >= again)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(millis).expect("in range")
    }

    #[test]
    fn a_service_is_left_alone_for_its_pace_and_for_as_long_as_it_says() {
        let second = Duration::from_secs(1);
        let mut pace = Pace::default();
        assert_eq!(pace.wait(second, at(0)), None);
        pace.called(at(0), None);
        assert_eq!(pace.wait(second, at(400)), Some(Duration::from_millis(600)));
        assert_eq!(pace.wait(second, at(1000)), None);
        pace.called(at(1000), Some(at(31_000)));
        assert_eq!(pace.wait(second, at(2000)), Some(Duration::from_secs(29)));
        assert_eq!(pace.wait(second, at(31_000)), None);
    }
}
