//! Matrices seen in slices, checked where they are made.

use std::ops::Range;

use super::kernel::Place;
use crate::Float;

/// A matrix seen in a slice: `data[i * row_stride + j * col_stride]` is the element of row i and column j.
#[derive(Clone, Copy, Debug)]
pub struct MatRef<'a, E> {
    pub(super) data: &'a [E],
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) row_stride: usize,
    pub(super) col_stride: usize,
}

/// A matrix seen in a slice that can be written; no two of its places share an element.
#[derive(Debug)]
pub struct MatMut<'a, E> {
    pub(super) data: &'a mut [E],
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) row_stride: usize,
    pub(super) col_stride: usize,
}

/// Checks that [rows, cols] lie inside of `len` elements; returns strides that are no longer than the slice, which only those of
/// an axis without neighbours may be.
#[track_caller]
#[inline]
fn check(
    len: usize,
    (rows, cols): (usize, usize),
    (row_stride, col_stride): (usize, usize),
) -> (usize, usize) {
    if rows > 0 && cols > 0 {
        let last = |size: usize, stride: usize| (size - 1).checked_mul(stride);
        let last = last(rows, row_stride)
            .zip(last(cols, col_stride))
            .and_then(|(row, col)| row.checked_add(col));
        assert!(
            last.is_some_and(|last| last < len),
            "gemm: a [{rows}, {cols}] matrix of strides [{row_stride}, {col_stride}] does not fit into {len} elements"
        );
    }
    (row_stride.min(len.max(1)), col_stride.min(len.max(1)))
}

impl<'a, E: Float> MatRef<'a, E> {
    /// The matrix [rows, cols] in `data`; strides in elements, 0 allowed.
    ///
    /// # Panics
    /// If the last element lies outside `data`.
    #[track_caller]
    #[inline]
    pub fn new(
        data: &'a [E],
        rows: usize,
        cols: usize,
        row_stride: usize,
        col_stride: usize,
    ) -> Self {
        let (row_stride, col_stride) = check(data.len(), (rows, cols), (row_stride, col_stride));
        Self { data, rows, cols, row_stride, col_stride }
    }

    /// The number of rows.
    #[inline]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of columns.
    #[inline]
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Some of the rows.
    ///
    /// # Panics
    /// If they are not all inside.
    #[track_caller]
    #[inline]
    pub fn narrow_rows(self, rows: Range<usize>) -> Self {
        assert!(
            rows.start <= rows.end && rows.end <= self.rows,
            "gemm: rows {rows:?} of {}",
            self.rows
        );
        let data = if rows.is_empty() || self.cols == 0 {
            &[]
        } else {
            &self.data[rows.start * self.row_stride..]
        };
        Self { data, rows: rows.len(), ..self }
    }

    /// Some of the columns.
    ///
    /// # Panics
    /// If they are not all inside.
    #[track_caller]
    #[inline]
    pub fn narrow_cols(self, cols: Range<usize>) -> Self {
        assert!(
            cols.start <= cols.end && cols.end <= self.cols,
            "gemm: columns {cols:?} of {}",
            self.cols
        );
        self.t().narrow_rows(cols).t()
    }

    /// The transposed matrix, on the same data.
    #[inline]
    pub fn t(self) -> Self {
        Self {
            data: self.data,
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
        }
    }
}

impl<'a, E: Float> MatMut<'a, E> {
    /// The matrix [rows, cols] in `data`; strides in elements.
    ///
    /// # Panics
    /// If the last element lies outside `data`, or if two places share an element.
    #[track_caller]
    #[inline]
    pub fn new(
        data: &'a mut [E],
        rows: usize,
        cols: usize,
        row_stride: usize,
        col_stride: usize,
    ) -> Self {
        let (row_stride, col_stride) = check(data.len(), (rows, cols), (row_stride, col_stride));
        if rows > 0 && cols > 0 {
            let by_rows = col_stride > 0 && (rows == 1 || row_stride > (cols - 1) * col_stride);
            let by_cols = row_stride > 0 && (cols == 1 || col_stride > (rows - 1) * row_stride);
            assert!(
                by_rows || by_cols,
                "gemm: places of the [{rows}, {cols}] output share elements, strides [{row_stride}, {col_stride}]"
            );
        }
        Self { data, rows, cols, row_stride, col_stride }
    }
}

impl<E> MatRef<'_, E> {
    pub(super) fn place(&self) -> Place<*const E> {
        Place { at: self.data.as_ptr(), row: self.row_stride, col: self.col_stride }
    }
}

impl<E> MatMut<'_, E> {
    /// The transposed matrix, on the same data.
    pub(super) fn t(self) -> Self {
        let Self { data, rows, cols, row_stride, col_stride } = self;
        Self { data, rows: cols, cols: rows, row_stride: col_stride, col_stride: row_stride }
    }

    pub(super) fn place(&mut self) -> Place<*mut E> {
        Place { at: self.data.as_mut_ptr(), row: self.row_stride, col: self.col_stride }
    }
}
