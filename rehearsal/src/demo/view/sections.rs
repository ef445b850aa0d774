//! The newest probes, the open incidents, the pages: three sections that share what room there is.

use std::collections::VecDeque;

use jiff::SignedDuration;
use mailsonar_collector::notify::Status;
use mailsonar_collector::store::Incident;
use mailsonar_protocol::{Outcome, Record, Stage};
use ratatui::text::{Line, Span};

use super::look::{Look, Tone, sign};
use super::words::{apart, cut, length, rule, told};
use crate::demo::model::{Model, Paged};
use crate::demo::note;
use crate::demo::world::REGIONS;

/// From this width on, stages have their times beside them.
const WIDE: usize = 116;
/// From so many rows on, pages are shown with their whole sentences.
const ROOMY: usize = 16;
/// Rows of probes that are enough then.
const PROBES: usize = 12;
/// The most rows of one page.
const PAGE: usize = 3;
/// Pages and probes that are kept in sight, however much there is to say of incidents.
const LEAST_PAGES: usize = 2;
const LEAST_PROBES: usize = 1;

/// All three sections, in exactly this many rows.
pub(super) fn lines(model: &Model, look: Look, width: usize, rows: usize) -> Vec<Line<'static>> {
    let room = rows.saturating_sub(3);
    let pages = model.pages.len().clamp(1, LEAST_PAGES);
    let incidents = incidents(model, look, width, room.saturating_sub(pages + LEAST_PROBES).max(1));
    // Of what incidents leave, pages may have half, and on a great screen more; probes have the rest.
    let left = room.saturating_sub(incidents.len());
    let most = if left >= ROOMY { left - PROBES } else { (left / 2).max(pages).min(left) };
    let pages = paged(model, look, width, most, if left >= ROOMY { PAGE } else { 1 });
    let probes = left.saturating_sub(pages.len());

    let mut lines = vec![rule("newest probes", look, width)];
    lines.extend(newest(model, look, width, probes));
    lines.push(rule("open incidents", look, width));
    lines.extend(incidents);
    lines.push(rule("pages", look, width));
    lines.extend(pages);
    lines
}

/// The newest probes, the newest last; rows that are not needed yet stay empty.
fn newest(model: &Model, look: Look, width: usize, rows: usize) -> Vec<Line<'static>> {
    let skipped = model.recent.len().saturating_sub(rows);
    let probe = |(region, record): &(usize, Record)| {
        let name = REGIONS.get(*region).map_or("", |region| region.name);
        probe(name, record, model, look, width)
    };
    let mut lines: Vec<_> = model.recent.iter().skip(skipped).map(probe).collect();
    lines.resize(rows, Line::default());
    lines
}

fn probe(region: &str, record: &Record, model: &Model, look: Look, width: usize) -> Line<'static> {
    let span = |text: String, tone| Span::styled(text, look.style(tone));
    let (mark, tone) = sign(record.verdict.outcome);
    let mut left = vec![
        span(format!(" {mark} "), tone),
        span(format!("{region:<9} "), Tone::Plain),
        span(format!("{:<8} ", record.route), Tone::Plain),
    ];
    let failed = record.is_concluded() && !record.verdict.outcome.has_arrived();
    if failed {
        left.push(span(note::one_line(record.verdict.reason.as_str()), Tone::Plain));
    } else {
        left.extend(stages(record, look, width >= WIDE));
    }
    let (said, tone) = said(record, model);
    apart(left, vec![span(format!(" {said} "), tone)], width)
}

/// The steps as they were taken, with their times where there is room.
fn stages(record: &Record, look: Look, with_times: bool) -> Vec<Span<'static>> {
    let handing_over = |stage: Stage| !matches!(stage, Stage::Transit | Stage::Retrieve | Stage::Verify);
    let mut spans = Vec::new();
    for step in record.stages.iter().filter(|step| handing_over(step.stage)) {
        spans.push(Span::styled(format!("{} ", step.stage), look.style(Tone::Quiet)));
        if with_times {
            spans.push(Span::raw(format!("{} ", step.took_us / 1_000)));
        }
    }
    if with_times && !spans.is_empty() {
        spans.push(Span::styled("ms", look.style(Tone::Quiet)));
    }
    spans
}

/// Where the probe is, or how it ended.
fn said(record: &Record, model: &Model) -> (String, Tone) {
    let outcome = record.verdict.outcome;
    let since = |at| note::seconds(model.now.duration_since(at).max(SignedDuration::ZERO));
    match (outcome, &record.accepted, record.latency_us()) {
        (Outcome::InFlight, None, _) => {
            (format!("handing over {:>6}", since(record.started_at)), Tone::Quiet)
        }
        (Outcome::InFlight, Some(accepted), _) => (format!("… {:>6}", since(accepted.at)), Tone::Quiet),
        (Outcome::Delivered, _, Some(latency)) => (format!("→ {:>6}", note::micros(latency)), Tone::Good),
        (outcome, _, Some(latency)) if outcome.has_arrived() => {
            (format!("{outcome} {:>6}", note::micros(latency)), sign(outcome).1)
        }
        _ => (outcome.to_string(), sign(outcome).1),
    }
}

/// Open incidents in their own sentences, and what else was found, in at most so many rows.
fn incidents(model: &Model, look: Look, width: usize, rows: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    for (at, incident) in model.incidents.iter().enumerate() {
        let others = model.incidents.len() - at;
        let most = rows.saturating_sub(lines.len()) / others;
        lines.extend(one(incident, model, look, width, most.max(1)));
    }
    for finding in &model.findings {
        let text = cut(&format!(" ! {}", note::one_line(&finding.words)), width);
        lines.push(Line::from(Span::styled(text, look.style(Tone::Warn))));
    }
    if lines.is_empty() {
        lines.push(Line::from(Span::styled(" none: mail flows both ways", look.style(Tone::Quiet))));
    }
    lines.truncate(rows);
    lines
}

fn one(incident: &Incident, model: &Model, look: Look, width: usize, most: usize) -> Vec<Line<'static>> {
    let age = note::stopwatch(model.now.duration_since(incident.started_at));
    let text = format!("{age} {}", incident.summary);
    let mut lines = Vec::new();
    for (at, words) in told(&text, width.saturating_sub(4), most).into_iter().enumerate() {
        let (label, tone) = if at == 0 { (" ● ", Tone::Strong) } else { ("   ", Tone::Plain) };
        lines.push(Line::from(vec![
            Span::styled(label, look.style(Tone::Bad)),
            Span::styled(words, look.style(tone)),
        ]));
    }
    lines
}

/// The newest pages, oldest first, each in at most `each` rows.
fn paged(model: &Model, look: Look, width: usize, rows: usize, each: usize) -> Vec<Line<'static>> {
    if model.pages.is_empty() {
        return vec![Line::from(Span::styled(" none yet: break something", look.style(Tone::Quiet)))];
    }
    let mut lines: VecDeque<Line<'static>> = VecDeque::new();
    for paged in model.pages.iter().rev() {
        let page = page(paged, model, look, width, each);
        if lines.len() + page.len() > rows {
            break;
        }
        for line in page.into_iter().rev() {
            lines.push_front(line);
        }
    }
    lines.into()
}

fn page(paged: &Paged, model: &Model, look: Look, width: usize, most: usize) -> Vec<Line<'static>> {
    let (tone, event) = match paged.page.status {
        Status::Trigger => (Tone::Bad, "after the fault"),
        Status::Resolve => (Tone::Good, "after healing"),
        Status::Acknowledge | Status::Notice => (Tone::Good, ""),
    };
    let at = note::stopwatch(paged.at.duration_since(model.began));
    let after = paged.after.map(|after| format!("{} {event}", note::seconds(after))).unwrap_or_default();
    let mut spans = vec![
        Span::styled(format!(" {at} "), look.style(Tone::Quiet)),
        Span::styled(format!(" {} ", paged.page.status.as_str()), look.style(tone)),
        Span::styled(format!(" {after:<22} "), look.style(Tone::Strong)),
    ];
    let indent = length(&spans);
    let summary = note::one_line(&paged.page.summary);
    let room = width.saturating_sub(indent + 1);
    let words = if most == 1 { vec![cut(&summary, room)] } else { told(&summary, room, most) };
    let mut words = words.into_iter();
    spans.push(Span::raw(words.next().unwrap_or_default()));
    let rest = words.map(|words| Line::from(format!("{:indent$}{words}", "")));
    [Line::from(spans)].into_iter().chain(rest).collect()
}
