//! Vision transformer (Dosovitskiy et al. 2021), under timm's parameter names.

use std::borrow::Cow;

use autograd::{Var, concat, linear};
use nn::{
    Activation, Block, BlockConfig, Context, Fill, Init, LayerNorm, Linear, ParamId, Places,
    Position, PositionConfig, PositionShape, Reading,
};
use serde::{Deserialize, Serialize};
use tensor::{Float, Tensor};

use crate::ConfigError;

/// How the tokens of the last layer become one vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pool {
    /// The class token.
    #[default]
    Cls,
    /// The mean of the patches' tokens; a class token does not count.
    Mean,
    /// The largest of each feature over the patches' tokens; a class token does not count.
    Max,
}

/// Sizes of a [`Vit`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VitConfig {
    /// Height and width of the images, in pixels.
    pub image_size: usize,
    /// Height and width of a patch, in pixels.
    pub patch_size: usize,
    /// Channels of the images.
    pub channels: usize,
    /// Features of a token.
    pub dim: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Attention heads of a block.
    pub heads: usize,
    /// Hidden features of a block's MLP.
    pub mlp_dim: usize,
    /// Number of classes.
    pub classes: usize,
    /// How tokens become one vector.
    #[serde(default)]
    pub pool: Pool,
    /// Whether a learned token goes in front of the patches.
    #[serde(default = "yes")]
    pub class_token: bool,
    /// The position encoding.
    pub position: PositionConfig,
    /// eps of the norms.
    #[serde(default = "eps")]
    pub eps: f64,
    /// Between the layers of the MLPs.
    #[serde(default)]
    pub activation: Activation,
    /// Whether queries, keys and values have a bias.
    #[serde(default = "yes")]
    pub qkv_bias: bool,
    /// Whether the last norm comes after pooling, as `fc_norm`, instead of before it.
    #[serde(default)]
    pub fc_norm: bool,
    /// Whether tokens with positions are normalised before the first block and patches are embedded without a bias, as in
    /// CLIP (Radford et al. 2021).
    #[serde(default)]
    pub pre_norm: bool,
    /// Dropout in the blocks.
    #[serde(default)]
    pub dropout: f64,
    /// Probability of skipping a residual branch, growing linearly from 0 at the first block to this at the last.
    #[serde(default)]
    pub drop_path: f64,
}

fn yes() -> bool {
    true
}

fn eps() -> f64 {
    LayerNorm::EPS
}

impl VitConfig {
    /// A model with a class token and all else as by default: images of `[height and width, channels]` in patches of
    /// `patch_size`; `[dim, depth, heads, mlp_dim]`.
    pub fn new(
        [image_size, channels]: [usize; 2],
        patch_size: usize,
        [dim, depth, heads, mlp_dim]: [usize; 4],
        classes: usize,
        position: PositionConfig,
    ) -> Self {
        Self {
            image_size,
            patch_size,
            channels,
            dim,
            depth,
            heads,
            mlp_dim,
            classes,
            pool: Pool::Cls,
            class_token: true,
            position,
            eps: eps(),
            activation: Activation::Gelu,
            qkv_bias: true,
            fc_norm: false,
            pre_norm: false,
            dropout: 0.0,
            drop_path: 0.0,
        }
    }

    /// The number of patches.
    pub fn patches(&self) -> usize {
        (self.image_size / self.patch_size).pow(2)
    }

    /// The number of tokens.
    pub fn tokens(&self) -> usize {
        self.patches() + usize::from(self.class_token)
    }

    /// Checks that the numbers fit together.
    ///
    /// # Errors
    /// The first that does not.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let Self { image_size, patch_size, channels, dim, depth, heads, mlp_dim, classes, .. } =
            *self;
        let require =
            |holds: bool, message: String| if holds { Ok(()) } else { Err(ConfigError(message)) };
        let sizes = [
            ("image_size", image_size),
            ("patch_size", patch_size),
            ("channels", channels),
            ("dim", dim),
            ("depth", depth),
            ("heads", heads),
            ("mlp_dim", mlp_dim),
            ("classes", classes),
        ];
        for (name, size) in sizes {
            require(
                (1..=1 << 16).contains(&size),
                format!("{name} = {size}: 1 to 65536 expected"),
            )?;
        }
        let kernel = [dim, channels, patch_size, patch_size].map(|size| size as u128);
        require(
            kernel.iter().product::<u128>() <= 1 << 32,
            format!(
                "dim = {dim}, channels = {channels}, patch_size = {patch_size}: a matrix of at most 2³² numbers expected for a patch"
            ),
        )?;
        let divides = image_size.is_multiple_of(patch_size);
        require(
            divides,
            format!("image_size = {image_size} is not divisible by patch_size = {patch_size}"),
        )?;
        require(
            dim.is_multiple_of(heads),
            format!("dim = {dim} is not divisible by heads = {heads}"),
        )?;
        let cls = self.pool != Pool::Cls || self.class_token;
        require(cls, "pool = \"cls\" needs class_token = true".to_owned())?;
        for (name, p) in [("dropout", self.dropout), ("drop_path", self.drop_path)] {
            require(
                (0.0..1.0).contains(&p),
                format!("{name} = {p}: a probability below 1 expected"),
            )?;
        }
        require(
            (0.0..=1.0).contains(&self.eps),
            format!("eps = {}: a number from 0 to 1 expected", self.eps),
        )?;
        self.position.validate(&self.position_shape()).map_err(ConfigError)
    }

    fn position_shape(&self) -> PositionShape {
        let side = self.image_size / self.patch_size;
        let &Self { dim, heads, depth, class_token, .. } = self;
        let sizes = vec![side, side];
        PositionShape { sizes, groups: 1, extra: usize::from(class_token), dim, heads, depth }
    }
}

/// Patches → tokens (+ positions) → (norm) → pre-norm blocks → norm → class token, mean or maximum → logits; or the norm after
/// pooling.
///
/// Parameters: `cls_token`, `pos_embed` or `pe.*`, `patch_embed.proj.*`, `norm_pre.*`, `blocks.N.*`, `norm.*` or `fc_norm.*`,
/// `head.*`.
#[derive(Clone, Debug)]
pub struct Vit {
    config: VitConfig,
    cls_token: Option<ParamId>,
    position: Position,
    places: Places,
    patch_weight: ParamId,
    patch_bias: Option<ParamId>,
    norm_pre: Option<LayerNorm>,
    blocks: Vec<Block>,
    norm: LayerNorm,
    head: Linear,
}

impl Vit {
    /// A model with fresh parameters.
    ///
    /// # Errors
    /// If the config's numbers do not fit together.
    pub fn new(init: &mut Init<'_>, config: &VitConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        let &VitConfig { patch_size, channels, dim, depth, heads, mlp_dim, classes, .. } = config;
        let &VitConfig { dropout, eps, activation, qkv_bias, .. } = config;
        let token =
            |init: &mut Init<'_>| init.param("cls_token", [1, 1, dim], Fill::Normal(1e-6), false);
        let cls_token = config.class_token.then(|| token(init));
        let position = Position::new(init, &config.position, config.position_shape());
        let places = Places::grid(config.image_size / patch_size, config.image_size / patch_size);
        let mut scope = init.scope("patch_embed");
        let mut proj = scope.scope("proj");
        let bound = 1.0 / ((channels * patch_size * patch_size) as f64).sqrt();
        let shape = [dim, channels, patch_size, patch_size];
        let patch_weight = proj.param("weight", shape, Fill::Uniform(bound), true);
        let bias = |proj: &mut Init<'_>| proj.param("bias", [dim], Fill::Uniform(bound), false);
        let patch_bias = (!config.pre_norm).then(|| bias(&mut proj));
        let norm_pre =
            config.pre_norm.then(|| LayerNorm::with_eps(&mut init.scope("norm_pre"), dim, eps));
        let mut scope = init.scope("blocks");
        let blocks = (0..depth).map(|i| {
            let drop_path = config.drop_path * i as f64 / (depth - 1).max(1) as f64;
            let plain = BlockConfig::new(dim, heads, mlp_dim);
            let config = BlockConfig { dropout, drop_path, eps, activation, qkv_bias, ..plain };
            Block::new(&mut scope.scope(i), &config)
        });
        let blocks = blocks.collect();
        let last = if config.fc_norm { "fc_norm" } else { "norm" };
        let norm = LayerNorm::with_eps(&mut init.scope(last), dim, eps);
        let head =
            Linear::with(&mut init.scope("head"), dim, classes, Fill::TruncatedNormal(0.02), true);
        Ok(Self {
            config: config.clone(),
            cls_token,
            position,
            places,
            patch_weight,
            patch_bias,
            norm_pre,
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
    pub fn config(&self) -> &VitConfig {
        &self.config
    }

    /// How much tokens take from each other in each block: images [B, C, H, W] → for each block [B, heads, N, N]. A class token
    /// comes first. See [`attention_rollout`](crate::attention_rollout).
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    #[track_caller]
    pub fn attention_weights<E: Float>(
        &self,
        cx: &Context<'_, E>,
        images: &Tensor<E>,
    ) -> Vec<Tensor<E>> {
        let places = self.places_of(images);
        let sight = self.position.sight(cx, &places, false);
        let mut x = self.embed(cx, images, &places);
        let mut weights = Vec::new();
        for (i, block) in self.blocks.iter().enumerate() {
            weights.push(block.attention_weights(cx, &x, sight.of(i)).into_value());
            x = block.forward(cx, &x, sight.of(i));
        }
        weights
    }

    /// Where the patches of these images are.
    #[track_caller]
    fn places_of<E: Float>(&self, images: &Tensor<E>) -> Cow<'_, Places> {
        let &[_, _, height, width] = images.dims() else {
            panic!("vit: images [B, C, H, W] expected, found {}", images.shape())
        };
        let grid = [height / self.config.patch_size, width / self.config.patch_size];
        match grid == *self.places.sizes() {
            true => Cow::Borrowed(&self.places),
            false => Cow::Owned(Places::grid(grid[0], grid[1])),
        }
    }

    /// Images [B, C, H, W] → logits [B, classes].
    ///
    /// # Panics
    /// If the images have not the config's size, unless the position encoding serves any.
    #[track_caller]
    pub fn forward<E: Float>(&self, cx: &Context<'_, E>, images: &Tensor<E>) -> Var<E> {
        let places = &self.places_of(images);
        let (mut x, sight) =
            (self.embed(cx, images, places), self.position.sight(cx, places, false));
        let (last, blocks) = self.blocks.split_last().expect("the config has at least one block");
        for (i, block) in blocks.iter().enumerate() {
            x = block.forward(cx, &x, sight.of(i));
        }
        // What pooling leaves out is not computed: norm and MLP work token by token, queries ask for themselves only.
        let options = sight.of(blocks.len());
        let pool = self.config.pool;
        let kept = match pool {
            Pool::Cls => last.forward_first(cx, &x, 1, options),
            Pool::Mean | Pool::Max => {
                x = last.forward(cx, &x, options);
                let first = usize::from(self.config.class_token);
                let patches = x.dims()[1] - first;
                if first == 0 { x } else { x.narrow(1, first, patches) }
            }
        };
        let pooled = |x: &Var<E>| match pool {
            Pool::Cls => x.squeeze(1),
            Pool::Mean => x.mean(&[1]),
            Pool::Max => x.max(1),
        };
        let pooled = match self.config.fc_norm || pool == Pool::Cls {
            true => self.norm.forward(cx, &pooled(&kept)),
            false => pooled(&self.norm.forward(cx, &kept)),
        };
        self.head.forward(cx, &pooled)
    }

    /// Images [B, C, H, W] → tokens [B, N, D] with positions.
    fn embed<E: Float>(&self, cx: &Context<'_, E>, images: &Tensor<E>, places: &Places) -> Var<E> {
        let VitConfig { patch_size: p, channels, dim, .. } = self.config;
        let &[batch, found, height, width] = images.dims() else {
            panic!("vit: images [B, C, H, W] expected, found {}", images.shape())
        };
        let fits = found == channels && height.is_multiple_of(p) && width.is_multiple_of(p);
        assert!(
            fits,
            "vit: images {}, {channels} channels and patches of {p} expected",
            images.shape()
        );
        let (rows, cols) = (height / p, width / p);

        // A convolution whose stride is its kernel: each patch, channels first, times the kernel's matrix.
        let patches =
            images.reshape([batch, channels, rows, p, cols, p]).permute(&[0, 2, 4, 1, 3, 5]);
        let patches = Var::constant(patches.reshape([batch, rows * cols, channels * p * p]));
        let kernel = cx.param(self.patch_weight).reshape([dim, channels * p * p]);
        let bias = self.patch_bias.map(|bias| cx.param(bias));
        let x = linear(&patches, &kernel, bias.as_ref());

        let (embedded, slots) = self.position.embed(cx, places);
        let x = embedded.map_or_else(|| x.clone(), |embedded| &x + &embedded);
        let x = match self.cls_token {
            Some(token) => {
                let token = cx.param(token);
                let token = slots.map_or_else(|| token.clone(), |slot| token.add(&slot));
                concat(&[&token.expand([batch, 1, dim]), &x], 1)
            }
            None => x,
        };
        self.norm_pre.as_ref().map_or_else(|| x.clone(), |norm| norm.forward(cx, &x))
    }
}

#[cfg(test)]
mod tests {
    use autograd::{CrossEntropy, cross_entropy};
    use nn::{AdamW, AdamWConfig, Params};
    use rand::SeedableRng;
    use rand::rngs::ChaCha8Rng;

    use super::*;

    fn config(position: PositionConfig) -> VitConfig {
        VitConfig::new([8, 2], 4, [16, 2, 2, 32], 3, position)
    }

    fn lff() -> PositionConfig {
        PositionConfig::LffMlp { gamma: 0.2, features: 0, hidden: 8 }
    }

    #[test]
    fn a_batch_is_overfitted() {
        for position in [lff(), PositionConfig::Embed1d { std: 0.02 }] {
            let mut params = Params::new();
            let model = Vit::new(&mut Init::new(&mut params, 1), &config(position)).expect("valid");
            let images: Tensor =
                Tensor::normal([6, 2, 8, 8], 0.0, 1.0, &mut ChaCha8Rng::seed_from_u64(2));
            let targets = [0, 1, 2, 2, 1, 0];
            let mut optimizer = AdamW::new(&params, AdamWConfig::default());
            let mut loss = f32::NAN;
            for _ in 0..60 {
                let cx = Context::train(&params, ChaCha8Rng::seed_from_u64(3));
                let value =
                    cross_entropy(&model.forward(&cx, &images), &targets, &CrossEntropy::default());
                loss = value.value().item();
                let grads = cx.backward(&value);
                drop(value);
                drop(cx);
                optimizer.step(&mut params, &grads, 1e-2, 1.0);
            }
            assert!(loss < 0.01, "loss {loss} after 60 steps on one batch");
        }
    }

    #[test]
    fn without_positions_in_the_sum_the_order_of_patches_would_not_matter_and_with_them_it_does() {
        let mut params = Params::new();
        let model = Vit::new(&mut Init::new(&mut params, 1), &config(lff())).expect("valid");
        let images: Tensor =
            Tensor::normal([1, 2, 8, 8], 0.0, 1.0, &mut ChaCha8Rng::seed_from_u64(4));
        let swapped = Tensor::concat(&[&images.narrow(2, 4, 4), &images.narrow(2, 0, 4)], 2);
        let logits = |params: &Params, images: &Tensor| {
            model.forward(&Context::eval(params), images).into_value()
        };
        let difference = |params: &Params| {
            (&logits(params, &images) - &logits(params, &swapped)).abs().max(-1).max(0).item()
        };
        assert!(difference(&params) > 1e-5);
        for param in params.iter_mut().filter(|param| param.name.starts_with("pe.fc2")) {
            param.value.data_mut().fill(0.0);
        }
        assert!(difference(&params) < 1e-6);
    }

    #[test]
    fn any_image_size_is_served_by_learnable_fourier_positions() {
        let mut params = Params::new();
        let model = Vit::new(&mut Init::new(&mut params, 1), &config(lff())).expect("valid");
        let logits = model.forward(&Context::eval(&params), &Tensor::zeros([2, 2, 12, 20]));
        assert_eq!(logits.dims(), [2, 3]);
    }

    #[test]
    fn numbers_that_do_not_fit_are_named() {
        let error = |change: fn(&mut VitConfig)| {
            let mut config = config(lff());
            change(&mut config);
            config.validate().expect_err("refused").to_string()
        };
        assert_eq!(error(|c| c.depth = 0), "depth = 0: 1 to 65536 expected");
        assert_eq!(error(|c| c.eps = f64::NAN), "eps = NaN: a number from 0 to 1 expected");
        let large = error(|c| (c.dim, c.channels, c.patch_size) = (1 << 16, 1 << 16, 1 << 16));
        assert!(large.ends_with("at most 2³² numbers expected for a patch"), "{large}");
        assert_eq!(error(|c| c.heads = 3), "dim = 16 is not divisible by heads = 3");
        assert_eq!(
            error(|c| c.image_size = 9),
            "image_size = 9 is not divisible by patch_size = 4"
        );
        assert_eq!(error(|c| c.class_token = false), "pool = \"cls\" needs class_token = true");
        assert_eq!(error(|c| c.depth = 0), "depth = 0: 1 to 65536 expected");
    }
}
