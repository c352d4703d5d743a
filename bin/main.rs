//! The `wavetape` program: each subcommand is a file.

mod args;
mod asked;
mod baselines;
mod bench;
mod caption;
mod caption_baselines;
mod captioner;
mod choose;
mod classifier;
mod coco;
mod compare;
mod config;
mod confusion;
mod data;
mod detect;
mod detector;
mod draw;
mod eval;
mod font;
mod from;
mod generate;
mod generator;
mod gradcheck;
mod inspect;
mod interrupt;
mod log;
mod lr_find;
mod manual;
mod output;
mod parity;
mod picture;
mod predict;
mod progress;
mod recipe;
mod report;
mod run;
mod samples;
mod shell;
mod source;
mod state;
mod study;
mod suggest;
mod survey;
mod sweep;
mod system;
mod table;
mod task;
mod tensorboard;
mod train;
mod trained;
mod trainer;
mod tui;
mod watch;
mod written;

use std::io::Write;
use std::process::ExitCode;

use anstyle::AnsiColor;
use anyhow::{Result, anyhow};
use clap::{CommandFactory as _, Parser, Subcommand};

/// Train small transformers with learnable Fourier position encodings on a CPU.
#[derive(Debug, Parser)]
#[command(version, term_width = 80)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Threads to use; all processors, unless given. Results do not depend on it.
    #[arg(long, global = true, value_name = "N", value_parser = args::whole::<usize>(args::THREADS))]
    threads: Option<usize>,
}

/// What the program says of itself when it is asked for nothing.
const OVERVIEW: &str = "\
wavetape trains small transformers with learnable Fourier positions on a CPU.

  wavetape train                  try this first: garments, in a minute or two
  wavetape data my-photos         what is in a folder of your own
  wavetape train my-photos        a model for it: of classes, boxes or captions
  wavetape predict RUN photo.jpg  what that model says of a picture
  wavetape report RUN             one page about a run, with curves and mistakes
  wavetape compare                position encodings beside each other
  wavetape gradcheck              the gradients of every op, layer and model
  wavetape help [COMMAND]         all commands and their options";

#[derive(Debug, Subcommand)]
enum Command {
    Data(survey::DataArgs),
    Train(Box<train::TrainArgs>),
    LrFind(lr_find::LrFindArgs),
    Eval(eval::EvalArgs),
    Predict(predict::PredictArgs),
    Detect(detect::DetectArgs),
    Caption(caption::CaptionArgs),
    Generate(generate::GenerateArgs),
    Sweep(Box<sweep::SweepArgs>),
    Compare(Box<compare::CompareArgs>),
    Inspect(inspect::InspectArgs),
    Report(report::ReportArgs),
    Bench(bench::BenchArgs),
    Gradcheck(gradcheck::GradcheckArgs),
    Parity(parity::ParityArgs),
    Config(config::ConfigArgs),
    Completions(manual::CompletionsArgs),
    Man(manual::ManArgs),
}

fn run(cli: &Cli) -> Result<()> {
    let processors = std::thread::available_parallelism().map_or(usize::MAX, usize::from);
    if let Some(threads) = cli.threads.filter(|&threads| threads > processors) {
        let there_are = output::counted(processors, "processor");
        output::note(format_args!(
            "--threads {threads}: there are {there_are}; more threads only take turns on them"
        ));
    }
    // 0 stands for all processors here. Ops called from this thread split over the pool, so it is not inside of it.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(cli.threads.unwrap_or(0));
    // rayon's message is that of its source.
    pool.build_global().map_err(|error| anyhow!("threads cannot be started: {error}"))?;
    let Some(command) = &cli.command else {
        return Ok(writeln!(output::stdout(), "{OVERVIEW}")?);
    };
    match command {
        Command::Data(args) => survey::run(args),
        Command::Train(args) => train::run(args),
        Command::LrFind(args) => lr_find::run(args),
        Command::Eval(args) => eval::run(args),
        Command::Predict(args) => predict::run(args),
        Command::Detect(args) => detect::run(args),
        Command::Caption(args) => caption::run(args),
        Command::Generate(args) => generate::run(args),
        Command::Sweep(args) => sweep::run(args),
        Command::Compare(args) => compare::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Report(args) => report::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Gradcheck(args) => gradcheck::run(args),
        Command::Parity(args) => parity::run(args),
        Command::Config(args) => config::run(args),
        Command::Completions(args) => manual::completions(args, Cli::command()),
        Command::Man(args) => manual::man(args, Cli::command()),
    }
}

fn is_broken_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    let error = error.downcast_ref::<std::io::Error>();
    error.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// An error on stderr. Coloured in a terminal only, and not if NO_COLOR is set.
fn report(error: &str) {
    let red = AnsiColor::Red.on_default().bold();
    let _ = writeln!(anstream::stderr(), "{red}error:{red:#} {}", error.trim_end());
}

fn main() -> ExitCode {
    let done = run(&Cli::parse());
    // What is still to be written counts as well: a full disk is noticed here at the latest.
    match done.and_then(|()| Ok(output::stdout().flush()?)) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output has seen enough.
        Err(error) if error.chain().any(is_broken_pipe) => ExitCode::SUCCESS,
        Err(error) => {
            report(&format!("{error:#}"));
            ExitCode::from(1)
        }
    }
}
