//! What an op is called with besides its variables: axes, indices, masks.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use tensor::{Float, Shape, Tensor};

use super::case::Case;
use crate::Var;

/// Draws the other arguments of an op. It starts from the seed of the case at every call, so that all calls, in both
/// precisions, get the same; and it draws from the shapes at hand, so that it stays valid while a case shrinks.
#[derive(Debug)]
pub struct Pick<'a> {
    case: &'a Case,
    rng: ChaCha8Rng,
}

impl<'a> Pick<'a> {
    pub(crate) fn new(case: &'a Case) -> Self {
        Self { case, rng: ChaCha8Rng::seed_from_u64(case.seed() ^ 0xa46) }
    }

    /// The case.
    pub fn case(&self) -> &'a Case {
        self.case
    }

    /// A number below `n`.
    ///
    /// # Panics
    /// If `n` is 0.
    #[track_caller]
    pub fn below(&mut self, n: usize) -> usize {
        self.rng.random_range(0..n)
    }

    /// Yes or no.
    pub fn coin(&mut self) -> bool {
        self.rng.random()
    }

    /// One of the axes of `x`, counted from either end.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn axis<E: Float>(&mut self, x: &Var<E>) -> isize {
        let rank = x.shape().rank();
        let axis = self.below(rank) as isize;
        if self.coin() { axis - rank as isize } else { axis }
    }

    /// Some of the axes of `x`, or none or all.
    pub fn axes<E: Float>(&mut self, x: &Var<E>) -> Vec<isize> {
        let rank = x.shape().rank() as isize;
        (0..rank).filter(|_| self.coin()).collect()
    }

    /// The numbers below `n`, in any order.
    pub fn order(&mut self, n: usize) -> Vec<isize> {
        let mut order: Vec<isize> = (0..n as isize).collect();
        (1..n).for_each(|i| order.swap(i, self.below(i + 1)));
        order
    }

    /// `count` indices below `n`, some of them several times.
    ///
    /// # Panics
    /// If `n` is 0 and `count` is not.
    #[track_caller]
    pub fn indices(&mut self, count: usize, n: usize) -> Vec<usize> {
        (0..count).map(|_| self.below(n)).collect()
    }

    /// Numbers from −1 to 1, which single precision has too.
    pub fn values<E: Float>(&mut self, shape: impl Into<Shape>) -> Tensor<E> {
        let mut value = || f64::from(self.rng.random_range(-1.0f32..1.0));
        Tensor::from_fn(shape, |_| E::from_f64(value()))
    }

    /// A mask of zeros and ones.
    pub fn mask<E: Float>(&mut self, shape: impl Into<Shape>) -> Tensor<E> {
        Tensor::from_fn(shape, |_| if self.coin() { E::ONE } else { E::ZERO })
    }

    /// A mask to add to scores, of small numbers and −∞; the first place of each row is never hidden.
    pub fn hiding_mask<E: Float>(&mut self, shape: impl Into<Shape>) -> Tensor<E> {
        let shape = shape.into();
        let row = shape.last().copied().unwrap_or(1).max(1);
        Tensor::from_fn(shape, |i| {
            let (hidden, small) = (self.coin(), E::from_f64(self.below(8) as f64 / 8.0));
            if hidden && i % row != 0 { -E::INFINITY } else { small }
        })
    }
}
