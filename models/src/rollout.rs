//! Attention rollout (Abnar and Zuidema 2020): what a transformer's output draws on, through all of its layers.

use nn::Context;
use tensor::{Float, Tensor};

use crate::{Pool, Vit};

/// How much each token of the last layer draws on each token of the input, if a residual connection passes on as much as the
/// attention beside it.
///
/// R = Ã_L ⋯ Ã₂·Ã₁ with Ã = (mean of the heads' weights + I)/2. Weights of each layer, the first one first, [B, H, N, N] →
/// R [B, N, N], whose rows sum to 1. MLPs move nothing between tokens, and what values hold is left out.
///
/// Source: S. Abnar and W. Zuidema, "Quantifying attention flow in transformers", 2020, §3.
///
/// # Panics
/// If there is no layer, or if the layers differ in shape.
#[track_caller]
pub fn attention_rollout<E: Float>(layers: &[Tensor<E>]) -> Tensor<E> {
    let mixed = layers.iter().map(|weights| {
        let n = weights.dim(-1);
        let identity = Tensor::from_fn([n, n], |i| if i / n == i % n { E::ONE } else { E::ZERO });
        (&weights.mean(&[1]) + &identity).scale(E::from_f64(0.5))
    });
    mixed
        .reduce(|below, layer| layer.matmul(&below))
        .expect("attention_rollout: at least one layer")
}

/// How much a classifier's decision draws on each patch: images [B, C, H, W] → [B, rows, columns], which sum to 1 for each image.
///
/// Of the [rollout](attention_rollout), the row of the token that is read, or the mean of the rows of all patches if they are pooled;
/// what a class token keeps of itself does not count.
///
/// # Panics
/// As [`Vit::forward`].
#[track_caller]
pub fn attention_map<E: Float>(vit: &Vit, cx: &Context<'_, E>, images: &Tensor<E>) -> Tensor<E> {
    let rollout = attention_rollout(&vit.attention_weights(cx, images));
    let first = usize::from(vit.config().class_token);
    let patches = rollout.dim(-1) - first;
    let rows = match vit.config().pool {
        Pool::Cls => rollout.narrow(1, 0, 1),
        Pool::Mean | Pool::Max => rollout.narrow(1, first, patches),
    };
    let map = rows.narrow(2, first, patches).mean(&[1]);
    let map = &map / &map.sum_keep(&[1]);
    let side = |axis| images.dim(axis) / vit.config().patch_size;
    map.reshape([images.dim(0), side(-2), side(-1)])
}

#[cfg(test)]
mod tests {
    use nn::{Init, Params, PositionConfig};
    use rand::SeedableRng;
    use rand::rngs::ChaCha8Rng;

    use super::*;
    use crate::VitConfig;

    #[test]
    fn a_rollout_is_the_product_of_layers_half_of_which_pass_by() {
        // One image, two heads, two tokens. Layer 1: means [[1, 0], [1/2, 1/2]]. Layer 2: all look at the second token.
        let first = Tensor::from_vec([1, 2, 2, 2], vec![1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0]);
        let second = Tensor::from_vec([1, 2, 2, 2], [0.0, 1.0].repeat(4));
        let rollout: Tensor<f64> = attention_rollout(&[first, second]);
        // Ã₁ = [[1, 0], [1/4, 3/4]], Ã₂ = [[1/2, 1/2], [0, 1]].
        assert_eq!(rollout.to_vec(), [0.625, 0.375, 0.25, 0.75]);
    }

    fn vit(pool: Pool, class_token: bool) -> (Vit, Params) {
        let position = PositionConfig::RopeAxial { temperature: 100.0 };
        let plain = VitConfig::new([12, 2], 4, [16, 3, 2, 32], 3, position);
        let config = VitConfig { pool, class_token, ..plain };
        let mut params = Params::new();
        let model = Vit::new(&mut Init::new(&mut params, 4), &config).expect("valid");
        (model, params)
    }

    #[test]
    fn maps_of_any_image_size_are_distributions_over_patches() {
        for (pool, class_token) in [(Pool::Cls, true), (Pool::Mean, false), (Pool::Mean, true)] {
            let (model, params) = vit(pool, class_token);
            let images: Tensor =
                Tensor::normal([2, 2, 8, 16], 0.0, 1.0, &mut ChaCha8Rng::seed_from_u64(5));
            let cx = Context::eval(&params);
            let weights = model.attention_weights(&cx, &images);
            let tokens = 8 + usize::from(class_token);
            assert_eq!(weights.len(), 3);
            for weights in &weights {
                assert_eq!(weights.dims(), [2, 2, tokens, tokens]);
                assert!(weights.sum(&[-1]).to_vec().iter().all(|sum| (sum - 1.0).abs() < 1e-5));
            }
            let map = attention_map(&model, &cx, &images);
            assert_eq!(map.dims(), [2, 2, 4]);
            assert!(map.to_vec().iter().all(|&share| share > 0.0));
            assert!(map.sum(&[1, 2]).to_vec().iter().all(|sum| (sum - 1.0).abs() < 1e-5));
        }
    }
}
