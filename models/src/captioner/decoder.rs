//! The decoder of a caption's words.

use autograd::{Attention, Var};
use nn::{
    Activation, Context, Dropout, Embedding, Init, KeyValues, LayerNorm, Linear, Mlp, NormOrder,
    Places, Position, PositionConfig, PositionShape, SelfAttention,
};
use tensor::{Float, Tensor};

use super::{CaptionerConfig, looked_up};
use crate::residual::Residual;

/// Words + sines of their places → layers that see earlier words and the widget's token → logits of the next word.
///
/// Parameters: `dec.N.*`, `norm.*` if pre-norm, and `head.*` unless the words' table reads them out.
#[derive(Clone, Debug)]
pub(super) struct Decoder {
    dim: usize,
    position: Position,
    dropout: Dropout,
    layers: Vec<DecoderLayer>,
    norm: Option<LayerNorm>,
    head: Option<Linear>,
}

impl Decoder {
    pub(super) fn new(init: &mut Init<'_>, config: &CaptionerConfig) -> Self {
        let &CaptionerConfig { vocabulary, dim, heads, decoder_depth: depth, .. } = config;
        let mut scope = init.scope("dec");
        let layers = (0..depth).map(|i| DecoderLayer::new(&mut scope.scope(i), config)).collect();
        let norm =
            (config.order == NormOrder::Pre).then(|| LayerNorm::new(&mut init.scope("norm"), dim));
        let head = (!config.tie).then(|| Linear::new(&mut init.scope("head"), dim, vocabulary));
        let sines = PositionConfig::Sine1d { temperature: 10_000.0 };
        let sizes = vec![config.max_words + 1];
        let shape = PositionShape { sizes, groups: 1, extra: 0, dim, heads, depth };
        let position = Position::new(init, &sines, shape);
        Self { dim, position, dropout: Dropout::new(config.dropout), layers, norm, head }
    }

    /// What each layer adds to every word of a widget, from its token [W, D]: [W, 1, D] each.
    pub(super) fn told<E: Float>(&self, cx: &Context<'_, E>, tokens: &Var<E>) -> Vec<Var<E>> {
        self.layers.iter().map(|layer| layer.cross.forward(cx, tokens).unsqueeze(1)).collect()
    }

    /// Words `fed` [W·T] of widgets with these tokens [W, D] → what is known behind each word, [W, T, D].
    pub(super) fn forward<E: Float>(
        &self,
        cx: &Context<'_, E>,
        words: &Embedding,
        tokens: &Var<E>,
        fed: &[usize],
    ) -> Var<E> {
        let widgets = tokens.dims()[0];
        let length = fed.len() / widgets.max(1);
        assert_eq!(fed.len(), widgets * length, "captioner: captions of one length expected");
        let x = looked_up(cx, words, fed).reshape([widgets, length, self.dim]);
        let x = &x + &self.placed(cx, 0..length);
        let mut x = self.dropout.forward(cx, x);
        let causal = Attention { causal: true, ..Attention::default() };
        for (layer, told) in self.layers.iter().zip(&self.told(cx, tokens)) {
            x = layer.forward(cx, &x, told, |attention, x| attention.forward(cx, x, &causal));
        }
        self.normed(cx, x)
    }

    /// The next word of each sequence [R], the one at place `at`, whose layers are told these [R, 1, D] → logits [R, V] of
    /// the word behind it.
    pub(super) fn next<E: Float>(
        &self,
        cx: &Context<'_, E>,
        words: &Embedding,
        fed: &[usize],
        told: &[Var<E>],
        caches: &mut [KeyValues<E>],
    ) -> Var<E> {
        let at = caches.first().map_or(0, KeyValues::len);
        let x = looked_up(cx, words, fed).unsqueeze(1);
        let mut x = &x + &self.placed(cx, at..at + 1);
        let plain = Attention::default();
        for ((layer, told), cache) in self.layers.iter().zip(told).zip(caches) {
            x = layer
                .forward(cx, &x, told, |attention, x| attention.forward_next(cx, x, cache, &plain));
        }
        self.read(cx, words, &self.normed(cx, x).squeeze(1))
    }

    /// Room for the keys and values of each layer.
    pub(super) fn caches<E: Float>(&self, sequences: usize, length: usize) -> Vec<KeyValues<E>> {
        self.layers.iter().map(|layer| layer.attn.cache(sequences, length, self.dim)).collect()
    }

    /// Logits [… V] of the word that comes behind what is known [… D].
    pub(super) fn read<E: Float>(
        &self,
        cx: &Context<'_, E>,
        words: &Embedding,
        x: &Var<E>,
    ) -> Var<E> {
        match &self.head {
            Some(head) => head.forward(cx, x),
            None => autograd::linear(x, &words.table(cx), None),
        }
    }

    fn placed<E: Float>(&self, cx: &Context<'_, E>, places: std::ops::Range<usize>) -> Var<E> {
        let end = places.end.max(1);
        let fraction = |i: usize| (places.start + i) as f64 / end as f64;
        let places = Places::new(Tensor::from_fn([places.len(), 1, 1], fraction), &[end]);
        self.position.embed(cx, &places).0.expect("sines are added")
    }

    fn normed<E: Float>(&self, cx: &Context<'_, E>, x: Var<E>) -> Var<E> {
        match &self.norm {
            Some(norm) => norm.forward(cx, &x),
            None => x,
        }
    }
}

/// Self-attention among words, attention to the widget's token, and an MLP. Parameters: those of `norm1`, `attn`, `cross`, `norm2` if
/// post-norm, `norm3` and `mlp`.
#[derive(Clone, Debug)]
struct DecoderLayer {
    attn: SelfAttention,
    attended: Residual,
    cross: TokenAttention,
    dropout: Dropout,
    cross_norm: Option<LayerNorm>,
    mlp: Mlp,
    fed: Residual,
}

impl DecoderLayer {
    fn new(init: &mut Init<'_>, config: &CaptionerConfig) -> Self {
        let &CaptionerConfig { dim, heads, mlp_dim, dropout, order, .. } = config;
        let mut residual = |name, dropout| {
            Residual::new(&mut init.scope(name), dim, dropout, order, LayerNorm::EPS)
        };
        // The MLP omits by itself.
        let (attended, fed) = (residual("norm1", dropout), residual("norm3", 0.0));
        let relu = Activation::Relu;
        Self {
            attn: SelfAttention::new(&mut init.scope("attn"), dim, heads),
            attended,
            cross: TokenAttention::new(&mut init.scope("cross"), dim),
            dropout: Dropout::new(dropout),
            cross_norm: (order == NormOrder::Post)
                .then(|| LayerNorm::new(&mut init.scope("norm2"), dim)),
            mlp: Mlp::with(&mut init.scope("mlp"), dim, mlp_dim, dropout, relu),
            fed,
        }
    }

    /// Words x [W, T, D], told [W, 1, D] about their widget → [W, T, D]; `attend` is what self-attention does with them.
    fn forward<E: Float>(
        &self,
        cx: &Context<'_, E>,
        x: &Var<E>,
        told: &Var<E>,
        attend: impl FnOnce(&SelfAttention, &Var<E>) -> Var<E>,
    ) -> Var<E> {
        let x = self.attended.forward(cx, x, |x| attend(&self.attn, x));
        let x = &x + &self.dropout.forward(cx, told.expand(x.shape()));
        let x = match &self.cross_norm {
            Some(norm) => norm.forward(cx, &x),
            None => x,
        };
        self.fed.forward(cx, &x, |x| self.mlp.forward(cx, x))
    }
}

/// Multi-head attention to a single token. It has all of the weight of the softmax whatever asks, so queries and keys have no part in it:
/// proj(v(token)). Parameters: those of `v` and `proj`.
#[derive(Clone, Debug)]
struct TokenAttention {
    v: Linear,
    proj: Linear,
}

impl TokenAttention {
    fn new(init: &mut Init<'_>, dim: usize) -> Self {
        let mut layer = |name| Linear::new(&mut init.scope(name), dim, dim);
        Self { v: layer("v"), proj: layer("proj") }
    }

    /// [W, D] → [W, D].
    fn forward<E: Float>(&self, cx: &Context<'_, E>, token: &Var<E>) -> Var<E> {
        self.proj.forward(cx, &self.v.forward(cx, token))
    }
}
