//! Pieces that several pages share.

use jiff::Timestamp;
use maud::{Markup, html};

use super::forms;
use super::headline::{Mood, mood_of, outlook, sentence};
use super::layout::{Scene, mark};
use super::words::{about, clock, component, count, culprit, plain, span};
use crate::evaluate::{Finding, Regions};
use crate::silence::{Silence, SilenceKind};
use crate::store::{Incident, IncidentState};

/// An incident as a card: what, who, the clocks, the backlog.
pub(super) fn card(incident: &Incident, scene: &Scene) -> Markup {
    let now = scene.now;
    let lasted = incident.resolved_at.unwrap_or(now).duration_since(incident.started_at);
    html! {
        article.card.(mood_of(incident).as_str()) aria-labelledby=(format!("i-{}", incident.id)) {
            h3 id=(format!("i-{}", incident.id)) {
                (mark(mood_of(incident)))
                a href=(format!("/incidents/{}", incident.id)) { (sentence(incident, now)) }
            }
            p {
                @if let Some(blame) = culprit(incident.blame.as_ref(), &incident.service) { (blame) " " }
                @if let Some(outlook) = outlook(incident, now) { (outlook) " " }
                "It " @if incident.state == IncidentState::Open { "has lasted " } @else { "lasted " }
                (span(lasted)) "."
            }
            (clocks(incident, now))
            (backlog(incident, now))
            (forms::acknowledge_at_once(incident, scene))
        }
    }
}

/// What the headline does not tell of the one incident that is open: how far it is.
pub(super) fn course(incident: &Incident, scene: &Scene) -> Markup {
    html! {
        section.card.course aria-label="How far it is" {
            (clocks(incident, scene.now))
            (backlog(incident, scene.now))
            p { a href=(format!("/incidents/{}", incident.id)) { "All about this incident" } }
            (forms::acknowledge_at_once(incident, scene))
        }
    }
}

/// The three clocks, as steps: each a moment, or still to come.
pub(super) fn clocks(incident: &Incident, now: Timestamp) -> Markup {
    let clocks = &incident.clocks;
    let steps = [
        ("Accepting again", clocks.accepting_at),
        ("On time again", clocks.on_time_at),
        ("Backlog drained", clocks.drained_at),
    ];
    let over = incident.state == IncidentState::Resolved;
    html! {
        ol.clocks aria-label="The three clocks" {
            @for (name, at) in steps {
                li.done[at.is_some()] {
                    b { (name) }
                    @match at {
                        Some(at) => span {
                            (clock(at, now)) " "
                            small { "after " (span(at.duration_since(incident.started_at))) }
                        },
                        None if over => span { "not recorded" },
                        None => span { "not yet" },
                    }
                }
            }
        }
    }
}

/// How much of the incident's mail is still missing, and when it should be there.
pub(super) fn backlog(incident: &Incident, now: Timestamp) -> Markup {
    let backlog = &incident.backlog;
    let total = backlog.missing + backlog.arrived_late;
    if total == 0 {
        return html! {};
    }
    html! {
        div.backlog {
            progress max=(total) value=(backlog.arrived_late)
                aria-label=(format!("{} of {total} delayed mails have arrived", backlog.arrived_late)) {}
            p {
                @if backlog.missing > 0 { b { (count(backlog.missing, "probe mail")) } " missing, " }
                @else { "No probe mail is missing, " }
                b { (backlog.arrived_late) } " came late"
                @if let Some(rate) = backlog.per_minute.filter(|rate| *rate > 0.0) {
                    ", " (format!("{rate:.1}")) " a minute lately"
                }
                @if let Some(oldest) = backlog.oldest_accepted_at.filter(|_| backlog.missing > 0) {
                    "; the oldest was accepted " (span(now.duration_since(oldest))) " ago"
                }
                @if let Some(empty_at) = backlog.empty_at.filter(|at| *at > now) {
                    "; empty " (about(empty_at, now))
                }
                "."
            }
        }
    }
}

/// Regions as chips, by what they see.
pub(super) fn regions(regions: &Regions) -> Markup {
    html! {
        ul.chips aria-label="Regions" {
            @for region in &regions.failing { li.bad { (mark(Mood::Trouble)) (region) " sees it fail" } }
            @for region in &regions.passing { li.good { (mark(Mood::Calm)) (region) " sees it work" } }
            @for region in &regions.unknown { li.none { (mark(Mood::Blind)) (region) " cannot say" } }
        }
    }
}

/// The suspects with their full names, and who was cleared and why.
pub(super) fn blame(incident: &Incident, scene: &Scene) -> Markup {
    let Some(blame) = &incident.blame else {
        return html! { p { "Who is to blame cannot be told yet." } };
    };
    html! {
        @if let Some(words) = culprit(Some(blame), &incident.service) { p.lead { (words) } }
        @if scene.audience.is_told_all() {
            p { (plain(&blame.words)) }
            @if !blame.suspects.is_empty() || !blame.cleared.is_empty() {
                dl.blame {
                    @for suspect in &blame.suspects {
                        div.suspect {
                            dt { (mark(Mood::Trouble)) (component(suspect.kind, &suspect.name, &incident.service)) }
                            dd { "Suspect: " (plain(&suspect.name)) }
                        }
                    }
                    @for cleared in &blame.cleared {
                        @let component = &cleared.component;
                        div.cleared {
                            dt { (mark(Mood::Calm)) (self::component(component.kind, &component.name, &incident.service)) }
                            dd { "Cleared: " (plain(&cleared.words)) }
                        }
                    }
                }
            }
        }
    }
}

/// What is to be said of agents and references.
pub(super) fn findings(findings: &[Finding], now: Timestamp) -> Markup {
    html! {
        @if !findings.is_empty() {
            ul.notes {
                @for finding in findings {
                    li { (mark(Mood::Watchful)) span { (plain(&finding.words)) " " small { "since " (clock(finding.since, now)) } } }
                }
            }
        }
    }
}

/// A window of silence or maintenance in a sentence.
pub(super) fn window(silence: &Silence, scene: &Scene) -> Markup {
    let kind = match silence.kind {
        SilenceKind::Maintenance => "Maintenance",
        SilenceKind::Silence => "Silence",
    };
    html! {
        b { (kind) }
        @match (&silence.service, silence.leg) {
            (Some(service), Some(leg)) => { " of " (service) ", " (leg) },
            (Some(service), None) => { " of " (service) },
            (None, Some(leg)) => { " of every service, " (leg) },
            (None, None) => { " of every service" },
        }
        ", " (clock(silence.starts_at, scene.now)) " until " (clock(silence.ends_at, scene.now))
        @if scene.audience.is_told_all() {
            ": " (plain(&silence.reason)) " (" (plain(&silence.author))
            @if let Some(by) = &silence.ended_by { "; ended early by " (plain(by)) }
            ")"
        }
    }
}
