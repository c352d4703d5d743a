//! Small text files that list or annotate pictures.

use std::path::{Component, Path, PathBuf};
use std::{fs, io};

use crate::picture::EXTENSIONS;
use crate::{Error, source};

/// The most bytes of such a file: far more than a picture has objects, or a data set pictures.
pub(crate) const MAX_TEXT: u64 = 1 << 24;

/// The most classes that a data set may have.
pub(crate) const MAX_CLASSES: usize = 1 << 16;

/// The contents of a small text file, such as a list or a recipe, without the byte order mark that some editors put in front.
///
/// # Errors
///
/// A path that is no file, a file that cannot be read, has more than 16 MiB, or is not in UTF-8.
pub fn read(path: &Path) -> Result<String, Error> {
    read_within(path, MAX_TEXT)
}

/// The contents of a file of at most so many bytes, without a byte order mark.
pub(crate) fn read_within(path: &Path, most: u64) -> Result<String, Error> {
    decoded(path, source::read_text(path, most)?)
}

/// The text of these bytes.
pub(crate) fn decoded(path: &Path, bytes: Vec<u8>) -> Result<String, Error> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let found = format!("{:02x?}", &error.as_bytes()[at..][..1]);
        Error::malformed(path, at as u64, "text in UTF-8", found)
    })
}

/// Names, one a line, without empty ones, each with the number of its line.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(i, line)| (i + 1, line.trim()));
    lines.filter(|(_, line)| !line.is_empty())
}

/// The names of classes, one a line.
pub(crate) fn classes(path: &Path) -> Result<Vec<String>, Error> {
    let text = read(path)?;
    let classes: Vec<String> = lines(&text).map(|(_, name)| name.to_string()).collect();
    check_classes(path, &classes)?;
    Ok(classes)
}

/// At least one class, not absurdly many, none of them twice.
pub(crate) fn check_classes(path: &Path, classes: &[String]) -> Result<(), Error> {
    if !(1..=MAX_CLASSES).contains(&classes.len()) {
        let expected = format_args!("1 to {MAX_CLASSES} names");
        return Err(Error::record(path, "the classes", expected, classes.len()));
    }
    let mut sorted: Vec<&String> = classes.iter().collect();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Error::record(path, "the classes", "each name once", pair[0])),
        None => Ok(()),
    }
}

/// A name that a file gives, below a folder and not outside of it.
pub(crate) fn inside(folder: &Path, name: &str) -> Option<PathBuf> {
    let path = Path::new(name);
    let normal = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    (!name.is_empty() && path.components().all(normal)).then(|| folder.join(path))
}

/// The last part of a path, for messages.
pub(crate) fn name(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// The picture of this name, without its extension, in a folder.
pub(crate) fn picture(folder: &Path, stem: &str) -> Result<PathBuf, Error> {
    let named = |extension: &str| folder.join(format!("{stem}.{extension}"));
    let found = EXTENSIONS.iter().flat_map(|e| [named(e), named(&e.to_uppercase())]);
    let names = || EXTENSIONS.map(|extension| format!("{stem}.{extension}")).to_vec();
    let missing = || Error::Missing { folder: folder.to_owned(), names: names() };
    found.into_iter().find(|path| path.is_file()).ok_or_else(missing)
}

/// The names in a folder that end in one of these extensions, whatever their case, sorted and without hidden ones.
pub(crate) fn names(folder: &Path, extensions: &[&str]) -> Result<Vec<String>, Error> {
    let io = |error| Error::io(folder, error);
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let fits =
            path.extension().is_some_and(|e| extensions.iter().any(|x| e.eq_ignore_ascii_case(x)));
        let name = path.file_name().unwrap_or_default();
        if !fits || name.as_encoded_bytes().starts_with(b".") || !path.is_file() {
            continue;
        }
        let error = || io::Error::other(format!("the name {name:?} is not in UTF-8"));
        names.push(name.to_str().ok_or_else(|| Error::io(folder, error()))?.to_string());
    }
    names.sort_unstable();
    Ok(names)
}

/// A name without its extension.
pub(crate) fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}
