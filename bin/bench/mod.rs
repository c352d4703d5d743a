//! `wavetape bench`: seconds of a training step on fixed workloads, where they go, and what the machine could do.

mod model;
pub(crate) mod profile;
mod roofline;
mod workload;

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use autograd::profile::{finish as finish_record, span, start as start_record};
use clap::{Args, ValueEnum};
use nn::{AdamW, AdamWConfig, Params, Shards, clip_scale, micro_batch};
use serde::Serialize;

pub(crate) use self::model::Model;
use self::model::gemm_flop;
use self::roofline::Roofline;
use self::workload::Workload;
use crate::args;
use crate::config::Bounds;
use crate::output;
use crate::system;

/// Time training steps (forward, loss, backward, clipping, AdamW) on fixed workloads.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wavetape bench
  wavetape bench --workload vit-m --seconds 4 --threads 1 --profile
  wavetape bench --workload vit-s --trace step.json      (then open it in ui.perfetto.dev)
  wavetape bench --roofline --products")]
pub(crate) struct BenchArgs {
    /// The workload; all of them, unless one is named.
    #[arg(long)]
    workload: Option<Workload>,
    /// Seconds to measure each for.
    #[arg(long, default_value_t = 8.0, value_parser = args::number(Bounds::new(0.0, 86_400.0)))]
    seconds: f64,
    /// Samples of a shard; by rule, unless given.
    #[arg(long, value_parser = args::whole::<usize>(1..=1 << 20))]
    micro_batch: Option<usize>,
    /// Height and width of igpt-xl's images, instead of 64: how time and memory grow with the number of tokens.
    #[arg(long, value_name = "SIDE", value_parser = clap::value_parser!(u16).range(1..=256))]
    side: Option<u16>,
    /// Tokens of each of igpt-xl's pixels, instead of 1.
    #[arg(long, value_name = "C", value_parser = clap::value_parser!(u16).range(1..=4))]
    channels: Option<u16>,
    /// Print a table of ops: calls, time, speed, and memory kept for the backward pass, per step.
    #[arg(long)]
    profile: bool,
    /// Write one step's ops on all threads to this file, in Chrome's trace format (ui.perfetto.dev opens it).
    #[arg(long, value_name = "FILE", requires = "workload")]
    trace: Option<PathBuf>,
    /// Measure this machine's multiply-adds, matrix products and memory bandwidth, and print each workload's share.
    #[arg(long)]
    roofline: bool,
    /// With --roofline, measure these limits and a table of products only.
    #[arg(long, requires = "roofline", conflicts_with_all = ["workload", "profile"])]
    products: bool,
    /// Print JSON and nothing else: one object a workload, after one of the roofline.
    #[arg(long)]
    json: bool,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Figures {
    name: String,
    threads: usize,
    ms_med: f64,
    ms_min: f64,
    img_s: f64,
    params: usize,
    gflop: f64,
    gflop_s: f64,
    rss_mb: Option<u64>,
    /// Tokens of a sample.
    tokens: usize,
    steps: usize,
    micro_batch: usize,
    simd: String,
    /// gflop_s as a part of this machine's multiply-adds.
    #[serde(skip_serializing_if = "Option::is_none")]
    of_fma: Option<f64>,
    /// gflop_s as a part of this machine's fastest large product.
    #[serde(skip_serializing_if = "Option::is_none")]
    of_products: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<Vec<profile::Row>>,
}

fn measure(workload: Workload, args: &BenchArgs, limits: Option<&Roofline>) -> Result<Figures> {
    tensor::clear_pool();
    system::reset_peak_memory();
    let (config, batch) = workload.config(args);
    let mut params = Params::new();
    let model = Model::new(&mut params, &config, batch)?;
    let by_rule = micro_batch(batch, config.tokens());
    let micro_batch = args.micro_batch.unwrap_or(by_rule);
    let mut optimizer = AdamW::new(&params, AdamWConfig::default());
    let mut step = |number: u64| {
        let _span = span("step");
        let shards = Shards { batch, micro_batch, seed: 0, step: number };
        let step = shards.differentiate(&params, |cx, range| (model.loss(cx, range, batch), ()));
        let scale = {
            let _span = span("norm of gradients");
            clip_scale(step.grads.norm(), 1.0)
        };
        let _span = span("AdamW");
        optimizer.step(&mut params, &step.grads, 1e-4, scale);
    };
    (0..3).for_each(&mut step);
    let (start, mut times) = (Instant::now(), Vec::new());
    while start.elapsed() < Duration::from_secs_f64(args.seconds) || times.len() < 5 {
        let start = Instant::now();
        step(3 + times.len() as u64);
        times.push(start.elapsed().as_secs_f64());
    }
    let rss_mb = system::peak_memory_mb();
    let mut next = 3 + times.len() as u64;
    let mut record = |steps: u64| {
        start_record();
        (next..next + steps).for_each(&mut step);
        next += steps;
        finish_record()
    };
    const PROFILED: usize = 10;
    let profile = args.profile.then(|| profile::table(&record(PROFILED as u64), PROFILED));
    if let Some(path) = &args.trace {
        profile::write_trace(path, &record(1))?;
    }
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    let gflop = gemm_flop(&config, batch) / 1e9;
    let name = workload.to_possible_value().expect("no variant is skipped").get_name().to_owned();
    Ok(Figures {
        name,
        threads: rayon::current_num_threads(),
        ms_med: 1e3 * median,
        ms_min: 1e3 * times[0],
        img_s: batch as f64 / median,
        params: params.elements(),
        gflop,
        gflop_s: gflop / median,
        rss_mb,
        tokens: config.tokens(),
        steps: times.len(),
        micro_batch,
        simd: format!("{:?}", tensor::Level::current()).to_lowercase(),
        of_fma: limits.map(|limits| gflop / median / limits.fma_gflop_s),
        of_products: limits.map(|limits| gflop / median / limits.product_gflop_s),
        profile,
    })
}

/// Runs the workloads one after another.
pub(crate) fn run(args: &BenchArgs) -> Result<()> {
    let is_sized = args.side.is_some() || args.channels.is_some();
    if is_sized && args.workload != Some(Workload::IgptXl) {
        bail!("--side and --channels: --workload igpt-xl expected");
    }
    let out = &mut output::stdout();
    args.trace.as_deref().map(output::check_file).transpose()?;
    let all = Workload::value_variants();
    let chosen = args.workload.as_ref().map_or(all, std::slice::from_ref);
    let limits = args.roofline.then(|| roofline::measure(args.products));
    if let Some(limits) = &limits {
        if args.json {
            writeln!(out, "{}", serde_json::to_string(limits)?)?;
        } else {
            limits.print(out)?;
        }
    }
    if args.products {
        return Ok(());
    }
    if !args.json {
        writeln!(out, "workload  threads   ms (median)   ms (min)     img/s   GFLOP/s  peak MB")?;
    }
    for &workload in chosen {
        let f = measure(workload, args, limits.as_ref())?;
        if args.json {
            writeln!(out, "{}", serde_json::to_string(&f)?)?;
        } else {
            let memory = f.rss_mb.map_or("?".to_owned(), |mb| mb.to_string());
            writeln!(
                out,
                "{:<9} {:>7} {:>13.1} {:>10.1} {:>9.1} {:>9.1} {memory:>8}",
                f.name, f.threads, f.ms_med, f.ms_min, f.img_s, f.gflop_s
            )?;
            if let (Some(fma), Some(products)) = (f.of_fma, f.of_products) {
                let (fma, products) = (100.0 * fma, 100.0 * products);
                writeln!(out, "  {fma:.0} % of multiply-adds, {products:.0} % of products")?;
            }
            if let Some(rows) = &f.profile {
                profile::print(rows, out)?;
            }
        }
    }
    Ok(())
}
