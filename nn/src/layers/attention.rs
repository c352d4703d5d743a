//! Multi-head attention (Vaswani et al. 2017).

use autograd::{Attention, Var, attention, attention_weights, self_attention};
use tensor::Float;

use super::cache::part;
use super::{KeyValues, Linear};
use crate::{Context, Init};

/// Multi-head self-attention with one packed projection. Parameters: those of `qkv` (dim → 3·dim, laid out q, k, v and
/// heads inside each, at first as three layers dim → dim) and `proj`.
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
        Self::with(init, dim, heads, true)
    }

    /// The same, where `qkv` has a bias or none.
    ///
    /// # Panics
    /// If dim is not divisible by heads.
    #[track_caller]
    pub fn with(init: &mut Init<'_>, dim: usize, heads: usize, qkv_bias: bool) -> Self {
        assert!(
            dim > 0 && heads > 0 && dim.is_multiple_of(heads),
            "attention: {dim} features in {heads} heads"
        );
        let fill = Linear::glorot(dim, dim);
        let packed = dim.saturating_mul(3);
        let qkv = Linear::with(&mut init.scope("qkv"), dim, packed, fill, qkv_bias);
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
        self.qkv.expect_tokens("self-attention", cx, x);
        let y = self_attention(&self.qkv.forward(cx, x), self.heads, options);
        self.proj.forward_add(cx, &y, residual)
    }

    /// How much each token takes from each other one, which [`forward`](Self::forward) never holds: x [B, N, dim] → [B, H, N, N],
    /// rows that sum to 1.
    #[track_caller]
    pub fn weights<E: Float>(
        &self,
        cx: &Context<'_, E>,
        x: &Var<E>,
        options: &Attention<E>,
    ) -> Var<E> {
        let dim = self.qkv.expect_tokens("self-attention", cx, x);
        let part = |i: usize| {
            split_heads(&self.qkv.forward_part(cx, x, i * dim..(i + 1) * dim), self.heads)
        };
        attention_weights(&part(0), &part(1), options)
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
        let dim = self.qkv.expect_tokens("self-attention", cx, x);
        let part = |x: &Var<E>, i: usize| {
            split_heads(&self.qkv.forward_part(cx, x, i * dim..(i + 1) * dim), self.heads)
        };
        let (q, k, v) = (part(&x.narrow(1, 0, count), 0), part(x, 1), part(x, 2));
        self.proj.forward(cx, &attention(&q, &k, &v, &of_first(options, count)))
    }

    /// The next n tokens of a sequence that is decoded: x [B, n, dim], of which each sees itself and those before it, in `cache`
    /// and in x: rows of what [`forward`](Self::forward) gives of the whole sequence if it is causal. `options` is that of the
    /// whole sequence.
    ///
    /// # Panics
    /// If x does not fit the cache or finds no room in it, or in a pass that records: no gradients are kept of keys and values.
    #[track_caller]
    pub fn forward_next<E: Float>(
        &self,
        cx: &Context<'_, E>,
        x: &Var<E>,
        cache: &mut KeyValues<E>,
        options: &Attention<E>,
    ) -> Var<E> {
        let dim = self.qkv.expect_tokens("self-attention", cx, x);
        cache.expect(cx, x);
        let qkv = self.qkv.forward(cx, x);
        let part = |i: usize| split_heads(&qkv.narrow(-1, i * dim, dim), self.heads);
        let y = cache.attend([&part(0), &part(1), &part(2)], options);
        self.proj.forward(cx, &y)
    }

    /// Refuses what is not tokens of this layer, [B, N, dim].
    #[track_caller]
    pub(super) fn expect_tokens<E: Float>(&self, cx: &Context<'_, E>, x: &Var<E>) {
        self.qkv.expect_tokens("self-attention", cx, x);
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
    let rows = |x: &Var<E>| part(x, 2, 0, count);
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
            dim > 0 && heads > 0 && dim.is_multiple_of(heads),
            "attention: {dim} features in {heads} heads"
        );
        Self {
            q: Linear::new(&mut init.scope("q"), dim, dim),
            k: Linear::new(&mut init.scope("k"), dim, dim),
            v: Linear::new(&mut init.scope("v"), dim, dim),
            proj: Linear::new(&mut init.scope("proj"), dim, dim),
            heads,
        }
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
        for (layer, x) in [(&self.q, q), (&self.k, k), (&self.v, v)] {
            layer.expect_tokens("attention", cx, x);
        }
        let heads = |layer: &Linear, x: &Var<E>| split_heads(&layer.forward(cx, x), self.heads);
        let y = attention(&heads(&self.q, q), &heads(&self.k, k), &heads(&self.v, v), options);
        self.proj.forward(cx, &y)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::ChaCha8Rng;
    use tensor::Tensor;

    use super::*;
    use crate::Params;

    #[test]
    fn the_weights_are_those_by_which_forward_averages_values() {
        let (dim, heads) = (6, 2);
        let mut params = Params::new();
        let attn = SelfAttention::new(&mut Init::new(&mut params, 1), dim, heads);
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        for param in params.iter_mut() {
            param.value = Tensor::normal(param.value.shape(), 0.0, 1.0, &mut rng);
        }
        let identity = Tensor::from_fn([dim, dim], |i| if i / dim == i % dim { 1.0 } else { 0.0 });
        // Values are the tokens themselves, and heads are not mixed.
        for param in params.iter_mut() {
            match param.name.as_str() {
                "qkv.weight" => {
                    let qk = param.value.narrow(0, 0, 2 * dim);
                    param.value = Tensor::concat(&[&qk, &identity], 0);
                }
                "proj.weight" => param.value = identity.clone(),
                _ => param.value = Tensor::zeros(param.value.shape()),
            }
        }
        let params = params.cast::<f64>();
        let x = Var::constant(Tensor::normal([2, 5, dim], 0.0, 1.0, &mut rng));
        let cx = Context::eval(&params);
        for causal in [false, true] {
            let options = Attention { causal, ..Attention::default() };
            let weights = attn.weights(&cx, &x, &options);
            assert_eq!(weights.dims(), [2, heads, 5, 5]);
            let averages = weights.matmul(&split_heads(&x, heads));
            let averages = averages.transpose(1, 2).reshape([2, 5, dim]);
            let forward = attn.forward(&cx, &x, &options);
            let pairs = averages.value().to_vec().into_iter().zip(forward.value().to_vec());
            assert!(pairs.into_iter().all(|(a, b): (f64, f64)| (a - b).abs() < 1e-12));
        }
    }
}
