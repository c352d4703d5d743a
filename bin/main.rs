//! The `wavetape` program: each subcommand is a file.

mod baselines;
mod bench;
mod caption;
mod caption_baselines;
mod captioner;
mod classifier;
mod coco;
mod data;
mod detect;
mod detector;
mod draw;
mod eval;
mod font;
mod generate;
mod generator;
mod gradcheck;
mod inspect;
mod log;
mod parity;
mod picture;
mod progress;
mod recipe;
mod report;
mod run;
mod source;
mod state;
mod study;
mod sweep;
mod system;
mod task;
mod tensorboard;
mod train;
mod trainer;
mod watch;

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand};

/// Train small transformers with learnable Fourier position encodings on a CPU.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Threads to use; all processors, unless given. Results do not depend on it.
    #[arg(long, global = true, value_name = "N")]
    threads: Option<usize>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Train(Box<train::TrainArgs>),
    Eval(eval::EvalArgs),
    Detect(detect::DetectArgs),
    Caption(caption::CaptionArgs),
    Generate(generate::GenerateArgs),
    Sweep(Box<sweep::SweepArgs>),
    Inspect(inspect::InspectArgs),
    Report(report::ReportArgs),
    Bench(bench::BenchArgs),
    Gradcheck(gradcheck::GradcheckArgs),
    Parity(parity::ParityArgs),
}

fn run(cli: &Cli) -> Result<ExitCode> {
    if cli.threads == Some(0) {
        bail!("--threads 0: at least 1 expected");
    }
    // 0 stands for all processors here. Ops called from this thread split over the pool, so it is not inside of it.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(cli.threads.unwrap_or(0));
    pool.build_global().context("threads cannot be started")?;
    match &cli.command {
        Command::Train(args) => return train::run(args),
        Command::Eval(args) => eval::run(args),
        Command::Detect(args) => detect::run(args),
        Command::Caption(args) => caption::run(args),
        Command::Generate(args) => generate::run(args),
        Command::Sweep(args) => sweep::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Report(args) => report::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Gradcheck(args) => gradcheck::run(args),
        Command::Parity(args) => parity::run(args),
    }?;
    Ok(ExitCode::SUCCESS)
}

fn is_broken_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    let error = error.downcast_ref::<std::io::Error>();
    error.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(code) => code,
        // Whoever read our output has seen enough.
        Err(error) if error.chain().any(is_broken_pipe) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(1)
        }
    }
}
