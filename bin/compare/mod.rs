//! `wavetape compare`: do learnable Fourier features with an MLP converge faster, score higher and carry over to unseen places
//! better than other encodings?

mod analysis;
mod budget;
mod curves;
mod figure;
mod look;
mod page;
mod row;
mod tables;
mod tuning;

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use serde::Serialize;

use self::analysis::{Analysis, Runs, analyse};
use self::budget::{Budget, Design, Size, Task};
use self::figure::{Figure, scorings};
use self::look::{Maps, look};
use self::row::{Row, inline};
use self::tuning::Tuning;
use crate::args;
use crate::config::Bounds;
use crate::output;
use crate::recipe::{DataKind, ModelConfig, overridden};
use crate::study::{self, Base, Cell, Failure, Folder, Outcome, Plan, Scoring};
use crate::written;

/// Compare position encodings as the paper does: train each with the same budget, on the same batches and from the same first
/// weights, and say how they differ and how sure that is.
///
/// First the numbers of each encoding (γ, |F|, |H|, temperature, first scale) are tried on held-out training data, as many for each;
/// then the best ones are trained with several seeds and scored on the test set, once. The folder gets results.jsonl, tables
/// in Markdown and CSV, and report.html. The same command goes on with a study that was stopped.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wavetape compare --out quick                       # a demonstration on the data inside the program
  wavetape compare all --budget quick --screens RICO --out quick
  wavetape compare classify caption --budget pilot --screens RICO --out pilot
  wavetape compare classify --budget pilot --encodings lff-mlp,mlp,rope-mixed --seeds 5 --steps 3000 --out mine")]
pub(crate) struct CompareArgs {
    /// What to compare on. Captions need --screens, `all` as well.
    #[arg(value_enum, default_values_t = [Task::Classify])]
    tasks: Vec<Task>,
    /// How much is spent.
    #[arg(long, value_enum, default_value_t = Size::Quick)]
    budget: Size,
    /// Encodings, in place of the budget's; of captions ENCODING:GROUPING (1x4, 2x2, 4x1) as well. `all`: every one.
    #[arg(long, value_delimiter = ',', value_name = "A,B,…")]
    encodings: Vec<String>,
    /// Runs of each encoding, with the seeds 0, 1, …, in place of the budget's.
    #[arg(long, value_name = "N", value_parser = args::whole::<u64>(1..=1000))]
    seeds: Option<u64>,
    /// Steps of a run, in place of the budget's.
    #[arg(long, value_name = "N", value_parser = args::whole::<u64>(args::COUNTS))]
    steps: Option<u64>,
    /// Choices of numbers that are tried for each encoding, in place of the budget's; 1: the usual ones, without trying.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=8))]
    trials: Option<u16>,
    /// Change a value of the recipes in all runs.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// What curves have to reach to count as converged, in the metric; where the worst run ends, those without
    /// positions aside, unless given.
    #[arg(long, value_name = "X", value_parser = args::number(Bounds::new(-1e6, 1e6)))]
    threshold: Option<f64>,
    /// Folder of the study.
    #[arg(long, value_name = "DIR", required_unless_present = "plan")]
    out: Option<PathBuf>,
    /// Tell what would be run and how long it takes, about, and do nothing.
    #[arg(long, conflicts_with_all = ["json", "out"])]
    plan: bool,
    /// Runs at a time; they share the threads. As many as threads, up to 4, unless given.
    #[arg(long, value_name = "N", value_parser = args::whole::<usize>(args::THREADS))]
    jobs: Option<usize>,
    /// Folder of Fashion-MNIST's IDX files, if they are not where Debian's package has them.
    #[arg(long, value_name = "DIR")]
    fashion: Option<PathBuf>,
    /// Folder of screens with captions in Rico's format.
    #[arg(long, value_name = "DIR")]
    screens: Option<PathBuf>,
    /// Folder of BCCD's photographs in Pascal VOC's format.
    #[arg(long, value_name = "DIR")]
    bccd: Option<PathBuf>,
    /// Print the result as one JSON object and nothing else.
    #[arg(long)]
    json: bool,
    /// No progress on stderr.
    #[arg(long, short)]
    quiet: bool,
}

/// A design with all that it needs.
struct Column {
    design: Design,
    base: Base,
    rows: Vec<Row>,
    scorings: Vec<Scoring>,
    figures: Vec<Figure>,
    /// Rows that cannot serve this model, and why.
    unfit: Vec<String>,
}

/// All of a study.
#[derive(Serialize)]
struct Study {
    about: String,
    budget: String,
    seeds: u64,
    tasks: Vec<Found>,
    #[serde(skip_serializing_if = "Option::is_none")]
    out: Option<PathBuf>,
}

/// What a design has found.
#[derive(Serialize)]
struct Found {
    #[serde(flatten)]
    analysis: Analysis,
    tuning: Vec<Tuning>,
    unfit: Vec<String>,
    #[serde(skip)]
    maps: Vec<Maps>,
}

pub(crate) fn run(args: &CompareArgs) -> Result<()> {
    if let Some(seed) =
        args.set.iter().find(|pair| pair.split('=').next().map(str::trim) == Some("seed"))
    {
        bail!(
            "--set {seed}: the runs of a comparison have the seeds 0, 1, …; --seeds says how many"
        );
    }
    let budget = Budget::of(args.budget)?;
    let seeds = args.seeds.unwrap_or(budget.seeds);
    let designs = budget.designs(&args.tasks);
    let columns = designs.into_iter().map(|design| Column::new(design, args));
    let columns = columns.collect::<Result<Vec<_>>>()?;
    for column in &columns {
        column
            .unfit
            .iter()
            .for_each(|why| output::note(format_args!("{}: left out: {why}", column.design.name)));
    }
    let trials = columns.iter().map(tuning::cells).collect::<Result<Vec<_>>>()?;
    let Some(out) = &args.out else {
        let table = tables::plan(&columns, &trials, seeds);
        return Ok(write!(output::stdout(), "{}", table.markdown())?);
    };
    let folder = Folder::open(out)?;
    let jobs = args.jobs.unwrap_or_else(|| rayon::current_num_threads().min(4));
    let plan = Plan { jobs, quiet: args.quiet, later: 0.0 };
    if !args.quiet {
        output::note(format_args!("{}; --plan tells how long it takes, about", budget.about));
    }
    let tried: Vec<Cell> = trials.iter().flatten().cloned().collect();
    let compared: f64 = columns.iter().map(|column| column.cost() * seeds as f64).sum();
    let outcomes = study::run(&tried, &folder, &Plan { later: compared, ..plan.clone() })?;
    let mut outcomes = outcomes.into_iter();
    let tuned = columns.iter().zip(&trials).map(|(column, cells)| {
        tuning::choose(column, outcomes.by_ref().take(cells.len()).collect())
    });
    let tuned = tuned.collect::<Result<Vec<_>>>()?;

    let cells = columns.iter().zip(&tuned).map(|(column, tuned)| column.cells(tuned, seeds));
    let cells = cells.collect::<Result<Vec<_>>>()?;
    let all: Vec<Cell> = cells.iter().flatten().cloned().collect();
    let results = study::run(&all, &folder, &plan)?;
    folder.put_results(results.iter().flatten())?;
    let mut rest = &*results;
    let mut tasks = Vec::new();
    for ((column, tuning), cells) in columns.into_iter().zip(tuned).zip(&cells) {
        let of_column;
        (of_column, rest) = rest.split_at(cells.len());
        tasks.push(column.found(tuning, of_column, args.threshold)?);
    }
    let (about, budget) = (budget.about, format!("{:?}", args.budget).to_lowercase());
    let mut study = Study { about, budget, seeds, tasks, out: None };
    write(&study, &folder)?;
    let mut stdout = output::stdout();
    if args.json {
        study.out = Some(out.clone());
        writeln!(stdout, "{}", serde_json::to_string(&study)?)?;
    } else {
        write!(stdout, "{}", tables::markdown(&study))?;
        writeln!(stdout, "\nreport: {}", out.join("report.html").display())?;
    }
    study::refuse(results.iter().filter_map(|result| result.as_ref().err()))
}

/// Leaves tables, pictures of curves and the page in the study's folder.
fn write(study: &Study, folder: &Folder) -> Result<()> {
    folder.put("tables.md", tables::markdown(study).as_bytes())?;
    for Found { analysis, .. } in &study.tasks {
        let curves = written::png(&curves::draw(analysis)?)?;
        folder.put(&format!("{}-curves.png", analysis.name), &curves)?;
    }
    for found in &study.tasks {
        for (name, table) in tables::all(found) {
            let file = format!("{}-{name}.csv", found.analysis.name);
            folder.put(&file, table.csv()?.as_bytes())?;
        }
    }
    folder.put("report.html", page::write(study)?.as_bytes())
}

impl Column {
    fn new(mut design: Design, args: &CompareArgs) -> Result<Self> {
        design.steps = args.steps.unwrap_or(design.steps);
        design.trials = args.trials.map_or(design.trials, usize::from);
        let mut base = Base {
            name: design.recipe.clone(),
            steps: Some(design.steps),
            set: overridden(&design.set, &args.set),
            ..Base::default()
        };
        let plain = Cell::new(&base, design.name.clone(), 0, &[])?;
        let data = &plain.recipe.data;
        let of_sample = data.scenes.as_ref().is_some_and(|s| s.objects == DataKind::Sample);
        let (kind, stored) = (data.kind, data.kind != DataKind::Sample && !of_sample);
        let (flag, given) = match kind {
            DataKind::Screens => ("--screens", &args.screens),
            DataKind::Voc => ("--bccd", &args.bccd),
            _ => ("--fashion", &args.fashion),
        };
        if stored && data.dir.is_none() && given.is_none() {
            bail!("{}: the folder of the data expected, {flag} DIR", design.name);
        }
        base.data = given.clone().filter(|_| stored);
        if matches!(&plain.recipe.model, ModelConfig::ImageGpt(gpt) if gpt.palette > 0) {
            bail!(
                "{}: bits per pixel cannot be compared between palettes, and each run has its own: model.palette = 0 expected",
                design.name
            );
        }
        let captions = matches!(plain.recipe.model, ModelConfig::Captioner(_));
        let asked = match &*args.encodings {
            [] => design.rows.clone(),
            [all] if all == "all" => {
                nn::PositionConfig::all(1.0).iter().map(|kind| kind.name().to_owned()).collect()
            }
            asked => asked.to_vec(),
        };
        let (mut rows, mut unfit) = (Vec::new(), Vec::new());
        for text in asked {
            let row = Row::parse(&text)?;
            if text.contains(':') && !captions {
                unfit.push(format!("{text}: only captions have groupings"));
                continue;
            }
            let settings = row.settings(&row.candidates(1)[0])?;
            match Cell::new(&base, row.name.clone(), 0, &settings) {
                Ok(_) => rows.push(row),
                Err(error) => unfit.push(format!("{error:#}")),
            }
        }
        if rows.is_empty() {
            bail!("{}: no encoding is left to compare; {}", design.name, unfit.join("; "));
        }
        let (scorings, figures) = scorings(&design, &plain.recipe.model);
        Ok(Self { design, base, rows, scorings, figures, unfit })
    }

    /// What the compared runs of one seed take, in seconds on two cores.
    fn cost(&self) -> f64 {
        self.rows.len() as f64 * self.run_cost()
    }

    fn run_cost(&self) -> f64 {
        let Design { steps, step_seconds, score_seconds, .. } = self.design;
        steps as f64 * step_seconds + self.scorings.len() as f64 * score_seconds
    }

    /// The runs that are compared.
    fn cells(&self, tuned: &[Tuning], seeds: u64) -> Result<Vec<Cell>> {
        let mut cells = Vec::new();
        for (row, tuning) in self.rows.iter().zip(tuned) {
            for seed in 0..seeds {
                let group = format!("{}/{}", self.design.name, row.folder());
                let cell = Cell::new(&self.base, group, seed, &row.settings(tuning.best())?)?;
                cells.push(Cell { scorings: self.scorings.clone(), cost: self.run_cost(), ..cell });
            }
        }
        Ok(cells)
    }

    /// Compares the runs, row by row. A row of which a run failed is left out.
    fn found(
        mut self,
        tuning: Vec<Tuning>,
        results: &[Result<Outcome, Failure>],
        threshold: Option<f64>,
    ) -> Result<Found> {
        let (mut runs, mut maps) = (Vec::new(), Vec::new());
        let of_rows = results.chunks(results.len() / self.rows.len());
        for ((row, tuning), results) in self.rows.iter().zip(&tuning).zip(of_rows) {
            let outcomes: Vec<Outcome> = match results.iter().cloned().collect() {
                Ok(outcomes) => outcomes,
                Err(failure) => {
                    let Failure { seed, .. } = failure;
                    self.unfit.push(format!("{}: seed {seed}: {}", row.name, failure.short()));
                    continue;
                }
            };
            let (params, drawn) = look(&row.name, &outcomes[0])?;
            maps.extend(drawn);
            let position = inline(tuning.best())?;
            runs.push(Runs::new(row.name.clone(), position, outcomes, params)?);
        }
        let analysis = analyse(&self.design.name, &self.figures, &runs, threshold)?;
        Ok(Found { analysis, tuning, unfit: self.unfit, maps })
    }
}
