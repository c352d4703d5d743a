//! Every layer of this crate, and what it is checked with. A public method of a layer that is missing here fails a test.

use autograd::{Attention, Var, concat, self_attention};

use tensor::Convolution;

use super::{CheckedLayer, Entry, Float, Pick, entry};
use crate::{
    Activation, AxisTables, Block, BlockConfig, Context, Conv2d, DropPath, Dropout, Embedding,
    Fill, FrozenBatchNorm, GroupNorm, Init, LayerNorm, LearnableFourier, Linear, Mlp,
    MultiHeadAttention, Norm, NormKind, NormOrder, Places, Position, PositionConfig, PositionMlp,
    PositionShape, RmsNorm, SelfAttention, check_layer,
};

/// ε of layer norm, large, as in the table of ops.
const EPS: f64 = 0.25;

/// All layers and position encoders of this crate, at every method that computes.
#[rustfmt::skip]
pub fn table() -> Vec<Entry> {
    let mut table = vec![
        check_layer!("Linear", "x: * i>0 -> * o>0",
            |init, pick| -> Linear { Linear::new(init, pick.case().size("i"), pick.case().size("o")) },
            |linear, cx, [x], _| linear.forward(cx, x)),
        check_layer!("Linear without bias", "x: * i>0 -> * o>0",
            |init, pick| -> Linear { Linear::with(init, pick.case().size("i"), pick.case().size("o"), Fill::Normal(0.5), false) },
            |linear, cx, [x], _| linear.forward(cx, x)),
        check_layer!("Linear, some outputs", "x: * i>0 -> * o>0",
            |init, pick| -> Linear { Linear::new(init, pick.case().size("i"), 2 + pick.case().size("o")) },
            |linear, cx, [x], pick| linear.forward_part(cx, x, 1..1 + pick.case().size("o"))),
        check_layer!("Conv2d", "x: b<4 g>0<4*c>0<4 2*k>0<4+r<6 2*k+s",
            |init, pick| -> Conv2d {
                let ([inputs, outputs, kernel], options) = convolution(pick);
                if pick.coin() { Conv2d::new(init, inputs, outputs, kernel, options) } else { Conv2d::without_bias(init, inputs, outputs, kernel, options) }
            },
            |conv, cx, [x], _| conv.forward(cx, x)),
        check_layer!("GroupNorm", "x: b<4 g>0<4*c>0<4 h>0<5 w>0<5 in accurate -> b g*c h w",
            |init, pick| -> GroupNorm { GroupNorm::new(init, pick.case().size("g") * pick.case().size("c"), pick.case().size("g"), EPS) },
            |norm, cx, [x], _| norm.forward(cx, x)),
        check_layer!("FrozenBatchNorm", "x: b<4 c>0<6 h>0<5 w>0<5 -> b c h w",
            |init, pick| -> FrozenBatchNorm { FrozenBatchNorm::new(init, pick.case().size("c")) },
            |norm, cx, [x], _| norm.forward(cx, x)),
        check_layer!("LayerNorm", "x: * n>0 in accurate -> * n",
            |init, pick| -> LayerNorm { LayerNorm::with_eps(init, pick.case().size("n"), EPS) },
            |norm, cx, [x], _| norm.forward(cx, x)),
        check_layer!("RmsNorm", "x: * n>0 -> * n",
            |init, pick| -> RmsNorm { RmsNorm::with_eps(init, pick.case().size("n"), EPS) },
            |norm, cx, [x], _| norm.forward(cx, x)),
        check_layer!("Norm", "x: * n>0 -> * n",
            |init, pick| -> Norm { Norm::new(init, if pick.coin() { NormKind::Layer } else { NormKind::Rms }, pick.case().size("n"), EPS) },
            |norm, cx, [x], _| norm.forward(cx, x)),
        check_layer!("LayerNorm, usual ε", "x: * n>1 in distinct accurate -> * n",
            |init, pick| -> LayerNorm { LayerNorm::new(init, pick.case().size("n")) },
            |norm, cx, [x], _| norm.forward(cx, x)),
        check_layer!("Embedding", "n -> n d>0",
            |init, pick| -> Embedding { Embedding::new(init, 3, pick.case().size("d")) },
            |embedding, cx, [x], pick| embedding.forward(cx, &pick.indices(x.dims()[0], 3)).mul(&x.unsqueeze(1))),
        check_layer!("Embedding, its table", "-> n>0 d>0",
            |init, pick| -> Embedding { Embedding::new(init, pick.case().size("n"), pick.case().size("d")) },
            |embedding, cx, [], _| embedding.table(cx).square()),
        check_layer!("Dropout", "x: * -> *",
            |_, _| -> Dropout { Dropout::new(0.4) },
            |dropout, cx, [x], _| dropout.forward(cx, x.clone())),
        check_layer!("DropPath", "x: b * -> b *",
            |_, _| -> DropPath { DropPath::new(0.4) },
            |drop_path, cx, [x], _| drop_path.forward(cx, x.clone())),
        check_layer!("Mlp", "x: * d>0 -> * d",
            |init, pick| -> Mlp { Mlp::new(init, pick.case().size("d"), 3, 0.25) },
            |mlp, cx, [x], _| mlp.forward(cx, x)),
        check_layer!("SelfAttention", "x: b<4 n>0<8 h>0<4*d>0<8 in moderate -> b n h*d",
            |init, pick| -> SelfAttention { SelfAttention::new(init, heads(pick) * pick.case().size("d"), heads(pick)) },
            |attention, cx, [x], pick| attention.forward(cx, x, &looking(x.dims()[1], x.dims()[1], pick))),
        check_layer!("SelfAttention, first queries", "x: b<4 m>0<4+n<5 h>0<4*d>0<8 in moderate -> b m h*d",
            |init, pick| -> SelfAttention { SelfAttention::new(init, heads(pick) * pick.case().size("d"), heads(pick)) },
            |attention, cx, [x], pick| {
                let (first, all) = (pick.case().size("m"), x.dims()[1]);
                let options = Attention { causal: false, ..looking(all, all, pick) };
                attention.forward_first(cx, x, first, &options)
            }),
        check_layer!("SelfAttention, its weights", "x: b<4 n>0<8 h>0<4*d>0<8 in moderate -> b h n n",
            |init, pick| -> SelfAttention { SelfAttention::new(init, heads(pick) * pick.case().size("d"), heads(pick)) },
            |attention, cx, [x], pick| {
                let causal = pick.coin();
                attention.weights(cx, x, &Attention { causal, ..Attention::default() })
            }),
        check_layer!("MultiHeadAttention", "q: b<4 n<8 h>0<4*d>0<8 in moderate, k: b m>0<8 h*d in moderate, v: b m h*d in moderate -> b n h*d",
            |init, pick| -> MultiHeadAttention { MultiHeadAttention::new(init, heads(pick) * pick.case().size("d"), heads(pick)) },
            |attention, cx, [q, k, v], pick| attention.forward(cx, [q, k, v], &looking(q.dims()[1], k.dims()[1], pick))),
        check_layer!("Block", "x: b<4 n>0<8 h>0<4*d>0<8 in moderate -> b n h*d",
            |init, pick| -> Block { block(init, pick) },
            |block, cx, [x], pick| block.forward(cx, x, &looking(x.dims()[1], x.dims()[1], pick))),
        check_layer!("Block, first tokens", "x: b<4 m>0<4+n<5 h>0<4*d>0<8 in moderate -> b m h*d",
            |init, pick| -> Block { block(init, pick) },
            |block, cx, [x], pick| {
                let (first, all) = (pick.case().size("m"), x.dims()[1]);
                let options = Attention { causal: false, ..looking(all, all, pick) };
                block.forward_first(cx, x, first, &options)
            }),
        check_layer!("Block, its attention's weights", "x: b<4 n>0<8 h>0<4*d>0<8 in moderate -> b h n n",
            |init, pick| -> Block { block(init, pick) },
            |block, cx, [x], pick| {
                let causal = pick.coin();
                block.attention_weights(cx, x, &Attention { causal, ..Attention::default() })
            }),
        check_layer!("LearnableFourier", "-> n g>0*d>0",
            |init, pick| -> LearnableFourier { fourier(init, pick) },
            |encoder, cx, [], pick| {
                let [n, g] = ["n", "g"].map(|name| pick.case().size(name));
                encoder.forward(cx, &pick.values([n, g, 2]))
            }),
        check_layer!("LearnableFourier, its features", "-> n g>0 4",
            |init, pick| -> LearnableFourier { LearnableFourier::new(init, [pick.case().size("g"), 2], 4, 3, pick.case().size("g"), 1.0) },
            |encoder, cx, [], pick| {
                let [n, g] = ["n", "g"].map(|name| pick.case().size(name));
                encoder.features(cx, &pick.values([n, g, 2]))
            }),
        check_layer!("PositionMlp", "features: n g>0 f>0 -> n g*d>0",
            |init, pick| -> PositionMlp { PositionMlp::new(init, pick.case().size("f"), 3, pick.case().size("d")) },
            |mlp, cx, [features], _| mlp.forward(cx, features)),
        check_layer!("AxisTables", "-> n 1 2*d>0",
            |init, pick| -> AxisTables { AxisTables::new(init, &[3, 2], pick.case().size("d"), 0.02, false) },
            |tables, cx, [], pick| tables.forward(cx, &places(pick))),
    ];
    table.extend(PositionConfig::all(1.0).into_iter().map(|config| {
        let name = format!("Position, {}", config.name());
        entry(name, "x: b<3 n>0<7 4*h>0<3 in moderate -> b n 4*h", Encoder(config))
    }));
    table
}

/// An encoder of any kind, added to tokens and looked through by their attention.
struct Encoder(PositionConfig);

impl CheckedLayer for Encoder {
    type Layer = Position;

    fn build(&self, init: &mut Init<'_>, pick: &mut Pick<'_>) -> Position {
        let (sizes, heads) = (vec![3, 2], heads(pick));
        let shape = PositionShape { sizes, groups: 1, extra: 0, dim: 4 * heads, heads, depth: 2 };
        Position::new(init, &self.0, shape)
    }

    fn forward<E: Float>(
        &self,
        position: &Position,
        cx: &Context<'_, E>,
        inputs: &[Var<E>],
        pick: &mut Pick<'_>,
    ) -> Var<E> {
        let places = places(pick);
        let x = match position.embed(cx, &places).0 {
            Some(embedded) => &inputs[0] + &embedded,
            None => inputs[0].clone(),
        };
        let qkv = concat(&[&x, &x.scale(E::from_f64(-0.5)), &x], -1);
        self_attention(&qkv, heads(pick), position.sight(cx, &places, pick.coin()).of(1))
    }
}

/// As many as the case says, anywhere, on a grid of three by two.
fn places(pick: &mut Pick<'_>) -> Places {
    let anywhere = pick.values::<f64>([pick.case().size("n"), 1, 2]);
    Places::new(anywhere.abs(), &[3, 2])
}

fn heads(pick: &Pick<'_>) -> usize {
    pick.case().size("h")
}

/// Channels in and out, kernel, and how its windows lie.
fn convolution(pick: &mut Pick<'_>) -> ([usize; 3], Convolution) {
    let [groups, channels, kernel] = ["g", "c", "k"].map(|name| pick.case().size(name));
    let (stride, padding) = (1 + pick.below(2), pick.below(2));
    let options = Convolution { stride, padding, dilation: 1 + pick.below(2), groups };
    ([groups * channels, 2 * groups, kernel], options)
}

/// Norms before or after, dropout and skipped branches.
fn block(init: &mut Init<'_>, pick: &mut Pick<'_>) -> Block {
    let config = BlockConfig {
        dim: heads(pick) * pick.case().size("d"),
        heads: heads(pick),
        mlp_dim: 3,
        dropout: if pick.coin() { 0.25 } else { 0.0 },
        drop_path: if pick.coin() { 0.25 } else { 0.0 },
        order: if pick.coin() { NormOrder::Pre } else { NormOrder::Post },
        eps: EPS,
        norm: if pick.coin() { NormKind::Layer } else { NormKind::Rms },
        activation: [Activation::Gelu, Activation::GeluTanh, Activation::QuickGelu][pick.below(3)],
        qkv_bias: pick.coin(),
    };
    Block::new(init, &config)
}

fn fourier(init: &mut Init<'_>, pick: &mut Pick<'_>) -> LearnableFourier {
    let [groups, dim] = ["g", "d"].map(|name| pick.case().size(name));
    LearnableFourier::new(init, [groups, 2], 4, 3, groups * dim, 1.0)
}

/// Causal or masked, where the numbers of queries and keys allow it.
fn looking<E: Float>(queries: usize, keys: usize, pick: &mut Pick<'_>) -> Attention<E> {
    let (causal, masked) = (pick.coin() && queries == keys, pick.coin());
    let mask = pick.hiding_mask([queries, keys]);
    Attention { causal, mask: masked.then(|| Var::constant(mask)), angles: None }
}
