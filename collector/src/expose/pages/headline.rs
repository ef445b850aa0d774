//! The one clear sentence on top: what is broken, since when, who is to blame, when it should be over.
//!
//! Pure: incidents and `now` in, sentences out. No foreign text is in them, so that strangers may read
//! them too.

use jiff::Timestamp;

use super::words::{about, cleared, clock_text, count, culprit, leg_of, leg_word, role, span, suspects};
use crate::evaluate::{Leg, Reason};
use crate::store::{Incident, IncidentState};

/// How things stand, at a glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mood {
    /// Mail flows.
    Calm,
    /// Something is worth knowing, and nothing is down; or it is over but for the backlog.
    Watchful,
    /// Nobody can say.
    Blind,
    /// Mail does not flow.
    Trouble,
}

impl Mood {
    /// The word for it, as style sheet and script know it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Watchful => "watchful",
            Self::Blind => "blind",
            Self::Trouble => "trouble",
        }
    }
}

/// The sentence, and what follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Headline {
    pub(super) mood: Mood,
    /// What is broken and since when.
    pub(super) what: String,
    /// Who is to blame, when it should be over: each under its name.
    pub(super) facts: Vec<Fact>,
    /// What else is to be said.
    pub(super) more: Vec<String>,
}

/// One answer to one question, to be found at a glance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fact {
    pub(super) name: &'static str,
    pub(super) value: String,
    /// In smaller letters.
    pub(super) beside: String,
}

impl Headline {
    /// Without anything that follows.
    pub(super) fn plain(mood: Mood, what: impl Into<String>) -> Self {
        Self { mood, what: what.into(), facts: Vec::new(), more: Vec::new() }
    }
}

/// Whether a leg is a way mail flows.
pub(super) fn flows(leg: Leg) -> bool {
    matches!(leg, Leg::Send | Leg::Receive)
}

/// What an open incident amounts to.
pub(super) fn mood_of(incident: &Incident) -> Mood {
    match (incident.leg, incident.state) {
        (_, IncidentState::Resolved) => Mood::Calm,
        (Leg::Monitoring, _) => Mood::Blind,
        (Leg::Budget | Leg::Filter, _) => Mood::Watchful,
        _ if incident.clocks.accepting_at.is_some() && incident.clocks.on_time_at.is_some() => Mood::Watchful,
        _ => Mood::Trouble,
    }
}

/// One incident in a sentence: what, since when, where.
pub(in crate::expose) fn sentence(incident: &Incident, now: Timestamp) -> String {
    let since = clock_text(incident.started_at, now);
    let what = leg_of(&incident.service, incident.leg);
    if let Some(resolved_at) = incident.resolved_at {
        let until = clock_text(resolved_at, now);
        return match incident.leg {
            Leg::Monitoring => format!("Nobody could see, from {since} until {until}."),
            Leg::Budget => format!("{what} burned too fast from {since} until {until}."),
            Leg::Filter => format!("{what} was open from {since} until {until}."),
            _ => format!("{what} failed from {since} until {until}."),
        };
    }
    let regions = &incident.regions;
    let seen = regions.failing.len() + regions.passing.len();
    let place = match (regions.failing.len(), seen) {
        (0, _) => String::new(),
        (failing, seen) => format!(", in {failing} of {}", count(seen as u64, "region")),
    };
    match (incident.leg, incident.reason, mood_of(incident)) {
        (Leg::Monitoring, ..) => format!("Nobody can see since {since}: no agent can be believed."),
        (Leg::Budget, ..) => format!("{what} burns too fast since {since}."),
        (Leg::Filter, ..) => format!("{what} is open since {since}: a test of it arrived."),
        (.., Mood::Watchful) => format!("{what} works again; mail of the outage is still on its way."),
        (_, Reason::MailboxOutOfReach, _) => format!("{what} cannot be seen since {since}{place}."),
        _ => format!("{what} fails since {since}{place}."),
    }
}

/// What everybody asks about an incident.
pub(super) fn facts(incident: &Incident, now: Timestamp) -> Vec<Fact> {
    let fact = |name, value: String, beside: String| Fact { name, value, beside };
    let (blame, service) = (incident.blame.as_ref(), &incident.service);
    let is_open = incident.state == IncidentState::Open;
    let mut facts = Vec::new();
    if flows(incident.leg) {
        let names = blame.and_then(|blame| suspects(blame, service));
        let kinds = blame.map(|blame| blame.suspects.iter().map(|suspect| suspect.kind));
        let kind = kinds.and_then(|mut kinds| kinds.next().filter(|first| kinds.all(|kind| kind == *first)));
        let unknown = || "cannot be told yet".to_owned();
        facts.push(fact(
            "To blame",
            names.unwrap_or_else(unknown),
            kind.map(role).unwrap_or_default().into(),
        ));
        if let Some(names) = blame.and_then(|blame| cleared(blame, service)) {
            facts.push(fact("Not to blame", names, String::new()));
        }
    }
    if let Some(outlook) = outlook(incident, now) {
        let (value, beside) = match expected(incident, now) {
            Some((at, between)) => (format!("by {at}"), between.unwrap_or_default()),
            None => (outlook.trim_end_matches('.').to_owned(), String::new()),
        };
        facts.push(fact("Should be over", value, beside));
    }
    let lasted = span(incident.resolved_at.unwrap_or(now).duration_since(incident.started_at));
    facts.push(fact(if is_open { "Has lasted" } else { "Lasted" }, lasted, String::new()));
    facts
}

/// When its mail should all be there, and between which moments that is nine times in ten.
fn expected(incident: &Incident, now: Timestamp) -> Option<(String, Option<String>)> {
    let backlog = &incident.backlog;
    let empty_at = backlog.empty_at.filter(|at| *at > now)?;
    let between = backlog.empty_between.map(|(early, late)| {
        format!("between {} and {}", about(early, now), about(late, now)).replace(" UTC", "")
    });
    Some((about(empty_at, now), between))
}

/// When it should be over, as far as that can be told.
pub(super) fn outlook(incident: &Incident, now: Timestamp) -> Option<String> {
    if incident.state == IncidentState::Resolved || !flows(incident.leg) {
        return None;
    }
    let (clocks, backlog) = (&incident.clocks, &incident.backlog);
    if let Some((at, between)) = expected(incident, now) {
        let between = between.map(|between| format!(" ({between})")).unwrap_or_default();
        return Some(format!("Should be over by {at}{between}."));
    }
    Some(if clocks.on_time_at.is_some() && backlog.missing > 0 {
        format!("{} still missing; too few arrive to say when it is over.", count(backlog.missing, "mail"))
    } else if clocks.on_time_at.is_some() {
        "Should be over any moment.".into()
    } else if clocks.accepting_at.is_some() {
        "Mail is accepted again, and does not arrive in time yet.".into()
    } else {
        "No end in sight yet.".into()
    })
}

/// The sentence over open incidents.
pub(super) fn headline(open: &[Incident], watched: usize, regions: usize, now: Timestamp) -> Headline {
    let mood = open.iter().map(mood_of).max().unwrap_or(Mood::Calm);
    match open {
        [] if watched == 0 => Headline {
            more: vec!["No agent has announced a route.".into()],
            ..Headline::plain(Mood::Blind, "Nothing is watched yet.")
        },
        [] => Headline {
            more: vec![format!(
                "{} watched from {}; nothing is wrong.",
                count(watched as u64, "service"),
                count(regions as u64, "region")
            )],
            ..Headline::plain(mood, "Mail flows.")
        },
        [one] => Headline { facts: facts(one, now), ..Headline::plain(mood, sentence(one, now)) },
        many => Headline { more: each(many, now), ..Headline::plain(mood, several(many, watched, now)) },
    }
}

/// `2 of 5 services are in trouble since 11:00:07 UTC.`
fn several(open: &[Incident], watched: usize, now: Timestamp) -> String {
    let mut services: Vec<_> = open.iter().filter(|i| flows(i.leg)).map(|i| &i.service).collect();
    services.sort_unstable();
    services.dedup();
    let since = open.iter().map(|incident| incident.started_at).min().unwrap_or(now);
    let since = clock_text(since, now);
    match services.as_slice() {
        [] => format!("{} open since {since}.", count(open.len() as u64, "incident")),
        [one] if open.iter().filter(|i| flows(i.leg)).count() > 1 => {
            format!("Sending and receiving fail at {one} since {since}.")
        }
        many => {
            format!("{} of {} in trouble since {since}.", many.len(), count(watched as u64, "service"))
        }
    }
}

/// The few worst of several, a sentence each.
fn each(open: &[Incident], now: Timestamp) -> Vec<String> {
    const SHOWN: usize = 4;
    let mut lines: Vec<String> = open
        .iter()
        .take(SHOWN)
        .map(|incident| {
            let blame = culprit(incident.blame.as_ref(), &incident.service).map(|words| format!(" {words}"));
            let outlook = outlook(incident, now).map(|words| format!(" {words}"));
            let what = match incident.leg {
                Leg::Monitoring => "The monitoring is blind.".to_owned(),
                leg => format!("{}: {}.", incident.service, leg_word(leg).to_lowercase()),
            };
            format!("{what}{}{}", blame.unwrap_or_default(), outlook.unwrap_or_default())
        })
        .collect();
    if open.len() > SHOWN {
        lines.push(format!("And {} more.", open.len() - SHOWN));
    }
    lines
}
