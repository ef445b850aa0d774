//! How figures are put into words.

use super::super::contract::{Measure, Statistic};
use super::super::document::{Cause, Clause, ClauseSubject, Downtime, Standing, Statement};
use super::super::exact::Percent;
use super::super::windows::WindowKind;

/// `3 h 12 min 4 s`.
pub(super) fn duration(seconds: u64) -> String {
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "min"),
        (seconds % 60, "s"),
    ];
    let words: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count} {unit}")).collect();
    if words.is_empty() { "0 s".into() } else { words.join(" ") }
}

/// Microseconds: `840 ms`, `12.3 s`, or as a duration from two minutes on.
pub(super) fn delay(us: Option<u64>) -> String {
    match us {
        None => "not known".into(),
        Some(us) if us < 1_000_000 => format!("{} ms", us / 1_000),
        Some(us) if us < 120_000_000 => format!("{}.{} s", us / 1_000_000, us / 100_000 % 10),
        Some(us) => duration(us / 1_000_000),
    }
}

/// The figure an availability clause is about.
pub(super) fn measure(measure: Measure) -> &'static str {
    match measure {
        Measure::Downtime => "Availability (known time without counted downtime)",
        Measure::Uptime => "Uptime (time with at least one region good)",
        Measure::Reachability => "Reachability (good probes over all)",
    }
}

fn statistic(statistic: Statistic, percent: Percent) -> String {
    match statistic {
        Statistic::Percentile => format!("Delivery time that {percent} % of the mail does not exceed"),
        Statistic::Mean => "Mean delivery time".into(),
        Statistic::FastestMean => format!("Mean delivery time of the fastest {percent} % of the mail"),
    }
}

/// What was promised of availability: `at least 99.9 %`.
pub fn promised(statement: &Statement) -> String {
    let of = |clause: &Clause| match &clause.subject {
        ClauseSubject::Availability { target, .. } => Some(format!("at least {target} %")),
        _ => None,
    };
    statement.clauses.iter().find_map(of).unwrap_or_default()
}

/// A clause: what it is about, what was promised, what was measured.
pub(super) fn clause(clause: &Clause) -> [String; 3] {
    match &clause.subject {
        ClauseSubject::Availability { measure: of, target, measured } => {
            [measure(*of).to_owned(), format!("at least {target} %"), measured.to_string()]
        }
        ClauseSubject::Delivery { statistic: of, percent, within_us, measured_us, arrived } => [
            statistic(*of, *percent),
            format!("at most {}", delay(Some(*within_us))),
            format!("{} over {arrived} messages", delay(*measured_us)),
        ],
        ClauseSubject::Recovery { within_s, longest_s, overran } => [
            "Time to recover".into(),
            format!("at most {}", duration(*within_s)),
            format!("longest {}; {overran} took longer", duration(*longest_s)),
        ],
    }
}

/// Whether a clause was kept.
pub(super) fn kept(clause: &Clause) -> (&'static str, &'static str) {
    match clause.kept {
        Some(true) => ("kept", "good"),
        Some(false) => ("not kept", "bad"),
        None => ("not known", "dim"),
    }
}

/// Whether a downtime counts.
pub(super) fn standing(downtime: &Downtime) -> String {
    match &downtime.standing {
        Standing::Counts if downtime.counted_s < downtime.seconds => {
            format!("counts for {}", duration(downtime.counted_s))
        }
        Standing::Counts => "counts".into(),
        Standing::TooShort => "too short to count".into(),
        Standing::Excluded { kind, reason } if reason.is_empty() => format!("excluded, {}", window(*kind)),
        Standing::Excluded { kind, reason } => format!("excluded, {}: {reason}", window(*kind)),
        Standing::OwnTrouble => "set aside: the regions or references were in trouble themselves".into(),
    }
}

/// A kind of window.
pub(super) fn window(kind: WindowKind) -> &'static str {
    match kind {
        WindowKind::Maintenance => "announced maintenance",
        WindowKind::ForceMajeure => "force majeure",
    }
}

/// `unreachable at connect (timeout), 41 times`.
pub(super) fn cause(cause: &Cause) -> String {
    let stage = cause.stage.map_or(String::new(), |stage| format!(" at {stage}"));
    let class = cause.class.map_or(String::new(), |class| format!(" ({class})"));
    let times = if cause.failures == 1 { "once".to_owned() } else { format!("{} times", cause.failures) };
    format!("{}: {}{stage}{class}, {times}", cause.leg, cause.outcome)
}

/// `1 failure`, `41 failures`.
pub(super) fn failures(failures: u64) -> String {
    if failures == 1 { "1 failure".into() } else { format!("{failures} failures") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        assert_eq!(duration(0), "0 s");
        assert_eq!(duration(11_524), "3 h 12 min 4 s");
        assert_eq!(duration(86_400), "1 d");
        assert_eq!(delay(Some(840_999)), "840 ms");
        assert_eq!(delay(Some(12_390_000)), "12.3 s");
        assert_eq!(delay(Some(600_000_000)), "10 min");
    }
}
