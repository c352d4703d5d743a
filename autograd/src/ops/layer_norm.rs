//! Layer normalisation (Ba, Kiros and Hinton 2016) over the last axis.

use tensor::{Float, Simd, Tensor, par, sum_row, sum_row_by};

use crate::{Op, Var};

/// Rows that one task computes; also the rows of one partial sum of dw and db.
const ROWS: usize = 256;

/// yᵢ = x̂ᵢ wᵢ + bᵢ with x̂ = (x − mean x) / √(var x + eps), mean and (biased) variance over the last axis; x [… n],
/// w `[n]`, b `[n]`.
///
/// dw = Σ g·x̂ and db = Σ g over all leading axes; with h = g·w, dx = (h − mean h − x̂·mean(h·x̂)) / √(var x + eps).
/// Saved: x, and mean and 1/√(var + eps) of each row. The mean is kept in two parts, so that equal numbers give b, however large
/// they are, and squares may be out of range. The composed twin is [`layer_norm_composed`](crate::layer_norm_composed).
///
/// # Panics
/// If the sizes disagree.
#[track_caller]
pub fn layer_norm<E: Float>(x: &Var<E>, weight: &Var<E>, bias: &Var<E>, eps: f64) -> Var<E> {
    let fits = x.shape().rank() >= 1
        && weight.dims() == [x.value().dim(-1)]
        && bias.dims() == weight.dims();
    assert!(fits, "layer_norm: x {}, weight {}, bias {}", x.shape(), weight.shape(), bias.shape());
    let n = weight.dims()[0];
    let (source, w, b) =
        (x.value().contiguous(), weight.value().contiguous(), bias.value().contiguous());
    let rows = source.len() / n.max(1);
    let mut statistics = vec![Statistics::default(); rows];
    let work = par::work(&[source.len(), par::ELEMENT]);
    let value = {
        let (x, w, b) = (source.data(), w.data(), b.data());
        let eps = E::from_f64(eps);
        par::for_chunks(&mut statistics, ROWS, work, |first, statistics| {
            E::vectorize(
                #[inline(always)]
                |_| {
                    let rows = x[first * n..].chunks(n.max(1));
                    for (out, x) in statistics.iter_mut().zip(rows) {
                        *out = Statistics::of(x, eps);
                    }
                },
            );
        });
        let statistics = &statistics;
        Tensor::build(source.shape(), |out| {
            par::for_chunks(out, ROWS * n, work, |start, out| {
                E::vectorize(
                    #[inline(always)]
                    |_| {
                        let rows = out.chunks_mut(n.max(1)).zip(x[start..].chunks(n.max(1)));
                        for ((out, x), row) in rows.zip(&statistics[start / n.max(1)..]) {
                            for (((out, x), w), b) in out.iter_mut().zip(x).zip(w).zip(b) {
                                *out = row.normalized(*x) * *w + *b;
                            }
                        }
                    },
                );
            });
        })
    };
    let vjp = move |g: Tensor<E>| {
        // dx replaces g; each block of rows gives a partial sum [2, n] of dw and db, added in order.
        let mut dx = g;
        let blocks = rows.div_ceil(ROWS);
        let mut sums = Tensor::<E>::zeros([blocks.max(1), 2, n]);
        let blocks = dx
            .data_mut()
            .chunks_mut((ROWS * n).max(1))
            .zip(sums.data_mut().chunks_mut((2 * n).max(1)));
        par::for_chunks(&mut blocks.collect::<Vec<_>>(), 1, work, |i, block| {
            let (g, sum) = &mut block[0];
            let rows = i * ROWS..i * ROWS + g.len() / n;
            let x = &source.data()[rows.start * n..rows.end * n];
            E::vectorize(
                #[inline(always)]
                |simd| backward_rows(g, sum, x, w.data(), &statistics[rows], simd),
            );
        });
        let sums = sums.sum(&[0]);
        [dx, sums.narrow(0, 0, 1).reshape([n]), sums.narrow(0, 1, 1).reshape([n])]
    };
    Op::new("layer_norm", value).wrt_all([x, weight, bias], vjp).record()
}

/// Of a row.
#[derive(Clone, Copy, Default)]
struct Statistics<E> {
    mean: E,
    /// What the rounding of the mean has left.
    rest: E,
    /// 1/√(variance + eps).
    rstd: E,
}

impl<E: Float> Statistics<E> {
    /// In three passes.
    #[inline(always)]
    fn of(x: &[E], eps: E) -> Self {
        let n = E::from_f64(x.len() as f64);
        let mut mean = sum_row(x) * (E::ONE / n);
        if !mean.is_finite() {
            mean = mean_of_large(x);
        }
        let rest = sum_row_by(
            x,
            #[inline(always)]
            |x| x - mean,
        ) / n;
        let root = root_mean_square_of(
            x,
            eps,
            #[inline(always)]
            |x| x - mean - rest,
        );
        Self { mean, rest, rstd: E::ONE / root }
    }

    /// x̂ = (x − mean)/√(variance + eps).
    #[inline(always)]
    fn normalized(self, x: E) -> E {
        (x - self.mean - self.rest) * self.rstd
    }
}

/// The mean of numbers whose sum is out of range.
#[cold]
#[inline(never)]
fn mean_of_large<E: Float>(x: &[E]) -> E {
    let scale = E::ONE / E::from_f64(x.len() as f64);
    sum_row_by(x, |x| x * scale)
}

/// √(Σ f(xᵢ)²/n + eps), also where the squares are out of range.
#[inline(always)]
fn root_mean_square_of<E: Float>(x: &[E], eps: E, f: impl Fn(E) -> E) -> E {
    let scale = E::ONE / E::from_f64(x.len() as f64);
    let squares = sum_row_by(
        x,
        #[inline(always)]
        |x| f(x) * f(x),
    );
    let sum = squares * scale + eps;
    if sum >= E::from_f64(1e-24) && sum < E::INFINITY { sum.sqrt() } else { in_units(x, eps, f) }
}

/// The same in units of the largest number.
#[cold]
#[inline(never)]
fn in_units<E: Float>(x: &[E], eps: E, f: impl Fn(E) -> E) -> E {
    let unit = x.iter().fold(eps.sqrt(), |max, x| Float::max(max, f(*x).abs()));
    if unit == E::ZERO || !unit.is_finite() {
        return unit;
    }
    let scale = E::ONE / E::from_f64(x.len() as f64);
    let squares = sum_row_by(x, |x| (f(x) / unit) * (f(x) / unit));
    unit * (squares * scale + eps / unit / unit).sqrt()
}

/// √(Σ xᵢ²/n + eps) over the last axis, which stays with size 1: x [… n] → [… 1]; squares may be out of range. With r = the root,
/// dxᵢ = g·xᵢ/(n·r).
///
/// # Panics
/// If x is a scalar.
#[track_caller]
pub fn root_mean_square<E: Float>(x: &Var<E>, eps: f64) -> Var<E> {
    let rank = x.shape().rank();
    assert!(rank > 0, "root_mean_square: at least one axis expected, found {}", x.shape());
    let (source, n) = (x.value().contiguous(), x.value().dim(-1));
    let root = Tensor::build(x.shape().with(rank - 1, 1), |out| {
        let (x, eps) = (source.data(), E::from_f64(eps));
        let work = par::work(&[x.len(), par::ELEMENT]);
        par::for_chunks(out, ROWS, work, |first, out| {
            E::vectorize(
                #[inline(always)]
                |_| {
                    for (i, out) in out.iter_mut().enumerate() {
                        let row = &x[(first + i) * n..(first + i + 1) * n];
                        *out = root_mean_square_of(
                            row,
                            eps,
                            #[inline(always)]
                            |x| x,
                        );
                    }
                },
            );
        });
    });
    let (saved, scale) = (root.clone(), E::ONE / E::from_f64(n as f64));
    let vjp = move |g: Tensor<E>| &source / &saved * &(g * scale);
    Op::new("root_mean_square", root).wrt(x, vjp).record()
}

/// Replaces the rows of `g` by those of dx and adds [dw, db] of these rows to `sums`.
#[inline(always)]
fn backward_rows<E: Float>(
    g: &mut [E],
    sums: &mut [E],
    x: &[E],
    w: &[E],
    statistics: &[Statistics<E>],
    simd: Simd,
) {
    let n = w.len();
    let scale = E::ONE / E::from_f64(n as f64);
    let (dw, db) = sums.split_at_mut(n);
    for ((g, x), row) in g.chunks_mut(n.max(1)).zip(x.chunks(n.max(1))).zip(statistics) {
        // In the forward pass: y = x̂·w + b.
        let (mut h_sum, mut hx_sum) = ([E::ZERO; 16], [E::ZERO; 16]);
        let mut at = 0;
        while at < n {
            let end = n.min(at + 16);
            let lanes = h_sum.iter_mut().zip(&mut hx_sum).zip(&g[at..end]).zip(&x[at..end]);
            let lanes = lanes.zip(&w[at..end]).zip(dw[at..end].iter_mut().zip(&mut db[at..end]));
            for (((((h_sum, hx_sum), g), x), w), (dw, db)) in lanes {
                let (x_hat, h) = (row.normalized(*x), *g * *w);
                *h_sum += h;
                *hx_sum = h.mul_add(x_hat, *hx_sum, simd);
                *dw = g.mul_add(x_hat, *dw, simd);
                *db += *g;
            }
            at = end;
        }
        let (h_mean, hx_mean) = (sum_row(&h_sum) * scale, sum_row(&hx_sum) * scale);
        for ((g, x), w) in g.iter_mut().zip(x).zip(w) {
            *g = (*g * *w - h_mean - row.normalized(*x) * hx_mean) * row.rstd;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Tape, Var};

    use super::*;

    #[test]
    fn a_row_is_shifted_and_scaled_to_mean_0_and_variance_1() {
        let x = Var::<f64>::constant(Tensor::from_vec(
            [2, 4],
            vec![1.0, 2.0, 3.0, 4.0, -5.0, -5.0, 5.0, 5.0],
        ));
        let (one, zero) = (Var::constant(Tensor::ones([4])), Var::constant(Tensor::zeros([4])));
        let y = layer_norm(&x, &one, &zero, 0.0).value().to_vec();
        let s = 1.25f64.sqrt();
        let expected = [-1.5 / s, -0.5 / s, 0.5 / s, 1.5 / s, -1.0, -1.0, 1.0, 1.0];
        y.iter().zip(expected).for_each(|(y, e)| assert!((y - e).abs() < 1e-14, "{y} {e}"));
    }

    #[test]
    fn equal_numbers_give_the_bias_however_large_they_are() {
        let (one, zero) = (Var::constant(Tensor::ones([100])), Var::constant(Tensor::zeros([100])));
        for x in [2.61122f32, 1e-30, 16_777_217.0, -1e30, 3e38] {
            let x = Var::constant(Tensor::full([1, 100], x));
            for twin in [layer_norm, crate::layer_norm_composed] {
                let y = twin(&x, &one, &zero, 1e-5).into_value().to_vec();
                assert!(y.iter().all(|y| y.abs() < 1e-6), "{y:?} of {x:?}");
            }
        }
    }

    #[test]
    fn squares_may_be_out_of_range() {
        let near = |a: &[f32], b: [f32; 2]| {
            assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-6 * b.abs()), "{a:?} {b:?}");
        };
        let (one, zero) = (Var::constant(Tensor::ones([2])), Var::constant(Tensor::zeros([2])));
        for (size, eps) in [(1e25f32, 1e-5), (3e38, 0.0), (1e-25, 0.0), (1.0, 0.0)] {
            let row = [size, -size];
            let tape = Tape::new();
            let x = tape.leaf(Tensor::from_vec([1, 2], row.to_vec()));
            near(&layer_norm(&x, &one, &zero, eps).into_value().to_vec(), [1.0, -1.0]);
            let r = root_mean_square(&x, eps);
            near(&r.value().to_vec(), [size; 2]);
            let g = tape.backward(&r.sum_all());
            near(&g.get(&x).expect("tracked").to_vec(), [0.5, -0.5]);
        }
    }

    #[test]
    fn all_three_inputs_get_their_gradient() {
        let tape: Tape<f64> = Tape::new();
        let x = tape.leaf(Tensor::from_vec([2, 2], vec![0.0, 1.0, 4.0, 2.0]));
        let (w, b) = (tape.leaf(Tensor::ones([2])), tape.leaf(Tensor::zeros([2])));
        let y = layer_norm(&x, &w, &b, 0.0); // rows (−1, 1) and (1, −1)
        let g = tape.backward_with(&y, Tensor::from_vec([2, 2], vec![1.0, 2.0, 3.0, 4.0]));
        assert_eq!(g.get(&w).expect("w").to_vec(), [2.0, -2.0]);
        assert_eq!(g.get(&b).expect("b").to_vec(), [4.0, 6.0]);
        assert!(
            g.get(&x).expect("x").to_vec().iter().all(|dx| dx.abs() < 1e-12),
            "rows of two are signs"
        );
    }
}
