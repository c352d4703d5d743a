//! A captioner of the widgets of a screen (Li et al. 2020).

mod batch;
mod config;
mod decoder;
mod decoding;
mod nodes;
#[cfg(test)]
mod tests;

use std::ops::Range;

use autograd::{CrossEntropy, Var, concat, cross_entropy};
use nn::{Context, Dropout, Embedding, Fill, Init, Linear, Position};
use tensor::Float;

use self::decoder::Decoder;
use self::nodes::NodeEncoder;
use crate::ConfigError;
use crate::backbone::Backbone;

pub use batch::ScreenBatch;
pub use config::{CaptionerConfig, Grouping};
pub use decoding::Decoding;

/// Behind the end of a text or caption.
pub const PADDING: usize = 0;
/// The end of a caption.
pub const END: usize = 1;
/// A word of a text that is not in the vocabulary; no caption has it.
pub const UNKNOWN: usize = 2;
/// What stands in front of a caption.
pub const START: usize = 3;
/// How many words are no words.
const SPECIAL: usize = 4;

/// Classes of a node, padding and unknown ones counted too.
pub const CLASSES: usize = 12;
/// Depths, pre-orders and post-orders that are told apart, 0 included.
pub const PLACES: usize = 500;

/// What is known of each node side by side (its texts, class, box, whether it can be clicked, its place in the tree) → linear → ReLU →
/// transformer over all nodes of the screen; a widget's pixels → residual blocks → their mean; a widget's node and its pixels → linear →
/// ReLU: its token, from which a transformer writes the caption, word by word.
///
/// - Tables are looked up times √D, from standard deviation 1/√D (Vaswani et al. 2017, §3.4). A text is the largest of each feature over
///   its words, zeros if it has none; the table of words is also the decoder's. The three places in the tree are added up.
/// - Boxes are fractions of the screen (left, top, right, bottom), in the groups of [`Grouping`]; indices are those of 100 bins.
/// - Attention to a single token gives it all of its weight, so cross-attention is proj(v(token)), without queries and keys.
///
/// Li et al. have 128 features, 6 + 6 layers and six stages of 4 to 256 channels without norms; here stages are residual blocks of two
/// convolutions with group norm, as in [`BackboneConfig::Residual`](crate::BackboneConfig).
///
/// Parameters: `words.weight` [V, D], `class.weight`, `clickable.weight`, `depth.weight`, `pre_order.weight`, `post_order.weight`, `pe.*`,
/// `node.*`, `enc.N.*` as in [`nn::Block`], `enc_norm.*` if pre-norm, `backbone.*` as in torchvision's ResNet, `memory.*`, `dec.N.norm1.*`,
/// `dec.N.attn.*`, `dec.N.cross.v.*`, `dec.N.cross.proj.*`, `dec.N.norm2.*` if post-norm, `dec.N.norm3.*`, `dec.N.mlp.*`, `norm.*` if
/// pre-norm, `head.*` unless tied.
///
/// Source: Li et al., "Widget captioning: generating natural language description for mobile user interface elements", 2020, §5.
#[derive(Clone, Debug)]
pub struct Captioner {
    config: CaptionerConfig,
    words: Embedding,
    nodes: NodeEncoder,
    pixels: Backbone,
    memory: Linear,
    dropout: Dropout,
    decoder: Decoder,
}

impl Captioner {
    /// A model with fresh parameters.
    ///
    /// # Errors
    /// If the config's numbers do not fit together.
    pub fn new(init: &mut Init<'_>, config: &CaptionerConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        let &CaptionerConfig { vocabulary, dim, .. } = config;
        let words = table(&mut init.scope("words"), vocabulary, dim);
        let nodes = NodeEncoder::new(init, config);
        let (pixels, features) = Backbone::new(init, &config.backbone(), 1);
        let memory = Linear::new(&mut init.scope("memory"), features + dim, dim);
        let decoder = Decoder::new(init, config);
        let dropout = Dropout::new(config.dropout);
        Ok(Self { config: config.clone(), words, nodes, pixels, memory, dropout, decoder })
    }

    /// The sizes.
    pub fn config(&self) -> &CaptionerConfig {
        &self.config
    }

    /// The encoder of boxes.
    pub fn position(&self) -> &Position {
        self.nodes.position()
    }

    /// The token of each widget, [W, D].
    ///
    /// # Panics
    /// If the parts of the batch do not fit together, or if a class, place or word is beyond its table.
    #[track_caller]
    pub fn encode<E: Float>(&self, cx: &Context<'_, E>, batch: &ScreenBatch) -> Var<E> {
        batch.check();
        let nodes = self.nodes.forward(cx, batch, &self.words);
        let which = batch.widgets.iter().map(|&(screen, node)| screen * batch.nodes + node);
        let nodes = nodes.gather(0, &which.collect::<Vec<_>>());
        let pixels = Var::constant(batch.pixels.cast());
        let pixels = self.pixels.forward(cx, &pixels).mean(&[2, 3]);
        let tokens = self.memory.forward(cx, &concat(&[&pixels, &nodes], -1)).relu();
        self.dropout.forward(cx, tokens)
    }

    /// Captions as words side by side (W·T of them, [`END`] and [`PADDING`] behind) → logits [W, T, V] of each word, given the
    /// widget and the words before it.
    ///
    /// # Panics
    /// As [`encode`](Self::encode), or if the captions are not of one length.
    #[track_caller]
    pub fn forward<E: Float>(
        &self,
        cx: &Context<'_, E>,
        batch: &ScreenBatch,
        targets: &[usize],
    ) -> Var<E> {
        let known = self.known(cx, batch, targets);
        self.decoder.read(cx, &self.words, &known)
    }

    /// The cross-entropies of all words of some screens of a batch, in nats, summed and divided by `normalizer` (for the mean, the
    /// [`words`](Self::words) of the whole batch, so that the losses of its parts add up), and how many words were most probable.
    ///
    /// # Panics
    /// As [`forward`](Self::forward), or if the screens are not in the batch.
    #[track_caller]
    pub fn loss<E: Float>(
        &self,
        cx: &Context<'_, E>,
        batch: &ScreenBatch,
        targets: &[usize],
        screens: Range<usize>,
        normalizer: f64,
    ) -> (Var<E>, usize) {
        let length = targets.len() / batch.widgets.len().max(1);
        let widgets = batch.widgets_of(screens.clone());
        let targets = &targets[widgets.start * length..widgets.end * length];
        let known = self.known(cx, &batch.narrow(screens), targets);
        let written: Vec<usize> = (0..targets.len()).filter(|&i| targets[i] != PADDING).collect();
        let known = known.reshape([targets.len(), self.config.dim]).gather(0, &written);
        let logits = self.decoder.read(cx, &self.words, &known);
        let targets: Vec<usize> = written.iter().map(|&i| targets[i]).collect();
        let found = logits.value().argmax(-1);
        let right = found.iter().zip(&targets).filter(|(found, target)| found == target).count();
        let options = CrossEntropy { normalizer: Some(normalizer), ..CrossEntropy::default() };
        (cross_entropy(&logits, &targets, &options), right)
    }

    /// How many of the words of captions are no padding.
    pub fn words(targets: &[usize]) -> usize {
        targets.iter().filter(|&&word| word != PADDING).count()
    }

    /// What is known in front of each word, [W, T, D].
    #[track_caller]
    fn known<E: Float>(
        &self,
        cx: &Context<'_, E>,
        batch: &ScreenBatch,
        targets: &[usize],
    ) -> Var<E> {
        let length = targets.len() / batch.widgets.len().max(1);
        let before = |i: usize| if i.is_multiple_of(length) { START } else { targets[i - 1] };
        let fed: Vec<usize> = (0..targets.len()).map(before).collect();
        let tokens = self.encode(cx, batch);
        self.decoder.forward(cx, &self.words, &tokens, &fed)
    }
}

/// A table whose rows have a length of about 1.
fn table(init: &mut Init<'_>, rows: usize, dim: usize) -> Embedding {
    Embedding::with(init, rows, dim, Fill::Normal(1.0 / (dim as f64).sqrt()))
}

/// Rows of a table times √D: numbers of about 1.
#[track_caller]
fn looked_up<E: Float>(cx: &Context<'_, E>, table: &Embedding, indices: &[usize]) -> Var<E> {
    let rows = table.forward(cx, indices);
    let root = (rows.dims()[1] as f64).sqrt();
    rows.scale(E::from_f64(root))
}
