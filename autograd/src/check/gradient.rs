//! The gradient check itself.

use std::cell::RefCell;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use tensor::{Shape, Tensor};

use super::diagnosis::diagnose;
use super::layout::Layout;
use super::numeric::{Estimate, Line};
use super::report::{Argument, Example, Place, Report, Verdict};
use super::run::{Call, Run, cotangent, evaluate, run};

/// How many places are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Each element of small inputs, a sample of large or many ones.
    #[default]
    Usual,
    /// Each element of all inputs.
    Thorough,
}

impl Effort {
    /// Inputs of at most so many elements are compared at each of them. Of a larger one: how many are sampled, and how
    /// many random directions, each of which sees every element.
    fn places(self, inputs: usize) -> (usize, usize, usize) {
        match self {
            Effort::Thorough => (usize::MAX, 0, 0),
            Effort::Usual if inputs <= 8 => (64, 16, 6),
            Effort::Usual => (12, 4, 2), // a model with all its parameters
        }
    }
}

/// The whole Jacobian is compared if it has at most so many entries, of at most so many outputs.
const JACOBIAN: (usize, usize) = (256, 16);
/// Multiples of the estimated error that a difference may reach. The estimate is among the smallest of a tableau of
/// estimates, hence an optimistic one; a wrong gradient is off by many orders of magnitude more.
const ERRORS: f64 = 10.0;
/// Roundings that the gradient itself may contain.
const ROUNDINGS: f64 = 64.0;
/// Above this part of the gradient's size, what would be allowed is too much to decide anything.
const TOO_MUCH: f64 = 1e-4;

/// The part of a gradient below which a difference decides nothing far from 1: steps suit no scale there.
const COARSELY: f64 = 1e-6;

/// What is checked.
pub(crate) struct Subject<'a> {
    pub(crate) name: &'a str,
    pub(crate) arguments: Vec<Argument>,
    pub(crate) call: Call<'a, f64>,
    pub(crate) inputs: Vec<Tensor<f64>>,
    /// The inputs that no gradient is to reach.
    pub(crate) stopped: Vec<bool>,
    /// The declared shape of the output.
    pub(crate) output: Option<Shape>,
    pub(crate) seed: u64,
    pub(crate) effort: Effort,
    /// Whether the inputs are far from 1.
    pub(crate) coarse: bool,
    /// How to run it again.
    pub(crate) example: Option<Example>,
}

/// Counts while checking.
#[derive(Default)]
struct Tally {
    compared: usize,
    inconclusive: usize,
    worst: f64,
}

impl Subject<'_> {
    /// Checks the gradient of each input.
    pub(crate) fn check(&self) -> Report {
        let mut tally = Tally::default();
        let verdict = match self.inspect(&mut tally) {
            Err(verdict) => verdict,
            Ok(()) if tally.inconclusive * 4 > tally.compared => Verdict::Inconclusive,
            Ok(()) => Verdict::Pass,
        };
        let Tally { compared, inconclusive, worst } = tally;
        Report { verdict, compared, inconclusive, worst, ..self.report() }
    }

    /// The report of a check in which nothing was compared yet.
    pub(crate) fn report(&self) -> Report {
        Report {
            name: self.name.to_string(),
            inputs: self.arguments.clone(),
            verdict: Verdict::Pass,
            compared: 0,
            inconclusive: 0,
            worst: 0.0,
            worst_single: 0.0,
            example: self.example.clone(),
            shrunk: false,
        }
    }

    /// `Err` is the first failure.
    fn inspect(&self, tally: &mut Tally) -> Result<(), Verdict> {
        let before: Vec<Tensor<f64>> = self.inputs.iter().map(Tensor::copy).collect();
        let (first, second) = (self.run()?, self.run()?);
        self.are_untouched(&before)?;
        self.are_the_same(&first, &second)?;
        if let Some(expected) = self.output.filter(|shape| *shape != first.value.shape()) {
            let found = first.value.dims().to_vec();
            return Err(Verdict::OutputShape { expected: expected.to_vec(), found });
        }
        let contiguous = self.evaluate(&before)?;
        is_finite("value", &contiguous)?;
        for (input, gradient) in first.gradients.iter().enumerate() {
            let gradient = gradient.iter();
            let name = || format!("gradient of {}", self.name(input));
            gradient.into_iter().try_for_each(|gradient| is_finite(&name(), gradient))?;
        }
        is_independent_of_layout("value", &first.value, &contiguous)?;
        self.cotangents_may_be_views(&first)?;
        let rows = self.jacobian(&first)?;
        for input in 0..self.inputs.len() {
            if self.stopped.get(input) != Some(&true) {
                self.compare(input, &before, &first, &rows, tally)?;
                continue;
            }
            let gradient = first.gradients[input].iter().flat_map(Tensor::to_vec);
            if let Some((i, found)) = gradient.enumerate().find(|(_, g)| *g != 0.0) {
                let at = Place::Element(index(i, before[input].shape()));
                return Err(Verdict::NotStopped { input: self.name(input), at, found });
            }
        }
        Ok(())
    }

    fn run(&self) -> Result<Run<f64>, Verdict> {
        run(self.call, &self.inputs, |shape| cotangent(shape, self.seed)).map_err(panicked)
    }

    fn evaluate(&self, inputs: &[Tensor<f64>]) -> Result<Tensor<f64>, Verdict> {
        evaluate(self.call, inputs).map_err(panicked)
    }

    fn are_untouched(&self, before: &[Tensor<f64>]) -> Result<(), Verdict> {
        let touched =
            self.inputs.iter().zip(before).position(|(now, before)| bits(now) != bits(before));
        touched.map_or(Ok(()), |i| Err(Verdict::Modified { input: self.name(i) }))
    }

    fn are_the_same(&self, first: &Run<f64>, second: &Run<f64>) -> Result<(), Verdict> {
        let differs = |what: String| Err(Verdict::NotDeterministic { what });
        if bits(&first.value) != bits(&second.value) {
            return differs("value".into());
        }
        let mut pairs = first.gradients.iter().zip(&second.gradients);
        let differing = pairs.position(|(a, b)| a.as_ref().map(bits) != b.as_ref().map(bits));
        differing.map_or(Ok(()), |i| differs(format!("gradient of {}", self.name(i))))
    }

    /// The gradient of an output is a view wherever the next op transposes, cuts or expands.
    fn cotangents_may_be_views(&self, first: &Run<f64>) -> Result<(), Verdict> {
        for layout in [Layout::Permuted, Layout::Narrowed] {
            let u = |shape| layout.lay_out(&cotangent(shape, self.seed));
            let run = run(self.call, &self.inputs, u).map_err(panicked)?;
            for (input, pair) in run.gradients.iter().zip(&first.gradients).enumerate() {
                if let (Some(view), Some(contiguous)) = pair {
                    let name = self.name(input);
                    let what =
                        format!("gradient of {name} for an output's gradient that is {layout}");
                    is_independent_of_layout(&what, view, contiguous)?;
                }
            }
        }
        Ok(())
    }

    /// The gradients of each output alone, if they are few.
    fn jacobian(&self, run_of_all: &Run<f64>) -> Result<Vec<Run<f64>>, Verdict> {
        let shape = run_of_all.value.shape();
        if shape.elements() > JACOBIAN.1 || shape.elements() == 1 {
            return Ok(Vec::new());
        }
        let unit = |output: usize| Tensor::from_fn(shape, |i| f64::from(u8::from(i == output)));
        (0..shape.elements())
            .map(|output| run(self.call, &self.inputs, |_| unit(output)).map_err(panicked))
            .collect()
    }

    /// Compares the gradient of one input with differences of the function of contiguous inputs; `rows` are the
    /// gradients of each output alone, if they are to be compared too.
    fn compare(
        &self,
        input: usize,
        inputs: &[Tensor<f64>],
        run: &Run<f64>,
        rows: &[Run<f64>],
        tally: &mut Tally,
    ) -> Result<(), Verdict> {
        let u = cotangent(run.value.shape(), self.seed).to_vec();
        let x = &inputs[input];
        let dense = |run: &Run<f64>| {
            let gradient = run.gradients[input].clone();
            gradient.unwrap_or_else(|| Tensor::zeros(x.shape())).contiguous()
        };
        let (analytic, values) = (dense(run), run.value.to_vec());
        let rows: Vec<Tensor<f64>> = match rows.len() * x.len() <= JACOBIAN.0 {
            true => rows.iter().map(dense).collect(),
            false => Vec::new(),
        };
        let what = format!("gradient of {}", self.name(input));
        rows.iter().try_for_each(|row| is_finite(&what, row))?;
        let mut failure: Option<(Place, Option<Vec<usize>>, f64, Estimate)> = None;
        let mut numerics = Vec::new();
        for (place, direction) in self.directions(x) {
            // The same steps serve the sum and each output.
            let seen: RefCell<Vec<(f64, Tensor<f64>)>> = RefCell::default();
            let f = |step: f64| {
                if let Some((_, value)) = seen.borrow().iter().find(|(at, _)| *at == step) {
                    return value.clone();
                }
                let value = self.moved(inputs, input, &direction, step, run.value.shape());
                seen.borrow_mut().push((step, value.clone()));
                value
            };
            let scale = match place {
                Place::Element(_) => step_scale(x.data(), direction[0].0),
                Place::Direction(_) => largest(x.data()),
            };
            let sum = (None, u.clone(), &analytic);
            let alone = |(output, gradient)| {
                let unit = (0..u.len()).map(|i| f64::from(u8::from(i == output))).collect();
                (Some(index(output, run.value.shape())), unit, gradient)
            };
            let outputs = std::iter::once(sum).chain(rows.iter().enumerate().map(alone));
            let mut undecided = false;
            for (number, (output, u, gradient)) in outputs.enumerate() {
                let line = Line { f: &f, u: &u, scale };
                let numeric = line.derivative();
                if number == 0 {
                    numerics.push(numeric.value);
                }
                if !numeric.value.is_finite() {
                    let what = format!("value near {} {place}", self.name(input));
                    return Err(Verdict::NotFinite { what, at: None, found: numeric.value });
                }
                let moved = [-1.0, 1.0].map(|sign| largest(&f(sign * line.first_step()).to_vec()));
                let y = moved.into_iter().fold(largest(&values), f64::max);
                let own = largest(gradient.data()).max(numeric.value.abs());
                let size = largest(gradient.data()).max(natural(&u, y, largest(x.data())));
                let derivative: f64 =
                    direction.iter().map(|&(at, d)| d * gradient.data()[at]).sum();
                let rounding = ROUNDINGS * f64::EPSILON * size;
                let allowed = ERRORS * numeric.error + numeric.floor + rounding;
                let difference = (derivative - numeric.value).abs();
                if allowed > TOO_MUCH * size.max(largest(&u)).max(numeric.value.abs()) {
                    undecided = true;
                } else if difference <= allowed {
                    tally.worst = tally.worst.max(difference / allowed);
                } else if line.has_kink() || (self.coarse && difference <= COARSELY * own) {
                    undecided = true;
                } else if failure.is_none() {
                    let error = ERRORS * numeric.error + numeric.floor;
                    failure =
                        Some((place.clone(), output, derivative, Estimate { error, ..numeric }));
                }
            }
            tally.compared += 1;
            tally.inconclusive += usize::from(undecided);
        }
        let Some((at, output, derivative, Estimate { value: numeric, error, .. })) = failure else {
            return Ok(());
        };
        let name = self.name(input);
        if run.gradients[input].is_none() {
            return Err(Verdict::Severed { input: name, at, numeric, error });
        }
        let every = numerics.len() == x.len() && x.len() <= self.every();
        let diagnosis = every.then(|| {
            let numeric = Tensor::from_vec(x.shape(), numerics);
            let from_place =
                |axis, last| self.place_gradient(input, inputs, &run.value, axis, last);
            diagnose(&analytic, &numeric, from_place)
        });
        let diagnosis = diagnosis.flatten();
        Err(Verdict::Wrong {
            input: name,
            at,
            output,
            analytic: derivative,
            numeric,
            error,
            diagnosis,
        })
    }

    fn every(&self) -> usize {
        self.effort.places(self.inputs.len()).0
    }

    /// Places and directions to differentiate along, each a list of elements and how far they move.
    fn directions(&self, x: &Tensor<f64>) -> Vec<(Place, Vec<(usize, f64)>)> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed ^ 0xd1);
        let element = |at: usize| (Place::Element(index(at, x.shape())), vec![(at, 1.0)]);
        let (every, sampled, directions) = self.effort.places(self.inputs.len());
        if x.len() <= every {
            return (0..x.len()).map(element).collect();
        }
        let mut all: Vec<_> =
            (0..sampled).map(|_| rng.random_range(0..x.len())).map(element).collect();
        for number in 0..directions {
            // Entries of one size, so that no element is lost among the others; the whole step has length about 1.
            let size = 1.0 / (x.len() as f64).sqrt();
            let mut entry = |at| (at, if rng.random() { size } else { -size });
            all.push((Place::Direction(number), (0..x.len()).map(&mut entry).collect()));
        }
        all
    }

    /// The output with one input moved. A panic or another shape counts as not a number.
    fn moved(
        &self,
        inputs: &[Tensor<f64>],
        input: usize,
        direction: &[(usize, f64)],
        step: f64,
        shape: Shape,
    ) -> Tensor<f64> {
        let mut inputs = inputs.to_vec();
        let x = inputs[input].data_mut();
        direction.iter().for_each(|&(at, d)| x[at] += step * d);
        let value = evaluate(self.call, &inputs).ok().filter(|value| value.shape() == shape);
        value.unwrap_or_else(|| Tensor::full(shape, f64::NAN))
    }

    /// The numeric gradient of the outputs at the first or last place of an axis, the others left out.
    fn place_gradient(
        &self,
        input: usize,
        inputs: &[Tensor<f64>],
        value: &Tensor<f64>,
        axis: usize,
        last: bool,
    ) -> Option<Tensor<f64>> {
        let size = *value.dims().get(axis).filter(|&&size| size > 1)?;
        let place = if last { size - 1 } else { 0 };
        let there = |at: usize| index(at, value.shape())[axis] == place;
        let u = cotangent(value.shape(), self.seed).to_vec();
        let u: Vec<f64> =
            u.into_iter().enumerate().map(|(at, u)| if there(at) { u } else { 0.0 }).collect();
        let x = &inputs[input];
        Some(Tensor::from_fn(x.shape(), |at| {
            let f = |step: f64| self.moved(inputs, input, &[(at, 1.0)], step, value.shape());
            Line { f: &f, u: &u, scale: step_scale(x.data(), at) }.derivative().value
        }))
    }

    fn name(&self, input: usize) -> String {
        self.arguments[input].name.clone()
    }
}

fn panicked(message: String) -> Verdict {
    Verdict::Panicked { message }
}

fn bits(x: &Tensor<f64>) -> (Shape, Vec<u64>) {
    (x.shape(), x.to_vec().into_iter().map(f64::to_bits).collect())
}

fn largest(x: &[f64]) -> f64 {
    x.iter().fold(0.0, |max: f64, x| max.max(x.abs()))
}

/// By what the steps of one element are measured: the largest of all up to 2, and beyond that what is its own, so that steps are
/// not too long for functions with a scale of their own.
fn step_scale(x: &[f64], at: usize) -> f64 {
    let all = largest(x);
    if all <= 2.0 { all } else { (x[at].abs() / 4.0).clamp(2.0, all) }
}

/// The index of the element at `at` in row-major order.
pub(crate) fn index(mut at: usize, shape: Shape) -> Vec<usize> {
    let mut index = vec![0; shape.rank()];
    for axis in (0..shape.rank()).rev() {
        index[axis] = at % shape[axis];
        at /= shape[axis];
    }
    index
}

/// What a gradient may have cancelled down from: much more than u·y/x, which is its size if it does not vanish, but at most u.
fn natural(u: &[f64], y: f64, x: f64) -> f64 {
    let slope = 1e6 * y / x;
    largest(u) * if slope.is_finite() { slope.min(1.0) } else { 1.0 }
}

fn is_finite(what: &str, x: &Tensor<f64>) -> Result<(), Verdict> {
    let found = x.to_vec().into_iter().enumerate().find(|(_, x)| !x.is_finite());
    found.map_or(Ok(()), |(i, found)| {
        let at = Some(Place::Element(index(i, x.shape())));
        Err(Verdict::NotFinite { what: what.to_owned(), at, found })
    })
}

/// Sums may run in another order along another layout, hence equal up to rounding.
fn is_independent_of_layout(
    what: &str,
    view: &Tensor<f64>,
    contiguous: &Tensor<f64>,
) -> Result<(), Verdict> {
    let (a, b) = (view.to_vec(), contiguous.to_vec());
    let allowed = 1e-12 * largest(&b);
    let equal = |a: f64, b: f64| a == b || (a - b).abs() <= allowed || (a.is_nan() && b.is_nan());
    let wrong = a.iter().zip(&b).position(|(a, b)| !equal(*a, *b));
    wrong.map_or(Ok(()), |i| {
        let (at, what) = (Place::Element(index(i, view.shape())), what.to_owned());
        Err(Verdict::LayoutDependent { what, at, view: a[i], contiguous: b[i] })
    })
}
