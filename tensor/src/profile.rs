//! What a thread has done so far: the numbers that a profile is made of.

use std::cell::Cell;
use std::ops::{Add, Sub};

/// Running totals of one thread. Work that a loop hands to other threads counts for the thread that waits for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Multiplications and additions of matrix products.
    pub flop: i64,
    /// Bytes of tensors that were built.
    pub written: i64,
    /// Bytes of tensors that were built and not yet dropped. Negative where this thread dropped what another one built.
    pub live: i64,
}

impl Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            flop: self.flop + other.flop,
            written: self.written + other.written,
            live: self.live + other.live,
        }
    }
}

impl Sub for Counts {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            flop: self.flop - other.flop,
            written: self.written - other.written,
            live: self.live - other.live,
        }
    }
}

thread_local! {
    static COUNTS: Cell<Counts> = const { Cell::new(Counts { flop: 0, written: 0, live: 0 }) };
}

/// The totals of this thread.
pub fn counts() -> Counts {
    COUNTS.get()
}

/// Adds to the totals of this thread.
#[inline]
pub(crate) fn count(more: Counts) {
    COUNTS.set(COUNTS.get() + more);
}
