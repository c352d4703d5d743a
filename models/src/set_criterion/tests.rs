//! The set criterion on cases that can be calculated by hand.

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
    let once = criterion.loss(std::slice::from_ref(&first), &targets, normalizer).1;
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
    let shard =
        |targets: Vec<Target>| criterion.loss(&[layer(logits, BOXES)], &[targets], normalizer).1;
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
        let (loss, _) =
            SetCriterion::default().loss(std::slice::from_ref(&layer), &targets, normalizer);
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
    let targets = [vec![target(0, [0.3, 0.3, 0.5, 0.5])], vec![]];
    for pictures in [0, 2] {
        let layer = Detections { logits: part([pictures, 0, 3]), boxes: part([pictures, 0, 4]) };
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

#[test]
fn numbers_of_a_query_that_would_be_left_over_are_in_the_loss_if_they_are_not_finite() {
    let targets = vec![vec![target(0, [0.25, 0.25, 0.5, 0.5])]];
    let normalizer = Normalizer::of(&targets, 2, 0.1);
    for wrong in [f64::NAN, f64::INFINITY] {
        for place in 4..8 {
            let mut boxes = BOXES; // the first query fits
            boxes[place] = wrong;
            let detections = layer([0.0; 6], boxes);
            let (loss, losses) = SetCriterion::default().loss(&[detections], &targets, normalizer);
            assert!(!loss.value().item().is_finite(), "{boxes:?}: {losses:?}");
        }
    }
}
