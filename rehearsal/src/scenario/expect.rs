//! Expectations: whether what was played is what was wanted, and what would contradict it.
//!
//! Pure: what was played goes in, a verdict with its reason comes out.
#![expect(clippy::format_push_string, reason = "text for people, made once: plain words before allocations")]

use jiff::{SignedDuration, Timestamp};
use mailsonar_collector::store::Incident;

use super::file::{
    BacklogWanted, ClockName, ClockWanted, Expect, FindingWanted, IncidentsWanted, PageWanted, ProbesWanted,
};
use super::play::{Count, Noted, Played, Seen};
use crate::own::Cast;
use crate::simulation::Paged;

/// One thing that is expected.
#[derive(Debug, Clone)]
pub enum Expectation {
    /// A page like this comes.
    Page(PageWanted),
    /// No page like this comes.
    NoPage(PageWanted),
    /// So many incidents.
    Incidents(IncidentsWanted),
    /// A clock of an incident stands there.
    Clock(ClockWanted),
    /// Missing mail is counted down.
    Backlog(BacklogWanted),
    /// So many probes.
    Probes(ProbesWanted),
    /// Something like this is found.
    Finding(FindingWanted),
    /// Nothing like this is found.
    NoFinding(FindingWanted),
}

/// Whether an expectation was met.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Judged {
    /// What was expected, as a sentence.
    pub expected: String,
    /// Whether it was so.
    pub met: bool,
    /// What there was.
    pub found: String,
}

impl Expectation {
    /// Everything that a file expects.
    pub(super) fn all(file: &Expect) -> Vec<Self> {
        let mut all = Vec::new();
        all.extend(file.incidents.iter().cloned().map(Self::Incidents));
        all.extend(file.page.iter().cloned().map(Self::Page));
        all.extend(file.no_page.iter().cloned().map(Self::NoPage));
        all.extend(file.clock.iter().cloned().map(Self::Clock));
        all.extend(file.backlog.iter().cloned().map(Self::Backlog));
        all.extend(file.finding.iter().cloned().map(Self::Finding));
        all.extend(file.no_finding.iter().cloned().map(Self::NoFinding));
        all.extend(file.probes.iter().cloned().map(Self::Probes));
        all
    }

    /// Has an operator's names in place of the usual world's.
    pub(super) fn play_by(&mut self, cast: &Cast) {
        let text = |text: &mut Option<String>| *text = text.as_deref().map(|text| cast.text(text));
        match self {
            Self::Page(PageWanted { words, .. }) | Self::NoPage(PageWanted { words, .. }) => {
                for words in words {
                    *words = cast.text(words);
                }
            }
            Self::Finding(wanted) | Self::NoFinding(wanted) => {
                text(&mut wanted.subject);
                wanted.words.iter_mut().for_each(|words| *words = cast.text(words));
            }
            Self::Probes(wanted) => {
                text(&mut wanted.region);
                wanted.played_by =
                    wanted.route.as_deref().map(|route| cast.routes(route)).unwrap_or_default();
            }
            Self::Incidents(_) | Self::Clock(_) | Self::Backlog(_) => {}
        }
    }

    /// Whether it was met.
    pub fn judge(&self, played: &Played) -> Judged {
        let (met, found) = match self {
            Self::Page(wanted) => {
                let pages: Vec<_> = played.pages.iter().filter(|page| wanted.fits(page, played)).collect();
                let met = wanted.times.map_or(!pages.is_empty(), |times| pages.len() == times);
                (met, told(&pages, &played.pages, page_words))
            }
            Self::NoPage(wanted) => {
                let pages: Vec<_> = played.pages.iter().filter(|page| wanted.fits(page, played)).collect();
                (pages.is_empty(), told(&pages, &[], page_words))
            }
            Self::Incidents(wanted) => {
                let count = incidents(played, wanted.leg.as_deref()).count();
                (count == wanted.count, count.to_string())
            }
            Self::Clock(wanted) => wanted.judge(played),
            Self::Backlog(wanted) => wanted.judge(played),
            Self::Probes(wanted) => {
                let count = played.probes.iter().filter(|probe| wanted.fits(probe, played)).count();
                let low = wanted.at_least.is_none_or(|least| count >= least);
                let high = wanted.at_most.is_none_or(|most| count <= most);
                (low && high, count.to_string())
            }
            Self::Finding(wanted) => {
                let all: Vec<_> = played.findings.iter().filter(|noted| wanted.fits(noted, played)).collect();
                (!all.is_empty(), told(&all, &played.findings, |noted| noted.finding.words.clone()))
            }
            Self::NoFinding(wanted) => {
                let all: Vec<_> = played.findings.iter().filter(|noted| wanted.fits(noted, played)).collect();
                (all.is_empty(), told(&all, &[], |noted| noted.finding.words.clone()))
            }
        };
        Judged { expected: self.to_string(), met, found }
    }

    /// Expectations that contradict this one: where it is met, none of them may be.
    pub fn contradictions(&self) -> Vec<Self> {
        match self {
            Self::Page(wanted) => wanted.contradictions(),
            Self::NoPage(wanted) => vec![Self::Page(PageWanted { times: None, ..wanted.clone() })],
            Self::Incidents(IncidentsWanted { leg, count }) => {
                let others = [Some(count + 1), count.checked_sub(1)].into_iter().flatten();
                others.map(|count| Self::Incidents(IncidentsWanted { leg: leg.clone(), count })).collect()
            }
            Self::Clock(wanted) => {
                let within = mailsonar_settings::Duration::from_millis(0);
                vec![Self::Clock(ClockWanted { within, ..wanted.clone() })]
            }
            Self::Backlog(wanted) => {
                let ends_otherwise = BacklogWanted { to: wanted.to + 1, ..wanted.clone() };
                let begins_higher = BacklogWanted { from: u32::MAX, ..wanted.clone() };
                vec![Self::Backlog(ends_otherwise), Self::Backlog(begins_higher)]
            }
            Self::Probes(wanted) => wanted.contradictions(),
            Self::Finding(wanted) => vec![Self::NoFinding(wanted.clone())],
            Self::NoFinding(wanted) => vec![Self::Finding(wanted.clone())],
        }
    }
}

impl PageWanted {
    fn fits(&self, paged: &Paged, played: &Played) -> bool {
        let page = &paged.page;
        is(self.notifier.as_ref(), &paged.notifier)
            && is(self.status.as_ref(), page.status.as_str())
            && is(self.kind.as_ref(), &page.kind)
            && is(self.leg.as_ref(), &page.leg)
            && is(self.severity.as_ref(), &page.severity)
            && self.words.iter().all(|words| page.summary.contains(words))
            && in_time(paged.at, self.after.as_deref(), self.within, played)
    }

    fn contradictions(&self) -> Vec<Expectation> {
        let mut others = vec![Expectation::Page(Self {
            words: [self.words.clone(), vec!["what no page says".to_owned()]].concat(),
            ..self.clone()
        })];
        match self.times {
            Some(times) => others.push(Expectation::Page(Self { times: Some(times + 1), ..self.clone() })),
            None => others.push(Expectation::NoPage(self.clone())),
        }
        others
    }
}

impl FindingWanted {
    fn fits(&self, noted: &Noted, played: &Played) -> bool {
        is(self.kind.as_ref(), &noted.kind)
            && is(self.subject.as_ref(), &noted.finding.subject)
            && self.words.iter().all(|words| noted.finding.words.contains(words))
            && in_time(noted.from, self.after.as_deref(), self.within, played)
    }
}

impl ProbesWanted {
    fn fits(&self, probe: &Seen, played: &Played) -> bool {
        let mark = |name: &Option<String>| name.as_ref().and_then(|name| played.marks.get(name));
        is(self.outcome.as_ref(), probe.outcome.as_str())
            && (self.played_by.contains(&probe.route)
                || (self.played_by.is_empty() && is(self.route.as_ref(), &probe.route)))
            && is(self.region.as_ref(), &probe.region)
            && mark(&self.after).is_none_or(|after| probe.started_at >= *after)
            && mark(&self.before).is_none_or(|before| probe.started_at < *before)
    }

    fn contradictions(&self) -> Vec<Expectation> {
        let with = |at_least, at_most| Expectation::Probes(Self { at_least, at_most, ..self.clone() });
        let above = self.at_most.map(|most| with(Some(most + 1), None));
        let below = self.at_least.and_then(|least| least.checked_sub(1)).map(|most| with(None, Some(most)));
        above.into_iter().chain(below).collect()
    }
}

impl BacklogWanted {
    fn judge(&self, played: &Played) -> (bool, String) {
        let counts = |count: &Count| count.missing.get(&self.leg).copied().unwrap_or(0);
        let since = played.marks.get(&self.after);
        let later = played.backlog.iter().filter(|count| since.is_some_and(|since| count.at >= *since));
        let counted: Vec<u32> = later.map(counts).collect();
        let falls = counted.is_sorted_by(|before, after| before >= after);
        let from_to = counted.first().copied().zip(counted.last().copied());
        let met = falls && from_to.is_some_and(|(from, to)| from >= self.from && to == self.to);
        let words: Vec<String> = counted.iter().map(ToString::to_string).collect();
        (met, if words.is_empty() { "not counted".to_owned() } else { words.join(", ") })
    }
}

impl ClockWanted {
    fn judge(&self, played: &Played) -> (bool, String) {
        let times: Vec<Timestamp> =
            incidents(played, Some(&self.leg)).filter_map(|incident| self.clock.of(incident)).collect();
        let met = |at: &Timestamp| in_time(*at, Some(&self.after), Some(self.within), played);
        let words = times.iter().map(|at| super::report::clock(*at, played.began));
        let words = words.collect::<Vec<_>>().join(", ");
        (times.iter().any(met), if words.is_empty() { "not known".to_owned() } else { words })
    }
}

impl ClockName {
    /// What this clock of an incident shows.
    pub fn of(self, incident: &Incident) -> Option<Timestamp> {
        let clocks = &incident.clocks;
        match self {
            Self::Detected => Some(incident.opened_at),
            Self::Paged => clocks.paged_at,
            Self::Accepting => clocks.accepting_at,
            Self::OnTime => clocks.on_time_at,
            Self::Drained => clocks.drained_at,
            Self::Resolved => incident.resolved_at,
            Self::FailedOver => incident.failovers.last().map(|failover| failover.done_at),
        }
    }

    /// The words for it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Detected => "detected",
            Self::Paged => "paged",
            Self::Accepting => "accepting again",
            Self::OnTime => "on time again",
            Self::Drained => "drained",
            Self::Resolved => "resolved",
            Self::FailedOver => "failed over",
        }
    }
}

fn incidents<'a>(played: &'a Played, leg: Option<&'a str>) -> impl Iterator<Item = &'a Incident> {
    played.incidents.iter().filter(move |incident| leg.is_none_or(|leg| incident.leg.as_str() == leg))
}

fn is(wanted: Option<&String>, value: &str) -> bool {
    wanted.is_none_or(|wanted| wanted == value)
}

/// Whether something came after a moment, and soon enough. A moment that never came has nothing after it.
fn in_time(
    at: Timestamp,
    after: Option<&str>,
    within: Option<mailsonar_settings::Duration>,
    played: &Played,
) -> bool {
    let Some(from) = after.map_or(Some(played.began), |name| played.marks.get(name).copied()) else {
        return false;
    };
    let passed = at.duration_since(from);
    passed >= SignedDuration::ZERO && within.is_none_or(|within| passed <= within.signed())
}

fn page_words(paged: &Paged) -> String {
    format!("{} {}: {}", paged.page.status.as_str(), paged.page.leg, paged.page.summary)
}

/// What fits, or else what there was instead.
fn told<T>(fitting: &[&T], instead: &[T], words: impl Fn(&T) -> String) -> String {
    const MOST: usize = 3;
    let fit: Vec<String> = fitting.iter().take(MOST).map(|one| words(one)).collect();
    let more = fitting.len().saturating_sub(MOST);
    match (fit.is_empty(), instead.is_empty()) {
        (false, _) if more > 0 => format!("{} … and {more} more", fit.join(" | ")),
        (false, _) => fit.join(" | "),
        (true, true) => "none".to_owned(),
        (true, false) => {
            let others: Vec<String> = instead.iter().take(MOST).map(words).collect();
            format!("none; but: {}", others.join(" | "))
        }
    }
}

impl std::fmt::Display for Expectation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Page(wanted) => write!(f, "{}{}", times(wanted.times), wanted.sentence("page")),
            Self::NoPage(wanted) => write!(f, "no {}", wanted.sentence("page")),
            Self::Incidents(IncidentsWanted { leg, count }) => {
                write!(f, "{count} incidents")?;
                leg.as_ref().map_or(Ok(()), |leg| write!(f, " of leg {leg}"))
            }
            Self::Clock(wanted) => {
                let (leg, clock, after) = (&wanted.leg, wanted.clock.words(), &wanted.after);
                write!(f, "{leg} is {clock} after {after} within {:?}", wanted.within.get())
            }
            Self::Backlog(BacklogWanted { leg, after, from, to }) => {
                write!(f, "missing mail of {leg} only falls after {after}, from at least {from} to {to}")
            }
            Self::Probes(wanted) => {
                let bound = [("at least", wanted.at_least), ("at most", wanted.at_most)];
                let bound: Vec<_> = bound.iter().filter_map(|(w, n)| n.map(|n| format!("{w} {n}"))).collect();
                write!(f, "{} probes", bound.join(" and "))?;
                let parts = [
                    ("", &wanted.outcome),
                    ("on ", &wanted.route),
                    ("from ", &wanted.region),
                    ("after ", &wanted.after),
                    ("before ", &wanted.before),
                ];
                for (word, value) in parts {
                    value.as_ref().map_or(Ok(()), |value| write!(f, " {word}{value}"))?;
                }
                Ok(())
            }
            Self::Finding(wanted) => write!(f, "{}", wanted.sentence()),
            Self::NoFinding(wanted) => write!(f, "no {}", wanted.sentence()),
        }
    }
}

fn times(times: Option<usize>) -> String {
    times.map_or_else(|| "a ".to_owned(), |times| format!("{times} × "))
}

impl PageWanted {
    fn sentence(&self, what: &str) -> String {
        let kind = [&self.severity, &self.leg, &self.status].into_iter().flatten().map(String::as_str);
        let mut text = kind.chain([what]).collect::<Vec<_>>().join(" ");
        if let Some(kind) = &self.kind {
            text += &format!(" of type {kind}");
        }
        if let Some(notifier) = &self.notifier {
            text += &format!(" to {notifier}");
        }
        text + &moment(self.after.as_ref(), self.within) + &naming(&self.words)
    }
}

impl FindingWanted {
    fn sentence(&self) -> String {
        let mut text = format!("finding {}", self.kind.as_deref().unwrap_or("of any kind"));
        if let Some(subject) = &self.subject {
            text += &format!(" about {subject}");
        }
        text + &moment(self.after.as_ref(), self.within) + &naming(&self.words)
    }
}

fn moment(after: Option<&String>, within: Option<mailsonar_settings::Duration>) -> String {
    let within = within.map(|within| format!(" within {:?}", within.get())).unwrap_or_default();
    let after = after.map(|after| format!(" after {after}")).unwrap_or_default();
    within + &after
}

fn naming(words: &[String]) -> String {
    if words.is_empty() { String::new() } else { format!(" that says {words:?}") }
}
