//! The report for people: the appendix that an article about the day would have.
#![expect(clippy::format_push_string, reason = "text for people, made once: plain words before allocations")]

use std::collections::BTreeSet;
use std::fmt::Write as _;

use jiff::SignedDuration;

use super::report::{IncidentSummary, Kind, Report, clock};

/// How wide a line of text is.
const WIDTH: usize = 100;
/// Where the words of the timeline begin.
const INDENT: usize = 26;

/// The whole report as text.
pub fn text(report: &Report) -> String {
    let mut text = String::new();
    let Report { title, scenario, seed, began, ended, .. } = report;
    let length = short(ended.duration_since(*began));
    text += &format!("{title}\n{}\n", "=".repeat(title.chars().count().min(WIDTH)));
    text += &format!("{scenario}, {length} from {began}, seed {seed}\n\n");
    for line in &report.configuration {
        text += &wrapped(&format!("{line}."), 0);
    }
    text += if report.configuration.is_empty() { "" } else { "\n" };
    text += &wrapped(&report.story, 0);
    text += "\n";
    timeline(&mut text, report);
    for incident in &report.incidents {
        anatomy(&mut text, incident, report);
    }
    backlog(&mut text, report);
    notifiers(&mut text, report);
    outcomes(&mut text, report);
    expectations(&mut text, report);
    text
}

fn timeline(text: &mut String, report: &Report) {
    *text += "What happened\n\n";
    for line in &report.timeline {
        let word = match line.kind {
            Kind::Event => "---",
            Kind::Incident => "incident",
            Kind::Page => "page",
            Kind::Finding => "finding",
        };
        let head = format!("  {:<12}  {word:<8}  ", clock(line.at, report.began));
        let words = line.words.lines().filter(|line| !line.trim().is_empty());
        let words: String = words.map(|line| wrapped(line, INDENT)).collect();
        *text += &format!("{head:<INDENT$}{}", words.trim_start());
    }
    *text += "\n";
}

fn anatomy(text: &mut String, incident: &IncidentSummary, report: &Report) {
    let IncidentSummary { service, leg, summary, started_at, clocks, blame, failovers, .. } = incident;
    *text += &format!("Incident: {service} {leg}\n\n");
    *text += &wrapped(summary, 2);
    if let Some(blame) = blame {
        *text += &wrapped(&format!("Why: {blame}"), 2);
    }
    *text += "\n";
    *text += &format!("  {:<16} {}\n", "first failure", clock(*started_at, report.began));
    for (name, at) in clocks {
        let after = short(at.duration_since(*started_at));
        *text += &format!("  {:<16} {:<12}  {after} later\n", name.words(), clock(*at, report.began));
    }
    for failover in failovers {
        let words = wrapped(&format!("mail moved {failover}"), 2);
        *text += &words;
    }
    let (late, missing) = (incident.arrived_late, incident.missing);
    if late + missing > 0 {
        *text += &format!("  {late} letters came late; {missing} never came.\n");
    }
    *text += "\n";
}

/// The countdown: what the collector counts beside what the provider's queues really hold.
fn backlog(text: &mut String, report: &Report) {
    if report.backlog.is_empty() {
        return;
    }
    let legs: BTreeSet<&String> = report.backlog.iter().flat_map(|count| count.missing.keys()).collect();
    let heads: Vec<String> = legs.iter().map(|leg| format!("{leg} misses")).collect();
    let row = |first: &str, cells: &[String]| {
        let mut row = format!("  {first:<12}");
        for cell in cells {
            let _ = write!(row, " {cell:>16}");
        }
        row + "\n"
    };
    *text += "The backlog, from time to time\n\n";
    *text += &row("", &[heads, vec!["the queues hold".to_owned()]].concat());
    for count in &report.backlog {
        let missing = legs.iter().map(|leg| count.missing.get(*leg).map_or("-".to_owned(), u32::to_string));
        let cells: Vec<String> = missing.chain([count.held.to_string()]).collect();
        *text += &row(&clock(count.at, report.began), &cells);
    }
    *text += "\n";
}

fn notifiers(text: &mut String, report: &Report) {
    if report.notifiers.is_empty() {
        return;
    }
    *text += "Who was paged\n\n";
    for (notifier, kinds) in &report.notifiers {
        let kinds: Vec<String> = kinds.iter().map(|(kind, count)| format!("{count} × {kind}")).collect();
        *text += &format!("  {notifier:<16} {}\n", kinds.join(", "));
    }
    *text += "\n";
}

fn outcomes(text: &mut String, report: &Report) {
    *text += "Probes by outcome\n\n";
    let mut head = format!("  {:<16}", "route");
    for outcome in &report.outcomes {
        let _ = write!(head, " {outcome:>11}");
    }
    *text += &format!("{head}\n");
    for (route, counts) in &report.probes {
        let mut row = format!("  {route:<16}");
        for outcome in &report.outcomes {
            let _ = write!(row, " {:>11}", counts.get(outcome).copied().unwrap_or(0));
        }
        *text += &format!("{row}\n");
    }
    *text += "\n";
}

fn expectations(text: &mut String, report: &Report) {
    *text += "Expected\n\n";
    for judged in &report.expectations {
        let mark = if judged.met { "ok  " } else { "FAIL" };
        let words = wrapped(&judged.expected, 7);
        *text += &format!("  {mark} {}", words.trim_start());
        if !judged.met {
            *text += &wrapped(&format!("found: {}", judged.found), 7);
        }
    }
    let missed = report.expectations.iter().filter(|judged| !judged.met).count();
    let all = report.expectations.len();
    *text += &if missed == 0 {
        format!("\nAll {all} expectations were met.\n")
    } else {
        format!("\n{missed} of {all} expectations were not met.\n")
    };
}

/// A length of time in its two largest units.
fn short(length: SignedDuration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0..60 => format!("{:.1} s", length.as_secs_f64()),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

/// Words in lines of bounded width, each indented; an empty line stays one.
fn wrapped(words: &str, indent: usize) -> String {
    let mut out = String::new();
    for paragraph in words.split("\n\n") {
        if !out.is_empty() {
            out.push('\n');
        }
        let mut line = " ".repeat(indent);
        let mut empty = true;
        for word in paragraph.split_whitespace() {
            if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
                out += &format!("{}\n", line.trim_end());
                line = " ".repeat(indent);
                empty = true;
            }
            if !empty {
                line.push(' ');
            }
            line += word;
            empty = false;
        }
        out += &format!("{}\n", line.trim_end());
    }
    out
}
