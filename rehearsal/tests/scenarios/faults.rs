//! Every fault has an outcome and somebody to blame: each is switched on in a small world, and what is said of
//! it is compared with what must be said. `docs/faults.md` is the same, for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use mailsonar_collector::evaluate::Leg;
use mailsonar_collector::store::ProbeQuery;
use mailsonar_protocol::{Outcome, Record};
use mailsonar_rehearsal::scenario::on_stage;
use mailsonar_rehearsal::simulation::{Setup, Usual, World};
use mailsonar_sandbox::command;
use mailsonar_settings::Document;

/// A fault, the route on which it is looked at, and what must be said: outcome, stage, class; who is to blame;
/// whether somebody is paged.
type Row = (&'static str, &'static str, &'static str, &'static str, &'static str);

/// All is well for so long,
const CALM: Duration = Duration::from_mins(1);
/// then something is broken for so long.
const BROKEN: Duration = Duration::from_secs(140);
const INTERVAL: Duration = Duration::from_secs(30);
const DEADLINE: Duration = Duration::from_secs(30);

fn usual(route: &str) -> Usual {
    let usual = Usual::default();
    // What is blamed is what a control route does not clear; and that one needs something to control.
    let beside = if route == "control" { "send" } else { "control" };
    Usual {
        regions: usual.regions[..2].to_vec(),
        interval: INTERVAL,
        deadline: DEADLINE,
        delivery: Duration::from_millis(200),
        retry_every: Duration::from_secs(10),
        collector: "\n[evaluate]\ndeferral_patience = \"40s\"\n".into(),
        routes: vec![route.to_owned(), beside.to_owned()],
        ..usual
    }
}

/// What is said of a fault: outcome, stage and class of most probes; blame; pages.
fn said(fault: &str, route: &str) -> anyhow::Result<[String; 3]> {
    on_stage(true, async {
        let date = Timestamp::constant(1_772_700_000, 0);
        let mut setup = Setup::usual(&usual(route), date, 1)?;
        for agent in &mut setup.agents {
            let deadline = format!("deadline = \"{}s\"\n", DEADLINE.as_secs());
            let text =
                agent.document.text().replace(&deadline, &format!("{deadline}retry = [\"10s\", \"20s\"]\n"));
            let path = agent.document.directory().join(format!("{}.toml", agent.region));
            agent.document = Document::new(path, text);
        }
        let mut world = World::start(setup).await?;
        tokio::time::sleep(CALM).await;
        anyhow::ensure!(world.pages().is_empty(), "a page before anything was wrong");
        let broken_at = world.clock.now();
        for line in fault.split(" + ") {
            act(&mut world, line)?;
        }
        tokio::time::sleep(BROKEN).await;
        world.check()?;
        let last = world.clock.now() - SignedDuration::try_from(DEADLINE + INTERVAL)?;
        let everything = ProbeQuery { limit: u32::MAX, ..ProbeQuery::default() };
        let probes = world.desks().read(move |store| store.probes(&everything)).await?;
        let of_the_time = |record: &Record| (broken_at..=last).contains(&record.started_at);
        let records = probes.into_iter().map(|probe| probe.record).filter(of_the_time);
        let records: Vec<Record> = records.filter(|record| record.route.as_str() == route).collect();
        let incidents = world.desks().read(|store| store.incidents(None, u32::MAX)).await?;
        let blamed = incidents.iter().filter(|incident| incident.leg != Leg::Monitoring).map(|incident| {
            let blame = incident.blame.as_ref();
            let suspects = blame.map_or(&[][..], |blame| blame.suspects.as_slice());
            let mut suspects: Vec<String> = suspects.iter().map(ToString::to_string).collect();
            suspects.sort();
            format!("{}: {}", incident.leg, suspects.join(", "))
        });
        let collector = world.collector().expect("nobody ended it");
        let found = collector.findings().into_iter().map(|finding| {
            let kind = serde_json::to_value(finding.kind).expect("a kind is a word");
            format!("{} {}", kind.as_str().unwrap_or_default(), finding.subject)
        });
        let mut blame: Vec<String> = blamed.chain(found).collect();
        blame.sort();
        blame.dedup();
        let paged = world.pages().iter().any(|paged| paged.page.leg != "monitoring");
        let paged = if paged { "yes" } else { "no" };
        Ok([most(&records), blame.join("; "), paged.to_owned()])
    })
}

fn act(world: &mut World, line: &str) -> anyhow::Result<()> {
    match *line.split(' ').collect::<Vec<_>>() {
        ["failover", domain, site] => world.sandbox().fail_over(domain, site)?,
        ["renumber", account, folder] => world.sandbox().renumber(account, folder)?,
        _ => world.break_it("it", [command::parse(line).map_err(anyhow::Error::msg)?]),
    }
    Ok(())
}

/// What most of the probes came to.
fn most(records: &[Record]) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for record in records {
        let verdict = &record.verdict;
        let mut words = verdict.outcome.to_string();
        if verdict.outcome != Outcome::Delivered {
            if let Some(stage) = verdict.stage {
                write!(words, ", {stage}").expect("memory is there");
            }
            if let Some(class) = verdict.class {
                write!(words, ", {class}").expect("memory is there");
            }
        }
        for (there, more) in [
            (record.duplicates > 0, ", with a duplicate"),
            (!record.handover.deferrals.is_empty() && verdict.outcome == Outcome::Delivered, ", after a 4xx"),
            (!record.journey.reports.is_empty(), ", reported"),
        ] {
            if there {
                words.push_str(more);
            }
        }
        *counts.entry(words).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map_or_else(|| "nothing".into(), |(words, _)| words)
}

/// Plays all rows, and compares with the page.
fn hold(title: &str, rows: &[Row]) {
    let mut wrong = String::new();
    let mut made = String::from(
        "| fault | route | outcome, stage, class | blamed, or found | paged |\n|---|---|---|---|---|\n",
    );
    for (fault, route, outcome, blame, paged) in rows {
        let said = said(fault, route).unwrap_or_else(|error| panic!("{fault}: {error:#}"));
        if said != [*outcome, *blame, *paged] {
            writeln!(wrong, "    ({fault:?}, {route:?}, {:?}, {:?}, {:?}),", said[0], said[1], said[2])
                .expect("memory");
        }
        let cells = fault.replace('|', "\\|").replace(" + ", "` and `");
        writeln!(made, "| `{cells}` | {route} | {outcome} | {blame} | {paged} |").expect("memory is there");
    }
    assert!(wrong.is_empty(), "what is said of these is not what is written:\n{wrong}");
    compare(title, &made);
}

/// Tests that end at the same time write one after the other.
static PAGE: Mutex<()> = Mutex::new(());

/// Compares a section of the page; `MAILSONAR_WRITE_DOCS=1` writes it anew.
fn compare(title: &str, made: &str) {
    let _alone = PAGE.lock().unwrap_or_else(PoisonError::into_inner);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/faults.md");
    let page = std::fs::read_to_string(&path).expect("the page");
    let head = format!("\n## {title}\n\n");
    let (before, rest) = page.split_once(&head).unwrap_or_else(|| panic!("no section {title:?} in the page"));
    let end = rest.find("\n## ").unwrap_or(rest.len());
    if std::env::var_os("MAILSONAR_WRITE_DOCS").is_some() {
        std::fs::write(&path, format!("{before}{head}{made}{}", &rest[end..])).expect("written");
        return;
    }
    assert!(
        &rest[..end] == made,
        "docs/faults.md, {title}: write it anew with MAILSONAR_WRITE_DOCS=1:\n{made}"
    );
}

#[test]
fn at_the_submission() {
    hold("At the submission", SUBMISSION);
}

#[test]
fn at_the_mx_hosts() {
    hold("At the MX hosts", MX);
}

#[test]
fn behind_the_doors() {
    hold("Behind the doors", DELIVERY);
}

#[test]
fn at_the_mailbox() {
    hold("At the mailbox", MAILBOX);
}

#[test]
fn in_dns_and_in_a_whole_data_centre() {
    hold("In DNS, and in a whole data centre", SITES);
}

const SUBMISSION: &[Row] = &[
    (
        "refuse provider=acme.example service=smtps",
        "send",
        "unreachable, connect, connect",
        "send: submission acme",
        "yes",
    ),
    (
        "blackhole provider=acme.example service=smtps",
        "send",
        "unreachable, connect, timeout",
        "send: submission acme",
        "yes",
    ),
    (
        "silence provider=acme.example service=smtps stage=connect",
        "send",
        "unreachable, tls, timeout",
        "send: submission acme",
        "yes",
    ),
    (
        "silence provider=acme.example service=smtps stage=greeting",
        "send",
        "unreachable, greeting, timeout",
        "send: submission acme",
        "yes",
    ),
    (
        "silence provider=acme.example service=smtps stage=data",
        "send",
        "unreachable, data, timeout",
        "send: submission acme",
        "yes",
    ),
    (
        "reset provider=acme.example service=smtps stage=connect",
        "send",
        "unreachable, tls, closed",
        "send: submission acme",
        "yes",
    ),
    (
        "reset provider=acme.example service=smtps stage=rcpt",
        "send",
        "unreachable, envelope, closed",
        "send: submission acme",
        "yes",
    ),
    (
        "reply code=421 text=\"4.7.0 Too busy\" provider=acme.example service=smtps stage=greeting",
        "send",
        "deferred, greeting, temporary",
        "send: submission acme",
        "yes",
    ),
    (
        "reply code=535 text=\"5.7.8 Wrong\" provider=acme.example service=smtps stage=auth",
        "send",
        "unknown, auth, auth",
        "send: submission acme",
        "yes",
    ),
    (
        "reply code=550 text=\"5.7.1 Not you\" provider=acme.example service=smtps stage=mail",
        "send",
        "refused, envelope, permanent",
        "send: submission acme",
        "yes",
    ),
    ("slow ms=20 provider=acme.example service=smtps", "send", "delivered", "", "no"),
    (
        "slow ms=3000 provider=acme.example service=smtps",
        "send",
        "unreachable, greeting, timeout",
        "send: submission acme",
        "yes",
    ),
    ("raw text=\"220\\r\\n\" provider=acme.example service=smtps", "send", "delivered", "", "no"),
    (
        "tls-expired provider=acme.example service=smtps",
        "send",
        "unreachable, tls, tls",
        "send: submission acme",
        "yes",
    ),
    (
        "tls-wrong-name provider=acme.example service=smtps",
        "send",
        "unreachable, tls, tls",
        "send: submission acme",
        "yes",
    ),
    (
        "tls-untrusted provider=acme.example service=smtps",
        "send",
        "unreachable, tls, tls",
        "send: submission acme",
        "yes",
    ),
    (
        "close provider=acme.example service=smtps",
        "send",
        "unknown, data, closed",
        "send: submission acme",
        "yes",
    ),
    ("close-kept provider=acme.example service=smtps", "send", "delivered", "", "no"),
    (
        "refuse provider=reference.example service=smtps",
        "control",
        "unreachable, connect, connect",
        "reference_trouble control",
        "no",
    ),
];

const MX: &[Row] = &[
    (
        "refuse provider=acme.example service=mx",
        "receive",
        "unreachable, connect, connect",
        "receive: mx mx1.acme.example[127.64.0.2], mx mx2.acme.example[127.64.0.5]",
        "yes",
    ),
    (
        "refuse host=mx1.acme.example",
        "receive",
        "unreachable, connect, connect",
        "mx_host_dead mx1.acme.example[127.64.0.2]",
        "no",
    ),
    (
        "reply code=451 text=\"4.3.0 Try later\" provider=acme.example service=mx stage=rcpt",
        "receive",
        "deferred, envelope, temporary",
        "receive: mx mx1.acme.example[127.64.0.2], mx mx2.acme.example[127.64.0.5]",
        "yes",
    ),
    ("greylist seconds=15 provider=acme.example service=mx", "receive", "delivered, after a 4xx", "", "no"),
    (
        "reply code=554 text=\"5.7.1 No\" provider=acme.example service=mx stage=accept",
        "receive",
        "refused, data, permanent",
        "receive: mx mx1.acme.example[127.64.0.2], mx mx2.acme.example[127.64.0.5]",
        "yes",
    ),
    (
        "reply code=550 text=\"5.7.1 No\" provider=acme.example service=mx stage=rcpt share=0.3",
        "receive",
        "delivered",
        "",
        "no",
    ),
    (
        "raw text=\"what?\\r\\n\" provider=acme.example service=mx",
        "receive",
        "unreachable, greeting, protocol",
        "receive: mx mx1.acme.example[127.64.0.2], mx mx2.acme.example[127.64.0.5]",
        "yes",
    ),
    (
        "flood provider=acme.example service=mx",
        "receive",
        "unreachable, greeting, limit",
        "receive: mx mx1.acme.example[127.64.0.2], mx mx2.acme.example[127.64.0.5]",
        "yes",
    ),
    (
        "tls-withheld provider=acme.example service=mx",
        "receive",
        "unreachable, tls, security",
        "receive: mx mx1.acme.example[127.64.0.2], mx mx2.acme.example[127.64.0.5]",
        "yes",
    ),
    (
        "tls-injected provider=acme.example service=mx",
        "receive",
        "unreachable, tls, security",
        "receive: mx mx1.acme.example[127.64.0.2], mx mx2.acme.example[127.64.0.5]",
        "yes",
    ),
    (
        "tls-expired provider=acme.example service=mx",
        "receive",
        "unreachable, tls, tls",
        "receive: mx mx1.acme.example[127.64.0.2], mx mx2.acme.example[127.64.0.5]",
        "yes",
    ),
    (
        "close provider=acme.example service=mx",
        "receive",
        "unknown, data, closed",
        "receive: mx mx1.acme.example[127.64.0.2], mx mx2.acme.example[127.64.0.5]",
        "yes",
    ),
    ("close-kept provider=acme.example service=mx", "receive", "delivered", "", "no"),
    (
        "stale-mx provider=acme.example",
        "receive",
        "unreachable, connect, connect",
        "receive: mx old-mx.acme.example[127.255.255.1]",
        "yes",
    ),
];

const DELIVERY: &[Row] = &[
    ("hold provider=acme.example", "loop", "lost, transit, missing", "receive: delivery acme", "yes"),
    ("hold host=mx1.acme.example", "receive", "lost, transit, missing", "receive: delivery acme", "yes"),
    (
        "drain per-second=0.02 provider=acme.example",
        "loop",
        "lost, transit, missing",
        "receive: delivery acme",
        "yes",
    ),
    (
        "late ms=60000 provider=acme.example",
        "loop",
        "late, transit, quality",
        "receive: delivery acme",
        "yes",
    ),
    ("twice provider=acme.example", "loop", "delivered, with a duplicate", "", "no"),
    ("junk provider=acme.example", "loop", "misfiled, transit, quality", "receive: delivery acme", "yes"),
    ("alter provider=acme.example", "loop", "altered, verify, quality", "receive: delivery acme", "yes"),
    ("lose provider=acme.example", "loop", "lost, transit, missing", "receive: delivery acme", "yes"),
    ("lose provider=acme.example share=0.2", "loop", "delivered", "", "no"),
    (
        "bounce provider=acme.example",
        "loop",
        "bounced, transit, permanent, reported",
        "receive: delivery acme",
        "yes",
    ),
    (
        "bounce style=plain provider=acme.example",
        "loop",
        "bounced, transit, permanent, reported",
        "receive: delivery acme",
        "yes",
    ),
    (
        "delayed-dsn provider=acme.example",
        "loop",
        "lost, transit, missing, reported",
        "receive: delivery acme",
        "yes",
    ),
    ("lose provider=reference.example", "send", "lost, transit, missing", "reference_trouble control", "no"),
];

const MAILBOX: &[Row] = &[
    (
        "bye text=\"Restarting\" provider=acme.example service=imaps stage=idle",
        "receive",
        "delivered",
        "",
        "no",
    ),
    (
        "bye text=\"Down\" provider=acme.example service=imaps stage=idle + refuse provider=acme.example service=imaps",
        "receive",
        "unknown, connect, mailbox",
        "receive: mailbox acme",
        "yes",
    ),
    (
        "bye text=\"Down\" provider=acme.example service=imaps stage=idle + no text=\"[AUTHENTICATIONFAILED] Wrong\" provider=acme.example service=imaps",
        "receive",
        "unknown, login, mailbox",
        "receive: mailbox acme",
        "yes",
    ),
    (
        "bye text=\"Down\" provider=acme.example service=imaps stage=idle + no text=\"[UNAVAILABLE] Later\" account=watch@acme.example",
        "receive",
        "unknown, login, mailbox",
        "receive: mailbox acme",
        "yes",
    ),
    (
        "bye text=\"Down\" provider=acme.example service=imaps stage=idle + tls-expired provider=acme.example service=imaps",
        "receive",
        "unknown, tls, mailbox",
        "receive: mailbox acme",
        "yes",
    ),
    (
        "silence provider=acme.example service=imaps",
        "receive",
        "unknown, tls, mailbox",
        "receive: mailbox acme",
        "yes",
    ),
    (
        "no text=\"[SERVERBUG] Not now\" provider=acme.example service=imaps stage=search",
        "receive",
        "delivered",
        "",
        "no",
    ),
    (
        "no text=\"[SERVERBUG] Not now\" provider=acme.example service=imaps stage=fetch",
        "receive",
        "unknown, retrieve, mailbox",
        "receive: mailbox acme",
        "yes",
    ),
    ("renumber watch@acme.example INBOX", "receive", "delivered", "", "no"),
    (
        "bye text=\"Down\" provider=reference.example service=imaps stage=idle + refuse provider=reference.example service=imaps",
        "send",
        "unknown, connect, mailbox",
        "reference_mailbox reference-probe; reference_mailbox reference-watch",
        "no",
    ),
];

const SITES: &[Row] = &[
    ("nxdomain provider=acme.example", "receive", "unreachable, resolve, dns", "receive: dns acme", "yes"),
    ("servfail provider=acme.example", "receive", "unreachable, resolve, dns", "receive: dns acme", "yes"),
    (
        "silence provider=acme.example service=dns",
        "receive",
        "unreachable, resolve, dns",
        "receive: dns acme",
        "yes",
    ),
    ("nxdomain provider=acme.example", "send", "unreachable, resolve, dns", "send: dns acme", "yes"),
    (
        "gone provider=acme.example site=east",
        "send",
        "unreachable, connect, timeout",
        "send: submission acme",
        "yes",
    ),
    (
        "gone provider=acme.example site=east",
        "receive",
        "unreachable, connect, timeout",
        "mx_host_dead mx1.acme.example[127.64.0.2]; receive: mailbox acme",
        "yes",
    ),
    ("gone provider=acme.example site=east + failover acme.example west", "send", "delivered", "", "no"),
    (
        "gone provider=acme.example site=east + failover acme.example west",
        "receive",
        "unreachable, connect, timeout",
        "mx_host_dead mx1.acme.example[127.64.0.2]",
        "no",
    ),
];
