//! What takes longer than it ever does on its route: overdue long before it is lost.
//!
//! Each route knows its usual times from its own newest probes: the median, and how far the middle half
//! of them strays from it. Neither is moved by a few that were slow. The absence of news is believed
//! only from an agent that would have sent some.

use jiff::{SignedDuration, Timestamp};
use mailsonar_protocol::Outcome;

use super::Config;
use super::facts::{AgentFacts, Lane, Sample};

/// A limit stands on no fewer times than these.
const LEAST: usize = 5;

/// How many deviations from the median are still usual.
const STRAY: i32 = 12;

/// How long a probe under way has been waited for, by the measure of its route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wait {
    /// No longer than usual, or it cannot be told.
    Usual,
    /// A third of what makes it overdue: worth a second view.
    Doubtful,
    /// Far beyond anything usual.
    Overdue,
}

/// How long this probe of this lane has been waited for.
pub(super) fn wait(agent: &AgentFacts, lane: &Lane, sample: &Sample, rules: &Config, now: Timestamp) -> Wait {
    let Some(seen_until) = seen_until(agent, rules, now) else { return Wait::Usual };
    let floor = rules.overdue_floor.signed();
    let (since, limit) = match (sample.accepted, sample.deferred_at) {
        (true, _) if is_out_of_sight(agent, lane) => return Wait::Usual,
        (true, _) => (sample.accepted_at.unwrap_or(sample.started_at), limit(lane, transit, floor)),
        (false, Some(deferred_at)) => (deferred_at, Some(rules.deferral_patience.signed())),
        (false, None) => (sample.started_at, limit(lane, handover, floor / 2)),
    };
    let waited = seen_until.duration_since(since);
    match limit {
        Some(limit) if waited > limit => Wait::Overdue,
        Some(limit) if waited > limit / 3 => Wait::Doubtful,
        _ => Wait::Usual,
    }
}

/// Until when an agent would have told us of an arrival: news comes within a second, and after that
/// silence says something for no longer than it is usual. One that has a backlog of news says nothing.
fn seen_until(agent: &AgentFacts, rules: &Config, now: Timestamp) -> Option<Timestamp> {
    let heard = agent.heard_at.filter(|_| !agent.is_behind)?;
    Some(now.min(heard.saturating_add(rules.overdue_floor.signed() / 2).unwrap_or(now)))
}

/// Whether the mailbox of this lane's recipient cannot be looked into.
fn is_out_of_sight(agent: &AgentFacts, lane: &Lane) -> bool {
    agent.shut.iter().any(|mailbox| match &lane.to {
        Some(account) => mailbox.account == *account,
        None => mailbox.service == *lane.recipient(),
    })
}

fn transit(sample: &Sample) -> Option<SignedDuration> {
    Some(sample.visible_at?.duration_since(sample.accepted_at?).max(SignedDuration::ZERO))
}

fn handover(sample: &Sample) -> Option<SignedDuration> {
    Some(sample.accepted_at?.duration_since(sample.started_at).max(SignedDuration::ZERO))
}

/// What is far beyond the usual on this lane; `None` where too little is known.
fn limit(
    lane: &Lane,
    time: impl Fn(&Sample) -> Option<SignedDuration>,
    floor: SignedDuration,
) -> Option<SignedDuration> {
    let delivered = lane.samples.iter().filter(|sample| sample.outcome == Outcome::Delivered);
    let times: Vec<SignedDuration> = delivered.filter_map(time).collect();
    if times.len() < LEAST {
        return None;
    }
    let middle = median(times.clone());
    let stray = median(times.into_iter().map(|time| (time - middle).abs()).collect());
    Some(floor.max(middle.saturating_add(stray.saturating_mul(STRAY))))
}

fn median(mut times: Vec<SignedDuration>) -> SignedDuration {
    times.sort_unstable();
    times[times.len() / 2]
}
