//! Every level that this processor has, against three loops in f64, and against itself under cuts.

use proptest::prelude::*;

use super::unit::product;
use super::{Finish, MatMut, MatRef, Packed, Product, Right};
use crate::Level;

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

/// All that determines a product but its numbers.
#[derive(Clone, Debug)]
struct Case {
    size: (usize, usize, usize),
    orders: (Order, Order, Order),
    alpha: f32,
    beta: f32,
    bias: bool,
    packed: bool,
    seed: u32,
}

fn case() -> impl Strategy<Value = Case> {
    let k = prop_oneof![4 => 0..70usize, 1 => 250..600usize];
    let orders = (any_order(), any_order(), distinct());
    ((side(), k, side()), orders, factor(), factor(), any::<bool>(), any::<bool>(), any::<u32>())
        .prop_map(|(size, orders, alpha, beta, bias, packed, seed)| Case {
            size,
            orders,
            alpha,
            beta,
            bias,
            packed,
            seed,
        })
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
    fn run(
        &self,
        level: Level,
        data: &Data,
        is: std::ops::Range<usize>,
        js: std::ops::Range<usize>,
        c: &mut [f32],
    ) {
        let ((m, k, n), (ao, bo, co)) = (self.size, self.orders);
        let ((ra, ca), (rb, cb), (rc, cc)) = (ao.strides(m, k), bo.strides(k, n), co.strides(m, n));
        let at = |slice: usize, index: usize| index.min(slice);
        let a = MatRef::new(&data.0[at(data.0.len(), is.start * ra)..], is.len(), k, ra, ca);
        let b = MatRef::new(&data.1[at(data.1.len(), js.start * cb)..], k, js.len(), rb, cb);
        let start = at(c.len(), is.start * rc + js.start * cc);
        if is.is_empty() || js.is_empty() {
            return;
        }
        let c = MatMut::new(&mut c[start..], is.len(), js.len(), rc, cc);
        let bias = self.bias.then_some(&data.2[js]);
        let finish = Finish { alpha: self.alpha, beta: self.beta, bias };
        if self.packed {
            product(level, a, Right::Packed(&Packed::at_level(level, b)), finish, c);
        } else {
            product(level, a, Right::Plain(b), finish, c);
        }
    }

    fn whole(&self, level: Level, data: &Data) -> Vec<f32> {
        let mut c = data.3.clone();
        self.run(level, data, 0..self.size.0, 0..self.size.2, &mut c);
        c
    }
}

/// The levels of this processor.
fn levels() -> impl Iterator<Item = Level> {
    [Level::Baseline, Level::Avx2, Level::Avx512]
        .into_iter()
        .filter(|&level| level <= Level::detected())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn products_equal_three_loops_in_double_precision(case in case()) {
        let ((m, k, n), (ao, bo, co)) = (case.size, case.orders);
        let ((ra, ca), (rb, cb), (rc, cc)) = (ao.strides(m, k), bo.strides(k, n), co.strides(m, n));
        let data = case.data();
        for level in levels() {
            let c = case.whole(level, &data);
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
                    prop_assert!(error <= bound, "{level:?} [{i}, {j}]: {} for {want}", c[place]);
                    untouched[place] = false;
                }
            }
            for place in (0..c.len()).filter(|&place| untouched[place]) {
                prop_assert_eq!(c[place].to_bits(), data.3[place].to_bits(), "{:?} wrote between columns", level);
            }
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
        // matrixmultiply computes edges in another way, so this holds for our own kernels only.
        for level in levels().filter(|&level| f32::unit(level).is_some()) {
            let mut cut = data.3.clone();
            for is in [0..rows[0], rows[0]..rows[1], rows[1]..m] {
                for js in [0..cols[0], cols[0]..cols[1], cols[1]..n] {
                    case.run(level, &data, is.clone(), js, &mut cut);
                }
            }
            let bits = |c: &[f32]| c.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&cut), bits(&case.whole(level, &data)), "{:?}", level);
            let other = Case { packed: !case.packed, ..case.clone() };
            prop_assert_eq!(bits(&cut), bits(&other.whole(level, &data)), "{:?}, packed or not", level);
        }
    }
}

#[test]
fn products_of_doubles_equal_three_loops() {
    let (a, b) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, -1.0, 0.5, 2.0, 0.0, 1.0]);
    let mut c = [f64::NAN; 4];
    let (ma, mb) = (MatRef::new(&a, 2, 3, 3, 1), MatRef::new(&b, 3, 2, 2, 1));
    let finish = Finish { alpha: 2.0, beta: 0.0, bias: Some(&[10.0, 20.0][..]) };
    for b in [Right::Plain(mb), Right::Packed(&Packed::new(mb))] {
        super::gemm_finish(ma, b, finish, MatMut::new(&mut c, 2, 2, 2, 1));
        assert_eq!(c, [14.0, 32.0, 23.0, 44.0]);
    }
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
