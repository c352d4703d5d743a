//! The loss of a detector that predicts a set: each object is matched to one query, and the others are to see nothing.
//!
//! Letters of shapes: `B` pictures, `Q` queries, `C` classes, `M` matched pairs.

use std::ops::AddAssign;

use autograd::{CrossEntropy, Var, cross_entropy};
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

/// What losses are divided by: figures of the whole batch, so that the shards' losses add up to the batch's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalizer {
    /// Objects in the batch, also those beyond the number of queries; at least 1.
    pub objects: f64,
    /// Sum of the queries' weights in the cross-entropy.
    pub weight: f64,
}

impl Normalizer {
    /// That of a batch of pictures with these objects, under a model of `queries` queries and
    /// [`no_object`](SetCriterion::no_object) as the criterion has it.
    pub fn of(targets: &[Vec<Target>], queries: usize, no_object: f64) -> Self {
        let objects: usize = targets.iter().map(Vec::len).sum();
        let matched: usize = targets.iter().map(|targets| targets.len().min(queries)).sum();
        let weight = matched as f64 + no_object * (targets.len() * queries - matched) as f64;
        let weight = if weight > 0.0 { weight } else { 1.0 };
        Self { objects: objects.max(1) as f64, weight }
    }
}

/// The parts of the loss, for the log. Those of shards of one batch add up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Losses {
    /// The loss: all parts, weighted, of all layers.
    pub total: f64,
    /// Of the last layer: cross-entropy, in nats.
    pub ce: f64,
    /// Of the last layer: L1 distance of the boxes, in fractions of the picture, for each object.
    pub l1: f64,
    /// Of the last layer: 1 − GIoU for each object.
    pub giou: f64,
    /// Of the last layer: matched queries whose most likely class, "no object" included, is that of their object.
    pub right: usize,
    /// Matched queries of a layer.
    pub matched: usize,
    /// Objects for which there was no query.
    pub missed: usize,
}

impl Losses {
    /// The share of right classes among the matched queries of the last layer, if there are any.
    pub fn accuracy(&self) -> Option<f64> {
        (self.matched > 0).then(|| self.right as f64 / self.matched as f64)
    }
}

impl AddAssign for Losses {
    fn add_assign(&mut self, other: Self) {
        self.total += other.total;
        self.ce += other.ce;
        self.l1 += other.l1;
        self.giou += other.giou;
        self.right += other.right;
        self.matched += other.matched;
        self.missed += other.missed;
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
    /// [`Var::abs`], [`Var::minimum`] and [`Var::maximum`]. Values that are not numbers match arbitrarily and are not
    /// numbers in the loss either.
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
        // The loss is to say that numbers went wrong, not the matching.
        if cost.is_finite() { cost.clamp(-1e30, 1e30) } else { 1e30 }
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
    let pictures = matched.iter().zip(targets).enumerate();
    let right = |(picture, (pairs, targets)): (usize, (&Vec<(usize, usize)>, &Vec<Target>))| {
        let class = |query: usize| most_likely[picture * queries + query];
        pairs.iter().filter(|&&(query, object)| class(query) == targets[object].class).count()
    };
    pictures.map(right).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(class: usize, bounds: [f64; 4]) -> Target {
        Target { class, bounds: CenterSize::from_array(bounds) }
    }

    /// Two queries on one picture, two classes.
    fn layer(logits: [f64; 6], boxes: [f64; 8]) -> Detections<f64> {
        Detections {
            logits: Var::constant(Tensor::from_vec([1, 2, 3], logits.to_vec())),
            boxes: Var::constant(Tensor::from_vec([1, 2, 4], boxes.to_vec())),
        }
    }

    const BOXES: [f64; 8] = [0.25, 0.25, 0.5, 0.5, 0.75, 0.5, 0.5, 1.0];

    #[test]
    fn the_loss_of_a_picture_is_that_of_a_calculation_by_hand() {
        // The object is the left upper quarter but for its right third: query 0.
        let targets = vec![vec![target(1, [0.125, 0.25, 0.25, 0.5])]];
        let detections = layer([0.0; 6], BOXES);
        let criterion = SetCriterion::default();
        assert_eq!(criterion.matched(&detections, &targets), [[(0, 0)]]);
        let normalizer = Normalizer::of(&targets, 2, 0.1);
        assert_eq!(normalizer, Normalizer { objects: 1.0, weight: 1.1 });
        let (loss, losses) = criterion.loss(&[detections], &targets, normalizer);
        // Uniform logits cost ln 3 each; cx differs by 1/8 and the width by 1/4; half of the union is shared.
        let expected = 3f64.ln() + 5.0 * 0.375 + 2.0 * 0.5;
        assert!((loss.value().item() - expected).abs() < 1e-14);
        assert!((losses.ce - 3f64.ln()).abs() < 1e-14);
        assert_eq!((losses.l1, losses.giou, losses.total), (0.375, 0.5, loss.value().item()));
        assert_eq!((losses.matched, losses.missed, losses.accuracy()), (1, 0, Some(0.0)));
    }

    #[test]
    fn a_layer_counts_as_often_as_it_is_given_and_matches_on_its_own() {
        let targets = vec![vec![target(0, [0.3, 0.3, 0.5, 0.5])]];
        let first = layer([2.0, 0.0, 0.0, 0.0, 0.0, 1.0], BOXES);
        let swapped: Vec<f64> = BOXES[4..].iter().chain(&BOXES[..4]).copied().collect();
        let second = layer([0.0, 0.0, 1.0, 2.0, 0.0, 0.0], swapped.try_into().expect("eight"));
        let criterion = SetCriterion::default();
        let normalizer = Normalizer::of(&targets, 2, 0.1);
        let once = criterion.loss(&[first.clone()], &targets, normalizer).1;
        let twice = criterion.loss(&[first, second], &targets, normalizer).1;
        assert!((twice.total - 2.0 * once.total).abs() < 1e-14);
        assert_eq!((twice.ce, twice.right), (once.ce, 1));
    }

    #[test]
    fn objects_beyond_the_queries_are_counted_and_the_cheapest_are_learnt() {
        let far = target(0, [0.9, 0.1, 0.1, 0.1]);
        let fits = [target(0, [0.25, 0.25, 0.5, 0.5]), target(1, [0.75, 0.5, 0.5, 1.0])];
        let targets = vec![vec![far, fits[0], fits[1]]];
        let normalizer = Normalizer::of(&targets, 2, 0.1);
        assert_eq!(normalizer, Normalizer { objects: 3.0, weight: 2.0 });
        let detections = layer([0.0; 6], BOXES);
        let (_, losses) = SetCriterion::default().loss(&[detections], &targets, normalizer);
        assert_eq!((losses.matched, losses.missed), (2, 1));
        assert_eq!((losses.l1, losses.giou), (0.0, 0.0));
    }

    #[test]
    fn shards_of_a_batch_add_up_and_a_picture_without_objects_is_one() {
        let mut targets = vec![vec![target(0, [0.3, 0.3, 0.5, 0.5])], vec![]];
        let logits = [0.5, -0.5, 0.25, 1.0, 2.0, -1.0];
        let normalizer = Normalizer::of(&targets, 2, 0.1);
        assert_eq!(normalizer, Normalizer { objects: 1.0, weight: 1.0 + 3.0 * 0.1 });
        let criterion = SetCriterion::default();
        let shard = |targets: Vec<Target>| {
            criterion.loss(&[layer(logits, BOXES)], &[targets], normalizer).1
        };
        let mut sum = shard(targets[0].clone());
        sum += shard(vec![]);
        let both = Detections {
            logits: Var::constant(Tensor::from_vec([2, 2, 3], [logits, logits].concat())),
            boxes: Var::constant(Tensor::from_vec([2, 2, 4], [BOXES, BOXES].concat())),
        };
        let whole = criterion.loss(&[both], &targets, normalizer).1;
        assert!((whole.total - sum.total).abs() < 1e-14);
        targets[0].clear();
        let empty = Normalizer::of(&targets, 2, 0.0);
        assert_eq!(empty, Normalizer { objects: 1.0, weight: 1.0 });
    }

    #[test]
    fn boxes_without_area_have_a_loss_and_gradients() {
        let tape = autograd::Tape::<f32>::new();
        let boxes = tape.leaf(Tensor::from_vec([1, 1, 4], vec![0.5f32, 0.5, 0.0, 0.0]));
        let logits = tape.leaf(Tensor::zeros([1, 1, 2]));
        let layer = Detections { logits, boxes: boxes.clone() };
        for bounds in [[0.5, 0.5, 0.0, 0.0], [0.5, 0.5, 0.5, 0.5], [0.1, 0.5, 0.5, 0.0]] {
            let targets = vec![vec![target(0, bounds)]];
            let normalizer = Normalizer::of(&targets, 1, 0.1);
            let (loss, _) = SetCriterion::default().loss(&[layer.clone()], &targets, normalizer);
            assert!(loss.value().item().is_finite());
        }
        let targets = vec![vec![target(0, [0.5, 0.5, 0.0, 0.0])]];
        let normalizer = Normalizer::of(&targets, 1, 0.1);
        let (loss, losses) = SetCriterion::default().loss(&[layer], &targets, normalizer);
        assert_eq!(losses.giou, 1.0);
        let gradient = tape.backward(&loss).get(&boxes).expect("tracked").to_vec();
        assert!(gradient.iter().all(|g| g.is_finite()), "{gradient:?}");
    }

    #[test]
    fn numbers_that_went_wrong_show_in_the_loss() {
        let targets = vec![vec![target(0, [0.3, 0.3, 0.5, 0.5])]];
        let detections = layer([f64::NAN; 6], [f64::NAN; 8]);
        let normalizer = Normalizer::of(&targets, 2, 0.1);
        let (loss, _) = SetCriterion::default().loss(&[detections], &targets, normalizer);
        assert!(loss.value().item().is_nan());
    }

    #[test]
    fn nothing_can_be_predicted_and_nothing_matched() {
        let part = |shape| Var::<f64>::constant(Tensor::zeros(shape));
        let targets = vec![vec![target(0, [0.3, 0.3, 0.5, 0.5])], vec![]];
        for pictures in [0, 2] {
            let layer =
                Detections { logits: part([pictures, 0, 3]), boxes: part([pictures, 0, 4]) };
            let targets = &targets[..pictures];
            let normalizer = Normalizer::of(targets, 0, 0.1);
            let (_, losses) = SetCriterion::default().loss(&[layer], targets, normalizer);
            assert_eq!((losses.total, losses.missed), (0.0, pictures / 2));
        }
    }

    #[test]
    #[should_panic(expected = "set criterion: class 2 of 2")]
    fn a_class_that_the_model_does_not_know_is_refused() {
        let targets = vec![vec![target(2, [0.3, 0.3, 0.5, 0.5])]];
        SetCriterion::default().matched(&layer([0.0; 6], BOXES), &targets);
    }
}
