//! How fast an error budget burns, by two windows each: a long one that means it, and a short one that
//! ends it soon. Pure; counts come in, a verdict with its reason goes out.
//!
//! Probes are few, so every alert wants at least [`GUARD`] failures: at one probe a minute from three
//! regions a single failure in an hour already burns a 99.9 % month 5.6 times too fast.

use jiff::SignedDuration;
use mailsonar_settings::{Document, Duration, Problem};
use serde::Deserialize;

/// The least number of failures in the long window.
pub const GUARD: u64 = 3;

/// `[services.NAME.objective]`.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Objective {
    /// The part of probes that shall be delivered in time, such as 0.999.
    pub target: f64,
    /// Over how long.
    #[serde(default = "month")]
    pub window: Duration,
}

fn month() -> Duration {
    Duration::from_secs(30 * 86_400)
}

impl Objective {
    /// What cannot be meant of the objective at `place`.
    pub fn check(&self, place: &str, retention: Duration, document: &Document) -> Vec<Problem> {
        let mut problems = Vec::new();
        if !(self.target > 0.0 && self.target < 1.0) {
            let remedy = "write a part such as 0.999; 1 would leave nothing to spend";
            problems.push(document.problem(&format!("{place}.target"), "is not between 0 and 1", remedy));
        }
        if self.window > retention {
            let message = "is longer than probes are kept ([store] retention)";
            problems.push(document.problem(
                &format!("{place}.window"),
                message,
                "shorten it, or keep probes longer",
            ));
        }
        problems
    }
}

/// Probes in a span of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// All that say something.
    pub probes: u64,
    /// Those that failed.
    pub failed: u64,
}

impl Tally {
    /// Counts one more.
    pub fn count(&mut self, failed: bool) {
        self.probes += 1;
        self.failed += u64::from(failed);
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of probes are far below 2^52")]
    fn failed_part(self) -> f64 {
        if self.probes == 0 { 0.0 } else { self.failed as f64 / self.probes as f64 }
    }
}

/// A pair of windows, and how many times too fast both must burn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// The long one.
    pub long: SignedDuration,
    /// The short one.
    pub short: SignedDuration,
    /// How many times faster than the budget allows.
    pub factor: f64,
    /// `critical` wakes somebody, `warning` is a ticket.
    pub severity: &'static str,
}

/// Every pair, the worst first.
pub const PAIRS: [Pair; 3] = [
    Pair {
        long: SignedDuration::from_hours(1),
        short: SignedDuration::from_mins(5),
        factor: 14.4,
        severity: "critical",
    },
    Pair {
        long: SignedDuration::from_hours(6),
        short: SignedDuration::from_mins(30),
        factor: 6.0,
        severity: "critical",
    },
    Pair {
        long: SignedDuration::from_hours(72),
        short: SignedDuration::from_hours(6),
        factor: 1.0,
        severity: "warning",
    },
];

/// A budget that burns too fast.
#[derive(Debug, Clone, PartialEq)]
pub struct Burn {
    /// `critical` or `warning`.
    pub severity: &'static str,
    /// Over which pair of windows.
    pub pair: Pair,
    /// The long window's probes.
    pub tally: Tally,
    /// A sentence for a person.
    pub words: String,
}

/// Whether a budget burns too fast, given the long and the short tally of each of [`PAIRS`].
pub fn burning(service: &str, objective: &Objective, tallies: &[(Tally, Tally); 3]) -> Option<Burn> {
    let allowed = 1.0 - objective.target;
    PAIRS.into_iter().zip(tallies).find_map(|(pair, (long, short))| {
        let rate = long.failed_part() / allowed;
        let both = rate >= pair.factor && short.failed_part() / allowed >= pair.factor;
        (both && long.failed >= GUARD).then(|| Burn {
            severity: pair.severity,
            pair,
            tally: *long,
            words: format!(
                "The error budget of {service} ({}) burns {rate:.1} times too fast: {} of {} probes failed within \
                 {}, and it goes on.",
                percent(objective.target),
                long.failed,
                long.probes,
                hours(pair.long),
            ),
        })
    })
}

/// What is left of the budget: 1 untouched, 0 spent, less than 0 overspent; none while no probe says anything.
pub fn remaining(objective: &Objective, tally: Tally) -> Option<f64> {
    (tally.probes > 0).then(|| 1.0 - tally.failed_part() / (1.0 - objective.target))
}

/// An objective as people write it.
fn percent(target: f64) -> String {
    let text = format!("{:.4}", target * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

fn hours(span: SignedDuration) -> String {
    match span.as_hours() {
        1 => "an hour".into(),
        hours if hours >= 48 => format!("{} days", hours / 24),
        hours => format!("{hours} hours"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECTIVE: Objective = Objective { target: 0.999, window: Duration::from_secs(30 * 86_400) };

    fn tally(failed: u64, probes: u64) -> Tally {
        Tally { probes, failed }
    }

    fn of(hour: (u64, u64), six: (u64, u64), days: (u64, u64)) -> Option<&'static str> {
        let pair =
            |(long, short): (u64, u64), probes: u64, few: u64| (tally(long, probes), tally(short, few));
        let tallies = [pair(hour, 180, 15), pair(six, 1080, 90), pair(days, 12_960, 1080)];
        burning("acme", &OBJECTIVE, &tallies).map(|burn| burn.severity)
    }

    #[test]
    fn one_blip_says_nothing_however_fast_it_burns() {
        assert_eq!(of((1, 1), (1, 1), (1, 1)), None);
        assert_eq!(of((2, 2), (2, 2), (2, 2)), None, "two are below the guard");
    }

    #[test]
    fn a_fast_fire_pages_a_slow_one_is_a_ticket_and_one_that_went_out_is_over() {
        assert_eq!(of((3, 1), (3, 1), (3, 1)), Some("critical"), "3 of 180 is 16.7 times too fast");
        assert_eq!(of((3, 0), (7, 1), (7, 7)), Some("critical"), "7 of 1080 is 6.5 times too fast");
        assert_eq!(of((0, 0), (1, 0), (13, 2)), Some("warning"), "13 of 12960 is just too fast");
        assert_eq!(of((60, 0), (60, 0), (60, 0)), None, "an hour ago, and nothing since");
    }

    #[test]
    fn the_budget_is_told_in_parts_of_itself() {
        assert_eq!(remaining(&OBJECTIVE, tally(0, 0)), None);
        for (failed, left) in [(0, 1.0), (65, 0.5), (130, 0.0), (260, -1.0)] {
            let found = remaining(&OBJECTIVE, tally(failed, 130_000)).expect("probes say something");
            assert!((found - left).abs() < 1e-9, "{failed}: {found}");
        }
    }

    #[test]
    fn the_sentence_names_service_objective_counts_and_span() {
        let tallies = [(tally(9, 180), tally(2, 15)), Default::default(), Default::default()];
        let burn = burning("acme", &OBJECTIVE, &tallies).expect("it burns");
        assert_eq!(
            burn.words,
            "The error budget of acme (99.9 %) burns 50.0 times too fast: 9 of 180 probes failed within an hour, \
             and it goes on."
        );
    }
}
