//! What the kernels ask of a vector unit, and the shape of the work that suits it.

/// A register of `LANES` numbers.
///
/// # Safety of its functions
/// All of them may run only on a processor that has the instructions, and are compiled to those instructions only
/// inside [`Vector::enter`]. Pointers need no alignment.
pub(super) trait Vector: Copy {
    /// Numbers in a register, at most [`MAX_LANES`].
    const LANES: usize;
    /// Rows of a tile of C, at most [`MAX_ROWS`].
    const ROWS: usize;
    /// Registers across a tile of C, at most [`MAX_VECTORS`]. `ROWS * VECTORS` sums, one row of B and one number of A
    /// have to fit into the register file.
    const VECTORS: usize;
    /// Columns of a tile, and of a panel of B.
    const WIDTH: usize = Self::VECTORS * Self::LANES;
    /// Terms of the inner sum that are added in registers before C is touched, at most: as many as keep a panel of B,
    /// `DEPTH` by `WIDTH`, in the larger part of the first-level cache.
    const DEPTH: usize;

    /// Calls `f`, compiled for this unit together with everything that is inlined into it.
    unsafe fn enter<R>(f: impl FnOnce() -> R) -> R;
    /// x in every lane.
    unsafe fn splat(x: f32) -> Self;
    /// Reads `LANES` numbers.
    unsafe fn load(from: *const f32) -> Self;
    /// Reads `count` numbers, 1 to `LANES`, and no memory beyond; the other lanes are 0.
    unsafe fn load_part(from: *const f32, count: usize) -> Self;
    /// Writes `LANES` numbers.
    unsafe fn store(self, to: *mut f32);
    /// Writes the first `count` numbers, 1 to `LANES`, and no memory beyond.
    unsafe fn store_part(self, to: *mut f32, count: usize);
    /// self·x + y, rounded once.
    unsafe fn mul_add(self, x: Self, y: Self) -> Self;
    /// self·x.
    unsafe fn mul(self, x: Self) -> Self;
    /// self + x.
    unsafe fn add(self, x: Self) -> Self;
    /// The first 4 columns of a matrix of `LANES` rows, whose rows start `stride` apart and are contiguous.
    unsafe fn load_columns(from: *const f32, stride: usize) -> [Self; 4];
}

/// The most numbers that a register may have.
pub(super) const MAX_LANES: usize = 16;
/// The most rows that a tile may have.
pub(super) const MAX_ROWS: usize = 12;
/// The most registers that may lie across a tile.
pub(super) const MAX_VECTORS: usize = 4;
