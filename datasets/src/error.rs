//! What can be wrong with a file or an option.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::{fmt, io};

/// Why a data set could not be read, or a [`Loader`](crate::Loader) not be made.
///
/// The message names the file, the place in it, what was expected there and what was found:
///
/// ```text
/// train-labels-idx1-ubyte.gz: byte 4: expected 60000 labels, as many as images; found 59999
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system would not open or read the file.
    #[error("{}: cannot be read", shown(path.display()))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },

    /// A folder has none of the names under which a file or folder is looked for.
    #[error("{}: expected {}; found none", shown(folder.display()), names.join(" or "))]
    Missing {
        /// The folder that was searched.
        folder: PathBuf,
        /// The names that were looked for.
        names: Vec<String>,
    },

    /// The contents of a file break the rules of its format.
    #[error("{}: byte {offset}: expected {expected}; found {found}", shown(path.display()))]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The place, in bytes from the start; of the decompressed contents if the file is
        /// compressed.
        offset: u64,
        /// What the format asks for at this place.
        expected: String,
        /// What stands there.
        found: String,
    },

    /// A picture that cannot be decoded, is cut off or too large. Readers leave it out if they are asked to.
    #[error("{}: byte {offset}: expected {expected}; found {found}", shown(path.display()))]
    Broken {
        /// The file.
        path: PathBuf,
        /// The place up to which the decoder had read.
        offset: u64,
        /// What the format asks for.
        expected: String,
        /// What stands there.
        found: String,
    },

    /// A file is not JSON, or not of the form that was asked for.
    #[error("{}: {expected} expected, in JSON: {reason}", shown(path.display()))]
    Json {
        /// What the file should hold.
        expected: &'static str,
        /// The file.
        path: PathBuf,
        /// What was expected and found, with line and column.
        reason: serde_json::Error,
    },

    /// A record of a file contradicts itself or another one.
    #[error("{}: {record}: expected {expected}; found {found}", shown(path.display()))]
    Record {
        /// The file.
        path: PathBuf,
        /// Which one, for example `annotation 17`.
        record: String,
        /// What the format asks for.
        expected: String,
        /// What stands there.
        found: String,
    },

    /// Data to evaluate on have classes that the training set does not have.
    #[error("unknown class{} {}; the training set has {}", if unknown.len() == 1 { "" } else { "es" },
        listed(unknown), listed(known))]
    UnknownClass {
        /// Their names.
        unknown: Vec<String>,
        /// The names that the training set has.
        known: Vec<String>,
    },

    /// An option has a value that makes no sense.
    #[error("{option}: expected {expected}; found {found}")]
    Option {
        /// Its name, for example `augment.flip`.
        option: &'static str,
        /// The values that make sense.
        expected: String,
        /// The value it has.
        found: String,
    },
}

impl Error {
    pub(crate) fn io(path: &Path, source: io::Error) -> Error {
        Error::Io { path: path.to_owned(), source }
    }

    pub(crate) fn malformed(
        path: &Path,
        offset: u64,
        expected: impl fmt::Display,
        found: impl fmt::Display,
    ) -> Error {
        let (expected, found) = (expected.to_string(), shown(found));
        Error::Malformed { path: path.to_owned(), offset, expected, found }
    }

    pub(crate) fn broken(
        path: &Path,
        offset: u64,
        expected: impl fmt::Display,
        found: impl fmt::Display,
    ) -> Error {
        let (expected, found) = (expected.to_string(), shown(found));
        Error::Broken { path: path.to_owned(), offset, expected, found }
    }

    pub(crate) fn record(
        path: &Path,
        record: impl fmt::Display,
        expected: impl fmt::Display,
        found: impl fmt::Display,
    ) -> Error {
        let (expected, found) = (expected.to_string(), shown(found));
        Error::Record { path: path.to_owned(), record: shown(record), expected, found }
    }

    /// The place of each class among `names`, which those need to have that `counts` is not 0 of.
    pub(crate) fn map_classes(
        classes: &[String],
        counts: &[usize],
        names: &[String],
    ) -> Result<Vec<Option<usize>>, Error> {
        let places: HashMap<_, _> = names.iter().enumerate().map(|(i, name)| (name, i)).collect();
        let map: Vec<_> = classes.iter().map(|class| places.get(class).copied()).collect();
        let lost = |i: &usize| map[*i].is_none() && counts[*i] > 0;
        let unknown: Vec<_> = (0..classes.len()).filter(lost).map(|i| classes[i].clone()).collect();
        match unknown.is_empty() {
            true => Ok(map),
            false => Err(Error::UnknownClass { unknown, known: names.to_vec() }),
        }
    }

    pub(crate) fn option(
        option: &'static str,
        expected: impl fmt::Display,
        found: impl fmt::Display,
    ) -> Error {
        Error::Option { option, expected: expected.to_string(), found: found.to_string() }
    }
}

/// What stands in a file, for a message: its beginning, control characters escaped.
pub(crate) fn shown(found: impl fmt::Display) -> String {
    const MOST: usize = 200;
    let found = found.to_string();
    let escaped = found.chars().take(MOST).fold(String::new(), |mut shown, c| {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
        shown
    });
    if found.chars().nth(MOST).is_some() { escaped + " …" } else { escaped }
}

/// The first names of a list, as text in quotes.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 20;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("{name:?}")).collect();
    let rest = names.len().saturating_sub(SHOWN);
    let rest = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    shown.join(", ") + &rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_holds_is_shown_short_and_without_control_characters() {
        let message = |found: &str| Error::record(Path::new("a"), "b", "c", found).to_string();
        assert_eq!(message("é\u{1b}[31m\n"), "a: b: expected c; found é\\u{1b}[31m\\n");
        assert!(message(&"x".repeat(1 << 20)).len() < 300);
    }
}
