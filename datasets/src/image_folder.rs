//! A folder of pictures, in one folder per class.
//!
//! ```text
//! folder/cat/1.png
//! folder/cat/2.jpg
//! folder/cat/indoors/3.webp
//! folder/dog/1.png
//! ```
//!
//! Classes and pictures come in the order of their names, byte by byte; the pictures of a class may lie in folders of it.
//! Names that start with a dot, and the notes of operating systems (`Thumbs.db`, `desktop.ini`, `__MACOSX`), are passed over.
//! Whatever else is no picture, or is in no class, is left out, counted and named: see [`Images::skipped`].

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::{fmt, fs};

use rayon::prelude::*;

pub use crate::picture::Channels;
use crate::picture::{EXTENSIONS, Picture, is_named_so};
use crate::source::MAX_BYTES;
use crate::{Error, Images, Repairs};

/// What becomes of pictures of different sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// They are an error.
    Equal,
    /// All are resized, by a triangle filter that also averages when it makes them smaller. The
    /// ratio of height to width is not kept.
    Resized {
        /// In pixels.
        height: usize,
        /// In pixels.
        width: usize,
    },
}

/// How a folder is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What becomes of sizes.
    pub size: Size,
    /// What becomes of colours.
    pub channels: Channels,
    /// Whether pictures that cannot be read are left out instead of being an error.
    pub skip_broken: bool,
}

/// What is left out of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Skipped {
    /// A picture that cannot be read: see [`Reading::skip_broken`].
    Broken,
    /// A file in a class whose name does not end as that of a picture.
    Other,
    /// A picture that is in no class.
    Beside,
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
            Skipped::Link => ("dangling link", "dangling links", ""),
            Skipped::Empty => ("class", "classes", " without pictures"),
        };
        write!(f, "{} skipped{why}", if f.alternate() { one } else { many })
    }
}

/// The greatest side to which a picture is resized, in pixels.
pub(crate) const MAX_SIDE: usize = 1 << 13;

/// How far below the folder of a class its pictures may be.
const MAX_DEPTH: usize = 16;

/// Reads all pictures of a folder; [`picture`](crate::picture) says which, and how.
///
/// # Errors
///
/// A folder without any class that has pictures, a class whose name is not in UTF-8, a picture that cannot be read (unless
/// these are left out), pictures of different sizes if they shall be [`Equal`](Size::Equal), or more than 4 GiB of pixels. Of
/// several errors, that of the first file.
pub fn read(folder: &Path, reading: &Reading) -> Result<Images, Error> {
    let &Reading { size, channels, skip_broken } = reading;
    let (classes, pictures, mut skipped) = find(folder)?;
    if pictures.is_empty() {
        let names = vec![format!("a folder per class with pictures ({})", EXTENSIONS.join(", "))];
        return Err(Error::Missing { folder: folder.to_owned(), names });
    }
    let shape = match size {
        Size::Equal => first_shape(&pictures, reading)?,
        Size::Resized { height, width } => {
            if !(1..=MAX_SIDE).contains(&height) || !(1..=MAX_SIDE).contains(&width) {
                let found = format_args!("{height} × {width} pixels");
                return Err(Error::option("size", format_args!("sides of 1 to {MAX_SIDE}"), found));
            }
            [channels.count(), height, width]
        }
    };
    let picture_size = allowed_size(shape, pictures.len())?;
    let mut pixels = vec![0; picture_size * pictures.len()];
    let results: Vec<Result<bool, Error>> = pixels
        .par_chunks_exact_mut(picture_size)
        .zip(&pictures)
        .map(|(pixels, (path, _))| {
            let mut picture = match Picture::read(path, channels) {
                Ok(picture) => picture,
                Err(_) if skip_broken => return Ok(false),
                Err(error) => return Err(error),
            };
            if size != Size::Equal {
                picture = picture.resized(shape[1], shape[2]);
            }
            if picture.shape != shape {
                let first = pictures[0].0.display();
                let expected = format_args!("{}, as {first} is", pixels_of(shape));
                return Err(Error::malformed(path, 0, expected, pixels_of(picture.shape)));
            }
            pixels.copy_from_slice(&picture.pixels);
            Ok(true)
        })
        .collect();
    // Looked at one by one, for the first error in the order of the files and not of time.
    let mut labels = Vec::with_capacity(pictures.len());
    for (i, (result, (path, label))) in results.into_iter().zip(&pictures).enumerate() {
        if result? {
            let from = i * picture_size;
            pixels.copy_within(from..from + picture_size, labels.len() * picture_size);
            labels.push(*label);
        } else {
            skipped.add(Skipped::Broken, inside(folder, path));
        }
    }
    pixels.truncate(labels.len() * picture_size);
    Ok(Images::new(shape, pixels, labels, classes).with_skipped(skipped))
}

/// The classes of a folder, their pictures with a label each, and what is neither.
#[expect(clippy::type_complexity, reason = "taken apart at once")]
fn find(folder: &Path) -> Result<(Vec<String>, Vec<(PathBuf, u32)>, Repairs<Skipped>), Error> {
    let mut walk =
        Walk { root: folder, seen: HashSet::new(), found: Vec::new(), skipped: Repairs::default() };
    let (mut classes, mut pictures) = (Vec::new(), Vec::new());
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
        let label = classes.len() as u32;
        classes.push(name.to_str().ok_or_else(not_text)?.to_string());
        pictures.extend(walk.found.drain(..).map(|path| (path, label)));
    }
    Ok((classes, pictures, walk.skipped))
}

/// The shape of the first picture that can be read.
fn first_shape(pictures: &[(PathBuf, u32)], reading: &Reading) -> Result<[usize; 3], Error> {
    let mut shapes = pictures
        .iter()
        .map(|(path, _)| Picture::read(path, reading.channels).map(|picture| picture.shape));
    let first = shapes.next().expect("there is a picture");
    match reading.skip_broken {
        true => first.or_else(|error| shapes.find_map(Result::ok).ok_or(error)),
        false => first,
    }
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
    skipped: Repairs<Skipped>,
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
fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
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

fn pixels_of([_, height, width]: [usize; 3]) -> String {
    format!("{height} × {width} pixels")
}

/// The bytes of one picture, if it has any and all of them together fit into memory.
fn allowed_size(shape: [usize; 3], count: usize) -> Result<usize, Error> {
    let total = shape.iter().try_fold(count as u64, |total, &n| total.checked_mul(n as u64));
    match total {
        Some(1..=MAX_BYTES) => Ok(shape.iter().product()),
        _ => {
            let expected = format_args!("at least 1 × 1 pixels, in all at most {MAX_BYTES} bytes");
            Err(Error::option("size", expected, format_args!("{count} pictures of {shape:?}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ImageFormat, Rgb, RgbImage};

    fn reading(size: Size, channels: Channels) -> Reading {
        Reading { size, channels, skip_broken: false }
    }

    /// Writes a picture of one colour.
    fn write(folder: &Path, name: &str, height: u32, width: u32, colour: [u8; 3]) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        RgbImage::from_pixel(width, height, Rgb(colour))
            .save_with_format(path, ImageFormat::Png)
            .unwrap();
    }

    #[test]
    fn sorted_class_names_become_labels() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        write(root, "dog/b.png", 2, 3, [4, 5, 6]);
        write(root, "dog/a.PNG", 2, 3, [1, 2, 3]);
        write(root, "cat/z.png", 2, 3, [7, 8, 9]);
        write(root, ".hidden/z.png", 9, 9, [0, 0, 0]);
        fs::write(root.join("dog/notes.txt"), "not a picture").unwrap();
        fs::write(root.join("README"), "not a class").unwrap();

        let images = read(root, &reading(Size::Equal, Channels::Rgb)).unwrap();
        assert_eq!(
            (images.shape(), images.classes()),
            ([3, 2, 3], &["cat", "dog"].map(str::to_string)[..])
        );
        assert_eq!(
            [0, 1, 2].map(|i| (images.label(i), images.image(i)[0])),
            [(0, 7), (1, 1), (1, 4)]
        );
        assert_eq!(images.image(1), [[1; 6], [2; 6], [3; 6]].concat());
    }

    #[test]
    fn pictures_are_resized_when_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "a/1.png", 2, 3, [90, 90, 90]);
        write(folder.path(), "a/2.png", 7, 5, [30, 30, 30]);
        let size = Size::Resized { height: 4, width: 5 };
        let images = read(folder.path(), &reading(size, Channels::Grey)).unwrap();
        assert_eq!(images.shape(), [1, 4, 5]);
        assert_eq!((images.image(0), images.image(1)), (&[90; 20][..], &[30; 20][..]));
    }

    #[test]
    fn pictures_of_different_sizes_are_an_error_that_names_both() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "a/1.png", 2, 3, [0, 0, 0]);
        write(folder.path(), "b/2.png", 7, 5, [0, 0, 0]);
        let message =
            read(folder.path(), &reading(Size::Equal, Channels::Grey)).unwrap_err().to_string();
        assert!(message.contains("b/2.png: byte 0: expected 2 × 3 pixels, as "), "{message}");
        assert!(message.ends_with("a/1.png is; found 7 × 5 pixels"), "{message}");
    }

    #[test]
    fn the_first_broken_file_is_reported_for_any_number_of_threads() {
        let folder = tempfile::tempdir().unwrap();
        for i in 0..40 {
            write(folder.path(), &format!("a/{i:02}.png"), 8, 8, [i, i, i]);
        }
        let read = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| read(folder.path(), &reading(Size::Equal, Channels::Grey)))
        };
        assert_eq!(read(1).unwrap(), read(4).unwrap());
        fs::write(folder.path().join("a/35.png"), "").unwrap();
        fs::write(folder.path().join("a/21.png"), "").unwrap();
        for threads in [1, 4] {
            let message = read(threads).unwrap_err().to_string();
            assert!(message.contains("a/21.png: byte 0: expected "), "{message}");
        }
    }

    #[test]
    fn a_folder_without_classes_says_what_was_looked_for() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        let message = read(folder.path(), &reading(Size::Equal, Channels::Grey)).unwrap_err();
        let expected = "expected a folder per class with pictures (jpg, jpeg, png, webp, bmp, gif, \
                        tif, tiff); found none";
        assert!(message.to_string().ends_with(expected), "{message}");
    }

    #[test]
    fn pictures_in_folders_of_a_class_are_read_and_what_is_left_out_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in ["a/2.png", "a/indoors/deep/1.png", "b/1.png", "beside.png"] {
            write(root, name, 2, 3, [1, 2, 3]);
        }
        for name in ["a/.DS_Store", "a/Thumbs.db", "a/x.csv", "a/y.txt", "README.md"] {
            fs::write(root.join(name), "no picture").unwrap();
        }
        fs::create_dir(root.join("empty\u{1b}[31m")).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::symlink;
            symlink("nowhere", root.join("b/gone.png")).unwrap();
            // A link into itself is followed once.
            symlink("../a", root.join("a/again")).unwrap();
        }
        let images = read(root, &reading(Size::Equal, Channels::Grey)).unwrap();
        assert_eq!((images.len(), images.count_by_class()), (3, vec![2, 1]));
        #[cfg(unix)]
        assert_eq!(
            images.skipped().to_string(),
            "2 files skipped, not pictures by their names, first in a/x.csv; a/y.txt\n\
             1 picture skipped outside of a class, in beside.png\n\
             1 dangling link skipped, in b/gone.png\n\
             1 class skipped without pictures, in empty\\u{1b}[31m"
        );
    }

    #[test]
    fn broken_pictures_are_left_out_counted_and_named_if_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        for i in 0..6 {
            write(folder.path(), &format!("a/{i}.png"), 2, 2, [i * 10; 3]);
        }
        let whole = fs::read(folder.path().join("a/3.png")).unwrap();
        for (name, length) in [("a/0.png", 0), ("a/3.png", whole.len() - 20)] {
            fs::write(folder.path().join(name), &whole[..length]).unwrap();
        }
        let reading = reading(Size::Equal, Channels::Grey);
        let error = read(folder.path(), &reading).unwrap_err();
        assert!(matches!(error, Error::Broken { .. }), "{error}");
        let images = read(folder.path(), &Reading { skip_broken: true, ..reading }).unwrap();
        assert_eq!((0..4).map(|i| images.image(i)[0]).collect::<Vec<_>>(), [10, 20, 40, 50]);
        let told = images.skipped().to_string();
        assert_eq!(told, "2 broken pictures skipped, first in a/0.png; a/3.png");
    }

    #[test]
    fn an_impossible_size_is_refused_before_memory_is_taken() {
        for (height, width) in [(0, 5), (usize::MAX, usize::MAX), (1 << 20, 1 << 20)] {
            let error = allowed_size([3, height, width], 2).unwrap_err().to_string();
            assert!(error.starts_with("size: expected at least 1 × 1 pixels"), "{error}");
        }
    }
}
