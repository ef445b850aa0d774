//! What is done beside the evaluation, each at its own pace: the calendar, budgets, heartbeats, sweeping.

use jiff::{SignedDuration, Timestamp};
use tracing::{debug, error, info, warn};

use crate::Collector;
use crate::evaluate::burn;
use crate::incident::{Event, budget};
use crate::notify::{Vitals, ailment};
use crate::silence;
use crate::store::{Store, StoreError};

/// How often old rows are looked for, once none are left.
const SWEEP_PAUSE: SignedDuration = SignedDuration::from_secs(60);
/// How often the calendar of maintenance is looked at.
const CALENDAR_PAUSE: SignedDuration = SignedDuration::from_mins(10);
/// How often it is counted what burns.
const BURN_PAUSE: SignedDuration = SignedDuration::from_secs(30);
/// How often it is counted what is left of a whole budget.
const BUDGET_PAUSE: SignedDuration = SignedDuration::from_mins(10);
/// Beyond this and five ticks, the evaluation counts as stuck.
pub(crate) const GRACE: SignedDuration = SignedDuration::from_secs(5);
/// How long an incident's first page may reach nobody while we still say that all is well with us.
const REACH_PATIENCE: SignedDuration = SignedDuration::from_mins(2);

impl Collector {
    /// How long ago the last evaluation may be.
    pub(crate) fn evaluation_allowed(&self) -> SignedDuration {
        self.inner.config.evaluate.tick.signed() * 5 + GRACE
    }

    /// Writes the calendar's windows down, some weeks ahead.
    pub(crate) async fn announce(&self, now: Timestamp) {
        if now < self.live().calendar_at {
            return;
        }
        let windows = silence::windows(&self.inner.config.maintenance, now);
        let written = self.inner.desks.run(move |store| {
            store.retract_all_but(&windows, now)?;
            store.announce(&windows)
        });
        match written.await {
            Ok(()) => self.live().calendar_at = later(now, CALENDAR_PAUSE),
            Err(trouble) => self.trouble(&trouble),
        }
    }

    /// Counts what burns, and what is left, of each service that has an objective.
    pub(crate) async fn budgets(&self, now: Timestamp) {
        if now < self.live().burn_at {
            return;
        }
        self.live().burn_at = later(now, BURN_PAUSE);
        let whole = now >= self.live().budget_at;
        if whole {
            self.live().budget_at = later(now, BUDGET_PAUSE);
        }
        let services = self.inner.config.services.clone();
        for (service, config) in services {
            let Some(objective) = config.objective else { continue };
            let counted = {
                let service = service.clone();
                self.inner.desks.read(move |store| {
                    let burning = budget::count(store, &service, now)?;
                    let left =
                        whole.then(|| budget::count_window(store, &service, &objective, now)).transpose()?;
                    Ok((burning, left))
                })
            };
            let Ok((tallies, left)) = counted.await else { return };
            if let Some(tally) = left {
                let remaining = burn::remaining(&objective, tally);
                self.inner.metrics.duties().budget(service.as_str(), objective.target, remaining);
            }
            let addressees = self.inner.addressees.clone();
            let applied: Result<Option<Event>, StoreError> = self
                .inner
                .desks
                .run(move |store| budget::apply(store, &service, &objective, &tallies, &addressees, now))
                .await;
            match applied {
                Ok(Some(Event::Opened(incident))) => {
                    warn!(id = incident.id, summary = incident.summary, "incident opened");
                }
                Ok(Some(Event::Resolved(incident))) => {
                    self.inner.metrics.troubles().resolved(&incident);
                    info!(id = incident.id, summary = incident.summary, "incident resolved");
                    self.wake_deliveries();
                }
                Ok(_) => {}
                Err(trouble) => self.trouble(&trouble),
            }
        }
    }

    /// Tells one external watcher, for ever, that all is well with us; not while it is not.
    pub(crate) async fn beat(self, at: usize) {
        let Some(heartbeat) = self.inner.config.heartbeats.list.get(at).cloned() else { return };
        let mut told = false;
        loop {
            tokio::time::sleep(heartbeat.interval()).await;
            let ill = ailment(&self.vitals().await, self.now());
            if let Some(words) = &ill {
                if !std::mem::replace(&mut told, true) {
                    error!(
                        heartbeat = heartbeat.name,
                        words, "the heartbeat stops: this collector is not well"
                    );
                }
                self.inner.metrics.duties().beat(&heartbeat.name, "withheld");
                continue;
            }
            if std::mem::take(&mut told) {
                info!(heartbeat = heartbeat.name, "the heartbeat goes on");
            }
            match heartbeat.beat(&self.inner.post).await {
                Ok(answer) => {
                    debug!(heartbeat = heartbeat.name, answer, "heartbeat");
                    self.inner.metrics.duties().beat(&heartbeat.name, "delivered");
                }
                Err(words) => {
                    warn!(heartbeat = heartbeat.name, words, "the watcher did not hear the heartbeat");
                    self.inner.metrics.duties().beat(&heartbeat.name, "failed");
                }
            }
        }
    }

    /// How this collector is, found out by asking each part.
    async fn vitals(&self) -> Vitals {
        let now = self.now();
        let since = now.saturating_sub(REACH_PATIENCE).unwrap_or(Timestamp::MIN);
        let reach: Result<bool, StoreError> = self
            .inner
            .desks
            .run(move |store| {
                store.mark_alive()?;
                store.nobody_reached(since)
            })
            .await;
        let outbox = &self.inner.outbox;
        let deliveries = self.inner.channels.iter();
        let deliveries =
            deliveries.map(|(channel, _)| (channel.name.clone(), outbox.looked_after(&channel.name)));
        Vitals {
            evaluated_at: self.evaluated_at(),
            evaluation_allowed: self.evaluation_allowed(),
            store: match (self.inner.desks.trouble(), &reach) {
                (Some(trouble), _) => Err(trouble.to_string()),
                (None, Err(trouble)) => Err(trouble.to_string()),
                (None, Ok(_)) => Ok(()),
            },
            deliveries: deliveries.collect(),
            nobody_reached: reach.unwrap_or(true),
        }
    }

    /// Forgets one slice of what is old.
    pub(crate) async fn sweep(&self, now: Timestamp) {
        if now < self.live().sweep_at {
            return;
        }
        let retention = self.inner.config.store.retention.signed();
        let horizon = now.saturating_sub(retention).unwrap_or(Timestamp::MIN);
        let sweep =
            move |store: &Store| Ok::<_, StoreError>(store.sweep(horizon)? | store.sweep_quarters(now)?);
        let more = self.inner.desks.run(sweep).await;
        let pause = if more == Ok(true) { SignedDuration::ZERO } else { SWEEP_PAUSE };
        self.live().sweep_at = later(now, pause);
    }
}

fn later(now: Timestamp, pause: SignedDuration) -> Timestamp {
    now.saturating_add(pause).unwrap_or(now)
}
