//! Measuring errors against functions in double precision.

use std::ops::RangeInclusive;

use crate::simd::{Simd, vectorize};

/// The tests take every so many bit patterns of f32; 1 makes them exhaustive.
const STRIDE: usize = 10_007;

/// What an error may be at most, where multiply-add is one instruction and where it rounds twice.
pub(super) struct Bound {
    pub(super) fma: f64,
    pub(super) portable: f64,
}

/// The error of `y` in units of the last place that the exact value has as a normal f32.
pub(super) fn ulps(y: f32, exact: f64) -> f64 {
    (f64::from(y) - exact).abs() / unit(exact)
}

/// The distance of neighbouring f32 numbers at `x`, 2^(⌊log₂|x|⌋ − 23).
fn unit(x: f64) -> f64 {
    let power = f64::from_bits(x.abs().to_bits() & 0x7ff0_0000_0000_0000);
    power.max(f64::from(f32::MIN_POSITIVE)) * 2f64.powi(-23)
}

/// The error of `y` in units of the last place of numbers just above 1.
pub(super) fn absolute(y: f32, exact: f64) -> f64 {
    (f64::from(y) - exact).abs() / f64::from(f32::EPSILON)
}

/// Checks that `error` of `lane` against `exact` stays within `bound` for a sample of the numbers in `range`.
pub(super) fn assert_within(
    bound: Bound,
    error: fn(f32, f64) -> f64,
    range: RangeInclusive<f32>,
    lane: impl Fn(f32, Simd) -> f32,
    exact: fn(f64) -> f64,
) {
    on_both(|simd| {
        let (mut worst, mut at) = (0.0, 0.0);
        for x in (0..=u32::MAX).step_by(STRIDE).map(f32::from_bits).filter(|x| range.contains(x)) {
            let error = error(lane(x, simd), exact(f64::from(x)));
            if error > worst || error.is_nan() {
                (worst, at) = (error, x);
            }
        }
        let bound = if simd.fma() { bound.fma } else { bound.portable };
        assert!(worst <= bound, "error {worst} above {bound} at {at:e} (FMA: {})", simd.fma());
    });
}

/// Runs `check` as for the vector unit of this processor, then as for any.
pub(super) fn on_both(check: impl Fn(Simd)) {
    vectorize(&check);
    check(Simd::PORTABLE);
}
