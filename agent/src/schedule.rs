//! When each route is probed: open loop, each at its own phase, so that a slow probe never delays the
//! next, and R regions give a probe every interval/R. The collector knows all routes and says which phase;
//! until it has, a hash does.
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
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::task::TaskTracker;

use crate::chance::Chance;

/// The share of the interval by which a tick is moved at random, so that agents do not fall into step
/// with each other or with a server's own rhythm.
const JITTER: f64 = 0.05;

/// Submissions of one route that may be under way at once; a tick beyond is missed, and counted.
const AT_ONCE: usize = 32;

/// The least time between two probes that the collector asked for, on one route.
const ASKED_GAP: SignedDuration = SignedDuration::from_secs(1);

/// The least time between three of them.
const ASKED_TWICE: SignedDuration = SignedDuration::from_secs(5);

/// What a route's schedule needs to know of how its probes went.
#[derive(Debug)]
pub struct Pulse {
    well: AtomicBool,
    confirm: Notify,
    /// When the last two were asked for, the newer first.
    asked: Mutex<[Option<Timestamp>; 2]>,
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

    /// The collector wants a second view at once. `false` if it had one only just now, or two: nobody can
    /// make this agent send as often as he likes.
    pub fn asked(&self, now: Timestamp) -> bool {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let within = |at: Option<Timestamp>, gap| at.is_some_and(|at| now.duration_since(at).abs() < gap);
        let is_soon = within(asked[0], ASKED_GAP) || within(asked[1], ASKED_TWICE);
        if !is_soon {
            *asked = [Some(now), asked[0]];
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

/// Where within its interval a route of a region has its turn while nobody has said where: from a hash, so
/// that it stays the same over restarts and differs between regions.
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

/// The next turn by another phase: half an interval after the last at least, so that it is no second probe in
/// its place, and one and a half at most. If that has just passed, it is taken at once.
fn moved_turn(
    last: Option<Timestamp>,
    now: Timestamp,
    interval: Duration,
    phase: SignedDuration,
) -> Timestamp {
    let half = SignedDuration::try_from(interval / 2).unwrap_or(SignedDuration::ZERO);
    let before = SignedDuration::from_micros(1);
    let earliest = last.and_then(|last| last.checked_add(half).ok()?.checked_sub(before).ok());
    let next = earliest.map(|earliest| next_turn(earliest, interval, phase));
    let next = next.filter(|next| now.duration_since(*next) < half);
    next.unwrap_or_else(|| next_turn(now, interval, phase))
}

/// Runs a route's schedule for ever, by the phase that holds. The turns are tasks of `turns`, and outlive
/// the schedule.
pub async fn run(
    clock: SharedClock,
    chance: Chance,
    interval: Duration,
    mut phase: watch::Receiver<SignedDuration>,
    pulse: Arc<Pulse>,
    turns: TaskTracker,
    act: Act,
) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut last = None;
    let mut turn = next_turn(clock.now(), interval, *phase.borrow_and_update());
    loop {
        let wait = until(clock.now(), jittered(turn, interval, &chance));
        let taken = tokio::select! {
            biased;
            () = tokio::time::sleep(wait) => {
                let taken = Turn { scheduled_at: turn, confirmation: false };
                // After a pause (a suspended machine) the turns that passed are missed, not made up for.
                let next = next_turn(clock.now().max(turn), interval, *phase.borrow());
                let passed = next.as_microsecond().saturating_sub(turn.as_microsecond());
                let step = i64::try_from(interval.as_micros()).unwrap_or(i64::MAX).max(1);
                pulse.miss(u64::try_from(passed / step - 1).unwrap_or(0));
                (last, turn) = (Some(turn), next);
                taken
            }
            Ok(()) = phase.changed() => {
                turn = moved_turn(last, clock.now(), interval, *phase.borrow_and_update());
                continue;
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
        assert!(!pulse.asked(at(100)) && !due(&pulse));
        assert!(pulse.asked(at(101)) && due(&pulse), "two views are wanted of a route that is suspect");
        assert!(!pulse.asked(at(103)) && !due(&pulse), "but not three");
        assert!(pulse.asked(at(105)) && due(&pulse));
        assert!(pulse.asked(at(90)), "a clock that was set back silences nobody");
    }

    #[test]
    fn another_phase_neither_doubles_a_turn_nor_leaves_out_more_than_half_of_one() {
        let interval = Duration::from_mins(1);
        for (now, phase) in (0..60).flat_map(|now| (0..60).map(move |phase| (now, phase))) {
            let place = SignedDuration::from_secs(phase);
            let next = moved_turn(Some(at(0)), at(now), interval, place).as_second();
            assert_eq!(next.rem_euclid(60), phase);
            assert!((30..90).contains(&next), "{now} {phase}: {next}");
            let after = next_turn(at(now.max(next)), interval, place).as_second();
            assert!(after - now.max(next) >= 30, "{now} {phase}: {next} and then {after}");
        }
        let slept = moved_turn(Some(at(0)), at(3_605), interval, SignedDuration::ZERO);
        assert_eq!(slept, at(3_660), "what a suspended machine missed is not made up for");
        assert_eq!(
            moved_turn(None, at(5), interval, SignedDuration::from_secs(6)),
            at(6),
            "the first of all"
        );
    }

    /// The runtime's paused time, as a clock.
    struct Paused(tokio::time::Instant);

    #[expect(clippy::disallowed_methods, reason = "the tests' clock under paused time")]
    fn paused() -> SharedClock {
        Arc::new(Paused(tokio::time::Instant::now()))
    }

    impl mailsonar_clock::Clock for Paused {
        fn now(&self) -> Timestamp {
            let since = SignedDuration::try_from(self.0.elapsed()).expect("short");
            at(1_000_000).saturating_add(since).expect("in range")
        }
        fn civil(&self) -> Timestamp {
            self.now()
        }
    }

    /// A phase that nobody changes.
    fn still() -> watch::Receiver<SignedDuration> {
        watch::channel(SignedDuration::ZERO).1
    }

    #[tokio::test(start_paused = true)]
    async fn a_route_that_is_given_another_place_goes_on_there_and_misses_nothing() {
        let clock = paused();
        let begun = Arc::new(Mutex::new(Vec::new()));
        let heard = begun.clone();
        let act: Act = Arc::new(move |turn| {
            heard.lock().expect("not poisoned").push(turn.scheduled_at);
            Box::pin(async { true })
        });
        let (place, phase) = watch::channel(SignedDuration::ZERO);
        let (interval, pulse) = (Duration::from_mins(1), Arc::new(Pulse::default()));
        let (chance, turns) = (Chance::seeded(1), TaskTracker::new());
        let schedule = tokio::spawn(run(clock, chance, interval, phase, pulse.clone(), turns, act));
        for seconds in [10, 40, 20, 55] {
            tokio::time::sleep(Duration::from_mins(5)).await;
            place.send_replace(SignedDuration::from_secs(seconds));
        }
        tokio::time::sleep(Duration::from_mins(5)).await;
        drop(place);
        tokio::time::sleep(Duration::from_mins(5)).await;
        schedule.abort();
        let begun = begun.lock().expect("not poisoned").clone();
        let gaps = begun.windows(2).map(|pair| pair[1].duration_since(pair[0]).as_secs());
        assert!(gaps.clone().all(|gap| (30..=95).contains(&gap)), "{:?}", gaps.collect::<Vec<_>>());
        assert_eq!(
            begun.last().expect("some").as_second().rem_euclid(60),
            55,
            "it holds when nothing more is said"
        );
        assert!((28..=31).contains(&begun.len()) && pulse.missed() == 0, "{} turns", begun.len());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_probe_never_delays_the_next_and_too_many_are_missed_and_counted() {
        let clock = paused();
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
        let schedule = run(clock, chance, interval, still(), pulse.clone(), TaskTracker::new(), act);
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
