//! The fixed workloads: models and batch sizes.

use clap::ValueEnum;
use models::{BackboneConfig, CaptionerConfig, DetrConfig, ImageGptConfig, Padding, VitConfig};
use nn::{NormOrder, PositionConfig};

use super::BenchArgs;
use crate::recipe::ModelConfig;

/// A model and a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Workload {
    /// ViT 28×28×1, patch 4, dim 64, depth 4, heads 4, batch 128.
    VitS,
    /// ViT 32×32×3, patch 4, dim 192, depth 6, heads 3, batch 64.
    VitM,
    /// ViT-Ti/16, 224×224×3, dim 192, depth 12, heads 3, 1,000 classes, batch 8.
    VitTi,
    /// Image GPT of 28×28 tokens, dim 128, depth 6, heads 4, vocabulary 256, batch 8.
    Igpt,
    /// Image GPT of 64×64 tokens, dim 128, depth 4, heads 4, vocabulary 256, batch 1.
    IgptXl,
    /// DETR on 64×64×3, two convolutions of stride 2, 256 tokens, dim 128, 3 + 3 layers, heads 4, 16 queries, 10 classes, batch 16.
    Detr,
    /// Captioner of 80 nodes, 5 widgets of 64×64 pixels and 11 words a screen, dim 128, 2 + 2 layers, heads 4, 1,000 words, batch 8.
    Captioner,
}

impl Workload {
    /// The model, and the samples of a batch.
    pub(super) fn config(self, args: &BenchArgs) -> (ModelConfig, usize) {
        let (image_size, patch_size, channels, dim, depth, heads, classes, batch) = match self {
            Workload::VitS => (28, 4, 1, 64, 4, 4, 10, 128),
            Workload::VitM => (32, 4, 3, 192, 6, 3, 10, 64),
            Workload::VitTi => (224, 16, 3, 192, 12, 3, 1000, 8),
            Workload::Igpt => (28, 1, 1, 128, 6, 4, 256, 8),
            Workload::IgptXl => (64, 1, 1, 128, 4, 4, 256, 1),
            Workload::Detr => (64, 4, 3, 128, 3, 4, 10, 16),
            Workload::Captioner => (64, 1, 1, 128, 2, 4, 1000, 8),
        };
        let position = PositionConfig::LffMlp { gamma: 10.0, features: dim, hidden: dim / 2 };
        let (mlp_dim, dropout) = (4 * dim, 0.0);
        if let Workload::Igpt | Workload::IgptXl = self {
            let is_xl = self == Workload::IgptXl;
            let given = |value: Option<u16>| value.filter(|_| is_xl).map(usize::from);
            let side = given(args.side).unwrap_or(image_size);
            let plain = ImageGptConfig::new(side, [dim, depth, heads, mlp_dim], position);
            let channels = given(args.channels).unwrap_or(channels);
            let config = ImageGptConfig { channels, ..plain };
            return (ModelConfig::ImageGpt(config), batch);
        }
        if self == Workload::Detr {
            let config = DetrConfig {
                image_size: [image_size; 2],
                channels,
                backbone: BackboneConfig::Stem { channels: vec![dim / 2, dim] },
                dim,
                heads,
                mlp_dim,
                encoder_depth: depth,
                decoder_depth: depth,
                queries: 16,
                classes,
                position: PositionConfig::LffMlp { gamma: 1.0, features: dim, hidden: dim / 2 },
                anchors: false,
                scale_positions: false,
                order: NormOrder::Post,
                dropout,
                padding: Padding::Features,
            };
            return (ModelConfig::Detr(config), batch);
        }
        if self == Workload::Captioner {
            let plain = CaptionerConfig::default();
            let config = CaptionerConfig { vocabulary: classes, dropout, ..plain };
            return (ModelConfig::Captioner(config), batch);
        }
        let sizes = [dim, depth, heads, mlp_dim];
        let config = VitConfig::new([image_size, channels], patch_size, sizes, classes, position);
        (ModelConfig::Vit(config), batch)
    }
}
