//! `wavetape gradcheck`: checks the derivatives of every op, layer and model.

use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use autograd::check::{Entry, Summary};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use rayon::prelude::*;
use serde::Serialize;

use crate::args;
use crate::output;
use crate::suggest;

/// Check the gradients of every op, layer and model: in f64 against differences, then f32 against f64, over generated
/// shapes, layouts and values.
#[derive(Debug, Args)]
#[command(after_help = "\
A layer or model is checked with respect to its inputs and to all its parameters, with dropout on.

Examples:
  wavetape gradcheck
  wavetape gradcheck --op layer_norm --cases 1000
  wavetape gradcheck --layer Block --thorough
  wavetape gradcheck --op matmul --cases 1 --seed 17     (one case again, of the seed that a report names)")]
pub(crate) struct GradcheckArgs {
    /// Only the op of this name, in all its forms.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["layer", "model"])]
    op: Option<String>,
    /// Only the layer of this name, in all its forms.
    #[arg(long, value_name = "NAME", conflicts_with = "model")]
    layer: Option<String>,
    /// Only the model of this name, in all its forms.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Print the names and what each takes.
    #[arg(long)]
    list: bool,
    /// Cases for each; 100 for ops and layers and 10 for models, unless given.
    #[arg(long, value_name = "N", value_parser = args::whole::<usize>(args::COUNTS))]
    cases: Option<usize>,
    /// Seed of the first case; the others follow it.
    #[arg(long, default_value_t = 0, value_name = "S")]
    seed: u64,
    /// Every element of every input and parameter, and ten times the cases.
    #[arg(long)]
    thorough: bool,
    /// Print the result as one JSON object and nothing else.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Op,
    Layer,
    Model,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Op => "op",
            Kind::Layer => "layer",
            Kind::Model => "model",
        }
    }

    fn cases(self) -> usize {
        match self {
            Kind::Op | Kind::Layer => 100,
            Kind::Model => 10,
        }
    }

    fn table(self) -> Vec<Entry> {
        match self {
            Kind::Op => autograd::check::table(),
            Kind::Layer => nn::check::table(),
            Kind::Model => models::check::table(),
        }
    }
}

#[derive(Serialize)]
struct Row {
    kind: Kind,
    #[serde(flatten)]
    summary: Summary,
    passed: bool,
    seconds: f64,
}

#[derive(Serialize)]
struct Report {
    passed: bool,
    checked: usize,
    cases: usize,
    seconds: f64,
    rows: Vec<Row>,
}

/// What the arguments name; everything, unless they name something.
fn selected(args: &GradcheckArgs) -> Result<Vec<(Kind, Entry)>> {
    let named = [(Kind::Op, &args.op), (Kind::Layer, &args.layer), (Kind::Model, &args.model)];
    let is_any_named = named.iter().any(|(_, name)| name.is_some());
    let mut entries = Vec::new();
    for (kind, name) in named {
        let fits = |entry: &Entry| match name {
            Some(name) => entry.name() == name || form_of(entry.name()) == name,
            None => !is_any_named,
        };
        let of_kind = kind.table().into_iter().filter(fits).map(|entry| (kind, entry));
        let before = entries.len();
        entries.extend(of_kind);
        if let Some(name) = name.as_ref().filter(|_| entries.len() == before) {
            let word = kind.word();
            let table = kind.table();
            let near = suggest::nearest(name, table.iter().map(|entry| form_of(entry.name())));
            let near = near.map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
            bail!("--{word} {name}: no such {word}; {near}`wavetape gradcheck --list` lists them");
        }
    }
    Ok(entries)
}

/// The name without what tells its forms apart: `Block` of `Block, first tokens`.
fn form_of(name: &str) -> &str {
    name.split([',', ' ']).next().unwrap_or(name)
}

/// Checks, prints a table, and fails if anything does.
pub(crate) fn run(args: &GradcheckArgs) -> Result<()> {
    let out = &mut output::stdout();
    let entries = selected(args)?;
    if args.list {
        for (kind, entry) in &entries {
            writeln!(out, "{:<6} {:<30} {}", kind.word(), entry.name(), entry.spec())?;
        }
        return Ok(());
    }
    let start = Instant::now();
    let progress = Progress::new(entries.len(), args.json);
    let check = |(kind, entry): (Kind, Entry)| {
        let entry = if args.thorough { entry.thorough() } else { entry };
        let times = if args.thorough { 10 } else { 1 };
        let start = Instant::now();
        let summary = entry.run(args.cases.unwrap_or(kind.cases() * times), args.seed);
        progress.checked(entry.name());
        let seconds = start.elapsed().as_secs_f64();
        Row { kind, passed: summary.passed(), summary, seconds }
    };
    // Models take longest, and come last in the table: they are begun first.
    let mut rows: Vec<Row> = entries.into_par_iter().rev().with_max_len(1).map(check).collect();
    rows.reverse();
    progress.clear();
    let passed = rows.iter().all(|row| row.passed);
    let failed = rows.iter().filter(|row| !row.passed).count();
    let cases = rows.iter().map(|row| row.summary.cases).sum();
    let seconds = start.elapsed().as_secs_f64();
    let report = Report { passed, checked: rows.len(), cases, seconds, rows };
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
    } else {
        print(&report, out)?;
    }
    if !passed {
        bail!("{failed} of {} failed", report.checked);
    }
    Ok(())
}

/// What is checked so far, on stderr: a bar in a terminal, a line every few seconds elsewhere.
struct Progress {
    bar: ProgressBar,
    last_line: Option<Mutex<Instant>>,
}

impl Progress {
    const INTERVAL: Duration = Duration::from_secs(10);

    fn new(total: usize, quiet: bool) -> Self {
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}");
        let bar = ProgressBar::new(total as u64).with_style(style.expect("a valid template"));
        let is_plain = !quiet && !io::stderr().is_terminal();
        Self {
            bar: if quiet { ProgressBar::hidden() } else { bar },
            last_line: is_plain.then(|| Mutex::new(Instant::now())),
        }
    }

    fn checked(&self, name: &str) {
        self.bar.set_message(name.to_owned());
        self.bar.inc(1);
        let Some(last) = &self.last_line else { return };
        let mut last = last.lock().expect("nothing panics while it holds the lock");
        if last.elapsed() >= Self::INTERVAL {
            *last = Instant::now();
            output::note(format_args!(
                "{}/{} checked",
                self.bar.position(),
                self.bar.length().unwrap_or(0)
            ));
        }
    }

    fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

fn print(report: &Report, out: &mut impl Write) -> Result<()> {
    let name = |row: &Row| match row.kind {
        Kind::Op => row.summary.name.clone(),
        kind => format!("{} {}", kind.word(), row.summary.name),
    };
    let width = report.rows.iter().map(|row| name(row).chars().count()).max().unwrap_or(0);
    writeln!(
        out,
        "{:<width$}  cases  discards  compared  inconclusive  worst f64  worst f32  seconds",
        ""
    )?;
    for row in &report.rows {
        let Row { summary: s, passed, seconds, .. } = row;
        let mark = if *passed { "" } else { "  FAILED" };
        writeln!(
            out,
            "{:<width$} {:>6} {:>9} {:>9} {:>13} {:>10.3} {:>10.3} {:>8.2}{mark}",
            name(row),
            s.cases,
            s.discards,
            s.compared,
            s.inconclusive,
            s.worst,
            s.worst_single,
            seconds
        )?;
    }
    for failure in report.rows.iter().filter_map(|row| row.summary.failure.as_ref()) {
        writeln!(out, "\n{failure}")?;
    }
    writeln!(
        out,
        "\n{} checked in {} cases and {:.1} s. worst: the largest error as a part of what is allowed, which is ten times the\n\
         estimated error of the differences plus rounding in f64, and a bound on rounding in f32.",
        report.checked, report.cases, report.seconds
    )?;
    Ok(())
}
