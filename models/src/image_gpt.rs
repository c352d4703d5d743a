//! Image GPT (Chen et al. 2020): a causal transformer over the pixels of an image, one token after another.

use autograd::{CrossEntropy, Var, cross_entropy};
use nn::{
    Activation, Block, BlockConfig, Context, Embedding, Fill, Init, LayerNorm, Linear, Norm,
    NormKind, ParamId, Places, Position, PositionConfig, PositionShape, Reading, Sight,
};
use serde::{Deserialize, Serialize};
use tensor::Float;

use crate::ConfigError;

/// Sizes of an [`ImageGpt`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageGptConfig {
    /// Height and width of the images, in pixels.
    pub image_size: usize,
    /// Tokens of a pixel: 1 for grey images and colour clusters, 3 for the bytes of red, green and blue.
    pub channels: usize,
    /// If a token is a colour of a palette: numbers of a colour (1 for grey, 3 for red, green and blue). 0 if tokens are bytes.
    #[serde(default)]
    pub palette: usize,
    /// Values of a token: 256 for bytes, or the number of colours of the palette.
    #[serde(default = "bytes")]
    pub vocab: usize,
    /// Features of a token.
    pub dim: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Attention heads of a block.
    pub heads: usize,
    /// Hidden features of a block's MLP.
    pub mlp_dim: usize,
    /// Classes that images are conditioned on; 0 for none.
    #[serde(default)]
    pub classes: usize,
    /// Whether the head's matrix is that of the token embedding.
    #[serde(default)]
    pub tie: bool,
    /// The position encoding.
    pub position: PositionConfig,
    /// Dropout in the blocks.
    #[serde(default)]
    pub dropout: f64,
    /// Which normalisation.
    #[serde(default)]
    pub norm: NormKind,
    /// Between the layers of the MLPs.
    #[serde(default)]
    pub activation: Activation,
    /// Whether a head of its own has a bias.
    #[serde(default = "yes")]
    pub head_bias: bool,
    /// eps of the norms; unless given, 1e-6 of layer norms and 1e-5 of those without a mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eps: Option<f64>,
}

fn yes() -> bool {
    true
}

fn bytes() -> usize {
    256
}

impl ImageGptConfig {
    /// A model of grey images as bytes, without classes and dropout.
    pub fn new(
        image_size: usize,
        [dim, depth, heads, mlp_dim]: [usize; 4],
        position: PositionConfig,
    ) -> Self {
        Self {
            image_size,
            channels: 1,
            palette: 0,
            vocab: bytes(),
            dim,
            depth,
            heads,
            mlp_dim,
            classes: 0,
            tie: false,
            position,
            dropout: 0.0,
            norm: NormKind::Layer,
            activation: Activation::Gelu,
            head_bias: true,
            eps: None,
        }
    }

    /// The number of tokens of an image.
    pub fn tokens(&self) -> usize {
        self.image_size.pow(2) * self.channels
    }

    /// eps of the norms.
    pub fn norm_eps(&self) -> f64 {
        self.eps.unwrap_or(match self.norm {
            NormKind::Layer => LayerNorm::EPS,
            NormKind::Rms => 1e-5,
        })
    }

    /// Checks that the numbers fit together.
    ///
    /// # Errors
    /// The first that does not.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let &Self { image_size, channels, vocab, dim, depth, heads, mlp_dim, classes, .. } = self;
        let sizes = [
            ("image_size", image_size, 1 << 10),
            ("channels", channels, 4),
            ("vocab", vocab, 1 << 16),
            ("dim", dim, 1 << 16),
            ("depth", depth, 1 << 10),
            ("heads", heads, 1 << 10),
            ("mlp_dim", mlp_dim, 1 << 16),
            ("classes", classes.saturating_add(1), 1 << 16),
        ];
        if let Some((name, size, most)) =
            sizes.into_iter().find(|(_, size, most)| !(1..=*most).contains(size))
        {
            return Err(ConfigError(format!("{name} = {size}: 1 to {most} expected")));
        }
        if self.palette > 0 && channels != 1 {
            let message = format!("channels = {channels}: 1 expected with a palette");
            return Err(ConfigError(message));
        }
        if self.palette > 4 {
            return Err(ConfigError(format!("palette = {}: 0 to 4 expected", self.palette)));
        }
        if !dim.is_multiple_of(heads) {
            return Err(ConfigError(format!("dim = {dim} is not divisible by heads = {heads}")));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            let message = format!("dropout = {}: a probability below 1 expected", self.dropout);
            return Err(ConfigError(message));
        }
        if let Some(eps) = self.eps.filter(|eps| !(0.0..=1.0).contains(eps)) {
            return Err(ConfigError(format!("eps = {eps}: a number from 0 to 1 expected")));
        }
        self.position.validate(&self.position_shape()).map_err(ConfigError)
    }

    fn position_shape(&self) -> PositionShape {
        let &Self { image_size, dim, heads, depth, .. } = self;
        let sizes = vec![image_size, image_size];
        PositionShape { sizes, groups: 1, extra: 0, dim, heads, depth }
    }
}

/// Tokens, each in place of the one before it, + positions of the tokens to predict → causal pre-norm blocks → norm → logits.
///
/// What stands for the first token is a start token, one for each class if there are any. The channel of a pixel has a small
/// table of its own, so that position encodings differ in nothing but the encoding of places.
///
/// Parameters: `emb.weight` [vocab + max(classes, 1), D], `channel.weight` if a pixel has several tokens, `pos_embed` or
/// `pe.*`, `blocks.N.*`, `norm.*`, `head.*`, and `palette` if tokens are colours.
#[derive(Clone, Debug)]
pub struct ImageGpt {
    config: ImageGptConfig,
    emb: Embedding,
    palette: Option<ParamId>,
    channel: Option<Embedding>,
    position: Position,
    places: Places,
    blocks: Vec<Block>,
    norm: Norm,
    head: Option<Linear>,
}

impl ImageGpt {
    /// A model with fresh parameters.
    ///
    /// # Errors
    /// If the config's numbers do not fit together.
    pub fn new(init: &mut Init<'_>, config: &ImageGptConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        let &ImageGptConfig { channels, vocab, dim, depth, heads, mlp_dim, classes, .. } = config;
        let emb = Embedding::new(&mut init.scope("emb"), vocab + classes.max(1), dim);
        let palette = (config.palette > 0).then(|| {
            let id = init.param("palette", [vocab, config.palette], Fill::Zeros, false);
            init.freeze(id);
            id
        });
        let channel =
            (channels > 1).then(|| Embedding::new(&mut init.scope("channel"), channels, dim));
        let position = Position::new(init, &config.position, config.position_shape());
        let places = Places::grid(config.image_size, config.image_size).repeated(channels);
        let eps = config.norm_eps();
        let mut scope = init.scope("blocks");
        let block = |i| {
            let &ImageGptConfig { dropout, norm, activation, .. } = config;
            let plain = BlockConfig::new(dim, heads, mlp_dim);
            let config = BlockConfig { dropout, norm, activation, eps, ..plain };
            Block::new(&mut scope.scope(i), &config)
        };
        let blocks = (0..depth).map(block).collect();
        let norm = Norm::new(&mut init.scope("norm"), config.norm, dim, eps);
        let mut head = init.scope("head");
        let fill = Fill::TruncatedNormal(0.02);
        let head =
            (!config.tie).then(|| Linear::with(&mut head, dim, vocab, fill, config.head_bias));
        Ok(Self {
            config: config.clone(),
            emb,
            palette,
            channel,
            position,
            places,
            blocks,
            norm,
            head,
        })
    }

    /// The position encoder.
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// Reads places of images of other sizes than trained on in this way from now on.
    pub fn set_reading(&mut self, reading: Reading) {
        self.position.set_reading(reading);
    }

    /// The sizes.
    pub fn config(&self) -> &ImageGptConfig {
        &self.config
    }

    /// The colours [vocab, palette], from 0 to 255, a parameter that is not trained; whoever knows the images sets it.
    pub fn palette(&self) -> Option<ParamId> {
        self.palette
    }

    /// The places of all tokens of an image of the config's size.
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// The places of all tokens of an image of this height and width, which may be other than trained on.
    pub fn places_of(&self, [height, width]: [usize; 2]) -> Places {
        Places::grid(height, width).repeated(self.config.channels)
    }

    /// Images, as tokens side by side (B·N of them, rows of pixels from the top, the channels of a pixel together), the class of
    /// each if there are classes, and the places of the tokens of an image ([`places`](Self::places), or
    /// [`places_of`](Self::places_of) another size) → logits [B, N, vocab] of each token, given those before it.
    ///
    /// # Panics
    /// If the tokens are no whole number of images, or one is not below `vocab`.
    #[track_caller]
    pub fn forward<E: Float>(
        &self,
        cx: &Context<'_, E>,
        tokens: &[usize],
        classes: &[usize],
        places: &Places,
    ) -> Var<E> {
        let n = places.len();
        let batch = tokens.len() / n;
        assert!(batch * n == tokens.len(), "image gpt: {} tokens in images of {n}", tokens.len());
        let fed: Vec<usize> = (0..tokens.len())
            .map(|i| if i % n == 0 { self.start(classes, i / n) } else { tokens[i - 1] })
            .collect();
        let x = self.emb.forward(cx, &fed).reshape([batch, n, self.config.dim]);
        let x = match self.placed(cx, places) {
            Some(placed) => &x + &placed,
            None => x,
        };
        let sight = self.sight(cx, places);
        let x = self
            .blocks
            .iter()
            .enumerate()
            .fold(x, |x, (i, block)| block.forward(cx, &x, sight.of(i)));
        self.logits(cx, &x)
    }

    /// The sum of the cross-entropies of all tokens, in nats, divided by `normalizer`.
    #[track_caller]
    pub fn loss<E: Float>(
        &self,
        cx: &Context<'_, E>,
        tokens: &[usize],
        classes: &[usize],
        places: &Places,
        normalizer: f64,
    ) -> Var<E> {
        let logits = self.forward(cx, tokens, classes, places);
        let logits = logits.reshape([tokens.len(), self.config.vocab]);
        let options = CrossEntropy { normalizer: Some(normalizer), ..CrossEntropy::default() };
        cross_entropy(&logits, tokens, &options)
    }

    /// The token that stands in front of an image.
    pub(crate) fn start(&self, classes: &[usize], image: usize) -> usize {
        let class = if self.config.classes > 0 { classes[image] } else { 0 };
        self.config.vocab + class
    }

    /// What is added to the tokens at these places, [N, D].
    pub(crate) fn placed<E: Float>(&self, cx: &Context<'_, E>, places: &Places) -> Option<Var<E>> {
        let position = self.position.embed(cx, places).0;
        let channel = self.channel.as_ref().map(|channel| {
            let channels = self.config.channels;
            let which: Vec<usize> = (0..places.len()).map(|i| i % channels).collect();
            channel.forward(cx, &which)
        });
        match (position, channel) {
            (Some(position), Some(channel)) => Some(&position + &channel),
            (position, channel) => position.or(channel),
        }
    }

    pub(crate) fn sight<E: Float>(&self, cx: &Context<'_, E>, places: &Places) -> Sight<E> {
        self.position.sight(cx, places, true)
    }

    pub(crate) fn embedding(&self) -> &Embedding {
        &self.emb
    }

    pub(crate) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Tokens of the last block [… D] → logits [… vocab].
    pub(crate) fn logits<E: Float>(&self, cx: &Context<'_, E>, x: &Var<E>) -> Var<E> {
        let x = self.norm.forward(cx, x);
        match &self.head {
            Some(head) => head.forward(cx, &x),
            None => {
                let rows = self.emb.table(cx).narrow(0, 0, self.config.vocab);
                autograd::linear(&x, &rows, None)
            }
        }
    }
}
