//! Matrix products on strided slices.
//!
//! *What is there.* C ← α·A·B + β·C + bias on one thread, for matrices of any strides ([`MatRef`], [`MatMut`]), with B as
//! it lies or packed once for many products ([`Packed`]). For `f32` the algorithm is written once (`blocked`, `kernel`,
//! `pack`) over a small trait for a vector unit (`vector`), and instantiated for AVX2 with FMA, AVX-512 and NEON.
//! Elsewhere, and for `f64`, which is there to check and not to race, matrixmultiply does the work.
//!
//! *What is not.* Threads: a caller cuts C into blocks of rows or columns, and the bits of an element do not depend on
//! where the cuts are. A hook for activation functions: whoever wants GELU while the numbers are in cache multiplies some
//! 64 rows at a time by a packed B and applies it to them. Integers, halves, complex numbers.
//!
//! *Why not matrixmultiply alone.* It packs A and B of every product, however small, into fresh memory, and computes
//! edges as whole tiles: products of 50 to 65 rows, which attention is made of, cost twice what they need to.

mod ahead;
mod blocked;
mod kernel;
mod mat;
mod pack;
mod packed;
mod unit;
mod vector;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;

#[cfg(test)]
mod tests;

pub use mat::{MatMut, MatRef};
pub use packed::Packed;
pub(crate) use unit::Product;

use super::level::Level;
use crate::Float;

/// What becomes of a sum of products: C ← α·A·B + β·C + bias.
#[derive(Clone, Copy, Debug)]
pub struct Finish<'a, E> {
    /// α.
    pub alpha: E,
    /// β. If it is 0, C is written without being read.
    pub beta: E,
    /// One number for each column of C, added after α and β.
    pub bias: Option<&'a [E]>,
}

/// The right-hand side of a product: a matrix as it lies, or one that was packed.
#[derive(Clone, Copy, Debug)]
pub enum Right<'a, E: Float> {
    /// A matrix as it lies.
    Plain(MatRef<'a, E>),
    /// A packed one, multiplied at the level that it was packed for.
    Packed(&'a Packed<E>),
}

impl<'a, E: Float> From<MatRef<'a, E>> for Right<'a, E> {
    fn from(b: MatRef<'a, E>) -> Self {
        Self::Plain(b)
    }
}

impl<'a, E: Float> From<&'a Packed<E>> for Right<'a, E> {
    fn from(b: &'a Packed<E>) -> Self {
        Self::Packed(b)
    }
}

/// C ← α·A·B + β·C on one thread, for A [m, k], B [k, n], C [m, n]. If β is 0, C is written without being read.
///
/// # Panics
/// If the sizes disagree.
#[track_caller]
pub fn gemm<'a, E: Float>(
    alpha: E,
    a: MatRef<'_, E>,
    b: impl Into<Right<'a, E>>,
    beta: E,
    c: MatMut<'_, E>,
) {
    gemm_finish(a, b, Finish { alpha, beta, bias: None }, c);
}

/// C ← α·A·B + β·C + bias on one thread, for A [m, k], B [k, n], C [m, n] and a bias of n.
///
/// # Panics
/// If the sizes disagree.
#[track_caller]
pub fn gemm_finish<'a, E: Float>(
    a: MatRef<'_, E>,
    b: impl Into<Right<'a, E>>,
    finish: Finish<'_, E>,
    c: MatMut<'_, E>,
) {
    let b = b.into();
    let (b_rows, b_cols) = match b {
        Right::Plain(b) => (b.rows, b.cols),
        Right::Packed(b) => (b.rows(), b.cols()),
    };
    assert!(
        a.cols == b_rows && a.rows == c.rows && b_cols == c.cols,
        "gemm: sizes disagree: [{}, {}] × [{b_rows}, {b_cols}] → [{}, {}]",
        a.rows,
        a.cols,
        c.rows,
        c.cols
    );
    assert!(
        finish.bias.is_none_or(|bias| bias.len() == c.cols),
        "gemm: a bias of {} for {} columns",
        finish.bias.map_or(0, <[E]>::len),
        c.cols
    );
    if c.rows > 0 && c.cols > 0 {
        unit::product(Level::current(), a, b, finish, c);
    }
}
