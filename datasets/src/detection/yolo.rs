//! YOLO: a text file for each picture, with a line for each object.
//!
//! ```text
//! folder/images/train/a.jpg           or .jpeg, .png
//! folder/labels/train/a.txt           class centre_x centre_y width height [confidence]
//!                                     or class x1 y1 x2 y2 x3 y3 …, the corners of a polygon
//! folder/classes.txt                  a name for each line, or
//! folder/data.yaml                    names: [cat, dog]
//! ```
//!
//! Classes are numbers from 0, places and sizes are fractions of the picture. A picture without a text file has no objects;
//! a text file without a picture is an error.
//!
//! Source: Ultralytics, "Object Detection Datasets Overview", section "Ultralytics YOLO format".

mod names;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::stored::{self, Draft, DraftObject, Reading};
use super::{Detection, Id, Repairs};
use crate::Error;
use crate::text::{self, MAX_CLASSES};

/// Reads the pictures of `images/{split}`, in the order of their names.
///
/// The classes are named by `classes.txt` in the folder, in `labels` or in `labels/{split}`, or by `names` in `data.yaml`,
/// which may be a list in brackets, a list with a dash a line, or numbers from 0 with a name each. Without any of these they
/// are called by their numbers, up to the greatest one in all text files of `labels`.
///
/// # Errors
///
/// A file or picture that is missing, broken or too large, two pictures of one name, a line that is not five numbers, a class
/// without a name, `Fit` that makes no sense, or more than 4 GiB of pixels.
pub fn read(folder: &Path, split: &str, reading: &Reading) -> Result<Detection, Error> {
    let wrong = || Error::option("split", "the name of a folder", split);
    let images = text::inside(&folder.join("images"), split).ok_or_else(wrong)?;
    let labels = text::inside(&folder.join("labels"), split).ok_or_else(wrong)?;
    let (classes, names) = match find_names(folder, &labels)? {
        Some((classes, path)) => (classes, path),
        None => (numbers(&folder.join("labels"))?, labels.clone()),
    };

    let pictures = text::names(&images, &["jpg", "jpeg", "png"])?;
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
    for file in label_files(&labels)? {
        if !stems.contains(text::stem(&file)) {
            text::picture(&images, text::stem(&file))?;
        }
    }
    let class_ids = (1..=classes.len() as u64).map(Id::from).collect();
    stored::read(drafts, classes, class_ids, reading)
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
    for name in ["data.yaml", "data.yml", "dataset.yaml"] {
        let path = folder.join(name);
        if path.is_file() {
            return Ok(Some((names::read(&path)?, path)));
        }
    }
    Ok(None)
}

/// As many numbers as classes occur below a folder, at least one.
fn numbers(folder: &Path) -> Result<Vec<String>, Error> {
    let mut count = 1;
    let mut folders = vec![folder.to_owned()];
    let io = |error| Error::io(folder, error);
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    folders.sort_unstable();
    for folder in folders {
        for file in label_files(&folder)? {
            let classes = parse(&folder.join(file))?.into_iter().map(|(_, class, _)| class + 1);
            count = classes.fold(count, usize::max);
        }
    }
    Ok((0..count).map(|class| class.to_string()).collect())
}
