//! Magnitudes: single precision against double precision on inputs from 10⁻³⁰ to 10³⁰, on offsets, on equal and nearly equal
//! numbers and along long axes, by the scale of the results themselves.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use tensor::Tensor;

use super::spec::{Domain, Traits};

/// How the inputs of a case are changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Change {
    /// All inputs, times one power of ten.
    Scaled,
    /// Each input times a power of its own.
    Apart,
    /// Each element times a power of its own.
    Mixed,
    /// The same number added to all elements of an input: nearly equal numbers.
    Offset,
    /// All elements of an input equal.
    Equal,
    /// [`Change::Equal`], along one long axis.
    Long,
}

/// The most that a power of ten may be, and that of an offset.
const POWER: f64 = 30.0;
const OFFSET: f64 = 7.0;
/// The same for a `moderate` input, which becomes at most ten times as large.
const MODERATE: (f64, f64) = (0.0, 1.0);

/// The change that a case is tried with, by its seed.
pub(crate) fn change_of(seed: u64) -> Change {
    use Change::{Apart, Equal, Long, Mixed, Offset, Scaled};
    const ALL: [Change; 16] = [
        Scaled, Offset, Apart, Equal, Scaled, Mixed, Offset, Long, Scaled, Apart, Equal, Scaled,
        Offset, Scaled, Mixed, Long,
    ];
    ALL[(seed % 16) as usize]
}

/// The inputs of the specification, changed; single precision has their values, too.
pub(crate) fn changed(
    change: Change,
    inputs: &[Tensor<f64>],
    given: &[(Domain, Traits)],
    seed: u64,
) -> Vec<Tensor<f64>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x3a9);
    let mut power = |traits: Traits| {
        if traits.moderate {
            return rng.random_range(MODERATE.0..MODERATE.1);
        }
        POWER * rng.random_range(-1.0f64..1.0).powi(3) // more often near 0
    };
    let common = power(Traits::default());
    let mut all = Vec::new();
    for (x, (domain, traits)) in inputs.iter().zip(given) {
        let own = power(*traits);
        let common = if traits.moderate { own } else { common };
        let ties = *domain == Domain::Distinct;
        let positive = *domain == Domain::Positive;
        let values = x.to_vec();
        let scaled = |power: f64| values.iter().map(|x| x * 10f64.powf(power)).collect::<Vec<_>>();
        let values = match change {
            Change::Scaled => scaled(common),
            Change::Apart => scaled(own),
            Change::Mixed => {
                let mut power = || if traits.moderate { own } else { power(*traits) / 4.0 };
                values.iter().map(|x| x * 10f64.powf(power())).collect()
            }
            Change::Offset if ties || *domain == Domain::Nonzero => scaled(own),
            Change::Offset => {
                let offset = if traits.moderate { own } else { own.abs() / POWER * OFFSET };
                let offset = if positive || own < 0.0 { 1.0 } else { -1.0 } * 10f64.powf(offset);
                values.iter().map(|x| x + offset).collect()
            }
            Change::Equal | Change::Long if ties => scaled(own),
            Change::Equal | Change::Long => {
                let one = values.first().map_or(1.0, |x| x * 10f64.powf(own));
                vec![one; values.len()]
            }
        };
        let nonzero = |x: f64| *domain == Domain::Nonzero && x.abs() < f64::from(f32::MIN_POSITIVE);
        let round = |x: f64| f64::from(x.clamp(-f64::from(f32::MAX), f64::from(f32::MAX)) as f32);
        let values = values.into_iter().map(|x| round(if nonzero(x) { 1.0 } else { x })).collect();
        all.push(Tensor::from_vec(x.shape(), values));
    }
    all.extend(inputs[given.len()..].iter().cloned());
    all
}

/// Inputs of the same sizes: each element times −2 to 2, never near 0; the sign only where the domain has both.
pub(crate) fn siblings(
    inputs: &[Tensor<f64>],
    given: &[(Domain, Traits)],
    seed: u64,
) -> Vec<Tensor<f64>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x51b);
    let sibling = |(i, x): (usize, &Tensor<f64>)| {
        let signed = given.get(i).is_none_or(|(domain, _)| *domain != Domain::Positive);
        let mut factor = || {
            let factor = rng.random_range(0.5..2.0);
            if signed && rng.random() { -factor } else { factor }
        };
        Tensor::from_vec(x.shape(), x.to_vec().into_iter().map(|x| x * factor()).collect())
    };
    inputs.iter().enumerate().map(sibling).collect()
}
