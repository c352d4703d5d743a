//! The loops around the tile.
//!
//! | loop | cuts | so that |
//! |---|---|---|
//! | 1 | the inner axis into blocks of `DEPTH` | a panel of B stays in the first-level cache |
//! | 2 | rows of C into blocks | a block of A stays in the second-level cache |
//! | 3 | columns of C into panels | the sums across a panel fit into registers |
//! | 4 | rows of the block into tiles | the sums down a tile do too |
//!
//! A is read where it is, unless its columns are the contiguous ones and lie far apart: then the rows of a tile are copied
//! side by side. A panel of B is copied just before it is used, unless its rows can be read where they are. Copies live on
//! the stack (152 KiB); nothing is allocated.
//!
//! The inner axis is cut at multiples of `DEPTH` from its start, whatever the sizes, so an element of C is the same sum
//! in the same order in every product that contains it.

use std::mem::MaybeUninit;
use std::ptr::null;

use super::ahead::Ahead;
use super::kernel::{Left, Panel, Place, RawFinish, multiply_panel};
use super::pack::{COLUMN, pack_panel, pack_rows, width};
use super::vector::Vector;

/// Numbers of A in a block: 128 KiB.
const BLOCK: usize = 32 * 1024;
/// Numbers that a block of a transposed A may span without being packed.
const SCATTERED: usize = 16 * 1024;
/// Numbers of A in a block that is packed: 128 KiB.
const PACKED_A: usize = 32 * 1024;
/// Numbers in a panel of any unit, at most.
const PANEL: usize = 48 * 128;

/// The right-hand side.
#[derive(Clone, Copy, Debug)]
pub(super) enum RawRight<E> {
    /// Anywhere, with any strides.
    Plain(Place<*const E>),
    /// As [`pack`] wrote it.
    Packed(*const E),
}

/// Room on the stack, at the start of a cache line.
#[repr(C, align(64))]
struct Room<const N: usize>([MaybeUninit<f32>; N]);

impl<const N: usize> Room<N> {
    #[inline(always)]
    fn new() -> Self {
        Self([const { MaybeUninit::uninit() }; N])
    }

    #[inline(always)]
    fn start(&mut self) -> *mut f32 {
        self.0.as_mut_ptr().cast()
    }
}

/// C ← finish(A·B) for sizes (m, k, n).
///
/// # Safety
/// The processor has the unit V. `a` is readable for [m, k], `b` for [k, n], `c` writable for [m, n], `finish.bias` null
/// or readable for n; C's places are distinct and shared with nothing else.
pub(super) unsafe fn multiply<V: Vector>(
    (m, k, n): (usize, usize, usize),
    a: Place<*const f32>,
    b: RawRight<f32>,
    finish: RawFinish<f32>,
    c: Place<*mut f32>,
) {
    let (mut a_room, mut b_room) = (Room::<PACKED_A>::new(), Room::<PANEL>::new());
    const { assert!(width::<V>() * V::DEPTH <= PANEL) };

    for p in (0..k.max(1)).step_by(V::DEPTH) {
        let depth = V::DEPTH.min(k - p);
        let beta = if p == 0 { finish.beta } else { 1.0 };
        let bias = if p + depth == k { finish.bias } else { null() };
        let far_apart = a.row == 1 && depth.saturating_mul(a.col) > SCATTERED;
        let pack_a = far_apart && m > V::ROWS && n > width::<V>();
        let block = if pack_a {
            PACKED_A / (COLUMN * depth.max(1)) * V::ROWS
        } else {
            BLOCK / depth.max(1) / V::ROWS * V::ROWS
        };
        for i in (0..m).step_by(block) {
            let rows = block.min(m - i);
            let (tiles, panels) = (rows.div_ceil(V::ROWS), n.div_ceil(width::<V>()));
            let mut ahead = if i + block < m {
                Ahead::new(a.from(i + block, p), block.min(m - i - block), depth, tiles * panels)
            } else if p + depth < k {
                Ahead::new(
                    a.from(0, p + depth),
                    block.min(m),
                    V::DEPTH.min(k - p - depth),
                    tiles * panels,
                )
            } else {
                Ahead::NONE
            };
            let a = a.from(i, p);
            let a = if pack_a {
                // SAFETY: a block has at most as many numbers as `a_room`.
                unsafe { pack_rows::<V>(rows, depth, a, a_room.start()) };
                Left::Packed(a_room.start())
            } else {
                Left::Plain(a)
            };
            for j in (0..n).step_by(width::<V>()) {
                let cols = width::<V>().min(n - j);
                let bias = if bias.is_null() { bias } else { bias.wrapping_add(j) };
                let finish = RawFinish { alpha: finish.alpha, beta, bias };
                // SAFETY: the ranges lie in (m, k, n); a panel has at most as many numbers as `b_room`.
                unsafe {
                    let panel = match b {
                        RawRight::Packed(b) => {
                            let at = b.add(p * n.next_multiple_of(width::<V>()) + j * depth);
                            Panel { at, stride: width::<V>(), depth, cols }
                        }
                        RawRight::Plain(b) if in_place::<V>(rows, depth, cols, b) => {
                            Panel { at: b.from(p, j).at, stride: b.row, depth, cols }
                        }
                        RawRight::Plain(b) => {
                            pack_panel::<V>(depth, cols, b.from(p, j), b_room.start());
                            Panel { at: b_room.start(), stride: width::<V>(), depth, cols }
                        }
                    };
                    multiply_panel::<V>(rows, a, panel, finish, c.from(i, j), &mut ahead);
                }
            }
        }
    }
}

/// Whether a panel is better read where it is: its rows are contiguous and made of whole registers, and either few rows
/// of C use it or it fits into the first-level cache as it lies.
fn in_place<V: Vector>(rows: usize, depth: usize, cols: usize, b: Place<*const f32>) -> bool {
    b.col == 1 && cols.is_multiple_of(V::LANES) && (rows <= 2 * V::ROWS || depth * b.row <= PANEL)
}

/// Numbers that B [k, n] takes when packed.
pub(super) fn packed_len<V: Vector>(k: usize, n: usize) -> Option<usize> {
    n.checked_next_multiple_of(width::<V>())?.checked_mul(k)
}

/// Packs B [k, n]: block of the inner axis after block, and in each panel after panel.
///
/// # Safety
/// The processor has the unit V, `b` is readable for [k, n] and `to` writable for `packed_len(k, n)` numbers.
pub(super) unsafe fn pack<V: Vector>(k: usize, n: usize, b: Place<*const f32>, mut to: *mut f32) {
    for p in (0..k).step_by(V::DEPTH) {
        let depth = V::DEPTH.min(k - p);
        for j in (0..n).step_by(width::<V>()) {
            // SAFETY: the ranges lie in (k, n), and panels of depth · width numbers add up to the length.
            unsafe {
                pack_panel::<V>(depth, width::<V>().min(n - j), b.from(p, j), to);
                to = to.add(depth * width::<V>());
            }
        }
    }
}
