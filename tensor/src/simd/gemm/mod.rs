//! Matrix product on strided slices: our own kernels for f32 on AVX2, AVX-512 and NEON, matrixmultiply elsewhere.
//!
//! [`kernel`] holds the sums of a tile of C in registers, [`blocked`] walks over tiles so that what they read lies in the
//! cache, [`pack`] copies what does not lie well, [`row`] does without all three for a single row, and [`vector`] names the
//! instructions that differ between machines.

mod blocked;
mod kernel;
mod mat;
mod pack;
mod packed;
mod row;
mod vector;

#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(test)]
mod tests;

use kernel::{Finish, Place, Right};
pub use mat::{MatMut, MatRef};
pub use packed::{Packed, Rhs};

use super::Level;
use crate::Float;
use crate::profile::{Counts, count};

/// C ← α·A·B + β·C on one thread, for A [m, k], B [k, n], C [m, n]. If β is 0, C is written without being read.
///
/// # Panics
/// If the sizes disagree.
#[track_caller]
pub fn gemm<'a, E: Float>(
    alpha: E,
    a: MatRef<'a, E>,
    b: impl Into<Rhs<'a, E>>,
    beta: E,
    c: MatMut<'a, E>,
) {
    product(Level::current(), alpha, a, b.into(), beta, Plus::default(), c);
}

/// What is added to the sums of a product while they are in registers.
#[derive(Clone, Copy, Debug)]
pub struct Plus<'a, E> {
    /// n numbers, one for each column.
    pub bias: Option<&'a [E]>,
    /// A matrix [m, n] with contiguous rows.
    pub residual: Option<MatRef<'a, E>>,
}

impl<E> Default for Plus<'_, E> {
    fn default() -> Self {
        Self { bias: None, residual: None }
    }
}

/// C ← A·B + bias + residual on one thread, for A [m, k], B [k, n] and C [m, n] with contiguous rows.
///
/// # Panics
/// If the sizes disagree, or if rows of C or of the residual are not contiguous.
#[track_caller]
pub fn gemm_plus<'a, E: Float>(
    a: MatRef<'a, E>,
    b: impl Into<Rhs<'a, E>>,
    plus: Plus<'a, E>,
    c: MatMut<'a, E>,
) {
    product(Level::current(), E::ONE, a, b.into(), E::ZERO, plus, c);
}

/// C ← α·A·B + β·C + bias + residual at a level that this processor has; β is 0 if there is a residual.
#[track_caller]
fn product<E: Float>(
    level: Level,
    alpha: E,
    a: MatRef<'_, E>,
    b: Rhs<'_, E>,
    beta: E,
    plus: Plus<'_, E>,
    c: MatMut<'_, E>,
) {
    let (k, n) = b.size();
    assert!(
        a.cols == k && a.rows == c.rows && n == c.cols,
        "gemm: sizes disagree: [{}, {}] × [{k}, {n}] → [{}, {}]",
        a.rows,
        a.cols,
        c.rows,
        c.cols
    );
    assert!(
        plus.bias.is_none_or(|bias| bias.len() == n),
        "gemm: a bias of {} numbers for {n} columns",
        plus.bias.map_or(0, <[E]>::len)
    );
    if let Some(residual) = plus.residual {
        let fits = (residual.rows, residual.cols) == (c.rows, c.cols);
        assert!(
            fits && residual.col_stride == 1 && c.col_stride == 1,
            "gemm: a residual [{}, {}] for [{}, {}], contiguous rows expected",
            residual.rows,
            residual.cols,
            c.rows,
            c.cols
        );
    }
    if c.rows == 0 || c.cols == 0 {
        return;
    }
    // A few columns of a tall C are a few rows of its transpose, which need no wide panels: Cᵀ = Bᵀ·Aᵀ.
    let (a, b, mut c) = if c.col_stride != 1 && c.row_stride == 1 && plus.bias.is_none() {
        (b.matrix.t(), a.t().into(), c.t())
    } else {
        (a, b, c)
    };
    let size = (a.rows, a.cols, b.size().1);
    let flop = (2 * size.0).saturating_mul(size.1).saturating_mul(size.2);
    count(Counts { flop: flop as i64, ..Counts::default() });
    let (beta, addend) = match plus.residual {
        Some(residual) => (E::ONE, residual.place()),
        None => (beta, c.place().read()),
    };
    let bias = plus.bias.map_or(std::ptr::null(), <[E]>::as_ptr);
    let finish = Finish { alpha, beta, addend, bias };
    // SAFETY: `MatRef::new` and `MatMut::new` checked that every (row, column) lies inside its slice (with k = 0 nothing
    // of A and B is read); C is borrowed mutably, so it aliases none of the others, and `MatMut::new` checked that its
    // places are distinct; the bias has n numbers, the residual is as large as C; `level` is one that the processor has,
    // and a packed B was packed at it.
    unsafe { E::product(level, size, a.place(), b.place(level), finish, c.place()) }
}

/// C ← α·A·B + β·D + bias for one element type.
pub trait Product: Sized {
    /// # Safety
    /// The processor has the level. A is readable for [m, k], B for [k, n] and its copy as `pack` wrote it at this level, D for
    /// [m, n] with the column stride of C, the bias, if not null, for n; C is writable for [m, n], its places are distinct
    /// and shared with nothing else, unless D is C.
    #[doc(hidden)]
    unsafe fn product(
        level: Level,
        size: (usize, usize, usize),
        a: Place<*const Self>,
        b: Right<Self>,
        finish: Finish<Self>,
        c: Place<*mut Self>,
    );

    /// Numbers that `pack` writes at this level for a B [k, n]; 0 if a product reads it where it is,
    /// `None` if they cannot be counted.
    #[doc(hidden)]
    fn packed_len(level: Level, k: usize, n: usize) -> Option<usize>;

    /// Copies B [k, n] in the order in which the products of this level read it.
    ///
    /// # Safety
    /// The processor has the level. B is readable for [k, n], `to` writable for `packed_len` numbers.
    #[doc(hidden)]
    unsafe fn pack(level: Level, size: (usize, usize), b: Place<*const Self>, to: *mut Self);
}

impl Product for f32 {
    unsafe fn product(
        level: Level,
        size: (usize, usize, usize),
        a: Place<*const f32>,
        b: Right<f32>,
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

    fn packed_len(level: Level, k: usize, n: usize) -> Option<usize> {
        match level {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => blocked::packed_len::<x86::Avx512>(k, n),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => blocked::packed_len::<x86::Avx2>(k, n),
            #[cfg(target_arch = "aarch64")]
            _ => blocked::packed_len::<neon::Neon>(k, n),
            #[cfg(not(target_arch = "aarch64"))]
            _ => Some(0),
        }
    }

    unsafe fn pack(level: Level, (k, n): (usize, usize), b: Place<*const f32>, to: *mut f32) {
        // SAFETY: passed on to the caller; each unit is run at its level only.
        unsafe {
            match level {
                #[cfg(target_arch = "x86_64")]
                Level::Avx512 => blocked::pack::<x86::Avx512>(k, n, b, to),
                #[cfg(target_arch = "x86_64")]
                Level::Avx2 => blocked::pack::<x86::Avx2>(k, n, b, to),
                #[cfg(target_arch = "aarch64")]
                _ => blocked::pack::<neon::Neon>(k, n, b, to),
                #[cfg(not(target_arch = "aarch64"))]
                _ => {}
            }
        }
    }
}

impl Product for f64 {
    unsafe fn product(
        _: Level,
        size: (usize, usize, usize),
        a: Place<*const f64>,
        b: Right<f64>,
        finish: Finish<f64>,
        c: Place<*mut f64>,
    ) {
        // SAFETY: passed on to the caller.
        unsafe { portable(matrixmultiply::dgemm, size, a, b, finish, c) }
    }

    fn packed_len(_: Level, _: usize, _: usize) -> Option<usize> {
        Some(0)
    }

    unsafe fn pack(_: Level, _: (usize, usize), _: Place<*const f64>, _: *mut f64) {}
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

/// The product by matrixmultiply; what is added to it is laid down first.
///
/// # Safety
/// As [`Product::product`].
unsafe fn portable<E: Float>(
    gemm: Gemm<E>,
    (m, k, n): (usize, usize, usize),
    a: Place<*const E>,
    b: Right<E>,
    finish: Finish<E>,
    c: Place<*mut E>,
) {
    let b = b.plain;
    let stride = |stride: usize| stride as isize; // no longer than the slice, so they fit
    // SAFETY: passed on to the caller.
    unsafe {
        let mut beta = finish.beta;
        if !finish.bias.is_null() || finish.addend.at != c.at.cast_const() {
            for i in 0..m {
                for j in 0..n {
                    let (at, addend) = (c.from(i, j).at, finish.addend.from(i, j).at);
                    let bias = if finish.bias.is_null() { E::ZERO } else { *finish.bias.add(j) };
                    *at = if beta == E::ZERO { bias } else { beta * *addend + bias };
                }
            }
            beta = E::ONE;
        }
        let ((ra, ca), (rb, cb)) = ((stride(a.row), stride(a.col)), (stride(b.row), stride(b.col)));
        let (rc, cc) = (stride(c.row), stride(c.col));
        gemm(m, k, n, finish.alpha, a.at, ra, ca, b.at, rb, cb, beta, c.at, rc, cc);
    }
}
