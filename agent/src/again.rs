//! Attempts that wait for their time: a message that was put off is offered again, to the same server.
//!
//! That an attempt is to come is a fact in the ledger; here it only waits. Knows no SMTP, and decides
//! nothing: the schedule is the route's, the outcome the verdict's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mailsonar_protocol::{Record, RouteName};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Route;
use crate::probe::Prober;
use crate::verdict::Fact;

/// Such attempts that may be under way at once; others wait their turn.
const AT_ONCE: usize = 32;

/// The end into which records go that are to be tried again.
pub type Postponed = mpsc::UnboundedSender<Record>;

/// Waits and tries again, for ever. The attempts are tasks of `attempts`, and outlive this; `end` ends them.
pub async fn run(
    mut postponed: mpsc::UnboundedReceiver<Record>,
    prober: Arc<Prober>,
    routes: BTreeMap<RouteName, Arc<Route>>,
    (attempts, end): (TaskTracker, CancellationToken),
) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut waiting = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(record) = postponed.recv() => {
                let Some(route) = routes.get(&record.route).cloned() else {
                    give_up(&prober, &record).await;
                    continue;
                };
                let wait = wait(&prober, &route, &record);
                waiting.spawn(async move {
                    tokio::time::sleep(wait).await;
                    (record.probe, route)
                });
            }
            Some(Ok((probe, route))) = waiting.join_next() => {
                let (prober, places, end) = (prober.clone(), places.clone(), end.clone());
                attempts.spawn(async move {
                    let attempt = async {
                        let _place = places.acquire_owned().await;
                        prober.again(probe, &route).await
                    };
                    if let Some(Err(error)) = end.run_until_cancelled(attempt).await {
                        tracing::error!(%probe, %error, "a message that was put off could not be tried again");
                    }
                });
            }
        }
    }
}

/// Until the next attempt; never longer than the route's longest wait, whatever became of the clock while
/// the agent was away.
fn wait(prober: &Prober, route: &Route, record: &Record) -> Duration {
    let longest = route.retry.iter().max().copied().unwrap_or_default();
    let left = record.handover.next_attempt_at.map(|at| at.duration_since(prober.clock.now()));
    Duration::try_from(left.unwrap_or_default().min(longest)).unwrap_or(Duration::ZERO)
}

/// The route was taken out of the configuration while the message waited.
async fn give_up(prober: &Prober, record: &Record) {
    if let Err(error) = prober.casebook.learn(record.probe, Fact::GivenUp).await {
        let probe = record.probe;
        tracing::error!(%probe, %error, "that a message is not tried again could not be kept");
    }
}
