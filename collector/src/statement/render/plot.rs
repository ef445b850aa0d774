//! The plots, as SVG that prints: a calendar of downtime, the error budget, delivery times.
//!
//! Colour is never alone: what differs in colour differs in shape, pattern or label too.

use jiff::Timestamp;
use maud::{Markup, html};

use super::super::document::{DayLine, Standing, Statement};
use super::words;

const WIDTH: f64 = 720.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 20.0;

/// A row a day, midnight to midnight: what was down, left out, or not known.
pub(super) fn calendar(statement: &Statement) -> Markup {
    const ROW: f64 = 9.0;
    const TOP: f64 = 16.0;
    let days = &statement.days;
    let height = TOP + ROW * count(days.len()) + 4.0;
    let end = |at: usize| days.get(at + 1).map_or(statement.span.as_of, |day| day.from);
    let longest = (0..days.len()).map(|at| seconds(days[at].from, end(at))).fold(86_400.0, f64::max);
    let across = |from: Timestamp, at: Timestamp| LEFT + (WIDTH - LEFT - RIGHT) * seconds(from, at) / longest;
    let bars = |from: Timestamp, until: Timestamp, class: &'static str| {
        let rows = (0..days.len()).filter(move |at| days[*at].from < until && end(*at) > from);
        rows.map(move |at| {
            let day = days[at].from;
            let (left, right) = (across(day, from.max(day)), across(day, until.min(end(at))));
            let y = TOP + ROW * count(at) + 1.0;
            let pattern = match class {
                "window" => Some("url(#hatch)"),
                "gap" => Some("url(#dots)"),
                _ => None,
            };
            html! { rect class=(class) fill=[pattern] x=(px(left)) y=(px(y)) width=(px((right - left).max(1.5))) height=(px(ROW - 2.0)) {} }
        })
    };
    html! {
        svg viewBox=(format!("0 0 {WIDTH} {height}")) role="img" aria-label="Downtime by day and hour" {
            (patterns())
            @for hour in [0_u8, 6, 12, 18, 24] {
                @let x = LEFT + (WIDTH - LEFT - RIGHT) * f64::from(hour) * 3_600.0 / longest;
                text class="tick" x=(px(x)) y="10" text-anchor="middle" { (format!("{hour:02}:00")) }
                line class="grid" x1=(px(x)) x2=(px(x)) y1=(px(TOP)) y2=(px(height - 4.0)) {}
            }
            @for (at, day) in days.iter().enumerate() {
                @let y = TOP + ROW * count(at);
                rect class="up" x=(px(LEFT)) y=(px(y + 1.0)) width=(px(across(day.from, end(at)) - LEFT)) height=(px(ROW - 2.0)) {}
                text class="tick" x=(px(LEFT - 4.0)) y=(px(y + 7.5)) text-anchor="end" { (day.date.to_string()) }
            }
            @for gap in &statement.gaps { @for bar in bars(gap.from, gap.until, "gap") { (bar) } }
            @for window in &statement.windows { @for bar in bars(window.from, window.until, "window") { (bar) } }
            @for downtime in &statement.downtimes {
                @let class = if downtime.standing == Standing::Counts { "down" } else { "aside" };
                @for bar in bars(downtime.from, downtime.until, class) { (bar) }
            }
        }
    }
}

fn patterns() -> Markup {
    html! {
        defs {
            pattern id="hatch" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
                rect class="hatch-ground" width="5" height="5" {}
                line class="hatch-line" x1="0" y1="0" x2="0" y2="5" {}
            }
            pattern id="dots" width="4" height="4" patternUnits="userSpaceOnUse" {
                rect class="dots-ground" width="4" height="4" {}
                circle class="dots-dot" cx="2" cy="2" r="0.9" {}
            }
        }
    }
}

/// What is left of the error budget, day by day.
pub(super) fn budget(statement: &Statement) -> Markup {
    let allowed = number(statement.budget.allowed_s);
    let left = |day: &DayLine| allowed - number(day.spent_s);
    let lowest = statement.days.iter().map(left).fold(0.0, f64::min);
    let frame = Frame::new(lowest, allowed.max(1.0), statement.days.len());
    let mut points = vec![(LEFT, frame.y(allowed))];
    points.extend(statement.days.iter().enumerate().map(|(at, day)| (frame.x(at + 1), frame.y(left(day)))));
    let label = |value: f64| {
        let sign = if value < 0.0 { "-" } else { "" };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a label of whole seconds"
        )]
        let words = words::duration(value.abs().round() as u64);
        format!("{sign}{words}")
    };
    let mut marks = vec![(0.0, "0".to_owned())];
    // Where the budget is next to nothing beside what was spent, its label would lie on that of 0.
    if frame.y(0.0) - frame.y(allowed) > 8.0 {
        marks.push((allowed, label(allowed)));
    }
    if lowest < 0.0 {
        marks.push((lowest, label(lowest)));
    }
    html! {
        svg viewBox=(format!("0 0 {WIDTH} {}", Frame::HEIGHT)) role="img" aria-label="Error budget left, day by day" {
            (frame.axes(&marks, &statement.days))
            line class="zero" x1=(px(LEFT)) x2=(px(WIDTH - RIGHT)) y1=(px(frame.y(0.0))) y2=(px(frame.y(0.0))) {}
            polyline class="spent" points=(polyline(&points)) {}
        }
    }
}

/// The median and the 95th percentile of delivery times, day by day.
pub(super) fn delivery(statement: &Statement) -> Markup {
    let days = &statement.days;
    let most = days.iter().filter_map(|day| day.p95_us).max().unwrap_or(0);
    let frame = Frame::new(0.0, number(most).max(1.0), days.len());
    let line = |of: fn(&DayLine) -> Option<u64>| {
        let known = days.iter().enumerate().filter_map(|(at, day)| Some((at, of(day)?)));
        known.map(|(at, us)| (frame.middle(at), frame.y(number(us)))).collect::<Vec<_>>()
    };
    let (median, high) = (line(|day| day.median_us), line(|day| day.p95_us));
    let marks = [
        (number(most), words::delay(Some(most))),
        (number(most / 2), words::delay(Some(most / 2))),
        (0.0, "0".into()),
    ];
    html! {
        svg viewBox=(format!("0 0 {WIDTH} {}", Frame::HEIGHT)) role="img" aria-label="Delivery times, day by day" {
            (frame.axes(&marks, days))
            polyline class="high" points=(polyline(&high)) {}
            polyline class="median" points=(polyline(&median)) {}
            @for (x, y) in &median { circle class="median-dot" cx=(px(*x)) cy=(px(*y)) r="1.8" {} }
        }
    }
}

/// Where values and days are drawn.
struct Frame {
    low: f64,
    high: f64,
    days: f64,
}

impl Frame {
    const HEIGHT: f64 = 132.0;
    const TOP: f64 = 8.0;
    const BOTTOM: f64 = 16.0;

    fn new(low: f64, high: f64, days: usize) -> Self {
        Self { low, high, days: count(days.max(1)) }
    }

    fn y(&self, value: f64) -> f64 {
        let share = (value - self.low) / (self.high - self.low);
        Self::HEIGHT - Self::BOTTOM - share * (Self::HEIGHT - Self::TOP - Self::BOTTOM)
    }

    fn x(&self, day: usize) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * count(day) / self.days
    }

    fn middle(&self, day: usize) -> f64 {
        f64::midpoint(self.x(day), self.x(day + 1))
    }

    fn axes(&self, marks: &[(f64, String)], days: &[DayLine]) -> Markup {
        let every = days.len().div_ceil(16).max(1);
        html! {
            @for (value, label) in marks {
                line class="grid" x1=(px(LEFT)) x2=(px(WIDTH - RIGHT)) y1=(px(self.y(*value))) y2=(px(self.y(*value))) {}
                text class="tick" x=(px(LEFT - 4.0)) y=(px(self.y(*value) + 3.0)) text-anchor="end" { (label) }
            }
            @for (at, day) in days.iter().enumerate().step_by(every) {
                text class="tick" x=(px(self.middle(at))) y=(px(Self::HEIGHT - 3.0)) text-anchor="middle" {
                    (day.date.day())
                }
            }
        }
    }
}

fn polyline(points: &[(f64, f64)]) -> String {
    points.iter().map(|(x, y)| format!("{},{}", px(*x), px(*y))).collect::<Vec<_>>().join(" ")
}

fn px(value: f64) -> String {
    format!("{value:.1}")
}

#[expect(clippy::cast_precision_loss, reason = "for drawing")]
fn number(value: u64) -> f64 {
    value as f64
}

#[expect(clippy::cast_precision_loss, reason = "for drawing")]
fn count(value: usize) -> f64 {
    value as f64
}

fn seconds(from: Timestamp, until: Timestamp) -> f64 {
    until.duration_since(from).as_secs_f64()
}
