//! Ninety days of a service as bars: coloured from incidents, grey where nobody looked.
//!
//! A bar's colour and height follow from how long mail did not flow on that day, so that a blip does
//! not paint a day red. Pure.

use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};

use super::words::{count, day, span};
use crate::store::{DAY_US, Day, Outage};

/// How many days are shown.
pub(super) const DAYS: usize = 90;

/// Width of a day in the drawing, gap included, and the drawing's height.
const STEP: usize = 4;
const HEIGHT: usize = 30;

/// What a day looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DayBar {
    pub(super) day: Timestamp,
    /// Whether any probe of it has a verdict.
    pub(super) seen: bool,
    /// How long mail did not flow.
    pub(super) down: SignedDuration,
}

/// Ninety days of one service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct History {
    pub(super) days: Vec<DayBar>,
}

/// The first of the days shown.
pub(super) fn beginning(now: Timestamp) -> Timestamp {
    let today = now.as_microsecond() - now.as_microsecond().rem_euclid(DAY_US);
    let first = today - i64::try_from(DAYS - 1).unwrap_or(0) * DAY_US;
    Timestamp::from_microsecond(first).unwrap_or(Timestamp::MIN)
}

impl History {
    /// From one service's outages and its days with data.
    pub(super) fn of<'a>(
        outages: impl Iterator<Item = &'a Outage>,
        seen: impl Iterator<Item = &'a Day>,
        now: Timestamp,
    ) -> Self {
        let first = beginning(now).as_microsecond();
        let mut days: Vec<DayBar> = (0..DAYS)
            .map(|at| DayBar {
                day: Timestamp::from_microsecond(first + i64::try_from(at).unwrap_or(0) * DAY_US)
                    .unwrap_or(now),
                seen: false,
                down: SignedDuration::ZERO,
            })
            .collect();
        for day in seen.filter(|day| day.probes > 0) {
            let at = (day.day.as_microsecond() - first) / DAY_US;
            if let Some(bar) = usize::try_from(at).ok().and_then(|at| days.get_mut(at)) {
                bar.seen = true;
            }
        }
        for (from, until) in united(outages, now) {
            for bar in &mut days {
                let (begin, end) = (bar.day.as_microsecond(), bar.day.as_microsecond() + DAY_US);
                let down = until.min(end) - from.max(begin);
                bar.down += SignedDuration::from_micros(down.max(0));
            }
        }
        Self { days }
    }

    /// How long mail did not flow, over all days.
    pub(super) fn down(&self) -> SignedDuration {
        self.days.iter().map(|bar| bar.down).sum()
    }

    /// The share of the time for which there is data in which mail flowed, in thousandths of a percent.
    pub(super) fn uptime(&self) -> Option<String> {
        let seen = self.days.iter().filter(|bar| bar.seen).count();
        let total = i128::from(DAY_US) * i128::try_from(seen).ok()?;
        let down = self.down().as_micros();
        // Rounded down: nothing that was down reads as a hundred percent.
        let share = (total - down).max(0).checked_mul(100_000)?.checked_div(total)?;
        Some(format!("{}.{:03} %", share / 1_000, share % 1_000))
    }

    fn words(&self) -> String {
        let bad = self.days.iter().filter(|bar| !bar.down.is_zero()).count();
        let blind = self.days.iter().filter(|bar| !bar.seen && bar.down.is_zero()).count();
        let words = match bad {
            0 => "Ninety days without an outage".to_owned(),
            bad => format!("Outages on {}, {} in all", count(bad as u64, "day"), span(self.down())),
        };
        let unknown = (blind > 0).then(|| format!("; no data on {}", count(blind as u64, "day")));
        words + &unknown.unwrap_or_default()
    }

    /// The bars. Equal neighbours are one stroke, dashed into days: fifty services must fit on a page.
    pub(super) fn draw(&self) -> Markup {
        let width = DAYS * STEP - 1;
        let mut runs: Vec<(bool, usize, usize)> = Vec::new();
        for (at, bar) in self.days.iter().enumerate() {
            let known = bar.seen || !bar.down.is_zero();
            match runs.last_mut() {
                Some((same, _, end)) if *same == known => *end = at + 1,
                _ => runs.push((known, at, at + 1)),
            }
        }
        html! {
            svg.days viewBox=(format!("0 0 {width} {HEIGHT}")) preserveAspectRatio="none" role="img"
                aria-label=(self.words()) {
                @for (known, from, until) in runs {
                    path.seen[known].blank[!known] d=(format!("M{} {}H{}", from * STEP, HEIGHT / 2, until * STEP - 1)) {}
                }
                @for (at, bar) in self.days.iter().enumerate().filter(|(_, bar)| !bar.down.is_zero()) {
                    @let (level, height) = level(bar.down);
                    rect class=(level) x=(at * STEP) y=(HEIGHT - height) width=(STEP - 1) height=(height) {
                        title { (day(bar.day)) ": " (span(bar.down)) }
                    }
                }
            }
        }
    }
}

/// Outages as disjoint spans, in microseconds.
fn united<'a>(outages: impl Iterator<Item = &'a Outage>, now: Timestamp) -> Vec<(i64, i64)> {
    let mut spans: Vec<(i64, i64)> = outages
        .map(|outage| {
            (outage.started_at.as_microsecond(), outage.resolved_at.unwrap_or(now).as_microsecond())
        })
        .collect();
    spans.sort_unstable();
    let mut united: Vec<(i64, i64)> = Vec::new();
    for (from, until) in spans {
        match united.last_mut() {
            Some((_, end)) if from <= *end => *end = until.max(*end),
            _ => united.push((from, until)),
        }
    }
    united
}

/// The colour and the height of what covers a day's bar.
fn level(down: SignedDuration) -> (&'static str, usize) {
    match down.as_mins() {
        ..5 => ("blip", HEIGHT / 5),
        5..30 => ("minor", HEIGHT * 2 / 5),
        30..120 => ("major", HEIGHT * 7 / 10),
        _ => ("severe", HEIGHT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::Leg;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn outage(from: &str, until: Option<&str>) -> Outage {
        Outage {
            incident: "i".into(),
            service: "acme".parse().expect("a name"),
            leg: Leg::Send,
            started_at: at(from),
            resolved_at: until.map(at),
        }
    }

    fn seen(day: &str) -> Day {
        Day { service: "acme".parse().expect("a name"), day: at(day), probes: 10, failed: 0 }
    }

    #[test]
    fn a_day_is_down_as_long_as_any_leg_was_and_a_night_belongs_to_both_days() {
        let now = at("2026-11-24T12:00:00Z");
        let outages = [
            outage("2026-11-22T23:00:00Z", Some("2026-11-23T02:00:00Z")),
            outage("2026-11-22T23:30:00Z", Some("2026-11-23T01:00:00Z")),
            outage("2026-11-24T11:00:00Z", None),
        ];
        let days = [seen("2026-11-23T00:00:00Z"), seen("2026-11-24T00:00:00Z")];
        let history = History::of(outages.iter(), days.iter(), now);
        let hours: Vec<i64> = history.days[87..].iter().map(|bar| bar.down.as_hours()).collect();
        assert_eq!(hours, [1, 2, 1]);
        assert_eq!(history.days.iter().filter(|bar| bar.seen).count(), 2);
        assert_eq!(history.uptime().as_deref(), Some("91.666 %"));
        let drawn = history.draw().into_string();
        assert!(drawn.contains("Outages on 3 days, 4 h in all; no data on 87 days"), "{drawn}");
    }

    #[test]
    fn a_blip_does_not_paint_a_day_red_and_does_not_round_away() {
        let now = at("2026-11-24T12:00:00Z");
        let blip = [outage("2026-11-24T11:00:00Z", Some("2026-11-24T11:00:40Z"))];
        let day = [seen("2026-11-24T00:00:00Z")];
        let history = History::of(blip.iter(), day.iter(), now);
        let drawn = history.draw().into_string();
        assert!(drawn.contains("class=\"blip\"") && !drawn.contains("severe"), "{drawn}");
        assert_eq!(history.uptime().as_deref(), Some("99.953 %"));
        assert_eq!(History::of([].iter(), [].iter(), now).uptime(), None, "no data is no uptime");
    }
}
