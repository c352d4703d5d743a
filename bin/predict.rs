//! `wavetape predict`: what a trained model says of pictures in files.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use datasets::Normalize;
use datasets::picture::is_named_so;
use datasets::screens::{Limits, Vocabulary, screen};
use image::RgbImage;
use models::Corners;
use rayon::prelude::*;
use serde::Serialize;
use walkdir::WalkDir;

use crate::args;
use crate::caption::{self, Caption};
use crate::captioner::Captioner;
use crate::classifier::Classifier;
use crate::data::{Classes, Derived, Names};
use crate::detect::{self, THRESHOLD, drawn};
use crate::detector::Detector;
use crate::output::{self, counted};
use crate::picture::open;
use crate::task::Task;
use crate::trained::Trained;
use crate::written::{Target, names};

/// Say what a trained model finds in pictures: their classes, the objects on them, or captions of a screen's widgets.
///
/// Pictures are read as in training. One that cannot be read is told of; the others are answered all the same, and the exit code
/// is 1.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wavetape predict runs/vit-sample-001 photo.jpg
  wavetape predict runs/vit-sample-001 photos/ --csv photos.csv
  wavetape predict runs/detr-bccd-001 cells.jpg more-cells/ --out drawn --json")]
pub(crate) struct PredictArgs {
    /// Folder of the run of a classifier, a detector or a captioner.
    run: PathBuf,
    /// Pictures, and folders of them, of any depth. For a captioner: view hierarchies, .json, with their pictures beside them.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Classes that are told of each picture, the most probable ones.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = args::whole::<usize>(args::COUNTS))]
    top: usize,
    /// Least score of an object that is told.
    #[arg(long, value_name = "P", default_value_t = THRESHOLD, value_parser = args::number(args::FRACTION))]
    threshold: f64,
    /// Write what was found as a table, too.
    #[arg(long, value_name = "FILE.csv")]
    csv: Option<PathBuf>,
    /// Draw what was found, a picture for each file, into this folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print a JSON object a line, one for each file, and nothing else.
    #[arg(long)]
    json: bool,
}

/// Files that are read at a time.
const AT_A_TIME: usize = 64;

/// A class that a picture may show.
#[derive(Serialize)]
struct Class {
    class: String,
    probability: f32,
}

/// An object on a picture.
#[derive(Serialize)]
struct Object {
    class: String,
    score: f64,
    /// Left, top, width and height, in pixels of the file.
    bbox: [f64; 4],
}

/// What a model says of a file.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Classes(Vec<Class>),
    Objects(Vec<Object>),
    Captions(Vec<Caption>),
    /// Why it says nothing.
    Error(String),
}

#[derive(Serialize)]
struct Line {
    file: String,
    #[serde(flatten)]
    answer: Answer,
}

/// A model that answers.
enum Model<'a> {
    Classifier(&'a Classifier, Normalize),
    Detector(&'a Detector),
    Captioner(&'a Captioner, &'a Vocabulary),
}

/// Answers, prints, draws.
pub(crate) fn run(args: &PredictArgs) -> Result<()> {
    let trained = Trained::open(&args.run)?;
    let model = match (&trained.task, &trained.past.derived) {
        (Task::Classify(task), _) => Model::Classifier(task, trained.normalize()?),
        (Task::Detect(task), _) => Model::Detector(task),
        (Task::Caption(task), Some(Derived { names: Names::Words(words), .. })) => {
            Model::Captioner(task, words)
        }
        _ => return Err(trained.other("classifier, a detector or a captioner")),
    };
    let files = files(&args.files, matches!(model, Model::Captioner(..)))?;
    let mut table = args.csv.as_deref().map(|path| Csv::new(path, &model)).transpose()?;
    let targets = args.out.as_deref().map(|out| targets(out, &files)).transpose()?;
    let classes = trained.classes();
    let mut out = output::stdout();
    let mut failed = 0;
    for (first, some) in files.chunks(AT_A_TIME).enumerate() {
        let answer = |file: &PathBuf| {
            let answered = model.answer(&trained, &classes, file, args);
            answered.unwrap_or_else(|error| (Answer::Error(format!("{error:#}")), None))
        };
        let answers: Vec<_> = some.par_iter().map(answer).collect();
        for (i, (file, (answer, picture))) in some.iter().zip(answers).enumerate() {
            failed += usize::from(matches!(answer, Answer::Error(_)));
            if let (Some(targets), Some(picture)) = (&targets, picture) {
                targets[first * AT_A_TIME + i].write(&picture)?;
            }
            let line = Line { file: file.display().to_string(), answer };
            if let Some(table) = &mut table {
                table.write(&line)?;
            }
            match (args.json, &line.answer) {
                (true, _) => writeln!(out, "{}", serde_json::to_string(&line)?)?,
                (false, Answer::Error(error)) => output::note(error),
                (false, _) => writeln!(out, "{}", line.words())?,
            }
        }
    }
    table.map_or(Ok(()), Csv::finish)?;
    if failed > 0 {
        bail!("{} of {} could not be read", failed, counted(files.len(), "file"));
    }
    Ok(())
}

impl Model<'_> {
    /// What it says of a file, and what of that can be seen.
    fn answer(
        &self,
        trained: &Trained,
        classes: &Classes,
        file: &Path,
        args: &PredictArgs,
    ) -> Result<(Answer, Option<RgbImage>)> {
        let (params, draws) = (trained.state.evaluated(), args.out.is_some());
        match self {
            Model::Classifier(task, normalize) => {
                let bytes = task.read(file, &trained.recipe.data)?;
                let input = task.input(&bytes, normalize);
                let probabilities = task.probabilities(params, &input)?.to_vec();
                let mut order: Vec<usize> = (0..probabilities.len()).collect();
                order.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
                order.truncate(args.top);
                let class =
                    |&k: &usize| Class { class: classes.name(k), probability: probabilities[k] };
                let picture = draws.then(|| {
                    let plain = open(file)?.to_rgb8();
                    let [right, bottom] = [plain.width(), plain.height()].map(f64::from);
                    let whole = Corners { left: 0.0, top: 0.0, right, bottom };
                    let first = order[0];
                    let label = format!("{} {:.2}", classes.name(first), probabilities[first]);
                    drawn(&plain, &[(whole, label, first)])
                });
                Ok((Answer::Classes(order.iter().map(class).collect()), picture.transpose()?))
            }
            Model::Detector(task) => {
                let (picture, plain) = detect::read(task, file, 0)?;
                let [height, width] = picture.original.map(|side| side as f64);
                let found = detect::find(task, params, &picture)?;
                let shown = detect::Shown::of(&plain, &found, classes, args.threshold)?;
                let object = |found: &crate::detector::Found| Object {
                    class: classes.name(found.class),
                    score: found.score,
                    bbox: found.bounds.scaled(width, height).to_left_top(),
                };
                let objects = shown.found.iter().map(object).collect();
                Ok((Answer::Objects(objects), draws.then_some(shown.picture)))
            }
            Model::Captioner(task, words) => {
                let screen = screen(file, &Limits::default())?;
                let screen =
                    screen.only(|node| screen.nodes[node].visible && screen.nodes[node].clickable);
                let captions = match screen.widgets.is_empty() {
                    true => Vec::new(),
                    false => caption::written(task, params, words, &screen)?,
                };
                let picture = draws.then(|| caption::drawn(file, &captions)).transpose()?;
                Ok((Answer::Captions(captions), picture))
            }
        }
    }
}

impl Line {
    /// What people read.
    fn words(&self) -> String {
        let said: Vec<String> = match &self.answer {
            Answer::Classes(classes) => {
                classes.iter().map(|c| format!("{} {:.3}", c.class, c.probability)).collect()
            }
            Answer::Objects(objects) => {
                objects.iter().map(|o| format!("{} {:.2}", o.class, o.score)).collect()
            }
            Answer::Captions(captions) => {
                captions.iter().map(|c| format!("{} \"{}\"", c.node, c.caption)).collect()
            }
            Answer::Error(error) => vec![error.clone()],
        };
        let said = if said.is_empty() { "nothing".to_owned() } else { said.join(", ") };
        format!("{}  {said}", self.file)
    }
}

/// The files that are meant: those that are named, and those in folders, in the order of their paths.
fn files(named: &[PathBuf], screens: bool) -> Result<Vec<PathBuf>> {
    let is_meant = |path: &Path| match screens {
        true => path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json")),
        false => is_named_so(path),
    };
    let mut files = Vec::new();
    for path in named {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let before = files.len();
        for entry in WalkDir::new(path).follow_links(true).sort_by_file_name() {
            let entry = entry.with_context(|| path.display().to_string())?;
            if entry.file_type().is_file() && is_meant(entry.path()) {
                files.push(entry.into_path());
            }
        }
        if files.len() == before {
            let what = if screens { "screen (.json)" } else { "picture" };
            bail!("{}: there is no {what} in this folder", path.display());
        }
    }
    Ok(files)
}

/// Where pictures go: no two files have one.
fn targets(out: &Path, files: &[PathBuf]) -> Result<Vec<Target>> {
    std::fs::create_dir_all(out).with_context(|| out.display().to_string())?;
    let stem = |path: &PathBuf| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let stems: Vec<String> = files.iter().map(stem).collect();
    let names = names(stems.iter().map(String::as_str));
    names.iter().map(|name| Target::new(&out.join(format!("{name}.png")))).collect()
}

/// A table of answers.
struct Csv {
    target: Target,
    table: csv::Writer<Vec<u8>>,
}

impl Csv {
    fn new(path: &Path, model: &Model<'_>) -> Result<Self> {
        let head: &[&str] = match model {
            Model::Classifier(..) => &["file", "rank", "class", "probability"],
            Model::Detector(_) => &["file", "class", "score", "left", "top", "width", "height"],
            Model::Captioner(..) => &["file", "node", "caption", "left", "top", "right", "bottom"],
        };
        let mut table = csv::Writer::from_writer(Vec::new());
        table.write_record(head)?;
        let target = Target::text(path, &head.join(","))?;
        Ok(Self { target, table })
    }

    fn write(&mut self, Line { file, answer }: &Line) -> Result<()> {
        match answer {
            Answer::Classes(classes) => {
                for (rank, Class { class, probability }) in classes.iter().enumerate() {
                    self.table.serialize((file, rank + 1, class, probability))?;
                }
            }
            Answer::Objects(objects) => {
                for Object { class, score, bbox } in objects {
                    self.table.serialize((file, class, score, bbox))?;
                }
            }
            Answer::Captions(captions) => {
                for Caption { node, bounds, caption } in captions {
                    self.table.serialize((file, node, caption, bounds))?;
                }
            }
            Answer::Error(_) => {}
        }
        Ok(())
    }

    fn finish(self) -> Result<()> {
        self.target.put(&self.table.into_inner()?)
    }
}
