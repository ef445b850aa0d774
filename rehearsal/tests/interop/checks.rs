//! What is tried with each pair of servers, and what must come of it.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use mailsonar_protocol::{Outcome, Record};
use mailsonar_rehearsal::fleet::Programs;
use mailsonar_rehearsal::foreign::World;
use mailsonar_rehearsal::testbed::Testbed;

/// Where one pair of servers is reached.
pub(crate) struct Doors {
    dns: SocketAddr,
    host: String,
    domain: String,
    password: String,
    ca: PathBuf,
    ports: [u16; 5],
    /// Whether it can do TLS for SMTP at all.
    smtp_tls: bool,
}

impl Doors {
    pub(crate) fn of_testbed(bed: &Testbed) -> Self {
        let provider = &bed.service;
        let ports =
            [provider.mx(), provider.submission(), provider.smtps(), provider.imap(), provider.imaps()];
        Self {
            dns: bed.dns.address(),
            host: provider.host().to_owned(),
            domain: provider.domain().to_owned(),
            password: provider.accounts()[0].password.clone(),
            ca: bed.ca().to_owned(),
            ports: ports.map(|at| at.port()),
            smtp_tls: true,
        }
    }

    pub(crate) fn of_world(world: &World, smtp_tls: bool) -> Self {
        let place = &world.place;
        Self {
            dns: world.dns(),
            host: place.host.clone(),
            domain: place.domain.clone(),
            password: world.password().to_owned(),
            ca: place.ca.clone(),
            ports: [place.mx, place.submission, place.smtps, place.imap, place.imaps],
            smtp_tls,
        }
    }
}

/// One thing that was tried.
pub(crate) struct Row {
    pub(crate) what: &'static str,
    pub(crate) wanted: String,
    pub(crate) found: String,
    pub(crate) record: Record,
}

/// All that was tried with a pair of servers.
pub(crate) struct Tried {
    pub(crate) names: [&'static str; 2],
    pub(crate) rows: Vec<Row>,
}

/// Route, what it shows, what must come of it, and what at `OpenSMTPD`, where that is not the same.
const TRIALS: [(&str, &str, &str, &str); 7] = [
    ("starttls", "submission with STARTTLS, IMAP with TLS", "delivered", "unreachable at tls"),
    ("tls", "submission with TLS, IMAP with STARTTLS", "delivered", "unreachable at tls"),
    ("mx", "straight to the MX", "delivered", ""),
    ("junk", "addressed to +Junk", "misfiled", "delivered"),
    ("unknown", "a recipient that is not there", "refused at envelope (550)", "refused at envelope (524)"),
    ("password", "a wrong password for submission", "refused at auth (535)", "unreachable at tls"),
    ("shut", "a wrong password for IMAP", "unknown at login", ""),
];

pub(crate) fn try_all(names: [&'static str; 2], doors: &Doors) -> Tried {
    let dir = tempfile::tempdir().expect("a directory");
    let config = dir.path().join("agent.toml");
    std::fs::write(&config, written(doors)).expect("written");
    let tried = TRIALS.into_iter().map(|(route, what, wanted, at_opensmtpd)| {
        let wanted = if doors.smtp_tls || at_opensmtpd.is_empty() { wanted } else { at_opensmtpd };
        let record = check(&config, route);
        Row { what, wanted: wanted.to_owned(), found: told(&record), record }
    });
    Tried { names, rows: tried.collect() }
}

/// The outcome, with step and reply code where a server said no.
fn told(record: &Record) -> String {
    let verdict = &record.verdict;
    let code = || {
        let words = record.evidence.last()?.words.as_str().to_owned();
        words.split(|c: char| !c.is_ascii_digit()).find(|word| word.len() == 3).map(str::to_owned)
    };
    match (verdict.outcome, verdict.stage) {
        (Outcome::Refused, Some(stage)) => format!("refused at {stage} ({})", code().unwrap_or_default()),
        (outcome @ (Outcome::Unknown | Outcome::Unreachable), Some(stage)) => format!("{outcome} at {stage}"),
        (outcome, _) => outcome.to_string(),
    }
}

/// `mailsonar-agent check --json`, as a user runs it.
fn check(config: &Path, route: &str) -> Record {
    let agent = Programs::find().expect("built").agent;
    let output = Command::new(agent)
        .args(["check", "--json", "--route", route, "--config"])
        .arg(config)
        .output()
        .expect("the agent starts");
    let told = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&told).unwrap_or_else(|error| {
        panic!("{route}: {error}: {told}\n{}", String::from_utf8_lossy(&output.stderr))
    })
}

/// One account, seen through different doors.
fn written(doors: &Doors) -> String {
    let Doors { dns, host, domain, password, ca, ports: [mx, submission, smtps, imap, imaps], smtp_tls } =
        doors;
    let ca = ca.display();
    let mut text = format!(
        "agent = \"interop\"\nregion = \"here\"\nehlo_name = \"interop.test\"\n[dns]\nservers = [\"{dns}\"]\n[limits]\nconnect = \"4s\"\ntls = \"4s\"\nimap = \"4s\"\n[services.it]\ndomains = [\"{domain}\"]\n"
    );
    let mut account = |name: &str, address: &str, word: &str, imap_word: &str, doors: [(&u16, &str); 2]| {
        let [(out, out_tls), (inn, in_tls)] = doors;
        let endpoint = |port: &u16, tls: &str| {
            format!("{{ host = \"{host}\", port = {port}, tls = \"{tls}\", ca_file = \"{ca}\" }}")
        };
        writeln!(
            text,
            "[accounts.{name}]\nservice = \"it\"\naddress = \"{address}@{domain}\"\nusername = \"probe1@{domain}\"\npassword = \"{}\"\nsubmission = {}\nimap = {}",
            if imap_word == word { word } else { imap_word },
            endpoint(out, out_tls),
            endpoint(inn, in_tls)
        )
        .expect("a string takes all");
    };
    let (starttls, tls) = ([(submission, "starttls"), (imaps, "tls")], [(smtps, "tls"), (imap, "starttls")]);
    account("starttls", "probe1", password, password, starttls);
    account("tls", "probe1", password, password, tls);
    account("junk", "probe1+Junk", password, password, tls);
    account("unknown", "nobody", password, password, tls);
    account("wrong", "probe1", "wrong", "wrong", tls);
    // what submission cannot bring without TLS, the MX does
    let (from, mx_tls) = if *smtp_tls { ("tls", "required") } else { ("mx", "plaintext") };
    for (route, from, to) in [
        ("starttls", "starttls", "starttls"),
        ("tls", "tls", "tls"),
        ("mx", "mx", "tls"),
        ("junk", from, "junk"),
        ("unknown", from, "unknown"),
        ("password", "wrong", "tls"),
        ("shut", from, "wrong"),
    ] {
        writeln!(text, "[routes.{route}]\nfrom = \"{from}\"\nto = \"{to}\"\ndeadline = \"10s\"")
            .expect("a string takes all");
        if from == "mx" {
            let ca = if *smtp_tls { format!(", ca_file = \"{ca}\"") } else { String::new() };
            writeln!(
                text,
                "sender = \"probe@elsewhere.test\"\nmx = {{ port = {mx}, tls = \"{mx_tls}\"{ca} }}"
            )
            .expect("a string takes all");
        }
    }
    text
}
