//! One forward pass: parameters as variables, and the randomness that exists only in training.

use std::cell::{OnceCell, RefCell};
use std::fmt;

use autograd::{Anomaly, Tape, Var};
use rand::rngs::ChaCha8Rng;
use tensor::{Float, Tensor};

use crate::{ParamId, Params};

/// One forward pass of a model. Made anew for each; a pass in evaluation records nothing and cannot be random.
pub struct Context<'p, E: Float = f32> {
    params: &'p Params<E>,
    vars: Vec<OnceCell<Var<E>>>,
    tape: Option<Tape<E>>,
    rng: Option<RefCell<ChaCha8Rng>>,
}

impl<E: Float> fmt::Debug for Context<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("tape", &self.tape)
            .field("training", &self.is_training())
            .finish()
    }
}

impl<'p, E: Float> Context<'p, E> {
    /// A pass that records, with dropout and the like drawn from `rng`.
    pub fn train(params: &'p Params<E>, rng: ChaCha8Rng) -> Self {
        Self::new(params, Some(Tape::new()), Some(rng))
    }

    /// A pass that records but is not random: for gradients of the function that evaluation computes.
    pub fn differentiate(params: &'p Params<E>) -> Self {
        Self::new(params, Some(Tape::new()), None)
    }

    /// A pass that neither records nor is random.
    pub fn eval(params: &'p Params<E>) -> Self {
        Self::new(params, None, None)
    }

    /// A pass in training in which `parameters` stand for the trainable ones, in their order: the model as a function of
    /// its parameters.
    ///
    /// # Panics
    /// If they are not as many.
    #[track_caller]
    pub fn given(params: &'p Params<E>, parameters: &[Var<E>], rng: ChaCha8Rng) -> Self {
        let cx = Self::new(params, None, Some(rng));
        let trainable: Vec<_> =
            params.iter().zip(&cx.vars).filter(|(param, _)| param.trainable).collect();
        let (ours, theirs) = (trainable.len(), parameters.len());
        assert_eq!(ours, theirs, "context: {theirs} variables for {ours} trainable parameters");
        for ((_, var), parameter) in trainable.iter().zip(parameters) {
            var.get_or_init(|| parameter.clone());
        }
        drop(trainable);
        cx
    }

    /// The same pass with another tape, for example [`Tape::detecting_anomalies`].
    pub fn on(self, tape: Tape<E>) -> Self {
        Self { tape: Some(tape), ..self }
    }

    fn new(params: &'p Params<E>, tape: Option<Tape<E>>, rng: Option<ChaCha8Rng>) -> Self {
        let vars = std::iter::repeat_with(OnceCell::new).take(params.len()).collect();
        Self { params, vars, tape, rng: rng.map(RefCell::new) }
    }

    /// The parameters as they are.
    pub fn params(&self) -> &'p Params<E> {
        self.params
    }

    /// A parameter as a variable, the same one at each use.
    pub fn param(&self, id: ParamId) -> Var<E> {
        if let Some(tape) = &self.tape {
            tape.mark(id.0);
        }
        let var = self.vars[id.0].get_or_init(|| {
            let param = self.params.get(id);
            match &self.tape {
                Some(tape) if param.trainable => tape.leaf(param.value.clone()),
                _ => Var::constant(param.value.clone()),
            }
        });
        var.clone()
    }

    /// The generator of this pass's randomness; `None` outside of training.
    pub fn rng(&self) -> Option<&RefCell<ChaCha8Rng>> {
        self.rng.as_ref()
    }

    /// Whether dropout and the like are on.
    pub fn is_training(&self) -> bool {
        self.rng.is_some()
    }

    /// The tape of the pass; `None` in evaluation.
    pub fn tape(&self) -> Option<&Tape<E>> {
        self.tape.as_ref()
    }

    /// The first NaN or infinity, in anomaly mode, and the parameter that was used last before it.
    pub fn anomaly(&self) -> Option<(Anomaly, Option<&'p str>)> {
        let anomaly = self.tape.as_ref()?.anomaly()?;
        let near = anomaly.marker.and_then(|marker| self.params.name_of_marker(marker));
        Some((anomaly, near))
    }

    /// The gradients of a scalar loss with respect to all parameters. Frees the pass's record.
    ///
    /// # Panics
    /// If the loss has not one element, or if the pass does not record.
    #[track_caller]
    pub fn backward(&self, loss: &Var<E>) -> Grads<E> {
        let tape = self.tape.as_ref().expect("backward: a pass in evaluation records nothing");
        let mut gradients = tape.backward(loss);
        let take = |var: &OnceCell<Var<E>>| gradients.take(var.get()?);
        Grads { by_param: self.vars.iter().map(take).collect() }
    }
}

/// A gradient for each parameter of an arena; `None` where the loss does not depend on it.
#[derive(Clone, Debug, Default)]
pub struct Grads<E: Float = f32> {
    pub(crate) by_param: Vec<Option<Tensor<E>>>,
}

impl<E: Float> Grads<E> {
    /// The gradient of a parameter.
    pub fn get(&self, id: ParamId) -> Option<&Tensor<E>> {
        self.by_param.get(id.0)?.as_ref()
    }

    /// The gradients in the order of the arena.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Option<&Tensor<E>>> {
        self.by_param.iter().map(Option::as_ref)
    }

    /// Adds the gradients of another pass over the same parameters.
    pub fn add(&mut self, other: Self) {
        if self.by_param.is_empty() {
            *self = other;
            return;
        }
        for (sum, g) in self.by_param.iter_mut().zip(other.by_param) {
            *sum = match (sum.take(), g) {
                (Some(sum), Some(g)) => Some(sum + &g),
                (sum, g) => sum.or(g),
            };
        }
    }

    /// The Euclidean norm of all gradients together.
    pub fn norm(&self) -> f64 {
        let squares = |g: &Tensor<E>| {
            let g = g.contiguous();
            let blocks = tensor::par::map_ranges(g.len(), 1 << 16, |range| {
                let block = &g.data()[range];
                E::vectorize(
                    #[inline(always)]
                    |simd| tensor::dot_row(block, block, simd).to_f64(),
                )
            });
            blocks.into_iter().sum::<f64>()
        };
        self.iter().flatten().map(squares).sum::<f64>().sqrt()
    }
}
