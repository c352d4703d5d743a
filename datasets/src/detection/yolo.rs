//! YOLO: a text file for each picture, with a line for each object.
//!
//! ```text
//! folder/images/train/a.jpg           or any picture that is read; or folder/train/images/a.jpg
//! folder/labels/train/a.txt           class centre_x centre_y width height [confidence]
//!                                     or class x1 y1 x2 y2 x3 y3 …, the corners of a polygon; or folder/train/labels/a.txt
//! folder/classes.txt                  a name for each line, or
//! folder/data.yaml                    names: [cat, dog]
//!                                     and perhaps where the parts are: path: ., train: train/images, val: valid/images
//! ```
//!
//! Classes are numbers from 0, places and sizes are fractions of the picture. A picture without a text file has no objects;
//! a text file without a picture is an error.
//!
//! Source: Ultralytics, "Object Detection Datasets Overview", section "Ultralytics YOLO format".

mod names;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::stored::{Annotations, Draft, DraftObject, Reading};
use super::{Detection, Id, Repairs};
use crate::Error;
use crate::picture::EXTENSIONS;
use crate::text::{self, MAX_CLASSES};

/// Reads the pictures of a split, in the order of their names: those in `images/{split}` with `labels/{split}`, else those in
/// `{split}/images` with `{split}/labels`, else those in the folder that `data.yaml` names, with the labels in the folder that has
/// `labels` in place of its `images`. A set for validation may be called `val`, `valid`, `validation` or `dev` there.
///
/// The classes are named by `classes.txt` in the folder, in `labels` or in `labels/{split}`, or by `names` in `data.yaml`,
/// which may be a list in brackets, a list with a dash a line, or numbers from 0 with a name each. Without any of these they
/// are called by their numbers, up to the greatest one in all text files of labels.
///
/// # Errors
///
/// A file or picture that is missing, broken or too large, two pictures of one name, a line that is not five numbers, a class
/// without a name, no text file for any of the pictures, `Fit` that makes no sense, or more than 4 GiB of pixels.
pub fn read(folder: &Path, split: &str, reading: &Reading) -> Result<Detection, Error> {
    let wrong = || Error::option("split", "the name of a folder", split);
    text::inside(folder, split).ok_or_else(wrong)?;
    annotations(folder, Some(split))?.read(reading)
}

/// What the text files of a split say, or those of a data set without splits: pictures in `images`, with labels in `labels`.
pub(super) fn annotations(folder: &Path, split: Option<&str>) -> Result<Annotations, Error> {
    let [images, labels] = match split {
        Some(split) => places(folder, split)?,
        None => ["images", "labels"].map(|kind| folder.join(kind)),
    };
    let (classes, names) = match find_names(folder, &labels)? {
        Some((classes, path)) => (classes, path),
        None => (numbers(folder, &labels)?, labels.clone()),
    };

    let pictures = text::names(&images, &EXTENSIONS)?;
    let mut stems = HashSet::new();
    let mut drafts = Vec::with_capacity(pictures.len());
    for (id, picture) in pictures.iter().enumerate() {
        let stem = text::stem(picture);
        if !stems.insert(stem) {
            let expected = format_args!("one picture for {stem}.txt");
            return Err(Error::record(&images, picture, expected, "another one"));
        }
        let source = labels.join(format!("{stem}.txt"));
        let lines = if source.exists() { parse(&source)? } else { Vec::new() };
        let mut objects = Vec::with_capacity(lines.len());
        for (line, class, bounds) in lines {
            if class >= classes.len() {
                let expected =
                    format!("a class below {}, as in {}", classes.len(), names.display());
                return Err(Error::record(&source, format_args!("line {line}"), expected, class));
            }
            let place = ("line", (line as u64).into());
            objects.push(DraftObject { place, bounds, class, area: None, crowd: false });
        }
        let (name, picture, repairs) = (picture.clone(), images.join(picture), Repairs::default());
        let (id, stated, fractions) = ((id as u64).into(), None, true);
        drafts.push(Draft { id, name, picture, source, stated, fractions, objects, repairs });
    }
    let files = label_files(&labels)?;
    if files.is_empty() && !pictures.is_empty() {
        let expected =
            format_args!("a text file of labels, such as {}.txt", text::stem(&pictures[0]));
        return Err(Error::record(&labels, "no labels found where expected", expected, "none"));
    }
    for file in files {
        if !stems.contains(text::stem(&file)) {
            text::picture(&images, text::stem(&file))?;
        }
    }
    let class_ids = (1..=classes.len() as u64).map(Id::from).collect();
    Ok(Annotations { drafts, classes, class_ids })
}

/// The text files of a folder that annotate pictures; none if there is no folder.
fn label_files(folder: &Path) -> Result<Vec<String>, Error> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let files = text::names(folder, &["txt"])?;
    Ok(files.into_iter().filter(|file| file != "classes.txt").collect())
}

/// Each object of a file: its line, its class and its box in fractions.
fn parse(path: &Path) -> Result<Vec<(usize, usize, [f64; 4])>, Error> {
    let text = text::read(path)?;
    let mut objects = Vec::new();
    for (line, content) in text::lines(&text) {
        let found = || content.chars().take(80).collect::<String>();
        let wrong = |expected| Error::record(path, format_args!("line {line}"), expected, found());
        let mut fields = content.split_ascii_whitespace();
        let Some(class) = fields.next() else { continue };
        // Some programs write 0.0.
        let class = class.parse().ok().filter(|class: &f64| class.fract() == 0.0);
        let class = class.filter(|class| (0.0..MAX_CLASSES as f64).contains(class));
        let class = class.ok_or_else(|| wrong("a class from 0 to 65535"))? as usize;
        let numbers: Option<Vec<f64>> = fields.map(|number| number.parse().ok()).collect();
        let expected =
            "a class and four numbers: centre x, y, width, height; or the corners of a polygon";
        let left_top = numbers.as_deref().and_then(left_top).ok_or_else(|| wrong(expected))?;
        objects.push((line, class, left_top));
    }
    Ok(objects)
}

/// Left, top, width and height of an object that is given by centre and size, perhaps with a confidence behind them, or by three
/// corners or more.
fn left_top(numbers: &[f64]) -> Option<[f64; 4]> {
    match *numbers {
        [x, y, w, h] | [x, y, w, h, _] => Some([x - w / 2.0, y - h / 2.0, w, h]),
        ref corners if corners.len() >= 6 && corners.len().is_multiple_of(2) => {
            let along = |axis: usize| corners[axis..].iter().step_by(2).copied();
            let [left, top] = [0, 1].map(|axis| along(axis).fold(f64::INFINITY, f64::min));
            let [right, bottom] = [0, 1].map(|axis| along(axis).fold(f64::NEG_INFINITY, f64::max));
            Some([left, top, right - left, bottom - top])
        }
        _ => None,
    }
}

/// The names of the classes and the file that gives them, if one does.
fn find_names(folder: &Path, labels: &Path) -> Result<Option<(Vec<String>, PathBuf)>, Error> {
    for folder in [folder, &folder.join("labels"), labels] {
        let path = folder.join("classes.txt");
        if path.is_file() {
            return Ok(Some((text::classes(&path)?, path)));
        }
    }
    match yaml(folder) {
        Some(path) => Ok(Some((names::read(&path)?, path))),
        None => Ok(None),
    }
}

/// The folders of a split's pictures and of its labels.
fn places(folder: &Path, split: &str) -> Result<[PathBuf; 2], Error> {
    const VALIDATION: [&str; 4] = ["val", "valid", "validation", "dev"];
    let is_validation = VALIDATION.contains(&split);
    let mut names = vec![split];
    names.extend(VALIDATION.into_iter().filter(|name| is_validation && *name != split));
    for name in &names {
        let beside = ["images", "labels"].map(|kind| folder.join(kind).join(name));
        let below = ["images", "labels"].map(|kind| folder.join(name).join(kind));
        if let Some(places) = [beside, below].into_iter().find(|places| places[0].is_dir()) {
            return Ok(places);
        }
    }
    let key = if is_validation { "val" } else { split };
    if let Some(path) = yaml(folder)
        && let Some(images) = names::place(&path, key)?.filter(|images| images.is_dir())
    {
        let parts: Vec<_> = images.components().collect();
        let last = parts.iter().rposition(|part| part.as_os_str() == "images");
        let part = |(i, part): (usize, &std::path::Component)| match Some(i) == last {
            true => PathBuf::from("labels"),
            false => PathBuf::from(part.as_os_str()),
        };
        let labels = parts.iter().enumerate().map(part).collect();
        return Ok([images, labels]);
    }
    let found = names.iter().flat_map(|name| [format!("images/{name}"), format!("{name}/images")]);
    Err(Error::Missing { folder: folder.to_owned(), names: found.collect() })
}

/// Whether all pictures are in `images`, and their labels in `labels`.
pub(super) fn is_one(folder: &Path) -> bool {
    let has = |kind: &str, extensions: &[&str]| {
        text::names(&folder.join(kind), extensions).is_ok_and(|names| !names.is_empty())
    };
    has("images", &EXTENSIONS) && has("labels", &["txt"])
}

/// The splits that there are.
pub(super) fn splits(folder: &Path) -> Vec<String> {
    let is_there = |split: &&str| places(folder, split).is_ok_and(|[_, labels]| labels.is_dir());
    ["train", "val", "test"].into_iter().filter(is_there).map(str::to_owned).collect()
}

/// The file that describes a data set, if there is one.
fn yaml(folder: &Path) -> Option<PathBuf> {
    let names = ["data.yaml", "data.yml", "dataset.yaml", "dataset.yml"];
    names.into_iter().map(|name| folder.join(name)).find(|path| path.is_file())
}

/// As many numbers as classes occur in the labels of all splits, at least one.
fn numbers(folder: &Path, labels: &Path) -> Result<Vec<String>, Error> {
    let mut count = 1;
    let below = |folder: &Path| -> Result<Vec<PathBuf>, Error> {
        let io = |error| Error::io(folder, error);
        let mut folders = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(io)? {
            let path = entry.map_err(io)?.path();
            if path.is_dir() {
                folders.push(path);
            }
        }
        Ok(folders)
    };
    let together = folder.join("labels");
    let mut folders = vec![labels.to_owned()];
    if together.is_dir() {
        folders.extend(below(&together)?);
        folders.push(together);
    }
    folders.extend(below(folder)?.iter().map(|part| part.join("labels")));
    folders.sort_unstable();
    folders.dedup();
    for folder in folders {
        for file in label_files(&folder)? {
            let classes = parse(&folder.join(file))?.into_iter().map(|(_, class, _)| class + 1);
            count = classes.fold(count, usize::max);
        }
    }
    Ok((0..count).map(|class| class.to_string()).collect())
}
