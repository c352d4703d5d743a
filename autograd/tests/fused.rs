//! Every fused op equals its composed twin, in value and in gradients.

mod common;

use autograd::check::{Case, Spec, cotangent, table};
use autograd::{Attention, Tape, Var, attention, attention_composed, self_attention};
use common::assert_close;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use tensor::{Float, Shape, Tensor};

const DOUBLE: f64 = 1e-12;
/// 256 roundings, the bound of `autograd::check` too.
const SINGLE: f64 = 256.0 * f32::EPSILON as f64;

#[test]
fn fused_ops_equal_their_composed_twins_on_generated_cases() {
    let table = table();
    let mut pairs = 0;
    for composed in &table {
        if !composed.name().contains("_composed") {
            continue;
        }
        let name = &composed.name().replace("_composed", "");
        let fused = table.iter().find(|entry| entry.name() == name).expect("a twin has an op");
        assert_eq!(axes(fused.spec()), axes(composed.spec()), "{name}");
        for seed in 0..24 {
            let case = Case::draw(composed.spec(), seed).unscaled();
            let inputs = case.tensors(composed.spec());
            let u = |shape| cotangent(shape, seed);
            let what = format!("{name}, seed {seed}");
            let ours = fused.double(&case, &inputs, u).expect(name);
            let reference = composed.double(&case, &inputs, u).expect(name);
            compare(
                &what,
                ours.value,
                ours.gradients,
                reference.value,
                reference.gradients,
                DOUBLE,
            );
            let ours = fused.single(&case, &inputs, u).expect(name);
            let reference = composed.single(&case, &inputs, u).expect(name);
            compare(
                &what,
                ours.value,
                ours.gradients,
                reference.value,
                reference.gradients,
                SINGLE,
            );
        }
        pairs += 1;
    }
    assert_eq!(pairs, 12, "every fused op has its twin");
}

/// A specification without the words that follow `in`: a twin may lose digits earlier.
fn axes(spec: &Spec) -> String {
    let text = spec.to_string();
    let (inputs, output) = text.split_once("->").unwrap_or((&text, ""));
    let axes = inputs.split(',').map(|input| input.split(" in ").next().unwrap_or(input).trim());
    axes.chain([output.trim()]).collect::<Vec<_>>().join(", ")
}

fn compare<E: Float>(
    what: &str,
    value: Tensor<E>,
    gradients: Vec<Option<Tensor<E>>>,
    expected: Tensor<E>,
    expected_gradients: Vec<Option<Tensor<E>>>,
    tolerance: f64,
) {
    assert_close(what, &value, &expected, tolerance);
    for (i, pair) in gradients.iter().zip(&expected_gradients).enumerate() {
        match pair {
            (Some(a), Some(b)) => assert_close(&format!("{what}, gradient {i}"), a, b, tolerance),
            (None, None) => {}
            _ => panic!("{what}: only one of the twins has a gradient of input {i}"),
        }
    }
}

/// Value and gradients of an op of q, k and v.
fn differentiate<E: Float>(
    inputs: &[Tensor<E>; 3],
    u: &Tensor<E>,
    op: impl Fn(&Var<E>, &Var<E>, &Var<E>) -> Var<E>,
) -> [Tensor<E>; 4] {
    let tape = Tape::new();
    let [q, k, v] = inputs.each_ref().map(|input| tape.leaf(input.clone()));
    let y = op(&q, &k, &v);
    let gradients = tape.backward_with(&y, u.clone());
    let [dq, dk, dv] = [&q, &k, &v].map(|x| gradients.get(x).expect("all take part").clone());
    [y.into_value(), dq, dk, dv]
}

/// q, k and v for `nq` queries and `nk` keys; q and v are views with their heads behind their places.
fn operands<E: Float>(nq: usize, nk: usize, seed: u64) -> [Tensor<E>; 3] {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut draw = |shape: [usize; 4]| Tensor::normal(shape, 0.0, 1.0, &mut rng);
    let (q, v) = (draw([2, nq, 3, 5]), draw([2, nk, 3, 5]));
    [q.transpose(1, 2), draw([2, 3, nk, 5]), v.transpose(1, 2)]
}

fn twins_agree<E: Float>(nq: usize, nk: usize, options: &Attention<E>, tolerance: f64) {
    let inputs = operands(nq, nk, (nq * 1000 + nk) as u64);
    let u = cotangent(Shape::from([2, nq, 15]), 3).cast();
    let fused = differentiate(&inputs, &u, |q, k, v| attention(q, k, v, options));
    let composed = differentiate(&inputs, &u, |q, k, v| attention_composed(q, k, v, options));
    for ((name, a), b) in ["value", "dq", "dk", "dv"].iter().zip(&fused).zip(&composed) {
        assert_close(&format!("{name} for {nq} queries and {nk} keys"), a, b, tolerance);
    }
}

fn bias<E: Float>(nq: usize, nk: usize) -> Var<E> {
    Var::constant(mask(nq, nk))
}

/// A mask that hides a third of the keys, never the first.
fn mask<E: Float>(nq: usize, nk: usize) -> Tensor<E> {
    Tensor::from_fn([1, 3, nq, nk], |i| if i % nk % 3 == 1 { -E::INFINITY } else { E::ZERO })
}

#[test]
fn attention_of_several_tiles_equals_its_twin() {
    // Tiles have 64 queries and 128 keys: one less, just as many, one more, several.
    for (nq, nk) in [(63, 127), (64, 128), (65, 129), (1, 300), (200, 1), (150, 300)] {
        twins_agree::<f64>(nq, nk, &Attention::default(), DOUBLE);
        twins_agree::<f32>(nq, nk, &Attention::default(), SINGLE);
        let masked = Attention { causal: false, mask: Some(bias(nq, nk)), angles: None };
        twins_agree::<f64>(nq, nk, &masked, DOUBLE);
    }
    for n in [64, 65, 128, 129, 200] {
        let causal = Attention { causal: true, mask: None, angles: None };
        twins_agree::<f64>(n, n, &causal, DOUBLE);
        let both = Attention { causal: true, mask: Some(bias(n, n)), angles: None };
        twins_agree::<f32>(n, n, &both, SINGLE);
    }
}

#[test]
fn a_query_that_sees_no_key_gives_zeros_and_sends_back_none() {
    let (nq, nk, blind) = (70, 130, 66);
    let inputs = operands::<f64>(nq, nk, 5);
    let open = mask::<f64>(nq, nk);
    let closed = Tensor::from_fn(open.shape(), |i| {
        if i / nk % nq == blind { f64::NEG_INFINITY } else { open.data()[i] }
    });
    let u = cotangent(Shape::from([2, nq, 15]), 1);
    let fused = differentiate(&inputs, &u, |q, k, v| {
        attention(
            q,
            k,
            v,
            &Attention { causal: false, mask: Some(closed.clone().into()), angles: None },
        )
    });
    // The reference leaves the row open, and its outputs out of the sum.
    let silent =
        Tensor::from_fn(u.shape(), |i| if i / 15 % nq == blind { 0.0 } else { u.data()[i] });
    let mut expected = differentiate(&inputs, &silent, |q, k, v| {
        attention_composed(
            q,
            k,
            v,
            &Attention { causal: false, mask: Some(open.clone().into()), angles: None },
        )
    });
    let heard = silent.eq(&Tensor::scalar(0.0));
    expected[0] = Tensor::where_(&heard, &Tensor::scalar(0.0), &expected[0]);
    for ((name, a), b) in ["value", "dq", "dk", "dv"].iter().zip(&fused).zip(&expected) {
        assert_close(name, a, b, DOUBLE);
    }
}

#[test]
fn attention_that_sees_nothing_at_all_is_zero() {
    let nothing = Tensor::full([3, 3], f64::NEG_INFINITY);
    let tape = Tape::new();
    let qkv = tape.leaf(Tensor::ones([1, 3, 6]));
    let y = self_attention(
        &qkv,
        2,
        &Attention { causal: false, mask: Some(nothing.into()), angles: None },
    );
    assert_eq!(y.value().to_vec(), [0.0; 6]);
    let gradients = tape.backward_with(&y, Tensor::ones([1, 3, 2]));
    assert_eq!(gradients.get(&qkv).expect("tracked").to_vec(), [0.0; 18]);
}

#[test]
fn a_nan_query_gives_nan_and_a_blind_one_zeros_in_both_twins() {
    let (nan, hidden) = (f32::NAN, f32::NEG_INFINITY);
    let row = |values: [f32; 3]| Tensor::from_vec([1, 1, 3, 1], values.to_vec());
    let inputs = [row([nan, 1.0, 2.0]), row([1.0, -1.0, 0.5]), row([2.0, 3.0, 5.0])];
    let mask = Tensor::from_fn([3, 3], |i| if i / 3 == 1 { hidden } else { 0.0 });
    let options = Attention { causal: false, mask: Some(mask.into()), angles: None };
    let u = Tensor::ones([1, 3, 1]);
    for twin in [attention, attention_composed] {
        let [y, dq, _, _] = differentiate(&inputs, &u, |q, k, v| twin(q, k, v, &options));
        let (y, dq) = (y.to_vec(), dq.to_vec());
        assert!(y[0].is_nan() && dq[0].is_nan(), "{y:?} {dq:?}");
        assert_eq!((y[1], dq[1]), (0.0, 0.0));
        assert!(y[2].is_finite() && dq[2].is_finite());
    }
}
