//! The single-precision kernels against the double-precision ones, whose gradients have been checked.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use tensor::Tensor;

use super::gradient::index;
use super::report::{Place, Verdict};
use super::run::{COTANGENT, Run};

/// Units of f32 rounding, 2⁻²³, that an element may be off, relative to the largest of its tensor on these inputs and on others
/// of the same sizes: what happens to cancel down keeps the rounding of what it was. A gradient that is a sum over n places of
/// the output gathers rounding as a random walk does: √n times that.
const ROUNDINGS: f64 = 256.0;
/// How often the change may be granted that a rounding of the inputs alone makes: what is badly conditioned cannot be
/// computed better.
const CONDITION: f64 = 32.0;
/// The part of a result's size from which on such a change says that no digit can be known.
const LOST: f64 = 0.05;
/// Half a unit of f32 rounding.
const HALF_UNIT: f64 = f32::EPSILON as f64 / 2.0;
/// What is as good as nothing in single precision, whose smallest normal number is 1e-38.
const TINY: f64 = 1e-36;
/// By how much inputs move to see whether an error is one of this place alone.
const APART: f64 = 1.0 / 64.0;

/// The inputs, each element moved up or down by this part of it. `number` tells ways apart: where one moves neighbours alike,
/// another does not.
fn moved(inputs: &[Tensor<f64>], part: f64, number: u64, seed: u64) -> Vec<Tensor<f64>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0xf32 ^ (number / 2) << 32);
    let input = |x: &Tensor<f64>| {
        let mut move_ = |(i, x): (usize, f64)| {
            let up = rng.random::<bool>() ^ (number % 2 == 1 && i % 2 == 1);
            x * (1.0 + if up { part } else { -part })
        };
        let values = x.to_vec().into_iter().enumerate().map(&mut move_).collect();
        Tensor::from_vec(x.shape(), values)
    };
    inputs.iter().map(input).collect()
}

/// The inputs, each element moved by half a unit of f32 rounding, in several ways.
pub(crate) fn rounded(inputs: &[Tensor<f64>], seed: u64) -> [Vec<Tensor<f64>>; 4] {
    [0, 1, 2, 3].map(|number| moved(inputs, HALF_UNIT, number, seed))
}

/// The inputs, moved a little, in two ways, to values that single precision has too.
pub(crate) fn nearby(inputs: &[Tensor<f64>], seed: u64) -> [Vec<Tensor<f64>>; 2] {
    let round = |x: Tensor<f64>| x.cast::<f32>().cast();
    [0, 1].map(|number| moved(inputs, APART, number, seed).into_iter().map(round).collect())
}

/// What the runs of single and double precision are compared by.
pub(crate) struct Measure {
    /// The sizes of value and gradients; see [`Measure::sizes`].
    pub(crate) sizes: Vec<f64>,
    /// How often the op was applied.
    pub(crate) weight: f64,
    /// Runs in double precision on inputs that were [`rounded`]; none if the op claims to be accurate.
    pub(crate) nudged: Vec<Run<f64>>,
}

impl Measure {
    /// The largest element of the value, and of each gradient, over `runs`, of which the first is that at `inputs`; of a gradient
    /// also u·y/x, which is its size if it does not vanish, where x is how far apart the elements of the input are.
    pub(crate) fn sizes(runs: &[Run<f64>], inputs: &[Tensor<f64>]) -> Vec<f64> {
        let value = runs.iter().fold(0.0, |max: f64, run| max.max(largest(&run.value)));
        let gradient = |(i, x): (usize, &Tensor<f64>)| {
            let values = x.to_vec();
            let [low, high] = [f64::min, f64::max].map(|f| values.iter().copied().reduce(f));
            let apart = high.unwrap_or(0.0) - low.unwrap_or(0.0);
            let x = if apart > 0.0 { apart } else { high.unwrap_or(0.0).abs() };
            let natural = COTANGENT * largest(&runs[0].value) / x;
            let natural = if natural.is_finite() { natural } else { 0.0 };
            let gradients = runs.iter().filter_map(|run| run.gradients[i].as_ref());
            gradients.fold(natural, |max, g| max.max(largest(g)))
        };
        std::iter::once(value).chain(inputs.iter().enumerate().map(gradient)).collect()
    }
}

/// The largest finite element.
fn largest(x: &Tensor<f64>) -> f64 {
    let finite = x.to_vec().into_iter().filter(|x| x.is_finite());
    finite.fold(0.0, |max, x| max.max(x.abs()))
}

/// The largest difference as a part of what is allowed, of all elements or of the `only` one of a value or gradient. What is
/// beyond the range of single precision is left out, and so is a gradient if such a value may have been used for it.
///
/// # Errors
/// The first difference that is not allowed.
pub(crate) fn compare(
    names: &[String],
    single: &Run<f32>,
    double: &Run<f64>,
    measure: &Measure,
    only: Option<(&str, &Place)>,
) -> Result<f64, Verdict> {
    let (outputs, sizes) = (double.value.len(), &measure.sizes);
    let nudged: Vec<_> = measure.nudged.iter().map(|run| &run.value).collect();
    let value = (&single.value, &double.value);
    let size = sizes[0] * measure.weight;
    let mut worst = compare_one("value", size, value.0, value.1, &nudged, outputs, only)?;
    // Of a value that is 0 throughout, as x − x, no gradient has a size.
    if sizes[0] == 0.0 || !fits(&double.value) || size >= f64::from(f32::MAX) {
        return Ok(worst);
    }
    for (input, name) in names.iter().enumerate() {
        let gradients = (&single.gradients[input], &double.gradients[input]);
        let nudged = measure.nudged.iter().filter_map(|run| run.gradients[input].as_ref());
        let nudged: Vec<_> = nudged.collect();
        if let (Some(single), Some(double)) = gradients
            && fits(double)
        {
            let (what, size) = (format!("gradient of {name}"), sizes[1 + input] * measure.weight);
            let of_input = compare_one(&what, size, single, double, &nudged, outputs, only)?;
            worst = worst.max(of_input);
        }
    }
    Ok(worst)
}

/// Whether single precision has room for all elements.
fn fits(x: &Tensor<f64>) -> bool {
    x.to_vec().iter().all(|x| x.abs() < f64::from(f32::MAX))
}

fn compare_one(
    what: &str,
    least: f64,
    single: &Tensor<f32>,
    double: &Tensor<f64>,
    nudged: &[&Tensor<f64>],
    outputs: usize,
    only: Option<(&str, &Place)>,
) -> Result<f64, Verdict> {
    let (a, b) = (single.cast::<f64>().to_vec(), double.to_vec());
    let size = b.iter().filter(|x| x.is_finite()).fold(least, |max, x| max.max(x.abs()));
    let change = nudged.iter().fold(0.0f64, |max, nudged| {
        b.iter().zip(nudged.to_vec()).fold(max, |max, (b, c)| max.max((b - c).abs()))
    });
    let places = outputs as f64 / double.len().max(1) as f64;
    let rounding = ROUNDINGS * f64::from(f32::EPSILON) * size * places.max(1.0).sqrt();
    let condition = CONDITION * change;
    let is_hopeless = condition > LOST * size; // two changes may both be small by chance
    let allowed = if is_hopeless { f64::INFINITY } else { rounding + condition + TINY };
    let mut worst: f64 = 0.0;
    if size >= f64::from(f32::MAX) {
        return Ok(worst);
    }
    for (i, (&single, &exact)) in a.iter().zip(&b).enumerate() {
        let difference = (single - exact).abs();
        if exact.is_nan() || exact.abs() >= f64::from(f32::MAX) {
            continue;
        }
        if !single.is_finite() || difference > allowed {
            let at = Place::Element(index(i, double.shape()));
            if only.is_some_and(|only| only != (what, &at)) {
                continue;
            }
            let what = what.into();
            let (double, grows) = (exact, false);
            return Err(Verdict::Imprecise { what, at, single, double, allowed, grows });
        }
        worst = if allowed.is_finite() { worst.max(difference / allowed) } else { worst };
    }
    Ok(worst)
}
