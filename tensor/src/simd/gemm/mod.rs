//! Matrix product on strided slices: our own kernels for f32 on AVX2, AVX-512 and NEON, matrixmultiply elsewhere.
//!
//! [`kernel`] holds the sums of a tile of C in registers, [`blocked`] walks over tiles so that what they read lies in the
//! cache, [`pack`] copies what does not lie well, and [`vector`] names the few instructions that differ between machines.

mod blocked;
mod kernel;
mod mat;
mod pack;
mod vector;

#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(test)]
mod tests;

use kernel::{Finish, Place};
pub use mat::{MatMut, MatRef};

use super::Level;
use crate::Float;
use crate::profile::{Counts, count};

/// C ← α·A·B + β·C on one thread, for A [m, k], B [k, n], C [m, n]. If β is 0, C is written without being read.
///
/// # Panics
/// If the sizes disagree.
#[track_caller]
pub fn gemm<E: Float>(alpha: E, a: MatRef<'_, E>, b: MatRef<'_, E>, beta: E, c: MatMut<'_, E>) {
    product(Level::current(), alpha, a, b, beta, None, c);
}

/// C ← A·B + bias on one thread, for A [m, k], B [k, n], a bias of n numbers, one for each column, and C [m, n].
///
/// # Panics
/// If the sizes disagree.
#[track_caller]
pub fn gemm_bias<E: Float>(a: MatRef<'_, E>, b: MatRef<'_, E>, bias: &[E], c: MatMut<'_, E>) {
    product(Level::current(), E::ONE, a, b, E::ZERO, Some(bias), c);
}

/// C ← α·A·B + β·C + bias at a level that this processor has.
#[track_caller]
fn product<E: Float>(
    level: Level,
    alpha: E,
    a: MatRef<'_, E>,
    b: MatRef<'_, E>,
    beta: E,
    bias: Option<&[E]>,
    c: MatMut<'_, E>,
) {
    assert!(
        a.cols == b.rows && a.rows == c.rows && b.cols == c.cols,
        "gemm: sizes disagree: [{}, {}] × [{}, {}] → [{}, {}]",
        a.rows,
        a.cols,
        b.rows,
        b.cols,
        c.rows,
        c.cols
    );
    assert!(
        bias.is_none_or(|bias| bias.len() == c.cols),
        "gemm: a bias of {} numbers for {} columns",
        bias.map_or(0, <[E]>::len),
        c.cols
    );
    if c.rows == 0 || c.cols == 0 {
        return;
    }
    // A few columns of a tall C are a few rows of its transpose, which need no wide panels: Cᵀ = Bᵀ·Aᵀ.
    let (a, b, mut c) = if c.col_stride != 1 && c.row_stride == 1 && bias.is_none() {
        (b.t(), a.t(), c.t())
    } else {
        (a, b, c)
    };
    let size = (a.rows, a.cols, b.cols);
    let flop = (2 * size.0).saturating_mul(size.1).saturating_mul(size.2);
    count(Counts { flop: flop as i64, ..Counts::default() });
    let finish = Finish { alpha, beta, bias: bias.map_or(std::ptr::null(), <[E]>::as_ptr) };
    // SAFETY: `MatRef::new` and `MatMut::new` checked that every (row, column) lies inside its slice (with k = 0 nothing
    // of A and B is read); C is borrowed mutably, so it aliases none of the others, and `MatMut::new` checked that its
    // places are distinct; the bias has n numbers; `level` is one that the processor has.
    unsafe { E::product(level, size, a.place(), b.place(), finish, c.place()) }
}

/// C ← α·A·B + β·C + bias for one element type.
pub trait Product: Sized {
    /// # Safety
    /// The processor has the level. A is readable for [m, k], B for [k, n], the bias, if not null, for n; C is writable
    /// for [m, n], its places are distinct and shared with nothing else.
    #[doc(hidden)]
    unsafe fn product(
        level: Level,
        size: (usize, usize, usize),
        a: Place<*const Self>,
        b: Place<*const Self>,
        finish: Finish<Self>,
        c: Place<*mut Self>,
    );
}

impl Product for f32 {
    unsafe fn product(
        level: Level,
        size: (usize, usize, usize),
        a: Place<*const f32>,
        b: Place<*const f32>,
        finish: Finish<f32>,
        c: Place<*mut f32>,
    ) {
        // SAFETY: passed on to the caller; each unit is run at its level only.
        unsafe {
            match level {
                #[cfg(target_arch = "x86_64")]
                Level::Avx512 => blocked::multiply::<x86::Avx512>(size, a, b, finish, c),
                #[cfg(target_arch = "x86_64")]
                Level::Avx2 => blocked::multiply::<x86::Avx2>(size, a, b, finish, c),
                #[cfg(target_arch = "aarch64")]
                _ => blocked::multiply::<neon::Neon>(size, a, b, finish, c),
                #[cfg(not(target_arch = "aarch64"))]
                _ => portable(matrixmultiply::sgemm, size, a, b, finish, c),
            }
        }
    }
}

impl Product for f64 {
    unsafe fn product(
        _: Level,
        size: (usize, usize, usize),
        a: Place<*const f64>,
        b: Place<*const f64>,
        finish: Finish<f64>,
        c: Place<*mut f64>,
    ) {
        // SAFETY: passed on to the caller.
        unsafe { portable(matrixmultiply::dgemm, size, a, b, finish, c) }
    }
}

/// The signature of matrixmultiply's functions: sizes m, k, n; α; A, B with row and column strides; β; C likewise.
type Gemm<E> = unsafe fn(
    usize,
    usize,
    usize,
    E,
    *const E,
    isize,
    isize,
    *const E,
    isize,
    isize,
    E,
    *mut E,
    isize,
    isize,
);

/// The product by matrixmultiply; the bias is laid down first.
///
/// # Safety
/// As [`Product::product`].
unsafe fn portable<E: Float>(
    gemm: Gemm<E>,
    (m, k, n): (usize, usize, usize),
    a: Place<*const E>,
    b: Place<*const E>,
    finish: Finish<E>,
    c: Place<*mut E>,
) {
    let stride = |stride: usize| stride as isize; // strides span slices, so they fit
    // SAFETY: passed on to the caller.
    unsafe {
        let mut beta = finish.beta;
        if !finish.bias.is_null() {
            for i in 0..m {
                for j in 0..n {
                    let (at, bias) = (c.from(i, j).at, *finish.bias.add(j));
                    *at = if beta == E::ZERO { bias } else { beta * *at + bias };
                }
            }
            beta = E::ONE;
        }
        let ((ra, ca), (rb, cb)) = ((stride(a.row), stride(a.col)), (stride(b.row), stride(b.col)));
        let (rc, cc) = (stride(c.row), stride(c.col));
        gemm(m, k, n, finish.alpha, a.at, ra, ca, b.at, rb, cb, beta, c.at, rc, cc);
    }
}
