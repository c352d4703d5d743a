//! Labelled pictures in files, all made one size.
//!
//! A [`Listing`] says which there are. Few are decoded at once; of many, each when it is asked for, and kept while there is room:
//! the pixels are the same, and memory stays within [`Reading::cache`].

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

pub use crate::listing::{Entry, Layout, Listing, Part, Skipped};
pub use crate::picture::Channels;
use crate::picture::{self, MAX_FILE, Picture};
use crate::source::MAX_BYTES;
use crate::{Error, Images, Repairs, fingerprint, source};

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
    /// The same, of the largest part in the middle that has the ratio of these sides.
    Cropped {
        /// In pixels.
        height: usize,
        /// In pixels.
        width: usize,
    },
}

impl Size {
    /// Height and width, if they are given.
    pub fn given(self) -> Option<[usize; 2]> {
        match self {
            Size::Equal => None,
            Size::Resized { height, width } | Size::Cropped { height, width } => {
                Some([height, width])
            }
        }
    }

    /// A picture made this size.
    #[must_use]
    pub fn of(self, picture: Picture) -> Picture {
        let picture = match self {
            Size::Cropped { height, width } => picture.cropped_to_ratio([height, width]),
            Size::Equal | Size::Resized { .. } => picture,
        };
        match self.given() {
            Some([height, width]) if picture.shape[1..] != [height, width] => {
                picture.resized(height, width)
            }
            _ => picture,
        }
    }
}

/// How pictures are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What becomes of sizes.
    pub size: Size,
    /// What becomes of colours.
    pub channels: Channels,
    /// Whether pictures that cannot be read are left out instead of being an error. All are looked into at once then.
    pub skip_broken: bool,
    /// The most bytes of pixels that are kept in memory.
    pub cache: u64,
    /// The most pictures that are decoded at once, so that one that is broken is noticed before training.
    pub at_once: usize,
}

impl Reading {
    /// Pictures of one size, as many in memory as may be: 1 GiB, and 10,000 at once.
    pub fn new(size: Size, channels: Channels) -> Reading {
        Reading { size, channels, skip_broken: false, cache: 1 << 30, at_once: 10_000 }
    }
}

/// The greatest side to which a picture is resized, in pixels.
pub(crate) const MAX_SIDE: usize = 1 << 13;

/// The pictures of a part of a listing, or all; the classes are those that have a picture in it.
///
/// # Errors
///
/// A part without pictures, a picture that cannot be read (unless these are left out), or pictures of different sizes if they
/// shall be [`Equal`](Size::Equal). Of several errors, that of the first file.
pub fn read(listing: &mut Listing, part: Option<Part>, reading: &Reading) -> Result<Images, Error> {
    let mut chosen = listing.chosen(part);
    if chosen.is_empty() {
        let name = part.map_or("pictures", Part::name).to_owned();
        return Err(Error::Missing { folder: listing.root().to_owned(), names: vec![name] });
    }
    let shape = shape(listing, &chosen, reading)?;
    let size = picture_size(shape)?;
    let is_little =
        (size as u64).saturating_mul(chosen.len() as u64) <= reading.cache.min(MAX_BYTES);
    let is_all = chosen.len() <= reading.at_once && is_little;
    let mut skipped = Repairs::default();
    if !is_all {
        listing.hashes(reading.skip_broken)?; // which may leave some out
        chosen = listing.chosen(part);
    }
    if reading.skip_broken && !is_all {
        let is_sound = |&i: &usize| sized(&listing.entries()[i].path, shape, reading).is_ok();
        let sound: Vec<bool> = chosen.par_iter().map(is_sound).collect();
        let mut sound = sound.into_iter();
        chosen.retain(|&i| {
            let is_sound = sound.next().unwrap_or_default();
            if !is_sound {
                skipped.add(Skipped::Broken, listing.name(&listing.entries()[i]));
            }
            is_sound
        });
    }
    let (pixels, chosen) = match is_all {
        true => decode(listing, chosen, shape, reading, &mut skipped)?,
        false => {
            let hashes = listing.hashes(false)?;
            let hashes = chosen.iter().map(|&i| hashes[i]).collect();
            let paths = chosen.iter().map(|&i| listing.entries()[i].path.clone()).collect();
            (Pixels::Files(Files::new(paths, hashes, shape, *reading)), chosen)
        }
    };
    if chosen.is_empty() {
        let names = vec!["a picture that can be read".to_owned()];
        return Err(Error::Missing { folder: listing.root().to_owned(), names });
    }
    let (labels, classes) = labels(listing, &chosen);
    let files = chosen.iter().map(|&i| listing.entries()[i].path.clone()).collect();
    Ok(Images::with(shape, pixels, labels, classes).with_files(files, skipped))
}

/// Labels of the chosen pictures among the classes that they have.
fn labels(listing: &Listing, chosen: &[usize]) -> (Vec<u32>, Vec<String>) {
    let of = |&i: &usize| listing.entries()[i].label;
    let mut used: Vec<u32> = chosen.iter().map(of).collect();
    used.sort_unstable();
    used.dedup();
    let place = |label: u32| used.binary_search(&label).expect("one that is used") as u32;
    let labels = chosen.iter().map(of).map(place).collect();
    let classes = used.iter().map(|&label| listing.classes()[label as usize].clone()).collect();
    (labels, classes)
}

/// Channels, height and width of all pictures: what is asked for, or those of the first picture that can be read.
fn shape(listing: &Listing, chosen: &[usize], reading: &Reading) -> Result<[usize; 3], Error> {
    if let Some([height, width]) = reading.size.given() {
        if !(1..=MAX_SIDE).contains(&height) || !(1..=MAX_SIDE).contains(&width) {
            let found = format_args!("{height} × {width} pixels");
            return Err(Error::option("size", format_args!("sides of 1 to {MAX_SIDE}"), found));
        }
        return Ok([reading.channels.count(), height, width]);
    }
    let paths = chosen.iter().map(|&i| &listing.entries()[i].path);
    let mut shapes =
        paths.map(|path| Picture::read(path, reading.channels).map(|picture| picture.shape));
    let first = shapes.next().expect("there is a picture");
    match reading.skip_broken {
        true => first.or_else(|error| shapes.find_map(Result::ok).ok_or(error)),
        false => first,
    }
}

/// A picture, made its size.
fn sized(path: &Path, shape: [usize; 3], reading: &Reading) -> Result<Picture, Error> {
    fitted(path, Picture::read(path, reading.channels)?, shape, reading)
}

fn fitted(
    path: &Path,
    picture: Picture,
    shape: [usize; 3],
    reading: &Reading,
) -> Result<Picture, Error> {
    let picture = reading.size.of(picture);
    if picture.shape != shape {
        let expected = format_args!("{}, as the first has", pixels_of(shape));
        return Err(Error::malformed(path, 0, expected, pixels_of(picture.shape)));
    }
    Ok(picture)
}

/// All chosen pictures in memory, and which these are.
fn decode(
    listing: &Listing,
    chosen: Vec<usize>,
    shape: [usize; 3],
    reading: &Reading,
    skipped: &mut Repairs<Skipped>,
) -> Result<(Pixels, Vec<usize>), Error> {
    let size: usize = shape.iter().product();
    let mut pixels = vec![0; size * chosen.len()];
    let results: Vec<Result<bool, Error>> = pixels
        .par_chunks_exact_mut(size)
        .zip(&chosen)
        .map(|(pixels, &i)| match sized(&listing.entries()[i].path, shape, reading) {
            Ok(picture) => {
                pixels.copy_from_slice(&picture.pixels);
                Ok(true)
            }
            Err(Error::Broken { .. } | Error::Io { .. }) if reading.skip_broken => Ok(false),
            Err(error) => Err(error),
        })
        .collect();
    // Looked at one by one, for the first error in the order of the files and not of time.
    let mut kept = Vec::with_capacity(chosen.len());
    for (at, (result, i)) in results.into_iter().zip(chosen).enumerate() {
        if result? {
            pixels.copy_within(at * size..(at + 1) * size, kept.len() * size);
            kept.push(i);
        } else {
            skipped.add(Skipped::Broken, listing.name(&listing.entries()[i]));
        }
    }
    pixels.truncate(kept.len() * size);
    Ok((Pixels::Memory(pixels), kept))
}

/// The pixels of images of one size.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Pixels {
    /// One image after the other.
    Memory(Vec<u8>),
    /// In files that are read when they are asked for.
    Files(Files),
}

/// Pictures in files; a clone shares what is kept in memory.
#[derive(Clone)]
pub(crate) struct Files {
    all: std::sync::Arc<All>,
    /// Which of them, in this order.
    chosen: Vec<u32>,
}

struct All {
    paths: Vec<PathBuf>,
    /// What the contents were when they were listed.
    hashes: Vec<u64>,
    shape: [usize; 3],
    reading: Reading,
    kept: Vec<OnceLock<Box<[u8]>>>,
    /// Bytes that may still be kept.
    room: AtomicU64,
}

impl PartialEq for Files {
    fn eq(&self, other: &Self) -> bool {
        let of =
            |files: &Self| (files.hashes().collect::<Vec<_>>(), files.all.shape, files.all.reading);
        of(self) == of(other)
    }
}

impl Eq for Files {}

impl Files {
    fn new(paths: Vec<PathBuf>, hashes: Vec<u64>, shape: [usize; 3], reading: Reading) -> Self {
        let kept = paths.iter().map(|_| OnceLock::new()).collect();
        let chosen = (0..paths.len() as u32).collect();
        let room = AtomicU64::new(reading.cache);
        let all = All { paths, hashes, shape, reading, kept, room };
        Self { all: all.into(), chosen }
    }

    /// The hashes of the contents, in their order.
    pub(crate) fn hashes(&self) -> impl Iterator<Item = u64> {
        self.chosen.iter().map(|&i| self.all.hashes[i as usize])
    }

    /// Those at these places.
    pub(crate) fn subset(&self, indices: &[usize]) -> Self {
        let chosen = indices.iter().map(|&i| self.chosen[i]).collect();
        Self { all: self.all.clone(), chosen }
    }

    /// The pixels of one.
    ///
    /// # Errors
    ///
    /// A picture that is broken, or is no longer the one that was listed.
    pub(crate) fn image(&self, i: usize) -> Result<Cow<'_, [u8]>, Error> {
        let All { paths, hashes, shape, reading, kept, room } = &*self.all;
        let i = self.chosen[i] as usize;
        if let Some(pixels) = kept[i].get() {
            return Ok(Cow::Borrowed(pixels));
        }
        let path = &paths[i];
        let bytes = source::read(path, MAX_FILE)?;
        if fingerprint::of_bytes(&bytes) != hashes[i] {
            let expected = "the picture that was there when the run began";
            return Err(Error::record(path, "the contents", expected, "another one"));
        }
        let picture = Picture::of(picture::of_bytes(path, &bytes)?, reading.channels);
        let pixels = fitted(path, picture, *shape, reading)?.pixels.into_boxed_slice();
        let size = pixels.len() as u64;
        let less = |room: u64| room.checked_sub(size);
        if room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_err() {
            return Ok(Cow::Owned(pixels.into_vec()));
        }
        if kept[i].set(pixels).is_err() {
            room.fetch_add(size, Ordering::Relaxed); // another thread was faster
        }
        Ok(Cow::Borrowed(kept[i].get().expect("just set")))
    }
}

fn pixels_of([_, height, width]: [usize; 3]) -> String {
    format!("{height} × {width} pixels")
}

/// The bytes of one picture, if it has any and they fit into memory.
fn picture_size(shape: [usize; 3]) -> Result<usize, Error> {
    let size = shape.iter().try_fold(1, |size: u64, &n| size.checked_mul(n as u64));
    match size {
        Some(1..=MAX_BYTES) => Ok(shape.iter().product()),
        _ => {
            let expected = format_args!("at least 1 × 1 pixels, at most {MAX_BYTES} bytes");
            Err(Error::option("size", expected, format_args!("pictures of {shape:?}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use image::{ImageFormat, Rgb, RgbImage};

    use super::*;

    /// All pictures of a folder.
    fn read(folder: &Path, reading: &Reading) -> Result<Images, Error> {
        super::read(&mut Listing::of(folder)?, None, reading)
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

        let images = read(root, &Reading::new(Size::Equal, Channels::Rgb)).unwrap();
        assert_eq!(
            (images.shape(), images.classes()),
            ([3, 2, 3], &["cat", "dog"].map(str::to_string)[..])
        );
        assert_eq!(
            [0, 1, 2].map(|i| (images.label(i), images.image(i).unwrap()[0])),
            [(0, 7), (1, 1), (1, 4)]
        );
        assert_eq!(*images.image(1).unwrap(), [[1; 6], [2; 6], [3; 6]].concat());
    }

    #[test]
    fn pictures_are_resized_when_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "a/1.png", 2, 3, [90, 90, 90]);
        write(folder.path(), "a/2.png", 7, 5, [30, 30, 30]);
        let size = Size::Resized { height: 4, width: 5 };
        let images = read(folder.path(), &Reading::new(size, Channels::Grey)).unwrap();
        assert_eq!(images.shape(), [1, 4, 5]);
        assert_eq!([0, 1].map(|i| images.image(i).unwrap().to_vec()), [[90; 20], [30; 20]]);
    }

    #[test]
    fn pictures_of_different_sizes_are_an_error_that_names_both() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "a/1.png", 2, 3, [0, 0, 0]);
        write(folder.path(), "b/2.png", 7, 5, [0, 0, 0]);
        let message = read(folder.path(), &Reading::new(Size::Equal, Channels::Grey))
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("b/2.png: byte 0: expected 2 × 3 pixels, as the first has; "),
            "{message}"
        );
        assert!(message.ends_with("found 7 × 5 pixels"), "{message}");
    }

    #[test]
    fn the_first_broken_file_is_reported_for_any_number_of_threads() {
        let folder = tempfile::tempdir().unwrap();
        for i in 0..40 {
            write(folder.path(), &format!("a/{i:02}.png"), 8, 8, [i, i, i]);
        }
        let read = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| read(folder.path(), &Reading::new(Size::Equal, Channels::Grey)))
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
        let message = read(folder.path(), &Reading::new(Size::Equal, Channels::Grey)).unwrap_err();
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
        let images = read(root, &Reading::new(Size::Equal, Channels::Grey)).unwrap();
        assert_eq!((images.len(), images.count_by_class()), (3, vec![2, 1]));
        #[cfg(unix)]
        assert_eq!(
            Listing::of(root).unwrap().skipped().to_string(),
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
        let reading = Reading::new(Size::Equal, Channels::Grey);
        let error = read(folder.path(), &reading).unwrap_err();
        assert!(matches!(error, Error::Broken { .. }), "{error}");
        let images = read(folder.path(), &Reading { skip_broken: true, ..reading }).unwrap();
        assert_eq!(
            (0..4).map(|i| images.image(i).unwrap()[0]).collect::<Vec<_>>(),
            [10, 20, 40, 50]
        );
        let told = images.skipped().to_string();
        assert_eq!(told, "2 broken pictures skipped, first in a/0.png; a/3.png");
    }

    #[test]
    fn a_crop_keeps_the_ratio_of_the_middle() {
        let pixels = (0..24).collect();
        let wide = Picture { shape: [1, 3, 8], pixels };
        let square = wide.cropped_to_ratio([10, 10]);
        assert_eq!((square.shape, &square.pixels[..4]), ([1, 3, 3], &[2, 3, 4, 10][..]));
        assert_eq!(wide.cropped_to_ratio([1, 8]).shape, [1, 1, 8]);
        assert_eq!(wide.cropped_to_ratio([3, 8]), wide);
        assert_eq!(wide.cropped_to_ratio([8191, 1]).shape, [1, 3, 1]);
        let size = Size::Cropped { height: 6, width: 6 };
        assert_eq!(size.of(wide.clone()), square.resized(6, 6));
    }

    /// Pictures of several sizes in two classes.
    fn some(root: &Path) {
        for i in 0..12u8 {
            let class = if i % 3 == 0 { "b" } else { "a" };
            let [height, width] = [5 + u32::from(i), 9];
            write(root, &format!("{class}/{i:02}.png"), height, width, [i * 20, 255 - i * 20, i]);
        }
    }

    #[test]
    fn pictures_that_are_read_when_they_are_asked_for_are_those_that_are_read_at_once() {
        let folder = tempfile::tempdir().unwrap();
        some(folder.path());
        let size = Size::Cropped { height: 4, width: 6 };
        let eager = Reading::new(size, Channels::Rgb);
        let at_once = read(folder.path(), &eager).unwrap();
        // With room for all of them, for some, and for none.
        for cache in [1 << 20, 200, 0] {
            let lazy = read(folder.path(), &Reading { at_once: 0, cache, ..eager }).unwrap();
            assert_eq!((lazy.shape(), lazy.classes()), (at_once.shape(), at_once.classes()));
            let order = [3, 3, 0, 11, 5, 5];
            let [lazily, eagerly] = [&lazy, &at_once].map(|images| images.subset(&order));
            for i in (0..order.len()).chain(0..order.len()) {
                assert_eq!(lazily.image(i).unwrap(), eagerly.image(i).unwrap());
                assert_eq!(lazily.label(i), eagerly.label(i));
            }
            assert_eq!(*lazy.in_memory(99).unwrap(), at_once);
            assert_eq!(*lazy.in_memory(3).unwrap(), at_once.subset(&[0, 4, 8]));
        }
    }

    #[test]
    fn a_picture_that_changes_or_breaks_while_a_run_goes_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        some(folder.path());
        let size = Size::Resized { height: 4, width: 4 };
        let lazily = Reading { at_once: 0, cache: 0, ..Reading::new(size, Channels::Grey) };
        let images = read(folder.path(), &lazily).unwrap();
        write(folder.path(), "a/01.png", 6, 9, [1, 2, 3]);
        let error = images.image(0).unwrap_err().to_string();
        assert!(error.contains("a/01.png: the contents: expected the picture that was"), "{error}");
        fs::remove_file(folder.path().join("a/02.png")).unwrap();
        assert!(images.image(1).unwrap_err().to_string().contains("a/02.png: cannot be read"));

        // A picture that is broken from the start is left out if it is asked for.
        fs::write(folder.path().join("b/00.png"), "no picture").unwrap();
        let skipping = Reading { skip_broken: true, ..lazily };
        let sound = read(folder.path(), &skipping).unwrap();
        assert_eq!(sound.len(), 10);
        assert_eq!(sound.skipped().to_string(), "1 broken picture skipped, in b/00.png");
        // Where all are, nothing is left to train on.
        for name in fs::read_dir(folder.path().join("b")).unwrap() {
            fs::write(name.unwrap().path(), "no picture").unwrap();
        }
        let only_b = tempfile::tempdir().unwrap();
        fs::rename(folder.path().join("b"), only_b.path().join("b")).unwrap();
        for reading in [skipping, Reading { at_once: 9, cache: 1 << 20, ..skipping }] {
            let error = read(only_b.path(), &reading).unwrap_err().to_string();
            assert!(error.ends_with("expected a picture that can be read; found none"), "{error}");
        }
        fs::rename(only_b.path().join("b"), folder.path().join("b")).unwrap();
        let images = read(folder.path(), &lazily).unwrap();
        let error = images.image(7).unwrap_err();
        assert!(matches!(error, Error::Broken { .. }), "{error}");
    }

    #[test]
    fn an_impossible_size_is_refused_before_memory_is_taken() {
        for (height, width) in [(0, 5), (usize::MAX, usize::MAX), (1 << 20, 1 << 20)] {
            let error = picture_size([3, height, width]).unwrap_err().to_string();
            assert!(error.starts_with("size: expected at least 1 × 1 pixels"), "{error}");
        }
    }
}
