//! Reductions over axes. Negative axes count from the end.

use tensor::{Float, Shape, Tensor};

use crate::{Op, Var};

impl<E: Float> Var<E> {
    /// The sum over `axes`, which disappear from the shape.
    #[track_caller]
    pub fn sum(&self, axes: &[isize]) -> Self {
        let value = self.value().sum(axes);
        let (shape, kept) = (self.shape(), kept_shape(self.shape(), axes));
        Op::new("sum", value).wrt(self, move |g| g.reshape(kept).expand(shape)).record()
    }

    /// The sum over `axes`, which stay with size 1.
    #[track_caller]
    pub fn sum_keep(&self, axes: &[isize]) -> Self {
        let shape = self.shape();
        Op::new("sum_keep", self.value().sum_keep(axes))
            .wrt(self, move |g| g.expand(shape))
            .record()
    }

    /// The sum of all elements, as a scalar.
    #[track_caller]
    pub fn sum_all(&self) -> Self {
        let shape = self.shape();
        Op::new("sum_all", self.value().sum_all()).wrt(self, move |g| g.expand(shape)).record()
    }

    /// The mean over `axes`, which disappear from the shape.
    #[track_caller]
    pub fn mean(&self, axes: &[isize]) -> Self {
        let value = self.value().mean(axes);
        let (shape, kept) = (self.shape(), kept_shape(self.shape(), axes));
        let share = E::from_f64(kept.elements() as f64 / shape.elements() as f64);
        Op::new("mean", value).wrt(self, move |g| (g * share).reshape(kept).expand(shape)).record()
    }

    /// The mean of all elements, as a scalar.
    #[track_caller]
    pub fn mean_all(&self) -> Self {
        let shape = self.shape();
        let share = E::from_f64(1.0 / shape.elements() as f64);
        Op::new("mean_all", self.value().mean_all())
            .wrt(self, move |g| (g * share).expand(shape))
            .record()
    }

    /// The variance over `axes`, Σ(x − mean)²/(n − correction), with derivative 2(x − mean)/(n − correction).
    #[track_caller]
    pub fn variance(&self, axes: &[isize], correction: usize) -> Self {
        let value = self.value().variance(axes, correction);
        let (x, kept) = (self.value().clone(), kept_shape(self.shape(), axes));
        let count = self.shape().elements() as f64 / kept.elements().max(1) as f64;
        let slope = E::from_f64(2.0 / (count - correction as f64));
        let axes = axes.to_vec();
        let vjp = move |g: Tensor<E>| x.centered(&axes) * &(g.reshape(kept) * slope);
        Op::new("variance", value).wrt(self, vjp).record()
    }

    /// The largest element along `axis`, which disappears from the shape; NaN if there is any. The gradient goes
    /// to its place, the first in a tie or of several NaN.
    #[track_caller]
    pub fn max(&self, axis: isize) -> Self {
        let (shape, axis) = (self.shape(), self.shape().axis_for("max", axis));
        let value = self.value().max(axis as isize);
        let places = self.value().argmax(axis as isize);
        let vjp = move |g: Tensor<E>| {
            // Rows of the tensor with `axis` moved to the end, one place and one gradient for each.
            let g = g.contiguous();
            let last = shape.rank() - 1;
            let rows = Tensor::build(shape.without(axis).insert(last, shape[axis]), |out| {
                out.fill(E::ZERO);
                let rows = out.chunks_mut(shape[axis]).zip(&places).zip(g.data());
                rows.for_each(|((row, &place), g)| row[place] = *g);
            });
            let mut back: Vec<isize> = (0..=last as isize).collect();
            back[axis..].rotate_right(1);
            rows.permute(&back)
        };
        Op::new("max", value).wrt(self, vjp).record()
    }
}

#[track_caller]
fn kept_shape(shape: Shape, axes: &[isize]) -> Shape {
    axes.iter().fold(shape, |shape, &axis| shape.with(shape.axis(axis), 1))
}
