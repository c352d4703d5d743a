//! Studies: many runs, each a process of its own, under one folder. What is finished there is not done again, what was begun is
//! continued.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context as _, Result, bail};
use nn::checkpoint::write_atomically;
use serde_json::{Map, Value};

use crate::recipe::{Changes, ModelConfig, Recipe};
use crate::run::Run;

/// One run of a study.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    /// What it has in common with the runs of other seeds: its folder.
    pub(crate) group: String,
    pub(crate) seed: u64,
    /// What `wavetape train` is given, without folder and threads: the command that repeats the run.
    pub(crate) arguments: Vec<String>,
    recipe: Recipe,
}

/// Where a recipe comes from, and what the command line changes in all runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Base {
    /// Name of a recipe inside the program.
    pub(crate) name: String,
    /// A file in its place.
    pub(crate) file: Option<PathBuf>,
    pub(crate) data: Option<PathBuf>,
    pub(crate) epochs: Option<usize>,
    pub(crate) steps: Option<u64>,
    pub(crate) set: Vec<String>,
}

/// A finished run: the line that `wavetape train --json` has printed.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) group: String,
    pub(crate) seed: u64,
    pub(crate) command: String,
    pub(crate) report: Map<String, Value>,
}

/// How a study is run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Its folder.
    pub(crate) out: PathBuf,
    /// Runs at a time; they share the threads.
    pub(crate) jobs: usize,
    pub(crate) quiet: bool,
}

/// The line of a finished run, in its folder.
const RESULT: &str = "result.json";

impl Cell {
    /// A run of a recipe with more values changed, `set`.
    pub(crate) fn new(base: &Base, group: String, seed: u64, set: &[String]) -> Result<Self> {
        let set: Vec<String> = base.set.iter().chain(set).cloned().collect();
        let (origin, text) = match &base.file {
            Some(file) => (
                file.display().to_string(),
                fs::read_to_string(file).with_context(|| file.display().to_string())?,
            ),
            None => (format!("recipe `{}`", base.name), Recipe::text(&base.name)?.to_owned()),
        };
        let changes = Changes {
            data: base.data.as_deref(),
            epochs: base.epochs,
            steps: base.steps,
            seed: Some(seed),
            set: &set,
        };
        let recipe = Recipe::resolve(&origin, &text, &changes)?;
        let mut arguments = match &base.file {
            Some(file) => vec!["--recipe".to_owned(), file.display().to_string()],
            None => vec![base.name.clone()],
        };
        let mut add = |flag: &str, value: String| arguments.extend([flag.to_owned(), value]);
        if let Some(data) = &base.data {
            add("--data", data.display().to_string());
        }
        if let Some(epochs) = base.epochs {
            add("--epochs", epochs.to_string());
        }
        if let Some(steps) = base.steps {
            add("--steps", steps.to_string());
        }
        add("--seed", seed.to_string());
        set.into_iter().for_each(|pair| add("--set", pair));
        Ok(Self { group, seed, arguments, recipe })
    }

    /// The command that repeats the run.
    pub(crate) fn command(&self) -> String {
        let quoted = self.arguments.iter().map(|word| match word.contains([' ', '"', '[', '*']) {
            true => format!("'{word}'"),
            false => word.clone(),
        });
        format!("wavetape train {}", quoted.collect::<Vec<_>>().join(" "))
    }

    fn folder(&self, out: &Path) -> PathBuf {
        out.join(&self.group).join(format!("seed-{}", self.seed))
    }

    fn outcome(&self, report: Map<String, Value>) -> Outcome {
        Outcome { group: self.group.clone(), seed: self.seed, command: self.command(), report }
    }

    /// What the run in the folder has reported, if it is finished.
    fn finished(&self, folder: &Path) -> Result<Option<Map<String, Value>>> {
        if !folder.join("config.toml").exists() {
            return Ok(None);
        }
        let (_, mut recipe) = Run::open(folder)?;
        // What a run has learnt from its data is not what was asked for.
        if let (ModelConfig::Captioner(run), ModelConfig::Captioner(asked)) =
            (&mut recipe.model, &self.recipe.model)
        {
            run.vocabulary = asked.vocabulary;
        }
        if recipe != self.recipe {
            bail!(
                "{} holds a run of another config: name another folder with --out, or remove it",
                folder.display()
            );
        }
        let path = folder.join(RESULT);
        match fs::read_to_string(&path) {
            Ok(text) => {
                serde_json::from_str(&text).with_context(|| path.display().to_string()).map(Some)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| path.display().to_string()),
        }
    }

    /// Trains, in a process of its own; none if it was interrupted.
    fn train(&self, folder: &Path, threads: usize) -> Result<Option<Map<String, Value>>> {
        let mut command = Command::new(std::env::current_exe().context("this program's path")?);
        command.arg("train");
        if folder.join("checkpoint.safetensors").exists() {
            command.arg("--resume").arg(folder);
        } else {
            // A run that was killed before its first checkpoint starts anew.
            if folder.exists() {
                fs::remove_dir_all(folder).with_context(|| folder.display().to_string())?;
            }
            command.args(&self.arguments).arg("--out").arg(folder);
        }
        command.args(["--threads", &threads.to_string(), "--json", "--quiet"]);
        let output = command
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("starting {}", self.command()))?;
        if !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr);
            bail!("{}: {}", self.command(), message.trim().trim_start_matches("error: "));
        }
        let report: Map<String, Value> = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("what {} has printed", self.command()))?;
        if report.get("finished") != Some(&Value::Bool(true)) {
            return Ok(None);
        }
        let path = folder.join(RESULT);
        write_atomically(&path, &output.stdout).with_context(|| path.display().to_string())?;
        Ok(Some(report))
    }
}

/// Runs what is not finished yet and returns all outcomes in the order of the cells.
///
/// # Errors
/// After all others are done, if a run has failed; at once, if the folder holds a run of another config.
pub(crate) fn run(cells: &[Cell], plan: &Plan) -> Result<Vec<Outcome>> {
    let jobs = plan.jobs.clamp(1, cells.len().max(1));
    let threads = (rayon::current_num_threads() / jobs).max(1);
    let folders: Vec<PathBuf> = cells.iter().map(|cell| cell.folder(&plan.out)).collect();
    let mut results = Vec::with_capacity(cells.len());
    for (cell, folder) in cells.iter().zip(&folders) {
        results.push(cell.finished(folder)?);
    }
    let open: Vec<usize> = (0..cells.len()).filter(|&i| results[i].is_none()).collect();
    let interrupted = interruption()?;
    let (next, start) = (AtomicUsize::new(0), Instant::now());
    let found = Mutex::new(Vec::new());
    let work = || {
        while let Some(&i) = open.get(next.fetch_add(1, Ordering::Relaxed)) {
            if interrupted.load(Ordering::Relaxed) {
                break;
            }
            let result = cells[i].train(&folders[i], threads);
            let Ok(mut found) = found.lock() else { break };
            found.push((i, result));
            if !plan.quiet {
                let (_, result) = &found[found.len() - 1];
                let done = cells.len() - open.len() + found.len();
                let left = start.elapsed() * (open.len() - found.len()) as u32 / found.len() as u32;
                eprintln!("{}", progress(&cells[i], result, [done, cells.len()], left));
            }
        }
    };
    thread::scope(|scope| (0..jobs).for_each(|_| drop(scope.spawn(work))));
    let mut failures = Vec::new();
    for (i, result) in found.into_inner().unwrap_or_default() {
        match result {
            Ok(report) => results[i] = report,
            Err(error) => failures.push(format!("{error:#}")),
        }
    }
    if !failures.is_empty() {
        bail!("{} of {} runs have failed: {}", failures.len(), cells.len(), failures.join("; "));
    }
    let outcome = |(cell, report): (&Cell, Option<_>)| report.map(|report| cell.outcome(report));
    let outcomes: Option<Vec<_>> = cells.iter().zip(results).map(outcome).collect();
    outcomes.context("interrupted; the same command continues")
}

/// Set by Ctrl-C: no run is begun any more, and those under way, which have got it as well, save themselves.
fn interruption() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&flag);
    ctrlc::set_handler(move || {
        if set.swap(true, Ordering::Relaxed) {
            std::process::exit(1);
        }
    })
    .context("Ctrl-C cannot be handled")?;
    Ok(flag)
}

fn progress(
    cell: &Cell,
    result: &Result<Option<Map<String, Value>>>,
    [done, all]: [usize; 2],
    left: Duration,
) -> String {
    let outcome = match result {
        Ok(Some(report)) => {
            let (metric, value) = (&report["metric"], &report["value"]);
            let value = value.as_f64().unwrap_or(f64::NAN);
            let seconds = report["seconds"].as_f64().unwrap_or(f64::NAN);
            format!("{} {value:.4}, {seconds:.0} s", metric.as_str().unwrap_or_default())
        }
        Ok(None) => "interrupted".to_owned(),
        Err(error) => format!("{error:#}"),
    };
    let minutes = left.as_secs_f64() / 60.0;
    format!(
        "[{done}/{all}] {} seed {}: {outcome}; about {minutes:.1} min left",
        cell.group, cell.seed
    )
}

impl Outcome {
    /// A figure of the report.
    pub(crate) fn number(&self, key: &str) -> Option<f64> {
        self.report.get(key).and_then(Value::as_f64)
    }

    /// What the run's `value` is.
    pub(crate) fn metric(&self) -> &str {
        self.report.get("metric").and_then(Value::as_str).unwrap_or("value")
    }

    /// The line of `results.jsonl`.
    fn line(&self) -> Value {
        let mut line = self.report.clone();
        line.insert("group".to_owned(), self.group.clone().into());
        line.insert("seed".to_owned(), self.seed.into());
        line.insert("command".to_owned(), self.command.clone().into());
        Value::Object(line)
    }
}

/// Leaves all lines in the study's folder, `results.jsonl`.
pub(crate) fn write_results(out: &Path, outcomes: &[Outcome]) -> Result<()> {
    let lines: String = outcomes.iter().map(|outcome| format!("{}\n", outcome.line())).collect();
    put(out, "results.jsonl", &lines)
}

/// Writes a file of the study's folder in one step.
pub(crate) fn put(out: &Path, file: &str, text: &str) -> Result<()> {
    let path = out.join(file);
    write_atomically(&path, text.as_bytes()).with_context(|| path.display().to_string())
}

/// Rows of cells, the first of them a head.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table(pub(crate) Vec<Vec<String>>);

impl Table {
    /// As Markdown, columns aligned.
    pub(crate) fn markdown(&self) -> String {
        let columns = self.0.first().map_or(0, Vec::len);
        let width = |k: usize| self.0.iter().map(|row| row[k].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let line = |row: &[String]| {
            let cells = row.iter().zip(&widths).map(|(cell, &width)| format!(" {cell:width$} |"));
            format!("|{}\n", cells.collect::<String>())
        };
        let rule: Vec<String> = widths.iter().map(|&width| "-".repeat(width)).collect();
        let rows = self.0.iter().map(|row| line(row));
        let mut lines: Vec<String> = rows.collect();
        if !lines.is_empty() {
            lines.insert(1, line(&rule));
        }
        lines.concat()
    }

    /// As CSV (RFC 4180).
    pub(crate) fn csv(&self) -> String {
        let cell = |cell: &String| match cell.contains([',', '"', '\n']) {
            true => format!("\"{}\"", cell.replace('"', "\"\"")),
            false => cell.clone(),
        };
        let line = |row: &Vec<String>| row.iter().map(cell).collect::<Vec<_>>().join(",") + "\n";
        self.0.iter().map(line).collect()
    }
}
