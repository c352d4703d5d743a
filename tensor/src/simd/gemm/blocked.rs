//! The loops around the tile.
//!
//! | loop | cuts | so that |
//! |---|---|---|
//! | 1 | the inner axis into blocks of at most `DEPTH` | a panel of B stays in the first-level cache |
//! | 2 | rows of C into blocks | a block of A stays in the second-level cache |
//! | 3 | columns of C into panels | the sums across a panel fit into registers |
//! | 4 | rows of the block into tiles | the sums down a tile do too |
//!
//! B is copied panel by panel, once for each block of the inner axis, unless C has so few rows that a copy costs more than
//! reading the rows of B where they are. A is read where it is, unless its columns are the contiguous ones and many panels
//! read it: then each block is copied once. Copies go to two buffers that every thread keeps.
//!
//! How the inner axis is cut depends on its length alone, so an element of C is the same sum in the same order in every
//! product that contains it.

use std::cell::RefCell;

use super::kernel::{Finish, Left, Panel, Place, Right, multiply_panel};
use super::pack::{pack_panels, pack_rows, packed_rows};
use super::row::multiply_row;
use super::vector::Vector;
use crate::shape::product;

/// Numbers of A in a block: 192 KiB.
const BLOCK: usize = 48 * 1024;
/// Panels from which on a transposed A is copied.
const MANY_PANELS: usize = 12;

/// Panels of B that are copied together, so that its rows are read some cache lines at a time.
const GROUP: usize = 4;

/// A cache line of numbers.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line(#[allow(dead_code, reason = "read and written through pointers")] [f32; 16]);

/// Room for copies.
type Room = Vec<Line>;

/// A place for `len` numbers, at the start of a cache line.
fn start(room: &mut Room, len: usize) -> *mut f32 {
    let lines = len.div_ceil(16);
    if room.len() < lines {
        room.resize(lines, Line([0.0; 16]));
    }
    room.as_mut_ptr().cast()
}

thread_local! {
    /// Copies of A and of B.
    static ROOMS: RefCell<[Room; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

/// How long the blocks of an inner axis of length k are.
fn block_depth<V: Vector>(k: usize) -> usize {
    k.div_ceil(k.div_ceil(V::DEPTH).max(1)).max(1)
}

/// Numbers that [`pack`] writes for a B [k, n], if they can be counted.
pub(super) fn packed_len<V: Vector>(k: usize, n: usize) -> Option<usize> {
    if k == 0 || n == 0 {
        return Some(0);
    }
    product([k, n.checked_next_multiple_of(V::WIDTH)?])
}

/// Copies B [k, n]: block after block of the inner axis, each panel after panel.
///
/// # Safety
/// The processor has the unit V, `b` is readable for [k, n] and `to` writable for `packed_len` numbers.
pub(super) unsafe fn pack<V: Vector>(k: usize, n: usize, b: Place<*const f32>, to: *mut f32) {
    let block_depth = block_depth::<V>(k);
    for p in (0..k).step_by(block_depth) {
        let depth = block_depth.min(k - p);
        for j in (0..n).step_by(GROUP * V::WIDTH) {
            let cols = (GROUP * V::WIDTH).min(n - j);
            let to = to.wrapping_add(p * n.next_multiple_of(V::WIDTH) + j * depth);
            // SAFETY: rows p.. and columns j.. lie in B, their panels in what the caller vouches for.
            unsafe { pack_panels::<V>(depth, cols, b.from(p, j), to) };
        }
    }
}

/// C ← finish(A·B) for sizes (m, k, n), none but k of them 0.
///
/// # Safety
/// The processor has the unit V. `a` is readable for [m, k], `b` for [k, n] and its copy as [`pack`] wrote it, `c` writable for
/// [m, n], `finish.addend` readable for that and `finish.bias` null or readable for n; C's places are distinct and shared
/// with nothing else, unless the addend is C.
pub(super) unsafe fn multiply<V: Vector>(
    (m, k, n): (usize, usize, usize),
    a: Place<*const f32>,
    b: Right<f32>,
    finish: Finish<f32>,
    c: Place<*mut f32>,
) {
    let block_depth = block_depth::<V>(k);
    let panels = n.div_ceil(V::WIDTH);
    // Blocks of a shorter inner axis are others than those that were packed, unless there is but one.
    let (packed_k, packed_n) = b.packed_size;
    let is_packed = !b.packed.is_null() && (packed_k == k || packed_k <= V::DEPTH);
    let b_plain = b.plain;
    if m == 1 && !is_packed {
        // SAFETY: passed on to the caller.
        let done = unsafe { multiply_row::<V>((k, n), block_depth, a, b_plain, finish, c) };
        if done > 0 {
            if done < n {
                let rest = Right { plain: b_plain.from(0, done), ..b };
                let (finish, c) = (finish.from(0, done), c.from(0, done));
                // SAFETY: the columns from `done` on, fewer than a register's.
                unsafe { multiply::<V>((m, k, n - done), a, rest, finish, c) }
            }
            return;
        }
    }
    let copy_a = a.col != 1 && panels >= MANY_PANELS;
    let copy_b = !is_packed && (b_plain.col != 1 || m > 2 * V::ROWS);
    let blocks = (m * block_depth).div_ceil(BLOCK);
    let block = m.div_ceil(blocks).next_multiple_of(V::ROWS);
    let one_block = m <= block;
    ROOMS.with_borrow_mut(|[a_room, b_room]| {
        let a_room =
            start(a_room, if copy_a { packed_rows::<V>(block.min(m)) * block_depth } else { 0 });
        // With one block of rows panels are used right after they were copied, and the next ones may take their place.
        let kept = if one_block { GROUP.min(panels) } else { panels };
        let kept = if is_packed { 0 } else { kept };
        let b_room = start(b_room, block_depth * V::WIDTH * kept);
        for p in (0..k.max(1)).step_by(block_depth) {
            let depth = block_depth.min(k - p);
            let last = p + depth == k;
            let mut finish = finish;
            if p > 0 {
                (finish.beta, finish.addend) = (1.0, c.read());
            }
            if !last {
                finish.bias = std::ptr::null();
            }
            for i in (0..m).step_by(block) {
                let rows = block.min(m - i);
                let mut left = Left::Plain(a.from(i, p));
                if copy_a {
                    // SAFETY: rows i.. and columns p.. lie in A; the room was made for them.
                    unsafe { pack_rows::<V>(rows, depth, a.from(i, p), a_room) };
                    left = Left::Packed(a_room);
                }
                for j in (0..n).step_by(V::WIDTH) {
                    let cols = V::WIDTH.min(n - j);
                    let packed = |at| Panel { at, stride: V::WIDTH, depth, cols };
                    let panel = if is_packed {
                        let stride = if packed_k == k { depth } else { packed_k };
                        let block = p * packed_n.next_multiple_of(V::WIDTH);
                        packed(b.packed.wrapping_add(block + j * stride))
                    } else if copy_b || !cols.is_multiple_of(V::LANES) {
                        let group = V::WIDTH * if copy_b { GROUP } else { 1 };
                        let to = b_room.wrapping_add(depth * if one_block { j % group } else { j });
                        if i == 0 && j.is_multiple_of(group) {
                            let cols = group.min(n - j);
                            // SAFETY: rows p.. and columns j.. lie in B; the room was made for them.
                            unsafe { pack_panels::<V>(depth, cols, b_plain.from(p, j), to) };
                        }
                        packed(to)
                    } else {
                        Panel { at: b_plain.from(p, j).at, stride: b_plain.row, depth, cols }
                    };
                    // SAFETY: rows i.. and columns j.. lie in C; a panel that was not copied has whole registers.
                    unsafe {
                        multiply_panel::<V>(rows, left, panel, finish.from(i, j), c.from(i, j));
                    }
                }
            }
        }
    });
}
