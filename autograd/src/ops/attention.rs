//! Scaled dot-product attention (Vaswani et al. 2017), tiled with an online softmax (Dao et al. 2022).
//!
//! Scores never leave the cache: a tile of queries meets a tile of keys, and running maxima and sums rescale what was
//! accumulated so far. Only the log-sum-exp of each row is saved; the backward pass computes the tiles again. Heads are
//! read through strides, wherever a projection left them.

use tensor::{Float, LANES, MatMut, MatRef, Simd, Tensor, dot_row, par, sum_row};

use super::rotate;
use super::softmax::max_of;
use crate::{Op, Var};

/// Queries of a tile.
const QUERIES: usize = 64;
/// Keys of a tile.
const KEYS: usize = 128;

/// What attention may look at.
#[derive(Clone, Debug, Default)]
pub struct Attention<E: Float = f32> {
    /// Query i sees the keys 0 ..= i only. Needs as many keys as queries.
    pub causal: bool,
    /// Added to the scores, broadcast to [B, H, Nq, Nk]; −∞ hides a key. A query that sees no key gives zeros.
    pub mask: Option<Var<E>>,
    /// Angles of queries and of keys, each broadcast to [B, H, N, D/2], by which they are turned first; see [`rotate`].
    pub angles: Option<[Var<E>; 2]>,
}

/// softmax(q·kᵀ/√D + mask)·v for q [B, H, Nq, D], k [B, H, Nk, D] and v [B, H, Nk, D], in any strides; the result is
/// [B, Nq, H·D], heads side by side.
///
/// With scores s, probabilities p and output o: dv = pᵀ·g, dp = g·vᵀ, ds = p∘(dp − Σ g∘o), dq = ds·k/√D,
/// dk = dsᵀ·q/√D, and ds for the mask, which is the only thing here that takes Nq·Nk numbers. The composed twin is [`attention_composed`](crate::attention_composed).
///
/// # Panics
/// If the shapes disagree.
#[track_caller]
pub fn attention<E: Float>(q: &Var<E>, k: &Var<E>, v: &Var<E>, options: &Attention<E>) -> Var<E> {
    if let Some([of_q, of_k]) = &options.angles {
        let options = Attention { angles: None, ..options.clone() };
        return attention(&rotate(q, of_q), &rotate(k, of_k), v, &options);
    }
    let task = Task::new(q.value(), k.value(), v.value(), options);
    let (output, row_lse) = task.forward();
    let saved = output.clone();
    let (shape_q, shape_k) = (q.shape(), k.shape());
    let vjp = move |g: Tensor<E>| {
        let (mut dq, mut dk, mut dv) = (
            Tensor::build(shape_q, |_| {}),
            Tensor::build(shape_k, |_| {}),
            Tensor::build(shape_k, |_| {}),
        );
        let [q_out, k_out, v_out] = [&mut dq, &mut dk, &mut dv].map(|t| t.data_mut());
        let (q_len, k_len) = (task.nq * task.d, task.nk * task.d);
        let mask = task.backward(&g, &saved, &row_lse, |at, [dq, dk, dv]| {
            q_out[at * q_len..(at + 1) * q_len].copy_from_slice(dq);
            k_out[at * k_len..(at + 1) * k_len].copy_from_slice(dk);
            v_out[at * k_len..(at + 1) * k_len].copy_from_slice(dv);
        });
        ([dq, dk, dv], mask)
    };
    let op = Op::new("attention", output);
    match options.tracked_mask() {
        Some(mask) => op.wrt_all([q, k, v, mask], move |g| {
            let ([dq, dk, dv], mask) = vjp(g);
            [dq, dk, dv, mask]
        }),
        None => op.wrt_all([q, k, v], move |g| vjp(g).0),
    }
    .record()
}

/// [`attention`] of a packed projection qkv [B, N, 3·H·D], laid out as [B, N, 3, H, D]; the result is [B, N, H·D].
///
/// # Panics
/// If the last axis is not divisible by 3·heads.
#[track_caller]
pub fn self_attention<E: Float>(qkv: &Var<E>, heads: usize, options: &Attention<E>) -> Var<E> {
    let &[batch, n, packed] = qkv.dims() else {
        panic!("self_attention: [B, N, 3·H·D] expected, found {}", qkv.shape())
    };
    let divides = heads > 0 && packed.is_multiple_of(3 * heads);
    assert!(divides, "self_attention: {packed} features are not 3 times {heads} heads");
    let d = packed / (3 * heads);
    if options.angles.is_some() {
        let parts = qkv.reshape([batch, n, 3, heads, d]).permute(&[2, 0, 3, 1, 4]);
        let part = |i: usize| parts.narrow(0, i, 1).squeeze(0);
        return attention(&part(0), &part(1), &part(2), options);
    }
    let parts = qkv.value().reshape([batch, n, 3, heads, d]).permute(&[2, 0, 3, 1, 4]);
    let part = |i: usize| parts.narrow(0, i, 1).squeeze(0);
    let task = Task::new(&part(0), &part(1), &part(2), options);
    let (output, row_lse) = task.forward();
    let saved = output.clone();
    let vjp = move |g: Tensor<E>| {
        let mut mask = Tensor::scalar(E::ZERO);
        let dqkv = Tensor::build([batch, n, packed], |out| {
            mask = task.backward(&g, &saved, &row_lse, |at, parts| {
                let (image, head) = (at / heads, at % heads);
                for (which, part) in parts.into_iter().enumerate() {
                    for (i, row) in part.chunks(d.max(1)).enumerate() {
                        let to = (image * n + i) * packed + (which * heads + head) * d;
                        out[to..to + d].copy_from_slice(row);
                    }
                }
            });
        });
        [dqkv, mask]
    };
    let op = Op::new("self_attention", output);
    match options.tracked_mask() {
        Some(mask) => op.wrt_all([qkv, mask], vjp),
        None => op.wrt(qkv, move |g| {
            let [dqkv, _] = vjp(g);
            dqkv
        }),
    }
    .record()
}

impl<E: Float> Attention<E> {
    fn tracked_mask(&self) -> Option<&Var<E>> {
        self.mask.as_ref().filter(|mask| mask.is_tracked())
    }
}

/// Sizes and operands of one attention.
struct Task<E: Float> {
    q: Tensor<E>,
    k: Tensor<E>,
    v: Tensor<E>,
    mask: Option<Tensor<E>>,
    /// Whether the backward pass returns the gradient of the mask.
    differentiates_mask: bool,
    causal: bool,
    heads: usize,
    nq: usize,
    nk: usize,
    d: usize,
    scale: E,
}

impl<E: Float> Task<E> {
    #[track_caller]
    fn new(q: &Tensor<E>, k: &Tensor<E>, v: &Tensor<E>, options: &Attention<E>) -> Self {
        let (&[batch, heads, nq, d], Some(&nk)) = (q.dims(), k.dims().get(2)) else {
            panic!("attention: [B, H, N, D] expected, found q {}, k {}", q.shape(), k.shape())
        };
        let fits = k.dims() == [batch, heads, nk, d] && v.shape() == k.shape();
        assert!(fits, "attention: q {}, k {}, v {}", q.shape(), k.shape(), v.shape());
        assert!(!options.causal || nq == nk, "attention: causal with {nq} queries and {nk} keys");
        let mask = options.mask.as_ref().map(|mask| mask.value().expand([batch, heads, nq, nk]));
        let scale = E::from_f64(1.0 / (d as f64).sqrt());
        // Rows must be contiguous; any other stride is read in place.
        let rows = |t: &Tensor<E>| {
            if d == 1 || t.strides().get(3) == 1 { t.clone() } else { t.contiguous() }
        };
        Self {
            q: rows(q),
            k: rows(k),
            v: rows(v),
            mask,
            differentiates_mask: options.tracked_mask().is_some(),
            causal: options.causal,
            heads,
            nq,
            nk,
            d,
            scale,
        }
    }

    fn count(&self) -> usize {
        self.q.dims()[0] * self.heads
    }

    /// Rows `start..start + rows` of head `at` as a matrix.
    fn rows<'a>(&self, t: &'a Tensor<E>, at: usize, start: usize, rows: usize) -> MatRef<'a, E> {
        let strides = t.strides();
        let offset = at / self.heads * strides.get(0)
            + at % self.heads * strides.get(1)
            + start * strides.get(2);
        MatRef::new(&t.storage()[offset..], rows, self.d, strides.get(2), 1)
    }

    /// A recycled buffer for the scores of a tile.
    fn tile(&self) -> Tensor<E> {
        let width = KEYS.min(self.nk).next_multiple_of(LANES);
        Tensor::build([QUERIES.min(self.nq), width], |_| {})
    }

    /// Keys that some of the queries `start..end` may see, as far as causality goes.
    fn visible(&self, end: usize) -> usize {
        if self.causal { end } else { self.nk }
    }

    /// Scores of a tile: scale·q·kᵀ + mask, into the rows of `scores`, and −∞ after them.
    ///
    /// Rows start at multiples of `LANES`, so that loops over them need no remainder.
    fn scores(&self, at: usize, queries: (usize, usize), keys: (usize, usize), scores: &mut [E]) {
        let width = keys.1.next_multiple_of(LANES);
        let (q, k) =
            (self.rows(&self.q, at, queries.0, queries.1), self.rows(&self.k, at, keys.0, keys.1));
        tensor::gemm(
            self.scale,
            q,
            k.t(),
            E::ZERO,
            MatMut::new(scores, queries.1, keys.1, width, 1),
        );
        scores.chunks_mut(width).for_each(|row| row[keys.1..].fill(-E::INFINITY));
        if let Some(mask) = &self.mask {
            let strides = mask.strides();
            let start = at / self.heads * strides.get(0) + at % self.heads * strides.get(1);
            for (i, row) in scores.chunks_mut(width).enumerate() {
                let at = start + (queries.0 + i) * strides.get(2) + keys.0 * strides.get(3);
                let mask = &mask.storage()[at..];
                for (j, score) in row[..keys.1].iter_mut().enumerate() {
                    *score += mask[j * strides.get(3)];
                }
            }
        }
        if self.causal {
            for (i, row) in scores.chunks_mut(width).enumerate() {
                let seen = (queries.0 + i + 1).saturating_sub(keys.0).min(keys.1);
                row[seen..].fill(-E::INFINITY);
            }
        }
    }

    /// The output [B, Nq, H·D], and the log-sum-exp of the scores of each row [B·H, Nq].
    fn forward(&self) -> (Tensor<E>, Tensor<E>) {
        let (count, nq, d) = (self.count(), self.nq, self.d);
        let batch = self.q.dims()[0];
        let mut output = Tensor::build([batch, nq, self.heads * d], |_| {});
        let out = output.data_mut();
        let mut row_lse = Tensor::build([count, nq], |_| {});
        let all_lse = row_lse.data_mut();
        for_each_head(
            count,
            |at| {
                let mut head = Tensor::build([nq, d + 1], |_| {}); // the output's rows, then the log-sum-exps
                let (rows, lse) = head.data_mut().split_at_mut(nq * d);
                self.forward_head(at, rows, lse);
                head
            },
            |at, head| {
                let (rows, lse) = head.data().split_at(nq * d);
                all_lse[at * nq..(at + 1) * nq].copy_from_slice(lse);
                for (i, row) in rows.chunks(d.max(1)).enumerate() {
                    let to = ((at / self.heads * nq + i) * self.heads + at % self.heads) * d;
                    out[to..to + d].copy_from_slice(row);
                }
            },
        );
        (output, row_lse)
    }

    fn forward_head(&self, at: usize, out: &mut [E], lse: &mut [E]) {
        let (d, mut scores) = (self.d, self.tile());
        let scores = scores.data_mut();
        let mut start = 0;
        for (out, lse) in out.chunks_mut((QUERIES * d).max(1)).zip(lse.chunks_mut(QUERIES)) {
            let queries = lse.len();
            let mut sums = [E::ZERO; QUERIES];
            let mut maxima = [-E::INFINITY; QUERIES];
            let visible = self.visible(start + queries);
            if visible == 0 {
                out.fill(E::ZERO);
            }
            for first in (0..visible).step_by(KEYS) {
                let keys = KEYS.min(visible - first);
                let width = keys.next_multiple_of(LANES);
                let scores = &mut scores[..queries * width];
                self.scores(at, (start, queries), (first, keys), scores);
                E::vectorize(
                    #[inline(always)]
                    |simd| {
                        for (i, row) in scores.chunks_exact_mut(width).enumerate() {
                            let rescale = online_softmax(row, &mut maxima[i], &mut sums[i], simd);
                            if first > 0 && rescale != E::ONE {
                                for out in &mut out[i * d..(i + 1) * d] {
                                    *out *= rescale;
                                }
                            }
                        }
                    },
                );
                let (p, v) = (
                    MatRef::new(scores, queries, keys, width, 1),
                    self.rows(&self.v, at, first, keys),
                );
                let beta = if first == 0 { E::ZERO } else { E::ONE };
                tensor::gemm(E::ONE, p, v, beta, MatMut::new(out, queries, d, d, 1));
            }
            E::vectorize(
                #[inline(always)]
                |simd| {
                    for i in 0..queries {
                        let scale = if sums[i] > E::ZERO { E::ONE / sums[i] } else { E::ZERO };
                        for out in &mut out[i * d..(i + 1) * d] {
                            *out *= scale;
                        }
                        lse[i] = maxima[i] + sums[i].ln(simd);
                    }
                },
            );
            start += queries;
        }
    }

    /// Calls `put(head, [dq, dk, dv])` for each head in order, each part [N, D]; returns the gradient of the mask
    /// [B, H, Nq, Nk] if it has one.
    fn backward(
        &self,
        g: &Tensor<E>,
        output: &Tensor<E>,
        row_lse: &Tensor<E>,
        mut put: impl FnMut(usize, [&[E]; 3]),
    ) -> Tensor<E> {
        let (nq, nk, d) = (self.nq, self.nk, self.d);
        let g = g.contiguous();
        let scores = if self.differentiates_mask { nq * nk } else { 0 };
        let shape = [self.q.dims()[0], self.heads, nq, nk];
        let mut mask =
            if scores > 0 { Tensor::build(shape, |_| {}) } else { Tensor::scalar(E::ZERO) };
        let mask_out = mask.data_mut();
        for_each_head(
            self.count(),
            |at| {
                Tensor::build([(nq + 2 * nk) * d + scores], |parts| {
                    self.backward_head(at, g.data(), output.data(), row_lse.data(), parts);
                })
            },
            |at, parts| {
                let (dq, rest) = parts.data().split_at(nq * d);
                let (dk, rest) = rest.split_at(nk * d);
                let (dv, ds) = rest.split_at(nk * d);
                put(at, [dq, dk, dv]);
                mask_out[at * scores..(at + 1) * scores].copy_from_slice(ds);
            },
        );
        if self.differentiates_mask && scores == 0 { Tensor::zeros(shape) } else { mask }
    }

    fn backward_head(&self, at: usize, g: &[E], output: &[E], row_lse: &[E], parts: &mut [E]) {
        let (nq, d, width) = (self.nq, self.d, self.heads * self.d);
        let (dq, rest) = parts.split_at_mut(nq * d);
        let (dk, rest) = rest.split_at_mut(self.nk * d);
        let (dv, mask) = rest.split_at_mut(self.nk * d);
        if self.causal {
            mask.fill(E::ZERO);
        }
        // The first tile that adds to a row overwrites it instead. A causal tile reaches only some rows of its keys.
        let accumulates = self.causal || nq == 0;
        if accumulates {
            dk.fill(E::ZERO);
            dv.fill(E::ZERO);
        }
        if self.nk == 0 {
            dq.fill(E::ZERO);
        }
        let (mut p, mut ds) = (self.tile(), self.tile());
        let (p, ds) = (p.data_mut(), ds.data_mut());
        for start in (0..nq).step_by(QUERIES) {
            let queries = QUERIES.min(nq - start);
            let offset = (at / self.heads * nq + start) * width + at % self.heads * d;
            let (g, output) = (&g[offset..], &output[offset..]);
            let g_rows = MatRef::new(g, queries, d, width, 1);
            let lse = &row_lse[at * nq + start..][..queries];
            let mut deltas = [E::ZERO; QUERIES]; // Σ g∘o = Σ p∘dp of each row
            E::vectorize(
                #[inline(always)]
                |simd| {
                    for (i, delta) in deltas[..queries].iter_mut().enumerate() {
                        let row = i * width..i * width + d;
                        *delta = dot_row(&g[row.clone()], &output[row], simd);
                    }
                },
            );
            let visible = self.visible(start + queries);
            for first in (0..visible).step_by(KEYS) {
                let keys = KEYS.min(visible - first);
                let width = keys.next_multiple_of(LANES);
                let (p, ds) = (&mut p[..queries * width], &mut ds[..queries * width]);
                self.scores(at, (start, queries), (first, keys), p);
                let (k, v) =
                    (self.rows(&self.k, at, first, keys), self.rows(&self.v, at, first, keys));
                tensor::gemm(
                    E::ONE,
                    g_rows,
                    v.t(),
                    E::ZERO,
                    MatMut::new(ds, queries, keys, width, 1),
                );
                E::vectorize(
                    #[inline(always)]
                    |simd| {
                        let rows = p.chunks_exact_mut(width).zip(ds.chunks_exact_mut(width));
                        for (i, (p, ds)) in rows.enumerate() {
                            let (lse, delta) = (lse[i], deltas[i]);
                            if lse == -E::INFINITY {
                                p.fill(-E::INFINITY); // a row that sees nothing: −∞ − 0, not −∞ + ∞
                            }
                            let lse = if lse == -E::INFINITY { E::ZERO } else { lse };
                            for (p, ds) in p.iter_mut().zip(ds) {
                                *p = (*p - lse).exp(simd);
                                *ds = *p * (*ds - delta);
                            }
                        }
                    },
                );
                if self.differentiates_mask {
                    for (i, ds) in ds.chunks_exact(width).enumerate() {
                        let to = (start + i) * self.nk + first;
                        mask[to..to + keys].copy_from_slice(&ds[..keys]);
                    }
                }
                let (p, ds) = (
                    MatRef::new(p, queries, keys, width, 1),
                    MatRef::new(ds, queries, keys, width, 1),
                );
                let beta = |first: bool| if first { E::ZERO } else { E::ONE };
                let first_queries = beta(start == 0 && !accumulates);
                let dv = &mut dv[first * d..(first + keys) * d];
                tensor::gemm(E::ONE, p.t(), g_rows, first_queries, MatMut::new(dv, keys, d, d, 1));
                let dq = &mut dq[start * d..(start + queries) * d];
                tensor::gemm(
                    self.scale,
                    ds,
                    k,
                    beta(first == 0),
                    MatMut::new(dq, queries, d, d, 1),
                );
                let dk = &mut dk[first * d..(first + keys) * d];
                let q = self.rows(&self.q, at, start, queries);
                tensor::gemm(self.scale, ds.t(), q, first_queries, MatMut::new(dk, keys, d, d, 1));
            }
        }
    }
}

/// Replaces a row of scores by e^(score − maximum so far), updates maximum and sum, and returns the factor that brings
/// what was accumulated before to the new maximum.
#[inline(always)]
fn online_softmax<E: Float>(row: &mut [E], max: &mut E, sum: &mut E, simd: Simd) -> E {
    let new_max = max_of(row).max(*max);
    if new_max == -E::INFINITY {
        row.fill(E::ZERO);
        return E::ONE;
    }
    // Before the first score there is nothing to bring anywhere.
    let same = *max == new_max || *max == -E::INFINITY;
    let rescale = if same { E::ONE } else { (*max - new_max).exp(simd) };
    for x in row.iter_mut() {
        *x = (*x - new_max).exp(simd);
    }
    *sum = *sum * rescale + sum_row(row);
    *max = new_max;
    rescale
}

/// Computes each head, on all threads if the loop may split, and hands the results over in order.
fn for_each_head<R: Send>(
    count: usize,
    compute: impl Fn(usize) -> R + Sync + Send,
    mut put: impl FnMut(usize, R),
) {
    if par::may_split() {
        par::map_ranges(count, 1, |at| compute(at.start))
            .into_iter()
            .enumerate()
            .for_each(|(at, r)| put(at, r));
    } else {
        (0..count).for_each(|at| put(at, compute(at)));
    }
}
