//! Every level that this processor has, and units in software with the shapes of those that it has not, against three
//! loops in f64 and against themselves under cuts.

use std::ops::Range;

use proptest::prelude::*;

use super::kernel::{Finish, Place, Right};
use super::vector::Vector;
use super::{MatMut, MatRef, Packed, Plus, Rhs, blocked, product};
use crate::Level;

/// A vector unit in software: L lanes, tiles of M rows and N registers.
#[derive(Clone, Copy)]
struct Software<const L: usize, const M: usize, const N: usize>([f32; L]);

impl<const L: usize, const M: usize, const N: usize> Vector for Software<L, M, N> {
    const LANES: usize = L;
    const ROWS: usize = M;
    const VECTORS: usize = N;
    const DEPTH: usize = 100;

    unsafe fn enter<R>(f: impl FnOnce() -> R) -> R {
        f()
    }

    unsafe fn splat(x: f32) -> Self {
        Self([x; L])
    }

    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller may read L numbers.
        Self(unsafe { from.cast::<[f32; L]>().read_unaligned() })
    }

    unsafe fn load_part(from: *const f32, count: usize) -> Self {
        // SAFETY: the caller may read `count` numbers.
        Self(std::array::from_fn(|i| if i < count { unsafe { *from.add(i) } } else { 0.0 }))
    }

    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller may write L numbers.
        unsafe { to.cast::<[f32; L]>().write_unaligned(self.0) }
    }

    unsafe fn store_part(self, to: *mut f32, count: usize) {
        // SAFETY: the caller may write `count` numbers.
        (0..count).for_each(|i| unsafe { *to.add(i) = self.0[i] });
    }

    unsafe fn mul_add(self, x: Self, y: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i].mul_add(x.0[i], y.0[i])))
    }

    unsafe fn mul(self, x: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] * x.0[i]))
    }

    unsafe fn add(self, x: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + x.0[i]))
    }

    unsafe fn load_columns(from: *const f32, stride: usize) -> [Self; 4] {
        // SAFETY: the caller may read 4 numbers of each of L rows.
        let at = |i: usize, j: usize| unsafe { *from.add(i * stride + j) };
        std::array::from_fn(|j| Self(std::array::from_fn(|i| at(i, j))))
    }
}

/// What computes a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Level(Level),
    /// AVX2's shape.
    Software8,
    /// AVX-512's shape.
    Software16,
    /// NEON's shape.
    Software4,
}

impl Unit {
    /// The levels of this processor, then the shapes.
    fn all() -> impl Iterator<Item = Unit> {
        let levels = [Level::Baseline, Level::Avx2, Level::Avx512];
        let levels =
            levels.into_iter().filter(|&level| level <= Level::detected()).map(Unit::Level);
        levels.chain([Unit::Software8, Unit::Software16, Unit::Software4])
    }

    /// Whether it is one of our kernels and not matrixmultiply, which computes edges in another way.
    fn is_own(self) -> bool {
        cfg!(target_arch = "aarch64") || self != Unit::Level(Level::Baseline)
    }
}

/// Rows and columns that are stored contiguous, padded, broadcast or with gaps everywhere.
#[derive(Clone, Copy, Debug)]
enum Order {
    Rows { pad: usize },
    Columns { pad: usize },
    Gaps { row: usize, col: usize },
    RowsRepeat,
    ColumnsRepeat,
}

impl Order {
    fn strides(self, rows: usize, cols: usize) -> (usize, usize) {
        match self {
            Order::Rows { pad } => (cols + pad, 1),
            Order::Columns { pad } => (1, rows + pad),
            Order::Gaps { row, col } => (cols * col + row, col),
            Order::RowsRepeat => (0, 1),
            Order::ColumnsRepeat => (1, 0),
        }
    }

    fn len(self, rows: usize, cols: usize) -> usize {
        let (row, col) = self.strides(rows, cols);
        if rows == 0 || cols == 0 { 0 } else { (rows - 1) * row + (cols - 1) * col + 1 }
    }
}

fn distinct() -> impl Strategy<Value = Order> {
    let pad = || prop_oneof![Just(0usize), 1..20usize, 60..90usize];
    prop_oneof![
        3 => pad().prop_map(|pad| Order::Rows { pad }),
        2 => pad().prop_map(|pad| Order::Columns { pad }),
        1 => (0..3usize, 2..4usize).prop_map(|(row, col)| Order::Gaps { row, col }),
    ]
}

fn any_order() -> impl Strategy<Value = Order> {
    prop_oneof![8 => distinct(), 1 => Just(Order::RowsRepeat), 1 => Just(Order::ColumnsRepeat)]
}

fn side() -> impl Strategy<Value = usize> {
    prop_oneof![1 => 0..3usize, 6 => 1..70usize, 1 => 90..140usize]
}

fn factor() -> impl Strategy<Value = f32> {
    prop_oneof![Just(0.0f32), Just(1.0), -2.0..2.0f32]
}

type Multiply =
    unsafe fn((usize, usize, usize), Place<*const f32>, Right<f32>, Finish<f32>, Place<*mut f32>);

/// All that determines a product but its numbers.
#[derive(Clone, Debug)]
struct Case {
    size: (usize, usize, usize),
    orders: (Order, Order, Order),
    alpha: f32,
    beta: f32,
    bias: bool,
    seed: u32,
}

fn case() -> impl Strategy<Value = Case> {
    let k = prop_oneof![4 => 0..70usize, 1 => 250..600usize];
    let orders = (any_order(), any_order(), distinct());
    ((side(), k, side()), orders, factor(), factor(), any::<bool>(), any::<u32>()).prop_map(
        |(size, orders, alpha, beta, bias, seed)| Case { size, orders, alpha, beta, bias, seed },
    )
}

/// Numbers in [-1, 1) from a counter.
fn numbers(len: usize, seed: u32) -> Vec<f32> {
    (0..len as u32)
        .map(|i| {
            let x = (i ^ seed).wrapping_mul(0x9E37_79B9);
            let x = (x ^ (x >> 15)).wrapping_mul(0x85EB_CA6B);
            (x >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

/// The matrices of a case: A, B, bias, and C before the product.
struct Data(Vec<f32>, Vec<f32>, Vec<f32>, Vec<f32>);

impl Case {
    fn data(&self) -> Data {
        let ((m, k, n), (a, b, c)) = (self.size, self.orders);
        let mut before = numbers(c.len(m, n), self.seed ^ 3);
        if self.beta == 0.0 {
            before.fill(f32::NAN);
        }
        Data(
            numbers(a.len(m, k), self.seed),
            numbers(b.len(k, n), self.seed ^ 1),
            numbers(n, self.seed ^ 2),
            before,
        )
    }

    /// Rows `is` and columns `js` of the product, into `c`.
    fn run(&self, unit: Unit, data: &Data, is: Range<usize>, js: Range<usize>, c: &mut [f32]) {
        let ((m, k, n), (ao, bo, co)) = (self.size, self.orders);
        let ((ra, ca), (rb, cb), (rc, cc)) = (ao.strides(m, k), bo.strides(k, n), co.strides(m, n));
        let at = |slice: usize, index: usize| index.min(slice);
        let a = MatRef::new(&data.0[at(data.0.len(), is.start * ra)..], is.len(), k, ra, ca);
        let b = MatRef::new(&data.1[at(data.1.len(), js.start * cb)..], k, js.len(), rb, cb);
        let start = at(c.len(), is.start * rc + js.start * cc);
        if is.is_empty() || js.is_empty() {
            return;
        }
        let mut c = MatMut::new(&mut c[start..], is.len(), js.len(), rc, cc);
        let bias = self.bias.then_some(&data.2[js]);
        let size = (a.rows, a.cols, b.cols);
        let (a_at, b_at, c_at) = (a.place(), Rhs::from(b).place(Level::Baseline), c.place());
        let bias_at = bias.map_or(std::ptr::null(), <[f32]>::as_ptr);
        let addend = c_at.read();
        let finish = Finish { alpha: self.alpha, beta: self.beta, addend, bias: bias_at };
        let multiply: Multiply = match unit {
            Unit::Level(level) => {
                let plus = Plus { bias, residual: None };
                return product(level, self.alpha, a, b.into(), self.beta, plus, c);
            }
            Unit::Software8 => blocked::multiply::<Software<8, 6, 2>>,
            Unit::Software16 => blocked::multiply::<Software<16, 12, 2>>,
            Unit::Software4 => blocked::multiply::<Software<4, 6, 4>>,
        };
        // SAFETY: the matrices are checked, their sizes agree, and any processor has a unit in software.
        unsafe { multiply(size, a_at, b_at, finish, c_at) }
    }

    fn whole(&self, unit: Unit, data: &Data) -> Vec<f32> {
        let mut c = data.3.clone();
        self.run(unit, data, 0..self.size.0, 0..self.size.2, &mut c);
        c
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.min(256), ..ProptestConfig::default() })]

    #[test]
    fn products_equal_three_loops_in_double_precision(case in case()) {
        let ((m, k, n), (ao, bo, co)) = (case.size, case.orders);
        let ((ra, ca), (rb, cb), (rc, cc)) = (ao.strides(m, k), bo.strides(k, n), co.strides(m, n));
        let data = case.data();
        for unit in Unit::all() {
            let c = case.whole(unit, &data);
            let mut untouched = vec![true; c.len()];
            for i in 0..m {
                for j in 0..n {
                    let terms = (0..k).map(|p| f64::from(data.0[i * ra + p * ca]) * f64::from(data.1[p * rb + j * cb]));
                    let place = i * rc + j * cc;
                    let mut want = f64::from(case.alpha) * terms.clone().sum::<f64>();
                    if case.beta != 0.0 {
                        want += f64::from(case.beta) * f64::from(data.3[place]);
                    }
                    if case.bias {
                        want += f64::from(data.2[j]);
                    }
                    let error = (f64::from(c[place]) - want).abs();
                    let size = f64::from(case.alpha.abs()) * terms.map(f64::abs).sum::<f64>() + 3.0;
                    let bound = f64::from(f32::EPSILON) * (k as f64 + 4.0) * size;
                    prop_assert!(error <= bound, "{unit:?} [{i}, {j}]: {} for {want}", c[place]);
                    untouched[place] = false;
                }
            }
            for place in (0..c.len()).filter(|&place| untouched[place]) {
                prop_assert_eq!(c[place].to_bits(), data.3[place].to_bits(), "{:?} wrote between columns", unit);
            }
        }
    }

    #[test]
    fn a_packed_matrix_and_its_first_rows_and_columns_give_the_bits_of_plain_ones(case in case(), part in (0.0..1.0f64, 0.0..1.0f64)) {
        let ((m, k, n), (ao, bo, co)) = (case.size, case.orders);
        let ((ra, ca), (rb, cb), (rc, cc)) = (ao.strides(m, k), bo.strides(k, n), co.strides(m, n));
        let data = case.data();
        let (a, b) = (MatRef::new(&data.0, m, k, ra, ca), MatRef::new(&data.1, k, n, rb, cb));
        let first = |x: f64, len: usize| (x * (len + 1) as f64) as usize;
        for (k, n) in [(k, n), (first(part.0, k), first(part.1, n))] {
            for level in [Level::Baseline, Level::Avx2, Level::Avx512] {
                if level > Level::detected() {
                    continue;
                }
                let run = |b: Rhs<'_, f32>| {
                    let mut c = data.3.clone();
                    let a = a.narrow_cols(0..k);
                    let out = MatMut::new(&mut c, m, n, rc, cc);
                    let plus = Plus { bias: case.bias.then_some(&data.2[..n]), residual: None };
                    product(level, case.alpha, a, b, case.beta, plus, out);
                    c.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
                };
                let plain = run(b.narrow_rows(0..k).narrow_cols(0..n).into());
                prop_assert_eq!(run(Packed::at(level, b).first(k, n)), plain, "{:?}", level);
            }
        }
    }

    #[test]
    fn a_residual_is_what_was_in_c_before(case in case()) {
        let ((m, k, n), (ao, bo, _)) = (case.size, case.orders);
        let ((ra, ca), (rb, cb)) = (ao.strides(m, k), bo.strides(k, n));
        let data = Case { beta: 1.0, orders: (ao, bo, Order::Rows { pad: 3 }), ..case.clone() }.data();
        let (a, b) = (MatRef::new(&data.0, m, k, ra, ca), MatRef::new(&data.1, k, n, rb, cb));
        let bias = case.bias.then_some(&data.2[..]);
        let residual = MatRef::new(&data.3, m, n, n + 3, 1);
        for level in [Level::Baseline, Level::Avx2, Level::Avx512] {
            if level > Level::detected() {
                continue;
            }
            let (mut added, mut before) = (vec![f32::NAN; m * n], vec![0.0; m * n]);
            for i in (0..m).filter(|_| n > 0) {
                before[i * n..(i + 1) * n].copy_from_slice(&data.3[i * (n + 3)..][..n]);
            }
            let plus = Plus { bias, residual: Some(residual) };
            product(level, 1.0, a, b.into(), 0.0, plus, MatMut::new(&mut added, m, n, n, 1));
            let plus = Plus { bias, residual: None };
            product(level, 1.0, a, b.into(), 1.0, plus, MatMut::new(&mut before, m, n, n, 1));
            let bits = |c: &[f32]| c.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&added), bits(&before), "{:?}", level);
        }
    }

    #[test]
    fn bits_do_not_depend_on_cuts_of_rows_and_columns(case in case(), cuts in prop::array::uniform4(0.0..1.0f64)) {
        let (m, _, n) = case.size;
        let data = case.data();
        let part = |x: f64, len: usize| (x * (len + 1) as f64) as usize;
        let (mut rows, mut cols) = ([part(cuts[0], m), part(cuts[1], m)], [part(cuts[2], n), part(cuts[3], n)]);
        rows.sort_unstable();
        cols.sort_unstable();
        for unit in Unit::all().filter(|unit| unit.is_own()) {
            let mut cut = data.3.clone();
            for is in [0..rows[0], rows[0]..rows[1], rows[1]..m] {
                for js in [0..cols[0], cols[0]..cols[1], cols[1]..n] {
                    case.run(unit, &data, is.clone(), js, &mut cut);
                }
            }
            let bits = |c: &[f32]| c.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&cut), bits(&case.whole(unit, &data)), "{:?}", unit);
        }
    }
}

#[test]
fn products_of_doubles_equal_three_loops() {
    let (a, b) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, -1.0, 0.5, 2.0, 0.0, 1.0]);
    let mut c = [f64::NAN; 4];
    let (ma, mb) = (MatRef::new(&a, 2, 3, 3, 1), MatRef::new(&b, 3, 2, 2, 1));
    let plus = Plus { bias: Some(&[10.0, 20.0]), residual: None };
    super::gemm_plus(ma, mb, plus, MatMut::new(&mut c, 2, 2, 2, 1));
    assert_eq!(c, [12.0, 26.0, 16.5, 32.0]);
    let residual = Some(MatRef::new(&[100.0, 200.0], 2, 2, 0, 1));
    super::gemm_plus(ma, mb, Plus { bias: None, residual }, MatMut::new(&mut c, 2, 2, 2, 1));
    assert_eq!(c, [102.0, 206.0, 106.5, 212.0]);
}

#[test]
#[should_panic(expected = "sizes disagree")]
fn sizes_that_disagree_are_refused() {
    let (a, mut c) = ([0.0f32; 6], [0.0f32; 4]);
    super::gemm(
        1.0,
        MatRef::new(&a, 2, 3, 3, 1),
        MatRef::new(&a, 2, 2, 2, 1),
        0.0,
        MatMut::new(&mut c, 2, 2, 2, 1),
    );
}

#[test]
#[should_panic(expected = "share elements")]
fn outputs_with_shared_places_are_refused() {
    let _ = MatMut::new(&mut [0.0f32; 9], 3, 3, 2, 1);
}
