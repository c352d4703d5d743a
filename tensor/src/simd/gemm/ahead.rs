//! Asking for memory before it is needed.
//!
//! The next block of A lies in rows far apart, where processors do not guess what comes next. While the tiles of one block
//! are computed, the cache lines of the next are asked for, a few with each tile.

use super::kernel::Place;
use super::vector::Vector;

/// Numbers in a cache line.
const LINE: usize = 16;

/// A matrix to be asked for line by line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ahead {
    at: *const f32,
    stride: usize,
    rows: usize,
    lines: usize,
    line: usize,
    /// Lines to ask for at once.
    quota: usize,
}

impl Ahead {
    /// Nothing.
    pub(super) const NONE: Self =
        Self { at: std::ptr::null(), stride: 0, rows: 0, lines: 0, line: 0, quota: 0 };

    /// The matrix [rows, cols] at `place` in `times` portions, if its rows or its columns are contiguous.
    pub(super) fn new(place: Place<*const f32>, rows: usize, cols: usize, times: usize) -> Self {
        let (rows, cols, stride) = match (place.row, place.col) {
            (stride, 1) => (rows, cols, stride),
            (1, stride) => (cols, rows, stride),
            _ => return Self::NONE,
        };
        let lines = cols.div_ceil(LINE);
        let quota = (rows * lines).div_ceil(times.max(1));
        Self { at: place.at, stride, rows, lines, line: 0, quota }
    }

    /// Asks for the next portion.
    ///
    /// # Safety
    /// The processor has the unit V.
    #[inline(always)]
    pub(super) unsafe fn ask<V: Vector>(&mut self) {
        for _ in 0..self.quota {
            if self.rows == 0 {
                return;
            }
            // SAFETY: the processor has the unit V; the address may be any.
            unsafe { V::prefetch(self.at.wrapping_add(self.line * LINE)) };
            self.line += 1;
            if self.line == self.lines {
                (self.line, self.rows) = (0, self.rows - 1);
                self.at = self.at.wrapping_add(self.stride);
            }
        }
    }
}
