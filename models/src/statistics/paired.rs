//! Tests of whether paired differences are 0 in the mean.

use serde::{Deserialize, Serialize};

use super::special::student_two_sided;
use super::{Estimate, Interval, check_level, student_quantile};

/// a − b, pair by pair.
///
/// # Panics
/// If there are not as many of the one as of the other.
#[track_caller]
pub fn differences(a: &[f64], b: &[f64]) -> Vec<f64> {
    assert!(a.len() == b.len(), "differences: {} values and {}", a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

/// What Student's test says.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TTest {
    /// The mean over its standard error.
    pub t: f64,
    /// Degrees of freedom, n − 1.
    pub degrees: usize,
    /// The probability of a |t| as large or larger if the true mean is 0.
    pub p: f64,
}

/// Student's test of paired differences d, two-sided; none for fewer than two.
///
/// t = d̄/(s/√n), p = I_x((n − 1)/2, ½) with x = (n − 1)/(n − 1 + t²). Differences that are all the same have t = ±∞ and p
/// = 0, and if they are all 0, t = 0 and p = 1.
///
/// Source: Student, "The probable error of a mean", Biometrika 6, 1908; SciPy's `ttest_rel` gives the same.
pub fn t_test(differences: &[f64]) -> Option<TTest> {
    let (mean, error, degrees) = parts(differences)?;
    let t = if mean == 0.0 { 0.0 } else { mean / error };
    Some(TTest { t, degrees, p: student_two_sided(t, degrees as f64) })
}

/// The interval d̄ ± t·s/√n that holds the mean with the probability `level` if values are normally distributed; t is
/// [`student_quantile`]. None for fewer than two values.
///
/// # Panics
/// If `level` is not between 0 and 1.
#[track_caller]
pub fn t_interval(values: &[f64], level: f64) -> Option<Interval> {
    check_level("t_interval", level);
    let (mean, error, degrees) = parts(values)?;
    let half = error * student_quantile(level, degrees as f64);
    Some(Interval { low: mean - half, high: mean + half })
}

/// Mean, standard error, degrees of freedom.
fn parts(values: &[f64]) -> Option<(f64, f64, usize)> {
    if values.len() < 2 {
        return None;
    }
    let Estimate { count, mean, standard_error } = Estimate::of(values);
    Some((mean, standard_error?, count - 1))
}

/// The most differences whose signs are all tried: 2²³ sums.
const MOST: usize = 24;

/// The exact test that differences are symmetrical around 0, two-sided; none for no differences or more than 24.
///
/// If they are, each sign could as well be the other one. p is the share of the 2ⁿ choices of signs whose sum is as far
/// from 0 as the given one or further, so the smallest is 2^(1−n). Sums count as equal if they differ by less than 10⁻¹² of
/// Σ|d|.
///
/// Source: Fisher, "The design of experiments", 1935, §21; SciPy's `permutation_test` with `permutation_type="samples"`.
///
/// # Panics
/// If a difference is not finite.
#[track_caller]
pub fn sign_flip_test(differences: &[f64]) -> Option<f64> {
    assert!(differences.iter().all(|d| d.is_finite()), "sign_flip_test: {differences:?}");
    let (first, rest) = differences.split_first().filter(|(_, rest)| rest.len() < MOST)?;
    let total: f64 = differences.iter().map(|d| d.abs()).sum();
    let bound = differences.iter().sum::<f64>().abs() - 1e-12 * total;
    // The first sign stays: flipping all of them changes no distance.
    let count = as_far(rest, *first, bound);
    Some(count as f64 / (1usize << rest.len()) as f64)
}

/// For how many choices of signs |sum ± d₁ ± d₂ …| ≥ bound.
fn as_far(differences: &[f64], sum: f64, bound: f64) -> usize {
    match differences.split_first() {
        None => usize::from(sum.abs() >= bound),
        Some((d, rest)) => as_far(rest, sum + d, bound) + as_far(rest, sum - d, bound),
    }
}

/// The p-values of several tests so adjusted that the probability of one or more false findings is at most the level that
/// each is compared with; in their order.
///
/// With p₍₁₎ ≤ … ≤ p₍ₘ₎, the i-th becomes the largest of (m − j + 1)·p₍ⱼ₎ over j ≤ i, and at most 1. It holds whatever the
/// tests have to do with each other.
///
/// Source: Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6, 1979.
///
/// # Panics
/// If a p-value is not in 0..=1.
#[track_caller]
pub fn holm(p: &[f64]) -> Vec<f64> {
    if let Some(p) = p.iter().find(|p| !(0.0..=1.0).contains(*p)) {
        panic!("holm: a p-value of {p}");
    }
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let (mut adjusted, mut largest) = (vec![0.0; p.len()], 0f64);
    for (rank, &index) in order.iter().enumerate() {
        largest = largest.max((p.len() - rank) as f64 * p[index]).min(1.0);
        adjusted[index] = largest;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn students_first_example() {
        // Hours of sleep that two drugs gave ten patients more (Student 1908; Fisher's "sleep").
        let a = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0];
        let b = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4];
        let found = t_test(&differences(&a, &b)).expect("ten");
        assert!((found.t + 4.062_127_683_382_037).abs() < 1e-12, "{found:?}");
        assert!((found.p - 0.002_832_890_197_384_27).abs() < 1e-12, "{found:?}");
        assert_eq!(found.degrees, 9);
        let interval = t_interval(&differences(&a, &b), 0.95).expect("ten");
        assert!((interval.low + 2.459_885_763_173_23).abs() < 1e-9, "{interval:?}");
        assert!((interval.high + 0.700_114_236_826_77).abs() < 1e-9, "{interval:?}");
    }

    #[test]
    fn differences_that_are_all_the_same_are_certain_and_zeros_say_nothing() {
        let same = t_test(&[0.5; 4]).expect("four");
        assert_eq!((same.t, same.p), (f64::INFINITY, 0.0));
        assert_eq!(t_test(&[0.0; 4]), Some(TTest { t: 0.0, degrees: 3, p: 1.0 }));
        assert_eq!((t_test(&[1.0]), t_interval(&[1.0], 0.9)), (None, None));
        assert_eq!(t_interval(&[0.5; 4], 0.9), Some(Interval { low: 0.5, high: 0.5 }));
    }

    #[test]
    fn signs_are_flipped_in_all_ways() {
        assert_eq!(sign_flip_test(&[1.0, 2.0, 3.0]), Some(0.25)); // all plus, all minus
        assert_eq!(sign_flip_test(&[-1.0, 2.0, 3.0]), Some(0.5)); // and ±(1 + 2 + 3)
        assert_eq!(sign_flip_test(&[0.1, 0.2, -0.3]), Some(1.0));
        assert_eq!(sign_flip_test(&[0.0, 0.0]), Some(1.0));
        assert_eq!(sign_flip_test(&[0.3]), Some(1.0));
        assert_eq!(sign_flip_test(&[0.1; 20]), Some(2f64.powi(-19)));
        assert_eq!((sign_flip_test(&[]), sign_flip_test(&[1.0; 25])), (None, None));
    }

    #[test]
    fn equal_sums_count_although_they_are_rounded() {
        // The sum is 0.7 but for its last bits, and up to sign there are 0.7 once more, 0.9, 1.1, 1.3 and three nearer ones.
        assert_eq!(sign_flip_test(&[0.1, 0.2, -0.3, 0.7]), Some(5.0 / 8.0));
    }

    #[test]
    fn holms_p_values_rise_with_the_given_ones_and_keep_their_places() {
        assert_eq!(holm(&[0.5, 0.125, 0.25, 0.03125]), [0.5, 0.375, 0.5, 0.125]);
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
        assert_eq!((holm(&[0.04]), holm(&[])), (vec![0.04], vec![]));
    }
}
