//! Sines and cosines of fixed wavelengths (Vaswani et al. 2017).

use tensor::{Float, Tensor};

use super::Places;

/// Sines of each coordinate, as DETR makes them (Carion et al. 2020): with width D/(G·M) for each and coordinates
/// v = 2π·(index + 1)/size, feature 2i is sin(v/T^(2i/width)) and feature 2i + 1 is cos(v/T^(2i/width)); coordinates side
/// by side. [N, G, D/G].
///
/// A larger image means a denser sampling of the same range.
pub(crate) fn sine_of_coordinates<E: Float>(
    places: &Places,
    width: usize,
    temperature: f64,
) -> Tensor<E> {
    let fractions = places.fractions::<f64>();
    let &[n, groups, coordinates] = fractions.dims() else { unreachable!("[N, G, M]") };
    let (positions, sizes) = (fractions.to_vec(), places.sizes());
    Tensor::from_fn([n, groups, coordinates * width], |i| {
        let (coordinate, feature) = (i / width, i % width);
        let first = 1.0 / sizes[coordinate % coordinates] as f64;
        let v = std::f64::consts::TAU * (positions[coordinate] + first);
        E::from_f64(wave(v, feature, width, temperature))
    })
}

/// Sines of indices in row-major order, [N, D], for one group; an index goes on beyond what was seen, and may lie between two.
pub(crate) fn sine_of_index<E: Float>(indices: &[f64], dim: usize, temperature: f64) -> Tensor<E> {
    Tensor::from_fn([indices.len(), dim], |i| {
        E::from_f64(wave(indices[i / dim], i % dim, dim, temperature))
    })
}

fn wave(v: f64, feature: usize, width: usize, temperature: f64) -> f64 {
    let angle = v / temperature.powf((feature / 2 * 2) as f64 / width as f64);
    if feature.is_multiple_of(2) { angle.sin() } else { angle.cos() }
}
