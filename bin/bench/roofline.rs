//! What the machine can do: multiply-adds, products and memory traffic, measured by running them.

use std::hint::black_box;
use std::io::Write;
use std::time::Instant;

use anyhow::Result;
use serde::Serialize;
use tensor::{Level, MatMut, MatRef, gemm};

/// Limits of this machine, on all threads that the program uses.
#[derive(Debug, Serialize)]
pub(super) struct Roofline {
    threads: usize,
    simd: String,
    /// Fused multiply-adds on operands that never leave the first-level cache.
    pub(super) fma_gflop_s: f64,
    /// The best of our products below.
    pub(super) product_gflop_s: f64,
    /// The best of matrixmultiply's.
    pub(super) matrixmultiply_gflop_s: f64,
    /// Bytes read and written by a ← b + s·c over arrays of 64 MiB.
    pub(super) memory_gb_s: f64,
    /// On one thread.
    products: Vec<Product>,
}

/// Speed of one product.
#[derive(Debug, Serialize)]
struct Product {
    /// N or T for A and B: stored as they are, or transposed.
    layout: &'static str,
    batch: usize,
    /// A is [m, k], B is [k, n].
    m: usize,
    k: usize,
    n: usize,
    gflop_s: f64,
    matrixmultiply_gflop_s: f64,
}

/// Products of the workloads: of whole batches, of shards, of attention's tiles, of single tokens; and a large one.
const PRODUCTS: [(&str, usize, [usize; 3]); 44] = [
    ("NN", 1, [6400, 64, 64]),
    ("NN", 1, [6400, 64, 192]),
    ("NN", 1, [6400, 64, 256]),
    ("NN", 1, [6400, 256, 64]),
    ("NN", 1, [4160, 192, 576]),
    ("NN", 1, [4160, 192, 768]),
    ("NN", 1, [4160, 768, 192]),
    ("NT", 1, [6400, 64, 64]),
    ("NT", 1, [6400, 256, 64]),
    ("NT", 1, [6400, 64, 256]),
    ("NT", 1, [4160, 768, 192]),
    ("NT", 1, [4160, 192, 768]),
    ("TN", 1, [64, 6400, 64]),
    ("TN", 1, [64, 6400, 256]),
    ("TN", 1, [256, 6400, 64]),
    ("TN", 1, [192, 4160, 576]),
    ("TN", 1, [192, 4160, 768]),
    ("TN", 1, [768, 4160, 192]),
    ("NT", 1, [400, 64, 192]),
    ("NT", 1, [400, 64, 256]),
    ("NT", 1, [400, 256, 64]),
    ("NN", 1, [400, 192, 64]),
    ("NN", 1, [400, 256, 64]),
    ("TN", 1, [192, 400, 64]),
    ("TN", 1, [256, 400, 64]),
    ("NT", 1, [520, 192, 576]),
    ("NT", 1, [520, 192, 768]),
    ("NT", 1, [520, 768, 192]),
    ("NN", 1, [520, 576, 192]),
    ("NN", 1, [520, 768, 192]),
    ("TN", 1, [576, 520, 192]),
    ("TN", 1, [768, 520, 192]),
    ("NT", 64, [50, 16, 50]),
    ("NN", 64, [50, 50, 16]),
    ("TN", 64, [50, 50, 16]),
    ("NT", 64, [65, 64, 65]),
    ("NN", 64, [65, 65, 64]),
    ("TN", 64, [65, 65, 64]),
    ("NT", 64, [64, 64, 128]),
    ("NN", 64, [64, 128, 64]),
    ("NN", 1, [1, 192, 768]),
    ("NT", 1, [1, 192, 768]),
    ("NN", 1, [128, 128, 128]),
    ("NN", 1, [512, 512, 512]),
];

/// GFLOP/s of `run`, which does `flop` operations, in rounds of at least `milliseconds`, the slowest first.
fn rates<const ROUNDS: usize>(
    flop: usize,
    milliseconds: f64,
    mut run: impl FnMut(),
) -> [f64; ROUNDS] {
    run();
    let start = Instant::now();
    run();
    let once = start.elapsed().as_secs_f64().max(1e-9);
    let count = (1e-3 * milliseconds / once).ceil().max(1.0) as usize;
    let mut rates = [(); ROUNDS].map(|()| {
        let start = Instant::now();
        (0..count).for_each(|_| run());
        (count * flop) as f64 / start.elapsed().as_secs_f64() / 1e9
    });
    rates.sort_by(f64::total_cmp);
    rates
}

/// The median of 7 rounds: what to expect.
fn rate(flop: usize, milliseconds: f64, run: impl FnMut()) -> f64 {
    rates::<7>(flop, milliseconds, run)[3]
}

/// The fastest of 20 rounds: a limit.
fn limit(flop: usize, milliseconds: f64, run: impl FnMut()) -> f64 {
    rates::<20>(flop, milliseconds, run)[19]
}

/// A product and its operands.
struct Case {
    layout: &'static str,
    batch: usize,
    size: [usize; 3],
    a: Vec<f32>,
    b: Vec<f32>,
    c: Vec<f32>,
}

impl Case {
    fn new(&(layout, batch, size): &(&'static str, usize, [usize; 3])) -> Self {
        let [m, k, n] = size;
        let numbers = |len: usize| (0..len).map(|i| (i % 17) as f32 / 16.0 - 0.5).collect();
        let (a, b) = (numbers(batch * m * k), numbers(batch * k * n));
        Self { layout, batch, size, a, b, c: vec![0.0; batch * m * n] }
    }

    fn flop(&self) -> usize {
        2 * self.batch * self.size.iter().product::<usize>()
    }

    fn run(&mut self) {
        let [m, k, n] = self.size;
        for i in 0..self.batch {
            let (a, b) = (&self.a[i * m * k..], &self.b[i * k * n..]);
            let a = match self.layout.starts_with('N') {
                true => MatRef::new(a, m, k, k, 1),
                false => MatRef::new(a, m, k, 1, m),
            };
            let b = match self.layout.ends_with('N') {
                true => MatRef::new(b, k, n, n, 1),
                false => MatRef::new(b, k, n, 1, k),
            };
            gemm(1.0, a, b, 0.0, MatMut::new(&mut self.c[i * m * n..], m, n, n, 1));
        }
        black_box(&mut self.c);
    }
}

/// Sums what all threads reach at the same time.
fn on_all_threads(measure: impl Fn() -> f64 + Sync) -> f64 {
    rayon::broadcast(|_| measure()).into_iter().sum()
}

/// The speed of a product whose operands are one row of B and one number of A, which stay in the cache: nothing but
/// multiply-adds is left.
fn fma() -> f64 {
    let (a, b, mut c) = ([0.5f32], [0.25f32; 32], [0.0f32; 12 * 32]);
    let (m, k, n) = (12, 4096, 32);
    limit(2 * m * k * n, 10.0, || {
        let (a, b) = (MatRef::new(&a, m, k, 0, 0), MatRef::new(&b, k, n, 0, 1));
        gemm(1.0, a, b, 0.0, MatMut::new(&mut c, m, n, n, 1));
        black_box(&mut c);
    })
}

fn memory() -> f64 {
    let len = 1 << 24;
    let (b, c, mut a) = (vec![1.0f32; len], vec![2.0f32; len], vec![0.0f32; len]);
    limit(3 * len * size_of::<f32>(), 15.0, || {
        tensor::par::for_chunks(&mut a, 1 << 16, usize::MAX, |start, a| {
            tensor::vectorize(
                #[inline(always)]
                |_| {
                    for ((a, b), c) in a.iter_mut().zip(&b[start..]).zip(&c[start..]) {
                        *a = *b + 3.0 * *c;
                    }
                },
            );
        });
        black_box(&mut a);
    })
}

/// Runs `measure` with matrixmultiply's products in place of ours.
fn with_matrixmultiply<R>(measure: impl FnOnce() -> R) -> R {
    Level::Baseline.limit();
    let result = measure();
    Level::Avx512.limit();
    result
}

/// The four limits, and the table of products if it is asked for.
pub(super) fn measure(with_products: bool) -> Roofline {
    let best = || {
        let large = [("NN", 1, [512, 512, 512]), ("NT", 1, [520, 192, 768])];
        let rates = large.iter().map(|case| {
            on_all_threads(|| {
                let mut case = Case::new(case);
                limit(case.flop(), 10.0, || case.run())
            })
        });
        rates.fold(0.0, f64::max)
    };
    let products = PRODUCTS.iter().filter(|_| with_products).map(|product| {
        let mut case = Case::new(product);
        let &(layout, batch, [m, k, n]) = product;
        let gflop_s = rate(case.flop(), 10.0, || case.run());
        let matrixmultiply_gflop_s = with_matrixmultiply(|| rate(case.flop(), 10.0, || case.run()));
        Product { layout, batch, m, k, n, gflop_s, matrixmultiply_gflop_s }
    });
    Roofline {
        products: products.collect(),
        threads: rayon::current_num_threads(),
        simd: format!("{:?}", Level::current()).to_lowercase(),
        fma_gflop_s: on_all_threads(fma),
        product_gflop_s: best(),
        matrixmultiply_gflop_s: with_matrixmultiply(best),
        memory_gb_s: memory(),
    }
}

impl Roofline {
    pub(super) fn print(&self, out: &mut impl Write) -> Result<()> {
        writeln!(
            out,
            "{} threads, {}: multiply-adds {:.0} GFLOP/s, products {:.0} GFLOP/s (matrixmultiply {:.0}), memory {:.1} GB/s",
            self.threads,
            self.simd,
            self.fma_gflop_s,
            self.product_gflop_s,
            self.matrixmultiply_gflop_s,
            self.memory_gb_s
        )?;
        if self.products.is_empty() {
            return Ok(());
        }
        let peak = self.fma_gflop_s / self.threads as f64;
        writeln!(
            out,
            "one thread: product      GFLOP/s   of multiply-adds   matrixmultiply   ours/its"
        )?;
        for product in &self.products {
            let &Product { layout, batch, m, k, n, gflop_s, matrixmultiply_gflop_s } = product;
            let batch = if batch > 1 { format!("{batch}×") } else { String::new() };
            writeln!(
                out,
                "{:<22} {gflop_s:>9.1} {:>17.0} % {matrixmultiply_gflop_s:>16.1} {:>10.2}",
                format!("{layout} {batch}({m}, {k}, {n})"),
                100.0 * gflop_s / peak,
                gflop_s / matrixmultiply_gflop_s
            )?;
        }
        Ok(())
    }
}
