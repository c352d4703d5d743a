//! The hyperbolic tangent.

use super::exp::{Reduced, reduce};
use super::{at_most, mul_add};
use crate::simd::Simd;

/// tanh x.
///
/// With u = e^(2|x|) − 1, tanh|x| = u/(u + 2), and u is accurate down to zero.
/// Error at most 2.6 ULP, 2.7 without FMA. tanh(−x) = −tanh x to the bit, so tanh(−0) = −0; ±1 exactly for |x| ≥ 9.02.
#[inline(always)]
pub(crate) fn tanh(x: f32, simd: Simd) -> f32 {
    // At 20, u + 2 rounds to u.
    let Reduced { exponent, r, rest } = reduce(at_most(2.0 * x.abs(), 20.0), simd);
    let scale = f32::from_bits(1f32.to_bits().wrapping_add(exponent));
    // 2ⁿ(1 + r + r²·rest) − 1: for n = 0 the 1 drops out exactly.
    let u = mul_add(scale, mul_add(r * r, rest, r, simd), scale - 1.0, simd);
    (u / (u + 2.0)).copysign(x)
}

#[cfg(test)]
mod tests {
    use super::super::ulp::{Bound, assert_within, on_both, ulps};
    use super::*;

    const BOUND: Bound = Bound { fma: 2.6, portable: 2.7 };

    #[test]
    fn tanh_is_within_its_bound() {
        assert_within(BOUND, ulps, f32::NEG_INFINITY..=f32::INFINITY, tanh, f64::tanh);
    }

    #[test]
    fn tanh_saturates() {
        on_both(|simd| {
            for x in [9.02, 10.0, 1e30, f32::INFINITY] {
                assert_eq!(tanh(x, simd), 1.0);
                assert_eq!(tanh(-x, simd), -1.0);
            }
            assert!(tanh(f32::NAN, simd).is_nan());
        });
    }

    #[test]
    fn tanh_keeps_the_sign_of_zero() {
        on_both(|simd| assert_eq!(tanh(-0.0, simd).to_bits(), (-0f32).to_bits()));
    }
}
