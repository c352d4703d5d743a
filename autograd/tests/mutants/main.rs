//! Faulty ops, each with one mistake that people make. The checker has to catch every one, and to name it.

use std::sync::atomic::{AtomicU32, Ordering};

use autograd::check::{self, CheckedOp, Diagnosis, Entry, Pick, Report, Verdict};
use autograd::{Op, Var, layer_norm};
use tensor::{Float, Tensor};

type T = Tensor<f64>;
type V = Var<f64>;

/// A faulty op, checked, and what the verdict must be.
type Mutant = (&'static str, fn() -> Report, fn(&Verdict) -> bool);

const MUTANTS: [Mutant; 17] = [
    (
        "a fused layer norm without backward",
        severed_layer_norm,
        |v| matches!(v, Verdict::Severed { input, .. } if input == "x"),
    ),
    ("a gradient transposed", transposed_gradient, |v| {
        diagnosed(v) == Some(&Diagnosis::Transposed(0, 1))
    }),
    ("a factor missing", missing_factor, |v| diagnosed(v) == Some(&Diagnosis::Factor(0.5))),
    ("a sign flipped", flipped_sign, |v| diagnosed(v) == Some(&Diagnosis::Factor(-1.0))),
    ("a sum over a broadcast axis forgotten", forgotten_sum, |v| {
        diagnosed(v) == Some(&Diagnosis::MissingSum(0))
    }),
    ("a gradient of zeros", zero_gradient, |v| diagnosed(v) == Some(&Diagnosis::Zero)),
    ("the input saved in place of the output", stale_saved_value, is_wrong),
    ("a term dropped", dropped_term, is_wrong),
    ("a sum over the wrong axis", wrong_axis, is_wrong),
    ("a mask that is off by one", off_by_one_mask, is_wrong),
    ("an accumulation forgotten", forgotten_accumulation, is_wrong),
    ("an epsilon in the wrong place", misplaced_epsilon, is_wrong),
    (
        "a gradient of a wrong shape",
        wrong_shape,
        |v| matches!(v, Verdict::Panicked { message } if message.contains("gradient of shape")),
    ),
    ("strides ignored", ignored_strides, |v| matches!(v, Verdict::LayoutDependent { .. })),
    ("a value that cancels in single precision", cancellation, |v| {
        matches!(v, Verdict::Imprecise { .. })
    }),
    ("hidden state", hidden_state, |v| matches!(v, Verdict::NotDeterministic { .. })),
    ("a value outside of the domain", outside_of_the_domain, |v| {
        matches!(v, Verdict::NotFinite { .. })
    }),
];

fn is_wrong(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Wrong { .. })
}

fn diagnosed(verdict: &Verdict) -> Option<&Diagnosis> {
    if let Verdict::Wrong { diagnosis, .. } = verdict { diagnosis.as_ref() } else { None }
}

#[test]
fn every_mutant_is_caught() {
    let caught = |(name, check, expected): &&Mutant| {
        let report = check();
        println!("{name}\n    {report}");
        expected(&report.verdict)
    };
    let missed: Vec<_> = MUTANTS.iter().filter(|mutant| !caught(mutant)).map(|m| m.0).collect();
    assert!(missed.is_empty(), "{} of {} missed: {missed:?}", missed.len(), MUTANTS.len());
}

#[test]
fn a_kink_is_inconclusive_and_not_wrong() {
    let report = check::op("relu", |[x]| x.relu(), [T::zeros([2])]);
    assert_eq!((report.verdict, report.inconclusive), (Verdict::Inconclusive, 2));
}

#[test]
fn a_failure_is_told_in_words() {
    let expected = "square: gradient of x wrong at [0]: analytic 1.17012, numeric 2.34024 ± ";
    let found = missing_factor().to_string();
    assert!(
        found.contains(", ratio 0.5; it is 0.5 times the right one everywhere; x [2]"),
        "{found}"
    );
    assert!(found.starts_with(&expected[..34]), "{found}");
    let found = ignored_strides().to_string();
    assert!(found.contains("; only when x is "), "{found}");
}

/// 2 × 2, without symmetry.
fn square() -> T {
    T::from_vec([2, 2], vec![0.5, -1.0, 2.0, 1.5])
}

fn rows() -> T {
    T::from_vec([2, 3], vec![0.5, -1.0, 2.0, 1.5, 0.25, -0.75])
}

fn severed_layer_norm() -> Report {
    let faulty = |x: &V| {
        let constant = |value| Var::constant(value);
        layer_norm(&x.detach(), &constant(T::ones([3])), &constant(T::zeros([3])), 1e-5)
    };
    check::op("layer_norm", |[x]| faulty(x), [rows()])
}

fn transposed_gradient() -> Report {
    let faulty = |a: &V, b: &V| {
        let (x, y) = (a.value().clone(), b.value().clone());
        Op::new("matmul", x.matmul(&y))
            .wrt(a, move |g| y.matmul(&g.transpose(0, 1)))
            .wrt(b, move |g| x.transpose(0, 1).matmul(&g))
            .record()
    };
    check::op("matmul", |[a, b]| faulty(a, b), [square(), square().transpose(0, 1)])
}

fn missing_factor() -> Report {
    let faulty = |x: &V| {
        let saved = x.value().clone();
        Op::new("square", saved.square()).wrt(x, move |g| g * &saved).record()
    };
    check::op("square", |[x]| faulty(x), [T::from_vec([2], vec![1.0, 2.0])])
}

fn flipped_sign() -> Report {
    let faulty =
        |a: &V, b: &V| Op::new("sub", a.value() - b.value()).wrt(a, |g| g).wrt(b, |g| g).record();
    check::op("sub", |[a, b]| faulty(a, b), [rows(), rows()])
}

/// A bias whose gradient is that of the first row.
fn forgotten_sum() -> Report {
    let faulty = |x: &V, bias: &V| {
        Op::new("add_bias", x.value() + bias.value())
            .wrt(x, |g| g)
            .wrt(bias, |g| g.narrow(0, 0, 1).reshape([3]))
            .record()
    };
    check::op("add_bias", |[x, bias]| faulty(x, bias), [rows(), T::ones([3])])
}

fn zero_gradient() -> Report {
    let faulty = |x: &V| Op::new("exp", x.value().exp()).wrt(x, |g| g * 0.0).record();
    check::op("exp", |[x]| faulty(x), [rows()])
}

fn stale_saved_value() -> Report {
    let faulty = |x: &V| {
        let saved = x.value().clone(); // should be the output
        let slope = move |g: T| &g - &(&g * &saved.square());
        Op::new("tanh", x.value().tanh()).wrt(x, slope).record()
    };
    check::op("tanh", |[x]| faulty(x), [rows()])
}

fn softmax_with(vjp: fn(T, T) -> T) -> Report {
    let faulty = move |x: &V| {
        let y = x.softmax(-1).into_value();
        let saved = y.clone();
        Op::new("softmax", y).wrt(x, move |g| vjp(g, saved)).record()
    };
    check::op("softmax", |[x]| faulty(x), [rows()])
}

fn dropped_term() -> Report {
    softmax_with(|g, y| g * &y) // − y Σ g·y
}

fn wrong_axis() -> Report {
    softmax_with(|g, y| {
        let weighted = g * &y;
        &weighted - &(&y * &weighted.sum_keep(&[0]))
    })
}

/// Keeps the lower triangle; the gradient forgets the diagonal.
fn off_by_one_mask() -> Report {
    let faulty = |x: &V| {
        let triangle = |strict: usize| T::from_fn([2, 2], |i| f64::from(i % 2 + strict <= i / 2));
        Op::new("lower", x.value() * &triangle(0)).wrt(x, move |g| g * &triangle(1)).record()
    };
    check::op("lower", |[x]| faulty(x), [square()])
}

/// Takes row 0 twice, and keeps the later gradient only.
fn forgotten_accumulation() -> Report {
    let faulty = |x: &V| {
        let last = |g: T| T::concat(&[&g.narrow(0, 1, 1), &T::zeros([1, 3])], 0);
        Op::new("gather", x.value().gather(0, &[0, 0])).wrt(x, last).record()
    };
    check::op("gather", |[x]| faulty(x), [rows()])
}

/// 1/√(x + ε) whose derivative has ε outside of the root.
fn misplaced_epsilon() -> Report {
    const EPS: f64 = 1e-5;
    let faulty = |x: &V| {
        let saved = x.value().clone();
        let cube = move |g: T| {
            let root = saved.sqrt().add_scalar(EPS);
            g / &(root.square() * &root) * -0.5
        };
        Op::new("rsqrt", x.value().add_scalar(EPS).sqrt().recip()).wrt(x, cube).record()
    };
    check::op("rsqrt", |[x]| faulty(x), [T::from_vec([2], vec![1.0, 2.0])])
}

fn wrong_shape() -> Report {
    let faulty = |x: &V| Op::new("transpose", x.value().transpose(0, 1)).wrt(x, |g| g).record();
    check::op("transpose", |[x]| faulty(x), [rows()])
}

/// Reads its input as if it were contiguous.
fn ignored_strides() -> Report {
    #[derive(Clone)]
    struct Faulty;
    impl CheckedOp for Faulty {
        fn call<E: Float>(&self, x: &[Var<E>], _: &mut Pick<'_>) -> Var<E> {
            let (shape, storage) = (x[0].shape(), x[0].value().storage());
            let read = |i: usize| storage.get(i).copied().unwrap_or(E::ZERO);
            Op::new("copy", Tensor::from_fn(shape, read)).wrt(&x[0], |g| g).record()
        }
    }
    generated("copy", Faulty)
}

/// x + 4096 − 4096.
fn cancellation() -> Report {
    #[derive(Clone)]
    struct Faulty;
    impl CheckedOp for Faulty {
        fn call<E: Float>(&self, x: &[Var<E>], _: &mut Pick<'_>) -> Var<E> {
            let far = E::from_f64(4096.0);
            x[0].add_scalar(far).add_scalar(-far)
        }
    }
    generated("identity", Faulty)
}

fn generated(name: &'static str, op: impl CheckedOp + Clone + 'static) -> Report {
    Entry::new(name, "* n>0", op).run(32, 0).failure.expect("a failure")
}

fn hidden_state() -> Report {
    static CALLS: AtomicU32 = AtomicU32::new(1);
    let faulty = |x: &V| x.scale(f64::from(CALLS.fetch_add(1, Ordering::Relaxed)));
    check::op("scale", |[x]| faulty(x), [rows()])
}

fn outside_of_the_domain() -> Report {
    check::op("ln", |[x]| x.ln(), [rows()])
}

#[test]
fn the_right_ops_that_the_mutants_imitate_pass() {
    check::op("matmul", |[a, b]| a.matmul(b), [square(), square()]).assert();
    check::op("softmax", |[x]| x.softmax(-1), [rows()]).assert();
    check::op("exp", |[x]| x.exp(), [rows().expand([4, 2, 3])]).assert();
}
