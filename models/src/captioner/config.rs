//! Sizes of a captioner.

use nn::{NormOrder, PositionConfig, PositionShape};
use serde::{Deserialize, Serialize};

use super::SPECIAL;
use crate::ConfigError;
use crate::backbone::BackboneConfig;

/// Into which groups the four numbers of a box fall for a position encoding, written as groups × coordinates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Grouping {
    /// One group: (left, top, right, bottom).
    #[serde(rename = "1x4")]
    OneByFour,
    /// Two points: (left, top) and (right, bottom).
    #[default]
    #[serde(rename = "2x2")]
    TwoByTwo,
    /// Four numbers by themselves: left, top, right, bottom.
    #[serde(rename = "4x1")]
    FourByOne,
}

impl Grouping {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::OneByFour, Self::TwoByTwo, Self::FourByOne];

    /// G, the number of groups.
    pub fn groups(self) -> usize {
        match self {
            Grouping::OneByFour => 1,
            Grouping::TwoByTwo => 2,
            Grouping::FourByOne => 4,
        }
    }

    /// M, the coordinates of a group.
    pub fn coordinates(self) -> usize {
        4 / self.groups()
    }

    /// The name that stands in a config.
    pub fn name(self) -> &'static str {
        match self {
            Grouping::OneByFour => "1x4",
            Grouping::TwoByTwo => "2x2",
            Grouping::FourByOne => "4x1",
        }
    }
}

/// Sizes of a [`Captioner`](super::Captioner).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CaptionerConfig {
    /// Words, the four special ones counted too; what knows the data sets it.
    pub vocabulary: usize,
    /// Features of a node and of a word.
    pub dim: usize,
    /// Attention heads of a layer.
    pub heads: usize,
    /// Hidden features of a layer's MLP.
    pub mlp_dim: usize,
    /// Layers of the encoder of nodes.
    pub encoder_depth: usize,
    /// Layers of the decoder of words.
    pub decoder_depth: usize,
    /// Dropout of nodes, of the widget's token, of words, and in the layers.
    pub dropout: f64,
    /// Channels of each stage of residual blocks that reads a widget's pixels; each halves height and width.
    pub pixels: Vec<usize>,
    /// Words of a caption at most, without the one that ends it.
    pub max_words: usize,
    /// The groups of a box's numbers.
    pub grouping: Grouping,
    /// The encoding of boxes: absolute ones are a feature of a node, relative ones change the encoder's self-attention.
    pub position: PositionConfig,
    /// Whether encodings are scaled to a mean square of 1, which is that of the other features of a node at first.
    pub scale_positions: bool,
    /// Whether the matrix that reads words out is the table that they are looked up in.
    pub tie: bool,
    /// Where layers normalise.
    pub order: NormOrder,
}

impl Default for CaptionerConfig {
    fn default() -> Self {
        Self {
            vocabulary: 0,
            dim: 128,
            heads: 4,
            mlp_dim: 256,
            encoder_depth: 2,
            decoder_depth: 2,
            dropout: 0.1,
            pixels: vec![8, 16, 32, 64],
            max_words: 10,
            grouping: Grouping::default(),
            position: PositionConfig::LffMlp { gamma: 0.2, features: 0, hidden: 32 },
            scale_positions: false,
            tie: false,
            order: NormOrder::Pre,
        }
    }
}

/// Places along each coordinate, which count for what knows indices: rows of a table, wavelengths.
const BINS: usize = 100;

impl CaptionerConfig {
    /// Tokens of an ordinary screen, 80 nodes and the words of five widgets: what a shard of a batch is measured by.
    pub fn tokens(&self) -> usize {
        80 + 5 * (self.max_words + 1)
    }

    /// Checks that the numbers fit together.
    ///
    /// # Errors
    /// The first that does not.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let &Self { dim, heads, dropout, .. } = self;
        if !(SPECIAL + 1..=1 << 16).contains(&self.vocabulary) {
            let message = format!("vocabulary = {}: 5 to 65536 expected", self.vocabulary);
            return Err(ConfigError(message));
        }
        let sizes = [
            ("dim", dim, 1 << 16),
            ("heads", heads, 1 << 10),
            ("mlp_dim", self.mlp_dim, 1 << 16),
            ("encoder_depth", self.encoder_depth, 1 << 10),
            ("decoder_depth", self.decoder_depth, 1 << 10),
            ("max_words", self.max_words, 1 << 10),
            ("pixels.len()", self.pixels.len(), 6),
        ];
        let channels = self.pixels.iter().map(|&channels| ("pixels", channels, 1 << 16));
        for (name, size, most) in sizes.into_iter().chain(channels) {
            if !(1..=most).contains(&size) {
                return Err(ConfigError(format!("{name} = {size}: 1 to {most} expected")));
            }
        }
        if !dim.is_multiple_of(heads) {
            return Err(ConfigError(format!("dim = {dim} is not divisible by heads = {heads}")));
        }
        if !dim.is_multiple_of(2) {
            return Err(ConfigError(format!("dim = {dim}: an even number expected")));
        }
        if !(0.0..1.0).contains(&dropout) {
            let message = format!("dropout = {dropout}: a probability below 1 expected");
            return Err(ConfigError(message));
        }
        self.position.validate(&self.position_shape()).map_err(ConfigError)
    }

    pub(super) fn position_shape(&self) -> PositionShape {
        let &Self { dim, heads, encoder_depth: depth, grouping, .. } = self;
        let sizes = vec![BINS; grouping.coordinates()];
        PositionShape { sizes, groups: grouping.groups(), extra: 0, dim, heads, depth }
    }

    pub(super) fn backbone(&self) -> BackboneConfig {
        BackboneConfig::Residual { channels: self.pixels.clone(), blocks: 1 }
    }
}
