//! Laws of boxes and matching, and the set criterion against PyTorch.

use std::path::{Path, PathBuf};

use autograd::{Tape, Var};
use models::matching::assign;
use models::{CenterSize, Corners, Detections, Normalizer, SetCriterion, Target};
use nn::checkpoint::TensorFile;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use tensor::Tensor;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// Boxes with and without area, some of them with equal sides.
fn boxes() -> impl Strategy<Value = Corners> {
    let place = || prop_oneof![-10.0..10.0f64, (-3..3i32).prop_map(f64::from)];
    let size = || prop_oneof![0.0..8.0f64, (0..4i32).prop_map(f64::from)];
    (place(), place(), size(), size())
        .prop_map(|(left, top, width, height)| Corners::from_left_top([left, top, width, height]))
}

/// Costs of a small problem; every other one is full of ties.
fn problems(side: usize) -> impl Strategy<Value = (Vec<f64>, usize, usize)> {
    (0..=side, 0..=side, any::<bool>()).prop_flat_map(|(rows, columns, ties)| {
        let costs = proptest::collection::vec(-10.0..10.0f64, rows * columns);
        let costs = costs.prop_map(move |mut costs| {
            costs.iter_mut().filter(|_| ties).for_each(|cost| *cost = (*cost / 5.0).round());
            costs
        });
        (costs, Just(rows), Just(columns))
    })
}

/// The smallest cost of an assignment of rows from `row` on, no more than columns, by trying all.
fn cheapest(costs: &[f64], rows: usize, columns: usize, row: usize, used: u32) -> f64 {
    if row == rows {
        return 0.0;
    }
    let free = (0..columns).filter(|column| used >> column & 1 == 0);
    let with = |column: usize| {
        costs[row * columns + column] + cheapest(costs, rows, columns, row + 1, used | 1 << column)
    };
    free.map(with).fold(f64::INFINITY, f64::min)
}

fn transposed(costs: &[f64], rows: usize, columns: usize) -> Vec<f64> {
    (0..columns).flat_map(|j| (0..rows).map(move |i| costs[i * columns + j])).collect()
}

/// The cost of the pairs, which have to be a complete assignment by ascending row.
fn cost_of(pairs: &[(usize, usize)], costs: &[f64], rows: usize, columns: usize) -> f64 {
    assert_eq!(pairs.len(), rows.min(columns));
    assert!(pairs.windows(2).all(|pair| pair[0].0 < pair[1].0));
    let mut taken: Vec<usize> = pairs.iter().map(|&(_, column)| column).collect();
    taken.sort_unstable();
    taken.dedup();
    assert_eq!(taken.len(), pairs.len());
    pairs.iter().map(|&(row, column)| costs[row * columns + column]).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn overlaps_are_symmetric_and_ordered(a in boxes(), b in boxes()) {
        let (iou, giou) = (a.iou(b), a.giou(b));
        prop_assert_eq!((iou, giou), (b.iou(a), b.giou(a)));
        prop_assert!(-1.0 <= giou && giou <= iou && (0.0..=1.0).contains(&iou), "{} {}", iou, giou);
        prop_assert_eq!(iou > 0.0, a.intersection(b) > 0.0);
        if a.area() > 0.0 {
            prop_assert_eq!((a.iou(a), a.giou(a)), (1.0, 1.0));
        }
    }

    #[test]
    fn overlaps_do_not_depend_on_the_unit_or_the_origin(a in boxes(), b in boxes(), x in 0.1..10.0f64, y in 0.1..10.0f64) {
        // Doubling is exact, other factors round.
        let (doubled, scaled) = (|c: Corners| c.scaled(2.0, 4.0), |c: Corners| c.scaled(x, y));
        prop_assert_eq!(doubled(a).giou(doubled(b)), a.giou(b));
        prop_assert!((scaled(a).giou(scaled(b)) - a.giou(b)).abs() < 1e-9);
        let moved = |c: Corners| {
            Corners { left: c.left + x, top: c.top - y, right: c.right + x, bottom: c.bottom - y }
        };
        if a.area().min(b.area()) > 1e-3 {
            prop_assert!((moved(a).giou(moved(b)) - a.giou(b)).abs() < 1e-9);
        }
    }

    #[test]
    fn moving_boxes_apart_lowers_generalised_overlap_where_plain_overlap_is_0(a in boxes(), gap in 0.1..5.0f64) {
        prop_assume!(a.area() > 1e-3);
        let beside = |gap: f64| {
            let width = a.right - a.left;
            Corners { left: a.right + gap, right: a.right + gap + width, ..a }
        };
        prop_assert_eq!((a.iou(beside(gap)), a.iou(beside(2.0 * gap))), (0.0, 0.0));
        prop_assert!(a.giou(beside(2.0 * gap)) < a.giou(beside(gap)));
    }

    #[test]
    fn formats_are_each_others_inverse(a in boxes()) {
        let again = Corners::from(CenterSize::from(a));
        let all = |c: Corners| [c.left, c.top, c.right, c.bottom];
        let near = all(a).into_iter().zip(all(again)).all(|(x, y)| (x - y).abs() < 1e-12);
        prop_assert!(near, "{:?} {:?}", a, again);
    }

    #[test]
    fn assignments_are_as_cheap_as_the_cheapest_of_all((costs, rows, columns) in problems(6)) {
        let found = cost_of(&assign(&costs, rows, columns), &costs, rows, columns);
        let other = transposed(&costs, rows, columns);
        let least = if rows <= columns {
            cheapest(&costs, rows, columns, 0, 0)
        } else {
            cheapest(&other, columns, rows, 0, 0)
        };
        prop_assert!((found - least).abs() < 1e-9, "{} instead of {}", found, least);
        let turned = cost_of(&assign(&other, columns, rows), &other, columns, rows);
        prop_assert!((turned - least).abs() < 1e-9);
    }

    #[test]
    fn adding_to_a_row_or_a_column_of_a_square_problem_changes_no_choice(
        costs in proptest::collection::vec(-10.0..10.0f64, 36),
        row in 0..6usize,
        column in 0..6usize,
        by in -20.0..20.0f64,
    ) {
        let pairs = assign(&costs, 6, 6);
        let mut changed = costs.clone();
        (0..6).for_each(|i| changed[row * 6 + i] += by);
        (0..6).for_each(|i| changed[i * 6 + column] -= by);
        prop_assert_eq!(assign(&changed, 6, 6), pairs);
    }
}

#[test]
fn assignments_cost_what_scipys_do() {
    #[derive(serde::Deserialize)]
    struct Case {
        rows: usize,
        columns: usize,
        costs: Vec<f64>,
        cost: f64,
    }
    let text = std::fs::read_to_string(fixture("assignments.json")).expect("committed");
    let cases: Vec<Case> = serde_json::from_str(&text).expect("cases");
    assert_eq!(cases.len(), 23);
    for Case { rows, columns, costs, cost } in cases {
        let found = cost_of(&assign(&costs, rows, columns), &costs, rows, columns);
        assert!((found - cost).abs() < 1e-9, "{rows} × {columns}: {found} instead of {cost}");
    }
}

#[test]
fn the_set_criterion_agrees_with_pytorch_in_matching_parts_and_gradients() {
    let file = TensorFile::read(&fixture("set-criterion.safetensors")).expect("committed");
    let criterion = SetCriterion::default();
    for case in 0..4 {
        let name = |part: &str| format!("{case}.{part}");
        let tensor = |part: &str| -> Tensor<f64> { file.tensor(&name(part)).expect("listed") };
        let indices = |part: &str| file.indices(&name(part)).expect("listed").1;
        let (classes, bounds) = (indices("classes"), tensor("bounds").to_vec());
        let objects = classes.iter().zip(bounds.chunks(4));
        let mut objects = objects.map(|(&class, bounds)| Target {
            class,
            bounds: CenterSize::from_array(bounds.try_into().expect("four")),
        });
        let targets: Vec<Vec<Target>> =
            indices("counts").iter().map(|&count| objects.by_ref().take(count).collect()).collect();

        let tape = Tape::new();
        let (logits, boxes) = (tape.leaf(tensor("logits")), tape.leaf(tensor("boxes")));
        let layers: Vec<Detections<f64>> = (0..logits.dims()[0])
            .map(|layer| {
                let part = |all: &Var<f64>| all.narrow(0, layer, 1).squeeze(0);
                Detections { logits: part(&logits), boxes: part(&boxes) }
            })
            .collect();
        let expected = indices("queries");
        for (layer, expected) in layers.iter().zip(expected.chunks(classes.len().max(1))) {
            let mut found = Vec::new();
            for (pairs, targets) in criterion.matched(layer, &targets).iter().zip(&targets) {
                let mut queries = vec![0; targets.len()];
                pairs.iter().for_each(|&(query, object)| queries[object] = query + 1);
                found.extend(queries);
            }
            assert_eq!(found, expected, "case {case}");
        }

        let queries = logits.dims()[2];
        let normalizer = Normalizer::of(&targets, queries, criterion.no_object);
        let (loss, losses) = criterion.loss(&layers, &targets, normalizer);
        let near = |found: f64, expected: f64, what: &str| {
            let error = (found - expected).abs() / expected.abs().max(1e-9);
            assert!(error < 1e-12, "case {case}: {what}: {found} instead of {expected}");
        };
        near(loss.value().item(), tensor("loss").item(), "loss");
        let parts = tensor("parts").to_vec();
        near(losses.ce, parts[0], "ce");
        near(losses.l1, parts[1], "l1");
        near(losses.giou, parts[2], "giou");
        let gradients = tape.backward(&loss);
        for (part, variable) in [("grad.logits", &logits), ("grad.boxes", &boxes)] {
            let found = gradients.get(variable).expect("tracked").to_vec();
            let expected = tensor(part).to_vec();
            let largest = expected.iter().fold(1e-9f64, |max, x| max.max(x.abs()));
            for (found, expected) in found.iter().zip(&expected) {
                let error = (found - expected).abs() / largest;
                assert!(error < 1e-12, "case {case}: {part}: {found} instead of {expected}");
            }
        }
    }
}
