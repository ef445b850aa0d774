//! The timeline: what is worth a line, once, in a sentence.

use jiff::Timestamp;

use super::{Moment, MomentKind, is_undecided, remember};
use crate::evaluate::{Course, Leg, Picture, length};
use crate::store::Incident;

impl Incident {
    /// Adds a line to its timeline.
    pub(super) fn note(&mut self, at: Timestamp, kind: MomentKind, words: impl Into<String>) {
        remember(&mut self.timeline, Moment { at, kind, words: words.into(), by: None });
    }

    /// It looks different now. Worth a line when the regions, the kind of trouble or the blame differ, not
    /// when only the counts do.
    pub(super) fn look(&mut self, picture: &Picture, now: Timestamp) {
        let suspects = |incident: &Self| incident.blame.clone().map(|blame| blame.suspects);
        let before = (self.regions.failing.clone(), self.reason, suspects(self));
        self.summary.clone_from(&picture.summary);
        self.regions = picture.regions.clone();
        self.evidence = picture.evidence.clone();
        self.reason = picture.reason;
        if picture.blame.is_some() {
            self.blame.clone_from(&picture.blame);
        }
        // A warning that is found to be the service's own trouble is paged to those it matters to then.
        if self.severity == "warning" && !is_undecided(picture) {
            self.severity = "critical".into();
        }
        if before != (self.regions.failing.clone(), self.reason, suspects(self)) {
            self.note(now, MomentKind::Changed, picture.summary.clone());
        }
    }

    /// The promised time to recover passed; returns the sentence for it.
    pub(super) fn overran(&mut self, at: Timestamp) -> String {
        let promise = length(at.duration_since(self.started_at));
        let words = format!(
            "{} was promised to recover within {promise}, and has not: new mail is not on time. {}",
            self.service, self.summary
        );
        self.note(at, MomentKind::Overran, words.clone());
        words
    }

    /// It stands so now.
    pub(super) fn follow(&mut self, course: &Course, now: Timestamp) {
        let before = self.clocks.clone();
        self.clocks.accepting_at = course.accepting_at;
        self.clocks.on_time_at = course.on_time_at;
        self.clocks.drained_at = course.drained_at;
        self.backlog = course.backlog.clone();
        for failover in &course.failovers {
            let took = length(failover.done_at.duration_since(failover.began_at));
            let words =
                format!("mail flows through {} instead of {}, after {took}", failover.to, failover.from);
            self.note(failover.done_at, MomentKind::Failover, words);
            self.failovers.push(failover.clone());
        }
        self.tell_clocks(&before, course, now);
    }

    fn tell_clocks(&mut self, before: &super::Clocks, course: &Course, now: Timestamp) {
        let what = if self.leg == Leg::Send { "sending" } else { "receiving" };
        if before.accepting_at.is_none()
            && let Some(at) = course.accepting_at.filter(|&at| at > self.started_at)
        {
            self.note(at, MomentKind::Clock, "mail is accepted again");
        }
        match (before.on_time_at, course.on_time_at) {
            (None, Some(at)) => {
                let missing = course.backlog.missing;
                let rest = if missing > 0 {
                    format!("; {missing} accepted messages are missing")
                } else {
                    String::new()
                };
                self.note(at, MomentKind::Clock, format!("new mail is on time again{rest}"));
            }
            (Some(_), None) => self.note(now, MomentKind::Changed, format!("{what} fails again")),
            _ => {}
        }
        if before.drained_at.is_none()
            && let Some(at) = course.drained_at
        {
            let words = match course.backlog.missing {
                0 => "nothing is missing any more".into(),
                lost => format!("{lost} accepted messages did not arrive and are given up as lost"),
            };
            self.note(at, MomentKind::Clock, words);
        }
    }
}
