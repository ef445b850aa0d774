//! What a scenario means: its world, its events in order, its expectations; each wrong word with its line.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use jiff::civil::Time;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};
use mailsonar_sandbox::{Rule, command};
use mailsonar_settings::{Document, Problem, Problems};

use super::expect::Expectation;
use super::file::{self, File};
use crate::own::{Cast, Own};
use crate::simulation::{ROUTES, SERVICE_DOMAIN, Setup, Usual};

/// The names that stand for moments besides the events'.
pub(super) const START: &str = "start";
/// When the last late mail arrived.
pub(super) const LAST_LATE_MAIL: &str = "last-late-mail";

/// A scenario, understood.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The file's name without its ending.
    pub name: String,
    /// One line.
    pub title: String,
    /// What happens, for people.
    pub story: String,
    /// The date at the start.
    pub date: Timestamp,
    /// How long it is played.
    pub length: Duration,
    /// Where chance comes from.
    pub seed: u64,
    /// The world.
    pub world: Usual,
    /// What happens, in order.
    pub events: Vec<Event>,
    /// What is expected, in the order of the file's kinds.
    pub expectations: Vec<Expectation>,
    /// The configuration that is played, where it is not the usual world's.
    pub own: Option<Own>,
}

/// Something that happens.
#[derive(Debug, Clone)]
pub struct Event {
    /// How long after the start.
    pub at: SignedDuration,
    /// What others call it.
    pub name: Option<String>,
    /// A sentence for the report.
    pub words: String,
    /// What is done.
    pub acts: Vec<Act>,
}

/// One thing that is done.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// Breaks the mail service under a name.
    Break(String, Vec<Rule>),
    /// Heals what was broken under a name.
    Heal(String),
    /// Points a provider's names at another site.
    FailOver(String, String),
    /// Gives a folder's messages new UIDs.
    Renumber(String, String),
    /// Cuts (or mends) a region's way to mail servers.
    Cut(String, bool),
    /// Cuts (or mends) a region's way to the collector.
    Silence(String, bool),
    /// `kill -9` of an agent or the collector.
    Kill(String),
    /// Starts it again.
    Start(String),
    /// Sets an agent's wall clock wrong.
    Clock(String, SignedDuration),
    /// Puts the receiver of a notifier's pages out of order, or mends it.
    Deafen(String, bool),
}

/// What `kill` and `start` call the collector.
pub(crate) const COLLECTOR: &str = "collector";

impl Plan {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place and remedy.
    pub fn read(path: &Path) -> Result<Self, Problems> {
        Self::read_for(path, None)
    }

    /// The same, to be played by an operator's own configuration.
    pub fn read_for(path: &Path, own: Option<&Own>) -> Result<Self, Problems> {
        let name = path.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        Self::of(name, &Document::read(path)?, own)
    }

    /// Checks a document.
    pub fn from_document(name: String, document: &Document) -> Result<Self, Problems> {
        Self::of(name, document, None)
    }

    fn of(name: String, document: &Document, own: Option<&Own>) -> Result<Self, Problems> {
        let file: File = document.parse()?;
        let mut reader = Reader { document, problems: Vec::new(), own, cast: None };
        let world = reader.world(&file.world);
        reader.cast = own.map(|own| Cast::of(own, &world));
        let events = reader.events(&file, &world);
        let expectations = Expectation::all(&file.expect);
        reader.marks(&file, &events);
        if !reader.problems.is_empty() {
            return Err(Problems(reader.problems));
        }
        let cast = reader.cast;
        let plan = Self {
            name,
            title: file.title,
            story: file.story.trim().to_owned(),
            date: file.starts_at,
            length: file.lasts.get(),
            seed: file.seed,
            world,
            events,
            expectations,
            own: own.cloned(),
        };
        Ok(cast.map_or(plan.clone(), |cast| plan.played_by(&cast)))
    }

    /// What is set up for it.
    pub fn setup(&self, seed: u64) -> anyhow::Result<Setup> {
        match &self.own {
            Some(own) => own.setup(&self.world, self.date, seed),
            None => Setup::usual(&self.world, self.date, seed),
        }
    }

    fn played_by(mut self, cast: &Cast) -> Self {
        for event in &mut self.events {
            event.acts = event.acts.iter().flat_map(|act| act.played_by(cast)).collect();
        }
        for expectation in &mut self.expectations {
            expectation.play_by(cast);
        }
        self
    }
}

impl Act {
    fn played_by(&self, cast: &Cast) -> Vec<Self> {
        let name = |name: &String| cast.text(name);
        vec![match self {
            Self::Break(what, rules) => {
                Self::Break(what.clone(), rules.iter().flat_map(|rule| cast.rules(rule)).collect())
            }
            Self::Heal(what) => Self::Heal(what.clone()),
            Self::FailOver(domain, site) => Self::FailOver(name(domain), site.clone()),
            Self::Renumber(account, folder) => {
                let all = cast.accounts(account).into_iter();
                return all.map(|account| Self::Renumber(account, folder.clone())).collect();
            }
            Self::Cut(region, cut) => Self::Cut(name(region), *cut),
            Self::Silence(region, cut) => Self::Silence(name(region), *cut),
            Self::Kill(program) => Self::Kill(name(program)),
            Self::Start(program) => Self::Start(name(program)),
            Self::Clock(agent, ahead) => Self::Clock(name(agent), *ahead),
            Self::Deafen(notifier, deaf) => Self::Deafen(notifier.clone(), *deaf),
        }]
    }
}

/// A key, the names under it, and what is done to each.
type Named<'a> = (&'static str, &'a [String], fn(String) -> Act);

struct Reader<'a> {
    document: &'a Document,
    problems: Vec<Problem>,
    own: Option<&'a Own>,
    cast: Option<Cast>,
}

impl Reader<'_> {
    fn wrong(&mut self, key: &str, message: impl Into<String>, remedy: impl Into<String>) {
        self.problems.push(self.document.problem(key, message, remedy));
    }

    fn world(&mut self, file: &file::World) -> Usual {
        let usual = Usual::default();
        let regions = file.regions.as_ref().map_or(usual.regions, |regions| {
            regions.iter().map(|(name, away)| (name.clone(), away.get())).collect()
        });
        let routes = file.routes.clone().unwrap_or(usual.routes);
        for (at, route) in routes.iter().enumerate() {
            if !ROUTES.contains(&route.as_str()) {
                let remedy = format!("write some of {}", ROUTES.join(", "));
                self.wrong(&format!("world.routes.{at}"), "there is no such route", remedy);
            }
        }
        Usual {
            regions,
            sites: file.sites.clone().unwrap_or(usual.sites),
            equal_mx: file.equal_mx,
            interval: file.interval.map_or(usual.interval, mailsonar_settings::Duration::get),
            deadline: file.deadline.map_or(usual.deadline, mailsonar_settings::Duration::get),
            delivery: file.delivery.map_or(usual.delivery, mailsonar_settings::Duration::get),
            retry_every: file.retry_every.map_or(usual.retry_every, mailsonar_settings::Duration::get),
            routes,
            agent: file.agent.clone(),
            collector: file.collector.clone(),
        }
    }

    fn events(&mut self, file: &File, world: &Usual) -> Vec<Event> {
        let mut last = SignedDuration::ZERO;
        let mut named = BTreeSet::new();
        let mut events = Vec::new();
        for (at, event) in file.event.iter().enumerate() {
            let key = |part: &str| format!("event.{at}.{part}");
            match moment(&event.at, file.starts_at, last) {
                Ok(moment) if moment < last => {
                    self.wrong(&key("at"), "is before the event above it", "write events in their order");
                }
                Ok(moment) if moment.unsigned_abs() > file.lasts.get() => {
                    self.wrong(&key("at"), "is after the end", "let the scenario last longer");
                }
                Ok(moment) => last = moment,
                Err(why) => self.wrong(&key("at"), why, "write \"11:00\", \"11:00:30\" or \"+90m\""),
            }
            let acts = self.acts(event, at, world, &named);
            named.extend(event.name.clone());
            events.push(Event { at: last, name: event.name.clone(), words: event.words.clone(), acts });
        }
        events
    }

    fn acts(&mut self, event: &file::Event, at: usize, world: &Usual, named: &BTreeSet<String>) -> Vec<Act> {
        let key = |part: &str| format!("event.{at}.{part}");
        let mut acts = Vec::new();
        let mut rules = Vec::new();
        for (nth, line) in event.breaks.iter().enumerate() {
            match command::parse(line) {
                Ok(rule) => rules.push(rule),
                Err(why) => {
                    let help = "write it as `fault add` takes it; see docs/rehearsal.md";
                    self.wrong(&key(&format!("break.{nth}")), why, help);
                }
            }
        }
        if !rules.is_empty() {
            acts.push(Act::Break(event.name.clone().unwrap_or_default(), rules));
        }
        for (nth, name) in event.heal.iter().enumerate() {
            if !named.contains(name) {
                let remedy = "name an event above it";
                self.wrong(&key(&format!("heal.{nth}")), "nothing of that name happened yet", remedy);
            }
            acts.push(Act::Heal(name.clone()));
        }
        if let Some((provider, site)) =
            self.pair(event.fail_over.as_deref(), &key("fail_over"), "PROVIDER SITE")
        {
            if provider == SERVICE_DOMAIN && !world.sites.contains(&site) {
                self.wrong(
                    &key("fail_over"),
                    "no such site",
                    format!("use one of {}", world.sites.join(", ")),
                );
            }
            acts.push(Act::FailOver(provider, site));
        }
        let folder = self.pair(event.renumber.as_deref(), &key("renumber"), "ACCOUNT FOLDER");
        acts.extend(folder.map(|(account, folder)| Act::Renumber(account, folder)));
        acts.extend(self.at_regions(event, at, world));
        acts.extend(self.at_programs(event, at, world));
        acts
    }

    fn pair(&mut self, text: Option<&str>, key: &str, form: &str) -> Option<(String, String)> {
        let pair = text?.split_once(' ');
        if pair.is_none() {
            self.wrong(key, "is not two words", format!("write \"{form}\""));
        }
        pair.map(|(one, other)| (one.to_owned(), other.to_owned()))
    }

    fn at_regions(&mut self, event: &file::Event, at: usize, world: &Usual) -> Vec<Act> {
        let lists: [Named<'_>; 4] = [
            ("cut", &event.cut, |region| Act::Cut(region, true)),
            ("mend", &event.mend, |region| Act::Cut(region, false)),
            ("silence", &event.silence, |region| Act::Silence(region, true)),
            ("hear", &event.hear, |region| Act::Silence(region, false)),
        ];
        let mut acts = Vec::new();
        let mut known: Vec<&str> = world.regions.iter().map(|(name, _)| name.as_str()).collect();
        known.extend(self.own.into_iter().flat_map(Own::regions));
        for (part, regions, act) in lists {
            for (nth, region) in regions.iter().enumerate() {
                let key = format!("event.{at}.{part}.{nth}");
                if !known.contains(&region.as_str()) {
                    self.wrong(&key, "there is no such region", "name one of the world's");
                }
                self.vacant(&key, region);
                acts.push(act(region.clone()));
            }
        }
        acts
    }

    fn at_programs(&mut self, event: &file::Event, at: usize, world: &Usual) -> Vec<Act> {
        let mut agents: Vec<String> = world.regions.iter().map(|(region, _)| format!("{region}-1")).collect();
        agents.extend(self.own.into_iter().flat_map(Own::agents).map(str::to_owned));
        let mut acts = Vec::new();
        let lists: [Named<'_>; 2] = [("kill", &event.kill, Act::Kill), ("start", &event.start, Act::Start)];
        for (part, programs, act) in lists {
            for (nth, program) in programs.iter().enumerate() {
                if program != COLLECTOR && !agents.contains(program) {
                    let remedy = format!("write one of {COLLECTOR}, {}", agents.join(", "));
                    self.wrong(&format!("event.{at}.{part}.{nth}"), "there is no such program", remedy);
                }
                self.vacant(&format!("event.{at}.{part}.{nth}"), program);
                acts.push(act(program.clone()));
            }
        }
        for (agent, ahead) in &event.clock {
            let key = format!("event.{at}.clock.{agent}");
            if !agents.contains(agent) {
                self.wrong(&key, "there is no such agent", format!("write one of {}", agents.join(", ")));
            }
            self.vacant(&key, agent);
            match signed(ahead) {
                Ok(ahead) => acts.push(Act::Clock(agent.clone(), ahead)),
                Err(why) => self.wrong(&key, why, "write how far it is wrong: \"+1h\" or \"-90s\""),
            }
        }
        acts
    }

    /// A region of the usual world that nobody plays is no place for an event.
    fn vacant(&mut self, key: &str, region: &str) {
        if self.cast.as_ref().is_some_and(|cast| cast.is_vacant(region)) {
            let regions = self.own.map(|own| own.regions().join(", ")).unwrap_or_default();
            let remedy = format!("write one of {regions}");
            self.wrong(key, "this configuration has no agent to play it", remedy);
        }
    }

    /// Every expectation's `after` and `before` must be something that happens.
    fn marks(&mut self, file: &File, events: &[Event]) {
        let mut known: Vec<&str> = events.iter().filter_map(|event| event.name.as_deref()).collect();
        known.extend([START, LAST_LATE_MAIL]);
        let expect = &file.expect;
        let mut wanted: Vec<(String, Option<&String>)> = Vec::new();
        let lists = [("page", &expect.page), ("no_page", &expect.no_page)];
        for (kind, list) in lists {
            let marks =
                list.iter().enumerate().map(|(nth, w)| (format!("{kind}.{nth}.after"), w.after.as_ref()));
            wanted.extend(marks);
        }
        for (nth, probes) in expect.probes.iter().enumerate() {
            wanted.push((format!("probes.{nth}.after"), probes.after.as_ref()));
            wanted.push((format!("probes.{nth}.before"), probes.before.as_ref()));
        }
        for (nth, clock) in expect.clock.iter().enumerate() {
            wanted.push((format!("clock.{nth}.after"), Some(&clock.after)));
        }
        for (nth, backlog) in expect.backlog.iter().enumerate() {
            wanted.push((format!("backlog.{nth}.after"), Some(&backlog.after)));
        }
        for (kind, list) in [("finding", &expect.finding), ("no_finding", &expect.no_finding)] {
            let marks =
                list.iter().enumerate().map(|(nth, w)| (format!("{kind}.{nth}.after"), w.after.as_ref()));
            wanted.extend(marks);
        }
        for (key, mark) in wanted {
            if mark.is_some_and(|mark| !known.contains(&mark.as_str())) {
                let remedy = format!("write one of {}", known.join(", "));
                self.wrong(&format!("expect.{key}"), "no event has this name", remedy);
            }
        }
    }
}

/// When an event happens, counted from the start: `+90m`, or the next time a clock in UTC shows it.
fn moment(text: &str, start: Timestamp, last: SignedDuration) -> Result<SignedDuration, String> {
    if let Some(length) = text.strip_prefix('+') {
        return length.parse().map(mailsonar_settings::Duration::signed);
    }
    let time: Time = text.parse().map_err(|_| format!("{text:?} is not a time of day"))?;
    let from = start + last;
    let day = Offset::UTC.to_datetime(from).date();
    let next = [Ok(day), day.tomorrow()].into_iter().flatten().find_map(|date| {
        let at = Offset::UTC.to_timestamp(date.to_datetime(time)).ok()?;
        (at >= from).then_some(at)
    });
    next.map(|at| at.duration_since(start)).ok_or_else(|| "is out of range".to_owned())
}

fn signed(text: &str) -> Result<SignedDuration, String> {
    let (behind, length) = match (text.strip_prefix('-'), text.strip_prefix('+')) {
        (Some(length), _) => (true, length),
        (_, Some(length)) => (false, length),
        _ => (false, text),
    };
    let length: mailsonar_settings::Duration = length.parse()?;
    Ok(if behind { -length.signed() } else { length.signed() })
}
