//! The arena of parameters, and the scopes in which layers make them.

use std::sync::atomic::{AtomicU64, Ordering};

use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use tensor::{Float, Shape, Tensor};

/// The place of a parameter in its arena, and which parameter it is: another arena, whose parameters have the same places,
/// refuses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ParamId {
    place: usize,
    identity: Identity,
}

/// What tells a parameter from all others of the program. Copies of an arena, in any precision, hold the same parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Identity(u64);

impl Identity {
    /// One that there was not before. No result depends on the number.
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// The parameters that something was made for, in their order: an optimizer, an average, gradients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Owner(Vec<Identity>);

impl Owner {
    /// Where a parameter stands among these.
    pub(crate) fn place(&self, id: ParamId) -> Option<usize> {
        (self.0.get(id.place) == Some(&id.identity)).then_some(id.place)
    }

    /// Refuses other parameters than these.
    #[track_caller]
    pub(crate) fn check(&self, what: &str, other: &Self) {
        let (ours, theirs) = (self.0.len(), other.0.len());
        if self != other {
            let grown = ours < theirs && other.0.starts_with(&self.0);
            let why = match grown {
                true => "some were added since",
                false => "these are others",
            };
            panic!("{what} of {ours} parameters, used with {theirs}: {why}");
        }
    }
}

/// A named tensor that training changes.
#[derive(Clone, Debug)]
pub struct Param<E: Float = f32> {
    /// Dotted path of scopes, as PyTorch would name it: `blocks.0.attn.qkv.weight`.
    pub name: String,
    /// The value.
    pub value: Tensor<E>,
    /// Whether weight decay applies: to matrices of layers, not to biases, norms, tokens, tables and frequencies.
    pub decay: bool,
    /// Whether gradients are computed and the optimizer changes it.
    pub trainable: bool,
    /// By what the learning rate is multiplied for it: 1, unless it is set. As a parameter group of PyTorch's with a rate of its own.
    pub rate: f64,
    identity: Identity,
}

/// All parameters of a model, in the order in which its layers made them. Layers hold [`ParamId`]s only, so optimizer,
/// checkpoint, average and summary are loops over this arena.
#[derive(Clone, Debug, Default)]
pub struct Params<E: Float = f32> {
    entries: Vec<Param<E>>,
}

impl Params {
    /// An empty arena.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<E: Float> Params<E> {
    /// The parameters in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Param<E>> {
        self.entries.iter()
    }

    /// The parameters in order, to be changed.
    pub fn iter_mut(&mut self) -> impl ExactSizeIterator<Item = &mut Param<E>> {
        self.entries.iter_mut()
    }

    /// The number of parameters (tensors).
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The number of elements of all parameters.
    pub fn elements(&self) -> usize {
        self.entries.iter().map(|param| param.value.len()).sum()
    }

    /// A parameter of this arena.
    ///
    /// # Panics
    /// If it is one of another arena, which is no copy of this one.
    #[track_caller]
    pub fn get(&self, id: ParamId) -> &Param<E> {
        &self.entries[self.place(id)]
    }

    /// A parameter of this arena, to be changed.
    ///
    /// # Panics
    /// As [`Params::get`].
    #[track_caller]
    pub fn get_mut(&mut self, id: ParamId) -> &mut Param<E> {
        let place = self.place(id);
        &mut self.entries[place]
    }

    /// Where a parameter stands.
    #[track_caller]
    pub(crate) fn place(&self, id: ParamId) -> usize {
        let found = self.entries.get(id.place);
        if found.is_none_or(|param| param.identity != id.identity) {
            let count = self.len();
            let instead = found.map_or("none".to_owned(), |param| format!("`{}`", param.name));
            panic!(
                "params: a parameter of another arena, number {} there; of the {count} here that is {instead}",
                id.place
            );
        }
        id.place
    }

    /// Which parameters these are.
    pub(crate) fn owner(&self) -> Owner {
        Owner(self.entries.iter().map(|param| param.identity).collect())
    }

    /// The parameter of this name.
    pub fn by_name(&self, name: &str) -> Option<&Param<E>> {
        self.entries.iter().find(|param| param.name == name)
    }

    /// The name of the parameter that a tape's marker stands for.
    pub fn name_of_marker(&self, marker: usize) -> Option<&str> {
        self.entries.get(marker).map(|param| param.name.as_str())
    }

    /// The same parameters in another precision: `params.cast::<f64>()` turns a model into its double-precision twin.
    pub fn cast<F: Float>(&self) -> Params<F> {
        let cast = |param: &Param<E>| Param {
            name: param.name.clone(),
            value: param.value.cast(),
            decay: param.decay,
            trainable: param.trainable,
            rate: param.rate,
            identity: param.identity,
        };
        Params { entries: self.entries.iter().map(cast).collect() }
    }
}

/// How a new parameter is filled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fill {
    /// 0.
    Zeros,
    /// 1.
    Ones,
    /// Uniform in [−bound, bound).
    Uniform(f64),
    /// Normal with mean 0 and this standard deviation.
    Normal(f64),
    /// Normal with mean 0 and this standard deviation, cut at two of them.
    TruncatedNormal(f64),
}

/// Makes parameters under a path of scopes. A parameter's first value is a function of the seed and of its name alone,
/// so that adding a layer leaves all others as they were.
#[derive(Debug)]
pub struct Init<'a> {
    params: &'a mut Params,
    path: String,
    seed: u64,
}

impl<'a> Init<'a> {
    /// Makes parameters in `params`, at the top level.
    pub fn new(params: &'a mut Params, seed: u64) -> Self {
        Self { params, path: String::new(), seed }
    }

    /// Makes parameters under one more name.
    pub fn scope(&mut self, name: impl std::fmt::Display) -> Init<'_> {
        let path = self.name_of(name);
        Init { params: self.params, path, seed: self.seed }
    }

    /// A name under the path.
    fn name_of(&self, name: impl std::fmt::Display) -> String {
        if self.path.is_empty() { name.to_string() } else { format!("{}.{name}", self.path) }
    }

    /// A new parameter.
    ///
    /// # Panics
    /// If the name is taken, or if a size is 0 or their product too large.
    #[track_caller]
    pub fn param(
        &mut self,
        name: &str,
        shape: impl AsRef<[usize]>,
        fill: Fill,
        decay: bool,
    ) -> ParamId {
        let dims = shape.as_ref();
        let found = || format!("parameter `{}`: {dims:?}", self.name_of(name));
        assert!(!dims.contains(&0), "{}, sizes of at least 1 expected", found());
        let Some(shape) = Shape::try_new(dims) else { panic!("{} is too large", found()) };
        let value = |rng: &mut ChaCha8Rng| match fill {
            Fill::Zeros => Tensor::zeros(shape),
            Fill::Ones => Tensor::ones(shape),
            Fill::Uniform(bound) => Tensor::uniform(shape, -bound, bound, rng),
            Fill::Normal(std) => Tensor::normal(shape, 0.0, std, rng),
            Fill::TruncatedNormal(std) => Tensor::truncated_normal(shape, std, rng),
        };
        self.given(name, value, decay)
    }

    /// A new parameter of any value, which a generator of its own may help to make.
    ///
    /// # Panics
    /// If the name is taken.
    #[track_caller]
    pub fn given(
        &mut self,
        name: &str,
        value: impl FnOnce(&mut ChaCha8Rng) -> Tensor,
        decay: bool,
    ) -> ParamId {
        let name = self.name_of(name);
        assert!(self.params.by_name(&name).is_none(), "parameter `{name}` exists already");
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(fnv1a(&name));
        let value = value(&mut rng);
        let (place, identity) = (self.params.len(), Identity::new());
        self.params.entries.push(Param {
            name,
            value,
            decay,
            trainable: true,
            rate: 1.0,
            identity,
        });
        ParamId { place, identity }
    }

    /// Excludes a parameter from training.
    ///
    /// # Panics
    /// If it is one of another arena.
    #[track_caller]
    pub fn freeze(&mut self, id: ParamId) {
        self.params.get_mut(id).trainable = false;
    }
}

/// The 64-bit FNV-1a hash: a stable number for a name.
fn fnv1a(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_paths_and_values_depend_on_seed_and_name_only() {
        let (mut one, mut two) = (Params::new(), Params::new());
        let weight = |init: &mut Init<'_>| {
            init.scope("b").scope(0).param("weight", [3], Fill::Normal(1.0), true)
        };
        weight(&mut Init::new(&mut one, 5));
        let mut init = Init::new(&mut two, 5);
        init.param("first", [2], Fill::Ones, false);
        weight(&mut init);
        let find =
            |params: &Params| params.by_name("b.0.weight").expect("made above").value.clone();
        assert_eq!(find(&one), find(&two));
        assert_eq!((two.len(), two.elements()), (2, 5));
        assert_eq!(
            two.cast::<f64>().cast::<f32>().by_name("b.0.weight").map(|p| p.value.clone()),
            Some(find(&one))
        );
    }

    #[test]
    #[should_panic(expected = "parameter `w` exists already")]
    fn a_name_is_given_once() {
        let mut params = Params::new();
        let mut init = Init::new(&mut params, 0);
        init.param("w", [1], Fill::Zeros, true);
        init.param("w", [1], Fill::Zeros, true);
    }
}
