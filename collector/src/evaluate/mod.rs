//! What the facts amount to. Pure: facts, what stands, and `now` go in; decisions with their reasons
//! come out. No clock, no store, no network is known here.
//!
//! Each service has two legs, `send` and `receive`; `votes` says which probe speaks for which.
//! `vantage` leaves out agents that cannot be believed, `hosts` single MX hosts, and `leg` asks the regions
//! that are left. `overdue` knows what takes too long, `suspicion` asks for second views, `blame` says who
//! it is, `course` (with `backlog` and `failover`) follows an open incident to its end, `findings` and
//! `states` tell the rest, and `words` says it so that a person understands it at three in the morning.
//!
//! Only the order in which probes *started* counts, never the order in which verdicts came in: a
//! late verdict on an old probe is no new failure.

pub(crate) mod backlog;
mod blame;
pub mod burn;
mod component;
mod course;
mod facts;
mod failover;
mod filter;
mod findings;
mod hosts;
mod leg;
mod overdue;
mod states;
mod suspicion;
mod vantage;
mod votes;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use mailsonar_protocol::{Direction, Region, Time};
use mailsonar_settings::{Document, Duration, Problem};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use component::{Blame, Cleared, Component, ComponentKind};
pub use course::Course;
pub use facts::{
    AgentFacts, Facts, Lane, Leg, Mail, OpenIncident, Sample, ShutMailbox, Stand, Standing, Subject,
};
use hosts::Hosts;
use leg::LegView;
pub use states::{State, States};
pub use suspicion::Asked;
use suspicion::Suspicion;
use vantage::{Sight, Vantage};
pub(crate) use words::length;

/// The thresholds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// This many failures ...
    pub failures: usize,
    /// ... among this many of a region's newest probes make the region see a leg fail.
    pub window: usize,
    /// This many successes in a row ...
    pub successes: usize,
    /// ... from this many regions (or all, if there are fewer) end an incident.
    pub regions: usize,
    /// An agent that was not heard for so long is silent. Heartbeats come every 10 s by default.
    pub agent_silent_after: Duration,
    /// A mailbox of the service that is out of reach for so long counts without waiting for probes.
    pub mailbox_unreachable_after: Duration,
    /// A probe under way is overdue when it takes far longer than is usual on its route, but never before
    /// so long after its acceptance, or half so long after its start while it is not accepted.
    pub overdue_floor: Duration,
    /// A message that a server puts off for so long counts as not accepted.
    pub deferral_patience: Duration,
    /// When new mail is on time again and nothing missing came for so long, the rest is given up as lost
    /// and the incident ends; twice the longest deadline of its routes, if not said.
    pub drain_grace: Option<Duration>,
    /// After more openings and endings than these within an hour an incident is held open until it is calm.
    pub flapping: usize,
    /// How often everything is looked at, beside each batch.
    pub tick: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            failures: 3,
            window: 5,
            successes: 3,
            regions: 2,
            agent_silent_after: Duration::from_secs(30),
            mailbox_unreachable_after: Duration::from_secs(20),
            overdue_floor: Duration::from_secs(15),
            deferral_patience: Duration::from_secs(120),
            drain_grace: None,
            flapping: 4,
            tick: Duration::from_secs(1),
        }
    }
}

impl Config {
    /// What cannot be meant.
    pub fn check(&self, document: &Document) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut least = |key: &str, value: usize| {
            if value == 0 {
                let key = format!("evaluate.{key}");
                problems.push(document.problem(&key, "0 would decide on nothing", "write 1 or more"));
            }
        };
        least("failures", self.failures);
        least("successes", self.successes);
        least("regions", self.regions);
        if self.window < self.failures {
            problems.push(document.problem(
                "evaluate.window",
                format!("{} failures cannot be among {} probes", self.failures, self.window),
                "make window at least as large as failures",
            ));
        }
        problems
    }
}

/// Why something was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// More than half of the live regions see the leg fail.
    QuorumFailing,
    /// They do, and it is because the service's mailboxes cannot be looked into.
    MailboxOutOfReach,
    /// No agent can be believed: all are silent or cut off.
    NobodySees,
    /// Enough successes from enough regions, and no failure since.
    Recovered,
    /// An agent can be believed again.
    SomebodySees,
    /// No agent has a route for it any more.
    NoLongerWatched,
    /// The error budget burns too fast.
    BudgetBurning,
    /// It no longer does.
    BudgetSpared,
    /// A test virus or test spam arrived.
    FilterOpen,
    /// None does any more.
    FilterHolds,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// A new incident, and pages.
    Open(Picture),
    /// The open incident looks different now. No page.
    Update {
        /// Which.
        incident: String,
        /// How it looks.
        picture: Picture,
    },
    /// The incident is over, and pages say so.
    Resolve {
        /// Which.
        incident: String,
        /// What it was about.
        subject: Subject,
        /// Why it is over.
        reason: Reason,
        /// Failures of probes that started until then belong to it.
        settled_until: Timestamp,
        /// A sentence for a person.
        summary: String,
        /// Who sees it now.
        regions: Regions,
    },
}

/// How trouble looks.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// What it is about.
    pub subject: Subject,
    /// The first failure.
    pub started_at: Timestamp,
    /// Why it was decided.
    pub reason: Reason,
    /// The sentence for three in the morning.
    pub summary: String,
    /// Who sees it.
    pub regions: Regions,
    /// What speaks for it.
    pub evidence: EvidenceSummary,
    /// Who is to blame, where that can be told.
    pub blame: Option<Blame>,
}

/// Who sees trouble, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Regions {
    /// Regions that see the leg fail.
    pub failing: Vec<Region>,
    /// Live regions that do not.
    pub passing: Vec<Region>,
    /// Regions that cannot be believed now.
    pub unknown: Vec<Region>,
}

/// What speaks for trouble: counts, and the newest few failures.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EvidenceSummary {
    /// Probes that say something, from the failing regions, since the start (the newest of each route).
    pub probes: usize,
    /// How many of them failed.
    pub failed: usize,
    /// Failures by outcome.
    pub outcomes: BTreeMap<String, usize>,
    /// Failures by stage and class, as `stage/class`.
    pub causes: BTreeMap<String, usize>,
    /// The newest failures, at most [`Self::MAX_SAMPLES`].
    pub samples: Vec<EvidenceSample>,
}

impl EvidenceSummary {
    /// The most failures shown.
    pub const MAX_SAMPLES: usize = 8;
}

/// One failure, as evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EvidenceSample {
    /// The probe's id; its record has all the rest.
    pub probe: mailsonar_protocol::ProbeId,
    /// From where.
    pub region: Region,
    /// By which route.
    pub route: mailsonar_protocol::RouteName,
    /// When it started.
    #[schemars(with = "Time")]
    pub started_at: Timestamp,
    /// What became of it.
    pub outcome: mailsonar_protocol::Outcome,
    /// The agent's sentence.
    pub reason: mailsonar_protocol::Text,
    /// The server spoken to.
    pub peer: mailsonar_protocol::Text,
}

/// Something worth saying that is no trouble of the service.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Finding {
    /// What kind.
    pub kind: FindingKind,
    /// Whom it is about.
    pub subject: String,
    /// Since when.
    #[schemars(with = "Time")]
    pub since: Timestamp,
    /// A sentence for a person.
    pub words: String,
}

/// Kinds of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// An agent's heartbeats stay away.
    AgentSilent,
    /// An agent reaches nobody.
    AgentCutOff,
    /// Control routes fail from everywhere.
    ReferenceTrouble,
    /// An MX host takes no mail, while others of the same service do.
    MxHostDead,
    /// A reference mailbox cannot be looked into.
    ReferenceMailbox,
    /// An agent's clock is off.
    ClockOffset,
    /// An agent has trouble of its own: ledger, disk.
    AgentComplaint,
    /// An agent speaks, and does not probe a route.
    ProbesMissed,
    /// A filter let a test virus or test spam through.
    FilterOpen,
    /// Large mail does not arrive.
    LargeMailFails,
}

/// What the facts amount to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Assessment {
    /// What is to be done.
    pub decisions: Vec<Decision>,
    /// How the open incidents stand.
    pub courses: Vec<Course>,
    /// Routes to be probed at once, since a leg is suspect.
    pub asked: Asked,
    /// How every component is.
    pub states: States,
    /// What is worth saying besides.
    pub findings: Vec<Finding>,
    /// Every leg that is watched.
    pub subjects: BTreeSet<Subject>,
    /// Who sees each of them now, whether or not it is trouble.
    pub views: BTreeMap<Subject, Regions>,
}

impl Lane {
    /// Whether this lane's probes can say something of a leg of a service.
    fn speaks_for(&self, subject: &Subject) -> bool {
        let legs: &[Leg] = match self.direction {
            Direction::Outbound => &[Leg::Send],
            Direction::Inbound => &[Leg::Receive],
            Direction::Loop => &[Leg::Send, Leg::Receive],
            Direction::Control | Direction::Canary => &[],
        };
        self.service == subject.service && legs.contains(&subject.leg)
    }
}

impl AgentFacts {
    /// The mailbox of the service that is shut the longest, if the leg needs mailboxes and all that
    /// the agent watches there have been shut for longer than `allowed`.
    fn shut_of(&self, subject: &Subject, allowed: SignedDuration, now: Timestamp) -> Option<&ShutMailbox> {
        let shut = || {
            self.shut
                .iter()
                .filter(|mailbox| mailbox.service == subject.service)
                .filter(|mailbox| now.duration_since(mailbox.since) > allowed)
        };
        let watched = self.mailboxes.get(&subject.service).copied().unwrap_or(0);
        let all = watched > 0 && shut().count() >= watched;
        if subject.leg == Leg::Receive && all { shut().min_by_key(|mailbox| mailbox.since) } else { None }
    }
}

/// Decides.
pub fn evaluate(facts: &Facts, standing: &Standing, rules: &Config, now: Timestamp) -> Assessment {
    let (vantages, mut findings) = vantage::judge(facts, rules, now);
    let hosts = Hosts::look(&vantages, now);
    findings.extend(hosts.findings());
    findings.extend(findings::all(&vantages, rules, now));
    let lanes = || facts.agents.iter().flat_map(|agent| &agent.lanes);
    let mut subjects: BTreeSet<Subject> = lanes()
        .flat_map(|lane| [Leg::Send, Leg::Receive].map(|leg| Subject { service: lane.service.clone(), leg }))
        .filter(|subject| lanes().any(|lane| lane.speaks_for(subject)))
        .collect();
    let (mut decisions, mut courses) = (Vec::new(), Vec::new());
    let (mut views, mut asked) = (BTreeMap::new(), Asked::new());
    let mut states = States::of(&vantages, &hosts);
    for subject in &subjects {
        let stand = standing.of(subject);
        let view = LegView::look(subject, &vantages, &hosts, &stand, rules, now);
        let course = stand.open.as_ref().map(|open| Course::of(&view, open, facts));
        let suspicion = Suspicion::of(&view);
        if stand.open.is_none() && !view.is_down() {
            suspicion.ask(&view, &mut asked);
        }
        states.add(&view, &stand, &suspicion, course.as_ref(), rules);
        let decision = view.decide(&stand, course.as_ref());
        if decision.is_none() && stand.open.is_none() && view.is_down() {
            findings.push(words::reference_to_blame(&view, &stand));
        }
        decisions.extend(decision);
        courses.extend(course);
        views.insert(subject.clone(), view.who());
    }
    subjects.extend(filter::subjects(facts));
    decisions.extend(filter::decide(facts, standing, now));
    findings.extend(filter::findings(facts));
    decisions.extend(unwatched(facts, standing, &subjects, now));
    decisions.extend(monitoring(&vantages, &findings, standing, now));
    subjects.insert(Subject::monitoring());
    Assessment { decisions, courses, asked, states, findings, subjects, views }
}

/// Incidents of legs that no agent has a route for any more would stay open for ever.
fn unwatched(
    facts: &Facts,
    standing: &Standing,
    watched: &BTreeSet<Subject>,
    now: Timestamp,
) -> Vec<Decision> {
    if facts.agents.iter().all(|agent| agent.lanes.is_empty()) {
        return Vec::new();
    }
    let gone = standing.subjects.iter().filter(|(subject, _)| {
        !matches!(subject.leg, Leg::Monitoring | Leg::Budget) && !watched.contains(subject)
    });
    gone.filter_map(|(subject, stand)| {
        let open = stand.open.as_ref()?;
        Some(Decision::Resolve {
            incident: open.id.clone(),
            subject: subject.clone(),
            reason: Reason::NoLongerWatched,
            settled_until: now,
            summary: format!(
                "{} is no longer watched: no agent announces a route for it. Whether it works is not known.",
                words::leg_of(subject)
            ),
            regions: Regions::default(),
        })
    })
    .collect()
}

/// When nobody can be believed, the monitoring itself is in trouble (I7).
fn monitoring(
    vantages: &[Vantage<'_>],
    findings: &[Finding],
    standing: &Standing,
    now: Timestamp,
) -> Option<Decision> {
    let subject = Subject::monitoring();
    let blind = vantages.iter().all(|v| matches!(v.sight, Sight::Silent | Sight::CutOff));
    match (standing.of(&subject).open, blind && !vantages.is_empty()) {
        (None, true) => Some(Decision::Open(words::blind(vantages, findings, now))),
        (Some(open), false) => Some(Decision::Resolve {
            incident: open.id,
            subject,
            reason: Reason::SomebodySees,
            settled_until: now,
            summary: words::seeing(vantages, open.started_at),
            regions: who_sees(vantages),
        }),
        _ => None,
    }
}

/// The regions where an agent can be believed, and the others.
fn who_sees(vantages: &[Vantage<'_>]) -> Regions {
    let believed = |v: &&Vantage<'_>| matches!(v.sight, Sight::Able | Sight::Doubtful);
    let passing: BTreeSet<&Region> = vantages.iter().filter(believed).map(|v| &v.agent.region).collect();
    let all: BTreeSet<&Region> = vantages.iter().map(|v| &v.agent.region).collect();
    Regions {
        failing: Vec::new(),
        unknown: all.difference(&passing).copied().cloned().collect(),
        passing: passing.into_iter().cloned().collect(),
    }
}

#[cfg(test)]
mod tests;
