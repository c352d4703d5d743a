//! The two JSON files of COCO's detection task: what is on the pictures, and what a detector found there.
//!
//! ```text
//! instances.json   {"images": [{"id", "width", "height", "file_name"}, …],
//!                   "annotations": [{"id", "image_id", "category_id", "bbox", "area", "iscrowd"}, …],
//!                   "categories": [{"id", "name"}, …]}
//! results.json     [{"image_id", "category_id", "bbox", "score"}, …]
//! ```
//!
//! Boxes are `[left, top, width, height]` in pixels; the left edge of the leftmost pixel is 0. Other keys, such as
//! `segmentation`, are passed over. Format: <https://cocodataset.org/#format-data>.

mod pictures;
mod records;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer};

use super::{Id, Repair, Repairs};
use crate::source::{self, MAX_BYTES};
use crate::{Error, text};

pub(super) use self::pictures::annotations;
pub use self::pictures::read_pictures;

/// Coordinates are at most this far from 0; what is beyond is taken for damage.
const FARTHEST: f64 = 1e9;

/// The pictures of a set, the objects on them and the classes of these.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "records::File")]
pub struct Instances {
    /// The pictures, also those without any object.
    pub images: Vec<Image>,
    /// The objects.
    pub annotations: Vec<Annotation>,
    /// The classes, also those without any object.
    pub categories: Vec<Category>,
    /// What was left out while they were read.
    #[serde(skip)]
    pub repairs: Repairs,
}

/// A picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Image {
    /// Its number, which no other picture has.
    pub id: Id,
    /// Pixels from left to right, if the file says so; at least 1.
    #[serde(default, deserialize_with = "records::whole", skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Pixels from top to bottom, if the file says so; at least 1.
    #[serde(default, deserialize_with = "records::whole", skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// The name of its file, if the file says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_name: Option<String>,
}

/// An object on a picture.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Annotation {
    /// Its number, which no other object has. pycocotools takes 0 for "none".
    pub id: Id,
    /// The picture that it is on: one of the file's.
    pub image_id: Id,
    /// Its class: one of the file's.
    pub category_id: Id,
    /// Left, top, width and height in pixels; finite, width and height not negative. It may reach out of the picture.
    pub bbox: [f64; 4],
    /// Square pixels that the object covers, which are fewer than the box has; width · height if the file does not say.
    pub area: f64,
    /// Whether it stands for a crowd of objects that nobody separated. Detections in it are neither right nor wrong.
    #[serde(serialize_with = "as_number")]
    pub iscrowd: bool,
}

/// A class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Category {
    /// Its number, which no other class has. COCO's run from 1 to 90 with gaps.
    pub id: Id,
    /// Its name.
    pub name: String,
}

/// An object that a detector believes to see.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// The picture.
    pub image_id: Id,
    /// The class.
    pub category_id: Id,
    /// Left, top, width and height in pixels; finite, width and height not negative.
    pub bbox: [f64; 4],
    /// How sure the detector is: higher is surer, and only the order matters. Finite.
    pub score: f64,
}

/// What a detector found on the pictures of a set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Results {
    /// In the order of the file.
    pub found: Vec<Found>,
    /// What was left out while they were read: results with an empty `bbox`.
    pub repairs: Repairs,
}

/// Reads a file of instances. What pycocotools passes over is left out and counted, and so are annotations with an empty `bbox`:
/// see [`Instances::repairs`].
///
/// # Errors
/// A file that is not JSON, or a record that lacks a key or has another type than it should (with its place in its list, line
/// and column); an id of two images or categories that differ; an
/// annotation with a box or area that is negative or beyond 10⁹ pixels, or an `iscrowd` other than 0 and 1; a picture
/// without pixels; a file of more than 4 GiB.
pub fn read_instances(path: &Path) -> Result<Instances, Error> {
    let Instances { images, mut annotations, categories, mut repairs } =
        json(path, "images, annotations and categories as COCO has them")?;
    let images = distinct(path, "image", images, |image: &Image| &image.id, &mut repairs)?;
    let id = |category: &Category| category.id.clone();
    let categories = distinct(path, "category", categories, |category| &category.id, &mut repairs)?;
    for Image { id, width, height, .. } in &images {
        if *width == Some(0) || *height == Some(0) {
            let found = format_args!("{} × {}", width.unwrap_or(0), height.unwrap_or(0));
            return Err(Error::record(path, format_args!("image {id}"), "width and height", found));
        }
    }
    let listed: [HashSet<Id>; 2] = [
        images.iter().map(|image| image.id.clone()).collect(),
        categories.iter().map(id).collect(),
    ];
    let file = text::name(path);
    annotations.retain(|Annotation { id, image_id, category_id, .. }| {
        let is_listed = listed[0].contains(image_id) && listed[1].contains(category_id);
        if !is_listed {
            let place = format_args!(
                "{file}: annotation {id}: image_id {image_id}, category_id {category_id}"
            );
            repairs.add(Repair::Unlisted, place);
        }
        is_listed
    });
    let mut last = HashMap::with_capacity(annotations.len());
    for (i, annotation) in annotations.iter().enumerate() {
        let Annotation { id, bbox, area, .. } = annotation;
        let wrong = |expected: &str, found: &dyn fmt::Display| {
            Err(Error::record(path, format_args!("annotation {id}"), expected, found))
        };
        if !is_box(bbox) {
            return wrong(A_BOX, &format_args!("{bbox:?}"));
        }
        if !(0.0..=FARTHEST * FARTHEST).contains(area) {
            return wrong("an area from 0 to 1e18", area);
        }
        if last.insert(id.clone(), i).is_some() {
            repairs.add(Repair::RepeatedId, format_args!("{file}: annotation {id}"));
        }
    }
    if last.len() < annotations.len() {
        annotations = annotations.iter().map(|a| annotations[last[&a.id]].clone()).collect();
    }
    Ok(Instances { images, annotations, categories, repairs })
}

/// Reads a file of results. Whether its pictures and categories are known is for those to say who compare.
///
/// # Errors
/// A file that is not JSON, or a result that lacks a key or has another type than it should (with its place, line and column);
/// a result with a box that is negative or beyond 10⁹
/// pixels; a file of more than 4 GiB.
pub fn read_results(path: &Path) -> Result<Results, Error> {
    let records::Results(lines) = json(path, "a list of results as COCO has them")?;
    let mut results = Results { found: Vec::with_capacity(lines.len()), ..Results::default() };
    for (i, line) in lines.into_iter().enumerate() {
        let place = format!("result {} (of image {})", i + 1, line.image_id);
        match line.found() {
            Some(found) => {
                check_result(path, &place, &found)?;
                results.found.push(found);
            }
            None => {
                let place = format_args!("{}: {place}", text::name(path));
                results.repairs.add(Repair::NoBox, place);
            }
        }
    }
    Ok(results)
}

/// Writes a file of results, in their order.
///
/// # Errors
/// A result that [`read_results`] would refuse, or a file that cannot be written.
pub fn write_results(path: &Path, results: &[Found]) -> Result<(), Error> {
    for (i, found) in results.iter().enumerate() {
        check_result(path, &format!("result {} (of image {})", i + 1, found.image_id), found)?;
    }
    write(path, results)
}

/// Writes a file of instances, in their order.
///
/// # Errors
/// A file that cannot be written.
pub fn write_instances(path: &Path, instances: &Instances) -> Result<(), Error> {
    write(path, instances)
}

const A_BOX: &str = "a box [left, top, width, height], width and height not negative, within 1e9";

fn is_box(&[left, top, width, height]: &[f64; 4]) -> bool {
    // NaN is in no range.
    let sizes = (0.0..=FARTHEST).contains(&width) && (0.0..=FARTHEST).contains(&height);
    sizes && left.abs() <= FARTHEST && top.abs() <= FARTHEST
}

fn check_result(path: &Path, place: &str, found: &Found) -> Result<(), Error> {
    let Found { bbox, score, .. } = found;
    if !is_box(bbox) {
        return Err(Error::record(path, place, A_BOX, format_args!("{bbox:?}")));
    }
    if !score.is_finite() {
        return Err(Error::record(path, place, "a finite score", score));
    }
    Ok(())
}

/// The records of which each id has one; equal ones are counted and left out.
fn distinct<T: PartialEq>(
    path: &Path,
    what: &str,
    records: Vec<T>,
    id: impl Fn(&T) -> &Id,
    repairs: &mut Repairs,
) -> Result<Vec<T>, Error> {
    let mut places = HashMap::with_capacity(records.len());
    let mut kept: Vec<T> = Vec::with_capacity(records.len());
    for record in records {
        let place = *places.entry(id(&record).clone()).or_insert(kept.len());
        if place == kept.len() {
            kept.push(record);
            continue;
        }
        let name = format!("{what} {}", id(&record));
        if kept[place] != record {
            return Err(Error::record(path, name, "each id once", "this one again, of another"));
        }
        repairs.add(Repair::RepeatedId, format_args!("{}: {name}", text::name(path)));
    }
    Ok(kept)
}

fn json<T: DeserializeOwned>(path: &Path, expected: &'static str) -> Result<T, Error> {
    let bytes = source::read(path, MAX_BYTES)?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let error = |reason| Error::Json { expected, path: path.to_owned(), reason };
    serde_json::from_slice(bytes).map_err(error)
}

fn write<T: Serialize + ?Sized>(path: &Path, value: &T) -> Result<(), Error> {
    let io = |error| Error::io(path, error);
    let mut out = BufWriter::new(File::create(path).map_err(io)?);
    serde_json::to_writer(&mut out, value).map_err(|error| io(error.into()))?;
    out.write_all(b"\n").and_then(|()| out.flush()).map_err(io)
}

/// The flag as COCO writes it.
fn as_number<S: Serializer>(flag: &bool, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u8(u8::from(*flag))
}
