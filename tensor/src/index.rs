//! Rows by index: gather and scatter-add.

use crate::{Float, Tensor};

impl<E: Float> Tensor<E> {
    /// The places `indices` along `axis`, in that order: `out[…, i, …] = self[…, indices[i], …]`.
    ///
    /// # Panics
    /// If an index lies outside the axis.
    #[track_caller]
    pub fn gather(&self, axis: isize, indices: &[usize]) -> Self {
        let axis = self.shape().axis(axis);
        let size = self.dims()[axis];
        check("gather", indices, size);
        let (outer, inner) = around(self, axis);
        let source = self.contiguous();
        let source = source.data();
        Self::build(self.shape().with(axis, indices.len()), |out| {
            for o in 0..outer {
                for (i, &index) in indices.iter().enumerate() {
                    let to = (o * indices.len() + i) * inner;
                    let from = (o * size + index) * inner;
                    out[to..to + inner].copy_from_slice(&source[from..from + inner]);
                }
            }
        })
    }

    /// The tensor with the places of `updates` added at `indices` along `axis`, in order; an index may repeat.
    /// The adjoint of [`Tensor::gather`].
    ///
    /// # Panics
    /// If an index lies outside the axis, or if `updates` has not one place per index and the same other axes.
    #[track_caller]
    pub fn scatter_add(&self, axis: isize, indices: &[usize], updates: &Self) -> Self {
        let axis = self.shape().axis(axis);
        let size = self.dims()[axis];
        check("scatter_add", indices, size);
        let expected = self.shape().with(axis, indices.len());
        assert!(
            updates.shape() == expected,
            "scatter_add: updates {}, not {expected}, into {}",
            updates.shape(),
            self.shape()
        );
        let (outer, inner) = around(self, axis);
        let source = updates.contiguous();
        let source = source.data();
        let mut sum = self.clone();
        let out = sum.data_mut();
        for o in 0..outer {
            for (i, &index) in indices.iter().enumerate() {
                let (to, from) = ((o * size + index) * inner, (o * indices.len() + i) * inner);
                let added = source[from..from + inner].iter();
                out[to..to + inner].iter_mut().zip(added).for_each(|(out, x)| *out += *x);
            }
        }
        sum
    }
}

#[track_caller]
fn check(op: &str, indices: &[usize], size: usize) {
    if let Some(index) = indices.iter().find(|&&index| index >= size) {
        panic!("{op}: index {index} into an axis of size {size}");
    }
}

/// The numbers of elements before and behind an axis.
fn around<E: Float>(t: &Tensor<E>, axis: usize) -> (usize, usize) {
    (t.dims()[..axis].iter().product(), t.dims()[axis + 1..].iter().product())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gather_takes_rows_and_scatter_add_puts_them_back() {
        let x: Tensor = Tensor::arange(6).reshape([3, 2]);
        let rows = x.gather(0, &[2, 0, 2]);
        assert_eq!(rows.to_vec(), [4.0, 5.0, 0.0, 1.0, 4.0, 5.0]);
        let back = Tensor::zeros([3, 2]).scatter_add(0, &[2, 0, 2], &rows);
        assert_eq!(back.to_vec(), [0.0, 1.0, 0.0, 0.0, 8.0, 10.0]);
        assert_eq!(x.gather(1, &[1]).to_vec(), [1.0, 3.0, 5.0]);
        assert_eq!(x.gather(0, &[]).dims(), [0, 2]);
    }

    #[test]
    #[should_panic(expected = "gather: index 3 into an axis of size 3")]
    fn an_index_outside_is_refused() {
        Tensor::<f32>::zeros([3, 2]).gather(0, &[3]);
    }
}
