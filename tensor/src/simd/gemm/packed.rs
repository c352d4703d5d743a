//! The right side of a product: a matrix as it lies, or one that was copied for several products.

use super::Level;
use super::kernel::Right;
use super::mat::MatRef;
use crate::{Float, Tensor};

/// B [k, n] of several products, copied once in the order in which they read it.
///
/// Where no kernel of ours computes the product, nothing is copied.
#[derive(Debug)]
pub struct Packed<'a, E: Float> {
    b: MatRef<'a, E>,
    level: Level,
    panels: Option<Tensor<E>>,
}

impl<'a, E: Float> Packed<'a, E> {
    /// Copies B.
    ///
    /// # Panics
    /// If there is no memory for the copy.
    #[track_caller]
    pub fn new(b: MatRef<'a, E>) -> Self {
        Self::at(Level::current(), b)
    }

    /// Copies B for products of a level that this processor has.
    #[track_caller]
    pub(super) fn at(level: Level, b: MatRef<'a, E>) -> Self {
        let Some(len) = E::packed_len(level, b.rows, b.cols) else {
            panic!("gemm: a copy of a [{}, {}] matrix has too many elements", b.rows, b.cols)
        };
        if len == 0 {
            return Self { b, level, panels: None };
        }
        let panels = Tensor::build([len], |to| {
            // SAFETY: the processor has the level; `MatRef::new` checked that B lies inside its slice, and
            // `to` has `packed_len` numbers.
            unsafe { E::pack(level, (b.rows, b.cols), b.place(), to.as_mut_ptr()) }
        });
        Self { b, level, panels: Some(panels) }
    }

    /// B as it lies, if only one product is to read it: then a copy beforehand is of no use.
    pub fn plain(b: MatRef<'a, E>) -> Self {
        Self { b, level: Level::Baseline, panels: None }
    }

    /// The first rows and columns of B.
    ///
    /// # Panics
    /// If B has fewer.
    #[track_caller]
    pub fn first(&self, rows: usize, cols: usize) -> Rhs<'_, E> {
        let matrix = self.b.narrow_rows(0..rows).narrow_cols(0..cols);
        Rhs { matrix, packed: Some(self) }
    }
}

/// The right side of a product: a matrix, and where it was copied to, if it was.
#[derive(Clone, Copy, Debug)]
pub struct Rhs<'a, E: Float> {
    pub(super) matrix: MatRef<'a, E>,
    packed: Option<&'a Packed<'a, E>>,
}

impl<'a, E: Float> From<MatRef<'a, E>> for Rhs<'a, E> {
    fn from(matrix: MatRef<'a, E>) -> Self {
        Self { matrix, packed: None }
    }
}

impl<'a, E: Float> From<&'a Packed<'a, E>> for Rhs<'a, E> {
    fn from(packed: &'a Packed<'a, E>) -> Self {
        Self { matrix: packed.b, packed: Some(packed) }
    }
}

impl<E: Float> Rhs<'_, E> {
    /// Rows and columns.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.matrix.rows, self.matrix.cols)
    }

    /// Where a product of this level reads it.
    pub(super) fn place(&self, level: Level) -> Right<E> {
        let plain = self.matrix.place();
        // What was packed at another level, before [`Level::limit`], is of no use.
        let packed = self.packed.filter(|packed| packed.level == level);
        match packed.and_then(|packed| Some((packed.b, packed.panels.as_ref()?))) {
            Some((b, panels)) => {
                let packed = panels.data().as_ptr();
                Right { plain, packed, packed_size: (b.rows, b.cols) }
            }
            None => Right { plain, packed: std::ptr::null(), packed_size: (0, 0) },
        }
    }
}
