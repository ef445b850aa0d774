//! A sketch of latencies: how many fell into each of a series of buckets, each 9 % wider than the one
//! before. That is as exact as latencies are known, merges by addition, and fits into a line of text.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Buckets to a doubling.
const STEPS: f64 = 8.0;

/// How many latencies there were of which length.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sketch(BTreeMap<u16, i64>);

impl Sketch {
    /// Adds a latency, in microseconds, so many times; takes it back where that is negative.
    pub fn add(&mut self, latency_us: u64, times: i64) {
        *self.0.entry(bucket(latency_us)).or_default() += times;
    }

    /// Adds all of another's.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, count) in &other.0 {
            *self.0.entry(*bucket).or_default() += count;
        }
        self.0.retain(|_, count| *count != 0);
    }

    /// The latency, in microseconds, that so much of them (0 to 1) do not exceed; `None` if there are none.
    pub fn quantile(&self, share: f64) -> Option<u64> {
        let counts = || self.0.iter().map(|(bucket, count)| (*bucket, (*count).max(0)));
        let total: i64 = counts().map(|(_, count)| count).sum();
        if total == 0 {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a rank among few")]
        let rank = ((total as f64 * share).ceil() as i64).clamp(1, total);
        let mut seen = 0;
        counts().find_map(|(bucket, count)| {
            seen += count;
            (seen >= rank).then(|| middle(bucket))
        })
    }
}

/// The bucket a latency falls into. What is below a millisecond is one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a week is bucket 233, and nothing is below 0"
)]
fn bucket(latency_us: u64) -> u16 {
    ((latency_us.max(1_000) as f64 / 1_000.0).log2() * STEPS).floor() as u16
}

/// The latency in the middle of a bucket, in microseconds.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and of no precision")]
fn middle(bucket: u16) -> u64 {
    (((f64::from(bucket) + 0.5) / STEPS).exp2() * 1_000.0) as u64
}

impl fmt::Display for Sketch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (bucket, count)) in self.0.iter().filter(|(_, count)| **count != 0).enumerate() {
            let gap = if at == 0 { "" } else { " " };
            write!(f, "{gap}{bucket}:{count}")?;
        }
        Ok(())
    }
}

impl FromStr for Sketch {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let pair = |pair: &str| {
            let (bucket, count) = pair.split_once(':')?;
            Some((bucket.parse().ok()?, count.parse().ok()?))
        };
        let pairs: Option<_> = text.split_ascii_whitespace().map(pair).collect();
        pairs.map(Self).ok_or_else(|| format!("{text:?} is not a sketch"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_empty_sketch_knows_no_latency() {
        assert_eq!(Sketch::default().quantile(0.5), None);
        assert_eq!("".parse(), Ok(Sketch::default()));
        assert!("7".parse::<Sketch>().is_err());
    }

    #[test]
    fn what_is_taken_back_leaves_nothing() {
        let mut sketch = Sketch::default();
        sketch.add(312_000, 1);
        sketch.add(312_000, -1);
        assert_eq!(sketch.quantile(0.5), None);
        assert_eq!(sketch.to_string(), "");
    }

    proptest! {
        #[test]
        fn quantiles_are_within_five_percent_and_survive_text(
            mut latencies in prop::collection::vec(1_000_u64..4_000_000_000, 1..200),
            share in 0.01..1.0_f64,
        ) {
            let (mut one, mut other) = (Sketch::default(), Sketch::default());
            for (at, latency) in latencies.iter().enumerate() {
                if at % 2 == 0 { &mut one } else { &mut other }.add(*latency, 1);
            }
            one.merge(&other.to_string().parse().expect("its own text"));
            latencies.sort_unstable();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a rank")]
            let rank = ((latencies.len() as f64 * share).ceil() as usize).clamp(1, latencies.len());
            #[expect(clippy::cast_precision_loss, reason = "a ratio")]
            let ratio = one.quantile(share).expect("some") as f64 / latencies[rank - 1] as f64;
            prop_assert!((0.95..1.05).contains(&ratio), "{ratio}");
        }
    }
}
