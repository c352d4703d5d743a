//! An op or a layer that is checked: what it takes, and how to run it on generated cases.

use std::fmt;
use std::mem::discriminant;
use std::rc::Rc;

use serde::Serialize;
use tensor::{Float, Shape, Tensor};

use super::case::Case;
use super::gradient::{Effort, Subject};
use super::layout::Layout;
use super::magnitudes::{Change, change_of, changed, siblings};
use super::parametric::Parametric;
use super::pick::Pick;
use super::precision::{self, Measure};
use super::report::{Argument, Example, Place, Report, Verdict};
use super::run::{Call, Run, catching, cotangent, run};
use super::spec::{Domain, Spec, Traits};
use super::special::{Fault, Law};
use crate::Var;

type Operation<E> = Box<dyn Fn(&[Var<E>], &mut Pick<'_>) -> Var<E>>;

/// Runs of a case on given inputs and a given gradient of the output; the error is the message of a panic.
pub(crate) struct Runs<'a> {
    pub(crate) double: &'a OneRun<'a, f64>,
    pub(crate) single: &'a OneRun<'a, f32>,
}

type OneRun<'a, E> = dyn Fn(&[Tensor<f64>], &Tensor<f64>) -> Result<Run<E>, String> + 'a;

/// Runs in double precision that tell the size of results.
const SIBLINGS: u64 = 3;

/// What excuses a difference of single from double precision.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Strictness {
    /// That it is gone nearby, or that a rounding of the inputs alone makes as large a one.
    Usual,
    /// The same, but a value is to be right here.
    Here,
    /// Nothing.
    Accurate,
}

/// What is checked, made for one case: it takes the inputs of the specification and then the parameters.
struct Prepared {
    parameters: Vec<(String, Tensor<f64>)>,
    single: Operation<f32>,
    double: Operation<f64>,
}

/// An op or a layer with the [`Spec`] of its inputs.
pub struct Entry {
    name: String,
    spec: Spec,
    prepare: Box<dyn Fn(&Case) -> Prepared + Send + Sync>,
    source: Option<&'static str>,
    effort: Effort,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("name", &self.name).field("spec", &self.spec).finish()
    }
}

/// What the cases of one op or layer gave.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// The op or layer.
    pub name: String,
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
        write!(f, "{}: {} cases, {} comparisons, ", self.name, self.cases, self.compared)?;
        write!(f, "{} inconclusive, {} discards, ", self.inconclusive, self.discards)?;
        write!(f, "worst {:.2} of allowed in f64, {:.2} in f32", self.worst, self.worst_single)
    }
}

impl Entry {
    /// An op or a layer to check.
    ///
    /// # Panics
    /// If the specification cannot be read.
    #[track_caller]
    pub fn new(name: impl Into<String>, spec: &str, checked: impl Parametric + 'static) -> Self {
        let spec = Spec::new(spec);
        let (checked, count) = (std::sync::Arc::new(checked), spec.inputs.len());
        let prepare = Box::new(move |case: &Case| {
            let (made, parameters) = checked.build(&mut Pick::new(case));
            let made = Rc::new(made);
            fn apply<E: Float, C: Parametric + 'static>(
                checked: &std::sync::Arc<C>,
                made: &Rc<C::Made>,
                count: usize,
            ) -> Operation<E> {
                let (checked, made) = (checked.clone(), made.clone());
                Box::new(move |all, pick| {
                    let (inputs, parameters) = all.split_at(count);
                    checked.call(&made, parameters, inputs, pick)
                })
            }
            let (single, double) = (apply(&checked, &made, count), apply(&checked, &made, count));
            Prepared { parameters, single, double }
        });
        Self { name: name.into(), spec, prepare, source: None, effort: Effort::default() }
    }

    /// The text that makes this entry, if it is known.
    pub fn source(&self) -> Option<&'static str> {
        self.source
    }

    /// The same with the text that makes this entry, for tests that can be pasted.
    pub fn with_source(self, source: &'static str) -> Self {
        Self { source: Some(source), ..self }
    }

    /// The same, with each element of each input compared, however many there are.
    pub fn thorough(self) -> Self {
        Self { effort: Effort::Thorough, ..self }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it takes.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Runs 100 cases.
    ///
    /// # Panics
    /// With the report in words, if a gradient is wrong or too many cases are inconclusive.
    #[track_caller]
    pub fn assert(&self) {
        let summary = self.run(100, 0);
        assert!(summary.passed(), "{summary}");
    }

    /// Runs `cases` cases, of seeds `seed`, `seed + 1`, …
    pub fn run(&self, cases: usize, seed: u64) -> Summary {
        let mut summary = Summary { name: self.name.clone(), ..Summary::default() };
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
                // Larger scales are tried for what they show.
                Verdict::Inconclusive => summary.discards += usize::from(!case.is_scaled()),
                _ => {
                    summary.failure = Some(self.shrink(case, report));
                    break;
                }
            }
        }
        summary
    }

    /// Checks the gradients of one case against differences, then single precision against double on these inputs and on
    /// others of other magnitudes, then what becomes of NaN and infinities.
    pub fn check(&self, case: &Case) -> Report {
        let prepared = match catching(|| (self.prepare)(case)) {
            Ok(prepared) => prepared,
            Err(message) => {
                let subject = self.subject(case, &[], &|_| unreachable!("nothing was made"));
                return Report { verdict: Verdict::Panicked { message }, ..subject.report() };
            }
        };
        let call = |x: &[Var<f64>]| self.apply(&prepared.double, case, x);
        let subject = self.subject(case, &prepared.parameters, &call);
        let mut report = subject.check();
        if case.is_scaled() && matches!(report.verdict, Verdict::NotFinite { .. }) {
            report.verdict = Verdict::Inconclusive; // beyond the range of double precision
        }
        if report.passed() {
            match self.compare_precisions(case, &prepared, &subject.inputs, Strictness::Usual) {
                Ok(worst) => report.worst_single = worst,
                Err(verdict) => report.verdict = verdict,
            }
        }
        if report.passed()
            && let Err(fault) = self.laws(case, &prepared, &subject.inputs)
        {
            let (verdict, inputs) = *fault;
            report.verdict = verdict;
            for (argument, input) in report.inputs.iter_mut().zip(inputs) {
                (argument.shape, argument.values) = (input.dims().to_vec(), input.to_vec());
            }
        }
        report
    }

    /// The laws of magnitudes and of NaN and infinities.
    ///
    /// # Errors
    /// The first failure, and the inputs on which it is.
    fn laws(&self, case: &Case, prepared: &Prepared, inputs: &[Tensor<f64>]) -> Result<(), Fault> {
        let inputs = &inputs.iter().map(Tensor::copy).collect::<Vec<_>>()[..];
        let given: Vec<(Domain, Traits)> =
            self.spec.inputs.iter().map(|input| (input.domain, input.traits)).collect();
        if !given.is_empty() {
            let change = change_of(case.seed());
            let is_long = change == Change::Long;
            let case = &if is_long { case.lengthened(&self.spec) } else { case.clone() };
            let (made, drawn); // a long case has other parameters
            let (prepared, inputs) = match is_long {
                true => {
                    made = (self.prepare)(case);
                    drawn = all_inputs(case.tensors(&self.spec), &made.parameters);
                    (&made, &drawn[..])
                }
                false => (prepared, inputs),
            };
            let changed = changed(change, inputs, &given, case.seed());
            let accurate = given.iter().any(|(_, traits)| traits.accurate);
            let strictness = match change {
                Change::Offset | Change::Equal | Change::Long if accurate => Strictness::Accurate,
                Change::Offset | Change::Equal | Change::Long => Strictness::Here,
                _ => Strictness::Usual,
            };
            match self.compare_precisions(case, prepared, &changed, strictness) {
                Ok(_) | Err(Verdict::Inconclusive) => {}
                Err(verdict) => return Err(Fault::new((verdict, changed))),
            }
        }
        let layouts = case.layouts().into_iter().chain(std::iter::repeat(Layout::Contiguous));
        let layouts = layouts.map(|l| if l == Layout::Expanded { Layout::Contiguous } else { l });
        let layouts: Vec<Layout> = layouts.take(inputs.len()).collect();
        fn lay_out<E: Float>(inputs: &[Tensor<f64>], layouts: &[Layout]) -> Vec<Tensor<E>> {
            inputs.iter().zip(layouts).map(|(x, layout)| layout.lay_out(&x.cast())).collect()
        }
        let double = |x: &[Var<f64>]| self.apply(&prepared.double, case, x);
        let single = |x: &[Var<f32>]| self.apply(&prepared.single, case, x);
        let shape = run(&double, inputs, |shape| cotangent(shape, case.seed()));
        let shape = shape.map_err(|message| (Verdict::Panicked { message }, inputs.to_vec()))?;
        // x − x has a limit, and what it does with an infinity is right.
        let claims = !case.shared;
        let bounded = |(domain, traits): &(Domain, Traits)| {
            let (limits, apart) = (traits.limits && claims, traits.apart && claims);
            (*domain, Traits { limits, apart, ..*traits })
        };
        let given = given.iter().map(bounded).collect();
        let law = Law {
            runs: &Runs {
                double: &|inputs, u| run(&double, &lay_out(inputs, &layouts), |_| u.copy()),
                single: &|inputs, u| run(&single, &lay_out(inputs, &layouts), |_| u.cast()),
            },
            names: &self.names(prepared),
            given,
            inputs,
            cotangent: &cotangent(shape.value.shape(), case.seed()),
            seed: case.seed(),
        };
        law.check()
    }

    /// The names of the inputs, then those of the parameters.
    fn names(&self, prepared: &Prepared) -> Vec<String> {
        let given = self.spec.inputs.iter().map(|input| input.name.clone());
        given.chain(prepared.parameters.iter().map(|(name, _)| name.clone())).collect()
    }

    fn subject<'a>(
        &'a self,
        case: &Case,
        parameters: &[(String, Tensor<f64>)],
        call: Call<'a, f64>,
    ) -> Subject<'a> {
        let inputs = case.tensors(&self.spec);
        let names = self.spec.inputs.iter().map(|input| &input.name);
        let given = names.zip(&inputs).zip(case.layouts());
        let given = given.map(|((name, tensor), layout)| Argument::new(name, tensor, layout));
        let own = |(name, tensor): &(String, Tensor<f64>)| {
            Argument::new(name, tensor, Layout::Contiguous)
        };
        let example = Example {
            source: self.source.map(str::to_owned),
            case: case.clone(),
            spec: self.spec.to_string(),
        };
        Subject {
            name: &self.name,
            arguments: given.chain(parameters.iter().map(own)).collect(),
            call,
            inputs: all_inputs(inputs, parameters),
            stopped: self.spec.inputs.iter().map(|input| input.traits.stopped).collect(),
            output: self.spec.output.as_ref().map(|axes| case.shape(axes, 0)),
            seed: case.seed(),
            effort: self.effort,
            coarse: case.is_scaled(),
            example: Some(example),
        }
    }

    /// An error that is gone as soon as the inputs move is that of a branch that rounding decides, where the function has
    /// a kink of some order; it decides nothing. A value has no such excuse where all is about the place.
    fn compare_precisions(
        &self,
        case: &Case,
        prepared: &Prepared,
        inputs: &[Tensor<f64>],
        strictness: Strictness,
    ) -> Result<f64, Verdict> {
        let accurate = strictness == Strictness::Accurate;
        let here = self.compare_precisions_at(case, prepared, inputs, accurate, None);
        let Err(Verdict::Imprecise { what, at, .. }) = &here else { return here };
        if strictness != Strictness::Usual && what == "value" {
            return here;
        }
        let is_right = |inputs: Vec<Tensor<f64>>| {
            let layouts = case.layouts().into_iter().chain(std::iter::repeat(Layout::Contiguous));
            let inputs: Vec<_> = inputs.iter().zip(layouts).map(|(x, l)| l.lay_out(x)).collect();
            let only = Some((what.as_str(), at));
            self.compare_precisions_at(case, prepared, &inputs, accurate, only).is_ok()
        };
        let gone = precision::nearby(inputs, case.seed()).into_iter().any(is_right);
        if gone { Err(Verdict::Inconclusive) } else { here }
    }

    fn compare_precisions_at(
        &self,
        case: &Case,
        prepared: &Prepared,
        inputs: &[Tensor<f64>],
        accurate: bool,
        only: Option<(&str, &Place)>,
    ) -> Result<f64, Verdict> {
        let u = |shape| cotangent(shape, case.seed());
        let panicked = |message| Verdict::Panicked { message };
        let double = |inputs: &[Tensor<f64>], seed| {
            let u = |shape| cotangent(shape, seed);
            run(&|x| self.apply(&prepared.double, case, x), inputs, u).map_err(panicked)
        };
        let exact = double(inputs, case.seed())?;
        let single = self.run_single(case, prepared, inputs, u).map_err(panicked)?;
        let given: Vec<(Domain, Traits)> =
            self.spec.inputs.iter().map(|input| (input.domain, input.traits)).collect();
        let mut runs = vec![exact];
        for number in 1..=SIBLINGS {
            let seed = case.seed().wrapping_add(number);
            runs.push(match accurate {
                true => double(inputs, seed)?,
                false => double(&siblings(inputs, &given, seed), seed)?,
            });
        }
        let mut nudged = Vec::new();
        if !accurate {
            for inputs in precision::rounded(inputs, case.seed()) {
                nudged.push(double(&inputs, case.seed())?);
            }
        }
        let sizes = Measure::sizes(&runs, inputs);
        let measure = Measure { sizes, weight: if case.twice { 3.0 } else { 1.0 }, nudged };
        precision::compare(&self.names(prepared), &single, &runs[0], &measure, only)
    }

    /// The inputs of a case: those of the specification, then the parameters.
    pub fn inputs(&self, case: &Case) -> Vec<Tensor<f64>> {
        all_inputs(case.tensors(&self.spec), &(self.prepare)(case).parameters)
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
        let prepared = (self.prepare)(case);
        run(&|x| self.apply(&prepared.double, case, x), inputs, cotangent)
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
        self.run_single(case, &(self.prepare)(case), inputs, cotangent)
    }

    fn run_single(
        &self,
        case: &Case,
        prepared: &Prepared,
        inputs: &[Tensor<f64>],
        cotangent: impl FnOnce(Shape) -> Tensor<f64>,
    ) -> Result<Run<f32>, String> {
        let layouts = case.layouts().into_iter().chain(std::iter::repeat(Layout::Contiguous));
        let lay_out =
            |(input, layout): (&Tensor<f64>, Layout)| layout.lay_out(&input.cast::<f32>());
        let inputs: Vec<Tensor<f32>> = inputs.iter().zip(layouts).map(lay_out).collect();
        let call = |x: &[Var<f32>]| self.apply(&prepared.single, case, x);
        run(&call, &inputs, |shape| cotangent(shape).cast())
    }

    /// The op as the case uses it: maybe with one variable in several places, maybe twice.
    fn apply<E: Float>(&self, op: &Operation<E>, case: &Case, inputs: &[Var<E>]) -> Var<E> {
        let specs = &self.spec.inputs;
        let alike = |i: usize| {
            i < specs.len()
                && inputs[i].shape() == inputs[0].shape()
                && (specs[i].domain, specs[i].traits) == (specs[0].domain, specs[0].traits)
        };
        let source = |i: usize| if case.shared && alike(i) { 0 } else { i };
        let inputs: Vec<Var<E>> = (0..inputs.len()).map(|i| inputs[source(i)].clone()).collect();
        let once = op(&inputs, &mut Pick::new(case));
        if !case.twice {
            return once;
        }
        once.add(&op(&inputs, &mut Pick::new(case)).scale(E::from_f64(2.0)))
    }

    /// The simplest case that fails in the same way, and with the same diagnosis if there is one, found greedily.
    pub(crate) fn shrink(&self, mut case: Case, mut report: Report) -> Report {
        let kind = |report: &Report| {
            let diagnosis = match &report.verdict {
                Verdict::Wrong { diagnosis, .. } => diagnosis.as_ref().map(discriminant),
                _ => None,
            };
            (discriminant(&report.verdict), diagnosis)
        };
        // A diagnosis needs every element, so that of a large case shows only when it has become smaller.
        let mut first = kind(&report);
        while let Some((next, why)) = case.simpler(&self.spec).into_iter().find_map(|next| {
            let report = self.check(&next);
            let (verdict, diagnosis) = kind(&report);
            let alike = verdict == first.0 && (first.1.is_none() || diagnosis == first.1);
            alike.then_some((next, report))
        }) {
            (case, report) = (next, why);
            first = kind(&report);
        }
        if let Verdict::Imprecise { grows, .. } = &mut report.verdict {
            *grows = self.error_grows(&case);
        }
        Report { shrunk: true, ..report }
    }

    /// Whether the error of single precision, as a part of what is allowed, grows with the size of the inputs: eight
    /// times the elements, and more than twice the error, twice over.
    fn error_grows(&self, case: &Case) -> bool {
        let names = self.spec.bounds.keys().filter(|name| *name != "*").count().max(1);
        let has_run = self.spec.bounds.contains_key("*");
        let worst = |size: usize| {
            let root = (size as f64).powf(1.0 / names as f64).round() as usize;
            let named = if has_run { size.min(8) } else { root };
            let case = case.clone().with_all_digits().resized(&self.spec, named, &[size]);
            let prepared = catching(|| (self.prepare)(&case)).ok()?;
            let inputs = all_inputs(case.tensors(&self.spec), &prepared.parameters);
            match self.compare_precisions(&case, &prepared, &inputs, Strictness::Usual) {
                Ok(worst) => Some(worst),
                Err(Verdict::Imprecise { single, double, allowed, .. }) => {
                    Some((single - double).abs() / allowed)
                }
                Err(_) => None,
            }
        };
        let all = [64, 512, 4096].map(worst);
        eprintln!("GROW {all:?}");
        let [Some(small), Some(middle), Some(large)] = all else {
            return false;
        };
        middle > 2.0 * small && large > 2.0 * middle
    }
}

/// The inputs of the specification, then the parameters.
fn all_inputs(
    mut inputs: Vec<Tensor<f64>>,
    parameters: &[(String, Tensor<f64>)],
) -> Vec<Tensor<f64>> {
    inputs.extend(parameters.iter().map(|(_, value)| value.clone()));
    inputs
}
