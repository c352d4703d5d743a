//! NaN and infinities: put into one element at a time, they come out where they should.
//!
//! What is known of an op is its values. So elements are first moved through finite numbers, near ones and ever larger ones: where
//! the output changes it depends on the element, and where it settles or grows there is a limit.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use tensor::Tensor;

use super::entry::Runs;
use super::gradient::index;
use super::report::{Place, Verdict, number};
use super::run::Run;
use super::spec::{Domain, Traits};

/// Multiples of the size of all inputs is moved, to see what depends on it.
const NEAR: [f64; 9] = [2.3, 0.37, -1.7, 5.9, -0.61, -13.0, 2.3001, 0.3701, -1.7001];
/// Multiples on the way to infinity: squares stay within double precision.
const FAR: [f64; 8] = [1e2, 1e4, 1e8, 1e16, 1e32, 1e64, 1e100, 1e150];
/// Below this part of the size of a result, changes are rounding.
const ROUNDING: f64 = 1e-9;
/// Inputs whose elements are tried in one case, and of these also the cotangent.
const INPUTS: usize = 4;
/// What single precision may be off, of the largest of a result: it is compared by kind, and roughly by value.
const ROUGHLY: f64 = 0.1;

/// Value and gradients of a run, in a row; `None` where no gradient came back.
fn parts<E: tensor::Float>(run: &Run<E>) -> Vec<Option<Vec<f64>>> {
    let numbers = |x: &Tensor<E>| x.to_vec().into_iter().map(E::to_f64).collect();
    let gradients = run.gradients.iter().map(|g| g.as_ref().map(numbers));
    std::iter::once(Some(numbers(&run.value))).chain(gradients).collect()
}

/// What an output is to be.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Expected {
    /// NaN.
    Nan,
    /// This number, or infinity, to rounding; also what is not finite, unless the op claims more.
    Number(f64, f64),
    /// Not finite, since there is no limit.
    NotFinite,
    /// A choice among several numbers, or a sum of choices: from the first to the second of these, or NaN.
    Choice(f64, f64),
    Anything,
}

impl Expected {
    fn allows(self, found: f64, claims: bool) -> bool {
        match self {
            Expected::Nan => found.is_nan(),
            Expected::Number(_, _) if !found.is_finite() && !claims => true,
            Expected::Number(number, size) => {
                found == number || (found - number).abs() <= 1e-6 * size
            }
            Expected::NotFinite => !found.is_finite(),
            Expected::Choice(low, high) => found.is_nan() || (low <= found && found <= high),
            Expected::Anything => true,
        }
    }

    fn words(self) -> String {
        match self {
            Expected::Nan => "NaN".into(),
            Expected::Number(x, _) => number(x),
            Expected::NotFinite => "NaN or an infinity, as there is no limit,".into(),
            Expected::Choice(low, high) => format!("NaN or a number from {low} to {high}"),
            Expected::Anything => "anything".into(),
        }
    }
}

/// The inputs of a check, and where NaN and infinities go.
pub(crate) struct Law<'a> {
    pub(crate) runs: &'a Runs<'a>,
    pub(crate) names: &'a [String],
    /// Of the inputs of the specification; parameters follow them.
    pub(crate) given: Vec<(Domain, Traits)>,
    pub(crate) inputs: &'a [Tensor<f64>],
    pub(crate) cotangent: &'a Tensor<f64>,
    pub(crate) seed: u64,
}

/// What is wrong, and the inputs at which it is.
pub(crate) type Fault = Box<(Verdict, Vec<Tensor<f64>>)>;

impl Law<'_> {
    /// # Errors
    /// The first thing that is swallowed, and the inputs at which it is.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed ^ 0x4a4);
        // What an infinite parameter becomes before it counts, nobody knows: maybe a mask.
        let own = (Domain::Any, Traits { hides: true, ..Traits::default() });
        let traits = |i: usize| self.given.get(i).copied().unwrap_or(own);
        let open = |i: &usize| !self.inputs[*i].is_empty() && !traits(*i).1.finite;
        let mut open: Vec<usize> = (0..self.inputs.len()).filter(open).collect();
        while open.len() > INPUTS {
            open.remove(rng.random_range(0..open.len()));
        }
        for input in open {
            let at = rng.random_range(0..self.inputs[input].len());
            let (domain, traits) = traits(input);
            self.element(Some(input), at, domain != Domain::Positive, traits)?;
        }
        if self.cotangent.is_empty() || self.given.iter().any(|(_, traits)| traits.finite) {
            return Ok(());
        }
        let at = rng.random_range(0..self.cotangent.len());
        self.element(None, at, true, Traits::default())
    }

    /// The inputs and the cotangent with one element of an input, or of the latter, replaced.
    fn with(&self, input: Option<usize>, at: usize, x: f64) -> (Vec<Tensor<f64>>, Tensor<f64>) {
        let (mut inputs, mut cotangent) = (self.inputs.to_vec(), self.cotangent.copy());
        let changed = input.map_or(&mut cotangent, |input| {
            inputs[input] = inputs[input].copy();
            &mut inputs[input]
        });
        changed.data_mut()[at] = x;
        (inputs, cotangent)
    }

    fn element(
        &self,
        input: Option<usize>,
        at: usize,
        signed: bool,
        traits: Traits,
    ) -> Result<(), Fault> {
        let tensor = input.map_or(self.cotangent, |input| &self.inputs[input]);
        let here = tensor.to_vec()[at];
        let all = self.inputs.iter().chain([self.cotangent]).flat_map(Tensor::to_vec);
        let size = all.fold(0.5, |max: f64, x| max.max(x.abs()));
        let double = |x: f64| {
            let (inputs, cotangent) = self.with(input, at, x);
            (self.runs.double)(&inputs, &cotangent)
                .map(|run| parts(&run))
                .map_err(|message| Fault::new((Verdict::Panicked { message }, inputs)))
        };
        let series = |multiples: &[f64], sign: f64| -> Result<Vec<_>, _> {
            let multiples = multiples.iter().filter(|x| signed || **x > 0.0);
            multiples.map(|x| double(sign * x * size)).collect()
        };
        let mut near = series(&NEAR, if signed { here.signum() } else { 1.0 })?;
        near.push(double(here)?);
        let here = near[near.len() - 1].clone();
        let signs: &[f64] = if signed { &[1.0, -1.0] } else { &[1.0] };
        let far: Vec<_> = signs.iter().map(|&sign| series(&FAR, sign)).collect::<Result<_, _>>()?;
        for put in [f64::NAN].into_iter().chain(signs.iter().map(|sign| sign * f64::INFINITY)) {
            let (inputs, cotangent) = self.with(input, at, put);
            let fail = |verdict| Err(Fault::new((verdict, inputs.clone())));
            let found = match (self.runs.double)(&inputs, &cotangent) {
                Ok(run) => run,
                Err(message) => return fail(Verdict::Panicked { message }),
            };
            let shapes: Vec<_> = std::iter::once(Some(found.value.shape()))
                .chain(found.gradients.iter().map(|g| g.as_ref().map(Tensor::shape)))
                .collect();
            let found = parts(&found);
            let single = match (self.runs.single)(&inputs, &cotangent) {
                Ok(run) => parts(&run),
                Err(message) => return fail(Verdict::Panicked { message }),
            };
            // Where −∞ hides all that there was, the limit says nothing of the gradients either.
            let hides =
                traits.hides && (put == f64::NEG_INFINITY || input >= Some(self.given.len()));
            let hides = hides && put.is_infinite();
            let mut hidden = false;
            for (part, double) in found.iter().enumerate() {
                let (Some(double), Some(Some(single))) = (double, single.get(part)) else {
                    continue;
                };
                let claims = if put.is_nan() { traits.apart && part == 0 } else { traits.limits };
                // Beside the largest result, what is smaller by far is nothing.
                let here = here[part].iter().flatten();
                let largest = here.fold(1.0f64, |max, x| max.max(x.abs()));
                let finite = double.iter().filter(|x| x.is_finite());
                let size = finite.fold(0.0f64, |max, x| max.max(x.abs()));
                for (i, (&double, &single)) in double.iter().zip(single).enumerate() {
                    let of = |runs: &[Vec<Option<Vec<f64>>>]| -> Vec<f64> {
                        runs.iter().map(|run| number_of(run, part, i)).collect()
                    };
                    let near = of(&near);
                    let which = signs.iter().position(|sign| sign * f64::INFINITY == put);
                    let far = which.map(|sign| of(&far[sign]));
                    let expected = expected(&near, far.as_deref(), part > 0, largest);
                    let is_right = expected.allows(double, claims);
                    hidden |= part == 0 && !is_right && hides && (double == 0.0 || double.is_nan());
                    let is_right = is_right || hidden;
                    let infinite = put.is_infinite() && !traits.limits;
                    let lost = infinite && !double.is_finite() && !single.is_finite(); // 0·∞
                    if is_right && (lost || alike(double, single, size)) {
                        continue;
                    }
                    let name = |i: usize| self.names[i].clone();
                    let mut what = match part {
                        0 => "value".to_owned(),
                        _ => format!("gradient of {}", name(part - 1)),
                    };
                    let (found, expected) = match is_right {
                        true => (single, number(double)),
                        false => (double, expected.words()),
                    };
                    if is_right {
                        what += " in single precision";
                    }
                    let place = |tensor: tensor::Shape, at| Place::Element(index(at, tensor));
                    let name = input.map_or("the output's gradient".to_owned(), name);
                    let put = format!("{} at {} of {name}", symbol(put), place(tensor.shape(), at));
                    let shape = shapes[part].expect("it is there");
                    return fail(Verdict::Swallowed {
                        what,
                        at: place(shape, i),
                        found: number(found),
                        expected,
                        put,
                    });
                }
            }
        }
        Ok(())
    }
}

fn symbol(x: f64) -> &'static str {
    match x {
        f64::INFINITY => "+∞",
        f64::NEG_INFINITY => "−∞",
        _ => "NaN",
    }
}

fn number_of(run: &[Option<Vec<f64>>], part: usize, i: usize) -> f64 {
    run.get(part).and_then(|x| x.as_ref()?.get(i).copied()).unwrap_or(f64::NAN)
}

/// Whether single precision gives the same kind of number as double precision, and roughly the same.
fn alike(double: f64, single: f64, size: f64) -> bool {
    let too_large =
        double.abs() >= f64::from(f32::MAX) && single == double.signum() * f64::INFINITY;
    let same = double == single || (double.is_nan() && single.is_nan()) || too_large;
    same || (double - single).abs() <= ROUGHLY * size.max(1.0)
}

/// What an output is to be that was `near` where the element was finite, and `far` on the way to an infinity; for NaN there
/// is no way. A gradient that small moves leave as it is is a choice, as that of a maximum, and may stay one.
fn expected(near: &[f64], far: Option<&[f64]>, is_gradient: bool, largest: f64) -> Expected {
    let finite = |x: &f64| x.is_finite();
    let size = |x: &[f64]| x.iter().filter(|x| finite(x)).fold(0.0f64, |max, x| max.max(x.abs()));
    if let Some(far) = far {
        return limit(far, size(near).max(size(far)), largest);
    }
    let differ = |a: f64, b: f64| !((a - b).abs() <= ROUNDING * size(near) || a == b);
    let here = near[near.len() - 1];
    if !near.iter().any(|x| differ(*x, here)) {
        return Expected::Number(here, size(near).max(largest * 1e-6));
    }
    let smooth = |(a, b)| differ(near[a], near[b]);
    let pairs =
        if near.len() > NEAR.len() { vec![(0, 6), (1, 7), (2, 8)] } else { vec![(0, 3), (1, 4)] };
    if is_gradient && !pairs.into_iter().any(smooth) {
        let [low, high] = [f64::min, f64::max].map(|f| near.iter().copied().fold(here, f));
        return Expected::Choice(low, high);
    }
    Expected::Nan
}

/// The limit of a series, as far as its end tells.
fn limit(far: &[f64], size: f64, largest: f64) -> Expected {
    let known = far.iter().position(|x| x.is_nan()).unwrap_or(far.len());
    let [.., d, c, b, a] = far[..known] else { return Expected::Anything };
    let close = |x: f64, y: f64| x == y || (x - y).abs() <= ROUNDING * x.abs();
    if close(a, b) && close(b, c) {
        let error = a.abs().max(largest * 1e-6);
        return Expected::Number(a, if a.is_finite() { error } else { 0.0 });
    }
    if [a, b, c].iter().all(|x| x.abs() <= ROUNDING * size) && size.is_finite() {
        return Expected::Number(0.0, size * ROUNDING);
    }
    let grows = a.abs() > b.abs() && b.abs() > c.abs() && a.signum() == c.signum();
    if grows && a.abs() > 1e6 * c.abs() {
        return Expected::Number(a.signum() * f64::INFINITY, 0.0);
    }
    let turns = [(a - b) * (b - c), (b - c) * (c - d)];
    let oscillates = turns.iter().any(|x| *x < 0.0) && [a, b, c, d].iter().all(|x| x.is_finite());
    let all_differ = !close(a, b) && !close(b, c) && !close(c, d);
    if oscillates && all_differ { Expected::NotFinite } else { Expected::Anything }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_told_from_growth_and_oscillation() {
        let series = |f: &dyn Fn(f64) -> f64| FAR.map(f);
        let is = |f: &dyn Fn(f64) -> f64, expected: Expected| {
            let far = series(f);
            let size = far.iter().fold(1.0f64, |max, x| max.max(x.abs()));
            let found = limit(&far, size, 1.0);
            match (found, expected) {
                (Expected::Number(a, _), Expected::Number(b, _)) => assert_eq!(a, b),
                _ => assert_eq!(found, expected),
            }
        };
        is(&|x| x.tanh(), Expected::Number(1.0, 0.0));
        is(&|x| 3.0 / x, Expected::Number(0.0, 0.0));
        is(&|x| -x.exp(), Expected::Number(-f64::INFINITY, 0.0));
        is(&|x| x.sqrt(), Expected::Number(f64::INFINITY, 0.0));
        is(&|x| x.sin(), Expected::NotFinite);
        is(&|x| x.ln().ln(), Expected::Anything);
        is(&|x| x.exp() - x.exp(), Expected::Anything);
    }
}
