//! Matrix product on strided slices, checked at the boundary, computed by matrixmultiply.

use std::ops::Range;

use crate::Float;

/// A matrix seen in a slice: `data[i * row_stride + j * col_stride]` is the element of row i and column j.
#[derive(Clone, Copy, Debug)]
pub struct MatRef<'a, E> {
    data: &'a [E],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

/// A matrix seen in a slice that can be written; no two of its places share an element.
#[derive(Debug)]
pub struct MatMut<'a, E> {
    data: &'a mut [E],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

fn last_index(rows: usize, cols: usize, row_stride: usize, col_stride: usize) -> Option<usize> {
    (rows - 1).checked_mul(row_stride)?.checked_add((cols - 1).checked_mul(col_stride)?)
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
        if rows > 0 && cols > 0 {
            let last = last_index(rows, cols, row_stride, col_stride);
            assert!(
                last.is_some_and(|last| last < data.len()),
                "gemm: a [{rows}, {cols}] matrix of strides [{row_stride}, {col_stride}] does not fit into {} elements",
                data.len()
            );
        }
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
        if rows > 0 && cols > 0 {
            let last = last_index(rows, cols, row_stride, col_stride);
            assert!(
                last.is_some_and(|last| last < data.len()),
                "gemm: a [{rows}, {cols}] matrix of strides [{row_stride}, {col_stride}] does not fit into {} elements",
                data.len()
            );
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

/// C ← α·A·B + β·C on one thread, for A [m, k], B [k, n], C [m, n]. If β is 0, C is written without being read.
///
/// # Panics
/// If the sizes disagree.
#[track_caller]
pub fn gemm<E: Float>(alpha: E, a: MatRef<'_, E>, b: MatRef<'_, E>, beta: E, c: MatMut<'_, E>) {
    assert!(
        a.cols == b.rows && a.rows == c.rows && b.cols == c.cols,
        "gemm: sizes disagree: [{}, {}] × [{}, {}] → [{}, {}]",
        a.rows,
        a.cols,
        b.rows,
        b.cols,
        c.rows,
        c.cols
    );
    if c.rows == 0 || c.cols == 0 {
        return;
    }
    let (size, stride) = ((a.rows, a.cols, b.cols), |stride: usize| stride as isize); // strides span slices, so they fit
    // SAFETY: `MatRef::new` and `MatMut::new` checked that every index below (rows, cols) lies inside its slice (with
    // k = 0 nothing of A and B is read); C is borrowed mutably, so it aliases neither A nor B, and `MatMut::new` checked
    // that its places are distinct.
    unsafe {
        E::GEMM(
            size.0,
            size.1,
            size.2,
            alpha,
            a.data.as_ptr(),
            stride(a.row_stride),
            stride(a.col_stride),
            b.data.as_ptr(),
            stride(b.row_stride),
            stride(b.col_stride),
            beta,
            c.data.as_mut_ptr(),
            stride(c.row_stride),
            stride(c.col_stride),
        );
    }
}

/// The signature of matrixmultiply's functions: sizes m, k, n; α; A, B with row and column strides; β; C likewise.
type Gemm<E> = unsafe fn(
    usize,
    usize,
    usize,
    E,
    *const E,
    isize,
    isize,
    *const E,
    isize,
    isize,
    E,
    *mut E,
    isize,
    isize,
);

/// The product of one element type, on pointers.
pub trait Product: Sized {
    /// C ← α·A·B + β·C. All places of A and B can be read and all places of C written; C's places are distinct and alias
    /// neither A nor B.
    #[doc(hidden)]
    const GEMM: Gemm<Self>;
}

impl Product for f32 {
    const GEMM: Gemm<f32> = matrixmultiply::sgemm;
}

impl Product for f64 {
    const GEMM: Gemm<f64> = matrixmultiply::dgemm;
}
