//! Sizes of a detector.

use nn::{NormOrder, PositionConfig, PositionShape};
use serde::{Deserialize, Serialize};

use crate::ConfigError;
use crate::backbone::{Backbone, BackboneConfig};

/// What happens to images of a batch that are smaller than the largest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Padding {
    /// Each image goes through the backbone by itself, and features are padded: an image's boxes do not depend on what else is in
    /// the batch.
    #[default]
    Features,
    /// Images are padded with 0, and the padding goes through the backbone too, as in DETR.
    Pixels,
}

/// Sizes of a [`Detr`](super::Detr).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetrConfig {
    /// Height and width that position tables are made for, in pixels; images of any size can be read.
    pub image_size: [usize; 2],
    /// Channels of the images.
    pub channels: usize,
    /// Convolutions in front.
    pub backbone: BackboneConfig,
    /// Features of a token.
    pub dim: usize,
    /// Attention heads of a layer.
    pub heads: usize,
    /// Hidden features of a layer's MLP.
    pub mlp_dim: usize,
    /// Layers of the encoder.
    pub encoder_depth: usize,
    /// Layers of the decoder.
    pub decoder_depth: usize,
    /// Objects that can be found in an image.
    pub queries: usize,
    /// Classes, without that of no object.
    pub classes: usize,
    /// The position encoding: absolute ones are added to queries and keys of every encoder layer and to the keys of every
    /// cross-attention, relative ones change the encoder's self-attention.
    pub position: PositionConfig,
    /// Whether each query has a fixed point of the image, whose encoding is added to it and from which its box is measured, as in
    /// Anchor DETR (Wang et al. 2022), instead of a trained vector alone.
    #[serde(default)]
    pub anchors: bool,
    /// Whether encodings are scaled to a mean square of 1 at each place, which is that of tokens after a norm, so that none starts too
    /// faint to be seen beside them.
    #[serde(default)]
    pub scale_positions: bool,
    /// Where layers normalise; DETR after, pre-norm has one more norm behind the encoder.
    #[serde(default = "post")]
    pub order: NormOrder,
    /// Dropout after each attention and in the MLPs.
    #[serde(default)]
    pub dropout: f64,
    /// What happens to smaller images of a batch.
    #[serde(default)]
    pub padding: Padding,
}

fn post() -> NormOrder {
    NormOrder::Post
}

impl DetrConfig {
    /// Rows and columns of the features of an image of the config's size.
    pub fn grid(&self) -> [usize; 2] {
        Backbone::grid(&self.backbone, self.image_size)
    }

    /// Tokens of an image of the config's size, those of the decoder counted too.
    pub fn tokens(&self) -> usize {
        let [h, w] = self.grid();
        h * w + self.queries
    }

    /// Checks that the numbers fit together.
    ///
    /// # Errors
    /// The first that does not.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let &Self { channels, dim, heads, mlp_dim, encoder_depth, decoder_depth, .. } = self;
        let sizes = [
            ("image_size[0]", self.image_size[0]),
            ("image_size[1]", self.image_size[1]),
            ("channels", channels),
            ("dim", dim),
            ("heads", heads),
            ("mlp_dim", mlp_dim),
            ("encoder_depth", encoder_depth),
            ("decoder_depth", decoder_depth),
            ("queries", self.queries),
            ("classes", self.classes),
        ];
        let sizes = sizes.into_iter().chain(self.backbone.sizes());
        for (name, size) in sizes {
            if !(1..=1 << 16).contains(&size) {
                return Err(ConfigError(format!("{name} = {size}: 1 to 65536 expected")));
            }
        }
        if !dim.is_multiple_of(heads) {
            return Err(ConfigError(format!("dim = {dim} is not divisible by heads = {heads}")));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            let message = format!("dropout = {}: a probability below 1 expected", self.dropout);
            return Err(ConfigError(message));
        }
        self.position.validate(&self.position_shape()).map_err(ConfigError)
    }

    pub(super) fn position_shape(&self) -> PositionShape {
        let &Self { dim, heads, encoder_depth: depth, .. } = self;
        let sizes = self.grid().to_vec();
        PositionShape { sizes, groups: 1, extra: 0, dim, heads, depth }
    }
}
