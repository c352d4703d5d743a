//! The single-precision kernels against the double-precision ones, whose gradients have been checked.

use tensor::Tensor;

use super::gradient::index;
use super::report::{Place, Verdict};
use super::run::Run;

/// Units of f32 rounding, 2⁻²³, that an element may be off, relative to the largest of its tensor, or to 1 if that is
/// smaller: inputs and cotangents are of that size, and what they cancel down to keeps the rounding of what they were. A
/// gradient that is a sum over n places of the output gathers rounding as a random walk does: √n times that.
const ROUNDINGS: f64 = 256.0;

/// The largest difference as a part of what is allowed.
///
/// # Errors
/// The first difference that is not allowed.
pub(crate) fn compare(
    names: &[String],
    single: &Run<f32>,
    double: &Run<f64>,
) -> Result<f64, Verdict> {
    let outputs = double.value.len();
    let mut worst = compare_one("value", &single.value, &double.value, outputs)?;
    for ((name, single), double) in names.iter().zip(&single.gradients).zip(&double.gradients) {
        if let (Some(single), Some(double)) = (single, double) {
            worst =
                worst.max(compare_one(&format!("gradient of {name}"), single, double, outputs)?);
        }
    }
    Ok(worst)
}

fn compare_one(
    what: &str,
    single: &Tensor<f32>,
    double: &Tensor<f64>,
    outputs: usize,
) -> Result<f64, Verdict> {
    let (a, b) = (single.cast::<f64>().to_vec(), double.to_vec());
    let size = b.iter().fold(1.0f64, |max, x| max.max(x.abs()));
    let places = outputs as f64 / double.len().max(1) as f64;
    let allowed = ROUNDINGS * f64::from(f32::EPSILON) * size * places.max(1.0).sqrt();
    let mut worst: f64 = 0.0;
    for (i, (&single, &exact)) in a.iter().zip(&b).enumerate() {
        let difference = (single - exact).abs();
        if single.is_nan() || difference > allowed {
            let at = Place::Element(index(i, double.shape()));
            return Err(Verdict::Imprecise {
                what: what.into(),
                at,
                single,
                double: exact,
                allowed,
            });
        }
        worst = worst.max(difference / allowed);
    }
    Ok(worst)
}
