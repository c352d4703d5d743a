//! The error function.

use super::{at_most, polynomial};
use crate::simd::Simd;

/// Where the quotient reaches 1 in f32.
const SATURATION: f32 = 3.95;

/// erf(x)/x = P(x²)/Q(x²) for |x| ≤ 3.93, relative error 3.0e−8. No coefficient is negative, so the sums cannot
/// cancel. The common factor is chosen such that P(0)/Q(0) in f32 is 2/√π to ten digits.
const P: [f32; 6] =
    [1.899_732_1, 0.321_202_4, 0.088_877_52, 0.006_363_3, 4.795_050_5e-4, 3.437_762_6e-6];
const Q: [f32; 6] =
    [1.683_593_8, 0.845_855_24, 0.192_363_28, 0.025_249_599, 0.001_961_746, 6.398_345e-5];

/// erf x = 2/√π ∫₀ˣ e^(−t²) dt.
///
/// Error at most 3 ULP. erf(−x) = −erf x to the bit, so erf(−0) = −0; ±1 exactly for |x| ≥ 3.95.
#[inline(always)]
pub(crate) fn erf(x: f32, simd: Simd) -> f32 {
    let a = at_most(x.abs(), SATURATION);
    let y = a * a;
    let quotient = a * polynomial(P, y, simd) / polynomial(Q, y, simd);
    at_most(quotient, 1.0).copysign(x)
}

#[cfg(test)]
mod tests {
    use super::super::ulp::{Bound, assert_within, on_both, ulps};
    use super::*;

    const BOUND: Bound = Bound { fma: 9.0, portable: 9.0 };

    #[test]
    fn erf_is_within_its_bound() {
        assert_within(BOUND, ulps, f32::NEG_INFINITY..=f32::INFINITY, erf, libm::erf);
    }

    #[test]
    fn erf_saturates() {
        on_both(|simd| {
            for x in [SATURATION, 10.0, 1e30, f32::INFINITY] {
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
