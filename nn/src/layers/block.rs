//! Transformer encoder block.

use autograd::{Attention, Var};
use tensor::Float;

use super::{
    Activation, DropPath, Dropout, KeyValues, LayerNorm, Mlp, Norm, NormKind, SelfAttention,
};
use crate::{Context, Init};

/// Where a block normalises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NormOrder {
    /// x + f(norm(x)), as in ViT and GPT.
    #[default]
    Pre,
    /// norm(x + f(x)), as in the first transformer and DETR.
    Post,
}

/// Sizes and rates of a [`Block`].
#[derive(Clone, Copy, Debug)]
pub struct BlockConfig {
    /// Features of a token.
    pub dim: usize,
    /// Attention heads.
    pub heads: usize,
    /// Hidden features of the MLP.
    pub mlp_dim: usize,
    /// Dropout after the attention's projection and in the MLP.
    pub dropout: f64,
    /// Probability of skipping a residual branch.
    pub drop_path: f64,
    /// Where the block normalises.
    pub order: NormOrder,
    /// eps of the norms.
    pub eps: f64,
    /// Which normalisation.
    pub norm: NormKind,
    /// Between the layers of the MLP.
    pub activation: Activation,
    /// Whether queries, keys and values have a bias.
    pub qkv_bias: bool,
}

impl BlockConfig {
    /// A block as ViT has it: pre-norm, layer norm, GELU, no dropout.
    pub fn new(dim: usize, heads: usize, mlp_dim: usize) -> Self {
        Self {
            dim,
            heads,
            mlp_dim,
            dropout: 0.0,
            drop_path: 0.0,
            order: NormOrder::Pre,
            eps: LayerNorm::EPS,
            norm: NormKind::Layer,
            activation: Activation::Gelu,
            qkv_bias: true,
        }
    }
}

/// Self-attention and MLP, each with a norm and a residual connection. Parameters: those of `norm1`, `attn`, `norm2` and
/// `mlp`.
#[derive(Clone, Debug)]
pub struct Block {
    norm1: Norm,
    attn: SelfAttention,
    norm2: Norm,
    mlp: Mlp,
    dropout: Dropout,
    drop_path: DropPath,
    order: NormOrder,
}

impl Block {
    /// # Panics
    /// If dim is not divisible by heads, or if a probability is outside of [0, 1).
    #[track_caller]
    pub fn new(init: &mut Init<'_>, config: &BlockConfig) -> Self {
        let &BlockConfig { dim, heads, mlp_dim, dropout, drop_path, .. } = config;
        let &BlockConfig { order, eps, norm, activation, qkv_bias, .. } = config;
        Self {
            norm1: Norm::new(&mut init.scope("norm1"), norm, dim, eps),
            attn: SelfAttention::with(&mut init.scope("attn"), dim, heads, qkv_bias),
            norm2: Norm::new(&mut init.scope("norm2"), norm, dim, eps),
            mlp: Mlp::with(&mut init.scope("mlp"), dim, mlp_dim, dropout, activation),
            dropout: Dropout::new(dropout),
            drop_path: DropPath::new(drop_path),
            order,
        }
    }

    /// x [B, N, dim] → [B, N, dim].
    #[track_caller]
    pub fn forward<E: Float>(
        &self,
        cx: &Context<'_, E>,
        x: &Var<E>,
        options: &Attention<E>,
    ) -> Var<E> {
        self.residuals(cx, x, x, |x, to| self.attn.forward_add(cx, x, options, to))
    }

    /// The weights of the attention on these tokens; see [`SelfAttention::weights`].
    #[track_caller]
    pub fn attention_weights<E: Float>(
        &self,
        cx: &Context<'_, E>,
        x: &Var<E>,
        options: &Attention<E>,
    ) -> Var<E> {
        match self.order {
            NormOrder::Pre => self.attn.weights(cx, &self.norm1.forward(cx, x), options),
            NormOrder::Post => self.attn.weights(cx, x, options),
        }
    }

    /// The first `count` tokens of what [`forward`](Self::forward) gives, x [B, N, dim] → [B, count, dim], for a model
    /// that reads no others: all tokens give keys and values, but only these query and pass through the MLP.
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
        let first = x.narrow(1, 0, count);
        self.residuals(cx, x, &first, |x, to| {
            plus(self.attn.forward_first(cx, x, count, options), to)
        })
    }

    /// The next tokens of a sequence that is decoded; see [`SelfAttention::forward_next`].
    ///
    /// # Panics
    /// As there.
    #[track_caller]
    pub fn forward_next<E: Float>(
        &self,
        cx: &Context<'_, E>,
        x: &Var<E>,
        cache: &mut KeyValues<E>,
        options: &Attention<E>,
    ) -> Var<E> {
        cache.expect(cx, x);
        self.residuals(cx, x, x, |x, to| plus(self.attn.forward_next(cx, x, cache, options), to))
    }

    /// Room for the keys and values of a sequence.
    pub fn cache<E: Float>(&self, batch: usize, places: usize, dim: usize) -> KeyValues<E> {
        self.attn.cache(batch, places, dim)
    }

    /// The block on tokens x, for those of them that are `kept`; `attend` maps all tokens to the attention of these and
    /// adds the residual that it is given.
    #[track_caller]
    fn residuals<E: Float>(
        &self,
        cx: &Context<'_, E>,
        x: &Var<E>,
        kept: &Var<E>,
        mut attend: impl FnMut(&Var<E>, Option<&Var<E>>) -> Var<E>,
    ) -> Var<E> {
        self.attn.expect_tokens(cx, x);
        // Where nothing is omitted the last product of a branch adds the residual while its sums are in registers.
        let drops_path = self.drop_path.omits(cx);
        let mut attend = |x: &Var<E>, to: &Var<E>| match drops_path || self.dropout.omits(cx) {
            true => self.drop_path.forward(cx, self.dropout.forward(cx, attend(x, None))) + to,
            false => attend(x, Some(to)),
        };
        let feed = |x: &Var<E>, to: &Var<E>| match drops_path {
            true => self.drop_path.forward(cx, self.mlp.forward(cx, x)) + to,
            false => self.mlp.forward_add(cx, x, Some(to)),
        };
        match self.order {
            NormOrder::Pre => {
                let x = attend(&self.norm1.forward(cx, x), kept);
                feed(&self.norm2.forward(cx, &x), &x)
            }
            NormOrder::Post => {
                let x = self.norm1.forward(cx, &attend(x, kept));
                self.norm2.forward(cx, &feed(&x, &x))
            }
        }
    }
}

fn plus<E: Float>(y: Var<E>, residual: Option<&Var<E>>) -> Var<E> {
    match residual {
        Some(residual) => y + residual,
        None => y,
    }
}
