//! Which agents can be believed: an agent's own trouble must page nobody about the service (I6).

use std::collections::BTreeSet;

use jiff::Timestamp;
use mailsonar_protocol::{Direction, Door, Outcome, ServiceName, Stage};

use super::facts::{AgentFacts, Facts, Lane, Sample};
use super::votes::{Vote, horizon};
use super::words::listed;
use super::{Config, Finding, FindingKind};

/// How many of a lane's newest probes decide.
const NEWEST: usize = 2;

/// Whether an agent's view counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    /// It does.
    Able,
    /// Its newest control probe reached nobody; until there is a second, it says nothing.
    Doubtful,
    /// It reaches nobody, or fails on control routes that others pass.
    CutOff,
    /// Its heartbeats stay away.
    Silent,
}

/// One agent and whether its view counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vantage<'a> {
    /// The agent.
    pub(super) agent: &'a AgentFacts,
    /// Whether it counts.
    pub(super) sight: Sight,
}

/// Judges every agent.
pub(super) fn judge<'a>(
    facts: &'a Facts,
    rules: &Config,
    now: Timestamp,
) -> (Vec<Vantage<'a>>, Vec<Finding>) {
    let mut findings = Vec::new();
    let vantages: Vec<Vantage<'_>> = facts
        .agents
        .iter()
        .map(|agent| {
            let sight = if is_silent(facts, agent, rules, now) {
                findings.push(silent(agent, heard(facts, agent, now)));
                Sight::Silent
            } else {
                let others = || facts.agents.iter().filter(|other| !is_silent(facts, other, rules, now));
                sight(agent, others, now)
            };
            if sight == Sight::CutOff {
                findings.push(cut_off(agent, now));
            }
            Vantage { agent, sight }
        })
        .collect();
    findings.extend(reference_trouble(&vantages, now));
    (vantages, findings)
}

/// When an agent was last heard, or could have been.
fn heard(facts: &Facts, agent: &AgentFacts, now: Timestamp) -> Timestamp {
    let heard = agent.heard_at.filter(|&at| at <= now);
    heard.map_or(facts.watching_since, |at| at.max(facts.watching_since))
}

fn is_silent(facts: &Facts, agent: &AgentFacts, rules: &Config, now: Timestamp) -> bool {
    now.duration_since(heard(facts, agent, now)) > rules.agent_silent_after.signed()
}

/// Judges an agent that speaks, by itself and by the others that do.
fn sight<'a, I: Iterator<Item = &'a AgentFacts>>(
    agent: &AgentFacts,
    speaking: impl Fn() -> I,
    now: Timestamp,
) -> Sight {
    let others = || speaking().filter(|other| other.region != agent.region);
    if has_control(agent) {
        let control_fails = every(agent, now, NEWEST, is_control, failed);
        if control_fails && others().any(|other| passed_meanwhile(agent, other, now)) {
            return Sight::CutOff;
        }
        if every(agent, now, NEWEST, |_| true, unreached) {
            return Sight::CutOff;
        }
        if !control_fails && every(agent, now, 1, is_control, unreached) && !reached_since(agent, now) {
            return Sight::Doubtful;
        }
        return Sight::Able;
    }
    let blind = every(agent, now, NEWEST, |_| true, unreached);
    let others_see =
        others().any(|other| !other.lanes.is_empty() && !every(other, now, 1, |_| true, unreached));
    if blind && others_see { Sight::CutOff } else { Sight::Able }
}

fn is_control(lane: &Lane) -> bool {
    lane.direction == Direction::Control
}

pub(super) fn has_control(agent: &AgentFacts) -> bool {
    agent.lanes.iter().any(is_control)
}

/// Whether the newest verdict of one of its control routes is good.
pub(super) fn passes_control(agent: &AgentFacts, now: Timestamp) -> bool {
    agent
        .lanes
        .iter()
        .filter(|lane| is_control(lane))
        .any(|lane| telling(lane, now).next().is_some_and(|sample| !failed(sample)))
}

/// Whether a control probe of another agent passed that began between the newest two of this one's. A
/// pass that began later says nothing of this agent: the reference may have come back in between.
fn passed_meanwhile(agent: &AgentFacts, other: &AgentFacts, now: Timestamp) -> bool {
    let own =
        agent.lanes.iter().filter(|lane| is_control(lane)).flat_map(|lane| telling(lane, now).take(NEWEST));
    let begun: Vec<Timestamp> = own.map(|sample| sample.started_at).collect();
    let (Some(first), Some(last)) = (begun.iter().min(), begun.iter().max()) else { return false };
    let theirs = other.lanes.iter().filter(|lane| is_control(lane)).flat_map(|lane| telling(lane, now));
    theirs.filter(|sample| !failed(sample)).any(|sample| (first..=last).contains(&&sample.started_at))
}

/// Whether the newest `count` verdicts of every such lane are all so, and there is one at least.
/// A lane with fewer verdicts says no.
fn every(
    agent: &AgentFacts,
    now: Timestamp,
    count: usize,
    lanes: impl Fn(&Lane) -> bool,
    so: impl Fn(&Sample) -> bool,
) -> bool {
    let mut any = false;
    let all = agent.lanes.iter().filter(|lane| lanes(lane)).all(|lane| {
        any = true;
        let newest: Vec<&Sample> = telling(lane, now).take(count).collect();
        newest.len() == count && newest.into_iter().all(&so)
    });
    any && all
}

/// Whether any route reached anybody since the newest control probe began.
fn reached_since(agent: &AgentFacts, now: Timestamp) -> bool {
    let newest = |lane| telling(lane, now).next();
    let control = agent.lanes.iter().filter(|lane| is_control(lane)).filter_map(newest);
    let Some(began) = control.map(|sample| sample.started_at).min() else { return false };
    agent.lanes.iter().filter_map(newest).any(|sample| sample.started_at >= began && !unreached(sample))
}

/// Verdicts that say something of the path, newest first.
fn telling(lane: &Lane, now: Timestamp) -> impl Iterator<Item = &Sample> {
    let stale_before = now - horizon(lane);
    lane.samples
        .iter()
        .filter(move |sample| sample.started_at >= stale_before && sample.outcome != Outcome::Unknown)
}

fn failed(sample: &Sample) -> bool {
    sample.outcome.is_failure()
}

/// Whether no server was heard at all: the path itself may be broken.
fn unreached(sample: &Sample) -> bool {
    let before_words =
        matches!(sample.stage, Some(Stage::Resolve | Stage::Connect | Stage::Tls | Stage::Greeting));
    sample.outcome == Outcome::Unreachable && !sample.accepted && before_words
}

fn silent(agent: &AgentFacts, since: Timestamp) -> Finding {
    Finding {
        kind: FindingKind::AgentSilent,
        subject: agent.name.to_string(),
        since,
        words: format!("agent {} ({}) is silent since {since:.0}", agent.name, agent.region),
    }
}

fn cut_off(agent: &AgentFacts, now: Timestamp) -> Finding {
    let newest = || agent.lanes.iter().filter_map(|lane| telling(lane, now).next());
    let mut stages: Vec<&str> = newest().filter_map(|sample| Some(sample.stage?.as_str())).collect();
    stages.sort_unstable();
    stages.dedup();
    let since = newest().map(|sample| sample.started_at).min().unwrap_or(now);
    let which = if has_control(agent) { "its control routes fail too" } else { "all its routes fail" };
    Finding {
        kind: FindingKind::AgentCutOff,
        subject: agent.name.to_string(),
        since,
        words: format!(
            "agent {} ({}) is cut off: {which}, at {}; its view is left out",
            agent.name,
            agent.region,
            stages.join("/")
        ),
    }
}

/// Control routes that fail from everywhere speak against the reference provider. Routes that meet it then
/// say nothing of the service, and a fault of the service that they alone would show stays hidden: that is said.
fn reference_trouble(vantages: &[Vantage<'_>], now: Timestamp) -> Option<Finding> {
    let able = || vantages.iter().filter(|v| v.sight == Sight::Able && has_control(v.agent));
    able().next()?;
    if !able().all(|v| every(v.agent, now, NEWEST, is_control, failed)) {
        return None;
    }
    let lanes = || able().flat_map(|v| &v.agent.lanes);
    let providers: BTreeSet<&ServiceName> = lanes()
        .filter(|lane| is_control(lane))
        .flat_map(|lane| std::iter::once(&lane.service).chain(&lane.reference))
        .collect();
    let meets = |lane: &&Lane| {
        !is_control(lane) && lane.reference.as_ref().is_some_and(|reference| providers.contains(reference))
    };
    let blind: BTreeSet<String> =
        lanes().filter(meets).map(|lane| format!("{} of {}", lane.route, lane.service)).collect();
    let blind: Vec<String> = blind.into_iter().collect();
    let hidden = if blind.is_empty() {
        String::new()
    } else {
        format!("; {} can say nothing of the service meanwhile", listed(&blind, "and"))
    };
    Some(Finding {
        kind: FindingKind::ReferenceTrouble,
        subject: "control".into(),
        since: now,
        words: format!(
            "all control routes fail from everywhere while agents reach others: a reference provider is in \
             trouble{hidden}"
        ),
    })
}

/// What the control routes say of the reference providers.
///
/// Between a reference's acceptance and a mailbox, and between the service and a reference's mailbox,
/// either may have lost the message. Only a control probe that began later and arrived clears the
/// reference of it, and only if none failed around the same time; until then the loss speaks against
/// nobody.
#[derive(Debug, Clone, Copy)]
pub(super) struct References {
    are_watched: bool,
    passed_at: Option<Timestamp>,
    /// An interval after the last control probe began that failed, from where one can be believed.
    in_doubt_until: Option<Timestamp>,
}

impl References {
    /// Looks at every agent's control routes.
    pub(super) fn look(vantages: &[Vantage<'_>], now: Timestamp) -> Self {
        let lanes = || vantages.iter().flat_map(|v| &v.agent.lanes).filter(|lane| is_control(lane));
        let passed = lanes().flat_map(|lane| telling(lane, now).filter(|sample| !failed(sample)));
        let able = vantages.iter().filter(|v| v.sight == Sight::Able).flat_map(|v| &v.agent.lanes);
        let doubts = able.filter(|lane| is_control(lane)).flat_map(|lane| {
            let failures = telling(lane, now).filter(|sample| failed(sample));
            failures.map(|sample| sample.started_at + lane.interval)
        });
        Self {
            are_watched: lanes().next().is_some(),
            passed_at: passed.map(|sample| sample.started_at).max(),
            in_doubt_until: doubts.max(),
        }
    }

    /// A lane's votes without the failures of which no reference is cleared.
    pub(super) fn cleared<'a>(&self, mut votes: Vec<Vote<'a>>) -> Vec<Vote<'a>> {
        votes.retain(|vote| !vote.failed || self.clear(vote));
        votes
    }

    fn clear(&self, vote: &Vote<'_>) -> bool {
        let (direction, door) = (vote.lane.direction, vote.lane.door);
        let by_reference =
            direction == Direction::Outbound || (direction == Direction::Inbound && door == Door::Submission);
        let in_doubt = by_reference && vote.sample.accepted && self.are_watched;
        let begun = vote.sample.started_at;
        let passed = self.passed_at.is_some_and(|passed| passed >= begun);
        !in_doubt || (passed && self.in_doubt_until.is_none_or(|until| begun > until))
    }
}
