//! Pictures with boxes that a recipe asks for: made-up scenes, and those in files.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use datasets::detection::{Format, Id, part_of, scenes};
use datasets::image_folder::Part;
use datasets::{Normalize, Split, detection, image_folder};
use models::DetrConfig;

use super::{
    AT_ONCE, Classes, Data, Derived, Names, Parts, check_classes, check_held_out, folder, held_out,
    hinted, read, report_classes,
};
use crate::asked::Asked;
use crate::output;
use crate::recipe::{DataConfig, DataKind, Recipe, ScenesConfig};
use crate::source::Source;
use crate::state::Past;

/// The map from bytes to a detector's inputs. It is the same for all data, so that a model can be asked about any picture: that of
/// ImageNet in colour, as in DETR, and −2 to 2 in grey.
pub(crate) fn normalize(channels: usize) -> Normalize {
    match channels {
        3 => Normalize { mean: vec![0.485, 0.456, 0.406], std: vec![0.229, 0.224, 0.225] },
        _ => Normalize { mean: vec![0.5; channels], std: vec![0.25; channels] },
    }
}

/// Pictures with boxes.
pub(super) fn boxes(
    recipe: &Recipe,
    model: &DetrConfig,
    asked: Asked,
    past: &Past,
    parts: Parts,
) -> Result<Data> {
    let reads_train = parts == Parts::All || past.derived.is_none();
    let (train, eval, derived, split) = match recipe.data.kind {
        DataKind::Scenes => {
            let (train, eval) = scenes(recipe, model, asked, past, reads_train)?;
            let names = Classes::new((1_u64..).map(Id::from), eval.classes());
            let holds_out = recipe.data.hold_out > 0 && !asked.test;
            let split = if holds_out { Part::Validation } else { Part::Test };
            let taken = past.derived.as_ref().and_then(|derived| derived.taken.clone());
            (train, eval, Derived { normalize: None, names: Names::Classes(names), taken }, split)
        }
        _ => stored(recipe, model, asked, past, reads_train)?,
    };
    let classes = derived.classes().names();
    for source in train.iter().chain([&eval]) {
        if source.classes() != classes {
            bail!("classes {:?}; those of the run are {classes:?}", source.classes());
        }
        check_classes(classes.len(), model.classes)?;
        if source.channels() != model.channels {
            bail!("{} channels; the model has {}", source.channels(), model.channels);
        }
    }
    let normalize = normalize(model.channels);
    let loader = |train| {
        report_crowded(&train, model.queries);
        let batch = recipe.train.step_size();
        let options = detection::Options {
            augment: recipe.augment.boxes,
            prefetch: recipe.train.prefetch(),
            ..detection::Options::train(batch, recipe.seed, model.image_size, normalize.clone())
        };
        detection::Loader::new(train, options)
    };
    let train = train.map(loader).transpose()?.map(Source::Boxes);
    let options = detection::Options::eval(64, canvas(model, asked), normalize.clone());
    let eval = Source::Boxes(detection::Loader::new(eval, options)?);
    Ok(Data { train, eval, derived, split })
}

/// Height and width of the images to evaluate on.
fn canvas(model: &DetrConfig, asked: Asked) -> [usize; 2] {
    asked.size.map_or(model.image_size, |size| [size; 2])
}

/// Says how many pictures have more objects than can be found in one: of those, the ones that fit best are learnt.
fn report_crowded(source: &detection::Source, queries: usize) {
    let crowded =
        match source {
            detection::Source::Pictures(part) => {
                part.pictures().iter().filter(|picture| picture.objects.len() > queries).count()
            }
            detection::Source::Scenes { scenes, len, .. } => {
                if scenes.options().max_objects > queries { *len } else { 0 }
            }
        };
    if crowded > 0 {
        let all = source.len();
        output::note(format_args!(
            "{crowded} of {all} pictures may have more objects than model.queries = {queries}: as many are learnt"
        ));
    }
}

/// Scenes to train on, others in each epoch, and scenes to evaluate on, of other objects: those of the test set, or those held out.
fn scenes(
    recipe: &Recipe,
    model: &DetrConfig,
    asked: Asked,
    past: &Past,
    reads_train: bool,
) -> Result<(Option<detection::Source>, detection::Source)> {
    let config = recipe.data.scenes.as_ref().context("data.scenes: a table expected")?;
    let &ScenesConfig { objects, train, test, max_objects, sides } = config;
    let channels = channels(model)?;
    let base =
        scenes::Options { channels, max_objects, sides, ..scenes::Options::new(model.image_size) };
    let canvas = canvas(model, asked);
    let seen = match asked.zoom {
        true => base.zoomed(canvas[0] as f32 / model.image_size[0] as f32),
        false => base.extended(canvas),
    };
    if seen.canvas != canvas {
        bail!("scenes can grow in proportion only: {canvas:?} of {:?}", model.image_size);
    }
    let (data, seed) = (&recipe.data, recipe.seed);
    let holds_out = data.hold_out > 0 && !asked.test;
    let made_of = detection::Scenes::new;
    let (mut of_train, mut held) = (None, None);
    if reads_train || holds_out {
        let whole = read(data, objects, Part::Train, None, None)?;
        let kept;
        (kept, held) = held_out(whole, data.hold_out, seed)?;
        let scenes = Arc::new(made_of(&kept, Split::Train, seed, base)?);
        let source = detection::Source::Scenes { scenes, len: train, fresh: true };
        if holds_out {
            check_held_out(past, source.fingerprint())?;
        }
        of_train = Some(source);
    }
    let scenes = match held {
        Some(held) if holds_out => made_of(&held, Split::Train, seed, seen)?.validating(),
        _ => made_of(&read(data, objects, Part::Test, None, None)?, Split::Test, seed, seen)?,
    };
    let eval = detection::Source::Scenes { scenes: Arc::new(scenes), len: test, fresh: false };
    Ok((of_train, eval))
}

/// Pictures in files, to train on and to evaluate on (those of the `test` set, even if the recipe names another). They are kept at
/// twice the size of the model's canvas at most; those to evaluate on, of the canvas that is asked for.
fn stored(
    recipe: &Recipe,
    model: &DetrConfig,
    asked: Asked,
    past: &Past,
    reads_train: bool,
) -> Result<(Option<detection::Source>, detection::Source, Derived, Part)> {
    let (config, dir) = (&recipe.data, folder(&recipe.data)?);
    let format = format(config.kind)?;
    let Splits { train, eval } = Splits::of(config, dir, format);
    let is_validation = |eval: &String| part_of(eval) == Some(Part::Validation);
    let validates = eval.as_ref().is_some_and(is_validation);
    let eval = if asked.test && validates { Some("test".to_owned()) } else { eval };
    let split = if validates && !asked.test { Part::Validation } else { Part::Test };
    let read = |split: Option<&str>, canvas: [usize; 2]| -> Result<detection::Detection> {
        let reading = detection::Reading {
            skip_broken: config.skip_broken,
            cache: config.cache_mb << 20,
            at_once: AT_ONCE,
            ..reading(model, canvas)?
        };
        let read = format.read(dir, split, &reading);
        let read = read.map_err(hinted).with_context(|| format!("reading {}", dir.display()))?;
        if !read.repairs().is_empty() {
            let split = split.map(|split| format!("{split}: ")).unwrap_or_default();
            output::note_left_out(format_args!("{split}{}", read.repairs()));
        }
        Ok(read)
    };
    let canvas = canvas(model, asked);
    let (train, eval) = match &eval {
        Some(eval) => {
            let train =
                reads_train.then(|| read(train.as_deref(), model.image_size)).transpose()?;
            (train, read(Some(eval), canvas)?)
        }
        // There is no part to score on.
        None => {
            let (kept, held) =
                read(train.as_deref(), model.image_size)?.hold_out(config.test_share);
            if past.derived.is_none() {
                let test = held.pictures().len();
                output::note(format_args!(
                    "{}: no test set: {test} of {} are held out (data.test_share)",
                    dir.display(),
                    output::counted(kept.pictures().len() + test, "picture")
                ));
            }
            let held = match canvas == model.image_size {
                true => held,
                false => read(train.as_deref(), canvas)?.hold_out(config.test_share).1,
            };
            (reads_train.then_some(kept), held)
        }
    };
    let derived = match (&past.derived, &train) {
        (Some(derived), _) => derived.clone(),
        (None, Some(train)) => {
            report_classes(train.classes().len(), model.classes);
            let classes = Classes::new(train.class_ids().iter().cloned(), train.classes());
            Derived::new(None, Names::Classes(classes))
        }
        (None, None) => unreachable!("a new run reads what it trains on"),
    };
    let classes = derived.classes().names();
    let source = |part: detection::Detection| {
        Ok::<_, anyhow::Error>(detection::Source::Pictures(Arc::new(part.with_classes(&classes)?)))
    };
    let train = train.map(source).transpose()?;
    Ok((train, source(eval)?, derived, split))
}

/// The parts of pictures with boxes in files: none to train on is all of them, none to evaluate on what is held out of these.
struct Splits {
    train: Option<String>,
    eval: Option<String>,
}

impl Splits {
    /// Those that the recipe names, or those that there are.
    fn of(config: &DataConfig, dir: &Path, format: Format) -> Self {
        if let Some([train, eval]) = config.splits.clone() {
            return Self { train: Some(train), eval: Some(eval) };
        }
        let there = format.splits(dir);
        let find = |part| there.iter().find(|split| part_of(split) == Some(part)).cloned();
        let [validation, test] = [Part::Validation, Part::Test].map(find);
        let eval = match format {
            Format::Voc => test.or(validation),
            Format::Coco | Format::Yolo => validation.or(test),
        };
        // Where there is an eval part only, the error shall be that there is none to train on.
        let usual = eval.as_ref().map(|_| "train".to_owned());
        Self { train: find(Part::Train).or(usual), eval }
    }
}

fn format(kind: DataKind) -> Result<Format> {
    match kind {
        DataKind::Voc => Ok(Format::Voc),
        DataKind::Coco => Ok(Format::Coco),
        DataKind::Yolo => Ok(Format::Yolo),
        kind => bail!("images with boxes expected, not `{kind:?}`"),
    }
}

/// How pictures are read for a model that sees them on a canvas of this height and width: there is no other way.
pub(crate) fn reading(model: &DetrConfig, canvas: [usize; 2]) -> Result<detection::Reading> {
    let longest = canvas[0].max(canvas[1]);
    let fit = detection::Fit::Within(longest.saturating_mul(2));
    Ok(detection::Reading::new(channels(model)?, fit))
}

fn channels(model: &DetrConfig) -> Result<image_folder::Channels> {
    match model.channels {
        1 => Ok(image_folder::Channels::Grey),
        3 => Ok(image_folder::Channels::Rgb),
        other => bail!("model.channels = {other}: pictures have 1 or 3"),
    }
}
