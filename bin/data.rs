//! The images that a recipe asks for.

mod boxes;
mod found;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use datasets::detection::Id;
use datasets::image_folder::{self, Listing, Part};
use datasets::screens::{self, Vocabulary};
use datasets::{Images, Normalize, Split, cifar10, idx, sample};
use nn::Params;
use serde::{Deserialize, Serialize};

pub(crate) use self::boxes::{normalize, reading};
pub(crate) use self::found::{Found, annotations};
use crate::asked::Asked;
use crate::from::Taken;
use crate::output::{self, counted};
use crate::recipe::{DataConfig, DataKind, ModelConfig, Recipe};
use crate::run::Run;
use crate::source::{Source, fingerprint};
use crate::state::Past;
use crate::task::Task;

/// The classes of a data set: names, and the numbers by which files of results call them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Classes(pub(crate) Vec<Class>);

/// What the numbers stand for that a model answers with.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Names {
    Classes(Classes),
    Words(Arc<Vocabulary>),
}

impl Names {
    /// Leaves a copy for people in the folder of a run.
    pub(crate) fn write(&self, run: &Run) -> Result<()> {
        match self {
            Names::Classes(classes) => run.put(CLASSES, serde_json::to_string(classes)?.as_bytes()),
            Names::Words(words) => run.put(VOCABULARY, serde_json::to_string(&**words)?.as_bytes()),
        }
    }

    /// Those that an older program left in the folder of a run; its checkpoints have none.
    fn read(run: &Run, recipe: &Recipe) -> Result<Option<Self>> {
        let is_captioner = matches!(recipe.model, ModelConfig::Captioner(_));
        let path = run.folder.join(if is_captioner { VOCABULARY } else { CLASSES });
        if !is_captioner && !path.exists() {
            return Ok(None);
        }
        let text = datasets::read_text(&path)
            .with_context(|| format!("{}: the words of a captioner's run", path.display()))?;
        let names = match is_captioner {
            true => serde_json::from_str(&text).map(Names::Words),
            false => serde_json::from_str(&text).map(Names::Classes),
        };
        names.with_context(|| path.display().to_string()).map(Some)
    }
}

/// The files of [`Names`].
pub(crate) const CLASSES: &str = "classes.json";
pub(crate) const VOCABULARY: &str = "vocabulary.json";

/// What a run has taken from its training data before its first step. It is part of its checkpoints, and all that is done with a
/// trained model takes it from there, whatever has become of the data. (A palette is a parameter.)
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Derived {
    /// The map from bytes to a classifier's inputs: mean and deviation of the training images. The maps of other models are fixed,
    /// and older checkpoints have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) normalize: Option<Normalize>,
    pub(crate) names: Names,
    /// What the run has started from, if not from its seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) taken: Option<Taken>,
}

impl Derived {
    pub(crate) fn new(normalize: Option<Normalize>, names: Names) -> Self {
        Self { normalize, names, taken: None }
    }

    /// What is known of a run of an older program, if that has left anything.
    pub(crate) fn of_folder(run: &Run, recipe: &Recipe) -> Result<Option<Self>> {
        Ok(Names::read(run, recipe)?.map(|names| Self::new(None, names)))
    }

    /// The classes; none of a captioner.
    pub(crate) fn classes(&self) -> Classes {
        match &self.names {
            Names::Classes(classes) => classes.clone(),
            Names::Words(_) => Classes::default(),
        }
    }
}

/// What is to be read of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parts {
    /// What is trained on, and what the run is scored on.
    All,
    /// What the run is scored on, and what is trained on only where this cannot be told without.
    Scored,
}

/// The data of a run.
pub(crate) struct Data {
    pub(crate) train: Option<Source>,
    pub(crate) eval: Source,
    pub(crate) derived: Derived,
    /// What `eval` is: for validation, where the test set is kept for later, or the test set.
    pub(crate) split: Part,
}

/// One of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Class {
    pub(crate) id: Id,
    pub(crate) name: String,
}

impl Classes {
    fn new(ids: impl IntoIterator<Item = Id>, names: &[String]) -> Self {
        let class = |(id, name): (Id, &String)| Class { id, name: name.clone() };
        Self(ids.into_iter().zip(names).map(class).collect())
    }

    /// A class for people.
    pub(crate) fn name(&self, class: usize) -> String {
        let shown = |class: &Class| output::escaped(&class.name);
        self.0.get(class).map_or(format!("class {class}"), shown)
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.0.iter().map(|class| class.name.clone()).collect()
    }
}

/// Reads what the recipe asks for and checks that it fits the model. What a run of the past has derived from its training data is
/// taken from there; of a new one it is derived now, and the task learns what it learns before training.
pub(crate) fn load(
    recipe: &Recipe,
    task: &Task,
    params: &mut Params,
    asked: Asked,
    past: &Past,
    parts: Parts,
    given: Option<&Normalize>,
) -> Result<Data> {
    if let ModelConfig::Detr(model) = &recipe.model {
        return boxes::boxes(recipe, model, asked, past, parts);
    }
    let Read { train, eval, derived, split } = images(recipe, asked, past, parts, given)?;
    if let (Some(train), None) = (&train, &past.derived) {
        task.fit(params, train, recipe.seed)?;
    }
    let normalize = match &derived.normalize {
        Some(normalize) => normalize.clone(),
        None => Normalize::bytes(eval.shape()[0]),
    };
    let loader = |train| {
        let options = datasets::Options {
            augment: recipe.augment.into(),
            prefetch: recipe.train.prefetch(),
            ..datasets::Options::train(recipe.train.step_size(), recipe.seed, normalize.clone())
        };
        datasets::Loader::new(Arc::new(train), options)
    };
    let train = train.map(loader).transpose()?.map(Source::Images);
    let options = datasets::Options::eval(500, normalize.clone());
    let eval = Source::Images(datasets::Loader::new(Arc::new(eval), options)?);
    Ok(Data { train, eval, derived, split })
}

/// Refuses to say which images were held out of other training images than there were.
fn check_held_out(past: &Past, kept: u64) -> Result<()> {
    let known = past.identity.as_ref().and_then(|identity| identity.fingerprint.as_ref());
    if known.is_some_and(|known| *known != fingerprint(kept)) {
        bail!(
            "data.hold_out: the training images are not those of the run, so that it cannot be told which ones it has not seen: --test scores on the test set"
        );
    }
    Ok(())
}

/// Why pictures with boxes and screens are not asked for as images with a label.
const OTHERS: &str = "they are read elsewhere";

/// Reads the screens that a captioner's recipe asks for, and what words there are: those of a run, if it is one that goes on or is
/// scored. Completes the recipe.
pub(crate) fn screens(
    recipe: &mut Recipe,
    asked: Asked,
    past: &Past,
    parts: Parts,
) -> Result<Option<Data>> {
    let ModelConfig::Captioner(model) = &mut recipe.model else { return Ok(None) };
    let config = recipe.data.screens.unwrap_or_default();
    let dir = folder(&recipe.data)?;
    let read = |part: screens::Part| {
        let screens = screens::folder(dir, part).with_context(|| advice(DataKind::Screens, dir))?;
        if !screens.repairs().is_empty() {
            let (dir, part) = (dir.display(), part.name());
            output::note_left_out(format_args!("{dir}, {part}: {}", screens.repairs()));
        }
        Ok::<_, anyhow::Error>(Arc::new(screens))
    };
    let part = if asked.test { screens::Part::Test } else { config.eval };
    let reads_train = parts == Parts::All || past.derived.is_none();
    let train = reads_train.then(|| read(screens::Part::Train)).transpose()?;
    let eval = read(part)?;
    let vocabulary = match (&past.derived, &train) {
        (Some(Derived { names: Names::Words(words), .. }), _) => Arc::clone(words),
        (_, Some(train)) => {
            // What training does not see teaches it no words.
            let shown = |bounds: [f32; 4]| config.band.is_none_or(|band| !band.holds(bounds));
            let words = Vocabulary::of_shown(train, config.words, config.min_count, shown);
            Arc::new(words)
        }
        _ => bail!("the words of a captioner's run expected"),
    };
    if ![0, vocabulary.len()].contains(&model.vocabulary) {
        bail!(
            "model.vocabulary = {}: the {} words of the training captions expected, or 0",
            model.vocabulary,
            vocabulary.len()
        );
    }
    model.vocabulary = vocabulary.len();
    let loader = |train| {
        let options = screens::Options {
            max_nodes: config.max_nodes,
            max_words: model.max_words,
            band: config.band,
            prefetch: recipe.train.prefetch(),
            ..screens::Options::train(recipe.train.step_size(), recipe.seed)
        };
        screens::Loader::new(train, Arc::clone(&vocabulary), options)
    };
    let train = train.map(loader).transpose()?;
    if let Some(left_out) = train.as_ref().map(screens::Loader::left_out)
        && left_out != screens::LeftOut::default()
    {
        output::note_left_out(format_args!("not shown in training: {left_out}"));
    }
    let options = screens::Options {
        max_nodes: usize::MAX,
        max_words: model.max_words,
        ..screens::Options::eval(16)
    };
    let eval = Source::Screens(screens::Loader::new(eval, Arc::clone(&vocabulary), options)?);
    let taken = past.derived.as_ref().and_then(|derived| derived.taken.clone());
    let derived = Derived { normalize: None, names: Names::Words(vocabulary), taken };
    let is_dev = part == screens::Part::Dev;
    let split = if is_dev { Part::Validation } else { Part::Test };
    Ok(Some(Data { train: train.map(Source::Screens), eval, derived, split }))
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

/// Images in memory, and what is derived of those to train on.
struct Read {
    train: Option<Images>,
    eval: Images,
    derived: Derived,
    split: Part,
}

/// Training images where they are needed, and images to evaluate on: those held out, or those of the test set; at the size that is
/// asked for.
fn images(
    recipe: &Recipe,
    asked: Asked,
    past: &Past,
    parts: Parts,
    given: Option<&Normalize>,
) -> Result<Read> {
    let Recipe { data: config, model, seed, .. } = recipe;
    let (mut expected, classes) = match model {
        ModelConfig::Vit(vit) => ([vit.channels, vit.image_size, vit.image_size], vit.classes),
        ModelConfig::ImageGpt(gpt) => {
            let classes = if gpt.classes == 0 { usize::MAX } else { gpt.classes };
            let channels = if gpt.palette > 0 { gpt.palette } else { gpt.channels };
            ([channels, gpt.image_size, gpt.image_size], classes)
        }
        ModelConfig::Detr(_) | ModelConfig::Captioner(_) => unreachable!("{OTHERS}"),
    };
    let check = |images: &Images, expected: [usize; 3]| {
        if images.shape() != expected {
            bail!(
                "images of shape {:?}; the model expects {expected:?} (channels, height, width)",
                images.shape()
            );
        }
        check_classes(images.classes().len(), classes)
    };
    let is_classifier = matches!(model, ModelConfig::Vit(_));
    let normalize = past.derived.as_ref().and_then(|derived| derived.normalize.clone());
    let holds_out = config.hold_out > 0 && !asked.test;
    let reads_train = parts == Parts::All
        || holds_out
        || past.derived.is_none()
        || (is_classifier && normalize.is_none());

    let mut listing = listing(config, past)?;
    let scored = match &listing {
        _ if holds_out => Part::Validation,
        Some(listing) if listing.has(Part::Validation) && !asked.test => Part::Validation,
        _ => Part::Test,
    };
    let mut read = |part, size| read(config, config.kind, part, size, listing.as_mut());
    let (mut train, mut held, mut of_whole) = (None, None, None);
    if reads_train {
        let whole = read(Part::Train, None)?;
        check(&whole, expected)?;
        of_whole = Some(Normalize::of(&whole)?);
        let kept;
        (kept, held) = held_out(whole, config.hold_out, *seed)?;
        if holds_out {
            check_held_out(past, kept.fingerprint())?;
        }
        train = Some(kept);
    }
    let normalize = match (normalize, &train, &past.derived) {
        _ if !is_classifier => None,
        (None, Some(train), None) => match given.filter(|given| given.mean.len() == expected[0]) {
            // What was taken has learnt from numbers that were made so.
            Some(given) => Some(given.clone()),
            None => Some(Normalize::of(train)?),
        },
        (None, _, Some(_)) => {
            output::note(format_args!(
                "this run's checkpoint is of an older program and does not hold mean and deviation of its training images: they are computed again from those in {}",
                config.dir.as_deref().unwrap_or(Path::new("the program")).display()
            ));
            of_whole // as that program did
        }
        (normalize, ..) => normalize,
    };
    let names = match (&past.derived, &train) {
        (Some(derived), _) => derived.names.clone(),
        (None, Some(train)) => {
            if classes < usize::MAX {
                report_classes(train.classes().len(), classes);
            }
            Names::Classes(Classes::new((0_u64..).map(Id::from), train.classes()))
        }
        (None, None) => unreachable!("a new run reads what it trains on"),
    };
    let taken = past.derived.as_ref().and_then(|derived| derived.taken.clone());
    let derived = Derived { normalize, names, taken };
    let classes = derived.classes().names();
    if let Some(of_run) = train.take() {
        train = Some(of_run.with_classes(&classes)?);
    }
    // What is larger or smaller than trained on is made of the pictures in the files, where these are of any size.
    let size = asked.size.filter(|&size| expected[1..] != [size; 2]);
    let from_file = size.filter(|_| config.kind.is_folder());
    let mut eval = match held {
        Some(held) if holds_out && from_file.is_none() => held,
        _ if holds_out => {
            let whole = read(Part::Train, from_file)?;
            held_out(whole, config.hold_out, *seed)?.1.context("images that are held out")?
        }
        // Names decide which class is which: the test set may lack some.
        _ => read(scored, from_file)?,
    };
    if let Some(size) = from_file {
        (expected[1], expected[2]) = (size, size);
    }
    eval = eval.with_classes(&classes)?;
    check(&eval, expected)?;
    if let (Some(size), None) = (size, from_file) {
        eval = eval.resized(size, size)?;
    }
    Ok(Read { train, eval, derived, split: scored })
}

fn check_classes(found: usize, expected: usize) -> Result<()> {
    if found > expected {
        bail!("{found} classes; the model has {expected} (model.classes)");
    }
    Ok(())
}

/// Says at the start of a run that its model can answer what no image is.
fn report_classes(found: usize, model: usize) {
    if found < model {
        output::note(format_args!(
            "model.classes = {model}, and the data have {}; --set model.classes={found} fits them",
            output::counted(found, "class")
        ));
    }
}

/// The labelled pictures of a folder, if the recipe names one; a test set is held out of them if they have none. A new run is told.
fn listing(config: &DataConfig, past: &Past) -> Result<Option<Listing>> {
    if !config.kind.is_folder() {
        return Ok(None);
    }
    let dir = folder(config)?;
    let context = || advice(config.kind, dir);
    let mut listing = Listing::of(dir).with_context(context)?;
    if !listing.skipped().is_empty() {
        output::note_left_out(format_args!("{}: {}", dir.display(), listing.skipped()));
    }
    let is_new = past.derived.is_none();
    let count = |listing: &Listing, part| {
        let is_meant = |entry: &&image_folder::Entry| entry.part == Some(part);
        listing.entries().iter().filter(is_meant).count()
    };
    if !listing.is_split() {
        let held = listing.hold_out(config.test_share, config.skip_broken);
        held.map_err(hinted).with_context(context)?;
        if is_new {
            let [train, test] = [Part::Train, Part::Test].map(|part| count(&listing, part));
            if test == 0 {
                bail!(
                    "{}: {} and no test set: too few to hold any out; a class needs two pictures",
                    dir.display(),
                    counted(train, "picture")
                );
            }
            output::note(format_args!(
                "{}: no test set: {test} of {} are held out (data.test_share)",
                dir.display(),
                counted(train + test, "picture")
            ));
        }
    } else if is_new && listing.entries().len() <= AT_ONCE {
        report_copies(&mut listing, config)?;
    }
    Ok(Some(listing))
}

/// Labelled pictures that are looked through before training.
const AT_ONCE: usize = 10_000;

/// Says how many pictures are trained on and scored, too.
fn report_copies(listing: &mut Listing, config: &DataConfig) -> Result<()> {
    let doubles = listing.doubles(config.skip_broken).map_err(hinted)?;
    let entries = listing.entries();
    let is_train = |&&i: &&usize| entries[i].part == Some(Part::Train);
    let across = doubles.iter().filter_map(|group| {
        let train = group.iter().find(is_train)?;
        Some((train, group.iter().find(|i| !is_train(i))?))
    });
    let across: Vec<_> = across.collect();
    if let Some((train, other)) = across.first() {
        let [train, other] = [train, other].map(|&&i| listing.name(&entries[i]));
        output::note(format_args!(
            "warning: {} of the training set {} in another part, too, such as {train} and {other}",
            counted(across.len(), "picture"),
            if across.len() == 1 { "is" } else { "are" },
        ));
    }
    Ok(())
}

/// Images of a part, those of a folder at a size other than `data.resize` if one is asked for.
fn read(
    config: &DataConfig,
    kind: DataKind,
    part: Part,
    size: Option<usize>,
    listing: Option<&mut Listing>,
) -> Result<Images> {
    let split = if part == Part::Train { Split::Train } else { Split::Test };
    if kind == DataKind::Sample {
        return Ok(sample::fashion(split));
    }
    let dir = folder(config)?;
    let images = match kind {
        DataKind::FashionMnist => idx::folder(dir, split, &idx::FASHION),
        DataKind::Mnist => idx::folder(dir, split, &idx::DIGITS),
        DataKind::Cifar10 => cifar10::folder(dir, split),
        DataKind::GreyFolder | DataKind::ColourFolder => {
            let size = size.or(config.resize);
            let size = size.map_or(image_folder::Size::Equal, |size| config.fitted([size; 2]));
            let reading = image_folder::Reading {
                skip_broken: config.skip_broken,
                cache: config.cache_mb << 20,
                at_once: AT_ONCE,
                ..image_folder::Reading::new(size, kind.channels())
            };
            let listing = listing.context("the pictures of a folder, listed")?;
            let read = image_folder::read(listing, Some(part), &reading);
            if let Some(skipped) = read.as_ref().ok().map(Images::skipped).filter(|s| !s.is_empty())
            {
                output::note_left_out(format_args!("{}: {skipped}", dir.display()));
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
pub(crate) fn hinted(error: datasets::Error) -> anyhow::Error {
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
        let recipe = Recipe::resolve("vit-sample", &text, &changes).expect("sound");
        let read = images(&recipe, Asked::default(), &Past::default(), Parts::All, None);
        let Read { train, eval, derived, .. } = read.expect("the sample");
        let train = train.expect("read");
        assert_eq!((train.len(), eval.len()), (1000, 5000));
        assert_eq!(derived.normalize, Some(Normalize::of(&train).expect("in memory")));
        assert_ne!(
            derived.normalize,
            Some(Normalize::of(&sample::fashion(Split::Train)).expect("in memory"))
        );
    }
}
