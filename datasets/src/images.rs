//! Labelled images, in memory or in files.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::detection::resample;
use crate::fingerprint::Fingerprint;
use crate::image_folder::{Pixels, Skipped};
use crate::random::{self, Purpose};
use crate::{Error, Repairs};

/// Images of one size with a class label each, as bytes.
///
/// Shapes: an image is `[C, H, W]` in row-major order (a plane per channel), `C` being 1 (grey) or
/// 3 (red, green, blue). Units: 0 is black, 255 is full intensity.
#[derive(Clone, PartialEq, Eq)]
pub struct Images {
    shape: [usize; 3],
    pixels: Pixels,
    labels: Vec<u32>,
    classes: Vec<String>,
    /// Where each comes from; none of images that are not in files of their own.
    files: Vec<PathBuf>,
    skipped: Repairs<Skipped>,
}

impl Images {
    /// Images of shape `[C, H, W]`, one after the other in `pixels`.
    ///
    /// # Panics
    ///
    /// If there are not `C·H·W` pixels per label, no pixel in an image, or a label is not below the
    /// number of classes.
    #[track_caller]
    pub fn new(
        shape: [usize; 3],
        pixels: Vec<u8>,
        labels: Vec<u32>,
        classes: Vec<String>,
    ) -> Images {
        let size: usize = shape.iter().product();
        assert!(size > 0, "images: a shape without pixels: {shape:?}");
        assert_eq!(
            pixels.len(),
            labels.len() * size,
            "images: {} pixels for {} images of shape {shape:?}",
            pixels.len(),
            labels.len(),
        );
        Images::with(shape, Pixels::Memory(pixels), labels, classes)
    }

    /// The same, wherever the pixels are.
    #[track_caller]
    pub(crate) fn with(
        shape: [usize; 3],
        pixels: Pixels,
        labels: Vec<u32>,
        classes: Vec<String>,
    ) -> Images {
        if let Some(label) = labels.iter().find(|&&label| label as usize >= classes.len()) {
            panic!("images: label {label} for {} classes", classes.len());
        }
        Images { shape, pixels, labels, classes, files: Vec::new(), skipped: Repairs::default() }
    }

    pub(crate) fn with_files(self, files: Vec<PathBuf>, skipped: Repairs<Skipped>) -> Images {
        Images { files, skipped, ..self }
    }

    /// The file of image `i`, if it has one of its own.
    pub fn file(&self, i: usize) -> Option<&Path> {
        self.files.get(i).map(PathBuf::as_path)
    }

    /// What the reader of a folder left out of what was [listed](crate::listing::Listing).
    pub fn skipped(&self) -> &Repairs<Skipped> {
        &self.skipped
    }

    /// The number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Channels, height and width of every image.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// The names of the classes, in the order of the labels.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The pixels of image `i`, shape `[C, H, W]`.
    ///
    /// # Errors
    ///
    /// If it is in a file that cannot be read, or is no longer the one that was listed. Images in memory have no errors.
    ///
    /// # Panics
    ///
    /// If `i` is not below [`len`](Self::len).
    #[track_caller]
    pub fn image(&self, i: usize) -> Result<Cow<'_, [u8]>, Error> {
        match &self.pixels {
            Pixels::Memory(pixels) => {
                let size = self.size();
                Ok(Cow::Borrowed(&pixels[i * size..][..size]))
            }
            Pixels::Files(files) => files.image(i),
        }
    }

    /// These images in memory; where they are in files and more than so many, as many of them, evenly spaced.
    ///
    /// # Errors
    ///
    /// As [`image`](Self::image).
    pub fn in_memory(&self, most: usize) -> Result<Cow<'_, Images>, Error> {
        let Pixels::Files(_) = &self.pixels else { return Ok(Cow::Borrowed(self)) };
        let count = self.len().min(most);
        let chosen: Vec<usize> = (0..count).map(|i| i * self.len() / count).collect();
        let read = chosen.par_iter().map(|&i| self.image(i)).collect::<Result<Vec<_>, _>>()?;
        let labels = chosen.iter().map(|&i| self.labels[i]).collect();
        let files = chosen.iter().filter_map(|&i| self.files.get(i).cloned()).collect();
        let images = Images::new(self.shape, read.concat(), labels, self.classes.clone());
        Ok(Cow::Owned(images.with_files(files, Repairs::default())))
    }

    /// The class of image `i`, an index into [`classes`](Self::classes).
    ///
    /// # Panics
    ///
    /// If `i` is not below [`len`](Self::len).
    #[track_caller]
    pub fn label(&self, i: usize) -> usize {
        self.labels[i] as usize
    }

    /// The number of images of each class.
    pub fn count_by_class(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        for &label in &self.labels {
            counts[label as usize] += 1;
        }
        counts
    }

    /// The same images with the labels that these names stand for: class `i` is `names[i]`, whether there are images
    /// of it or not. This is how the classes of a training set become those of every other part.
    ///
    /// # Errors
    ///
    /// Images of a class that is not among the names.
    ///
    /// # Panics
    ///
    /// If there are more than 2³² names.
    pub fn with_classes(mut self, names: &[String]) -> Result<Images, Error> {
        if self.classes == names {
            return Ok(self);
        }
        let map = Error::map_classes(&self.classes, &self.count_by_class(), names)?;
        for label in &mut self.labels {
            let class = map[*label as usize].expect("classes with images are mapped");
            *label = u32::try_from(class).expect("a class has 32 bits");
        }
        self.classes = names.to_vec();
        Ok(self)
    }

    /// A hash of all that there is: shape, classes, labels and pixels, or the contents of the files. Other data have another one.
    pub fn fingerprint(&self) -> u64 {
        let mut hash = Fingerprint::of("images");
        hash.numbers(self.shape);
        hash.texts(&self.classes);
        hash.numbers(self.labels.iter().copied());
        match &self.pixels {
            Pixels::Memory(pixels) => hash.bytes(pixels),
            Pixels::Files(files) => hash.numbers(files.hashes()),
        }
        hash.finish()
    }

    /// Copies of the chosen images, in the order of the choice.
    ///
    /// # Panics
    ///
    /// If an index is not below [`len`](Self::len).
    #[track_caller]
    pub fn subset(&self, indices: &[usize]) -> Images {
        let pixels = match &self.pixels {
            Pixels::Memory(pixels) => {
                let image = |&i: &usize| &pixels[i * self.size()..][..self.size()];
                Pixels::Memory(indices.iter().map(image).collect::<Vec<_>>().concat())
            }
            Pixels::Files(files) => Pixels::Files(files.subset(indices)),
        };
        let labels = indices.iter().map(|&i| self.labels[i]).collect();
        let files = indices.iter().filter_map(|&i| self.files.get(i).cloned()).collect();
        let (classes, skipped) = (self.classes.clone(), Repairs::default());
        Images { shape: self.shape, pixels, labels, classes, files, skipped }
    }

    /// Holds out `count` images, chosen at random by the seed, for validation: the remaining images
    /// and those held out, both in their original order.
    ///
    /// # Panics
    ///
    /// If `count` is more than [`len`](Self::len).
    #[track_caller]
    pub fn hold_out(&self, count: usize, seed: u64) -> (Images, Images) {
        assert!(count <= self.len(), "hold_out: {count} of {} images", self.len());
        let mut order = random::permutation(self.len(), seed, Purpose::HoldOut, 0);
        let (held, kept) = order.split_at_mut(count);
        held.sort_unstable();
        kept.sort_unstable();
        (self.subset(kept), self.subset(held))
    }

    /// The images at another height and width, by a triangle filter, which averages where it shrinks.
    ///
    /// # Errors
    ///
    /// As [`image`](Self::image).
    ///
    /// # Panics
    ///
    /// If one of the two is 0.
    #[track_caller]
    pub fn resized(&self, height: usize, width: usize) -> Result<Images, Error> {
        assert!(height > 0 && width > 0, "images: a size without pixels: {height} × {width}");
        let [channels, h, w] = self.shape;
        let mut pixels = Vec::with_capacity(self.len() * channels * height * width);
        for i in 0..self.len() {
            for plane in self.image(i)?.chunks_exact(h * w) {
                pixels.extend(resample::resized(plane, [h, w], [height, width]));
            }
        }
        let (shape, pixels) = ([channels, height, width], Pixels::Memory(pixels));
        let (labels, classes) = (self.labels.clone(), self.classes.clone());
        let (files, skipped) = (self.files.clone(), self.skipped.clone());
        Ok(Images { shape, pixels, labels, classes, files, skipped })
    }

    fn size(&self) -> usize {
        self.shape.iter().product()
    }
}

impl fmt::Debug for Images {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Images")
            .field("len", &self.len())
            .field("shape", &self.shape)
            .field("classes", &self.classes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Six images of shape [1, 1, 2]; image i has the pixels 2i, 2i + 1 and the label i mod 2.
    fn six() -> Images {
        let classes = vec!["even".to_string(), "odd".to_string()];
        Images::new([1, 1, 2], (0..12).collect(), vec![0, 1, 0, 1, 0, 1], classes)
    }

    #[test]
    fn an_image_is_its_own_run_of_pixels() {
        assert_eq!((&*six().image(2).unwrap(), six().label(3)), (&[4, 5][..], 1));
        assert_eq!(six().count_by_class(), [3, 3]);
    }

    #[test]
    fn a_subset_keeps_the_order_of_the_choice() {
        let subset = six().subset(&[5, 0]);
        assert_eq!(*subset.image(0).unwrap(), [10, 11]);
        assert_eq!((subset.label(0), subset.label(1)), (1, 0));
    }

    #[test]
    fn holding_out_divides_the_images_without_loss() {
        let (kept, held) = six().hold_out(2, 1);
        assert_eq!((kept.len(), held.len()), (4, 2));
        let mut firsts: Vec<u8> = (0..4).map(|i| kept.image(i).unwrap()[0]).collect();
        assert!(firsts.is_sorted());
        firsts.extend((0..2).map(|i| held.image(i).unwrap()[0]));
        firsts.sort_unstable();
        assert_eq!(firsts, [0, 2, 4, 6, 8, 10]);
        assert_eq!(six().hold_out(2, 1), (kept, held));
    }

    #[test]
    fn images_that_shrink_are_averaged_and_keep_their_classes() {
        let classes = vec!["a".to_string()];
        let pixels = vec![10, 10, 30, 30, 10, 10, 30, 30, 0, 0, 0, 0, 80, 80, 80, 80];
        let images = Images::new([2, 2, 4], pixels, vec![0], classes);
        let half = images.resized(1, 2).unwrap();
        assert_eq!((half.shape(), half.label(0)), ([2, 1, 2], 0));
        let [left, right, both, same] = *half.image(0).unwrap() else { panic!("four pixels") };
        assert!(10 <= left && left < right && right <= 30, "{left}, {right}");
        assert_eq!((both, same), (40, 40));
        assert_eq!(images.resized(2, 4).unwrap(), images);
    }

    #[test]
    fn labels_follow_the_names_of_their_classes() {
        let names = ["zero", "odd", "even"].map(str::to_string);
        let mapped = six().with_classes(&names).unwrap();
        assert_eq!((0..6).map(|i| mapped.label(i)).collect::<Vec<_>>(), [2, 1, 2, 1, 2, 1]);
        assert_eq!(
            (mapped.classes(), mapped.image(3).unwrap()),
            (&names[..], six().image(3).unwrap())
        );

        let message = six().with_classes(&names[..2]).unwrap_err().to_string();
        assert_eq!(message, "unknown class \"even\"; the training set has \"zero\", \"odd\"");
        // A name without any image is no reason to refuse the others.
        let odd = six().subset(&[1, 3]).with_classes(&names[..2]).unwrap();
        assert_eq!((odd.label(0), odd.count_by_class()), (1, vec![0, 2]));
    }

    #[test]
    fn a_fingerprint_tells_other_pixels_labels_names_and_shapes() {
        let six = six();
        let with = |change: fn(&mut Images)| {
            let mut other = six.clone();
            change(&mut other);
            other.fingerprint()
        };
        assert_eq!(six.fingerprint(), with(|_| ()));
        let others = [
            with(|images| images.labels.swap(0, 1)),
            with(|images| images.pixels = Pixels::Memory((1..13).collect())),
            with(|images| images.shape = [1, 2, 1]),
            with(|images| images.classes[0] = "Even".to_string()),
        ];
        assert!(others.iter().all(|&other| other != six.fingerprint()), "{others:?}");
        // Stored in checkpoints: it may not change with a new version.
        assert_eq!(six.fingerprint(), 7_122_432_621_101_910_865);
    }

    #[test]
    #[should_panic(expected = "images: label 2 for 2 classes")]
    fn a_label_without_a_class_is_refused() {
        Images::new([1, 1, 1], vec![0], vec![2], vec!["a".into(), "b".into()]);
    }
}
