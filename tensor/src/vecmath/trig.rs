//! Sine and cosine.

use std::f32::consts::{FRAC_1_PI, PI};

use super::{ROUND, mul_add, polynomial};
use crate::simd::{Simd, vectorize};

/// Largest |x| for which [`sin`] and [`cos`] keep their accuracy.
pub(crate) const TRIG_RANGE: f32 = 8192.0;

/// π in three parts of 24 bits. With FMA, x − n·π loses nothing in the first step: the product is exact.
const PI_FMA: [f32; 3] = [PI, -8.742_278e-8, -3.430_249e-15];
/// π in parts of 11 bits and a rest, for products with an n of up to 13 bits that are exact in f32.
const PI_EXACT: [f32; 4] = [3.140_625, 9.675_026e-4, 1.509_906_7e-7, 5.126_688e-12];

/// (sin(r)/r − 1)/r² as a polynomial in r² for |r| ≤ 1.572; relative error of sin r 6.2e−9.
const SIN: [f32; 4] = [-0.166_666_6, 0.008_333_069, -1.980_977_1e-4, 2.606_067_7e-6];

/// x − h·π, accurate relative to itself even where it nearly vanishes.
#[inline(always)]
fn subtract_pi(x: f32, h: f32, simd: Simd) -> f32 {
    if simd.fma() {
        PI_FMA.iter().fold(x, |r, &part| (-h).mul_add(part, r))
    } else {
        PI_EXACT.iter().fold(x, |r, &part| r - h * part)
    }
}

/// sin r for |r| ≤ π/2 (a little more is allowed), its sign flipped if bit 0 of `n` is set.
#[inline(always)]
fn sin_reduced(r: f32, n: u32, simd: Simd) -> f32 {
    let square = r * r;
    let y = mul_add(r * square, polynomial(SIN, square, simd), r, simd);
    f32::from_bits(y.to_bits() ^ (n << 31))
}

/// sin x for |x| ≤ [`TRIG_RANGE`].
///
/// sin(n·π + r) = (−1)ⁿ·sin r, |r| ≤ π/2.
/// Error at most 2.1 ULP, 2.4 without FMA. sin(−x) = −sin x to the bit, so sin(−0) = −0; NaN for ±∞ and NaN. Beyond the
/// range the error grows with |x|: slices of unknown numbers take [`sin_slice`].
#[inline(always)]
pub(crate) fn sin(x: f32, simd: Simd) -> f32 {
    let a = x.abs();
    let rounded = mul_add(a, FRAC_1_PI, ROUND, simd);
    let y = sin_reduced(subtract_pi(a, rounded - ROUND, simd), rounded.to_bits(), simd);
    // y·sign(x)
    f32::from_bits(y.to_bits() ^ (x.to_bits() & 0x8000_0000))
}

/// cos x for |x| ≤ [`TRIG_RANGE`].
///
/// cos((n + ½)·π + r) = (−1)ⁿ⁺¹·sin r, |r| ≤ π/2.
/// Error at most 2.2 ULP, 2.4 without FMA. cos 0 = 1; NaN for ±∞ and NaN. Beyond the range the error grows with |x|: slices
/// of unknown numbers take [`cos_slice`].
#[inline(always)]
pub(crate) fn cos(x: f32, simd: Simd) -> f32 {
    let rounded = mul_add(x, FRAC_1_PI, -0.5, simd) + ROUND;
    let r = subtract_pi(x, rounded - ROUND + 0.5, simd);
    sin_reduced(r, rounded.to_bits().wrapping_add(1), simd)
}

/// Replaces each element by its sine, for arguments of any size: beyond [`TRIG_RANGE`] by that of libm.
pub(crate) fn sin_slice(x: &mut [f32]) {
    in_range(x, sin, f32::sin);
}

/// Replaces each element by its cosine, for arguments of any size: beyond [`TRIG_RANGE`] by that of libm.
pub(crate) fn cos_slice(x: &mut [f32]) {
    in_range(x, cos, f32::cos);
}

/// Applies `lane` to elements up to [`TRIG_RANGE`] and `libm` to those beyond. What becomes of an element does not
/// depend on its neighbours.
#[inline(always)]
fn in_range(x: &mut [f32], lane: impl Fn(f32, Simd) -> f32, libm: fn(f32) -> f32) {
    vectorize(
        #[inline(always)]
        |simd| {
            for chunk in x.chunks_mut(256) {
                if chunk.iter().fold(false, |any, x| any | (x.abs() > TRIG_RANGE)) {
                    one_by_one(
                        chunk,
                        |x| if x.abs() > TRIG_RANGE { libm(x) } else { lane(x, simd) },
                    );
                } else {
                    chunk.iter_mut().for_each(|x| *x = lane(*x, simd));
                }
            }
        },
    );
}

/// Kept out of the vector loops, which it would make slow.
#[cold]
#[inline(never)]
fn one_by_one(x: &mut [f32], f: impl Fn(f32) -> f32) {
    x.iter_mut().for_each(|x| *x = f(*x));
}

#[cfg(test)]
mod tests {
    use super::super::ulp::{Bound, assert_within, on_both, ulps};
    use super::*;

    const SIN: Bound = Bound { fma: 2.1, portable: 2.4 };
    const COS: Bound = Bound { fma: 2.2, portable: 2.4 };

    #[test]
    fn sin_is_within_its_bound() {
        assert_within(SIN, ulps, -TRIG_RANGE..=TRIG_RANGE, sin, f64::sin);
    }

    #[test]
    fn cos_is_within_its_bound() {
        assert_within(COS, ulps, -TRIG_RANGE..=TRIG_RANGE, cos, f64::cos);
    }

    #[test]
    fn sin_and_cos_have_their_special_values() {
        on_both(|simd| {
            assert_eq!(sin(0.0, simd).to_bits(), 0f32.to_bits());
            assert_eq!(sin(-0.0, simd).to_bits(), (-0f32).to_bits());
            assert_eq!(cos(0.0, simd), 1.0);
            for x in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
                assert!(sin(x, simd).is_nan() && cos(x, simd).is_nan());
            }
        });
    }

    #[test]
    fn slices_take_arguments_of_any_size_and_mind_no_neighbours() {
        let small = [0.5, -3.0, 8192.0];
        let mut alone = small;
        sin_slice(&mut alone);
        let mut mixed = [0.5, -3.0, 8192.0, 1e10, f32::INFINITY];
        sin_slice(&mut mixed);
        assert_eq!(mixed[..3], alone);
        assert_eq!(mixed[3], 1e10f32.sin());
        assert!(mixed[4].is_nan());

        let mut mixed = [0.5, 1e10];
        cos_slice(&mut mixed);
        assert!((mixed[0] - 0.5f32.cos()).abs() <= f32::EPSILON);
        assert_eq!(mixed[1], 1e10f32.cos());
    }
}
