//! Splitting a loop over threads, the same way for any number of them.
//!
//! Work is cut into chunks whose size depends on the problem alone, and partial results are combined in the order of
//! the chunks, so results are bit-identical for any number of threads. Inside a rayon worker (a batch shard) loops stay
//! on their thread: there the parallelism is one level further out.
//!
//! Waking a thread takes some microseconds, so work that takes less stays on its thread. Every loop says how much it has to do,
//! counted in multiply-adds of a product in the cache; what else a loop does is counted in those of the same time.

use std::ops::Range;
use std::sync::Mutex;

use rayon::prelude::*;

use crate::profile::{Counts, count, counts};

/// Elements of one chunk of an elementwise loop.
pub(crate) const CHUNK: usize = 1 << 15;

/// Work from which on a loop splits: some 10 µs of it.
const MIN_WORK: usize = 1 << 18;
/// Work for each element that a loop reads or writes.
pub const ELEMENT: usize = 16;
/// Work for each element of which a loop computes an elementary function such as [`exp`](crate::Float::exp).
pub const FUNCTION: usize = 64;

/// Whether loops may split: only outside of rayon's workers.
pub fn may_split() -> bool {
    rayon::current_thread_index().is_none() && rayon::current_num_threads() > 1
}

/// Whether a loop with so much to do splits: if it may and if that pays.
#[inline]
pub fn splits(work: usize) -> bool {
    work >= MIN_WORK && may_split()
}

/// The work of so many steps, which may be more than can be counted.
pub fn work(steps: &[usize]) -> usize {
    steps.iter().fold(1, |work, &steps| work.saturating_mul(steps))
}

/// Calls `f(index of the chunk's first element, chunk)` for chunks of `size` elements of `out`, on all threads if it
/// [splits] with so much `work` in all.
#[inline]
pub fn for_chunks<T: Send>(
    out: &mut [T],
    size: usize,
    work: usize,
    f: impl Fn(usize, &mut [T]) + Sync,
) {
    let size = size.max(1);
    if out.len() > size && splits(work) {
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

/// `f` of the ranges of `size` numbers that make up `0..len`, in order, computed on all threads if it [splits] with so
/// much `work` in all.
///
/// # Panics
/// Only if `f` does.
pub fn map_ranges<R: Send>(
    len: usize,
    size: usize,
    work: usize,
    f: impl Fn(Range<usize>) -> R + Sync,
) -> Vec<R> {
    let size = size.max(1);
    let mut results: Vec<Option<R>> =
        std::iter::repeat_with(|| None).take(len.div_ceil(size)).collect();
    for_chunks(&mut results, 1, work, |i, result| {
        let start = i * size;
        result[0] = Some(f(start..start + size.min(len - start)));
    });
    results.into_iter().map(|result| result.expect("each range was computed")).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn a_loop_splits_if_and_only_if_its_work_pays_for_it() {
        let elsewhere = |work: usize| {
            let (here, moved) = (std::thread::current().id(), AtomicBool::new(false));
            for_chunks(&mut [0; 64], 1, work, |_, _| {
                moved.fetch_or(std::thread::current().id() != here, Ordering::Relaxed);
            });
            moved.into_inner()
        };
        assert!(!elsewhere(MIN_WORK - 1));
        assert_eq!(elsewhere(MIN_WORK), may_split());
        assert_eq!(work(&[usize::MAX, 2, 3]), usize::MAX);
    }
}
