//! Routes by region: the newest probes as signs, and how the newest one went.

use mailsonar_protocol::Outcome;
use ratatui::text::{Line, Span};

use super::look::{Look, Tone, sign};
use super::words::{cut, length, rule_with};
use crate::demo::model::{Cell, Model};
use crate::demo::note;
use crate::demo::world::{REGIONS, ROUTES};

/// The width of a route's name, and with a few words to it.
const NAME: usize = 11;
const NAME_AND_WAY: usize = 33;
/// From this width on there is room for the words.
const WIDE: usize = 110;
/// What each route does, in the order of [`ROUTES`].
const WAYS: [&str; ROUTES.len()] =
    ["acme to elsewhere", "straight to acme's MX", "acme to itself", "not through acme"];
/// The width of what is said of the newest probe: the longest outcome.
const SAID: usize = 11;
const TITLE: &str = "routes by region";
/// The signs explained, as many as fit.
const LEGEND: [Outcome; 6] = [
    Outcome::Delivered,
    Outcome::InFlight,
    Outcome::Unreachable,
    Outcome::Lost,
    Outcome::Late,
    Outcome::Unknown,
];

/// A heading, the regions, and a line for each route.
pub(super) fn lines(model: &Model, look: Look, width: usize) -> Vec<Line<'static>> {
    let name = if width >= WIDE { NAME_AND_WAY } else { NAME };
    let column = width.saturating_sub(name) / REGIONS.len();
    let mut lines = vec![rule_with(TITLE, legend(look, width), look, width), regions(look, name, column)];
    for ((route, way), cells) in ROUTES.iter().zip(WAYS).zip(&model.cells) {
        let room = NAME - 1;
        let mut spans = vec![Span::styled(format!(" {route:<room$}"), look.style(Tone::Strong))];
        if name > NAME {
            let room = name - NAME;
            spans.push(Span::styled(format!("{way:<room$}"), look.style(Tone::Quiet)));
        }
        for cell in cells {
            spans.extend(of(cell, look, column));
        }
        lines.push(Line::from(spans));
    }
    lines
}

fn legend(look: Look, width: usize) -> Vec<Span<'static>> {
    let mut spans = Vec::new();
    for outcome in LEGEND {
        let (sign, tone) = sign(outcome);
        let entry = [
            Span::styled(format!(" {sign}"), look.style(tone)),
            Span::styled(format!(" {} ", note::word(outcome)), look.style(Tone::Quiet)),
        ];
        if length(&spans) + length(&entry) > width.saturating_sub(TITLE.len() + 4) {
            break;
        }
        spans.extend(entry);
    }
    spans
}

fn regions(look: Look, name: usize, column: usize) -> Line<'static> {
    let mut spans = vec![Span::raw(" ".repeat(name))];
    for region in REGIONS {
        let far = format!(" {} ms away", region.round_trip.as_millis());
        let room = column.saturating_sub(region.name.len());
        spans.push(Span::styled(region.name, look.style(Tone::Strong)));
        spans.push(Span::styled(format!("{:<room$}", cut(&far, room)), look.style(Tone::Quiet)));
    }
    Line::from(spans)
}

/// Signs, then the newest latency, or what is wrong.
fn of(cell: &Cell, look: Look, column: usize) -> Vec<Span<'static>> {
    let most = column.saturating_sub(SAID + 2);
    let shown = cell.marks.len().min(most);
    let mut spans: Vec<_> = cell
        .marks
        .iter()
        .skip(cell.marks.len() - shown)
        .map(|mark| {
            let (sign, tone) = sign(mark.outcome);
            Span::styled(sign.to_string(), look.style(tone))
        })
        .collect();
    let (text, tone) = match (cell.verdict, cell.latency_us) {
        (None, _) => (String::new(), Tone::Quiet),
        (Some(Outcome::Delivered), Some(latency)) => (note::micros(latency), Tone::Plain),
        (Some(outcome), _) => (outcome.to_string(), sign(outcome).1),
    };
    spans.push(Span::raw(" ".repeat(most - shown + 1)));
    spans.push(Span::styled(text.clone(), look.style(tone)));
    spans.push(Span::raw(" ".repeat((SAID + 1).saturating_sub(text.chars().count()))));
    spans
}
