//! How much mail was stuck at each moment of an incident, as a drawing. Pure.

use jiff::Timestamp;
use maud::{Markup, html};

use super::words::{clock_text, count, span};
use crate::incident::Clocks;

const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 90.0;
/// Steps of the drawing.
const STEPS: usize = 150;

/// Mail under way at each of so many moments.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stuck {
    from: Timestamp,
    until: Timestamp,
    counts: Vec<usize>,
}

impl Stuck {
    /// From the spans in which each mail was under way (without an end: it still is).
    pub(super) fn over(spans: &[(Timestamp, Option<Timestamp>)], from: Timestamp, until: Timestamp) -> Self {
        let length = (until.as_microsecond() - from.as_microsecond()).max(1);
        let moment = |step: usize| {
            let share =
                i64::try_from(step).unwrap_or(0).saturating_mul(length / i64::try_from(STEPS).unwrap_or(1));
            from.as_microsecond() + share
        };
        let under_way = |at: i64| {
            let is = |(start, end): &&(Timestamp, Option<Timestamp>)| {
                start.as_microsecond() <= at && end.is_none_or(|end| end.as_microsecond() > at)
            };
            spans.iter().filter(is).count()
        };
        let counts = if spans.is_empty() {
            Vec::new()
        } else {
            (0..=STEPS).map(|step| under_way(moment(step))).collect()
        };
        Self { from, until, counts }
    }

    /// Whether there is nothing to draw.
    pub(super) fn is_empty(&self) -> bool {
        self.counts.iter().all(|count| *count == 0)
    }

    /// The drawing, with the clocks as marks.
    pub(super) fn draw(&self, clocks: &Clocks, now: Timestamp) -> Markup {
        let most = self.counts.iter().copied().max().unwrap_or(0);
        if most == 0 {
            return html! {};
        }
        let marks = [clocks.accepting_at, clocks.on_time_at, clocks.drained_at];
        let label = format!(
            "Delayed mail under way, from {} until {}: at most {}",
            clock_text(self.from, now),
            clock_text(self.until, now),
            count(most as u64, "mail")
        );
        html! {
            figure.stuck {
                svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) preserveAspectRatio="none" role="img" aria-label=(label) {
                    path.area d=(self.area(most)) {}
                    @for at in marks.into_iter().flatten() {
                        @let x = self.x(at);
                        path.mark d=(format!("M{x:.1} 0V{HEIGHT}")) {}
                    }
                }
                figcaption {
                    span { (clock_text(self.from, now)) }
                    span { "at most " (count(most as u64, "delayed mail")) " under way at once, over " (span(self.until.duration_since(self.from))) }
                    span { (clock_text(self.until, now)) }
                }
            }
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a drawing")]
    fn area(&self, most: usize) -> String {
        let corner = |(step, count): (usize, &usize)| {
            let x = WIDTH * step as f64 / STEPS as f64;
            let y = HEIGHT - 4.0 - (HEIGHT - 8.0) * *count as f64 / most as f64;
            format!("{x:.1} {y:.1}")
        };
        let corners: Vec<String> = self.counts.iter().enumerate().map(corner).collect();
        format!("M0 {HEIGHT}L{}V{HEIGHT}z", corners.join("L"))
    }

    #[expect(clippy::cast_precision_loss, reason = "a drawing")]
    fn x(&self, at: Timestamp) -> f64 {
        let length = (self.until.as_microsecond() - self.from.as_microsecond()).max(1) as f64;
        let share = (at.as_microsecond() - self.from.as_microsecond()) as f64 / length;
        share.clamp(0.0, 1.0) * WIDTH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_under_way_rises_and_drains() {
        let at = |second: i64| Timestamp::from_second(second).expect("in range");
        let spans = [(at(0), Some(at(100))), (at(50), Some(at(150))), (at(60), None)];
        let stuck = Stuck::over(&spans, at(0), at(150));
        assert_eq!([stuck.counts[0], stuck.counts[70], stuck.counts[120], stuck.counts[150]], [1, 3, 2, 1]);
        assert!(Stuck::over(&[], at(0), at(9)).is_empty());
        let drawn =
            stuck.draw(&Clocks { accepting_at: Some(at(75)), ..Clocks::default() }, at(150)).into_string();
        assert!(drawn.contains("at most 3 mails") && drawn.contains("M300.0 0V90"), "{drawn}");
    }
}
