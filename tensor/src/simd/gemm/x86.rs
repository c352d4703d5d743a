//! The vector units of x86-64.

use std::arch::x86_64::*;

use super::vector::Vector;

/// AVX2 with FMA: 16 registers of 8 numbers, 12 of them sums.
#[derive(Clone, Copy)]
pub(super) struct Avx2(__m256);

/// The window of 8 that starts at 8 - count has `count` lanes set.
static MASKS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

// SAFETY of all blocks: the caller has AVX2 and FMA, and may read or write the numbers that the function's doc counts.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Vector for Avx2 {
    const LANES: usize = 8;
    const ROWS: usize = 6;
    const VECTORS: usize = 2;
    const DEPTH: usize = 384;

    #[inline(always)]
    unsafe fn enter<R>(f: impl FnOnce() -> R) -> R {
        #[target_feature(enable = "avx2,fma")]
        fn compiled<R>(f: impl FnOnce() -> R) -> R {
            f()
        }
        unsafe { compiled(f) }
    }

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Self(unsafe { _mm256_set1_ps(x) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Self(unsafe { _mm256_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn load_part(from: *const f32, count: usize) -> Self {
        unsafe {
            let mask = _mm256_loadu_si256(MASKS.as_ptr().add(8 - count).cast());
            Self(_mm256_maskload_ps(from, mask))
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { _mm256_storeu_ps(to, self.0) }
    }

    /// By halves: masked stores are slow on half of the processors that have them.
    #[inline(always)]
    unsafe fn store_part(self, mut to: *mut f32, count: usize) {
        unsafe {
            if count == 8 {
                return self.store(to);
            }
            let mut rest = _mm256_castps256_ps128(self.0);
            if count & 4 != 0 {
                _mm_storeu_ps(to, rest);
                rest = _mm256_extractf128_ps::<1>(self.0);
                to = to.add(4);
            }
            if count & 2 != 0 {
                _mm_storel_pd(to.cast(), _mm_castps_pd(rest));
                rest = _mm_movehl_ps(rest, rest);
                to = to.add(2);
            }
            if count & 1 != 0 {
                _mm_store_ss(to, rest);
            }
        }
    }

    #[inline(always)]
    unsafe fn mul_add(self, x: Self, y: Self) -> Self {
        Self(unsafe { _mm256_fmadd_ps(self.0, x.0, y.0) })
    }

    #[inline(always)]
    unsafe fn mul(self, x: Self) -> Self {
        Self(unsafe { _mm256_mul_ps(self.0, x.0) })
    }

    #[inline(always)]
    unsafe fn add(self, x: Self) -> Self {
        Self(unsafe { _mm256_add_ps(self.0, x.0) })
    }

    /// Loads rows i and i + 4 into the halves of one register, then transposes both halves at once.
    #[inline(always)]
    unsafe fn load_columns(from: *const f32, stride: usize) -> [Self; 4] {
        unsafe {
            let row = |i: usize| _mm_loadu_ps(from.add(i * stride));
            let rows =
                |i: usize| _mm256_insertf128_ps::<1>(_mm256_castps128_ps256(row(i)), row(i + 4));
            let (r0, r1, r2, r3) = (rows(0), rows(1), rows(2), rows(3));
            let (lo01, hi01) = (_mm256_unpacklo_ps(r0, r1), _mm256_unpackhi_ps(r0, r1));
            let (lo23, hi23) = (_mm256_unpacklo_ps(r2, r3), _mm256_unpackhi_ps(r2, r3));
            [
                Self(_mm256_shuffle_ps::<0b01_00_01_00>(lo01, lo23)),
                Self(_mm256_shuffle_ps::<0b11_10_11_10>(lo01, lo23)),
                Self(_mm256_shuffle_ps::<0b01_00_01_00>(hi01, hi23)),
                Self(_mm256_shuffle_ps::<0b11_10_11_10>(hi01, hi23)),
            ]
        }
    }
}

/// AVX-512: 32 registers of 16 numbers, 24 of them sums.
#[derive(Clone, Copy)]
pub(super) struct Avx512(__m512);

// SAFETY of all blocks: the caller has AVX-512 F, and may read or write the numbers that the function's doc counts.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Vector for Avx512 {
    const LANES: usize = 16;
    const ROWS: usize = 12;
    const VECTORS: usize = 2;
    const DEPTH: usize = 256;

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
        Self(unsafe { _mm512_maskz_loadu_ps(u16::MAX >> (16 - count), from) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { _mm512_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, count: usize) {
        unsafe { _mm512_mask_storeu_ps(to, u16::MAX >> (16 - count), self.0) }
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
}
