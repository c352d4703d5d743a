//! Convolutional backbones.

mod config;

use autograd::{Var, max_pool2d};
use nn::{Context, Conv2d, FrozenBatchNorm, GroupNorm, Init};
use tensor::{Convolution, Float};

pub use self::config::BackboneConfig;

/// Images [B, C, H, W] → features [B, C', h, w].
///
/// Parameters: `stem.0.*`, `stem.2.*` … of convolutions alone (the numbers between are those of the ReLUs); else
/// `backbone.conv1.weight`, `backbone.bn1.*`, `backbone.layer1.0.conv1.weight` … as torchvision names ResNet's.
#[derive(Clone, Debug)]
pub(crate) enum Backbone {
    Stem(Vec<Conv2d>),
    Residual { first: ConvNorm, pools: bool, blocks: Vec<ResidualBlock> },
}

/// Stages of ResNet: blocks of each, and whether a block narrows its 3×3 convolution to a quarter.
struct Stages<'a> {
    channels: &'a [usize],
    blocks: &'a [usize],
    narrows: bool,
    norm: NormChoice,
    dilated: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum NormChoice {
    Frozen,
    Group,
}

impl Backbone {
    /// A backbone with fresh parameters, and the number of channels that it ends with.
    pub(crate) fn new(
        init: &mut Init<'_>,
        config: &BackboneConfig,
        channels: usize,
    ) -> (Self, usize) {
        match config {
            BackboneConfig::Stem { channels: each } => {
                let mut scope = init.scope("stem");
                let inputs = std::iter::once(channels).chain(each.iter().copied());
                let conv = |(i, (inputs, &outputs))| {
                    Conv2d::new(&mut scope.scope(2 * i), inputs, outputs, 3, strided(2, 1))
                };
                let convs = inputs.zip(each).enumerate().map(conv).collect();
                (Backbone::Stem(convs), each.last().copied().unwrap_or(channels))
            }
            BackboneConfig::Residual { channels: each, blocks } => {
                let blocks = vec![*blocks; each.len()];
                let mut scope = init.scope("backbone");
                let (width, norm) = (each[0], NormChoice::Group);
                let first = ConvNorm::first(&mut scope, [channels, width], 3, norm);
                let stages = Stages {
                    channels: each,
                    blocks: &blocks,
                    narrows: false,
                    norm,
                    dilated: false,
                };
                let (blocks, outputs) = stages.build(&mut scope, width);
                (Backbone::Residual { first, pools: false, blocks }, outputs)
            }
            BackboneConfig::ResNet18 { dilated, channels: each } => {
                Self::resnet(init, channels, (each, &[2, 2, 2, 2], false, *dilated))
            }
            BackboneConfig::ResNet50 { dilated, channels: each } => {
                Self::resnet(init, channels, (each, &[3, 4, 6, 3], true, *dilated))
            }
        }
    }

    fn resnet(
        init: &mut Init<'_>,
        inputs: usize,
        (channels, blocks, narrows, dilated): (&[usize; 4], &[usize; 4], bool, bool),
    ) -> (Self, usize) {
        let mut scope = init.scope("backbone");
        let norm = NormChoice::Frozen;
        let first = ConvNorm::first(&mut scope, [inputs, 64], 7, norm);
        let stages = Stages { channels, blocks, narrows, norm, dilated };
        let (blocks, outputs) = stages.build(&mut scope, 64);
        (Backbone::Residual { first, pools: true, blocks }, outputs)
    }

    /// Height and width of the features of an image of this size.
    pub(crate) fn grid(config: &BackboneConfig, size: [usize; 2]) -> [usize; 2] {
        let halvings = match config {
            BackboneConfig::Stem { channels } => channels.len(),
            BackboneConfig::Residual { channels, .. } => channels.len(),
            BackboneConfig::ResNet18 { dilated, .. } | BackboneConfig::ResNet50 { dilated, .. } => {
                5 - usize::from(*dilated)
            }
        };
        size.map(|size| (0..halvings).fold(size, |size, _| size.div_ceil(2)))
    }

    /// Images [B, C, H, W] → features [B, C', h, w].
    pub(crate) fn forward<E: Float>(&self, cx: &Context<'_, E>, images: &Var<E>) -> Var<E> {
        match self {
            Backbone::Stem(convs) => {
                convs.iter().fold(images.clone(), |x, conv| conv.forward(cx, &x).relu())
            }
            Backbone::Residual { first, pools, blocks } => {
                let x = first.forward(cx, images).relu();
                let x = if *pools { max_pool2d(&x, 3, 2, 1) } else { x };
                blocks.iter().fold(x, |x, block| block.forward(cx, &x))
            }
        }
    }
}

impl Stages<'_> {
    /// The blocks of all stages, `layer1.0` …, and the channels behind them. The first stage of ResNet keeps the size that pooling
    /// has left; without pooling the first convolution has halved it already, too.
    fn build(&self, init: &mut Init<'_>, mut inputs: usize) -> (Vec<ResidualBlock>, usize) {
        let mut blocks = Vec::new();
        for (stage, (&width, &count)) in self.channels.iter().zip(self.blocks).enumerate() {
            let mut scope = init.scope(format!("layer{}", stage + 1));
            let is_dilated = self.dilated && stage + 1 == self.channels.len();
            for i in 0..count {
                let stride = if i == 0 && stage > 0 && !is_dilated { 2 } else { 1 };
                // The first convolution that would have been strided keeps the dilation of what it reads.
                let dilation = if is_dilated { 2 } else { 1 };
                let first = if i > 0 { dilation } else { 1 };
                let middle = Convolution { dilation: first, ..strided(stride, first) };
                let mut scope = scope.scope(i);
                let outputs = if self.narrows { 4 * width } else { width };
                let block = ResidualBlock::new(
                    &mut scope,
                    [inputs, width, outputs],
                    middle,
                    dilation,
                    self.norm,
                );
                blocks.push(block);
                inputs = outputs;
            }
        }
        (blocks, inputs)
    }
}

fn strided(stride: usize, padding: usize) -> Convolution {
    Convolution { stride, padding, ..Convolution::default() }
}

/// A convolution without bias and its normalisation.
#[derive(Clone, Debug)]
pub(crate) struct ConvNorm {
    conv: Conv2d,
    norm: ImageNorm,
}

#[derive(Clone, Debug)]
enum ImageNorm {
    Frozen(FrozenBatchNorm),
    Group(GroupNorm),
}

impl ConvNorm {
    fn first(init: &mut Init<'_>, sizes: [usize; 2], kernel: usize, norm: NormChoice) -> Self {
        Self::new(init, ["conv1", "bn1"], sizes, kernel, strided(2, kernel / 2), norm)
    }

    fn new(
        init: &mut Init<'_>,
        [conv, bn]: [&str; 2],
        [inputs, outputs]: [usize; 2],
        kernel: usize,
        options: Convolution,
        norm: NormChoice,
    ) -> Self {
        let conv = Conv2d::without_bias(&mut init.scope(conv), inputs, outputs, kernel, options);
        let mut scope = init.scope(bn);
        let norm = match norm {
            NormChoice::Frozen => ImageNorm::Frozen(FrozenBatchNorm::new(&mut scope, outputs)),
            NormChoice::Group => {
                let groups = (1..=8).rev().find(|groups| outputs.is_multiple_of(*groups));
                ImageNorm::Group(GroupNorm::new(&mut scope, outputs, groups.unwrap_or(1), 1e-5))
            }
        };
        Self { conv, norm }
    }

    fn forward<E: Float>(&self, cx: &Context<'_, E>, x: &Var<E>) -> Var<E> {
        let x = self.conv.forward(cx, x);
        match &self.norm {
            ImageNorm::Frozen(norm) => norm.forward(cx, &x),
            ImageNorm::Group(norm) => norm.forward(cx, &x),
        }
    }
}

/// relu(x + f(x)), where f is two 3×3 convolutions, or a 3×3 one between two of 1×1; x goes through a 1×1 convolution if its
/// shape changes.
#[derive(Clone, Debug)]
pub(crate) struct ResidualBlock {
    convs: Vec<ConvNorm>,
    downsample: Option<ConvNorm>,
}

impl ResidualBlock {
    fn new(
        init: &mut Init<'_>,
        [inputs, width, outputs]: [usize; 3],
        middle: Convolution,
        dilation: usize,
        norm: NormChoice,
    ) -> Self {
        let plain = Convolution::default();
        let convs = if outputs == width {
            let second = Convolution { dilation, ..strided(1, dilation) };
            vec![
                ConvNorm::new(init, ["conv1", "bn1"], [inputs, width], 3, middle, norm),
                ConvNorm::new(init, ["conv2", "bn2"], [width, width], 3, second, norm),
            ]
        } else {
            vec![
                ConvNorm::new(init, ["conv1", "bn1"], [inputs, width], 1, plain, norm),
                ConvNorm::new(init, ["conv2", "bn2"], [width, width], 3, middle, norm),
                ConvNorm::new(init, ["conv3", "bn3"], [width, outputs], 1, plain, norm),
            ]
        };
        let changes = inputs != outputs || middle.stride != 1;
        let downsample = changes.then(|| {
            let mut scope = init.scope("downsample");
            let options = strided(middle.stride, 0);
            ConvNorm::new(&mut scope, ["0", "1"], [inputs, outputs], 1, options, norm)
        });
        Self { convs, downsample }
    }

    fn forward<E: Float>(&self, cx: &Context<'_, E>, x: &Var<E>) -> Var<E> {
        let (last, first) = self.convs.split_last().expect("two or three convolutions");
        let y = first.iter().fold(x.clone(), |x, conv| conv.forward(cx, &x).relu());
        let y = last.forward(cx, &y);
        let x = self.downsample.as_ref().map_or_else(|| x.clone(), |conv| conv.forward(cx, x));
        (y + &x).relu()
    }
}
