//! The feed-forward half of a transformer block.

use autograd::Var;
use serde::{Deserialize, Serialize};
use tensor::Float;

use super::{Dropout, Linear};
use crate::{Context, Init};

/// What stands between the two layers of an [`Mlp`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// x·Φ(x) (Hendrycks and Gimpel 2016).
    #[default]
    Gelu,
    /// x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³))), an approximation of it that is within 5e-4.
    GeluTanh,
    /// x·σ(1.702·x), another one, within 0.021.
    QuickGelu,
    /// max(x, 0).
    Relu,
}

impl Activation {
    /// The activation of each element.
    pub fn forward<E: Float>(self, x: &Var<E>) -> Var<E> {
        match self {
            Activation::Gelu => x.gelu(),
            Activation::GeluTanh => {
                // (1 + tanh t)/2 = σ(2t)
                let cube = x.square().mul(x).scale(E::from_f64(0.044_715));
                let twice = E::from_f64(2.0 * (2.0 / std::f64::consts::PI).sqrt());
                x.mul(&(x + &cube).scale(twice).sigmoid())
            }
            Activation::QuickGelu => x.mul(&x.scale(E::from_f64(1.702)).sigmoid()),
            Activation::Relu => x.relu(),
        }
    }
}

/// fc2(activation(fc1(x))). Parameters: those of `fc1` and `fc2`.
#[derive(Clone, Debug)]
pub struct Mlp {
    fc1: Linear,
    fc2: Linear,
    activation: Activation,
    dropout: Dropout,
}

impl Mlp {
    /// dim → hidden → dim, with GELU between the layers and dropout after both.
    #[track_caller]
    pub fn new(init: &mut Init<'_>, dim: usize, hidden: usize, dropout: f64) -> Self {
        Self::with(init, dim, hidden, dropout, Activation::Gelu)
    }

    /// The same with another activation.
    #[track_caller]
    pub fn with(
        init: &mut Init<'_>,
        dim: usize,
        hidden: usize,
        dropout: f64,
        activation: Activation,
    ) -> Self {
        let fc1 = Linear::new(&mut init.scope("fc1"), dim, hidden);
        let fc2 = Linear::new(&mut init.scope("fc2"), hidden, dim);
        Self { fc1, fc2, activation, dropout: Dropout::new(dropout) }
    }

    /// x [… dim] → [… dim].
    #[track_caller]
    pub fn forward<E: Float>(&self, cx: &Context<'_, E>, x: &Var<E>) -> Var<E> {
        self.forward_add(cx, x, None)
    }

    /// x [… dim] → [… dim], and the residual of that shape added if there is one.
    #[track_caller]
    pub(super) fn forward_add<E: Float>(
        &self,
        cx: &Context<'_, E>,
        x: &Var<E>,
        residual: Option<&Var<E>>,
    ) -> Var<E> {
        let hidden = match self.activation {
            Activation::Gelu => self.fc1.forward_gelu(cx, x),
            activation => activation.forward(&self.fc1.forward(cx, x)),
        };
        let hidden = self.dropout.forward(cx, hidden);
        match residual {
            Some(residual) if self.dropout.omits(cx) => {
                self.dropout.forward(cx, self.fc2.forward(cx, &hidden)) + residual
            }
            Some(_) => self.fc2.forward_add(cx, &hidden, residual),
            None => self.dropout.forward(cx, self.fc2.forward(cx, &hidden)),
        }
    }
}
