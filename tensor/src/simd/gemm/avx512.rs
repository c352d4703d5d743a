//! AVX-512: 32 registers of 16 numbers, 24 of them sums.

use std::arch::x86_64::*;

use super::vector::Vector;

/// A 512-bit register.
#[derive(Clone, Copy)]
pub(super) struct Avx512(__m512);

// SAFETY of all blocks: the caller has AVX-512 F, and may read or write the numbers that the function's doc counts.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Vector for Avx512 {
    const LANES: usize = 16;
    const ROWS: usize = 8;
    const VECTORS: usize = 3;
    const DEPTH: usize = 128;

    #[inline(always)]
    unsafe fn enter<R>(f: impl FnOnce() -> R) -> R {
        #[target_feature(enable = "avx512f,avx2,fma")]
        fn compiled<R>(f: impl FnOnce() -> R) -> R {
            f()
        }
        unsafe { compiled(f) }
    }

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Self(unsafe { _mm512_set1_ps(x) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Self(unsafe { _mm512_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn load_part(from: *const f32, count: usize) -> Self {
        Self(unsafe { _mm512_maskz_loadu_ps((1 << count) - 1, from) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { _mm512_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, count: usize) {
        unsafe { _mm512_mask_storeu_ps(to, (1 << count) - 1, self.0) }
    }

    #[inline(always)]
    unsafe fn mul_add(self, x: Self, y: Self) -> Self {
        Self(unsafe { _mm512_fmadd_ps(self.0, x.0, y.0) })
    }

    #[inline(always)]
    unsafe fn mul(self, x: Self) -> Self {
        Self(unsafe { _mm512_mul_ps(self.0, x.0) })
    }

    #[inline(always)]
    unsafe fn add(self, x: Self) -> Self {
        Self(unsafe { _mm512_add_ps(self.0, x.0) })
    }

    /// Loads rows i, i + 4, i + 8 and i + 12 into the quarters of one register, then transposes all quarters at once.
    #[inline(always)]
    unsafe fn load_columns(from: *const f32, stride: usize) -> [Self; 4] {
        unsafe {
            let row = |i: usize| _mm_loadu_ps(from.add(i * stride));
            let rows = |i: usize| {
                let quarter = _mm512_castps128_ps512(row(i));
                let half = _mm512_insertf32x4::<1>(quarter, row(i + 4));
                let most = _mm512_insertf32x4::<2>(half, row(i + 8));
                _mm512_insertf32x4::<3>(most, row(i + 12))
            };
            let (r0, r1, r2, r3) = (rows(0), rows(1), rows(2), rows(3));
            let (lo01, hi01) = (_mm512_unpacklo_ps(r0, r1), _mm512_unpackhi_ps(r0, r1));
            let (lo23, hi23) = (_mm512_unpacklo_ps(r2, r3), _mm512_unpackhi_ps(r2, r3));
            [
                Self(_mm512_shuffle_ps::<0b01_00_01_00>(lo01, lo23)),
                Self(_mm512_shuffle_ps::<0b11_10_11_10>(lo01, lo23)),
                Self(_mm512_shuffle_ps::<0b01_00_01_00>(hi01, hi23)),
                Self(_mm512_shuffle_ps::<0b11_10_11_10>(hi01, hi23)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn prefetch(at: *const f32) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }
}
