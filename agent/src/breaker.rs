//! The sign-in breaker: a monitor must never lock out the account it watches (I14).
//!
//! At most N refused sign-ins per account and hour, across restarts, SMTP and IMAP together. The
//! first two may follow each other at once (a failure is confirmed); the others are spread evenly
//! over the hour, so that a healed account is noticed soon. A sign-in that is taken ends the spreading,
//! but not the count. While there are recent refusals, an attempt is written down before it is made: one
//! that is cut short by a crash counts as refused.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use mailsonar_clock::SharedClock;
use mailsonar_desk::DeskError;
use mailsonar_protocol::{AccountName, Class, Stage};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::ledger::Ledger;
use crate::submit::{SignedIn, Usher};
use crate::trouble::Trouble;

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// The detail of the trouble that says the breaker holds.
pub const SIGN_IN_HELD: &str = "sign_in_held";

/// How long to wait for a place among those under way.
const QUEUE: Duration = Duration::from_secs(10);

/// Refusals that may follow each other at once.
const FREE: usize = 2;

/// Watches over the sign-ins of all accounts of one agent.
#[derive(Clone)]
pub struct Breaker {
    ledger: Ledger,
    clock: SharedClock,
    per_hour: usize,
    under_way: UnderWay,
    told: Arc<Notify>,
}

/// The attempts of each account.
type UnderWay = Arc<Mutex<HashMap<AccountName, Attempts>>>;

/// The attempts of one account in this process.
#[derive(Debug, Default)]
struct Attempts {
    /// Those under way. What of them was written ahead is no refusal yet.
    live: HashSet<Uuid>,
    /// How many have ended: one that ends while the ledger is read is in neither count.
    ended: u64,
    /// The ledger held no refusal of the last hour when it was read, and none was written since: it need not
    /// be read for each sign-in of a healthy account.
    clean: bool,
    /// How often something was written.
    written: u64,
}

impl Attempts {
    /// Something is written into the ledger, or was.
    fn soil(&mut self) {
        self.clean = false;
        self.written += 1;
    }
}

/// Leave to try one sign-in. Must be told how it went; dropped without, it counts as no attempt unless
/// it was written ahead.
#[derive(Debug)]
pub struct Permit {
    id: Uuid,
    account: AccountName,
    written: bool,
    under_way: UnderWay,
    told: Arc<Notify>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let attempts = under_way.entry(self.account.clone()).or_default();
        attempts.live.remove(&self.id);
        attempts.ended += 1;
        drop(under_way);
        self.told.notify_waiters();
    }
}

/// The breaker at the door of one account's submission.
pub struct AccountUsher<'a> {
    breaker: &'a Breaker,
    account: &'a AccountName,
    permit: Mutex<Option<Permit>>,
}

impl<'a> AccountUsher<'a> {
    /// An usher for one submission.
    pub fn new(breaker: &'a Breaker, account: &'a AccountName) -> Self {
        Self { breaker, account, permit: Mutex::new(None) }
    }

    fn permit(&self) -> std::sync::MutexGuard<'_, Option<Permit>> {
        self.permit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Usher for AccountUsher<'_> {
    fn admit(&self) -> BoxFuture<'_, Result<(), Trouble>> {
        Box::pin(async {
            let permit = self.breaker.ask(self.account, Stage::Auth).await?;
            *self.permit() = Some(permit);
            Ok(())
        })
    }

    fn report(&self, how: SignedIn) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let permit = self.permit().take();
            if let Some(permit) = permit {
                self.breaker.tell(permit, how).await;
            }
        })
    }
}

/// A sign-in that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// When.
    pub at: Timestamp,
    /// Whether a later one was taken.
    pub settled: bool,
}

/// Why a sign-in may not be tried now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Others are under way that may be refused; ask again when one has ended.
    Busy,
    /// Too many were refused.
    Until(Timestamp),
}

/// Whether a sign-in may be tried now, given the refusals of the last hour in order of time and the
/// number of attempts under way. Those count as if refused already.
pub fn permit(refused: &[Refusal], under_way: usize, per_hour: usize, now: Timestamp) -> Result<(), Hold> {
    let later = |from: Timestamp, wait: SignedDuration| from.saturating_add(wait).unwrap_or(now);
    let recent: Vec<_> = refused.iter().filter(|refusal| later(refusal.at, HOUR) > now).collect();
    let oldest = recent.first().map_or(now, |refusal| later(refusal.at, HOUR));
    if recent.len() >= per_hour {
        return Err(Hold::Until(oldest));
    }
    let unsettled: Vec<_> = recent.iter().filter(|refusal| !refusal.settled).collect();
    if let (Some(last), true) = (unsettled.last(), unsettled.len() >= FREE.min(per_hour)) {
        let gaps = i32::try_from(per_hour.saturating_sub(FREE).max(1)).unwrap_or(i32::MAX);
        let next = later(last.at, HOUR / gaps);
        if next > now {
            return Err(Hold::Until(next));
        }
        if under_way > 0 {
            return Err(Hold::Busy);
        }
    }
    if recent.len() + under_way >= per_hour { Err(Hold::Busy) } else { Ok(()) }
}

impl Breaker {
    /// A breaker that allows `per_hour` refusals.
    pub fn new(ledger: Ledger, clock: SharedClock, per_hour: usize) -> Self {
        Self { ledger, clock, per_hour, under_way: Arc::default(), told: Arc::default() }
    }

    /// Leave to sign in now, or the trouble that says until when not, and why. Waits a while for others
    /// that are under way.
    pub async fn ask(&self, account: &AccountName, stage: Stage) -> Result<Permit, Trouble> {
        let deadline = tokio::time::sleep(QUEUE);
        tokio::pin!(deadline);
        loop {
            // Registered before the count is looked at, so that no ending is missed.
            let ended = self.told.notified();
            if let Some(permit) = self.try_ask(account, stage).await? {
                return Ok(permit);
            }
            tokio::select! {
                biased;
                () = ended => {}
                () = &mut deadline => {
                    let words = "too many sign-ins to this account are under way";
                    return Err(Trouble::new(stage, Class::Own, "sign_in_queue", words));
                }
            }
        }
    }

    async fn try_ask(&self, account: &AccountName, stage: Stage) -> Result<Option<Permit>, Trouble> {
        loop {
            let (ended, clean, written) =
                self.attempts(account, |attempts| (attempts.ended, attempts.clean, attempts.written));
            let now = self.clock.now();
            let rows = if clean {
                Vec::new()
            } else {
                self.refusals(account, now).await.map_err(|error| own(stage, &error))?
            };
            let id = Uuid::new_v4();
            let asked = self.attempts(account, |attempts| {
                attempts.clean = rows.is_empty() && attempts.written == written;
                let refused =
                    rows.into_iter().filter(|(row, _)| !attempts.live.contains(row)).map(|(_, r)| r);
                let refused: Vec<_> = refused.collect();
                let asked = permit(&refused, attempts.live.len(), self.per_hour, now);
                let is_current = attempts.ended == ended;
                if asked.is_ok() && is_current {
                    attempts.live.insert(id);
                }
                is_current.then_some((asked, refused.len()))
            });
            // What ended while the ledger was read is in neither count: count again.
            let Some((asked, refused)) = asked else { continue };
            return match asked {
                Ok(()) => self.permitted(account, id, refused > 0, stage).await.map(Some),
                Err(Hold::Busy) => Ok(None),
                Err(Hold::Until(until)) => Err(held(stage, refused, until, now)),
            };
        }
    }

    fn attempts<R>(&self, account: &AccountName, look: impl FnOnce(&mut Attempts) -> R) -> R {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        look(under_way.entry(account.clone()).or_default())
    }

    async fn permitted(
        &self,
        account: &AccountName,
        id: Uuid,
        write_ahead: bool,
        stage: Stage,
    ) -> Result<Permit, Trouble> {
        let (under_way, told) = (self.under_way.clone(), self.told.clone());
        let permit = Permit { id, account: account.clone(), written: write_ahead, under_way, told };
        if write_ahead {
            self.write(&permit).await.map_err(|error| own(stage, &error))?;
        }
        Ok(permit)
    }

    /// Tells how it went.
    pub async fn tell(&self, permit: Permit, how: SignedIn) {
        let told = match (how, permit.written) {
            (SignedIn::Refused, false) => self.write(&permit).await,
            (SignedIn::Undecided, true) => self.erase(&permit).await,
            (SignedIn::Taken, true) => self.settle(&permit).await,
            _ => Ok(()),
        };
        if let Err(error) = told {
            let account = &permit.account;
            tracing::error!(%account, %error, "how a sign-in went could not be written down");
        }
    }

    async fn refusals(
        &self,
        account: &AccountName,
        now: Timestamp,
    ) -> Result<Vec<(Uuid, Refusal)>, DeskError> {
        let (account, since) = (account.clone(), now.saturating_sub(HOUR).unwrap_or(now).as_microsecond());
        self.ledger
            .desk()
            .run(move |db| {
                let sql =
                    "SELECT id, at_us, settled FROM sign_in WHERE account = ?1 AND at_us > ?2 ORDER BY at_us";
                let mut query = db.prepare_cached(sql)?;
                let rows = query.query_map((account.as_str(), since), |row| {
                    let id = Uuid::parse_str(&row.get::<_, String>(0)?).unwrap_or_default();
                    let at = Timestamp::from_microsecond(row.get(1)?).unwrap_or_default();
                    Ok((id, Refusal { at, settled: row.get(2)? }))
                })?;
                Ok(rows.collect::<rusqlite::Result<_>>()?)
            })
            .await
    }

    async fn write(&self, permit: &Permit) -> Result<(), DeskError> {
        let (id, account, now) = (permit.id.to_string(), permit.account.clone(), self.clock.now());
        let (at, old) = (now.as_microsecond(), now.saturating_sub(HOUR * 2).unwrap_or(now).as_microsecond());
        // Before and after: who read the ledger meanwhile may have read it too early.
        self.attempts(&permit.account, Attempts::soil);
        let written = self
            .ledger
            .desk()
            .run(move |db| {
                db.execute("DELETE FROM sign_in WHERE at_us < ?1", [old])?;
                let sql = "INSERT INTO sign_in (id, account, at_us) VALUES (?1, ?2, ?3)";
                db.execute(sql, (id, account.as_str(), at))?;
                Ok(())
            })
            .await;
        self.attempts(&permit.account, Attempts::soil);
        written
    }

    async fn erase(&self, permit: &Permit) -> Result<(), DeskError> {
        let id = permit.id.to_string();
        self.ledger
            .desk()
            .run(move |db| Ok(db.execute("DELETE FROM sign_in WHERE id = ?1", [id])?))
            .await
            .map(drop)
    }

    /// A sign-in was taken: its own row goes, and the refusals before it are spread no more.
    async fn settle(&self, permit: &Permit) -> Result<(), DeskError> {
        let (id, account) = (permit.id.to_string(), permit.account.clone());
        self.ledger
            .desk()
            .run(move |db| {
                db.execute("DELETE FROM sign_in WHERE id = ?1", [id])?;
                db.execute("UPDATE sign_in SET settled = 1 WHERE account = ?1", [account.as_str()])?;
                Ok(())
            })
            .await
    }
}

fn held(stage: Stage, refused: usize, until: Timestamp, now: Timestamp) -> Trouble {
    let wait = until.duration_since(now).as_secs();
    let words = format!(
        "{refused} sign-ins were refused in the last hour; so as not to lock the account, none is tried for another {wait} s"
    );
    Trouble::new(stage, Class::Auth, SIGN_IN_HELD, words.as_str())
}

fn own(stage: Stage, error: &DeskError) -> Trouble {
    Trouble::new(stage, Class::Own, "ledger", error.to_string().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).expect("a time")
    }

    fn refused(seconds: &[i64]) -> Vec<Refusal> {
        seconds.iter().map(|&second| Refusal { at: at(second), settled: false }).collect()
    }

    #[test]
    fn a_wrong_password_is_tried_at_most_n_times_an_hour_and_evenly() {
        for per_hour in [1, 2, 3, 6, 20] {
            let mut refused = Vec::new();
            for second in 0..4 * 3_600 {
                if permit(&refused, 0, per_hour, at(second)).is_ok() {
                    refused.push(Refusal { at: at(second), settled: false });
                }
            }
            for window in 0..3 * 3_600 {
                let within =
                    refused.iter().filter(|r| r.at >= at(window) && r.at < at(window + 3_600)).count();
                assert!(within <= per_hour, "{within} of {per_hour}");
            }
            let longest = refused.windows(2).map(|w| w[1].at.duration_since(w[0].at)).max().unwrap_or(HOUR);
            assert!(longest <= HOUR, "a healed account is tried again within the hour");
        }
    }

    #[test]
    fn a_healthy_account_is_never_held() {
        assert_eq!(permit(&[], 3, 6, at(0)), Ok(()));
        assert_eq!(permit(&refused(&[-4_000]), 0, 6, at(0)), Ok(()));
    }

    #[test]
    fn attempts_under_way_count_as_if_refused() {
        assert_eq!(permit(&[], 6, 6, at(0)), Err(Hold::Busy));
        assert_eq!(permit(&refused(&[-10, -5]), 0, 6, at(0)), Err(Hold::Until(at(895))), "spread out");
        assert_eq!(permit(&refused(&[-1_000, -950]), 0, 6, at(0)), Ok(()));
        assert_eq!(permit(&refused(&[-1_000, -950]), 1, 6, at(0)), Err(Hold::Busy), "one at a time");
    }

    #[test]
    fn a_sign_in_that_is_taken_ends_the_spreading_but_not_the_count() {
        let settled = |count: i64| -> Vec<_> {
            (0..count).map(|n| Refusal { at: at(n - 100), settled: true }).collect()
        };
        assert_eq!(permit(&settled(5), 0, 6, at(0)), Ok(()));
        assert_eq!(permit(&settled(5), 1, 6, at(0)), Err(Hold::Busy));
        assert!(matches!(permit(&settled(6), 0, 6, at(0)), Err(Hold::Until(_))));
    }
}
