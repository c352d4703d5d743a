//! Attention rollout (Abnar and Zuidema 2020): how much of each patch reaches what a vision transformer's head reads.

use nn::Context;
use tensor::{Float, Tensor};

use crate::{Pool, Vit};

/// How much each token of the input reaches each token of the output, through blocks whose attention [B, H, N, N] this is, first
/// block first; the result is [B, N, N], and its rows sum to 1.
///
/// R = Ã_L·…·Ã₁ with Ã = (A + I)/2, A the mean over heads: half of a token is what it was before the block, by its residual
/// connection. Values, MLPs and norms are taken to pass everything on alike, so this is a picture and not an attribution.
///
/// Source: Abnar and Zuidema, "Quantifying attention flow in transformers", ACL 2020, section 3, equation 1.
///
/// # Panics
/// If there is no block, or if shapes differ.
#[track_caller]
pub fn attention_rollout<E: Float>(layers: &[Tensor<E>]) -> Tensor<E> {
    let mix = |weights: &Tensor<E>| {
        let n = weights.dim(-1);
        let identity = Tensor::from_fn([n, n], |i| if i % n == i / n { E::ONE } else { E::ZERO });
        (&weights.mean(&[1]) + &identity).scale(E::from_f64(0.5))
    };
    let mixed = layers.iter().map(mix);
    mixed.reduce(|so_far, next| next.matmul(&so_far)).expect("attention rollout: no block")
}

impl Vit {
    /// The share of each patch in what the head reads, by [`attention_rollout`]: images [B, C, H, W] → [B, rows, columns], each
    /// image's sum at most 1; the rest is the class token's. Of a model that pools by mean, the mean over its patches.
    ///
    /// # Panics
    /// As [`forward`](Vit::forward).
    #[track_caller]
    pub fn rollout<E: Float>(&self, cx: &Context<'_, E>, images: &Tensor<E>) -> Tensor<E> {
        let rollout = attention_rollout(&self.attention(cx, images));
        let config = self.config();
        let &[batch, n, _] = rollout.dims() else { unreachable!("[B, N, N]") };
        let first = usize::from(config.class_token);
        let of_patches = rollout.narrow(2, first, n - first);
        let read = match config.pool {
            Pool::Cls => of_patches.narrow(1, 0, 1).squeeze(1),
            Pool::Mean => of_patches.narrow(1, first, n - first).mean(&[1]),
        };
        let [rows, columns] = [2, 3].map(|axis| images.dim(axis) / config.patch_size);
        read.reshape([batch, rows, columns])
    }
}

#[cfg(test)]
mod tests {
    use nn::{Init, Params, PositionConfig};
    use rand::SeedableRng;
    use rand::rngs::ChaCha8Rng;

    use super::*;
    use crate::VitConfig;

    #[test]
    fn two_blocks_of_two_tokens_by_hand() {
        // Heads [1 0; 0 1] and [0 1; 0 1]: mean [0.5 0.5; 0 1], with the residual [0.75 0.25; 0 1].
        let first = Tensor::from_vec([1, 2, 2, 2], vec![1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0]);
        // [0 1; 1 0], with the residual [0.5 0.5; 0.5 0.5].
        let second = Tensor::from_vec([1, 1, 2, 2], vec![0.0, 1.0, 1.0, 0.0]);
        let rollout = attention_rollout::<f64>(&[first, second]);
        assert_eq!(rollout.dims(), [1, 2, 2]);
        assert_eq!(rollout.to_vec(), [0.375, 0.625, 0.375, 0.625]);
    }

    #[test]
    fn shares_are_positive_and_sum_to_one_with_that_of_the_class_token() {
        let positions = [
            PositionConfig::LffMlp { gamma: 0.2, features: 0, hidden: 8 },
            PositionConfig::RopeMixed { temperature: 10.0 },
            PositionConfig::RelativeLff { gamma: 0.5, features: 4, hidden: 4 },
        ];
        for (position, class_token) in positions.into_iter().zip([true, false, true]) {
            let pool = if class_token { Pool::Cls } else { Pool::Mean };
            let (dropout, drop_path, classes) = (0.0, 0.0, 3);
            let (image_size, patch_size, channels) = (8, 4, 2);
            let (dim, depth, heads, mlp_dim) = (16, 3, 2, 16);
            let config = VitConfig {
                image_size,
                patch_size,
                channels,
                dim,
                depth,
                heads,
                mlp_dim,
                classes,
                pool,
                class_token,
                position,
                dropout,
                drop_path,
            };
            let mut params = Params::new();
            let model = Vit::new(&mut Init::new(&mut params, 1), &config).expect("valid");
            let params = params.cast::<f64>();
            let cx = Context::eval(&params);
            // Other than trained on, which these encodings serve.
            let images = Tensor::normal([2, 2, 8, 12], 0.0, 1.0, &mut ChaCha8Rng::seed_from_u64(2));
            let layers = model.attention(&cx, &images);
            let tokens = 6 + usize::from(class_token);
            assert_eq!(
                layers.iter().map(Tensor::dims).collect::<Vec<_>>(),
                [[2, 2, tokens, tokens]; 3]
            );
            let sums = attention_rollout(&layers).sum(&[2]).to_vec();
            assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 1e-12), "{sums:?}");
            let shares = model.rollout(&cx, &images);
            assert_eq!(shares.dims(), [2, 2, 3]);
            assert!(shares.to_vec().iter().all(|&share| share > 0.0));
            for sum in shares.sum(&[1, 2]).to_vec() {
                let whole = if class_token { 0.2..0.999 } else { 1.0 - 1e-12..1.0 + 1e-12 };
                assert!(whole.contains(&sum), "{class_token}: {sum}");
            }
        }
    }
}
