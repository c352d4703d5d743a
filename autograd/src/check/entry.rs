//! An op that is checked: what it takes, and how to run it on generated cases.

use std::fmt;

use serde::Serialize;
use tensor::{Float, Shape, Tensor};

use super::case::Case;
use super::gradient::Subject;
use super::pick::Pick;
use super::precision;
use super::report::{Argument, Report, Verdict};
use super::run::{Run, cotangent, run};
use super::spec::Spec;
use crate::Var;

/// An op, as a function that works in both precisions: the code that trains in f32 is the code that is checked in f64.
pub trait CheckedOp: Send + Sync {
    /// Applies the op. `pick` draws whatever else it is called with.
    fn call<E: Float>(&self, inputs: &[Var<E>], pick: &mut Pick<'_>) -> Var<E>;
}

type Operation<E> = Box<dyn Fn(&[Var<E>], &mut Pick<'_>) -> Var<E> + Send + Sync>;

/// An op with the [`Spec`] of its inputs.
pub struct Entry {
    name: &'static str,
    spec: Spec,
    single: Operation<f32>,
    double: Operation<f64>,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("name", &self.name).field("spec", &self.spec).finish()
    }
}

/// What the cases of one op gave.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The op.
    pub op: String,
    /// Cases that were run.
    pub cases: usize,
    /// Cases that were inconclusive.
    pub discards: usize,
    /// Places and directions at which gradients were compared.
    pub compared: usize,
    /// How many of them could not be decided.
    pub inconclusive: usize,
    /// The largest difference from the numerical derivative as a part of what is allowed.
    pub worst: f64,
    /// The largest difference of single from double precision as a part of what is allowed.
    pub worst_single: f64,
    /// The first failure, made as simple as it can be. No case is run after it.
    pub failure: Option<Report>,
}

impl Summary {
    /// Whether nothing failed and at most a tenth of the cases, or one, was inconclusive.
    pub fn passed(&self) -> bool {
        self.failure.is_none() && self.discards <= (self.cases / 10).max(1)
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(failure) = &self.failure {
            return write!(f, "{failure}");
        }
        write!(f, "{}: {} cases, {} comparisons, ", self.op, self.cases, self.compared)?;
        write!(f, "{} inconclusive, {} discards, ", self.inconclusive, self.discards)?;
        write!(f, "worst {:.2} of allowed in f64, {:.2} in f32", self.worst, self.worst_single)
    }
}

impl Entry {
    /// An op to check.
    ///
    /// # Panics
    /// If the specification cannot be read.
    #[track_caller]
    pub fn new(name: &'static str, spec: &str, op: impl CheckedOp + Clone + 'static) -> Self {
        let too = op.clone();
        Self {
            name,
            spec: Spec::new(spec),
            single: Box::new(move |inputs, pick| op.call(inputs, pick)),
            double: Box::new(move |inputs, pick| too.call(inputs, pick)),
        }
    }

    /// The op's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What it takes.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Runs `cases` cases, of seeds `seed`, `seed + 1`, …
    pub fn run(&self, cases: usize, seed: u64) -> Summary {
        let mut summary = Summary {
            op: self.name.to_string(),
            cases: 0,
            discards: 0,
            compared: 0,
            inconclusive: 0,
            worst: 0.0,
            worst_single: 0.0,
            failure: None,
        };
        for seed in (0..cases as u64).map(|i| seed.wrapping_add(i)) {
            let case = Case::draw(&self.spec, seed);
            let report = self.check(&case);
            summary.cases += 1;
            summary.compared += report.compared;
            summary.inconclusive += report.inconclusive;
            summary.worst = summary.worst.max(report.worst);
            summary.worst_single = summary.worst_single.max(report.worst_single);
            match report.verdict {
                Verdict::Pass => {}
                Verdict::Inconclusive => summary.discards += 1,
                _ => {
                    summary.failure = Some(self.shrink(case, report));
                    break;
                }
            }
        }
        summary
    }

    /// Checks the gradients of one case against differences, then single precision against double.
    pub fn check(&self, case: &Case) -> Report {
        let inputs = case.tensors(&self.spec);
        let argument = |((input, tensor), layout): ((&super::spec::Input, &Tensor<f64>), _)| {
            Argument { name: input.name.clone(), shape: tensor.dims().to_vec(), layout }
        };
        let arguments = self.spec.inputs.iter().zip(&inputs).zip(case.layouts()).map(argument);
        let subject = Subject {
            op: self.name,
            arguments: arguments.collect(),
            call: &|x| self.apply(&self.double, case, x),
            inputs,
            output: self.spec.output.as_ref().map(|axes| case.shape(axes, 0)),
            seed: case.seed(),
        };
        let mut report = subject.check();
        report.seed = Some(case.seed());
        if report.passed() {
            match self.compare_precisions(case, &subject.inputs) {
                Ok(worst) => report.worst_single = worst,
                Err(verdict) => report.verdict = verdict,
            }
        }
        report
    }

    fn compare_precisions(&self, case: &Case, inputs: &[Tensor<f64>]) -> Result<f64, Verdict> {
        let u = |shape| cotangent(shape, case.seed());
        let panicked = |message| Verdict::Panicked { message };
        let double = self.double(case, inputs, u).map_err(panicked)?;
        let single = self.single(case, inputs, u).map_err(panicked)?;
        let names: Vec<String> = self.spec.inputs.iter().map(|input| input.name.clone()).collect();
        precision::compare(&names, &single, &double)
    }

    /// The run of a case in double precision, on inputs and a cotangent of the caller's choice.
    ///
    /// # Errors
    /// The message of a panic.
    pub fn double(
        &self,
        case: &Case,
        inputs: &[Tensor<f64>],
        cotangent: impl FnOnce(Shape) -> Tensor<f64>,
    ) -> Result<Run<f64>, String> {
        run(&|x| self.apply(&self.double, case, x), inputs, cotangent)
    }

    /// The run of a case in single precision: the inputs keep their values, and their layout where it is no view of
    /// alike elements.
    ///
    /// # Errors
    /// The message of a panic.
    pub fn single(
        &self,
        case: &Case,
        inputs: &[Tensor<f64>],
        cotangent: impl FnOnce(Shape) -> Tensor<f64>,
    ) -> Result<Run<f32>, String> {
        let lay_out =
            |(input, layout): (&Tensor<f64>, super::Layout)| layout.lay_out(&input.cast::<f32>());
        let inputs: Vec<Tensor<f32>> = inputs.iter().zip(case.layouts()).map(lay_out).collect();
        run(&|x| self.apply(&self.single, case, x), &inputs, |shape| cotangent(shape).cast())
    }

    /// The op as the case uses it: maybe with one variable in several places, maybe twice.
    fn apply<E: Float>(&self, op: &Operation<E>, case: &Case, inputs: &[Var<E>]) -> Var<E> {
        let specs = &self.spec.inputs;
        let alike =
            |i: usize| inputs[i].shape() == inputs[0].shape() && specs[i].domain == specs[0].domain;
        let source = |i: usize| if case.shared && alike(i) { 0 } else { i };
        let inputs: Vec<Var<E>> = (0..inputs.len()).map(|i| inputs[source(i)].clone()).collect();
        let once = op(&inputs, &mut Pick::new(case));
        if !case.twice {
            return once;
        }
        once.add(&op(&inputs, &mut Pick::new(case)).scale(E::from_f64(2.0)))
    }

    /// The simplest case that fails in the same way, found greedily.
    fn shrink(&self, mut case: Case, mut report: Report) -> Report {
        let kind = std::mem::discriminant(&report.verdict);
        while let Some((next, why)) = case.simpler(&self.spec).into_iter().find_map(|next| {
            let report = self.check(&next);
            (std::mem::discriminant(&report.verdict) == kind).then_some((next, report))
        }) {
            (case, report) = (next, why);
        }
        Report { shrunk: true, ..report }
    }
}
