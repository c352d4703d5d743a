//! Rows by index: gather and scatter-add are each other's adjoints.

use tensor::{Float, Tensor};

use crate::{Op, Var};

impl<E: Float> Var<E> {
    /// The places `indices` along `axis`; the gradients of a place that is taken several times add up.
    #[track_caller]
    pub fn gather(&self, axis: isize, indices: &[usize]) -> Self {
        let (shape, saved) = (self.shape(), indices.to_vec());
        Op::new("gather", self.value().gather(axis, indices))
            .wrt(self, move |g| Tensor::zeros(shape).scatter_add(axis, &saved, &g))
            .record()
    }

    /// The variable with the places of `updates` added at `indices` along `axis`.
    #[track_caller]
    pub fn scatter_add(&self, axis: isize, indices: &[usize], updates: &Self) -> Self {
        let saved = indices.to_vec();
        Op::new("scatter_add", self.value().scatter_add(axis, indices, updates.value()))
            .wrt(self, |g| g)
            .wrt(updates, move |g| g.gather(axis, &saved))
            .record()
    }
}
