//! Panels: B cut into strips as wide as a tile, each copied so that its rows follow one another.

use super::kernel::{Place, tile_rows};
use super::vector::{MAX_ROWS, Vector};

/// Columns of a panel.
pub(super) const fn width<V: Vector>() -> usize {
    V::VECTORS * V::LANES
}

/// Copies [depth, cols] of B to `to` as rows of `width::<V>()` numbers, with zeros beyond `cols`.
///
/// # Safety
/// The processor has the unit V, `b` is readable for [depth, cols] and `to` writable for depth · width numbers, and
/// cols is at most the width.
pub(super) unsafe fn pack_panel<V: Vector>(
    depth: usize,
    cols: usize,
    b: Place<*const f32>,
    to: *mut f32,
) {
    // SAFETY: passed on to the caller; `enter` needs the unit V.
    unsafe {
        match (b.row, b.col) {
            (_, 1) => V::enter(
                #[inline(always)]
                || copy_rows::<V>(depth, cols, b, to),
            ),
            (1, _) => V::enter(
                #[inline(always)]
                || transpose::<V>(depth, cols, b, to),
            ),
            _ => copy_block::<V>(0..depth, 0..cols, b, to),
        }
        if cols < width::<V>() && b.col != 1 {
            for p in 0..depth {
                to.add(p * width::<V>() + cols).write_bytes(0, width::<V>() - cols);
            }
        }
    }
}

/// A column of a packed tile of A, with room for the most rows: aligned copies are much faster than dense ones.
type Column = [f32; MAX_ROWS];

/// Numbers that [`pack_rows`] writes for each column of a tile.
pub(super) const COLUMN: usize = MAX_ROWS;

/// Copies A [rows, depth], whose columns are contiguous, to `to`, tile after tile, each of them column after column.
///
/// # Safety
/// The processor has the unit V, `a` is readable for [rows, depth] and `to` writable for `COLUMN * depth` numbers a tile.
pub(super) unsafe fn pack_rows<V: Vector>(
    rows: usize,
    depth: usize,
    a: Place<*const f32>,
    to: *mut f32,
) {
    // SAFETY: passed on to the caller; `enter` needs the unit V.
    unsafe {
        V::enter(
            #[inline(always)]
            || split_columns::<V>(rows, depth, a, to),
        );
    }
}

/// A few tiles at once, so that a cache line of A is read once or twice and not by every tile that it spans.
///
/// What is copied beyond the rows of a tile lies before the next column of A; the last column is copied number by number.
#[inline(always)]
unsafe fn split_columns<V: Vector>(
    rows: usize,
    depth: usize,
    a: Place<*const f32>,
    mut to: *mut f32,
) {
    let whole = if a.col >= COLUMN { depth.saturating_sub(1) } else { 0 };
    let mut i = 0;
    while i < rows {
        let (mut starts, mut tiles) = ([(0, 0); 4], 0);
        while tiles < starts.len() && i < rows {
            starts[tiles] = (i, tile_rows::<V>(rows - i));
            i += starts[tiles].1;
            tiles += 1;
        }
        for p in 0..depth {
            for (tile, &(i, count)) in starts[..tiles].iter().enumerate() {
                // SAFETY: reads rows i..i + count of column p, and no further than row i of the next column.
                unsafe {
                    let (from, to) = (a.from(i, p).at, to.add((tile * depth + p) * COLUMN));
                    if p < whole {
                        to.cast::<Column>().write_unaligned(from.cast::<Column>().read_unaligned());
                    } else {
                        to.copy_from_nonoverlapping(from, count);
                    }
                }
            }
        }
        to = to.wrapping_add(tiles * depth * COLUMN);
    }
}

/// Rows are contiguous.
#[inline(always)]
unsafe fn copy_rows<V: Vector>(depth: usize, cols: usize, b: Place<*const f32>, to: *mut f32) {
    // SAFETY: reads columns below `cols`, writes the registers of each row.
    unsafe {
        for p in 0..depth {
            let (from, to) = (b.from(p, 0).at, to.add(p * width::<V>()));
            for j in (0..width::<V>()).step_by(V::LANES) {
                let x = if j + V::LANES <= cols {
                    V::load(from.add(j))
                } else {
                    V::load_part(from.wrapping_add(j), cols.saturating_sub(j))
                };
                x.store(to.add(j));
            }
        }
    }
}

/// Columns are contiguous: 4 rows of the panel at a time from `LANES` columns.
#[inline(always)]
unsafe fn transpose<V: Vector>(depth: usize, cols: usize, b: Place<*const f32>, to: *mut f32) {
    let (whole_cols, whole_depth) = (cols - cols % V::LANES, depth - depth % 4);
    // SAFETY: all blocks lie in [depth, cols].
    unsafe {
        for j in (0..whole_cols).step_by(V::LANES) {
            for p in (0..whole_depth).step_by(4) {
                let rows = V::load_columns(b.from(p, j).at, b.col);
                for (q, row) in rows.into_iter().enumerate() {
                    row.store(to.add((p + q) * width::<V>() + j));
                }
            }
        }
        copy_block::<V>(whole_depth..depth, 0..whole_cols, b, to);
        copy_block::<V>(0..depth, whole_cols..cols, b, to);
    }
}

/// Rows `ps` of columns `js`, number by number.
#[inline(always)]
unsafe fn copy_block<V: Vector>(
    ps: std::ops::Range<usize>,
    js: std::ops::Range<usize>,
    b: Place<*const f32>,
    to: *mut f32,
) {
    for j in js {
        for p in ps.clone() {
            // SAFETY: the caller vouches for the ranges.
            unsafe { *to.add(p * width::<V>() + j) = *b.from(p, j).at }
        }
    }
}
