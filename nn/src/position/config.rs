//! The choice of an encoder in a config, and the places of a grid.

use autograd::Var;
use serde::{Deserialize, Serialize};
use tensor::{Float, Tensor};

use super::LearnableFourier;
use crate::{Context, Fill, Init, ParamId};

/// Which encoder, with its numbers: `position = { kind = "lff-mlp", gamma = 0.2 }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum PositionConfig {
    /// One trained vector for each place in row-major order, as in ViT (Dosovitskiy et al. 2021). Bound to the size it was
    /// made for.
    #[serde(rename = "embed-1d")]
    Embed1d {},
    /// Learnable Fourier features with MLP: see [`LearnableFourier`].
    LffMlp {
        /// Width γ of the first kernel, in fractions of the image.
        gamma: f64,
        /// |F|; 0 stands for the model's width.
        #[serde(default)]
        features: usize,
        /// |H|.
        #[serde(default = "default_hidden")]
        hidden: usize,
    },
}

impl PositionConfig {
    /// Checks the numbers for a model of width `dim`.
    ///
    /// # Errors
    /// What is wrong with the first that is out of range.
    pub fn validate(&self, dim: usize) -> Result<(), String> {
        let PositionConfig::LffMlp { gamma, features, hidden } = *self else { return Ok(()) };
        if !(gamma > 0.0 && gamma.is_finite()) {
            return Err(format!("position.gamma = {gamma}: a positive number expected"));
        }
        let features = if features == 0 { dim } else { features };
        for (name, size) in [("features", features), ("hidden", hidden)] {
            if !(1..=1 << 16).contains(&size) {
                return Err(format!("position.{name} = {size}: 1 to 65536 expected"));
            }
        }
        if !features.is_multiple_of(2) {
            return Err(format!("position.features = {features}: an even number expected"));
        }
        Ok(())
    }
}

fn default_hidden() -> usize {
    32
}

/// The places of an h × w grid in row-major order, as fractions of the image: (row/h, column/w), [h·w, 1, 2].
pub fn grid<E: Float>(height: usize, width: usize) -> Tensor<E> {
    Tensor::from_fn([height * width, 1, 2], |i| {
        let place = i / 2;
        let (at, size) = if i % 2 == 0 { (place / width, height) } else { (place % width, width) };
        E::from_f64(at as f64 / size as f64)
    })
}

/// An absolute encoder of the places of a grid.
#[derive(Clone, Debug)]
pub enum Position {
    /// A table [1, slots, D], named `pos_embed`; the first slot is the class token's if there is one.
    Embed1d(ParamId),
    /// Features of the coordinates, under `pe`.
    LffMlp(LearnableFourier),
}

impl Position {
    /// An encoder for `places` places of width `dim`, and `extra` tokens before them (a class token).
    ///
    /// # Panics
    /// If the config's numbers are out of range.
    #[track_caller]
    pub fn new(
        init: &mut Init<'_>,
        config: &PositionConfig,
        places: usize,
        extra: usize,
        dim: usize,
    ) -> Self {
        match *config {
            PositionConfig::Embed1d {} => {
                let shape = [1, extra + places, dim];
                Position::Embed1d(init.param(
                    "pos_embed",
                    shape,
                    Fill::TruncatedNormal(0.02),
                    false,
                ))
            }
            PositionConfig::LffMlp { gamma, features, hidden } => {
                let features = if features == 0 { dim } else { features };
                let encoder = LearnableFourier::new(
                    &mut init.scope("pe"),
                    [1, 2],
                    features,
                    hidden,
                    dim,
                    gamma,
                );
                Position::LffMlp(encoder)
            }
        }
    }

    /// The encodings of the places [N, 1, 2], as [N, D], and of the tokens before them, [extra, D], if they have any.
    ///
    /// # Panics
    /// If a table is smaller than the grid.
    pub fn forward<E: Float>(
        &self,
        cx: &Context<'_, E>,
        places: &Tensor<E>,
    ) -> (Var<E>, Option<Var<E>>) {
        match self {
            Position::Embed1d(table) => {
                let table = cx.param(*table).squeeze(0);
                let (slots, n) = (table.dims()[0], places.dims()[0]);
                assert!(slots >= n, "embed-1d: a table of {slots} places for an image of {n}");
                let extra = (slots > n).then(|| table.narrow(0, 0, slots - n));
                (table.narrow(0, slots - n, n), extra)
            }
            Position::LffMlp(encoder) => (encoder.forward(cx, places), None),
        }
    }
}
