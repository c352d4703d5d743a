//! The images that a recipe asks for.

mod boxes;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use datasets::detection::Id;
use datasets::screens::{self, Vocabulary};
use datasets::{Images, Normalize, Split, cifar10, idx, image_folder, sample};
use nn::Params;
use serde::{Deserialize, Serialize};

pub(crate) use self::boxes::normalize;
use crate::asked::Asked;
use crate::captioner;
use crate::output;
use crate::recipe::{DataConfig, DataKind, ModelConfig, Recipe};
use crate::run::Run;
use crate::source::Source;
use crate::task::Task;

/// The classes of a data set: names, and the numbers by which files of results call them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
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
    pub(crate) id: Id,
    pub(crate) name: String,
}

impl Classes {
    const FILE: &str = "classes.json";

    fn new(ids: impl IntoIterator<Item = Id>, names: &[String]) -> Self {
        let class = |(id, name): (Id, &String)| Class { id, name: name.clone() };
        Self(ids.into_iter().zip(names).map(class).collect())
    }

    /// A class for people.
    pub(crate) fn name(&self, class: usize) -> String {
        self.0.get(class).map_or(format!("class {class}"), |class| class.name.clone())
    }

    /// Those of a run.
    pub(crate) fn read(run: &Run) -> Result<Self> {
        let path = run.folder.join(Self::FILE);
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("{}: the classes of a run expected", path.display()))?;
        serde_json::from_str(&text).with_context(|| path.display().to_string())
    }
}

/// Reads what the recipe asks for and checks that it fits the model: what to train on, what to evaluate on, as it is asked for, and
/// the classes. Lets the task learn what it learns before training.
pub(crate) fn load(
    recipe: &Recipe,
    task: &Task,
    params: &mut Params,
    asked: Asked,
) -> Result<(Source, Source, Names)> {
    if let ModelConfig::Detr(model) = &recipe.model {
        return boxes::boxes(recipe, model, asked);
    }
    let (train, eval, normalize) = images(recipe, asked.test)?;
    let eval = match asked.size {
        Some(size) if eval.shape()[1..] != [size; 2] => eval.resized(size, size),
        _ => eval,
    };
    task.fit(params, &train, recipe.seed);
    let normalize = task.normalize(normalize);
    let classes = Classes::new((0_u64..).map(Id::from), train.classes());
    let options = datasets::Options {
        augment: recipe.augment.into(),
        prefetch: recipe.train.prefetch(),
        ..datasets::Options::train(recipe.train.step_size(), recipe.seed, normalize.clone())
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
    asked: Asked,
    run: Option<&Run>,
) -> Result<Option<(Source, Source, Names)>> {
    let ModelConfig::Captioner(model) = &mut recipe.model else { return Ok(None) };
    let config = recipe.data.screens.unwrap_or_default();
    let dir = folder(&recipe.data)?;
    let read = |part: screens::Part| {
        let screens = screens::folder(dir, part).with_context(|| advice(DataKind::Screens, dir))?;
        if !screens.repairs().is_empty() {
            output::note(format_args!("{}, {}: {}", dir.display(), part.name(), screens.repairs()));
        }
        Ok::<_, anyhow::Error>(Arc::new(screens))
    };
    let part = if asked.test { screens::Part::Test } else { config.eval };
    let (train, eval) = (read(screens::Part::Train)?, read(part)?);
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
        prefetch: recipe.train.prefetch(),
        ..screens::Options::train(recipe.train.step_size(), recipe.seed)
    };
    let train = screens::Loader::new(train, Arc::clone(&vocabulary), options)?;
    if train.left_out() != screens::LeftOut::default() {
        output::note(format_args!("not shown in training: {}", train.left_out()));
    }
    let options = screens::Options {
        max_nodes: usize::MAX,
        max_words: model.max_words,
        ..screens::Options::eval(16)
    };
    let eval = screens::Loader::new(eval, Arc::clone(&vocabulary), options)?;
    Ok(Some((Source::Screens(train), Source::Screens(eval), Names::Words(vocabulary))))
}

/// Training images, and those that are held out of them, if any are to be.
fn held_out(whole: Images, count: usize, seed: u64) -> Result<(Images, Option<Images>)> {
    match count {
        0 => Ok((whole, None)),
        count if count < whole.len() => {
            let (kept, held) = whole.hold_out(count, seed);
            Ok((kept, Some(held)))
        }
        count => bail!(
            "data.hold_out = {count}: fewer than the {} training images expected",
            whole.len()
        ),
    }
}

/// Training images, images to evaluate on (those of the `test` set, even if others are held out for it), and the map from bytes to
/// inputs, taken from the images to train on.
fn images(recipe: &Recipe, test: bool) -> Result<(Images, Images, Normalize)> {
    let Recipe { data: config, model, seed, .. } = recipe;
    let whole = read(config, config.kind, Split::Train, test)?;
    let (train, held) = held_out(whole, config.hold_out, *seed)?;
    let normalize = Normalize::of(&train); // what is held out teaches nothing
    let eval = match held {
        Some(held) if !test => held,
        // Names decide which class is which: the test set may lack some.
        _ => read(config, config.kind, Split::Test, test)?.with_classes(train.classes())?,
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

/// Images of a split; `test` says that a folder for validation is not meant, even if there is one.
fn read(config: &DataConfig, kind: DataKind, split: Split, test: bool) -> Result<Images> {
    if kind == DataKind::Sample {
        return Ok(sample::fashion(split));
    }
    let dir = folder(config)?;
    let images = match kind {
        DataKind::FashionMnist => idx::folder(dir, split, &idx::FASHION),
        DataKind::Mnist => idx::folder(dir, split, &idx::DIGITS),
        DataKind::Cifar10 => cifar10::folder(dir, split),
        DataKind::GreyFolder | DataKind::ColourFolder => {
            let part =
                dir.join(if split == Split::Train { "train" } else { config.scored_folder(test) });
            let size = config.resize.map_or(image_folder::Size::Equal, |size| {
                image_folder::Size::Resized { height: size, width: size }
            });
            let (channels, skip_broken) = (kind.channels(), config.skip_broken);
            let reading = image_folder::Reading { size, channels, skip_broken };
            let read = image_folder::read(&part, &reading);
            if let Some(skipped) = read.as_ref().ok().map(Images::skipped).filter(|s| !s.is_empty())
            {
                output::note(format_args!("{}: {skipped}", part.display()));
            }
            read
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
    images.map_err(hinted).with_context(|| advice(kind, dir))
}

fn folder(config: &DataConfig) -> Result<&Path> {
    config.dir.as_deref().context("data.dir is not set: name the folder with --data DIR")
}

/// An error that says what to do about a broken picture.
fn hinted(error: datasets::Error) -> anyhow::Error {
    let is_broken = matches!(error, datasets::Error::Broken { .. });
    let error = anyhow::Error::from(error);
    match is_broken {
        true => error.context("a picture cannot be read; data.skip_broken = true leaves such out"),
        false => error,
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Changes;

    #[test]
    fn images_that_are_held_out_have_no_part_in_mean_and_deviation() {
        let set = ["data.hold_out=5000".to_owned()];
        let changes = Changes { set: &set, ..Changes::default() };
        let text = Recipe::text("vit-sample").expect("a recipe");
        let recipe = Recipe::resolve("vit-sample", text, &changes).expect("sound");
        let (train, held, normalize) = images(&recipe, false).expect("the sample");
        assert_eq!((train.len(), held.len()), (1000, 5000));
        assert_eq!(normalize, Normalize::of(&train));
        assert_ne!(normalize, Normalize::of(&sample::fashion(Split::Train)));
    }
}
