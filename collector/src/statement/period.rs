//! Periods: calendar months, quarters and years, in a time zone, daylight saving and all.
//!
//! A day is from one local midnight to the next, and so has 23 hours once a year and 25 another time.
//! Time zones come from the system's database; where there is none, from the one that is built in.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use serde::{Deserialize, Deserializer, Serialize, de};

use super::contract::DAYS;

/// A time zone by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    name: String,
    zone: TimeZone,
}

impl Zone {
    /// Its name, such as `Europe/Berlin`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The local date at an instant.
    pub fn date(&self, at: Timestamp) -> Date {
        at.to_zoned_datetime(self.zone.clone()).date()
    }

    /// The local date and time at an instant, to the second, with the offset.
    pub fn show(&self, at: Timestamp) -> String {
        at.to_zoned_datetime(self.zone.clone()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
    }

    /// The first instant of a day.
    pub fn midnight(&self, date: Date) -> Result<Timestamp, String> {
        let zoned = date.to_zoned_datetime(self.zone.clone()).map_err(|error| error.to_string())?;
        Ok(zoned.timestamp())
    }

    /// The day of a date, from its midnight to the next.
    pub fn day(&self, date: Date) -> Result<Day, String> {
        let tomorrow = date.tomorrow().map_err(|error| error.to_string())?;
        Ok(Day { date, start: self.midnight(date)?, end: self.midnight(tomorrow)? })
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self { name: "UTC".into(), zone: TimeZone::UTC }
    }
}

impl FromStr for Zone {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let unknown = |_| {
            format!(
                "{name:?} is not a time zone that is known here; write one such as \"Europe/Berlin\" or \"UTC\""
            )
        };
        Ok(Self { name: name.to_owned(), zone: TimeZone::get(name).map_err(unknown)? })
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<'de, str>::deserialize(reader)?;
        name.parse().map_err(de::Error::custom)
    }
}

/// How long a period is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeriodKind {
    /// A calendar month.
    #[default]
    Month,
    /// Three months, from January on.
    Quarter,
    /// A calendar year.
    Year,
}

impl PeriodKind {
    fn months(self) -> i8 {
        match self {
            Self::Month => 1,
            Self::Quarter => 3,
            Self::Year => 12,
        }
    }

    /// The first day of the period that a day is in.
    fn first(self, date: Date) -> Date {
        let month = (date.month() - 1) / self.months() * self.months() + 1;
        Date::new(date.year(), month, 1).unwrap_or(date)
    }
}

/// One day of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Day {
    /// Its date.
    pub date: Date,
    /// Its first instant.
    pub start: Timestamp,
    /// The first instant of the next.
    pub end: Timestamp,
}

/// One period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Period {
    /// What it is called: `2026-11`, `2026-Q4`, `2026`.
    pub name: String,
    /// Its days, in order; never empty.
    pub days: Vec<Day>,
    /// The local new year's midnight before it, and the next one.
    pub year: (Timestamp, Timestamp),
}

impl Period {
    /// The period of this kind that is called so.
    pub fn named(name: &str, kind: PeriodKind, zone: &Zone) -> Result<Self, String> {
        let wrong = || {
            let example = match kind {
                PeriodKind::Month => "2026-11",
                PeriodKind::Quarter => "2026-Q4",
                PeriodKind::Year => "2026",
            };
            format!("{name:?} is not a period of this contract; write one such as {example:?}")
        };
        let (year, rest) = name.split_once('-').unwrap_or((name, ""));
        let year: i16 = year.parse().ok().filter(|_| year.len() == 4).ok_or_else(wrong)?;
        let month = match (kind, rest) {
            (PeriodKind::Year, "") | (PeriodKind::Quarter, "Q1") => Some(1),
            (PeriodKind::Quarter, "Q2") => Some(4),
            (PeriodKind::Quarter, "Q3") => Some(7),
            (PeriodKind::Quarter, "Q4") => Some(10),
            (PeriodKind::Month, month) if month.len() == 2 => month.parse().ok(),
            _ => None,
        };
        let first = month.and_then(|month| Date::new(year, month, 1).ok()).ok_or_else(wrong)?;
        Self::from_first(first, kind, zone)
    }

    /// The period of this kind that an instant is in.
    pub fn around(at: Timestamp, kind: PeriodKind, zone: &Zone) -> Result<Self, String> {
        Self::from_first(kind.first(zone.date(at)), kind, zone)
    }

    /// The one before it.
    pub fn before(&self, kind: PeriodKind, zone: &Zone) -> Result<Self, String> {
        let last = self.days[0].date.yesterday().map_err(|error| error.to_string())?;
        Self::from_first(kind.first(last), kind, zone)
    }

    fn from_first(first: Date, kind: PeriodKind, zone: &Zone) -> Result<Self, String> {
        if !(DAYS.0..DAYS.1).contains(&first) {
            return Err(format!("{first} is outside of the years 2000 to 2099"));
        }
        let said = |error: jiff::Error| error.to_string();
        let next = first.checked_add(i32::from(kind.months()).months()).map_err(said)?;
        let mut days = Vec::new();
        let (mut date, mut start) = (first, zone.midnight(first)?);
        while date < next {
            let tomorrow = date.tomorrow().map_err(said)?;
            let end = zone.midnight(tomorrow)?;
            days.push(Day { date, start, end });
            (date, start) = (tomorrow, end);
        }
        let name = match kind {
            PeriodKind::Month => format!("{:04}-{:02}", first.year(), first.month()),
            PeriodKind::Quarter => format!("{:04}-Q{}", first.year(), first.month() / 3 + 1),
            PeriodKind::Year => format!("{:04}", first.year()),
        };
        let new_year = |year| Date::new(year, 1, 1).map_err(said).and_then(|date| zone.midnight(date));
        let year = (new_year(first.year())?, new_year(first.year() + 1)?);
        Ok(Self { name, days, year })
    }

    /// Its first instant.
    pub fn start(&self) -> Timestamp {
        self.days[0].start
    }

    /// The first instant after it.
    pub fn end(&self) -> Timestamp {
        self.days[self.days.len() - 1].end
    }

    /// How long it is.
    pub fn length(&self) -> SignedDuration {
        self.end().duration_since(self.start())
    }

    /// The last day on which something can be claimed that must be within so many days of its end.
    pub fn claim_until(&self, within_days: u16) -> Option<Date> {
        self.days[self.days.len() - 1].date.checked_add(i32::from(within_days).days()).ok()
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn period(name: &str, kind: PeriodKind, zone: &str) -> Period {
        Period::named(name, kind, &zone.parse().expect("a zone")).expect("a period")
    }

    fn hours(period: &Period) -> i64 {
        period.length().as_hours()
    }

    #[test]
    fn a_month_is_as_long_as_it_is_there() {
        let kind = PeriodKind::Month;
        assert_eq!(hours(&period("2026-11", kind, "UTC")), 30 * 24);
        assert_eq!(hours(&period("2028-02", kind, "UTC")), 29 * 24, "a leap year");
        assert_eq!(hours(&period("2026-03", kind, "Europe/Berlin")), 31 * 24 - 1, "summer time begins");
        assert_eq!(hours(&period("2026-10", kind, "Europe/Berlin")), 31 * 24 + 1, "and ends");
        assert_eq!(hours(&period("2026-10", kind, "Australia/Sydney")), 31 * 24 - 1, "there it begins");
        assert_eq!(
            period("2026-04", kind, "Australia/Lord_Howe").length().as_mins(),
            30 * 1_440 + 30,
            "half an hour"
        );
        let march = period("2026-03", kind, "Europe/Berlin");
        let short: Vec<i8> = march
            .days
            .iter()
            .filter(|day| day.end.duration_since(day.start).as_hours() == 23)
            .map(|day| day.date.day())
            .collect();
        assert_eq!(short, [29]);
        assert_eq!(march.start().to_string(), "2026-02-28T23:00:00Z");
    }

    #[test]
    fn other_periods_and_the_one_before() {
        let zone: Zone = "America/New_York".parse().expect("a zone");
        let quarter = period("2026-Q1", PeriodKind::Quarter, "America/New_York");
        assert_eq!(hours(&quarter), 90 * 24 - 1);
        assert_eq!(quarter.before(PeriodKind::Quarter, &zone).expect("one").name, "2025-Q4");
        assert_eq!(hours(&period("2026", PeriodKind::Year, "America/New_York")), 365 * 24);
        let at = "2026-12-01T04:59:59Z".parse().expect("a time");
        assert_eq!(
            Period::around(at, PeriodKind::Month, &zone).expect("one").name,
            "2026-11",
            "it is still evening"
        );
        for bad in ["2026-13", "2026-1", "26-11", "2026-Q1", "2026", "", "1999-12"] {
            assert!(Period::named(bad, PeriodKind::Month, &zone).is_err(), "{bad}");
        }
    }

    #[test]
    fn fourteen_days_after_november_end_with_the_14th_of_december() {
        let november = period("2026-11", PeriodKind::Month, "UTC");
        assert_eq!(november.claim_until(14).expect("a day").to_string(), "2026-12-14");
    }
}
