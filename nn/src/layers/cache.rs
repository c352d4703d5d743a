//! Keys and values of the tokens so far, for decoding one token at a time.

use autograd::{Attention, Var, attention, rotate};
use tensor::{Float, Tensor};

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

    /// Adds the key and value [B, H, 1, d] of the next token, and lets its query look at all tokens so far. `options` is that of
    /// the whole sequence, of which this token's angles and its row of the mask are used.
    ///
    /// # Panics
    /// If there is no room left.
    #[track_caller]
    pub(crate) fn attend(&mut self, [q, k, v]: [&Var<E>; 3], options: &Attention<E>) -> Var<E> {
        let at = self.len;
        assert!(at < self.keys.dims()[2], "key/value cache: no room for token {at}");
        let turned = |x: &Var<E>, i: usize| match &options.angles {
            Some(angles) => rotate(x, &angles[i].narrow(-2, at, 1)),
            None => x.clone(),
        };
        let (q, k) = (turned(q, 0), turned(k, 1));
        put(&mut self.keys, k.value(), at);
        put(&mut self.values, v.value(), at);
        self.len += 1;
        let seen = |x: &Tensor<E>| Var::constant(x.narrow(2, 0, at + 1));
        let mask = options.mask.as_ref().map(|mask| mask.narrow(-2, at, 1).narrow(-1, 0, at + 1));
        let options = Attention { causal: false, mask, angles: None };
        attention(&q, &seen(&self.keys), &seen(&self.values), &options)
    }
}

/// Writes x [B, H, 1, d] to place `at` of `room` [B, H, N, d].
fn put<E: Float>(room: &mut Tensor<E>, x: &Tensor<E>, at: usize) {
    let (places, width) = (room.dims()[2], room.dims()[3]);
    let rows = x.to_vec();
    for (row, to) in rows.chunks(width.max(1)).zip(room.data_mut().chunks_mut(places * width)) {
        to[at * width..(at + 1) * width].copy_from_slice(row);
    }
}
