//! Multi-head attention (Vaswani et al. 2017).

use autograd::{Attention, Var, attention, attention_weights, self_attention};
use tensor::Float;

use super::{KeyValues, Linear};
use crate::{Context, Init};

/// Multi-head self-attention with one packed projection. Parameters: those of `qkv` (dim → 3·dim, laid out q, k, v and
/// heads inside each) and `proj`.
#[derive(Clone, Debug)]
pub struct SelfAttention {
    qkv: Linear,
    proj: Linear,
    heads: usize,
}

impl SelfAttention {
    /// # Panics
    /// If dim is not divisible by heads.
    #[track_caller]
    pub fn new(init: &mut Init<'_>, dim: usize, heads: usize) -> Self {
        assert!(
            heads > 0 && dim.is_multiple_of(heads),
            "attention: {dim} features in {heads} heads"
        );
        let qkv = Linear::new(&mut init.scope("qkv"), dim, 3 * dim);
        let proj = Linear::new(&mut init.scope("proj"), dim, dim);
        Self { qkv, proj, heads }
    }

    /// x [B, N, dim] → [B, N, dim].
    #[track_caller]
    pub fn forward<E: Float>(
        &self,
        cx: &Context<'_, E>,
        x: &Var<E>,
        options: &Attention<E>,
    ) -> Var<E> {
        self.forward_add(cx, x, options, None)
    }

    /// What [`forward`](Self::forward) gives, and the residual [B, N, dim] added if there is one.
    #[track_caller]
    pub(super) fn forward_add<E: Float>(
        &self,
        cx: &Context<'_, E>,
        x: &Var<E>,
        options: &Attention<E>,
        residual: Option<&Var<E>>,
    ) -> Var<E> {
        let y = self_attention(&self.qkv.forward(cx, x), self.heads, options);
        self.proj.forward_add(cx, &y, residual)
    }

    /// The first `count` tokens of what [`forward`](Self::forward) gives, without computing the others:
    /// x [B, N, dim] → [B, count, dim].
    ///
    /// # Panics
    /// If there are fewer tokens, or if some but not all are asked of a causal attention.
    #[track_caller]
    pub fn forward_first<E: Float>(
        &self,
        cx: &Context<'_, E>,
        x: &Var<E>,
        count: usize,
        options: &Attention<E>,
    ) -> Var<E> {
        let dim = x.value().dim(-1);
        let part = |x: &Var<E>, i: usize| {
            split_heads(&self.qkv.forward_part(cx, x, i * dim..(i + 1) * dim), self.heads)
        };
        let (q, k, v) = (part(&x.narrow(1, 0, count), 0), part(x, 1), part(x, 2));
        self.proj.forward(cx, &attention(&q, &k, &v, &of_first(options, count)))
    }

    /// Where each token looks, x [B, N, dim] → [B, H, N, N]: the probabilities of [`forward`](Self::forward), written down. For
    /// pictures; N² numbers for each head are what the fused op avoids.
    #[track_caller]
    pub fn weights<E: Float>(
        &self,
        cx: &Context<'_, E>,
        x: &Var<E>,
        options: &Attention<E>,
    ) -> Var<E> {
        let dim = x.value().dim(-1);
        let part = |i: usize| {
            split_heads(&self.qkv.forward_part(cx, x, i * dim..(i + 1) * dim), self.heads)
        };
        attention_weights(&part(0), &part(1), options)
    }

    /// The next token of a sequence that is decoded: x [B, 1, dim], which sees itself and the tokens in `cache`. `options` is
    /// that of the whole sequence.
    #[track_caller]
    pub fn forward_next<E: Float>(
        &self,
        cx: &Context<'_, E>,
        x: &Var<E>,
        cache: &mut KeyValues<E>,
        options: &Attention<E>,
    ) -> Var<E> {
        let dim = x.value().dim(-1);
        let qkv = self.qkv.forward(cx, x);
        let part = |i: usize| split_heads(&qkv.narrow(-1, i * dim, dim), self.heads);
        let y = cache.attend([&part(0), &part(1), &part(2)], options);
        self.proj.forward(cx, &y)
    }

    /// Room for the keys and values of a sequence.
    pub fn cache<E: Float>(&self, batch: usize, places: usize, dim: usize) -> KeyValues<E> {
        KeyValues::new(batch, self.heads, places, dim / self.heads)
    }
}

/// What the first `count` queries may look at, of what all may.
#[track_caller]
fn of_first<E: Float>(options: &Attention<E>, count: usize) -> Attention<E> {
    assert!(!options.causal, "attention: the first {count} queries of a causal one");
    let rows = |x: &Var<E>| match x.shape().rank() > 1 && x.value().dim(-2) > 1 {
        true => x.narrow(-2, 0, count),
        false => x.clone(),
    };
    let angles = options.angles.as_ref().map(|[q, k]| [rows(q), k.clone()]);
    Attention { causal: false, mask: options.mask.as_ref().map(rows), angles }
}

/// y [B, N, dim] → [B, H, N, dim/H].
#[track_caller]
fn split_heads<E: Float>(y: &Var<E>, heads: usize) -> Var<E> {
    let &[batch, n, dim] = y.dims() else {
        panic!("attention: [B, N, dim] expected, found {}", y.shape())
    };
    y.reshape([batch, n, heads, dim / heads]).transpose(1, 2)
}

/// Multi-head attention whose queries, keys and values come from inputs of their own: cross-attention, or
/// self-attention with positions added to q and k only. Parameters: those of `q`, `k`, `v` and `proj`.
#[derive(Clone, Debug)]
pub struct MultiHeadAttention {
    q: Linear,
    k: Linear,
    v: Linear,
    proj: Linear,
    heads: usize,
}

impl MultiHeadAttention {
    /// # Panics
    /// If dim is not divisible by heads.
    #[track_caller]
    pub fn new(init: &mut Init<'_>, dim: usize, heads: usize) -> Self {
        assert!(
            heads > 0 && dim.is_multiple_of(heads),
            "attention: {dim} features in {heads} heads"
        );
        let mut layer = |name| Linear::new(&mut init.scope(name), dim, dim);
        Self { q: layer("q"), k: layer("k"), v: layer("v"), proj: layer("proj"), heads }
    }

    /// q [B, Nq, dim], k and v [B, Nk, dim] → [B, Nq, dim].
    ///
    /// # Panics
    /// If the shapes disagree.
    #[track_caller]
    pub fn forward<E: Float>(
        &self,
        cx: &Context<'_, E>,
        [q, k, v]: [&Var<E>; 3],
        options: &Attention<E>,
    ) -> Var<E> {
        let heads = |layer: &Linear, x: &Var<E>| split_heads(&layer.forward(cx, x), self.heads);
        let y = attention(&heads(&self.q, q), &heads(&self.k, k), &heads(&self.v, v), options);
        self.proj.forward(cx, &y)
    }
}
