//! `wavetape sweep`: trains a recipe with all combinations of given values.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use models::statistics::Estimate;
use serde::Serialize;

use crate::args;
use crate::output;
use crate::study::{self, Base, Cell, Failure, Folder, Outcome, Plan};
use crate::table::{Entry, Table};

/// Train a recipe with all combinations of values, each with several seeds, and print a table: mean ± standard error.
///
/// Each run is a process with a folder of its own, without samples; the same command continues a sweep that was stopped.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wavetape sweep vit-sample --epochs 4 --grid model.position.gamma=0.05,0.2,1 --seeds 3 --out gammas
  wavetape sweep vit-sample --grid optimizer.rate=5e-4,1e-3 --grid train.batch_size=16,32 --jobs 2 --out rates")]
pub(crate) struct SweepArgs {
    /// Recipe inside the program, one of those of `wavetape train`.
    #[arg(default_value = "vit-sample", conflicts_with = "file")]
    recipe: String,
    /// Recipe of one's own, a TOML file.
    #[arg(long = "recipe", value_name = "FILE")]
    file: Option<PathBuf>,
    /// Values of a key to combine with those of the other keys: `key=a,b,c`. A value with a comma stands in brackets or braces.
    #[arg(long, value_name = "KEY=A,B,…", required = true)]
    grid: Vec<String>,
    /// Runs of each combination, with the seeds 0, 1, ….
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = args::whole::<u64>(1..=10_000))]
    seeds: u64,
    /// Folder of the sweep.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Runs at a time; they share the threads.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = args::whole::<usize>(args::THREADS))]
    jobs: usize,
    /// Folder of the data.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Passes over the training set.
    #[arg(long, value_name = "N", value_parser = args::whole::<usize>(args::COUNTS))]
    epochs: Option<usize>,
    /// Steps after which training ends, if before the last epoch.
    #[arg(long, value_name = "N", value_parser = args::whole::<u64>(args::COUNTS))]
    steps: Option<u64>,
    /// Change a value of the recipe in all runs.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Print the result as one JSON object and nothing else.
    #[arg(long)]
    json: bool,
    /// No progress on stderr.
    #[arg(long, short)]
    quiet: bool,
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Report {
    recipe: String,
    metric: String,
    groups: Vec<Group>,
    out: PathBuf,
}

/// The runs of one combination.
#[derive(Debug, Serialize)]
struct Group {
    group: String,
    /// Those that came to their end with a score.
    runs: usize,
    /// None if no run did.
    mean: Option<f64>,
    /// None of a single run.
    standard_error: Option<f64>,
    seconds: Option<f64>,
    /// Why others did not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed: Vec<String>,
}

pub(crate) fn run(args: &SweepArgs) -> Result<()> {
    let mut grid = args.grid.iter().chain(&args.set);
    if let Some(seed) = grid.find(|pair| pair.split('=').next().map(str::trim) == Some("seed")) {
        bail!(
            "{seed} and --seeds {} contradict each other: a sweep's seeds are 0, 1, …",
            args.seeds
        );
    }
    let axes = args.grid.iter().map(|axis| self::axis(axis)).collect::<Result<Vec<_>>>()?;
    let base = Base {
        name: args.recipe.clone(),
        file: args.file.clone(),
        data: args.data.clone(),
        epochs: args.epochs,
        steps: args.steps,
        set: args.set.clone(),
    };
    let mut cells: Vec<Cell> = Vec::new();
    for pairs in combinations(&axes) {
        let group = pairs.iter().map(|pair| short(pair)).collect::<Vec<_>>().join(",");
        for seed in 0..args.seeds {
            let cell = Cell::new(&base, group.clone(), seed, &pairs)?;
            let same = |other: &&Cell| other.group == group || other.recipe == cell.recipe;
            if let Some(other) = cells.iter().filter(|other| other.seed == seed).find(same) {
                bail!(
                    "--grid: {} and {group} are the same runs: one of them expected",
                    other.group
                );
            }
            cells.push(cell);
        }
    }
    let folder = Folder::open(&args.out)?;
    let plan = Plan { jobs: args.jobs, quiet: args.quiet, later: 0.0 };
    let results = study::run(&cells, &folder, &plan)?;
    folder.put_results(results.iter().flatten())?;
    let of_group = results.chunks(usize::try_from(args.seeds)?);
    let groups: Vec<Group> = of_group.map(Group::of).collect();
    let metric = results.iter().flatten().next().map_or("value", Outcome::metric).to_owned();
    let table = table(&groups, &metric);
    folder.put("table.md", table.markdown().as_bytes())?;
    folder.put("table.csv", table.csv()?.as_bytes())?;
    let mut out = output::stdout();
    if args.json {
        let recipe = args.recipe.clone();
        let report = Report { recipe, metric, groups, out: args.out.clone() };
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
    } else {
        write!(out, "{}", table.markdown())?;
    }
    study::refuse(results.iter().filter_map(|result| result.as_ref().err()))
}

/// `key=a,b,c` → the pairs `key=a`, `key=b`, `key=c`.
fn axis(text: &str) -> Result<Vec<String>> {
    let (key, values) =
        text.split_once('=').with_context(|| format!("--grid {text}: key=a,b,c expected"))?;
    let (mut depth, mut parts) = (0_i32, vec![String::new()]);
    for letter in values.chars() {
        depth += i32::from("[{".contains(letter)) - i32::from("]}".contains(letter));
        match letter {
            ',' if depth == 0 => parts.push(String::new()),
            letter => parts.last_mut().expect("starts with one").push(letter),
        }
    }
    if parts.iter().any(|part| part.trim().is_empty()) {
        bail!("--grid {text}: a value between commas is empty");
    }
    Ok(parts.iter().map(|value| format!("{}={}", key.trim(), value.trim())).collect())
}

/// A pair without what stands before its key's last word: `gamma=0.1`, part of a folder's name.
fn short(pair: &str) -> String {
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    let end = key.rsplit_once('.').map_or(key, |(_, end)| end);
    format!("{end}={value}").replace(['/', ' '], "_")
}

/// One pair of each axis, the last axis fastest.
fn combinations(axes: &[Vec<String>]) -> Vec<Vec<String>> {
    axes.iter().fold(vec![Vec::new()], |all, axis| {
        let extended = |pairs: &Vec<String>| {
            let pairs = pairs.clone();
            axis.iter().map(move |pair| [pairs.as_slice(), std::slice::from_ref(pair)].concat())
        };
        all.iter().flat_map(|pairs| extended(pairs).collect::<Vec<_>>()).collect()
    })
}

impl Group {
    fn of(results: &[Result<Outcome, Failure>]) -> Self {
        let estimate = |key: &str| {
            let numbers = results.iter().flatten().filter_map(|outcome| outcome.number(key));
            let numbers: Vec<f64> = numbers.collect();
            (!numbers.is_empty()).then(|| Estimate::of(&numbers))
        };
        let group = match &results[0] {
            Ok(outcome) => outcome.group.clone(),
            Err(failure) => failure.group.clone(),
        };
        let value = estimate("value");
        let failures = results.iter().filter_map(|result| result.as_ref().err());
        let failed = failures.map(|failure| failure.short().to_owned()).collect();
        Self {
            group,
            runs: value.map_or(0, |value| value.count),
            mean: value.map(|value| value.mean),
            standard_error: value.and_then(|value| value.standard_error),
            seconds: estimate("seconds").map(|seconds| seconds.mean),
            failed,
        }
    }
}

fn table(groups: &[Group], metric: &str) -> Table {
    let has_failed = groups.iter().any(|group| !group.failed.is_empty());
    let head = ["".into(), Entry::estimated(metric), "runs".into(), "seconds".into()];
    let mut table = Table::new(head.into_iter().chain(has_failed.then(|| "failed".into())));
    for group in groups {
        let &Group { runs, mean, standard_error, seconds, .. } = group;
        let value = mean.map_or("—".into(), |mean| {
            Entry::estimate(&Estimate { count: runs, mean, standard_error }, 4)
        });
        let seconds = seconds.map_or("—".to_owned(), |seconds| format!("{seconds:.0}"));
        let row = [group.group.clone().into(), value, runs.to_string().into(), seconds.into()];
        let failed = has_failed.then(|| group.failed.join("; ").into());
        table.push(row.into_iter().chain(failed).collect());
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_is_every_combination_and_commas_inside_of_brackets_do_not_divide() {
        let axes = [axis("a.b=1, 2").unwrap(), axis("c=[3,4],{x=1,y=2}").unwrap()];
        let pairs = combinations(&axes);
        assert_eq!(pairs.len(), 4);
        assert_eq!(pairs[1], ["a.b=1", "c={x=1,y=2}"]);
        assert_eq!(pairs[2], ["a.b=2", "c=[3,4]"]);
        assert_eq!(short("model.position.gamma=0.1"), "gamma=0.1");
        assert!(axis("a=1,,2").is_err());
        assert!(axis("a").is_err());
    }
}
