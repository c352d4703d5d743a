//! Recycled buffers.
//!
//! A training step needs the same buffers as the step before. A fresh large buffer costs the system a page fault per
//! 4 KiB, so buffers of dropped tensors are kept, by size class, and handed out again. Their contents are stale values,
//! never uninitialised memory: whoever takes one overwrites it.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Mutex;

use crate::Float;

/// Buffers shorter than this are left to the allocator, which is faster for them.
const MIN_LEN: usize = 256;
/// The longest buffers: 4 TiB of single precision.
const MAX_LEN: usize = 1 << 40;
/// Size classes: four to the octave from `MIN_LEN` to `MAX_LEN`.
const CLASSES: usize = 4 * 33 + 1;
/// Bytes that are kept per element type unless [`set_pool_limit`] says otherwise.
const DEFAULT_LIMIT: usize = 1 << 30;

/// Bytes from which on the system is asked for memory first: more than the allocator keeps for itself.
const LARGE: usize = 64 << 20;

/// Where buffers start: at a cache line, so that no register of a row lies across two.
const LINE: usize = 64;

/// Elements in one place, from the start of a cache line on if they come from the pool.
#[derive(Default)]
pub(crate) struct Buffer<E> {
    elements: Vec<E>,
    start: usize,
}

impl<E: Float> Buffer<E> {
    /// `len` zeros, if there is memory for them.
    fn zeros(len: usize) -> Option<Self> {
        let spare = LINE / size_of::<E>();
        let mut elements = zeros::<E>(len.checked_add(spare)?)?;
        let start = elements.as_ptr().align_offset(LINE).min(spare);
        elements.truncate(start + len);
        Some(Self { elements, start })
    }
}

/// `len` zeros; `None` where a large number of them finds no memory. (A small one that finds none ends the process.)
pub(crate) fn zeros<E: Float>(len: usize) -> Option<Vec<E>> {
    if len >= LARGE / size_of::<E>() {
        // `vec!` is given pages that nobody has to clear, but ends the process if there are none: so ask first.
        let mut trial = Vec::<E>::new();
        trial.try_reserve_exact(len).ok()?;
        std::hint::black_box(&trial); // else it is never made
    }
    Some(vec![E::ZERO; len])
}

impl<E> From<Vec<E>> for Buffer<E> {
    fn from(elements: Vec<E>) -> Self {
        Self { elements, start: 0 }
    }
}

impl<E> Deref for Buffer<E> {
    type Target = [E];

    #[inline]
    fn deref(&self) -> &[E] {
        &self.elements[self.start..]
    }
}

impl<E> DerefMut for Buffer<E> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [E] {
        &mut self.elements[self.start..]
    }
}

/// The recycled buffers of one element type.
pub struct Pool<E> {
    state: Mutex<State<E>>,
}

struct State<E> {
    free: [Vec<Buffer<E>>; CLASSES],
    kept: usize,
    limit: usize,
}

impl<E> fmt::Debug for Pool<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

/// The smallest class whose buffers hold `len` elements, and their length: 2ᵒ·(4 + q)/4 for q in 0..4.
fn class(len: usize) -> (usize, usize) {
    let len = len.max(MIN_LEN);
    let octave = (len - 1).ilog2() as usize; // 2^octave < len ≤ 2^(octave + 1), except for powers of two
    let step = 1usize << (octave - 2);
    let quarter = (len - (1 << octave)).div_ceil(step);
    let class = 4 * (octave + 1 - MIN_LEN.ilog2() as usize) + quarter;
    (class, (1 << octave) + quarter * step)
}

impl<E: Float> Pool<E> {
    pub(crate) const fn new() -> Self {
        Self {
            state: Mutex::new(State {
                free: [const { Vec::new() }; CLASSES],
                kept: 0,
                limit: DEFAULT_LIMIT,
            }),
        }
    }

    /// A buffer of at least `len` elements with unspecified contents, if there is memory for it.
    pub(crate) fn take(&self, len: usize) -> Option<Buffer<E>> {
        if len < MIN_LEN {
            return Some(vec![E::ZERO; len].into());
        }
        if len > MAX_LEN {
            return None;
        }
        let (class, size) = class(len);
        let recycled = {
            let mut state = self.lock();
            let buffer = state.free[class].pop();
            if buffer.is_some() {
                state.kept -= size * size_of::<E>();
            }
            buffer
        };
        recycled.or_else(|| Buffer::zeros(size))
    }

    /// Takes a buffer back, unless the limit is reached or it is not like those that come from here.
    pub(crate) fn give(&self, buffer: Buffer<E>) {
        let len = buffer.len();
        if !(MIN_LEN..=MAX_LEN).contains(&len)
            || class(len).1 != len
            || !buffer.as_ptr().addr().is_multiple_of(LINE)
        {
            return;
        }
        let (class, size) = class(len);
        let mut state = self.lock();
        if state.kept + size * size_of::<E>() <= state.limit {
            state.kept += size * size_of::<E>();
            state.free[class].push(buffer);
        }
    }

    fn set_limit(&self, bytes: usize) {
        let mut state = self.lock();
        state.limit = bytes;
        if state.kept > bytes {
            state.free.iter_mut().for_each(|class| *class = Vec::new());
            state.kept = 0;
        }
    }

    fn clear(&self) {
        let mut state = self.lock();
        state.free.iter_mut().for_each(|class| *class = Vec::new());
        state.kept = 0;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State<E>> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Gives all recycled buffers back to the system.
pub fn clear_pool() {
    f32::pool().clear();
    f64::pool().clear();
}

/// Sets how many bytes of unused buffers are kept for each element type (1 GiB at first); 0 switches recycling off.
pub fn set_pool_limit(bytes: usize) {
    f32::pool().set_limit(bytes);
    f64::pool().set_limit(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_grow_by_a_quarter_at_most_and_hold_what_they_promise() {
        let mut last = (0, 0);
        for len in 1..100_000 {
            let (class, size) = class(len);
            assert!(size >= len && (len < MIN_LEN || size * 4 <= len * 5 + 4), "{len} → {size}");
            assert!((class, size) == last || (class > last.0 && size > last.1));
            assert_eq!(super::class(size), (class, size), "a class is its own class");
            last = (class, size);
        }
    }

    #[test]
    fn a_buffer_that_was_given_back_is_taken_again() {
        let pool = Pool::<f32>::new();
        let mut buffer = pool.take(1000).expect("memory");
        buffer[0] = 7.0;
        pool.give(buffer);
        assert_eq!(pool.take(1000).expect("memory")[0], 7.0);
        pool.set_limit(0);
        let buffer = pool.take(1000).expect("memory");
        pool.give(buffer);
        assert_eq!(pool.lock().kept, 0);
    }

    #[test]
    fn memory_that_is_not_to_be_had_is_refused_and_the_largest_class_exists() {
        let pool = Pool::<f32>::new();
        for len in [MAX_LEN + 1, 1 << 45, 1 << 62, isize::MAX as usize, usize::MAX] {
            assert!(pool.take(len).is_none(), "{len}");
        }
        assert!(class(MAX_LEN).0 < CLASSES);
        assert!(zeros::<f64>(usize::MAX).is_none() && zeros::<f64>(1 << 60).is_none());
    }
}
