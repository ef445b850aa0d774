//! What canaries say: whether a service's filter lets through what it must not, and whether large mail arrives.
//!
//! Canaries speak for no leg and no figure of ordinary mail. A filter is open while the newest canary of any of
//! its routes that came before it (and so says something) arrived; it holds again when none did. Silence is no
//! proof of a filter: what was lost is as good as caught, whatever lost it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use mailsonar_protocol::{CanaryKind, Catch, Region, ServiceName};

use super::facts::{AgentFacts, Facts, Lane, Leg, Sample, Standing, Subject};
use super::{Decision, EvidenceSample, EvidenceSummary, Finding, FindingKind, Picture, Reason, Regions};

/// A canary that arrived.
struct Leak<'a> {
    agent: &'a AgentFacts,
    kind: CanaryKind,
    lane: &'a Lane,
    sample: &'a Sample,
}

/// The services whose open filter would be an incident.
pub(super) fn subjects(facts: &Facts) -> BTreeSet<Subject> {
    let canaries = facts.agents.iter().flat_map(|agent| &agent.canaries);
    let must_not_arrive = canaries.filter(|(canary, _)| canary.kind != CanaryKind::Large);
    let services = must_not_arrive.map(|(_, lane)| &lane.service);
    services.filter(|service| facts.filters.contains(service)).map(subject).collect()
}

fn subject(service: &ServiceName) -> Subject {
    Subject { service: service.clone(), leg: Leg::Filter }
}

/// Incidents of filters, where they are to be.
pub(super) fn decide(facts: &Facts, standing: &Standing, now: Timestamp) -> Vec<Decision> {
    let decide = |subject: Subject| {
        let leaks: Vec<_> = leaks(facts).filter(|leak| leak.lane.service == subject.service).collect();
        match (standing.of(&subject).open, leaks.is_empty()) {
            (None, false) => Some(Decision::Open(picture(subject, &leaks))),
            (Some(open), true) => Some(Decision::Resolve {
                incident: open.id,
                reason: Reason::FilterHolds,
                settled_until: now,
                summary: format!("The filter of {} catches what it must again.", subject.service),
                subject,
                regions: Regions::default(),
            }),
            (Some(open), false) => {
                let picture = Picture { started_at: open.started_at, ..picture(subject, &leaks) };
                Some(Decision::Update { incident: open.id, picture })
            }
            (None, true) => None,
        }
    };
    subjects(facts).into_iter().filter_map(decide).collect()
}

/// What is to be said in any case.
pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let open = leaks(facts).map(|leak| Finding {
        kind: FindingKind::FilterOpen,
        subject: format!("{}/{}", leak.agent.name, leak.lane.route),
        since: leak.sample.started_at,
        words: words(&leak),
    });
    open.chain(large(facts)).collect()
}

/// The newest canary of each route that says something of a filter, where it arrived.
fn leaks(facts: &Facts) -> impl Iterator<Item = Leak<'_>> {
    let canaries = facts.agents.iter().flat_map(|agent| agent.canaries.iter().map(move |own| (agent, own)));
    canaries.filter_map(|(agent, (canary, lane))| {
        let judged = lane.samples.iter().find_map(|sample| {
            let catch = canary.catch(sample.outcome, sample.stage)?;
            (catch != Catch::Unclear).then_some((sample, catch))
        });
        let (sample, _) = judged.filter(|(_, catch)| *catch == Catch::Arrived)?;
        Some(Leak { agent, kind: canary.kind, lane, sample })
    })
}

/// Large mail whose newest probe failed.
fn large(facts: &Facts) -> impl Iterator<Item = Finding> {
    let canaries = facts.agents.iter().flat_map(|agent| agent.canaries.iter().map(move |own| (agent, own)));
    canaries.filter_map(|(agent, (canary, lane))| {
        let newest = lane.samples.first().filter(|sample| sample.outcome.is_failure())?;
        (canary.kind == CanaryKind::Large).then(|| Finding {
            kind: FindingKind::LargeMailFails,
            subject: format!("{}/{}", agent.name, lane.route),
            since: newest.started_at,
            words: format!(
                "a message with {} kB attached was {} on the way {} from {}: {}",
                canary.bytes / 1_000,
                newest.outcome,
                lane.route,
                agent.region,
                newest.reason
            ),
        })
    })
}

fn words(leak: &Leak<'_>) -> String {
    let what = match leak.kind {
        CanaryKind::Eicar => "the test file of virus scanners (EICAR)",
        _ => "the test string of spam filters (GTUBE)",
    };
    let Leak { agent, lane, sample, .. } = leak;
    format!(
        "the filter of {} fails open: {what} {} on the way {} from {} ({})",
        lane.service,
        if sample.outcome == mailsonar_protocol::Outcome::Misfiled { "reached Junk" } else { "arrived" },
        lane.route,
        agent.region,
        sample.reason
    )
}

fn picture(subject: Subject, leaks: &[Leak<'_>]) -> Picture {
    let failing: BTreeSet<&Region> = leaks.iter().map(|leak| &leak.agent.region).collect();
    let samples = leaks.iter().take(EvidenceSummary::MAX_SAMPLES).map(|leak| EvidenceSample {
        probe: leak.sample.probe,
        region: leak.agent.region.clone(),
        route: leak.lane.route.clone(),
        started_at: leak.sample.started_at,
        outcome: leak.sample.outcome,
        reason: leak.sample.reason.clone(),
        peer: leak.sample.peer.clone(),
    });
    let started_at = leaks.iter().map(|leak| leak.sample.started_at).min().unwrap_or_default();
    let mut summary = leaks.first().map(words).unwrap_or_default();
    if let Some(first) = summary.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    Picture {
        subject,
        started_at,
        reason: Reason::FilterOpen,
        summary: format!("{summary}."),
        regions: Regions { failing: failing.into_iter().cloned().collect(), ..Regions::default() },
        evidence: EvidenceSummary {
            probes: leaks.len(),
            failed: leaks.len(),
            samples: samples.collect(),
            ..EvidenceSummary::default()
        },
        blame: None,
    }
}
