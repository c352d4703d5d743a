//! Laws that derivatives obey, besides being right.

mod common;

use autograd::check::{Case, Entry, Layout, Run, cotangent, table};
use common::assert_close;
use tensor::{Float, Tensor};

#[test]
fn a_vjp_is_linear_in_its_cotangent() {
    two_threads();
    for entry in table() {
        for seed in 100..104 {
            let name = entry.name();
            let case = Case::draw(entry.spec(), seed);
            let inputs = case.tensors(entry.spec());
            let (u, v) = (|shape| cotangent(shape, 1), |shape| cotangent(shape, 2));
            let of_u = entry.double(&case, &inputs, u).expect(name).gradients;
            let of_v = entry.double(&case, &inputs, v).expect(name).gradients;
            let both = |shape| u(shape) * 2.0 + &(v(shape) * -3.0);
            let of_both = entry.double(&case, &inputs, both).expect(name).gradients;
            for ((of_u, of_v), of_both) in of_u.iter().zip(&of_v).zip(&of_both) {
                let (Some(of_u), Some(of_v), Some(of_both)) = (of_u, of_v, of_both) else {
                    continue;
                };
                let sum = of_u * 2.0 + &(of_v * -3.0);
                assert_close(&format!("{name}, seed {seed}"), of_both, &sum, 1e-12);
            }
        }
    }
}

/// Linear in all inputs together.
const LINEAR: [&str; 24] = [
    "add",
    "sub",
    "Add",
    "Sub",
    "Add owned",
    "Neg",
    "neg",
    "scale",
    "where_",
    "mask",
    "reshape",
    "permute",
    "transpose",
    "narrow",
    "split",
    "expand",
    "unsqueeze",
    "squeeze",
    "concat",
    "sum",
    "sum_keep",
    "sum_all",
    "gather",
    "scatter_add",
];
/// Linear in each input while the other is held.
const BILINEAR: [&str; 5] = ["mul", "Mul", "matmul", "matmul broadcast", "conv2d"];

/// ⟨Jx, u⟩ = ⟨x, Jᵀu⟩, where Jx is the value. On integers no operation rounds, so the sides are equal to the last bit.
#[test]
fn the_vjp_of_a_linear_op_is_its_adjoint_exactly() {
    two_threads();
    let table = table();
    for name in LINEAR.iter().chain(&BILINEAR) {
        let entry = table.iter().find(|entry| entry.name() == *name).expect(name);
        for seed in 200..216 {
            let (inputs, u, run) = on_integers(entry, seed);
            let left = dot(&run.value, &u);
            let parts = inputs.iter().zip(&run.gradients);
            let right: Vec<f64> =
                parts.map(|(x, g)| g.as_ref().map_or(0.0, |g| dot(x, g))).collect();
            if LINEAR.contains(name) {
                assert_eq!(left, right.iter().sum::<f64>(), "{name}, seed {seed}");
            } else {
                assert!(right.iter().all(|right| *right == left), "{name}, seed {seed}: {right:?}");
            }
        }
    }
}

fn on_integers(entry: &Entry, seed: u64) -> (Vec<Tensor<f64>>, Tensor<f64>, Run<f64>) {
    let case = Case::draw(entry.spec(), seed).unshared();
    let round = |(x, layout): (Tensor<f64>, Layout)| layout.lay_out(&x.map(|x, _| x.round()));
    let inputs: Vec<_> =
        case.tensors(entry.spec()).into_iter().zip(case.layouts()).map(round).collect();
    let mut u = Tensor::scalar(0.0);
    let cotangent = |shape| {
        u = cotangent(shape, seed).map(|x, _| x.round());
        u.clone()
    };
    let name = entry.name();
    let run = entry.double(&case, &inputs, cotangent).expect(name);
    (inputs, u, run)
}

fn dot(a: &Tensor<f64>, b: &Tensor<f64>) -> f64 {
    a.to_vec().iter().zip(b.to_vec()).map(|(a, b)| a * b).sum()
}

/// Gives the global pool two threads on any machine. Each test of this file begins with it, so that none starts the pool
/// in another size.
fn two_threads() {
    let _ = rayon::ThreadPoolBuilder::new().num_threads(2).build_global(); // an error after the first time
    assert_eq!(rayon::current_num_threads(), 2);
}

#[test]
fn one_thread_and_two_give_the_same_bits() {
    // Loops split outside of rayon's workers only: on two threads here, on one inside `install`.
    two_threads();
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    for entry in table() {
        let named = match entry.name() {
            "conv2d" => 5,
            name if name.contains("attention") => 12,
            name if name.contains("matmul") && !name.contains("broadcast") => 72,
            "concat" | "scatter_add" => 40,
            _ => 4,
        };
        let case = Case::draw(entry.spec(), 0).resized(entry.spec(), named, &[200, 190]);
        let seed = case.seed();
        let both = || {
            let (name, spec) = (entry.name(), entry.spec());
            let inputs = case.tensors(spec);
            let u = |shape| cotangent(shape, seed);
            let double = entry.double(&case, &inputs, u).expect(name);
            let single = entry.single(&case, &inputs, u).expect(name);
            (bits(&double), bits(&single))
        };
        let split = both();
        let unsplit = one.install(both);
        assert_eq!(split.0, unsplit.0, "{} in double precision", entry.name());
        assert_eq!(split.1, unsplit.1, "{} in single precision", entry.name());
    }
}

/// The bits of a value and of all gradients.
fn bits<E: Float>(run: &Run<E>) -> Vec<Vec<u64>> {
    let bits = |x: &Tensor<E>| x.to_vec().iter().map(|x| x.to_f64().to_bits()).collect();
    std::iter::once(&run.value).chain(run.gradients.iter().flatten()).map(bits).collect()
}
