//! The demo in words: one line for each thing worth saying, and the summary at the end.

use std::fmt::Write;

use jiff::SignedDuration;
use mailsonar_collector::notify::Status;
use mailsonar_protocol::{Outcome, Record};

use super::faults::Mischief;
use super::model::{Model, Paged};
use super::world::REGIONS;

/// Something was broken.
pub fn broken(mischief: Mischief) -> String {
    format!("broken: {} ({})", mischief.name, mischief.words)
}

/// The verdict on a route from a region changed.
pub fn verdict(region: &str, record: &Record) -> String {
    let (route, outcome) = (&record.route, record.verdict.outcome);
    match (outcome, record.latency_us()) {
        (Outcome::Delivered, Some(latency)) => {
            format!("{route} from {region}: delivered, {} after its acceptance", micros(latency))
        }
        _ => format!("{route} from {region}: {outcome}: {}", one_line(record.verdict.reason.as_str())),
    }
}

/// A page came in.
pub fn page(paged: &Paged) -> String {
    let page = &paged.page;
    let after = match (paged.after, page.status) {
        (None, _) | (_, Status::Acknowledge | Status::Notice) => String::new(),
        (Some(after), Status::Trigger) => format!(", {} after the fault", seconds(after)),
        (Some(after), Status::Resolve) => format!(", {} after healing", seconds(after)),
    };
    format!("PAGE {}{after}: {}", page.status.as_str(), one_line(&page.summary))
}

/// The end.
pub fn summary(model: &Model) -> String {
    let mut text = format!("\nAfter {}\n", seconds(model.age()));
    for (region, tally) in REGIONS.iter().zip(&model.tally) {
        let counts = tally.iter().filter(|(_, count)| **count > 0);
        let counts: Vec<_> = counts.map(|(outcome, count)| format!("{count} {}", word(*outcome))).collect();
        line(&mut text, region.name, &if counts.is_empty() { "no probe".into() } else { counts.join(", ") });
    }
    line(&mut text, "incidents", &format!("{} opened, {} open", model.opened, model.incidents.len()));
    let sent = |status| model.pages.iter().filter(|paged| paged.page.status == status).count();
    let (triggers, resolves) = (sent(Status::Trigger), sent(Status::Resolve));
    line(&mut text, "pages", &format!("{triggers} trigger, {resolves} resolve"));
    if !model.works() {
        text.push_str("\nNot every region had a probe delivered.\n");
    }
    text
}

fn line(text: &mut String, what: &str, words: &str) {
    // Writing to a `String` cannot fail.
    let _ = writeln!(text, "  {what:<10}  {words}");
}

/// An outcome as people write it.
pub fn word(outcome: Outcome) -> String {
    outcome.as_str().replace('_', " ")
}

/// A foreign sentence on one line.
pub fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A latency: "312 ms", "1.4 s".
pub fn micros(micros: u64) -> String {
    match micros / 1_000 {
        millis @ 0..1_000 => format!("{millis} ms"),
        millis => format!("{}.{} s", millis / 1_000, millis / 100 % 10),
    }
}

/// A length of time: "12.3 s".
pub fn seconds(duration: SignedDuration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// Time since the start: "01:05".
pub fn stopwatch(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().max(0);
    format!("{:02}:{:02}", seconds / 60, seconds % 60)
}
