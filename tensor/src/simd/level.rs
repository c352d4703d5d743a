//! Run-time choice of the vector unit.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

/// A vector unit that kernels are compiled for, narrowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// The target's baseline: SSE2 on x86-64, NEON on AArch64.
    Baseline,
    /// x86-64 with AVX2 and FMA (x86-64-v3).
    Avx2,
    /// x86-64 with AVX-512 F, BW, CD, DQ and VL (x86-64-v4).
    Avx512,
}

/// The widest level that is allowed; all, unless [`Level::limit`] said otherwise.
static LIMIT: AtomicU8 = AtomicU8::new(Level::Avx512 as u8);

impl Level {
    /// The widest level that this processor has.
    pub fn detected() -> Level {
        static DETECTED: OnceLock<Level> = OnceLock::new();
        *DETECTED.get_or_init(detect)
    }

    /// The level that kernels use: the widest that the processor has and [`Level::limit`] allows.
    #[inline]
    pub fn current() -> Level {
        match LIMIT.load(Ordering::Relaxed) {
            0 => Level::Baseline,
            1 => Level::detected().min(Level::Avx2),
            _ => Level::detected(),
        }
    }

    /// Allows no level above `self` from here on in this process, to compare machines and to test every path. The last
    /// bits of results differ between levels.
    pub fn limit(self) {
        LIMIT.store(self as u8, Ordering::Relaxed);
    }
}

fn detect() -> Level {
    #[cfg(target_arch = "x86_64")]
    {
        let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        let avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512cd")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        if avx2 && avx512 {
            return Level::Avx512;
        }
        if avx2 {
            return Level::Avx2;
        }
    }
    Level::Baseline
}

/// What a kernel may know of the vector unit it is compiled for. Only [`vectorize`] makes one.
#[derive(Clone, Copy, Debug)]
pub struct Simd {
    fma: bool,
}

impl Simd {
    /// The portable instance, whose arithmetic is exact to the letter: `mul_add` rounds twice.
    pub const PORTABLE: Simd =
        Simd { fma: cfg!(target_feature = "fma") || cfg!(target_arch = "aarch64") };

    /// Whether [`f32::mul_add`] is one instruction. A constant once the kernel is inlined.
    #[inline(always)]
    pub fn fma(self) -> bool {
        self.fma
    }
}

/// Runs `kernel` compiled for the widest vector unit of this processor.
///
/// The closure has to be inlined to be compiled anew: mark it and every function that it calls in its loops
/// `#[inline(always)]`.
///
/// ```
/// # use tensor::vectorize;
/// let x = [1.0f32, 2.0, 3.0];
/// let mut y = [0.0; 3];
/// vectorize(
///     #[inline(always)]
///     |_| y.iter_mut().zip(&x).for_each(|(y, x)| *y = 2.0 * x),
/// );
/// assert_eq!(y, [2.0, 4.0, 6.0]);
/// ```
#[inline(always)]
pub fn vectorize<R>(kernel: impl FnOnce(Simd) -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    match Level::current() {
        // SAFETY: `Level::current` is at most `Level::detected`, which found these features on this processor.
        Level::Avx512 => return unsafe { avx512(kernel) },
        // SAFETY: as above.
        Level::Avx2 => return unsafe { avx2(kernel) },
        Level::Baseline => {}
    }
    kernel(Simd::PORTABLE)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma")]
fn avx512<R>(kernel: impl FnOnce(Simd) -> R) -> R {
    kernel(Simd { fma: true })
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2<R>(kernel: impl FnOnce(Simd) -> R) -> R {
    kernel(Simd { fma: true })
}
