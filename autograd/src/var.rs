//! Variables, and the builder by which ops record themselves.

use std::fmt;

use tensor::{Float, Shape, Tensor};

use crate::profile::{self, Kind};
use crate::tape::{Node, Partial, Place, Tape};

/// A tensor that may be recorded on a tape. The tape's handle travels inside; a variable without one is a constant.
#[derive(Clone)]
pub struct Var<E: Float = f32> {
    value: Tensor<E>,
    origin: Option<Origin<E>>,
}

/// Where a variable came from.
#[derive(Clone)]
pub(crate) struct Origin<E: Float> {
    pub(crate) tape: Tape<E>,
    /// The number of its node; see [`Tape::number`].
    pub(crate) id: usize,
    /// The op that made it; none is known of a leaf.
    pub(crate) op: Option<&'static str>,
}

impl<E: Float> Var<E> {
    /// A variable that no gradient flows into.
    pub fn constant(value: Tensor<E>) -> Self {
        Self { value, origin: None }
    }

    pub(crate) fn tracked(value: Tensor<E>, origin: Origin<E>) -> Self {
        Self { value, origin: Some(origin) }
    }

    /// The value.
    #[inline]
    pub fn value(&self) -> &Tensor<E> {
        &self.value
    }

    /// The value, taken out.
    #[inline]
    pub fn into_value(self) -> Tensor<E> {
        self.value
    }

    /// The shape of the value.
    #[inline]
    pub fn shape(&self) -> Shape {
        self.value.shape()
    }

    /// The sizes of the value's axes.
    #[inline]
    pub fn dims(&self) -> &[usize] {
        self.value.dims()
    }

    /// Whether gradients flow into it.
    #[inline]
    pub fn is_tracked(&self) -> bool {
        self.origin.is_some()
    }

    /// The same value as a constant.
    pub fn detach(&self) -> Self {
        Self::constant(self.value.clone())
    }

    /// Splits into the value and its source, so that an op can reuse the value's buffer.
    pub(crate) fn into_parts(self) -> (Tensor<E>, Source<E>) {
        let shape = self.shape();
        (self.value, Source { origin: self.origin, shape })
    }

    pub(crate) fn origin(&self) -> Option<&Origin<E>> {
        self.origin.as_ref()
    }
}

impl<E: Float> From<Tensor<E>> for Var<E> {
    fn from(value: Tensor<E>) -> Self {
        Self::constant(value)
    }
}

impl<E: Float> fmt::Debug for Var<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Var({:?}{})", self.value, if self.is_tracked() { ", tracked" } else { "" })
    }
}

/// A variable without its value.
pub(crate) struct Source<E: Float> {
    origin: Option<Origin<E>>,
    shape: Shape,
}

/// An op being recorded: its value, then one derivative per input.
///
/// ```
/// use autograd::{Op, Tape, Var};
/// use tensor::Tensor;
///
/// /// x³, with d/dx x³ = 3x².
/// fn cube(x: &Var) -> Var {
///     let saved = x.value().clone();
///     Op::new("cube", &saved.square() * &saved)
///         .wrt(x, move |g| g * &(saved.square() * 3.0))
///         .record()
/// }
///
/// let tape = Tape::new();
/// let x = tape.leaf(Tensor::scalar(2.0));
/// let gradients = tape.backward(&cube(&x));
/// assert_eq!(gradients.get(&x).unwrap().item(), 12.0);
/// ```
///
/// Closures are `Send`, which keeps variables out of them: a captured variable would keep its own tape alive.
#[must_use = "an op is recorded by `record`"]
pub struct Op<E: Float = f32> {
    name: &'static str,
    value: Tensor<E>,
    tape: Option<Tape<E>>,
    partials: Vec<Partial<E>>,
    place: Option<Place>,
}

impl<E: Float> fmt::Debug for Op<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Op({}, {:?})", self.name, self.value)
    }
}

impl<E: Float> Op<E> {
    /// An op of this name with this value.
    pub fn new(name: &'static str, value: Tensor<E>) -> Self {
        Self { name, value, tape: None, partials: Vec::new(), place: None }
    }

    /// The derivative with respect to `input`: maps the output's gradient g to the input's, which may still have the
    /// axes along which the input was broadcast. An untracked input drops the closure, and with it all that it saved.
    ///
    /// # Panics
    /// If inputs were recorded on different tapes, or before a backward pass, which has consumed their record.
    #[track_caller]
    pub fn wrt(
        self,
        input: &Var<E>,
        vjp: impl FnOnce(Tensor<E>) -> Tensor<E> + Send + 'static,
    ) -> Self {
        self.derive(input.origin.as_ref(), input.shape(), vjp)
    }

    /// [`Op::wrt`] for an input whose value was moved into the op.
    #[track_caller]
    pub(crate) fn wrt_source(
        self,
        input: &Source<E>,
        vjp: impl FnOnce(Tensor<E>) -> Tensor<E> + Send + 'static,
    ) -> Self {
        self.derive(input.origin.as_ref(), input.shape, vjp)
    }

    #[track_caller]
    fn derive(
        mut self,
        origin: Option<&Origin<E>>,
        shape: Shape,
        vjp: impl FnOnce(Tensor<E>) -> Tensor<E> + Send + 'static,
    ) -> Self {
        if let Some(origin) = origin {
            let id = self.join(origin, shape);
            self.partials.push(Partial::One(id, Box::new(vjp)));
        }
        self
    }

    /// The derivatives with respect to several inputs whose computation shares work.
    ///
    /// # Panics
    /// As [`Op::wrt`].
    #[track_caller]
    pub fn wrt_all<const N: usize>(
        mut self,
        inputs: [&Var<E>; N],
        vjp: impl FnOnce(Tensor<E>) -> [Tensor<E>; N] + Send + 'static,
    ) -> Self {
        if inputs.iter().any(|input| input.is_tracked()) {
            let mut ids = Vec::with_capacity(N);
            for input in inputs {
                let mut id = None;
                if let Some(origin) = input.origin() {
                    id = Some(self.join(origin, input.shape())); // here, for the caller's line
                }
                ids.push(id);
            }
            self.partials.push(Partial::Joint(ids, Box::new(move |g| vjp(g).into())));
        }
        self
    }

    /// Takes an input in, and returns its number.
    #[track_caller]
    fn join(&mut self, origin: &Origin<E>, shape: Shape) -> usize {
        let tape = &origin.tape;
        match &self.tape {
            Some(own) => {
                assert!(own.same(tape), "{}: inputs recorded on different tapes", self.name);
            }
            None => {
                self.place = Some(tape.here());
                self.tape = Some(tape.clone());
            }
        }
        tape.number(origin, shape, self.name)
    }

    /// The output, recorded if any input was.
    ///
    /// # Panics
    /// If backward has consumed the record of the inputs since they were named.
    #[track_caller]
    pub fn record(self) -> Var<E> {
        let Self { name, value, tape, partials, place } = self;
        profile::end(name, Kind::Forward);
        let (Some(tape), Some(place)) = (tape, place) else { return Var::constant(value) };
        let node = Node { op: name, shape: value.shape(), partials, place };
        let id = tape.push_op(node, &value);
        Var::tracked(value, Origin { tape, id, op: Some(name) })
    }
}
