//! The tile: a few rows of C across a few registers, summed over a block of the inner axis without touching memory
//! but to read A and B.

use super::ahead::Ahead;
use super::pack::COLUMN;
use super::vector::{MAX_ROWS, MAX_VECTORS, Vector};

/// Where a matrix lies: the address of its first element and its strides.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<P> {
    pub(super) at: P,
    pub(super) row: usize,
    pub(super) col: usize,
}

impl Place<*const f32> {
    /// The part that starts at row i and column j. It may be empty, and then lie anywhere.
    #[inline(always)]
    pub(super) fn from(self, i: usize, j: usize) -> Self {
        let step = i.wrapping_mul(self.row).wrapping_add(j.wrapping_mul(self.col));
        Self { at: self.at.wrapping_add(step), ..self }
    }
}

impl Place<*mut f32> {
    /// The part that starts at row i and column j.
    #[inline(always)]
    pub(super) fn from(self, i: usize, j: usize) -> Self {
        let step = i.wrapping_mul(self.row).wrapping_add(j.wrapping_mul(self.col));
        Self { at: self.at.wrapping_add(step), ..self }
    }
}

/// What becomes of a finished sum: C ← α·sum + β·C + bias.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawFinish<E> {
    pub(super) alpha: E,
    /// If 0, C is not read.
    pub(super) beta: E,
    /// One number for each column, or null.
    pub(super) bias: *const E,
}

/// Rows of A: as they lie, or as [`pack_rows`](super::pack::pack_rows) wrote them.
#[derive(Clone, Copy, Debug)]
pub(super) enum Left {
    Plain(Place<*const f32>),
    Packed(*const f32),
}

/// A panel of B: `depth` rows of at least `cols` numbers, `stride` apart, whole registers of which can be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Panel {
    pub(super) at: *const f32,
    pub(super) stride: usize,
    pub(super) depth: usize,
    pub(super) cols: usize,
}

/// `rows` rows of C, as wide as the panel: C ← finish(A·panel).
///
/// # Safety
/// The processor has the unit V. `a` is readable for [rows, depth], the panel for [depth, cols rounded up to
/// registers], `c` writable for [rows, cols] and `finish.bias`, if not null, readable for cols; cols is in
/// 1..=V::VECTORS·V::LANES.
pub(super) unsafe fn multiply_panel<V: Vector>(
    rows: usize,
    a: Left,
    panel: Panel,
    finish: RawFinish<f32>,
    c: Place<*mut f32>,
    ahead: &mut Ahead,
) {
    // SAFETY: passed on to the caller; `enter` needs the unit V. The number of registers fits the number of columns.
    unsafe {
        match panel.cols.div_ceil(V::LANES) {
            1 => V::enter(
                #[inline(always)]
                || tiles::<V, 1>(rows, a, panel, finish, c, ahead),
            ),
            2 => V::enter(
                #[inline(always)]
                || tiles::<V, 2>(rows, a, panel, finish, c, ahead),
            ),
            _ => V::enter(
                #[inline(always)]
                || tiles::<V, MAX_VECTORS>(rows, a, panel, finish, c, ahead),
            ),
        }
    }
}

/// Rows of the next tile if `rest` are left. The last two tiles share what is left, since a tile of one or two rows
/// has too few sums to keep the multipliers busy.
#[inline(always)]
pub(super) fn tile_rows<V: Vector>(rest: usize) -> usize {
    if rest >= 2 * V::ROWS {
        V::ROWS
    } else if rest > V::ROWS {
        rest.div_ceil(2)
    } else {
        rest
    }
}

/// [`multiply_panel`] for N registers.
#[inline(always)]
unsafe fn tiles<V: Vector, const N: usize>(
    rows: usize,
    a: Left,
    panel: Panel,
    finish: RawFinish<f32>,
    c: Place<*mut f32>,
    ahead: &mut Ahead,
) {
    let (mut i, mut tile) = (0, 0);
    while i < rows {
        let (c, count) = (c.from(i, 0), tile_rows::<V>(rows - i));
        let a = match a {
            Left::Plain(a) => a.from(i, 0),
            Left::Packed(a) => {
                Place { at: a.wrapping_add(tile * COLUMN * panel.depth), row: 1, col: COLUMN }
            }
        };
        // SAFETY: the tile is rows i..i + count of what the caller vouches for.
        unsafe {
            ahead.ask::<V>();
            if c.col == 1 || panel.cols == 1 {
                tile_of::<V, N>(count, a, panel, finish, c);
            } else {
                scattered_tile::<V, N>(count, a, panel, finish, c);
            }
        }
        (i, tile) = (i + count, tile + 1);
    }
}

/// A tile of C whose columns are not contiguous, by way of one whose columns are.
#[inline(always)]
unsafe fn scattered_tile<V: Vector, const N: usize>(
    rows: usize,
    a: Place<*const f32>,
    panel: Panel,
    finish: RawFinish<f32>,
    c: Place<*mut f32>,
) {
    let mut copy = [0.0f32; MAX_ROWS * MAX_VECTORS * 16];
    let near = Place { at: copy.as_mut_ptr(), row: N * V::LANES, col: 1 };
    let places = || {
        (0..rows).flat_map(|i| (0..panel.cols).map(move |j| (near.from(i, j).at, c.from(i, j).at)))
    };
    // SAFETY: a tile has at most MAX_ROWS rows and MAX_VECTORS registers of at most 16 numbers, so it fits into `copy`.
    unsafe {
        if finish.beta != 0.0 {
            places().for_each(|(near, far)| *near = *far);
        }
        tile_of::<V, N>(rows, a, panel, finish, near);
        places().for_each(|(near, far)| *far = *near);
    }
}

/// [`tile`] for a number of rows in 1..=V::ROWS.
#[inline(always)]
unsafe fn tile_of<V: Vector, const N: usize>(
    rows: usize,
    a: Place<*const f32>,
    panel: Panel,
    finish: RawFinish<f32>,
    c: Place<*mut f32>,
) {
    // SAFETY: passed on to the caller.
    unsafe {
        match rows {
            1 => tile::<V, 1, N>(a, panel, finish, c),
            2 => tile::<V, 2, N>(a, panel, finish, c),
            3 => tile::<V, 3, N>(a, panel, finish, c),
            4 => tile::<V, 4, N>(a, panel, finish, c),
            5 => tile::<V, 5, N>(a, panel, finish, c),
            6 => tile::<V, 6, N>(a, panel, finish, c),
            7 if V::ROWS > 6 => tile::<V, 7, N>(a, panel, finish, c),
            _ if V::ROWS > 6 => tile::<V, MAX_ROWS, N>(a, panel, finish, c),
            _ => unreachable!("a tile has at most V::ROWS rows"),
        }
    }
}

/// M rows of N registers, the last of which may be in part beyond the columns of C.
///
/// Every sum is a chain of fused multiply-adds in the order of the inner axis, whatever the place of its element in the
/// tile: this is what makes results independent of how C is cut.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // i is a row and v a register in several arrays at once
unsafe fn tile<V: Vector, const M: usize, const N: usize>(
    a: Place<*const f32>,
    panel: Panel,
    finish: RawFinish<f32>,
    c: Place<*mut f32>,
) {
    // SAFETY: rows 0..M and registers 0..N are what the caller vouches for, the last register of C and of the bias up
    // to the columns of the panel.
    unsafe {
        for i in 0..M {
            V::prefetch(c.at.add(i * c.row));
        }
        let zero = V::splat(0.0);
        let mut sums = [[zero; N]; M];
        // A pointer for every third row: from a single one the compiler would step down the rows, each step waiting for
        // the one before.
        let mut a_at = [a.at, a.from(3, 0).at, a.from(6, 0).at];
        let mut b_at = panel.at;
        for _ in 0..panel.depth {
            let mut b = [zero; N];
            for v in 0..N {
                b[v] = V::load(b_at.add(v * V::LANES));
            }
            for i in 0..M {
                let a = V::splat(*a_at[i / 3].add(i % 3 * a.row));
                for v in 0..N {
                    sums[i][v] = a.mul_add(b[v], sums[i][v]);
                }
            }
            a_at = a_at.map(|at| at.wrapping_add(a.col));
            b_at = b_at.wrapping_add(panel.stride);
        }
        let (alpha, beta) = (V::splat(finish.alpha), V::splat(finish.beta));
        for v in 0..N {
            let count = panel.cols - v * V::LANES;
            let whole = v + 1 < N || count == V::LANES;
            let load = |at: *const f32| if whole { V::load(at) } else { V::load_part(at, count) };
            for i in 0..M {
                let at = c.at.add(i * c.row + v * V::LANES);
                let mut x = if finish.beta == 0.0 {
                    alpha.mul(sums[i][v])
                } else {
                    alpha.mul_add(sums[i][v], beta.mul(load(at)))
                };
                if !finish.bias.is_null() {
                    x = x.add(load(finish.bias.add(v * V::LANES)));
                }
                if whole { x.store(at) } else { x.store_part(at, count) }
            }
        }
    }
}
