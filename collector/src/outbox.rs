//! Owed pages, tried until they are delivered: with growing pauses, across restarts, in order, and as
//! politely as each service wants to be called.
//!
//! What is owed is in the store before anything is sent, and is settled after it was taken. A crash
//! between the two sends a page twice under one id, never not at all (I8).

mod pace;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use mailsonar_clock::SharedClock;
use sha2::{Digest, Sha256};
use tokio::sync::Notify;
use tracing::{debug, error, info, warn};

use crate::expose::Metrics;
use crate::incident;
use crate::notify::{Call, Channel, Page, Rejection};
use crate::store::{Desks, Due, StoreError};
use pace::Pace;

/// The pause after the first failure; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// The longest a service is left alone because it said so.
const LONGEST_HOLD: Duration = Duration::from_hours(1);
/// How many answers that say no for good it takes to believe them.
const REFUSALS: u32 = 10;
/// How often it is looked whether something is owed, if nobody says so.
const LOOK: Duration = Duration::from_secs(30);
/// How long what is over is told again to services that want that.
const AFTERWARDS: SignedDuration = SignedDuration::from_mins(5);

/// What one step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Something was tried.
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
    /// How each notifier may be called now.
    paces: Arc<Mutex<BTreeMap<String, Pace>>>,
}

impl Outbox {
    /// An outbox on this store.
    pub fn new(desks: Desks, clock: SharedClock, metrics: Metrics) -> Self {
        Self { desks, clock, metrics, ended: Arc::default(), paces: Arc::default() }
    }

    /// Sends what one notifier is owed, for ever. `wake` says that more is owed.
    pub async fn run(&self, channel: &Channel, wake: &Notify) {
        loop {
            let pause = match self.step(channel).await {
                Ok(Step::Tried) => continue,
                Ok(Step::Idle) => LOOK,
                Ok(Step::Wait(pause)) => pause.min(LOOK),
                // The root's tick logs the store's trouble, and mends it.
                Err(_) => {
                    tokio::time::sleep(FIRST_PAUSE).await;
                    continue;
                }
            };
            let _ = tokio::time::timeout(pause, wake.notified()).await;
        }
    }

    /// When each notifier's deliveries were last looked after.
    pub fn looked_after(&self, notifier: &str) -> Option<Timestamp> {
        self.paces().get(notifier).and_then(|pace| pace.stepped_at)
    }

    /// Tries the pages that one notifier is owed first, if they are due and it may be called now.
    pub async fn step(&self, channel: &Channel) -> Result<Step, StoreError> {
        let (now, manners) = (self.clock.now(), channel.notifier.manners());
        let (wait, again) = self.pace(&channel.name, |pace| {
            pace.stepped_at = Some(now);
            (pace.wait(manners.pace, now), pace.is_again(manners.again, now))
        });
        if let Some(wait) = wait {
            return Ok(Step::Wait(wait));
        }
        if again {
            self.tell_again(channel).await?;
        }
        let name = channel.name.clone();
        let mut due = self.desks.run(move |store| store.next_due(&name, manners.together)).await?;
        let Some(first) = due.first() else { return Ok(Step::Idle) };
        // Only what is tried for the first time waits for company.
        let gathered = later(first.created_at, manners.gather);
        let wait = first.next_attempt_at.max(gathered).duration_since(now);
        if wait > SignedDuration::ZERO {
            return Ok(Step::Wait(Duration::try_from(wait).unwrap_or(LONGEST_PAUSE)));
        }
        if first.refusals > 0 {
            // One that is refused for good must not take others down with it.
            due.truncate(1);
        } else {
            due.retain(|due| due.next_attempt_at <= now && due.refusals == 0);
        }
        self.try_now(channel, due).await?;
        Ok(Step::Tried)
    }

    async fn try_now(&self, channel: &Channel, due: Vec<Due>) -> Result<(), StoreError> {
        let mut owed = Vec::new();
        for page in due {
            let ended = self.ended().get(&page.owed.id).cloned();
            match ended {
                Some((delivered, answer)) => self.settle(vec![page], delivered, answer).await?,
                None => owed.push(Due { attempts: page.attempts + 1, ..page }),
            }
        }
        if !owed.is_empty() {
            match self.send(channel, &owed).await {
                Ok(answer) => self.end(channel, owed, true, answer).await?,
                Err(rejection) => self.rejected(channel, owed, rejection).await?,
            }
        }
        Ok(())
    }

    async fn send(&self, channel: &Channel, due: &[Due]) -> Result<String, Rejection> {
        let pages: Result<Vec<Page>, _> =
            due.iter().map(|due| serde_json::from_str(&due.owed.body)).collect();
        let pages =
            pages.map_err(|error| Rejection::ForGood(format!("the stored page cannot be read: {error}")))?;
        let id = due.first().map_or("", |due| due.owed.id.as_str());
        self.call(channel, id, &pages).await
    }

    async fn call(&self, channel: &Channel, id: &str, pages: &[Page]) -> Result<String, Rejection> {
        let (now, civil) = (self.clock.now(), self.clock.civil());
        let answer = channel.notifier.send(Call { id, pages, now, civil }).await;
        let hold = match &answer {
            Err(Rejection::ForNow { retry_after, .. }) => *retry_after,
            _ => None,
        };
        let now = self.clock.now();
        let until = hold.map(|hold| later(now, hold.min(LONGEST_HOLD)));
        self.pace(&channel.name, |pace| pace.called(now, until));
        answer
    }

    /// Tells a service that wants it once more what stands, and what is over since a short while.
    async fn tell_again(&self, channel: &Channel) -> Result<(), StoreError> {
        let (name, now) = (channel.name.clone(), self.clock.now());
        let since = now.saturating_sub(AFTERWARDS).unwrap_or(Timestamp::MIN);
        let pages: Vec<Page> = self.desks.read(move |store| store.standing_pages(&name, since)).await?;
        self.pace(&channel.name, |pace| pace.again_at = Some(now));
        if pages.is_empty() {
            return Ok(());
        }
        let result = match self.call(channel, "again", &pages).await {
            Ok(answer) => {
                debug!(notifier = channel.name, pages = pages.len(), answer, "what stands was told again");
                "repeated"
            }
            Err(rejection) => {
                warn!(notifier = channel.name, pages = pages.len(), answer = %rejection, "what stands could not be told again");
                "failed"
            }
        };
        self.metrics.notified(&channel.name, result);
        Ok(())
    }

    async fn rejected(
        &self,
        channel: &Channel,
        due: Vec<Due>,
        rejection: Rejection,
    ) -> Result<(), StoreError> {
        let (words, refusals, at_least) = match rejection {
            Rejection::ForNow { words, retry_after } => (words, 0, retry_after.unwrap_or_default()),
            Rejection::ForGood(words) => (words, 1, Duration::ZERO),
            Rejection::Never(words) => (words, REFUSALS, Duration::ZERO),
        };
        let (mut left, mut hopeless) = (Vec::new(), Vec::new());
        for page in due {
            let page = Due { refusals: page.refusals + refusals, ..page };
            if page.refusals >= REFUSALS { hopeless.push(page) } else { left.push(page) }
        }
        if !hopeless.is_empty() {
            self.end(channel, hopeless, false, words.clone()).await?;
        }
        let Some(first) = left.first() else { return Ok(()) };
        let pause = pause(first).max(at_least.min(LONGEST_HOLD));
        for page in &left {
            self.metrics.notified(&channel.name, "failed");
            warn!(
                notifier = channel.name,
                page = page.owed.id,
                attempt = page.attempts,
                pause_s = pause.as_secs_f64(),
                answer = words,
                "page not delivered, will try again"
            );
        }
        let next = later(self.clock.now(), pause);
        self.desks.run(move |store| left.iter().try_for_each(|due| store.postpone(due, &words, next))).await
    }

    /// Pages were delivered, or are given up.
    async fn end(
        &self,
        channel: &Channel,
        due: Vec<Due>,
        delivered: bool,
        answer: String,
    ) -> Result<(), StoreError> {
        for page in &due {
            self.metrics.notified(&channel.name, if delivered { "delivered" } else { "given_up" });
            let (name, id, attempts) = (&channel.name, &page.owed.id, page.attempts);
            if delivered {
                info!(notifier = name, page = id, attempts, answer, "page delivered");
            } else {
                error!(notifier = name, page = id, attempts, answer, "page given up: it is refused for good");
            }
            self.ended().insert(id.clone(), (delivered, answer.clone()));
        }
        self.settle(due, delivered, answer).await
    }

    async fn settle(&self, due: Vec<Due>, delivered: bool, answer: String) -> Result<(), StoreError> {
        let now = self.clock.now();
        let ids: Vec<String> = due.iter().map(|due| due.owed.id.clone()).collect();
        self.desks
            .run(move |store| {
                for page in &due {
                    store.settle(&page.owed.id, delivered, &answer, now)?;
                    if delivered && page.owed.place == 1 {
                        incident::paged(store, &page.owed.incident, &page.owed.notifier, now)?;
                    }
                }
                Ok::<_, StoreError>(())
            })
            .await?;
        for id in ids {
            self.ended().remove(&id);
        }
        Ok(())
    }

    fn ended(&self) -> MutexGuard<'_, BTreeMap<String, (bool, String)>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn paces(&self) -> MutexGuard<'_, BTreeMap<String, Pace>> {
        self.paces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pace<T>(&self, notifier: &str, with: impl FnOnce(&mut Pace) -> T) -> T {
        with(self.paces().entry(notifier.to_owned()).or_default())
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
            let epoch = Timestamp::UNIX_EPOCH;
            pause(&Due {
                owed: owed.clone(),
                attempts,
                refusals: 0,
                created_at: epoch,
                next_attempt_at: epoch,
            })
        };
        for (attempts, seconds) in [(1, 1.0), (2, 2.0), (5, 16.0), (12, 300.0), (4_000_000, 300.0)] {
            let ratio = at(attempts).as_secs_f64() / seconds;
            assert!((0.8..=1.2).contains(&ratio), "attempt {attempts}: {ratio}");
        }
    }
}
