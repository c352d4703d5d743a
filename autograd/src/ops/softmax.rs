//! Softmax and its logarithm over one axis.

use tensor::{Float, Simd, Tensor, dot_row, fold_lanes, par, sum_row};

use crate::{Op, Var};

/// Rows that one task computes.
const ROWS: usize = 256;

impl<E: Float> Var<E> {
    /// yᵢ = e^(xᵢ − max x) / Σⱼ e^(xⱼ − max x) along `axis`; dxᵢ = yᵢ (gᵢ − Σⱼ gⱼ yⱼ).
    ///
    /// −∞ hides an element: its weight is 0, and a row of −∞ alone gives zeros, with a gradient of zeros. One +∞ takes all
    /// the weight, as in the limit; several have no limit and give NaN, as does a NaN. The composed twin is
    /// [`softmax_composed`](crate::softmax_composed).
    #[track_caller]
    pub fn softmax(&self, axis: isize) -> Self {
        let y = along_last("softmax", self.value(), axis, softmax_row);
        let vjp = {
            let y = y.clone();
            move |g: Tensor<E>| {
                pull_back(
                    g,
                    &y,
                    axis,
                    #[inline(always)]
                    |g, y, simd| {
                        let dot = dot_row(y, g, simd);
                        for (g, y) in g.iter_mut().zip(y) {
                            *g = *y * (*g - dot);
                        }
                    },
                )
            }
        };
        Op::new("softmax", y).wrt(self, vjp).record()
    }

    /// yᵢ = xᵢ − max x − ln Σⱼ e^(xⱼ − max x) along `axis`; dxᵢ = gᵢ − e^(yᵢ) Σⱼ gⱼ.
    ///
    /// One +∞ gives 0, and −∞ to the others, as in the limit. A row of −∞ alone or with several +∞ has no limit and gives NaN,
    /// as does a NaN. The composed twin is [`log_softmax_composed`](crate::log_softmax_composed).
    #[track_caller]
    pub fn log_softmax(&self, axis: isize) -> Self {
        let y = along_last(
            "log_softmax",
            self.value(),
            axis,
            #[inline(always)]
            |row, simd| {
                let sum = LogSum::of(row, simd);
                for x in row {
                    *x = sum.log_share(*x);
                }
            },
        );
        let vjp = {
            let y = y.clone();
            move |g: Tensor<E>| {
                pull_back(
                    g,
                    &y,
                    axis,
                    #[inline(always)]
                    |g, y, simd| {
                        let sum = sum_row(g);
                        for (g, y) in g.iter_mut().zip(y) {
                            *g -= y.exp(simd) * sum;
                        }
                    },
                )
            }
        };
        Op::new("log_softmax", y).wrt(self, vjp).record()
    }
}

/// Replaces a row by its softmax.
#[inline(always)]
pub(crate) fn softmax_row<E: Float>(row: &mut [E], simd: Simd) {
    let max = max_of(row);
    if !max.is_finite() {
        softmax_limit(row);
        return;
    }
    for x in row.iter_mut() {
        *x = (*x - max).exp(simd);
    }
    let scale = E::ONE / sum_row(row);
    for x in row {
        *x *= scale;
    }
}

/// NaN.
pub(crate) fn nan<E: Float>() -> E {
    E::from_f64(f64::NAN)
}

/// Replaces a row whose largest number is infinite by the limit of e^(x − max), and returns its sum: 1 for one +∞, NaN
/// for several or if there is a NaN, and 0 for −∞ alone.
#[cold]
#[inline(never)]
pub(crate) fn softmax_limit<E: Float>(row: &mut [E]) -> E {
    let sum = limit(row);
    for x in row {
        *x = if sum.is_finite() && *x == E::INFINITY { E::ONE } else { E::ZERO * sum };
    }
    sum
}

fn limit<E: Float>(row: &[E]) -> E {
    let top = row.iter().filter(|x| **x == E::INFINITY).count();
    let is_number = |x: &E| *x >= -E::INFINITY;
    match top {
        0 if row.iter().all(is_number) => E::ZERO,
        1 if row.iter().all(is_number) => E::ONE,
        _ => nan(),
    }
}

/// ln Σ eˣ of a row in two parts, since the sum of a large maximum and a logarithm has lost the digits of the latter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogSum<E> {
    /// The largest number.
    pub(crate) max: E,
    /// ln Σ e^(x − max): of an infinite maximum the limit, NaN if there is none.
    pub(crate) rest: E,
}

impl<E: Float> LogSum<E> {
    #[inline(always)]
    pub(crate) fn of(row: &[E], simd: Simd) -> Self {
        let max = max_of(row);
        if !max.is_finite() {
            return Self { max, rest: if limit(row) == E::ONE { E::ZERO } else { nan() } };
        }
        Self { max, rest: log_sum_exp(row, max, simd) }
    }

    /// x − ln Σ eˣ, the maximum first.
    #[inline(always)]
    pub(crate) fn log_share(self, x: E) -> E {
        let shifted = if x == self.max { E::ZERO } else { x - self.max }; // not ∞ − ∞
        shifted - self.rest
    }
}

/// ln Σ e^(x − max) over a row: ln n + ln(1 + r) of n largest numbers and r = Σ e^(x − max)/n of the others, for beside 1 a
/// small r would lose its digits.
#[inline(always)]
fn log_sum_exp<E: Float>(row: &[E], max: E, simd: Simd) -> E {
    // Eight partial sums, so that the loop is vector code.
    let (mut largest, mut others) = ([E::ZERO; 8], [E::ZERO; 8]);
    for chunk in row.chunks(8) {
        for ((largest, others), x) in largest.iter_mut().zip(&mut others).zip(chunk) {
            let (is_max, e) = (*x == max, (*x - max).exp(simd));
            *largest += if is_max { E::ONE } else { E::ZERO };
            *others += if is_max { E::ZERO } else { e };
        }
    }
    let count = sum_row(&largest);
    let r = sum_row(&others) / count;
    let one_more = E::ONE + r;
    let rounded = one_more - E::ONE;
    let log = if rounded == E::ZERO { r } else { one_more.ln(simd) * (r / rounded) };
    if count == E::ONE { log } else { count.ln(simd) + log }
}

/// The largest element of a row, −∞ if there is none; NaN does not count.
#[inline(always)]
pub(crate) fn max_of<E: Float>(row: &[E]) -> E {
    let mut lanes = [-E::INFINITY; 16];
    let mut chunks = row.chunks_exact(16);
    for chunk in &mut chunks {
        larger(&mut lanes, chunk);
    }
    larger(&mut lanes, chunks.remainder());
    fold_lanes(lanes, larger_of)
}

/// The larger of two numbers, the first if one is NaN.
#[inline(always)]
pub(crate) fn larger_of<E: Float>(a: E, b: E) -> E {
    if b > a { b } else { a }
}

/// Replaces each number of `max` by the one of `x` that is larger.
#[inline(always)]
pub(crate) fn larger<E: Float>(max: &mut [E], x: &[E]) {
    for (max, x) in max.iter_mut().zip(x) {
        *max = if *x > *max { *x } else { *max };
    }
}

/// Applies `f` to each row along `axis` of a copy of `x`.
#[track_caller]
fn along_last<E: Float>(
    op: &str,
    x: &Tensor<E>,
    axis: isize,
    f: impl Fn(&mut [E], Simd) + Sync + Send,
) -> Tensor<E> {
    let size = x.dims()[x.shape().axis_for(op, axis)];
    let mut rows = x.transpose(axis, -1).copy();
    let work = par::work(&[rows.len(), par::FUNCTION]);
    par::for_chunks(rows.data_mut(), ROWS * size, work, |_, rows| {
        E::vectorize(
            #[inline(always)]
            |simd| {
                for row in rows.chunks_mut(size.max(1)) {
                    f(row, simd);
                }
            },
        );
    });
    rows.transpose(axis, -1)
}

/// Applies `f(row of the gradient, row of the saved output)` along `axis`, in the gradient's buffer.
fn pull_back<E: Float>(
    g: Tensor<E>,
    y: &Tensor<E>,
    axis: isize,
    f: impl Fn(&mut [E], &[E], Simd) + Sync + Send,
) -> Tensor<E> {
    let size = y.dim(axis);
    let y = y.transpose(axis, -1).contiguous();
    let y = y.data();
    let mut g = if y.is_empty() || axis == -1 { g } else { g.transpose(axis, -1) };
    let work = par::work(&[g.len(), par::FUNCTION]);
    par::for_chunks(g.data_mut(), ROWS * size, work, |start, g| {
        let y = &y[start..start + g.len()];
        E::vectorize(
            #[inline(always)]
            |simd| {
                for (g, y) in g.chunks_mut(size.max(1)).zip(y.chunks(size.max(1))) {
                    f(g, y, simd);
                }
            },
        );
    });
    if y.is_empty() || axis == -1 { g } else { g.transpose(axis, -1) }
}

#[cfg(test)]
mod tests {
    use crate::Tape;

    use super::*;

    #[test]
    fn softmax_of_equal_logits_is_uniform_and_shifts_do_not_matter() {
        let x: Tensor<f64> = Tensor::from_vec([2, 2], vec![1000.0, 1000.0, 0.0, 3f64.ln()]);
        let y = Var::constant(x).softmax(-1);
        let expected = [0.5, 0.5, 0.25, 0.75];
        y.value().data().iter().zip(expected).for_each(|(y, e)| assert!((y - e).abs() < 1e-15));
    }

    #[test]
    fn the_gradient_of_a_summed_softmax_is_zero() {
        let tape: Tape<f64> = Tape::new();
        let x = tape.leaf(Tensor::arange(6).reshape([2, 3]));
        let gradients = tape.backward(&x.softmax(0).sum_all());
        assert!(gradients.get(&x).expect("tracked").to_vec().iter().all(|g| g.abs() < 1e-15));
    }

    #[test]
    fn a_nan_or_an_infinity_is_not_swallowed() {
        const NAN: f32 = f32::NAN;
        const TOP: f32 = f32::INFINITY;
        let row = |x: &[f32]| Var::<f32>::constant(Tensor::from_vec([1, x.len()], x.to_vec()));
        let same = |a: Var, b: &[f32]| {
            let a = a.into_value().to_vec();
            let equal = a.iter().zip(b).all(|(a, b)| a == b || (a.is_nan() && b.is_nan()));
            assert!(equal, "{a:?} instead of {b:?}");
        };
        for softmax in [Var::softmax, crate::softmax_composed] {
            same(softmax(&row(&[NAN, NAN]), -1), &[NAN; 2]);
            same(softmax(&row(&[NAN, -TOP]), -1), &[NAN; 2]);
            same(softmax(&row(&[1.0, NAN, 0.0]), -1), &[NAN; 3]);
            same(softmax(&row(&[1.0, TOP, NAN]), -1), &[NAN; 3]);
            same(softmax(&row(&[TOP, 1.0, -TOP]), -1), &[1.0, 0.0, 0.0]);
            same(softmax(&row(&[TOP, TOP]), -1), &[NAN; 2]);
            same(softmax(&row(&[-TOP, -TOP]), -1), &[0.0; 2]);
        }
        for log_softmax in [Var::log_softmax, crate::log_softmax_composed] {
            same(log_softmax(&row(&[NAN, NAN]), -1), &[NAN; 2]);
            same(log_softmax(&row(&[1.0, NAN, 0.0]), -1), &[NAN; 3]);
            same(log_softmax(&row(&[TOP, 1.0, -TOP]), -1), &[0.0, -TOP, -TOP]);
            same(log_softmax(&row(&[TOP, TOP]), -1), &[NAN; 2]);
            same(log_softmax(&row(&[-TOP, -TOP]), -1), &[NAN; 2]);
        }
    }

    #[test]
    fn large_logits_keep_the_digits_of_the_logarithm() {
        for size in [1e4f32, 1e6, 1e7, 1e30] {
            let tape = Tape::new();
            let x = tape.leaf(Tensor::full([1, 2], size));
            let y = x.log_softmax(-1);
            assert!((y.value().to_vec()[0] + std::f32::consts::LN_2).abs() < 1e-7, "{y:?}");
            let g = tape.backward_with(&y, Tensor::from_vec([1, 2], vec![1.0, 0.0]));
            let g = g.get(&x).expect("tracked").to_vec();
            assert!((g[0] - 0.5).abs() < 1e-6 && (g[1] + 0.5).abs() < 1e-6, "{g:?}");
        }
    }

    #[test]
    fn softmax_of_no_rows_and_its_twin_are_alike() {
        let x: Var = Var::constant(Tensor::zeros([3, 0]));
        assert_eq!(x.softmax(-1).dims(), [3, 0]);
        assert_eq!(crate::softmax_composed(&x, -1).dims(), [3, 0]);
        assert_eq!(crate::log_softmax_composed(&x, 1).dims(), [3, 0]);
    }

    #[test]
    fn a_fully_masked_row_gives_zeros() {
        let x: Tensor = Tensor::full([1, 3], f32::NEG_INFINITY);
        assert_eq!(Var::constant(x).softmax(-1).value().to_vec(), [0.0; 3]);
    }
}
