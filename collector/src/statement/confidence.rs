//! What a number of probes proves: exact binomial confidence limits (Clopper and Pearson, 1934).
//!
//! They say how far chance can explain what was seen, were the probes independent. An outage is no
//! chance: it is counted by its time.

/// How much is proved by `good` of `all` probes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Limits {
    /// At 95 %, the true share is at least this (one-sided).
    pub at_least: f64,
    /// The two-sided 95 % interval.
    pub between: (f64, f64),
}

/// The limits for `good` of `all` probes; none for no probes.
pub(super) fn limits(good: u64, all: u64) -> Option<Limits> {
    (all > 0 && good <= all).then(|| Limits {
        at_least: lower(good, all, 0.05),
        between: (lower(good, all, 0.025), upper(good, all, 0.025)),
    })
}

/// The least share under which as many as `good` of `all` would still be seen with a chance of `alpha`.
#[expect(clippy::cast_precision_loss, reason = "counts of probes are far below 2^52")]
fn lower(good: u64, all: u64, alpha: f64) -> f64 {
    match good {
        0 => 0.0,
        // Nothing failed: the chance of that is share^all, so the limit is exact.
        _ if good == all => (alpha.ln() / all as f64).exp(),
        _ => quantile(alpha, good as f64, (all - good) as f64 + 1.0),
    }
}

fn upper(good: u64, all: u64, alpha: f64) -> f64 {
    1.0 - lower(all - good, all, alpha)
}

/// Where the beta distribution with these parameters reaches `p`, by bisection.
fn quantile(p: f64, a: f64, b: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if beta(middle, a, b) < p { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

/// The regularised incomplete beta function.
fn beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p()).exp();
    // The fraction converges fast on this side of the mean only.
    if x < (a + 1.0) / (a + b + 2.0) {
        front * fraction(x, a, b) / a
    } else {
        1.0 - front * fraction(1.0 - x, b, a) / b
    }
}

/// The continued fraction of the incomplete beta function, by Lentz's method.
#[expect(clippy::many_single_char_names, reason = "as the method is written everywhere")]
fn fraction(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away_from_zero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut result = d;
    for m in 1..100_000 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut step = 1.0;
        for term in [even, odd] {
            d = 1.0 / away_from_zero(1.0 + term * d);
            c = away_from_zero(1.0 + term / c);
            step = d * c;
            result *= step;
        }
        if (step - 1.0).abs() < 1e-15 {
            break;
        }
    }
    result
}

/// The logarithm of the gamma function for a positive number (Stirling's series, after moving up to 10).
fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut shift) = (x, 0.0);
    while x < 10.0 {
        shift -= x.ln();
        x += 1.0;
    }
    let square = x * x;
    let series = 1.0 / (12.0 * x) - 1.0 / (360.0 * x * square) + 1.0 / (1_260.0 * x * square * square)
        - 1.0 / (1_680.0 * x * square * square * square);
    shift + (x - 0.5) * x.ln() - x + (2.0 * std::f64::consts::PI).ln() / 2.0 + series
}

/// A share as a percentage that claims nothing it does not prove: cut off after so many digits.
pub(super) fn cut(share: f64, digits: usize) -> String {
    let unit = 10_f64.powi(i32::try_from(digits).unwrap_or(4));
    format!("{:.digits$} %", (share * 100.0 * unit).floor() / unit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn close(left: f64, right: f64) -> bool {
        (left - right).abs() < 1e-9
    }

    #[test]
    fn no_failure_in_129_600_probes_proves_99_9977_percent() {
        let limits = limits(129_600, 129_600).expect("some");
        // By hand: 0.05 to the power of 1/129600 is 0.99997688, which rounds to 99.9977 %. Rounded up it
        // would claim more than is proved, so a fifth digit is shown and the rest cut off.
        assert_eq!(cut(limits.at_least, 5), "99.99768 %");
        assert!(close(limits.at_least, 0.999_976_885_03), "{}", limits.at_least);
        // The rule of three: 1 - 3/n, to the third digit of what is missing.
        assert!((1.0 - limits.at_least - 3.0 / 129_600.0).abs() < 1e-7);
    }

    /// The chance of at least `good` of `all`, added up term by term.
    fn chance_of_at_least(good: u64, all: u64, share: f64) -> f64 {
        if share > 0.5 {
            // Counted by the failures: the first term would be too small for a number otherwise.
            return 1.0 - chance_of_at_least(all - good + 1, all, 1.0 - share);
        }
        let mut term = (1.0 - share).powi(i32::try_from(all).expect("few"));
        let mut sum = if good == 0 { term } else { 0.0 };
        for k in 1..=all {
            #[expect(clippy::cast_precision_loss, reason = "few")]
            let (left, k_f) = ((all - k + 1) as f64, k as f64);
            term *= left / k_f * share / (1.0 - share);
            if k >= good {
                sum += term;
            }
        }
        sum
    }

    proptest! {
        #[test]
        fn at_a_limit_what_was_seen_has_just_that_chance((good, all) in (1_u64..120).prop_flat_map(|all| (0..=all, Just(all)))) {
            let limits = limits(good, all).expect("some");
            if good > 0 {
                prop_assert!(close(chance_of_at_least(good, all, limits.at_least), 0.05));
                prop_assert!(close(chance_of_at_least(good, all, limits.between.0), 0.025));
            }
            if good < all {
                prop_assert!(close(1.0 - chance_of_at_least(good + 1, all, limits.between.1), 0.025));
            }
            prop_assert!(limits.between.0 <= limits.at_least && limits.at_least <= limits.between.1);
        }
    }

    #[test]
    fn many_probes_are_no_trouble() {
        let limits = limits(431_000, 432_000).expect("some");
        // By the normal approximation: 0.997685 -+ 1.96 * sqrt(0.997685 * 0.002315 / 432000) = -+ 0.000143.
        assert!((limits.between.0 - 0.997_537).abs() < 1e-5, "{limits:?}");
        assert!((limits.between.1 - 0.997_825).abs() < 1e-5, "{limits:?}");
        assert_eq!(super::limits(0, 0), None);
    }
}
