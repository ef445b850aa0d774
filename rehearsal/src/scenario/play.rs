//! Plays a plan in a world, and notes what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};
use mailsonar_collector::evaluate::Finding;
use mailsonar_collector::store::{Incident, IncidentState, ProbeQuery, Store};
use mailsonar_protocol::Outcome;

use super::plan::{Act, COLLECTOR, Event, LAST_LATE_MAIL, Plan, START};
use crate::simulation::{Paged, World};

/// How often the collector is asked what it finds.
const LOOK: Duration = Duration::from_secs(1);
/// How many times the backlog is noted, evenly over the time played: twenty hours give a row each half hour.
const BACKLOG_ROWS: i32 = 40;

/// What came of a plan.
#[derive(Debug, Clone)]
pub struct Played {
    /// The start.
    pub began: Timestamp,
    /// The end.
    pub ended: Timestamp,
    /// The moments that have names.
    pub marks: BTreeMap<String, Timestamp>,
    /// What happened to the world.
    pub events: Vec<(Timestamp, String)>,
    /// Every page.
    pub pages: Vec<Paged>,
    /// Every incident, in the order in which they were opened.
    pub incidents: Vec<Incident>,
    /// What was found besides, and until when.
    pub findings: Vec<Noted>,
    /// Every probe.
    pub probes: Vec<Seen>,
    /// Mail that is missing, every so often.
    pub backlog: Vec<Count>,
}

/// Mail that is missing at one moment.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Count {
    /// When.
    pub at: Timestamp,
    /// What the collector counts, by the leg of its open incidents.
    pub missing: BTreeMap<String, u32>,
    /// What the provider's queues really hold.
    pub held: usize,
}

/// A finding and how long it stood.
#[derive(Debug, Clone)]
pub struct Noted {
    /// When it was first there.
    pub from: Timestamp,
    /// When it was gone, if it went.
    pub until: Option<Timestamp>,
    /// Its kind, as the API names it.
    pub kind: String,
    /// The finding.
    pub finding: Finding,
}

/// A probe as the collector knows it in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its route.
    pub route: String,
    /// Where it came from.
    pub region: String,
    /// What became of it.
    pub outcome: Outcome,
    /// When it started.
    pub started_at: Timestamp,
    /// When it was there, if it ever was.
    pub arrived_at: Option<Timestamp>,
}

/// Plays a plan on the caller's runtime, which must have one thread only.
pub async fn play(plan: &Plan, seed: u64) -> anyhow::Result<Played> {
    let world = World::start(plan.setup(seed)?).await?;
    play_in(world, plan).await
}

/// Plays a plan in a world of one's own.
pub async fn play_in(world: World, plan: &Plan) -> anyhow::Result<Played> {
    let length = SignedDuration::try_from(plan.length)?;
    let mut player = Player::new(world, length);
    for event in &plan.events {
        player.until(event.at).await?;
        player.happen(event).await.with_context(|| format!("event {:?}", event.words))?;
    }
    player.until(length).await?;
    player.world.check()?;
    player.played().await
}

/// Plays events in a world, one by one.
pub(crate) struct Player {
    world: World,
    began: Timestamp,
    marks: BTreeMap<String, Timestamp>,
    events: Vec<(Timestamp, String)>,
    findings: Vec<Noted>,
    backlog: Vec<Count>,
    backlog_gap: SignedDuration,
    next_backlog: Timestamp,
}

impl Player {
    /// `length` is the time that will be played.
    pub(crate) fn new(world: World, length: SignedDuration) -> Self {
        let began = world.clock.now();
        let backlog_gap = length / BACKLOG_ROWS;
        Self {
            began,
            marks: BTreeMap::from([(START.to_owned(), began)]),
            events: Vec::new(),
            findings: Vec::new(),
            backlog: Vec::new(),
            backlog_gap,
            next_backlog: began + backlog_gap,
            world,
        }
    }

    /// Lets time pass, and looks now and then.
    pub(crate) async fn until(&mut self, at: SignedDuration) -> anyhow::Result<()> {
        let at = self.began + at;
        loop {
            let now = self.world.clock.now();
            self.look(now).await?;
            let left = Duration::try_from(at.duration_since(now)).unwrap_or_default();
            if left.is_zero() {
                return Ok(());
            }
            tokio::time::sleep(left.min(LOOK)).await;
        }
    }

    async fn look(&mut self, now: Timestamp) -> anyhow::Result<()> {
        if now >= self.next_backlog {
            let held = self.world.sandbox().truth().read(mailsonar_sandbox::Facts::in_queues);
            let open = |store: &Store| store.incidents(Some(IncidentState::Open), u32::MAX);
            let open = self.world.desks().read(open).await?;
            let missing = open.iter().map(|incident| (incident.leg.to_string(), incident.backlog.missing));
            self.backlog.push(Count { at: now, missing: missing.collect(), held });
            self.next_backlog = now + self.backlog_gap;
        }
        // While the collector is down nobody can be asked; what it said last stands.
        let Some(collector) = self.world.collector() else { return Ok(()) };
        let found = collector.findings();
        for noted in self.findings.iter_mut().filter(|noted| noted.until.is_none()) {
            let still = |other: &Finding| {
                (other.kind, &other.subject) == (noted.finding.kind, &noted.finding.subject)
            };
            if !found.iter().any(still) {
                noted.until = Some(now);
            }
        }
        for finding in found {
            let same = |noted: &Noted| {
                noted.until.is_none()
                    && (noted.finding.kind, &noted.finding.subject) == (finding.kind, &finding.subject)
            };
            if !self.findings.iter().any(same) {
                let kind = word(&finding.kind);
                self.findings.push(Noted { from: now, until: None, kind, finding });
            }
        }
        Ok(())
    }

    /// When it began.
    pub(crate) fn began(&self) -> Timestamp {
        self.began
    }

    /// What was found so far, besides incidents.
    pub(crate) fn findings(&self) -> Vec<Noted> {
        self.findings.clone()
    }

    /// The world as it is now.
    pub(crate) fn world(&mut self) -> &mut World {
        &mut self.world
    }

    /// Lets something happen.
    pub(crate) async fn happen(&mut self, event: &Event) -> anyhow::Result<()> {
        let now = self.world.clock.now();
        self.events.push((now, event.words.clone()));
        if let Some(name) = &event.name {
            self.marks.insert(name.clone(), now);
        }
        for act in &event.acts {
            self.act(act).await?;
        }
        Ok(())
    }

    async fn act(&mut self, act: &Act) -> anyhow::Result<()> {
        let world = &mut self.world;
        match act {
            Act::Break(name, rules) => world.break_it(name, rules.iter().cloned()),
            Act::Heal(name) => world.heal(name),
            Act::FailOver(domain, site) => world.sandbox().fail_over(domain, site)?,
            Act::Renumber(account, folder) => world.sandbox().renumber(account, folder)?,
            Act::Cut(region, cut) => world.region(region)?.cut(*cut),
            Act::Silence(region, cut) => world.region(region)?.silence(*cut),
            Act::Kill(name) if name == COLLECTOR => world.kill_collector(),
            Act::Kill(name) => world.member(name)?.kill(),
            Act::Start(name) if name == COLLECTOR => world.start_collector().await?,
            Act::Start(name) => world.member(name)?.start().await?,
            Act::Clock(agent, ahead) => world.member(agent)?.turn_clock(*ahead),
            Act::Deafen(notifier, deaf) => world.deafen(notifier, *deaf),
        }
        Ok(())
    }

    async fn played(mut self) -> anyhow::Result<Played> {
        let everything = ProbeQuery { limit: u32::MAX, ..ProbeQuery::default() };
        let desks = self.world.desks();
        let stored = desks.read(move |store| store.probes(&everything)).await?;
        let mut incidents = desks.read(|store| store.incidents(None, u32::MAX)).await?;
        incidents.reverse();
        let mut probes: Vec<Seen> = stored
            .into_iter()
            .map(|probe| Seen {
                route: probe.record.route.to_string(),
                region: probe.region.to_string(),
                outcome: probe.record.verdict.outcome,
                started_at: probe.started_at,
                arrived_at: probe.record.arrival.as_ref().map(|arrival| arrival.visible_at),
            })
            .collect();
        probes.reverse();
        let late = probes.iter().filter(|probe| probe.outcome == Outcome::Late);
        if let Some(last) = late.filter_map(|probe| probe.arrived_at).max() {
            self.marks.insert(LAST_LATE_MAIL.to_owned(), last);
        }
        Ok(Played {
            began: self.began,
            ended: self.world.clock.now(),
            marks: self.marks,
            events: self.events,
            pages: self.world.pages(),
            incidents,
            findings: self.findings,
            probes,
            backlog: self.backlog,
        })
    }
}

impl Played {
    /// The outcomes that occurred, and how often on each route.
    pub fn outcomes(&self) -> (Vec<Outcome>, BTreeMap<String, BTreeMap<&'static str, usize>>) {
        let mut counts: BTreeMap<String, BTreeMap<&'static str, usize>> = BTreeMap::new();
        for probe in &self.probes {
            *counts.entry(probe.route.clone()).or_default().entry(probe.outcome.as_str()).or_default() += 1;
        }
        let occurred: BTreeSet<&str> = counts.values().flat_map(BTreeMap::keys).copied().collect();
        let outcomes = Outcome::ALL.iter().copied().filter(|outcome| occurred.contains(outcome.as_str()));
        (outcomes.collect(), counts)
    }
}

/// The word that JSON has for something.
fn word(value: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(value).ok();
    value.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
}
