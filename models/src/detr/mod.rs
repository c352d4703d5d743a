//! A detector of objects as a set of boxes (Carion et al. 2020).

mod config;
mod transformer;

use autograd::{Attention, Var, concat, linear};
use nn::{
    Context, Fill, Init, LayerNorm, Linear, NormOrder, ParamId, Places, Position, Reading, Sight,
};
use tensor::{Float, Tensor};

use self::transformer::{DecoderLayer, EPS, EncoderLayer, plus};
use crate::backbone::Backbone;
use crate::positions::{of_layer, per_sample, scaled};
use crate::{ConfigError, Detections};

pub use config::{DetrConfig, Padding};

/// Images → backbone → 1×1 projection → encoder over all places → decoder over queries → classes and boxes of each query, after
/// each decoder layer.
///
/// Positions of places are fractions of the image (row/h, column/w), without its padding.
///
/// Parameters: those of the backbone (`stem.*` or `backbone.*`), `input_proj.*` unless a stem ends with the model's width,
/// `pe.*` or `pos_embed`, `query` [Q, D], `enc.N.*`, `enc_norm.*` if pre-norm, `dec.N.*`, `norm.*`, `cls.*`, `box.0.*`, `box.2.*`,
/// `box.4.*`.
#[derive(Clone, Debug)]
pub struct Detr {
    config: DetrConfig,
    backbone: Backbone,
    projection: Option<[ParamId; 2]>,
    position: Position,
    query: ParamId,
    anchors: Option<Vec<[f64; 2]>>,
    encoder: Vec<EncoderLayer>,
    encoder_norm: Option<LayerNorm>,
    decoder: Vec<DecoderLayer>,
    norm: LayerNorm,
    class_head: Linear,
    box_head: [Linear; 3],
}

impl Detr {
    /// A model with fresh parameters.
    ///
    /// # Errors
    /// If the config's numbers do not fit together.
    pub fn new(init: &mut Init<'_>, config: &DetrConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        let &DetrConfig { channels, dim, queries, .. } = config;
        let (backbone, features) = Backbone::new(init, &config.backbone, channels);
        let is_stem = matches!(backbone, Backbone::Stem(_));
        let projection = (!is_stem || features != dim).then(|| {
            let mut scope = init.scope("input_proj");
            let bound = (6.0 / (features + dim) as f64).sqrt();
            let weight = scope.param("weight", [dim, features, 1, 1], Fill::Uniform(bound), true);
            [weight, scope.param("bias", [dim], Fill::Zeros, false)]
        });
        let shape = config.position_shape();
        let position = Position::new(init, &config.position, shape);
        let mut scope = init.scope("enc");
        let encoder =
            (0..config.encoder_depth).map(|i| EncoderLayer::new(&mut scope.scope(i), config));
        let encoder = encoder.collect();
        let mut scope = init.scope("dec");
        let decoder =
            (0..config.decoder_depth).map(|i| DecoderLayer::new(&mut scope.scope(i), config));
        let decoder = decoder.collect();
        let mut norm = |name| LayerNorm::with_eps(&mut init.scope(name), dim, EPS);
        let encoder_norm = (config.order == NormOrder::Pre).then(|| norm("enc_norm"));
        let norm = norm("norm");
        let class_head = Linear::new(&mut init.scope("cls"), dim, config.classes + 1);
        let mut scope = init.scope("box");
        let box_head = [(0, dim), (2, dim), (4, 4)]
            .map(|(i, outputs)| Linear::new(&mut scope.scope(i), dim, outputs));
        Ok(Self {
            config: config.clone(),
            backbone,
            projection,
            position,
            query: init.param("query", [queries, dim], Fill::Normal(1.0), false),
            anchors: config.anchors.then(|| spread(queries)),
            encoder,
            encoder_norm,
            decoder,
            norm,
            class_head,
            box_head,
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
    pub fn config(&self) -> &DetrConfig {
        &self.config
    }

    /// Images [B, C, H, W], of which the first `sizes[b]` = (height, width) pixels of image b count and the others are 0 → what
    /// each decoder layer finds, the last one's at the end.
    ///
    /// # Panics
    /// If the images have not the config's channels, or a size is 0 or larger than the images.
    #[track_caller]
    pub fn forward<E: Float>(
        &self,
        cx: &Context<'_, E>,
        images: &Tensor<E>,
        sizes: &[[usize; 2]],
    ) -> Vec<Detections<E>> {
        let &[batch, channels, height, width] = images.dims() else {
            panic!("detr: images [B, C, H, W] expected, found {}", images.shape())
        };
        let inside = |&[h, w]: &[usize; 2]| (1..=height).contains(&h) && (1..=width).contains(&w);
        let fits = channels == self.config.channels && sizes.len() == batch;
        assert!(
            fits && sizes.iter().all(inside),
            "detr: images {} of sizes {sizes:?}, {} channels expected",
            images.shape(),
            self.config.channels
        );
        let (features, valid) = self.features(cx, images, sizes);
        let &[_, channels, rows, columns] = features.dims() else { unreachable!("[B, C, h, w]") };
        let n = rows * columns;
        let x = features.reshape([batch, channels, n]).transpose(1, 2);
        let mut x = match self.projection {
            Some([weight, bias]) => {
                let weight = cx.param(weight).reshape([self.config.dim, channels]);
                linear(&x, &weight, Some(&cx.param(bias)))
            }
            None => x,
        };

        let places = Places::of_images(&valid, [rows, columns]);
        let hidden = hidden_places(&valid, [rows, columns]);
        let positions = per_sample(&places, |places| self.placed(cx, places));
        let sights: Vec<Sight<E>> =
            places.iter().map(|places| self.position.sight(cx, places, false)).collect();
        for (i, layer) in self.encoder.iter().enumerate() {
            let sight = of_layer(&sights, i, hidden.as_ref());
            x = layer.forward(cx, &x, positions.as_ref(), &sight);
        }
        if let Some(norm) = &self.encoder_norm {
            x = norm.forward(cx, &x);
        }

        let keys = plus(&x, positions.as_ref());
        let sight = Attention { mask: hidden, ..Attention::default() };
        let (mut queries, trained) = (cx.param(self.query), cx.param(self.query));
        let mut found = Var::constant(Tensor::zeros([batch, self.config.queries, self.config.dim]));
        if let Some(anchors) = &self.anchors {
            found = &found + &trained;
            let at_anchors =
                |places: &Places| self.placed(cx, &anchor_places(anchors, places.sizes()));
            let points = per_sample(&places, at_anchors);
            queries = points.unwrap_or(trained);
        }
        let layers = self.decoder.iter().map(|layer| {
            found = layer.forward(cx, &found, &queries, [&keys, &x], &sight);
            self.read(cx, &self.norm.forward(cx, &found))
        });
        layers.collect()
    }

    /// The encoding of places [N, D], if it is one that is added.
    fn placed<E: Float>(&self, cx: &Context<'_, E>, places: &Places) -> Option<Var<E>> {
        let encoded = self.position.embed(cx, places).0?;
        Some(if self.config.scale_positions { scaled(&encoded) } else { encoded })
    }

    /// Features [B, C', h, w] of images, and how many rows and columns of them belong to each image.
    fn features<E: Float>(
        &self,
        cx: &Context<'_, E>,
        images: &Tensor<E>,
        sizes: &[[usize; 2]],
    ) -> (Var<E>, Vec<[usize; 2]>) {
        let [height, width] = [images.dims()[2], images.dims()[3]];
        let whole = sizes.iter().all(|&size| size == [height, width]);
        if whole || self.config.padding == Padding::Pixels {
            let features = self.backbone.forward(cx, &Var::constant(images.clone()));
            let [h, w] = [features.dims()[2], features.dims()[3]];
            // A place counts if the pixel counts that stands at the same fraction of the padded image.
            let valid = |&[y, x]: &[usize; 2]| [(y * h).div_ceil(height), (x * w).div_ceil(width)];
            return (features, sizes.iter().map(valid).collect());
        }
        let parts: Vec<Var<E>> = sizes
            .iter()
            .enumerate()
            .map(|(b, &[h, w])| {
                let image = images.narrow(0, b, 1).narrow(2, 0, h).narrow(3, 0, w);
                self.backbone.forward(cx, &Var::constant(image))
            })
            .collect();
        let valid: Vec<[usize; 2]> = parts.iter().map(|x| [x.dims()[2], x.dims()[3]]).collect();
        let most = |axis: usize| valid.iter().map(|size| size[axis]).max().unwrap_or(0);
        let (rows, columns) = (most(0), most(1));
        let padded: Vec<Var<E>> =
            parts.iter().map(|part| padded(&padded(part, 2, rows), 3, columns)).collect();
        (concat(&padded.iter().collect::<Vec<_>>(), 0), valid)
    }

    /// Classes and boxes of queries [B, Q, D].
    fn read<E: Float>(&self, cx: &Context<'_, E>, x: &Var<E>) -> Detections<E> {
        let [first, second, last] = &self.box_head;
        let hidden = second.forward(cx, &first.forward(cx, x).relu()).relu();
        let mut boxes = last.forward(cx, &hidden);
        if let Some(anchors) = &self.anchors {
            // Centre and size are measured from the anchor, in units of the sigmoid's argument.
            let logit = |p: f64| E::from_f64((p / (1.0 - p)).ln());
            let start = anchors.iter().flat_map(|&[y, x]| [logit(x), logit(y), E::ZERO, E::ZERO]);
            let start = Tensor::from_vec([anchors.len(), 4], start.collect());
            boxes = boxes + &Var::constant(start);
        }
        Detections { logits: self.class_head.forward(cx, x), boxes: boxes.sigmoid() }
    }
}

/// Anchors as places of a grid of these rows and columns, whose positions are those of their first corners.
fn anchor_places(anchors: &[[f64; 2]], sizes: &[usize]) -> Places {
    let half = |axis: usize| 0.5 / sizes[axis] as f64;
    let fractions =
        anchors.iter().flat_map(|&[y, x]| [(y - half(0)).max(0.0), (x - half(1)).max(0.0)]);
    let fractions = Tensor::from_vec([anchors.len(), 1, 2], fractions.collect());
    Places::new(fractions, sizes)
}

/// Points (y, x) that cover the unit square evenly, however many they are: the R₂ sequence (Roberts 2018).
fn spread(count: usize) -> Vec<[f64; 2]> {
    let plastic: f64 = 1.324_717_957_244_746;
    let point = |i: usize| {
        let at = |step: f64| (0.5 + step * (i + 1) as f64).fract().clamp(0.01, 0.99);
        [at(plastic.recip()), at(plastic.powi(-2))]
    };
    (0..count).map(point).collect()
}

/// Zeros behind, along an axis, up to this size.
fn padded<E: Float>(x: &Var<E>, axis: usize, size: usize) -> Var<E> {
    let missing = size - x.dims()[axis];
    if missing == 0 {
        return x.clone();
    }
    let zeros = Var::constant(Tensor::zeros(x.shape().with(axis, missing)));
    concat(&[x, &zeros], axis as isize)
}

/// −∞ for the places of a padded grid that belong to no image, [B, 1, 1, N]; `None` if there is none.
fn hidden_places<E: Float>(valid: &[[usize; 2]], [rows, columns]: [usize; 2]) -> Option<Var<E>> {
    if valid.iter().all(|&size| size == [rows, columns]) {
        return None;
    }
    let n = rows * columns;
    let mask = Tensor::from_fn([valid.len(), 1, 1, n], |i| {
        let ([h, w], at) = (valid[i / n], i % n);
        if at / columns < h && at % columns < w { E::ZERO } else { -E::INFINITY }
    });
    Some(Var::constant(mask))
}

#[cfg(test)]
mod tests {
    use nn::{AdamW, AdamWConfig, Params, PositionConfig};
    use rand::SeedableRng;
    use rand::rngs::ChaCha8Rng;

    use super::*;
    use crate::{BackboneConfig, CenterSize, Normalizer, SetCriterion, Target};

    fn config(backbone: BackboneConfig, anchors: bool) -> DetrConfig {
        DetrConfig {
            image_size: [16, 24],
            channels: 2,
            backbone,
            dim: 32,
            heads: 2,
            mlp_dim: 32,
            encoder_depth: 1,
            decoder_depth: 2,
            queries: 5,
            classes: 3,
            position: PositionConfig::LffMlp { gamma: 0.2, features: 16, hidden: 8 },
            anchors,
            scale_positions: anchors,
            order: NormOrder::Post,
            dropout: 0.0,
            padding: Padding::Features,
        }
    }

    fn residual() -> BackboneConfig {
        BackboneConfig::Residual { channels: vec![8, 16], blocks: 1 }
    }

    fn target(class: usize, bounds: [f64; 4]) -> Target {
        Target { class, bounds: CenterSize::from_array(bounds) }
    }

    #[test]
    fn a_batch_is_overfitted_by_boxes_and_classes() {
        for (backbone, anchors) in
            [(BackboneConfig::Stem { channels: vec![16, 32] }, false), (residual(), true)]
        {
            let mut params = Params::new();
            let config = config(backbone, anchors);
            let model = Detr::new(&mut Init::new(&mut params, 1), &config).expect("valid");
            let mut rng = ChaCha8Rng::seed_from_u64(2);
            let images: Tensor = Tensor::normal([3, 2, 16, 24], 0.0, 1.0, &mut rng);
            let targets = [
                vec![target(0, [0.3, 0.3, 0.2, 0.4]), target(2, [0.7, 0.6, 0.3, 0.2])],
                vec![],
                vec![target(1, [0.5, 0.2, 0.6, 0.3])],
            ];
            let normalizer = Normalizer::of(&targets, config.queries, 0.1);
            let mut optimizer = AdamW::new(&params, AdamWConfig::default());
            let mut losses = crate::Losses::default();
            for _ in 0..150 {
                let cx = Context::differentiate(&params);
                let layers = model.forward(&cx, &images, &[[16, 24]; 3]);
                let (loss, parts) = SetCriterion::default().loss(&layers, &targets, normalizer);
                losses = parts;
                let grads = cx.backward(&loss);
                drop((layers, loss, cx));
                optimizer.step(&mut params, &grads, 2e-3, 1.0);
            }
            assert!(losses.right == 3 && losses.l1 < 0.1 && losses.ce < 0.1, "{losses:?}");
        }
    }

    #[test]
    fn images_of_different_sizes_give_in_a_batch_what_each_gives_alone() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let sizes = [[16, 24], [10, 13], [7, 24]];
        let images: Tensor<f64> = Tensor::normal([3, 2, 16, 24], 0.0, 1.0, &mut rng);
        let inside = Tensor::from_fn([3, 1, 16, 24], |i| {
            let ([height, width], at) = (sizes[i / 384], i % 384);
            if at / 24 < height && at % 24 < width { 1.0 } else { 0.0 }
        });
        let images = &images * &inside;
        for position in PositionConfig::all(0.2) {
            for order in [NormOrder::Post, NormOrder::Pre] {
                let name = position.name();
                let config = config(residual(), order == NormOrder::Pre);
                let config = DetrConfig { position: position.clone(), order, ..config };
                let mut params = Params::new();
                let model = Detr::new(&mut Init::new(&mut params, 1), &config).expect(name);
                let params = params.cast::<f64>();
                let find = |images: &Tensor<f64>, sizes: &[[usize; 2]]| {
                    let layers = model.forward(&Context::eval(&params), images, sizes);
                    let Detections { logits, boxes } = layers.last().expect("two layers").clone();
                    Tensor::concat(&[logits.value(), boxes.value()], -1)
                };
                let together = find(&images, &sizes);
                for (b, &[height, width]) in sizes.iter().enumerate() {
                    let image = images.narrow(0, b, 1).narrow(2, 0, height).narrow(3, 0, width);
                    let alone = find(&image.contiguous(), &[[height, width]]);
                    let difference = (&together.narrow(0, b, 1) - &alone).to_vec();
                    let error = difference.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
                    assert!(error < 1e-12, "{name}, image {b}: {error:e}");
                }
            }
        }
    }

    #[test]
    fn the_place_of_the_anchors_is_where_boxes_start() {
        let mut params = Params::new();
        let config = config(residual(), true);
        let model = Detr::new(&mut Init::new(&mut params, 1), &config).expect("valid");
        for param in params.iter_mut().filter(|param| param.name.starts_with("box.4.")) {
            param.value = Tensor::zeros(param.value.shape());
        }
        let image: Tensor = Tensor::zeros([1, 2, 16, 24]);
        let layers = model.forward(&Context::eval(&params), &image, &[[16, 24]]);
        let boxes = layers[0].boxes.value().to_vec();
        for (bounds, [y, x]) in boxes.chunks(4).zip(spread(5)) {
            let expected = [x, y, 0.5, 0.5];
            let close =
                |(found, expected): (&f32, f64)| (f64::from(*found) - expected).abs() < 1e-6;
            assert!(bounds.iter().zip(expected).all(close), "{bounds:?} {expected:?}");
        }
    }
}
