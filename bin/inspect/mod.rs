//! `wavetape inspect`: what a model is made of and takes, what a run has learnt, what is in a file of tensors.

pub(crate) mod attention;
mod cost;
mod file;
mod graph;
mod layers;
pub(crate) mod positions;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use nn::{Context, Params, Position, PositionConfig};
use serde::Serialize;

use self::attention::Attended;
use self::cost::Cost;
use self::layers::{Layer, Row};
use crate::output;
use crate::recipe::{ModelConfig, RECIPES};
use crate::suggest;
use crate::task::Task;
use crate::trained::Trained;
use crate::written::Target;

/// Print what a model is made of and what it takes: parameters, operations, memory; draw what a run has learnt; list the tensors
/// of a file.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wavetape inspect vit-sample
  wavetape inspect my.toml --batch 32
  wavetape inspect vit-sample --graph tape.dot           (then: dot -Tsvg tape.dot -o tape.svg)
  wavetape inspect runs/vit-sample-001
  wavetape inspect runs/vit-sample-001 --positions positions.png
  wavetape inspect runs/vit-sample-001 --attention boot.png --out attention.png
  wavetape inspect runs/vit-sample-001 --attention test:7
  wavetape inspect runs/vit-sample-001/checkpoint.safetensors")]
pub(crate) struct InspectArgs {
    /// Folder of a run, TOML file with a table `model`, recipe inside the program, or safetensors file.
    #[arg(value_name = "RUN|MODEL.toml|RECIPE|FILE.safetensors")]
    what: PathBuf,
    /// Images of the forward pass whose operations and memory are measured.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=65536))]
    batch: u32,
    /// Write the tape of that forward pass, ops and shapes, as a graph in DOT, which `dot -Tsvg` of Graphviz draws.
    #[arg(long, value_name = "FILE.dot")]
    graph: Option<PathBuf>,
    /// Of a run: draw how alike the encoding finds places, a map for each place of a grid, and the frequencies of Fourier
    /// features.
    #[arg(long, value_name = "OUT.png")]
    positions: Option<PathBuf>,
    /// Of a ViT's run: draw which patches of this picture, or of the Nth image of the test set, the decision draws
    /// on, by attention rollout.
    #[arg(long, value_name = "IMAGE|test:N")]
    attention: Option<String>,
    /// Where the picture of --attention goes.
    #[arg(long, value_name = "FILE.png", default_value = "attention.png")]
    out: PathBuf,
    /// Print the result as one JSON object and nothing else.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipe: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<u64>,
    params: usize,
    position: &'static str,
    parameters: Vec<Row>,
    layers: Vec<Layer>,
    cost: Cost,
    #[serde(skip_serializing_if = "Option::is_none")]
    attention: Option<Attended>,
}

/// Prints, and draws.
pub(crate) fn run(args: &InspectArgs) -> Result<()> {
    let graph = args.graph.as_deref().map(graph::target).transpose()?;
    let is_tensors = args.what.extension().is_some_and(|extension| extension == "safetensors");
    if is_tensors {
        if args.graph.is_some() || args.positions.is_some() || args.attention.is_some() {
            bail!("{}: a file of tensors has nothing to draw: a run expected", args.what.display());
        }
        return file::print(&args.what, args.json);
    }
    let trained = args.what.is_dir().then(|| Trained::open(&args.what)).transpose()?;
    let config = match &trained {
        Some(Trained { recipe, .. }) => recipe.model.clone(),
        None => model(&args.what)?,
    };
    if let Some(out) = &args.positions {
        draw_positions(needs_run(trained.as_ref(), "--positions")?, &Target::new(out)?)?;
    }
    let attended = match &args.attention {
        None => None,
        Some(image) => {
            let trained = needs_run(trained.as_ref(), "--attention")?;
            Some(attention::draw(trained, image, &args.out)?)
        }
    };
    let (fresh, cost, nodes) = cost::measure(&config, args.batch as usize)?;
    if let Some(out) = &graph {
        let title = format!("{}, batch {}", args.what.display(), args.batch);
        graph::write(out, &title, &nodes, &fresh)?;
    }
    let params: &Params = trained.as_ref().map_or(&fresh, |trained| trained.state.evaluated());
    let report = Report {
        run: trained.as_ref().map(|trained| trained.run.name()),
        recipe: trained.as_ref().map(|trained| trained.recipe.name.clone()),
        step: trained.as_ref().map(|trained| trained.state.counts.step),
        params: params.elements(),
        position: config.position().name(),
        parameters: layers::rows(params),
        layers: layers::layers(params),
        cost,
        attention: attended,
    };
    print(&report, args)
}

/// The model of a file or of a recipe inside the program.
fn model(what: &Path) -> Result<ModelConfig> {
    let name = what.display().to_string();
    if what.exists() {
        let text = datasets::read_text(what)
            .context("the folder of a run, a .safetensors file or a recipe in TOML expected")?;
        return ModelConfig::of_file(&name, &text);
    }
    match RECIPES.iter().find(|(known, _)| *known == name) {
        Some((_, text)) => ModelConfig::of_file(&format!("recipe `{name}`"), text),
        None => {
            let known = RECIPES.map(|(name, _)| name);
            bail!(
                "neither a file nor a folder; recipe {}",
                suggest::unknown("recipe", &name, &known)
            )
        }
    }
}

fn needs_run<'a>(trained: Option<&'a Trained>, option: &str) -> Result<&'a Trained> {
    trained.with_context(|| {
        format!("{option}: the folder of a run expected, as nothing else has learnt")
    })
}

fn draw_positions(trained: &Trained, out: &Target) -> Result<()> {
    let Trained { run, task, state, .. } = trained;
    let (position, config, grid) = position(task);
    let grid = grid.context("--positions: a model of images expected; this run encodes boxes")?;
    let cx = Context::eval(state.evaluated());
    let kind = config.name();
    let title = format!("{} after {} steps: positions `{kind}`", run.name(), state.counts.step);
    positions::draw(out, &title, position, &cx, grid)
}

/// A model's position encoding, its config, and the side of the grid of places that it was trained on, if these are places of an
/// image.
pub(crate) fn position(task: &Task) -> (&Position, &PositionConfig, Option<usize>) {
    match task {
        Task::Classify(classifier) => {
            let vit = &classifier.model;
            let side = vit.config().image_size / vit.config().patch_size;
            (vit.position(), &vit.config().position, Some(side))
        }
        Task::Generate(generator) => {
            let config = generator.model.config();
            (generator.model.position(), &config.position, Some(config.image_size))
        }
        Task::Detect(detector) => {
            let config = detector.model.config();
            (detector.model.position(), &config.position, Some(config.grid()[0]))
        }
        Task::Caption(captioner) => {
            (captioner.model.position(), &captioner.model.config().position, None)
        }
    }
}

fn print(report: &Report, args: &InspectArgs) -> Result<()> {
    let mut out = output::stdout();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(report)?)?;
        return Ok(());
    }
    layers::print(&report.parameters, &report.layers, &mut out)?;
    report.cost.print(&mut out)?;
    let Report { params, position, .. } = report;
    match (&report.run, &report.recipe, report.step) {
        (Some(run), Some(recipe), Some(step)) => {
            writeln!(
                out,
                "\n{run} ({recipe}), step {step}: {params} parameters, positions `{position}`"
            )?;
        }
        _ => {
            writeln!(
                out,
                "\n{}: {params} parameters, positions `{position}`",
                args.what.display()
            )?;
        }
    }
    if let Some(path) = &args.positions {
        writeln!(out, "positions → {}", path.display())?;
    }
    if let Some(path) = &args.graph {
        writeln!(out, "graph → {}; dot -Tsvg draws it", path.display())?;
    }
    if let Some(attended) = &report.attention {
        attended.print(&mut out)?;
    }
    Ok(())
}
