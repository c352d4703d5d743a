//! Layers of DETR's transformer: positions are added to queries and keys of each attention, not to values.

use autograd::{Attention, Var};
use nn::{Activation, Context, Dropout, Init, Linear, MultiHeadAttention};
use tensor::Float;

use super::DetrConfig;
use crate::residual::Residual;

/// ε of the norms: PyTorch's.
pub(super) const EPS: f64 = 1e-5;

fn residual(init: &mut Init<'_>, name: &str, config: &DetrConfig) -> Residual {
    let &DetrConfig { dim, dropout, order, .. } = config;
    Residual::new(&mut init.scope(name), dim, dropout, order, EPS)
}

/// Linear, ReLU, linear. Parameters: those of `f1` and `f2`.
#[derive(Clone, Debug)]
struct FeedForward {
    f1: Linear,
    f2: Linear,
    dropout: Dropout,
}

impl FeedForward {
    fn new(init: &mut Init<'_>, config: &DetrConfig) -> Self {
        let f1 = Linear::new(&mut init.scope("f1"), config.dim, config.mlp_dim);
        let f2 = Linear::new(&mut init.scope("f2"), config.mlp_dim, config.dim);
        Self { f1, f2, dropout: Dropout::new(config.dropout) }
    }

    fn forward<E: Float>(&self, cx: &Context<'_, E>, x: &Var<E>) -> Var<E> {
        let hidden = Activation::Relu.forward(&self.f1.forward(cx, x));
        self.f2.forward(cx, &self.dropout.forward(cx, hidden))
    }
}

/// Self-attention among places, and an MLP. Parameters: those of `a` (attention), `n1`, `n2` (norms), `f1` and `f2`.
#[derive(Clone, Debug)]
pub(super) struct EncoderLayer {
    attention: MultiHeadAttention,
    feed: FeedForward,
    residuals: [Residual; 2],
}

impl EncoderLayer {
    pub(super) fn new(init: &mut Init<'_>, config: &DetrConfig) -> Self {
        Self {
            attention: MultiHeadAttention::new(&mut init.scope("a"), config.dim, config.heads),
            feed: FeedForward::new(init, config),
            residuals: ["n1", "n2"].map(|name| residual(init, name, config)),
        }
    }

    /// x [B, N, D] with positions [N, D] or [B, N, D] → [B, N, D].
    pub(super) fn forward<E: Float>(
        &self,
        cx: &Context<'_, E>,
        x: &Var<E>,
        positions: Option<&Var<E>>,
        sight: &Attention<E>,
    ) -> Var<E> {
        let [attention, feed] = &self.residuals;
        let x = attention.forward(cx, x, |x| {
            let placed = plus(x, positions);
            self.attention.forward(cx, [&placed, &placed, x], sight)
        });
        feed.forward(cx, &x, |x| self.feed.forward(cx, x))
    }
}

/// Self-attention among queries, attention to places, and an MLP. Parameters: those of `a` and `c` (attention to queries and to
/// places), `n1`, `n2`, `n3` (norms), `f1` and `f2`.
#[derive(Clone, Debug)]
pub(super) struct DecoderLayer {
    attention: MultiHeadAttention,
    cross: MultiHeadAttention,
    feed: FeedForward,
    residuals: [Residual; 3],
}

impl DecoderLayer {
    pub(super) fn new(init: &mut Init<'_>, config: &DetrConfig) -> Self {
        Self {
            attention: MultiHeadAttention::new(&mut init.scope("a"), config.dim, config.heads),
            cross: MultiHeadAttention::new(&mut init.scope("c"), config.dim, config.heads),
            feed: FeedForward::new(init, config),
            residuals: ["n1", "n2", "n3"].map(|name| residual(init, name, config)),
        }
    }

    /// x [B, Q, D] of queries [Q, D] or [B, Q, D], looking at `memory` [B, N, D], whose keys are `keys` → [B, Q, D].
    pub(super) fn forward<E: Float>(
        &self,
        cx: &Context<'_, E>,
        x: &Var<E>,
        queries: &Var<E>,
        [keys, memory]: [&Var<E>; 2],
        sight: &Attention<E>,
    ) -> Var<E> {
        let [attention, cross, feed] = &self.residuals;
        let x = attention.forward(cx, x, |x| {
            let placed = x + queries;
            self.attention.forward(cx, [&placed, &placed, x], &Attention::default())
        });
        let x = cross
            .forward(cx, &x, |x| self.cross.forward(cx, [&(x + queries), keys, memory], sight));
        feed.forward(cx, &x, |x| self.feed.forward(cx, x))
    }
}

/// With positions added, if there are any.
pub(super) fn plus<E: Float>(x: &Var<E>, positions: Option<&Var<E>>) -> Var<E> {
    positions.map_or_else(|| x.clone(), |positions| x + positions)
}
