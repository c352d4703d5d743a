//! The encoder of a screen's nodes.

use autograd::{Var, concat};
use nn::{
    Activation, Block, BlockConfig, Context, Dropout, Embedding, Init, LayerNorm, Linear,
    NormOrder, Places, Position, Sight,
};
use tensor::{Float, Tensor};

use super::{CLASSES, CaptionerConfig, PADDING, PLACES, ScreenBatch, looked_up, table};
use crate::positions::{of_layer, scaled};

/// Features of each node side by side → linear → ReLU → transformer over all nodes of the screen.
///
/// Parameters: `class.weight`, `clickable.weight`, `depth.weight`, `pre_order.weight`, `post_order.weight`, `pe.*`,
/// `node.*`, `enc.N.*`, and `enc_norm.*` if pre-norm.
#[derive(Clone, Debug)]
pub(super) struct NodeEncoder {
    config: CaptionerConfig,
    class: Embedding,
    clickable: Embedding,
    dom: [Embedding; 3],
    position: Position,
    mix: Linear,
    dropout: Dropout,
    blocks: Vec<Block>,
    norm: Option<LayerNorm>,
}

impl NodeEncoder {
    pub(super) fn new(init: &mut Init<'_>, config: &CaptionerConfig) -> Self {
        let &CaptionerConfig { dim, heads, mlp_dim, dropout, order, .. } = config;
        let mut made = |name, rows| table(&mut init.scope(name), rows, dim);
        let (class, clickable) = (made("class", CLASSES), made("clickable", 2));
        let dom = ["depth", "pre_order", "post_order"].map(|name| made(name, PLACES));
        let position = Position::new(init, &config.position, config.position_shape());
        let features = 5 + usize::from(config.position.is_absolute());
        let mix = Linear::new(&mut init.scope("node"), features * dim, dim);
        let plain = BlockConfig::new(dim, heads, mlp_dim);
        let block = BlockConfig { dropout, order, activation: Activation::Relu, ..plain };
        let mut scope = init.scope("enc");
        let blocks =
            (0..config.encoder_depth).map(|i| Block::new(&mut scope.scope(i), &block)).collect();
        let norm =
            (order == NormOrder::Pre).then(|| LayerNorm::new(&mut init.scope("enc_norm"), dim));
        let dropout = Dropout::new(dropout);
        let config = config.clone();
        Self { config, class, clickable, dom, position, mix, dropout, blocks, norm }
    }

    pub(super) fn position(&self) -> &Position {
        &self.position
    }

    /// All nodes [B·N, D]; what stands for padding means nothing.
    pub(super) fn forward<E: Float>(
        &self,
        cx: &Context<'_, E>,
        batch: &ScreenBatch,
        words: &Embedding,
    ) -> Var<E> {
        let (screens, nodes, dim) = (batch.counts.len(), batch.nodes, self.config.dim);
        let filled = batch.filled();
        let x = self.mix.forward(cx, &self.features(cx, batch, &filled, words)).relu();
        let x = self.dropout.forward(cx, x);
        let mut x = spread(&x, &filled, screens * nodes).reshape([screens, nodes, dim]);

        let hidden = hidden_nodes(batch);
        let sights = self.sights(cx, batch);
        for (i, block) in self.blocks.iter().enumerate() {
            x = block.forward(cx, &x, &of_layer(&sights, i, hidden.as_ref()));
        }
        let x = match &self.norm {
            Some(norm) => norm.forward(cx, &x),
            None => x,
        };
        x.reshape([screens * nodes, dim])
    }

    /// What is known of the nodes at these slots by themselves, [S, 5·D] or [S, 6·D].
    fn features<E: Float>(
        &self,
        cx: &Context<'_, E>,
        batch: &ScreenBatch,
        slots: &[usize],
        words: &Embedding,
    ) -> Var<E> {
        let of = |table: &Embedding, index: &dyn Fn(usize) -> usize| {
            let indices: Vec<usize> = slots.iter().map(|&slot| index(slot)).collect();
            looked_up(cx, table, &indices)
        };
        let [developer, resource] =
            texts(cx, words, [&batch.developer, &batch.resource], slots, batch.text_words());
        let class = of(&self.class, &|slot| batch.class[slot]);
        let clickable = of(&self.clickable, &|slot| batch.clickable[slot]);
        let [depth, before, after] =
            [0, 1, 2].map(|i| of(&self.dom[i], &|slot| batch.dom[slot][i]));
        let dom = &(&depth + &before) + &after;
        let places = self.places(slots.iter().map(|&slot| batch.bounds[slot]));
        let position = self.position.embed(cx, &places).0;
        let position = match self.config.scale_positions {
            true => position.map(|encoded| scaled(&encoded)),
            false => position,
        };
        let mut parts = vec![&developer, &resource, &class, &clickable, &dom];
        parts.extend(&position);
        concat(&parts, -1)
    }

    /// Boxes as places.
    fn places(&self, bounds: impl ExactSizeIterator<Item = [f32; 4]>) -> Places {
        let (grouping, count) = (self.config.grouping, bounds.len());
        let shape = [count, grouping.groups(), grouping.coordinates()];
        let fractions = bounds.flatten().map(f64::from).collect();
        Places::new(Tensor::from_vec(shape, fractions), &self.config.position_shape().sizes)
    }

    /// What relative positions let the nodes of each screen look at; one thing for all if positions are not relative.
    fn sights<E: Float>(&self, cx: &Context<'_, E>, batch: &ScreenBatch) -> Vec<Sight<E>> {
        let of_screen = |screen: usize| {
            let slots = screen * batch.nodes..(screen + 1) * batch.nodes;
            let places = self.places(batch.bounds[slots].iter().copied());
            self.position.sight(cx, &places, false)
        };
        let different = if self.config.position.is_absolute() { 1 } else { batch.counts.len() };
        (0..different.min(batch.counts.len()).max(1)).map(of_screen).collect()
    }
}

/// The largest of each feature over the words of a text, for both kinds of text of these slots, [S, D] each; zeros where there is
/// no text.
fn texts<E: Float>(
    cx: &Context<'_, E>,
    words: &Embedding,
    kinds: [&[usize]; 2],
    slots: &[usize],
    width: usize,
) -> [Var<E>; 2] {
    let text = |kind: &[usize], slot: usize| -> Vec<usize> {
        let all = kind[slot * width..(slot + 1) * width].iter();
        all.copied().filter(|&word| word != PADDING).collect()
    };
    let of_kind = |kind| slots.iter().map(move |&slot| text(kind, slot));
    let said: Vec<Vec<usize>> = kinds.into_iter().flat_map(of_kind).collect();
    let filled: Vec<usize> = (0..said.len()).filter(|&i| !said[i].is_empty()).collect();
    let longest = said.iter().map(Vec::len).max().unwrap_or(0).max(1);
    // A shorter text repeats its first word, which leaves the largest as they are.
    let word = |i: usize, k: usize| said[i].get(k).copied().unwrap_or(said[i][0]);
    let indices: Vec<usize> =
        filled.iter().flat_map(|&i| (0..longest).map(move |k| word(i, k))).collect();
    let found = looked_up(cx, words, &indices);
    let dim = found.dims()[1];
    let largest = found.reshape([filled.len(), longest, dim]).max(1);
    let both = spread(&largest, &filled, said.len());
    [0, 1].map(|kind| both.narrow(0, kind * slots.len(), slots.len()))
}

/// Rows x [n, D] at these places of `count`, zeros elsewhere.
fn spread<E: Float>(x: &Var<E>, places: &[usize], count: usize) -> Var<E> {
    if places.len() == count {
        return x.clone(); // each row is at its place
    }
    let zeros = Var::constant(Tensor::zeros([count, x.dims()[1]]));
    zeros.scatter_add(0, places, x)
}

/// −∞ for what is no node of a screen, [B, 1, 1, N]; `None` if all have as many.
fn hidden_nodes<E: Float>(batch: &ScreenBatch) -> Option<Var<E>> {
    let (counts, nodes) = (&batch.counts, batch.nodes);
    let is_padded = counts.iter().any(|&count| count < nodes);
    let hides = |i: usize| if i % nodes < counts[i / nodes] { E::ZERO } else { -E::INFINITY };
    is_padded.then(|| Var::constant(Tensor::from_fn([counts.len(), 1, 1, nodes], hides)))
}
