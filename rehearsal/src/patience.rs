//! Waiting for a condition with a deadline, for everything that happens in other processes.
//!
//! These functions block their thread and read the machine's own clock: other processes do not
//! follow a paused one.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, bail};
use jiff::SignedDuration;
use mailsonar_clock::{Clock, SystemClock};

/// How long to rest between two looks.
const REST: Duration = Duration::from_millis(5);

/// Looks again and again until `look` finds something, for `limit` at most.
///
/// `what` completes the sentence "waited 5 s in vain for ...".
pub fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let clock = SystemClock::start();
    let give_up = clock.now() + SignedDuration::try_from(limit)?;
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if clock.now() >= give_up {
            bail!("waited {limit:?} in vain for {what}");
        }
        sleep(REST);
    }
}

/// [`until`] for a condition that has nothing to show.
pub fn until_true(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) -> Result<()> {
    until(what, limit, || holds().then_some(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_comes_later_and_says_what_never_came() {
        let mut looks = 0;
        let found = until("a third look", Duration::from_secs(5), || {
            looks += 1;
            (looks == 3).then_some(looks)
        });
        assert_eq!(found.ok(), Some(3));

        let error = until_true("rain", Duration::from_millis(20), || false).expect_err("it never rains here");
        assert_eq!(error.to_string(), "waited 20ms in vain for rain");
    }
}
