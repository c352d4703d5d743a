//! The records of COCO's files as programs write them: numbers with or without a point, boxes that are empty, flags as words.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{Annotation, Category, Found, Id, Image, Instances, Repair, Repairs};

/// A file of instances.
#[derive(Deserialize)]
pub(super) struct File {
    #[serde(deserialize_with = "records")]
    images: Vec<Image>,
    #[serde(deserialize_with = "records")]
    annotations: Vec<Annotated>,
    #[serde(deserialize_with = "records")]
    categories: Vec<Category>,
}

/// A file of results.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Results(#[serde(deserialize_with = "records")] pub(super) Vec<Line>);

/// A result.
#[derive(Deserialize)]
pub(super) struct Line {
    pub(super) image_id: Id,
    category_id: Id,
    bbox: Bounds,
    score: Number,
}

/// An annotation.
#[derive(Deserialize)]
pub(super) struct Annotated {
    id: Id,
    image_id: Id,
    category_id: Id,
    bbox: Bounds,
    area: Option<Number>,
    iscrowd: Option<Flag>,
}

impl From<File> for Instances {
    fn from(File { images, annotations, categories }: File) -> Instances {
        let mut repairs = Repairs::default();
        let annotation = |written: Annotated| {
            let Annotated { id, image_id, category_id, bbox, area, iscrowd } = written;
            let Some(bbox) = bbox.0 else {
                let place = format_args!("annotation {id} (of image {image_id})");
                repairs.add(Repair::NoBox, place);
                return None;
            };
            let area = area.map_or(bbox[2] * bbox[3], |area| area.0);
            let iscrowd = iscrowd.is_some_and(|flag| flag.0);
            Some(Annotation { id, image_id, category_id, bbox, area, iscrowd })
        };
        let annotations = annotations.into_iter().filter_map(annotation).collect();
        Instances { images, annotations, categories, repairs }
    }
}

impl Line {
    /// None if there is no box.
    pub(super) fn found(self) -> Option<Found> {
        let Line { image_id, category_id, bbox, score } = self;
        let score = score.0;
        bbox.0.map(|bbox| Found { image_id, category_id, bbox, score })
    }
}

/// What stands in a list, called by its place from 1.
trait Record {
    const KIND: &'static str;
}

impl Record for Image {
    const KIND: &'static str = "images, entry";
}

impl Record for Annotated {
    const KIND: &'static str = "annotations, entry";
}

impl Record for Category {
    const KIND: &'static str = "categories, entry";
}

impl Record for Line {
    const KIND: &'static str = "result";
}

/// A list whose errors say which record they are of.
fn records<'de, D: Deserializer<'de>, T: Record + Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    struct List<T>(PhantomData<T>);
    impl<'de, T: Record + Deserialize<'de>> Visitor<'de> for List<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
            let mut records = Vec::new();
            loop {
                match list.next_element() {
                    Ok(Some(record)) => records.push(record),
                    Ok(None) => return Ok(records),
                    Err(error) => {
                        let number = records.len() + 1;
                        return Err(A::Error::custom(format_args!(
                            "{} {number}: {error}",
                            T::KIND
                        )));
                    }
                }
            }
        }
    }
    deserializer.deserialize_seq(List(PhantomData))
}

/// A number, with or without a point.
#[derive(Clone, Copy)]
struct Number(f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Number, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a number")
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Number, E> {
                Ok(Number(number))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Number, E> {
                Ok(Number(number as f64))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Number, E> {
                Ok(Number(number as f64))
            }
        }
        deserializer.deserialize_f64(Any)
    }
}

/// A whole number that may be written with a point.
pub(super) fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let Some(Number(number)) = Option::deserialize(deserializer)? else { return Ok(None) };
    match number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number) {
        true => Ok(Some(number as u32)),
        false => Err(D::Error::custom(format_args!("{number}, expected a whole number of pixels"))),
    }
}

/// Left, top, width and height; none of an empty list.
struct Bounds(Option<[f64; 4]>);

impl<'de> Deserialize<'de> for Bounds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bounds, D::Error> {
        struct Four;
        impl<'de> Visitor<'de> for Four {
            type Value = Bounds;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a bbox of four numbers: left, top, width, height")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Bounds, A::Error> {
                let (mut bounds, mut count) = ([0.0; 4], 0);
                while let Some(Number(number)) = list.next_element()? {
                    if let Some(place) = bounds.get_mut(count) {
                        *place = number;
                    }
                    count += 1;
                }
                match count {
                    0 => Ok(Bounds(None)),
                    4 => Ok(Bounds(Some(bounds))),
                    _ => Err(A::Error::invalid_length(count, &self)),
                }
            }
        }
        deserializer.deserialize_seq(Four)
    }
}

/// 0 or 1, or a word as Python's `bool` comes out.
struct Flag(bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Flag, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected iscrowd to be 0 or 1")]
        enum Either {
            Word(bool),
            Number(Number),
        }
        match Either::deserialize(deserializer)? {
            Either::Word(flag) => Ok(Flag(flag)),
            Either::Number(Number(number)) if number == 0.0 || number == 1.0 => {
                Ok(Flag(number == 1.0))
            }
            Either::Number(Number(number)) => {
                Err(D::Error::custom(format_args!("expected iscrowd 0 or 1; found {number}")))
            }
        }
    }
}
