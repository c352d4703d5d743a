//! Gradient checks of the models: small ones, end to end, from pictures to the loss, with dropout on; and of a loss.

use autograd::{CrossEntropy, Var, concat, cross_entropy};
use nn::check::{Entry, Pick};
use nn::{Activation, Context, Init, NormKind, NormOrder, PositionConfig, check_layer};

use crate::captioner::{CLASSES, PLACES};
use crate::{
    BackboneConfig, Captioner, CaptionerConfig, CenterSize, Detections, Detr, DetrConfig, Grouping,
    ImageGpt, ImageGptConfig, Normalizer, Padding, Pool, ScreenBatch, SetCriterion, Target, Vit,
    VitConfig,
};

/// All models, each in the forms whose code differs; `nn::check::table` has every position encoding.
#[rustfmt::skip]
pub fn table() -> Vec<Entry> {
    vec![
        check_layer!("Vit, embed-1d", "-> b>0<4 c>1<5",
            |init, pick| -> Vit { vit(init, pick, PositionConfig::Embed1d { std: 0.02 }) },
            |vit, cx, [], pick| vit.forward(cx, &pick.values(pictures(vit, pick)))),
        check_layer!("Vit, lff-mlp", "-> b>0<4 c>1<5",
            |init, pick| -> Vit { vit(init, pick, LFF_MLP) },
            |vit, cx, [], pick| vit.forward(cx, &pick.values(pictures(vit, pick)))),
        check_layer!("Vit and its loss", "->",
            |init, pick| -> Vit { vit(init, pick, LFF_MLP) },
            |vit, cx, [], pick| {
                let logits = vit.forward(cx, &pick.values([2, 1, 4, 4]));
                let labels = pick.indices(2, vit.config().classes);
                cross_entropy(&logits, &labels, &CrossEntropy { label_smoothing: 0.1, ..CrossEntropy::default() })
            }),
        check_layer!("ImageGpt, lff-mlp", "",
            |init, pick| -> ImageGpt { image_gpt(init, pick, LFF_MLP) },
            |model, cx, [], pick| model.forward(cx, &pick.indices(2 * model.places().len(), 3), &[0, 1], model.places())),
        check_layer!("ImageGpt, relative-lff", "->",
            |init, pick| -> ImageGpt { image_gpt(init, pick, PositionConfig::RelativeLff { gamma: 1.0, features: 4, hidden: 3 }) },
            |model, cx, [], pick| model.loss(cx, &pick.indices(2 * model.places().len(), 3), &[1, 0], model.places(), 5.0)),
        check_layer!("ImageGpt, rope-mixed", "->",
            |init, pick| -> ImageGpt { image_gpt(init, pick, PositionConfig::RopeMixed { temperature: 10.0 }) },
            |model, cx, [], pick| model.loss(cx, &pick.indices(2 * model.places().len(), 3), &[1, 0], model.places(), 5.0)),
        // Small multiples of the inputs are added to fixed predictions, so that no step changes who is matched to whom; NaN
        // and infinities would.
        check_layer!("SetCriterion", "logits: b<4 q<6 3 in finite, boxes: b q 4 in finite ->",
            |_, pick| -> SetCriterion { criterion(pick) },
            |criterion, _, [logits, boxes], pick| {
                let (pictures, queries) = (logits.dims()[0], logits.dims()[1]);
                let targets: Vec<_> = (0..pictures).map(|_| objects(pick)).collect();
                let mut near = |x: &Var<E>| {
                    let fixed = Var::constant(pick.values(x.shape()) * E::from_f64(2.0));
                    x.scale(E::from_f64(0.005)).add(&fixed)
                };
                let layers = [0, 1].map(|_| Detections { logits: near(logits), boxes: near(boxes).sigmoid() });
                let normalizer = Normalizer::of(&targets, queries, criterion.no_object);
                criterion.loss(&layers, &targets, normalizer).0
            }),
        check_layer!("Detr", "",
            |init, pick| -> Detr {
                let stem = BackboneConfig::Stem { channels: vec![3] };
                let residual = BackboneConfig::Residual { channels: vec![2, 3], blocks: 1 };
                let backbone = if pick.coin() { stem } else { residual };
                detr(init, pick, backbone)
            },
            |model, cx, [], pick| found(model, cx, pick)),
        check_layer!("Detr, ResNet", "",
            |init, pick| -> Detr {
                let (dilated, channels) = (pick.coin(), [2; 4]);
                detr(init, pick, BackboneConfig::ResNet18 { dilated, channels })
            },
            |model, cx, [], pick| found(model, cx, pick)),
        check_layer!("Captioner, lff-mlp", "-> 3 4 7",
            |init, pick| -> Captioner { captioner(init, pick, LFF_MLP) },
            |model, cx, [], pick| { let screens = screens(pick); model.forward(cx, &screens, &pick.indices(12, 7)) }),
        check_layer!("Captioner, embed-2d", "->",
            |init, pick| -> Captioner { captioner(init, pick, PositionConfig::Embed2d { std: 0.02 }) },
            |model, cx, [], pick| { let screens = screens(pick); model.loss(cx, &screens, &pick.indices(12, 7), 0..2, 5.0).0 }),
        check_layer!("Captioner, rope-axial", "->",
            |init, pick| -> Captioner { captioner(init, pick, PositionConfig::RopeAxial { temperature: 10.0 }) },
            |model, cx, [], pick| { let screens = screens(pick); model.loss(cx, &screens, &pick.indices(12, 7), 0..2, 5.0).0 }),
        check_layer!("Captioner, relative-mlp", "-> 3 8",
            |init, pick| -> Captioner { captioner(init, pick, PositionConfig::RelativeMlp { hidden: 3 }) },
            |model, cx, [], pick| model.encode(cx, &screens(pick))),
    ]
}

/// A criterion whose parts have weights of their own.
fn criterion(pick: &mut Pick<'_>) -> SetCriterion {
    let mut weight = || 1.0 + pick.below(4) as f64;
    let (class_weight, box_weight, giou_weight) = (weight(), weight(), weight());
    SetCriterion {
        class_weight,
        box_weight,
        giou_weight,
        no_object: 0.3,
        ..SetCriterion::default()
    }
}

/// Up to three objects of two classes.
fn objects(pick: &mut Pick<'_>) -> Vec<Target> {
    let object = |pick: &mut Pick<'_>| {
        let v = pick.values::<f64>([4]).to_vec();
        let bounds = [0.5 + 0.3 * v[0], 0.5 + 0.3 * v[1], 0.4 + 0.3 * v[2], 0.4 + 0.3 * v[3]];
        Target { class: pick.below(2), bounds: CenterSize::from_array(bounds) }
    };
    (0..pick.below(4)).map(|_| object(pick)).collect()
}

/// Images of 6 × 5 pixels; positions and paddings of each kind.
fn detr(init: &mut Init<'_>, pick: &mut Pick<'_>, backbone: BackboneConfig) -> Detr {
    let positions = [
        LFF_MLP,
        PositionConfig::Embed2d { std: 0.02 },
        PositionConfig::RopeAxial { temperature: 10.0 },
        PositionConfig::RelativeMlp { hidden: 3 },
    ];
    let config = DetrConfig {
        image_size: [6, 5],
        channels: 1,
        backbone,
        dim: 8,
        heads: 2,
        mlp_dim: 3,
        encoder_depth: 1,
        decoder_depth: 1,
        queries: 2,
        classes: 1,
        position: positions[pick.below(4)].clone(),
        anchors: pick.coin(),
        scale_positions: pick.coin(),
        order: if pick.coin() { NormOrder::Pre } else { NormOrder::Post },
        dropout: 0.2,
        padding: if pick.coin() { Padding::Features } else { Padding::Pixels },
    };
    Detr::new(init, &config).expect("the numbers fit")
}

/// Classes and boxes of two images of different sizes.
fn found<E: tensor::Float>(model: &Detr, cx: &Context<'_, E>, pick: &mut Pick<'_>) -> Var<E> {
    let images = pick.values([2, 1, 6, 5]);
    let Detections { logits, boxes } =
        model.forward(cx, &images, &[[6, 5], [4, 5]]).pop().expect("a layer");
    concat(&[&logits, &boxes], -1)
}

/// Seven words; a box's groups of each kind.
fn captioner(init: &mut Init<'_>, pick: &mut Pick<'_>, position: PositionConfig) -> Captioner {
    // A head of eight features has a pair for each number of a box.
    let heads = if matches!(position, PositionConfig::RopeAxial { .. }) { 1 } else { 2 };
    let config = CaptionerConfig {
        vocabulary: 7,
        dim: 8,
        heads,
        mlp_dim: 3,
        encoder_depth: 1,
        decoder_depth: 1,
        dropout: 0.2,
        pixels: vec![2],
        max_words: 3,
        grouping: Grouping::ALL[pick.below(3)],
        position,
        scale_positions: pick.coin(),
        tie: pick.coin(),
        order: if pick.coin() { NormOrder::Pre } else { NormOrder::Post },
    };
    Captioner::new(init, &config).expect("the numbers fit")
}

/// Two screens of three and two nodes, some with texts, and three widgets.
fn screens(pick: &mut Pick<'_>) -> ScreenBatch {
    let (slots, fractions) = (6, pick.values::<f32>([6, 4]).to_vec());
    let bounds = fractions.chunks(4).map(|v| std::array::from_fn(|i| 0.5 + 0.5 * v[i])).collect();
    let mut text = || pick.indices(2 * slots, 7);
    let (developer, resource) = (text(), text());
    ScreenBatch {
        nodes: 3,
        counts: vec![3, 2],
        class: pick.indices(slots, CLASSES),
        clickable: pick.indices(slots, 2),
        dom: (0..slots).map(|_| [0; 3].map(|_| pick.below(PLACES))).collect(),
        bounds,
        developer,
        resource,
        widgets: vec![(0, 1), (0, 2), (1, 0)],
        pixels: pick.values([3, 1, 4, 4]),
    }
}

/// Images of 2 × 2 pixels of one or two tokens.
fn image_gpt(init: &mut Init<'_>, pick: &mut Pick<'_>, position: PositionConfig) -> ImageGpt {
    let config = ImageGptConfig {
        channels: 1 + pick.below(2),
        vocab: 3,
        classes: 2 * pick.below(2),
        tie: pick.coin(),
        dropout: 0.2,
        norm: if pick.coin() { NormKind::Layer } else { NormKind::Rms },
        activation: activation(pick),
        head_bias: pick.coin(),
        ..ImageGptConfig::new(2, [4, 2, 2, 5], position)
    };
    ImageGpt::new(init, &config).expect("the numbers fit")
}

fn activation(pick: &mut Pick<'_>) -> Activation {
    [Activation::Gelu, Activation::GeluTanh, Activation::QuickGelu][pick.below(3)]
}

const LFF_MLP: PositionConfig = PositionConfig::LffMlp { gamma: 1.0, features: 4, hidden: 3 };

/// Images of 2 × 2 patches; two blocks, one of them skipped at times.
fn vit(init: &mut Init<'_>, pick: &mut Pick<'_>, position: PositionConfig) -> Vit {
    let class_token = pick.coin();
    let classes = pick.case().sizes().get("c").copied().unwrap_or(3);
    let pools: &[Pool] = match class_token {
        true => &[Pool::Cls, Pool::Mean, Pool::Max],
        false => &[Pool::Mean, Pool::Max],
    };
    let config = VitConfig {
        pool: pools[pick.below(pools.len())],
        class_token,
        eps: 1e-3,
        activation: activation(pick),
        qkv_bias: pick.coin(),
        fc_norm: pick.coin(),
        pre_norm: pick.coin(),
        dropout: 0.2,
        drop_path: 0.2,
        ..VitConfig::new([4, 1], 2, [4, 2, 2, 5], classes, position)
    };
    Vit::new(init, &config).expect("the numbers fit")
}

fn pictures(vit: &Vit, pick: &Pick<'_>) -> [usize; 4] {
    let &VitConfig { image_size, channels, .. } = vit.config();
    [pick.case().size("b"), channels, image_size, image_size]
}
