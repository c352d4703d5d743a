//! Folders of parts and classes.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Part, Skipped};
use crate::picture::is_named_so;
use crate::{Error, Repairs};

/// How far below the folder of a class its pictures may be.
const MAX_DEPTH: usize = 16;

/// A class and its pictures.
type Class = (String, Vec<PathBuf>);

/// The folders of parts in a folder, in the order of [`Part`]; none if it has folders of classes.
///
/// # Errors
///
/// Two folders for one part, or parts that lie further down.
pub(super) fn parts(folder: &Path) -> Result<Vec<(Part, PathBuf)>, Error> {
    let folders = || -> Result<Vec<PathBuf>, Error> {
        let is_folder = |path: &PathBuf| matches!(kind(path), Kind::Folder);
        Ok(entries(folder)?.into_iter().filter(is_folder).collect())
    };
    let mut parts: Vec<(Part, PathBuf)> =
        folders()?.into_iter().filter_map(|path| Some((part(&path)?, path))).collect();
    parts.sort();
    if let Some([(_, one), (part, other)]) = parts.windows(2).find(|two| two[0].0 == two[1].0) {
        let [one, other] = [one, other].map(|path| inside(folder, path).to_string());
        let (expected, found) = ("one folder".to_owned(), format!("{one} and {other}"));
        return Err(Error::record(folder, format_args!("part {}", part.name()), expected, found));
    }
    if let Some((_, train)) = parts.iter().find(|(part, _)| *part == Part::Train) {
        // A folder of pictures may be the class of trains.
        let has_folder = entries(train)?.iter().any(|path| matches!(kind(path), Kind::Folder));
        return Ok(if has_folder || parts.len() > 1 { parts } else { Vec::new() });
    }
    // Where a part lies in a class, pictures of one class would be taken for another one.
    for class in folders()? {
        let inner = entries(&class)?
            .into_iter()
            .find(|path| part(path) == Some(Part::Train) && matches!(kind(path), Kind::Folder));
        if let Some(inner) = inner {
            let found = format!(
                "{}; name the folder that has train in it, or put train/CLASS in place of CLASS/train",
                inside(folder, &inner)
            );
            return Err(Error::record(folder, "the parts", "train in this folder", found));
        }
    }
    Ok(parts)
}

fn part(path: &Path) -> Option<Part> {
    Part::named(path.file_name()?.to_str()?)
}

/// Notes what lies beside the parts.
pub(super) fn beside_parts(folder: &Path, skipped: &mut Repairs<Skipped>) -> Result<(), Error> {
    for path in entries(folder)?.into_iter().filter(|path| part(path).is_none()) {
        match kind(&path) {
            Kind::Folder => skipped.add(Skipped::NoPart, inside(folder, &path)),
            Kind::Picture => skipped.add(Skipped::Beside, inside(folder, &path)),
            Kind::Nothing => skipped.add(Skipped::Link, inside(folder, &path)),
            Kind::Other => (),
        }
    }
    Ok(())
}

/// The classes of a folder, each with its pictures; what is neither is noted by its path from the root.
pub(super) fn classes(
    root: &Path,
    folder: &Path,
    skipped: &mut Repairs<Skipped>,
) -> Result<Vec<Class>, Error> {
    let mut walk = Walk { root, seen: HashSet::new(), found: Vec::new(), skipped };
    let mut classes = Vec::new();
    for class in entries(folder)? {
        walk.seen.clear();
        match kind(&class) {
            Kind::Folder => walk.folder(&class, 0)?,
            Kind::Picture => walk.skip(Skipped::Beside, &class),
            Kind::Nothing => walk.skip(Skipped::Link, &class),
            Kind::Other => (),
        }
        if !matches!(kind(&class), Kind::Folder) {
            continue;
        }
        if walk.found.is_empty() {
            walk.skip(Skipped::Empty, &class);
            continue;
        }
        let name = class.file_name().unwrap_or_default();
        let not_text = || Error::record(folder, "a class", "a name in UTF-8", name.display());
        let name = name.to_str().ok_or_else(not_text)?.to_string();
        classes.push((name, std::mem::take(&mut walk.found)));
    }
    Ok(classes)
}

/// What an entry of a folder is.
enum Kind {
    Folder,
    /// A file with the name of a picture.
    Picture,
    /// Another file, a device, or what may not be looked at.
    Other,
    /// A link to what is not there.
    Nothing,
}

fn kind(path: &Path) -> Kind {
    match path.metadata() {
        Ok(found) if found.is_dir() => Kind::Folder,
        Ok(found) if found.is_file() && is_named_so(path) => Kind::Picture,
        Err(_) if path.is_symlink() => Kind::Nothing,
        _ => Kind::Other,
    }
}

/// The search for the pictures of a class.
struct Walk<'a> {
    root: &'a Path,
    /// The folders of the class, as links may lead to them again.
    seen: HashSet<PathBuf>,
    found: Vec<PathBuf>,
    skipped: &'a mut Repairs<Skipped>,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path, depth: usize) -> Result<(), Error> {
        let real = folder.canonicalize().map_err(|error| Error::io(folder, error))?;
        if !self.seen.insert(real) {
            return Ok(());
        }
        for path in entries(folder)? {
            match kind(&path) {
                Kind::Folder if depth < MAX_DEPTH => self.folder(&path, depth + 1)?,
                Kind::Picture => self.found.push(path),
                Kind::Nothing => self.skip(Skipped::Link, &path),
                Kind::Folder | Kind::Other => self.skip(Skipped::Other, &path),
            }
        }
        Ok(())
    }

    fn skip(&mut self, why: Skipped, path: &Path) {
        self.skipped.add(why, inside(self.root, path));
    }
}

/// The paths in a folder in the order of their names, without the hidden ones.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    const NOTES: [&str; 3] = ["Thumbs.db", "desktop.ini", "__MACOSX"];
    let io = |error| Error::io(folder, error);
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        let name = entry.file_name();
        let is_note = NOTES.iter().any(|note| name.eq_ignore_ascii_case(note));
        if !is_note && !name.as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

/// The path of a file as seen from the folder.
fn inside<'a>(folder: &Path, path: &'a Path) -> std::path::Display<'a> {
    path.strip_prefix(folder).unwrap_or(path).display()
}
