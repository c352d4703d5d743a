//! The walk over strided tensors: the only loop that knows strides.
//!
//! N operands of one (broadcast) shape are visited row by row in row-major order. Axes that are laid out alike in all
//! operands are merged first, so that two contiguous tensors are one row.

use std::ops::Range;

use crate::shape::MAX_RANK;
use crate::{Shape, Strides};

pub(crate) struct Walk<const N: usize> {
    dims: [usize; MAX_RANK],
    strides: [[usize; MAX_RANK]; N],
    outer: usize,
    /// The number of rows.
    pub(crate) rows: usize,
    /// The number of elements of a row.
    pub(crate) inner: usize,
    /// The distance of neighbours inside a row, for each operand.
    pub(crate) inner_strides: [usize; N],
}

impl<const N: usize> Walk<N> {
    pub(crate) fn new(shape: Shape, operands: [Strides; N]) -> Self {
        let mut dims = [1; MAX_RANK];
        let mut strides = [[0; MAX_RANK]; N];
        let mut rank = 0;
        for axis in (0..shape.rank()).filter(|&axis| shape[axis] != 1) {
            let merges = rank > 0
                && (0..N).all(|k| strides[k][rank - 1] == operands[k].0[axis] * shape[axis]);
            if merges {
                dims[rank - 1] *= shape[axis];
            } else {
                dims[rank] = shape[axis];
                rank += 1;
            }
            for k in 0..N {
                strides[k][rank - 1] = operands[k].0[axis];
            }
        }
        let outer = rank.saturating_sub(1);
        let inner_strides = std::array::from_fn(|k| if rank == 0 { 1 } else { strides[k][outer] });
        let rows = if shape.contains(&0) { 0 } else { dims[..outer].iter().product() };
        Self { dims, strides, outer, rows, inner: dims[outer], inner_strides }
    }

    /// (size, stride) of the first operand's merged axes, outermost first.
    pub(crate) fn blocks(&self) -> Vec<(usize, usize)> {
        (0..=self.outer).map(|axis| (self.dims[axis], self.strides[0][axis])).collect()
    }

    /// Calls `visit(row, offset of the row's first element in each operand)` for the rows of a range.
    #[inline(always)]
    pub(crate) fn for_rows(&self, rows: Range<usize>, mut visit: impl FnMut(usize, [usize; N])) {
        if rows.is_empty() {
            return;
        }
        let mut index = [0; MAX_RANK];
        let mut rest = rows.start;
        for axis in (0..self.outer).rev() {
            index[axis] = rest % self.dims[axis];
            rest /= self.dims[axis];
        }
        let mut at: [usize; N] = std::array::from_fn(|k| {
            (0..self.outer).map(|axis| index[axis] * self.strides[k][axis]).sum()
        });
        for row in rows {
            visit(row, at);
            for axis in (0..self.outer).rev() {
                index[axis] += 1;
                if index[axis] < self.dims[axis] {
                    (0..N).for_each(|k| at[k] += self.strides[k][axis]);
                    break;
                }
                index[axis] = 0;
                (0..N).for_each(|k| at[k] -= self.strides[k][axis] * (self.dims[axis] - 1));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alike_axes_merge_and_rows_come_in_order() {
        let shape = Shape::new(&[2, 1, 3, 4]);
        let walk = Walk::new(shape, [shape.contiguous_strides()]);
        assert_eq!((walk.rows, walk.inner, walk.inner_strides), (1, 24, [1]));

        let permuted = Strides([1, 0, 2, 6, 0, 0]); // of a [4, 3, 2] array seen as [2, 1, 3, 4]
        let walk = Walk::new(shape, [permuted]);
        let mut seen = Vec::new();
        walk.for_rows(2..walk.rows, |row, [at]| seen.push((row, at)));
        assert_eq!(seen, [(2, 4), (3, 1), (4, 3), (5, 5)]);
    }

    #[test]
    fn a_broadcast_operand_stays_where_it_is() {
        let shape = Shape::new(&[3, 2]);
        let walk = Walk::new(shape, [shape.contiguous_strides(), Strides([0, 1, 0, 0, 0, 0])]);
        let mut seen = Vec::new();
        walk.for_rows(0..walk.rows, |_, at| seen.push(at));
        assert_eq!(seen, [[0, 0], [2, 0], [4, 0]]);
    }
}
