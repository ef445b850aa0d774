//! The state of every component, for the metrics and the matrix.

use std::collections::BTreeMap;

use mailsonar_protocol::ServiceName;

use super::blame;
use super::component::{Component, ComponentKind};
use super::facts::Subject;
use super::hosts::Hosts;
use super::leg::LegView;
use super::suspicion::Suspicion;
use super::vantage::{Sight, Vantage};
use super::{Config, Course, Stand};

/// How a component is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Nobody who can be believed looks.
    Unknown = -1,
    /// Well.
    Ok = 0,
    /// There is a first sign of trouble.
    Suspect = 1,
    /// It was down, and new mail passes again.
    Recovering = 2,
    /// A minority of regions sees it fail.
    Degraded = 3,
    /// It comes and goes.
    Flapping = 4,
    /// It is to blame for an open incident, or dead among others that are not.
    Down = 5,
}

/// The state of each component of each provider; an agent's own is the monitoring's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct States(pub BTreeMap<(ServiceName, Component), State>);

impl States {
    /// Every component there is: well where somebody looks, unknown where nobody does.
    pub(super) fn of(vantages: &[Vantage<'_>], hosts: &Hosts) -> Self {
        let mut states = Self::default();
        let monitoring = Subject::monitoring().service;
        for vantage in vantages {
            let own = Component { kind: ComponentKind::Vantage, name: vantage.agent.name.to_string() };
            states.raise(
                monitoring.clone(),
                own,
                match vantage.sight {
                    Sight::Able => State::Ok,
                    Sight::Doubtful => State::Suspect,
                    Sight::CutOff => State::Down,
                    Sight::Silent => State::Unknown,
                },
            );
            let seen = if vantage.sight == Sight::Able { State::Ok } else { State::Unknown };
            for (provider, part) in vantage.agent.lanes.iter().flat_map(blame::known_parts) {
                states.raise(provider, part, seen);
            }
        }
        for (provider, host) in hosts.dead() {
            states.raise(
                provider.clone(),
                Component { kind: ComponentKind::Mx, name: host.into() },
                State::Down,
            );
        }
        states
    }

    /// Adds what a leg says.
    pub(super) fn add(
        &mut self,
        view: &LegView<'_>,
        stand: &Stand,
        suspicion: &Suspicion,
        course: Option<&Course>,
        rules: &Config,
    ) {
        let blamed = stand.open.as_ref().and_then(|open| open.blame.as_ref());
        let state = match course {
            Some(_) if stand.changes > rules.flapping => State::Flapping,
            Some(course) if course.on_time_at.is_some() => State::Recovering,
            _ => State::Down,
        };
        for part in blamed.iter().flat_map(|blame| &blame.suspects) {
            self.worsen(part, state);
        }
        if stand.open.is_none() {
            let some_fail = view.failing().next().is_some();
            let state = if some_fail { State::Degraded } else { State::Suspect };
            suspicion.parts.iter().for_each(|part| self.worsen(part, state));
        }
    }

    fn raise(&mut self, provider: ServiceName, part: Component, state: State) {
        let known = self.0.entry((provider, part)).or_insert(state);
        *known = (*known).max(state);
    }

    fn worsen(&mut self, part: &Component, state: State) {
        for (_, known) in self.0.iter_mut().filter(|((_, other), _)| other == part) {
            *known = (*known).max(state);
        }
    }
}
