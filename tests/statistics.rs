//! Statistics of comparisons: laws, coverage of intervals on simulated data, and SciPy's numbers.

use std::fs;
use std::path::Path;

use models::statistics::{
    Estimate, Interval, bca_interval, differences, holm, incomplete_beta, normal_cdf,
    percentile_interval, resampled_means, sign_flip_test, student_quantile, t_interval, t_test,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use serde::Deserialize;

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * b.abs().max(1.0)
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn estimates_and_intervals_move_with_the_values(
        values in vec(-5.0..5.0f64, 2..12),
        by in -3.0..3.0f64,
        scale in 0.5..2.0f64,
    ) {
        let moved: Vec<f64> = values.iter().map(|x| scale * x + by).collect();
        let (a, b) = (Estimate::of(&values), Estimate::of(&moved));
        prop_assert!(near(b.mean, scale * a.mean + by));
        prop_assert!(near(b.standard_error.unwrap_or(0.0), scale * a.standard_error.unwrap_or(0.0)));
        let all = |values: &[f64]| {
            let means = resampled_means(values, 99, 5);
            let student = t_interval(values, 0.9).expect("two or more");
            [student, percentile_interval(&means, 0.9), bca_interval(values, &means, 0.9)]
        };
        for (a, b) in all(&values).into_iter().zip(all(&moved)) {
            prop_assert!(near(b.low, scale * a.low + by) && near(b.high, scale * a.high + by));
            prop_assert!(a.low <= a.high);
        }
    }

    #[test]
    fn a_higher_level_gives_a_wider_interval(
        values in vec(-5.0..5.0f64, 3..12),
        low in 0.1..0.9f64,
        more in 0.01..0.09f64,
    ) {
        let means = resampled_means(&values, 200, 1);
        let at = |level| [
            t_interval(&values, level).expect("three or more"),
            percentile_interval(&means, level),
            bca_interval(&values, &means, level),
        ];
        for (narrow, wide) in at(low).into_iter().zip(at(low + more)) {
            prop_assert!(wide.low <= narrow.low && narrow.high <= wide.high);
        }
    }

    #[test]
    fn tests_are_the_same_for_both_directions_and_orders(differences in vec(-5.0..5.0f64, 2..9)) {
        let turned: Vec<f64> = differences.iter().rev().map(|d| -d).collect();
        let (a, b) = (t_test(&differences).expect("two"), t_test(&turned).expect("two"));
        prop_assert!(near(a.t, -b.t) && near(a.p, b.p) && (0.0..=1.0).contains(&a.p));
        prop_assert_eq!(sign_flip_test(&differences), sign_flip_test(&turned));
    }

    #[test]
    fn a_t_interval_leaves_out_0_just_when_the_test_says_so(
        differences in vec(-5.0..5.0f64, 2..9),
        level in 0.5..0.99f64,
    ) {
        let p = t_test(&differences).expect("two").p;
        prop_assume!((p - (1.0 - level)).abs() > 1e-9);
        let interval = t_interval(&differences, level).expect("two");
        prop_assert_eq!(interval.contains(0.0), p > 1.0 - level);
    }

    #[test]
    fn adjusted_p_values_keep_order_and_only_grow(p in vec(0.0..=1.0f64, 0..10)) {
        let adjusted = holm(&p);
        for i in 0..p.len() {
            prop_assert!(p[i] <= adjusted[i] && adjusted[i] <= 1.0);
            for j in 0..p.len() {
                prop_assert!(p[i] > p[j] || adjusted[i] <= adjusted[j]);
            }
        }
    }
}

/// Of 500 samples of `n` values with the mean 1, in which share each interval for 90 % holds it: Student's, percentile, BCa.
fn coverage(n: usize, seed: u64, draw: impl Fn(&mut ChaCha8Rng) -> f64) -> [f64; 3] {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut held = [0; 3];
    for seed in 0..500 {
        let values: Vec<f64> = (0..n).map(|_| draw(&mut rng)).collect();
        let means = resampled_means(&values, 400, seed);
        let intervals = [
            t_interval(&values, 0.9).expect("enough"),
            percentile_interval(&means, 0.9),
            bca_interval(&values, &means, 0.9),
        ];
        for (held, interval) in held.iter_mut().zip(intervals) {
            *held += usize::from(interval.contains(1.0));
        }
    }
    held.map(|held| held as f64 / 500.0)
}

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let (radius, angle) = (1.0 - rng.random::<f64>(), rng.random::<f64>());
    1.0 + (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

#[test]
fn intervals_hold_the_mean_as_often_as_they_promise() {
    // The standard deviation of a share of 500 is 0.013.
    let found = coverage(40, 1, normal);
    assert!(found.iter().all(|share| (0.86..0.94).contains(share)), "{found:?}");
    // Student's is exact for three runs already, and bootstraps are not.
    let found = coverage(3, 2, normal);
    assert!((0.86..0.94).contains(&found[0]), "{found:?}");
    assert!(found[1] < 0.8 && found[2] < 0.8, "{found:?}");
    // A skewed distribution, in which BCa is nearer to the level than the percentiles.
    let found = coverage(25, 3, |rng| -(1.0 - rng.random::<f64>()).ln());
    assert!((0.82..0.94).contains(&found[1]) && (0.84..0.94).contains(&found[2]), "{found:?}");
}

#[test]
fn false_findings_are_as_rare_as_the_tests_promise() {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let (mut student, mut flips) = (0, 0);
    for _ in 0..1000 {
        let values: Vec<f64> = (0..8).map(|_| normal(&mut rng) - 1.0).collect();
        student += usize::from(t_test(&values).expect("eight").p <= 0.125);
        flips += usize::from(sign_flip_test(&values).expect("eight") <= 0.125);
    }
    // 125 expected, with a standard deviation of 10.
    assert!((90..160).contains(&student) && (90..160).contains(&flips), "{student} {flips}");
}

#[derive(Deserialize)]
struct Fixture {
    t_tests: Vec<Paired>,
    sign_flips: Vec<SignFlip>,
    bootstraps: Vec<Bootstrap>,
    holms: Vec<Adjusted>,
    incomplete_betas: Vec<[f64; 4]>,
    student_quantiles: Vec<[f64; 3]>,
    normals: Vec<[f64; 2]>,
}

#[derive(Deserialize)]
struct Paired {
    a: Vec<f64>,
    b: Vec<f64>,
    t: f64,
    p: f64,
    interval: [f64; 2],
}

#[derive(Deserialize)]
struct SignFlip {
    differences: Vec<f64>,
    p: f64,
}

#[derive(Deserialize)]
struct Bootstrap {
    values: Vec<f64>,
    method: String,
    level: f64,
    means: Vec<f64>,
    interval: [f64; 2],
}

#[derive(Deserialize)]
struct Adjusted {
    p: Vec<f64>,
    adjusted: Vec<f64>,
}

fn fixture() -> Fixture {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/statistics.json");
    let text = fs::read_to_string(path).expect("committed");
    serde_json::from_str(&text).expect("groups of cases")
}

#[track_caller]
fn assert_near(found: f64, expected: f64, tolerance: f64) {
    let error = (found - expected).abs() / expected.abs().max(1e-300);
    assert!(error <= tolerance, "{found} instead of {expected}, a relative error of {error:e}");
}

#[test]
fn distributions_are_scipys() {
    let Fixture { incomplete_betas, student_quantiles, normals, .. } = fixture();
    assert_eq!((incomplete_betas.len(), student_quantiles.len(), normals.len()), (56, 24, 11));
    for [a, b, x, expected] in incomplete_betas {
        // Below the smallest numbers there is nothing to compare.
        if expected > 1e-290 {
            assert_near(incomplete_beta(x, a, b), expected, 1e-10);
        } else {
            assert!(incomplete_beta(x, a, b) < 1e-289);
        }
    }
    for [level, degrees, expected] in student_quantiles {
        assert_near(student_quantile(level, degrees), expected, 1e-10);
    }
    for [x, expected] in normals {
        assert_near(normal_cdf(x), expected, 1e-12);
    }
}

#[test]
fn paired_tests_are_scipys_and_adjusted_p_values_statsmodels() {
    let Fixture { t_tests, sign_flips, holms, .. } = fixture();
    assert_eq!((t_tests.len(), sign_flips.len(), holms.len()), (8, 9, 5));
    for Paired { a, b, t, p, interval } in t_tests {
        let all = differences(&a, &b);
        let found = t_test(&all).expect("two or more");
        assert_near(found.t, t, 1e-10);
        assert_near(found.p, p, 1e-10);
        let Interval { low, high } = t_interval(&all, 0.95).expect("two or more");
        assert_near(low, interval[0], 1e-10);
        assert_near(high, interval[1], 1e-10);
    }
    for SignFlip { differences, p } in sign_flips {
        assert_near(sign_flip_test(&differences).expect("few"), p, 1e-14);
    }
    for Adjusted { p, adjusted } in holms {
        let found = holm(&p);
        assert_eq!(found.len(), adjusted.len());
        found.into_iter().zip(adjusted).for_each(|(a, b)| assert_near(a, b, 1e-14));
    }
}

#[test]
fn bootstrap_intervals_of_the_same_means_are_scipys() {
    let bootstraps = fixture().bootstraps;
    assert_eq!(bootstraps.len(), 16);
    for Bootstrap { values, method, level, means, interval } in bootstraps {
        let Interval { low, high } = match method.as_str() {
            "percentile" => percentile_interval(&means, level),
            _ => bca_interval(&values, &means, level),
        };
        assert_near(low, interval[0], 1e-11);
        assert_near(high, interval[1], 1e-11);
    }
}
