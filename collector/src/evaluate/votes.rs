//! Which probe speaks for which leg, and what it says.

use jiff::{SignedDuration, Timestamp};
use mailsonar_protocol::{Class, Direction, Door, Outcome, Region, Stage};

use super::facts::{Lane, Leg, Sample};

/// What one probe says of one leg.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Vote<'a> {
    /// From where.
    pub(super) region: &'a Region,
    /// By which lane.
    pub(super) lane: &'a Lane,
    /// The probe.
    pub(super) sample: &'a Sample,
    /// Whether it says that the leg fails.
    pub(super) failed: bool,
}

/// Whether a probe says that a leg fails (`true`) or works (`false`); `None` if it does not speak for it.
///
/// | direction, door | failed before acceptance | failed after acceptance | delivered | mailbox shut |
/// |---|---|---|---|---|
/// | outbound | send | send | send | the reference's trouble |
/// | inbound, mx | receive | receive | receive | receive |
/// | inbound, submission | the reference's trouble | receive | receive | receive |
/// | loop | send | receive | both | receive |
/// | control, canary | nobody | nobody | nobody | nobody |
pub(super) fn says(leg: Leg, lane: &Lane, sample: &Sample) -> Option<bool> {
    if sample.class == Some(Class::Own) {
        return None;
    }
    let delivered = sample.outcome == Outcome::Delivered;
    // What is under way is asked only when it is overdue.
    let failed = sample.outcome.is_failure() || sample.outcome == Outcome::InFlight;
    let held = is_sign_in_held(sample);
    let before = (failed && !sample.accepted && !sample.outcome.has_arrived()) || held;
    let shut = is_mailbox_shut(sample);
    let (send, receive) = match (lane.direction, lane.door) {
        (Direction::Outbound, _) => (told(failed || held, delivered), None),
        (Direction::Inbound, Door::Mx) => (None, told(failed || shut, delivered)),
        (Direction::Inbound, Door::Submission) => (None, told((failed && !before) || shut, delivered)),
        (Direction::Loop, _) => (told(before, delivered), told((failed && !before) || shut, delivered)),
        (Direction::Control | Direction::Canary, _) => (None, None),
    };
    match leg {
        Leg::Send => send,
        Leg::Receive => receive,
        Leg::Monitoring | Leg::Budget | Leg::Filter => None,
    }
}

fn told(bad: bool, good: bool) -> Option<bool> {
    (bad || good).then_some(bad)
}

/// Whether a verdict is `unknown` because the mailbox could not be looked into.
pub(super) fn is_mailbox_shut(sample: &Sample) -> bool {
    use Stage::{Connect, Idle, Login, Resolve, Select, Tls};
    let at_mailbox = matches!(sample.stage, Some(Resolve | Connect | Tls | Login | Select | Idle));
    sample.outcome == Outcome::Unknown
        && (sample.class == Some(Class::Mailbox) || (at_mailbox && sample.class != Some(Class::Own)))
}

/// Whether a probe was not attempted because the server refused these very credentials within the hour,
/// and took none since. Nobody asked again, so the probe itself is `unknown`; but that word stands.
fn is_sign_in_held(sample: &Sample) -> bool {
    sample.outcome == Outcome::Unknown
        && (sample.stage, sample.class) == (Some(Stage::Auth), Some(Class::Auth))
}

/// Whether a server was given the whole message, never said that it has it, and did not deliver it in time. One
/// such alone may be a line that broke; what is never kept is as good as refused.
fn is_unanswered(lane: &Lane, sample: &Sample, now: Timestamp) -> bool {
    sample.outcome == Outcome::Unknown
        && sample.stage == Some(Stage::Data)
        && sample.class != Some(Class::Own)
        && !sample.accepted
        && now.duration_since(sample.started_at) >= lane.deadline
}

fn refused(sample: &Sample) -> Sample {
    Sample { outcome: Outcome::Refused, ..sample.clone() }
}

/// What the probes of a lane say of a leg, newest first; those that are overdue fail. Left out: what is too
/// old to say anything of the present, and failures that belong to an incident that is resolved.
pub(super) fn votes<'a>(
    leg: Leg,
    region: &'a Region,
    lane: &'a Lane,
    is_overdue: impl Fn(&Sample) -> bool,
    settled_until: Option<Timestamp>,
    now: Timestamp,
) -> Vec<Vote<'a>> {
    let stale_before = now - horizon(lane);
    let overdue = lane.under_way.iter().filter(|sample| is_overdue(sample));
    let mut votes: Vec<Vote<'a>> = overdue
        .chain(&lane.samples)
        .filter(|sample| sample.started_at >= stale_before)
        .filter_map(|sample| {
            let unanswered = is_unanswered(lane, sample, now).then(|| refused(sample));
            let failed = says(leg, lane, unanswered.as_ref().unwrap_or(sample))?;
            Some(Vote { region, lane, sample, failed })
        })
        .filter(|vote| !vote.failed || settled_until.is_none_or(|until| vote.sample.started_at > until))
        .collect();
    votes.sort_by_key(|vote| std::cmp::Reverse((vote.sample.started_at, vote.sample.probe)));
    votes
}

/// Which messages were offered to a server that this leg answers for, and whether it took them. Those under
/// way that are not taken yet say nothing.
pub(super) fn attempts(leg: Leg, lane: &Lane) -> impl Iterator<Item = (&Sample, bool)> {
    let answers_for_all = (lane.direction, lane.door) != (Direction::Inbound, Door::Submission)
        && (lane.direction != Direction::Loop || leg == Leg::Send);
    lane.under_way.iter().chain(&lane.samples).filter_map(move |sample| {
        let taken = sample.accepted || sample.outcome.has_arrived();
        let refused = answers_for_all
            && !taken
            && sample.class != Some(Class::Own)
            && (sample.outcome.is_failure() || is_sign_in_held(sample));
        (taken || refused).then_some((sample, taken))
    })
}

/// How long a probe of this lane says something of the present: ten intervals beyond its deadline.
pub(super) fn horizon(lane: &Lane) -> SignedDuration {
    (lane.interval * 10).saturating_add(lane.deadline).min(SignedDuration::from_hours(24 * 7))
}
