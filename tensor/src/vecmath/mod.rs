//! Elementary functions for f32, as branch-free lanes that the compiler turns into vector code.
//!
//! Each function takes one number and the [`Simd`] of the surrounding [`vectorize`](crate::simd::vectorize): called in
//! a plain loop over slices, it becomes a loop over vectors. All case distinctions are selects, so every lane pays for
//! the longest path, and special values cost no more than others.
//!
//! Each doc bounds the error in units in the last place (ULP) of the exact result, where multiply-add is one instruction
//! and where it rounds twice. The bounds hold for every f32 from 2⁻¹³ to 2¹⁴ in magnitude and for a hundredth of those
//! beyond, where the functions are nearly linear or constant; the tests below each file hold a sample to them.
//!
//! Polynomials are weighted least squares on 3000 Chebyshev nodes, the weights from Lawson's iteration, which leads to
//! the minimax solution. Coefficients were rounded to f32 from the lowest power on, the rest being fitted again each
//! time. Denominators come first, by Loeb's iteration on the linearised problem, and the numerators are fitted to their
//! rounded values. Beside the coefficients stands what they approximate, on which interval, and the largest error
//! before any rounding in the evaluation.

mod erf;
mod exp;
mod gelu;
mod ln;
mod normal;
mod tanh;
mod trig;
#[cfg(test)]
mod ulp;

pub(crate) use erf::erf;
pub(crate) use exp::{exp, exp_nonpositive, sigmoid};
pub(crate) use gelu::{gelu, gelu_derivative};
pub(crate) use ln::ln;
pub(crate) use tanh::tanh;
pub(crate) use trig::{cos, cos_slice, sin, sin_slice};

use crate::simd::Simd;

/// Adding 1.5·2²³ rounds to an integer, which is then in the low bits.
const ROUND: f32 = 12_582_912.0;

/// ln 2 in two parts. The first has 15 bits, so that its product with an integer of up to 9 bits is exact.
const LN_2: [f32; 2] = [0.693_145_75, 1.428_606_8e-6];

/// a·b + c, rounded once where the processor can.
#[inline(always)]
pub(crate) fn mul_add(a: f32, b: f32, c: f32, simd: Simd) -> f32 {
    if simd.fma() { a.mul_add(b, c) } else { a * b + c }
}

/// c₀ + c₁x + c₂x² + …, by Horner's rule.
#[inline(always)]
fn polynomial<const N: usize>(c: [f32; N], x: f32, simd: Simd) -> f32 {
    let mut sum = c[N - 1];
    for &c in c[..N - 1].iter().rev() {
        sum = mul_add(sum, x, c, simd);
    }
    sum
}

/// The smaller of two, NaN if `x` is: unlike [`f32::min`] one instruction.
#[inline(always)]
fn at_most(x: f32, limit: f32) -> f32 {
    if limit < x { limit } else { x }
}

/// The larger of two, NaN if `x` is: unlike [`f32::max`] one instruction.
#[inline(always)]
fn at_least(x: f32, limit: f32) -> f32 {
    if limit > x { limit } else { x }
}
