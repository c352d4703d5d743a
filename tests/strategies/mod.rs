//! Tensors of every kind: scalar, empty, long, permuted, narrowed, expanded.

#![allow(dead_code)] // each test file uses the strategies that it needs

use std::sync::Once;

use proptest::array::{uniform2, uniform3};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, RngSeed};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use tensor::{Float, Tensor};

/// Makes rayon's global pool one of four threads, also on a machine with one processor, so that loops do split. To be
/// called before anything else can start that pool.
pub(crate) fn four_threads() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build_global();
        pool.expect("every test that may split loops calls this first");
    });
}

/// `PROPTEST_CASES` cases or 48, the same ones on each run, with loops that split.
pub(crate) fn config() -> ProptestConfig {
    four_threads();
    let default = ProptestConfig::default(); // reads the variables of proptest
    let chosen = std::env::var_os("PROPTEST_CASES").is_some();
    ProptestConfig {
        cases: if chosen { default.cases } else { 48 },
        rng_seed: RngSeed::Fixed(0x7761_7665_7461_7065),
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource(
            "proptest-regressions",
        ))),
        ..default
    }
}

pub(crate) fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// How a tensor lies in memory, and what is in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    permuted: bool,
    narrowed: bool,
    expanded: bool,
    seed: u64,
}

pub(crate) fn layout() -> impl Strategy<Value = Layout> {
    let parts = (any::<bool>(), any::<bool>(), any::<bool>(), any::<u64>());
    parts.prop_map(|(permuted, narrowed, expanded, seed)| Layout {
        permuted,
        narrowed,
        expanded,
        seed,
    })
}

/// A tensor that is yet to be made: with the same elements in each precision, and each time anew.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) dims: Vec<usize>,
    pub(crate) layout: Layout,
}

impl Plan {
    /// A view that nobody shares, of elements that are multiples of ⅛ in [−2, 2]: sums of products of a few thousand
    /// such numbers are exact in f32, so that laws can ask for equality, and ties are frequent.
    pub(crate) fn tensor<E: Float>(&self) -> Tensor<E> {
        let mut rng = rng(self.layout.seed);
        let rank = self.dims.len();
        let mut order: Vec<usize> = (0..rank).collect(); // of the axes in memory
        if self.layout.permuted {
            (1..rank).for_each(|i| order.swap(i, rng.random_range(0..=i)));
        }
        let (mut stored, mut starts) = (Vec::new(), Vec::new());
        for &axis in &order {
            let expanded = self.layout.expanded && rng.random_bool(0.5);
            let size = if expanded { 1 } else { self.dims[axis] };
            let mut margin = || if self.layout.narrowed { rng.random_range(0..=2) } else { 0 };
            let (before, after) = (margin(), margin());
            stored.push(before + size + after);
            starts.push((before, size));
        }
        let mut t = Tensor::from_fn(&stored[..], |_| {
            E::from_f64(f64::from(rng.random_range(-16..=16)) / 8.0)
        });
        for (axis, (start, size)) in starts.into_iter().enumerate() {
            t = t.narrow(axis as isize, start, size);
        }
        let shown: Vec<usize> = order.iter().map(|&axis| self.dims[axis]).collect();
        let place = |axis| order.iter().position(|&at| at == axis).expect("a permutation");
        let back: Vec<isize> = (0..rank).map(|axis| place(axis) as isize).collect();
        t.expand(&shown[..]).permute(&back)
    }
}

/// The size of an axis: 0 is rare, 1 is not.
pub(crate) fn size() -> impl Strategy<Value = usize> {
    prop_oneof![1 => Just(0), 3 => Just(1), 12 => 2..=5usize]
}

/// Shapes of rank 0 to 5; a few are long enough for several chunks of an elementwise loop.
pub(crate) fn dims() -> impl Strategy<Value = Vec<usize>> {
    let long = prop_oneof![
        (33_000..70_000usize).prop_map(|n| vec![n]),
        (11_000..24_000usize).prop_map(|n| vec![n, 3]),
        (17_000..34_000usize).prop_map(|n| vec![2, n]),
        (6_000..9_000usize).prop_map(|n| vec![3, n, 2]),
    ];
    prop_oneof![30 => vec(size(), 0..=4), 4 => vec(size(), 5), 2 => long]
}

pub(crate) fn plan() -> impl Strategy<Value = Plan> {
    (dims(), layout()).prop_map(|(dims, layout)| Plan { dims, layout })
}

/// A tensor with at least one axis.
pub(crate) fn plan_with_axes() -> impl Strategy<Value = Plan> {
    plan().prop_filter("needs an axis", |plan| !plan.dims.is_empty())
}

pub(crate) fn plan_of(dims: Vec<usize>) -> impl Strategy<Value = Plan> {
    layout().prop_map(move |layout| Plan { dims: dims.clone(), layout })
}

/// `full` with some axes of size 1 and the first few left out: a shape that broadcasts to it.
pub(crate) fn broadcasting_to(full: Vec<usize>) -> impl Strategy<Value = Vec<usize>> {
    let rank = full.len();
    let flat = vec(prop::bool::weighted(0.25), rank);
    (flat, prop_oneof![3 => Just(0), 1 => 0..=rank]).prop_map(move |(flat, left_out)| {
        let size = |axis: usize| if flat[axis] { 1 } else { full[axis] };
        (left_out..rank).map(size).collect()
    })
}

fn operand(full: Vec<usize>) -> impl Strategy<Value = Plan> {
    (broadcasting_to(full), layout()).prop_map(|(dims, layout)| Plan { dims, layout })
}

/// Two tensors that broadcast.
pub(crate) fn pair() -> impl Strategy<Value = [Plan; 2]> {
    dims().prop_flat_map(|full| uniform2(operand(full)))
}

/// Three tensors that broadcast.
pub(crate) fn triple() -> impl Strategy<Value = [Plan; 3]> {
    dims().prop_flat_map(|full| uniform3(operand(full)))
}

/// A tensor and a larger shape that it broadcasts to.
pub(crate) fn expansion() -> impl Strategy<Value = (Plan, Vec<usize>)> {
    dims().prop_flat_map(|full| (operand(full.clone()), Just(full)))
}
