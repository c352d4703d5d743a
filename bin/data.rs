//! The images that a recipe asks for.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use datasets::detection::scenes;
use datasets::screens::{self, Vocabulary};
use datasets::{Images, Normalize, Split, cifar10, detection, idx, image_folder, sample};
use nn::Params;
use serde::{Deserialize, Serialize};

use crate::captioner;
use crate::recipe::{DataConfig, DataKind, ModelConfig, Recipe, ScenesConfig};
use crate::run::Run;
use crate::source::Source;
use crate::task::Task;

/// The classes of a data set: names, and the numbers by which files of results call them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Classes(pub(crate) Vec<Class>);

/// What the numbers stand for that a model answers with.
#[derive(Clone, Debug)]
pub(crate) enum Names {
    Classes(Classes),
    Words(Arc<Vocabulary>),
}

impl Names {
    /// Leaves them in the folder of a run.
    pub(crate) fn write(&self, run: &Run) -> Result<()> {
        match self {
            Names::Classes(classes) => {
                run.put(Classes::FILE, serde_json::to_string(classes)?.as_bytes())
            }
            Names::Words(words) => {
                run.put(captioner::VOCABULARY, serde_json::to_string(&**words)?.as_bytes())
            }
        }
    }
}

/// One of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Class {
    pub(crate) id: u64,
    pub(crate) name: String,
}

/// Another canvas than that which a detector was trained on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Canvas {
    /// Height and width in pixels.
    pub(crate) size: [usize; 2],
    /// Whether the objects of scenes grow with it, or keep their size in pixels.
    pub(crate) zoom: bool,
}

impl Classes {
    const FILE: &str = "classes.json";

    fn new(ids: impl IntoIterator<Item = u64>, names: &[String]) -> Self {
        let class = |(id, name): (u64, &String)| Class { id, name: name.clone() };
        Self(ids.into_iter().zip(names).map(class).collect())
    }

    /// Those of a run.
    pub(crate) fn read(run: &Run) -> Result<Self> {
        let path = run.folder.join(Self::FILE);
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("{}: the classes of a run expected", path.display()))?;
        serde_json::from_str(&text).with_context(|| path.display().to_string())
    }
}

/// Reads what the recipe asks for and checks that it fits the model: what to train on, what to evaluate on, on another canvas if
/// one is given, and the classes. Lets the task learn what it learns before training.
pub(crate) fn load(
    recipe: &Recipe,
    task: &Task,
    params: &mut Params,
    canvas: Option<Canvas>,
) -> Result<(Source, Source, Names)> {
    if let ModelConfig::Detr(model) = &recipe.model {
        let canvas = canvas.unwrap_or(Canvas { size: model.image_size, zoom: false });
        return boxes(recipe, model, canvas);
    }
    if canvas.is_some() {
        bail!("another size of images: a detector expected");
    }
    let (train, eval, normalize) = images(recipe)?;
    task.fit(params, &train, recipe.seed);
    let normalize = task.normalize(normalize);
    let classes = Classes::new(0.., train.classes());
    let options = datasets::Options {
        augment: recipe.augment.into(),
        ..datasets::Options::train(recipe.train.batch_size, recipe.seed, normalize.clone())
    };
    let train = datasets::Loader::new(Arc::new(train), options)?;
    let eval = datasets::Loader::new(Arc::new(eval), datasets::Options::eval(500, normalize))?;
    Ok((Source::Images(train), Source::Images(eval), Names::Classes(classes)))
}

/// Why pictures with boxes and screens are not asked for as images with a label.
const OTHERS: &str = "they are read elsewhere";

/// Reads the screens that a captioner's recipe asks for, and what words there are: those of a run, if it is one that goes on or is
/// scored. Completes the recipe.
pub(crate) fn screens(
    recipe: &mut Recipe,
    run: Option<&Run>,
) -> Result<Option<(Source, Source, Names)>> {
    let ModelConfig::Captioner(model) = &mut recipe.model else { return Ok(None) };
    let config = recipe.data.screens.unwrap_or_default();
    let dir = folder(&recipe.data)?;
    let read = |part: screens::Part| {
        let screens = screens::folder(dir, part).with_context(|| advice(DataKind::Screens, dir))?;
        if !screens.repairs().is_empty() {
            eprintln!("{}, {}: {}", dir.display(), part.name(), screens.repairs());
        }
        Ok::<_, anyhow::Error>(Arc::new(screens))
    };
    let (train, eval) = (read(screens::Part::Train)?, read(config.eval)?);
    let vocabulary = match run {
        Some(run) => captioner::vocabulary(run)?,
        None => Vocabulary::of_captions(&train, config.words, config.min_count),
    };
    if ![0, vocabulary.len()].contains(&model.vocabulary) {
        bail!(
            "model.vocabulary = {}: the {} words of the training captions expected, or 0",
            model.vocabulary,
            vocabulary.len()
        );
    }
    model.vocabulary = vocabulary.len();
    let vocabulary = Arc::new(vocabulary);
    let options = screens::Options {
        max_nodes: config.max_nodes,
        max_words: model.max_words,
        band: config.band,
        ..screens::Options::train(recipe.train.batch_size, recipe.seed)
    };
    let train = screens::Loader::new(train, Arc::clone(&vocabulary), options)?;
    if train.left_out() != screens::LeftOut::default() {
        eprintln!("not shown in training: {}", train.left_out());
    }
    let options = screens::Options {
        max_nodes: usize::MAX,
        max_words: model.max_words,
        ..screens::Options::eval(16)
    };
    let eval = screens::Loader::new(eval, Arc::clone(&vocabulary), options)?;
    Ok(Some((Source::Screens(train), Source::Screens(eval), Names::Words(vocabulary))))
}

/// Training images, images to evaluate on, and the map from bytes to inputs, taken from the training images.
fn images(recipe: &Recipe) -> Result<(Images, Images, Normalize)> {
    let Recipe { data: config, model, seed, .. } = recipe;
    let whole = read(config, config.kind, Split::Train)?;
    let normalize = Normalize::of(&whole);
    let (train, eval) = match config.hold_out {
        0 => (whole, read(config, config.kind, Split::Test)?),
        count if count < whole.len() => whole.hold_out(count, *seed),
        count => bail!(
            "data.hold_out = {count}: fewer than the {} training images expected",
            whole.len()
        ),
    };
    let (expected, classes) = match model {
        ModelConfig::Vit(vit) => ([vit.channels, vit.image_size, vit.image_size], vit.classes),
        ModelConfig::ImageGpt(gpt) => {
            let classes = if gpt.classes == 0 { usize::MAX } else { gpt.classes };
            let channels = if gpt.palette > 0 { gpt.palette } else { gpt.channels };
            ([channels, gpt.image_size, gpt.image_size], classes)
        }
        ModelConfig::Detr(_) | ModelConfig::Captioner(_) => unreachable!("{OTHERS}"),
    };
    for images in [&train, &eval] {
        if images.shape() != expected {
            bail!(
                "images of shape {:?}; the model expects {expected:?} (channels, height, width)",
                images.shape()
            );
        }
        check_classes(images.classes().len(), classes)?;
    }
    Ok((train, eval, normalize))
}

fn check_classes(found: usize, expected: usize) -> Result<()> {
    if found > expected {
        bail!("{found} classes; the model has {expected} (model.classes)");
    }
    Ok(())
}

fn read(config: &DataConfig, kind: DataKind, split: Split) -> Result<Images> {
    if kind == DataKind::Sample {
        return Ok(sample::fashion(split));
    }
    let dir = folder(config)?;
    let images = match kind {
        DataKind::FashionMnist => idx::folder(dir, split, &idx::FASHION),
        DataKind::Mnist => idx::folder(dir, split, &idx::DIGITS),
        DataKind::Cifar10 => cifar10::folder(dir, split),
        DataKind::GreyFolder | DataKind::ColourFolder => {
            let part = dir.join(if split == Split::Train { "train" } else { "test" });
            let size = config.resize.map_or(image_folder::Size::Equal, |size| {
                image_folder::Size::Resized { height: size, width: size }
            });
            image_folder::read(&part, size, kind.channels())
        }
        DataKind::Sample
        | DataKind::Scenes
        | DataKind::Voc
        | DataKind::Coco
        | DataKind::Yolo
        | DataKind::Screens => {
            bail!("images with a label each expected, not `{kind:?}`")
        }
    };
    images.with_context(|| advice(kind, dir))
}

fn folder(config: &DataConfig) -> Result<&Path> {
    config.dir.as_deref().context("data.dir is not set: name the folder with --data DIR")
}

fn advice(kind: DataKind, dir: &Path) -> String {
    match kind {
        DataKind::FashionMnist => format!(
            "reading Fashion-MNIST in {} (Debian's package dataset-fashion-mnist has it; --data DIR names another folder)",
            dir.display()
        ),
        _ => format!("reading {}", dir.display()),
    }
}

/// The map from bytes to a detector's inputs. It is the same for all data, so that a model can be asked about any picture: that of
/// ImageNet in colour, as in DETR, and −2 to 2 in grey.
pub(crate) fn normalize(channels: usize) -> Normalize {
    match channels {
        3 => Normalize { mean: vec![0.485, 0.456, 0.406], std: vec![0.229, 0.224, 0.225] },
        _ => Normalize { mean: vec![0.5; channels], std: vec![0.25; channels] },
    }
}

/// Pictures with boxes.
fn boxes(
    recipe: &Recipe,
    model: &models::DetrConfig,
    canvas: Canvas,
) -> Result<(Source, Source, Names)> {
    let (train, eval, ids) = match recipe.data.kind {
        DataKind::Scenes => {
            let (train, eval) = scenes(recipe, model, canvas)?;
            (train, eval, None)
        }
        _ => {
            let [train, eval] = stored(recipe, model)?;
            let ids = train.class_ids().to_vec();
            if train.classes() != eval.classes() {
                bail!(
                    "classes {:?} to train on, and {:?} to test",
                    train.classes(),
                    eval.classes()
                );
            }
            let [train, eval] =
                [train, eval].map(|part| detection::Source::Pictures(Arc::new(part)));
            (train, eval, Some(ids))
        }
    };
    for source in [&train, &eval] {
        check_classes(source.classes().len(), model.classes)?;
        if source.channels() != model.channels {
            bail!("{} channels; the model has {}", source.channels(), model.channels);
        }
    }
    report_crowded(&train, model.queries);
    let ids: Vec<u64> = ids.unwrap_or_else(|| (1..=train.classes().len() as u64).collect());
    let classes = Classes::new(ids, train.classes());
    let normalize = normalize(model.channels);
    let batch = recipe.train.batch_size;
    let options = detection::Options {
        augment: recipe.augment.boxes,
        ..detection::Options::train(batch, recipe.seed, model.image_size, normalize.clone())
    };
    let train = detection::Loader::new(train, options)?;
    let options = detection::Options::eval(64, canvas.size, normalize);
    let eval = detection::Loader::new(eval, options)?;
    Ok((Source::Boxes(train), Source::Boxes(eval), Names::Classes(classes)))
}

/// Says how many pictures have more objects than can be found in one: of those, the ones that fit best are learnt.
fn report_crowded(source: &detection::Source, queries: usize) {
    let crowded =
        match source {
            detection::Source::Pictures(part) => {
                let objects =
                    |p: &detection::Annotated| p.objects.iter().filter(|o| !o.crowd).count();
                part.pictures().iter().filter(|picture| objects(picture) > queries).count()
            }
            detection::Source::Scenes { scenes, len, .. } => {
                if scenes.options().max_objects > queries { *len } else { 0 }
            }
        };
    if crowded > 0 {
        let all = source.len();
        eprintln!(
            "{crowded} of {all} pictures may have more objects than model.queries = {queries}: as many are learnt"
        );
    }
}

/// Scenes to train on, others in each epoch, and scenes to evaluate on, of other objects.
fn scenes(
    recipe: &Recipe,
    model: &models::DetrConfig,
    canvas: Canvas,
) -> Result<(detection::Source, detection::Source)> {
    let config = recipe.data.scenes.as_ref().context("data.scenes: a table expected")?;
    let &ScenesConfig { objects, train, test, max_objects, sides } = config;
    let channels = match model.channels {
        1 => image_folder::Channels::Grey,
        3 => image_folder::Channels::Rgb,
        other => bail!("model.channels = {other}: scenes have 1 or 3"),
    };
    let base =
        scenes::Options { channels, max_objects, sides, ..scenes::Options::new(model.image_size) };
    let seen = match canvas.zoom {
        true => base.zoomed(canvas.size[0] as f32 / model.image_size[0] as f32),
        false => base.extended(canvas.size),
    };
    if seen.canvas != canvas.size {
        bail!("scenes can grow in proportion only: {:?} of {:?}", canvas.size, model.image_size);
    }
    let make = |split, options| -> Result<Arc<detection::Scenes>> {
        let images = read(&recipe.data, objects, split)?;
        Ok(Arc::new(detection::Scenes::new(&images, split, recipe.seed, options)?))
    };
    let train =
        detection::Source::Scenes { scenes: make(Split::Train, base)?, len: train, fresh: true };
    let scenes = make(Split::Test, seen)?;
    Ok((train, detection::Source::Scenes { scenes, len: test, fresh: false }))
}

/// Pictures in files, to train on and to evaluate on. They are kept at twice the size of the model's canvas at most.
fn stored(recipe: &Recipe, model: &models::DetrConfig) -> Result<[detection::Detection; 2]> {
    let (config, dir) = (&recipe.data, folder(&recipe.data)?);
    let channels = match model.channels {
        1 => image_folder::Channels::Grey,
        3 => image_folder::Channels::Rgb,
        other => bail!("model.channels = {other}: pictures have 1 or 3"),
    };
    let longest = model.image_size[0].max(model.image_size[1]);
    let reading = detection::Reading { channels, fit: detection::Fit::Within(2 * longest) };
    let usual = if config.kind == DataKind::Voc { "test" } else { "val" };
    let splits = config.splits.clone().unwrap_or_else(|| ["train".to_owned(), usual.to_owned()]);
    let read = |split: &String| -> Result<detection::Detection> {
        let read = match config.kind {
            DataKind::Voc => detection::voc::read(dir, Some(split), None, &reading),
            DataKind::Coco => {
                let file = dir.join(format!("annotations/instances_{split}.json"));
                detection::coco::read_pictures(&file, &dir.join(split), &reading)
            }
            DataKind::Yolo => detection::yolo::read(dir, split, &reading),
            kind => bail!("images with boxes expected, not `{kind:?}`"),
        };
        let read = read.with_context(|| format!("reading {}", dir.display()))?;
        if !read.repairs().is_empty() {
            eprintln!("{split}: {}", read.repairs());
        }
        Ok(read)
    };
    Ok([read(&splits[0])?, read(&splits[1])?])
}
