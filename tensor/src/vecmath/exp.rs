//! The exponential function, and the logistic function made of it.

use std::f32::consts::LOG2_E;

use super::{LN_2, ROUND, at_least, mul_add, polynomial};
use crate::simd::Simd;

/// Above this, eˣ is infinite: 128·ln 2, rounded down.
const OVERFLOW: f32 = 88.72283;
/// Below this, eˣ is less than the smallest normal number: −126·ln 2, rounded up.
const UNDERFLOW: f32 = -87.33654;

/// (eʳ − 1 − r)/r² for |r| ≤ ½·ln 2, relative error of eʳ − 1 1.4e−8.
const EXP_REST: [f32; 5] =
    [0.499_999_97, 0.166_665_46, 0.041_667_435, 0.008_366_262, 0.001_387_065_7];

/// eˣ = 2ⁿ·(1 + r + r²·rest).
pub(super) struct Reduced {
    /// The integer n, in the bits where an f32 has its exponent.
    pub(super) exponent: u32,
    /// x − n·ln 2, at most ½·ln 2 in magnitude.
    pub(super) r: f32,
    /// (eʳ − 1 − r)/r².
    pub(super) rest: f32,
}

/// Takes eˣ apart. Beyond |n| = 2²² the parts mean nothing.
#[inline(always)]
pub(super) fn reduce(x: f32, simd: Simd) -> Reduced {
    let rounded = mul_add(x, LOG2_E, ROUND, simd);
    let n = rounded - ROUND;
    let r = mul_add(n, -LN_2[1], mul_add(n, -LN_2[0], x, simd), simd);
    Reduced { exponent: rounded.to_bits() << 23, r, rest: polynomial(EXP_REST, r, simd) }
}

/// eˣ for x ≤ 0, or any x at which it does not overflow: a little cheaper than [`exp`].
#[inline(always)]
pub(crate) fn exp_nonpositive(x: f32, simd: Simd) -> f32 {
    let Reduced { exponent, r, rest } = reduce(x, simd);
    let significand = mul_add(r, mul_add(r, rest, 1.0, simd), 1.0, simd);
    // Adding n to the exponent field multiplies by 2ⁿ.
    let y = f32::from_bits(significand.to_bits().wrapping_add(exponent));
    // In a NaN with a payload the sum of the bits may be any number.
    if x >= UNDERFLOW { y } else { at_least(x, 0.0) }
}

/// eˣ.
///
/// Error at most 0.93 ULP, 1.2 without FMA. Results below the smallest normal number are 0, never subnormal: subnormals
/// are slow in what follows and, beside any other number of a softmax or a sum, nothing.
/// exp(−∞) = 0, exp(∞) = ∞, exp(NaN) = NaN.
#[inline(always)]
pub(crate) fn exp(x: f32, simd: Simd) -> f32 {
    let y = exp_nonpositive(x, simd);
    // The sum is ∞ beyond the overflow and NaN for NaN.
    if x <= OVERFLOW { y } else { x + f32::INFINITY }
}

/// The logistic function 1/(1 + e⁻ˣ).
///
/// Error at most 2.5 ULP, with FMA or without. Results turn subnormal below −87.33 and 0 below −88.72.
/// sigmoid(−∞) = 0, sigmoid(∞) = 1, sigmoid(NaN) = NaN.
#[inline(always)]
pub(crate) fn sigmoid(x: f32, simd: Simd) -> f32 {
    1.0 / (1.0 + exp(-x, simd))
}

#[cfg(test)]
mod tests {
    use super::super::ulp::{Bound, assert_within, on_both, ulps};
    use super::*;

    const EXP: Bound = Bound { fma: 0.93, portable: 1.2 };
    const SIGMOID: Bound = Bound { fma: 2.5, portable: 2.5 };

    #[test]
    fn exp_is_within_its_bound() {
        assert_within(EXP, ulps, UNDERFLOW..=OVERFLOW, exp, f64::exp);
    }

    #[test]
    fn sigmoid_is_within_its_bound() {
        let exact = |x: f64| 1.0 / (1.0 + (-x).exp());
        assert_within(SIGMOID, ulps, UNDERFLOW..=f32::INFINITY, sigmoid, exact);
    }

    #[test]
    fn exp_saturates() {
        on_both(|simd| {
            assert_eq!(exp(0.0, simd), 1.0);
            assert!(exp(OVERFLOW, simd) < f32::INFINITY);
            assert_eq!(exp(OVERFLOW.next_up(), simd), f32::INFINITY);
            assert_eq!(exp(f32::INFINITY, simd), f32::INFINITY);
            assert!(exp(UNDERFLOW, simd) >= f32::MIN_POSITIVE);
            assert_eq!(exp(UNDERFLOW.next_down(), simd), 0.0);
            assert_eq!(exp(f32::NEG_INFINITY, simd), 0.0);
            assert!(exp(f32::NAN, simd).is_nan());
        });
    }

    #[test]
    fn sigmoid_saturates() {
        on_both(|simd| {
            assert_eq!(sigmoid(0.0, simd), 0.5);
            assert_eq!(sigmoid(f32::INFINITY, simd), 1.0);
            assert_eq!(sigmoid(f32::NEG_INFINITY, simd), 0.0);
            assert!(sigmoid(f32::NAN, simd).is_nan());
        });
    }
}
