//! Pictures in memory with their objects.

use std::fmt;

use super::{Object, Repairs};
use crate::Normalize;

/// A picture of shape `[C, H, W]` as bytes, with the objects in it.
#[derive(Clone, PartialEq)]
pub struct Annotated {
    /// Its number in the data set: the id of a COCO file, else its place.
    pub id: u64,
    /// The name of its file, or what else it is called.
    pub name: String,
    /// Height and width of the picture before it was resized by a reader, in pixels.
    pub original: [usize; 2],
    /// Channels, height and width.
    pub shape: [usize; 3],
    /// Planes of rows: 0 is black, 255 is full intensity.
    pub pixels: Vec<u8>,
    /// In pixels of this picture.
    pub objects: Vec<Object>,
}

impl fmt::Debug for Annotated {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Annotated")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("shape", &self.shape)
            .field("objects", &self.objects)
            .finish_non_exhaustive()
    }
}

/// Annotated pictures of one data set in memory; their sizes may differ, their channels do not.
#[derive(Clone, PartialEq)]
pub struct Detection {
    pictures: Vec<Annotated>,
    classes: Vec<String>,
    class_ids: Vec<u64>,
    repairs: Repairs,
}

impl Detection {
    /// Pictures whose classes have no ids of their own: class `i` has the id `i + 1`.
    ///
    /// # Panics
    ///
    /// If a picture has not the pixels of its shape, no pixel, or other channels than the first, or an object has no
    /// area in its picture or no class.
    #[track_caller]
    pub fn new(pictures: Vec<Annotated>, classes: Vec<String>) -> Detection {
        let class_ids = (1..=classes.len() as u64).collect();
        Detection::with(pictures, classes, class_ids, Repairs::default())
    }

    #[track_caller]
    pub(crate) fn with(
        pictures: Vec<Annotated>,
        classes: Vec<String>,
        class_ids: Vec<u64>,
        repairs: Repairs,
    ) -> Detection {
        for Annotated { name, shape, pixels, objects, .. } in &pictures {
            let [channels, height, width] = *shape;
            let fits = shape.iter().product::<usize>() == pixels.len() && !pixels.is_empty();
            assert!(fits, "detection: {name}: {} pixels of shape {shape:?}", pixels.len());
            let expected = pictures[0].shape[0];
            assert_eq!(channels, expected, "detection: {name}: channels, and those of the first");
            for Object { region, class, .. } in objects {
                let inside =
                    region.is_proper() && region.clipped(width as f32, height as f32) == *region;
                assert!(inside, "detection: {name}: {region:?} in a picture of shape {shape:?}");
                assert!(*class < classes.len(), "detection: {name}: class {class}");
            }
        }
        Detection { pictures, classes, class_ids, repairs }
    }

    /// The pictures, in the order of the data set.
    pub fn pictures(&self) -> &[Annotated] {
        &self.pictures
    }

    /// The names of the classes.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The number by which files of results call each class: COCO's `category_id`. Where a format has none, class `i` has
    /// the id `i + 1`.
    pub fn class_ids(&self) -> &[u64] {
        &self.class_ids
    }

    /// What was put right while the data set was read.
    pub fn repairs(&self) -> &Repairs {
        &self.repairs
    }

    /// The number of objects of each class, crowds not counted.
    pub fn count_by_class(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        let objects = self.pictures.iter().flat_map(|picture| &picture.objects);
        for object in objects.filter(|object| !object.crowd) {
            counts[object.class] += 1;
        }
        counts
    }

    /// The mean and the standard deviation of each channel of all pixels.
    ///
    /// # Panics
    ///
    /// If there is no picture.
    #[track_caller]
    pub fn normalize(&self) -> Normalize {
        let channels = self.pictures.first().map_or(0, |picture| picture.shape[0]);
        Normalize::of_pixels(channels, self.pictures.iter().map(|p| p.pixels.as_slice()))
    }
}

impl fmt::Debug for Detection {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Detection")
            .field("pictures", &self.pictures.len())
            .field("classes", &self.classes)
            .field("repairs", &self.repairs)
            .finish_non_exhaustive()
    }
}
