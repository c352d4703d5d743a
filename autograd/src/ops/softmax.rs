//! Softmax and its logarithm over one axis.

use tensor::{Float, Simd, Tensor, dot_row, fold_lanes, par, sum_row};

use crate::{Op, Var};

/// Rows that one task computes.
const ROWS: usize = 256;

impl<E: Float> Var<E> {
    /// yᵢ = e^(xᵢ − max x) / Σⱼ e^(xⱼ − max x) along `axis`; dxᵢ = yᵢ (gᵢ − Σⱼ gⱼ yⱼ).
    ///
    /// A row of −∞ alone gives zeros. The composed twin is [`softmax_composed`](crate::softmax_composed).
    #[track_caller]
    pub fn softmax(&self, axis: isize) -> Self {
        let y = along_last(self.value(), axis, softmax_row);
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

    /// yᵢ = xᵢ − ln Σⱼ e^(xⱼ) along `axis`; dxᵢ = gᵢ − e^(yᵢ) Σⱼ gⱼ.
    ///
    /// The composed twin is [`log_softmax_composed`](crate::log_softmax_composed).
    #[track_caller]
    pub fn log_softmax(&self, axis: isize) -> Self {
        let y = along_last(
            self.value(),
            axis,
            #[inline(always)]
            |row, simd| {
                let shift = log_sum_exp(row, simd);
                for x in row {
                    *x -= shift;
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
    if max == -E::INFINITY {
        return row.fill(E::ZERO);
    }
    for x in row.iter_mut() {
        *x = (*x - max).exp(simd);
    }
    let scale = E::ONE / sum_row(row);
    for x in row {
        *x *= scale;
    }
}

/// ln Σ eˣ over a row, without overflow.
#[inline(always)]
pub(crate) fn log_sum_exp<E: Float>(row: &[E], simd: Simd) -> E {
    let max = max_of(row);
    if !max.is_finite() {
        return max;
    }
    // Eight partial sums, so that the loop is vector code.
    let mut sums = [E::ZERO; 8];
    let mut chunks = row.chunks_exact(8);
    for chunk in &mut chunks {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *sum += (*x - max).exp(simd);
        }
    }
    for (sum, x) in sums.iter_mut().zip(chunks.remainder()) {
        *sum += (*x - max).exp(simd);
    }
    max + sum_row(&sums).ln(simd)
}

/// The largest element of a row, −∞ if there is none.
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
    x: &Tensor<E>,
    axis: isize,
    f: impl Fn(&mut [E], Simd) + Sync + Send,
) -> Tensor<E> {
    let size = x.dim(axis);
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
    fn a_fully_masked_row_gives_zeros() {
        let x: Tensor = Tensor::full([1, 3], f32::NEG_INFINITY);
        assert_eq!(Var::constant(x).softmax(-1).value().to_vec(), [0.0; 3]);
    }
}
