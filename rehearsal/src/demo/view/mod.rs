//! The picture on the terminal: a model in, cells out. Pure; it knows no terminal and no time but the
//! model's.
//!
//! ```text
//! title, addresses
//! routes by region
//! the newest probes      these three share what room is left,
//! open incidents         incidents first
//! pages
//! keys
//! ```

mod look;
mod matrix;
mod sections;
mod words;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

pub use look::Look;
use look::Tone;

use super::faults::MENU;
use super::model::Model;
use super::note;
use super::world::{ROUTES, SERVICE_DOMAIN};

/// The smallest screen on which anything can be read.
const LEAST: (u16, u16) = (60, 18);

/// Draws everything.
pub fn draw(frame: &mut Frame<'_>, model: &Model, look: Look) {
    let area = frame.area();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let words = format!("Too small: {} by {} characters are needed. q quits.", LEAST.0, LEAST.1);
        frame.render_widget(Paragraph::new(words), area);
        return;
    }
    let width = usize::from(area.width);
    let footer = footer(model, look, width);
    let above = 3 + 2 + rows(ROUTES.len());
    let left = usize::from(area.height).saturating_sub(usize::from(above) + footer.len());
    let body = sections::lines(model, look, width, left);
    let [head, matrix, middle, foot] = Layout::vertical([
        Constraint::Length(3),
        Constraint::Length(2 + rows(ROUTES.len())),
        Constraint::Min(0),
        Constraint::Length(rows(footer.len())),
    ])
    .areas::<4>(area);
    show(frame, head, header(model, look, width));
    show(frame, matrix, matrix::lines(model, look, width));
    show(frame, middle, body);
    show(frame, foot, footer);
}

fn show(frame: &mut Frame<'_>, area: Rect, lines: Vec<Line<'_>>) {
    frame.render_widget(Paragraph::new(lines), area);
}

fn rows(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

fn header(model: &Model, look: Look, width: usize) -> Vec<Line<'static>> {
    let span = |text: &str, tone| Span::styled(text.to_owned(), look.style(tone));
    let (state, tone) = match (model.incidents.len(), model.works()) {
        (0, true) => ("mail flows".to_owned(), Tone::Good),
        (0, false) => ("starting".to_owned(), Tone::Quiet),
        (1, _) => ("1 incident".to_owned(), Tone::Bad),
        (count, _) => (format!("{count} incidents"), Tone::Bad),
    };
    let title = vec![
        span(" mailsonar", Tone::Strong),
        span(&format!("  watches {SERVICE_DOMAIN} from three regions"), Tone::Plain),
    ];
    let right = vec![
        span(&format!(" {state} "), tone),
        span(&format!(" {} ", note::stopwatch(model.age())), Tone::Quiet),
    ];
    let addresses = &model.addresses;
    let quiet = |label: &str| span(label, Tone::Quiet);
    let mut agents = vec![quiet(" agents       ")];
    for (at, address) in addresses.agents.iter().enumerate() {
        // The first in full; the others differ by their port.
        let text = if at == 0 {
            format!("http://{address}/metrics")
        } else {
            format!("  :{}/metrics", address.port())
        };
        agents.push(span(&text, Tone::Plain));
    }
    vec![
        words::apart(title, right, width),
        Line::from(vec![
            quiet(" status page  "),
            span(&format!("http://{}/", addresses.collector), Tone::Strong),
            span("  also /metrics and /api/v1/incidents", Tone::Plain),
        ]),
        Line::from(agents),
    ]
}

/// The keys, in as many rows as they need.
fn footer(model: &Model, look: Look, width: usize) -> Vec<Line<'static>> {
    let others = [('0', "heal all"), ('q', "quit")];
    let keys = MENU.iter().map(|mischief| (mischief.key, mischief.words)).chain(others);
    let mut lines = vec![words::rule("break it, and heal it", look, width), Line::default()];
    let mut used = 0;
    for (key, text) in keys {
        let length = 3 + text.chars().count();
        // Between two keys there are two spaces; the first of a line has one before it.
        let mut before = if used == 0 { " " } else { "  " };
        if used + before.len() + length > width + 1 {
            lines.push(Line::default());
            (used, before) = (0, " ");
        }
        used += before.len() + length - 1;
        let broken = model.broken.iter().any(|(mischief, _)| mischief.key == key);
        let (of_key, of_text) = if broken { (Tone::Bad, Tone::Bad) } else { (Tone::Strong, Tone::Plain) };
        if let Some(line) = lines.last_mut() {
            line.push_span(Span::raw(before));
            line.push_span(Span::styled(format!("{key} "), look.style(of_key)));
            line.push_span(Span::styled(text, look.style(of_text)));
        }
    }
    lines
}
