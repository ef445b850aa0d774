//! `/probes/{id}`: one probe, step by step, with everybody's words.

use jiff::Timestamp;
use mailsonar_protocol::{Authentication, Hop, Outcome, Record, Report, ReportKind, Stage, StageTime};
use maud::{Markup, Render, html};

use super::headline::{Headline, Mood};
use super::layout::{Page, Scene, Tab, hero};
use super::waterfall::waterfall;
use super::words::{clock, count, micros};
use crate::store::StoredProbe;

/// A probe, its times brought onto our clock.
pub(super) struct ProbePage(pub(super) StoredProbe);

impl ProbePage {
    /// A time of the record on our clock.
    fn ours(&self, at: Timestamp) -> Timestamp {
        at.saturating_add(self.0.offset).unwrap_or(at)
    }

    /// The page.
    pub(super) fn page(&self, scene: &Scene) -> Page {
        let record = &self.0.record;
        let line = headline(record);
        Page {
            title: format!("Probe: {}", line.what.trim_end_matches('.')),
            tab: Tab::Elsewhere,
            mood: line.mood,
            is_written_on: false,
            main: html! {
                p.crumb { a href=(format!("/services/{}", record.service)) { (record.service) } " / probe " (record.probe) }
                (hero(&line, "now"))
                (self.facts(scene.now))
                (stages(record))
                (self.handover(scene.now))
                (self.hops(scene.now))
                @if let Some(authentication) = &record.journey.authentication { (self::authentication(authentication)) }
                (self.reports(scene.now))
                (self.evidence(scene.now))
                p { a href=(format!("/api/v1/probes/{}", record.probe)) { "The whole record as JSON" } }
            },
        }
    }

    fn facts(&self, now: Timestamp) -> Markup {
        let record = &self.0.record;
        html! {
            section aria-labelledby="facts" {
                h2 #facts { "What is known" }
                dl.facts {
                    (fact("Route", html! { (record.route) ", " (record.direction) " by " (record.door) @if record.confirmation { ", to confirm a failure" } }))
                    (fact("From", html! { (self.0.region) ", agent " (self.0.agent) }))
                    (fact("Started", clock(self.0.started_at, now)))
                    (fact("Due", clock(self.ours(record.due_at), now)))
                    @if let Some(peer) = &record.peer {
                        (fact("Server", html! { (peer.host) @if let Some(address) = peer.address { " [" (address) "]" } ":" (peer.port) @if let Some(tls) = &peer.tls { ", " (tls) } }))
                        @if let Some(at) = peer.certificate_expires_at { (fact("Its certificate ends", clock(at, now))) }
                    }
                    @if let Some(site) = &record.handover.site { (fact("Site", html! { (site) })) }
                    @if let Some(accepted) = &record.accepted {
                        (fact("Accepted", html! { (clock(self.ours(accepted.at), now)) ": " q { (accepted.reply) } }))
                    }
                    @if let Some(arrival) = &record.arrival {
                        (fact("Seen", html! {
                            (clock(self.ours(arrival.visible_at), now)) " in " (arrival.folder) " by " (arrival.seen_by.as_str())
                            ", exact to " (micros(arrival.uncertainty_us)) @if !arrival.intact { ", body altered" }
                        }))
                    }
                    @if let Some(us) = record.latency_us() { (fact("Latency", html! { (micros(us)) })) }
                    @if record.duplicates > 0 { (fact("Copies beyond the first", html! { (record.duplicates) })) }
                    @if let Some(at) = record.searched_at { (fact("Last searched in vain", clock(self.ours(at), now))) }
                    (fact("Revision", html! { (record.revision) ", received " (clock(self.0.received_at, now)) }))
                }
            }
        }
    }

    fn handover(&self, now: Timestamp) -> Markup {
        let handover = &self.0.record.handover;
        html! {
            @if !handover.deferrals.is_empty() || !handover.changes.is_empty() {
                section aria-labelledby="handover" {
                    h2 #handover { "Handover" }
                    @if !handover.deferrals.is_empty() {
                        ol.timeline {
                            @for deferral in &handover.deferrals {
                                li.fair {
                                    (clock(self.ours(deferral.at), now))
                                    p { "Put off at " (deferral.stage) " by " (deferral.peer) ": " q { (deferral.words) } }
                                }
                            }
                        }
                    }
                    @if let Some(at) = handover.next_attempt_at { p { "Tried again " (clock(self.ours(at), now)) "." } }
                    @if !handover.changes.is_empty() {
                        h3 { "Not as it was at the probe before" }
                        ul.plain {
                            @for change in &handover.changes {
                                li { b { (change.what) } ": was " q { (change.was) } ", is " q { (change.is) } }
                            }
                        }
                    }
                }
            }
        }
    }

    fn hops(&self, now: Timestamp) -> Markup {
        let hops = &self.0.record.journey.hops;
        html! {
            @if !hops.is_empty() {
                section aria-labelledby="hops" {
                    h2 #hops { "Its way, by " (count(hops.len() as u64, "host")) }
                    ol.hops { @for hop in hops { (self::hop(hop, now)) } }
                }
            }
        }
    }

    fn reports(&self, now: Timestamp) -> Markup {
        let reports = &self.0.record.journey.reports;
        html! {
            @if !reports.is_empty() {
                section aria-labelledby="reports" {
                    h2 #reports { "Delivery reports" }
                    ol.timeline { @for report in reports { (self.report(report, now)) } }
                }
            }
        }
    }

    fn report(&self, report: &Report, now: Timestamp) -> Markup {
        let (class, word) = match report.kind {
            ReportKind::Failed => ("bad", "failed"),
            ReportKind::Delayed => ("fair", "delayed"),
            ReportKind::Delivered => ("good", "delivered or passed on"),
        };
        html! {
            li.(class) {
                (clock(self.ours(report.at), now))
                p {
                    b { (word) } " for " (report.recipient) ", says " (report.reporter)
                    @if !report.status.is_empty() { " (" (report.status) ")" } ": " q { (report.words) }
                }
            }
        }
    }

    fn evidence(&self, now: Timestamp) -> Markup {
        let evidence = &self.0.record.evidence;
        html! {
            @if !evidence.is_empty() {
                section aria-labelledby="evidence" {
                    h2 #evidence { "Evidence" }
                    ol.timeline {
                        @for piece in evidence {
                            li.bad {
                                (clock(self.ours(piece.at), now))
                                p {
                                    b { (piece.stage) } ", " (piece.class) " (" (piece.detail) ")"
                                    @if !piece.peer.is_empty() { ", " (piece.peer) }
                                    @if !piece.words.is_empty() { ": " q { (piece.words) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn headline(record: &Record) -> Headline {
    let mood = match record.verdict.outcome {
        Outcome::Delivered => Mood::Calm,
        Outcome::InFlight | Outcome::Unknown => Mood::Blind,
        Outcome::Late | Outcome::Misfiled | Outcome::Altered | Outcome::Deferred => Mood::Watchful,
        Outcome::Lost | Outcome::Bounced | Outcome::Refused | Outcome::Unreachable => Mood::Trouble,
    };
    let mut what = record.verdict.outcome.as_str().replace('_', " ");
    what[..1].make_ascii_uppercase();
    let stage = record.verdict.stage.map(|stage| format!(" at {stage}")).unwrap_or_default();
    let reason = record.verdict.reason.to_string();
    let more = if reason.is_empty() { Vec::new() } else { vec![reason] };
    Headline { more, ..Headline::plain(mood, what + &stage + ".") }
}

fn fact(name: &str, value: impl Render) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

/// The handover and the delivery each on a scale of their own: one takes milliseconds, the other may
/// take hours.
fn stages(record: &Record) -> Markup {
    let (handover, delivery): (Vec<StageTime>, Vec<StageTime>) =
        record.stages.iter().partition(|step| step.stage < Stage::Transit);
    let failed = record.verdict.stage.filter(|_| record.verdict.outcome.is_failure());
    html! {
        @if !record.stages.is_empty() {
            section aria-labelledby="stages" {
                h2 #stages { "Stages" }
                @for (id, name, steps) in [("handed", "Handed over", handover), ("delivered", "Delivered", delivery)] {
                    @if !steps.is_empty() {
                        h3 id=(id) {
                            (name) " in " (micros(steps.iter().map(|step| step.took_us).sum()))
                        }
                        (waterfall(&steps, failed, id))
                    }
                }
            }
        }
    }
}

fn hop(hop: &Hop, now: Timestamp) -> Markup {
    html! {
        li {
            b { (hop.by) }
            span {
                @if !hop.from.is_empty() { "from " (hop.from) }
                @if let Some(address) = hop.address { " [" (address) "]" }
                @if !hop.protocol.is_empty() { " by " (hop.protocol) }
                @if let Some(site) = &hop.site { ", site " (site) }
            }
            span.number {
                @if let Some(at) = hop.at { (clock(at, now)) }
                @if hop.skewed { " (its clock is behind)" } @else if let Some(us) = hop.took_us { ", after " (micros(us)) }
            }
        }
    }
}

fn authentication(results: &Authentication) -> Markup {
    let checks = [
        ("SPF", &results.spf),
        ("DKIM", &results.dkim),
        ("DMARC", &results.dmarc),
        ("ARC", &results.arc),
        ("Signature, by our own check", &results.signature),
    ];
    html! {
        section aria-labelledby="authentication" {
            h2 #authentication { "Authentication" }
            p { "As " (results.by) " judged it:" }
            ul.chips aria-label="Results" {
                @for (name, result) in checks {
                    @if let Some(result) = result {
                        li.(if result.as_str() == "pass" { "good" } else { "fair" }) { (name) " " (result) }
                    }
                }
            }
        }
    }
}
