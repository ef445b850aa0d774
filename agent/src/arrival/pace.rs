//! How often to look into a mailbox: briskly while a message is due, ever more slowly as it ages.
//!
//! Pure. The gap between two looks is a fixed share of the age of the youngest message awaited, so
//! that each latency is known to within that share (or two milliseconds), at a number of looks that
//! grows only with the logarithm of the age. Where the gap has grown to what IDLE gives (Dovecot
//! holds its notices back for half a second), IDLE takes over.

use std::time::Duration;

use jiff::Timestamp;

/// Gap over age: latencies are known to within this share.
const SHARE: u32 = 25;

/// The shortest gap.
const SHORTEST: Duration = Duration::from_millis(2);

/// From this gap on, IDLE is as good and costs nothing.
const LONGEST: Duration = Duration::from_millis(500);

/// While a message is still being handed over: long, since its acceptance wakes the watcher.
const HANDING_OVER: Duration = Duration::from_millis(250);

/// How far Junk, which IDLE does not tell of, may lag behind: a multiple of the inbox's gap.
const JUNK_FACTOR: u32 = 5;
const JUNK_SHORTEST: Duration = Duration::from_millis(100);
const JUNK_CALM: Duration = Duration::from_secs(5);
const JUNK_LONGEST: Duration = Duration::from_secs(30);

/// How the wait for the next look is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// Sleep, then NOOP.
    Sleep(Duration),
    /// IDLE, for at most this long.
    Idle(Duration),
}

/// What is awaited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Awaited {
    /// Whether a message is being handed over right now.
    pub handing_over: bool,
    /// When the youngest awaited message was accepted.
    pub youngest: Option<Timestamp>,
    /// When the next deadline passes, after which a complete look is owed.
    pub next_due: Option<Timestamp>,
}

/// What the server and the configuration allow.
#[derive(Debug, Clone, Copy)]
pub(super) struct Means {
    /// Whether brisk looks are wanted.
    pub brisk: bool,
    /// Whether the server offers IDLE.
    pub can_idle: bool,
    /// The longest IDLE.
    pub idle: Duration,
    /// The gap where nothing is due and the server has no IDLE.
    pub poll: Duration,
    /// What the last look took.
    pub round_trip: Duration,
}

/// How to wait now.
pub(super) fn wait(now: Timestamp, awaited: &Awaited, means: &Means) -> Wait {
    let age = awaited.youngest.map(|youngest| since(youngest, now));
    let gap = match (age, awaited.handing_over) {
        (Some(age), _) => Some(gap(age).max(means.round_trip)),
        (None, true) => Some(HANDING_OVER),
        (None, false) => None,
    };
    let brisk = gap.filter(|gap| means.brisk && *gap < LONGEST);
    let due = awaited.next_due.map(|due| since(now, due).max(SHORTEST));
    let capped = |wait: Duration| due.map_or(wait, |due| wait.min(due));
    match brisk {
        Some(gap) => Wait::Sleep(capped(gap)),
        None if means.can_idle => Wait::Idle(capped(junk_gap(age, means.brisk).min(means.idle))),
        None => Wait::Sleep(capped(gap.map_or(means.poll, |gap| gap.max(LONGEST).min(means.poll)))),
    }
}

/// How long Junk may go without a look.
pub(super) fn junk_gap(age: Option<Duration>, brisk: bool) -> Duration {
    let shortest = if brisk { JUNK_SHORTEST } else { JUNK_CALM };
    age.map_or(Duration::MAX, |age| (gap(age) * JUNK_FACTOR).clamp(shortest, JUNK_LONGEST))
}

fn gap(age: Duration) -> Duration {
    (age / SHARE).max(SHORTEST)
}

pub(super) fn since(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or(Duration::ZERO)
}

/// A budget of brisk looks: so many a second in the long run, with a burst for a probe's first moments.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    per_second: f64,
    left: f64,
    counted: Timestamp,
}

/// Seconds' worth of looks that may be saved up.
const BURST: f64 = 5.0;

impl Budget {
    pub(super) fn new(per_second: u32, now: Timestamp) -> Self {
        let per_second = f64::from(per_second.max(1));
        Self { per_second, left: per_second * BURST, counted: now }
    }

    /// Spends one look; returns how much longer than `gap` to wait for it.
    pub(super) fn spend(&mut self, gap: Duration, now: Timestamp) -> Duration {
        let earned = since(self.counted, now).as_secs_f64() * self.per_second;
        self.left = (self.left + earned).min(self.per_second * BURST) - 1.0;
        self.counted = now;
        if self.left >= 0.0 {
            return gap;
        }
        gap.max(Duration::from_secs_f64((-self.left / self.per_second).min(1.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_microsecond(1_000_000_000_000 + micros).expect("a time")
    }

    const MEANS: Means = Means {
        brisk: true,
        can_idle: true,
        idle: Duration::from_mins(4),
        poll: Duration::from_secs(15),
        round_trip: Duration::from_micros(100),
    };

    fn aged(age: Duration) -> (Timestamp, Awaited) {
        let now = at(i64::try_from(age.as_micros()).expect("short"));
        (now, Awaited { youngest: Some(at(0)), ..Awaited::default() })
    }

    #[test]
    fn a_latency_is_known_to_within_a_twenty_fifth_at_few_looks() {
        let (mut age, mut looks) = (Duration::ZERO, 0);
        loop {
            let (now, awaited) = aged(age);
            let Wait::Sleep(gap) = wait(now, &awaited, &MEANS) else { break };
            assert!(
                gap <= Duration::from_millis(2).max(age / 25) + Duration::from_nanos(1),
                "{gap:?} at {age:?}"
            );
            age += gap;
            looks += 1;
        }
        assert!(age >= Duration::from_secs(12) && age < Duration::from_secs(13), "{age:?}");
        assert!(looks < 200, "{looks}");
    }

    #[test]
    fn a_slow_server_is_asked_no_faster_than_it_answers() {
        let (now, awaited) = aged(Duration::ZERO);
        let means = Means { round_trip: Duration::from_millis(80), ..MEANS };
        assert_eq!(wait(now, &awaited, &means), Wait::Sleep(Duration::from_millis(80)));
    }

    #[test]
    fn nothing_due_is_waited_for_in_idle_and_without_idle_by_slow_polls() {
        let none = Awaited::default();
        assert_eq!(wait(at(0), &none, &MEANS), Wait::Idle(Duration::from_mins(4)));
        let means = Means { can_idle: false, ..MEANS };
        assert_eq!(wait(at(0), &none, &means), Wait::Sleep(Duration::from_secs(15)));
    }

    #[test]
    fn a_deadline_is_kept_whatever_else_is_waited_for() {
        let due = Awaited { next_due: Some(at(3_000_000)), ..Awaited::default() };
        assert_eq!(wait(at(0), &due, &MEANS), Wait::Idle(Duration::from_secs(3)));
        assert_eq!(wait(at(4_000_000), &due, &MEANS), Wait::Idle(SHORTEST), "overdue: now");
    }

    #[test]
    fn late_mail_is_idled_for_but_junk_is_looked_into() {
        let (now, awaited) = aged(Duration::from_secs(100));
        assert_eq!(wait(now, &awaited, &MEANS), Wait::Idle(Duration::from_secs(20)));
        assert_eq!(junk_gap(Some(Duration::from_hours(20)), true), JUNK_LONGEST);
    }

    #[test]
    fn the_budget_bounds_the_long_run_and_leaves_the_first_moments_free() {
        let mut budget = Budget::new(50, at(0));
        let (mut now, mut looks) = (0_i64, 0);
        while now < 60_000_000 {
            let wait = budget.spend(SHORTEST, at(now));
            now += i64::try_from(wait.as_micros()).expect("short");
            looks += 1;
            if looks <= 200 {
                assert_eq!(wait, SHORTEST);
            }
        }
        assert!((3_000..3_600).contains(&looks), "{looks} in a minute");
    }
}
