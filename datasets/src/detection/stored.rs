//! From annotations of any format to pictures in memory.

use std::collections::HashSet;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::{Annotated, Detection, Id, Object, Region, Repair, Repairs, Truth};
use crate::image_folder::{Channels, MAX_SIDE, Size};
use crate::picture::{self, Picture};
use crate::{Error, fingerprint, source, text};

/// How pictures are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What becomes of colours.
    pub channels: Channels,
    /// What becomes of sizes. Boxes follow their picture.
    pub fit: Fit,
    /// Whether pictures that cannot be read are left out instead of being an error.
    pub skip_broken: bool,
    /// The most bytes of pixels that are kept in memory.
    pub cache: u64,
    /// The most pictures that are decoded at once, so that one that is broken is noticed before training. What is not kept is decoded
    /// each time that it is needed.
    pub at_once: usize,
}

/// What becomes of the size of a picture when it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It stays.
    Original,
    /// A picture whose longer side has more pixels than this is made smaller, to just as many. The ratio of its sides is kept,
    /// to whole pixels.
    Within(usize),
    /// All pictures get this size. The ratio of the sides is not kept.
    Exact {
        /// In pixels.
        height: usize,
        /// In pixels.
        width: usize,
    },
}

/// How many pictures are decoded between two looks at the memory that they take.
const CHUNK: usize = 16;

impl Reading {
    /// Pictures as many in memory as may be: 1 GiB, and 10,000 at once.
    pub const fn new(channels: Channels, fit: Fit) -> Reading {
        Reading { channels, fit, skip_broken: false, cache: 1 << 30, at_once: 10_000 }
    }

    fn check(&self) -> Result<(), Error> {
        let sides = match self.fit {
            Fit::Original => return Ok(()),
            Fit::Within(side) => [side, side],
            Fit::Exact { height, width } => [height, width],
        };
        let sound = sides.iter().all(|side| (1..=MAX_SIDE).contains(side));
        let expected = format_args!("sides of 1 to {MAX_SIDE} pixels");
        let found = format_args!("{:?}", self.fit);
        sound.then_some(()).ok_or_else(|| Error::option("fit", expected, found))
    }

    /// The size at which a picture of this size is kept.
    fn size(&self, [height, width]: [usize; 2]) -> [usize; 2] {
        match self.fit {
            Fit::Within(most) if height.max(width) > most => {
                let scale = most as f64 / height.max(width) as f64;
                [height, width].map(|side| ((side as f64 * scale).round() as usize).max(1))
            }
            Fit::Exact { height, width } => [height, width],
            Fit::Original | Fit::Within(_) => [height, width],
        }
    }
}

/// Reads a picture without annotations, just as one of a data set is read.
///
/// # Errors
///
/// What [`picture::open`] refuses, or a [`Fit`] that makes no sense.
pub fn read_picture(path: &Path, id: impl Into<Id>, reading: &Reading) -> Result<Annotated, Error> {
    reading.check()?;
    let (id, name, picture, source) = (id.into(), text::name(path), path.into(), path.into());
    let (stated, fractions, objects, repairs) = (None, false, Vec::new(), Repairs::default());
    let draft = Draft { id, name, picture, source, stated, fractions, objects, repairs };
    let read = annotated(&draft, reading, Looked::Decoded)?;
    Ok(read.picture)
}

/// What a file of annotations says about a picture.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) id: Id,
    /// What the file calls the picture.
    pub(super) name: String,
    pub(super) picture: PathBuf,
    /// The file that says so.
    pub(super) source: PathBuf,
    /// Height and width, if it gives them.
    pub(super) stated: Option<[usize; 2]>,
    /// Whether boxes are in fractions of the picture instead of pixels.
    pub(super) fractions: bool,
    pub(super) objects: Vec<DraftObject>,
    /// What was already put right.
    pub(super) repairs: Repairs,
}

/// An object as it stands in a file.
#[derive(Debug)]
pub(super) struct DraftObject {
    /// The kind of record and its number, such as `line` and `4`.
    pub(super) place: (&'static str, Id),
    /// Left, top, width and height.
    pub(super) bounds: [f64; 4],
    pub(super) class: usize,
    /// In pixels, if the file gives it.
    pub(super) area: Option<f64>,
    pub(super) crowd: bool,
}

/// What files of annotations say, before any picture is read.
#[derive(Debug)]
pub struct Annotations {
    pub(super) drafts: Vec<Draft>,
    pub(super) classes: Vec<String>,
    pub(super) class_ids: Vec<Id>,
}

impl Annotations {
    /// The names of the classes.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The file of each picture, and the class of each object on it.
    pub fn pictures(&self) -> impl Iterator<Item = (&Path, Vec<usize>)> {
        let classes = |draft: &Draft| draft.objects.iter().map(|object| object.class).collect();
        self.drafts.iter().map(move |draft| (draft.picture.as_path(), classes(draft)))
    }

    /// Reads the pictures. The errors and the repairs are those of the first files, on any number of threads.
    ///
    /// # Errors
    ///
    /// A picture that is missing, broken or too large, unless these are left out; or `Fit` that makes no sense.
    pub fn read(self, reading: &Reading) -> Result<Detection, Error> {
        read(self, reading)
    }
}

fn read(
    Annotations { drafts, classes, class_ids }: Annotations,
    reading: &Reading,
) -> Result<Detection, Error> {
    reading.check()?;
    let (mut pictures, mut repairs) = (Vec::with_capacity(drafts.len()), Repairs::default());
    let (mut files, mut bytes, mut count) = (Vec::with_capacity(drafts.len()), 0, 0);
    let is_few = drafts.len() <= reading.at_once;
    for chunk in drafts.chunks(CHUNK) {
        let looked = if is_few || reading.skip_broken { Looked::Decoded } else { Looked::Head };
        let results: Vec<_> =
            chunk.par_iter().map(|draft| annotated(draft, reading, looked)).collect();
        for result in results {
            let Read { mut picture, repairs: of_picture, file } = match result {
                Ok(read) => read,
                Err(error) if reading.skip_broken => {
                    repairs.add(Repair::Broken, error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            for object in &mut picture.truth {
                count += 1;
                object.id *= count;
            }
            match bytes + picture.pixels.len() as u64 {
                all if all <= reading.cache => bytes = all,
                _ => picture.pixels = Vec::new(),
            }
            pictures.push(picture);
            files.push(file);
            repairs.append(&of_picture);
        }
    }
    Ok(Detection::with(pictures, classes, class_ids, repairs, files))
}

/// A picture that was read.
struct Read {
    picture: Annotated,
    repairs: Repairs,
    file: File,
}

/// How much of a picture is read.
#[derive(Clone, Copy)]
enum Looked {
    /// Its size.
    Head,
    Decoded,
}

/// The file of a picture.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct File {
    path: PathBuf,
    /// Of its contents.
    pub(super) hash: u64,
    /// The size that the annotations give it.
    stated: Option<[usize; 2]>,
}

impl File {
    /// Decodes the picture, at this shape.
    ///
    /// # Errors
    ///
    /// A picture that is broken, or is no longer the one that was listed.
    pub(super) fn pixels(&self, [channels, height, width]: [usize; 3]) -> Result<Vec<u8>, Error> {
        let bytes = source::read(&self.path, picture::MAX_FILE)?;
        if fingerprint::of_bytes(&bytes) != self.hash {
            let expected = "the picture that was there when the run began";
            return Err(Error::record(&self.path, "the contents", expected, "another one"));
        }
        let channels = if channels == 1 { Channels::Grey } else { Channels::Rgb };
        let (decoded, _) = picture::decode(&self.path, &bytes, self.stated)?;
        let size = Size::Resized { height, width };
        Ok(size.of(Picture::of(decoded, channels)).pixels)
    }
}

fn annotated(draft: &Draft, reading: &Reading, looked: Looked) -> Result<Read, Error> {
    let mut repairs = draft.repairs.clone();
    let path = &draft.picture;
    let bytes = source::read(path, picture::MAX_FILE)?;
    let hash = fingerprint::of_bytes(&bytes);
    let (decoded, original, as_stored) = match looked {
        Looked::Head => {
            let (size, as_stored) = picture::head(path, Cursor::new(&bytes), draft.stated)?;
            (None, size, as_stored)
        }
        Looked::Decoded => {
            let (decoded, as_stored) = picture::decode(path, &bytes, draft.stated)?;
            let picture = Picture::of(decoded, reading.channels);
            let [_, height, width] = picture.shape;
            (Some(picture), [height, width], as_stored)
        }
    };
    if as_stored {
        repairs.add(Repair::AsStored, text::name(path));
    }
    let [height, width] = original;
    if let Some([h, w]) = draft.stated.filter(|&stated| stated != original) {
        let source = text::name(&draft.source);
        let place = format!("{source}: {h} × {w} instead of {height} × {width} pixels");
        repairs.add(Repair::Size, place);
    }
    let [height, width] = reading.size(original);
    let size = [height, width];
    let resized = Size::Resized { height, width };
    let pixels = decoded.map(|picture| resized.of(picture).pixels).unwrap_or_default();
    let objects = objects(draft, original, size, &mut repairs);
    let truth = draft.objects.iter().filter_map(|object| object.truth(draft.scale(original)));
    let (truth, id, name) = (truth.collect(), draft.id.clone(), draft.name.clone());
    let shape = [reading.channels.count(), height, width];
    let picture = Annotated { id, name, original, shape, pixels, objects, truth };
    let file = File { path: path.clone(), hash, stated: draft.stated };
    Ok(Read { picture, repairs, file })
}

impl Draft {
    /// By what x and y are multiplied to get pixels of a picture of this size.
    fn scale(&self, [height, width]: [usize; 2]) -> [f64; 2] {
        if self.fractions { [width as f64, height as f64] } else { [1.0, 1.0] }
    }
}

impl DraftObject {
    /// Left, top, width and height in pixels of the file.
    fn pixels(&self, [x, y]: [f64; 2]) -> [f64; 4] {
        let [left, top, width, height] = self.bounds;
        [left * x, top * y, width * x, height * y]
    }

    /// What is scored against: nothing is put right. None if it is not a number.
    fn truth(&self, scale: [f64; 2]) -> Option<Truth> {
        let &DraftObject { ref place, class, area, crowd, .. } = self;
        let bounds = self.pixels(scale);
        let area = area.unwrap_or(bounds[2] * bounds[3]);
        let id = u64::from(!place.1.is_zero());
        let finite = bounds.iter().chain([&area]).all(|number| number.is_finite());
        finite.then_some(Truth { id, class, bounds, area, crowd })
    }
}

/// What is learnt from, of a picture that is kept at this size.
fn objects(
    draft: &Draft,
    original: [usize; 2],
    size: [usize; 2],
    repairs: &mut Repairs,
) -> Vec<Object> {
    let [height, width] = original.map(|side| side as f32);
    let mut objects: Vec<Object> = Vec::with_capacity(draft.objects.len());
    let mut known = HashSet::with_capacity(draft.objects.len());
    for object in &draft.objects {
        let [left, top, w, h] = object.pixels(draft.scale(original));
        let [left, top, right, bottom] = [left, top, left + w, top + h].map(|edge| edge as f32);
        let (kind, number) = &object.place;
        let place = || {
            let edges = format!("left {left}, top {top}, right {right}, bottom {bottom}");
            format!("{}: {kind} {number}: {edges}", text::name(&draft.source))
        };
        let stated = Region::new(left, top, right, bottom);
        let clipped = stated.clipped(width, height);
        // Looked at after the last change: a sliver can lose its area in any of them.
        let [h, w] = size.map(|side| side as f32);
        let region = clipped.scaled(w / width, h / height).clipped(w, h);
        if ![stated, clipped, region].iter().all(Region::is_proper) {
            repairs.add(Repair::Degenerate, place());
            continue;
        }
        let &DraftObject { class, crowd, .. } = object;
        let Region { left, top, right, bottom } = clipped;
        if !known.insert(([left, top, right, bottom].map(f32::to_bits), class, crowd)) {
            repairs.add(Repair::Duplicate, place());
            continue;
        }
        let over = [
            clipped.left - stated.left,
            clipped.top - stated.top,
            stated.right - clipped.right,
            stated.bottom - clipped.bottom,
        ];
        if over.iter().any(|&over| over > 0.01) {
            repairs.add(Repair::Clipped, place());
        }
        match crowd {
            true => repairs.add(Repair::Crowd, place()),
            false => objects.push(Object { region, class }),
        }
    }
    objects
}
