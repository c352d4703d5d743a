//! The loss of a detector that predicts a set: each object is matched to one query, and the others are to see nothing.
//!
//! Letters of shapes: `B` pictures, `Q` queries, `C` classes, `M` matched pairs.

mod losses;
#[cfg(test)]
mod tests;

use autograd::{CrossEntropy, Var, cross_entropy};
pub use losses::{Losses, Normalizer};
use serde::{Deserialize, Serialize};
use tensor::{Float, Tensor};

use crate::boxes::{CenterSize, Corners};
use crate::matching::assign;

/// Areas below this part of the picture count as this much in the differentiated GIoU, so that it has no 0/0.
const LEAST_AREA: f64 = 1e-12;

/// An object on a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    /// Its class, below C.
    pub class: usize,
    /// Where it is, in fractions of the picture.
    pub bounds: CenterSize,
}

/// What one layer of a decoder predicts.
#[derive(Clone, Debug)]
pub struct Detections<E: Float = f32> {
    /// `[B, Q, C + 1]`; the last class is "no object".
    pub logits: Var<E>,
    /// `[B, Q, 4]`: cx, cy, width, height in fractions of the picture.
    pub boxes: Var<E>,
}

/// Weights of DETR's matching and loss.
///
/// Matching minimises, over the queries q of a picture and its objects o,
///
/// cost(q, o) = −`class_cost` · p_q(class of o) + `box_cost` · ‖b_q − b_o‖₁ − `giou_cost` · GIoU(b_q, b_o),
///
/// with p the softmax probability. Loss, for each decoder layer with its own matching, and summed over the layers:
///
/// L = `class_weight` · CE + `box_weight` · Σ ‖b_q − b_o‖₁ / N + `giou_weight` · Σ (1 − GIoU) / N,
///
/// where CE is the weighted mean of all queries' cross-entropy, with weight `no_object` for those to see nothing and 1 for
/// the others, the sums go over matched pairs, and N is the number of objects in the batch, at least 1.
///
/// Source: Carion et al., "End-to-end object detection with transformers", 2020, §3.1 and appendix A.2.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SetCriterion {
    /// Weight of the class's probability in matching.
    pub class_cost: f64,
    /// Weight of the boxes' L1 distance in matching.
    pub box_cost: f64,
    /// Weight of GIoU in matching.
    pub giou_cost: f64,
    /// Weight of the cross-entropy in the loss.
    pub class_weight: f64,
    /// Weight of the boxes' L1 distance in the loss.
    pub box_weight: f64,
    /// Weight of 1 − GIoU in the loss.
    pub giou_weight: f64,
    /// How much a query without an object counts in the cross-entropy.
    pub no_object: f64,
}

impl Default for SetCriterion {
    fn default() -> Self {
        Self {
            class_cost: 1.0,
            box_cost: 5.0,
            giou_cost: 2.0,
            class_weight: 1.0,
            box_weight: 5.0,
            giou_weight: 2.0,
            no_object: 0.1,
        }
    }
}

impl SetCriterion {
    /// The loss of some pictures of a batch, a scalar, and its parts. `layers` are the decoder's, the last one last;
    /// `targets` the objects of each picture; `normalizer` that of the whole batch.
    ///
    /// If a picture has more objects than the model has queries, the cheapest assignment covers as many as there are queries,
    /// and the others are counted as [`missed`](Losses::missed).
    ///
    /// Derivative: the matching is a constant. At the kinks of |x|, min and max it is that of
    /// [`Var::abs`], [`Var::minimum`] and [`Var::maximum`]. Of a picture with objects, logits or boxes that are not finite
    /// are matched first, so that the loss is not finite either.
    ///
    /// # Panics
    /// If there is no layer, if the shapes do not fit the targets, or if a class is not below C.
    #[track_caller]
    pub fn loss<E: Float>(
        &self,
        layers: &[Detections<E>],
        targets: &[Vec<Target>],
        normalizer: Normalizer,
    ) -> (Var<E>, Losses) {
        let mut losses = Losses::default();
        let mut sum: Option<Var<E>> = None;
        for layer in layers {
            let matched = self.matched(layer, targets);
            let Parts { ce, l1, giou } = self.parts(layer, targets, &matched, normalizer);
            let value = |part: &Var<E>| part.value().item().to_f64();
            losses.ce = value(&ce);
            losses.l1 = value(&l1);
            losses.giou = value(&giou);
            losses.classes += self.class_weight * losses.ce;
            losses.boxes += self.box_weight * losses.l1 + self.giou_weight * losses.giou;
            losses.right = right(layer, targets, &matched);
            losses.matched = matched.iter().map(Vec::len).sum();
            for (part, weight) in
                [(ce, self.class_weight), (l1, self.box_weight), (giou, self.giou_weight)]
            {
                let part = part.scale(E::from_f64(weight));
                sum = Some(sum.map_or(part.clone(), |sum| sum + &part));
            }
        }
        let Some(sum) = sum else { panic!("set criterion: no layer") };
        losses.total = sum.value().item().to_f64();
        losses.missed = targets.iter().map(Vec::len).sum::<usize>() - losses.matched;
        (sum, losses)
    }

    /// The matched pairs (query, object) of each picture, by ascending query.
    ///
    /// # Panics
    /// If the shapes do not fit the targets, or if a class is not below C.
    #[track_caller]
    pub fn matched<E: Float>(
        &self,
        layer: &Detections<E>,
        targets: &[Vec<Target>],
    ) -> Vec<Vec<(usize, usize)>> {
        let [pictures, queries, classes] = sizes(layer);
        assert_eq!(pictures, targets.len(), "set criterion: one list of objects for each picture");
        let unknown = targets.iter().flatten().find(|target| target.class >= classes);
        if let Some(Target { class, .. }) = unknown {
            panic!("set criterion: class {class} of {classes}");
        }
        let (logits, boxes) = (layer.logits.value().to_vec(), layer.boxes.value().to_vec());
        let picture = |(picture, targets): (usize, &Vec<Target>)| {
            let queries_of = picture * queries..(picture + 1) * queries;
            let costs = queries_of.filter(|_| !targets.is_empty()).flat_map(|query| {
                let probability = softmax(&logits[query * (classes + 1)..][..classes + 1]);
                let bounds = std::array::from_fn(|i| boxes[query * 4 + i].to_f64());
                let bounds = CenterSize::from_array(bounds);
                targets
                    .iter()
                    .map(move |target| self.cost(probability[target.class], bounds, target))
            });
            assign(&costs.collect::<Vec<f64>>(), queries, targets.len())
        };
        targets.iter().enumerate().map(picture).collect()
    }

    /// What it costs to match a query to an object.
    fn cost(&self, probability: f64, bounds: CenterSize, target: &Target) -> f64 {
        let giou = Corners::from(bounds).giou(target.bounds.into());
        let distance = bounds.l1(target.bounds);
        let cost = self.box_cost * distance - self.class_cost * probability - self.giou_cost * giou;
        // A query whose numbers went wrong is matched before all others: if it were left over, the loss would not know its box.
        if cost.is_finite() { cost.clamp(-1e29, 1e29) } else { -1e30 }
    }

    fn parts<E: Float>(
        &self,
        layer: &Detections<E>,
        targets: &[Vec<Target>],
        matched: &[Vec<(usize, usize)>],
        normalizer: Normalizer,
    ) -> Parts<E> {
        let [pictures, queries, classes] = sizes(layer);
        let mut labels = vec![classes; pictures * queries];
        let (mut places, mut bounds) = (Vec::new(), Vec::new());
        for (picture, (pairs, targets)) in matched.iter().zip(targets).enumerate() {
            for &(query, object) in pairs {
                let Target { class, bounds: target } = targets[object];
                labels[picture * queries + query] = class;
                places.push(picture * queries + query);
                bounds.extend(target.to_array().map(E::from_f64));
            }
        }
        let mut class_weights = vec![1.0; classes + 1];
        class_weights[classes] = self.no_object;
        let options = CrossEntropy {
            class_weights: Some(class_weights),
            normalizer: Some(normalizer.weight),
            ..CrossEntropy::default()
        };
        let ce = cross_entropy(&layer.logits, &labels, &options);
        let own = layer.boxes.reshape([pictures * queries, 4]).gather(0, &places);
        let other = Var::constant(Tensor::from_vec([places.len(), 4], bounds));
        let per_object = E::from_f64(1.0 / normalizer.objects);
        let l1 = own.sub(&other).abs().sum_all().scale(per_object);
        let giou = giou_loss(&own, &other).sum_all().scale(per_object);
        Parts { ce, l1, giou }
    }
}

/// The three parts of a layer's loss, without their weights.
struct Parts<E: Float> {
    ce: Var<E>,
    l1: Var<E>,
    giou: Var<E>,
}

/// B, Q and C.
#[track_caller]
fn sizes<E: Float>(layer: &Detections<E>) -> [usize; 3] {
    let (logits, boxes) = (layer.logits.shape(), layer.boxes.shape());
    let fits = logits.rank() == 3 && logits[2] > 0 && *boxes == [logits[0], logits[1], 4];
    assert!(
        fits,
        "set criterion: logits {logits} and boxes {boxes}, not [B, Q, C + 1] and [B, Q, 4]"
    );
    [logits[0], logits[1], logits[2] - 1]
}

/// 1 − GIoU of each row, `[M, 1]`, of boxes `[M, 4]` with cx, cy, width, height:
/// 2 − |A∩B|/|A∪B| − |A∪B|/|C|, which is 1 − (|A∩B|/|A∪B| − (|C| − |A∪B|)/|C|).
fn giou_loss<E: Float>(a: &Var<E>, b: &Var<E>) -> Var<E> {
    let least = E::from_f64(LEAST_AREA);
    let (half, two) = (E::from_f64(0.5), E::from_f64(2.0));
    let ends = |x: &Var<E>, axis: usize| {
        let (center, size) = (x.narrow(1, axis, 1), x.narrow(1, axis + 2, 1).scale(half));
        (center.sub(&size), center.add(&size))
    };
    // Lengths along one axis: of the overlap, and of the box around both.
    let lengths = |axis: usize| {
        let ((a_low, a_high), (b_low, b_high)) = (ends(a, axis), ends(b, axis));
        let overlap = a_high.minimum(&b_high).sub(&a_low.maximum(&b_low)).relu();
        (overlap, a_high.maximum(&b_high).sub(&a_low.minimum(&b_low)))
    };
    let ((overlap_x, hull_x), (overlap_y, hull_y)) = (lengths(0), lengths(1));
    let area = |x: &Var<E>| x.narrow(1, 2, 1).mul(&x.narrow(1, 3, 1));
    let intersection = overlap_x.mul(&overlap_y);
    let union = area(a).add(&area(b)).sub(&intersection).clamp(least, E::INFINITY);
    let hull = hull_x.mul(&hull_y).clamp(least, E::INFINITY);
    intersection.div(&union).add(&union.div(&hull)).neg().add_scalar(two)
}

fn softmax<E: Float>(logits: &[E]) -> Vec<f64> {
    let most = logits.iter().fold(f64::NEG_INFINITY, |most, x| most.max(x.to_f64()));
    let mut all: Vec<f64> = logits.iter().map(|x| (x.to_f64() - most).exp()).collect();
    let sum: f64 = all.iter().sum();
    all.iter_mut().for_each(|x| *x /= sum);
    all
}

/// Matched queries whose most likely class is that of their object.
fn right<E: Float>(
    layer: &Detections<E>,
    targets: &[Vec<Target>],
    matched: &[Vec<(usize, usize)>],
) -> usize {
    let queries = layer.logits.dims()[1];
    let most_likely = layer.logits.value().argmax(2);
    let mut right = 0;
    for (picture, (pairs, targets)) in matched.iter().zip(targets).enumerate() {
        let class = |query: usize| most_likely[picture * queries + query];
        let is_right = |&&(query, object): &&(usize, usize)| class(query) == targets[object].class;
        right += pairs.iter().filter(is_right).count();
    }
    right
}
