//! Splitting a loop over threads, the same way for any number of them.
//!
//! Work is cut into chunks whose size depends on the problem alone, and partial results are combined in the order of
//! the chunks, so results are bit-identical for any number of threads. Inside a rayon worker (a batch shard) loops stay
//! on their thread: there the parallelism is one level further out.

use std::ops::Range;
use std::sync::Mutex;

use rayon::prelude::*;

use crate::profile::{Counts, count, counts};

/// Elements of one chunk of an elementwise loop.
pub(crate) const CHUNK: usize = 1 << 15;

/// Whether a loop may split: only outside of rayon's workers.
pub fn may_split() -> bool {
    rayon::current_thread_index().is_none() && rayon::current_num_threads() > 1
}

/// Calls `f(index of the chunk's first element, chunk)` for chunks of `size` elements of `out`, on all threads if it
/// may.
#[inline]
pub fn for_chunks<T: Send>(out: &mut [T], size: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    let size = size.max(1);
    if out.len() > size && may_split() {
        split(out, size, &f);
    } else {
        out.chunks_mut(size).enumerate().for_each(|(i, chunk)| f(i * size, chunk));
    }
}

/// Not generic in the function: rayon's machinery is compiled once for each element type instead of once for each loop,
/// which halves the time to build the crates above.
#[inline(never)]
fn split<T: Send>(out: &mut [T], size: usize, f: &(dyn Fn(usize, &mut [T]) + Sync)) {
    // What the chunks count is moved to this thread, which waits for them.
    let moved = Mutex::new(Counts::default());
    out.par_chunks_mut(size).enumerate().for_each(|(i, chunk)| {
        let before = counts();
        f(i * size, chunk);
        let own = counts() - before;
        count(Counts::default() - own);
        let mut moved = moved.lock().expect("no holder panics");
        *moved = *moved + own;
    });
    count(moved.into_inner().expect("no holder panicked"));
}

/// `f` of the ranges of `size` numbers that make up `0..len`, in order, computed on all threads if it may.
///
/// # Panics
/// Only if `f` does.
pub fn map_ranges<R: Send>(
    len: usize,
    size: usize,
    f: impl Fn(Range<usize>) -> R + Sync,
) -> Vec<R> {
    let size = size.max(1);
    let mut results: Vec<Option<R>> =
        std::iter::repeat_with(|| None).take(len.div_ceil(size)).collect();
    for_chunks(&mut results, 1, |i, result| result[0] = Some(f(i * size..len.min((i + 1) * size))));
    results.into_iter().map(|result| result.expect("each range was computed")).collect()
}
