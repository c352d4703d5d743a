//! Learnable Fourier features (Li, Si, Li, Hsieh and Bengio, NeurIPS 2021).

use autograd::{Var, concat};
use tensor::{Float, Tensor};

use super::mlp::{PositionMlp, side_by_side};
use crate::{Context, Fill, Init, ParamId};

/// Algorithm 1 of the paper: for positions x [N, G, M],
///
/// 1. r = 1/√|F| · [cos(x·W_rᵀ) ; sin(x·W_rᵀ)] (Eq. 2), [N, G, |F|],
/// 2. y = GELU(r·W₁ + b₁)·W₂ + b₂ (Eq. 6), [N, G, D/G],
/// 3. the groups side by side, [N, D].
///
/// W_r [|F|/2, M] is drawn from N(0, γ⁻²), that is with **standard deviation 1/γ**, and trained. All groups share all
/// weights, so the number of parameters, M|F|/2 + |F||H| + |H| + |H|D/G + D/G, does not depend on N.
///
/// At first the features make a Gaussian kernel of the distance: r_x·r_x = ½ always, and
/// E[r_x·r_y] = ½·exp(−‖x − y‖²/(2γ²)). So γ is a length in the units of the positions: places closer than γ look
/// alike. With positions as fractions of the image, γ = 0.2 is a fifth of its side.
///
/// Any position can be encoded, seen in training or not. Without MLP the encoding is r itself, and |F| = D/G. Parameters:
/// `wr`, and those of `fc1` and `fc2`. No weight decay on `wr`.
#[derive(Clone, Debug)]
pub struct LearnableFourier {
    wr: ParamId,
    mlp: Option<PositionMlp>,
    features: usize,
}

impl LearnableFourier {
    /// `groups` G of `coordinates` M each, `features` |F|, `hidden` |H|, `dim` D, and γ > 0 in the units of the positions.
    ///
    /// # Panics
    /// If |F| is odd or 0, if D is not divisible by G, or if γ is not positive.
    #[track_caller]
    pub fn new(
        init: &mut Init<'_>,
        [groups, coordinates]: [usize; 2],
        features: usize,
        hidden: usize,
        dim: usize,
        gamma: f64,
    ) -> Self {
        let divides = groups > 0 && dim.is_multiple_of(groups);
        assert!(divides, "learnable fourier: {dim} features of {groups} groups");
        Self::with(init, coordinates, features, Some(hidden), dim / groups, gamma)
    }

    /// The encoder of a group, of `width` D/G, with MLP if `hidden` is given.
    #[track_caller]
    pub(crate) fn with(
        init: &mut Init<'_>,
        coordinates: usize,
        features: usize,
        hidden: Option<usize>,
        width: usize,
        gamma: f64,
    ) -> Self {
        assert!(
            features > 0 && features.is_multiple_of(2),
            "learnable fourier: {features} features, even number expected"
        );
        assert!(gamma > 0.0, "learnable fourier: γ = {gamma}, positive number expected");
        let wr = init.param("wr", [features / 2, coordinates], Fill::Normal(1.0 / gamma), false);
        let mlp = hidden.map(|hidden| PositionMlp::new(init, features, hidden, width));
        Self { wr, mlp, features }
    }

    /// Excludes the frequencies from training.
    pub(crate) fn freeze(&self, init: &mut Init<'_>) {
        init.freeze(self.wr);
    }

    /// The frequencies W_r [|F|/2, M].
    pub fn frequencies(&self) -> ParamId {
        self.wr
    }

    /// The features r of positions [N, G, M] (Eq. 2), [N, G, |F|].
    #[track_caller]
    pub fn features<E: Float>(&self, cx: &Context<'_, E>, positions: &Tensor<E>) -> Var<E> {
        let angles = autograd::linear(&Var::constant(positions.clone()), &cx.param(self.wr), None);
        let scale = E::from_f64(1.0 / (self.features as f64).sqrt());
        concat(&[&angles.cos(), &angles.sin()], -1).scale(scale)
    }

    /// Positions [N, G, M] → encodings [N, D].
    #[track_caller]
    pub fn forward<E: Float>(&self, cx: &Context<'_, E>, positions: &Tensor<E>) -> Var<E> {
        let features = self.features(cx, positions);
        self.mlp.as_ref().map_or_else(|| side_by_side(&features), |mlp| mlp.forward(cx, &features))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Params;

    fn encoder(
        params: &mut Params,
        [groups, coordinates]: [usize; 2],
        features: usize,
        gamma: f64,
    ) -> LearnableFourier {
        LearnableFourier::new(
            &mut Init::new(params, 1),
            [groups, coordinates],
            features,
            32,
            128,
            gamma,
        )
    }

    #[test]
    fn the_feature_vector_has_squared_length_one_half() {
        let mut params = Params::new();
        let encoder = encoder(&mut params, [1, 2], 384, 0.1);
        let positions = Tensor::from_vec([3, 1, 2], vec![0.0, 0.0, 0.3, -7.0, 1000.0, 0.25]);
        let r = encoder.features(&Context::eval(&params.cast::<f64>()), &positions);
        let squares = r.value().square().sum(&[-1]).to_vec();
        squares.iter().for_each(|r| assert!((r - 0.5).abs() < 1e-12, "{r}"));
    }

    #[test]
    fn the_expected_kernel_is_half_a_gaussian_of_width_gamma() {
        // 20,000 frequencies estimate E[cos(w·(x − y))]/2 with a standard error of at most 0.0025.
        let (gamma, mut params) = (2.0, Params::new());
        let encoder = encoder(&mut params, [1, 2], 40_000, gamma);
        let cx = params.cast::<f64>();
        let cx = Context::eval(&cx);
        for (x, y) in
            [([0.0, 0.0], [1.0, 0.0]), ([3.0, 1.0], [2.0, 2.5]), ([0.5, 0.5], [4.5, -2.0])]
        {
            let r =
                encoder.features(&cx, &Tensor::from_vec([2, 1, 2], [x, y].concat())).into_value();
            let kernel = (&r.narrow(0, 0, 1) * &r.narrow(0, 1, 1)).sum_all().item();
            let distance: f64 = x.iter().zip(y).map(|(x, y)| (x - y) * (x - y)).sum();
            let expected = 0.5 * (-distance / (2.0 * gamma * gamma)).exp();
            assert!((kernel - expected).abs() < 0.01, "{kernel} {expected}");
        }
    }

    #[test]
    fn the_number_of_parameters_is_that_of_the_paper() {
        for ([groups, coordinates], expected) in [([1, 4], 8608), ([2, 2], 6368), ([4, 1], 5248)] {
            let mut params = Params::new();
            encoder(&mut params, [groups, coordinates], 128, 1.0);
            assert_eq!(params.elements(), expected);
        }
    }

    #[test]
    fn unseen_positions_are_encoded_and_groups_share_weights() {
        let mut params = Params::new();
        let encoder = encoder(&mut params, [2, 1], 64, 0.2);
        let cx = Context::eval(&params);
        let positions: Tensor = Tensor::from_vec([2, 2, 1], vec![0.25, 1e4, 1e4, 0.25]);
        let y = encoder.forward(&cx, &positions).into_value();
        assert_eq!(y.dims(), [2, 128]);
        assert!(y.to_vec().iter().all(|y| y.is_finite()));
        assert_eq!(
            y.narrow(0, 0, 1).narrow(1, 0, 64).to_vec(),
            y.narrow(0, 1, 1).narrow(1, 64, 64).to_vec()
        );
    }
}
