//! Products of one row, which wait for B and not for sums: B is read once, where it is, in strips as wide as there are
//! registers for.

use super::kernel::{Finish, Place};
use super::vector::{MAX_LANES, Vector};

/// C ← finish(A·B) for one row and those of the n columns that are whole registers; returns how many these are: none
/// where B or C has no order that suits.
///
/// # Safety
/// As for [`blocked::multiply`](super::blocked::multiply), B as it lies.
pub(super) unsafe fn multiply_row<V: Vector>(
    (k, n): (usize, usize),
    block_depth: usize,
    a: Place<*const f32>,
    b: Place<*const f32>,
    finish: Finish<f32>,
    c: Place<*mut f32>,
) -> usize {
    if c.col != 1 || (b.col != 1 && b.row != 1) {
        return 0;
    }
    let task = Task { k, block_depth, a, b, finish, c };
    let cols = n - n % V::LANES;
    // SAFETY: passed on to the caller; `enter` needs the unit V. Turning columns of B takes registers, too.
    unsafe {
        V::enter(
            #[inline(always)]
            || match b.col {
                1 => task.strips::<V, 8>(cols),
                _ => task.strips::<V, 3>(cols),
            },
        );
    }
    cols
}

/// What does not change from strip to strip.
struct Task {
    k: usize,
    block_depth: usize,
    a: Place<*const f32>,
    b: Place<*const f32>,
    finish: Finish<f32>,
    c: Place<*mut f32>,
}

impl Task {
    /// `cols` columns, a multiple of `LANES`: N registers at a time, the rest one by one.
    #[inline(always)]
    unsafe fn strips<V: Vector, const N: usize>(&self, cols: usize) {
        let wide = cols - cols % (N * V::LANES);
        // SAFETY: all strips lie within the columns.
        unsafe {
            for j in (0..wide).step_by(N * V::LANES) {
                self.strip::<V, N>(j);
            }
            for j in (wide..cols).step_by(V::LANES) {
                self.strip::<V, 1>(j);
            }
        }
    }

    /// N registers from column j on: the sums that a tile makes, block by block of the inner axis, with C in registers
    /// between them.
    #[inline(always)]
    #[allow(clippy::needless_range_loop)] // v is a register in several arrays at once
    unsafe fn strip<V: Vector, const N: usize>(&self, j: usize) {
        let (b, finish, c) = (self.b.from(0, j), self.finish.from(0, j), self.c.from(0, j));
        // SAFETY: registers 0..N from column j on are what the caller vouches for.
        unsafe {
            let (zero, one) = (V::splat(0.0), V::splat(1.0));
            let (alpha, beta) = (V::splat(finish.alpha), V::splat(finish.beta));
            let mut totals = [zero; N];
            for p in (0..self.k.max(1)).step_by(self.block_depth) {
                let mut sums = [zero; N];
                let depth = self.block_depth.min(self.k - p);
                let (a, b) = (self.a.from(0, p), b.from(p, 0));
                match b.col {
                    1 => add_rows::<V, N>(depth, a, b, &mut sums),
                    _ => add_columns::<V, N>(depth, a, b, &mut sums),
                }
                for v in 0..N {
                    let sum = alpha.mul(sums[v]);
                    totals[v] = if p > 0 {
                        one.mul_add(totals[v], sum)
                    } else if finish.beta != 0.0 {
                        beta.mul_add(V::load(finish.addend.from(0, v * V::LANES).at), sum)
                    } else {
                        sum
                    };
                }
            }
            for v in 0..N {
                let mut total = totals[v];
                if !finish.bias.is_null() {
                    total = total.add(V::load(finish.bias.add(v * V::LANES)));
                }
                total.store(c.from(0, v * V::LANES).at);
            }
        }
    }
}

/// Adds `depth` terms where rows of B are contiguous.
#[inline(always)]
unsafe fn add_rows<V: Vector, const N: usize>(
    depth: usize,
    a: Place<*const f32>,
    b: Place<*const f32>,
    sums: &mut [V; N],
) {
    for p in 0..depth {
        // SAFETY: row p of B has N registers from here on.
        unsafe {
            let a = V::splat(*a.from(0, p).at);
            for (v, sum) in sums.iter_mut().enumerate() {
                *sum = a.mul_add(V::load(b.from(p, v * V::LANES).at), *sum);
            }
        }
    }
}

/// Adds `depth` terms where columns of B are contiguous: 4 terms are read from each of `LANES` columns and turned.
#[inline(always)]
unsafe fn add_columns<V: Vector, const N: usize>(
    depth: usize,
    a: Place<*const f32>,
    b: Place<*const f32>,
    sums: &mut [V; N],
) {
    let whole = depth - depth % 4;
    // SAFETY: terms 0..depth of N registers of columns lie in B.
    unsafe {
        for p in (0..whole).step_by(4) {
            let a = [0, 1, 2, 3].map(|q| V::splat(*a.from(0, p + q).at));
            for (v, sum) in sums.iter_mut().enumerate() {
                let terms = V::load_columns(b.from(p, v * V::LANES).at, b.col);
                for (a, b) in a.into_iter().zip(terms) {
                    *sum = a.mul_add(b, *sum);
                }
            }
        }
        for p in whole..depth {
            let a = V::splat(*a.from(0, p).at);
            for (v, sum) in sums.iter_mut().enumerate() {
                let mut term = [0.0; MAX_LANES];
                for (lane, x) in term[..V::LANES].iter_mut().enumerate() {
                    *x = *b.from(p, v * V::LANES + lane).at;
                }
                *sum = a.mul_add(V::load(term.as_ptr()), *sum);
            }
        }
    }
}
