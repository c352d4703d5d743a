//! Studies: many runs, each a process of its own, under one folder. What is finished there is not done again, what was begun is
//! continued.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, Once};
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context as _, Result, bail};
use nn::checkpoint::write_atomically;
use serde_json::{Map, Value};

use crate::output;
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
    pub(crate) recipe: Recipe,
    /// How the run is scored when it is trained.
    pub(crate) scorings: Vec<Scoring>,
    /// What it takes, in units that all cells of a study share.
    pub(crate) cost: f64,
}

/// A call of `wavetape eval` on a run.
#[derive(Clone, Debug)]
pub(crate) struct Scoring {
    /// Its line is kept as `score-NAME.json`.
    pub(crate) name: String,
    pub(crate) arguments: Vec<String>,
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
    pub(crate) folder: PathBuf,
    pub(crate) report: Map<String, Value>,
    /// What each of the cell's scorings has reported.
    pub(crate) scores: BTreeMap<String, Map<String, Value>>,
}

/// How a study is run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Its folder.
    pub(crate) out: PathBuf,
    /// Runs at a time; they share the threads.
    pub(crate) jobs: usize,
    pub(crate) quiet: bool,
    /// The cost of what comes after these runs.
    pub(crate) later: f64,
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
        Ok(Self { group, seed, arguments, recipe, scorings: Vec::new(), cost: 1.0 })
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

    /// The run in the folder, if it is trained and scored.
    fn finished(&self, folder: &Path) -> Result<Option<Outcome>> {
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
        let Some(report) = read(&folder.join(RESULT))? else { return Ok(None) };
        let mut scores = BTreeMap::new();
        for scoring in &self.scorings {
            let Some(score) = read(&scoring.file(folder))? else { return Ok(None) };
            scores.insert(scoring.name.clone(), score);
        }
        let (group, command, folder) = (self.group.clone(), self.command(), folder.to_owned());
        Ok(Some(Outcome { group, seed: self.seed, command, folder, report, scores }))
    }

    /// Trains and scores, each in a process of its own, what is not done yet; none if it was interrupted.
    fn run(&self, folder: &Path, threads: usize) -> Result<Option<Outcome>> {
        if !folder.join(RESULT).exists() && !self.train(folder, threads)? {
            return Ok(None);
        }
        for scoring in &self.scorings {
            let file = scoring.file(folder);
            if !file.exists() {
                let mut command = program("eval", threads)?;
                command.arg(folder).args(&scoring.arguments);
                keep(&file, &reported(&mut command, &scoring.command(folder))?)?;
            }
        }
        self.finished(folder)
    }

    /// Trains to the end, if it is not interrupted.
    fn train(&self, folder: &Path, threads: usize) -> Result<bool> {
        let mut command = program("train", threads)?;
        if folder.join("checkpoint.safetensors").exists() {
            command.arg("--resume").arg(folder);
        } else {
            // A run that was killed before its first checkpoint starts anew.
            if folder.exists() {
                fs::remove_dir_all(folder).with_context(|| folder.display().to_string())?;
            }
            command.args(&self.arguments).arg("--out").arg(folder);
        }
        // Nobody looks at so many samples.
        let report = reported(command.args(["--quiet", "--no-samples"]), &self.command())?;
        let is_finished = report.get("finished") == Some(&Value::Bool(true));
        if is_finished {
            keep(&folder.join(RESULT), &report)?;
        }
        Ok(is_finished)
    }
}

impl Scoring {
    fn file(&self, folder: &Path) -> PathBuf {
        folder.join(format!("score-{}.json", self.name))
    }

    /// The command that repeats it.
    fn command(&self, folder: &Path) -> String {
        format!("wavetape eval {} {}", folder.display(), self.arguments.join(" "))
    }
}

/// This program with a subcommand that reports in JSON.
fn program(subcommand: &str, threads: usize) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("this program's path")?);
    command.args([subcommand, "--json", "--threads", &threads.to_string()]);
    Ok(command)
}

/// Runs a command, called `name` where it fails, and reads the object that it prints.
fn reported(command: &mut Command, name: &str) -> Result<Map<String, Value>> {
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("starting {name}"))?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        bail!("{name}: {}", message.trim().trim_start_matches("error: "));
    }
    serde_json::from_slice(&output.stdout).with_context(|| format!("what {name} has printed"))
}

/// The object in a file; none if there is no file.
fn read(path: &Path) -> Result<Option<Map<String, Value>>> {
    match fs::read_to_string(path) {
        Ok(text) => {
            serde_json::from_str(&text).with_context(|| path.display().to_string()).map(Some)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

fn keep(path: &Path, report: &Map<String, Value>) -> Result<()> {
    let text = serde_json::to_string(report)?;
    write_atomically(path, text.as_bytes()).with_context(|| path.display().to_string())
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
    let left = open.iter().map(|&i| cells[i].cost).sum::<f64>() + plan.later;
    let clock = Clock { start: Instant::now(), left };
    let interrupted = interruption();
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::new());
    let work = || {
        while let Some(&i) = open.get(next.fetch_add(1, Ordering::Relaxed)) {
            if interrupted.load(Ordering::Relaxed) {
                break;
            }
            let result = cells[i].run(&folders[i], threads);
            let Ok(mut found) = found.lock() else { break };
            found.push((i, result));
            if !plan.quiet {
                let (_, result) = &found[found.len() - 1];
                let done = cells.len() - open.len() + found.len();
                let cost = found.iter().map(|&(i, _)| cells[i].cost).sum();
                output::note(format_args!(
                    "{}",
                    progress(&cells[i], result, [done, cells.len()], clock.left(cost))
                ));
            }
        }
    };
    thread::scope(|scope| (0..jobs).for_each(|_| drop(scope.spawn(work))));
    let mut failures = Vec::new();
    for (i, result) in found.into_inner().unwrap_or_default() {
        match result {
            Ok(outcome) => results[i] = outcome,
            Err(error) => failures.push(format!("{error:#}")),
        }
    }
    if !failures.is_empty() {
        bail!("{} of {} runs have failed: {}", failures.len(), cells.len(), failures.join("; "));
    }
    let outcomes: Option<Vec<_>> = results.into_iter().collect();
    outcomes.context("interrupted; the same command continues")
}

/// How long the rest of a study takes, if it goes on as fast as it went.
struct Clock {
    start: Instant,
    /// The cost of all that was open at the start.
    left: f64,
}

impl Clock {
    fn left(&self, done: f64) -> Duration {
        let share = ((self.left - done) / done.max(1e-9)).max(0.0);
        Duration::try_from_secs_f64(self.start.elapsed().as_secs_f64() * share)
            .unwrap_or(Duration::MAX)
    }
}

/// Set by Ctrl-C: no run is begun any more, and those under way, which have got it as well, save themselves.
fn interruption() -> &'static AtomicBool {
    static INTERRUPTED: AtomicBool = AtomicBool::new(false);
    static HANDLED: Once = Once::new();
    let handler = || {
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            std::process::exit(1);
        }
    };
    // Where it cannot be handled, Ctrl-C ends the study at once; its runs are continued all the same.
    HANDLED.call_once(|| drop(ctrlc::set_handler(handler)));
    &INTERRUPTED
}

fn progress(
    cell: &Cell,
    result: &Result<Option<Outcome>>,
    [done, all]: [usize; 2],
    left: Duration,
) -> String {
    let outcome = match result {
        Ok(Some(outcome)) => {
            let [value, seconds] =
                ["value", "seconds"].map(|key| outcome.number(key).unwrap_or(f64::NAN));
            format!("{} {value:.4}, {seconds:.0} s", outcome.metric())
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
        if !self.scores.is_empty() {
            let scores =
                self.scores.iter().map(|(name, score)| (name.clone(), score.clone().into()));
            line.insert("scores".to_owned(), Value::Object(scores.collect()));
        }
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
