//! The recipe of data for which nobody has written one: chosen from what is there.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};
use datasets::detection::Format;
use datasets::image_folder::{Listing, Part};
use datasets::picture::{self, Channels, Picture};
use rayon::prelude::*;
use toml::Value;

use crate::data::{Found, annotations};
use crate::output::{self, counted};
use crate::recipe::{DataConfig, RECIPES};

/// Pictures that are looked at to choose a size, and to see whether any has colours.
const LOOKED_AT: usize = 500;
const DECODED: usize = 32;

/// The recipe for the data at this path, as a file would have it. It says what it is for, and what was chosen.
///
/// # Errors
/// If nothing there can be trained on.
pub(crate) fn recipe(path: &Path) -> Result<String> {
    // A study asks once a run.
    static LAST: Mutex<Option<(PathBuf, String)>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((of, text)) = &*last
        && of == path
    {
        return Ok(text.clone());
    }
    let found = Found::of(path)?;
    let dir = std::path::absolute(path).unwrap_or(path.to_owned());
    let dir = dir.to_str().with_context(|| format!("{}: must be UTF-8", path.display()))?;
    let place = |kind: &str| format!("kind = \"{kind}\"\ndir = {}", Value::from(dir));
    let name = name(&dir.replace('\\', "/"));
    let (text, chosen) = match &found {
        Found::Screens => adapted("caption-web", &name, &place("screens"))?,
        Found::Idx if name.contains("fashion") => {
            adapted("vit-fashion", &name, &place("fashion-mnist"))?
        }
        Found::Idx => adapted("vit-fashion", &name, &place("mnist"))?,
        Found::Cifar10 => {
            let (text, _) = adapted("vit-fashion", &name, &place("cifar10"))?;
            let text = text.replace("channels = 1", "channels = 3");
            (text.replace("image_size = 28", "image_size = 32"), "32 × 32 pixels".to_owned())
        }
        Found::Labelled(listing) => classifier(listing, &name, &place)?,
        Found::Boxes(format) => detector(*format, path, &name, &place)?,
    };
    output::note(format_args!(
        "{}: {}\nchosen: {chosen}\nto change it: --set KEY=VALUE, or --print-config > FILE, then --recipe FILE",
        output::escaped(&path.display().to_string()),
        found.words(),
    ));
    *last = Some((path.to_owned(), text.clone()));
    Ok(text)
}

/// The name of a run on these data: that of their folder, as far as it suits one.
fn name(path: &str) -> String {
    let last = path.rsplit('/').find(|part| !part.is_empty()).unwrap_or_default();
    let suits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let name: String = last.chars().map(|c| if suits(c) { c } else { '-' }).take(40).collect();
    let name = name.trim_matches('-').to_lowercase();
    if name.is_empty() { "own".to_owned() } else { name }
}

/// A recipe of the program for other data.
fn adapted(base: &str, name: &str, data: &str) -> Result<(String, String)> {
    let text = RECIPES.iter().find(|(known, _)| *known == base).map(|(_, text)| *text);
    let text = text.context("a recipe of the program")?;
    let mut lines = Vec::new();
    for line in text.lines() {
        match line.split_once(" = ").map(|(key, _)| key) {
            Some("name") => lines.push(format!("name = \"{name}\"")),
            Some("kind") if lines.last().is_some_and(|last| last == "[data]") => {
                lines.push(data.to_owned());
            }
            Some("dir") => {}
            _ => lines.push(line.to_owned()),
        }
    }
    Ok((lines.join("\n"), format!("{base}'s")))
}

/// Heights and widths of some pictures, evenly spaced; those that cannot be read are told of elsewhere.
fn sizes(paths: &[&Path]) -> Vec<[usize; 2]> {
    let count = paths.len().min(LOOKED_AT);
    let some = (0..count).into_par_iter().map(|i| paths[i * paths.len() / count]);
    some.filter_map(|path| picture::size(path).ok()).collect()
}

/// 3 if any of some pictures has colours, else 1.
fn channels(paths: &[&Path]) -> usize {
    let count = paths.len().min(DECODED);
    let has_colours = |i: usize| {
        let read = Picture::read(paths[i * paths.len() / count], Channels::Rgb).ok();
        read.is_some_and(|Picture { shape: [_, h, w], pixels }| {
            let (red, others) = pixels.split_at(h * w);
            others.chunks_exact(h * w).any(|plane| plane != red)
        })
    };
    if (0..count).into_par_iter().any(has_colours) { 3 } else { 1 }
}

/// The one in the middle.
fn median(mut numbers: Vec<usize>) -> Option<usize> {
    numbers.sort_unstable();
    numbers.get(numbers.len() / 2).copied()
}

/// Passes over so many images in which about so many are seen.
fn epochs(seen: usize, images: usize) -> usize {
    (seen / images.max(1)).clamp(10, 200)
}

/// A vision transformer for pictures with a label each.
fn classifier(
    listing: &Listing,
    name: &str,
    place: &dyn Fn(&str) -> String,
) -> Result<(String, String)> {
    let classes = listing.classes();
    if let [only] = classes {
        bail!(
            "{}: one class only, `{only}`: nothing to tell apart; if its folders are the classes, name {}",
            listing.root().display(),
            listing.root().join(only).display()
        );
    }
    let defaults: DataConfig = toml::from_str("kind = \"colour-folder\"")?;
    let mut of_train = listing.clone();
    of_train.hold_out(defaults.test_share, true)?;
    let is_train = |entry: &&datasets::image_folder::Entry| entry.part == Some(Part::Train);
    let paths: Vec<&Path> =
        of_train.entries().iter().filter(is_train).map(|entry| &*entry.path).collect();
    let sizes = sizes(&paths);
    let Some(side) = median(sizes.iter().map(|size| *size.iter().min().unwrap_or(&1)).collect())
    else {
        bail!("{}: none of the pictures can be read", listing.root().display());
    };
    let are_equal = sizes.iter().all(|size| *size == [sizes[0][0]; 2]);
    let image_size = match side {
        side if are_equal && side <= 64 && side.is_multiple_of(4) && side >= 8 => side,
        96.. => 96,
        64.. => 64,
        48.. => 48,
        _ => 32,
    };
    // About eight patches a side.
    let patch = (4..).step_by(4).find(|patch| image_size / patch <= 8).unwrap_or(4);
    let patch = if image_size % patch == 0 { patch } else { 4 };
    let channels = channels(&paths);
    let kind = if channels == 1 { "grey-folder" } else { "colour-folder" };
    let (dim, depth) = if paths.len() >= 5000 { (96, 6) } else { (64, 4) };
    let batch = (paths.len() / 4).next_power_of_two().clamp(1, 64).min(paths.len());
    let epochs = epochs(120_000, paths.len());
    let flip = if channels == 3 { "flip = 0.5\n" } else { "" };
    let (resize, padding) = (format!("resize = {image_size}\nfit = \"crop\""), image_size / 16);
    let text = format!(
        "\
name = \"{name}\"

[data]
{}
{resize}

[model]
kind = \"vit\"
image_size = {image_size}
patch_size = {patch}
channels = {channels}
dim = {dim}
depth = {depth}
heads = 4
mlp_dim = {}
classes = {}
pool = \"mean\"
class_token = false
drop_path = 0.1
position = {{ kind = \"lff-mlp\", gamma = 0.2, features = 64, hidden = 32 }}

[train]
epochs = {epochs}
batch_size = {batch}
label_smoothing = 0.1
clip_norm = 1.0

[augment]
{flip}crop_padding = {padding}
erase = 0.2

[optimizer]
rate = 2e-3
warmup = 0.1
adamw = {{ weight_decay = 0.05 }}
",
        place(kind),
        2 * dim,
        classes.len(),
    );
    let colour = if channels == 1 { "grey" } else { "colour" };
    let words = format!(
        "ViT, {}, {image_size} × {image_size} pixels in {colour}, patches of {patch}\n        {} of {}",
        counted(classes.len(), "class"),
        counted(epochs, "epoch"),
        counted(paths.len(), "picture")
    );
    Ok((text, words))
}

/// A DETR for pictures with boxes.
fn detector(
    format: Format,
    path: &Path,
    name: &str,
    place: &dyn Fn(&str) -> String,
) -> Result<(String, String)> {
    let kind = match format {
        Format::Voc => "voc",
        Format::Coco => "coco",
        Format::Yolo => "yolo",
    };
    let parts = annotations(format, path)?;
    let train = parts.iter().find(|(part, _)| part.is_none_or(|part| part == Part::Train));
    let (_, train) = train.with_context(|| {
        format!("{}: no part to train on: one called `train` expected", path.display())
    })?;
    let pictures: Vec<(&Path, Vec<usize>)> = train.pictures().collect();
    let paths: Vec<&Path> = pictures.iter().map(|(path, _)| *path).collect();
    let sizes = sizes(&paths);
    let side = |axis: usize| median(sizes.iter().map(|size| size[axis]).collect());
    let (Some(height), Some(width)) = (side(0), side(1)) else {
        bail!("{}: none of the pictures can be read", path.display());
    };
    // The backbone halves three times; twenty features along the longer side.
    let scale = 160.0 / height.max(width) as f64;
    let [height, width] =
        [height, width].map(|side| ((side as f64 * scale / 8.0).round() as usize * 8).max(32));
    let most = pictures.iter().map(|(_, objects)| objects.len()).max().unwrap_or(0);
    if most == 0 {
        bail!("{}: no picture to train on has a box", path.display());
    }
    let (queries, channels) = ((most + most / 2).clamp(10, 100), channels(&paths));
    let (epochs, batch) = (epochs(40_000, paths.len()), paths.len().clamp(1, 8));
    let classes = train.classes().len();
    let base = adapted("detr-bccd", name, &place(kind))?.0;
    let mut text = String::new();
    for line in base.lines() {
        let line = match line.split_once(" = ").map(|(key, _)| key) {
            Some("image_size") => format!("image_size = [{height}, {width}]"),
            Some("channels") => format!("channels = {channels}"),
            Some("queries") => format!("queries = {queries}"),
            Some("classes") => format!("classes = {classes}"),
            Some("epochs") => format!("epochs = {epochs}"),
            Some("batch_size") => format!("batch_size = {batch}"),
            // What is on its head is another thing in most pictures.
            Some("boxes") => line.replace(" flip_vertical = 0.5,", ""),
            _ if line.starts_with('#') => continue,
            _ => line.to_owned(),
        };
        text.push_str(&line);
        text.push('\n');
    }
    let words = format!(
        "DETR, {}, {height} × {width} pixels, {queries} queries\n        {} of {}",
        counted(classes, "class"),
        counted(epochs, "epoch"),
        counted(paths.len(), "picture")
    );
    Ok((text, words))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::{Changes, Recipe};

    #[test]
    fn the_recipes_for_other_data_are_sound() {
        for (base, kind) in
            [("caption-web", "screens"), ("vit-fashion", "mnist"), ("vit-fashion", "fashion-mnist")]
        {
            let data = format!("kind = \"{kind}\"\ndir = \"/x y\"");
            let (text, _) = adapted(base, "mine", &data).expect("there");
            let recipe = Recipe::resolve("mine", &text, &Changes::default()).expect(&text);
            assert_eq!((&*recipe.name, recipe.data.dir), ("mine", Some("/x y".into())));
        }
    }

    #[test]
    fn a_run_is_named_after_its_folder() {
        for (path, expected) in [
            ("/home/me/My Photos/", "my-photos"),
            ("cats_2", "cats_2"),
            ("/", "own"),
            ("/data/…", "own"),
            ("/a/labels.csv", "labels-csv"),
        ] {
            assert_eq!(name(path), expected);
        }
    }
}
