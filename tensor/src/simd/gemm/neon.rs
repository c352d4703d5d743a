//! NEON: 32 registers of 4 numbers, 24 of them sums. Every AArch64 processor has it.

use std::arch::aarch64::*;

use super::vector::Vector;

/// A 128-bit register.
#[derive(Clone, Copy)]
pub(super) struct Neon(float32x4_t);

// SAFETY of all blocks: NEON is AArch64's baseline, and the caller may read or write the numbers that the function's
// doc counts.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Vector for Neon {
    const LANES: usize = 4;
    const ROWS: usize = 6;
    const VECTORS: usize = 4;
    const DEPTH: usize = 256;

    #[inline(always)]
    unsafe fn enter<R>(f: impl FnOnce() -> R) -> R {
        f()
    }

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Self(unsafe { vdupq_n_f32(x) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Self(unsafe { vld1q_f32(from) })
    }

    #[inline(always)]
    unsafe fn load_part(from: *const f32, count: usize) -> Self {
        let mut lanes = [0.0; 4];
        unsafe {
            from.copy_to_nonoverlapping(lanes.as_mut_ptr(), count);
            Self::load(lanes.as_ptr())
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { vst1q_f32(to, self.0) }
    }

    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, count: usize) {
        let mut lanes = [0.0; 4];
        unsafe {
            self.store(lanes.as_mut_ptr());
            to.copy_from_nonoverlapping(lanes.as_ptr(), count);
        }
    }

    #[inline(always)]
    unsafe fn mul_add(self, x: Self, y: Self) -> Self {
        Self(unsafe { vfmaq_f32(y.0, self.0, x.0) })
    }

    #[inline(always)]
    unsafe fn mul(self, x: Self) -> Self {
        Self(unsafe { vmulq_f32(self.0, x.0) })
    }

    #[inline(always)]
    unsafe fn add(self, x: Self) -> Self {
        Self(unsafe { vaddq_f32(self.0, x.0) })
    }

    #[inline(always)]
    unsafe fn load_columns(from: *const f32, stride: usize) -> [Self; 4] {
        unsafe {
            let row = |i: usize| vld1q_f32(from.add(i * stride));
            let (even, odd) = (vtrnq_f32(row(0), row(1)), vtrnq_f32(row(2), row(3)));
            let join = |x: float32x4_t, y: float32x4_t| {
                let (lo, hi) = (vget_low_f32, vget_high_f32);
                (vcombine_f32(lo(x), lo(y)), vcombine_f32(hi(x), hi(y)))
            };
            let ((c0, c2), (c1, c3)) = (join(even.0, odd.0), join(even.1, odd.1));
            [Self(c0), Self(c1), Self(c2), Self(c3)]
        }
    }
}
