//! Copies of A and B in the order in which the tile reads them.

use super::kernel::{Place, packed_column, tile_rows};
use super::vector::Vector;

/// Copies [depth, cols] of B to `to` as panels of `V::WIDTH` columns, one after the other, each of them row after row;
/// zeros fill the last register that has any.
///
/// # Safety
/// The processor has the unit V, `b` is readable for [depth, cols] and `to` writable for depth · width numbers for each
/// panel.
pub(super) unsafe fn pack_panels<V: Vector>(
    depth: usize,
    cols: usize,
    b: Place<*const f32>,
    to: *mut f32,
) {
    // SAFETY: passed on to the caller; `enter` needs the unit V.
    unsafe {
        if b.col == 1 {
            V::enter(
                #[inline(always)]
                || copy_rows::<V>(depth, cols, b, to),
            );
            return;
        }
        for j in (0..cols).step_by(V::WIDTH) {
            let (cols, b, to) = (V::WIDTH.min(cols - j), b.from(0, j), to.add(j * depth));
            if b.row == 1 {
                V::enter(
                    #[inline(always)]
                    || transpose::<V>(depth, cols, b, to),
                );
            } else {
                V::enter(
                    #[inline(always)]
                    || copy_block::<V>(0..depth, 0..cols, b, to),
                );
            }
        }
    }
}

/// Rows are contiguous: each is read once, for all panels.
#[inline(always)]
unsafe fn copy_rows<V: Vector>(depth: usize, cols: usize, b: Place<*const f32>, to: *mut f32) {
    for p in 0..depth {
        for first in (0..cols).step_by(V::WIDTH) {
            let count = V::WIDTH.min(cols - first);
            let last = count - count % V::LANES;
            // SAFETY: reads columns below `cols` and writes them to row p of their panel.
            unsafe {
                let (from, to) = (b.from(p, first).at, to.add(first * depth + p * V::WIDTH));
                for j in (0..last).step_by(V::LANES) {
                    V::load(from.add(j)).store(to.add(j));
                }
                if last < count {
                    V::load_part(from.add(last), count - last).store(to.add(last));
                }
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
                    row.store(to.add((p + q) * V::WIDTH + j));
                }
            }
        }
        copy_block::<V>(whole_depth..depth, 0..whole_cols, b, to);
        copy_block::<V>(0..depth, whole_cols..cols, b, to);
    }
}

/// Rows `ps` of columns `js`, number by number; zeros fill the last register.
#[inline(always)]
unsafe fn copy_block<V: Vector>(
    ps: std::ops::Range<usize>,
    js: std::ops::Range<usize>,
    b: Place<*const f32>,
    to: *mut f32,
) {
    if !js.len().is_multiple_of(V::LANES) {
        for p in ps.clone() {
            let last = js.start + js.len() / V::LANES * V::LANES;
            // SAFETY: whole registers fit into the rows of the panel.
            unsafe { V::splat(0.0).store(to.add(p * V::WIDTH + last)) };
        }
    }
    for j in js {
        for p in ps.clone() {
            // SAFETY: the caller vouches for the ranges.
            unsafe { *to.add(p * V::WIDTH + j) = *b.from(p, j).at }
        }
    }
}

/// Numbers that [`pack_rows`] writes for each column of A.
pub(super) fn packed_rows<V: Vector>(rows: usize) -> usize {
    // At most one tile more than whole ones, since the last two share what is left.
    rows.div_ceil(V::ROWS) * packed_column::<V>()
}

/// Copies A [rows, depth] to `to`, tile after tile, each of them column after column.
///
/// # Safety
/// The processor has the unit V, `a` is readable for [rows, depth] and `to` writable for depth · `packed_rows(rows)`
/// numbers.
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

/// Four whole tiles at once, so that a cache line of A is read once or twice and not by every tile that it spans; then
/// the rest, number by number.
#[inline(always)]
unsafe fn split_columns<V: Vector>(
    rows: usize,
    depth: usize,
    a: Place<*const f32>,
    mut to: *mut f32,
) {
    let column = packed_column::<V>();
    // A copy of whole registers reads beyond the rows of a tile: into the next column, if there is one.
    let whole = if a.row == 1 && a.col >= column { depth.saturating_sub(1) } else { 0 };
    let mut i = 0;
    while i < rows {
        let four = rows - i >= 5 * V::ROWS; // then all four have V::ROWS rows
        let mut starts = [(i, V::ROWS); 4];
        let mut done = 0;
        if four {
            for (tile, start) in starts.iter_mut().enumerate() {
                start.0 += tile * V::ROWS;
            }
            for p in 0..whole {
                for (tile, &(i, _)) in starts.iter().enumerate() {
                    for lane in (0..column).step_by(V::LANES) {
                        // SAFETY: reads rows i.. of column p, no further than row i of the next column.
                        unsafe {
                            let x = V::load(a.from(i + lane, p).at);
                            x.store(to.add((tile * depth + p) * column + lane));
                        }
                    }
                }
            }
            done = whole;
        } else {
            starts[0].1 = tile_rows::<V>(rows - i);
        }
        let tiles = if four { 4 } else { 1 };
        for (tile, &(i, count)) in starts[..tiles].iter().enumerate() {
            for p in done..depth {
                for row in 0..count {
                    // SAFETY: rows i..i + count of column p lie in A.
                    unsafe { *to.add((tile * depth + p) * column + row) = *a.from(i + row, p).at };
                }
            }
        }
        i += starts[..tiles].iter().map(|&(_, count)| count).sum::<usize>();
        to = to.wrapping_add(tiles * depth * column);
    }
}
