//! The tape: nodes in the order of their creation, read backwards once.
//!
//! Creation order is topological, so there is no search, no hash map and no recursion. A node holds one closure per
//! partial derivative; what a closure captured *is* what the op saved, and is freed as soon as the closure has run.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;

use tensor::{Float, Shape, Tensor};

use crate::Var;
use crate::profile::{self, Kind};
use crate::var::Origin;

/// Maps the gradient of an op's output to the gradient of one input.
pub(crate) type Vjp<E> = Box<dyn FnOnce(Tensor<E>) -> Tensor<E> + Send>;
/// Maps the gradient of an op's output to the gradients of several inputs.
pub(crate) type JointVjp<E> = Box<dyn FnOnce(Tensor<E>) -> Vec<Tensor<E>> + Send>;

pub(crate) enum Partial<E: Float> {
    One(usize, Vjp<E>),
    Joint(Vec<Option<usize>>, JointVjp<E>),
}

impl<E: Float> Partial<E> {
    /// The gradients of the inputs, and their numbers.
    fn apply(self, g: Tensor<E>) -> impl Iterator<Item = (usize, Tensor<E>)> {
        let (inputs, gradients) = match self {
            Partial::One(input, vjp) => (vec![Some(input)], vec![vjp(g)]),
            Partial::Joint(inputs, vjp) => (inputs, vjp(g)),
        };
        inputs.into_iter().zip(gradients).filter_map(|(input, g)| Some((input?, g)))
    }
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
    /// The first node of the record that it belongs to.
    first: usize,
}

/// The record of one forward pass. Cloning copies the handle; a tape belongs to one thread.
///
/// Backward consumes the record. Nodes are numbered on from there, so what was computed before is never taken for
/// something that was recorded since: an op that meets it panics. Leaves stay usable, and enter the next record at their
/// first use.
///
/// ```
/// use autograd::Tape;
/// use tensor::Tensor;
///
/// let tape: Tape = Tape::new();
/// let (x, w) = (tape.leaf(Tensor::scalar(2.0)), tape.leaf(Tensor::scalar(5.0)));
/// tape.backward(&x.mul(&w));
/// let gradients = tape.backward(&w.scale(3.0).add(&x.square()));
/// assert_eq!(gradients.get(&w).unwrap().item(), 3.0);
/// assert_eq!(gradients.get(&x).unwrap().item(), 4.0);
/// ```
#[derive(Clone)]
pub struct Tape<E: Float = f32> {
    inner: Rc<Inner<E>>,
}

struct Inner<E: Float> {
    nodes: RefCell<Vec<Node<E>>>,
    /// The number of the first of `nodes`; all before it are consumed.
    first: Cell<usize>,
    /// Leaves of consumed records that this one uses, and the nodes that stand for them.
    renewed: RefCell<BTreeMap<usize, usize>>,
    /// Held by gradients too, which may live on another thread.
    identity: Arc<()>,
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
        let inner = Inner {
            nodes: RefCell::default(),
            first: Cell::default(),
            renewed: RefCell::default(),
            identity: Arc::default(),
            marker: Cell::default(),
            detects,
            anomaly: RefCell::default(),
        };
        Self { inner: Rc::new(inner) }
    }

    /// A variable to differentiate by.
    #[track_caller]
    pub fn leaf(&self, value: Tensor<E>) -> Var<E> {
        let place = self.here();
        let id = self.push_leaf(value.shape(), place);
        self.look("leaf", &value, place, false);
        Var::tracked(value, Origin { tape: self.clone(), id, op: None })
    }

    fn push_leaf(&self, shape: Shape, place: Place) -> usize {
        self.push(Node { op: "leaf", shape, partials: Vec::new(), place })
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
        let first = self.inner.first.get();
        let view = |node: &Node<E>| {
            let inputs = node.partials.iter().flat_map(|partial| match partial {
                Partial::One(input, _) => vec![input - first],
                Partial::Joint(inputs, _) => {
                    inputs.iter().flatten().map(|input| input - first).collect()
                }
            });
            let (op, shape, marker) = (node.op, node.shape, node.place.marker);
            NodeView { op, shape, inputs: inputs.collect(), marker }
        };
        self.inner.nodes.borrow().iter().map(view).collect()
    }

    #[track_caller]
    pub(crate) fn here(&self) -> Place {
        let (marker, first) = (self.inner.marker.get(), self.inner.first.get());
        Place { marker, location: Location::caller(), first }
    }

    pub(crate) fn same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.inner, &other.inner)
    }

    /// Adds a node, and returns its number.
    fn push(&self, node: Node<E>) -> usize {
        let mut nodes = self.inner.nodes.borrow_mut();
        nodes.push(node);
        self.inner.first.get() + nodes.len() - 1
    }

    /// Adds the node of an op, and returns its number.
    #[track_caller]
    pub(crate) fn push_op(&self, node: Node<E>, value: &Tensor<E>) -> usize {
        let (op, place) = (node.op, node.place);
        let is_current = place.first == self.inner.first.get();
        assert!(is_current, "{op}: backward has consumed the record of its inputs");
        self.look(op, value, place, false);
        self.push(node)
    }

    /// The number under which `reader` finds a variable of this shape in the record: its own, or, for a leaf of a record
    /// that backward has consumed, that of the leaf that stands for it.
    #[track_caller]
    pub(crate) fn number(&self, origin: &Origin<E>, shape: Shape, reader: &str) -> usize {
        if origin.id >= self.inner.first.get() {
            return origin.id;
        }
        if let Some(op) = origin.op {
            panic!(
                "{reader}: the output of {op} {shape} was recorded before a backward pass, which has consumed its \
                 record; compute it again"
            );
        }
        let renewed = self.inner.renewed.borrow().get(&origin.id).copied();
        renewed.unwrap_or_else(|| {
            let id = self.push_leaf(shape, self.here());
            self.inner.renewed.borrow_mut().insert(origin.id, id);
            id
        })
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
    /// If `cotangent` has not the output's shape, or if the output is a constant, was recorded elsewhere or consumed
    /// already. The record is kept then.
    #[track_caller]
    pub fn backward_with(&self, output: &Var<E>, cotangent: Tensor<E>) -> Gradients<E> {
        let (expected, found) = (output.shape(), cotangent.shape());
        assert!(
            expected == found,
            "backward: a cotangent of shape {found} for an output of shape {expected}"
        );
        let Some(origin) = output.origin() else {
            panic!("backward: the output {expected} is a constant, which depends on no leaf");
        };
        let is_own = origin.tape.same(self);
        assert!(is_own, "backward: the output {expected} was recorded on another tape");
        let id = self.number(origin, expected, "backward");

        let mut nodes = self.inner.nodes.take();
        let first = self.inner.first.replace(self.inner.first.get() + nodes.len());
        let renewed = self.inner.renewed.take();
        nodes.truncate(id - first + 1);
        let shapes: Vec<Shape> = nodes.iter().map(|node| node.shape).collect();
        let mut by_node: Vec<Option<Tensor<E>>> = vec![None; nodes.len()];
        by_node[id - first] = Some(cotangent);
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
                for (input, g) in partial.apply(g) {
                    let g = unbroadcast(op, g, shapes[input - first], place);
                    self.look(op, &g, place, true);
                    accumulate(&mut by_node[input - first], g);
                }
            }
            profile::end(op, Kind::Backward);
        }
        Gradients { by_node, first, renewed, tape: Arc::clone(&self.inner.identity) }
    }

    /// [`Tape::backward_with`] for a scalar, with cotangent 1.
    ///
    /// # Panics
    /// If the output has not one element, or as [`Tape::backward_with`].
    #[track_caller]
    pub fn backward(&self, output: &Var<E>) -> Gradients<E> {
        let shape = output.shape();
        assert!(shape.elements() == 1, "backward: a scalar expected, found {shape}");
        self.backward_with(output, Tensor::ones(output.shape()))
    }
}

/// Sums a gradient over the axes along which its input was broadcast. Done here once, so that no op does it.
#[track_caller]
fn unbroadcast<E: Float>(op: &str, g: Tensor<E>, shape: Shape, place: Place) -> Tensor<E> {
    let found = g.shape();
    if found == shape {
        return g;
    }
    assert!(
        found.broadcast(shape) == Some(found),
        "{op}: gradient of shape {found} for a value of shape {shape}, recorded at {}",
        place.location
    );
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
    /// The number of the first node, and the nodes that stood for leaves before it.
    first: usize,
    renewed: BTreeMap<usize, usize>,
    tape: Arc<()>,
}

impl<E: Float> Gradients<E> {
    /// The gradient with respect to a leaf; `None` if the output does not depend on it.
    ///
    /// # Panics
    /// If the variable is the output of an op, of which no gradient is kept, or of another tape.
    #[track_caller]
    pub fn get(&self, leaf: &Var<E>) -> Option<&Tensor<E>> {
        self.by_node.get(self.place(leaf)?)?.as_ref()
    }

    /// [`Gradients::get`], taken out.
    ///
    /// # Panics
    /// As [`Gradients::get`].
    #[track_caller]
    pub fn take(&mut self, leaf: &Var<E>) -> Option<Tensor<E>> {
        let place = self.place(leaf)?;
        self.by_node.get_mut(place)?.take()
    }

    #[track_caller]
    fn place(&self, leaf: &Var<E>) -> Option<usize> {
        let (origin, shape) = (leaf.origin()?, leaf.shape());
        let is_own = Arc::ptr_eq(&self.tape, &origin.tape.inner.identity);
        assert!(is_own, "gradients: the variable {shape} was recorded on another tape");
        if let Some(op) = origin.op {
            panic!("gradients: none is kept of the output of {op} {shape}, only those of leaves");
        }
        let number = match origin.id >= self.first {
            true => origin.id,
            false => *self.renewed.get(&origin.id)?,
        };
        Some(number - self.first)
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
    fn a_record_counts_once_and_leaves_stay_usable() {
        let tape: Tape<f64> = Tape::new();
        let (x, w) = (tape.leaf(Tensor::scalar(2.0)), tape.leaf(Tensor::scalar(5.0)));
        let get = |gradients: &Gradients<f64>| [&x, &w].map(|leaf| gradients.get(leaf).cloned());
        let one = tape.backward(&x.mul(&w));
        assert_eq!(get(&one), [5.0, 2.0].map(|g| Some(Tensor::scalar(g))));
        for _ in 0..3 {
            let (d, e) = (w.scale(3.0), x.scale(2.0));
            let unused = e.exp();
            let both = tape.backward(&d.add(&e));
            assert_eq!(get(&both), [2.0, 3.0].map(|g| Some(Tensor::scalar(g))));
            assert!(tape.is_empty());
            let of_w = tape.backward(&w.mul(&unused.detach()).add(&w));
            assert_eq!(get(&of_w), [None, Some(Tensor::scalar(4f64.exp() + 1.0))]);
        }
        // A leaf itself, and one that is made between two records.
        assert_eq!(tape.backward(&x).get(&x).map(Tensor::item), Some(1.0));
        let v = tape.leaf(Tensor::scalar(7.0));
        let all = tape.backward(&v.mul(&x).mul(&x));
        assert_eq!(
            (get(&all)[0].clone(), get(&one)[1].clone()),
            (Some(Tensor::scalar(28.0)), Some(Tensor::scalar(2.0)))
        );
        assert_eq!((all.get(&v).map(Tensor::item), one.get(&v)), (Some(4.0), None));
    }

    /// The message of the panic of `f`.
    fn refusal(f: impl FnOnce()) -> String {
        crate::check::catching(f).expect_err("refused")
    }

    #[test]
    fn what_backward_has_consumed_is_refused_wherever_it_is_used() {
        let tape: Tape = Tape::new();
        let x = tape.leaf(Tensor::ones([2]));
        let y = x.exp();
        let held = crate::Op::new("held", y.value().clone()).wrt(&y, |g| g);
        tape.backward(&y.sum_all());
        let uses: [(&str, &dyn Fn()); 4] = [
            ("mul", &|| drop(x.mul(&y))),
            ("add", &|| drop(y.clone() + &x)),
            ("matmul", &|| drop(y.reshape([1, 2]).matmul(&x.reshape([2, 1])))),
            ("backward", &|| drop(tape.backward_with(&y, Tensor::ones([2])))),
        ];
        for (op, stale) in uses {
            let message = refusal(stale);
            let op = if op == "matmul" { "reshape" } else { op };
            let expected =
                format!("{op}: the output of exp [2] was recorded before a backward pass");
            assert!(message.starts_with(&expected), "{message}");
        }
        let message = refusal(|| drop(held.record()));
        assert_eq!(message, "held: backward has consumed the record of its inputs");
    }

    #[test]
    fn backward_of_what_depends_on_no_leaf_is_refused_and_the_record_kept() {
        let tape: Tape = Tape::new();
        let x = tape.leaf(Tensor::scalar(3.0));
        let y = x.square();
        let other: Tape = Tape::new();
        let theirs = other.leaf(Tensor::scalar(1.0)).exp();
        for (output, expected) in [
            (y.detach(), "backward: the output [] is a constant, which depends on no leaf"),
            (theirs, "backward: the output [] was recorded on another tape"),
            (x.reshape([1]).expand([3]), "backward: a scalar expected, found [3]"),
        ] {
            assert_eq!(refusal(|| drop(tape.backward(&output))), expected);
        }
        let gradients = tape.backward(&y);
        assert_eq!(gradients.get(&x).map(Tensor::item), Some(6.0));
    }

    #[test]
    fn gradients_know_their_tape_and_are_those_of_leaves() {
        let [one, two] = [(); 2].map(|()| Tape::<f32>::new());
        let (x, theirs) = (one.leaf(Tensor::scalar(3.0)), two.leaf(Tensor::ones([2])));
        let y = x.square();
        let gradients = one.backward(&y);
        let get = |var: &Var| refusal(|| drop(gradients.get(var).cloned()));
        assert_eq!(get(&theirs), "gradients: the variable [2] was recorded on another tape");
        assert_eq!(
            get(&y),
            "gradients: none is kept of the output of square [], only those of leaves"
        );
        std::thread::spawn(move || drop(gradients)); // they leave their thread, as a shard's do
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
