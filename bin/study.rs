//! Studies: many runs, each a process of its own, under one folder. What is finished there is not done again, what was begun is
//! continued.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context as _, Result, bail};
use nn::checkpoint::write_atomically;
use serde_json::{Map, Value};

use crate::interrupt::Interrupt;
use crate::output;
use crate::recipe::{Changes, ModelConfig, Recipe};
use crate::run::{LOCK, Lock, Run};
use crate::shell;
use crate::written::read_own;

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

/// A run that came to no end, and why.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) group: String,
    pub(crate) seed: u64,
    pub(crate) why: String,
}

impl Failure {
    /// The first words of the reason.
    pub(crate) fn short(&self) -> &str {
        self.why.split(';').next().unwrap_or_default()
    }
}

/// The folder of a study, held against other processes.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    interrupt: Interrupt,
    _lock: Lock,
}

impl Folder {
    /// Makes it, or opens one that a study has left. Interruptions are listened to from here on.
    ///
    /// # Errors
    /// If it holds what is not a study's, or if another process works there.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let context = || path.display().to_string();
        fs::create_dir_all(path).with_context(context)?;
        if !path.join(LOCK).exists() && !has_results(path) {
            for entry in fs::read_dir(path).with_context(context)? {
                let entry = entry.with_context(context)?;
                // A study of an older program that was stopped has folders only.
                if !entry.file_type().with_context(context)?.is_dir() {
                    bail!(
                        "{} is no study's folder and not empty (it holds {}): name another folder with --out",
                        path.display(),
                        entry.file_name().to_string_lossy()
                    );
                }
            }
        }
        let _lock = Lock::take(path, "works on this study")?;
        let interrupt = Interrupt::listen(
            "the runs under way are saved; a second time ends the program at once",
        )?;
        Ok(Self { path: path.to_owned(), interrupt, _lock })
    }

    /// Writes a file of the folder in one step.
    pub(crate) fn put(&self, file: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path.join(file);
        write_atomically(&path, bytes).with_context(|| path.display().to_string())
    }

    /// Leaves the lines of all finished runs, `results.jsonl`.
    pub(crate) fn put_results<'a>(
        &self,
        outcomes: impl IntoIterator<Item = &'a Outcome>,
    ) -> Result<()> {
        let lines = outcomes.into_iter().map(|outcome| format!("{}\n", outcome.line()));
        self.put(RESULTS, lines.collect::<String>().as_bytes())
    }
}

/// Whether a folder has the results of a study.
fn has_results(path: &Path) -> bool {
    let text = read_own(&path.join(RESULTS)).unwrap_or_default();
    let first: Option<Value> = text.lines().next().and_then(|line| serde_json::from_str(line).ok());
    first.is_some_and(|line| line["group"].is_string() && line["command"].is_string())
}

/// How a study is run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Runs at a time; they share the threads.
    pub(crate) jobs: usize,
    pub(crate) quiet: bool,
    /// The cost of what comes after these runs.
    pub(crate) later: f64,
}

/// The line of a finished run, in its folder.
const RESULT: &str = "result.json";
/// Those of all runs, in the study's folder.
const RESULTS: &str = "results.jsonl";

impl Cell {
    /// A run of a recipe with more values changed, `set`.
    pub(crate) fn new(base: &Base, group: String, seed: u64, set: &[String]) -> Result<Self> {
        let set: Vec<String> = base.set.iter().chain(set).cloned().collect();
        let (origin, text) = match &base.file {
            Some(file) => (file.display().to_string(), datasets::read_text(file)?),
            None => (format!("recipe `{}`", base.name), Recipe::text(&base.name)?.into_owned()),
        };
        let changes = Changes {
            data: base.data.as_deref(),
            from: None,
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
        let words = ["wavetape", "train"].into_iter();
        shell::line(words.chain(self.arguments.iter().map(String::as_str)))
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
    fn run(&self, folder: &Path, threads: usize, interrupt: &Interrupt) -> Result<Option<Outcome>> {
        if !folder.join(RESULT).exists() && !self.train(folder, threads, interrupt)? {
            return Ok(None);
        }
        for scoring in &self.scorings {
            let file = scoring.file(folder);
            if !file.exists() {
                let mut command = program("eval", threads)?;
                command.arg(folder).args(&scoring.arguments);
                match reported(&mut command, &scoring.command(folder), interrupt)? {
                    Some(score) => keep(&file, &score)?,
                    None => return Ok(None),
                }
            }
        }
        self.finished(folder)
    }

    /// Trains to the end, if it is not interrupted.
    fn train(&self, folder: &Path, threads: usize, interrupt: &Interrupt) -> Result<bool> {
        let mut command = program("train", threads)?;
        match folder.join("config.toml").exists() {
            true => command.arg("--resume").arg(folder),
            false => command.args(&self.arguments).arg("--out").arg(folder),
        };
        // Nobody looks at so many samples.
        command.args(["--quiet", "--no-samples"]);
        let report = reported(&mut command, &self.command(), interrupt)?;
        let finished = report.filter(|report| report.get("finished") == Some(&Value::Bool(true)));
        if let Some(report) = &finished {
            keep(&folder.join(RESULT), report)?;
        }
        Ok(finished.is_some())
    }
}

impl Scoring {
    fn file(&self, folder: &Path) -> PathBuf {
        folder.join(format!("score-{}.json", self.name))
    }

    /// The command that repeats it.
    fn command(&self, folder: &Path) -> String {
        let folder = folder.to_string_lossy();
        let words = ["wavetape", "eval", &folder].into_iter();
        shell::line(words.chain(self.arguments.iter().map(String::as_str)))
    }
}

/// This program with a subcommand that reports in JSON.
fn program(subcommand: &str, threads: usize) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("this program's path")?);
    command.args([subcommand, "--tied", "--json", "--threads", &threads.to_string()]);
    Ok(command)
}

/// Runs a command, called `name` where it fails, and reads the object that it prints; none if it was interrupted. Its standard input
/// ends when the study is interrupted, and with this process, however that ends: the command is `--tied` to it.
fn reported(
    command: &mut Command,
    name: &str,
    interrupt: &Interrupt,
) -> Result<Option<Map<String, Value>>> {
    let context = || format!("starting {name}");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(context)?;
    let (input, is_done) = (child.stdin.take(), AtomicBool::new(false));
    let output = thread::scope(|scope| {
        let holder = scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) && !interrupt.asked() {
                thread::park_timeout(Duration::from_millis(50));
            }
            drop(input);
        });
        let output = child.wait_with_output();
        is_done.store(true, Ordering::Relaxed);
        holder.thread().unpark();
        output
    });
    let output = output.with_context(context)?;
    if !output.status.success() {
        if interrupt.asked() {
            return Ok(None);
        }
        let message = String::from_utf8_lossy(&output.stderr);
        bail!("{}", message.trim().trim_start_matches("error: "));
    }
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("what {name} has printed"))
        .map(Some)
}

/// The object in a file; none if there is no file.
fn read(path: &Path) -> Result<Option<Map<String, Value>>> {
    match read_own(path) {
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

/// Runs what is not finished yet and returns what became of each cell, in their order. One that fails does not stop the others.
///
/// # Errors
/// If it is interrupted; at once, if the folder holds a run of another config.
pub(crate) fn run(
    cells: &[Cell],
    folder: &Folder,
    plan: &Plan,
) -> Result<Vec<Result<Outcome, Failure>>> {
    let jobs = plan.jobs.clamp(1, cells.len().max(1));
    let threads = (rayon::current_num_threads() / jobs).max(1);
    let folders: Vec<PathBuf> = cells.iter().map(|cell| cell.folder(&folder.path)).collect();
    let mut results = Vec::with_capacity(cells.len());
    for (cell, folder) in cells.iter().zip(&folders) {
        results.push(cell.finished(folder)?.map(Ok));
    }
    let open: Vec<usize> = (0..cells.len()).filter(|&i| results[i].is_none()).collect();
    let left = open.iter().map(|&i| cells[i].cost).sum::<f64>() + plan.later;
    let clock = Clock { start: Instant::now(), left };
    let interrupt = &folder.interrupt;
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::new());
    let work = || {
        while let Some(&i) = open.get(next.fetch_add(1, Ordering::Relaxed)) {
            if interrupt.asked() {
                break;
            }
            let result = cells[i].run(&folders[i], threads, interrupt);
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
    for (i, result) in found.into_inner().unwrap_or_default() {
        let Cell { group, seed, .. } = &cells[i];
        let failure =
            |error| Failure { group: group.clone(), seed: *seed, why: format!("{error:#}") };
        results[i] = result.map_err(failure).transpose();
    }
    let results: Option<Vec<_>> = results.into_iter().collect();
    results.context("interrupted; the same command continues")
}

/// The error that a study ends with whose tables lack these runs.
///
/// # Errors
/// If there are any.
pub(crate) fn refuse<'a>(failures: impl IntoIterator<Item = &'a Failure>) -> Result<()> {
    let told = |failure: &Failure| {
        let Failure { group, seed, why } = failure;
        format!("{group}, seed {seed}: {why}")
    };
    let told: Vec<String> = failures.into_iter().map(told).collect();
    if !told.is_empty() {
        bail!("{} failed:\n{}", output::counted(told.len(), "run"), told.join("\n"));
    }
    Ok(())
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
