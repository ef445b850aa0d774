//! Owed pages, tried until they are delivered: with growing pauses, across restarts, in order.
//!
//! What is owed is in the store before anything is sent, and is settled after it was taken. A crash
//! between the two sends a page twice under one id, never not at all (I8).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use mailsonar_clock::SharedClock;
use sha2::{Digest, Sha256};
use tokio::sync::Notify;
use tracing::{error, info, warn};

use crate::expose::Metrics;
use crate::notify::{Channel, Page, Rejection};
use crate::store::{Desks, Due, StoreError};

/// The pause after the first failure; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// How many answers that say no for good it takes to believe them.
const REFUSALS: u32 = 10;

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A page was tried.
    Tried,
    /// The next page is not due for so long.
    Wait(Duration),
    /// Nothing is owed.
    Idle,
}

/// What the outbox works with.
#[derive(Clone)]
pub struct Outbox {
    /// The store.
    pub desks: Desks,
    /// The time.
    pub clock: SharedClock,
    /// Where attempts are counted.
    pub metrics: Metrics,
    /// Pages whose end the store would not take yet: they are not sent again meanwhile.
    ended: Arc<Mutex<BTreeMap<String, (bool, String)>>>,
}

impl Outbox {
    /// An outbox on this store.
    pub fn new(desks: Desks, clock: SharedClock, metrics: Metrics) -> Self {
        Self { desks, clock, metrics, ended: Arc::default() }
    }

    /// Sends what one notifier is owed, for ever. `wake` says that more is owed.
    pub async fn run(&self, channel: &Channel, wake: &Notify) {
        loop {
            match self.step(channel).await {
                Ok(Step::Tried) => {}
                Ok(Step::Idle) => wake.notified().await,
                Ok(Step::Wait(pause)) => {
                    let _ = tokio::time::timeout(pause, wake.notified()).await;
                }
                // The root's tick logs the store's trouble, and mends it.
                Err(_) => tokio::time::sleep(FIRST_PAUSE).await,
            }
        }
    }

    /// Tries the page that one notifier is owed first, if it is due.
    pub async fn step(&self, channel: &Channel) -> Result<Step, StoreError> {
        let name = channel.name.clone();
        let Some(mut due) = self.desks.run(move |store| store.next_due(&name)).await? else {
            return Ok(Step::Idle);
        };
        let wait = due.next_attempt_at.duration_since(self.clock.now());
        if wait > SignedDuration::ZERO {
            return Ok(Step::Wait(Duration::try_from(wait).unwrap_or(LONGEST_PAUSE).min(LONGEST_PAUSE)));
        }
        let ended = self.ended().get(&due.owed.id).cloned();
        if let Some((delivered, answer)) = ended {
            self.settle(due, delivered, answer).await?;
            return Ok(Step::Tried);
        }
        due.attempts += 1;
        match self.send(channel, &due).await {
            Ok(answer) => self.end(channel, due, true, answer).await?,
            Err(rejection) => self.rejected(channel, due, rejection).await?,
        }
        Ok(Step::Tried)
    }

    async fn send(&self, channel: &Channel, due: &Due) -> Result<String, Rejection> {
        let page: Page = serde_json::from_str(&due.owed.body)
            .map_err(|error| Rejection::ForGood(format!("the stored page cannot be read: {error}")))?;
        channel.notifier.send(&due.owed.id, &page, self.clock.civil()).await
    }

    async fn rejected(
        &self,
        channel: &Channel,
        mut due: Due,
        rejection: Rejection,
    ) -> Result<(), StoreError> {
        let (words, at_least) = match rejection {
            Rejection::ForNow { words, retry_after } => (words, retry_after.unwrap_or_default()),
            Rejection::ForGood(words) => {
                due.refusals += 1;
                if due.refusals >= REFUSALS {
                    return self.end(channel, due, false, words).await;
                }
                (words, Duration::ZERO)
            }
        };
        self.metrics.notified(&channel.name, "failed");
        let pause = pause(&due).max(at_least.min(Duration::from_hours(1)));
        warn!(
            notifier = channel.name,
            page = due.owed.id,
            attempt = due.attempts,
            pause_s = pause.as_secs_f64(),
            answer = words,
            "page not delivered, will try again"
        );
        let next = later(self.clock.now(), pause);
        self.desks.run(move |store| store.postpone(&due, &words, next)).await
    }

    /// A page was delivered, or is given up.
    async fn end(
        &self,
        channel: &Channel,
        due: Due,
        delivered: bool,
        answer: String,
    ) -> Result<(), StoreError> {
        self.metrics.notified(&channel.name, if delivered { "delivered" } else { "given_up" });
        let (name, page, attempts) = (&channel.name, &due.owed.id, due.attempts);
        if delivered {
            info!(notifier = name, page, attempts, answer, "page delivered");
        } else {
            error!(notifier = name, page, attempts, answer, "page given up: it is refused for good");
        }
        self.ended().insert(due.owed.id.clone(), (delivered, answer.clone()));
        self.settle(due, delivered, answer).await
    }

    async fn settle(&self, due: Due, delivered: bool, answer: String) -> Result<(), StoreError> {
        let (now, page) = (self.clock.now(), due.owed.id.clone());
        self.desks.run(move |store| store.settle(&due.owed.id, delivered, &answer, now)).await?;
        self.ended().remove(&page);
        Ok(())
    }

    fn ended(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, (bool, String)>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn later(now: Timestamp, pause: Duration) -> Timestamp {
    SignedDuration::try_from(pause).ok().and_then(|pause| now.checked_add(pause).ok()).unwrap_or(now)
}

/// The pause after an attempt: doubling, capped, and off by up to a fifth so that many collectors do
/// not knock together. What it is off by follows from the page, so a run can be repeated.
fn pause(due: &Due) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << due.attempts.saturating_sub(1).min(16)).min(LONGEST_PAUSE);
    let hash = Sha256::new().chain_update(&due.owed.id).chain_update(due.attempts.to_be_bytes()).finalize();
    doubled.mul_f64(0.8 + 0.4 * f64::from(hash[0]) / 255.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Owed;

    #[test]
    fn pauses_double_stay_near_and_end_at_the_cap() {
        let owed = Owed {
            id: "msg_1".into(),
            incident: "i".into(),
            notifier: "n".into(),
            place: 1,
            body: "{}".into(),
        };
        let at = |attempts| {
            pause(&Due { owed: owed.clone(), attempts, refusals: 0, next_attempt_at: Timestamp::UNIX_EPOCH })
        };
        for (attempts, seconds) in [(1, 1.0), (2, 2.0), (5, 16.0), (12, 300.0), (4_000_000, 300.0)] {
            let ratio = at(attempts).as_secs_f64() / seconds;
            assert!((0.8..=1.2).contains(&ratio), "attempt {attempts}: {ratio}");
        }
    }
}
