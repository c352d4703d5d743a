//! Reductions over axes: sum, mean, variance, max, argmax.

use crate::par;
use crate::simd::Simd;
use crate::walk::Walk;
use crate::{Float, Shape, Strides, Tensor};

/// Elements of one partial sum of [`Tensor::sum_all`].
const BLOCK: usize = 1 << 16;
/// Independent partial sums inside a row: two AVX registers of f32.
pub const LANES: usize = 16;

impl<E: Float> Tensor<E> {
    /// The sum over `axes`, which disappear from the shape. No axes: the tensor itself. Negative axes count from the
    /// end.
    ///
    /// # Panics
    /// If an axis does not exist.
    #[track_caller]
    pub fn sum(&self, axes: &[isize]) -> Self {
        let kept = self.kept_shape(axes);
        self.sum_to(kept).reshape(self.remaining_shape(axes))
    }

    /// The sum over `axes`, which stay with size 1.
    ///
    /// # Panics
    /// If an axis does not exist.
    #[track_caller]
    pub fn sum_keep(&self, axes: &[isize]) -> Self {
        self.sum_to(self.kept_shape(axes))
    }

    /// The sum of all elements, as a scalar.
    pub fn sum_all(&self) -> Self {
        let source = self.contiguous();
        let data = source.data();
        let sums = par::map_ranges(data.len(), BLOCK, |range| {
            E::vectorize(
                #[inline(always)]
                |_| sum_row(&data[range]),
            )
        });
        Self::scalar(sums.into_iter().sum())
    }

    /// The sum over the axes that were broadcast from `shape`: the adjoint of [`Tensor::expand`].
    ///
    /// # Panics
    /// If `shape` does not broadcast to the tensor's shape.
    #[track_caller]
    pub fn sum_to(&self, shape: Shape) -> Self {
        if shape == self.shape() {
            return self.clone();
        }
        let target = Self::zeros(shape);
        let Some(into) = target.strides_as(self.shape()) else {
            panic!("sum_to: {shape} does not broadcast to {}", self.shape())
        };
        if shape.elements() == 1 {
            return self.sum_all().reshape(shape);
        }
        self.fold_into(
            target,
            into,
            #[inline(always)]
            |total, row, _| *total += sum_row(row),
            #[inline(always)]
            |total, x| *total += x,
        )
    }

    /// The mean over `axes`, which disappear from the shape.
    ///
    /// # Panics
    /// If an axis does not exist.
    #[track_caller]
    pub fn mean(&self, axes: &[isize]) -> Self {
        let sum = self.sum(axes);
        let count = self.len() as f64 / sum.len().max(1) as f64;
        sum * E::from_f64(1.0 / count)
    }

    /// The mean of all elements, as a scalar.
    pub fn mean_all(&self) -> Self {
        self.sum_all() * E::from_f64(1.0 / self.len() as f64)
    }

    /// The variance over `axes`, Σ (x − mean)² / (n − correction), in two passes; the axes disappear from the shape.
    /// `correction` is 0 for the population's variance, 1 for the unbiased estimate.
    ///
    /// # Panics
    /// If an axis does not exist.
    #[track_caller]
    pub fn variance(&self, axes: &[isize], correction: usize) -> Self {
        let mean = self.sum_keep(axes);
        let count = self.len() as f64 / mean.len().max(1) as f64;
        let deviation = self - &(mean * E::from_f64(1.0 / count));
        deviation.square().sum(axes) * E::from_f64(1.0 / (count - correction as f64))
    }

    /// The largest element along `axis`, which disappears from the shape. NaN is ignored unless all are NaN.
    ///
    /// # Panics
    /// If the axis does not exist or is empty.
    #[track_caller]
    pub fn max(&self, axis: isize) -> Self {
        let axis = self.shape().axis(axis);
        assert!(self.dims()[axis] > 0, "max: axis {axis} of {} is empty", self.shape());
        let target = Self::full(self.shape().with(axis, 1), -E::INFINITY);
        let into = target.strides_as(self.shape()).expect("an axis of size 1 broadcasts");
        let fold =
            |best: &mut E, row: &[E], _| *best = row.iter().fold(*best, |best, &x| best.max(x));
        self.fold_into(target, into, fold, |best, x| *best = best.max(x)).squeeze(axis as isize)
    }

    /// The place of the largest element along `axis`, the first in a tie, in row-major order of the other axes.
    ///
    /// # Panics
    /// If the axis does not exist or is empty.
    #[track_caller]
    pub fn argmax(&self, axis: isize) -> Vec<usize> {
        let axis = self.shape().axis(axis);
        let size = self.dims()[axis];
        assert!(size > 0, "argmax: axis {axis} of {} is empty", self.shape());
        let mut order: Vec<isize> = (0..self.rank() as isize).collect();
        order[axis..].rotate_left(1);
        let rows = self.permute(&order).contiguous();
        let argmax = |row: &[E]| {
            let better = |best: usize, i: usize| if row[i] > row[best] { i } else { best };
            (1..row.len()).fold(0, better)
        };
        rows.data().chunks(size).map(argmax).collect()
    }

    /// Folds the elements into `target`, seen with the strides `into`: a whole row where the target stands still, element
    /// by element where it moves along.
    #[inline]
    fn fold_into(
        &self,
        mut target: Self,
        into: Strides,
        fold_row: impl Fn(&mut E, &[E], Simd),
        fold: impl Fn(&mut E, E),
    ) -> Self {
        let walk = Walk::new(self.shape(), [self.strides(), into]);
        let [step, into_step] = walk.inner_strides;
        let (source, out) = (self.storage(), target.data_mut());
        E::vectorize(
            #[inline(always)]
            |simd| {
                walk.for_rows(
                    0..walk.rows,
                    #[inline(always)]
                    |_, [from, to]| match (step, into_step) {
                        (1, 0) => fold_row(&mut out[to], &source[from..from + walk.inner], simd),
                        (1, 1) => {
                            let row = &source[from..from + walk.inner];
                            for (out, x) in out[to..].iter_mut().zip(row) {
                                fold(out, *x);
                            }
                        }
                        _ => {
                            for i in 0..walk.inner {
                                fold(&mut out[to + i * into_step], source[from + i * step]);
                            }
                        }
                    },
                );
            },
        );
        target
    }

    #[track_caller]
    fn kept_shape(&self, axes: &[isize]) -> Shape {
        axes.iter().fold(self.shape(), |shape, &axis| shape.with(shape.axis(axis), 1))
    }

    fn remaining_shape(&self, axes: &[isize]) -> Shape {
        let summed: Vec<usize> = axes.iter().map(|&axis| self.shape().axis(axis)).collect();
        let left =
            (0..self.rank()).filter(|axis| !summed.contains(axis)).map(|axis| self.dims()[axis]);
        Shape::new(&left.collect::<Vec<_>>())
    }
}

/// Σ aᵢbᵢ in a fixed order: `LANES` running sums, added pairwise at the end.
#[inline(always)]
pub fn dot_row<E: Float>(a: &[E], b: &[E], simd: Simd) -> E {
    let mut sums = [E::ZERO; LANES];
    let (mut a_chunks, mut b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    for (a, b) in (&mut a_chunks).zip(&mut b_chunks) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum = a.mul_add(*b, *sum, simd);
        }
    }
    let rest = a_chunks.remainder().iter().zip(b_chunks.remainder());
    for (sum, (a, b)) in sums.iter_mut().zip(rest) {
        *sum = a.mul_add(*b, *sum, simd);
    }
    sum_row(&sums)
}

/// The sum of a slice in a fixed order: `LANES` running sums, added pairwise at the end.
#[inline(always)]
pub fn sum_row<E: Float>(row: &[E]) -> E {
    let mut sums = [E::ZERO; LANES];
    let mut chunks = row.chunks_exact(LANES);
    for chunk in &mut chunks {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *sum += *x;
        }
    }
    for (sum, x) in sums.iter_mut().zip(chunks.remainder()) {
        *sum += *x;
    }
    fold_lanes(
        sums,
        #[inline(always)]
        |a, b| a + b,
    )
}

/// `f` of all lanes: of the two halves, of their quarters, and so on.
#[inline(always)]
pub fn fold_lanes<E: Float>(mut lanes: [E; LANES], f: impl Fn(E, E) -> E) -> E {
    // One loop for each half, of a constant length: as a loop over halves it would go through memory.
    for i in 0..8 {
        lanes[i] = f(lanes[i], lanes[i + 8]);
    }
    for i in 0..4 {
        lanes[i] = f(lanes[i], lanes[i + 4]);
    }
    for i in 0..2 {
        lanes[i] = f(lanes[i], lanes[i + 2]);
    }
    f(lanes[0], lanes[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_over_any_axes() {
        let x: Tensor = Tensor::arange(24).reshape([2, 3, 4]);
        assert_eq!(x.sum(&[-1]).to_vec(), [6.0, 22.0, 38.0, 54.0, 70.0, 86.0]);
        assert_eq!(x.sum(&[0, 2]).to_vec(), [60.0, 92.0, 124.0]);
        assert_eq!(x.sum_keep(&[1]).dims(), [2, 1, 4]);
        assert_eq!(x.permute(&[2, 0, 1]).sum(&[1, 2]).to_vec(), [60.0, 66.0, 72.0, 78.0]);
        assert_eq!(x.sum(&[0, 1, 2]).item(), 276.0);
        assert_eq!(Tensor::<f32>::zeros([0, 3]).sum(&[0]).to_vec(), [0.0; 3]);
    }

    #[test]
    fn variance_matches_its_definition() {
        let x: Tensor<f64> = Tensor::from_vec([2, 3], vec![1.0, 2.0, 6.0, 5.0, 5.0, 5.0]);
        assert_eq!(x.variance(&[1], 1).to_vec(), [7.0, 0.0]);
        let population = x.variance(&[1], 0).to_vec();
        assert!((population[0] - 14.0 / 3.0).abs() < 1e-15 && population[1] == 0.0);
    }

    #[test]
    fn max_and_argmax_agree_and_ties_go_to_the_first() {
        let x: Tensor = Tensor::from_vec([2, 3], vec![1.0, 3.0, 3.0, -1.0, -2.0, -1.0]);
        assert_eq!(x.max(1).to_vec(), [3.0, -1.0]);
        assert_eq!(x.argmax(1), [1, 0]);
        assert_eq!(x.argmax(0), [0, 0, 0]);
        assert_eq!(x.max(0).to_vec(), [1.0, 3.0, 3.0]);
    }
}
