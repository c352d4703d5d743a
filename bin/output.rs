//! The only way out of the program: results on stdout, whose errors count, and notes on stderr, whose errors do not.
//!
//! `println!` and `eprintln!` panic when nobody reads; nothing here does.

use std::fmt::Display;
use std::fs::{self, OpenOptions};
use std::io::{self, StdoutLock, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};

/// Standard output, with errors that say so.
pub(crate) struct Stdout(StdoutLock<'static>);

/// Where results go.
pub(crate) fn stdout() -> Stdout {
    Stdout(io::stdout().lock())
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(of_stdout)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(of_stdout)
    }
}

fn of_stdout(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("standard output: {error}"))
}

/// A line for people, on stderr. A terminal that was closed is no reason to stop.
pub(crate) fn note(line: impl Display) {
    // In one piece, so that lines of several processes do not mix.
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Text from a file or a name, which may hold what a terminal would obey.
pub(crate) fn escaped(text: &str) -> String {
    let shown = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.into() };
    text.chars().map(shown).collect()
}

/// What was not read of the data, by the parts that were noted.
static LEFT_OUT: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// A note of what is not read of the data. It is kept for [`left_out`]: at the end of a long run its beginning is gone.
pub(crate) fn note_left_out(what: impl Display) {
    let what = what.to_string();
    note(&what);
    LEFT_OUT.lock().unwrap_or_else(PoisonError::into_inner).push(what.replace('\n', "; "));
}

/// What was noted by [`note_left_out`].
pub(crate) fn left_out() -> Vec<String> {
    LEFT_OUT.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Checks that a file can be written, before the work whose result goes there.
///
/// # Errors
/// If it cannot.
pub(crate) fn check_file(path: &Path) -> Result<()> {
    let context = || format!("{}: cannot be written", path.display());
    if path.is_dir() {
        bail!("{}: is a folder", context());
    }
    if path.exists() {
        OpenOptions::new().append(true).open(path).map(drop).with_context(context)
    } else {
        OpenOptions::new().write(true).create_new(true).open(path).with_context(context)?;
        fs::remove_file(path).with_context(context)
    }
}

/// A count with its noun, in the singular if it is 1: `1 image`, `2 images`.
pub(crate) fn counted(count: usize, one: &str) -> String {
    let ending = match count {
        1 => "",
        _ if one.ends_with(['s', 'x']) => "es",
        _ => "s",
    };
    format!("{count} {one}{ending}")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }

    #[test]
    fn nothing_is_printed_but_through_here() {
        let mut found = Vec::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("bin"), &mut found);
        assert!(found.len() > 50);
        for path in found.iter().filter(|path| !path.ends_with("bin/output.rs")) {
            let text = fs::read_to_string(path).expect("UTF-8");
            for (number, line) in text.lines().enumerate() {
                let line = line.trim_start();
                for word in ["print!(", "println!(", "io::stdout(", "dbg!("] {
                    let at = format!("{}:{}: {word}", path.display(), number + 1);
                    assert!(line.starts_with("//") || !line.contains(word), "{at}");
                }
            }
        }
    }

    #[test]
    fn a_file_that_cannot_be_written_is_told_of_and_one_that_can_is_left_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        check_file(&path).expect("writable");
        assert!(!path.exists());
        fs::write(&path, "text").expect("written");
        check_file(&path).expect("writable");
        assert_eq!(fs::read_to_string(&path).expect("there"), "text");
        for refused in
            [folder.path().to_owned(), folder.path().join("none/file"), path.join("file")]
        {
            let error = format!("{:#}", check_file(&refused).expect_err("refused"));
            assert!(error.contains("cannot be written: "), "{error}");
        }
    }

    #[test]
    fn one_thing_is_counted_in_the_singular() {
        assert_eq!([0, 1, 2].map(|n| counted(n, "box")), ["0 boxes", "1 box", "2 boxes"]);
        assert_eq!([0, 1, 2].map(|n| counted(n, "image")), ["0 images", "1 image", "2 images"]);
    }
}
