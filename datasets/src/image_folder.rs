//! A folder of PNG and JPEG pictures, in one folder per class.
//!
//! ```text
//! folder/cat/1.png
//! folder/cat/2.jpg
//! folder/dog/1.png
//! ```
//!
//! Classes and pictures come in the order of their names, byte by byte. Names that start with a
//! dot, files beside the class folders and files of other kinds are passed over.

use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::picture::Picture;
use crate::source::MAX_BYTES;
use crate::{Error, Images};

/// What becomes of colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    /// One channel: the luminance of ITU-R BT.709.
    Grey,
    /// Red, green and blue; three equal ones for a grey picture.
    Rgb,
}

impl Channels {
    /// How many there are.
    pub fn count(self) -> usize {
        match self {
            Channels::Grey => 1,
            Channels::Rgb => 3,
        }
    }
}

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

/// Reads all pictures of a folder. What a file is is told by its contents, not its name. An opaque
/// picture is made of a transparent one by leaving its opacity away, and notes on the orientation
/// of a photograph are not followed.
///
/// # Errors
///
/// A folder without classes, a class without pictures, a file that is not a PNG or JPEG picture, a
/// picture of more than 2²⁶ pixels or 256 MiB, pictures of different sizes if they shall be
/// [`Equal`](Size::Equal), or more than 4 GiB of pixels. Of several errors, that of the first file.
pub fn read(folder: &Path, size: Size, channels: Channels) -> Result<Images, Error> {
    let mut classes = Vec::new();
    let mut pictures: Vec<(PathBuf, u32)> = Vec::new();
    for class in entries(folder)?.into_iter().filter(|path| path.is_dir()) {
        let before = pictures.len();
        let label = classes.len() as u32;
        pictures.extend(entries(&class)?.into_iter().filter(|p| is_picture(p)).map(|p| (p, label)));
        if pictures.len() == before {
            return Err(missing(&class, &EXTENSIONS.map(|extension| format!("*.{extension}"))));
        }
        classes.extend(class.file_name().map(|name| name.to_string_lossy().into_owned()));
    }
    let Some((first, _)) = pictures.first() else {
        return Err(missing(folder, &["a folder per class".to_string()]));
    };

    let shape = match size {
        Size::Equal => Picture::read(first, channels)?.shape,
        Size::Resized { height, width } => [channels.count(), height, width],
    };
    let picture_size = allowed_size(shape, pictures.len())?;
    let mut pixels = vec![0; picture_size * pictures.len()];
    let results: Vec<Result<(), Error>> = pixels
        .par_chunks_exact_mut(picture_size)
        .zip(&pictures)
        .map(|(pixels, (path, _))| {
            let mut picture = Picture::read(path, channels)?;
            if size != Size::Equal {
                picture = picture.resized(shape);
            }
            if picture.shape != shape {
                let expected = format_args!("{}, as {} is", pixels_of(shape), first.display());
                return Err(Error::malformed(path, 0, expected, pixels_of(picture.shape)));
            }
            pixels.copy_from_slice(&picture.pixels);
            Ok(())
        })
        .collect();
    // Collected one by one, for the first error in the order of the files and not of time.
    results.into_iter().collect::<Result<(), Error>>()?;

    let labels = pictures.iter().map(|&(_, label)| label).collect();
    Ok(Images::new(shape, pixels, labels, classes))
}

const EXTENSIONS: [&str; 3] = ["png", "jpg", "jpeg"];

fn is_picture(path: &Path) -> bool {
    path.extension().is_some_and(|found| EXTENSIONS.iter().any(|e| found.eq_ignore_ascii_case(e)))
        && path.is_file()
}

/// The paths in a folder in the order of their names, without the hidden ones.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let io = |error| Error::io(folder, error);
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

fn missing(folder: &Path, names: &[String]) -> Error {
    Error::Missing { folder: folder.to_owned(), names: names.to_vec() }
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

        let images = read(root, Size::Equal, Channels::Rgb).unwrap();
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
        let images = read(folder.path(), size, Channels::Grey).unwrap();
        assert_eq!(images.shape(), [1, 4, 5]);
        assert_eq!((images.image(0), images.image(1)), (&[90; 20][..], &[30; 20][..]));
    }

    #[test]
    fn pictures_of_different_sizes_are_an_error_that_names_both() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "a/1.png", 2, 3, [0, 0, 0]);
        write(folder.path(), "b/2.png", 7, 5, [0, 0, 0]);
        let message = read(folder.path(), Size::Equal, Channels::Grey).unwrap_err().to_string();
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
            pool.install(|| read(folder.path(), Size::Equal, Channels::Grey))
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
    fn folders_without_classes_or_pictures_say_what_was_looked_for() {
        let folder = tempfile::tempdir().unwrap();
        let message = || read(folder.path(), Size::Equal, Channels::Grey).unwrap_err().to_string();
        assert!(message().ends_with(": expected a folder per class; found none"));
        fs::create_dir(folder.path().join("a")).unwrap();
        assert!(message().ends_with("a: expected *.png or *.jpg or *.jpeg; found none"));
    }

    #[test]
    fn an_impossible_size_is_refused_before_memory_is_taken() {
        for (height, width) in [(0, 5), (usize::MAX, usize::MAX), (1 << 20, 1 << 20)] {
            let error = allowed_size([3, height, width], 2).unwrap_err().to_string();
            assert!(error.starts_with("size: expected at least 1 × 1 pixels"), "{error}");
        }
    }
}
