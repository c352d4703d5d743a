//! Rearrangements: the derivative of each is the opposite rearrangement.

use tensor::{Float, Shape, Tensor};

use crate::{Op, Var};

impl<E: Float> Var<E> {
    /// The same elements in row-major order in another shape.
    #[track_caller]
    pub fn reshape(&self, shape: impl Into<Shape>) -> Self {
        let own = self.shape();
        Op::new("reshape", self.value().reshape(shape)).wrt(self, move |g| g.reshape(own)).record()
    }

    /// The axes in another order: axis i of the result is axis `order[i]`. The gradient is permuted back.
    #[track_caller]
    pub fn permute(&self, order: &[isize]) -> Self {
        let shape = self.shape();
        let mut back = vec![0; order.len()];
        let value = self.value().permute(order);
        order.iter().enumerate().for_each(|(i, &axis)| back[shape.axis(axis)] = i as isize);
        Op::new("permute", value).wrt(self, move |g| g.permute(&back)).record()
    }

    /// Two axes exchanged.
    #[track_caller]
    pub fn transpose(&self, a: isize, b: isize) -> Self {
        Op::new("transpose", self.value().transpose(a, b))
            .wrt(self, move |g| g.transpose(a, b))
            .record()
    }

    /// The `len` places from `start` on along `axis`; the gradient is 0 elsewhere.
    #[track_caller]
    pub fn narrow(&self, axis: isize, start: usize, len: usize) -> Self {
        let (shape, axis) = (self.shape(), self.shape().axis_for("narrow", axis));
        let vjp = move |g: Tensor<E>| {
            let before = Tensor::zeros(shape.with(axis, start));
            let after = Tensor::zeros(shape.with(axis, shape[axis] - start - len));
            Tensor::concat(&[&before, &g, &after], axis as isize)
        };
        Op::new("narrow", self.value().narrow(axis as isize, start, len)).wrt(self, vjp).record()
    }

    /// Parts of `sizes` places each, one after another along `axis`.
    ///
    /// # Panics
    /// If the sizes do not add up to the size of the axis.
    #[track_caller]
    pub fn split(&self, axis: isize, sizes: &[usize]) -> Vec<Self> {
        let place = self.shape().axis_for("split", axis);
        let total = sizes.iter().try_fold(0usize, |sum, &size| sum.checked_add(size));
        let fits = total == Some(self.dims()[place]);
        assert!(fits, "split: {sizes:?} along axis {axis} of {}", self.shape());
        let mut start = 0;
        let mut part = |&size: &usize| {
            start += size;
            self.narrow(axis, start - size, size)
        };
        sizes.iter().map(&mut part).collect()
    }

    /// Repeated along axes of size 1 and new leading axes; the gradient is summed over them.
    #[track_caller]
    pub fn expand(&self, shape: impl Into<Shape>) -> Self {
        Op::new("expand", self.value().expand(shape)).wrt(self, |g| g).record()
    }

    /// A new axis of size 1 before `axis`; −1 appends one.
    #[track_caller]
    pub fn unsqueeze(&self, axis: isize) -> Self {
        let own = self.shape();
        Op::new("unsqueeze", self.value().unsqueeze(axis))
            .wrt(self, move |g| g.reshape(own))
            .record()
    }

    /// Without `axis`, which has size 1.
    #[track_caller]
    pub fn squeeze(&self, axis: isize) -> Self {
        let own = self.shape();
        Op::new("squeeze", self.value().squeeze(axis)).wrt(self, move |g| g.reshape(own)).record()
    }
}

/// The variables one after another along `axis`; the gradient is cut where they meet.
///
/// # Panics
/// If there are none, or if shapes disagree elsewhere.
#[track_caller]
pub fn concat<E: Float>(parts: &[&Var<E>], axis: isize) -> Var<E> {
    let values: Vec<_> = parts.iter().map(|part| part.value()).collect();
    let mut op = Op::new("concat", Tensor::concat(&values, axis));
    let mut start = 0;
    for part in parts {
        let (at, len) = (start, part.value().dim(axis));
        op = op.wrt(part, move |g| g.narrow(axis, at, len));
        start += len;
    }
    op.record()
}
