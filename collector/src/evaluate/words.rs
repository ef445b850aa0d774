//! The sentences of incidents, and the evidence under them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use mailsonar_protocol::{Outcome, Region};

use super::blame;
use super::component::{Component, ComponentKind};
use super::course::Course;
use super::facts::{Leg, Sample, Stand, Subject};
use super::leg::{LegView, RegionView};
use super::vantage::{Sight, Vantage, has_control, passes_control};
use super::votes::{Vote, is_mailbox_shut};
use super::{EvidenceSample, EvidenceSummary, Finding, FindingKind, Picture, Reason, Regions};
use crate::incident::Backlog;

/// How much of a foreign sentence a summary quotes.
const QUOTE: usize = 160;

/// The leg as a phrase: "Receiving at acme".
pub(super) fn leg_of(subject: &Subject) -> String {
    match subject.leg {
        Leg::Send => format!("Sending through {}", subject.service),
        Leg::Receive => format!("Receiving at {}", subject.service),
        Leg::Monitoring => "The monitoring".into(),
        Leg::Budget => format!("The error budget of {}", subject.service),
        Leg::Filter => format!("The filter of {}", subject.service),
    }
}

/// How a failing leg looks.
pub(super) fn picture(view: &LegView<'_>, started_at: Timestamp, stand: &Stand) -> Picture {
    let votes = votes_since(view, started_at);
    let failures: Vec<&Vote<'_>> = votes.iter().copied().filter(|vote| vote.failed).collect();
    let (cause, reason) = cause(view, &failures);
    let failing: Vec<&Region> = view.failing().map(|region| region.region).collect();
    let blame = blame::blame(view, started_at);
    let summary = format!(
        "{} {cause} in {} of {} regions since {}{}{}{}{}{}",
        leg_of(view.subject),
        failing.len(),
        view.regions.len(),
        clock(started_at, view.now),
        detail(view, &votes, &failures),
        controls(view),
        blame.as_ref().map_or_else(String::new, |blame| accusation(&blame.suspects)),
        left_out(view),
        restless(view, stand),
    );
    Picture {
        subject: view.subject.clone(),
        started_at,
        reason,
        summary,
        regions: Regions {
            failing: failing.into_iter().cloned().collect(),
            passing: view.regions.iter().filter(|r| !r.failing).map(|r| r.region.clone()).collect(),
            unknown: view.unknown.iter().copied().cloned().collect(),
        },
        evidence: evidence(&votes, &failures),
        blame,
    }
}

/// What the failing regions' probes say since the start, newest first.
fn votes_since<'v, 'a>(view: &'v LegView<'a>, started_at: Timestamp) -> Vec<&'v Vote<'a>> {
    let lanes = |region: &'v RegionView<'a>| super::leg::newest(&region.lanes);
    let mut votes: Vec<&Vote<'_>> = view.failing().flat_map(lanes).collect();
    votes.retain(|vote| vote.sample.started_at >= started_at);
    votes.sort_by_key(|vote| std::cmp::Reverse((vote.sample.started_at, vote.sample.probe)));
    votes
}

/// What most failures have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind<'a> {
    Shut,
    NotDelivered(Outcome),
    /// Under way for long, and not accepted.
    Stuck,
    NotAccepted(&'a str, &'a str),
}

fn kind(sample: &Sample) -> Kind<'_> {
    if is_mailbox_shut(sample) {
        Kind::Shut
    } else if sample.accepted || sample.outcome.has_arrived() {
        Kind::NotDelivered(sample.outcome)
    } else if sample.outcome == Outcome::InFlight && sample.stage.is_none() {
        Kind::Stuck
    } else {
        let stage = sample.stage.map_or("unknown", mailsonar_protocol::Stage::as_str);
        Kind::NotAccepted(stage, sample.class.map_or("unknown", mailsonar_protocol::Class::as_str))
    }
}

fn main_kind<'a>(failures: &[&Vote<'a>]) -> Option<Kind<'a>> {
    let mut counts: BTreeMap<Kind<'_>, usize> = BTreeMap::new();
    for vote in failures {
        *counts.entry(kind(vote.sample)).or_default() += 1;
    }
    counts.into_iter().max_by_key(|&(_, count)| count).map(|(kind, _)| kind)
}

/// Whether most of the failing regions' mailboxes are shut, by the agents' own word.
fn mostly_shut(view: &LegView<'_>) -> bool {
    view.failing().filter(|region| region.shut.is_some()).count() * 2 > view.failing().count()
}

fn cause(view: &LegView<'_>, failures: &[&Vote<'_>]) -> (String, Reason) {
    match main_kind(failures) {
        main if mostly_shut(view) || main == Some(Kind::Shut) => {
            ("cannot be seen".into(), Reason::MailboxOutOfReach)
        }
        Some(Kind::NotAccepted(stage, class)) => {
            (format!("fails at stage {stage} ({class})"), Reason::QuorumFailing)
        }
        Some(Kind::Stuck) => ("gets no answer".into(), Reason::QuorumFailing),
        _ => ("fails".into(), Reason::QuorumFailing),
    }
}

fn detail(view: &LegView<'_>, votes: &[&Vote<'_>], failures: &[&Vote<'_>]) -> String {
    let main = main_kind(failures);
    let count = format!("{} of {} probes", failures.len(), votes.len());
    let newest = failures.iter().find(|vote| Some(kind(vote.sample)) == main).map(|vote| vote.sample);
    if mostly_shut(view) || main == Some(Kind::Shut) {
        let told = view.failing().find_map(|region| region.shut).and_then(|shut| shut.trouble.as_ref());
        let why = match (told, newest) {
            (Some((stage, class, words)), _) => {
                format!(" at stage {stage} ({class}): {}", quote(words.as_str()))
            }
            (None, Some(sample)) => format!(": {}", quote(sample.reason.as_str())),
            (None, None) => String::new(),
        };
        return format!(": its mailbox is out of reach{why}. Whether mail arrives is not known.");
    }
    match (main, newest) {
        (Some(Kind::NotDelivered(Outcome::Late)), _) => format!(": {count} delivered too late."),
        (Some(Kind::NotDelivered(outcome)), _) if outcome.has_arrived() => {
            format!(": {count} not delivered as they should be ({outcome}).")
        }
        (Some(Kind::NotDelivered(outcome)), _) => {
            let word = if outcome == Outcome::InFlight { "overdue" } else { outcome.as_str() };
            format!(": {count} accepted but not delivered ({word}).")
        }
        (Some(Kind::NotAccepted(..)), Some(sample)) => {
            let peer = if sample.peer.is_empty() { String::new() } else { format!(" [{}]", sample.peer) };
            format!(": {} {count} failed.", sentence(&format!("{}{peer}", quote(sample.reason.as_str()))))
        }
        (Some(Kind::Stuck), _) => format!(": {count} under way for far longer than usual."),
        _ => ".".into(),
    }
}

/// How control routes fare, in the believed regions.
fn controls(view: &LegView<'_>) -> String {
    let able: Vec<_> = view
        .vantages
        .iter()
        .filter(|v| v.sight == Sight::Able && has_control(v.agent))
        .map(|v| (&v.agent.region, passes_control(v.agent, view.now)))
        .collect();
    let regions = able.iter().map(|(region, _)| *region).collect::<BTreeSet<_>>();
    let passing: BTreeSet<_> = able.iter().filter(|(_, passes)| *passes).map(|(region, _)| *region).collect();
    match (passing.len(), regions.len()) {
        (_, 0) => String::new(),
        (p, all) if p == all => " Control routes pass in all regions.".into(),
        (p, all) => format!(" Control routes pass in {p} of {all} regions."),
    }
}

/// The verdict in a few words; the grounds are in the blame.
fn accusation(suspects: &[Component]) -> String {
    format!(" To blame: {}.", listed(&suspects.iter().map(part).collect::<Vec<_>>(), "or"))
}

/// A component as a phrase.
pub(super) fn part(component: &Component) -> String {
    let name = &component.name;
    match component.kind {
        ComponentKind::Vantage => format!("the network of agent {name}"),
        ComponentKind::Dns => format!("the DNS of {name}"),
        ComponentKind::Submission => format!("the submission of {name}"),
        ComponentKind::Mx => format!("MX host {name}"),
        ComponentKind::Delivery => format!("the delivery of {name}"),
        ComponentKind::Mailbox => format!("the IMAP of {name}"),
    }
}

/// `a, b and c`.
pub(super) fn listed(names: &[String], word: &str) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} {word} {last}", most.join(", ")),
    }
}

/// What failed, in numbers: "6 of 6 probes from 3 regions accepted but not delivered since 11:00:07 UTC".
pub(super) fn counted(view: &LegView<'_>, started_at: Timestamp) -> String {
    let votes = votes_since(view, started_at);
    let failures: Vec<&Vote<'_>> = votes.iter().copied().filter(|vote| vote.failed).collect();
    let way = match failures.iter().map(|vote| vote.lane.direction.as_str()).collect::<BTreeSet<_>>() {
        ways if ways.len() == 1 => format!("{} ", ways.into_iter().collect::<String>()),
        _ => String::new(),
    };
    let regions = view.failing().count();
    let since = clock(started_at, view.now);
    let how = match main_kind(&failures) {
        _ if mostly_shut(view) => {
            return format!("the mailbox is out of reach from {regions} regions since {since}");
        }
        Some(Kind::Shut) | None => "could not be looked for".into(),
        Some(Kind::NotDelivered(Outcome::Late)) => "delivered too late".into(),
        Some(Kind::NotDelivered(outcome)) if outcome.has_arrived() => format!("{outcome}"),
        Some(Kind::NotDelivered(_)) => "accepted but not delivered".into(),
        Some(Kind::NotAccepted(..) | Kind::Stuck) => "not accepted".into(),
    };
    format!("{} of {} {way}probes from {regions} regions {how} since {since}", failures.len(), votes.len())
}

fn left_out(view: &LegView<'_>) -> String {
    match view.unknown.as_slice() {
        [] => String::new(),
        unknown => format!(" Left out, since it cannot be believed now: {}.", list(unknown)),
    }
}

fn restless(view: &LegView<'_>, stand: &Stand) -> String {
    if stand.changes <= view.rules.flapping {
        return String::new();
    }
    format!(
        " It comes and goes ({} changes within the hour), and stays open until it is calm.",
        stand.changes
    )
}

fn evidence(votes: &[&Vote<'_>], failures: &[&Vote<'_>]) -> EvidenceSummary {
    let mut summary =
        EvidenceSummary { probes: votes.len(), failed: failures.len(), ..EvidenceSummary::default() };
    for Vote { sample, .. } in failures {
        *summary.outcomes.entry(sample.outcome.to_string()).or_default() += 1;
        if let (Some(stage), Some(class)) = (sample.stage, sample.class) {
            *summary.causes.entry(format!("{stage}/{class}")).or_default() += 1;
        }
    }
    summary.samples = failures
        .iter()
        .take(EvidenceSummary::MAX_SAMPLES)
        .map(|vote| EvidenceSample {
            probe: vote.sample.probe,
            region: vote.region.clone(),
            route: vote.lane.route.clone(),
            started_at: vote.sample.started_at,
            outcome: vote.sample.outcome,
            reason: vote.sample.reason.clone(),
            peer: vote.sample.peer.clone(),
        })
        .collect();
    summary
}

/// The sentence of a leg that works again.
pub(super) fn recovered(view: &LegView<'_>, started_at: Timestamp, course: &Course) -> String {
    let on_time_at = course.on_time_at.unwrap_or(view.now);
    format!(
        "{} works again since {}, after {}: the newest probes from {} of {} regions were delivered.{}",
        leg_of(view.subject),
        clock(on_time_at, view.now),
        length(on_time_at.duration_since(started_at)),
        view.regions.iter().filter(|region| region.lanes.iter().any(|lane| !lane.is_empty())).count(),
        view.regions.len(),
        drained(view, course),
    )
}

/// What became of the mail that was accepted and slow.
fn drained(view: &LegView<'_>, course: &Course) -> String {
    let Backlog { missing, arrived_late, .. } = course.backlog;
    let end =
        course.drained_at.map_or_else(String::new, |at| format!(", the last at {}", clock(at, view.now)));
    match (arrived_late, missing) {
        (0, 0) => String::new(),
        (late, 0) => format!(" All {late} delayed messages have arrived{end}."),
        (0, lost) => format!(" {lost} accepted messages did not arrive and are given up as lost."),
        (late, lost) => format!(
            " {late} delayed messages have arrived; {lost} accepted ones did not and are given up as lost."
        ),
    }
}

/// The finding where a leg fails, and the references alone are to blame.
pub(super) fn reference_to_blame(view: &LegView<'_>, stand: &Stand) -> Finding {
    let since = view.first_failure();
    let words = picture(view, since, stand).blame.map(|blame| blame.words).unwrap_or_default();
    Finding { kind: FindingKind::ReferenceTrouble, subject: view.subject.service.to_string(), since, words }
}

/// How it looks when nobody can be believed.
pub(super) fn blind(vantages: &[Vantage<'_>], findings: &[Finding], now: Timestamp) -> Picture {
    let told: Vec<&Finding> = findings
        .iter()
        .filter(|finding| vantages.iter().any(|v| v.agent.name.as_str() == finding.subject))
        .collect();
    let started_at = told.iter().map(|finding| finding.since).max().unwrap_or(now);
    let mut regions: Vec<Region> = vantages.iter().map(|v| v.agent.region.clone()).collect();
    regions.sort_unstable();
    regions.dedup();
    let words: Vec<&str> = told.iter().take(5).map(|finding| finding.words.as_str()).collect();
    Picture {
        subject: Subject::monitoring(),
        started_at,
        reason: Reason::NobodySees,
        summary: format!(
            "The monitoring sees nothing since {}: none of {} agents can be believed. {}.",
            clock(started_at, now),
            vantages.len(),
            words.join("; ")
        ),
        regions: Regions { unknown: regions, ..Regions::default() },
        evidence: EvidenceSummary::default(),
        blame: None,
    }
}

/// The sentence of monitoring that sees again.
pub(super) fn seeing(vantages: &[Vantage<'_>], started_at: Timestamp) -> String {
    let able = vantages.iter().filter(|v| matches!(v.sight, Sight::Able | Sight::Doubtful)).count();
    format!(
        "The monitoring sees again: {able} of {} agents can be believed. It saw nothing from {started_at:.0}.",
        vantages.len()
    )
}

/// A time of day in UTC, with its date if that is not the obvious one.
pub(super) fn clock(time: Timestamp, now: Timestamp) -> String {
    let format = if now.duration_since(time).abs() < SignedDuration::from_hours(12) {
        "%H:%M:%S UTC"
    } else {
        "%F %H:%M:%S UTC"
    };
    time.strftime(format).to_string()
}

/// A length of time in its two greatest units.
pub(crate) fn length(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().max(0);
    match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s} s"),
        (h, m, _) => format!("{h} h {m} min"),
    }
}

fn list(regions: &[&Region]) -> String {
    regions.iter().map(|region| region.as_str()).collect::<Vec<_>>().join(", ")
}

fn sentence(text: &str) -> String {
    if text.is_empty() || text.ends_with('.') { text.to_owned() } else { format!("{text}.") }
}

/// A foreign sentence on one line, cut.
fn quote(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(QUOTE) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}
