//! One forward pass: parameters as variables, and the randomness that exists only in training.

use std::cell::{OnceCell, RefCell};
use std::fmt::{self, Display};

use autograd::{Anomaly, Tape, Var};
use rand::rngs::ChaCha8Rng;
use tensor::{Float, Tensor};

use crate::params::Owner;
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
    ///
    /// # Panics
    /// If the pass has begun: parameters were used already.
    #[track_caller]
    pub fn on(self, tape: Tape<E>) -> Self {
        let begun = self.vars.iter().any(|var| var.get().is_some());
        assert!(!begun, "context: another tape for a pass that has begun");
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
    ///
    /// # Panics
    /// If it is one of another arena than that of the pass.
    #[track_caller]
    pub fn param(&self, id: ParamId) -> Var<E> {
        let place = self.params.place(id);
        if let Some(tape) = &self.tape {
            tape.mark(place);
        }
        let var = self.vars[place].get_or_init(|| {
            let param = self.params.get(id);
            match &self.tape {
                Some(tape) if param.trainable => tape.leaf(param.value.clone()),
                _ => Var::constant(param.value.clone()),
            }
        });
        var.clone()
    }

    /// Refuses what a layer was given. The layer's path is that of one of its parameters.
    #[track_caller]
    pub(crate) fn refuse(
        &self,
        layer: &str,
        id: ParamId,
        expected: &str,
        found: impl Display,
    ) -> ! {
        let name = &self.params.get(id).name;
        let path = name.rsplit_once('.').map_or("", |(path, _)| path);
        let at = if path.is_empty() { String::new() } else { format!(" `{path}`") };
        panic!("{layer}{at}: {expected} expected, found {found}");
    }

    /// Refuses inputs whose last axis is not that of features.
    #[track_caller]
    pub(crate) fn expect_features(&self, layer: &str, id: ParamId, x: &Var<E>, features: usize) {
        if x.dims().last() != Some(&features) {
            self.refuse(layer, id, &format!("[… {features}]"), x.shape());
        }
    }

    /// Refuses inputs that are not images [B, C, H, W] of so many channels.
    #[track_caller]
    pub(crate) fn expect_channels(&self, layer: &str, id: ParamId, x: &Var<E>, channels: usize) {
        if x.shape().rank() != 4 || x.dims()[1] != channels {
            self.refuse(layer, id, &format!("[B, {channels}, H, W]"), x.shape());
        }
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

    /// Whether what is computed with parameters has gradients.
    pub(crate) fn records(&self) -> bool {
        let tracked = |var: &OnceCell<Var<E>>| var.get().is_some_and(Var::is_tracked);
        self.tape.is_some() || self.vars.iter().any(tracked)
    }

    /// The first NaN or infinity, in anomaly mode, and the parameter that was used last before it.
    pub fn anomaly(&self) -> Option<(Anomaly, Option<&'p str>)> {
        let anomaly = self.tape.as_ref()?.anomaly()?;
        let near = anomaly.marker.and_then(|marker| self.params.name_of_marker(marker));
        Some((anomaly, near))
    }

    /// The gradients of a scalar loss with respect to all parameters. Frees the pass's record: parameters may be used
    /// again, but nothing else that was computed before.
    ///
    /// # Panics
    /// If the loss has not one element or depends on no parameter, or if the pass does not record.
    #[track_caller]
    pub fn backward(&self, loss: &Var<E>) -> Grads<E> {
        let tape = self.tape.as_ref().expect("backward: a pass in evaluation records nothing");
        let mut gradients = tape.backward(loss);
        // A gradient may be a view; what comes after asks for rows of numbers.
        let take = |var: &OnceCell<Var<E>>| Some(gradients.take(var.get()?)?.contiguous());
        Grads { by_param: self.vars.iter().map(take).collect(), owner: self.params.owner() }
    }
}

/// A gradient for each parameter of an arena; `None` where the loss does not depend on it. Each has the shape of its
/// parameter, and its elements in row-major order.
#[derive(Clone, Debug, Default)]
pub struct Grads<E: Float = f32> {
    by_param: Vec<Option<Tensor<E>>>,
    owner: Owner,
}

impl<E: Float> Grads<E> {
    /// The gradient of a parameter.
    ///
    /// # Panics
    /// If the parameter is not among those that these are gradients of.
    #[track_caller]
    pub fn get(&self, id: ParamId) -> Option<&Tensor<E>> {
        let place = self.owner.place(id);
        let count = self.by_param.len();
        let Some(place) = place else {
            panic!("grads: of {count} parameters, and not of this one, which is of another arena");
        };
        self.by_param[place].as_ref()
    }

    /// The gradients in the order of the arena.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Option<&Tensor<E>>> {
        self.by_param.iter().map(Option::as_ref)
    }

    /// Refuses gradients of other parameters than these, or of other shapes.
    #[track_caller]
    pub(crate) fn check(&self, reader: &str, params: &Params<E>) {
        self.owner.check(&format!("{reader}: gradients"), &params.owner());
        for (param, g) in params.iter().zip(&self.by_param) {
            let (expected, found) = (param.value.shape(), g.as_ref().map(Tensor::shape));
            if let Some(found) = found.filter(|found| *found != expected) {
                panic!("{reader}: a gradient {found} of `{}`, which is {expected}", param.name);
            }
        }
    }

    /// Adds the gradients of another pass over the same parameters.
    ///
    /// # Panics
    /// If they are of others.
    #[track_caller]
    pub fn add(&mut self, other: Self) {
        if self.by_param.is_empty() {
            *self = other;
            return;
        }
        self.owner.check("grads: gradients", &other.owner);
        for (place, (sum, g)) in self.by_param.iter_mut().zip(other.by_param).enumerate() {
            let shapes = [&*sum, &g].map(|g| g.as_ref().map(Tensor::shape));
            if let [Some(ours), Some(theirs)] = shapes {
                assert!(ours == theirs, "grads: add: of parameter {place} {ours} and {theirs}");
            }
            *sum = match (sum.take(), g) {
                (Some(sum), Some(g)) => Some(sum + &g),
                (sum, g) => sum.or(g),
            };
        }
    }

    /// The Euclidean norm of all gradients together. Neither tiny nor huge gradients are lost; see [`Tensor::norm`].
    pub fn norm(&self) -> f64 {
        let norms: Vec<f64> = self.iter().flatten().map(Tensor::norm).collect();
        Tensor::from_vec([norms.len()], norms).norm()
    }
}
