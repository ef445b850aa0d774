//! Random days in words.
#![expect(clippy::format_push_string, reason = "text for people, made once: plain words before allocations")]

use jiff::SignedDuration;

use super::{Chaos, Outcome, Size};

/// One day.
pub(super) fn day(outcome: &Outcome, size: Size) -> String {
    let chaos = Chaos::of(outcome.seed, size);
    let Outcome { seed, probes, incidents, pages, .. } = outcome;
    let mut text = format!("seed {seed}: {probes} probes, {incidents} incidents, {pages} pages\n");
    for event in &chaos.events {
        text += &format!("  {:>8}  {}\n", format!("{:#}", event.at), event.words);
    }
    match outcome.recovered_after {
        Some(after) => text += &format!("  recovered after {after:#}\n"),
        None => text += "  never recovered\n",
    }
    for broken in &outcome.broken {
        text += &format!("  BROKEN  {broken}\n");
    }
    text
}

/// Many days, added up.
pub(super) struct Sum {
    count: u64,
    size: Size,
    probes: usize,
    incidents: usize,
    pages: usize,
    longest: SignedDuration,
    /// The seeds of the days that broke something.
    pub failed: Vec<u64>,
}

impl Sum {
    pub(super) fn new(count: u64, size: Size) -> Self {
        let longest = SignedDuration::ZERO;
        Self { count, size, probes: 0, incidents: 0, pages: 0, longest, failed: Vec::new() }
    }

    pub(super) fn add(&mut self, outcome: &Outcome) {
        self.probes += outcome.probes;
        self.incidents += outcome.incidents;
        self.pages += outcome.pages;
        self.longest = self.longest.max(outcome.recovered_after.unwrap_or(SignedDuration::MAX));
        if !outcome.broken.is_empty() {
            self.failed.push(outcome.seed);
        }
    }

    pub(super) fn text(&self) -> String {
        let Self { count, probes, incidents, pages, longest, failed, .. } = self;
        let recovered = match longest {
            &SignedDuration::MAX => "some never recovered".to_owned(),
            longest => format!("recovered after {longest:#} at most"),
        };
        let mut text = format!(
            "{count} seeds, {probes} probes, {incidents} incidents, {pages} pages, {recovered}; {} seeds failed\n",
            failed.len()
        );
        let small = if self.size == Size::Small { " --small" } else { "" };
        for seed in failed {
            text += &format!("  again: mailsonar-rehearse seeds --seed {seed}{small}\n");
        }
        text
    }
}
