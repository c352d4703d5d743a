//! `wavetape detect`: finds objects in pictures with a detector that was trained.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use datasets::detection::coco::{self, Found as Line};
use datasets::detection::{Annotated, View};
use image::RgbImage;
use image::imageops::{FilterType, resize};
use models::Corners;
use nn::Params;
use serde::Serialize;
use tensor::Tensor;

use crate::args;
use crate::asked::Asked;
use crate::data::{Classes, normalize};
use crate::detector::{Detector, Found};
use crate::draw;
use crate::output;
use crate::picture::{in_colour, open};
use crate::run::Run;
use crate::source::Source;
use crate::task::Task;
use crate::trainer::Trainer;

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
    /// Folder for the pictures with boxes, IMAGE.png (small ones are drawn larger), and for results.json.
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
    let (run, recipe) = Run::open(&args.run)?;
    let (Task::Detect(detector), mut state) = Trainer::untrained(&recipe)? else {
        bail!("{}: the run of a detector expected", args.run.display())
    };
    run.restore(&mut state)?;
    let classes = Classes::read(&run)?;
    let class = |found: &Found| {
        let none = || format!("{}: no class {} in classes.json", args.run.display(), found.class);
        classes.0.get(found.class).with_context(none)
    };
    let source = args
        .test
        .map(|_| Trainer::new(recipe.clone(), Asked::default(), Some(&run)))
        .transpose()?;
    let source = source.map(|(trainer, _)| trainer.eval);
    let count = match (&source, args.test) {
        (Some(source), Some(count)) if count > source.len() => {
            bail!("--test {count}: at most {} expected", source.len())
        }
        (Some(_), Some(count)) => count,
        _ => args.images.len(),
    };
    let stems = stems(&args.images)?;
    let channels = detector.model.config().channels;
    std::fs::create_dir_all(&args.out).with_context(|| args.out.display().to_string())?;

    let (mut lines, mut objects, mut by_class) = (Vec::new(), 0, HashMap::new());
    let picture = |i: usize| -> Result<(Annotated, RgbImage)> {
        if let Some(Source::Boxes(loader)) = &source {
            let picture = loader.source().picture(i).into_owned();
            let drawn = in_colour(&picture.pixels, picture.shape);
            return Ok((picture, drawn));
        }
        let picture = open(&args.images[i])?;
        Ok((annotated(&picture, channels, i as u64 + 1, &stems[i])?, picture.to_rgb8()))
    };
    for i in 0..count {
        let (picture, plain) = picture(i)?;
        let size = [plain.width(), plain.height()].map(f64::from);
        let found = find(&detector, state.evaluated(), &picture);
        for found in &found {
            lines.push(Line {
                image_id: picture.id.clone(),
                category_id: class(found)?.id.clone(),
                bbox: found.bounds.scaled(size[0], size[1]).to_left_top(),
                score: found.score,
            });
        }
        let shown = Shown::of(&plain, &found, &classes, args.threshold)?;
        objects += shown.found.len();
        for found in &shown.found {
            *by_class.entry(classes.name(found.class)).or_insert(0) += 1;
        }
        let stem = picture.name.replace(['/', '\\', ' '], "-");
        let path = args.out.join(format!("{stem}.png"));
        shown.picture.save(&path).with_context(|| path.display().to_string())?;
    }
    let results = args.out.join("results.json");
    coco::write_results(&results, &lines)?;
    let report = Report {
        run: run.name(),
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

/// The names of the pictures without folder and ending, under which results are written.
fn stems(images: &[PathBuf]) -> Result<Vec<String>> {
    let stem = |path: &PathBuf| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let stems: Vec<String> = images.iter().map(stem).collect();
    for (i, stem) in stems.iter().enumerate() {
        if stems[..i].contains(stem) {
            bail!("{}: two pictures of this name; one of each expected", images[i].display());
        }
    }
    Ok(stems)
}

/// A picture without objects. A file that is called by a number is that image of its data set.
fn annotated(
    picture: &image::DynamicImage,
    channels: usize,
    number: u64,
    stem: &str,
) -> Result<Annotated> {
    let [height, width] = [picture.height() as usize, picture.width() as usize];
    let interleaved = match channels {
        1 => picture.to_luma8().into_raw(),
        3 => picture.to_rgb8().into_raw(),
        other => bail!("a model of 1 or 3 channels expected, not {other}"),
    };
    let plane = |c: usize| interleaved.iter().skip(c).step_by(channels).copied();
    Ok(Annotated {
        id: stem.parse().unwrap_or(number).into(),
        name: stem.to_owned(),
        original: [height, width],
        shape: [channels, height, width],
        pixels: (0..channels).flat_map(plane).collect(),
        objects: Vec::new(),
        truth: Vec::new(),
    })
}

/// What the detector finds in a picture that is made as large as its canvas allows.
fn find(detector: &Detector, params: &Params, picture: &Annotated) -> Vec<Found> {
    let config = detector.model.config();
    let ([_, height, width], canvas) = (picture.shape, config.image_size);
    let view = View::plain([height, width], canvas);
    let images = Tensor::build([1, config.channels, canvas[0], canvas[1]], |out| {
        view.render(picture, &normalize(config.channels), canvas, out);
    });
    detector.find(params, &images, &[view.size]).remove(0)
}

/// A picture with boxes on it.
pub(crate) struct Shown {
    pub(crate) picture: RgbImage,
    /// Whose boxes they are, the surest first.
    pub(crate) found: Vec<Found>,
}

impl Shown {
    /// Draws the boxes with at least this score, of each query the most probable one, on the picture that they were found on.
    fn of(plain: &RgbImage, all: &[Found], classes: &Classes, threshold: f64) -> Result<Self> {
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
        Self::of(&plain, &find(detector, params, picture), classes, THRESHOLD)
    }
}

/// Class and score.
pub(crate) fn label(found: &Found, classes: &Classes) -> String {
    format!("{} {:.2}", classes.name(found.class), found.score)
}

/// Pixels that the longer side of a drawn picture has at least, so that labels can be read.
const LEAST_SIDE: u32 = 384;

/// Draws; a small picture by a whole number of times larger than it is.
fn drawn(picture: &RgbImage, boxes: &[(Corners, String, usize)]) -> Result<RgbImage> {
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
