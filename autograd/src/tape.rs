//! The tape: nodes in the order of their creation, read backwards once.
//!
//! Creation order is topological, so there is no search, no hash map and no recursion. A node holds one closure per
//! partial derivative; what a closure captured *is* what the op saved, and is freed as soon as the closure has run.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::Location;
use std::rc::Rc;

use tensor::{Float, Shape, Tensor};

use crate::Var;
use crate::profile::{self, Kind};

/// Maps the gradient of an op's output to the gradient of one input.
pub(crate) type Vjp<E> = Box<dyn FnOnce(Tensor<E>) -> Tensor<E> + Send>;
/// Maps the gradient of an op's output to the gradients of several inputs.
pub(crate) type JointVjp<E> = Box<dyn FnOnce(Tensor<E>) -> Vec<Tensor<E>> + Send>;

pub(crate) enum Partial<E: Float> {
    One(usize, Vjp<E>),
    Joint(Vec<Option<usize>>, JointVjp<E>),
}

pub(crate) struct Node<E: Float> {
    pub(crate) op: &'static str,
    pub(crate) shape: Shape,
    pub(crate) partials: Vec<Partial<E>>,
    pub(crate) place: Place,
}

/// Where a node was recorded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    marker: Option<usize>,
    location: &'static Location<'static>,
}

/// The record of one forward pass. Cloning copies the handle; a tape belongs to one thread.
#[derive(Clone)]
pub struct Tape<E: Float = f32> {
    inner: Rc<Inner<E>>,
}

struct Inner<E: Float> {
    nodes: RefCell<Vec<Node<E>>>,
    marker: Cell<Option<usize>>,
    detects: bool,
    anomaly: RefCell<Option<Anomaly>>,
}

/// The first value or gradient that is NaN or infinite.
#[derive(Clone, Debug, PartialEq)]
pub struct Anomaly {
    /// The op that made it.
    pub op: &'static str,
    /// The shape of the value or gradient.
    pub shape: Shape,
    /// Whether it is a gradient, made by the op's derivative.
    pub backward: bool,
    /// The last marker set before the op ([`Tape::mark`]): nn marks the parameter that was last used.
    pub marker: Option<usize>,
    /// The line that called the op.
    pub location: String,
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.backward { "gradient through" } else { "value of" };
        write!(f, "{what} {} {} is not finite, recorded at {}", self.op, self.shape, self.location)
    }
}

/// What a tape remembers of an op; see [`Tape::nodes`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeView {
    /// The op; `leaf` for a variable to differentiate by.
    pub op: &'static str,
    /// The shape of its value.
    pub shape: Shape,
    /// The nodes that gradients flow to, by their place on the tape.
    pub inputs: Vec<usize>,
    /// The last marker set before it ([`Tape::mark`]).
    pub marker: Option<usize>,
}

impl<E: Float> Default for Tape<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E: Float> Tape<E> {
    /// An empty tape.
    pub fn new() -> Self {
        Self::with(false)
    }

    /// An empty tape in anomaly mode: every value and gradient is searched for NaN and infinities, and
    /// [`Tape::anomaly`] tells of the first.
    pub fn detecting_anomalies() -> Self {
        Self::with(true)
    }

    fn with(detects: bool) -> Self {
        profile::begin();
        let (nodes, marker) = (RefCell::default(), Cell::default());
        Self { inner: Rc::new(Inner { nodes, marker, detects, anomaly: RefCell::default() }) }
    }

    /// A variable to differentiate by.
    #[track_caller]
    pub fn leaf(&self, value: Tensor<E>) -> Var<E> {
        let node =
            Node { op: "leaf", shape: value.shape(), partials: Vec::new(), place: self.here() };
        let id = self.push(node, &value);
        Var::tracked(value, self.clone(), id)
    }

    /// Marks what follows, until the next mark. An [`Anomaly`] carries the marker of its op.
    pub fn mark(&self, marker: usize) {
        self.inner.marker.set(Some(marker));
    }

    /// The first NaN or infinity so far, in anomaly mode.
    pub fn anomaly(&self) -> Option<Anomaly> {
        self.inner.anomaly.borrow().clone()
    }

    /// The number of nodes.
    pub fn len(&self) -> usize {
        self.inner.nodes.borrow().len()
    }

    /// Whether nothing has been recorded, or backward has consumed it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The nodes in the order of their creation. Constants, which no gradient flows into, are not among them.
    pub fn nodes(&self) -> Vec<NodeView> {
        let view = |node: &Node<E>| {
            let inputs = node.partials.iter().flat_map(|partial| match partial {
                Partial::One(input, _) => vec![*input],
                Partial::Joint(inputs, _) => inputs.iter().flatten().copied().collect(),
            });
            let (op, shape, marker) = (node.op, node.shape, node.place.marker);
            NodeView { op, shape, inputs: inputs.collect(), marker }
        };
        self.inner.nodes.borrow().iter().map(view).collect()
    }

    #[track_caller]
    pub(crate) fn here(&self) -> Place {
        Place { marker: self.inner.marker.get(), location: Location::caller() }
    }

    pub(crate) fn same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.inner, &other.inner)
    }

    pub(crate) fn push(&self, node: Node<E>, value: &Tensor<E>) -> usize {
        self.look(node.op, value, node.place, false);
        let mut nodes = self.inner.nodes.borrow_mut();
        nodes.push(node);
        nodes.len() - 1
    }

    /// In anomaly mode, remembers the first tensor that is not finite.
    fn look(&self, op: &'static str, tensor: &Tensor<E>, place: Place, backward: bool) {
        if !self.inner.detects || self.inner.anomaly.borrow().is_some() {
            return;
        }
        if !tensor.contiguous().data().iter().all(|x| x.is_finite()) {
            let (marker, location) = (place.marker, place.location.to_string());
            let anomaly = Anomaly { op, shape: tensor.shape(), backward, marker, location };
            *self.inner.anomaly.borrow_mut() = Some(anomaly);
        }
    }

    /// The gradients of `output` with respect to all leaves, weighted by `cotangent`: Σᵢ cotangentᵢ · ∂outputᵢ/∂leaf.
    /// Consumes the record; the tape is empty afterwards. The gradients are tensors, not variables: derivatives of
    /// derivatives are not offered, since the derivatives of fused kernels are kernels themselves.
    ///
    /// # Panics
    /// If `cotangent` has not the output's shape, or if the output was recorded elsewhere or consumed already.
    #[track_caller]
    pub fn backward_with(&self, output: &Var<E>, cotangent: Tensor<E>) -> Gradients<E> {
        assert_eq!(cotangent.shape(), output.shape(), "backward: shape of the cotangent");
        let mut nodes = self.inner.nodes.take();
        let Some(id) = output.id_on(self) else {
            return Gradients { by_node: Vec::new() }; // a constant depends on no leaf
        };
        assert!(id < nodes.len(), "backward: the record of this output was consumed already");
        nodes.truncate(id + 1);
        let shapes: Vec<Shape> = nodes.iter().map(|node| node.shape).collect();
        let mut by_node: Vec<Option<Tensor<E>>> = vec![None; nodes.len()];
        by_node[id] = Some(cotangent);
        profile::begin();
        while let Some(Node { op, partials, place, .. }) = nodes.pop() {
            if partials.is_empty() {
                continue; // a leaf keeps its gradient
            }
            let Some(gradient) = by_node[nodes.len()].take() else { continue };
            let mut gradient = Some(gradient);
            let mut left = partials.len();
            for partial in partials {
                left -= 1;
                // The last derivative owns the gradient and may work in place.
                let g = if left == 0 { gradient.take() } else { gradient.clone() };
                let g = g.expect("given away only to the last");
                let mut deliver = |input: usize, g: Tensor<E>| {
                    let g = unbroadcast(op, g, shapes[input]);
                    self.look(op, &g, place, true);
                    accumulate(&mut by_node[input], g);
                };
                match partial {
                    Partial::One(input, vjp) => deliver(input, vjp(g)),
                    Partial::Joint(inputs, vjp) => {
                        let all = inputs.into_iter().zip(vjp(g));
                        all.for_each(|(input, g)| {
                            if let Some(input) = input {
                                deliver(input, g);
                            }
                        });
                    }
                }
            }
            profile::end(op, Kind::Backward);
        }
        Gradients { by_node }
    }

    /// [`Tape::backward_with`] for a scalar, with cotangent 1.
    ///
    /// # Panics
    /// If the output has not one element, or as [`Tape::backward_with`].
    #[track_caller]
    pub fn backward(&self, output: &Var<E>) -> Gradients<E> {
        assert_eq!(
            output.value().len(),
            1,
            "backward: a scalar expected, found {}",
            output.shape()
        );
        self.backward_with(output, Tensor::ones(output.shape()))
    }
}

/// Sums a gradient over the axes along which its input was broadcast. Done here once, so that no op does it.
fn unbroadcast<E: Float>(op: &str, g: Tensor<E>, shape: Shape) -> Tensor<E> {
    if g.shape() == shape {
        return g;
    }
    let broadcasts = g.shape().broadcast(shape) == Some(g.shape());
    assert!(broadcasts, "{op}: gradient of shape {} for a value of shape {shape}", g.shape());
    g.sum_to(shape)
}

/// The first gradient is moved in, later ones are added in place.
fn accumulate<E: Float>(slot: &mut Option<Tensor<E>>, g: Tensor<E>) {
    *slot = Some(match slot.take() {
        None => g,
        Some(sum) => sum + &g,
    });
}

impl<E: Float> fmt::Debug for Tape<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes = self.inner.nodes.borrow();
        f.debug_list()
            .entries(nodes.iter().map(|node| format!("{} {}", node.op, node.shape)))
            .finish()
    }
}

/// The result of a backward pass: a gradient for each leaf that the output depends on.
#[derive(Clone, Debug)]
pub struct Gradients<E: Float = f32> {
    by_node: Vec<Option<Tensor<E>>>,
}

impl<E: Float> Gradients<E> {
    /// The gradient with respect to a leaf; `None` if the output does not depend on it.
    pub fn get(&self, leaf: &Var<E>) -> Option<&Tensor<E>> {
        self.by_node.get(leaf.id()?)?.as_ref()
    }

    /// [`Gradients::get`], taken out.
    pub fn take(&mut self, leaf: &Var<E>) -> Option<Tensor<E>> {
        self.by_node.get_mut(leaf.id()?)?.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_is_used_twice_gets_both_gradients() {
        let tape: Tape<f64> = Tape::new();
        let x = tape.leaf(Tensor::from_vec([2], vec![3.0, -1.0]));
        let y = x.mul(&x).add(&x.scale(10.0)); // dy/dx = 2x + 10
        let gradients = tape.backward_with(&y, Tensor::ones([2]));
        assert_eq!(gradients.get(&x).expect("tracked").to_vec(), [16.0, 8.0]);
        assert!(tape.is_empty(), "backward consumes the record");
    }

    #[test]
    fn a_chain_of_a_hundred_thousand_ops_needs_no_deep_stack() {
        let tape: Tape = Tape::new();
        let x = tape.leaf(Tensor::scalar(1.0));
        let y = (0..100_000).fold(x.clone(), |y, _| y.add_scalar(1.0));
        assert_eq!(tape.backward(&y).get(&x).expect("tracked").item(), 1.0);
        let dropped = (0..100_000).fold(x, |y, _| y.add_scalar(1.0));
        drop((dropped, tape));
    }

    #[test]
    fn constants_record_nothing_and_leaves_that_do_not_matter_get_nothing() {
        let tape: Tape = Tape::new();
        let (x, unused) = (tape.leaf(Tensor::scalar(2.0)), tape.leaf(Tensor::scalar(3.0)));
        let constant = Var::constant(Tensor::scalar(5.0));
        constant.exp().mul(&constant);
        assert_eq!(tape.len(), 2);
        let gradients = tape.backward(&x.mul(&constant));
        assert_eq!(gradients.get(&x).map(Tensor::item), Some(5.0));
        assert!(gradients.get(&unused).is_none() && gradients.get(&constant).is_none());
    }

    #[test]
    fn the_nodes_of_a_tape_name_their_op_shape_and_inputs() {
        let tape: Tape = Tape::new();
        tape.mark(3);
        let x = tape.leaf(Tensor::zeros([2, 1]));
        let y = x.add(&x.exp()).mul(&Tensor::ones([2, 4]).into()); // a constant is no node
        assert_eq!(y.dims(), [2, 4]);
        let nodes: Vec<_> = tape
            .nodes()
            .into_iter()
            .map(|node| (node.op, node.shape.to_string(), node.inputs))
            .collect();
        let expected = [
            ("leaf", "[2, 1]", vec![]),
            ("exp", "[2, 1]", vec![0]),
            ("add", "[2, 1]", vec![0, 1]),
            ("mul", "[2, 4]", vec![2]),
        ];
        assert_eq!(nodes, expected.map(|(op, shape, inputs)| (op, shape.to_owned(), inputs)));
        assert!(tape.nodes().iter().all(|node| node.marker == Some(3)));
    }

    #[test]
    fn anomaly_mode_tells_of_the_first_bad_number_forward_and_backward() {
        let tape: Tape = Tape::detecting_anomalies();
        let x = tape.leaf(Tensor::from_vec([2], vec![0.0, 1.0]));
        tape.mark(7);
        let root = x.sqrt(); // finite, with an infinite slope at 0
        assert_eq!(tape.anomaly(), None);
        tape.backward_with(&root, Tensor::ones([2]));
        let anomaly = tape.anomaly().expect("an infinite gradient");
        assert_eq!((anomaly.op, anomaly.backward, anomaly.marker), ("sqrt", true, Some(7)));
        assert!(
            anomaly.to_string().starts_with("gradient through sqrt [2] is not finite"),
            "{anomaly}"
        );
        assert!(anomaly.location.contains("tape.rs"), "{anomaly}");

        let tape: Tape = Tape::detecting_anomalies();
        let x = tape.leaf(Tensor::scalar(-1.0));
        x.ln().exp();
        let anomaly = tape.anomaly().expect("a logarithm of −1");
        assert_eq!((anomaly.op, anomaly.backward), ("ln", false));
    }

    #[test]
    #[should_panic(expected = "twice: gradient of shape [3] for a value of shape [2]")]
    fn a_derivative_of_the_wrong_shape_is_named() {
        let tape: Tape = Tape::new();
        let x = tape.leaf(Tensor::zeros([2]));
        let y = crate::Op::new("twice", x.value() * 2.0).wrt(&x, |_| Tensor::zeros([3])).record();
        tape.backward_with(&y, Tensor::ones([2]));
    }
}
