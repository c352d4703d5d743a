//! `wavetape data`: what is in a folder of data.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use datasets::detection::Format;
use datasets::image_folder::{Listing, Part};
use datasets::picture::{Channels, Picture};
use datasets::{Split, cifar10, idx, screens};
use rayon::prelude::*;
use serde::Serialize;

use crate::args;
use crate::choose;
use crate::data::{Found, annotations};
use crate::output::{self, counted};
use crate::shell;

/// Say what is in a folder of data: how it is laid out, its classes and parts, the sizes of its pictures, what is broken, left out or
/// there twice. Every picture is decoded.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wavetape data my-photos
  wavetape data my-photos/labels.csv --json
  wavetape data /usr/share/datasets/fashion-mnist")]
pub(crate) struct DataArgs {
    /// Folder, table (.csv, .tsv, .jsonl) or JSON file of COCO.
    data: PathBuf,
    /// Share of the pictures that is held out where there is no test set, as data.test_share.
    #[arg(long, value_name = "SHARE", default_value_t = 0.2, value_parser = args::number(args::FRACTION))]
    test_share: f64,
    /// Print the result as one JSON object and nothing else.
    #[arg(long)]
    json: bool,
}

/// How many files, objects or classes are named of each kind.
const SHOWN: usize = 3;
const CLASSES: usize = 20;

/// What was found.
#[derive(Debug, Default, Serialize)]
struct Survey {
    data: String,
    layout: &'static str,
    /// What is counted for a class: pictures, or objects on them.
    counted: &'static str,
    /// Pictures, images or screens of each part.
    parts: BTreeMap<&'static str, usize>,
    /// Whether the test set is held out by `data.test_share`.
    held_out: bool,
    classes: Vec<Class>,
    /// Of pictures of any size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pictures: Option<Pictures>,
    /// Files that cannot be read as pictures.
    broken: Vec<String>,
    left_out: Vec<String>,
    /// Files with equal contents.
    copies: Vec<Vec<String>>,
    /// How many of these groups are trained on and scored.
    copies_across_parts: usize,
    /// Why nothing can be trained on these data as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// A class, and how often it is in each part.
#[derive(Debug, Serialize)]
struct Class {
    name: String,
    parts: BTreeMap<&'static str, usize>,
}

/// Heights, widths and colours.
#[derive(Debug, Default, Serialize)]
struct Pictures {
    smallest: [usize; 2],
    median: [usize; 2],
    largest: [usize; 2],
    /// How many have colours.
    in_colour: usize,
}

/// Looks, and prints.
pub(crate) fn run(args: &DataArgs) -> Result<()> {
    let survey = Survey::of(&args.data, args.test_share)?;
    let mut out = output::stdout();
    if args.json {
        return Ok(writeln!(out, "{}", serde_json::to_string(&survey)?)?);
    }
    for (head, text) in survey.lines() {
        writeln!(out, "{head:9} {text}")?;
    }
    if survey.problem.is_none() {
        let train = shell::line(["wavetape", "train", &args.data.to_string_lossy()]);
        writeln!(out, "{:9} {train}", "train")?;
        choose::recipe(&args.data)?; // which notes what it chooses
    }
    Ok(())
}

impl Survey {
    fn of(path: &Path, share: f64) -> Result<Self> {
        let found = Found::of(path)?;
        let mut survey = Self {
            data: path.display().to_string(),
            layout: found.words(),
            counted: "pictures",
            ..Self::default()
        };
        match found {
            Found::Labelled(mut listing) => survey.labelled(&mut listing, share)?,
            Found::Boxes(format) => survey.boxes(format, path)?,
            Found::Screens => survey.screens(path)?,
            Found::Idx | Found::Cifar10 => survey.images(path, &found)?,
        }
        Ok(survey)
    }

    fn labelled(&mut self, listing: &mut Listing, share: f64) -> Result<()> {
        self.held_out = !listing.is_split();
        // Unreadable files are told below.
        listing.hold_out(share, true)?;
        let paths: Vec<&Path> = listing.entries().iter().map(|entry| &*entry.path).collect();
        let sound = self.decode(&paths, listing.root());
        let mut counts = vec![BTreeMap::new(); listing.classes().len()];
        for (entry, _) in listing.entries().iter().zip(sound).filter(|(_, sound)| *sound) {
            let part = part_name(entry.part);
            *self.parts.entry(part).or_default() += 1;
            *counts[entry.label as usize].entry(part).or_default() += 1;
        }
        let class = |(name, parts): (&String, _)| Class { name: name.clone(), parts };
        self.classes = listing.classes().iter().zip(counts).map(class).collect();
        let skipped = listing.skipped().to_string();
        self.left_out = skipped.lines().map(str::to_owned).collect();
        let doubles = listing.doubles(true)?;
        let entries = listing.entries();
        self.add_copies(&doubles, |i| listing.name(&entries[i]), |i| entries[i].part);
        self.problem = match listing.classes() {
            [only] => Some(format!(
                "one class only, {only:?}: if its folders are the classes, name that folder"
            )),
            _ => self.train_problem(),
        };
        Ok(())
    }

    fn boxes(&mut self, format: Format, path: &Path) -> Result<()> {
        self.counted = "objects";
        let parts = annotations(format, path)?;
        self.held_out = parts.len() == 1;
        let (mut paths, mut of_part) = (Vec::new(), Vec::new());
        let mut counts: BTreeMap<String, BTreeMap<&'static str, usize>> = BTreeMap::new();
        for (part, annotations) in &parts {
            let part = part_name(*part);
            for name in annotations.classes() {
                counts.entry(name.clone()).or_default();
            }
            for (path, objects) in annotations.pictures() {
                paths.push(path);
                of_part.push(part);
                for class in objects {
                    let of_class = counts.entry(annotations.classes()[class].clone()).or_default();
                    *of_class.entry(part).or_default() += 1;
                }
            }
        }
        let sound = self.decode(&paths, path);
        for (part, _) in of_part.into_iter().zip(sound).filter(|(_, sound)| *sound) {
            *self.parts.entry(part).or_default() += 1;
        }
        self.classes = counts.into_iter().map(|(name, parts)| Class { name, parts }).collect();
        self.problem = self.train_problem();
        Ok(())
    }

    fn screens(&mut self, path: &Path) -> Result<()> {
        self.counted = "captions";
        for (part, name) in [
            (screens::Part::Train, Part::Train),
            (screens::Part::Dev, Part::Validation),
            (screens::Part::Test, Part::Test),
        ] {
            let read = screens::folder(path, part).with_context(|| path.display().to_string())?;
            self.parts.insert(name.name(), read.screens().len());
            self.left_out.extend(read.repairs().to_string().lines().map(str::to_owned));
        }
        Ok(())
    }

    fn images(&mut self, path: &Path, found: &Found) -> Result<()> {
        self.counted = "images";
        let mut counts: BTreeMap<String, BTreeMap<&'static str, usize>> = BTreeMap::new();
        for (split, part) in [(Split::Train, Part::Train), (Split::Test, Part::Test)] {
            let images = match found {
                Found::Idx => idx::folder(path, split, &idx::DIGITS)?,
                _ => cifar10::folder(path, split)?,
            };
            self.parts.insert(part.name(), images.len());
            for (name, count) in images.classes().iter().zip(images.count_by_class()) {
                counts.entry(name.clone()).or_default().insert(part.name(), count);
            }
        }
        self.classes = counts.into_iter().map(|(name, parts)| Class { name, parts }).collect();
        Ok(())
    }

    /// Decodes all pictures: which are sound, and what they are like.
    fn decode(&mut self, paths: &[&Path], root: &Path) -> Vec<bool> {
        let look = |path: &&Path| {
            let Picture { shape: [_, height, width], pixels } =
                Picture::read(path, Channels::Rgb).map_err(|error| error.to_string())?;
            let (red, others) = pixels.split_at(height * width);
            let in_colour = others.chunks_exact(height * width).any(|plane| plane != red);
            Ok::<_, String>(([height, width], in_colour))
        };
        let looked: Vec<_> = paths.par_iter().map(look).collect();
        let mut sizes = Vec::new();
        let mut pictures = Pictures::default();
        for (path, looked) in paths.iter().zip(&looked) {
            match looked {
                Ok((size, in_colour)) => {
                    sizes.push(*size);
                    pictures.in_colour += usize::from(*in_colour);
                }
                Err(_) => {
                    let name = path.strip_prefix(root).unwrap_or(path);
                    self.broken.push(name.display().to_string());
                }
            }
        }
        let of_area = |size: &[usize; 2]| size[0] * size[1];
        sizes.sort_unstable_by_key(|size| (of_area(size), *size));
        if let (Some(&smallest), Some(&largest)) = (sizes.first(), sizes.last()) {
            let median = sizes[sizes.len() / 2];
            self.pictures = Some(Pictures { smallest, median, largest, ..pictures });
        }
        looked.iter().map(Result::is_ok).collect()
    }

    fn add_copies(
        &mut self,
        doubles: &[Vec<usize>],
        name: impl Fn(usize) -> String,
        part: impl Fn(usize) -> Option<Part>,
    ) {
        let is_across = |group: &&Vec<usize>| group.iter().any(|&i| part(i) != part(group[0]));
        self.copies_across_parts = doubles.iter().filter(is_across).count();
        let names = |group: &Vec<usize>| group.iter().map(|&i| name(i)).collect();
        self.copies = doubles.iter().map(names).collect();
    }

    /// Why there is nothing to train on.
    fn train_problem(&self) -> Option<String> {
        let trained = [Part::Train.name(), ALL];
        let is_trained = self.parts.keys().any(|part| trained.contains(part));
        (!is_trained).then(|| "no picture to train on can be read".to_owned())
    }

    /// What people read: what it is about, and what is said of it.
    fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines =
            vec![("data", output::escaped(&self.data)), ("layout", self.layout.to_owned())];
        let of_parts = |parts: &BTreeMap<&'static str, usize>| {
            let named = Part::ALL.map(Part::name).into_iter().chain([ALL]);
            let counts = named.filter_map(|part| Some((part, parts.get(part)?)));
            let words = counts.map(|(part, count)| match part {
                ALL => count.to_string(),
                part => format!("{part} {count}"),
            });
            words.collect::<Vec<_>>().join(", ")
        };
        let mut parts = of_parts(&self.parts);
        if self.held_out {
            parts += " (no test set: held out by contents, data.test_share)";
        }
        lines.push(("pictures", parts));
        if let Some(Pictures { smallest, median, largest, in_colour }) = &self.pictures {
            let size = |[height, width]: &[usize; 2]| format!("{height} × {width}");
            let all = match smallest == largest {
                true => format!("all {}", size(median)),
                false => {
                    format!("{} to {}, median {}", size(smallest), size(largest), size(median))
                }
            };
            lines.push(("sizes", format!("{all} (height × width), {in_colour} in colour")));
        }
        if !self.classes.is_empty() {
            lines.push(("classes", format!("{}, by {}", self.classes.len(), self.counted)));
        }
        for class in self.classes.iter().take(CLASSES) {
            lines.push((
                "",
                format!("{}: {}", output::escaped(&class.name), of_parts(&class.parts)),
            ));
        }
        if self.classes.len() > CLASSES {
            lines.push(("", format!("and {} more", self.classes.len() - CLASSES)));
        }
        if !self.broken.is_empty() {
            let shown: Vec<String> =
                self.broken.iter().take(SHOWN).map(|name| output::escaped(name)).collect();
            let files = counted(self.broken.len(), "picture");
            let hint = "; data.skip_broken = true leaves such out";
            lines.push(("broken", format!("{files}, such as {}{hint}", shown.join(", "))));
        }
        lines.extend(self.left_out.iter().map(|line| ("left out", line.clone())));
        if let Some(first) = self.copies.first() {
            let names: Vec<String> =
                first.iter().take(SHOWN).map(|name| output::escaped(name)).collect();
            let across = match self.copies_across_parts {
                0 => String::new(),
                count => format!("; {count} in two parts, so that what is scored was learnt"),
            };
            let times = counted(self.copies.len(), "picture");
            let words = format!("{times} more than once, such as {}{across}", names.join(" = "));
            lines.push(("copies", words));
        }
        lines.extend(self.problem.iter().map(|problem| ("problem", problem.clone())));
        lines
    }
}

/// Pictures that are in no part.
const ALL: &str = "all";

fn part_name(part: Option<Part>) -> &'static str {
    part.map_or(ALL, Part::name)
}
