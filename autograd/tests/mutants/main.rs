//! The checker, checked: it catches every faulty op, and raises no alarm on right ones that are hard to differentiate
//! numerically.

mod nasty;
mod ops;

use std::collections::{BTreeMap, BTreeSet};

use autograd::check::{self, Report, Verdict};
use autograd::{Op, Var};
use ops::Mutant;
use tensor::Tensor;

type T = Tensor<f64>;
type V = Var<f64>;

/// Cases of each op: the default of `Entry::assert` and of `wavetape gradcheck`.
const CASES: usize = 100;

/// Rounds of 10,000 cases without an alarm: 1, or 20 with `PROPTEST_CASES=320`.
fn rounds() -> u64 {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    cases.map_or(1, |cases: u64| (cases / 16).max(1))
}

/// Seeds of different rounds are so far apart that no case is in two.
const SEEDS_APART: u64 = 1_000_003;

/// Whether a mutant is caught by cases that start from a seed.
fn caught(mutant: &Mutant, seed: u64) -> Option<Report> {
    mutant.entry.run(CASES, seed * SEEDS_APART).failure
}

#[test]
fn every_mutant_is_caught_from_every_seed() {
    let mutants = ops::all();
    let kinds: BTreeSet<_> = mutants.iter().map(|mutant| mutant.kind).collect();
    assert!(mutants.len() >= 40 && kinds.len() >= 12, "{} of {} kinds", mutants.len(), kinds.len());
    let mut missed = Vec::new();
    for mutant in &mutants {
        for seed in 0..20 {
            let report = caught(mutant, seed);
            if seed == 0 {
                let Mutant { kind, fault, seen, .. } = mutant;
                let words = report.as_ref().map_or("MISSED".to_string(), Report::to_string);
                let words = words.split("\n\n").next().unwrap_or_default();
                println!(
                    "{kind}: {fault}{}{seen}\n    {words}",
                    if seen.is_empty() { "" } else { ", " }
                );
            }
            if report.is_none() {
                missed.push((mutant.fault, seed));
            }
        }
    }
    println!(
        "{} mutants of {} kinds, {} missed in 20 seeds",
        mutants.len(),
        kinds.len(),
        missed.len()
    );
    assert!(missed.is_empty(), "missed: {missed:?}");
}

#[test]
fn mutants_are_told_apart_by_their_verdicts_and_named_by_their_patterns() {
    type Expected = fn(&Verdict) -> bool;
    let diagnosed = |verdict: &Verdict| match verdict {
        Verdict::Wrong { diagnosis, .. } => diagnosis.clone(),
        _ => None,
    };
    let expected: [(&str, Expected); 11] = [
        ("severed", |v| matches!(v, Verdict::Severed { .. } | Verdict::Wrong { .. })),
        ("layout", |v| {
            matches!(
                v,
                Verdict::LayoutDependent { .. } | Verdict::NotFinite { .. } | Verdict::Wrong { .. }
            )
        }),
        ("nan", |v| matches!(v, Verdict::Swallowed { .. })),
        ("magnitude", |v| matches!(v, Verdict::Imprecise { .. })),
        ("precision", |v| matches!(v, Verdict::Imprecise { .. } | Verdict::NotFinite { .. })),
        ("state", |v| matches!(v, Verdict::NotDeterministic { .. })),
        ("shape", |v| matches!(v, Verdict::Panicked { .. } | Verdict::OutputShape { .. })),
        ("domain", |v| matches!(v, Verdict::NotFinite { .. })),
        ("sign", |v| matches!(v, Verdict::Wrong { .. })),
        ("axis", |v| matches!(v, Verdict::Wrong { .. })),
        ("size", |v| matches!(v, Verdict::Wrong { .. })),
    ];
    let mut patterns: BTreeMap<String, usize> = BTreeMap::new();
    for mutant in ops::all() {
        let verdict = caught(&mutant, 3).expect("caught").verdict;
        let fits = expected.iter().find(|(kind, _)| *kind == mutant.kind);
        assert!(fits.is_none_or(|(_, fits)| fits(&verdict)), "{}: {verdict}", mutant.fault);
        if let Some(diagnosis) = diagnosed(&verdict) {
            *patterns.entry(format!("{diagnosis:?}")).or_default() += 1;
        }
    }
    println!("{patterns:?}");
    for pattern in ["Factor(0.5)", "Factor(-1.0)", "Transposed(0, 1)", "MissingSum(0)", "Zero"] {
        assert!(patterns.contains_key(pattern), "{pattern} of {patterns:?}");
    }
}

#[test]
fn a_sum_that_loses_digits_is_said_to() {
    let naive = autograd::check_op!("sum", "n>0 ->", |[x], _| {
        // 4096 is added to every number, and taken away from the sum, which is made of one chain.
        let (far, n) = (E::from_f64(4096.0), x.value().len());
        let x = x.add_scalar(far);
        let one = |i: usize| x.narrow(0, i, 1);
        let sum = (1..n).fold(one(0), |sum, i| sum.add(&one(i))).sum_all();
        sum.add_scalar(-far * E::from_f64(n as f64))
    });
    let failure = naive.run(CASES, 0).failure.expect("imprecise");
    assert!(failure.to_string().contains("the error grows with the size"), "{failure}");
}

#[test]
fn a_right_op_that_is_hard_to_check_raises_no_alarm() {
    let ops = nasty::all();
    let each = 10_000usize.div_ceil(ops.len());
    let (mut cases, mut undecided) = (0, 0);
    let mut alarms = Vec::new();
    let seeds = rounds();
    for (entry, seed) in ops.iter().flat_map(|entry| (0..seeds).map(move |seed| (entry, seed))) {
        let summary = entry.run(each, seed * SEEDS_APART);
        println!("{summary}");
        if summary.failure.is_some() {
            alarms.push(summary.to_string());
        }
        cases += summary.cases;
        undecided += summary.discards;
    }
    println!("{cases} cases of {} ops, {undecided} inconclusive", ops.len());
    assert!(alarms.is_empty(), "{} false alarms", alarms.len());
    assert!(cases >= 10_000 && undecided < cases / 4, "{undecided} of {cases} say nothing");
}

#[test]
fn a_kink_is_inconclusive_and_not_wrong() {
    let report = check::op("relu", |[x]| x.relu(), [T::zeros([2])]);
    assert_eq!((report.verdict, report.inconclusive), (Verdict::Inconclusive, 2));
}

fn missing_factor(x: &V) -> V {
    let saved = x.value().clone();
    Op::new("square", saved.square()).wrt(x, move |g| g * &saved).record()
}

#[test]
fn a_failure_is_told_in_words_and_as_a_test() {
    let x = T::from_vec([2], vec![1.0, 2.0]);
    let report = check::op("square", |[x]| missing_factor(x), [x]);
    let found = report.to_string();
    let start = "square: gradient of x wrong at [0]: analytic 1.17012, numeric 2.34024 ± ";
    assert!(found.starts_with(&start[..34]), "{found}");
    assert!(
        found.contains(", ratio 0.5; it is 0.5 times the right one everywhere; x [2] = 1.0 2.0"),
        "{found}"
    );
    let test = "#[test]\nfn gradient_of_square() {\n    let x = Tensor::from_vec([2], vec![1.0, 2.0]);\n    \
                check::op(\"square\", |[x]| square(x), [x]).assert();\n}\n";
    assert!(found.ends_with(test), "{found}");
}

#[test]
fn the_pasted_test_of_a_generated_case_fails_as_the_case_did() {
    let entry = autograd::check_op!("square", "* -> *", |[x], _| {
        let saved = x.value().clone();
        Op::new("square", saved.square()).wrt(x, move |g| g * &saved).record()
    });
    let failure = entry.run(CASES, 0).failure.expect("a missing factor");
    let test = failure.test();
    let case = test.split("let case = \"").nth(1).and_then(|rest| rest.split('"').next());
    let again = entry.check(&case.expect("a case").parse().expect("reads back"));
    assert_eq!(again.verdict, failure.verdict);
    assert!(test.contains("autograd::check_op!(\"square\", \"* -> *\", |[x], _|"), "{test}");
    assert!(test.contains(".check(&case).assert();"), "{test}");
}

#[test]
fn what_is_left_of_a_shrunken_case_is_needed() {
    let mutants = ops::all();
    let of = |fault: &str| {
        let mutant = mutants.iter().find(|mutant| mutant.fault == fault).expect("listed");
        caught(mutant, 0).expect("caught")
    };
    let found = of("a value read in storage order").to_string();
    assert!(found.contains("; only when x is "), "{found}");
    let found = of("the elements past the last whole register");
    assert_eq!(
        found.inputs[0].values.len(),
        9,
        "the smallest number that has such elements: {found}"
    );
}

#[test]
fn a_test_for_nan_and_infinities_compiles_and_infinite_gradients_are_said_in_words() {
    let x = T::from_vec([3], vec![f64::NAN, f64::NEG_INFINITY, 1.0]);
    let test = check::op("relu", |[x]| x.relu(), [x]).test();
    assert!(test.contains("vec![f64::NAN, f64::NEG_INFINITY, 1.0]"), "{test}");
    let found = check::op("sqrt", |[x]| x.sqrt(), [T::from_vec([2], vec![1.0, 0.0])]).to_string();
    assert!(found.starts_with("sqrt: gradient of x is ") && found.contains("infinite at [1]"));
}

#[test]
fn an_input_that_is_stopped_on_purpose_is_declared_so() {
    let gate = |spec: &'static str| {
        autograd::check_op!("gate", spec, |[x, gate], _| x.mul(&gate.detach().sigmoid()))
    };
    gate("* in moderate, * in stopped moderate").assert();
    assert!(gate("* in moderate, * in moderate").run(CASES, 0).failure.is_some());
    let failure = gate("* in stopped, * in stopped").run(CASES, 0).failure.expect("not stopped");
    assert!(matches!(failure.verdict, Verdict::NotStopped { .. }), "{failure}");
}
