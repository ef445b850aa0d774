//! Maintenance that recurs: `[[maintenance]]` in the configuration, expanded into windows.
//!
//! Windows are written to the store some weeks ahead, so that reports show them, and know that they
//! were announced, whatever the configuration says later. Pure: a calendar and two times in, windows out.

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use mailsonar_protocol::ServiceName;
use mailsonar_settings::{Document, Duration, Problem};
use serde::Deserialize;

use super::{Silence, SilenceKind};
use crate::evaluate::Leg;
use crate::stable::stable_uuid;

/// How far ahead windows are known.
pub const AHEAD: SignedDuration = SignedDuration::from_hours(35 * 24);

/// The longest maintenance window.
const LONGEST: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Every announced maintenance.
pub type Calendar = Vec<Maintenance>;

/// `[[maintenance]]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Maintenance {
    /// The service; every service, if none is named.
    #[serde(default)]
    pub service: Option<ServiceName>,
    /// Its legs; all, if none is named.
    #[serde(default)]
    pub legs: Vec<Leg>,
    /// Days of the week and the time it begins: `"sunday 02:00"`.
    #[serde(default)]
    pub weekly: Vec<String>,
    /// Times at which it begins every day: `"02:00"`.
    #[serde(default)]
    pub daily: Vec<String>,
    /// Single beginnings: `"2026-12-05 22:00"`.
    #[serde(default)]
    pub dates: Vec<String>,
    /// How long it lasts.
    pub duration: Duration,
    /// Where these times are read from a clock on the wall: `"Europe/Berlin"`, `"UTC"`.
    pub time_zone: String,
    /// Why.
    pub reason: String,
    /// Who says so.
    #[serde(default = "default_author")]
    pub author: String,
}

fn default_author() -> String {
    "configuration".into()
}

/// When a maintenance begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beginning {
    Weekly(Weekday, Time),
    Daily(Time),
    Once(DateTime),
}

impl Beginning {
    /// The beginning on this day, if it has one.
    fn on(self, day: Date) -> Option<DateTime> {
        match self {
            Self::Weekly(weekday, time) => (day.weekday() == weekday).then(|| day.to_datetime(time)),
            Self::Daily(time) => Some(day.to_datetime(time)),
            Self::Once(at) => (at.date() == day).then_some(at),
        }
    }
}

impl Maintenance {
    fn beginnings(&self) -> Result<Vec<Beginning>, (&'static str, String)> {
        let weekly = self.weekly.iter().map(|text| weekly(text).map_err(|words| ("weekly", words)));
        let daily = self.daily.iter().map(|text| time(text).map(Beginning::Daily).map_err(|w| ("daily", w)));
        let dates = self.dates.iter().map(|text| date(text).map_err(|words| ("dates", words)));
        weekly.chain(daily).chain(dates).collect()
    }

    /// The windows that reach into a span of time.
    fn windows(&self, from: Timestamp, until: Timestamp) -> Vec<Silence> {
        let (Ok(zone), Ok(beginnings)) = (TimeZone::get(&self.time_zone), self.beginnings()) else {
            return Vec::new();
        };
        let length = self.duration.signed();
        let first = zone.to_datetime(from.saturating_sub(length).unwrap_or(from)).date();
        let last = zone.to_datetime(until).date();
        let days = first.series(jiff::Span::new().days(1)).take_while(|day| *day <= last);
        let legs: Vec<Option<Leg>> =
            if self.legs.is_empty() { vec![None] } else { self.legs.iter().copied().map(Some).collect() };
        days.flat_map(|day| beginnings.iter().filter_map(move |beginning| beginning.on(day)))
            // A time that the clocks skip is read as if they had not been put forward yet.
            .filter_map(|at| zone.to_ambiguous_timestamp(at).compatible().ok())
            .filter_map(|at| Some((at, at.checked_add(length).ok()?)))
            .filter(|(starts_at, ends_at)| *ends_at > from && *starts_at < until)
            .flat_map(|span| legs.iter().map(move |leg| (span, *leg)))
            .map(|(span, leg)| self.window(span, leg, from))
            .collect()
    }

    fn window(
        &self,
        (starts_at, ends_at): (Timestamp, Timestamp),
        leg: Option<Leg>,
        now: Timestamp,
    ) -> Silence {
        let id = stable_uuid(&[
            self.service.as_ref().map_or("", ServiceName::as_str),
            leg.map_or("", Leg::as_str),
            &starts_at.to_string(),
            &ends_at.to_string(),
            &self.reason,
        ]);
        Silence {
            id: format!("calendar-{}", id.as_simple()),
            kind: SilenceKind::Maintenance,
            service: self.service.clone(),
            leg,
            author: self.author.clone(),
            reason: self.reason.clone(),
            starts_at,
            ends_at,
            created_at: now,
            ended_by: None,
        }
    }
}

/// The windows of a calendar that are open at `now` or begin within [`AHEAD`].
pub fn windows(calendar: &Calendar, now: Timestamp) -> Vec<Silence> {
    let until = now.saturating_add(AHEAD).unwrap_or(Timestamp::MAX);
    calendar.iter().flat_map(|maintenance| maintenance.windows(now, until)).collect()
}

/// What cannot be meant.
pub fn check(calendar: &Calendar, document: &Document) -> Vec<Problem> {
    let mut problems = Vec::new();
    for maintenance in calendar {
        let mut problem = |key: &str, message: String, remedy: &str| {
            let message = format!("{key} ({:?}) {message}", maintenance.reason);
            problems.push(document.problem("maintenance", message, remedy));
        };
        if let Err((key, words)) = maintenance.beginnings() {
            problem(
                key,
                words,
                "write weekly = [\"sunday 02:00\"], daily = [\"02:00\"] or dates = [\"2026-12-05 22:00\"]",
            );
        }
        if maintenance.weekly.is_empty() && maintenance.daily.is_empty() && maintenance.dates.is_empty() {
            problem("weekly", "says nothing of when it begins".into(), "give weekly, daily or dates");
        }
        if let Err(error) = TimeZone::get(&maintenance.time_zone) {
            problem(
                "time_zone",
                error.to_string(),
                "write a name of the time zone database, such as \"Europe/Berlin\" or \"UTC\"",
            );
        }
        if maintenance.duration.signed() > LONGEST {
            problem(
                "duration",
                "is longer than a week".into(),
                "nobody would be paged for so long: write several",
            );
        }
        if maintenance.reason.trim().is_empty() {
            problem("reason", "is empty".into(), "say why, in a few words");
        }
    }
    problems
}

fn weekly(text: &str) -> Result<Beginning, String> {
    let wrong = || format!("{text:?} is not a day of the week and a time");
    let (day, at) = text.trim().split_once(' ').ok_or_else(wrong)?;
    let weekday = match day.to_ascii_lowercase().as_str() {
        "monday" => Weekday::Monday,
        "tuesday" => Weekday::Tuesday,
        "wednesday" => Weekday::Wednesday,
        "thursday" => Weekday::Thursday,
        "friday" => Weekday::Friday,
        "saturday" => Weekday::Saturday,
        "sunday" => Weekday::Sunday,
        _ => return Err(wrong()),
    };
    Ok(Beginning::Weekly(weekday, time(at)?))
}

fn time(text: &str) -> Result<Time, String> {
    text.trim().parse().map_err(|_| format!("{text:?} is not a time of day"))
}

fn date(text: &str) -> Result<Beginning, String> {
    let at: DateTime = text.trim().parse().map_err(|_| format!("{text:?} is not a date and a time"))?;
    Ok(Beginning::Once(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maintenance(more: &str) -> Maintenance {
        let text = format!("duration = \"2h\"\ntime_zone = \"Europe/Berlin\"\nreason = \"patches\"\n{more}");
        Document::new("m.toml", text).parse().expect("it is well written")
    }

    fn starts(maintenance: &Maintenance, from: &str, until: &str) -> Vec<String> {
        let [from, until] = [from, until].map(|text| text.parse().expect("a time"));
        maintenance.windows(from, until).iter().map(|window| window.starts_at.to_string()).collect()
    }

    #[test]
    fn weekly_windows_follow_the_wall_clock_through_the_change_of_time() {
        let sundays = maintenance("weekly = [\"sunday 03:30\"]");
        assert_eq!(
            starts(&sundays, "2026-10-17T00:00:00Z", "2026-11-02T00:00:00Z"),
            ["2026-10-18T01:30:00Z", "2026-10-25T02:30:00Z", "2026-11-01T02:30:00Z"],
            "summer time ended on 25 October"
        );
    }

    #[test]
    fn a_window_that_is_open_is_found_and_one_at_a_skipped_time_still_begins() {
        let nightly = maintenance("daily = [\"02:30\"]");
        let found = starts(&nightly, "2027-03-28T02:00:00Z", "2027-03-28T02:01:00Z");
        assert_eq!(found, ["2027-03-28T01:30:00Z"], "02:30 did not exist that night; 03:30 did");
    }

    #[test]
    fn every_leg_has_its_own_window_and_ids_do_not_change() {
        let once = maintenance("dates = [\"2026-12-05 22:00\"]\nlegs = [\"send\", \"receive\"]");
        let [now, later] =
            ["2026-12-01T00:00:00Z", "2026-12-02T00:00:00Z"].map(|t| t.parse().expect("a time"));
        let (first, again) = (windows(&vec![once.clone()], now), windows(&vec![once], later));
        assert_eq!(first.len(), 2);
        let ids = |windows: &[Silence]| windows.iter().map(|w| w.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&first), ids(&again));
        assert_ne!(first[0].id, first[1].id);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (more, words) in [
            ("weekly = [\"someday 02:00\"]", "not a day of the week"),
            ("daily = [\"25:00\"]", "not a time of day"),
            ("dates = [\"next week\"]", "not a date and a time"),
            ("", "nothing of when it begins"),
        ] {
            let document = Document::new("m.toml", "");
            let problems = check(&vec![maintenance(more)], &document);
            assert!(
                problems.iter().any(|problem| problem.to_string().contains(words)),
                "{more}: {problems:?}"
            );
        }
        let wrong = Maintenance { time_zone: "Mars/Olympus".into(), ..maintenance("daily = [\"02:00\"]") };
        assert!(!check(&vec![wrong], &Document::new("m.toml", "")).is_empty());
    }
}
