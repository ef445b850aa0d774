//! The report for people: the appendix that an article about the day would have.
#![expect(clippy::format_push_string, reason = "text for people, made once: plain words before allocations")]

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
    text += &wrapped(&report.story, 0);
    text += "\n";
    timeline(&mut text, report);
    for incident in &report.incidents {
        anatomy(&mut text, incident, report);
    }
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
            Kind::Backlog => "backlog",
        };
        let head = format!("  {:<12}  {word:<8}  ", clock(line.at, report.began));
        let words = wrapped(&line.words, INDENT);
        *text += &format!("{head:<INDENT$}{}", words.trim_start());
    }
    *text += "\n";
}

fn anatomy(text: &mut String, incident: &IncidentSummary, report: &Report) {
    let IncidentSummary { service, leg, summary, started_at, clocks } = incident;
    *text += &format!("Incident: {service} {leg}\n\n");
    *text += &wrapped(summary, 2);
    *text += &format!("  {:<16} {}\n", "first failure", clock(*started_at, report.began));
    for (name, at) in clocks {
        let after = short(at.duration_since(*started_at));
        *text += &format!("  {:<16} {}  {after} later\n", name.words(), clock(*at, report.began));
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
