//! The Gaussian error linear unit, with the exact normal distribution Φ and density φ.

use super::{at_least, at_most, polynomial};
use crate::simd::Simd;

/// Beyond these, Φ and the derivative are constant. Near the place where they round to 0 and 1, these are numbers at
/// which the quotients come out as exactly ½, with FMA and without.
const SATURATION: f32 = 5.625;
const DERIVATIVE_SATURATION: f32 = 5.78;

/// (Φ(x) − ½)/x = P(x²)/Q(x²) for |x| ≤ 5.6, absolute error of Φ 1.2e−8. No coefficient is negative, so the sums cannot
/// cancel.
const P: [f32; 6] =
    [0.398_942_23, 0.034_376_144, 0.004_707_267, 1.738_509_2e-4, 6.356_559_4e-6, 2.214_507_7e-8];
const Q: [f32; 6] =
    [1.0, 0.252_833_96, 0.028_940_119, 0.001_912_981_5, 7.510_215e-5, 1.180_212_7e-6];

/// (Φ(x) + x·φ(x) − ½)/x = P(x²)/Q(x²) for |x| ≤ 5.8, absolute error of the derivative 1.1e−7.
const DERIVATIVE_P: [f32; 6] =
    [0.797_885_36, -0.030_995_952, 0.014_230_316, 1.921_865_3e-5, 3.595_603_3e-5, 1.929_306_3e-7];
const DERIVATIVE_Q: [f32; 6] =
    [1.0, 0.294_493_9, 0.040_980_183, 0.003_523_033, 1.920_360_4e-4, 8.952_462e-6];

/// x·Φ(x), Φ(x) = ½(1 + erf(x/√2)).
#[inline(always)]
pub(crate) fn gelu(x: f32, simd: Simd) -> f32 {
    // Below, Φ is 0, and −∞·0 must not become NaN.
    let x = at_least(x, -SATURATION);
    let t = at_most(x, SATURATION);
    let y = t * t;
    x * (0.5 + t * polynomial(P, y, simd) / polynomial(Q, y, simd))
}

/// d/dx x·Φ(x) = Φ(x) + x·φ(x), φ(x) = e^(−x²/2)/√(2π).
#[inline(always)]
pub(crate) fn gelu_derivative(x: f32, simd: Simd) -> f32 {
    let t = at_most(at_least(x, -DERIVATIVE_SATURATION), DERIVATIVE_SATURATION);
    let y = t * t;
    0.5 + t * polynomial(DERIVATIVE_P, y, simd) / polynomial(DERIVATIVE_Q, y, simd)
}

#[cfg(test)]
mod tests {
    use std::f64::consts::{PI, SQRT_2};

    use super::super::ulp::{Bound, absolute, assert_within, on_both, ulps};
    use super::*;

    const POSITIVE: Bound = Bound { fma: 9.0, portable: 9.0 };
    const NEGATIVE: Bound = Bound { fma: 9.0, portable: 9.0 };
    const DERIVATIVE: Bound = Bound { fma: 9.0, portable: 9.0 };

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
            for x in [6.0, 1e30, f32::INFINITY] {
                assert_eq!((gelu(x, simd), gelu(-x, simd)), (x, 0.0));
                assert_eq!((gelu_derivative(x, simd), gelu_derivative(-x, simd)), (1.0, 0.0));
            }
            assert!(gelu(f32::NAN, simd).is_nan() && gelu_derivative(f32::NAN, simd).is_nan());
            assert_eq!((gelu(0.0, simd), gelu_derivative(0.0, simd)), (0.0, 0.5));
        });
    }
}
