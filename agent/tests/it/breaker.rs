//! A monitor must never lock out the account that it watches (I14): not after a restart, and not by
//! many sign-ins at once.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use jiff::Timestamp;
use mailsonar_agent::breaker::{Breaker, SIGN_IN_HELD};
use mailsonar_agent::ledger::Ledger;
use mailsonar_agent::submit::SignedIn;
use mailsonar_clock::{Clock, SharedClock};
use mailsonar_protocol::{AccountName, Class, Stage};

use crate::place::Place;

/// A clock that is set by hand, in seconds.
#[derive(Default)]
struct ByHand(AtomicI64);

impl ByHand {
    fn set(&self, second: i64) {
        self.0.store(second, Ordering::SeqCst);
    }
}

impl Clock for ByHand {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_000_000 + self.0.load(Ordering::SeqCst)).expect("a time")
    }
    fn civil(&self) -> Timestamp {
        self.now()
    }
}

const PER_HOUR: usize = 6;

fn breaker(path: &Path, clock: &Arc<ByHand>) -> Breaker {
    let clock: SharedClock = clock.clone();
    let opened = Ledger::open(path, clock.now()).expect("opened");
    assert_eq!(opened.set_aside, None);
    Breaker::new(opened.ledger, clock, PER_HOUR)
}

fn bob() -> AccountName {
    "bob".parse().expect("a name")
}

/// Signs in with a wrong password, if that is allowed.
async fn refused(breaker: &Breaker) -> bool {
    match breaker.ask(&bob(), Stage::Auth).await {
        Ok(permit) => {
            breaker.tell(permit, SignedIn::Refused).await;
            true
        }
        Err(trouble) => {
            assert_eq!((trouble.class, trouble.detail), (Class::Auth, SIGN_IN_HELD), "{trouble:?}");
            false
        }
    }
}

#[tokio::test]
async fn a_restart_after_every_refusal_buys_no_further_attempt() {
    let place = Place::new();
    let (path, clock) = (place.path("ledger.db"), Arc::new(ByHand::default()));
    let mut attempts = Vec::new();
    // Two hours of an agent that is restarted every ten seconds.
    for second in (0..7_200).step_by(10) {
        clock.set(second);
        if refused(&breaker(&path, &clock)).await {
            attempts.push(second);
        }
    }
    assert_eq!(attempts[..2], [0, 10], "the first is confirmed at once");
    for begin in 0..3_600 {
        let within = attempts.iter().filter(|&&second| (begin..begin + 3_600).contains(&second)).count();
        assert!(within <= PER_HOUR, "{within} within an hour: {attempts:?}");
    }
    assert!(attempts.iter().any(|&second| second > 3_600), "it is tried again: {attempts:?}");
}

#[tokio::test]
async fn an_attempt_that_a_crash_cut_short_counts_as_refused() {
    let place = Place::new();
    let (path, clock) = (place.path("ledger.db"), Arc::new(ByHand::default()));
    assert!(refused(&breaker(&path, &clock)).await);
    let mut permits = 0;
    for second in 1..=3_000 {
        clock.set(second);
        // The permit is dropped with the process: nobody tells how it went.
        permits += usize::from(breaker(&path, &clock).ask(&bob(), Stage::Auth).await.is_ok());
    }
    assert!(permits < PER_HOUR, "{permits} more");
    assert!(permits > 0);
}

#[tokio::test]
async fn a_sign_in_that_went_well_takes_nothing_from_the_allowance() {
    let place = Place::new();
    let clock = Arc::new(ByHand::default());
    let breaker = breaker(&place.path("ledger.db"), &clock);
    assert!(refused(&breaker).await);
    for second in 1..100 {
        clock.set(second);
        let permit = breaker.ask(&bob(), Stage::Login).await.expect("one refusal holds nobody");
        breaker.tell(permit, SignedIn::Taken).await;
    }
}

#[tokio::test]
async fn who_is_held_is_told_why_and_for_how_long_and_others_are_not_held() {
    let place = Place::new();
    let clock = Arc::new(ByHand::default());
    let breaker = breaker(&place.path("ledger.db"), &clock);
    while refused(&breaker).await {}
    let trouble = breaker.ask(&bob(), Stage::Login).await.expect_err("held");
    assert_eq!(trouble.stage, Stage::Login);
    let words = trouble.words.as_str();
    assert!(words.contains("refused in the last hour") && words.contains("900 s"), "{words}");
    let alice = "alice".parse().expect("a name");
    breaker.ask(&alice, Stage::Login).await.expect("another account");
    clock.set(901);
    assert!(refused(&breaker).await, "a healed account is noticed soon");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_who_ask_at_once_are_never_refused_more_often_than_allowed() {
    for _ in 0..20 {
        let place = Place::new();
        let clock = Arc::new(ByHand::default());
        let breaker = breaker(&place.path("ledger.db"), &clock);
        let (shown, at_once) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..64 {
            let (breaker, shown, at_once) = (breaker.clone(), shown.clone(), at_once.clone());
            tasks.spawn(async move {
                let Ok(permit) = breaker.ask(&bob(), Stage::Auth).await else { return };
                let others = at_once.fetch_add(1, Ordering::SeqCst);
                assert!(others < PER_HOUR, "{others} others are at it");
                tokio::task::yield_now().await;
                shown.fetch_add(1, Ordering::SeqCst);
                at_once.fetch_sub(1, Ordering::SeqCst);
                breaker.tell(permit, SignedIn::Refused).await;
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.expect("no panic");
        }
        let shown = shown.load(Ordering::SeqCst);
        assert!(shown <= PER_HOUR, "the wrong password was shown {shown} times");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_who_ask_at_once_for_a_healthy_account_all_get_their_turn() {
    let place = Place::new();
    let clock = Arc::new(ByHand::default());
    let breaker = breaker(&place.path("ledger.db"), &clock);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let breaker = breaker.clone();
        tasks.spawn(async move {
            let permit = breaker.ask(&bob(), Stage::Auth).await.expect("nothing is held against it");
            tokio::task::yield_now().await;
            breaker.tell(permit, SignedIn::Taken).await;
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no panic");
    }
}
