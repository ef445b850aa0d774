//! `explain`: what the agent makes of a message from a file. Any bytes have an answer.
//!
//! The very readers of the watcher ([`crate::reading`]), over a file; nothing is fetched, kept or
//! decided. Knows no network.

use std::fmt::Write as _;
use std::io::Read;
use std::path::Path;

use jiff::Timestamp;
use mailsonar_protocol::{AgentName, Authentication, Hop, ProbeId, RouteName, Text};
use serde::Serialize;

use crate::message::{self, Tag, TagKey};
use crate::reading::{self, Bounce, Claim, Kind, Letter, PartOfTag, Reply, ReportForm};

/// What is at hand to tell our own messages by. All of it may be missing.
#[derive(Debug, Default)]
pub struct Known {
    /// The tag key.
    pub key: Option<TagKey>,
    /// Whose key it is.
    pub agent: Option<AgentName>,
    /// The routes it probes, for the parts of a tag that do not name theirs.
    pub routes: Vec<RouteName>,
    /// The hosts whose word on authentication counts.
    pub authserv_ids: Vec<String>,
}

/// Whether a message that says it is about a probe of ours is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The key proves it.
    Valid,
    /// It names this agent, and the key disproves it.
    Forged,
    /// It names another agent.
    Foreign,
    /// It could not be checked: there is no key, or the part that is left names no route we know.
    Unproven,
}

impl Standing {
    fn word(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Forged => "forged",
            Self::Foreign => "foreign",
            Self::Unproven => "unproven",
        }
    }
}

/// The probe a message is, or is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Probe {
    /// Its id.
    pub id: ProbeId,
    /// Whether that is so.
    pub standing: Standing,
    /// Who sent it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentName>,
    /// Which way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<RouteName>,
    /// The part of the tag it was known by.
    pub part: PartOfTag,
    /// Of a valid probe: whether its body is what was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intact: Option<bool>,
}

/// What a host made of a message's origin, and whether its word counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Judgement {
    /// Whether it is the topmost of a trusted host.
    pub trusted: bool,
    /// What it says.
    #[serde(flatten)]
    pub results: Authentication,
}

/// What the agent makes of a message.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explained {
    /// The file's name; `-` is standard input.
    pub file: String,
    /// Whether only its beginning was looked at.
    pub cut: bool,
    /// `probe`, `bounce`, `auto_reply`, `challenge`, `report` or `other`.
    pub kind: &'static str,
    /// The probe it is, or is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe: Option<Probe>,
    /// What the bounce says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bounce: Option<Bounce>,
    /// Of which kind the report is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<ReportForm>,
    /// Its author, as it says.
    pub from: Text,
    /// Its subject.
    pub subject: Text,
    /// Its Message-ID.
    pub message_id: Text,
    /// Its date, by its author's clock.
    pub date: Option<Timestamp>,
    /// The hosts it passed, in the order it met them.
    pub hops: Vec<Hop>,
    /// What hosts made of its origin, topmost first.
    pub authentication: Vec<Judgement>,
}

/// Reads a file, at most as much of it as is looked at, and explains it.
///
/// # Errors
/// Only where it cannot be read.
pub fn file(path: &Path, known: &Known) -> std::io::Result<Explained> {
    let mut bytes = Vec::new();
    let most = reading::MOST as u64 + 1;
    if path == Path::new("-") {
        std::io::stdin().lock().take(most).read_to_end(&mut bytes)?;
    } else {
        std::fs::File::open(path)?.take(most).read_to_end(&mut bytes)?;
    }
    Ok(explain(&path.display().to_string(), &bytes, known))
}

/// Explains a message.
pub fn explain(name: &str, bytes: &[u8], known: &Known) -> Explained {
    let letter = reading::read(bytes);
    let probe = probe(&letter, bytes, known);
    let trusted = reading::trusted(&letter.authentication, &known.authserv_ids);
    let Letter { kind, from, subject, message_id, date, hops, authentication, .. } = letter;
    let (kind, bounce, report) = match kind {
        Kind::Probe => ("probe", None, None),
        Kind::Bounce(bounce) => ("bounce", Some(bounce), None),
        Kind::Reply(Reply::Automatic) => ("auto_reply", None, None),
        Kind::Reply(Reply::Challenge) => ("challenge", None, None),
        Kind::Report(form) => ("report", None, Some(form)),
        Kind::Other => ("other", None, None),
    };
    let judged = |(at, results)| Judgement { trusted: trusted == Some(at), results };
    Explained {
        file: name.to_owned(),
        cut: bytes.len() > reading::MOST,
        kind,
        probe,
        bounce,
        report,
        from,
        subject,
        message_id,
        date,
        hops,
        authentication: authentication.into_iter().enumerate().map(judged).collect(),
    }
}

/// The probe that a message is about: one that is proven, else the first that is claimed.
fn probe(letter: &Letter, bytes: &[u8], known: &Known) -> Option<Probe> {
    let judged = letter.claims.iter().map(|claim| (claim, proven(claim, known)));
    let (claim, tag) = judged.clone().find(|(_, tag)| tag.is_some()).or_else(|| judged.clone().next())?;
    let intact = match (&letter.kind, &tag, &known.key) {
        (Kind::Probe, Some(tag), Some(key)) => Some(message::is_intact(bytes, tag, key)),
        _ => None,
    };
    let named =
        tag.as_ref().map(|tag| (tag.agent.clone(), tag.route.clone())).or_else(|| claim.named.clone());
    let (agent, route) = named.unzip();
    let standing = match (&tag, &agent, &known.agent, &known.key) {
        (Some(_), ..) => Standing::Valid,
        (None, Some(named), Some(own), _) if named != own => Standing::Foreign,
        (None, Some(_), Some(_), Some(_)) => Standing::Forged,
        _ => Standing::Unproven,
    };
    Some(Probe { id: claim.probe, standing, agent, route, part: claim.part, intact })
}

/// The tag, if what is at hand proves the claim.
fn proven(claim: &Claim, known: &Known) -> Option<Tag> {
    let key = known.key.as_ref()?;
    if let Some((agent, route)) = &claim.named {
        let is_ours = known.agent.as_ref().is_none_or(|own| own == agent);
        return is_ours.then(|| claim.proven(key, agent, route)).flatten();
    }
    let agent = known.agent.as_ref()?;
    known.routes.iter().find_map(|route| claim.proven(key, agent, route))
}

/// The same for a person: a line of summary, and what is behind it, indented.
pub fn told(explained: &Explained) -> String {
    let mut text = format!("{}: {}", Text::new(&explained.file), summary(explained));
    let mut line = |words: String| {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "\n  {}", words.replace('\n', "\n    "));
    };
    if explained.cut {
        line(format!("only the first {} KiB were looked at", reading::MOST / 1024));
    }
    for recipient in explained.bounce.iter().flat_map(|bounce| &bounce.recipients) {
        let kind = format!("{:?}", recipient.kind).to_lowercase();
        line(format!("<{}> {kind} {}: {}", recipient.address, recipient.status, recipient.words));
    }
    if let Some(id) = explained.bounce.as_ref().map(|bounce| &bounce.original_id).filter(|id| !id.is_empty())
    {
        line(format!("about <{id}>"));
    }
    if let Some(probe) = &explained.probe {
        line(said_of(probe));
    }
    line(format!("from {}, subject {:?}", explained.from, explained.subject.as_str()));
    for hop in &explained.hops {
        line(told_hop(hop));
    }
    for judgement in &explained.authentication {
        line(told_judgement(judgement));
    }
    text
}

fn summary(explained: &Explained) -> String {
    match (explained.kind, &explained.bounce, explained.report, &explained.probe) {
        ("probe", _, _, Some(probe)) => format!("probe, {}", probe.standing.word()),
        ("probe", ..) => "probe, forged: its tag cannot be read".to_owned(),
        (_, Some(bounce), ..) => {
            let kind =
                bounce.main().map_or("failed".to_owned(), |main| format!("{:?}", main.kind).to_lowercase());
            format!("bounce, {kind}, reported by {} in the manner of {}", bounce.reporter, bounce.manner)
        }
        (_, _, Some(form), _) => format!("report, {}", format!("{form:?}").to_lowercase()),
        (kind, ..) => kind.replace('_', "-"),
    }
}

fn said_of(probe: &Probe) -> String {
    let mut words = format!("probe {} ({}", probe.id, probe.standing.word());
    for (name, value) in [
        ("agent", probe.agent.as_ref().map(AgentName::as_str)),
        ("route", probe.route.as_ref().map(RouteName::as_str)),
    ] {
        if let Some(value) = value {
            // Writing to a `String` cannot fail.
            let _ = write!(words, ", {name} {value}");
        }
    }
    if let Some(intact) = probe.intact {
        words.push_str(if intact { ", body as sent" } else { ", body altered" });
    }
    words + ")"
}

/// One hop for a person.
pub fn told_hop(hop: &Hop) -> String {
    let named = |text: &Text| if text.is_empty() { "?".to_owned() } else { text.to_string() };
    let took = match (hop.took_us, hop.skewed) {
        (_, true) => "its clock is behind the one before".to_owned(),
        (Some(us), false) => format!("{:.0} s", std::time::Duration::from_micros(us).as_secs_f64()),
        (None, false) => "-".to_owned(),
    };
    let address = hop.address.map(|address| format!(" [{address}]")).unwrap_or_default();
    let site = hop.site.as_ref().map(|site| format!(" in {site}")).unwrap_or_default();
    format!("hop {}{address} -> {}{site} {}  {took}", named(&hop.from), named(&hop.by), hop.protocol)
}

fn told_judgement(judgement: &Judgement) -> String {
    let results = &judgement.results;
    let trusted = if judgement.trusted { "trusted" } else { "not trusted" };
    format!("authentication by {} ({trusted}):{}", results.by, told_results(results))
}

/// The results for a person: ` spf=pass dkim=pass`.
pub fn told_results(results: &Authentication) -> String {
    let words =
        [("spf", &results.spf), ("dkim", &results.dkim), ("dmarc", &results.dmarc), ("arc", &results.arc)];
    let told = words.iter().filter_map(|(name, word)| Some(format!(" {name}={}", word.as_ref()?)));
    told.collect()
}
