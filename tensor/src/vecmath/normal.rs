//! The tail of the normal distribution, which the error function and GELU share.

use super::exp::exp_nonpositive;
use super::{at_most, polynomial};
use crate::simd::Simd;

/// 2Φ(−a)·e^(a²/2) = P(a)/Q(a). Fitted for 0 ≤ a ≤ 6.5 to the absolute error of max(1, a)·2Φ(−a), which is 2.5e−9;
/// the relative error grows to 3e−4 at a = 13. All coefficients are positive, so the sums cannot cancel.
const P: [f32; 4] = [1.0, 0.601_828_6, 0.175_769_46, 0.020_423_297];
const Q: [f32; 5] = [1.0, 1.399_713, 0.792_580_37, 0.218_907_1, 0.025_669_824];

/// 2Φ(−a) = erfc(a/√2) for a ≥ 0, the chance of more than a standard deviations from the mean; 0 for a ≥ 13.22.
///
/// The exponential and the quotient do not wait for each other, which makes this faster than the exponential of a
/// polynomial, although that needs no division.
#[inline(always)]
pub(super) fn two_tails(a: f32, simd: Simd) -> f32 {
    let a = at_most(a, 14.0);
    exp_nonpositive(-0.5 * a * a, simd) * (polynomial(P, a, simd) / polynomial(Q, a, simd))
}
