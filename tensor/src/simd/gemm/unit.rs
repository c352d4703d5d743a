//! From a level to its vector unit, and from checked matrices to pointers.

use std::ptr::null;

use super::blocked::{RawRight, multiply, pack, packed_len};
use super::kernel::{Place, RawFinish};
use super::vector::Vector;
use super::{Finish, Level, MatMut, MatRef, Right};
use crate::Float;

#[cfg(target_arch = "aarch64")]
use super::neon::Neon;
#[cfg(target_arch = "x86_64")]
use super::{avx2::Avx2, avx512::Avx512};

/// The kernels of one vector unit.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Unit<E> {
    /// [`multiply`].
    #[allow(clippy::type_complexity)]
    multiply:
        unsafe fn((usize, usize, usize), Place<*const E>, RawRight<E>, RawFinish<E>, Place<*mut E>),
    /// [`pack`].
    pub(super) pack: unsafe fn(usize, usize, Place<*const E>, *mut E),
    /// [`packed_len`].
    pub(super) packed_len: fn(usize, usize) -> Option<usize>,
}

impl Unit<f32> {
    fn of<V: Vector>() -> Self {
        Self { multiply: multiply::<V>, pack: pack::<V>, packed_len: packed_len::<V> }
    }
}

/// The signature of matrixmultiply's functions.
type Gemm<E> = unsafe fn(
    usize,
    usize,
    usize,
    E,
    *const E,
    isize,
    isize,
    *const E,
    isize,
    isize,
    E,
    *mut E,
    isize,
    isize,
);

/// What products need to know of an element type.
pub trait Product: Sized {
    /// The kernels for a level that this processor has, if they are written.
    #[doc(hidden)]
    fn unit(level: Level) -> Option<Unit<Self>>;

    /// C ← α·A·B + β·C where they are not.
    #[doc(hidden)]
    const FALLBACK: Gemm<Self>;
}

impl Product for f32 {
    fn unit(level: Level) -> Option<Unit<f32>> {
        match level {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => Some(Unit::of::<Avx512>()),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => Some(Unit::of::<Avx2>()),
            #[cfg(target_arch = "aarch64")]
            _ => Some(Unit::of::<Neon>()),
            #[cfg(not(target_arch = "aarch64"))]
            _ => None,
        }
    }

    const FALLBACK: Gemm<f32> = matrixmultiply::sgemm;
}

impl Product for f64 {
    fn unit(_: Level) -> Option<Unit<f64>> {
        None
    }

    const FALLBACK: Gemm<f64> = matrixmultiply::dgemm;
}

/// C ← finish(A·B), for sizes that agree and a C that is not empty, at `level` or the level that B was packed for.
pub(super) fn product<E: Float>(
    level: Level,
    a: MatRef<'_, E>,
    b: Right<'_, E>,
    finish: Finish<'_, E>,
    mut c: MatMut<'_, E>,
) {
    let level = match b {
        Right::Plain(_) => level.min(Level::detected()),
        Right::Packed(b) => b.level(),
    };
    let Some(unit) = E::unit(level) else {
        return fallback(a, b, finish, c);
    };
    // The kernels write along rows, so a C whose columns are contiguous is the transposed Cᵀ = Bᵀ·Aᵀ.
    let by_columns = c.rows > 1
        && c.row_stride == 1
        && (c.col_stride != 1 || c.cols == 1)
        && finish.bias.is_none();
    let raw = RawFinish {
        alpha: finish.alpha,
        beta: finish.beta,
        bias: finish.bias.map_or(null(), <[E]>::as_ptr),
    };
    // SAFETY: the processor has this level, which is also the one that a packed B was packed for. `MatRef::new` and
    // `MatMut::new` checked that all rows and columns lie in their slices and that the places of C are distinct; C is
    // borrowed mutably, so nothing else shares them.
    unsafe {
        match b {
            Right::Plain(b) if by_columns => {
                let size = (c.cols, a.cols, c.rows);
                (unit.multiply)(
                    size,
                    b.t().place(),
                    RawRight::Plain(a.t().place()),
                    raw,
                    c.t().place(),
                );
            }
            Right::Plain(b) => {
                let size = (c.rows, a.cols, c.cols);
                (unit.multiply)(size, a.place(), RawRight::Plain(b.place()), raw, c.place());
            }
            Right::Packed(b) => {
                let size = (c.rows, a.cols, c.cols);
                (unit.multiply)(
                    size,
                    a.place(),
                    RawRight::Packed(b.numbers().as_ptr()),
                    raw,
                    c.place(),
                );
            }
        }
    }
}

/// [`product`] by matrixmultiply. A packed B is a plain one here, row after row.
fn fallback<E: Float>(
    a: MatRef<'_, E>,
    b: Right<'_, E>,
    finish: Finish<'_, E>,
    mut c: MatMut<'_, E>,
) {
    let b = match b {
        Right::Plain(b) => b,
        Right::Packed(b) => MatRef::new(b.numbers(), b.rows(), b.cols(), b.cols(), 1),
    };
    let (m, k, n) = (c.rows, a.cols, c.cols);
    let stride = |stride: usize| stride as isize; // strides that are used span slices, so they fit
    let (pa, pb, pc) = (a.place(), b.place(), c.place());
    // SAFETY: all rows and columns lie in their slices (with k = 0 nothing of A and B is read), C's places are distinct,
    // and C is borrowed mutably, so it shares nothing with A and B.
    unsafe {
        E::FALLBACK(
            m,
            k,
            n,
            finish.alpha,
            pa.at,
            stride(pa.row),
            stride(pa.col),
            pb.at,
            stride(pb.row),
            stride(pb.col),
            finish.beta,
            pc.at,
            stride(pc.row),
            stride(pc.col),
        );
    }
    for (j, &bias) in finish.bias.unwrap_or_default().iter().enumerate() {
        for i in 0..m {
            c.data[i * c.row_stride + j * c.col_stride] += bias;
        }
    }
}
