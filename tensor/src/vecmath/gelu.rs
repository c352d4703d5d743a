//! The Gaussian error linear unit, with the exact normal distribution Φ and density φ.

use super::normal::two_tails;
use super::{at_least, at_most, mul_add, polynomial};
use crate::simd::Simd;

/// Beyond this the derivative is constant. Near the place where it rounds to 0 and 1, this is a number at which the
/// quotient comes out as exactly ½, with FMA and without.
const SATURATION: f32 = 5.78;

/// (Φ(x) + x·φ(x) − ½)/x = P(x²)/Q(x²) for |x| ≤ 5.8, absolute error of the derivative 1.1e−7.
const P: [f32; 6] =
    [0.797_885_36, -0.030_995_952, 0.014_230_316, 1.921_865_3e-5, 3.595_603_3e-5, 1.929_306_3e-7];
const Q: [f32; 6] = [1.0, 0.294_493_9, 0.040_980_183, 0.003_523_033, 1.920_360_4e-4, 8.952_462e-6];

/// x·Φ(x), Φ(x) = ½(1 + erf(x/√2)).
///
/// As max(x, 0) − |x|·Φ(−|x|) it needs only the small tail Φ(−|x|), and nothing cancels on the negative side.
/// Error at most 3.5 ULP for x ≥ 0 and 0.5·2⁻²³ ≈ 6e−8 in absolute terms for x < 0, with FMA or without; never positive
/// there. gelu(x) = x exactly from 5.8 on, 0 below −13.22, also for −∞; gelu(NaN) = NaN.
#[inline(always)]
pub(crate) fn gelu(x: f32, simd: Simd) -> f32 {
    // At 14 the tail is 0, and ∞·0 must not become NaN.
    let a = at_most(x.abs(), 14.0);
    mul_add(-0.5 * a, two_tails(a, simd), at_least(x, 0.0), simd)
}

/// d/dx x·Φ(x) = Φ(x) + x·φ(x), φ(x) = e^(−x²/2)/√(2π).
///
/// A quotient of its own is twice as fast as sharing the exponential of [`gelu`].
/// Absolute error at most 3·2⁻²³ ≈ 3.6e−7, 3.2·2⁻²³ without FMA. 0 below −5.78 and 1 above 5.78, also for ±∞; NaN for
/// NaN.
#[inline(always)]
pub(crate) fn gelu_derivative(x: f32, simd: Simd) -> f32 {
    let t = at_most(at_least(x, -SATURATION), SATURATION);
    let y = t * t;
    0.5 + t * polynomial(P, y, simd) / polynomial(Q, y, simd)
}

#[cfg(test)]
mod tests {
    use std::f64::consts::{PI, SQRT_2};

    use super::super::ulp::{Bound, absolute, assert_within, on_both, ulps};
    use super::*;

    const POSITIVE: Bound = Bound { fma: 3.5, portable: 3.5 };
    const NEGATIVE: Bound = Bound { fma: 0.5, portable: 0.5 };
    const DERIVATIVE: Bound = Bound { fma: 3.0, portable: 3.2 };

    fn phi(x: f64) -> f64 {
        0.5 * libm::erfc(-x / SQRT_2)
    }

    #[test]
    fn gelu_of_positive_numbers_is_within_its_bound() {
        assert_within(POSITIVE, ulps, 0.0..=f32::MAX, gelu, |x| x * phi(x));
    }

    #[test]
    fn gelu_of_negative_numbers_is_within_its_bound() {
        assert_within(NEGATIVE, absolute, f32::MIN..=0.0, gelu, |x| x * phi(x));
    }

    #[test]
    fn gelu_derivative_is_within_its_bound() {
        let exact = |x: f64| phi(x) + x * (-0.5 * x * x).exp() / (2.0 * PI).sqrt();
        assert_within(DERIVATIVE, absolute, f32::MIN..=f32::MAX, gelu_derivative, exact);
    }

    #[test]
    fn gelu_and_its_derivative_saturate() {
        on_both(|simd| {
            for x in [13.22, 1e30, f32::INFINITY] {
                assert_eq!((gelu(x, simd), gelu(-x, simd)), (x, 0.0));
                assert_eq!((gelu_derivative(x, simd), gelu_derivative(-x, simd)), (1.0, 0.0));
            }
            assert!(gelu(f32::NAN, simd).is_nan() && gelu_derivative(f32::NAN, simd).is_nan());
            assert_eq!((gelu(0.0, simd), gelu_derivative(0.0, simd)), (0.0, 0.5));
        });
    }
}
