//! Lengths of time as people write them: `"90s"`, `"5m"`, `"1h 30m"`, `"7d"`.

use std::time::Duration as StdDuration;

use jiff::{Span, SpanRelativeTo};
use serde::{Deserialize, Deserializer, de};

/// A positive length of time. A day is 24 hours; months and years are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(StdDuration);

impl Duration {
    /// So many milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(StdDuration::from_millis(millis))
    }

    /// So many seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(StdDuration::from_secs(secs))
    }

    /// As the standard library has it.
    pub const fn get(self) -> StdDuration {
        self.0
    }

    /// In whole microseconds.
    pub fn as_micros(self) -> u64 {
        u64::try_from(self.0.as_micros()).unwrap_or(u64::MAX)
    }

    /// As jiff has it.
    pub fn signed(self) -> jiff::SignedDuration {
        jiff::SignedDuration::try_from(self.0).unwrap_or(jiff::SignedDuration::MAX)
    }
}

impl std::str::FromStr for Duration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let remedy = r#"write a length of time such as "90s", "5m", "1h 30m" or "7d""#;
        let span: Span = text.parse().map_err(|_| format!("{text:?} is not a length of time; {remedy}"))?;
        let length = span
            .to_duration(SpanRelativeTo::days_are_24_hours())
            .map_err(|_| format!("{text:?} has months or years, whose length varies; {remedy}"))?;
        match StdDuration::try_from(length) {
            Ok(length) if !length.is_zero() => Ok(Self(length)),
            _ => Err(format!("{text:?} is not a positive length of time; {remedy}")),
        }
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_str(Written)
    }
}

/// What is expected in a file: said in the error where it is something else.
struct Written;

impl de::Visitor<'_> for Written {
    type Value = Duration;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(r#"a length of time such as "90s", "5m", "1h 30m" or "7d""#)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_ways_of_writing_are_understood() {
        for (text, seconds) in
            [("90s", 90), ("5m", 300), ("1h 30m", 5_400), ("1h30m", 5_400), ("7d", 604_800)]
        {
            assert_eq!(text.parse(), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!("250ms".parse(), Ok(Duration::from_millis(250)));
        for bad in ["", "5", "5x", "-5s", "0s", "1 month", "1y"] {
            assert!(bad.parse::<Duration>().is_err(), "{bad}");
        }
    }
}
