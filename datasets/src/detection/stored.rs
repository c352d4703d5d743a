//! From annotations of any format to pictures in memory.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::{Annotated, Detection, Object, Region, Repair, Repairs};
use crate::image_folder::{Channels, MAX_SIDE};
use crate::picture::{self, Picture};
use crate::source::MAX_BYTES;
use crate::{Error, text};

/// How pictures are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What becomes of colours.
    pub channels: Channels,
    /// What becomes of sizes. Boxes follow their picture.
    pub fit: Fit,
    /// Whether pictures that cannot be read are left out instead of being an error.
    pub skip_broken: bool,
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
pub fn read_picture(path: &Path, id: u64, reading: &Reading) -> Result<Annotated, Error> {
    reading.check()?;
    let (picture, source) = (path.to_owned(), path.to_owned());
    let (stated, fractions, objects, repairs) = (None, false, Vec::new(), Repairs::default());
    let draft = Draft { id, picture, source, stated, fractions, objects, repairs };
    Ok(annotated(&draft, reading)?.0)
}

/// What a file of annotations says about a picture.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) id: u64,
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
    pub(super) place: (&'static str, u64),
    pub(super) region: Region,
    pub(super) class: usize,
    /// In pixels, if the file gives it.
    pub(super) area: Option<f64>,
    pub(super) crowd: bool,
}

/// Reads the pictures of these drafts. The errors and the repairs are those of the first files, on any number of threads.
pub(super) fn read(
    drafts: Vec<Draft>,
    classes: Vec<String>,
    class_ids: Vec<u64>,
    reading: &Reading,
) -> Result<Detection, Error> {
    reading.check()?;
    let (mut pictures, mut repairs) = (Vec::with_capacity(drafts.len()), Repairs::default());
    let mut bytes = 0;
    for chunk in drafts.chunks(CHUNK) {
        let results: Vec<_> = chunk.par_iter().map(|draft| annotated(draft, reading)).collect();
        for (result, draft) in results.into_iter().zip(chunk) {
            let (picture, of_picture) = match result {
                Ok(read) => read,
                Err(error) if reading.skip_broken => {
                    repairs.add(Repair::Broken, error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            bytes += picture.pixels.len() as u64;
            if bytes > MAX_BYTES {
                let expected = format_args!("at most {MAX_BYTES} bytes of pixels in all");
                let found = format_args!("more, in {} pictures", pictures.len() + 1);
                return Err(Error::record(&draft.picture, "the pixels", expected, found));
            }
            pictures.push(picture);
            repairs.append(&of_picture);
        }
    }
    Ok(Detection::with(pictures, classes, class_ids, repairs))
}

fn annotated(draft: &Draft, reading: &Reading) -> Result<(Annotated, Repairs), Error> {
    let mut repairs = draft.repairs.clone();
    let (decoded, as_stored) = picture::open_as(&draft.picture, draft.stated)?;
    if as_stored {
        repairs.add(Repair::AsStored, text::name(&draft.picture));
    }
    let mut picture = Picture::of(decoded, reading.channels);
    let [_, height, width] = picture.shape;
    let original = [height, width];
    if let Some([h, w]) = draft.stated.filter(|&stated| stated != original) {
        let source = text::name(&draft.source);
        let place = format!("{source}: {h} × {w} instead of {height} × {width} pixels");
        repairs.add(Repair::Size, place);
    }
    let size = reading.size(original);
    if size != original {
        picture = picture.resized(size[0], size[1]);
    }
    let objects = objects(draft, original, size, &mut repairs);
    let name = text::name(&draft.picture);
    let Picture { shape, pixels } = picture;
    Ok((Annotated { id: draft.id, name, original, shape, pixels, objects }, repairs))
}

/// The objects of a draft put right, in pixels of a picture that was resized from `original` to `size`.
fn objects(
    draft: &Draft,
    original: [usize; 2],
    size: [usize; 2],
    repairs: &mut Repairs,
) -> Vec<Object> {
    let [height, width] = original.map(|side| side as f32);
    let scale = [size[0] as f32 / height, size[1] as f32 / width];
    let mut objects: Vec<Object> = Vec::with_capacity(draft.objects.len());
    let mut known = HashSet::with_capacity(draft.objects.len());
    for DraftObject { place: (kind, number), region, class, area, crowd } in &draft.objects {
        let place = || {
            let Region { left, top, right, bottom } = region;
            let edges = format!("left {left}, top {top}, right {right}, bottom {bottom}");
            format!("{}: {kind} {number}: {edges}", text::name(&draft.source))
        };
        let stated = if draft.fractions { region.scaled(width, height) } else { *region };
        let clipped = stated.clipped(width, height);
        // Of a sliver nothing may be left by rounding when the picture is made smaller.
        let resized = |region: &Region| {
            region.scaled(scale[1], scale[0]).clipped(size[1] as f32, size[0] as f32)
        };
        if !stated.is_proper() || !clipped.is_proper() || !resized(&clipped).is_proper() {
            repairs.add(Repair::Degenerate, place());
            continue;
        }
        let mut object = Object::new(clipped, *class);
        object.crowd = *crowd;
        if let Some(area) = area {
            // Of a box that was clipped, at most what is left of it.
            object.area = if clipped == stated { *area } else { area.min(clipped.area()) };
        }
        let Region { left, top, right, bottom } = clipped;
        if !known.insert(([left, top, right, bottom].map(f32::to_bits), *class, *crowd)) {
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
        if *crowd {
            repairs.add(Repair::Crowd, place());
        }
        objects.push(object.moved(resized(&clipped)));
    }
    objects
}
