//! Exact numbers: percentages, shares and money. No float ever touches them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Units in one percent: seven digits after the point are kept.
const UNITS: u64 = 10_000_000;

/// A percentage from 0 to 100, as it is written: `"99.999"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent(u64);

impl Percent {
    /// All of it.
    pub const ALL: Self = Self(100 * UNITS);

    /// So many whole percent; more than 100 is 100.
    pub const fn whole(percent: u64) -> Self {
        if percent > 100 { Self::ALL } else { Self(percent * UNITS) }
    }

    /// Whether it is 0.
    pub fn is_nothing(self) -> bool {
        self.0 == 0
    }

    /// What is missing from 100 %.
    #[must_use]
    pub fn rest(self) -> Self {
        Self(Self::ALL.0 - self.0)
    }

    /// Both together, 100 % at most.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self((self.0 + other.0).min(Self::ALL.0))
    }

    /// So much of an amount, the part that is not whole cut off.
    pub fn of(self, whole: u64) -> u64 {
        let part = u128::from(whole) * u128::from(self.0) / u128::from(Self::ALL.0);
        u64::try_from(part).unwrap_or(whole)
    }

    /// So much of an amount, rounded to the nearest whole, a half upwards.
    pub fn of_rounded(self, whole: u64) -> u64 {
        let all = u128::from(Self::ALL.0);
        let part = (u128::from(whole) * u128::from(self.0) * 2 + all) / (all * 2);
        u64::try_from(part).unwrap_or(whole)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / UNITS, self.0 % UNITS);
        if part == 0 {
            return f.pad(&whole.to_string());
        }
        f.pad(format!("{whole}.{part:07}").trim_end_matches('0'))
    }
}

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a percentage; {WRITTEN}");
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(part) || whole.len() > 3 || part.len() > 7 {
            return Err(wrong());
        }
        let number = |text: &str| text.parse::<u64>().map_err(|_| wrong());
        let units = number(whole)? * UNITS + number(&format!("{part:0<7}"))?;
        if units > Self::ALL.0 { Err(wrong()) } else { Ok(Self(units)) }
    }
}

const WRITTEN: &str = "write it in quotes, from \"0\" to \"100\", such as \"99.95\" (seven digits after the \
                       point at most)";

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Written;
        impl de::Visitor<'_> for Written {
            type Value = Percent;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a percentage in quotes, such as \"99.95\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Percent, E> {
                text.parse().map_err(E::custom)
            }
        }
        reader.deserialize_str(Written)
    }
}

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, writer: S) -> Result<S::Ok, S::Error> {
        writer.collect_str(self)
    }
}

/// A part of a whole, kept as both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// The part.
    pub part: u64,
    /// The whole; where it is 0 the share is not known.
    pub whole: u64,
}

impl Share {
    /// This part of that whole.
    pub fn new(part: u64, whole: u64) -> Self {
        Self { part, whole }
    }

    /// Whether it is less than a percentage, exactly; nothing is less where nothing is known.
    pub fn is_below(self, percent: Percent) -> bool {
        u128::from(self.part) * u128::from(Percent::ALL.0) < u128::from(percent.0) * u128::from(self.whole)
    }

    /// Whether it is more than a percentage, exactly.
    pub fn is_above(self, percent: Percent) -> bool {
        u128::from(self.part) * u128::from(Percent::ALL.0) > u128::from(percent.0) * u128::from(self.whole)
    }

    /// For plots and bars only.
    #[expect(clippy::cast_precision_loss, reason = "for drawing")]
    pub fn ratio(self) -> Option<f64> {
        (self.whole > 0).then(|| self.part as f64 / self.whole as f64)
    }
}

/// As a percentage cut off (never rounded up) after five digits; `-` where nothing is known.
impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.whole == 0 {
            return f.pad("-");
        }
        let units = u128::from(self.part) * 10_000_000 / u128::from(self.whole);
        f.pad(&format!("{}.{:05} %", units / 100_000, units % 100_000))
    }
}

/// An amount of money in the smallest unit of its currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Money {
    /// How many of the smallest unit: cents, for euros.
    pub minor: u64,
    /// The currency.
    pub currency: String,
    /// How many digits the smallest unit has behind the point.
    pub digits: u8,
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.digits == 0 {
            return f.pad(&format!("{} {}", self.minor, self.currency));
        }
        let digits = usize::from(self.digits);
        let unit = 10_u64.saturating_pow(u32::from(self.digits));
        f.pad(&format!("{}.{:0digits$} {}", self.minor / unit, self.minor % unit, self.currency))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn percent(text: &str) -> Percent {
        text.parse().expect("a percentage")
    }

    #[test]
    fn percentages_are_read_and_shown_as_they_are_written() {
        for text in ["0", "5", "99.999", "100", "0.0000001", "33.3"] {
            assert_eq!(percent(text).to_string(), text);
        }
        for bad in ["", "100.1", "-1", "1e2", "99,9", ".5", "5.", "0.00000001", "1000", "+5", " 5"] {
            assert!(bad.parse::<Percent>().is_err(), "{bad}");
        }
        assert_eq!(percent("99.999").rest(), percent("0.001"));
    }

    #[test]
    fn a_share_is_compared_exactly_and_never_rounded_up() {
        // 99,999 of 100,000 is 99.999 %: not below it, and one less is.
        assert!(!Share::new(99_999, 100_000).is_below(percent("99.999")));
        assert!(Share::new(99_998, 100_000).is_below(percent("99.999")));
        assert!(!Share::new(0, 0).is_below(Percent::ALL), "nothing known is no breach");
        assert_eq!(Share::new(2_999_999, 3_000_000).to_string(), "99.99996 %");
        assert_eq!(Share::new(10_000_000_000_000, 10_000_000_000_001).to_string(), "99.99999 %");
        assert_eq!(Share::new(5, 5).to_string(), "100.00000 %");
        assert_eq!(Share::new(0, 0).to_string(), "-");
    }

    #[test]
    fn money_is_rounded_to_the_cent_a_half_upwards() {
        // 10 % of 12.34 is 1.234, of 12.35 is 1.235, 2.5 % of 10.00 is 0.25.
        assert_eq!(Percent::whole(10).of_rounded(1_234), 123);
        assert_eq!(Percent::whole(10).of_rounded(1_235), 124);
        assert_eq!(percent("2.5").of_rounded(1_000), 25);
        assert_eq!(Percent::whole(10).of(1_235), 123);
        let shown = |minor, digits| Money { minor, currency: "EUR".into(), digits }.to_string();
        assert_eq!(
            (shown(5, 2), shown(123_456, 2), shown(7, 0)),
            ("0.05 EUR".into(), "1234.56 EUR".into(), "7 EUR".into())
        );
    }
}
