//! What was read for the last evaluation and still holds: lanes without news, slow mail with its changes.
//!
//! Most lanes have no news from one look to the next, and an incident's slow mail changes by a few rows.
//! So only what a merge touched is read again. Nothing here is the truth: all of it may be forgotten at
//! any time, and is whenever a transaction may have been lost. It decides nothing.

use std::cell::RefCell;
use std::collections::BTreeMap;

use jiff::Timestamp;
use mailsonar_protocol::{AgentName, RouteName, ServiceName};

use crate::evaluate::{Facts, Mail, Sample, Subject};

/// One route from one agent.
pub(super) type LaneKey = (AgentName, ServiceName, RouteName);

/// What still holds of what was read.
#[derive(Debug, Default)]
pub(super) struct Recent {
    inner: RefCell<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Each lane's newest concluded probes, and how many were asked for.
    lanes: BTreeMap<LaneKey, (u32, Vec<Sample>)>,
    /// By what an open incident is about: since when its mail counts, and its mail by the probe's id.
    slow: BTreeMap<Subject, (Timestamp, BTreeMap<String, Mail>)>,
    /// Probes that changed since slow mail was read.
    changed: Vec<String>,
}

impl Recent {
    /// A probe of this lane changed.
    pub(super) fn touch(&self, lane: &LaneKey, id: &str) {
        let mut inner = self.inner.borrow_mut();
        inner.lanes.remove(lane);
        if !inner.slow.is_empty() {
            inner.changed.push(id.to_owned());
        }
    }

    /// Forgets everything.
    pub(super) fn forget(&self) {
        *self.inner.borrow_mut() = Inner::default();
    }

    /// The probes of a lane, if they still hold and just as many were asked for.
    pub(super) fn take_lane(&self, lane: &LaneKey, limit: u32) -> Option<Vec<Sample>> {
        let (read, samples) = self.inner.borrow_mut().lanes.remove(lane)?;
        (read == limit).then_some(samples)
    }

    /// Takes back what was lent for an evaluation that asked for so many probes of each lane.
    pub(super) fn keep_lanes(&self, facts: Facts, limit: u32) {
        let mut inner = self.inner.borrow_mut();
        // Lanes that are watched no more go.
        inner.lanes.clear();
        for agent in facts.agents {
            for lane in agent.lanes.into_iter().chain(agent.canaries.into_iter().map(|(_, lane)| lane)) {
                let key = (agent.name.clone(), lane.service, lane.route);
                inner.lanes.insert(key, (limit, lane.samples));
            }
        }
    }

    /// The slow mail as it was read, and the probes that changed since, of whatever incident.
    #[expect(clippy::type_complexity, reason = "named nowhere else")]
    pub(super) fn take_slow(&self) -> (BTreeMap<Subject, (Timestamp, BTreeMap<String, Mail>)>, Vec<String>) {
        let mut inner = self.inner.borrow_mut();
        (std::mem::take(&mut inner.slow), std::mem::take(&mut inner.changed))
    }

    /// Keeps an incident's slow mail.
    pub(super) fn keep_slow(&self, subject: Subject, since: Timestamp, mail: BTreeMap<String, Mail>) {
        self.inner.borrow_mut().slow.insert(subject, (since, mail));
    }
}
