//! Batches of annotated pictures or of made-up scenes.

use std::borrow::Cow;
use std::sync::Arc;

use rayon::prelude::*;
use tensor::Tensor;

use super::{Annotated, Augment, Detection, Id, Object, Scenes, Truth};
use crate::fingerprint::Fingerprint;
use crate::random::{self, Purpose};
use crate::{Error, Normalize, Prefetch};

/// Where a [`Loader`] takes pictures from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Pictures in memory or in files.
    Pictures(Arc<Detection>),
    /// `len` scenes that are made when they are needed.
    Scenes {
        /// What makes them.
        scenes: Arc<Scenes>,
        /// The number of scenes in an epoch.
        len: usize,
        /// Whether each epoch has scenes that no other has, `epoch·len` to `(epoch + 1)·len − 1`, or always the first ones.
        fresh: bool,
    },
}

impl Source {
    /// The number of pictures in an epoch.
    pub fn len(&self) -> usize {
        match self {
            Source::Pictures(detection) => detection.pictures().len(),
            Source::Scenes { len, .. } => *len,
        }
    }

    /// Whether there is no picture.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is an object to score against that stands for itself, not for a crowd.
    pub fn is_scorable(&self) -> bool {
        match self {
            Source::Pictures(detection) => {
                detection.pictures().iter().flat_map(|picture| &picture.truth).any(|o| !o.crowd)
            }
            Source::Scenes { .. } => true, // each has at least one
        }
    }

    /// The names of the classes.
    pub fn classes(&self) -> &[String] {
        match self {
            Source::Pictures(detection) => detection.classes(),
            Source::Scenes { scenes, .. } => scenes.classes(),
        }
    }

    /// A hash of all that there is: other pictures, or scenes made otherwise, have another one.
    pub fn fingerprint(&self) -> u64 {
        match self {
            Source::Pictures(detection) => detection.fingerprint(),
            Source::Scenes { scenes, len, fresh } => {
                let mut hash = Fingerprint::of("source");
                hash.numbers([scenes.fingerprint(), *len as u64, u64::from(*fresh)]);
                hash.finish()
            }
        }
    }

    /// The number by which files of results call each class; see [`Detection::class_ids`].
    pub fn class_ids(&self) -> Vec<Id> {
        match self {
            Source::Pictures(detection) => detection.class_ids().to_vec(),
            Source::Scenes { scenes, .. } => {
                (1..=scenes.classes().len() as u64).map(Id::from).collect()
            }
        }
    }

    /// The number of channels; 0 if there is no picture.
    pub fn channels(&self) -> usize {
        match self {
            Source::Pictures(detection) => detection.pictures().first().map_or(0, |p| p.shape[0]),
            Source::Scenes { scenes, .. } => scenes.shape()[0],
        }
    }

    /// Height and width of the picture with an index from [`Batch::indices`], before it was resized by a reader.
    ///
    /// # Panics
    ///
    /// If there is no such picture.
    pub fn original(&self, index: usize) -> [usize; 2] {
        match self {
            Source::Pictures(detection) => detection.pictures()[index].original,
            Source::Scenes { scenes, .. } => scenes.options().canvas,
        }
    }

    /// The id of the picture with an index from [`Batch::indices`]; see [`Annotated::id`].
    ///
    /// # Panics
    ///
    /// If there is no such picture.
    pub fn id(&self, index: usize) -> Id {
        match self {
            Source::Pictures(detection) => detection.pictures()[index].id.clone(),
            Source::Scenes { .. } => (index as u64).into(),
        }
    }

    /// The picture with an index from [`Batch::indices`].
    ///
    /// # Errors
    ///
    /// As [`Detection::picture`].
    ///
    /// # Panics
    ///
    /// If there is no such picture.
    pub fn picture(&self, index: usize) -> Result<Cow<'_, Annotated>, Error> {
        match self {
            Source::Pictures(detection) => detection.picture(index),
            Source::Scenes { scenes, .. } => Ok(Cow::Owned(scenes.scene(index as u64))),
        }
    }
}

/// How a [`Loader`] makes batches.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The number of pictures in a batch; at least 1.
    pub batch_size: usize,
    /// Whether each epoch has a random order of its own, or the order of the data set.
    pub shuffle: bool,
    /// Whether the pictures that do not fill a last batch are left out.
    pub drop_last: bool,
    /// The origin of all randomness: of the order and of the augmentation.
    pub seed: u64,
    /// Height and width of a batch in pixels. Pictures are made larger or smaller to fit, with the ratio of their sides kept.
    pub canvas: [usize; 2],
    /// What is left to chance when a picture is shown.
    pub augment: Augment,
    /// The map from bytes to the inputs of the model.
    pub normalize: Normalize,
    /// The number of finished batches that may wait to be taken.
    pub prefetch: usize,
}

impl Options {
    /// For training: shuffled, without an incomplete last batch, not augmented.
    pub fn train(
        batch_size: usize,
        seed: u64,
        canvas: [usize; 2],
        normalize: Normalize,
    ) -> Options {
        let (shuffle, drop_last) = (true, true);
        let augment = Augment::default();
        let prefetch = 2;
        Options { batch_size, shuffle, drop_last, seed, canvas, augment, normalize, prefetch }
    }

    /// For measuring: every picture once, in order, as it is.
    pub fn eval(batch_size: usize, canvas: [usize; 2], normalize: Normalize) -> Options {
        let (shuffle, drop_last) = (false, false);
        Options { shuffle, drop_last, ..Options::train(batch_size, 0, canvas, normalize) }
    }

    /// Whether the values make sense for pictures of this many channels.
    fn check(&self, channels: usize) -> Result<(), Error> {
        if self.batch_size == 0 {
            return Err(Error::option("batch_size", "at least 1", 0));
        }
        if !self.canvas.iter().all(|side| (1..=MAX_SIDE).contains(side)) {
            let expected = format_args!("a height and a width from 1 to {MAX_SIDE}");
            return Err(Error::option("canvas", expected, format_args!("{:?}", self.canvas)));
        }
        self.normalize.check(channels)?;
        self.augment.check()
    }
}

/// The greatest side of a canvas in pixels.
const MAX_SIDE: usize = 1 << 14;

/// Some pictures with their objects, ready for a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The normalised pixels, `[B, C, H, W]`: each picture at the top left, 0 beside it.
    pub images: Tensor,
    /// Height and width of each picture in the batch, in pixels.
    pub sizes: Vec<[usize; 2]>,
    /// The objects of each picture to learn from, in pixels of the batch.
    pub objects: Vec<Vec<Object>>,
    /// The objects of each picture to score against, in pixels of its file, whatever is seen of them in the batch.
    pub truth: Vec<Vec<Truth>>,
    /// The place of each picture in the data set, or the number of the scene; see [`Source::picture`].
    pub indices: Vec<usize>,
    /// The epoch that this batch is part of, from 0.
    pub epoch: usize,
    /// The place of this batch in its epoch, from 0.
    pub index: usize,
}

/// Makes the batches of a data set for detection. Each is a function of the data, the options, the epoch and its index: it is
/// the same on any thread, at any time, and after a run was resumed.
#[derive(Clone, Debug)]
pub struct Loader {
    source: Source,
    options: Options,
}

impl Loader {
    /// A loader of these pictures.
    ///
    /// # Errors
    ///
    /// No pictures, or an option that makes no sense for them.
    pub fn new(source: Source, options: Options) -> Result<Loader, Error> {
        if source.is_empty() {
            return Err(Error::option("source", "at least 1 picture", 0));
        }
        options.check(source.channels())?;
        Ok(Loader { source, options })
    }

    /// Where the pictures come from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// How the batches are made.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The names of the classes.
    pub fn classes(&self) -> &[String] {
        self.source.classes()
    }

    /// The number of batches in an epoch.
    pub fn batches(&self) -> usize {
        match self.options.drop_last {
            true => self.source.len() / self.options.batch_size,
            false => self.source.len().div_ceil(self.options.batch_size),
        }
    }

    /// The batches of one epoch from `first` on, made ahead on a background thread. To resume a run exactly, give the epoch
    /// and the index of the first batch that it had not yet taken; if this is [`batches`](Self::batches), there is none left.
    ///
    /// # Panics
    ///
    /// If the operating system cannot start a thread.
    pub fn epoch(&self, epoch: usize, first: usize) -> Prefetch<Result<Batch, Error>> {
        let loader = self.clone();
        let order = self.order(epoch);
        let batches = (first..self.batches()).map(move |index| loader.batch(&order, epoch, index));
        Prefetch::new(batches, self.options.prefetch)
    }

    /// The order in which the pictures come in one epoch: their indices.
    pub fn order(&self, epoch: usize) -> Vec<usize> {
        let len = self.source.len();
        let mut order = match self.options.shuffle {
            true => random::permutation(len, self.options.seed, Purpose::Shuffle, epoch),
            false => (0..len).collect(),
        };
        if let Source::Scenes { fresh: true, .. } = self.source {
            order.iter_mut().for_each(|index| *index += epoch * len);
        }
        order
    }

    fn batch(&self, order: &[usize], epoch: usize, index: usize) -> Result<Batch, Error> {
        let Options { batch_size, seed, canvas, augment, normalize, .. } = &self.options;
        let start = index * batch_size;
        let indices = order[start..order.len().min(start + batch_size)].to_vec();

        let channels = self.source.channels();
        let [height, width] = *canvas;
        let (mut sizes, mut objects, mut truth) = (Vec::new(), Vec::new(), Vec::new());
        let read = indices.par_iter().map(|&i| self.source.picture(i));
        let pictures = read.collect::<Result<Vec<_>, _>>()?;
        let images = Tensor::build([indices.len(), channels, height, width], |out| {
            let out = out.chunks_exact_mut(channels * height * width);
            for ((&i, picture), out) in indices.iter().zip(&pictures).zip(out) {
                let [_, h, w] = picture.shape;
                let view = augment.view(*seed, epoch, i, [h, w], *canvas);
                view.render(picture, normalize, *canvas, out);
                sizes.push(view.size);
                objects.push(view.objects(&picture.objects));
                truth.push(picture.truth.clone());
            }
        });
        Ok(Batch { images, sizes, objects, truth, indices, epoch, index })
    }
}
