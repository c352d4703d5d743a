//! Which of the formats a folder has, and in which parts.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Annotations, Detection, Reading, coco, voc, yolo};
use crate::listing::Part;
use crate::{Error, text};

/// A format of pictures with boxes in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// See [`voc`].
    Voc,
    /// See [`coco`].
    Coco,
    /// See [`yolo`].
    Yolo,
}

impl Format {
    /// The format of what lies in a folder, or of a file of COCO's instances.
    pub fn recognise(path: &Path) -> Option<Format> {
        if path.join("Annotations").is_dir() && path.join("JPEGImages").is_dir() {
            return Some(Format::Voc);
        }
        if !coco_files(path).is_empty() {
            return Some(Format::Coco);
        }
        let is_yolo = yolo::is_one(path) || !Format::Yolo.splits(path).is_empty();
        is_yolo.then_some(Format::Yolo)
    }

    /// The names of the parts that there are, those to train on first; none where all pictures are in one.
    pub fn splits(self, path: &Path) -> Vec<String> {
        let mut splits: Vec<String> = match self {
            Format::Voc => {
                let lists = text::names(&path.join("ImageSets/Main"), &["txt"]).unwrap_or_default();
                lists.iter().map(|list| text::stem(list).to_owned()).collect()
            }
            Format::Coco => coco_files(path).into_iter().filter_map(|file| file.split).collect(),
            Format::Yolo => yolo::splits(path),
        };
        splits.retain(|split| part_of(split).is_some());
        splits.sort_by_key(|split| (part_of(split), split.len(), split.clone()));
        splits.dedup();
        splits
    }

    /// What is said of the pictures of a part, or of all; `skip_missing` says that there need not be a picture for all that VOC names.
    ///
    /// # Errors
    ///
    /// Those of the readers, but for pictures.
    pub fn annotations(
        self,
        path: &Path,
        split: Option<&str>,
        skip_missing: bool,
    ) -> Result<Annotations, Error> {
        match self {
            Format::Voc => voc::annotations(path, split, None, skip_missing),
            Format::Yolo => yolo::annotations(path, split),
            Format::Coco => {
                let found =
                    coco_files(path).into_iter().find(|file| file.split.as_deref() == split);
                let found = match (found, split) {
                    (Some(found), _) => found,
                    (None, Some(split)) => CocoFile::usual(path, split),
                    (None, None) => {
                        let names = vec!["a JSON file of images and annotations".to_owned()];
                        return Err(Error::Missing { folder: path.to_owned(), names });
                    }
                };
                coco::annotations(&found.file, &found.pictures()?)
            }
        }
    }

    /// The pictures of a part, or all.
    ///
    /// # Errors
    ///
    /// Those of the readers.
    pub fn read(
        self,
        path: &Path,
        split: Option<&str>,
        reading: &Reading,
    ) -> Result<Detection, Error> {
        self.annotations(path, split, reading.skip_broken)?.read(reading)
    }
}

/// What a part of this name is for: `train2017` is for training.
pub fn part_of(split: &str) -> Option<Part> {
    match split {
        "trainval" => Some(Part::Train),
        _ => Part::named(split.trim_end_matches(|c: char| c.is_ascii_digit())),
    }
}

/// A file of instances, and where its pictures may be.
struct CocoFile {
    split: Option<String>,
    file: PathBuf,
    folders: Vec<PathBuf>,
}

impl CocoFile {
    /// As COCO itself is laid out.
    fn usual(path: &Path, split: &str) -> Self {
        let file = path.join(format!("annotations/instances_{split}.json"));
        let folders = [path.join(split), path.join("images").join(split), path.join("images")];
        Self { split: Some(split.to_owned()), file, folders: folders.into() }
    }

    /// The first of the folders that has the first picture.
    fn pictures(&self) -> Result<PathBuf, Error> {
        let mut there: Vec<&PathBuf> = self.folders.iter().filter(|path| path.is_dir()).collect();
        if there.len() > 1 {
            let instances = coco::read_instances(&self.file)?;
            let first = instances.images.iter().find_map(|image| image.file_name.as_ref());
            let has_it = |path: &&PathBuf| first.is_some_and(|name| path.join(name).is_file());
            if let Some(at) = there.iter().position(has_it) {
                there.swap(0, at);
            }
        }
        Ok(there.first().copied().or(self.folders.first()).cloned().unwrap_or_default())
    }
}

/// The files of instances that belong to a folder: `annotations/instances_SPLIT.json`, `SPLIT/_annotations.coco.json` as Roboflow
/// exports them, `annotations/SPLIT.json`, `SPLIT.json`, or another JSON file that is one. Or that of this path.
fn coco_files(path: &Path) -> Vec<CocoFile> {
    let is_json = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("json"));
    if is_json && path.is_file() {
        let folder = path.parent().unwrap_or(Path::new(""));
        let above = folder.parent().unwrap_or(folder);
        let folders = [folder, &folder.join("images"), above, &above.join("images")];
        let folders = folders.map(Path::to_owned).into();
        return vec![CocoFile { split: None, file: path.to_owned(), folders }];
    }
    let mut files = Vec::new();
    let folder = path.join("annotations");
    for name in text::names(&folder, &["json"]).unwrap_or_default() {
        let stem = text::stem(&name);
        let split = stem.strip_prefix("instances_").unwrap_or(stem);
        if stem != split || part_of(split).is_some() {
            let usual = CocoFile::usual(path, split);
            files.push(CocoFile { file: folder.join(&name), ..usual });
        }
    }
    let below = fs::read_dir(path).into_iter().flatten().filter_map(Result::ok);
    let mut below: Vec<PathBuf> = below.map(|entry| entry.path()).collect();
    below.sort_unstable();
    for folder in below {
        let file = folder.join("_annotations.coco.json");
        if file.is_file() {
            let split = Some(text::name(&folder));
            files.push(CocoFile { split, file, folders: vec![folder] });
        }
    }
    if !files.is_empty() {
        return files;
    }
    for name in text::names(path, &["json"]).unwrap_or_default() {
        let file = path.join(&name);
        if coco::read_instances(&file).is_err() {
            continue;
        }
        let stem = text::stem(&name);
        let split = part_of(stem).map(|_| stem.to_owned());
        let mut folders = vec![path.to_owned(), path.join("images"), path.join(stem)];
        folders.push(path.join("images").join(stem));
        files.push(CocoFile { split, file, folders });
    }
    files
}
