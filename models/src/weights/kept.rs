//! How other libraries keep a parameter.

use tensor::{Float, Tensor};

/// How a parameter of ours is kept in a file of another library: under which names, and how it lies there.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    names: Vec<String>,
    layout: Layout,
    queries: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    Same,
    /// A matrix as [in, out].
    Transposed,
    /// Without our first axis, which is 1.
    Squeezed,
}

impl Kept {
    /// As it is, under this name.
    pub fn same(name: String) -> Self {
        Self::joined(vec![name])
    }

    /// In equal parts along its first axis, each under a name.
    pub fn joined(names: Vec<String>) -> Self {
        Self { names, layout: Layout::Same, queries: 1.0 }
    }

    /// The matrix as [in, out].
    pub fn transposed(self) -> Self {
        Self { layout: Layout::Transposed, ..self }
    }

    /// Without the first axis, which is 1.
    pub fn squeezed(self) -> Self {
        Self { layout: Layout::Squeezed, ..self }
    }

    /// The first third of our rows is theirs times this factor.
    pub fn queries_by(self, factor: f64) -> Self {
        Self { queries: factor, ..self }
    }

    /// Their names.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Ours of theirs, which have the shapes that [`theirs`](Self::theirs) gives.
    pub(crate) fn ours<E: Float>(&self, parts: &[Tensor<E>]) -> Tensor<E> {
        let whole = Tensor::concat(&parts.iter().collect::<Vec<_>>(), 0);
        self.scaled(match self.layout {
            Layout::Same => whole,
            Layout::Transposed => whole.transpose(0, 1).contiguous(),
            Layout::Squeezed => whole.unsqueeze(0),
        })
    }

    /// Theirs in the place of ours: shapes, and values of a gradient. (Where queries have a factor, that of the gradient is the
    /// same and not its inverse.)
    pub fn theirs<E: Float>(&self, ours: &Tensor<E>) -> Vec<(String, Tensor<E>)> {
        let ours = self.scaled(ours.clone());
        let whole = match self.layout {
            Layout::Same => ours,
            Layout::Transposed => ours.transpose(0, 1).contiguous(),
            Layout::Squeezed => ours.squeeze(0),
        };
        let rows = |whole: &Tensor<E>| whole.dim(0) / self.names.len();
        let part = |(i, name): (usize, &String)| match self.names.len() {
            1 => (name.clone(), whole.clone()),
            _ => (name.clone(), whole.narrow(0, i * rows(&whole), rows(&whole)).contiguous()),
        };
        self.names.iter().enumerate().map(part).collect()
    }

    fn scaled<E: Float>(&self, x: Tensor<E>) -> Tensor<E> {
        if self.queries == 1.0 {
            return x;
        }
        let third = x.dim(0) / 3;
        let queries = x.narrow(0, 0, third).scale(E::from_f64(self.queries));
        Tensor::concat(&[&queries, &x.narrow(0, third, 2 * third)], 0)
    }
}
