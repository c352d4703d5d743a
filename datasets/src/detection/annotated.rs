//! Pictures in memory with their objects.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;

use super::stored::File;
use super::{Id, Object, Repairs, Truth};
use crate::fingerprint::Fingerprint;
use crate::{Error, listing};

/// A picture of shape `[C, H, W]` as bytes, with the objects in it.
#[derive(Clone, PartialEq)]
pub struct Annotated {
    /// The id that a COCO file gives it, else its place in the data set.
    pub id: Id,
    /// The name of its file, as a COCO file gives it with its folders, or what else it is called.
    pub name: String,
    /// Height and width of the picture before it was resized by a reader, in pixels.
    pub original: [usize; 2],
    /// Channels, height and width.
    pub shape: [usize; 3],
    /// Planes of rows: 0 is black, 255 is full intensity.
    pub pixels: Vec<u8>,
    /// What is learnt from, in pixels of this picture.
    pub objects: Vec<Object>,
    /// What is scored against, in pixels of the file.
    pub truth: Vec<Truth>,
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

impl Annotated {
    /// The class of each object, of those to learn from and of those to score against.
    fn classes_mut(&mut self) -> impl Iterator<Item = &mut usize> {
        let learnt = self.objects.iter_mut().map(|object| &mut object.class);
        learnt.chain(self.truth.iter_mut().map(|object| &mut object.class))
    }
}

/// Annotated pictures of one data set in memory; their sizes may differ, their channels do not.
#[derive(Clone, PartialEq)]
pub struct Detection {
    pictures: Vec<Annotated>,
    classes: Vec<String>,
    class_ids: Vec<Id>,
    repairs: Repairs,
    /// That of each picture; none of pictures that come from elsewhere.
    files: Vec<File>,
}

impl Detection {
    /// Pictures whose classes have no ids of their own: class `i` has the id `i + 1`.
    ///
    /// # Panics
    ///
    /// If a picture has not the pixels of its shape, no pixel, or other channels than the first; an object to learn from has
    /// no area in its picture; an object has no class; or one to score against is not finite.
    #[track_caller]
    pub fn new(pictures: Vec<Annotated>, classes: Vec<String>) -> Detection {
        let class_ids = (1..=classes.len() as u64).map(Id::from).collect();
        Detection::with(pictures, classes, class_ids, Repairs::default(), Vec::new())
    }

    #[track_caller]
    pub(super) fn with(
        pictures: Vec<Annotated>,
        classes: Vec<String>,
        class_ids: Vec<Id>,
        repairs: Repairs,
        files: Vec<File>,
    ) -> Detection {
        let is_stored = !files.is_empty();
        for Annotated { name, shape, pixels, objects, truth, .. } in &pictures {
            let [channels, height, width] = *shape;
            let fits = shape.iter().product::<usize>() == pixels.len() && !pixels.is_empty();
            assert!(
                fits || is_stored,
                "detection: {name}: {} pixels of shape {shape:?}",
                pixels.len()
            );
            let expected = pictures[0].shape[0];
            assert_eq!(channels, expected, "detection: {name}: channels, and those of the first");
            for Object { region, class } in objects {
                let inside =
                    region.is_proper() && region.clipped(width as f32, height as f32) == *region;
                assert!(inside, "detection: {name}: {region:?} in a picture of shape {shape:?}");
                assert!(*class < classes.len(), "detection: {name}: class {class}");
            }
            for Truth { class, bounds, area, .. } in truth {
                assert!(*class < classes.len(), "detection: {name}: class {class}");
                let finite = bounds.iter().chain([area]).all(|number| number.is_finite());
                assert!(finite, "detection: {name}: {bounds:?} of area {area}");
            }
        }
        Detection { pictures, classes, class_ids, repairs, files }
    }

    /// Holds out pictures by the contents of their files, as [`Listing::hold_out`](crate::listing::Listing::hold_out) does: those
    /// to train on, and those held out. Pictures that come from no file are all trained on.
    #[must_use]
    pub fn hold_out(self, share: f64) -> (Detection, Detection) {
        let classes_of = |picture: &Annotated| {
            picture.objects.iter().map(|object| object.class as u32).collect::<BTreeSet<u32>>()
        };
        let of_classes = self.pictures.iter().zip(&self.files).flat_map(|(picture, file)| {
            let classes = classes_of(picture);
            let no_object = classes.is_empty().then_some(u32::MAX);
            classes.into_iter().chain(no_object).map(move |class| (file.hash, class))
        });
        let (hashes, labels): (Vec<u64>, Vec<u32>) = of_classes.unzip();
        let held = listing::held_out(&hashes, &labels, share);
        let Detection { pictures, classes, class_ids, repairs, files } = self;
        let mut files = files.into_iter();
        let (mut kept, mut out) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
        for picture in pictures {
            let file = files.next();
            let is_held = file.as_ref().is_some_and(|file| held.contains(&file.hash));
            let side = if is_held { &mut out } else { &mut kept };
            side.0.push(picture);
            side.1.extend(file);
        }
        let part = |(pictures, files): (Vec<Annotated>, Vec<File>)| {
            let (classes, class_ids, repairs) =
                (classes.clone(), class_ids.clone(), repairs.clone());
            Detection { pictures, classes, class_ids, repairs, files }
        };
        (part(kept), part(out))
    }

    /// A picture with its pixels.
    ///
    /// # Errors
    ///
    /// If it is not kept in memory, and its file cannot be read or is no longer the one that was there.
    ///
    /// # Panics
    ///
    /// If there is no such picture.
    #[track_caller]
    pub fn picture(&self, index: usize) -> Result<Cow<'_, Annotated>, Error> {
        let picture = &self.pictures[index];
        match self.files.get(index).filter(|_| picture.pixels.is_empty()) {
            None => Ok(Cow::Borrowed(picture)),
            Some(file) => {
                let pixels = file.pixels(picture.shape)?;
                Ok(Cow::Owned(Annotated { pixels, ..picture.clone() }))
            }
        }
    }

    /// The pictures, in the order of the data set; those that are not kept in memory have no pixels here: see
    /// [`picture`](Self::picture).
    pub fn pictures(&self) -> &[Annotated] {
        &self.pictures
    }

    /// The names of the classes.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The number by which files of results call each class: COCO's `category_id`. Where a format has none, class `i` has
    /// the id `i + 1`.
    pub fn class_ids(&self) -> &[Id] {
        &self.class_ids
    }

    /// What was put right while the data set was read.
    pub fn repairs(&self) -> &Repairs {
        &self.repairs
    }

    /// The number of objects of each class that are learnt from.
    pub fn count_by_class(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        let objects = self.pictures.iter().flat_map(|picture| &picture.objects);
        for object in objects {
            counts[object.class] += 1;
        }
        counts
    }

    /// The same pictures with the classes that these names stand for: class `i` is `names[i]`, whether there are objects
    /// of it or not. This is how the classes of a training set become those of every other part. Each keeps the id that it
    /// has here; one that is not known here gets the least that is free.
    ///
    /// # Errors
    ///
    /// Objects of a class that is not among the names.
    #[expect(clippy::missing_panics_doc, reason = "classes with objects are mapped")]
    pub fn with_classes(mut self, names: &[String]) -> Result<Detection, Error> {
        if self.classes == names {
            return Ok(self);
        }
        let mut counts = vec![0; self.classes.len()];
        let classes = self.pictures.iter_mut().flat_map(Annotated::classes_mut);
        let classes: Vec<&mut usize> = classes.collect();
        classes.iter().for_each(|class| counts[**class] += 1);
        let map = Error::map_classes(&self.classes, &counts, names)?;
        for class in classes {
            *class = map[*class].expect("classes with objects are mapped");
        }
        let known = self.classes.iter().zip(&self.class_ids).collect::<HashMap<_, _>>();
        let taken = self.class_ids.iter().collect::<HashSet<_>>();
        let mut free = (1_u64..).map(Id::from).filter(|id| !taken.contains(id));
        let id = |name| known.get(name).map(|&id| id.clone()).or_else(|| free.next());
        let class_ids = names.iter().map(id).collect::<Option<_>>();
        self.class_ids = class_ids.expect("there are more numbers than classes");
        self.classes = names.to_vec();
        Ok(self)
    }

    /// A hash of all that there is: classes, pictures and their objects. Other data have another one.
    pub fn fingerprint(&self) -> u64 {
        let mut hash = Fingerprint::of("detection");
        hash.texts(&self.classes);
        self.class_ids.iter().for_each(|id| hash.text(&id.to_string()));
        for (i, picture) in self.pictures.iter().enumerate() {
            let Annotated { id, name, original, shape, pixels, objects, truth } = picture;
            hash.text(&id.to_string());
            hash.text(name);
            hash.numbers(*original);
            hash.numbers(*shape);
            match self.files.get(i).filter(|_| pixels.is_empty()) {
                None => hash.bytes(pixels),
                Some(file) => hash.number(file.hash),
            }
            hash.numbers([objects.len()]);
            for Object { region, class } in objects {
                hash.floats([region.left, region.top, region.right, region.bottom]);
                hash.numbers([*class]);
            }
            hash.numbers([truth.len()]);
            for Truth { id, class, bounds, area, crowd } in truth {
                hash.numbers(bounds.map(f64::to_bits));
                hash.numbers([*id, *class as u64, area.to_bits(), u64::from(*crowd)]);
            }
        }
        hash.finish()
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
