//! Delivery times: percentiles by nearest rank, and means, of the mail that arrived.
//!
//! Exact: every time is kept for the while. What did not arrive has no delivery time, and is counted as
//! a failure instead.

use super::contract::Statistic;
use super::document::DeliveryFigures;
use super::exact::Percent;

/// A figure over delivery times, in microseconds. Leaves them in another order.
pub(super) fn figure(statistic: Statistic, percent: Percent, times: &mut [u64]) -> Option<u64> {
    let count = u64::try_from(times.len()).ok().filter(|count| *count > 0)?;
    match statistic {
        Statistic::Percentile => {
            // The nearest rank: the smallest time that at least so many do not exceed.
            let whole = percent.of(count);
            let rank =
                if super::exact::Share::new(whole, count).is_below(percent) { whole + 1 } else { whole };
            let at = usize::try_from(rank.max(1) - 1).ok()?;
            Some(*times.select_nth_unstable(at).1)
        }
        Statistic::Mean => mean(times),
        Statistic::FastestMean => {
            let most = usize::try_from(percent.of(count).max(1)).ok()?;
            if most < times.len() {
                times.select_nth_unstable(most);
            }
            mean(&times[..most])
        }
    }
}

/// The mean, its part of a microsecond cut off.
fn mean(times: &[u64]) -> Option<u64> {
    let sum: u128 = times.iter().map(|time| u128::from(*time)).sum();
    let count = u128::try_from(times.len()).ok().filter(|count| *count > 0)?;
    u64::try_from(sum / count).ok()
}

/// The usual figures.
pub(super) fn figures(times: &mut [u64]) -> DeliveryFigures {
    let mut figure = |statistic, percent| figure(statistic, Percent::whole(percent), times);
    let (median_us, p95_us, p99_us) = (
        figure(Statistic::Percentile, 50),
        figure(Statistic::Percentile, 95),
        figure(Statistic::Percentile, 99),
    );
    let (mean_us, fastest) = (figure(Statistic::Mean, 100), figure(Statistic::FastestMean, 95));
    DeliveryFigures {
        arrived: u64::try_from(times.len()).unwrap_or(u64::MAX),
        median_us,
        p95_us,
        p99_us,
        mean_us,
        fastest_95_mean_us: fastest,
        most_us: times.iter().copied().max(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_by_hand() {
        // Twenty messages: 1 s to 19 s, and one that took 1,000 s.
        let mut times: Vec<u64> = (1..=19).chain([1_000]).rev().collect();
        let mut of = |statistic, percent| figure(statistic, Percent::whole(percent), &mut times);
        // 95 % of 20 is the 19th: 19. 96 % is 19.2, so the 20th: 1000. 50 %: the 10th.
        assert_eq!(of(Statistic::Percentile, 95), Some(19));
        assert_eq!(of(Statistic::Percentile, 96), Some(1_000));
        assert_eq!(of(Statistic::Percentile, 50), Some(10));
        assert_eq!(of(Statistic::Percentile, 100), Some(1_000));
        // 1 + 2 + ... + 19 is 190; of all 20 the mean is 1190/20 = 59 (and a half, cut off).
        assert_eq!(of(Statistic::Mean, 100), Some(59));
        // The fastest 95 % are the 19 without the last: 190/19 = 10.
        assert_eq!(of(Statistic::FastestMean, 95), Some(10));
        assert_eq!(figure(Statistic::Mean, Percent::ALL, &mut []), None);
        assert_eq!(figure(Statistic::FastestMean, Percent::whole(5), &mut [7]), Some(7), "one at least");
    }
}
