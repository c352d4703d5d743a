//! The choice of a backbone.

use serde::{Deserialize, Serialize};

/// The convolutions that turn an image into features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum BackboneConfig {
    /// 3×3 convolutions of stride 2 with ReLU, one for each entry.
    Stem {
        /// Channels after each convolution.
        channels: Vec<usize>,
    },
    /// Stages of residual blocks (two 3×3 convolutions with group norm each; He et al. 2016, Wu and He 2018), to be trained from
    /// scratch. Each stage halves height and width.
    Residual {
        /// Channels of each stage.
        channels: Vec<usize>,
        /// Residual blocks of a stage.
        blocks: usize,
    },
    /// ResNet-18 (He et al. 2016) with frozen batch norm, under torchvision's names; stride 32.
    #[serde(rename = "resnet-18")]
    ResNet18 {
        /// Whether the last stage is dilated instead of strided (DC5): stride 16.
        #[serde(default)]
        dilated: bool,
        /// Channels of the four stages, those of the 3×3 convolutions.
        #[serde(default = "resnet")]
        channels: [usize; 4],
    },
    /// ResNet-50 with frozen batch norm and the stride in the 3×3 convolution, as torchvision has it; stride 32.
    #[serde(rename = "resnet-50")]
    ResNet50 {
        /// Whether the last stage is dilated instead of strided (DC5): stride 16.
        #[serde(default)]
        dilated: bool,
        /// Channels of the four stages, those of the 3×3 convolutions.
        #[serde(default = "resnet")]
        channels: [usize; 4],
    },
}

fn resnet() -> [usize; 4] {
    [64, 128, 256, 512]
}

impl BackboneConfig {
    /// The numbers of which each has to be positive, by name.
    pub(crate) fn sizes(&self) -> Vec<(&'static str, usize)> {
        let (count, channels, blocks) = match self {
            BackboneConfig::Stem { channels } => (channels.len(), &channels[..], 1),
            BackboneConfig::Residual { channels, blocks } => {
                (channels.len(), &channels[..], *blocks)
            }
            BackboneConfig::ResNet18 { channels, .. }
            | BackboneConfig::ResNet50 { channels, .. } => (channels.len(), &channels[..], 1),
        };
        let channels = channels.iter().map(|&channels| ("backbone.channels", channels));
        let numbers = [("backbone.channels.len()", count), ("backbone.blocks", blocks)];
        numbers.into_iter().chain(channels).collect()
    }
}
