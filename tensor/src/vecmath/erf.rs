//! The error function.

use std::f32::consts::SQRT_2;

use super::normal::two_tails;
use super::{mul_add, polynomial};
use crate::simd::Simd;

/// Up to here erf x is a polynomial, beyond it one minus a small tail.
const NEAR: f32 = 0.9;

/// erf(x)/x − 1 as a polynomial in x² for |x| ≤ 0.9, relative error of erf x 1.4e−8.
const ERF: [f32; 6] =
    [0.128_379_15, -0.376_125_07, 0.112_819_76, -0.026_773_285, 0.005_004_16, -6.052_461_7e-4];

/// erf x = 2/√π ∫₀ˣ e^(−t²) dt.
///
/// Error at most 1.8 ULP, 1.9 without FMA. erf(−x) = −erf x to the bit, so erf(−0) = −0; ±1 exactly for |x| ≥ 3.95.
#[inline(always)]
pub(crate) fn erf(x: f32, simd: Simd) -> f32 {
    let a = x.abs();
    let near = mul_add(a, polynomial(ERF, a * a, simd), a, simd);
    let far = 1.0 - two_tails(SQRT_2 * a, simd);
    (if a < NEAR { near } else { far }).copysign(x)
}

#[cfg(test)]
mod tests {
    use super::super::ulp::{Bound, assert_within, on_both, ulps};
    use super::*;

    const BOUND: Bound = Bound { fma: 1.8, portable: 1.9 };

    #[test]
    fn erf_is_within_its_bound() {
        assert_within(BOUND, ulps, f32::NEG_INFINITY..=f32::INFINITY, erf, libm::erf);
    }

    #[test]
    fn erf_saturates() {
        on_both(|simd| {
            for x in [3.95, 10.0, 1e30, f32::INFINITY] {
                assert_eq!(erf(x, simd), 1.0);
                assert_eq!(erf(-x, simd), -1.0);
            }
            assert!(erf(f32::NAN, simd).is_nan());
        });
    }

    #[test]
    fn erf_keeps_the_sign_of_zero() {
        on_both(|simd| assert_eq!(erf(-0.0, simd).to_bits(), (-0f32).to_bits()));
    }
}
