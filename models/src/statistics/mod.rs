//! What a handful of runs allow to be said: means with their errors, intervals, tests of paired differences, and how long a
//! curve took to reach a threshold.
//!
//! Values are those of independent runs (seeds) or cases. Two methods that were run on the same seeds are compared by their
//! [`differences`], which leave out what a seed does to both. With few runs:
//!
//! - [`t_interval`] and [`t_test`] suppose differences that are normally distributed, and are exact then for two runs
//!   already.
//! - [`sign_flip_test`] supposes only that differences are symmetrical, but its smallest p-value is 2^(1−n): with five runs
//!   it cannot be below 0.0625.
//! - Bootstrap intervals ([`percentile_interval`], [`bca_interval`]) suppose nothing of the distribution, but are too
//!   narrow for few values, since resampling does not know what was not drawn: of 10 normal ones, those for 95 % hold the
//!   mean in about 90 % of cases. They are for many values, such as scores of images.
//!
//! If several comparisons are looked at, the p-values of all go through [`holm`].

mod bootstrap;
mod curve;
mod paired;
mod special;

pub use bootstrap::{acceleration, bca_interval, percentile_interval, resampled_means};
pub use curve::{Goal, steps_to};
pub use paired::{TTest, differences, holm, sign_flip_test, t_interval, t_test};
use serde::{Deserialize, Serialize};
pub use special::{incomplete_beta, normal_cdf, normal_quantile, student_quantile};

/// The mean of some values and how far it may be from that of all.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// How many values.
    pub count: usize,
    /// x̄ = Σx/n.
    pub mean: f64,
    /// s/√n with s² = Σ(x − x̄)²/(n − 1); none of a single value.
    pub standard_error: Option<f64>,
}

impl Estimate {
    /// From independent values. (The captions of one screen are not: their errors are larger than this says.)
    ///
    /// # Panics
    /// If there are no values.
    #[track_caller]
    pub fn of(values: &[f64]) -> Self {
        let (count, mean) = (values.len(), mean("Estimate::of", values));
        let same = values.iter().all(|&x| x == values[0]);
        let mean = if same { values[0] } else { mean }; // not rounded
        let error = || (squares(values, mean) / (count as f64 * (count - 1) as f64)).sqrt();
        let standard_error = (count > 1).then(error);
        Self { count, mean, standard_error }
    }
}

/// Where a mean is believed to be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Interval {
    /// Whether the value is inside, ends included.
    pub fn contains(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

#[track_caller]
fn mean(name: &str, values: &[f64]) -> f64 {
    assert!(!values.is_empty(), "{name}: no values");
    values.iter().sum::<f64>() / values.len() as f64
}

/// Σ(x − mean)².
fn squares(values: &[f64], mean: f64) -> f64 {
    values.iter().map(|x| (x - mean) * (x - mean)).sum()
}

#[track_caller]
fn check_level(name: &str, level: f64) {
    assert!(0.0 < level && level < 1.0, "{name}: level {level} is not between 0 and 1");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_of_a_mean_is_that_of_one_value_over_the_root_of_their_number() {
        let found = Estimate::of(&[1.0, 2.0, 3.0, 6.0]); // squares 4 + 1 + 0 + 9
        assert_eq!((found.count, found.mean), (4, 3.0));
        assert_eq!(found.standard_error, Some((14.0f64 / 12.0).sqrt()));
        assert_eq!(Estimate::of(&[0.1; 3]).standard_error, Some(0.0));
        assert_eq!(Estimate::of(&[5.0]).standard_error, None);
    }

    #[test]
    #[should_panic(expected = "Estimate::of: no values")]
    fn no_values_have_no_mean() {
        Estimate::of(&[]);
    }
}
