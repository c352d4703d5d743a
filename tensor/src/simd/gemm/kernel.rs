//! The tile: a few rows of C across a few registers, summed over a block of the inner axis without touching memory
//! but to read A and B.

use std::hint::black_box;
use std::mem::MaybeUninit;

use super::vector::{MAX_LANES, MAX_ROWS, MAX_VECTORS, Vector};

/// Where a matrix lies: the address of its first element and its strides.
#[derive(Clone, Copy, Debug)]
pub struct Place<P> {
    pub(super) at: P,
    pub(super) row: usize,
    pub(super) col: usize,
}

impl<P> Place<P> {
    fn offset(&self, i: usize, j: usize) -> usize {
        i.wrapping_mul(self.row).wrapping_add(j.wrapping_mul(self.col))
    }
}

impl<E> Place<*const E> {
    /// The part that starts at row i and column j. It may be empty, and then lie anywhere.
    #[inline(always)]
    pub(super) fn from(self, i: usize, j: usize) -> Self {
        Self { at: self.at.wrapping_add(self.offset(i, j)), ..self }
    }
}

impl<E> Place<*mut E> {
    /// The part that starts at row i and column j.
    #[inline(always)]
    pub(super) fn from(self, i: usize, j: usize) -> Self {
        Self { at: self.at.wrapping_add(self.offset(i, j)), ..self }
    }

    /// The same place, to be read.
    #[inline(always)]
    pub(super) fn read(self) -> Place<*const E> {
        Place { at: self.at, row: self.row, col: self.col }
    }
}

/// What becomes of a finished sum: C ← α·sum + β·D + bias.
#[derive(Clone, Copy, Debug)]
pub struct Finish<E> {
    pub(super) alpha: E,
    /// If 0, D is not read.
    pub(super) beta: E,
    /// D, as large as C and with its column stride: C itself, or a matrix that shares nothing with it.
    pub(super) addend: Place<*const E>,
    /// One number for each column, or null.
    pub(super) bias: *const E,
}

impl<E: Copy> Finish<E> {
    /// The finish of the part of C that starts at row i and column j.
    #[inline(always)]
    pub(super) fn from(self, i: usize, j: usize) -> Self {
        let bias = if self.bias.is_null() { self.bias } else { self.bias.wrapping_add(j) };
        Self { addend: self.addend.from(i, j), bias, ..self }
    }
}

/// B as it lies, or as [`Packed`](super::Packed) holds it.
#[derive(Clone, Copy, Debug)]
pub struct Right<E> {
    pub(super) plain: Place<*const E>,
    /// The copy of a B of which this one is the first rows and columns, and how many that has; or null.
    pub(super) packed: *const E,
    pub(super) packed_size: (usize, usize),
}

/// Rows of A: as they lie, or as [`pack_rows`](super::pack::pack_rows) wrote them.
#[derive(Clone, Copy, Debug)]
pub(super) enum Left {
    Plain(Place<*const f32>),
    Packed(*const f32),
}

/// Numbers that a packed A has for each column of a tile: its rows, and room that makes copies aligned.
pub(super) const fn packed_column<V: Vector>() -> usize {
    V::ROWS.next_multiple_of(8)
}

/// A panel of B: `depth` rows of `cols` numbers, `stride` apart, whole registers of which can be read.
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
/// registers], `c` writable for [rows, cols], `finish.addend` readable for that and `finish.bias`, if not null, for cols;
/// cols is in 1..=V::WIDTH.
pub(super) unsafe fn multiply_panel<V: Vector>(
    rows: usize,
    a: Left,
    panel: Panel,
    finish: Finish<f32>,
    c: Place<*mut f32>,
) {
    // SAFETY: passed on to the caller; `enter` needs the unit V. The number of registers fits the number of columns.
    unsafe {
        match panel.cols.div_ceil(V::LANES) {
            1 => V::enter(
                #[inline(always)]
                || tiles::<V, 1>(rows, a, panel, finish, c),
            ),
            2 => V::enter(
                #[inline(always)]
                || tiles::<V, 2>(rows, a, panel, finish, c),
            ),
            3 if V::VECTORS > 2 => V::enter(
                #[inline(always)]
                || tiles::<V, 3>(rows, a, panel, finish, c),
            ),
            _ if V::VECTORS > 2 => V::enter(
                #[inline(always)]
                || tiles::<V, MAX_VECTORS>(rows, a, panel, finish, c),
            ),
            _ => unreachable!("a panel has at most V::WIDTH columns"),
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
    finish: Finish<f32>,
    c: Place<*mut f32>,
) {
    let (mut i, mut tile) = (0, 0);
    while i < rows {
        let (c, count) = (c.from(i, 0), tile_rows::<V>(rows - i));
        let finish = finish.from(i, 0);
        let a = match a {
            Left::Plain(a) => a.from(i, 0),
            Left::Packed(a) => {
                let col = packed_column::<V>();
                Place { at: a.wrapping_add(tile * col * panel.depth), row: 1, col }
            }
        };
        // SAFETY: the tile is rows i..i + count of what the caller vouches for.
        unsafe { tile_of::<V, N>(count, a, panel, finish, c) };
        (i, tile) = (i + count, tile + 1);
    }
}

/// [`tile`] for a number of rows in 1..=V::ROWS.
#[inline(always)]
unsafe fn tile_of<V: Vector, const N: usize>(
    rows: usize,
    a: Place<*const f32>,
    panel: Panel,
    finish: Finish<f32>,
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
            8 if V::ROWS > 6 => tile::<V, 8, N>(a, panel, finish, c),
            9 if V::ROWS > 6 => tile::<V, 9, N>(a, panel, finish, c),
            10 if V::ROWS > 6 => tile::<V, 10, N>(a, panel, finish, c),
            11 if V::ROWS > 6 => tile::<V, 11, N>(a, panel, finish, c),
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
    finish: Finish<f32>,
    c: Place<*mut f32>,
) {
    // SAFETY: rows 0..M and registers 0..N are what the caller vouches for, the last register of C and of the bias up
    // to the columns of the panel.
    unsafe {
        let zero = V::splat(0.0);
        let mut sums = [[zero; N]; M];
        // A pointer for every third row, of unknown origin: from a single one the compiler would step down the rows, each
        // step waiting for the one before.
        let mut a_at = [0, 3, 6, 9].map(|i| if i < M { black_box(a.from(i, 0).at) } else { a.at });
        let mut b_at = panel.at;
        for _ in 0..panel.depth {
            let mut b = [zero; N];
            for v in 0..N {
                b[v] = V::load(b_at.wrapping_add(v * V::LANES));
            }
            for i in 0..M {
                let a = V::splat(*a_at[i / 3].wrapping_add(i % 3 * a.row));
                for v in 0..N {
                    sums[i][v] = a.mul_add(b[v], sums[i][v]);
                }
            }
            a_at = a_at.map(|at| at.wrapping_add(a.col));
            b_at = b_at.wrapping_add(panel.stride);
        }
        let alpha = V::splat(finish.alpha);
        for i in 0..M {
            for v in 0..N {
                sums[i][v] = alpha.mul(sums[i][v]);
            }
        }
        if c.col != 1 || panel.cols != N * V::LANES {
            let mut tile = MaybeUninit::<[f32; MAX_ROWS * MAX_VECTORS * MAX_LANES]>::uninit();
            let tile = tile.as_mut_ptr().cast::<f32>();
            for i in 0..M {
                for v in 0..N {
                    sums[i][v].store(tile.add((i * N + v) * V::LANES));
                }
            }
            return finish_part::<V, N>(tile, (M, panel.cols), finish, c);
        }
        if finish.beta != 0.0 {
            let beta = V::splat(finish.beta);
            for i in 0..M {
                for v in 0..N {
                    let addend = V::load(finish.addend.from(i, v * V::LANES).at);
                    sums[i][v] = beta.mul_add(addend, sums[i][v]);
                }
            }
        }
        if !finish.bias.is_null() {
            for v in 0..N {
                let bias = V::load(finish.bias.add(v * V::LANES));
                for i in 0..M {
                    sums[i][v] = sums[i][v].add(bias);
                }
            }
        }
        for i in 0..M {
            for v in 0..N {
                sums[i][v].store(c.from(i, v * V::LANES).at);
            }
        }
    }
}

/// The end of [`tile`] where C is not made of whole registers: `tile` has `rows` rows of N registers.
#[inline(always)]
unsafe fn finish_part<V: Vector, const N: usize>(
    tile: *const f32,
    (rows, cols): (usize, usize),
    finish: Finish<f32>,
    c: Place<*mut f32>,
) {
    let step = if c.col == 1 { V::LANES } else { 1 };
    for i in 0..rows {
        for j in (0..cols).step_by(step) {
            // SAFETY: the caller may write [rows, cols] of C, and read the addend and the bias if they are asked for;
            // parts of registers end with the columns, and those of the tile have been written.
            unsafe {
                let (at, count) = (c.from(i, j).at, step.min(cols - j));
                let mut x = V::load_part(tile.add(i * N * V::LANES + j), count);
                if finish.beta != 0.0 {
                    let addend = V::load_part(finish.addend.from(i, j).at, count);
                    x = V::splat(finish.beta).mul_add(addend, x);
                }
                if !finish.bias.is_null() {
                    x = x.add(V::load_part(finish.bias.add(j), count));
                }
                x.store_part(at, count);
            }
        }
    }
}
