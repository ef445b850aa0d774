//! One route of an agent leads to a hostile server: the agent lives, in bounded memory and time, says
//! what it met, and its other routes stay on schedule (I10).

mod cases;

use std::env;
use std::fmt;
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use mailsonar_protocol::{Class, Outcome, Record};
use mailsonar_rehearsal::fleet::metrics::total;
use mailsonar_rehearsal::fleet::{Agent, Plan, Probe, SERVICE, Way};
use mailsonar_rehearsal::hostile::{Attack, Certificate, Moment, Protocol, Server, Trick};
use mailsonar_rehearsal::patience;
use mailsonar_rehearsal::processes::ProcessId;
use serde_json::{Value, json};

use self::cases::{Case, Cover};
use crate::stage::{PATIENCE, Story, begin, secs};

/// How long each step may take.
const LIMIT: Duration = secs(2);
/// What is allowed on top, for a busy machine.
const GRACE: Duration = secs(1);
/// The most memory an agent may have had, built for debugging.
const MEMORY: u64 = 64 * 1024 * 1024;
/// Probes of the other routes in each case.
const OTHERS: usize = 9;
/// The account and the route that lead to the hostile server.
const EVIL: &str = "evil";

#[test]
fn a_hostile_server_troubles_nobody_but_its_own_route() {
    let story = begin(&Plan {
        ways: vec![Way::Loop, Way::Mx, Way::Control],
        interval: secs(1),
        limit: LIMIT,
        // each case stops and starts an agent
        agent_silent_after: secs(60),
        prometheus: false,
        log: "warn",
        ..Plan::default()
    });
    let certificate = Certificate::make(story.bed.dir()).expect("made");
    let tape = Tape { story: &story, certificate: &certificate };
    let wanted = env::var("MAILSONAR_HOSTILE").unwrap_or_default();
    let cases: Vec<Case> = cases::all().into_iter().filter(|case| case.name.contains(&wanted)).collect();
    println!("{}", Row::HEAD);
    let share = |place: usize| cases.iter().skip(place).step_by(story.agents().len());
    let faults: Vec<String> = thread::scope(|scope| {
        let play = |(place, agent)| {
            let (tape, share) = (&tape, share(place));
            scope.spawn(move || tape.play(agent, share))
        };
        let players: Vec<_> = story.agents().iter().enumerate().map(play).collect();
        players.into_iter().flat_map(|player| player.join().expect("it plays")).collect()
    });
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

struct Tape<'a> {
    story: &'a Story,
    certificate: &'a Certificate,
}

impl Tape<'_> {
    /// One agent meets one server after the other; returns what went wrong.
    fn play<'c>(&self, agent: &Agent, cases: impl Iterator<Item = &'c Case>) -> Vec<String> {
        let begun = self.story.clock.now();
        let mut faults = self.measured(agent, None);
        for case in cases {
            faults.extend(self.measured(agent, Some(case)));
        }
        agent.stop().expect("it ends gently");
        agent.reconfigure(be_well);
        agent.restart().expect("it starts again");
        faults.extend(self.others_that_failed(agent, begun));
        faults
    }

    /// A fresh agent, a case, and what it cost.
    fn measured(&self, agent: &Agent, case: Option<&Case>) -> Vec<String> {
        agent.stop().expect("it ends gently");
        let begun = self.story.clock.now();
        let clock = self.story.clock.clone();
        let server = case.map(|case| {
            let certificate = (case.cover == Cover::Tls).then_some(self.certificate);
            Server::start(case.trick.clone(), certificate, clock.clone()).expect("it listens")
        });
        let liar = Trick { protocol: Protocol::Smtp, moment: Moment::Never, attack: Attack::silence() };
        let liar = Server::start(liar, None, clock).expect("it listens");
        agent.reconfigure(|settings| {
            be_well(settings);
            if let (Some(case), Some(server)) = (case, &server) {
                meet(settings, case, server, &liar, self.certificate);
            }
        });
        agent.restart().expect("it starts");
        let met = self.wait_for_the_end(agent, case, begun);
        let row = self.row(agent, case, server.as_ref(), begun);
        println!("{row}");
        let mut faults = row.faults(agent);
        faults.extend(met.err().map(|error| format!("{}: {error:#}", row.name)));
        faults
    }

    /// Until enough of the others were sent, and the hostile route's probe has its verdict.
    fn wait_for_the_end(&self, agent: &Agent, case: Option<&Case>, begun: Timestamp) -> anyhow::Result<()> {
        let is_over = |probes: &[Probe]| {
            let others = probes.iter().filter(|probe| !is_evil(probe)).count();
            others >= OTHERS
                && case.is_none_or(|case| probes.iter().any(|probe| is_as_expected(case, &probe.record)))
        };
        let ended =
            patience::until_true("the expected verdict", PATIENCE, || is_over(&self.of(agent, begun)));
        ended.map_err(|error| {
            let evil: Vec<_> =
                self.of(agent, begun).into_iter().filter(is_evil).map(|probe| probe.record).collect();
            let seen = evil.iter().map(|record| (&record.verdict, &record.evidence)).next_back();
            error.context(format!(
                "expected {case:?}, of {} such as {seen:#?}; {}",
                evil.len(),
                last_words(agent)
            ))
        })
    }

    fn of(&self, agent: &Agent, since: Timestamp) -> Vec<Probe> {
        self.story.probes(&format!("region={}&since={since}", agent.region())).unwrap_or_default()
    }

    fn row(&self, agent: &Agent, case: Option<&Case>, server: Option<&Server>, begun: Timestamp) -> Row {
        let process = agent.process().filter(|process| process.is_alive());
        let encounters = server.map(Server::encounters).unwrap_or_default();
        let probes = self.of(agent, begun);
        let late = |probe: &Probe| probe.record.started_at.duration_since(probe.record.scheduled_at);
        let mut lateness: Vec<Duration> =
            probes.iter().filter(|probe| !is_evil(probe)).map(|probe| late(probe).unsigned_abs()).collect();
        lateness.sort_unstable();
        let steps = probes.iter().filter(|probe| is_evil(probe)).flat_map(|probe| &probe.record.stages);
        Row {
            name: case.map_or_else(
                || "nobody hostile".into(),
                |case| format!("{:?} {} ({})", case.trick.protocol, case.name, case.cover.word()),
            ),
            verdict: case
                .map(|case| format!("{}/{}/{}", case.stage, case.class, case.detail))
                .unwrap_or_default(),
            connections: encounters.len(),
            sent: encounters.iter().map(|encounter| encounter.sent).max().unwrap_or(0),
            stood: encounters.iter().filter_map(|encounter| encounter.stood).max().unwrap_or_default(),
            step: steps.map(|step| Duration::from_micros(step.took_us)).max().unwrap_or_default(),
            peak: process.and_then(ProcessId::peak_memory),
            cpu: process.and_then(ProcessId::cpu_time).unwrap_or_default(),
            life: self.story.clock.now().duration_since(begun).unsigned_abs(),
            lateness,
        }
    }

    /// All the others that were begun up to now are delivered, or will be.
    fn others_that_failed(&self, agent: &Agent, begun: Timestamp) -> Vec<String> {
        let ended = self.story.clock.now();
        let mut open = Vec::new();
        let all = patience::until_true("all others to be delivered", PATIENCE, || {
            open = self.of(agent, begun);
            open.retain(|probe| !is_evil(probe) && probe.record.started_at < ended);
            open.retain(|probe| probe.outcome() != Outcome::Delivered);
            open.is_empty()
        });
        let told = |error| format!("{}: {error:#}: {open:#?}", agent.name());
        all.err().map(told).into_iter().collect()
    }
}

fn last_words(agent: &Agent) -> String {
    let log = agent.log();
    let lines: Vec<&str> = log.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

fn is_evil(probe: &Probe) -> bool {
    probe.route().as_str() == EVIL
}

/// The verdict names the step and the kind of trouble; a mailbox that cannot be looked into is a kind
/// of its own, and what kept us from looking is in the evidence.
fn is_as_expected(case: &Case, record: &Record) -> bool {
    let class = if case.trick.protocol == Protocol::Imap { Class::Mailbox } else { case.class };
    let verdict = &record.verdict;
    let told =
        (verdict.outcome, verdict.stage, verdict.class) == (case.outcome, Some(case.stage), Some(class));
    let evidence = record.evidence.iter();
    let kept = |e: &mailsonar_protocol::Evidence| {
        (e.stage, e.class, e.detail.as_str()) == (case.stage, case.class, case.detail)
    };
    record.route.as_str() == EVIL && told && evidence.filter(|e| kept(e)).count() > 0
}

fn be_well(settings: &mut Value) {
    settings["accounts"].as_object_mut().expect("accounts").remove(EVIL);
    settings["routes"].as_object_mut().expect("routes").remove(EVIL);
}

/// One route more: by a hostile server to a mailbox that is well, or by a server that takes everything
/// to a hostile mailbox.
fn meet(settings: &mut Value, case: &Case, server: &Server, liar: &Server, certificate: &Certificate) {
    let hostile = json!({
        "host": server.address().ip(),
        "port": server.address().port(),
        "tls": case.cover.word(),
        "ca_file": certificate.ca(),
    });
    let liar = json!({ "host": liar.address().ip(), "port": liar.address().port(), "tls": "plaintext" });
    let (submission, imap) = match case.trick.protocol {
        Protocol::Smtp => (hostile.clone(), liar),
        Protocol::Imap => (liar, hostile.clone()),
    };
    let domain = &settings["services"][SERVICE]["domains"][0];
    let mut evil = json!({
        "service": SERVICE,
        "address": format!("evil@{}", domain.as_str().expect("a domain")),
        "password": "swordfish",
        "submission": submission,
    });
    let mut to = json!("own");
    if case.trick.protocol == Protocol::Imap {
        evil["imap"] = imap;
        to = json!(EVIL);
    }
    settings["accounts"][EVIL] = evil;
    settings["routes"][EVIL] =
        json!({ "from": EVIL, "to": to, "interval": "1s", "deadline": "1s", "retry": [] });
}

/// What one case cost.
struct Row {
    name: String,
    verdict: String,
    connections: usize,
    /// The most bytes one connection took.
    sent: u64,
    /// The longest that one connection was stood.
    stood: Duration,
    /// The longest step of a submission.
    step: Duration,
    peak: Option<u64>,
    cpu: Duration,
    life: Duration,
    lateness: Vec<Duration>,
}

impl Row {
    const HEAD: &str = "case                                     stage/class/detail             visits  most kB  stood s  peak MiB   CPU s of life   others: n, p50, max ms late";

    fn faults(&self, agent: &Agent) -> Vec<String> {
        let median = self.lateness.get(self.lateness.len() / 2).copied().unwrap_or_default();
        let missed = agent.metrics().map(|page| total(&page, "mailsonar_schedule_missed_total", &[]));
        [
            (self.peak.is_none(), "the agent died".to_owned()),
            (self.peak.is_some_and(|peak| peak > MEMORY), format!("peak memory {:?}", self.peak)),
            (self.stood > LIMIT + GRACE, format!("a connection was stood for {:?}", self.stood)),
            (self.step > LIMIT + GRACE, format!("a step of a submission took {:?}", self.step)),
            // the jitter is a twentieth of a second; a turn that is an interval late counts as missed
            (median > Duration::from_millis(250), format!("half of the others began {median:?} late")),
            (missed.is_err() || missed.as_ref().is_ok_and(|n| *n > 0.0), format!("missed turns: {missed:?}")),
        ]
        .into_iter()
        .filter_map(|(is_amiss, words)| {
            is_amiss.then(|| format!("{}: {words}: {}", self.name, last_words(agent)))
        })
        .collect()
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |at: usize| self.lateness.get(at).map_or(0, Duration::as_millis);
        let (half, last) = (ms(self.lateness.len() / 2), ms(self.lateness.len().saturating_sub(1)));
        let Self { name, verdict, connections, sent, stood, peak, cpu, life, lateness, .. } = self;
        let kib = sent / 1024;
        let mib = Duration::from_micros(peak.unwrap_or(0)).as_secs_f64() * 1e6 / 1_048_576.0;
        let (stood, cpu, life) = (stood.as_secs_f64(), cpu.as_secs_f64(), life.as_secs_f64());
        write!(
            f,
            "{name:<40} {verdict:<30} {connections:>6} {kib:>8} {stood:>8.1} {mib:>9.1} {cpu:>7.2} of {life:>4.1}   {:>3} {half:>4} {last:>4}",
            lateness.len()
        )
    }
}
