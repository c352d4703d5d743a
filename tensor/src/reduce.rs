//! Reductions over axes: sum, mean, variance, norm, max, argmax.
//!
//! Sums are pairwise (Higham 1993): runs of [`CHAIN`] additions in a row, whose sums are added two by two. So a sum of n numbers
//! is off by at most (CHAIN + log₂ n)·ε/2 of the sum of their absolute values, 70 of the last bits where a single chain would
//! lose n. The order of additions follows from the shape and the axes alone: not from strides, threads or the vector unit.

use std::ops::Range;

use crate::par::{self, ELEMENT};
use crate::simd::Simd;
use crate::{Float, MAX_RANK, Shape, Tensor};

/// Numbers that are added one after another before sums are added in pairs.
pub(crate) const CHAIN: usize = 64;
/// Independent partial sums inside a row: two AVX registers of f32.
pub const LANES: usize = 16;
/// Numbers of a row that make up [`LANES`] chains.
const BLOCK: usize = LANES * CHAIN;
/// Elements of one task of a sum over everything.
const TASK: usize = 64 * BLOCK;

/// A step of a pairwise sum, whose partial sums lie on a stack.
pub(crate) enum Step {
    /// Term `term` goes to place `to` of the stack.
    Push { term: usize, to: usize },
    /// What lies above place `into` is added to it.
    Add { into: usize },
}

/// The steps that leave the sum of `count` terms at place 0 of a stack of at most 1 + log₂ `count` places.
#[inline(always)]
pub(crate) fn pairwise(count: usize, mut step: impl FnMut(Step)) {
    let mut height = 0;
    for term in 0..count {
        step(Step::Push { term, to: height });
        height += 1;
        for _ in 0..(term + 1).trailing_zeros() {
            height -= 1;
            step(Step::Add { into: height - 1 });
        }
    }
    for into in (0..height.saturating_sub(1)).rev() {
        step(Step::Add { into });
    }
}

/// The pairwise sum of `count` tensors, each made when it is needed; at least one.
pub(crate) fn sum_tensors<E: Float>(
    count: usize,
    mut term: impl FnMut(usize) -> Tensor<E>,
) -> Tensor<E> {
    let mut stack: Vec<Tensor<E>> = Vec::new();
    pairwise(count, |step| match step {
        Step::Push { term: i, .. } => stack.push(term(i)),
        Step::Add { into } => {
            let upper = stack.pop().expect("there is one above");
            let lower = stack.pop().expect("there is one below");
            debug_assert_eq!(stack.len(), into);
            stack.push(lower + &upper);
        }
    });
    stack.pop().expect("at least one term")
}

impl<E: Float> Tensor<E> {
    /// The sum over `axes`, which disappear from the shape. No axes: the tensor itself. Negative axes count from the
    /// end. For the error see [`sum_row`].
    ///
    /// # Panics
    /// If an axis does not exist.
    #[track_caller]
    pub fn sum(&self, axes: &[isize]) -> Self {
        let axes = Axes::new("sum", self.shape(), axes);
        self.sum_to(axes.kept).reshape(axes.left)
    }

    /// The sum over `axes`, which stay with size 1.
    ///
    /// # Panics
    /// If an axis does not exist.
    #[track_caller]
    pub fn sum_keep(&self, axes: &[isize]) -> Self {
        self.sum_to(Axes::new("sum_keep", self.shape(), axes).kept)
    }

    /// The sum of all elements, as a scalar.
    #[track_caller]
    pub fn sum_all(&self) -> Self {
        let source = self.contiguous();
        let data = source.data();
        let sums = par::map_ranges(data.len(), TASK, par::work(&[data.len(), ELEMENT]), |range| {
            E::vectorize(
                #[inline(always)]
                |_| sum_row(&data[range]),
            )
        });
        Self::scalar(sum_row(&sums))
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
        let broadcasts = shape.broadcast(self.shape()) == Some(self.shape());
        assert!(broadcasts, "sum_to: {shape} does not broadcast to {}", self.shape());
        if shape.elements() == 1 {
            return self.sum_all().reshape(shape);
        }
        self.fold_to(
            shape,
            #[inline(always)]
            |row| sum_row(row),
            #[inline(always)]
            |rows, out| {
                out.fill(E::ZERO);
                let inner = out.len();
                add_rows(
                    rows.len() / inner.max(1),
                    #[inline(always)]
                    |i| &rows[i * inner..(i + 1) * inner],
                    out,
                );
            },
        )
    }

    /// The mean over `axes`, which disappear from the shape; NaN if there is nothing along them.
    ///
    /// # Panics
    /// If an axis does not exist.
    #[track_caller]
    pub fn mean(&self, axes: &[isize]) -> Self {
        let axes = Axes::new("mean", self.shape(), axes);
        self.sum_to(axes.kept).reshape(axes.left) / E::from_f64(axes.count as f64)
    }

    /// The mean of all elements, as a scalar.
    #[track_caller]
    pub fn mean_all(&self) -> Self {
        self.sum_all() / E::from_f64(self.len() as f64)
    }

    /// The elements less their mean over `axes`. What the rounding of the mean leaves is subtracted, too, so equal numbers give
    /// zeros to the square of the precision.
    ///
    /// # Panics
    /// If an axis does not exist.
    #[track_caller]
    pub fn centered(&self, axes: &[isize]) -> Self {
        let axes = Axes::new("centered", self.shape(), axes);
        let mean = |x: &Self| x.sum_to(axes.kept) / E::from_f64(axes.count as f64);
        let roughly = self - &mean(self);
        let rest = mean(&roughly);
        roughly - &rest
    }

    /// The variance over `axes`, Σ (x − mean)² / (n − correction), of [centered](Tensor::centered) elements; the axes disappear
    /// from the shape. `correction` is 0 for the population's variance, 1 for the unbiased estimate.
    ///
    /// # Panics
    /// If an axis does not exist, or if there are not more than `correction` elements along the axes.
    #[track_caller]
    pub fn variance(&self, axes: &[isize], correction: usize) -> Self {
        let named = Axes::new("variance", self.shape(), axes);
        assert!(
            named.count > correction,
            "variance: a correction of {correction} needs more than {} elements along axes {axes:?} of {}",
            named.count,
            self.shape()
        );
        let squares = self.centered(axes).into_map(
            #[inline(always)]
            |x, _| x * x,
        );
        squares.sum_to(named.kept).reshape(named.left)
            / E::from_f64((named.count - correction) as f64)
    }

    /// √Σ x² over all elements, in double precision: no square overflows or vanishes.
    #[track_caller]
    pub fn norm(&self) -> f64 {
        let source = self.contiguous();
        let data = source.data();
        let sum = sum_of_squares(data, |x| x);
        // Squares of singles are far from the ends of double precision, and so are most of doubles.
        if data.is_empty() || (1e-280..f64::INFINITY).contains(&sum) {
            return sum.sqrt();
        }
        let largest =
            data.iter().fold(0.0, |largest: f64, x| Float::max(largest, x.to_f64().abs()));
        if largest == 0.0 || !largest.is_finite() {
            return largest;
        }
        largest * sum_of_squares(data, |x| x / largest).sqrt()
    }

    /// The largest element along `axis`, which disappears from the shape; NaN if there is any. It is that at
    /// [`Tensor::argmax`].
    ///
    /// # Panics
    /// If the axis does not exist or is empty.
    #[track_caller]
    pub fn max(&self, axis: isize) -> Self {
        let axis = self.shape().axis_for("max", axis);
        assert!(self.dims()[axis] > 0, "max: axis {axis} of {} is empty", self.shape());
        let largest = self.fold_to(
            self.shape().with(axis, 1),
            #[inline(always)]
            |row| {
                let mut best = row[0];
                for x in row {
                    best = best.max(*x);
                }
                best
            },
            #[inline(always)]
            |rows, out| {
                out.copy_from_slice(&rows[..out.len()]);
                for row in rows.chunks_exact(out.len()) {
                    for (best, x) in out.iter_mut().zip(row) {
                        *best = best.max(*x);
                    }
                }
            },
        );
        largest.squeeze(axis as isize)
    }

    /// The place of the largest element along `axis`, in row-major order of the other axes: of the first NaN if there is any, else
    /// of the first of those that are equal.
    ///
    /// # Panics
    /// If the axis does not exist or is empty.
    #[track_caller]
    pub fn argmax(&self, axis: isize) -> Vec<usize> {
        let axis = self.shape().axis_for("argmax", axis);
        let size = self.dims()[axis];
        assert!(size > 0, "argmax: axis {axis} of {} is empty", self.shape());
        let mut order: Vec<isize> = (0..self.rank() as isize).collect();
        order[axis..].rotate_left(1);
        let rows = self.permute(&order).contiguous();
        let argmax = |row: &[E]| {
            let better = |best: usize, i: usize| if row[i].exceeds(row[best]) { i } else { best };
            (1..row.len()).fold(0, better)
        };
        rows.data().chunks(size).map(argmax).collect()
    }

    /// The tensor folded to `shape`, which broadcasts to its own: run after run of the axes that go, from the last. Where such a run is
    /// the end of the shape, `fold_row` gives the result of its elements; elsewhere `fold_rows` leaves in its second argument that of
    /// the rows of its first.
    #[track_caller]
    fn fold_to(
        &self,
        shape: Shape,
        fold_row: impl Fn(&[E]) -> E,
        fold_rows: impl Fn(&[E], &mut [E]),
    ) -> Self {
        let shift = self.rank() - shape.rank();
        let goes = |axis: usize| axis < shift || shape[axis - shift] == 1;
        let mut folded = self.contiguous();
        let mut end = self.rank();
        while end > 0 {
            if !goes(end - 1) {
                end -= 1;
                continue;
            }
            let start = (0..end).rev().take_while(|&axis| goes(axis)).last().unwrap_or(end);
            let mut dims = [0; MAX_RANK];
            let dims = &mut dims[..self.rank()];
            dims.copy_from_slice(folded.dims());
            let count: usize = dims[start..end].iter().product();
            dims[start..end].fill(1);
            let inner: usize = dims[end..].iter().product();
            end = start;
            if count == 1 {
                continue;
            }
            let source = folded.data();
            folded = Self::build(&*dims, |out| {
                E::vectorize(
                    #[inline(always)]
                    |_| match inner {
                        1 => {
                            for (i, out) in out.iter_mut().enumerate() {
                                *out = fold_row(&source[i * count..(i + 1) * count]);
                            }
                        }
                        _ => {
                            let block = count * inner;
                            for (i, out) in out.chunks_mut(inner.max(1)).enumerate() {
                                fold_rows(&source[i * block..(i + 1) * block], out);
                            }
                        }
                    },
                );
            });
        }
        folded.reshape(shape)
    }
}

/// Σ f(x)².
fn sum_of_squares<E: Float>(data: &[E], f: impl Fn(f64) -> f64 + Sync) -> f64 {
    let sums = par::map_ranges(data.len(), TASK, par::work(&[data.len(), ELEMENT]), |range| {
        E::vectorize(
            #[inline(always)]
            |_| {
                sum_row_by(
                    &data[range],
                    #[inline(always)]
                    |x| f(x.to_f64()) * f(x.to_f64()),
                )
            },
        )
    });
    sum_row(&sums)
}

/// Named axes of a shape.
struct Axes {
    /// The shape with the axes at size 1.
    kept: Shape,
    /// The shape without the axes.
    left: Shape,
    /// Elements along the axes.
    count: usize,
}

impl Axes {
    #[track_caller]
    fn new(op: &str, shape: Shape, axes: &[isize]) -> Self {
        let mut dims = [0; MAX_RANK];
        let dims = &mut dims[..shape.rank()];
        dims.copy_from_slice(&shape);
        let mut named = [false; MAX_RANK];
        let mut count = 1;
        for &axis in axes {
            let axis = shape.axis_for(op, axis);
            count *= dims[axis];
            dims[axis] = 1;
            named[axis] = true;
        }
        let left: Vec<usize> =
            (0..shape.rank()).filter(|&axis| !named[axis]).map(|axis| dims[axis]).collect();
        Self { kept: Shape::new(dims), left: Shape::new(&left), count }
    }
}

/// out += Σ row(i) for i in 0..count: chains of [`CHAIN`] rows, added in pairs.
#[inline(always)]
pub(crate) fn add_rows<'a, E: Float>(count: usize, row: impl Fn(usize) -> &'a [E], out: &mut [E]) {
    if count <= CHAIN {
        return add_chain(0..count, row, out);
    }
    let chains = count.div_ceil(CHAIN);
    let inner = out.len();
    let mut stack = Tensor::zeros([chains.ilog2() as usize + 2, inner]);
    let stack = stack.data_mut();
    pairwise(
        chains,
        #[inline(always)]
        |step| match step {
            Step::Push { term, to } => {
                let sum = &mut stack[to * inner..(to + 1) * inner];
                sum.fill(E::ZERO);
                add_chain(term * CHAIN..count.min((term + 1) * CHAIN), &row, sum);
            }
            Step::Add { into } => {
                let (lower, upper) = stack.split_at_mut((into + 1) * inner);
                for (lower, upper) in lower[into * inner..].iter_mut().zip(upper) {
                    *lower += *upper;
                }
            }
        },
    );
    for (out, sum) in out.iter_mut().zip(&stack[..inner]) {
        *out += *sum;
    }
}

/// Adds rows one after another.
#[inline(always)]
fn add_chain<'a, E: Float>(rows: Range<usize>, row: impl Fn(usize) -> &'a [E], out: &mut [E]) {
    for i in rows {
        for (out, x) in out.iter_mut().zip(row(i)) {
            *out += *x;
        }
    }
}

/// The sum of blocks of a row of `len` numbers, in pairs.
#[inline(always)]
fn sum_blocks<E: Float>(len: usize, block: impl Fn(Range<usize>) -> E) -> E {
    if len <= BLOCK {
        return block(0..len);
    }
    let mut stack = [E::ZERO; usize::BITS as usize];
    pairwise(
        len.div_ceil(BLOCK),
        #[inline(always)]
        |step| match step {
            Step::Push { term, to } => {
                stack[to] = block(term * BLOCK..len.min((term + 1) * BLOCK));
            }
            Step::Add { into } => {
                let upper = stack[into + 1];
                stack[into] += upper;
            }
        },
    );
    stack[0]
}

/// Σ aᵢbᵢ in a fixed order, that of [`sum_row`].
#[inline(always)]
pub fn dot_row<E: Float>(a: &[E], b: &[E], simd: Simd) -> E {
    sum_blocks(
        a.len().min(b.len()),
        #[inline(always)]
        |block| {
            let (a, b) = (&a[block.clone()], &b[block]);
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
            fold_sums(sums)
        },
    )
}

/// The sum of a slice in a fixed order: blocks of 1,024 numbers, each in `LANES` chains of at most 64 that are added in pairs, as
/// the blocks are.
///
/// Its error is at most (70 + log₂(n/1,024))·ε/2·Σ|xᵢ|: 5·10⁻⁶ of that in single precision for a thousand numbers or a billion.
#[inline(always)]
pub fn sum_row<E: Float>(row: &[E]) -> E {
    sum_row_by(
        row,
        #[inline(always)]
        |x| x,
    )
}

/// Σ f(xᵢ), as [`sum_row`] adds; f may give another precision.
#[inline(always)]
pub fn sum_row_by<E: Float, F: Float>(row: &[E], f: impl Fn(E) -> F) -> F {
    sum_blocks(
        row.len(),
        #[inline(always)]
        |block| {
            let mut sums = [F::ZERO; LANES];
            let mut chunks = row[block].chunks_exact(LANES);
            for chunk in &mut chunks {
                for (sum, x) in sums.iter_mut().zip(chunk) {
                    *sum += f(*x);
                }
            }
            for (sum, x) in sums.iter_mut().zip(chunks.remainder()) {
                *sum += f(*x);
            }
            fold_sums(sums)
        },
    )
}

#[inline(always)]
fn fold_sums<E: Float>(sums: [E; LANES]) -> E {
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
        assert_eq!(Tensor::<f32>::zeros([3, 0, 2]).sum(&[1]), Tensor::zeros([3, 2]));
        assert_eq!(Tensor::<f32>::zeros([0, 3, 2]).sum(&[2]).dims(), [0, 3]);
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

    #[test]
    fn max_and_argmax_stop_at_the_first_nan_and_know_infinities() {
        let (nan, inf) = (f64::NAN, f64::INFINITY);
        for (row, place) in [
            ([nan, 1.0, inf], 0),
            ([1.0, nan, inf], 1),
            ([inf, nan, nan], 1),
            ([-inf, -inf, -inf], 0),
            ([-inf, 1.0, inf], 2),
        ] {
            // along rows, along columns, and with a neighbour that has no NaN
            let x = Tensor::from_vec([3], row.to_vec());
            for x in [x.reshape([1, 3]), x.reshape([3, 1]), x.reshape([3, 1]).expand([3, 2])] {
                let axis = isize::from(x.dims()[0] == 3) - 1;
                let (max, at) = (x.max(axis).to_vec(), x.argmax(axis));
                assert!(at.iter().all(|&at| at == place), "{row:?}: {at:?}");
                let same = |x: f64| x.to_bits() == row[place].to_bits();
                assert!(max.iter().all(|&x| same(x)), "{row:?}: {max:?}");
            }
        }
    }

    /// Numbers in [0, 1) that all have the same few leading digits, so that errors do not cancel.
    fn alike(n: usize) -> Vec<f32> {
        (0..n as u32).map(|i| 0.5 + (i.wrapping_mul(0x9E37_79B9) >> 8) as f32 * 2e-9).collect()
    }

    #[test]
    fn a_long_sum_is_off_by_a_few_last_bits_along_every_axis() {
        let n = 1_000_003;
        let row = alike(n);
        let exact: f64 = row.iter().copied().map(f64::from).sum();
        let near = |sum: f32, exact: f64| {
            let bound = (80.0 * f64::from(f32::EPSILON) / 2.0) * exact;
            assert!((f64::from(sum) - exact).abs() <= bound, "{sum} instead of {exact}");
        };
        let x = Tensor::from_vec([n], row);
        near(x.sum_all().item(), exact);
        near(x.reshape([n, 1]).sum(&[0]).item(), exact);
        near(sum_row(x.data()), exact);
        let twice = x.reshape([n, 1]).expand([n, 2]).copy();
        twice.sum(&[0]).to_vec().into_iter().for_each(|sum| near(sum, exact));
        twice.transpose(0, 1).sum(&[1]).to_vec().into_iter().for_each(|sum| near(sum, exact));
        near(twice.mean(&[0]).get(&[1]), exact / n as f64);
        let squares: f64 = x.data().iter().map(|&x| f64::from(x).powi(2)).sum();
        near(dot_row(x.data(), x.data(), Simd::PORTABLE), squares);
        assert!((x.norm() - squares.sqrt()).abs() <= 1e-12 * squares.sqrt());
    }

    #[test]
    fn more_ones_than_single_precision_can_count_one_by_one_are_counted() {
        let n = (1 << 24) + 4096;
        let ones: Tensor = Tensor::ones([n, 1]);
        assert_eq!(ones.sum_all().item(), n as f32);
        assert_eq!(ones.reshape([n / 2, 2]).sum(&[0]).to_vec(), [n as f32 / 2.0; 2]);
        assert_eq!(sum_row(ones.data()), n as f32);
    }

    #[test]
    fn the_bits_of_a_sum_do_not_depend_on_strides() {
        let x = Tensor::from_vec([300, 7, 5], alike(300 * 7 * 5));
        let turned = x.permute(&[2, 0, 1]).copy().permute(&[1, 2, 0]);
        for axes in [&[0][..], &[1], &[2], &[0, 1], &[1, 2], &[0, 2], &[0, 1, 2]] {
            assert_eq!(x.sum(axes), turned.sum(axes), "{axes:?}");
        }
    }

    #[test]
    fn the_variance_of_many_numbers_and_of_equal_ones_is_right() {
        let halves: Tensor =
            Tensor::from_fn([1_000_000], |i| if i % 2 == 0 { 1e3 } else { 1e3 + 1.0 });
        assert_eq!(halves.variance(&[0], 0).item(), 0.25);
        let equal: Tensor = Tensor::full([100], 2.61122);
        assert!(equal.variance(&[0], 0).item() < 1e-20);
        let tiny: Tensor<f64> = Tensor::from_fn([4], |i| 1e9 + i as f64);
        assert_eq!(tiny.variance(&[0], 1).item(), 5.0 / 3.0);
    }

    #[test]
    #[should_panic(
        expected = "variance: a correction of 3 needs more than 2 elements along axes [1] of [4, 2]"
    )]
    fn a_variance_without_degrees_of_freedom_is_refused() {
        Tensor::<f32>::zeros([4, 2]).variance(&[1], 3);
    }

    #[test]
    fn the_norm_of_numbers_whose_squares_overflow_or_vanish_is_right() {
        let near = |found: f64, right: f64| {
            assert!((found - right).abs() <= 1e-7 * right, "{found} instead of {right}");
        };
        for size in [1e-44, 1e-30, 1.0, 1e30, 3e38] {
            near(Tensor::full([3, 4], size as f32).norm(), f64::from(size as f32) * 12f64.sqrt());
        }
        for size in [5e-324, 1e-200, 1e200, 5e307] {
            near(Tensor::<f64>::full([2, 2], size).norm(), size * 2.0);
        }
        assert_eq!(Tensor::<f64>::zeros([3]).norm(), 0.0);
        assert_eq!(Tensor::<f32>::zeros([0]).norm(), 0.0);
        assert_eq!(Tensor::from_vec([2], vec![1.0, f32::NEG_INFINITY]).norm(), f64::INFINITY);
        assert!(Tensor::from_vec([3], vec![f64::INFINITY, f64::NAN, 1.0]).norm().is_nan());
    }
}
