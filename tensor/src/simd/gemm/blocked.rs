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

use super::kernel::{Finish, Left, Panel, Place, multiply_panel};
use super::pack::{pack_panels, pack_rows, packed_rows};
use super::vector::Vector;

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

/// C ← finish(A·B) for sizes (m, k, n), none but k of them 0.
///
/// # Safety
/// The processor has the unit V. `a` is readable for [m, k], `b` for [k, n], `c` writable for [m, n], `finish.bias` null
/// or readable for n; C's places are distinct and shared with nothing else.
pub(super) unsafe fn multiply<V: Vector>(
    (m, k, n): (usize, usize, usize),
    a: Place<*const f32>,
    b: Place<*const f32>,
    finish: Finish<f32>,
    c: Place<*mut f32>,
) {
    let block_depth = k.div_ceil(k.div_ceil(V::DEPTH).max(1)).max(1);
    let panels = n.div_ceil(V::WIDTH);
    let (copy_a, copy_b) = (a.col != 1 && panels >= MANY_PANELS, b.col != 1 || m > 2 * V::ROWS);
    let blocks = (m * block_depth).div_ceil(BLOCK);
    let block = m.div_ceil(blocks).next_multiple_of(V::ROWS);
    let one_block = m <= block;
    ROOMS.with_borrow_mut(|[a_room, b_room]| {
        let a_room =
            start(a_room, if copy_a { packed_rows::<V>(block.min(m)) * block_depth } else { 0 });
        // With one block of rows panels are used right after they were copied, and the next ones may take their place.
        let kept = if one_block { GROUP.min(panels) } else { panels };
        let b_room = start(b_room, block_depth * V::WIDTH * kept);
        for p in (0..k.max(1)).step_by(block_depth) {
            let depth = block_depth.min(k - p);
            let beta = if p == 0 { finish.beta } else { 1.0 };
            let last = p + depth == k;
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
                    let bias = if last && !finish.bias.is_null() {
                        finish.bias.wrapping_add(j)
                    } else {
                        std::ptr::null()
                    };
                    let mut panel = Panel { at: b.from(p, j).at, stride: b.row, depth, cols };
                    if copy_b || !cols.is_multiple_of(V::LANES) {
                        let group = V::WIDTH * if copy_b { GROUP } else { 1 };
                        let to = b_room.wrapping_add(depth * if one_block { j % group } else { j });
                        if i == 0 && j.is_multiple_of(group) {
                            let cols = group.min(n - j);
                            // SAFETY: rows p.. and columns j.. lie in B; the room was made for them.
                            unsafe { pack_panels::<V>(depth, cols, b.from(p, j), to) };
                        }
                        panel = Panel { at: to, stride: V::WIDTH, ..panel };
                    }
                    let finish = Finish { alpha: finish.alpha, beta, bias };
                    // SAFETY: rows i.. and columns j.. lie in C; a panel that was not copied has whole registers.
                    unsafe { multiply_panel::<V>(rows, left, panel, finish, c.from(i, j)) };
                }
            }
        }
    });
}
