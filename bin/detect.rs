//! `wavetape detect`: finds objects in pictures with a detector that was trained.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use datasets::detection::coco::{self, Found as Line};
use datasets::detection::{self, Annotated, Fit, Id, Reading, View};
use datasets::image_folder::Channels;
use image::RgbImage;
use image::imageops::{FilterType, resize};
use models::Corners;
use nn::Params;
use nn::checkpoint::write_atomically;
use serde::Serialize;
use tensor::Tensor;

use crate::args;
use crate::data::{Classes, Parts, normalize, reading};
use crate::detector::{Detector, Found};
use crate::draw;
use crate::output;
use crate::picture::in_colour;
use crate::source::Source;
use crate::task::Task;
use crate::trained::Trained;
use crate::written::{self, Target, read_own};

/// Find objects in pictures: draws boxes with class and score, and writes all that was found in COCO's format.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wavetape detect runs/detr-bccd-001 cells.jpg
  wavetape detect runs/detr-bccd-001 photos/*.jpg --out found --threshold 0.7
  wavetape detect runs/detr-scenes-001 --test 8")]
pub(crate) struct DetectArgs {
    /// Folder of a detector's run.
    run: PathBuf,
    /// Pictures. They are made as large as those that the detector was trained on.
    #[arg(required_unless_present = "test", conflicts_with = "test", value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// Instead of pictures of one's own: the first N that the run is scored on.
    #[arg(long, value_name = "N", value_parser = args::whole::<usize>(args::COUNTS))]
    test: Option<usize>,
    /// Folder for the pictures with boxes, IMAGE.png (small ones are drawn larger), for what was found, results.json, in pixels of
    /// the pictures in their files, and for images.json, which names the pictures. Only what an earlier detection left is replaced.
    #[arg(long, value_name = "DIR", default_value = "detections")]
    out: PathBuf,
    /// Least score of a box that is drawn.
    #[arg(long, value_name = "P", default_value_t = THRESHOLD, value_parser = args::number(args::FRACTION))]
    threshold: f64,
    /// Print the result as one JSON object and nothing else.
    #[arg(long)]
    json: bool,
}

/// Least score of a box that is drawn, unless another one is asked for.
pub(crate) const THRESHOLD: f64 = 0.5;

#[derive(Serialize)]
struct Report {
    run: String,
    images: usize,
    /// Boxes that were drawn.
    objects: usize,
    by_class: HashMap<String, usize>,
    out: PathBuf,
    /// All boxes, whatever their score.
    results: PathBuf,
}

/// Finds, draws and writes.
pub(crate) fn run(args: &DetectArgs) -> Result<()> {
    let trained = Trained::open(&args.run)?;
    let Task::Detect(detector) = &trained.task else { return Err(trained.other("detector")) };
    let classes = trained.classes();
    let source = args.test.map(|_| trained.trainer(Parts::Scored)).transpose()?;
    let source = source.map(|trainer| trainer.eval);
    let count = match (&source, args.test) {
        (Some(source), Some(count)) if count > source.len() => {
            bail!("--test {count}: at most {} expected", source.len())
        }
        (Some(_), Some(count)) => count,
        _ => args.images.len(),
    };
    // The numbers of classes are those of the file that the pictures are from.
    let ids: Vec<Id> = match &source {
        Some(Source::Boxes(loader)) => loader.source().class_ids(),
        _ => classes.0.iter().map(|class| class.id.clone()).collect(),
    };
    let names: Vec<String> = match &source {
        Some(Source::Boxes(loader)) => (0..count)
            .map(|i| Ok(loader.source().picture(i)?.name.clone()))
            .collect::<Result<_>>()?,
        _ => args.images.iter().map(|path| stem(path)).collect(),
    };
    let numbers = numbers(&names);
    let written = written::names(names.iter().map(String::as_str));
    let folder = Folder::new(&args.out, &written)?;

    let (mut lines, mut objects, mut by_class) = (Vec::new(), 0, HashMap::new());
    let mut pictures = Vec::new();
    let picture = |i: usize| -> Result<(Annotated, RgbImage)> {
        if let Some(Source::Boxes(loader)) = &source {
            let picture = loader.source().picture(i)?.into_owned();
            let drawn = in_colour(&picture.pixels, picture.shape);
            return Ok((picture, drawn));
        }
        read(detector, &args.images[i], numbers[i])
    };
    for (i, written) in written.iter().enumerate() {
        let (picture, plain) = picture(i)?;
        let [height, width] = picture.original;
        let found = find(detector, trained.state.evaluated(), &picture)?;
        for found in &found {
            let category_id = ids.get(found.class).cloned().with_context(|| {
                format!("{}: this run has no class {}", args.run.display(), found.class)
            })?;
            lines.push(Line {
                image_id: picture.id.clone(),
                category_id,
                bbox: found.bounds.scaled(width as f64, height as f64).to_left_top(),
                score: found.score,
            });
        }
        let shown = Shown::of(&plain, &found, &classes, args.threshold)?;
        objects += shown.found.len();
        for found in &shown.found {
            *by_class.entry(classes.name(found.class)).or_insert(0) += 1;
        }
        let file_name = match args.images.get(i) {
            Some(path) => path.display().to_string(),
            None => picture.name,
        };
        let drawn = folder.draw(written, &shown.picture)?;
        pictures.push(Written { id: picture.id, file_name, width, height, drawn });
    }
    let results = folder.finish(&pictures, &lines)?;
    let report = Report {
        run: trained.run.name(),
        images: count,
        objects,
        by_class,
        out: args.out.clone(),
        results,
    };
    let mut out = output::stdout();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
        return Ok(());
    }
    let mut counts: Vec<_> =
        report.by_class.iter().map(|(name, n)| format!("{n} {name}")).collect();
    counts.sort();
    let counts = if counts.is_empty() { "nothing".to_owned() } else { counts.join(", ") };
    let (images, results) = (report.images, report.results.display());
    writeln!(out, "{images} pictures: {counts} → {}, {results}", args.out.display())?;
    Ok(())
}

/// The name of a file without folder and ending.
fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// Numbers of pictures in files: those that they are called by, if all are and no two alike; else their places, from 1.
fn numbers(stems: &[String]) -> Vec<u64> {
    let called: Option<Vec<u64>> = stems.iter().map(|stem| stem.parse().ok()).collect();
    let is_unique = |called: &Vec<u64>| called.iter().collect::<HashSet<_>>().len() == stems.len();
    called.filter(is_unique).unwrap_or_else(|| (1..=stems.len() as u64).collect())
}

/// A picture in the list `images.json`.
#[derive(Serialize)]
struct Written {
    /// Its `image_id` in `results.json`.
    id: Id,
    file_name: String,
    width: usize,
    height: usize,
    /// The picture with boxes.
    drawn: String,
}

/// Where detections go: pictures with boxes, `images.json`, a list of the pictures in COCO's format, and `results.json`.
struct Folder {
    path: PathBuf,
    targets: HashMap<String, Target>,
}

impl Folder {
    /// What the list of pictures says of its origin.
    const ORIGIN: &str = "wavetape detect";

    /// A folder for pictures of these names, which replaces what an earlier call has left and nothing else.
    fn new(path: &Path, names: &[String]) -> Result<Self> {
        std::fs::create_dir_all(path).with_context(|| path.display().to_string())?;
        let target =
            |name: &String| Ok((name.clone(), Target::new(&path.join(format!("{name}.png")))?));
        let targets = names.iter().map(target).collect::<Result<_>>()?;
        let [images, results] = ["images.json", "results.json"].map(|name| path.join(name));
        let list = read_own(&images).ok();
        let list: Option<serde_json::Value> =
            list.and_then(|list| serde_json::from_str(&list).ok());
        let is_ours = list.is_some_and(|list| list["info"]["description"] == Self::ORIGIN);
        for file in [&images, &results] {
            if file.symlink_metadata().is_ok() && !is_ours {
                bail!(
                    "{} is there already and not of an earlier detection, so it is not replaced: name another folder with --out",
                    file.display()
                );
            }
        }
        Ok(Self { path: path.to_owned(), targets })
    }

    /// Writes a picture with boxes; returns the name of its file.
    fn draw(&self, name: &str, picture: &RgbImage) -> Result<String> {
        self.targets[name].write(picture)?;
        Ok(format!("{name}.png"))
    }

    /// Writes the list of pictures and what was found on them; returns the path of the latter.
    fn finish(&self, pictures: &[Written], found: &[Line]) -> Result<PathBuf> {
        let images = self.path.join("images.json");
        let list =
            serde_json::json!({ "info": { "description": Self::ORIGIN }, "images": pictures });
        write_atomically(&images, list.to_string().as_bytes())
            .with_context(|| images.display().to_string())?;
        let results = self.path.join("results.json");
        coco::write_results(&results, found)?;
        Ok(results)
    }
}

/// A picture in a file: as the detector reads it, and as it is.
pub(crate) fn read(detector: &Detector, path: &Path, number: u64) -> Result<(Annotated, RgbImage)> {
    let config = detector.model.config();
    let picture = detection::read_picture(path, number, &reading(config, config.image_size)?)?;
    let whole = Reading::new(Channels::Rgb, Fit::Original);
    let whole = detection::read_picture(path, 0, &whole)?;
    Ok((picture, in_colour(&whole.pixels, whole.shape)))
}

/// What the detector finds in a picture that is made as large as its canvas allows.
pub(crate) fn find(
    detector: &Detector,
    params: &Params,
    picture: &Annotated,
) -> Result<Vec<Found>> {
    let config = detector.model.config();
    let ([_, height, width], canvas) = (picture.shape, config.image_size);
    let view = View::plain([height, width], canvas);
    let images = Tensor::build([1, config.channels, canvas[0], canvas[1]], |out| {
        view.render(picture, &normalize(config.channels), canvas, out);
    });
    Ok(detector.find(params, &images, &[view.size])?.remove(0))
}

/// A picture with boxes on it.
pub(crate) struct Shown {
    pub(crate) picture: RgbImage,
    /// Whose boxes they are, the surest first.
    pub(crate) found: Vec<Found>,
}

impl Shown {
    /// Draws the boxes with at least this score, of each query the most probable one, on the picture that they were found on.
    pub(crate) fn of(
        plain: &RgbImage,
        all: &[Found],
        classes: &Classes,
        threshold: f64,
    ) -> Result<Self> {
        let mut queries = HashSet::new();
        let is_shown = |found: &&Found| found.score >= threshold && queries.insert(found.query);
        let found: Vec<Found> = all.iter().filter(is_shown).copied().collect();
        let [width, height] = [plain.width(), plain.height()].map(f64::from);
        // The surest on top.
        let boxes = found
            .iter()
            .rev()
            .map(|found| (found.bounds.scaled(width, height), label(found, classes), found.class));
        let picture = drawn(plain, &boxes.collect::<Vec<_>>())?;
        Ok(Self { picture, found })
    }

    /// Looks for objects in a picture of a data set, and draws those of a score of at least [`THRESHOLD`].
    pub(crate) fn found(
        detector: &Detector,
        params: &Params,
        picture: &Annotated,
        classes: &Classes,
    ) -> Result<Self> {
        let plain = in_colour(&picture.pixels, picture.shape);
        Self::of(&plain, &find(detector, params, picture)?, classes, THRESHOLD)
    }
}

/// Class and score.
pub(crate) fn label(found: &Found, classes: &Classes) -> String {
    format!("{} {:.2}", classes.name(found.class), found.score)
}

/// Pixels that the longer side of a drawn picture has at least, so that labels can be read.
const LEAST_SIDE: u32 = 384;

/// Draws; a small picture by a whole number of times larger than it is.
pub(crate) fn drawn(picture: &RgbImage, boxes: &[(Corners, String, usize)]) -> Result<RgbImage> {
    let (width, height) = picture.dimensions();
    let times = LEAST_SIDE.div_ceil(width.max(height).max(1));
    let mut drawn = resize(picture, times * width, times * height, FilterType::Nearest);
    let scale = f64::from(times);
    let larger = |(bounds, text, colour): &(Corners, String, usize)| {
        (bounds.scaled(scale, scale), text.clone(), *colour)
    };
    draw::boxes(&mut drawn, &boxes.iter().map(larger).collect::<Vec<_>>())?;
    Ok(drawn)
}
