//! Keys and values of the tokens so far, for decoding a few tokens at a time.

use autograd::{Attention, Var, attention, rotate};
use tensor::{Float, Tensor};

use crate::Context;

/// Room for the keys and values of one attention: [B, H, N, d] each, of which the first places are filled.
#[derive(Clone, Debug)]
pub struct KeyValues<E: Float = f32> {
    keys: Tensor<E>,
    values: Tensor<E>,
    len: usize,
}

impl<E: Float> KeyValues<E> {
    /// Room for `places` tokens of a batch.
    pub fn new(batch: usize, heads: usize, places: usize, head_dim: usize) -> Self {
        let room = || Tensor::zeros([batch, heads, places, head_dim]);
        Self { keys: room(), values: room(), len: 0 }
    }

    /// The number of tokens so far.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Goes on with these sequences of the batch, which may repeat: those that a search has kept.
    ///
    /// # Panics
    /// If one is not in the batch.
    #[track_caller]
    pub fn select(&mut self, sequences: &[usize]) {
        self.keys = self.keys.gather(0, sequences);
        self.values = self.values.gather(0, sequences);
    }

    /// Refuses tokens x [B, n, H·d] that cannot be added.
    #[track_caller]
    pub(crate) fn expect(&self, cx: &Context<'_, E>, x: &Var<E>) {
        let &[batch, heads, places, width] = self.keys.dims() else { unreachable!("[B, H, N, d]") };
        let dim = heads * width;
        let &[b, count, d] = x.dims() else {
            panic!("key/value cache: [{batch}, n, {dim}] expected, found {}", x.shape())
        };
        let fits = [b, d] == [batch, dim];
        assert!(fits, "key/value cache: [{batch}, n, {dim}] expected, found {}", x.shape());
        assert!(
            count <= places - self.len,
            "key/value cache: no room for {count} more of {places} tokens, of which there are {}",
            self.len
        );
        assert!(
            !cx.records() && !x.is_tracked(),
            "key/value cache: no gradients are kept of keys and values, and this pass records; decode in one of evaluation"
        );
    }

    /// Adds the keys and values [B, H, n, d] of the next n tokens, and lets the query of each look at the tokens so far up to
    /// itself: [B, n, H·d]. `options` is that of the whole sequence, of which these tokens' angles and their rows of the mask
    /// are used.
    #[track_caller]
    pub(crate) fn attend(&mut self, [q, k, v]: [&Var<E>; 3], options: &Attention<E>) -> Var<E> {
        let &[batch, heads, count, width] = q.dims() else { unreachable!("split into heads") };
        let (at, end) = (self.len, self.len + count);
        if count == 0 {
            return Var::constant(Tensor::zeros([batch, 0, heads * width]));
        }
        let turned = |x: &Var<E>, i: usize| match &options.angles {
            Some(angles) => rotate(x, &part(&angles[i], 2, at, count)),
            None => x.clone(),
        };
        let (q, k) = (turned(q, 0), turned(k, 1));
        put(&mut self.keys, k.value(), at);
        put(&mut self.values, v.value(), at);
        self.len = end;
        let seen = |x: &Tensor<E>| Var::constant(x.narrow(2, 0, end));
        let mut mask = options.mask.as_ref().map(|mask| part(&part(mask, 2, at, count), 1, 0, end));
        if count > 1 {
            let hides = |i: usize| i % end > at + i / end;
            let future = |i| if hides(i) { -E::INFINITY } else { E::ZERO };
            let future = Var::constant(Tensor::from_fn([count, end], future));
            mask = Some(mask.map_or(future.clone(), |mask| mask.add(&future)));
        }
        let options = Attention { causal: false, mask, angles: None };
        attention(&q, &seen(&self.keys), &seen(&self.values), &options)
    }
}

/// Places `start..start + count` of the axis that is the `from_end`th from the last one; all of x if it broadcasts there.
#[track_caller]
pub(super) fn part<E: Float>(x: &Var<E>, from_end: usize, start: usize, count: usize) -> Var<E> {
    match x.shape().rank().checked_sub(from_end) {
        Some(axis) if x.dims()[axis] > 1 => x.narrow(axis as isize, start, count),
        _ => x.clone(),
    }
}

/// Writes x [B, H, n, d] to the places from `at` on of `room` [B, H, N, d].
fn put<E: Float>(room: &mut Tensor<E>, x: &Tensor<E>, at: usize) {
    let (places, width) = (room.dims()[2], room.dims()[3]);
    let new = x.dims()[2] * width;
    let rows = x.to_vec();
    let pairs = rows.chunks(new.max(1)).zip(room.data_mut().chunks_mut((places * width).max(1)));
    for (row, to) in pairs {
        to[at * width..at * width + new].copy_from_slice(row);
    }
}
