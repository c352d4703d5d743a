//! Laws of the tensor crate: each op against its slow oracle on every layout, adjoint identities, the same bits for
//! any number of threads, no stale values from recycled buffers, and messages of programmer errors.
//!
//! Elements are multiples of ⅛ wherever a law asks for equality: their sums and products are exact in f32 too, so an
//! f64 oracle rounded to the element type is the only right answer, in whatever order an op adds.

mod naive;
mod strategies;

use std::panic::{AssertUnwindSafe, catch_unwind};

use naive::{Array, dot};
use proptest::prelude::*;
use rand::RngExt;
use strategies::{
    Plan, broadcasting_to, config, expansion, four_threads, layout, pair, plan, plan_of,
    plan_with_axes, rng, size, triple,
};
use tensor::{Convolution, Float, MatMut, MatRef, Shape, Tensor, gemm, par};

type Law = Result<(), TestCaseError>;

fn same_number(found: f64, expected: f64) -> bool {
    found == expected || (found.is_nan() && expected.is_nan())
}

/// Equal shapes, and each element is the oracle's rounded to E.
fn same<E: Float>(op: &str, found: &Tensor<E>, expected: &Array) -> Law {
    let rounded = expected.map(|x| E::from_f64(x).to_f64());
    compare(op, found, &rounded, same_number)
}

/// Equal shapes, and each element is the oracle's up to `tolerance` times the larger of 1 and its magnitude.
fn near<E: Float>(op: &str, found: &Tensor<E>, expected: &Array, tolerance: f64) -> Law {
    compare(op, found, expected, |x, y| {
        same_number(x, y) || (x - y).abs() <= tolerance * y.abs().max(1.0)
    })
}

fn compare<E: Float>(
    op: &str,
    found: &Tensor<E>,
    expected: &Array,
    agree: impl Fn(f64, f64) -> bool,
) -> Law {
    prop_assert_eq!(found.dims(), &expected.dims[..], "{}: shape", op);
    let found = Array::of(found);
    let wrong = (0..found.data.len()).find(|&i| !agree(found.data[i], expected.data[i]));
    if let Some(i) = wrong {
        let (found, expected) = (found.data[i], expected.data[i]);
        prop_assert!(false, "{op}<{}>: element {i} is {found}, not {expected}", E::NAME);
    }
    Ok(())
}

/// A few times the distance of neighbouring numbers near 1.
fn rounding<E: Float>() -> f64 {
    16.0 * E::EPSILON.to_f64()
}

fn signed(axes: &[usize], rank: usize, from_the_end: bool) -> Vec<isize> {
    let shift = if from_the_end { rank as isize } else { 0 };
    axes.iter().map(|&axis| axis as isize - shift).collect()
}

// ---------------------------------------------------------------------------------------------------------------------
// Access and views

fn access<E: Float>(plan: &Plan) -> Law {
    let t = plan.tensor::<E>();
    let expected = Array::of(&t);
    let numbers = |data: &[E]| data.iter().map(|x| x.to_f64()).collect::<Vec<_>>();
    prop_assert_eq!((t.len(), t.rank()), (expected.data.len(), expected.dims.len()));
    prop_assert_eq!(t.is_empty(), expected.data.is_empty());
    prop_assert_eq!(&numbers(&t.to_vec()), &expected.data);
    let mut out = vec![E::from_f64(f64::NAN); t.len()];
    t.copy_to(&mut out);
    prop_assert_eq!(&numbers(&out), &expected.data);
    prop_assert_eq!(&numbers(t.contiguous().data()), &expected.data);
    prop_assert_eq!(&numbers(t.copy().data()), &expected.data);
    if t.is_contiguous() {
        prop_assert_eq!(&numbers(t.data()), &expected.data);
    }
    prop_assert_eq!(&t, &t.copy());
    Ok(())
}

fn writing<E: Float>(plan: &Plan) -> Law {
    let mut t = plan.tensor::<E>();
    let before = Array::of(&t);
    let alone = t.is_unique();
    let at = t.storage().as_ptr();
    let doubled = |t: &mut Tensor<E>| t.data_mut().iter_mut().for_each(|x| *x += *x);
    doubled(&mut t);
    same("data_mut", &t, &before.map(|x| 2.0 * x))?;
    prop_assert!(!alone || t.is_empty() || t.storage().as_ptr() == at, "written in place");
    let shared = t.clone();
    prop_assert!(!t.is_unique());
    doubled(&mut t);
    same("data_mut of a shared tensor", &t, &before.map(|x| 4.0 * x))?;
    same("the other holder", &shared, &before.map(|x| 2.0 * x))
}

/// A random shape with as many elements.
fn regrouped(dims: &[usize], seed: u64) -> Vec<usize> {
    let mut rng = rng(seed);
    let mut sizes: Vec<usize> = Vec::new();
    let cut = |size: usize| (2..size).find(|d| size.is_multiple_of(*d)).unwrap_or(size.max(1));
    for &size in dims {
        let parts = if size > 1 && rng.random_bool(0.5) {
            vec![cut(size), size / cut(size)]
        } else {
            vec![size]
        };
        for part in parts {
            match sizes.last_mut() {
                Some(last) if rng.random_bool(0.5) => *last *= part,
                _ => sizes.push(part),
            }
        }
    }
    while sizes.len() > 6 {
        let part = sizes.pop().expect("more than six");
        *sizes.last_mut().expect("more than five") *= part;
    }
    while sizes.len() < 6 && rng.random_bool(0.4) {
        sizes.insert(rng.random_range(0..=sizes.len()), 1);
    }
    sizes
}

fn reshaping<E: Float>(plan: &Plan, seed: u64) -> Law {
    let t = plan.tensor::<E>();
    let dims = regrouped(&plan.dims, seed);
    let reshaped = t.reshape(&dims[..]);
    same("reshape", &reshaped, &Array::of(&t).reshape(&dims))?;
    prop_assert_eq!(reshaped.reshape(t.shape()), t);
    Ok(())
}

fn permuting<E: Float>(plan: &Plan, seed: u64) -> Law {
    let (t, mut rng) = (plan.tensor::<E>(), rng(seed));
    let mut order: Vec<usize> = (0..t.rank()).collect();
    (1..t.rank()).for_each(|i| order.swap(i, rng.random_range(0..=i)));
    let axes = signed(&order, t.rank(), rng.random());
    same("permute", &t.permute(&axes), &Array::of(&t).permute(&order))?;
    if t.rank() > 0 {
        let (a, b) = (rng.random_range(0..t.rank()), rng.random_range(0..t.rank()));
        let mut order: Vec<usize> = (0..t.rank()).collect();
        order.swap(a, b);
        let transposed = t.transpose(a as isize, b as isize - t.rank() as isize);
        same("transpose", &transposed, &Array::of(&t).permute(&order))?;
    }
    Ok(())
}

fn narrowing<E: Float>(plan: &Plan, seed: u64) -> Law {
    let (t, mut rng) = (plan.tensor::<E>(), rng(seed));
    let axis = rng.random_range(0..t.rank());
    let start = rng.random_range(0..=t.dims()[axis]);
    let len = rng.random_range(0..=t.dims()[axis] - start);
    let narrowed = t.narrow(axis as isize, start, len);
    same("narrow", &narrowed, &Array::of(&t).narrow(axis, start, len))
}

fn expanding<E: Float>(plan: &Plan, dims: &[usize]) -> Law {
    let t = plan.tensor::<E>();
    let expanded = t.expand(dims);
    same("expand", &expanded, &Array::of(&t).expand(dims))?;
    prop_assert_eq!(expanded.storage().as_ptr(), t.storage().as_ptr(), "a view");
    // Σ expand(x)·y = Σ x·sum_to(y)
    let y = Plan { dims: dims.to_vec(), layout: plan.layout }.tensor::<E>();
    let summed = y.sum_to(t.shape());
    same("sum_to", &summed, &Array::of(&y).sum_to(t.dims()))?;
    let (left, right) =
        (dot(&Array::of(&expanded), &Array::of(&y)), dot(&Array::of(&t), &Array::of(&summed)));
    prop_assert_eq!(left, right);
    Ok(())
}

fn unit_axes<E: Float>(plan: &Plan, seed: u64) -> Law {
    let (t, mut rng) = (plan.tensor::<E>(), rng(seed));
    let axis = rng.random_range(0..=t.rank());
    let mut dims = plan.dims.clone();
    dims.insert(axis, 1);
    let from_the_end = axis as isize - (t.rank() as isize + 1);
    for axis in [axis as isize, from_the_end] {
        let more = t.unsqueeze(axis);
        same("unsqueeze", &more, &Array::of(&t).reshape(&dims))?;
        prop_assert_eq!(&more.squeeze(axis), &t);
    }
    Ok(())
}

fn concatenating<E: Float>(plans: &[Plan], axis: usize, from_the_end: bool) -> Law {
    let parts: Vec<Tensor<E>> = plans.iter().map(Plan::tensor).collect();
    let axis_sign = signed(&[axis], parts[0].rank(), from_the_end)[0];
    let arrays: Vec<Array> = parts.iter().map(Array::of).collect();
    let whole = Tensor::concat(&parts.iter().collect::<Vec<_>>(), axis_sign);
    same("concat", &whole, &Array::concat(&arrays, axis))?;
    let sizes: Vec<usize> = parts.iter().map(|part| part.dims()[axis]).collect();
    prop_assert_eq!(whole.split(axis_sign, &sizes), parts);
    Ok(())
}

/// Up to four tensors that differ in one axis at most.
fn parts() -> impl Strategy<Value = (Vec<Plan>, usize)> {
    (plan_with_axes(), any::<prop::sample::Index>()).prop_flat_map(|(first, axis)| {
        let axis = axis.index(first.dims.len());
        let part = (0..=4usize, layout()).prop_map({
            let dims = first.dims.clone();
            move |(size, layout)| {
                let mut dims = dims.clone();
                dims[axis] = size;
                Plan { dims, layout }
            }
        });
        prop::collection::vec(part, 0..=3).prop_map(move |mut parts| {
            parts.insert(parts.len() / 2, first.clone());
            (parts, axis)
        })
    })
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_layout_reads_the_same_by_element_and_as_a_whole(plan in plan()) {
        access::<f32>(&plan)?;
        access::<f64>(&plan)?;
    }

    #[test]
    fn writing_never_reaches_another_holder(plan in plan()) {
        writing::<f32>(&plan)?;
        writing::<f64>(&plan)?;
    }

    #[test]
    fn reshape_keeps_row_major_order(plan in plan(), seed: u64) {
        reshaping::<f32>(&plan, seed)?;
        reshaping::<f64>(&plan, seed)?;
    }

    #[test]
    fn permute_and_transpose_move_axes(plan in plan(), seed: u64) {
        permuting::<f32>(&plan, seed)?;
        permuting::<f64>(&plan, seed)?;
    }

    #[test]
    fn narrow_shows_a_part(plan in plan_with_axes(), seed: u64) {
        narrowing::<f32>(&plan, seed)?;
        narrowing::<f64>(&plan, seed)?;
    }

    #[test]
    fn expand_repeats_and_sum_to_is_its_adjoint((plan, dims) in expansion()) {
        expanding::<f32>(&plan, &dims)?;
        expanding::<f64>(&plan, &dims)?;
    }

    #[test]
    fn squeeze_undoes_unsqueeze(plan in plan(), seed: u64) {
        unit_axes::<f32>(&plan, seed)?;
        unit_axes::<f64>(&plan, seed)?;
    }

    #[test]
    fn concat_joins_and_split_undoes_it((plans, axis) in parts(), from_the_end: bool) {
        concatenating::<f32>(&plans, axis, from_the_end)?;
        concatenating::<f64>(&plans, axis, from_the_end)?;
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Elementwise

fn truth(holds: bool) -> f64 {
    if holds { 1.0 } else { 0.0 }
}

fn binary<E: Float>([a, b]: &[Plan; 2]) -> Law {
    type Pair<E> = (&'static str, fn(&Tensor<E>, &Tensor<E>) -> Tensor<E>, fn(f64, f64) -> f64);
    let ops: [Pair<E>; 11] = [
        ("add", |a, b| a + b, |a, b| a + b),
        ("sub", |a, b| a - b, |a, b| a - b),
        ("mul", |a, b| a * b, |a, b| a * b),
        ("div", |a, b| a / b, |a, b| a / b),
        ("maximum", Tensor::maximum, f64::max),
        ("minimum", Tensor::minimum, f64::min),
        ("eq", Tensor::eq, |a, b| truth(a == b)),
        ("lt", Tensor::lt, |a, b| truth(a < b)),
        ("le", Tensor::le, |a, b| truth(a <= b)),
        ("gt", Tensor::gt, |a, b| truth(a > b)),
        ("ge", Tensor::ge, |a, b| truth(a >= b)),
    ];
    let (a, b) = (a.tensor::<E>(), b.tensor::<E>());
    let (a_array, b_array) = (Array::of(&a), Array::of(&b));
    for (name, op, oracle) in ops {
        same(name, &op(&a, &b), &a_array.zip(&b_array, oracle))?;
    }
    Ok(())
}

/// An owned left side: shared, alone, and sharing its storage with the right side.
fn reuse<E: Float>([a_plan, b_plan]: &[Plan; 2]) -> Law {
    type Owned<E> = (&'static str, fn(Tensor<E>, &Tensor<E>) -> Tensor<E>, fn(f64, f64) -> f64);
    let ops: [Owned<E>; 4] = [
        ("add", |a, b| a + b, |a, b| a + b),
        ("sub", |a, b| a - b, |a, b| a - b),
        ("mul", |a, b| a * b, |a, b| a * b),
        ("div", |a, b| a / b, |a, b| a / b),
    ];
    let (a, b) = (a_plan.tensor::<E>(), b_plan.tensor::<E>());
    let (a_array, b_array) = (Array::of(&a), Array::of(&b));
    for (name, op, oracle) in ops {
        let expected = a_array.zip(&b_array, oracle);
        same(name, &op(a.clone(), &b), &expected)?;
        same("a shared left side", &a, &a_array)?;
        same(name, &op(a_plan.tensor(), &b), &expected)?;
        same(name, &op(a.contiguous().copy(), &b), &expected)?;
        same("the right side", &b, &b_array)?;
        same(name, &op(a.clone(), &a), &a_array.zip(&a_array, oracle))?;
        let turned = a.transpose(0, -1);
        let both = a.shape().broadcast(turned.shape());
        // a long column and its transpose would make a huge square
        if let Some(shape) = both.filter(|shape| shape.elements() < 1 << 18) {
            let expected = a_array.zip(&Array::of(&turned), oracle);
            prop_assert_eq!(&shape[..], &expected.dims[..]);
            same(name, &op(a.clone(), &turned), &expected)?;
        }
    }
    let c = E::from_f64(-0.75);
    same("scale", &(a_plan.tensor::<E>() * c), &a_array.map(|x| x * -0.75))?;
    same("scale", &(a.clone() / c), &a_array.map(|x| x / -0.75))?;
    same("neg", &-a_plan.tensor::<E>(), &a_array.map(|x| -x))?;
    same("neg", &-a.clone(), &a_array.map(|x| -x))?;
    same("a shared tensor", &a, &a_array)
}

fn choosing<E: Float>([mask, a, b]: &[Plan; 3]) -> Law {
    let (mask, a, b) = (mask.tensor::<E>(), a.tensor::<E>(), b.tensor::<E>());
    let mask = mask.gt(&Tensor::scalar(E::ZERO));
    let dims = naive::broadcast(&naive::broadcast(mask.dims(), a.dims()), b.dims());
    let [m, x, y] = [&mask, &a, &b].map(|t| Array::of(t).expand(&dims));
    let chosen = (0..m.data.len()).map(|i| if m.data[i] != 0.0 { x.data[i] } else { y.data[i] });
    let expected = Array { data: chosen.collect(), dims };
    same("where", &Tensor::where_(&mask, &a, &b), &expected)
}

fn exact_maps<E: Float>(plan: &Plan) -> Law {
    let t = plan.tensor::<E>();
    let array = Array::of(&t);
    let c = |x: f64| E::from_f64(x);
    same("neg", &-&t, &array.map(|x| -x))?;
    same("abs", &t.abs(), &array.map(f64::abs))?;
    same("relu", &t.relu(), &array.map(|x| x.max(0.0)))?;
    same("square", &t.square(), &array.map(|x| x * x))?;
    same("recip", &t.recip(), &array.map(|x| 1.0 / x))?;
    same("sqrt", &t.sqrt(), &array.map(f64::sqrt))?;
    same("clamp", &t.clamp(c(-0.5), c(1.25)), &array.map(|x| x.clamp(-0.5, 1.25)))?;
    same("add_scalar", &t.add_scalar(c(0.375)), &array.map(|x| x + 0.375))?;
    same("scale", &t.scale(c(-1.5)), &array.map(|x| -1.5 * x))?;
    same("sub", &(&t - c(3.5)), &array.map(|x| x - 3.5))?;
    same("div", &(&t / c(3.0)), &array.map(|x| x / 3.0))?;
    same("map", &t.map(|x, _| x * x + x), &array.map(|x| x * x + x))?;
    same("into_map", &t.clone().into_map(|x, _| x * x), &array.map(|x| x * x))?;
    same("into_map of a shared tensor", &t, &array)?;
    same("into_map", &plan.tensor::<E>().into_map(|x, _| x * x), &array.map(|x| x * x))?;
    same("cast", &t.cast::<f32>(), &array)?;
    same("cast", &t.cast::<f64>(), &array)?;
    let thirds = &t / c(3.0);
    same("cast", &thirds.cast::<f32>(), &Array::of(&thirds))
}

/// The functions, each with its oracle, the arguments at which it is asked, and whether near 0 the error is relative.
type Function<E> = (&'static str, fn(&Tensor<E>) -> Tensor<E>, fn(f64) -> f64, [f64; 2], bool);

fn functions<E: Float>() -> [Function<E>; 9] {
    let gelu: fn(f64) -> f64 =
        |x| 0.5 * x * (1.0 + naive::erf(x * std::f64::consts::FRAC_1_SQRT_2));
    [
        ("exp", Tensor::exp, f64::exp, [-80.0, 80.0], true),
        ("ln", Tensor::ln, f64::ln, [1e-9, 1e4], false),
        ("sqrt", Tensor::sqrt, f64::sqrt, [0.0, 1e6], true),
        ("tanh", Tensor::tanh, f64::tanh, [-12.0, 12.0], true),
        ("erf", Tensor::erf, naive::erf, [-7.0, 7.0], true),
        ("sin", Tensor::sin, f64::sin, [-1e5, 1e5], false),
        ("cos", Tensor::cos, f64::cos, [-1e5, 1e5], false),
        ("sigmoid", Tensor::sigmoid, |x| 1.0 / (1.0 + (-x).exp()), [-80.0, 80.0], true),
        ("gelu", Tensor::gelu, gelu, [-12.0, 12.0], false),
    ]
}

/// Arguments of all magnitudes up to the ends of the range, in the layout of the plan.
fn arguments<E: Float>(plan: &Plan, [low, high]: [f64; 2]) -> Tensor<E> {
    plan.tensor::<E>().map(|x, _| {
        let x = x.to_f64(); // multiples of ⅛ in [−2, 2]
        let end = if x < 0.0 && low < 0.0 { low.abs() } else { high };
        let size = end * (3.0 * (x.abs() - 2.0)).exp2();
        E::from_f64((size * x.signum()).clamp(low, high))
    })
}

fn function_values<E: Float>(plan: &Plan, tolerance: f64) -> Law {
    for (name, op, oracle, range, relative) in functions::<E>() {
        let spread = arguments::<E>(plan, range);
        // once as a contiguous tensor, once as a view
        for x in [&spread, &spread.transpose(0, -1)] {
            let floor = if relative { 1e-30 } else { 1.0 };
            compare(name, &op(x), &Array::of(x).map(oracle), |found, expected| {
                (found - expected).abs() <= tolerance * expected.abs().max(floor)
            })?;
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn binary_ops_broadcast_in_every_pair_of_layouts(plans in pair()) {
        binary::<f32>(&plans)?;
        binary::<f64>(&plans)?;
    }

    #[test]
    fn an_owned_left_side_gives_the_same_result_and_shared_ones_stay(
        plans in pair().prop_filter("needs an axis", |[a, _]| !a.dims.is_empty())
    ) {
        reuse::<f32>(&plans)?;
        reuse::<f64>(&plans)?;
    }

    #[test]
    fn where_chooses_by_the_mask(plans in triple()) {
        choosing::<f32>(&plans)?;
        choosing::<f64>(&plans)?;
    }

    #[test]
    fn correctly_rounded_functions_are_correctly_rounded(plan in plan()) {
        exact_maps::<f32>(&plan)?;
        exact_maps::<f64>(&plan)?;
    }

    #[test]
    fn transcendental_functions_are_near_the_truth(plan in plan_with_axes()) {
        function_values::<f32>(&plan, 1e-6)?;
        function_values::<f64>(&plan, 1e-12)?;
    }
}

#[test]
fn functions_keep_their_limits_and_pass_nan_on() {
    fn check<E: Float>() {
        let nan = E::from_f64(f64::NAN);
        for (name, op, ..) in functions::<E>() {
            for len in [1, 40] {
                assert!(op(&Tensor::full([len], nan)).to_vec()[0].to_f64().is_nan(), "{name}");
            }
        }
        let inf = f64::INFINITY;
        let at =
            |op: fn(&Tensor<E>) -> Tensor<E>, x: f64| op(&Tensor::scalar(E::from_f64(x))).item();
        type Limit<E> = (fn(&Tensor<E>) -> Tensor<E>, f64, f64);
        let limits: [Limit<E>; 12] = [
            (Tensor::exp, -inf, 0.0),
            (Tensor::exp, inf, inf),
            (Tensor::exp, 0.0, 1.0),
            (Tensor::ln, 0.0, -inf),
            (Tensor::ln, 1.0, 0.0),
            (Tensor::ln, inf, inf),
            (Tensor::tanh, -inf, -1.0),
            (Tensor::erf, inf, 1.0),
            (Tensor::sigmoid, -inf, 0.0),
            (Tensor::sigmoid, inf, 1.0),
            (Tensor::cos, 0.0, 1.0),
            (Tensor::gelu, 0.0, 0.0),
        ];
        for (i, (op, x, limit)) in limits.into_iter().enumerate() {
            assert_eq!(at(op, x).to_f64(), limit, "limit {i}");
        }
        assert!(at(Tensor::ln, -1.0).to_f64().is_nan() && at(Tensor::sqrt, -1.0).to_f64().is_nan());
    }
    check::<f32>();
    check::<f64>();
}

// ---------------------------------------------------------------------------------------------------------------------
// Reductions

fn sum(group: &[f64]) -> f64 {
    group.iter().sum()
}

fn mean(group: &[f64]) -> f64 {
    sum(group) / group.len() as f64
}

fn variance(group: &[f64], correction: f64) -> f64 {
    let mean = mean(group);
    let squares = group.iter().map(|x| (x - mean) * (x - mean));
    squares.sum::<f64>() / (group.len() as f64 - correction)
}

/// The first place of the largest.
fn argmax(group: &[f64]) -> f64 {
    (0..group.len()).fold(0, |best, i| if group[i] > group[best] { i } else { best }) as f64
}

fn sums<E: Float>(plan: &Plan, seed: u64) -> Law {
    let (t, mut rng) = (plan.tensor::<E>(), rng(seed));
    let array = Array::of(&t);
    let mut axes: Vec<usize> = (0..t.rank()).filter(|_| rng.random_bool(0.5)).collect();
    if rng.random() {
        axes.reverse();
    }
    let named = signed(&axes, t.rank(), rng.random());
    let kept = array.reduce(&axes, sum);
    same("sum_keep", &t.sum_keep(&named), &kept)?;
    same("sum", &t.sum(&named), &kept.drop(&axes))?;
    let all = Array { dims: Vec::new(), data: vec![sum(&array.data)] };
    same("sum_all", &t.sum_all(), &all)?;
    let tolerance = rounding::<E>();
    near("mean", &t.mean(&named), &array.reduce(&axes, mean).drop(&axes), tolerance)?;
    if !t.is_empty() {
        near("mean_all", &t.mean_all(), &all.map(|sum| sum / t.len() as f64), tolerance)?;
    }
    // squares of deviations are rounded, and so are their sums
    let count: usize = axes.iter().map(|&axis| t.dims()[axis]).product();
    let tolerance = tolerance * (count as f64).sqrt().max(4.0);
    for correction in 0..count.min(2) {
        let expected = array.reduce(&axes, |group| variance(group, correction as f64));
        let found = t.variance(&named, correction);
        near("variance", &found, &expected.drop(&axes), tolerance)?;
    }
    Ok(())
}

fn maxima<E: Float>(plan: &Plan, seed: u64) -> Law {
    let (t, mut rng) = (plan.tensor::<E>(), rng(seed));
    let axis = rng.random_range(0..t.rank());
    if t.dims()[axis] == 0 {
        return Ok(());
    }
    let (array, named) = (Array::of(&t), signed(&[axis], t.rank(), rng.random())[0]);
    let largest = |group: &[f64]| group.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    same("max", &t.max(named), &array.reduce(&[axis], largest).drop(&[axis]))?;
    let places: Vec<f64> = t.argmax(named).into_iter().map(|i| i as f64).collect();
    prop_assert_eq!(places, array.reduce(&[axis], argmax).data);
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn sums_means_and_variances_over_any_axes(plan in plan(), seed: u64) {
        sums::<f32>(&plan, seed)?;
        sums::<f64>(&plan, seed)?;
    }

    #[test]
    fn max_and_argmax_along_any_axis(plan in plan_with_axes(), seed: u64) {
        maxima::<f32>(&plan, seed)?;
        maxima::<f64>(&plan, seed)?;
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Products

/// Factors [… m, k] and [… k, n] whose leading axes broadcast to `lead`.
fn factors_with(lead: Vec<usize>) -> impl Strategy<Value = [Plan; 2]> {
    let small = [size().boxed(), size().boxed(), size().boxed()];
    let inner = prop_oneof![4 => 1..60usize, 1 => 1000..2500usize];
    let large = [(1..80usize).boxed(), inner.boxed(), (1..80usize).boxed()];
    let many = !lead.is_empty();
    let sizes = prop_oneof![2 => small, u32::from(!many) => large];
    sizes.prop_flat_map(move |[m, k, n]| {
        [[m, k], [k, n]].map(|end| {
            let dims =
                broadcasting_to(lead.clone()).prop_map(move |lead| [&lead[..], &end].concat());
            (dims, layout()).prop_map(|(dims, layout)| Plan { dims, layout })
        })
    })
}

fn factors() -> impl Strategy<Value = [Plan; 2]> {
    let size = prop_oneof![1 => Just(0), 8 => 1..=3usize];
    prop::collection::vec(size, 0..=3).prop_flat_map(factors_with)
}

fn products<E: Float>([a, b]: &[Plan; 2]) -> Law {
    let (a, b) = (a.tensor::<E>(), b.tensor::<E>());
    same("matmul", &a.matmul(&b), &Array::of(&a).matmul(&Array::of(&b)))
}

fn strided_gemm<E: Float>([a, b]: &[Plan; 2], seed: u64) -> Law {
    let (a, b) = (a.tensor::<E>(), b.tensor::<E>());
    let view = |t: &Tensor<E>| (t.dims()[0], t.dims()[1], t.strides().get(0), t.strides().get(1));
    let (m, k, a_row, a_col) = view(&a);
    let (_, n, b_row, b_col) = view(&b);
    let mut rng = rng(seed);
    let eighths = |x: f64| E::from_f64(x);
    let (alpha, beta) = (f64::from(rng.random_range(-2..=2)), f64::from(rng.random_range(-1..=1)));
    let stale = if beta == 0.0 { f64::NAN } else { 0.5 }; // with β = 0 C is not read
    let (gap, by_columns) = (rng.random_range(1..=2usize), rng.random::<bool>());
    let [row, col] = if by_columns { [gap, gap * m.max(1) + 1] } else { [gap * n.max(1) + 1, gap] };
    let mut out = vec![eighths(stale); m * row + n * col + 1];
    gemm(
        eighths(alpha),
        MatRef::new(a.storage(), m, k, a_row, a_col),
        MatRef::new(b.storage(), k, n, b_row, b_col),
        eighths(beta),
        MatMut::new(&mut out, m, n, row, col),
    );
    let product = Array::of(&a).matmul(&Array::of(&b));
    let before = if beta == 0.0 { 0.0 } else { beta * stale };
    let mut written = vec![false; out.len()];
    for i in 0..m {
        for j in 0..n {
            let found = out[i * row + j * col].to_f64();
            prop_assert_eq!(found, alpha * product.at(&[i, j]) + before, "({}, {})", i, j);
            written[i * row + j * col] = true;
        }
    }
    let untouched = (0..out.len()).filter(|&i| !written[i]);
    prop_assert!(untouched.into_iter().all(|i| same_number(out[i].to_f64(), stale)));
    Ok(())
}

fn rows<E: Float>(plan: &Plan, seed: u64) -> Law {
    let (t, mut rng) = (plan.tensor::<E>(), rng(seed));
    let axis = rng.random_range(0..t.rank());
    let size = t.dims()[axis];
    let count = if size == 0 { 0 } else { rng.random_range(0..=6) };
    let indices: Vec<usize> = (0..count).map(|_| rng.random_range(0..size)).collect();
    let (array, named) = (Array::of(&t), signed(&[axis], t.rank(), rng.random())[0]);
    let taken = t.gather(named, &indices);
    same("gather", &taken, &array.gather(axis, &indices))?;
    let y = Plan { dims: taken.dims().to_vec(), layout: plan.layout }.tensor::<E>();
    let (y_array, zeros) = (Array::of(&y), Tensor::<E>::zeros(t.shape()));
    same(
        "scatter_add",
        &t.scatter_add(named, &indices, &y),
        &array.scatter_add(axis, &indices, &y_array),
    )?;
    same("scatter_add into a shared tensor", &t, &array)?;
    // Σ gather(x)·y = Σ x·scatter(y)
    let back = zeros.scatter_add(named, &indices, &y);
    prop_assert_eq!(dot(&Array::of(&taken), &y_array), dot(&array, &Array::of(&back)));
    Ok(())
}

#[derive(Clone, Debug)]
struct Convolving {
    image: Plan,
    weight: Plan,
    options: Convolution,
}

fn convolution() -> impl Strategy<Value = Convolving> {
    let counts = [0..=3usize, 1..=3, 0..=2, 0..=2]; // batch, groups, inputs and outputs per group
    let axis = (1..=3usize, 0..=4usize); // kernel, image beyond it
    (counts, [axis.clone(), axis], 1..=3usize, 0..=2usize, 1..=2usize).prop_flat_map(
        |([batch, groups, inputs, outputs], [(kh, h), (kw, w)], stride, padding, dilation)| {
            let size =
                |k: usize, more: usize| more + (dilation * (k - 1) + 1).saturating_sub(2 * padding);
            let image = plan_of(vec![batch, groups * inputs, size(kh, h), size(kw, w)]);
            let weight = plan_of(vec![groups * outputs, inputs, kh, kw]);
            let options = Convolution { stride, padding, dilation, groups };
            (image, weight).prop_map(move |(image, weight)| Convolving { image, weight, options })
        },
    )
}

fn convolving<E: Float>(c: &Convolving) -> Law {
    let (x, w, options) = (c.image.tensor::<E>(), c.weight.tensor::<E>(), c.options);
    let out = x.conv2d(&w, options);
    same("conv2d", &out, &Array::of(&x).conv2d(&Array::of(&w), options))?;
    // Σ conv(x, w)·g = Σ x·(gradient of x) = Σ w·(gradient of w)
    let g = Plan { dims: out.dims().to_vec(), layout: c.weight.layout }.tensor::<E>();
    let of_image = g.conv2d_image_gradient(&w, [x.dims()[2], x.dims()[3]], options);
    let of_weight = g.conv2d_weight_gradient(&x, [w.dims()[2], w.dims()[3]], options);
    prop_assert_eq!((of_image.dims(), of_weight.dims()), (x.dims(), w.dims()));
    let dot = |a: &Tensor<E>, b: &Tensor<E>| dot(&Array::of(a), &Array::of(b));
    prop_assert_eq!(dot(&out, &g), dot(&x, &of_image));
    prop_assert_eq!(dot(&out, &g), dot(&w, &of_weight));
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn matmul_is_the_sum_of_products_for_any_strides_and_batches(plans in factors()) {
        products::<f32>(&plans)?;
        products::<f64>(&plans)?;
    }

    #[test]
    fn gemm_writes_its_places_and_no_others(
        plans in factors_with(Vec::new()), seed: u64,
    ) {
        strided_gemm::<f32>(&plans, seed)?;
        strided_gemm::<f64>(&plans, seed)?;
    }

    #[test]
    fn gather_takes_places_and_scatter_add_is_its_adjoint(plan in plan_with_axes(), seed: u64) {
        rows::<f32>(&plan, seed)?;
        rows::<f64>(&plan, seed)?;
    }

    #[test]
    fn conv2d_is_seven_loops_and_its_gradients_are_its_adjoints(c in convolution()) {
        convolving::<f32>(&c)?;
        convolving::<f64>(&c)?;
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Threads and buffers

fn bits<E: Float>(data: &[E]) -> Vec<u64> {
    data.iter().map(|x| x.to_f64().to_bits()).collect()
}

/// The bits of a result must be those that loops give that do not split.
fn splits_alike<E: Float>(op: &str, f: impl Fn() -> Vec<E> + Send + Sync) {
    four_threads();
    assert!(par::may_split());
    let many = f();
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let whole = pool.expect("a few threads").install(|| {
            assert!(!par::may_split(), "inside a worker loops stay whole");
            f()
        });
        assert!(bits(&many) == bits(&whole), "{op}<{}> depends on the threads", E::NAME);
    }
}

type Run<E> = Box<dyn Fn() -> Vec<E> + Send + Sync>;

/// Every op that splits, on inputs of several chunks whose sums are rounded.
fn large_ops<E: Float>() -> Vec<(&'static str, Run<E>)> {
    four_threads();
    let mut rng = rng(5);
    let mut normal = |dims: &[usize]| Tensor::<E>::normal(dims, 0.0, 1.0, &mut rng);
    let flat = normal(&[3 * (1 << 15) + 77]);
    let x = normal(&[130, 7, 129]);
    let (row, column) = (normal(&[129]), normal(&[130, 1, 1]));
    let turned = normal(&[129, 7, 130]).permute(&[2, 1, 0]);
    let (tall, thin) = (normal(&[1501, 67]), normal(&[67, 93]));
    let long = normal(&[4103, 37]);
    let stack = normal(&[9, 41, 50]);
    let (image, weight) = (normal(&[5, 6, 23, 22]), normal(&[8, 3, 3, 3]));
    let grouped = Convolution { padding: 1, groups: 2, ..Convolution::default() };
    let strided = Convolution { stride: 2, groups: 2, ..Convolution::default() };
    let g = image.conv2d(&weight, grouped);
    let (large, wide) = (normal(&[1, 40, 33, 70]), normal(&[8, 40, 3, 3]));
    let indices: Vec<usize> = (0..300).map(|i| i * 37 % 130).collect();

    let mut ops: Vec<(&'static str, Run<E>)> = Vec::new();
    macro_rules! op {
        ($name:literal, ($($used:ident),*), $result:expr) => {{
            $(let $used = $used.clone();)*
            ops.push(($name, Box::new(move || $result.to_vec())));
        }};
    }
    op!("add", (flat), &flat + &flat);
    op!("mul a row", (x, row), &x * &row);
    op!("div by a column", (x, column), &x / &column);
    op!("sub a permuted one", (x, turned), &x - &turned);
    op!("add into", (x, row), x.copy() + &row);
    op!("mul into by a permuted one", (x, turned), x.copy() * &turned);
    op!("scale into", (flat), flat.copy() * E::from_f64(0.3));
    op!("maximum", (x, turned), x.maximum(&turned));
    op!("le", (x, row), x.le(&row));
    op!("where", (x, row, turned), Tensor::where_(&x.gt(&row), &turned, &x));
    op!("copy", (turned), turned.copy());
    op!("cast", (turned), turned.cast::<f32>().cast::<E>());
    op!("neg", (turned), -&turned);
    op!("concat", (x, turned), Tensor::concat(&[&x, &turned], 1));
    op!("gather", (x, indices), x.gather(0, &indices));
    op!("scatter_add", (x, indices), x.scatter_add(0, &indices, &x.gather(0, &indices)));
    for (name, f, ..) in functions::<E>() {
        let flat = flat.abs();
        ops.push((name, Box::new(move || f(&flat).to_vec())));
    }
    op!("sum_all", (flat), flat.sum_all());
    op!("sum_all of a view", (turned), turned.sum_all());
    op!("mean_all", (flat), flat.mean_all());
    op!("sum of the last axis", (x), x.sum(&[-1]));
    op!("sum of the first axis", (x), x.sum(&[0]));
    op!("sum of outer axes", (x), x.sum(&[0, 1]));
    op!("sum of a middle axis", (turned), turned.sum(&[1]));
    op!("mean", (x), x.mean(&[0, 2]));
    op!("variance", (turned), turned.variance(&[-1], 1));
    op!("max", (x), x.max(0));
    op!("matmul, tall", (tall, thin), tall.matmul(&thin));
    op!("matmul, wide", (tall, thin), thin.transpose(0, 1).matmul(&tall.transpose(0, 1)));
    op!("matmul, long k", (long), long.transpose(0, 1).matmul(&long));
    op!("matmul, batched", (stack), stack.matmul(&stack.transpose(1, 2)));
    op!("matmul, stack by one", (stack), stack.matmul(&stack.narrow(0, 0, 1).transpose(1, 2)));
    op!("matmul, rows of a stack", (x, thin), {
        x.transpose(1, 2).reshape([910, 129]).narrow(1, 3, 67).matmul(&thin)
    });
    op!("conv2d", (image, weight), image.conv2d(&weight, grouped));
    op!("conv2d, strided", (image, weight), image.conv2d(&weight, strided));
    op!("conv2d, one image", (large, wide), large.conv2d(&wide, Convolution::default()));
    op!("conv2d's image", (g, weight), g.conv2d_image_gradient(&weight, [23, 22], grouped));
    op!("conv2d's weight", (g, image), g.conv2d_weight_gradient(&image, [3, 3], grouped));
    ops
}

#[test]
fn every_op_gives_the_same_bits_for_any_number_of_threads() {
    fn check<E: Float>() {
        for (name, run) in large_ops::<E>() {
            splits_alike(name, run);
        }
    }
    check::<f32>();
    check::<f64>();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: config().cases / 4 + 1, ..config() })]

    #[test]
    fn products_of_any_size_give_the_same_bits_for_any_number_of_threads(
        m in 1..2600usize, k in 1..200usize, n in 1..160usize, turned: [bool; 2], seed: u64,
    ) {
        let mut rng = rng(seed);
        let [a, b] = [(m, k, turned[0]), (k, n, turned[1])].map(|(rows, cols, turned)| {
            if turned {
                Tensor::<f32>::normal([cols, rows], 0.0, 1.0, &mut rng).transpose(0, 1)
            } else {
                Tensor::<f32>::normal([rows, cols], 0.0, 1.0, &mut rng)
            }
        });
        splits_alike("matmul", || a.matmul(&b).to_vec());
        // a weight's gradient: k long, the product small
        splits_alike("matmul", || a.transpose(0, 1).matmul(&a).to_vec());
    }

    #[test]
    fn chunks_cover_a_slice_once_and_ranges_come_in_order(len in 0..5000usize, size in 0..700usize) {
        four_threads();
        let mut slots = vec![usize::MAX; len];
        par::for_chunks(&mut slots, size, usize::MAX, |start, chunk| {
            assert!(chunk.len() <= size.max(1));
            for (i, slot) in chunk.iter_mut().enumerate() {
                assert_eq!(*slot, usize::MAX);
                *slot = start + i;
            }
        });
        prop_assert!(slots.iter().enumerate().all(|(i, &slot)| slot == i));
        let ranges = par::map_ranges(len, size, usize::MAX, |range| range);
        let covered: Vec<usize> = ranges.into_iter().flatten().collect();
        prop_assert_eq!(covered, slots);
    }
}

/// Leaves a few buffers full of NaN in every size class of the pool up to 2¹⁸ elements.
fn poison<E: Float>() {
    let nan = E::from_f64(f64::NAN);
    let lengths = (8..18).flat_map(|octave| (0..4).map(move |q| (1 << octave) * (4 + q) / 4));
    let full = |len: usize| (0..3).map(move |_| Tensor::full([len], nan));
    drop(lengths.flat_map(full).collect::<Vec<_>>());
}

#[test]
fn results_never_contain_what_a_recycled_buffer_held() {
    fn check<E: Float>() {
        // the poison works: this size belongs to no other test
        drop(Tensor::full([900_001], E::from_f64(f64::NAN)));
        let mut stale = false;
        drop(Tensor::<E>::build([900_001], |out| {
            stale = out.iter().all(|x| x.to_f64().is_nan());
            out.fill(E::ZERO);
        }));
        assert!(stale, "a dropped buffer is handed out again");

        for (name, run) in large_ops::<E>() {
            let clean = run();
            assert!(clean.iter().all(|x| !x.to_f64().is_nan()), "{name}: NaN");
            poison::<E>();
            assert!(bits(&run()) == bits(&clean), "{name}<{}>: stale values", E::NAME);
        }
        // nothing to add up, and padding
        let empty = Tensor::<E>::zeros([40, 0]);
        for _ in 0..2 {
            poison::<E>();
            let zeros = empty.matmul(&Tensor::zeros([0, 41]));
            assert_eq!(zeros, Tensor::zeros([40, 41]));
            assert_eq!(Tensor::<E>::zeros([0, 1000]).sum(&[0]), Tensor::zeros([1000]));
            let padded = Convolution { padding: 2, ..Convolution::default() };
            let image = Tensor::<E>::zeros([2, 3, 9, 9]);
            let out = image.conv2d(&Tensor::ones([1, 3, 3, 3]), padded);
            assert_eq!(out, Tensor::zeros([2, 1, 11, 11]));
            let no_channels = Tensor::<E>::zeros([2, 0, 20, 20]);
            let out = no_channels.conv2d(&Tensor::zeros([4, 0, 1, 1]), Convolution::default());
            assert_eq!(out, Tensor::zeros([2, 4, 20, 20]));
        }
    }
    check::<f32>();
    check::<f64>();
}

// ---------------------------------------------------------------------------------------------------------------------
// Programmer errors

/// The message with which `f` panics.
fn message<R>(f: impl FnOnce() -> R) -> String {
    let panic = catch_unwind(AssertUnwindSafe(f)).err().expect("a panic");
    let text = panic.downcast_ref::<String>().cloned();
    text.or(panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).expect("a message")
}

#[test]
fn programmer_errors_name_the_op_first_and_both_shapes_in_one_line() {
    let t = |dims: &[usize]| Tensor::<f32>::zeros(dims);
    let x = t(&[2, 3]);
    let conv = |x: &[usize], w: &[usize]| message(|| t(x).conv2d(&t(w), Convolution::default()));
    let messages: [(&str, &[&str], String); 32] = [
        ("add", &["[2, 3]", "[2]"], message(|| &x + &t(&[2]))),
        ("sub", &["[2, 3]", "[4]"], message(|| x.clone() - &t(&[4]))),
        ("mul", &["[2, 3]", "[3, 3]"], message(|| &x * &t(&[3, 3]))),
        ("div", &["[2, 3]", "[2, 2]"], message(|| x.copy() / &t(&[2, 2]))),
        ("maximum", &["[2, 3]", "[2]"], message(|| x.maximum(&t(&[2])))),
        ("lt", &["[2, 3]", "[2]"], message(|| x.lt(&t(&[2])))),
        ("eq", &["[2, 3]", "[2]"], message(|| x.eq(&t(&[2])))),
        ("where", &["[2]", "[2, 3]"], message(|| Tensor::where_(&t(&[2]), &x, &x))),
        ("from_vec", &["[2, 2]", "3"], message(|| Tensor::from_vec([2, 2], vec![0.0f32; 3]))),
        ("reshape", &["[2, 3]", "[4]"], message(|| x.reshape([4]))),
        ("permute", &["[2, 3]", "[0, 0]"], message(|| x.permute(&[0, 0]))),
        ("narrow", &["[2, 3]", "axis 1"], message(|| x.narrow(1, 2, 2))),
        ("expand", &["[2, 3]", "[2, 4]"], message(|| x.expand([2, 4]))),
        ("squeeze", &["[2, 3]", "axis 0"], message(|| x.squeeze(0))),
        ("unsqueeze", &["[2, 3]", "axis 3"], message(|| x.unsqueeze(3))),
        ("concat", &["[2, 3]", "[2, 4]"], message(|| Tensor::concat(&[&x, &t(&[2, 4])], 0))),
        ("concat", &[], message(|| Tensor::<f32>::concat(&[], 0))),
        ("split", &["[2, 3]", "[1, 1]"], message(|| x.split(1, &[1, 1]))),
        ("sum_to", &["[2, 3]", "[2, 2]"], message(|| x.sum_to(Shape::new(&[2, 2])))),
        ("sum_to", &["[2, 3]", "[1, 1, 1]"], message(|| x.sum_to(Shape::new(&[1, 1, 1])))),
        ("max", &["[2, 0]"], message(|| t(&[2, 0]).max(1))),
        ("argmax", &["[2, 0]"], message(|| t(&[2, 0]).argmax(1))),
        ("matmul", &["[2, 3]", "[2, 3]"], message(|| x.matmul(&x))),
        ("matmul", &["[2, 3]", "[3]"], message(|| x.matmul(&t(&[3])))),
        ("matmul", &["[2, 2, 3]", "[4, 3, 2]"], message(|| t(&[2, 2, 3]).matmul(&t(&[4, 3, 2])))),
        ("gather", &["3"], message(|| x.gather(1, &[3]))),
        ("scatter_add", &["[2, 3]", "[2, 2]"], message(|| x.scatter_add(0, &[1], &t(&[2, 2])))),
        ("conv2d", &["[2, 3]", "[4, 4]"], conv(&[2, 3], &[4, 4])),
        ("conv2d", &["[1, 2, 3, 3]", "[2, 1, 1, 1]"], conv(&[1, 2, 3, 3], &[2, 1, 1, 1])),
        ("conv2d", &["3 pixels"], conv(&[1, 1, 3, 3], &[1, 1, 4, 4])),
        ("copy_to", &["[2, 3]", "5"], message(|| x.copy_to(&mut [0.0; 5]))),
        ("item", &["[2, 3]"], message(|| x.item())),
    ];
    for (op, parts, message) in messages {
        assert!(message.starts_with(op), "{op} comes first: {message}");
        assert!(!message.contains('\n'), "{op}: one line: {message}");
        assert!(parts.iter().all(|part| message.contains(part)), "{op}: {parts:?} in: {message}");
    }
}

#[test]
#[should_panic(expected = "sum: no axis 2 in shape [2, 3]")]
fn an_axis_that_does_not_exist_is_refused() {
    Tensor::<f32>::zeros([2, 3]).sum(&[2]);
}

#[test]
#[should_panic(expected = "get: index [1, 3] outside of shape [2, 3]")]
fn an_index_outside_is_refused() {
    Tensor::<f32>::zeros([2, 3]).get(&[1, 3]);
}

#[test]
#[should_panic(expected = "data: a [3, 2] view")]
fn a_view_has_no_slice() {
    Tensor::<f32>::zeros([2, 3]).transpose(0, 1).data();
}

#[test]
#[should_panic(expected = "has more than 6 axes")]
fn a_seventh_axis_is_refused() {
    Tensor::<f32>::zeros([1, 1, 1, 1, 1, 1, 1]);
}
