//! What is worth saying of agents and references besides whether they can be believed: a mailbox that
//! cannot be looked into, a clock that is off, trouble of an agent's own, routes that are not probed.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use mailsonar_protocol::{AccountName, Direction, ServiceName};

use super::facts::{AgentFacts, Lane, ShutMailbox};
use super::vantage::{Sight, Vantage};
use super::words::length;
use super::{Config, Finding, FindingKind};

/// A clock that is off by more is worth a word. Nothing depends on it: all times are brought onto ours.
const CLOCK_OFF: SignedDuration = SignedDuration::from_secs(5);

/// A route that was not probed for so many intervals is worth a word.
const INTERVALS: i32 = 3;

/// Everything that is to be said now.
pub(super) fn all(vantages: &[Vantage<'_>], rules: &Config, now: Timestamp) -> Vec<Finding> {
    let mut findings = reference_mailboxes(vantages, rules, now);
    for agent in vantages.iter().filter(|v| v.sight != Sight::Silent).map(|v| v.agent) {
        findings.extend(clock(agent, now));
        findings.extend(agent.complaints.iter().map(|(since, what, words)| Finding {
            kind: FindingKind::AgentComplaint,
            subject: agent.name.to_string(),
            since: *since,
            words: format!(
                "agent {} ({}) has trouble of its own ({what}): {words}",
                agent.name, agent.region
            ),
        }));
        findings.extend(agent.lanes.iter().filter_map(|lane| unprobed(agent, lane, now)));
    }
    findings
}

/// Mailboxes of reference providers that agents who can be believed cannot look into.
fn reference_mailboxes(vantages: &[Vantage<'_>], rules: &Config, now: Timestamp) -> Vec<Finding> {
    let lanes = || vantages.iter().flat_map(|vantage| &vantage.agent.lanes);
    let watched: BTreeSet<&ServiceName> =
        lanes().filter(|lane| lane.direction != Direction::Control).map(|lane| &lane.service).collect();
    let mut shut: BTreeMap<&AccountName, Vec<(&AgentFacts, &ShutMailbox)>> = BTreeMap::new();
    for agent in vantages.iter().filter(|v| v.sight == Sight::Able).map(|v| v.agent) {
        let long = |mailbox: &&ShutMailbox| {
            now.duration_since(mailbox.since) > rules.mailbox_unreachable_after.signed()
        };
        let references = agent.shut.iter().filter(|mailbox| !watched.contains(&mailbox.service));
        for mailbox in references.filter(long) {
            shut.entry(&mailbox.account).or_default().push((agent, mailbox));
        }
    }
    let told = shut.into_iter().filter_map(|(account, seen)| {
        let (_, first) = seen.iter().min_by_key(|(_, mailbox)| mailbox.since)?;
        let agents: Vec<String> = seen.iter().map(|(agent, _)| agent.name.to_string()).collect();
        let why = first.trouble.as_ref().map(|(stage, class, _)| format!(", at stage {stage} ({class})"));
        Some(Finding {
            kind: FindingKind::ReferenceMailbox,
            subject: account.to_string(),
            since: first.since,
            words: format!(
                "the reference mailbox {account} at {} is out of reach for {}{}: routes that end there say \
                 nothing now",
                first.service,
                agents.join(", "),
                why.unwrap_or_default()
            ),
        })
    });
    told.collect()
}

fn clock(agent: &AgentFacts, now: Timestamp) -> Option<Finding> {
    let way = if agent.clock_offset.is_positive() { "behind" } else { "ahead of" };
    (agent.clock_offset.abs() > CLOCK_OFF).then(|| Finding {
        kind: FindingKind::ClockOffset,
        subject: agent.name.to_string(),
        since: now,
        words: format!(
            "the clock of agent {} ({}) is {} {way} the collector's; its times are corrected by that",
            agent.name,
            agent.region,
            length(agent.clock_offset.abs())
        ),
    })
}

/// A route that an agent speaks of and does not probe.
fn unprobed(agent: &AgentFacts, lane: &Lane, now: Timestamp) -> Option<Finding> {
    if agent.is_behind {
        return None;
    }
    let newest = lane.samples.first().into_iter().chain(lane.under_way.first());
    let newest = newest.map(|sample| sample.started_at).max()?;
    let heard = agent.heard_at.unwrap_or(now).min(now);
    let allowed = (lane.interval * INTERVALS).saturating_add(SignedDuration::from_secs(30));
    (heard.duration_since(newest) > allowed).then(|| Finding {
        kind: FindingKind::ProbesMissed,
        subject: format!("{}/{}", agent.name, lane.route),
        since: newest,
        words: format!(
            "agent {} ({}) has not probed {} since {newest:.0}, though it speaks",
            agent.name, agent.region, lane.route
        ),
    })
}
