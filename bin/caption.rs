//! `wavetape caption`: captions the widgets of a screen.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use datasets::screens::{Batch, Limits, Loader, SIDE, Screen, Vocabulary, Widget, screen};
use image::RgbImage;
use models::Corners;
use nn::Params;
use serde::Serialize;

use crate::captioner::Captioner;
use crate::data::{Derived, Names};
use crate::draw;
use crate::output;
use crate::picture::{in_colour, open};
use crate::task::Task;
use crate::trained::Trained;
use crate::written::Target;

/// Caption widgets of a screen in Rico's format, and draw their boxes and captions on its picture.
///
/// Without --node and --all: the visible nodes that can be clicked.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wavetape caption runs/caption-web-001 combined/1200.json
  wavetape caption runs/caption-web-001 combined/1200.json --node 0.0.1.3
  wavetape caption runs/caption-web-001 combined/1200.json --all --out captions.png")]
pub(crate) struct CaptionArgs {
    /// Folder of a captioner's run.
    run: PathBuf,
    /// View hierarchy of a screen; its picture, .jpg or .png, stands beside it.
    screen: PathBuf,
    /// One node: 0 for the root, then the places of children, for example 0.2.0.1.
    #[arg(long, value_name = "PATH", conflicts_with = "all")]
    node: Option<String>,
    /// All visible nodes.
    #[arg(long)]
    all: bool,
    /// Picture to be written.
    #[arg(long, value_name = "FILE.png")]
    out: Option<PathBuf>,
    /// Print the result as one JSON object and nothing else.
    #[arg(long)]
    json: bool,
}

/// Widgets of a screen of a data set that are shown, at most, so that there are several screens.
const OF_A_SCREEN: usize = 2;

#[derive(Serialize)]
struct Report {
    run: String,
    screen: String,
    captions: Vec<Caption>,
    #[serde(skip_serializing_if = "Option::is_none")]
    out: Option<PathBuf>,
}

/// What is written of a node.
#[derive(Serialize)]
pub(crate) struct Caption {
    pub(crate) node: String,
    /// Left, top, right and bottom, in fractions of the screen.
    pub(crate) bounds: [f32; 4],
    pub(crate) caption: String,
}

/// Captions of a screen's widgets.
pub(crate) fn written(
    captioner: &Captioner,
    params: &Params,
    vocabulary: &Vocabulary,
    screen: &Screen,
) -> Result<Vec<Caption>> {
    let batch = Batch::of(&[screen], vocabulary, captioner.model.config().max_words);
    let captions = captioner.caption(params, &batch)?;
    let caption = |(widget, words): (&Widget, Vec<usize>)| {
        let node = &screen.nodes[widget.node];
        let caption = vocabulary.decode(&words);
        Caption { node: node.path.clone(), bounds: node.bounds, caption }
    };
    Ok(screen.widgets.iter().zip(captions).map(caption).collect())
}

pub(crate) fn run(args: &CaptionArgs) -> Result<()> {
    let target = args.out.as_deref().map(Target::new).transpose()?;
    let trained = Trained::open(&args.run)?;
    let (Task::Caption(captioner), Some(Derived { names: Names::Words(vocabulary), .. })) =
        (&trained.task, &trained.past.derived)
    else {
        return Err(trained.other("captioner"));
    };
    let screen = wanted(screen(&args.screen, &Limits::default())?, args)?;
    let captions = written(captioner, trained.state.evaluated(), vocabulary, &screen)?;
    if let Some(out) = &target {
        out.write(&drawn(&args.screen, &captions)?)?;
    }
    let mut stdout = output::stdout();
    if args.json {
        let report =
            Report { run: trained.run.name(), screen: screen.id, captions, out: args.out.clone() };
        writeln!(stdout, "{}", serde_json::to_string(&report)?)?;
        return Ok(());
    }
    for Caption { node, caption, .. } in &captions {
        writeln!(stdout, "{node}  {caption}")?;
    }
    Ok(())
}

/// A widget of a data set with what is written of it.
pub(crate) struct Shown {
    /// What the model sees of it.
    pub(crate) seen: RgbImage,
    pub(crate) caption: String,
    /// What people wrote.
    pub(crate) references: Vec<String>,
}

/// Captions the first widgets of a loader's screens, [`OF_A_SCREEN`] of each.
pub(crate) fn shown(
    captioner: &Captioner,
    params: &Params,
    loader: &Loader,
    count: usize,
) -> Result<Vec<Shown>> {
    let (mut screens, mut widgets) = (Vec::new(), 0);
    for screen in loader.screens().screens() {
        if widgets >= count {
            break;
        }
        // Widgets come in the order of their nodes.
        let last = screen.widgets.iter().take(OF_A_SCREEN.min(count - widgets)).next_back();
        let screen = screen.only(|node| last.is_some_and(|last| node <= last.node));
        widgets += screen.widgets.len();
        screens.push(screen);
    }
    if widgets == 0 {
        return Ok(Vec::new());
    }
    let words = captioner.model.config().max_words;
    let batch = Batch::of(&screens.iter().collect::<Vec<_>>(), loader.vocabulary(), words);
    let captions = captioner.caption(params, &batch)?.into_iter();
    let places = batch.widgets.iter().zip(&batch.origins);
    let shown = |(words, (&(screen, _), &widget)): (Vec<usize>, (&(usize, usize), &usize))| {
        let screen = &screens[screen];
        Shown {
            seen: in_colour(screen.pixels(widget), [1, SIDE, SIDE]),
            caption: loader.vocabulary().decode(&words),
            references: screen.widgets[widget].captions.clone(),
        }
    };
    Ok(captions.zip(places).map(shown).collect())
}

/// The screen with those widgets that are asked for.
fn wanted(screen: Screen, args: &CaptionArgs) -> Result<Screen> {
    let asked = match &args.node {
        Some(path) => {
            let node = screen.find(path).with_context(|| {
                let last = screen.nodes.last().map_or("0", |node| &node.path);
                format!(
                    "--node {path}: no such node in {}; it has {} nodes, from 0 to {last}",
                    args.screen.display(),
                    screen.nodes.len()
                )
            })?;
            screen.only(|other| other == node)
        }
        None => screen.only(|node| {
            let node = &screen.nodes[node];
            node.visible && (args.all || node.clickable)
        }),
    };
    if asked.widgets.is_empty() {
        bail!(
            "{}: no visible node{}; --node PATH names one",
            args.screen.display(),
            if args.all { "" } else { " that can be clicked (--all takes the others, too)" }
        );
    }
    Ok(asked)
}

/// The picture beside a screen's hierarchy, with captions on it.
pub(crate) fn drawn(screen: &Path, captions: &[Caption]) -> Result<RgbImage> {
    let beside = ["jpg", "jpeg", "png", "webp"].map(|ending| screen.with_extension(ending));
    let picture = beside.iter().find(|path| path.exists());
    let picture = picture.with_context(|| format!("{}: no picture beside it", screen.display()))?;
    let mut picture = open(picture)?.to_rgb8();
    let (width, height) = (f64::from(picture.width()), f64::from(picture.height()));
    let label = |(number, Caption { bounds, caption, .. }): (usize, &Caption)| {
        let [left, top, right, bottom] = bounds.map(f64::from);
        let bounds = Corners { left, top, right, bottom }.scaled(width, height);
        (bounds, caption.clone(), number)
    };
    let boxes: Vec<_> = captions.iter().enumerate().map(label).collect();
    draw::boxes(&mut picture, &boxes)?;
    Ok(picture)
}
