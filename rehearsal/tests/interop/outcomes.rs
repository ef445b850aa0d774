//! Every outcome there is, by real servers and by the sandbox: with the stage, the class and the words in its
//! record, and a table of it in `docs/interoperability.md`.

use std::fmt::Write as _;

use mailsonar_clock::SystemClock;
use mailsonar_protocol::{Class, Outcome, Record, Stage};
use mailsonar_rehearsal::testbed::{DnsFault, Door, Fault, Options, Testbed};
use mailsonar_sandbox::{BounceStyle, Config, Fault as Sand, Rule, Sandbox, Service, Stage as Step};

use crate::agent::{Place, Watching};
use crate::table;

const ROUTES: &str = r#"
[routes.mx]
from = "mx"
to = "own"
sender = "STRANGER"
deadline = "20s"
retry = []
MX
[routes.again]
from = "mx"
to = "own"
sender = "STRANGER"
deadline = "20s"
retry = ["1s"]
MX
[routes.short]
from = "mx"
to = "own"
sender = "STRANGER"
deadline = "1s"
retry = []
MX
[routes.loop]
from = "own"
to = "own"
deadline = "20s"
retry = []
[routes.nobody]
from = "own"
to = "nobody"
deadline = "20s"
retry = []
[routes.password]
from = "wrong"
to = "own"
deadline = "20s"
retry = []
"#;

/// What is done to the world, and what the record must then say.
#[derive(Clone, Copy)]
struct Trial {
    what: &'static str,
    route: &'static str,
    real: Real,
    sandbox: fn() -> Vec<Rule>,
    outcome: Outcome,
    /// At the real server and at the sandbox.
    at: [Option<(Stage, Class)>; 2],
    /// What the record quotes, of the real server and of the sandbox.
    words: [&'static str; 2],
    /// What becomes of it once the trouble is over.
    then: Option<Outcome>,
}

/// How a real server is brought to it.
#[derive(Clone, Copy)]
enum Real {
    Well,
    Fault(Fault),
    Dns(DnsFault),
}

fn trial(what: &'static str, route: &'static str, real: Real, sandbox: fn() -> Vec<Rule>) -> Trial {
    Trial {
        what,
        route,
        real,
        sandbox,
        outcome: Outcome::Delivered,
        at: [None; 2],
        words: [""; 2],
        then: None,
    }
}

impl Trial {
    fn is(self, outcome: Outcome, stage: Stage, class: Class, words: [&'static str; 2]) -> Self {
        Self { outcome, at: [Some((stage, class)); 2], words, ..self }
    }

    fn in_sandbox_at(self, stage: Stage) -> Self {
        Self { at: [self.at[0], self.at[0].map(|(_, class)| (stage, class))], ..self }
    }

    fn then(self, outcome: Outcome) -> Self {
        Self { then: Some(outcome), ..self }
    }
}

fn nothing() -> Vec<Rule> {
    Vec::new()
}

fn all() -> Vec<Trial> {
    [taken_or_not(), ways_to_arrive_or_not(), out_of_reach()].concat()
}

fn taken_or_not() -> Vec<Trial> {
    use Class::{Auth, Permanent, Temporary};
    use Outcome::{Deferred, Delivered, InFlight, Refused};
    use Real::{Fault as On, Well};
    fn busy(service: Service) -> Vec<Rule> {
        let reply = Sand::Reply { code: 450, text: "4.7.1 Greylisted, try again later".into() };
        vec![Rule::new(reply).service(service).stage(Step::RcptTo)]
    }
    fn unwanted() -> Vec<Rule> {
        let reply = Sand::Reply { code: 550, text: "5.7.1 Content is not wanted here".into() };
        vec![Rule::new(reply).service(Service::Smtps).stage(Step::Accept)]
    }
    vec![
        trial("nothing is amiss", "loop", Well, nothing),
        trial("put off, and to be tried again", "again", On(Fault::Defer(Door::Mx)), || busy(Service::Mx))
            .is(InFlight, Stage::Envelope, Temporary, ["450 4.7.1"; 2])
            .then(Delivered),
        trial("put off at each attempt", "again", On(Fault::Defer(Door::Mx)), || busy(Service::Mx)).is(
            Deferred,
            Stage::Envelope,
            Temporary,
            ["450 4.7.1"; 2],
        ),
        trial("a wrong password", "password", Well, nothing).is(Refused, Stage::Auth, Auth, ["535 5.7.8"; 2]),
        trial("a recipient that is not there", "nobody", Well, nothing).is(
            Refused,
            Stage::Envelope,
            Permanent,
            ["550 5.1.1"; 2],
        ),
        trial("refused at the final dot", "loop", On(Fault::RefuseContent(Door::Submission)), unwanted).is(
            Refused,
            Stage::Data,
            Permanent,
            ["550 5.7.1"; 2],
        ),
    ]
}

fn ways_to_arrive_or_not() -> Vec<Trial> {
    use Class::{Missing, Permanent, Quality};
    use Outcome::{Altered, Bounced, Late, Lost, Misfiled};
    use Real::Fault as On;
    vec![
        trial("accepted, then returned", "loop", On(Fault::Bounce(Door::Submission)), || {
            vec![Rule::new(Sand::Bounce { style: BounceStyle::Standard })]
        })
        .is(Bounced, Stage::Transit, Permanent, ["5.1.1", "5.2.0"]),
        trial("sorted into Junk", "mx", On(Fault::Junk), || vec![Rule::new(Sand::Junk)]).is(
            Misfiled,
            Stage::Transit,
            Quality,
            ["Junk"; 2],
        ),
        trial("a line added on the way", "mx", On(Fault::Alter), || vec![Rule::new(Sand::Alter)]).is(
            Altered,
            Stage::Verify,
            Quality,
            ["body"; 2],
        ),
        trial("accepted, and gone", "short", On(Fault::Blackhole(Door::Mx)), || vec![Rule::new(Sand::Lose)])
            .is(Lost, Stage::Transit, Missing, ["did not find it"; 2]),
        trial("held past the deadline, then let go", "short", On(Fault::Hold(Door::Mx)), || {
            vec![Rule::new(Sand::Hold)]
        })
        .is(Lost, Stage::Transit, Missing, ["did not find it"; 2])
        .then(Late),
    ]
}

fn out_of_reach() -> Vec<Trial> {
    use Outcome::{Delivered, Unknown, Unreachable};
    use Real::{Dns, Fault as On};
    let at_mx: fn() -> Vec<Rule> = || vec![Rule::new(Sand::Close).service(Service::Mx)];
    vec![
        trial("closed after the final dot", "short", On(Fault::CloseAfterDot(Door::Mx)), at_mx).is(
            Unknown,
            Stage::Data,
            Class::Closed,
            ["closed"; 2],
        ),
        trial("no such domain", "mx", Dns(DnsFault::NxDomain), || {
            vec![Rule::new(Sand::NxDomain).provider("acme.example")]
        })
        .is(Unreachable, Stage::Resolve, Class::Dns, ["nxdomain"; 2]),
        trial("nobody listens", "mx", On(Fault::PostfixKilled), || {
            vec![Rule::new(Sand::Refuse).service(Service::Mx)]
        })
        .is(Unreachable, Stage::Connect, Class::Connect, ["refused"; 2]),
        trial("a server that stands still", "mx", On(Fault::PostfixFrozen), || {
            vec![Rule::new(Sand::Silence).service(Service::Mx).stage(Step::Greeting)]
        })
        .is(Unreachable, Stage::Greeting, Class::Timeout, ["timeout"; 2]),
        trial("an expired certificate", "loop", On(Fault::CertificateExpired), || {
            vec![Rule::new(Sand::TlsExpired).service(Service::Smtps)]
        })
        .is(Unreachable, Stage::Tls, Class::Tls, ["expired"; 2]),
        trial("the mailbox out of reach", "short", On(Fault::ImapStopped), || {
            vec![Rule::new(Sand::Silence).service(Service::Imaps)]
        })
        .is(Unknown, Stage::Connect, Class::Mailbox, ["out of reach"; 2])
        .in_sandbox_at(Stage::Idle)
        .then(Delivered),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_outcome_is_seen_with_its_evidence() {
    let trials = all();
    let (real, sandbox) = tokio::join!(tokio::spawn(by_real_servers()), tokio::spawn(by_the_sandbox()));
    let (real, sandbox) = (real.expect("it plays"), sandbox.expect("it plays"));
    for outcome in Outcome::ALL {
        let seen = |records: &[Vec<Record>]| {
            records.iter().flatten().any(|record| record.verdict.outcome == *outcome)
        };
        assert!(seen(&real) && seen(&sandbox), "{outcome} was not produced");
    }
    table::compare("Outcomes", &section(&trials, &real, &sandbox));
}

/// The records of each trial: its outcome, and what it became.
async fn by_real_servers() -> Vec<Vec<Record>> {
    let start = || Testbed::start(&Options { accounts: 1, ..Options::default() }).expect("it starts");
    let bed = tokio::task::spawn_blocking(start).await.expect("started");
    let agent = Place::of_testbed(&bed).agent(ROUTES).await;
    let mut seen = Vec::new();
    for trial in all() {
        match trial.real {
            Real::Well => {}
            Real::Fault(fault) => bed.service.inject(fault).expect("injected"),
            Real::Dns(fault) => bed.dns.inject(bed.service.domain(), fault),
        }
        let healed = || {
            bed.heal_all().expect("healed");
            for id in bed.service.held().expect("listed") {
                bed.service.release(&id).expect("released");
            }
        };
        seen.push(trial.play(&agent, 0, healed).await);
    }
    seen
}

async fn by_the_sandbox() -> Vec<Vec<Record>> {
    let sandbox = Sandbox::start(Config::pair(), SystemClock::shared()).await.expect("it starts");
    let agent = Place::of_sandbox(&sandbox).agent(ROUTES).await;
    let mut seen = Vec::new();
    for trial in all() {
        for rule in (trial.sandbox)() {
            sandbox.faults().add(rule);
        }
        seen.push(trial.play(&agent, 1, || sandbox.faults().clear()).await);
    }
    seen
}

impl Trial {
    /// One probe, while the trouble is there and after it.
    async fn play(&self, agent: &Watching, world: usize, heal: impl FnOnce()) -> Vec<Record> {
        let (at, words) = (self.at[world], self.words[world]);
        let probe = agent.probe(self.route).await;
        let so = |record: &Record| {
            let verdict = &record.verdict;
            verdict.outcome == self.outcome && verdict.stage.zip(verdict.class) == at
        };
        let wanted = format!("{} at {at:?}: {}", self.outcome, self.what);
        let record = agent.sees(probe, &wanted, so).await;
        let said = quoted(&record);
        assert!(said.contains(words), "{}: no {words:?} in {said:?}: {record:#?}", self.what);
        heal();
        let mut seen = vec![record];
        if let Some(outcome) = self.then {
            seen.push(agent.ends(probe, outcome).await);
        }
        seen
    }
}

/// All that a record says in words, of the servers' and of our own.
fn quoted(record: &Record) -> String {
    let evidence = record.evidence.iter().flat_map(|e| [e.detail.as_str(), e.words.as_str()]);
    let all: Vec<&str> = evidence.chain([record.verdict.reason.as_str()]).collect();
    all.join("; ")
}

fn section(trials: &[Trial], real: &[Vec<Record>], sandbox: &[Vec<Record>]) -> String {
    let mut text = String::from(
        "Every outcome, by Postfix and Dovecot and by the sandbox: what was done, and what stage, class and words\nthe record then names. Made and checked by `cargo test -p mailsonar-rehearsal --test interop outcomes`.\n\n\
         | outcome | what was done | Postfix, Dovecot | sandbox |\n|---|---|---|---|\n",
    );
    for ((trial, real), sandbox) in trials.iter().zip(real).zip(sandbox) {
        let cell = |records: &[Record], words: &str| {
            let verdict = &records[0].verdict;
            let at = verdict.stage.zip(verdict.class).map(|(stage, class)| format!("{stage}, {class}"));
            let words = if words.is_empty() { String::new() } else { format!(", `{words}`") };
            at.unwrap_or_else(|| "in time".to_owned()) + &words
        };
        let outcomes: Vec<String> = real.iter().map(|record| record.verdict.outcome.to_string()).collect();
        let (real, sandbox) = (cell(real, trial.words[0]), cell(sandbox, trial.words[1]));
        writeln!(text, "| {} | {} | {real} | {sandbox} |", outcomes.join(", then "), trial.what)
            .expect("a string takes all");
    }
    text
}
