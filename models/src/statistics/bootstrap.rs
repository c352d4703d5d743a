//! Intervals of a mean by drawing from the values again.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use super::{Interval, check_level, mean, normal_cdf, normal_quantile, squares};

/// The means of `resamples` samples of as many values as there are, drawn with replacement, in rising order.
///
/// They are a function of the values, their order and the seed.
///
/// # Panics
/// If there are no values, no resamples, or a value is not finite.
#[track_caller]
pub fn resampled_means(values: &[f64], resamples: usize, seed: u64) -> Vec<f64> {
    assert!(!values.is_empty() && resamples > 0, "resampled_means: nothing to draw");
    assert!(values.iter().all(|x| x.is_finite()), "resampled_means: a value is not finite");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut times = vec![0u32; values.len()];
    let mut means: Vec<f64> = (0..resamples)
        .map(|_| {
            times.fill(0);
            values.iter().for_each(|_| times[rng.random_range(0..values.len())] += 1);
            // In the order of the values, so that the sample with each of them once has their mean exactly.
            let sum: f64 = values.iter().zip(&times).map(|(x, &times)| f64::from(times) * x).sum();
            sum / values.len() as f64
        })
        .collect();
    means.sort_by(f64::total_cmp);
    means
}

/// The percentile interval: from the (1 − level)/2 quantile of the resampled means to the (1 + level)/2 one.
///
/// `means` are [`resampled_means`]. Quantiles between two of them are interpolated, as by numpy.
///
/// Source: Efron and Tibshirani, "An introduction to the bootstrap", 1993, §13.3.
///
/// # Panics
/// If there are no means or `level` is not between 0 and 1.
#[track_caller]
pub fn percentile_interval(means: &[f64], level: f64) -> Interval {
    check_level("percentile_interval", level);
    assert!(!means.is_empty(), "percentile_interval: no means");
    let tail = 0.5 * (1.0 - level);
    Interval { low: quantile(means, tail), high: quantile(means, 1.0 - tail) }
}

/// The interval that is corrected for bias and acceleration (BCa): a percentile interval at other quantiles,
///
/// Φ(ẑ + (ẑ + z)/(1 − â·(ẑ + z))) for z = Φ⁻¹((1 ± level)/2),
///
/// where ẑ = Φ⁻¹(share of the means below that of the values, equal ones counting half) and â is their [`acceleration`].
/// For a skewed distribution its coverage comes nearer to the level with n than that of the percentile interval (by 1/n
/// instead of 1/√n).
///
/// `values` are those that `means` were drawn from by [`resampled_means`]. If all values are equal, the interval is that
/// one value. If all means are on one side of that of the values, which takes few resamples, half a resample is counted to
/// the other.
///
/// Source: Efron, "Better bootstrap confidence intervals", JASA 82, 1987; Efron and Tibshirani 1993, eqs. 14.9–14.15;
/// SciPy's `bootstrap` gives the same for the same means.
///
/// # Panics
/// If there are no values, no means, or `level` is not between 0 and 1.
#[track_caller]
pub fn bca_interval(values: &[f64], means: &[f64], level: f64) -> Interval {
    check_level("bca_interval", level);
    assert!(!means.is_empty(), "bca_interval: no means");
    let center = mean("bca_interval", values);
    if values.iter().all(|&x| x == values[0]) {
        return Interval { low: values[0], high: values[0] };
    }
    let below = means.partition_point(|&mean| mean < center);
    let up_to = means.partition_point(|&mean| mean <= center);
    let half = 0.5 / means.len() as f64;
    let share = (half * (below + up_to) as f64).clamp(half, 1.0 - half);
    let (bias, acceleration) = (normal_quantile(share), acceleration(values));
    let end = |p: f64| {
        let z = bias + normal_quantile(p);
        quantile(means, normal_cdf(bias + z / (1.0 - acceleration * z)))
    };
    let tail = 0.5 * (1.0 - level);
    Interval { low: end(tail), high: end(1.0 - tail) }
}

/// How fast the standard error of the mean changes with the true mean, in the normal scale: Σ(x − x̄)³/(6·(Σ(x −
/// x̄)²)^1.5), which is the jackknife's estimate for a mean. 0 if all values are equal.
///
/// Source: Efron and Tibshirani 1993, eq. 14.15.
///
/// # Panics
/// If there are no values.
#[track_caller]
pub fn acceleration(values: &[f64]) -> f64 {
    let center = mean("acceleration", values);
    let cubes: f64 = values.iter().map(|x| (x - center).powi(3)).sum();
    let squares = squares(values, center);
    if squares == 0.0 { 0.0 } else { cubes / (6.0 * squares.powf(1.5)) }
}

/// The `p`-quantile of sorted numbers: the one at (n − 1)·p, counted from 0, between two of them on the line through both.
fn quantile(sorted: &[f64], p: f64) -> f64 {
    let place = (sorted.len() - 1) as f64 * p.clamp(0.0, 1.0);
    let (low, share) = (place.floor(), place.fract());
    let (a, b) = (sorted[low as usize], sorted[place.ceil() as usize]);
    a + (b - a) * share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_interpolated() {
        let sorted = [1.0, 2.0, 4.0];
        assert_eq!(
            [0.0, 0.25, 0.5, 0.75, 1.0].map(|p| quantile(&sorted, p)),
            [1.0, 1.5, 2.0, 3.0, 4.0]
        );
        assert_eq!(percentile_interval(&sorted, 0.5), Interval { low: 1.5, high: 3.0 });
    }

    #[test]
    fn means_depend_on_the_seed_alone_and_equal_values_have_no_width() {
        let values = [1.0, 2.5, -0.5, 4.0];
        let means = resampled_means(&values, 50, 3);
        assert_eq!(means, resampled_means(&values, 50, 3));
        assert_ne!(means, resampled_means(&values, 50, 4));
        assert!(means.is_sorted() && means[0] >= -0.5 && means[49] <= 4.0);
        let same = [0.1; 6];
        let means = resampled_means(&same, 20, 1);
        assert_eq!(bca_interval(&same, &means, 0.9), Interval { low: 0.1, high: 0.1 });
        let sided = bca_interval(&values, &[3.0, 4.0], 0.9);
        assert!(sided.low.is_finite() && sided.high.is_finite(), "{sided:?}");
    }

    #[test]
    fn without_skew_or_bias_both_intervals_are_the_same() {
        let (values, means) = ([-2.0, -1.0, 1.0, 2.0], [-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5]);
        assert_eq!(acceleration(&values), 0.0);
        let (a, b) = (percentile_interval(&means, 0.8), bca_interval(&values, &means, 0.8));
        assert!((a.low - b.low).abs() < 1e-12 && (a.high - b.high).abs() < 1e-12, "{a:?} {b:?}");
        // Squares 6 and cubes 6.
        assert!((acceleration(&[-1.0, -1.0, 2.0]) - 1.0 / 6f64.powf(1.5)).abs() < 1e-15);
    }
}
