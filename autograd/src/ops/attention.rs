//! Scaled dot-product attention (Vaswani et al. 2017), tiled with an online softmax (Dao et al. 2022).
//!
//! Scores never leave the cache: a tile of queries meets a tile of keys, and running maxima and sums rescale what was
//! accumulated so far. Only the log-sum-exp of each row is saved, in two parts; the backward pass computes the tiles again.
//! Heads are read through strides, wherever a projection left them.

use tensor::{
    Float, LANES, MatMut, MatRef, Packed, Shape, Simd, Tensor, dot_row, fold_lanes, gemm, par,
    sum_row,
};

use super::rotate;
use super::softmax::{LogSum, larger, larger_of, nan, softmax_limit};
use crate::{Op, Var};

/// Queries of a tile, at most.
const QUERIES: usize = 80;
/// Queries of a causal tile, at most: half of its last corner, as many keys as queries, is computed for nothing.
const CAUSAL_QUERIES: usize = 32;
/// Keys of a tile.
const KEYS: usize = 384;

/// What attention may look at.
#[derive(Clone, Debug, Default)]
pub struct Attention<E: Float = f32> {
    /// Query i sees the keys 0 ..= i only. Needs as many keys as queries.
    pub causal: bool,
    /// Added to the scores, broadcast to [B, H, Nq, Nk]; −∞ hides a key. A query that sees no key gives zeros, and so are
    /// its gradients. Hidden values are multiplied by 0, so they have to be finite.
    pub mask: Option<Var<E>>,
    /// Angles of queries and of keys, each broadcast to [B, H, N, D/2], by which they are turned first; see [`rotate`].
    pub angles: Option<[Var<E>; 2]>,
}

/// softmax(q·kᵀ/√D + mask)·v for q [B, H, Nq, D], k [B, H, Nk, D] and v [B, H, Nk, D], in any strides; the result is
/// [B, Nq, H·D], heads side by side.
///
/// With scores s, probabilities p and output o: dv = pᵀ·g, dp = g·vᵀ, ds = p∘(dp − Σ g∘o), dq = ds·k/√D,
/// dk = dsᵀ·q/√D, and ds for the mask, which is the only thing here that takes Nq·Nk numbers.
///
/// A score of +∞ takes all the weight, as in the limit; several have no limit and give NaN, as does a NaN, or −∞ at every
/// key although the mask hides not all of them. The composed twin is [`attention_composed`](crate::attention_composed).
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
    /// Queries of a tile.
    tile_queries: usize,
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
        let mask = options.mask.as_ref().map(Var::value);
        let scores = Shape::new(&[batch, heads, nq, nk]);
        let covers = |mask: &Tensor<E>| mask.shape().broadcast(scores) == Some(scores);
        if let Some(mask) = mask.filter(|mask| !covers(mask)) {
            panic!("attention: a mask {} for scores {scores}", mask.shape());
        }
        let mask = mask.map(|mask| mask.expand(scores));
        let scale = E::from_f64(1.0 / (d as f64).sqrt());
        let most = if options.causal { CAUSAL_QUERIES } else { QUERIES };
        let tile_queries = nq.div_ceil(nq.div_ceil(most).max(1)).max(1);
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
            tile_queries,
            scale,
        }
    }

    fn count(&self) -> usize {
        self.q.dims()[0] * self.heads
    }

    /// The work of so many products for each head, and of one exponential for each score.
    fn work(&self, products: usize) -> usize {
        let score = par::work(&[products, self.d]).saturating_add(par::FUNCTION);
        par::work(&[self.count(), self.nq, self.nk, score])
    }

    /// Rows `start..start + rows` of head `at` as a matrix.
    fn rows<'a>(&self, t: &'a Tensor<E>, at: usize, start: usize, rows: usize) -> MatRef<'a, E> {
        let strides = t.strides();
        let offset = at / self.heads * strides.get(0)
            + at % self.heads * strides.get(1)
            + start * strides.get(2);
        MatRef::new(&t.storage()[offset..], rows, self.d, strides.get(2), 1)
    }

    /// Keys or values, tile by tile, as the right side of products: copied once if several tiles of queries meet them.
    fn tiles<'a>(&self, part: impl Fn(usize, usize) -> MatRef<'a, E>) -> Vec<Packed<'a, E>> {
        let starts = (0..self.nk).step_by(KEYS);
        let parts = starts.map(|first| part(first, KEYS.min(self.nk - first)));
        parts.map(|part| pack_if(self.nq > self.tile_queries, part)).collect()
    }

    /// A recycled buffer for the scores of a tile.
    fn tile(&self) -> Tensor<E> {
        Tensor::build([self.tile_queries, stride(KEYS.min(self.nk))], |_| {})
    }

    /// Keys that some of the queries `start..end` may see, as far as causality goes.
    fn visible(&self, end: usize) -> usize {
        if self.causal { end } else { self.nk }
    }

    /// Whether a query sees no key at all.
    #[cold]
    fn hides_all(&self, at: usize, query: usize) -> bool {
        let seen = self.visible(query + 1);
        let Some(mask) = &self.mask else { return seen == 0 };
        let strides = mask.strides();
        let lead = [at / self.heads, at % self.heads, query];
        let start: usize = lead.iter().enumerate().map(|(axis, i)| i * strides.get(axis)).sum();
        (0..seen).all(|key| mask.storage()[start + key * strides.get(3)] == -E::INFINITY)
    }

    /// Scores of a tile: scale·q·kᵀ + mask, into the rows of `scores`, and −∞ after them up to whole registers.
    fn scores(
        &self,
        at: usize,
        queries: (usize, usize),
        keys: (usize, usize),
        k: &Packed<'_, E>,
        scores: &mut [E],
    ) {
        let (width, stride) = (keys.1.next_multiple_of(LANES), stride(keys.1));
        let q = self.rows(&self.q, at, queries.0, queries.1);
        gemm(
            self.scale,
            q,
            k.first(self.d, keys.1),
            E::ZERO,
            MatMut::new(scores, queries.1, keys.1, stride, 1),
        );
        let rows = || 0..queries.1;
        if keys.1 < width {
            rows().for_each(|i| scores[i * stride..][keys.1..width].fill(-E::INFINITY));
        }
        if let Some(mask) = &self.mask {
            let strides = mask.strides();
            let start = at / self.heads * strides.get(0) + at % self.heads * strides.get(1);
            for i in rows() {
                let at = start + (queries.0 + i) * strides.get(2) + keys.0 * strides.get(3);
                let mask = &mask.storage()[at..];
                for (j, score) in scores[i * stride..][..keys.1].iter_mut().enumerate() {
                    *score += mask[j * strides.get(3)];
                }
            }
        }
        if self.causal {
            for i in rows() {
                let seen = (queries.0 + i + 1).saturating_sub(keys.0).min(keys.1);
                scores[i * stride..][seen..width].fill(-E::INFINITY);
            }
        }
    }

    /// The output [B, Nq, H·D], and the log-sum-exp of the scores of each row in two parts [B·H, 2, Nq].
    fn forward(&self) -> (Tensor<E>, Tensor<E>) {
        let (count, nq, d) = (self.count(), self.nq, self.d);
        let batch = self.q.dims()[0];
        let mut output = Tensor::build([batch, nq, self.heads * d], |_| {});
        let out = output.data_mut();
        let mut row_lse = Tensor::build([count, 2, nq], |_| {});
        let all_lse = row_lse.data_mut();
        for_each_head(
            count,
            self.work(2),
            |at| {
                let mut head = Tensor::build([nq, d + 2], |_| {}); // the output's rows, then the log-sum-exps
                let (rows, lse) = head.data_mut().split_at_mut(nq * d);
                self.forward_head(at, rows, lse);
                head
            },
            |at, head| {
                let (rows, lse) = head.data().split_at(nq * d);
                all_lse[2 * at * nq..2 * (at + 1) * nq].copy_from_slice(lse);
                for (i, row) in rows.chunks(d.max(1)).enumerate() {
                    let to = ((at / self.heads * nq + i) * self.heads + at % self.heads) * d;
                    out[to..to + d].copy_from_slice(row);
                }
            },
        );
        (output, row_lse)
    }

    fn forward_head(&self, at: usize, out: &mut [E], lse: &mut [E]) {
        let (d, tile, mut scores) = (self.d, self.tile_queries, self.tile());
        let scores = scores.data_mut();
        let k_tiles = self.tiles(|first, keys| self.rows(&self.k, at, first, keys).t());
        let v_tiles = self.tiles(|first, keys| self.rows(&self.v, at, first, keys));
        let (tops, rests) = lse.split_at_mut(self.nq);
        let lse = tops.chunks_mut(tile).zip(rests.chunks_mut(tile));
        let mut start = 0;
        for (out, (tops, rests)) in out.chunks_mut((tile * d).max(1)).zip(lse) {
            let queries = tops.len();
            let mut sums = [E::ZERO; QUERIES];
            let mut maxima = [-E::INFINITY; QUERIES];
            let visible = self.visible(start + queries);
            if visible == 0 {
                out.fill(E::ZERO);
            }
            for (first, (k, v)) in (0..visible).step_by(KEYS).zip(k_tiles.iter().zip(&v_tiles)) {
                let keys = KEYS.min(visible - first);
                let (width, stride) = (keys.next_multiple_of(LANES), stride(keys));
                let scores = &mut scores[..queries * stride];
                self.scores(at, (start, queries), (first, keys), k, scores);
                E::vectorize(
                    #[inline(always)]
                    |simd| {
                        for (i, row) in scores.chunks_exact_mut(stride).enumerate() {
                            let row = &mut row[..width];
                            let rescale = online_softmax(row, &mut maxima[i], &mut sums[i], simd);
                            if first > 0 && rescale != E::ONE {
                                for out in &mut out[i * d..(i + 1) * d] {
                                    *out *= rescale;
                                }
                            }
                        }
                    },
                );
                let p = MatRef::new(scores, queries, keys, stride, 1);
                let beta = if first == 0 { E::ZERO } else { E::ONE };
                gemm(E::ONE, p, v.first(keys, d), beta, MatMut::new(out, queries, d, d, 1));
            }
            E::vectorize(
                #[inline(always)]
                |simd| {
                    for i in 0..queries {
                        let mut scale = E::ONE / sums[i];
                        if sums[i] == E::ZERO {
                            let hides = self.hides_all(at, start + i);
                            [scale, sums[i]] = if hides { [E::ZERO; 2] } else { [nan(); 2] };
                        }
                        for out in &mut out[i * d..(i + 1) * d] {
                            *out *= scale;
                        }
                        (tops[i], rests[i]) = (maxima[i], sums[i].ln(simd));
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
            self.work(5),
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
        let rows = |t, first, count| self.rows(t, at, first, count);
        let k_tiles = self.tiles(|first, keys| rows(&self.k, first, keys).t());
        let k_rows = self.tiles(|first, keys| rows(&self.k, first, keys));
        let v_tiles = self.tiles(|first, keys| rows(&self.v, first, keys).t());
        for start in (0..nq).step_by(self.tile_queries) {
            let queries = self.tile_queries.min(nq - start);
            let offset = (at / self.heads * nq + start) * width + at % self.heads * d;
            let (g, output) = (&g[offset..], &output[offset..]);
            let g_rows = MatRef::new(g, queries, d, width, 1);
            let several = self.visible(start + queries) > KEYS;
            let g_packed = pack_if(several, g_rows);
            let q_packed = pack_if(several, rows(&self.q, start, queries));
            let [tops, rests] =
                [0, 1].map(|part| &row_lse[(2 * at + part) * nq + start..][..queries]);
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
            for (tile, first) in (0..visible).step_by(KEYS).enumerate() {
                let keys = KEYS.min(visible - first);
                let (width, stride) = (keys.next_multiple_of(LANES), stride(keys));
                let (p, ds) = (&mut p[..queries * stride], &mut ds[..queries * stride]);
                self.scores(at, (start, queries), (first, keys), &k_tiles[tile], p);
                let dp = MatMut::new(ds, queries, keys, stride, 1);
                gemm(E::ONE, g_rows, v_tiles[tile].first(d, keys), E::ZERO, dp);
                E::vectorize(
                    #[inline(always)]
                    |simd| {
                        let rows = p.chunks_exact_mut(stride).zip(ds.chunks_exact_mut(stride));
                        for (i, (p, ds)) in rows.enumerate() {
                            let (p, ds) = (&mut p[..width], &mut ds[..width]);
                            let (max, rest, delta) = (tops[i], rests[i], deltas[i]);
                            if max.is_finite() {
                                for p in p.iter_mut() {
                                    *p = (*p - max - rest).exp_nonpositive(simd);
                                }
                            } else {
                                weights_of_limit(p, LogSum { max, rest });
                            }
                            for (p, ds) in p.iter().zip(ds) {
                                *ds = *p * (*ds - delta);
                            }
                        }
                    },
                );
                if self.differentiates_mask {
                    for (i, ds) in ds.chunks_exact(stride).enumerate() {
                        let to = (start + i) * self.nk + first;
                        mask[to..to + keys].copy_from_slice(&ds[..keys]);
                    }
                }
                let (p, ds) = (
                    MatRef::new(p, queries, keys, stride, 1),
                    MatRef::new(ds, queries, keys, stride, 1),
                );
                let beta = |first: bool| if first { E::ZERO } else { E::ONE };
                let first_queries = beta(start == 0 && !accumulates);
                let dv = MatMut::new(&mut dv[first * d..], keys, d, d, 1);
                gemm(E::ONE, p.t(), &g_packed, first_queries, dv);
                let dq = MatMut::new(&mut dq[start * d..], queries, d, d, 1);
                gemm(self.scale, ds, k_rows[tile].first(keys, d), beta(first == 0), dq);
                let dk = MatMut::new(&mut dk[first * d..], keys, d, d, 1);
                gemm(self.scale, ds.t(), &q_packed, first_queries, dk);
            }
        }
    }
}

/// Numbers from one row of scores to the next: an odd number of cache lines, since rows that lie at a power of two from
/// each other share few places of the cache.
fn stride(keys: usize) -> usize {
    (keys.div_ceil(LANES) | 1) * LANES
}

/// A matrix as the right side of one or of several products.
fn pack_if<E: Float>(several: bool, matrix: MatRef<'_, E>) -> Packed<'_, E> {
    if several { Packed::new(matrix) } else { Packed::plain(matrix) }
}

/// Replaces a row of scores, whole registers, by e^(score − maximum so far), updates maximum and sum, and returns the factor that brings
/// what was accumulated before to the new maximum.
#[inline(always)]
fn online_softmax<E: Float>(row: &mut [E], max: &mut E, sum: &mut E, simd: Simd) -> E {
    let mut maxima = [-E::INFINITY; LANES];
    for chunk in row.chunks_exact(LANES) {
        larger(&mut maxima, chunk);
    }
    let new_max = larger_of(fold_lanes(maxima, larger_of), *max);
    if !new_max.is_finite() {
        return online_limit(row, new_max, max, sum);
    }
    // Before the first score there is nothing to bring anywhere, but maybe a NaN, which the sum keeps.
    let same = *max == new_max || *max == -E::INFINITY;
    let rescale = if same { E::ONE } else { (*max - new_max).exp(simd) };
    let mut sums = [E::ZERO; LANES];
    for chunk in row.chunks_exact_mut(LANES) {
        for (x, sum) in chunk.iter_mut().zip(&mut sums) {
            *x = (*x - new_max).exp_nonpositive(simd);
            *sum += *x;
        }
    }
    *sum = *sum * rescale + sum_row(&sums);
    *max = new_max;
    rescale
}

/// [`online_softmax`] if the largest score so far is infinite.
#[cold]
#[inline(never)]
fn online_limit<E: Float>(row: &mut [E], new_max: E, max: &mut E, sum: &mut E) -> E {
    let of_row = softmax_limit(row);
    let before = if *max == new_max { *sum } else { *sum * E::ZERO };
    let rescale = if *max == new_max { E::ONE } else { E::ZERO };
    *max = new_max;
    *sum = before + of_row;
    if *sum > E::ONE {
        *sum = nan(); // one +∞ more
    }
    rescale
}

/// Replaces the scores of a row whose largest is infinite by their weights.
#[cold]
#[inline(never)]
fn weights_of_limit<E: Float>(row: &mut [E], LogSum { max, rest }: LogSum<E>) {
    for p in row {
        *p = match () {
            () if rest == -E::INFINITY => E::ZERO, // nothing is seen
            () if *p == max => (E::ZERO - rest) + E::ONE,
            () => E::ZERO * rest,
        };
    }
}

/// Computes each head, on all threads if so much work in all pays for it, and hands the results over in order.
fn for_each_head<R: Send>(
    count: usize,
    work: usize,
    compute: impl Fn(usize) -> R + Sync + Send,
    mut put: impl FnMut(usize, R),
) {
    if par::splits(work) {
        par::map_ranges(count, 1, work, |at| compute(at.start))
            .into_iter()
            .enumerate()
            .for_each(|(at, r)| put(at, r));
    } else {
        (0..count).for_each(|at| put(at, compute(at)));
    }
}
