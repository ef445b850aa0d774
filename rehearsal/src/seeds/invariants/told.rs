//! Whether people were told of what they must know, and of nothing else: I6, I7, I8.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use mailsonar_collector::notify::Status;
use mailsonar_collector::store::Incident;

use super::Aftermath;
use crate::seeds::chaos::{Chaos, ENOUGH, Whose};

/// What belongs to trouble may still be opened so long after it.
const ECHO: SignedDuration = SignedDuration::from_mins(15);

impl Aftermath {
    /// Each notifier got each incident, first its beginning and then its end, under one key; and nothing that
    /// is no incident (I8).
    pub(super) fn incidents(&self) -> Vec<String> {
        let mut broken = Vec::new();
        for incident in &self.incidents {
            for notifier in &self.notifiers {
                let first = |status| self.paged(incident, notifier, status);
                let (id, leg) = (&incident.id, incident.leg);
                match (first(Status::Trigger), first(Status::Resolve)) {
                    (Some(trigger), Some(resolve)) if trigger <= resolve => {}
                    (Some(_), Some(_)) => broken.push(format!(
                        "I8: {notifier} heard of the end of incident {id} ({leg}) before its beginning"
                    )),
                    (trigger, _) => {
                        let what = if trigger.is_none() { "trigger" } else { "resolve" };
                        broken.push(format!("I8: no {what} page for incident {id} ({leg}) to {notifier}"));
                    }
                }
            }
        }
        let keys: BTreeSet<&str> =
            self.incidents.iter().map(|incident| incident.dedup_key.as_str()).collect();
        let stray = self.pages.iter().find(|paged| !keys.contains(paged.page.dedup_key.as_str()));
        broken.extend(stray.map(|paged| format!("I8: a page of no incident: {}", paged.page.summary)));
        broken
    }

    fn paged(&self, incident: &Incident, notifier: &str, status: Status) -> Option<Timestamp> {
        let wanted = self.pages.iter().filter(|paged| {
            paged.notifier == notifier
                && paged.page.dedup_key == incident.dedup_key
                && paged.page.status == status
        });
        wanted.map(|paged| paged.at).min()
    }

    /// Nobody was paged for a service that was well (I6).
    pub(super) fn false_alarms(&self, chaos: &Chaos) -> Vec<String> {
        let mut broken = Vec::new();
        // What a reference may have caused as well is a warning, and says so.
        let reference = chaos.troubles.iter().any(|trouble| trouble.whose == Whose::Reference);
        let service = |paged: &&super::Paged| {
            paged.page.leg != "monitoring" && !(reference && paged.page.severity == "warning")
        };
        if let Some(paged) = self.pages.iter().filter(|_| chaos.own_trouble_only).find(service) {
            broken.push(format!("I6: a page although the service was well: {}", paged.page.summary));
        }
        let first = chaos.troubles.iter().map(|trouble| trouble.from).min();
        let calm = |incident: &&Incident| {
            let at = incident.opened_at.duration_since(self.began);
            first.is_none_or(|first| at < first) || at > chaos.healed_at.saturating_add(ECHO)
        };
        if let Some(incident) = self.incidents.iter().find(calm) {
            let at = incident.opened_at;
            broken.push(format!("I6: an incident at {at}, when all was well: {}", incident.summary));
        }
        broken
    }

    /// Trouble that lasts, alone, is told: the service's by a page, an agent's by a finding (I6, I7).
    pub(super) fn missed_alarms(&self, chaos: &Chaos) -> Vec<String> {
        let mut broken = Vec::new();
        for trouble in chaos.plain() {
            let from = self.began + trouble.from;
            let told = match &trouble.whose {
                Whose::Service(true) => self.pages.iter().any(|paged| {
                    let after = paged.at.duration_since(from);
                    paged.page.leg != "monitoring" && (SignedDuration::ZERO..=ENOUGH).contains(&after)
                }),
                Whose::Dead(agent) | Whose::Unheard(agent) => self.found("agent_silent", agent, from),
                Whose::CutOff(agent) => self.found("agent_cut_off", agent, from),
                Whose::Service(false)
                | Whose::Reference
                | Whose::Clock
                | Whose::Collector
                | Whose::Receiver => true,
            };
            if !told {
                broken.push(format!("I7: nobody was told, though it lasted: {}", trouble.words));
            }
        }
        broken
    }

    fn found(&self, kind: &str, subject: &str, from: Timestamp) -> bool {
        let fits = |noted: &&crate::scenario::Noted| {
            let after = noted.from.duration_since(from);
            noted.kind == kind
                && noted.finding.subject == subject
                && (SignedDuration::ZERO..=ENOUGH).contains(&after)
        };
        self.findings.iter().any(|noted| fits(&noted))
    }
}
