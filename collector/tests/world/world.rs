//! Time, probes and verdicts: what agents would report, and when the collector would know it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use jiff::{SignedDuration, Timestamp};
use mailsonar_collector::evaluate::*;
use mailsonar_collector::places::places;
use mailsonar_protocol::{
    AgentName, Class, Direction, Door, Outcome, ProbeId, RouteCard, RouteName, Stage, Text,
};
use uuid::Uuid;

use crate::fleet::{Fault, Manner, Plan, Random};

/// Calm news waits for so long at the agent, urgent news for so long.
const CALM: i64 = 1_000;
const URGENT: i64 = 50;
const INTERVAL: i64 = 60_000;
const DEADLINE: i64 = 300_000;
/// How long a stage waits for an answer.
const TIMEOUT: i64 = 10_000;
/// From the collector's wish to the probe.
const ASKED: i64 = 100;
/// A wish is not repeated sooner, nor more than twice within five seconds.
const AGAIN: i64 = 1_500;
const TWICE: i64 = 5_000;
/// A turn is moved by so much at most.
const JITTER: u64 = 3_000;
/// Samples kept for each lane.
const KEPT: usize = 24;

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A turn comes: agent, lane, and whether it is of the schedule; such a one begins a little later.
    Turn(usize, usize, bool),
    /// The collector learns of one: agent, lane, index into `news`.
    News(usize, usize, usize),
    /// The collector looks at everything.
    Tick,
}

pub(crate) struct World {
    pub(crate) facts: Facts,
    pub(crate) standing: Standing,
    pub(crate) rules: Config,
    pub(crate) faults: Vec<Fault>,
    /// How many probes of a thousand fail for no reason at all (in tenths: 5 is 0.5 %).
    pub(crate) noise: u64,
    pub(crate) now: i64,
    /// Every incident that was opened: when, and how it looked last.
    pub(crate) incidents: Vec<(i64, Picture)>,
    pub(crate) findings: BTreeSet<(String, String)>,
    /// What somebody was paged for, as something that is the service's own trouble.
    pub(crate) accused: BTreeSet<Subject>,
    pub(crate) probes: u64,
    plan: Plan,
    random: Random,
    queue: BinaryHeap<Reverse<(i64, u64, Event)>>,
    news: Vec<Option<Sample>>,
    free: Vec<usize>,
    order: u64,
    well: Vec<Vec<bool>>,
    asked_at: BTreeMap<(usize, usize), [i64; 2]>,
    heard: Vec<i64>,
    /// Until then every second is looked at; else nothing can have changed.
    unrest_until: i64,
    ticking: bool,
}

pub(crate) fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(1_795_518_000_000 + ms).expect("in range")
}

fn mx(host: usize) -> String {
    format!("mx{host}.acme[192.0.2.{host}]")
}

/// The way of one probe.
struct Way {
    door: Door,
    sender: String,
    recipient: String,
    /// The MX host, by number, that it is handed to, if it is to one.
    host: usize,
    peer: String,
    /// Whether the sender's provider passes it on to another.
    is_relayed: bool,
}

impl Way {
    fn of(lane: &Lane, host: usize) -> Self {
        let (sender, recipient) = (lane.sender().to_string(), lane.recipient().to_string());
        Self {
            door: lane.door,
            host,
            peer: if lane.door == Door::Mx { format!("mx{host}.acme") } else { format!("smtp.{sender}") },
            is_relayed: lane.door == Door::Submission && sender != recipient,
            sender,
            recipient,
        }
    }
}

/// A lane as its agent announces it.
fn card(lane: &Lane) -> RouteCard {
    let us = |span: SignedDuration| u64::try_from(span.as_micros()).expect("positive");
    RouteCard {
        route: lane.route.clone(),
        service: lane.service.clone(),
        reference: lane.reference.clone(),
        direction: lane.direction,
        door: lane.door,
        canary: None,
        from: None,
        to: None,
        interval_us: us(lane.interval),
        deadline_us: us(lane.deadline),
    }
}

impl World {
    pub(crate) fn of(plan: Plan, seed: u64) -> Self {
        let agents = plan.agents(at(0));
        let (count, lanes) = (agents.len(), agents[0].lanes.len());
        let facts = Facts {
            watching_since: at(-3_600_000),
            agents,
            slow_mail: BTreeMap::new(),
            promises: BTreeMap::new(),
            filters: BTreeSet::new(),
        };
        let mut world = Self {
            facts,
            standing: Standing::default(),
            rules: Config::default(),
            faults: Vec::new(),
            noise: 0,
            now: 0,
            incidents: Vec::new(),
            findings: BTreeSet::new(),
            accused: BTreeSet::new(),
            probes: 0,
            plan,
            random: Random::seeded(seed),
            queue: BinaryHeap::new(),
            news: Vec::new(),
            free: Vec::new(),
            order: 0,
            well: vec![vec![true; lanes]; count],
            asked_at: BTreeMap::new(),
            heard: vec![0; count],
            unrest_until: 0,
            ticking: false,
        };
        world.take_places();
        world
    }

    /// Each lane has its turns where the collector says.
    fn take_places(&mut self) {
        let cards = |agent: &AgentFacts| agent.lanes.iter().map(card).collect::<Vec<_>>();
        let announced: Vec<_> =
            self.facts.agents.iter().map(|agent| (agent.name.clone(), cards(agent))).collect();
        let places = places(announced.iter().map(|(agent, cards)| (agent, cards.as_slice())));
        for (agent, (name, cards)) in announced.iter().enumerate() {
            for (lane, card) in cards.iter().enumerate() {
                let place = places[name].iter().find(|place| place.route == card.route).expect("it has one");
                let phase = INTERVAL * i64::from(place.millionths) / 1_000_000;
                self.push(phase, Event::Turn(agent, lane, true));
            }
        }
    }

    fn push(&mut self, when: i64, event: Event) {
        self.order += 1;
        self.queue.push(Reverse((when, self.order, event)));
    }

    pub(crate) fn run_until(&mut self, end: i64) {
        self.run_while(end, |_| true);
    }

    /// Runs until then, or until something no longer holds.
    pub(crate) fn run_while(&mut self, end: i64, holds: impl Fn(&Self) -> bool) {
        while holds(self) {
            let next = self.queue.peek().map(|Reverse((when, ..))| *when);
            if next.is_none_or(|when| when > end) {
                self.now = end;
                return;
            }
            let Reverse((when, _, event)) = self.queue.pop().expect("peeked");
            self.now = when;
            match event {
                Event::Turn(agent, lane, scheduled) => self.probe(agent, lane, scheduled),
                Event::News(agent, lane, at) => self.learn(agent, lane, at),
                Event::Tick => self.tick(),
            }
        }
    }

    /// From now on it is broken.
    pub(crate) fn breaks(&mut self, fault: Fault) {
        self.unrest_until = self.unrest_until.max(fault.from + 2 * DEADLINE + 4 * INTERVAL);
        self.faults.push(fault);
        self.start_ticking();
    }

    fn broken(&self, kind: ComponentKind, name: &str) -> Option<Manner> {
        let hit =
            |fault: &&Fault| fault.from <= self.now && fault.part.kind == kind && fault.part.name == name;
        self.faults.iter().find(hit).map(|fault| fault.manner)
    }

    fn tell(&mut self, agent: usize, lane: usize, when: i64, sample: Sample) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.news.push(None);
            self.news.len() - 1
        });
        self.news[place] = Some(sample);
        self.push(when, Event::News(agent, lane, place));
    }

    fn probe(&mut self, agent: usize, lane: usize, scheduled: bool) {
        if scheduled {
            self.push(self.now + INTERVAL, Event::Turn(agent, lane, true));
            let jitter = i64::try_from(self.random.below(JITTER)).expect("small");
            self.push(self.now + jitter, Event::Turn(agent, lane, false));
            return;
        }
        self.probes += 1;
        let way = Way::of(&self.facts.agents[agent].lanes[lane], self.host());
        let sample = Sample {
            probe: ProbeId(Uuid::from_u128(self.probes.into())),
            started_at: at(self.now),
            outcome: Outcome::InFlight,
            stage: None,
            class: None,
            accepted: false,
            accepted_at: None,
            visible_at: None,
            deferred_at: None,
            reason: Text::default(),
            peer: way.peer.as_str().into(),
            address: format!("192.0.2.{}", way.host).into(),
            site: None,
        };
        self.tell(agent, lane, self.now + CALM, sample.clone());
        let noise = (self.random.below(1_000) < self.noise).then(|| self.random.below(4));
        if let Some((took, outcome, stage, class)) = self.stopped(agent, &way, noise) {
            let address = if stage == Stage::Resolve { Text::default() } else { sample.address.clone() };
            let end = Sample { outcome, stage: Some(stage), class: Some(class), address, ..sample };
            self.ends(agent, lane, self.now + took, end);
        } else {
            self.carry(agent, lane, &way, noise, sample);
        }
    }

    /// The MX host whose turn it is.
    fn host(&self) -> usize {
        usize::try_from(self.now / INTERVAL).expect("positive") % self.plan.hosts
    }

    /// What stops a message before it is accepted, if anything does: after how long, and where.
    fn stopped(&self, agent: usize, way: &Way, noise: Option<u64>) -> Option<(i64, Outcome, Stage, Class)> {
        let refused = (300, Outcome::Refused, Stage::Envelope, Class::Permanent);
        let silent = |stage| (TIMEOUT + 50, Outcome::Unreachable, stage, Class::Timeout);
        let name = self.facts.agents[agent].name.to_string();
        if self.broken(ComponentKind::Vantage, &name).is_some() {
            return Some((100, Outcome::Unreachable, Stage::Connect, Class::Connect));
        }
        if self.broken(ComponentKind::Dns, &way.sender).is_some() {
            return Some((5_000, Outcome::Unreachable, Stage::Resolve, Class::Dns));
        }
        let door = match way.door {
            Door::Mx => self.broken(ComponentKind::Mx, &mx(way.host)),
            Door::Submission => self.broken(ComponentKind::Submission, &way.sender),
        };
        match (door, noise) {
            (Some(Manner::Refuses), _) | (None, Some(0)) => Some(refused),
            (Some(Manner::Freezes), _) => Some(silent(Stage::Greeting)),
            (None, Some(1)) => Some(silent(Stage::Connect)),
            _ => None,
        }
    }

    /// From acceptance to the mailbox, or not.
    fn carry(&mut self, agent: usize, lane: usize, way: &Way, noise: Option<u64>, mut sample: Sample) {
        let accepted = self.now + self.random.around(400);
        (sample.accepted, sample.accepted_at) = (true, Some(at(accepted)));
        self.tell(agent, lane, accepted + CALM, sample.clone());
        let is_broken = |kind, name: &str| self.broken(kind, name).is_some();
        let all_hosts = (0..self.plan.hosts).all(|host| is_broken(ComponentKind::Mx, &mx(host)));
        let relay = is_broken(ComponentKind::Delivery, &format!("{} to others", way.sender))
            || is_broken(ComponentKind::Dns, &way.recipient)
            || (way.recipient == "acme" && all_hosts);
        let from_outside = way.door == Door::Mx || way.is_relayed;
        let shut_out =
            from_outside && is_broken(ComponentKind::Delivery, &format!("{} from outside", way.recipient));
        let stuck =
            shut_out || is_broken(ComponentKind::Delivery, &way.recipient) || (way.is_relayed && relay);
        let verdict = if is_broken(ComponentKind::Mailbox, &way.recipient) {
            Some((Outcome::Unknown, Stage::Login, Class::Mailbox))
        } else if stuck || noise == Some(2) {
            Some((Outcome::Lost, Stage::Transit, Class::Missing))
        } else {
            None
        };
        if let Some((outcome, stage, class)) = verdict {
            let end = Sample { outcome, stage: Some(stage), class: Some(class), ..sample };
            self.ends(agent, lane, accepted + DEADLINE, end);
            return;
        }
        let slow = if noise.is_some() { 20_000 + self.random.below(200_000) } else { 0 };
        let visible = accepted + self.random.around(1_500) + i64::try_from(slow).expect("small");
        if slow > 0 {
            self.restless_until(visible + 2 * INTERVAL);
        }
        (sample.outcome, sample.visible_at) = (Outcome::Delivered, Some(at(visible)));
        self.tell(agent, lane, visible + CALM, sample);
    }

    /// A verdict that is not good: told at once, and confirmed by the agent itself if it is the first.
    fn ends(&mut self, agent: usize, lane: usize, when: i64, sample: Sample) {
        self.restless_until(when + 2 * INTERVAL);
        self.tell(agent, lane, when + URGENT, sample);
    }

    fn restless_until(&mut self, when: i64) {
        self.unrest_until = self.unrest_until.max(when);
        self.start_ticking();
    }

    fn start_ticking(&mut self) {
        if !self.ticking {
            self.ticking = true;
            self.push(self.now + 1_000, Event::Tick);
        }
    }

    fn learn(&mut self, agent: usize, lane: usize, place: usize) {
        let Some(sample) = self.news[place].take() else { return };
        self.free.push(place);
        self.heard[agent] = self.now;
        let known = &mut self.facts.agents[agent].lanes[lane];
        let concluded = known.samples.iter().any(|other| other.probe == sample.probe);
        known.under_way.retain(|other| other.probe != sample.probe);
        let good = sample.outcome == Outcome::Delivered;
        if sample.outcome == Outcome::InFlight {
            if !concluded {
                known.under_way.push(sample);
                known.under_way.sort_by_key(|sample| Reverse(sample.started_at));
            }
        } else {
            known.samples.push(sample);
            known.samples.sort_by_key(|sample| Reverse((sample.started_at, sample.probe)));
            known.samples.truncate(KEPT);
            if !good && std::mem::replace(&mut self.well[agent][lane], false) {
                self.push(self.now, Event::Turn(agent, lane, false));
            }
            self.well[agent][lane] = good;
        }
        if self.now <= self.unrest_until {
            self.look();
        }
    }

    fn tick(&mut self) {
        if self.is_waiting() {
            self.look();
        }
        self.ticking =
            self.now < self.unrest_until || self.standing.subjects.values().any(|s| s.open.is_some());
        if self.ticking {
            // Nothing new is found out later but by news.
            let pause =
                if self.faults.iter().any(|fault| self.now > fault.from + 120_000) { 5_000 } else { 1_000 };
            self.push(self.now + pause, Event::Tick);
        }
    }

    /// Whether time alone can change what is decided: a probe is under way for so long that it may become
    /// overdue, a mailbox is shut, or there is an incident.
    fn is_waiting(&self) -> bool {
        let may_be_overdue = |sample: &Sample| {
            let age = at(self.now).duration_since(sample.started_at).as_secs();
            (2..60).contains(&age)
        };
        let mut under_way =
            self.facts.agents.iter().flat_map(|agent| &agent.lanes).flat_map(|lane| &lane.under_way);
        !self.faults.is_empty()
            || self.standing.subjects.values().any(|stand| stand.open.is_some())
            || under_way.any(may_be_overdue)
    }

    fn look(&mut self) {
        let broken: Vec<(String, i64)> = self
            .faults
            .iter()
            .filter(|fault| fault.part.kind == ComponentKind::Mailbox && fault.from + 2_000 <= self.now)
            .map(|fault| (fault.part.name.clone(), fault.from + 2_000))
            .collect();
        for (place, agent) in self.facts.agents.iter_mut().enumerate() {
            // A heartbeat every ten seconds, whatever else there is to say.
            agent.heard_at = Some(at(self.heard[place].max(self.now - self.now % 10_000)));
            agent.shut = broken
                .iter()
                .map(|(service, since)| ShutMailbox {
                    account: "box".parse().expect("a name"),
                    service: service.parse().expect("a name"),
                    since: at(*since),
                    trouble: None,
                })
                .collect();
        }
        self.facts.slow_mail = self.slow_mail();
        let assessment = evaluate(&self.facts, &self.standing, &self.rules, at(self.now));
        for finding in &assessment.findings {
            let kind = serde_json::to_string(&finding.kind).expect("JSON").trim_matches('"').to_owned();
            self.findings.insert((kind, finding.subject.clone()));
        }
        self.ask(&assessment.asked);
        self.apply(assessment);
    }

    fn ask(&mut self, asked: &Asked) {
        let lane_of = |agent: &AgentName, route: &RouteName| {
            let place = self.facts.agents.iter().position(|known| known.name == *agent)?;
            let lanes = &self.facts.agents[place].lanes;
            Some((place, lanes.iter().position(|lane| lane.route == *route)?))
        };
        let wanted: Vec<(usize, usize)> = asked
            .iter()
            .flat_map(|(agent, routes)| routes.iter().filter_map(move |route| lane_of(agent, route)))
            .collect();
        for (agent, lane) in wanted {
            let [last, before] = *self.asked_at.entry((agent, lane)).or_insert([-TWICE; 2]);
            if self.now - last >= AGAIN && self.now - before >= TWICE {
                self.asked_at.insert((agent, lane), [self.now, last]);
                self.push(self.now + ASKED, Event::Turn(agent, lane, false));
            }
        }
    }

    fn apply(&mut self, assessment: Assessment) {
        for decision in assessment.decisions {
            if let Decision::Open(picture) | Decision::Update { picture, .. } = &decision
                && !picture.blame.as_ref().is_some_and(|blame| blame.undecided)
            {
                self.accused.insert(picture.subject.clone());
            }
            match decision {
                Decision::Open(picture) => {
                    let stand = self.standing.subjects.entry(picture.subject.clone()).or_default();
                    stand.open = Some(OpenIncident {
                        id: self.incidents.len().to_string(),
                        started_at: picture.started_at,
                        summary: picture.summary.clone(),
                        failing: picture.regions.failing.clone(),
                        accepting_at: None,
                        on_time_at: None,
                        blame: picture.blame.clone(),
                        failovers: Vec::new(),
                        overran: false,
                    });
                    self.incidents.push((self.now, picture));
                }
                Decision::Update { incident, picture } => {
                    let stand = self.standing.subjects.get_mut(&picture.subject).expect("it stands");
                    stand.open.as_mut().expect("open").summary.clone_from(&picture.summary);
                    self.incidents[incident.parse::<usize>().expect("a place")].1 = picture;
                }
                Decision::Resolve { subject, settled_until, .. } => {
                    let stand = self.standing.subjects.get_mut(&subject).expect("it stands");
                    (stand.open, stand.settled_until) = (None, Some(settled_until));
                }
            }
        }
        for course in assessment.courses {
            if let Some(open) = self.standing.subjects.get_mut(&course.subject).and_then(|s| s.open.as_mut())
            {
                (open.accepting_at, open.on_time_at) = (course.accepting_at, course.on_time_at);
            }
        }
    }

    fn slow_mail(&self) -> BTreeMap<Subject, Vec<Mail>> {
        let open = self.standing.subjects.iter().filter_map(|(s, stand)| Some((s, stand.open.as_ref()?)));
        let of = |(subject, open): (&Subject, &OpenIncident)| {
            let lanes = self.facts.agents.iter().flat_map(|agent| &agent.lanes);
            let lanes = lanes.filter(|lane| match subject.leg {
                Leg::Send => lane.direction == Direction::Outbound,
                _ => matches!(lane.direction, Direction::Inbound | Direction::Loop),
            });
            let samples = lanes.flat_map(|lane| lane.samples.iter().chain(&lane.under_way));
            let slow = samples.filter(|s| s.accepted && s.started_at >= open.started_at);
            let slow = slow.filter(|s| {
                let took = s.visible_at.zip(s.accepted_at).map(|(seen, taken)| seen.duration_since(taken));
                took.is_none_or(|took| took > SignedDuration::from_secs(15))
            });
            let mail = slow.map(|s| Mail {
                started_at: s.started_at,
                accepted_at: s.accepted_at.expect("accepted"),
                visible_at: s.visible_at,
            });
            (subject.clone(), mail.collect())
        };
        open.map(of).collect()
    }
}
