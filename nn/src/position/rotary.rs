//! Rotary positions in any number of coordinates (Su et al. 2021; Heo et al. 2024).

use autograd::{Var, linear};
use rand::RngExt;
use rand::rngs::ChaCha8Rng;
use tensor::{Float, Tensor};

use super::Places;
use crate::{Context, Init, ParamId};

/// Angles by which pairs of features of queries and keys are turned, so that scores depend on differences of positions only.
/// Positions are indices.
#[derive(Clone, Debug)]
pub(crate) enum Rotary {
    /// The pairs of a head are shared out among the C coordinates: angle j of each is index·T^(−j/n), for n = d/(2C) pairs.
    /// No parameters. Pairs that are left over are not turned.
    Axial { pairs: usize, temperature: f64 },
    /// Trained frequencies for each layer, head and pair, [L, H, d/2, C]: the angle is Σ_c frequency_c·index_c.
    Mixed(ParamId),
}

impl Rotary {
    /// Trained frequencies that start as those of the axial kind, each head turned in a random way, as in RoPE-Mixed.
    pub(crate) fn mixed(
        init: &mut Init<'_>,
        [layers, heads, head_dim, coordinates]: [usize; 4],
        temperature: f64,
    ) -> Self {
        let pairs = head_dim / 2;
        let shape = [layers, heads, pairs, coordinates];
        let frequencies = |rng: &mut ChaCha8Rng| {
            let mut values = Vec::new();
            for _ in 0..layers * heads {
                let directions = orthonormal(coordinates, rng);
                for pair in 0..pairs {
                    let (block, size) = axial(pair, pairs, coordinates, temperature);
                    let direction = &directions[block.unwrap_or(pair % coordinates)];
                    values.extend(direction.iter().map(|x| (x * size) as f32));
                }
            }
            Tensor::from_vec(shape, values)
        };
        Rotary::Mixed(init.given("freqs", frequencies, false))
    }

    /// The angles of each place in each layer (one for all, if they are alike), [N, d/2] or [H, N, d/2].
    pub(crate) fn angles<E: Float>(&self, cx: &Context<'_, E>, places: &Places) -> Vec<Var<E>> {
        let positions = indices(places);
        let &[n, coordinates] = positions.dims() else { unreachable!("[N, C]") };
        match *self {
            Rotary::Axial { pairs, temperature } => {
                let positions = positions.to_vec();
                let angle = |i: usize| match axial(i % pairs, pairs, coordinates, temperature) {
                    (Some(block), size) => positions[i / pairs * coordinates + block] * size,
                    (None, _) => 0.0,
                };
                let angles = Tensor::from_fn([n, pairs], |i| E::from_f64(angle(i)));
                vec![Var::constant(angles)]
            }
            Rotary::Mixed(id) => {
                let frequencies = cx.param(id);
                let &[layers, heads, pairs, _] = frequencies.dims() else {
                    unreachable!("[L, H, d/2, C]")
                };
                let rows = frequencies.reshape([layers * heads * pairs, coordinates]);
                let angles = linear(&Var::constant(positions.cast()), &rows, None);
                let angles = angles.reshape([n, layers, heads, pairs]).permute(&[1, 2, 0, 3]);
                (0..layers).map(|layer| angles.narrow(0, layer, 1).squeeze(0)).collect()
            }
        }
    }
}

/// Positions as indices along each coordinate of each group, [N, G·M].
fn indices(places: &Places) -> Tensor<f64> {
    let fractions = places.fractions::<f64>();
    let sizes = places.sizes().iter().map(|&size| size as f64).collect();
    let sizes = Tensor::from_vec([places.sizes().len()], sizes);
    let &[n, groups, coordinates] = fractions.dims() else { unreachable!("[N, G, M]") };
    (&fractions * &sizes).reshape([n, groups * coordinates])
}

/// The coordinate that a pair belongs to, if it is not left over, and its frequency.
fn axial(pair: usize, pairs: usize, coordinates: usize, temperature: f64) -> (Option<usize>, f64) {
    let each = (pairs / coordinates).max(1);
    let block = pair / each;
    let size = temperature.powf(-((pair % each) as f64) / each as f64);
    ((block < coordinates).then_some(block), size)
}

/// Random vectors of length 1 that are at right angles to each other (Gram and Schmidt).
fn orthonormal(n: usize, rng: &mut ChaCha8Rng) -> Vec<Vec<f64>> {
    let mut all: Vec<Vec<f64>> = Vec::new();
    while all.len() < n {
        let mut v: Vec<f64> = (0..n).map(|_| rng.random_range(-1.0..1.0)).collect();
        for u in &all {
            let dot: f64 = u.iter().zip(&v).map(|(u, v)| u * v).sum();
            v.iter_mut().zip(u).for_each(|(v, u)| *v -= dot * u);
        }
        let length = v.iter().map(|v| v * v).sum::<f64>().sqrt();
        if (0.1..1.0).contains(&length) {
            all.push(v.into_iter().map(|v| v / length).collect());
        }
    }
    all
}
