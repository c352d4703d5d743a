//! Labelled pictures in files: which there are, of which class, and in which part of the data set.
//!
//! ```text
//! folder/cat/1.png                     folder/train/cat/1.png             folder/labels.csv
//! folder/cat/indoors/2.webp            folder/val/cat/2.png               file,label,split
//! folder/dog/3.jpg                     folder/test/dog/3.png              a/1.png,cat,train
//! ```
//!
//! Classes and pictures come in the order of their names, byte by byte; the pictures of a class may lie in folders of it. Parts
//! may be called `train` or `training`; `val`, `valid`, `validation` or `dev`; `test` or `testing`, in any case of letters. A
//! table is a CSV file (with commas, semicolons or tabs) or JSON Lines, with a column for the file and one for the label; see
//! [`FILE`], [`LABEL`] and [`SPLIT`] for their names.
//!
//! Names that start with a dot, and the notes of operating systems (`Thumbs.db`, `desktop.ini`, `__MACOSX`), are passed over.
//! Whatever else is no picture, or is in no class, is left out, counted and named: see [`Listing::skipped`].

mod table;
mod walk;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

pub use self::table::{FILE, LABEL, SPLIT};
use crate::picture::{EXTENSIONS, MAX_FILE};
use crate::text::MAX_CLASSES;
use crate::{Error, Repairs, fingerprint, source};

/// What a part of a data set is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// For learning.
    Train,
    /// For choosing between models.
    Validation,
    /// For the final measurement.
    Test,
}

impl Part {
    /// All of them.
    pub const ALL: [Part; 3] = [Part::Train, Part::Validation, Part::Test];

    /// The part that is usually called so.
    pub fn named(name: &str) -> Option<Part> {
        Some(match name.to_ascii_lowercase().as_str() {
            "train" | "training" => Part::Train,
            "val" | "valid" | "validation" | "dev" => Part::Validation,
            "test" | "testing" => Part::Test,
            _ => return None,
        })
    }

    /// Its usual name.
    pub fn name(self) -> &'static str {
        match self {
            Part::Train => "train",
            Part::Validation => "validation",
            Part::Test => "test",
        }
    }
}

/// What is left out of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Skipped {
    /// A picture that cannot be read: see [`Reading::skip_broken`](crate::image_folder::Reading::skip_broken).
    Broken,
    /// A file in a class whose name does not end as that of a picture.
    Other,
    /// A picture that is in no class.
    Beside,
    /// A folder beside those of the parts.
    NoPart,
    /// A link to what is not there.
    Link,
    /// A folder of a class without any picture.
    Empty,
}

impl fmt::Display for Skipped {
    /// In the plural; in the alternate form for a single one.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let (one, many, why) = match self {
            Skipped::Broken => ("broken picture", "broken pictures", ""),
            Skipped::Other => ("file", "files", ", not pictures by their names"),
            Skipped::Beside => ("picture", "pictures", " outside of a class"),
            Skipped::NoPart => ("folder", "folders", " beside train, val and test"),
            Skipped::Link => ("dangling link", "dangling links", ""),
            Skipped::Empty => ("class", "classes", " without pictures"),
        };
        write!(f, "{} skipped{why}", if f.alternate() { one } else { many })
    }
}

/// How the pictures of a data set are told their classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A folder for each class.
    Classes,
    /// The same, in a folder for each part.
    Parts,
    /// A table.
    Table,
}

/// A picture of a [`Listing`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its file.
    pub path: PathBuf,
    /// Index of its class.
    pub label: u32,
    /// Its part, where the data have any.
    pub part: Option<Part>,
}

/// The labelled pictures of a data set. None has been looked into yet.
#[derive(Clone, Debug)]
pub struct Listing {
    root: PathBuf,
    layout: Layout,
    entries: Vec<Entry>,
    classes: Vec<String>,
    skipped: Repairs<Skipped>,
    /// By the place in `entries`, once it was asked for.
    hashes: Option<Vec<u64>>,
}

impl Listing {
    /// What is in a folder, or in the table of this name.
    ///
    /// # Errors
    ///
    /// No pictures in classes; parts inside of classes or further down; names that are not in
    /// UTF-8; a table that is not one.
    pub fn of(path: &Path) -> Result<Listing, Error> {
        if table::is_named_so(path) {
            return Listing::of_table(path);
        }
        match table::find(path)? {
            Some(table) => Listing::of_table(&table),
            None => Listing::of_folder(path),
        }
    }

    /// Whether the name of a file ends as that of a table: .csv, .tsv, .jsonl or .ndjson.
    pub fn is_table(path: &Path) -> bool {
        table::is_named_so(path)
    }

    fn of_table(path: &Path) -> Result<Listing, Error> {
        let root = path.parent().unwrap_or(Path::new("")).to_owned();
        let rows = table::read(path)?;
        let names: BTreeSet<&str> = rows.iter().map(|row| row.label.as_str()).collect();
        let classes: Vec<String> = names.into_iter().map(str::to_owned).collect();
        let index: HashMap<&str, u32> = (0..).zip(&classes).map(|(i, name)| (&**name, i)).collect();
        let entry = |row: &table::Row| {
            let path = root.join(&row.file);
            Entry { path, label: index[&*row.label], part: row.part }
        };
        let entries = rows.iter().map(entry).collect();
        let skipped = Repairs::default();
        let listing =
            Listing { layout: Layout::Table, entries, root, classes, skipped, hashes: None };
        listing.checked(path)
    }

    fn of_folder(folder: &Path) -> Result<Listing, Error> {
        let parts = walk::parts(folder)?;
        let layout = if parts.is_empty() { Layout::Classes } else { Layout::Parts };
        let mut skipped = Repairs::default();
        let mut found = Vec::new();
        match layout {
            Layout::Parts => {
                walk::beside_parts(folder, &mut skipped)?;
                for (part, inside) in &parts {
                    let classes = walk::classes(folder, inside, &mut skipped)?;
                    found.extend(classes.into_iter().map(|class| (Some(*part), class)));
                }
            }
            _ => {
                let classes = walk::classes(folder, folder, &mut skipped)?;
                found.extend(classes.into_iter().map(|class| (None, class)));
            }
        }
        let names: BTreeSet<&str> = found.iter().map(|(_, (name, _))| &**name).collect();
        let classes: Vec<String> = names.into_iter().map(str::to_owned).collect();
        let mut entries = Vec::new();
        for (part, (name, files)) in found {
            let label = classes.binary_search(&name).expect("one of the names") as u32;
            entries.extend(files.into_iter().map(|path| Entry { path, label, part }));
        }
        let root = folder.to_owned();
        Listing { root, layout, entries, classes, skipped, hashes: None }.checked(folder)
    }

    /// Refuses what nothing can be learnt from.
    fn checked(mut self, path: &Path) -> Result<Listing, Error> {
        if self.entries.is_empty() {
            let wanted = format!("a folder per class with pictures ({})", EXTENSIONS.join(", "));
            return Err(Error::Missing { folder: path.to_owned(), names: vec![wanted] });
        }
        if self.classes.len() > MAX_CLASSES {
            let expected = format_args!("at most {MAX_CLASSES} of them");
            return Err(Error::record(path, "the classes", expected, self.classes.len()));
        }
        if self.entries.iter().any(|entry| entry.part.is_some()) {
            // A row of a table that says no part, where others do.
            self.entries.iter_mut().for_each(|entry| entry.part = entry.part.or(Some(Part::Train)));
        }
        Ok(self)
    }

    /// The folder that it is of, or that of the table.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// How the data say which picture is of which class.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The pictures: of each part the classes in their order, and of a class its files; of a table in its order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The names of the classes of all parts, in their order.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// What is left out.
    pub fn skipped(&self) -> &Repairs<Skipped> {
        &self.skipped
    }

    /// Whether there is a picture in this part.
    pub fn has(&self, part: Part) -> bool {
        self.entries.iter().any(|entry| entry.part == Some(part))
    }

    /// Whether there is a part to score on: for validation, or for the test.
    pub fn is_split(&self) -> bool {
        self.has(Part::Validation) || self.has(Part::Test)
    }

    /// The path of a picture as seen from the folder.
    pub fn name(&self, entry: &Entry) -> String {
        entry.path.strip_prefix(&self.root).unwrap_or(&entry.path).display().to_string()
    }

    /// A hash of the contents of each file, by which equal pictures are found. They are read once.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, unless broken ones are to be left out: they are left out then.
    pub fn hashes(&mut self, skip_broken: bool) -> Result<&[u64], Error> {
        if self.hashes.is_none() {
            let hash = |entry: &Entry| {
                source::read(&entry.path, MAX_FILE).map(|bytes| fingerprint::of_bytes(&bytes))
            };
            let read: Vec<_> = self.entries.par_iter().map(hash).collect();
            let mut hashes = Vec::with_capacity(read.len());
            let mut entries = Vec::with_capacity(read.len());
            for (hash, entry) in read.into_iter().zip(std::mem::take(&mut self.entries)) {
                match hash {
                    Ok(hash) => {
                        hashes.push(hash);
                        entries.push(entry);
                    }
                    Err(_) if skip_broken => {
                        self.skipped.add(Skipped::Broken, self.name(&entry));
                    }
                    Err(error) => return Err(error),
                }
            }
            self.entries = entries;
            self.hashes = Some(hashes);
        }
        Ok(self.hashes.as_deref().unwrap_or_default())
    }

    /// Holds out a test set, if there is neither one nor a validation set: the pictures of which the hash of the contents is in
    /// the lowest `share` of all hashes. So a picture is on the same side whatever its name and whatever else is in the folder,
    /// and copies are on one side. Of a class with two different pictures or more, at least one is on each side.
    ///
    /// # Errors
    ///
    /// As [`Listing::hashes`].
    pub fn hold_out(&mut self, share: f64, skip_broken: bool) -> Result<(), Error> {
        if self.is_split() {
            return Ok(());
        }
        self.hashes(skip_broken)?;
        let hashes = self.hashes.as_deref().unwrap_or_default();
        let labels: Vec<u32> = self.entries.iter().map(|entry| entry.label).collect();
        let held = held_out(hashes, &labels, share);
        for (entry, hash) in self.entries.iter_mut().zip(hashes) {
            entry.part = Some(if held.contains(hash) { Part::Test } else { Part::Train });
        }
        Ok(())
    }

    /// The groups of files with equal contents, each in the order of the listing.
    ///
    /// # Errors
    ///
    /// As [`Listing::hashes`].
    pub fn doubles(&mut self, skip_broken: bool) -> Result<Vec<Vec<usize>>, Error> {
        let mut groups: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (i, &hash) in self.hashes(skip_broken)?.iter().enumerate() {
            groups.entry(hash).or_default().push(i);
        }
        let mut groups: Vec<_> = groups.into_values().filter(|group| group.len() > 1).collect();
        groups.sort_unstable();
        Ok(groups)
    }

    /// The places of the pictures of a part, or of all.
    pub(crate) fn chosen(&self, part: Option<Part>) -> Vec<usize> {
        let is_meant = |i: &usize| part.is_none() || self.entries[*i].part == part;
        (0..self.entries.len()).filter(is_meant).collect()
    }
}

/// The hashes of what is held out: those below a share of all numbers of 64 bits. A class of which all or none would be, and that
/// has two different pictures, keeps its highest or gives its lowest hash.
pub(crate) fn held_out(hashes: &[u64], labels: &[u32], share: f64) -> BTreeSet<u64> {
    let limit = (share.clamp(0.0, 1.0) * 2f64.powi(64)) as u64; // saturates
    let mut of_class: BTreeMap<u32, BTreeSet<u64>> = BTreeMap::new();
    for (&hash, &label) in hashes.iter().zip(labels) {
        of_class.entry(label).or_default().insert(hash);
    }
    let mut held: BTreeSet<u64> = hashes.iter().copied().filter(|&hash| hash < limit).collect();
    for hashes in of_class.values().filter(|hashes| hashes.len() > 1) {
        let count = hashes.intersection(&held).count();
        if count == 0 {
            held.extend(hashes.first());
        } else if count == hashes.len()
            && let Some(highest) = hashes.last()
        {
            held.remove(highest);
        }
    }
    held
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Writes files whose contents are their names' last letters: nothing is decoded here.
    fn folder(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name.rsplit('/').next().unwrap()).unwrap();
        }
        folder
    }

    /// Part, class and file of each picture.
    fn told(listing: &Listing) -> Vec<String> {
        let told = |entry: &Entry| {
            let part = entry.part.map_or("-", Part::name);
            let class = &listing.classes()[entry.label as usize];
            format!("{part} {class} {}", listing.name(entry))
        };
        listing.entries().iter().map(told).collect()
    }

    fn refused(names: &[&str]) -> String {
        let folder = folder(names);
        let error = Listing::of(folder.path()).unwrap_err().to_string();
        error.replace(&folder.path().display().to_string(), "DIR")
    }

    #[test]
    fn folders_of_classes_are_read_with_parts_and_without() {
        let plain = folder(&["b/1.png", "a/deep/2.JPG", "a/x.txt"]);
        let listing = Listing::of(plain.path()).unwrap();
        assert_eq!(listing.layout(), Layout::Classes);
        assert_eq!(told(&listing), ["- a a/deep/2.JPG", "- b b/1.png"]);

        let names = ["Train/b/1.png", "Train/a/2.png", "valid/b/3.png", "raw/z/4.png"];
        let parts = folder(&names);
        let listing = Listing::of(parts.path()).unwrap();
        let expected =
            ["train a Train/a/2.png", "train b Train/b/1.png", "validation b valid/b/3.png"];
        assert_eq!(
            (listing.layout(), told(&listing)),
            (Layout::Parts, expected.map(str::to_owned).to_vec())
        );
        let skipped = "1 folder skipped beside train, val and test, in raw";
        assert_eq!(listing.skipped().to_string(), skipped);

        // A class of trains is no part.
        let vehicles = folder(&["train/1.png", "bus/2.png"]);
        assert_eq!(Listing::of(vehicles.path()).unwrap().classes(), ["bus", "train"]);
    }

    #[test]
    fn wrong_folders_say_what_was_looked_for() {
        assert!(refused(&["a.txt"]).starts_with("DIR: expected a folder per class with pictures"));
        let nested = refused(&["photos/train/a/1.png", "photos/test/a/1.png"]);
        assert!(nested.contains("expected train in this folder; found photos/train"), "{nested}");
        let inside = refused(&["cat/train/1.png", "dog/train/1.png"]);
        assert!(inside.contains("put train/CLASS in place of CLASS/train"), "{inside}");
        let two = refused(&["train/a/1.png", "val/a/2.png", "valid/a/3.png"]);
        assert_eq!(two, "DIR: part validation: expected one folder; found val and valid");
    }

    #[test]
    fn tables_name_files_labels_and_parts() {
        let rows = "\u{feff}Path;split;Label\na/1.png;train;cat\na/2.png;;dog\nb.png;Val;cat\n";
        let expected = ["train cat a/1.png", "train dog a/2.png", "validation cat b.png"];
        let folder = folder(&["a/1.png", "a/2.png", "b.png", "notes.csv"]);
        fs::write(folder.path().join("labels.csv"), rows).unwrap();
        let listing = Listing::of(folder.path()).unwrap();
        assert_eq!(
            (listing.layout(), told(&listing)),
            (Layout::Table, expected.map(str::to_owned).to_vec())
        );
        assert_eq!(told(&Listing::of(&folder.path().join("labels.csv")).unwrap()), expected);

        let lines = "{\"file_name\":\"a/1.png\",\"label\":3}\n\n{\"file_name\":\"b.png\",\"label\":\"x\"}\n";
        fs::write(folder.path().join("labels.csv"), "").unwrap();
        fs::write(folder.path().join("metadata.jsonl"), lines).unwrap();
        assert_eq!(told(&Listing::of(folder.path()).unwrap()), ["- 3 a/1.png", "- x b.png"]);
    }

    #[test]
    fn a_table_that_is_none_is_refused_with_its_line() {
        let refused = |name: &str, text: &str| {
            let folder = folder(&[]);
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            let error = Listing::of(&path).unwrap_err().to_string();
            error.replace(&path.display().to_string(), name)
        };
        let header = refused("t.csv", "a,b\n1,2\n");
        assert!(
            header.starts_with("t.csv: line 1: expected a column for files (file, "),
            "{header}"
        );
        let cases = [
            ("t.csv", "file,label\na.png,\n", "t.csv: line 2: expected a label; found nothing"),
            ("t.csv", "file,label\na.png\n", "t.csv: line 2: expected a label; found nothing"),
            (
                "t.csv",
                "file,label,split\na,b,7\n",
                "t.csv: line 2: expected train, val or test as its part; found 7",
            ),
            (
                "t.csv",
                "file,label\na,b\na,b\na,c\n",
                "t.csv: line 4: expected `b` for a, as in line 2; found c",
            ),
            (
                "t.jsonl",
                "{\"file\":\"a\",\"label\":[1]}",
                "t.jsonl: line 1: expected a label; found nothing",
            ),
        ];
        for (name, text, expected) in cases {
            assert_eq!(refused(name, text), expected);
        }
        assert!(refused("t.csv", "file,label\n").contains("expected a folder per class"));
    }

    #[test]
    fn a_test_set_is_held_out_by_contents() {
        let names: Vec<String> =
            (0..200).map(|i| format!("{}/{i}.png", ["a", "b"][i % 2])).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let first = folder(&names);
        let held = |folder: &Path, share: f64| {
            let mut listing = Listing::of(folder).unwrap();
            listing.hold_out(share, false).unwrap();
            let test = listing.entries().iter().filter(|entry| entry.part == Some(Part::Test));
            test.map(|entry| text_of(&entry.path)).collect::<BTreeSet<String>>()
        };
        fn text_of(path: &Path) -> String {
            fs::read_to_string(path).unwrap()
        }
        let of_first = held(first.path(), 0.2);
        assert!((25..=55).contains(&of_first.len()), "{of_first:?}");
        // Other names, and more pictures, change nothing; a copy is on the side of its original.
        let copy = first.path().join("a/copy.png");
        fs::copy(first.path().join("b/1.png"), &copy).unwrap();
        fs::rename(first.path().join("a/0.png"), first.path().join("a/new.png")).unwrap();
        fs::write(first.path().join("a/other.png"), "one more").unwrap();
        let again = held(first.path(), 0.2);
        assert!(again.difference(&of_first).all(|text| text == "one more"), "{again:?}");
        assert!(of_first.is_subset(&again));
        assert!(held(first.path(), 0.1).is_subset(&again), "more are held out for a larger share");
        // No class is without a picture on either side, if it has two.
        for share in [0.0, 0.001, 0.999, 1.0] {
            let mut listing = Listing::of(first.path()).unwrap();
            listing.hold_out(share, false).unwrap();
            for (label, part) in
                [(0, Part::Train), (0, Part::Test), (1, Part::Train), (1, Part::Test)]
            {
                let found = |e: &Entry| e.label == label && e.part == Some(part);
                assert!(listing.entries().iter().any(found), "{share}: {label} {part:?}");
            }
        }
        let alone = folder(&["a/1.png", "b/2.png", "b/3.png"]);
        let mut listing = Listing::of(alone.path()).unwrap();
        listing.hold_out(0.0, false).unwrap();
        assert_eq!(told(&listing).iter().filter(|told| told.starts_with("test b")).count(), 1);
        assert!(told(&listing)[0].starts_with("train a"));
        assert_eq!(listing.doubles(false).unwrap(), Vec::<Vec<usize>>::new());
    }

    #[test]
    fn copies_are_found() {
        let folder = folder(&["a/1.png", "b/1.png", "b/2.png"]);
        let mut listing = Listing::of(folder.path()).unwrap();
        assert_eq!(listing.doubles(false).unwrap(), [[0, 1]]);
    }
}
