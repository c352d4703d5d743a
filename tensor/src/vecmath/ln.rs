//! The natural logarithm.

use std::f32::consts::FRAC_1_SQRT_2;

use super::{LN_2, mul_add, polynomial};
use crate::simd::Simd;

/// (ln(1 + f) − f + f²/2)/f³ for √½ ≤ 1 + f ≤ √2; relative error of ln(1 + f) 5.8e−9.
const LN_1P: [f32; 8] = [
    0.333_333_3,
    -0.250_008_2,
    0.200_012_42,
    -0.166_234_09,
    0.142_015_8,
    -0.131_596_1,
    0.127_622_16,
    -0.076_364_35,
];

/// ln x.
///
/// Error at most 0.93 ULP, with FMA or without, subnormal arguments included.
/// ln(±0) = −∞, ln(∞) = ∞, NaN for negative arguments and for NaN.
#[inline(always)]
pub(crate) fn ln(x: f32, simd: Simd) -> f32 {
    let subnormal = x < f32::MIN_POSITIVE;
    let scaled = if subnormal { x * 8_388_608.0 } else { x };
    let shift = if subnormal { -23.0 } else { 0.0 };

    // x = 2ᵏ·(1 + f): counted from √½, the exponent field is k and the rest is the mantissa.
    let bits = scaled.to_bits().wrapping_sub(FRAC_1_SQRT_2.to_bits());
    let k = (bits as i32 >> 23) as f32 + shift;
    let f = f32::from_bits((bits & 0x007f_ffff).wrapping_add(FRAC_1_SQRT_2.to_bits())) - 1.0;

    // ln x = k·ln 2 + f − f²/2 + f³·p, smallest terms first.
    let p = polynomial(LN_1P, f, simd);
    let tail = f * f * mul_add(f, p, -0.5, simd);
    let y = mul_add(k, LN_2[0], f + mul_add(k, LN_2[1], tail, simd), simd);

    let special = if x == 0.0 { f32::NEG_INFINITY } else { f32::NAN };
    let y = if x > 0.0 { y } else { special };
    if x <= f32::MAX { y } else { x }
}

#[cfg(test)]
mod tests {
    use super::super::ulp::{Bound, assert_within, on_both, ulps};
    use super::*;

    const BOUND: Bound = Bound { fma: 0.93, portable: 0.93 };

    #[test]
    fn ln_is_within_its_bound() {
        assert_within(BOUND, ulps, f32::from_bits(1)..=f32::MAX, ln, f64::ln);
    }

    #[test]
    fn ln_has_its_special_values() {
        on_both(|simd| {
            assert_eq!(ln(1.0, simd), 0.0);
            assert_eq!(ln(0.0, simd), f32::NEG_INFINITY);
            assert_eq!(ln(-0.0, simd), f32::NEG_INFINITY);
            assert_eq!(ln(f32::INFINITY, simd), f32::INFINITY);
            for x in [-f32::from_bits(1), -1.0, f32::NEG_INFINITY, f32::NAN] {
                assert!(ln(x, simd).is_nan());
            }
        });
    }
}
