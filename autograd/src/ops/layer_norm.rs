//! Layer normalisation (Ba, Kiros and Hinton 2016) over the last axis.

use tensor::{Float, Simd, Tensor, par, sum_row};

use crate::{Op, Var};

/// Rows that one task computes; also the rows of one partial sum of dw and db.
const ROWS: usize = 256;

/// yᵢ = x̂ᵢ wᵢ + bᵢ with x̂ = (x − mean x) / √(var x + eps), mean and (biased) variance over the last axis; x [… n],
/// w `[n]`, b `[n]`.
///
/// dw = Σ g·x̂ and db = Σ g over all leading axes; with h = g·w, dx = (h − mean h − x̂·mean(h·x̂)) / √(var x + eps).
/// Saved: x, and mean and 1/√(var + eps) of each row. The composed twin is
/// [`layer_norm_composed`](crate::layer_norm_composed).
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
    let mut statistics = vec![(E::ZERO, E::ZERO); rows];
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
                        *out = row_statistics(x, eps);
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
                        for ((out, x), &(mean, rstd)) in rows.zip(&statistics[start / n.max(1)..]) {
                            for (((out, x), w), b) in out.iter_mut().zip(x).zip(w).zip(b) {
                                *out = (*x - mean) * rstd * *w + *b;
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

/// Mean and 1/√(variance + eps) of a row, in two passes.
#[inline(always)]
fn row_statistics<E: Float>(x: &[E], eps: E) -> (E, E) {
    let scale = E::ONE / E::from_f64(x.len() as f64);
    let mean = sum_row(x) * scale;
    let variance = sum_by(
        x.len(),
        #[inline(always)]
        |i| (x[i] - mean) * (x[i] - mean),
    ) * scale;
    (mean, E::ONE / (variance + eps).sqrt())
}

/// Replaces the rows of `g` by those of dx and adds [dw, db] of these rows to `sums`.
#[inline(always)]
fn backward_rows<E: Float>(
    g: &mut [E],
    sums: &mut [E],
    x: &[E],
    w: &[E],
    statistics: &[(E, E)],
    simd: Simd,
) {
    let n = w.len();
    let scale = E::ONE / E::from_f64(n as f64);
    let (dw, db) = sums.split_at_mut(n);
    for ((g, x), &(mean, rstd)) in g.chunks_mut(n.max(1)).zip(x.chunks(n.max(1))).zip(statistics) {
        // In the forward pass: x̂ = (x − mean)·rstd, y = x̂·w + b.
        let (mut h_sum, mut hx_sum) = ([E::ZERO; 16], [E::ZERO; 16]);
        let mut at = 0;
        while at < n {
            let end = n.min(at + 16);
            let lanes = h_sum.iter_mut().zip(&mut hx_sum).zip(&g[at..end]).zip(&x[at..end]);
            let lanes = lanes.zip(&w[at..end]).zip(dw[at..end].iter_mut().zip(&mut db[at..end]));
            for (((((h_sum, hx_sum), g), x), w), (dw, db)) in lanes {
                let (x_hat, h) = ((*x - mean) * rstd, *g * *w);
                *h_sum += h;
                *hx_sum = h.mul_add(x_hat, *hx_sum, simd);
                *dw = g.mul_add(x_hat, *dw, simd);
                *db += *g;
            }
            at = end;
        }
        let (h_mean, hx_mean) = (sum_row(&h_sum) * scale, sum_row(&hx_sum) * scale);
        for ((g, x), w) in g.iter_mut().zip(x).zip(w) {
            let x_hat = (*x - mean) * rstd;
            *g = (*g * *w - h_mean - x_hat * hx_mean) * rstd;
        }
    }
}

/// Σ f(i) for i in 0..n, with sixteen running sums.
#[inline(always)]
fn sum_by<E: Float>(n: usize, f: impl Fn(usize) -> E) -> E {
    let mut sums = [E::ZERO; 16];
    let whole = n / 16 * 16;
    let mut at = 0;
    while at < whole {
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum += f(at + lane);
        }
        at += 16;
    }
    for i in whole..n {
        sums[i - whole] += f(i);
    }
    sum_row(&sums)
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
