//! A right-hand side packed once for many products.

use std::fmt;
use std::mem::take;

use super::{Level, MatRef};
use crate::Float;

/// A right-hand side in the order in which the kernels read it, for use in many products.
pub struct Packed<E: Float> {
    data: Vec<E>,
    /// The first number, at the start of a cache line.
    start: usize,
    rows: usize,
    cols: usize,
    level: Level,
}

impl<E: Float> fmt::Debug for Packed<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Packed([{}, {}], {:?})", self.rows, self.cols, self.level)
    }
}

impl<E: Float> Drop for Packed<E> {
    fn drop(&mut self) {
        E::pool().give(take(&mut self.data));
    }
}

impl<E: Float> Packed<E> {
    /// Packs B [k, n].
    ///
    /// # Panics
    /// If B, seen through zero strides, has more places than can be counted.
    pub fn new(b: MatRef<'_, E>) -> Self {
        Self::at_level(Level::current(), b)
    }

    pub(super) fn at_level(level: Level, b: MatRef<'_, E>) -> Self {
        let line = 64 / size_of::<E>();
        let level = level.min(Level::detected());
        let unit = E::unit(level);
        let len = match unit {
            Some(unit) => (unit.packed_len)(b.rows, b.cols),
            None => b.rows.checked_mul(b.cols),
        };
        let len = len.expect("a packed matrix fits into memory");
        let mut data = E::pool().take(len.saturating_add(line));
        let start = data.as_ptr().align_offset(64).min(line);
        let to = &mut data[start..][..len];
        match unit {
            // SAFETY: the processor has this level; `to` has the length that was asked for, and B is a checked matrix.
            Some(unit) => unsafe { (unit.pack)(b.rows, b.cols, b.place(), to.as_mut_ptr()) },
            None => {
                for (place, x) in to.iter_mut().enumerate() {
                    *x = b.data[place / b.cols * b.row_stride + place % b.cols * b.col_stride];
                }
            }
        }
        Self { data, start, rows: b.rows, cols: b.cols, level }
    }

    /// Rows of B: k.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns of B: n.
    pub fn cols(&self) -> usize {
        self.cols
    }

    pub(super) fn level(&self) -> Level {
        self.level
    }

    pub(super) fn numbers(&self) -> &[E] {
        &self.data[self.start..]
    }
}
