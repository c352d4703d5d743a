//! `wavetape gradcheck`: checks the derivatives of every op.

use std::io::{self, Write};
use std::time::Instant;

use anyhow::{Result, bail};
use autograd::check::{Entry, Summary, table};
use clap::Args;
use rayon::prelude::*;
use serde::Serialize;

/// Check the gradient of every op: in f64 against differences, then f32 against f64, over generated shapes and layouts.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wavetape gradcheck
  wavetape gradcheck --op layer_norm --cases 1000
  wavetape gradcheck --op matmul --cases 1 --seed 17     (one case again, of the seed that a report names)")]
pub(crate) struct GradcheckArgs {
    /// The op; all of them, unless one is named.
    #[arg(long, value_name = "NAME")]
    op: Option<String>,
    /// Print the names of the ops and what they take.
    #[arg(long)]
    list: bool,
    /// Cases for each op.
    #[arg(long, default_value_t = 100, value_name = "N")]
    cases: usize,
    /// Seed of the first case; the others follow it.
    #[arg(long, default_value_t = 0, value_name = "S")]
    seed: u64,
    /// Print the result as one JSON object and nothing else.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    summary: Summary,
    passed: bool,
    seconds: f64,
}

#[derive(Serialize)]
struct Report {
    passed: bool,
    ops: usize,
    seconds: f64,
    rows: Vec<Row>,
}

/// Checks, prints a table, and fails if an op does.
pub(crate) fn run(args: &GradcheckArgs) -> Result<()> {
    let out = &mut io::stdout().lock();
    let mut entries = table();
    if let Some(name) = &args.op {
        entries.retain(|entry| entry.name() == name);
        if entries.is_empty() {
            bail!("--op {name}: no such op; `wavetape gradcheck --list` lists them");
        }
    }
    if args.list {
        for entry in &entries {
            writeln!(out, "{:<24} {}", entry.name(), entry.spec())?;
        }
        return Ok(());
    }
    if args.cases == 0 {
        bail!("--cases 0: at least 1 expected");
    }
    let start = Instant::now();
    let check = |entry: &Entry| {
        let start = Instant::now();
        let summary = entry.run(args.cases, args.seed);
        Row { passed: summary.passed(), summary, seconds: start.elapsed().as_secs_f64() }
    };
    let rows: Vec<Row> = entries.par_iter().map(check).collect();
    let passed = rows.iter().all(|row| row.passed);
    let failed = rows.iter().filter(|row| !row.passed).count();
    let seconds = start.elapsed().as_secs_f64();
    let report = Report { passed, ops: rows.len(), seconds, rows };
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
    } else {
        print(&report, out)?;
    }
    if !passed {
        bail!("{failed} of {} ops failed", report.ops);
    }
    Ok(())
}

fn print(report: &Report, out: &mut impl Write) -> Result<()> {
    writeln!(
        out,
        "op                        cases  compared  inconclusive  discards  worst f64  worst f32  seconds"
    )?;
    for Row { summary: s, passed, seconds } in &report.rows {
        let mark = if *passed { "" } else { "  FAILED" };
        writeln!(
            out,
            "{:<24} {:>6} {:>9} {:>13} {:>9} {:>10.3} {:>10.3} {:>8.2}{mark}",
            s.name,
            s.cases,
            s.compared,
            s.inconclusive,
            s.discards,
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
        "\n{} ops in {:.1} s; worst: largest error as a part of what is allowed",
        report.ops, report.seconds
    )?;
    Ok(())
}
