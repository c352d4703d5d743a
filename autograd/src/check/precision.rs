//! The single-precision kernels against the double-precision ones, whose gradients have been checked.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use tensor::Tensor;

use super::gradient::index;
use super::report::{Place, Verdict};
use super::run::{COTANGENT, Run};

/// Units of f32 rounding, 2⁻²³, that an element may be off, relative to the largest of its tensor, or to that of the inputs
/// or cotangents if it is smaller: what they cancel down to keeps the rounding of what they were. A gradient that is a
/// sum over n places of the output gathers rounding as a random walk does: √n times that.
const ROUNDINGS: f64 = 256.0;
/// How often the change may be granted that a rounding of the inputs alone makes: what is badly conditioned cannot be
/// computed better.
const CONDITION: f64 = 32.0;
/// Half a unit of f32 rounding.
const HALF_UNIT: f64 = f32::EPSILON as f64 / 2.0;
/// By how much inputs move to see whether an error is one of this place alone.
const APART: f64 = 1.0 / 64.0;

/// The inputs, each element moved up or down by this part of it. `number` tells two ways apart: where one moves
/// neighbours alike, the other does not.
fn moved(inputs: &[Tensor<f64>], part: f64, number: u64, seed: u64) -> Vec<Tensor<f64>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0xf32);
    let input = |x: &Tensor<f64>| {
        let mut move_ = |(i, x): (usize, f64)| {
            let up = rng.random::<bool>() ^ (number == 1 && i % 2 == 1);
            x * (1.0 + if up { part } else { -part })
        };
        let values = x.to_vec().into_iter().enumerate().map(&mut move_).collect();
        Tensor::from_vec(x.shape(), values)
    };
    inputs.iter().map(input).collect()
}

/// The inputs, each element moved by half a unit of f32 rounding, in two ways.
pub(crate) fn rounded(inputs: &[Tensor<f64>], seed: u64) -> [Vec<Tensor<f64>>; 2] {
    [0, 1].map(|number| moved(inputs, HALF_UNIT, number, seed))
}

/// The inputs, moved a little, in two ways, to values that single precision has too.
pub(crate) fn nearby(inputs: &[Tensor<f64>], seed: u64) -> [Vec<Tensor<f64>>; 2] {
    let round = |x: Tensor<f64>| x.cast::<f32>().cast();
    [0, 1].map(|number| moved(inputs, APART, number, seed).into_iter().map(round).collect())
}

/// The largest difference as a part of what is allowed, of all elements or of the `only` one of a value or gradient.
/// `nudged` are the runs in double precision on inputs that were [`rounded`]; `weight` is how often the op was applied.
///
/// # Errors
/// The first difference that is not allowed.
pub(crate) fn compare(
    names: &[String],
    single: &Run<f32>,
    double: &Run<f64>,
    nudged: &[Run<f64>; 2],
    weight: f64,
    only: Option<(&str, &Place)>,
) -> Result<f64, Verdict> {
    let outputs = double.value.len();
    let compare = |what: &str, size: f64, single, double, nudged| {
        compare_one(what, size * weight, single, double, nudged, outputs, only)
    };
    let values = nudged.each_ref().map(|run| &run.value);
    let mut worst = compare("value", 1.0, &single.value, &double.value, values)?;
    for (input, name) in names.iter().enumerate() {
        let gradients = (&single.gradients[input], &double.gradients[input]);
        let nudged = nudged.each_ref().map(|run| run.gradients[input].as_ref());
        if let ((Some(single), Some(double)), [Some(one), Some(other)]) = (gradients, nudged) {
            let what = format!("gradient of {name}");
            worst = worst.max(compare(&what, COTANGENT, single, double, [one, other])?);
        }
    }
    Ok(worst)
}

fn compare_one(
    what: &str,
    least: f64,
    single: &Tensor<f32>,
    double: &Tensor<f64>,
    nudged: [&Tensor<f64>; 2],
    outputs: usize,
    only: Option<(&str, &Place)>,
) -> Result<f64, Verdict> {
    let (a, b) = (single.cast::<f64>().to_vec(), double.to_vec());
    let size = b.iter().fold(least, |max, x| max.max(x.abs()));
    let change = |nudged: &Tensor<f64>| {
        b.iter().zip(nudged.to_vec()).fold(0.0f64, |max, (b, c)| max.max((b - c).abs()))
    };
    let change = change(nudged[0]).max(change(nudged[1]));
    let places = outputs as f64 / double.len().max(1) as f64;
    let rounding = ROUNDINGS * f64::from(f32::EPSILON) * size * places.max(1.0).sqrt();
    let allowed = rounding + CONDITION * change;
    let mut worst: f64 = 0.0;
    for (i, (&single, &exact)) in a.iter().zip(&b).enumerate() {
        let difference = (single - exact).abs();
        if single.is_nan() || difference > allowed {
            let at = Place::Element(index(i, double.shape()));
            if only.is_some_and(|only| only != (what, &at)) {
                continue;
            }
            let what = what.into();
            let (double, grows) = (exact, false);
            return Err(Verdict::Imprecise { what, at, single, double, allowed, grows });
        }
        worst = worst.max(difference / allowed);
    }
    Ok(worst)
}
