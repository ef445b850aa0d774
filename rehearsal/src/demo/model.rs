//! What the demo knows of its world: news go in, a picture and a few words come out. Pure.
//!
//! It is bounded however long the demo runs: it keeps the newest of everything, and counts the rest.

use std::collections::{BTreeMap, VecDeque};

use jiff::{SignedDuration, Timestamp};
use mailsonar_collector::notify::{Page, Status};
use mailsonar_collector::store::Incident;
use mailsonar_protocol::{Outcome, ProbeId, Record};

use super::ask::Finding;
use super::faults::Mischief;
use super::note;
use super::world::{Addresses, REGIONS, ROUTES};

/// Marks kept for each route and region: as many as the widest screen shows.
const MARKS: usize = 64;
/// Probes kept whole.
const RECENT: usize = 40;
/// Pages kept.
const PAGES: usize = 100;

/// Something that happened.
#[derive(Debug)]
pub enum News {
    /// An agent learned something about a probe.
    Probe {
        /// Where: an index into [`REGIONS`].
        region: usize,
        /// Its outcome before.
        before: Option<Outcome>,
        /// All that is known of it now.
        record: Box<Record>,
    },
    /// A page came in.
    Page {
        /// When.
        at: Timestamp,
        /// What it says.
        page: Box<Page>,
    },
    /// How things stand at the collector.
    Standing {
        /// The open incidents.
        incidents: Vec<Incident>,
        /// What it says of agents and references.
        findings: Vec<Finding>,
    },
}

/// One probe as a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    probe: ProbeId,
    started_at: Timestamp,
    /// What became of it, as far as is known.
    pub outcome: Outcome,
}

/// One route from one region.
#[derive(Debug, Default)]
pub struct Cell {
    /// The newest probes, oldest first.
    pub marks: VecDeque<Mark>,
    /// The newest latency, in microseconds.
    pub latency_us: Option<u64>,
    /// The verdict on the newest probe that has one.
    pub verdict: Option<Outcome>,
    decided_at: Option<Timestamp>,
}

/// A page as it came in.
#[derive(Debug)]
pub struct Paged {
    /// When.
    pub at: Timestamp,
    /// What it says.
    pub page: Page,
    /// How long after the fault, or after it was healed.
    pub after: Option<SignedDuration>,
}

/// Everything that is shown.
pub struct Model {
    /// When the demo began.
    pub began: Timestamp,
    /// The present.
    pub now: Timestamp,
    /// Where to look.
    pub addresses: Addresses,
    /// By route and region, as indices into [`ROUTES`] and [`REGIONS`].
    pub cells: Vec<Vec<Cell>>,
    /// The newest probes with their regions, oldest first.
    pub recent: VecDeque<(usize, Record)>,
    /// The open incidents.
    pub incidents: Vec<Incident>,
    /// What the collector says of agents and references.
    pub findings: Vec<Finding>,
    /// The newest pages, oldest first.
    pub pages: VecDeque<Paged>,
    /// What is broken, and since when.
    pub broken: Vec<(Mischief, Timestamp)>,
    /// Probes by region and outcome.
    pub tally: Vec<BTreeMap<Outcome, u64>>,
    /// Incidents that were opened.
    pub opened: u64,
    broke_at: Option<Timestamp>,
    healed_at: Option<Timestamp>,
}

impl Model {
    /// The beginning.
    pub fn new(addresses: Addresses, now: Timestamp) -> Self {
        let row = || REGIONS.iter().map(|_| Cell::default()).collect();
        Self {
            began: now,
            now,
            addresses,
            cells: ROUTES.iter().map(|_| row()).collect(),
            recent: VecDeque::new(),
            incidents: Vec::new(),
            findings: Vec::new(),
            pages: VecDeque::new(),
            broken: Vec::new(),
            tally: REGIONS.iter().map(|_| BTreeMap::new()).collect(),
            opened: 0,
            broke_at: None,
            healed_at: None,
        }
    }

    /// How long the demo has run.
    pub fn age(&self) -> SignedDuration {
        self.now.duration_since(self.began)
    }

    /// Takes news in. What is worth a line in a log is returned.
    pub fn learn(&mut self, news: News) -> Vec<String> {
        match news {
            News::Probe { region, before, record } => {
                self.probe(region, before, *record).into_iter().collect()
            }
            News::Page { at, page } => vec![self.page(at, *page)],
            News::Standing { incidents, findings } => self.standing(incidents, findings),
        }
    }

    /// Something was broken.
    pub fn break_it(&mut self, mischief: Mischief) -> String {
        self.broken.push((mischief, self.now));
        self.broke_at = Some(self.now);
        note::broken(mischief)
    }

    /// Everything was healed.
    pub fn heal(&mut self) -> String {
        self.broken.clear();
        self.healed_at = Some(self.now);
        "healed: everything".into()
    }

    /// Whether mail got through from every region.
    pub fn works(&self) -> bool {
        self.tally.iter().all(|tally| tally.get(&Outcome::Delivered).is_some_and(|count| *count > 0))
    }

    fn probe(&mut self, region: usize, before: Option<Outcome>, record: Record) -> Option<String> {
        let outcome = record.verdict.outcome;
        let tally = self.tally.get_mut(region)?;
        if let Some(before) = before {
            tally.entry(before).and_modify(|count| *count = count.saturating_sub(1));
        }
        *tally.entry(outcome).or_default() += 1;

        let route = ROUTES.iter().position(|route| record.route.as_str() == *route)?;
        let changed = self.cells.get_mut(route)?.get_mut(region)?.learn(&record);
        let note = changed.then(|| note::verdict(REGIONS[region].name, &record));
        match self.recent.iter_mut().find(|(_, known)| known.probe == record.probe) {
            Some((_, known)) => *known = record,
            // What is revised after it went out of sight does not come back into it.
            None if before.is_some() => {}
            None => push(&mut self.recent, (region, record), RECENT),
        }
        note
    }

    fn page(&mut self, at: Timestamp, page: Page) -> String {
        let since = match page.status {
            Status::Trigger => self.broke_at,
            Status::Acknowledge | Status::Notice => None,
            // A resolve while things are still broken has no healing to count from.
            Status::Resolve => self.healed_at.filter(|_| self.broken.is_empty()),
        };
        let paged = Paged { at, page, after: since.map(|since| at.duration_since(since)) };
        let note = note::page(&paged);
        push(&mut self.pages, paged, PAGES);
        note
    }

    fn standing(&mut self, incidents: Vec<Incident>, findings: Vec<Finding>) -> Vec<String> {
        let mut notes = Vec::new();
        for incident in &incidents {
            if !self.incidents.iter().any(|known| known.id == incident.id) {
                self.opened += 1;
                notes.push(format!("incident opened: {} {}", incident.service, incident.leg));
            }
        }
        for incident in &self.incidents {
            if !incidents.iter().any(|open| open.id == incident.id) {
                notes.push(format!("incident over: {} {}", incident.service, incident.leg));
            }
        }
        for finding in &findings {
            let same = |known: &Finding| (&known.kind, &known.subject) == (&finding.kind, &finding.subject);
            if !self.findings.iter().any(same) {
                notes.push(format!("found: {}", finding.words));
            }
        }
        (self.incidents, self.findings) = (incidents, findings);
        notes
    }
}

impl Cell {
    /// Takes a record in; whether the verdict on the route changed by it.
    fn learn(&mut self, record: &Record) -> bool {
        let (probe, started_at, outcome) = (record.probe, record.started_at, record.verdict.outcome);
        let is_old = self.marks.back().is_some_and(|newest| newest.started_at > started_at);
        match self.marks.iter_mut().find(|mark| mark.probe == probe) {
            Some(mark) => mark.outcome = outcome,
            None if is_old => {}
            None => push(&mut self.marks, Mark { probe, started_at, outcome }, MARKS),
        }
        // A verdict that comes late on an old probe says nothing of the present.
        if !record.is_concluded() || self.decided_at.is_some_and(|newest| newest > started_at) {
            return false;
        }
        self.decided_at = Some(started_at);
        self.latency_us = record.latency_us();
        self.verdict.replace(outcome) != Some(outcome)
    }
}

fn push<T>(queue: &mut VecDeque<T>, item: T, most: usize) {
    queue.push_back(item);
    if queue.len() > most {
        queue.pop_front();
    }
}
