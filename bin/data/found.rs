//! What lies in a folder that somebody names.

use std::path::Path;

use anyhow::{Context as _, Error, Result, anyhow, bail};
use datasets::detection::{Annotations, Format, Part, part_of};
use datasets::image_folder::{Layout, Listing};
use datasets::picture;

use crate::output::counted;

/// Data of one's own, by what they are recognised as.
pub(crate) enum Found {
    /// Screens and captions, in the files of Rico.
    Screens,
    /// Pictures with boxes.
    Boxes(Format),
    /// Images and labels, in the files of MNIST and Fashion-MNIST.
    Idx,
    Cifar10,
    /// Pictures with a label each.
    Labelled(Box<Listing>),
}

/// What is looked for.
const LAYOUTS: &str = "  a folder per class:        CLASS/a.jpg, or train/CLASS/a.jpg and test/CLASS/b.jpg
  a table:                   labels.csv or labels.jsonl, with file and label in each row
  boxes:                     COCO (JSON), Pascal VOC (Annotations, JPEGImages), YOLO (images, labels)
  captions of widgets:       Rico (combined, split, widget_captions.csv)
  images of one size:        IDX files (MNIST, Fashion-MNIST), CIFAR-10's binary files";

impl Found {
    /// Recognises what a path leads to.
    ///
    /// # Errors
    /// If it leads to nothing that can be trained on: what was looked for.
    pub(crate) fn of(path: &Path) -> Result<Self> {
        let shown = path.display();
        if !path.exists() {
            bail!("{shown}: no such folder");
        }
        let metadata = path.metadata().with_context(|| format!("{shown}: cannot be read"))?;
        let format = Format::recognise(path);
        if metadata.is_file() {
            let is_table = Listing::is_table(path);
            return match format {
                Some(format) => Ok(Self::Boxes(format)),
                None if is_table => Ok(Self::Labelled(Listing::of(path)?.into())),
                None => bail!(
                    "{shown}: is a file; expected a folder, a table (.csv, .tsv, .jsonl) or a JSON file of COCO"
                ),
            };
        }
        std::fs::read_dir(path).with_context(|| format!("{shown}: cannot be read"))?;
        let has = |name: &str| path.join(name).exists();
        let has_idx = |name: &str| has(name) || has(&format!("{name}.gz"));
        if has("combined") && has("widget_captions.csv") {
            return Ok(Self::Screens);
        }
        if has_idx("train-images-idx3-ubyte") {
            return Ok(Self::Idx);
        }
        if has("data_batch_1.bin") {
            return Ok(Self::Cifar10);
        }
        if let Some(format) = format {
            return Ok(Self::Boxes(format));
        }
        let listing = Listing::of(path).map_err(|error| advised(path, error))?;
        if listing.is_split() && !listing.has(Part::Train) {
            bail!(
                "{shown}: no part to train on: a folder train, with a folder per class, expected"
            );
        }
        Ok(Self::Labelled(listing.into()))
    }

    /// What it is, for people.
    pub(crate) fn words(&self) -> &'static str {
        match self {
            Found::Screens => "screens with captions (Rico)",
            Found::Boxes(Format::Voc) => "pictures with boxes (Pascal VOC)",
            Found::Boxes(Format::Coco) => "pictures with boxes (COCO)",
            Found::Boxes(Format::Yolo) => "pictures with boxes (YOLO)",
            Found::Idx => "images with labels (IDX files)",
            Found::Cifar10 => "images with labels (CIFAR-10)",
            Found::Labelled(listing) => match listing.layout() {
                Layout::Classes => "pictures in a folder per class",
                Layout::Parts => "pictures in a folder per class, in parts",
                Layout::Table => "pictures with labels in a table",
            },
        }
    }
}

/// An error about a folder of labelled pictures; where nothing was recognised, it says what would be.
fn advised(path: &Path, error: datasets::Error) -> Error {
    if !matches!(error, datasets::Error::Missing { .. }) {
        return error.into();
    }
    let files = std::fs::read_dir(path).into_iter().flatten().filter_map(Result::ok);
    let pictures = files.filter(|entry| picture::is_named_so(&entry.path())).count();
    let advice = match pictures {
        0 => String::new(),
        count => format!(
            "{} without a label: put those of a class into a folder with its name, or list them in labels.csv\n",
            counted(count, "picture")
        ),
    };
    anyhow!("{error}\n{advice}what is looked for:\n{LAYOUTS}")
}

/// The annotations of all parts of pictures with boxes.
///
/// # Errors
/// Those of the reader.
pub(crate) fn annotations(format: Format, path: &Path) -> Result<Vec<(Option<Part>, Annotations)>> {
    let splits = format.splits(path);
    let read = |split: Option<&str>| {
        let part = split.and_then(part_of);
        let read = format.annotations(path, split, true);
        Ok((part, read.with_context(|| format!("reading {}", path.display()))?))
    };
    // Of two lists for one part, such as train and trainval, the first.
    let is_first = |i: &usize| !splits[..*i].iter().any(|s| part_of(s) == part_of(&splits[*i]));
    match splits.is_empty() {
        true => Ok(vec![read(None)?]),
        false => (0..splits.len()).filter(is_first).map(|i| read(Some(&splits[i]))).collect(),
    }
}
