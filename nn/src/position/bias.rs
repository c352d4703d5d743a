//! Biases of attention scores that depend on the difference of two positions.

use autograd::Var;
use tensor::{Float, Tensor};

use super::{LearnableFourier, Places, PositionMlp};
use crate::Context;

/// A number for each head and each difference Δ of positions, all coordinates of all groups together.
#[derive(Clone, Debug)]
pub(crate) enum RelativeBias {
    /// −2^(−8h/H)·‖Δ‖ for head h = 1 … H, Δ in indices: ALiBi (Press et al. 2022) with the Euclidean distance, as in CROMA
    /// (Fuller et al. 2023). No parameters.
    Alibi { heads: usize },
    /// An MLP of sign(Δ)·log₂(1 + 8|Δ|)/3, Δ in fractions: the continuous bias of Swin V2 (Liu et al. 2022).
    Mlp(PositionMlp),
    /// An MLP of the learnable Fourier features of Δ, in fractions.
    Fourier(LearnableFourier),
}

impl RelativeBias {
    /// The bias of each head, query and key, [H, N, N].
    pub(crate) fn forward<E: Float>(&self, cx: &Context<'_, E>, places: &Places) -> Var<E> {
        let pairs = places.pairs();
        let (count, n) = (pairs.differences.dims()[0], places.len());
        let differences = pairs.differences.unsqueeze(1);
        let of_difference = match self {
            RelativeBias::Alibi { heads } => {
                Var::constant(alibi(&pairs.differences, places, *heads))
            }
            RelativeBias::Mlp(mlp) => {
                let logs = differences.map(|x, _| x.signum() * (1.0 + 8.0 * x.abs()).log2() / 3.0);
                mlp.forward(cx, &Var::constant(logs.cast()))
            }
            RelativeBias::Fourier(encoder) => encoder.forward(cx, &differences.cast()),
        };
        let heads = of_difference.dims()[1];
        debug_assert_eq!(of_difference.dims(), [count, heads]);
        // Heads first, so that each row of scores is gathered from one short row.
        let by_head = of_difference.transpose(0, 1);
        by_head.gather(1, &pairs.which).reshape([heads, n, n])
    }
}

fn alibi<E: Float>(differences: &Tensor<f64>, places: &Places, heads: usize) -> Tensor<E> {
    let (sizes, width) = (places.sizes(), differences.dims()[1]);
    let squares = |row: &[f64]| -> f64 {
        row.iter().enumerate().map(|(c, x)| (x * sizes[c % sizes.len()] as f64).powi(2)).sum()
    };
    let distances: Vec<f64> =
        differences.to_vec().chunks(width).map(|row| squares(row).sqrt()).collect();
    Tensor::from_fn([distances.len(), heads], |i| {
        let slope = 2f64.powf(-8.0 * (i % heads + 1) as f64 / heads as f64);
        E::from_f64(-slope * distances[i / heads])
    })
}
