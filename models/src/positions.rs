//! What models share about positions: those of each sample of a batch, and their scale.

use autograd::{Attention, Var, concat};
use nn::Sight;
use tensor::Float;

/// Encodings [… D] with a mean square of 1 at each place.
pub(crate) fn scaled<E: Float>(encoded: &Var<E>) -> Var<E> {
    let mean = E::from_f64(1.0 / encoded.value().dim(-1) as f64);
    let square = encoded.square().sum_keep(&[-1]).scale(mean);
    encoded.div(&square.add_scalar(E::from_f64(1e-6)).sqrt())
}

/// What an encoder layer may look at: what the relative positions of each sample say, and no padding.
pub(crate) fn of_layer<E: Float>(
    sights: &[Sight<E>],
    layer: usize,
    hidden: Option<&Var<E>>,
) -> Attention<E> {
    let with_heads = |x: &Var<E>| if x.dims().len() == 2 { x.unsqueeze(0) } else { x.clone() };
    let angles =
        per_sample(sights, |sight| sight.of(layer).angles.as_ref().map(|[q, _]| with_heads(q)));
    let bias = per_sample(sights, |sight| sight.of(layer).mask.clone());
    let mask = match (bias, hidden) {
        (Some(bias), Some(hidden)) => Some(&bias + hidden),
        (bias, hidden) => bias.or_else(|| hidden.cloned()),
    };
    Attention { causal: false, mask, angles: angles.map(|angles| [angles.clone(), angles]) }
}

/// What `f` makes of what belongs to each sample, as [B, …], or of the one thing that all samples share.
pub(crate) fn per_sample<T, E: Float>(
    each: &[T],
    f: impl Fn(&T) -> Option<Var<E>>,
) -> Option<Var<E>> {
    if let [shared] = each {
        return f(shared);
    }
    let parts: Option<Vec<Var<E>>> = each.iter().map(|one| Some(f(one)?.unsqueeze(0))).collect();
    Some(concat(&parts?.iter().collect::<Vec<_>>(), 0))
}
