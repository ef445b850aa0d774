//! `/incidents` and `/incidents/{id}`: what happened, who is to blame, what is still missing.

use jiff::Timestamp;
use maud::{Markup, html};

use super::forms;
use super::headline::{Headline, Mood, facts, mood_of, sentence};
use super::layout::{Page, Scene, Tab, hero, mark};
use super::service::outcome;
use super::words::{clock, count, culprit, plain, span};
use super::{parts, stuck};
use crate::Collector;
use crate::incident::MomentKind;
use crate::store::{Incident, IncidentState, Store, StoreError, StoredProbe};

/// How many are listed.
pub(super) const LISTED: u32 = 100;

/// How many of the missing mails are listed.
const MISSING: u32 = 50;

/// The list.
pub(super) fn list(incidents: &[Incident], scene: &Scene) -> Page {
    let open = incidents.iter().filter(|incident| incident.state == IncidentState::Open).count();
    let what = match (open, incidents.len()) {
        (0, 0) => "No incident so far.".to_owned(),
        (0, _) => "No incident is open.".to_owned(),
        (open, _) => format!("{} open.", count(open as u64, "incident")),
    };
    let mood = incidents.iter().map(mood_of).max().unwrap_or(Mood::Calm);
    Page {
        title: "Incidents".into(),
        tab: Tab::Incidents,
        mood,
        is_written_on: false,
        main: html! {
            (hero(&Headline::plain(mood, what), "now"))
            @if !incidents.is_empty() {
                section aria-labelledby="all" {
                    h2 #all { "Incidents, newest first" }
                    div.scroll tabindex="0" role="group" aria-labelledby="all" { (table(incidents, scene.now)) }
                    @if incidents.len() == LISTED as usize {
                        p { "Older ones are in " a href="/api/v1/incidents?limit=500" { "the API" } "." }
                    }
                }
            }
        },
    }
}

fn table(incidents: &[Incident], now: Timestamp) -> Markup {
    html! {
        table {
            thead { tr { th scope="col" { "What" } th scope="col" { "Began" } th scope="col" { "Lasted" } th.number scope="col" { "Regions" } th scope="col" { "Blame" } } }
            tbody {
                @for incident in incidents {
                    tr {
                        th scope="row" {
                            (mark(mood_of(incident)))
                            a href=(format!("/incidents/{}", incident.id)) { (super::words::leg_of(&incident.service, incident.leg)) }
                        }
                        td { (clock(incident.started_at, now)) }
                        td {
                            (span(incident.resolved_at.unwrap_or(now).duration_since(incident.started_at)))
                            @if incident.state == IncidentState::Open { ", goes on" }
                        }
                        td.number { (incident.regions.failing.len()) }
                        td.words { @if let Some(blame) = culprit(incident.blame.as_ref(), &incident.service) { (blame) } }
                    }
                }
            }
        }
    }
}

/// One incident, with the mail it delayed.
pub(super) struct IncidentPage {
    incident: Incident,
    missing: Vec<StoredProbe>,
    stuck: stuck::Stuck,
}

impl IncidentPage {
    /// Gathers it; `None` if there is none with this id that the audience may see.
    pub(super) async fn gather(
        collector: &Collector,
        id: String,
        scene: &Scene,
    ) -> Result<Option<Self>, StoreError> {
        let now = scene.now;
        let found = collector.desks().read(move |store: &Store| {
            let Some(incident) = store.incident(&id)? else { return Ok(None) };
            let (from, until) = (incident.started_at, incident.settled_until.unwrap_or(now));
            let missing = store.missing(&incident.service, from, until, MISSING)?;
            let spans = store.detours(&incident.service, from, until)?;
            Ok(Some((incident, missing, spans)))
        });
        let Some((incident, mut missing, spans)) = found.await? else { return Ok(None) };
        let Some(incident) = super::seen(vec![incident], &scene.audience, now).pop() else { return Ok(None) };
        if !scene.audience.is_told_all() {
            missing.clear();
        }
        let end = incident.resolved_at.unwrap_or(now);
        let stuck = stuck::Stuck::over(&spans, incident.started_at, end);
        Ok(Some(Self { incident, missing, stuck }))
    }

    /// The page.
    pub(super) fn page(&self, scene: &Scene) -> Page {
        let (incident, now) = (&self.incident, scene.now);
        let mood = mood_of(incident);
        let line = Headline { facts: facts(incident, now), ..Headline::plain(mood, sentence(incident, now)) };
        Page {
            title: line.what.trim_end_matches('.').to_owned(),
            tab: Tab::Incidents,
            mood,
            is_written_on: scene.signed.is_some(),
            main: html! {
                p.crumb { a href="/incidents" { "Incidents" } " / " (incident.id) }
                (hero(&line, "now"))
                (forms::about(incident, scene))
                section aria-labelledby="clocks" {
                    h2 #clocks { "Clocks" }
                    (parts::clocks(incident, now))
                    (moments(incident, now))
                }
                @if super::headline::flows(incident.leg) {
                    section aria-labelledby="blame" { h2 #blame { "Blame" } (parts::blame(incident, scene)) }
                }
                section aria-labelledby="regions" { h2 #regions { "Regions" } (parts::regions(&incident.regions)) }
                (self.backlog(scene))
                (self.failovers(now))
                (self.timeline(now))
                (self.evidence(scene))
            },
        }
    }

    fn backlog(&self, scene: &Scene) -> Markup {
        let backlog = &self.incident.backlog;
        let nothing =
            backlog.missing + backlog.arrived_late == 0 && self.missing.is_empty() && self.stuck.is_empty();
        html! {
            @if !nothing {
                section aria-labelledby="backlog" {
                    h2 #backlog { "Backlog" }
                    (self.stuck.draw(&self.incident.clocks, scene.now))
                    (parts::backlog(&self.incident, scene.now))
                    @if !self.missing.is_empty() {
                        details {
                            summary #missing {
                                "Mails still missing"
                                @if self.missing.len() == MISSING as usize { ", the oldest " (MISSING) }
                            }
                            div.scroll tabindex="0" role="group" aria-labelledby="missing" { (self.missing_table(scene.now)) }
                        }
                    }
                }
            }
        }
    }

    fn missing_table(&self, now: Timestamp) -> Markup {
        html! {
            table {
                thead { tr { th scope="col" { "Started" } th scope="col" { "From" } th scope="col" { "Route" } th scope="col" { "Outcome" } th scope="col" { "Accepted with" } } }
                tbody {
                    @for probe in &self.missing {
                        tr {
                            th scope="row" { a href=(format!("/probes/{}", probe.record.probe)) { (clock(probe.started_at, now)) } }
                            td { (probe.region) }
                            td { (probe.record.route) }
                            td { (outcome(probe.record.verdict.outcome)) }
                            td.words { @if let Some(accepted) = &probe.record.accepted { (accepted.reply) } }
                        }
                    }
                }
            }
        }
    }

    fn evidence(&self, scene: &Scene) -> Markup {
        let evidence = &self.incident.evidence;
        html! {
            @if evidence.probes > 0 {
                section aria-labelledby="evidence" {
                    h2 #evidence { "Evidence" }
                    p { (evidence.failed) " of " (count(evidence.probes as u64, "probe")) " from the regions concerned failed." }
                    ul.chips aria-label="Causes" {
                        @for (what, times) in evidence.outcomes.iter().chain(&evidence.causes) {
                            li { (plain(what).replace('_', " ")) " × " (times) }
                        }
                    }
                    @if !evidence.samples.is_empty() {
                        div.scroll tabindex="0" role="group" aria-labelledby="evidence" { (self.samples(scene.now)) }
                    }
                }
            }
        }
    }

    fn samples(&self, now: Timestamp) -> Markup {
        html! {
            table {
                thead { tr { th scope="col" { "Started" } th scope="col" { "From" } th scope="col" { "Route" } th scope="col" { "Outcome" } th scope="col" { "In their words" } } }
                tbody {
                    @for sample in &self.incident.evidence.samples {
                        tr {
                            th scope="row" { a href=(format!("/probes/{}", sample.probe)) { (clock(sample.started_at, now)) } }
                            td { (sample.region) }
                            td { (sample.route) }
                            td { (outcome(sample.outcome)) }
                            td.words { (sample.reason) @if !sample.peer.is_empty() { " [" (sample.peer) "]" } }
                        }
                    }
                }
            }
        }
    }

    fn failovers(&self, now: Timestamp) -> Markup {
        html! {
            @if !self.incident.failovers.is_empty() {
                section aria-labelledby="failovers" {
                    h2 #failovers { "Failovers" }
                    ul.plain {
                        @for failover in &self.incident.failovers {
                            li {
                                "From " b { (failover.from) } " to " b { (failover.to) } ": began "
                                (clock(failover.began_at, now)) ", done " (clock(failover.done_at, now))
                                ", after " (span(failover.done_at.duration_since(failover.began_at))) "."
                            }
                        }
                    }
                }
            }
        }
    }

    fn timeline(&self, now: Timestamp) -> Markup {
        // A moment may be learnt late: it is remembered last, and shown where it belongs.
        let mut moments: Vec<_> = self.incident.timeline.iter().collect();
        moments.sort_by_key(|moment| moment.at);
        html! {
            @if !moments.is_empty() {
                section aria-labelledby="timeline" {
                    h2 #timeline { "Timeline" }
                    ol.timeline {
                        @for moment in moments {
                            li.(kind(moment.kind)) {
                                (clock(moment.at, now))
                                p { (plain(&moment.words)) @if let Some(by) = &moment.by { small { " " (plain(by)) } } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn kind(kind: MomentKind) -> &'static str {
    match kind {
        MomentKind::Failed | MomentKind::Opened => "bad",
        MomentKind::Clock | MomentKind::Resolved => "good",
        MomentKind::Overran | MomentKind::Changed | MomentKind::Failover => "fair",
        MomentKind::Paged | MomentKind::Acknowledged | MomentKind::Note => "none",
    }
}

/// From the first failure to the acknowledgement: how fast it was noticed.
fn moments(incident: &Incident, now: Timestamp) -> Markup {
    let clocks = &incident.clocks;
    let later = [
        ("Decided", Some(incident.opened_at)),
        ("Paged", clocks.paged_at),
        ("Acknowledged", clocks.acknowledged_at),
        ("Resolved", incident.resolved_at),
    ];
    html! {
        dl.facts {
            div { dt { "First failure" } dd { (clock(incident.started_at, now)) } }
            @for (name, at) in later {
                @if let Some(at) = at {
                    div {
                        dt { (name) }
                        dd {
                            (clock(at, now)) " " small { "after " (span(at.duration_since(incident.started_at))) }
                            @if let (true, Some(by)) = (name == "Acknowledged", &clocks.acknowledged_by) { " by " (plain(by)) }
                        }
                    }
                }
            }
        }
    }
}
