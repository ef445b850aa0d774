//! Second views that are wanted at once, until the agent they are asked of has been told.
//!
//! Kept in memory only: what is not told within a moment is of no use. Decides nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use mailsonar_protocol::{AgentName, RouteName};
use tokio::sync::Notify;

use crate::evaluate::Asked;

/// A route is asked for again only after so long: then the news of the first probe is there, if it began.
/// An agent passes over what is asked too often.
const AGAIN: SignedDuration = SignedDuration::from_millis(1_500);

/// What is wanted, and when it was last. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Asks {
    open: Arc<Mutex<Open>>,
    bell: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Open {
    wanted: BTreeMap<AgentName, BTreeSet<RouteName>>,
    asked_at: BTreeMap<(AgentName, RouteName), Timestamp>,
    closed: bool,
}

impl Asks {
    /// Wants these from now on; what was wanted before and is no more is forgotten.
    pub fn want(&self, asked: Asked, now: Timestamp) {
        let mut open = self.open();
        open.asked_at.retain(|_, at| now.duration_since(*at) < AGAIN);
        open.wanted.clear();
        for (agent, mut routes) in asked {
            routes.retain(|route| !open.asked_at.contains_key(&(agent.clone(), route.clone())));
            if !routes.is_empty() {
                open.wanted.insert(agent, routes);
            }
        }
        if !open.wanted.is_empty() {
            self.bell.notify_waiters();
        }
    }

    /// What this agent is asked for. It is told once.
    pub fn take(&self, agent: &AgentName, now: Timestamp) -> Vec<RouteName> {
        let mut open = self.open();
        let routes = open.wanted.remove(agent).unwrap_or_default();
        for route in &routes {
            open.asked_at.insert((agent.clone(), route.clone()), now);
        }
        routes.into_iter().collect()
    }

    /// Holds nobody any more: the collector ends.
    pub fn close(&self) {
        self.open().closed = true;
        self.bell.notify_waiters();
    }

    /// Waits until something is asked of this agent, but no longer than so long.
    pub async fn wait(&self, agent: &AgentName, longest: Duration) {
        let asked = async {
            loop {
                let rung = self.bell.notified();
                tokio::pin!(rung);
                rung.as_mut().enable();
                let is_done = |open: &Open| open.closed || open.wanted.contains_key(agent);
                if is_done(&self.open()) {
                    return;
                }
                rung.await;
            }
        };
        let _ = tokio::time::timeout(longest, asked).await;
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).expect("in range")
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_told_at_once_and_once() {
        let (asks, eu): (Asks, AgentName) = (Asks::default(), "eu-1".parse().expect("a name"));
        let asked = || Asked::from([(eu.clone(), BTreeSet::from(["loop".parse().expect("a name")]))]);
        let waiting = tokio::spawn({
            let (asks, eu) = (asks.clone(), eu.clone());
            async move {
                asks.wait(&eu, Duration::from_secs(20)).await;
                asks.take(&eu, at(0))
            }
        });
        tokio::task::yield_now().await;
        asks.want(asked(), at(0));
        assert_eq!(waiting.await.expect("no panic").len(), 1);
        asks.want(asked(), at(1));
        assert_eq!(asks.take(&eu, at(1)), [], "it has just been asked");
        asks.want(asked(), at(6));
        assert_eq!(asks.take(&eu, at(6)).len(), 1);
        asks.want(Asked::new(), at(12));
        asks.wait(&eu, Duration::from_secs(20)).await;
        assert_eq!(asks.take(&eu, at(12)), []);
    }
}
