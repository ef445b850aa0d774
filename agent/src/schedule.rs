//! When each route is probed: open loop, each at its own phase, so that a slow probe never delays the
//! next, and R regions give a probe every interval/R.
//!
//! Decides when; does not know what a probe is.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use mailsonar_clock::SharedClock;
use mailsonar_protocol::{Outcome, Region, RouteName};
use tokio::sync::{Notify, Semaphore};
use tokio_util::task::TaskTracker;

use crate::chance::Chance;

/// The share of the interval by which a tick is moved at random, so that agents do not fall into step
/// with each other or with a server's own rhythm.
const JITTER: f64 = 0.05;

/// Submissions of one route that may be under way at once; a tick beyond is missed, and counted.
const AT_ONCE: usize = 32;

/// The least time between two probes that the collector asked for, on one route.
const ASKED_GAP: SignedDuration = SignedDuration::from_secs(5);

/// What a route's schedule needs to know of how its probes went.
#[derive(Debug)]
pub struct Pulse {
    well: AtomicBool,
    confirm: Notify,
    asked: Mutex<Option<Timestamp>>,
    missed: AtomicU64,
}

impl Default for Pulse {
    fn default() -> Self {
        Self {
            well: AtomicBool::new(true),
            confirm: Notify::new(),
            asked: Mutex::default(),
            missed: AtomicU64::new(0),
        }
    }
}

impl Pulse {
    /// Hears of a probe's first verdict. The first that is not good asks for a confirmation at once.
    pub fn concluded(&self, outcome: Outcome) {
        match outcome {
            Outcome::InFlight => {}
            Outcome::Delivered => self.well.store(true, Ordering::Relaxed),
            _ => {
                if self.well.swap(false, Ordering::Relaxed) {
                    self.confirm.notify_one();
                }
            }
        }
    }

    /// The collector wants a second view at once. `false` if it had one only just now: nobody can make this
    /// agent send as often as he likes.
    pub fn asked(&self, now: Timestamp) -> bool {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let is_soon = asked.is_some_and(|at| now.duration_since(at).abs() < ASKED_GAP);
        if !is_soon {
            *asked = Some(now);
            self.confirm.notify_one();
        }
        !is_soon
    }

    /// Ticks that were not taken since the start.
    pub fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }

    fn miss(&self, count: u64) {
        self.missed.fetch_add(count, Ordering::Relaxed);
    }
}

/// One turn of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// When it was wanted.
    pub scheduled_at: Timestamp,
    /// Whether it is out of turn, to confirm a failure.
    pub confirmation: bool,
}

/// Does one turn. `false`: it could not be begun, and counts as missed.
pub type Act = Arc<dyn Fn(Turn) -> BoxFuture<'static, bool> + Send + Sync>;

/// Where within its interval a route of a region has its turn: from a hash, so that it stays the same
/// over restarts and differs between regions.
pub fn phase(region: &Region, route: &RouteName, interval: Duration) -> SignedDuration {
    let mut hasher = DefaultHasher::new();
    (region.as_str(), route.as_str()).hash(&mut hasher);
    let interval_us = u64::try_from(interval.as_micros()).unwrap_or(u64::MAX).max(1);
    SignedDuration::from_micros(i64::try_from(hasher.finish() % interval_us).unwrap_or(0))
}

/// The first turn after `now`: turns are at whole multiples of the interval plus the phase.
pub fn next_turn(now: Timestamp, interval: Duration, phase: SignedDuration) -> Timestamp {
    let interval = i64::try_from(interval.as_micros()).unwrap_or(i64::MAX).max(1);
    let since = now.as_microsecond() - i64::try_from(phase.as_micros()).unwrap_or(0);
    let wait = interval - since.rem_euclid(interval);
    now.saturating_add(SignedDuration::from_micros(wait)).unwrap_or(now)
}

/// Runs a route's schedule for ever. The turns are tasks of `turns`, and outlive the schedule.
pub async fn run(
    clock: SharedClock,
    chance: Chance,
    interval: Duration,
    phase: SignedDuration,
    pulse: Arc<Pulse>,
    turns: TaskTracker,
    act: Act,
) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut turn = next_turn(clock.now(), interval, phase);
    loop {
        let wait = until(clock.now(), jittered(turn, interval, &chance));
        let taken = tokio::select! {
            biased;
            () = tokio::time::sleep(wait) => {
                let taken = Turn { scheduled_at: turn, confirmation: false };
                // After a pause (a suspended machine) the turns that passed are missed, not made up for.
                let next = next_turn(clock.now().max(turn), interval, phase);
                let passed = next.as_microsecond().saturating_sub(turn.as_microsecond());
                let step = i64::try_from(interval.as_micros()).unwrap_or(i64::MAX).max(1);
                pulse.miss(u64::try_from(passed / step - 1).unwrap_or(0));
                turn = next;
                taken
            }
            () = pulse.confirm.notified() => Turn { scheduled_at: clock.now(), confirmation: true },
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            pulse.miss(1);
            continue;
        };
        let (act, pulse) = (act.clone(), pulse.clone());
        turns.spawn(async move {
            if !act(taken).await {
                pulse.miss(1);
            }
            drop(place);
        });
    }
}

fn jittered(turn: Timestamp, interval: Duration, chance: &Chance) -> Timestamp {
    let moved = interval.mul_f64(JITTER * chance.fraction());
    turn.saturating_add(SignedDuration::try_from(moved).unwrap_or_default()).unwrap_or(turn)
}

fn until(now: Timestamp, then: Timestamp) -> Duration {
    Duration::try_from(then.duration_since(now)).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("a time")
    }

    #[test]
    fn turns_are_an_interval_apart_and_always_ahead() {
        let (interval, phase) = (Duration::from_mins(1), SignedDuration::from_secs(17));
        assert_eq!(next_turn(at(0), interval, phase), at(17));
        assert_eq!(next_turn(at(16), interval, phase), at(17));
        assert_eq!(next_turn(at(17), interval, phase), at(77));
        assert_eq!(next_turn(at(-50), interval, phase), at(-43));
    }

    #[test]
    fn regions_and_routes_have_their_own_stable_phases() {
        let interval = Duration::from_mins(1);
        let of = |region: &str, route: &str| {
            phase(&region.parse().expect("a name"), &route.parse().expect("a name"), interval)
        };
        assert_eq!(of("eu", "loop"), of("eu", "loop"));
        assert_ne!(of("eu", "loop"), of("us", "loop"));
        assert_ne!(of("eu", "loop"), of("eu", "in"));
        assert!(of("eu", "loop") < SignedDuration::from_secs(60));
    }

    #[test]
    fn only_the_first_failure_after_success_is_confirmed() {
        let pulse = Pulse::default();
        let asked = |pulse: &Pulse| futures::FutureExt::now_or_never(pulse.confirm.notified()).is_some();
        pulse.concluded(Outcome::Delivered);
        assert!(!asked(&pulse));
        pulse.concluded(Outcome::Refused);
        assert!(asked(&pulse));
        pulse.concluded(Outcome::Lost);
        assert!(!asked(&pulse), "already known");
        pulse.concluded(Outcome::Delivered);
        pulse.concluded(Outcome::Unknown);
        assert!(asked(&pulse), "not knowing is worth a second look");
    }

    #[test]
    fn a_second_view_is_had_at_once_but_not_as_often_as_somebody_asks() {
        let pulse = Pulse::default();
        let due = |pulse: &Pulse| futures::FutureExt::now_or_never(pulse.confirm.notified()).is_some();
        assert!(pulse.asked(at(100)) && due(&pulse));
        assert!(!pulse.asked(at(101)) && !due(&pulse));
        assert!(!pulse.asked(at(104)));
        assert!(pulse.asked(at(105)) && due(&pulse));
        assert!(pulse.asked(at(90)), "a clock that was set back silences nobody");
    }

    struct Paused;
    impl mailsonar_clock::Clock for Paused {
        #[expect(clippy::disallowed_methods, reason = "the tests' clock under paused time")]
        fn now(&self) -> Timestamp {
            use std::sync::OnceLock;
            static START: OnceLock<tokio::time::Instant> = OnceLock::new();
            let since = tokio::time::Instant::now() - *START.get_or_init(tokio::time::Instant::now);
            at(1_000_000).saturating_add(SignedDuration::try_from(since).expect("short")).expect("in range")
        }
        fn civil(&self) -> Timestamp {
            self.now()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_probe_never_delays_the_next_and_too_many_are_missed_and_counted() {
        let clock: SharedClock = Arc::new(Paused);
        let begun = Arc::new(Mutex::new(Vec::new()));
        let pulse = Arc::new(Pulse::default());
        let act: Act = {
            let begun = begun.clone();
            Arc::new(move |turn| {
                begun.lock().expect("not poisoned").push(turn.scheduled_at);
                Box::pin(async {
                    tokio::time::sleep(Duration::from_secs(40)).await;
                    true
                })
            })
        };
        let interval = Duration::from_secs(1);
        let chance = Chance::seeded(1);
        let schedule =
            run(clock, chance, interval, SignedDuration::ZERO, pulse.clone(), TaskTracker::new(), act);
        tokio::time::timeout(Duration::from_millis(100_500), schedule).await.expect_err("it runs for ever");
        let begun = begun.lock().expect("not poisoned").clone();
        assert!(begun.windows(2).all(|pair| pair[1] > pair[0]));
        assert_eq!(begun.len() as u64 + pulse.missed(), 100, "each second's turn was taken or counted");
        assert!(begun.len() >= 64, "32 at once, each for 40 s: {}", begun.len());
        assert!(
            begun[31].duration_since(begun[0]) <= SignedDuration::from_secs(32),
            "no turn waited for another"
        );
    }
}
