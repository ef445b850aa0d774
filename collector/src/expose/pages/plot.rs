//! Small drawings: delivery latency over a day, and the mail that was missing over an incident. Pure.

use jiff::Timestamp;
use maud::{Markup, html};

use super::words::{count, micros};
use crate::store::{QUARTER_US, Quarter};

/// Quarters in a day, and their width in the drawing.
pub(super) const QUARTERS: usize = 96;
const STEP: usize = 3;
const HEIGHT: f64 = 56.0;

/// Latency over the last day, seen from one region.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Latency {
    points: Vec<Option<Point>>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Point {
    median: Option<u64>,
    high: Option<u64>,
    probes: u64,
    failed: u64,
}

/// The first quarter of the last day.
pub(super) fn beginning(now: Timestamp) -> Timestamp {
    let quarter = now.as_microsecond() - now.as_microsecond().rem_euclid(QUARTER_US);
    let first = quarter - i64::try_from(QUARTERS - 1).unwrap_or(0) * QUARTER_US;
    Timestamp::from_microsecond(first).unwrap_or(Timestamp::MIN)
}

impl Latency {
    /// From the quarters of one lane.
    pub(super) fn of<'a>(quarters: impl Iterator<Item = &'a Quarter>, now: Timestamp) -> Self {
        let first = beginning(now).as_microsecond();
        let mut points = vec![None; QUARTERS];
        for quarter in quarters {
            let at = (quarter.quarter.as_microsecond() - first).div_euclid(QUARTER_US);
            if let Some(point) = usize::try_from(at).ok().and_then(|at| points.get_mut(at)) {
                *point = Some(Point {
                    median: quarter.latencies.quantile(0.5),
                    high: quarter.latencies.quantile(0.95),
                    probes: quarter.probes,
                    failed: quarter.failed,
                });
            }
        }
        Self { points }
    }

    /// The newest median.
    pub(super) fn newest(&self) -> Option<u64> {
        self.points.iter().rev().flatten().find_map(|point| point.median)
    }

    /// The least and the most that is drawn.
    pub(super) fn bounds(&self) -> Option<(u64, u64)> {
        let points = || self.points.iter().flatten();
        Some((points().filter_map(|p| p.median).min()?, points().filter_map(|p| p.high).max()?))
    }

    fn words(&self, whose: &str) -> String {
        let failed: u64 = self.points.iter().flatten().map(|point| point.failed).sum();
        let newest = self.newest().map_or("no delivery".into(), |newest| format!("{} now", micros(newest)));
        let range = self.bounds().map(|(least, most)| format!(", {} to {}", micros(least), micros(most)));
        let failures =
            if failed > 0 { format!(", {} failed", count(failed, "probe")) } else { String::new() };
        format!(
            "Delivery latency of the last 24 hours {whose}: {newest}{}{failures}",
            range.unwrap_or_default()
        )
    }

    /// The drawing, on a logarithmic scale between `bounds`: a line for the median, a band up to the 95th
    /// percentile, and a mark at the bottom where probes failed.
    pub(super) fn draw(&self, bounds: Option<(u64, u64)>, whose: &str) -> Markup {
        let scale = Scale::new(bounds);
        let width = QUARTERS * STEP;
        html! {
            svg.plot viewBox=(format!("0 0 {width} {HEIGHT}")) preserveAspectRatio="none" role="img"
                aria-label=(self.words(whose)) {
                @for run in self.runs() {
                    path.band d=(band(&run, scale)) {}
                    path.line d=(line(&run, scale)) {}
                }
                @for (at, point) in self.points.iter().enumerate() {
                    @if let Some(point) = point.filter(|point| point.failed > 0) {
                        @let height = failed_height(point);
                        rect.failed x=(at * STEP) y=(format!("{:.0}", HEIGHT - height)) width=(STEP - 1) height=(format!("{height:.0}")) {}
                    }
                }
            }
        }
    }

    /// Neighbouring quarters with a latency; a gap stays a gap.
    fn runs(&self) -> Vec<Vec<(usize, u64, u64)>> {
        let mut runs: Vec<Vec<(usize, u64, u64)>> = Vec::new();
        for (at, point) in self.points.iter().enumerate() {
            let Some((median, high)) = point.and_then(|point| point.median.zip(point.high)) else { continue };
            match runs.last_mut() {
                Some(run) if run.last().is_some_and(|last| last.0 + 1 == at) => run.push((at, median, high)),
                _ => runs.push(vec![(at, median, high)]),
            }
        }
        runs
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a quarter of an hour")]
fn failed_height(point: Point) -> f64 {
    (point.failed as f64 / point.probes.max(1) as f64 * HEIGHT).max(4.0)
}

/// From latencies to heights.
#[derive(Debug, Clone, Copy)]
struct Scale {
    least: f64,
    most: f64,
}

impl Scale {
    #[expect(clippy::cast_precision_loss, reason = "a drawing")]
    fn new(bounds: Option<(u64, u64)>) -> Self {
        let (least, most) = bounds.unwrap_or((1_000, 1_000_000));
        // At least a factor of eight, or a quiet line would look like a storm.
        let (least, most) = ((least.max(1) as f64).ln(), (most.max(1) as f64).ln());
        let missing = (8.0_f64.ln() - (most - least)).max(0.0);
        Self { least: least - missing / 2.0, most: most + missing / 2.0 }
    }

    #[expect(clippy::cast_precision_loss, reason = "a drawing")]
    fn y(self, us: u64) -> f64 {
        let share = ((us.max(1) as f64).ln() - self.least) / (self.most - self.least);
        HEIGHT - 3.0 - share * (HEIGHT - 6.0)
    }
}

/// Corners of a path, the pen held down.
fn path(corners: impl Iterator<Item = (usize, f64)>) -> String {
    corners.map(|(x, y)| format!("{x} {y:.1}")).collect::<Vec<_>>().join("L")
}

/// Along the medians; the last quarter is as wide as any, so that a single one is a line too.
fn line(run: &[(usize, u64, u64)], scale: Scale) -> String {
    format!("M{}h{STEP}", path(run.iter().map(|(at, median, _)| (at * STEP, scale.y(*median)))))
}

/// Along the 95th percentiles, and back along the medians.
fn band(run: &[(usize, u64, u64)], scale: Scale) -> String {
    let there = path(run.iter().map(|(at, _, high)| (at * STEP, scale.y(*high))));
    let last = run.last().map(|(at, median, _)| (at * STEP + STEP, scale.y(*median)));
    let back = run.iter().rev().map(|(at, median, _)| (at * STEP, scale.y(*median)));
    format!("M{there}h{STEP}L{}z", path(last.into_iter().chain(back)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Sketch;

    #[test]
    fn a_gap_stays_a_gap_and_the_newest_is_told() {
        let now: Timestamp = "2026-11-24T12:07:00Z".parse().expect("a time");
        let quarter = |at: &str, latency: u64, failed: u64| {
            let mut latencies = Sketch::default();
            latencies.add(latency, 1);
            Quarter {
                service: None,
                region: "eu".parse().expect("a name"),
                direction: None,
                quarter: at.parse().expect("a time"),
                probes: 2,
                failed,
                latencies,
            }
        };
        let quarters = [
            quarter("2026-11-23T12:15:00Z", 300_000, 0),
            quarter("2026-11-24T11:45:00Z", 310_000, 1),
            quarter("2026-11-24T12:00:00Z", 2_000_000, 0),
            quarter("2026-11-23T12:00:00Z", 9_000_000, 0),
        ];
        let latency = Latency::of(quarters.iter(), now);
        assert_eq!(latency.runs().iter().map(Vec::len).collect::<Vec<_>>(), [1, 2], "the last is too old");
        let drawn = latency.draw(latency.bounds(), "from eu").into_string();
        let newest = latency.newest().expect("there is one");
        assert!((1_900_000..2_100_000).contains(&newest), "{newest}");
        assert!(drawn.contains(&format!("from eu: {} now", micros(newest))), "{drawn}");
        assert!(drawn.contains("1 probe failed"), "{drawn}");
        assert_eq!(drawn.matches("class=\"failed\"").count(), 1);
    }
}
