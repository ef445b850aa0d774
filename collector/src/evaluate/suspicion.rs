//! The first sign of trouble: worth a second view at once, here and elsewhere.
//!
//! A leg is suspect while the newest word of one of its routes is bad, or a probe under way takes
//! doubtfully long, and there is no incident yet. Then every route of its kind is to be probed out of turn
//! until each has two views that began after the first sign, or a good one. So are control routes, once:
//! they exonerate.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use mailsonar_protocol::{AgentName, Direction, Outcome, RouteName};

use super::component::Component;
use super::facts::{AgentFacts, Lane, Sample};
use super::leg::{LegView, speaks_now};
use super::overdue::{Wait, wait};
use super::vantage::Sight;
use super::{blame, votes};

/// Routes to be probed at once, by agent.
pub type Asked = BTreeMap<AgentName, BTreeSet<RouteName>>;

/// How many views of a route are wanted.
const VIEWS: usize = 2;

/// What is suspicious about a leg.
#[derive(Debug, Default)]
pub(super) struct Suspicion {
    /// When the oldest of it began.
    since: Option<Timestamp>,
    /// What could be the cause.
    pub(super) parts: BTreeSet<Component>,
}

impl Suspicion {
    /// Looks at every route of a leg.
    pub(super) fn of(view: &LegView<'_>) -> Self {
        let mut suspicion = Self::default();
        for lane in view.regions.iter().flat_map(|region| &region.lanes).filter(|lane| speaks_now(lane)) {
            for vote in lane.iter().take_while(|vote| vote.failed) {
                let agent = view.lanes().find(|(_, other)| std::ptr::eq(*other, vote.lane));
                if let Some((agent, lane)) = agent {
                    suspicion.note(view, agent, lane, vote.sample);
                }
            }
        }
        for (agent, lane) in view.lanes() {
            let slow = lane.under_way.iter().filter(|sample| {
                wait(agent, lane, sample, view.rules, view.now) != Wait::Usual
                    && votes::says(view.subject.leg, lane, sample) == Some(true)
                    && !has_passed_since(lane, sample.started_at)
            });
            slow.for_each(|sample| suspicion.note(view, agent, lane, sample));
        }
        suspicion
    }

    fn note(&mut self, view: &LegView<'_>, agent: &AgentFacts, lane: &Lane, sample: &Sample) {
        let begun = sample.started_at;
        self.since = Some(self.since.map_or(begun, |since| since.min(begun)));
        self.parts.extend(blame::candidates(agent, lane, sample, view.hosts));
    }

    /// Adds what is to be probed at once.
    pub(super) fn ask(&self, view: &LegView<'_>, asked: &mut Asked) {
        let Some(since) = self.since else { return };
        for agent in view.vantages.iter().filter(|v| v.sight == Sight::Able).map(|v| v.agent) {
            for lane in &agent.lanes {
                let wanted = match lane.direction {
                    Direction::Control => 1,
                    _ if lane.speaks_for(view.subject) => VIEWS,
                    _ => continue,
                };
                let known = lane.under_way.iter().chain(&lane.samples);
                let views = known.filter(|sample| sample.started_at > since).count();
                if views < wanted && !has_passed_since(lane, since) {
                    asked.entry(agent.name.clone()).or_default().insert(lane.route.clone());
                }
            }
        }
    }
}

fn has_passed_since(lane: &Lane, since: Timestamp) -> bool {
    lane.samples.iter().any(|sample| sample.outcome == Outcome::Delivered && sample.started_at > since)
}
