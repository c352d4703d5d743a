//! Table of vectors.

use autograd::Var;
use tensor::Float;

use crate::{Context, Fill, Init, ParamId};

/// A learned vector for each of `count` indices. Parameter: `weight` [count, dim], without weight decay.
#[derive(Clone, Debug)]
pub struct Embedding {
    weight: ParamId,
}

impl Embedding {
    /// A table filled with normal numbers of standard deviation 0.02.
    #[track_caller]
    pub fn new(init: &mut Init<'_>, count: usize, dim: usize) -> Self {
        Self::with(init, count, dim, Fill::Normal(0.02))
    }

    /// A table that is filled as told.
    #[track_caller]
    pub fn with(init: &mut Init<'_>, count: usize, dim: usize, fill: Fill) -> Self {
        Self { weight: init.param("weight", [count, dim], fill, false) }
    }

    /// Indices `[n]` → [n, dim].
    ///
    /// # Panics
    /// If an index is not in the table.
    #[track_caller]
    pub fn forward<E: Float>(&self, cx: &Context<'_, E>, indices: &[usize]) -> Var<E> {
        let table = cx.param(self.weight);
        let count = table.dims()[0];
        if let Some(index) = indices.iter().find(|index| **index >= count) {
            let expected = format!("indices below {count}");
            cx.refuse("embedding", self.weight, &expected, index);
        }
        table.gather(0, indices)
    }

    /// The whole table [count, dim], for weight tying.
    #[track_caller]
    pub fn table<E: Float>(&self, cx: &Context<'_, E>) -> Var<E> {
        cx.param(self.weight)
    }
}
