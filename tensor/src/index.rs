//! Rows by index: gather and scatter-add.

use std::collections::BTreeMap;

use crate::reduce::{CHAIN, add_rows};
use crate::{Float, Tensor};

impl<E: Float> Tensor<E> {
    /// The places `indices` along `axis`, in that order: `out[…, i, …] = self[…, indices[i], …]`.
    ///
    /// # Panics
    /// If an index lies outside the axis.
    #[track_caller]
    pub fn gather(&self, axis: isize, indices: &[usize]) -> Self {
        let axis = self.shape().axis_for("gather", axis);
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

    /// The tensor with the places of `updates` added at `indices` along `axis`; an index may repeat, and its updates are
    /// added in order, or in pairs where they are many, as in [`sum_row`](crate::sum_row). The adjoint of [`Tensor::gather`].
    ///
    /// # Panics
    /// If an index lies outside the axis, or if `updates` has not one place per index and the same other axes.
    #[track_caller]
    pub fn scatter_add(&self, axis: isize, indices: &[usize], updates: &Self) -> Self {
        let axis = self.shape().axis_for("scatter_add", axis);
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
        let mut times = vec![0; size];
        indices.iter().for_each(|&index| times[index] += 1);
        let mut frequent: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (i, &index) in indices.iter().enumerate().filter(|(_, index)| times[**index] > CHAIN) {
            frequent.entry(index).or_default().push(i);
        }
        let mut sum = self.clone();
        let out = sum.data_mut();
        for o in 0..outer {
            let row = |i: usize| &source[(o * indices.len() + i) * inner..][..inner];
            let place = |index: usize| (o * size + index) * inner..(o * size + index + 1) * inner;
            for (i, &index) in indices.iter().enumerate() {
                if times[index] <= CHAIN {
                    add_rows(1, |_| row(i), &mut out[place(index)]);
                }
            }
            for (&index, rows) in &frequent {
                add_rows(rows.len(), |i| row(rows[i]), &mut out[place(index)]);
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
    fn many_updates_of_one_row_are_all_counted() {
        let n = (1 << 24) + 1000;
        let updates: Tensor = Tensor::ones([n, 1]);
        let sum = Tensor::zeros([2, 1]).scatter_add(0, &vec![1; n], &updates);
        assert_eq!(sum.to_vec(), [0.0, n as f32]);
        // frequent rows beside rare ones, in several planes
        let indices: Vec<usize> = (0..500).map(|i| if i % 5 == 0 { i % 7 } else { 8 }).collect();
        let updates = Tensor::<f64>::from_fn([2, 500, 3], |i| (i * 37 % 101) as f64);
        let mut right = Tensor::<f64>::ones([2, 9, 3]).to_vec();
        for (at, x) in updates.to_vec().into_iter().enumerate() {
            right[(at / 1500 * 9 + indices[at / 3 % 500]) * 3 + at % 3] += x;
        }
        assert_eq!(Tensor::ones([2, 9, 3]).scatter_add(1, &indices, &updates).to_vec(), right);
    }

    #[test]
    #[should_panic(expected = "gather: index 3 into an axis of size 3")]
    fn an_index_outside_is_refused() {
        Tensor::<f32>::zeros([3, 2]).gather(0, &[3]);
    }
}
